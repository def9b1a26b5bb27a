//! What callers see: the JSON of a page or an error, and the headers of every answer.

mod page;

use lambda_http::{
    Body, Response,
    http::{
        HeaderValue, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER,
            WWW_AUTHENTICATE,
        },
    },
};
use serde::Serialize;

pub use crate::sessions::MAX_ANSWER_BYTES;
use crate::{error::Error, sessions::Page};

/// What an answer has around its body at most, in bytes: status and headers.
const ANSWER_FRAME_BYTES: usize = 4_096;

const METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");

/// What `Retry-After` says, in seconds: about what a restart or a failover takes.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ErrorBody<'a> {
    error: ErrorDescription<'a>,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct ErrorDescription<'a> {
    code: &'a str,
    message: &'a str,
}

/// `200` with a page, whose longest texts are cut if the answer would be larger than [`MAX_ANSWER_BYTES`].
///
/// # Errors
///
/// [`Error::Internal`] if a column is not of the contract's type.
pub fn page(page: &Page) -> Result<Response<Body>, Error> {
    const MAX: usize = MAX_ANSWER_BYTES - ANSWER_FRAME_BYTES;
    let json = page::json(page, MAX)?;
    if json.len() > MAX / 2 && page::size_in_answer(&json) > MAX {
        return Err(Error::Internal("the page is too large for Lambda although its texts are cut".into()));
    }
    Ok(response(StatusCode::OK, json))
}

/// `200` to `OPTIONS`: a browser may send its request, and need not ask again for a day. Chromium asks again after two
/// hours all the same, and without the header after five seconds.
#[must_use]
pub fn preflight() -> Response<Body> {
    let mut response = text("ok");
    response.headers_mut().insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// `200` with a text.
#[must_use]
pub fn text(text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The outcome with the headers that every answer carries.
#[must_use]
pub fn complete(outcome: Result<Response<Body>, Error>, request_id: &str) -> Response<Body> {
    let mut response = outcome.unwrap_or_else(|error| failure(&error));
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let allowed = "authorization, x-client-info, apikey, content-type";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    // Without it, scripts of other origins read neither.
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-request-id, retry-after"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let request_id = HeaderValue::from_str(request_id).unwrap_or(HeaderValue::from_static("unknown"));
    headers.insert("x-request-id", request_id);
    response
}

fn failure(error: &Error) -> Response<Body> {
    let body = ErrorBody { error: ErrorDescription { code: error.code(), message: error.message() } };
    let body = serde_json::to_string(&body).expect("texts are JSON");
    let mut response = response(error.status(), body);
    let headers = response.headers_mut();
    match error {
        Error::Unauthorized => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        Error::MethodNotAllowed => headers.insert(ALLOW, METHODS),
        Error::Unavailable(_) | Error::Misconfigured(_) => headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS),
        _ => None,
    };
    response
}

fn response(status: StatusCode, json: String) -> Response<Body> {
    let mut response = Response::new(Body::from(json));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use schemars::{JsonSchema, generate::SchemaSettings};
    use serde_json::Value;

    use super::ErrorBody;
    use crate::sessions::ChatSession;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "its fields are what is compared")]
    struct PageBody<'a> {
        sessions: Vec<ChatSession<'a>>,
        total: i64,
    }

    /// Each field's type and whether it may be `null`, and whether it is always there.
    fn fields(schema: &Value) -> BTreeMap<String, (String, bool, bool)> {
        let required = schema["required"].as_array().expect("a list of what is required");
        let field = |(name, schema): (&String, &Value)| {
            let (kind, is_nullable) = match &schema["type"] {
                Value::Array(kinds) => (&kinds[0], kinds.contains(&"null".into())),
                kind => (kind, false),
            };
            let kind = kind.as_str().unwrap_or("object").to_owned();
            (name.clone(), (kind, is_nullable, required.contains(&name.as_str().into())))
        };
        schema["properties"].as_object().expect("fields").iter().map(field).collect()
    }

    fn derived<T: JsonSchema>() -> BTreeMap<String, (String, bool, bool)> {
        fields(SchemaSettings::default().for_serialize().into_generator().into_root_schema_for::<T>().as_value())
    }

    #[test]
    fn openapi_publishes_the_types_as_they_are() {
        let openapi: Value = serde_saphyr::from_str(include_str!("../openapi.yaml")).expect("YAML");
        let published = |name: &str| fields(&openapi["components"]["schemas"][name]);
        assert_eq!(derived::<PageBody>(), published("Page"));
        assert_eq!(derived::<ChatSession>(), published("ChatSession"));
        assert_eq!(derived::<ErrorBody>(), published("Error"));
    }
}

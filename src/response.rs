//! Builds responses: the JSON of a page or an error, and the headers.

use std::borrow::Cow;

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
use uuid::Uuid;

pub use crate::sessions::MAX_RESPONSE_BYTES;
use crate::{
    error::Error,
    sessions::{
        ChatSession, Page, Text, TextLimits,
        fit::{self, ELLIPSIS, Length},
    },
    timestamp::PgTimestamp,
};

/// The maximum size of the envelope, in bytes: the JSON that Lambda gets has status and headers around the body.
const ENVELOPE_BYTES: usize = 4_096;

/// The estimated size of a page's JSON without its sessions, and of a session's JSON without the data that PostgreSQL sent:
/// keys, quotes, and UUIDs and timestamps in their longer form.
const PAGE_FRAME_BYTES: usize = 64;
const SESSION_FRAME_BYTES: usize = 300;

/// A body from this size on is measured before it is copied, in bytes: measuring takes 3 instructions for each byte.
const LARGE_BODY_BYTES: usize = 1 << 20;

const METHODS: HeaderValue = HeaderValue::from_static("POST, OPTIONS");

/// About as long as a restart or a failover takes.
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

/// `200` with a page. Its longest texts are cut if the response would exceed [`MAX_RESPONSE_BYTES`].
///
/// # Errors
///
/// [`Error::Internal`] if a column does not have the contract's type.
pub fn page(page: &Page) -> Result<Response<Body>, Error> {
    const MAX_BYTES: usize = MAX_RESPONSE_BYTES - ENVELOPE_BYTES;
    let mut sessions = page.sessions().collect::<Result<Vec<_>, _>>()?;
    let size = page.size() + page.len() * SESSION_FRAME_BYTES + PAGE_FRAME_BYTES;
    // Nearly every page is so small that it fits even if each of its bytes is escaped.
    if size > MAX_BYTES / fit::MAX_SIZE_OF_BYTE {
        let length = fitting_length(&sessions, page.total, page.texts, MAX_BYTES);
        cut(&mut sessions, page.texts, length);
    }
    let body = page_json(&sessions, page.total, size.min(MAX_BYTES));
    if body.len() > MAX_BYTES / 2 && quoted_size(&body) > MAX_BYTES {
        return Err(Error::Internal("the page is too large for Lambda although its texts are cut".into()));
    }
    Ok(json(StatusCode::OK, body))
}

/// The length to which texts must be cut so that the page takes at most `max` bytes in the envelope.
fn fitting_length(sessions: &[ChatSession<'_>], total: i64, limits: TextLimits, max: usize) -> Length {
    // An empty text and `null` take four bytes in the envelope each, as do the quotes around every other text.
    let frame: Vec<_> = sessions.iter().map(ChatSession::without_texts).collect();
    let frame = quoted_size(&page_json(&frame, total, 0));
    let bytes = |size: usize| i64::try_from(size).unwrap_or(i64::MAX);
    fit::length(|| sessions.iter().flat_map(|session| session.texts(limits)), bytes(max) - bytes(frame))
}

fn cut(sessions: &mut [ChatSession<'_>], limits: TextLimits, length: Length) {
    let message = length.max(limits.message.uncut_chars);
    let other = length.max(limits.other.uncut_chars);
    for session in sessions {
        *session = ChatSession {
            widget_name: session.widget_name.map(|text| text.first(other)),
            visitor_id: session.visitor_id.first(other),
            visitor_name: session.visitor_name.map(|text| text.first(other)),
            visitor_email: session.visitor_email.map(|text| text.first(other)),
            status: session.status.map(|text| text.first(other)),
            last_message: session.last_message.map(|text| text.first(message)),
            page_url: session.page_url.map(|text| text.first(other)),
            ..*session
        };
    }
}

/// The capacity for a response with its envelope, in bytes. A large body is measured, so that its buffer does not grow by
/// doubling; about a tenth of any other body are quotes.
pub(crate) fn size_in_envelope(response: &Response<Body>) -> usize {
    let body = str::from_utf8(response.body()).unwrap_or_default();
    let size = if body.len() > LARGE_BODY_BYTES { quoted_size(body) } else { body.len() + body.len() / 4 };
    size + ENVELOPE_BYTES
}

/// The size of a body as a string in the envelope, in bytes: each of its quotes and backslashes takes two.
fn quoted_size(body: &str) -> usize {
    body.len() + body.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}

/// `200` for `OPTIONS`, which browsers cache for a day. Chromium caches it for two hours at most, and without the header for
/// five seconds.
pub(crate) fn preflight() -> Response<Body> {
    let mut response = text("ok");
    response.headers_mut().insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

pub(crate) fn text(text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The final response, with the headers that all responses have.
pub(crate) fn from_outcome(outcome: Result<Response<Body>, Error>, request_id: &str) -> Response<Body> {
    let mut response = outcome.unwrap_or_else(|error| from_error(&error));
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    let allowed = "authorization, x-client-info, apikey, content-type";
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(allowed));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    // Without this header, scripts of other origins can read neither.
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("x-request-id, retry-after"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let request_id = HeaderValue::from_str(request_id).unwrap_or(HeaderValue::from_static("unknown"));
    headers.insert("x-request-id", request_id);
    response
}

fn from_error(error: &Error) -> Response<Body> {
    let body = ErrorBody { error: ErrorDescription { code: error.code(), message: error.message() } };
    let body = serde_json::to_string(&body).expect("a text is JSON");
    let mut response = json(error.status(), body);
    let headers = response.headers_mut();
    match error {
        Error::Unauthorized => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        Error::MethodNotAllowed => headers.insert(ALLOW, METHODS),
        Error::Unavailable(_) | Error::Misconfigured(_) => headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS),
        _ => None,
    };
    response
}

fn json(status: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The JSON of a page, written by hand: serde takes 19 µs more for a page of 50 and 59 µs more for a page of 100, which is
/// 3.7 % of that request (`cargo bench --bench parts`). `capacity` is the expected size, in bytes.
fn page_json(sessions: &[ChatSession<'_>], total: i64, capacity: usize) -> String {
    let mut json = Json(Vec::with_capacity(capacity));
    json.raw(r#"{"sessions":["#);
    for (index, session) in sessions.iter().enumerate() {
        json.raw(if index == 0 { "" } else { "," });
        json.session(session);
    }
    json.raw(r#"],"total":"#);
    json.value(&total);
    json.raw("}");
    String::from_utf8(json.0).expect("only texts are written")
}

struct Json(Vec<u8>);

impl Json {
    fn session(&mut self, session: &ChatSession) {
        self.raw(r#"{"id":"#);
        self.uuid(session.id);
        self.raw(r#","widget_id":"#);
        self.uuid(session.widget_id);
        self.raw(r#","widget_name":"#);
        self.text(session.widget_name);
        self.raw(r#","visitor_id":"#);
        self.text(Some(session.visitor_id));
        self.raw(r#","visitor_name":"#);
        self.text(session.visitor_name);
        self.raw(r#","visitor_email":"#);
        self.text(session.visitor_email);
        self.raw(r#","status":"#);
        self.text(session.status);
        self.raw(r#","last_message":"#);
        self.text(session.last_message);
        self.raw(r#","last_message_at":"#);
        self.time(session.last_message_at);
        self.raw(r#","message_count":"#);
        self.value(&session.message_count);
        self.raw(r#","page_url":"#);
        self.text(session.page_url);
        self.raw(r#","created_at":"#);
        self.time(session.created_at);
        self.raw("}");
    }

    fn raw(&mut self, json: &str) {
        self.0.extend_from_slice(json.as_bytes());
    }

    /// U+FFFD replaces bytes that are not UTF-8, and a text that was cut ends with `…`. Nearly all texts need no escapes and
    /// are copied.
    fn text(&mut self, text: Option<Text>) {
        let Some(text) = text else { return self.raw("null") };
        match str::from_utf8(text.bytes()).map_or_else(|_| String::from_utf8_lossy(text.bytes()), Cow::Borrowed) {
            Cow::Borrowed(text) if is_plain(text) => self.quoted(text),
            text => self.value(&text),
        }
        if text.is_cut() {
            self.0.pop();
            self.raw(ELLIPSIS.encode_utf8(&mut [0; 4]));
            self.raw("\"");
        }
    }

    fn uuid(&mut self, uuid: Uuid) {
        self.quoted(uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
    }

    fn time(&mut self, time: Option<PgTimestamp>) {
        match time.and_then(PgTimestamp::rfc_3339) {
            Some(time) => self.quoted(&time),
            None => self.raw("null"),
        }
    }

    fn quoted(&mut self, text: &str) {
        self.0.push(b'"');
        self.raw(text);
        self.0.push(b'"');
    }

    fn value(&mut self, value: &impl Serialize) {
        serde_json::to_writer(&mut self.0, value).expect("texts and numbers are JSON");
    }
}

/// Checks every byte without an early exit, which the compiler vectorizes.
fn is_plain(text: &str) -> bool {
    let escape = |byte| u8::from(byte < 0x20) | u8::from(byte == b'"') | u8::from(byte == b'\\');
    text.bytes().fold(0, |found, byte| found | escape(byte)) == 0
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::{prelude::*, proptest};
    use schemars::{JsonSchema, generate::SchemaSettings};
    use serde_json::Value;

    use super::{
        ChatSession, ErrorBody, Length, PgTimestamp, Text, TextLimits, Uuid, cut, fitting_length, page_json,
        quoted_size,
    };
    use crate::sessions::TextLimit;

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct PageBody<'a> {
        sessions: &'a [ChatSession<'a>],
        total: i64,
    }

    /// Each field's type, whether it may be `null`, and whether it is always present.
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
    fn openapi_describes_the_types() {
        let openapi: Value = serde_saphyr::from_str(include_str!("../openapi.yaml")).expect("YAML");
        let published = |name: &str| fields(&openapi["components"]["schemas"][name]);
        assert_eq!(derived::<PageBody>(), published("Page"));
        assert_eq!(derived::<ChatSession>(), published("ChatSession"));
        assert_eq!(derived::<ErrorBody>(), published("Error"));
    }

    /// A session's last message and URL, which represent the two kinds of texts.
    type Texts = (String, String);

    const fn limits(message: usize, other: usize) -> TextLimits {
        let (message, other) = (
            TextLimit { bytes: usize::MAX, uncut_chars: message },
            TextLimit { bytes: usize::MAX, uncut_chars: other },
        );
        TextLimits { message, other }
    }

    fn plain() -> ChatSession<'static> {
        let time = |text| PgTimestamp::parse(text);
        ChatSession {
            id: Uuid::from_u128(0xe5f6_a7b8_c9d0_1e2f_3a4b_5678_90cd_ef12),
            widget_id: Uuid::max(),
            widget_name: Some("Support Widget".into()),
            visitor_id: "".into(),
            visitor_name: Some("Zoë 😀 \u{7f}\u{2028}".into()),
            visitor_email: Some("john@example.com".into()),
            status: Some("active".into()),
            last_message: Some("Thanks, that helps!".into()),
            last_message_at: time("2024-01-15T10:45:00.120Z"),
            message_count: i64::MAX,
            page_url: Some("https://example.com/?a=b&c='d'".into()),
            created_at: time("0000-01-01"),
        }
    }

    #[test]
    fn a_session_has_the_contracts_keys_in_order_and_null_where_a_value_is_missing() {
        let full = ChatSession { last_message: Some("\"\\\n\u{0}\u{1f}/".into()), ..plain() };
        let empty =
            ChatSession { last_message_at: None, message_count: 0, created_at: None, ..plain().without_texts() };
        assert_eq!(
            page_json(&[full, empty], 2, 0),
            concat!(
                r#"{"sessions":[{"id":"e5f6a7b8-c9d0-1e2f-3a4b-567890cdef12","widget_id":"ffffffff-ffff-ffff-ffff-ffffffffffff","#,
                r#""widget_name":"Support Widget","visitor_id":"","visitor_name":"Zoë 😀 "#,
                "\u{7f}\u{2028}",
                r#"","visitor_email":"john@example.com","status":"active","last_message":"\"\\\n\u0000\u001f/","#,
                r#""last_message_at":"2024-01-15T10:45:00.12Z","message_count":9223372036854775807,"#,
                r#""page_url":"https://example.com/?a=b&c='d'","created_at":"0000-01-01T00:00:00Z"},"#,
                r#"{"id":"e5f6a7b8-c9d0-1e2f-3a4b-567890cdef12","widget_id":"ffffffff-ffff-ffff-ffff-ffffffffffff","#,
                r#""widget_name":null,"visitor_id":"","visitor_name":null,"visitor_email":null,"status":null,"#,
                r#""last_message":null,"last_message_at":null,"message_count":0,"page_url":null,"created_at":null}],"total":2}"#,
            )
        );
    }

    #[test]
    fn each_byte_that_is_not_utf_8_becomes_a_replacement_character() {
        let limit = TextLimit { bytes: 100, uncut_chars: 0 };
        let session = ChatSession { page_url: Some(Text::read(b"caf\xE9 \xFF", limit)), ..plain() };
        let body = body(&[session], limits(0, 0), Length::MAX);
        assert!(body.contains("\"page_url\":\"caf\u{FFFD} \u{FFFD}\""), "{body}");
    }

    #[test]
    fn uncut_characters_fit_into_a_response_at_every_limit() {
        for limit in [1, 50, 100, 1_000] {
            let limits = TextLimits::of(limit);
            let long = |limit: TextLimit| "\u{1}".repeat(limit.uncut_chars + 1);
            let (message, other) = (long(limits.message), long(limits.other));
            let other: Text = other.as_str().into();
            let session = ChatSession {
                widget_name: Some(other),
                visitor_id: other,
                visitor_name: Some(other),
                visitor_email: Some(other),
                status: Some(other),
                last_message: Some(message.as_str().into()),
                page_url: Some(other),
                ..plain()
            };
            let sessions = vec![session; usize::try_from(limit).unwrap()];
            assert!(quoted_size(&body(&sessions, limits, 0)) < 6_000_000, "limit {limit}");
        }
    }

    fn sessions(texts: &[Texts]) -> Vec<ChatSession<'_>> {
        let texts = texts.iter().map(|(message, url)| (Some(message.as_str().into()), Some(url.as_str().into())));
        texts.map(|(last_message, page_url)| ChatSession { last_message, page_url, ..plain() }).collect()
    }

    fn body(sessions: &[ChatSession], limits: TextLimits, length: Length) -> String {
        let mut sessions = sessions.to_vec();
        cut(&mut sessions, limits, length);
        page_json(&sessions, 1, 0)
    }

    fn texts_of(body: &str) -> Vec<Texts> {
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        let text = |text: &serde_json::Value| text.as_str().unwrap().to_owned();
        let sessions = body["sessions"].as_array().unwrap().iter();
        sessions.map(|session| (text(&session["last_message"]), text(&session["page_url"]))).collect()
    }

    /// Texts with characters of each size; some are so long that the first pass has several steps.
    fn texts() -> impl Strategy<Value = Vec<Texts>> {
        let chars = proptest::collection::vec("[a-z]|[\"\\\\\n\u{1}é…😀]", 0..12);
        let text = (chars, prop_oneof![3 => 1..3_usize, 1 => 1..400_usize])
            .prop_map(|(chars, times)| chars.concat().repeat(times));
        proptest::collection::vec((text.clone(), text), 0..8)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_longest_texts_are_cut_to_the_length_at_which_the_page_fits(
            texts in texts(), message in 0..40_usize, other in 0..40_usize, share in 0..=110_usize
        ) {
            let (limits, sessions) = (limits(message, other), sessions(&texts));
            let whole = body(&sessions, limits, Length::MAX);
            // From a page that is cut as far as possible to the whole page, and a little beyond.
            let least = quoted_size(&body(&sessions, limits, 0));
            let max = least + quoted_size(&whole).saturating_sub(least) * share / 100;

            let length = fitting_length(&sessions, 1, limits, max);
            let cut = body(&sessions, limits, length);
            prop_assert!(quoted_size(&cut) <= max);
            if quoted_size(&whole) <= max {
                prop_assert_eq!(&cut, &whole);
            } else {
                prop_assert!(quoted_size(&body(&sessions, limits, length + 1)) > max, "one character more fits");
            }
            let expected = |text: &str, limit: TextLimit| {
                let kept = length.max(limit.uncut_chars);
                let is_cut = text.chars().count() > kept;
                text.chars().take(kept).chain(is_cut.then_some('…')).collect::<String>()
            };
            let expected: Vec<_> = texts
                .iter()
                .map(|(message, url)| (expected(message, limits.message), expected(url, limits.other)))
                .collect();
            prop_assert_eq!(texts_of(&cut), expected);
        }
    }
}

//! One request from top to bottom: authenticate, parse, list, respond.

use std::{convert::Infallible, time::Duration};

use jiff::Timestamp;
use lambda_http::{
    Body, Context, Request, RequestExt, Response,
    http::{HeaderMap, Method},
};

use crate::{
    app::App,
    auth::{Authenticated, BearerToken, SessionToken},
    clock::Deadline,
    error::Error,
    request::ListRequest,
    request_log::RequestLog,
    response, sessions,
};

/// The minimum time between two fetches of the key ring for tokens that it does not contain, and between two log lines
/// that count them. Random tokens cannot cause more calls than this; a new key works this long, plus one fetch, after it
/// was added to the secret. With shards, each has its own interval: otherwise, unknown tokens of one shard would delay a new
/// key of another.
pub const UNKNOWN_TOKEN_INTERVAL: Duration = Duration::from_secs(1);

/// Handles one request and logs it. A failure becomes a response too.
///
/// # Errors
///
/// Never: API Gateway would turn an `Err` into a bare 500.
pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    let mut log = start_log(app, request.lambda_context_ref());
    let outcome = list_sessions(app, &request, &mut log).await;
    Ok(respond(app, log, outcome))
}

async fn list_sessions(app: &App, request: &Request, log: &mut RequestLog) -> Result<Response<Body>, Error> {
    match *request.method() {
        Method::POST => {}
        Method::OPTIONS => return Ok(response::preflight()),
        _ => return Err(Error::MethodNotAllowed),
    }
    let deadline = Deadline::of_invocation(request.lambda_context_ref().map(Context::deadline));
    let caller = log.measure_authentication(authenticate(app, request.headers(), deadline)).await?;
    let list = ListRequest::parse(request.body(), app.limit_max)?;
    let mut resent = 0;
    let page = log.measure_database(sessions::list(&app.database, &caller, &list, deadline, &mut resent)).await;
    log.set_retries(resent);
    let page = page?;
    log.set_rows(page.len());
    response::page(&page)
}

/// Looks up the account of the request's token. If session tokens are configured, a token of their form is one; every other
/// token is an API key. A token that is not in the key ring may be new, so the key ring is fetched again, at most once per
/// [`UNKNOWN_TOKEN_INTERVAL`].
async fn authenticate(app: &App, headers: &HeaderMap, deadline: Deadline) -> Result<Authenticated, Error> {
    let token = BearerToken::from_headers(headers)?;
    if let Some(accepted) = &app.session_tokens
        && let Some(token) = SessionToken::from_bearer(&token)
    {
        let caller = Box::pin(accepted.authenticate(&token, UNKNOWN_TOKEN_INTERVAL, deadline)).await;
        if caller.is_err() {
            app.unknown_tokens.count();
        }
        return caller;
    }
    let hash = token.hash();
    let secret = app.api_keys.secret_of(&hash);
    if let Some(caller) = deadline.timeout(secret.current()).await?.authenticate(&hash, Timestamp::now()) {
        return Ok(caller);
    }
    let newest = deadline.timeout(secret.newest(UNKNOWN_TOKEN_INTERVAL)).await;
    let caller = newest.and_then(|ring| ring.authenticate(&hash, Timestamp::now()).ok_or(Error::Unauthorized));
    if caller.is_err() {
        app.unknown_tokens.count();
    }
    caller
}

/// Handles an event whose purpose is to keep the environment warm.
pub(crate) async fn warm_up(app: &App, context: &Context) -> Response<Body> {
    let (mut log, mut resent) = (start_log(app, Some(context)), 0);
    let outcome = app.warm_up(&mut resent).await.map(|()| response::text("warm"));
    log.set_retries(resent);
    respond(app, log, outcome)
}

/// Rejects an event that is not a request, or whose request panicked.
pub(crate) fn reject(app: &App, context: &Context, error: Error) -> Response<Body> {
    respond(app, start_log(app, Some(context)), Err(error))
}

fn start_log(app: &App, context: Option<&Context>) -> RequestLog {
    RequestLog::start(context, app.take_cold_start())
}

fn respond(app: &App, mut log: RequestLog, outcome: Result<Response<Body>, Error>) -> Response<Body> {
    log.write(&outcome, app.has_stale_secret());
    app.unknown_tokens.write_if_due(UNKNOWN_TOKEN_INTERVAL);
    response::from_outcome(outcome, log.request_id())
}

//! One request from top to bottom: authenticate, parse, list, respond.

use std::{convert::Infallible, time::Duration};

use jiff::Timestamp;
use lambda_http::{
    Body, Context, Request, RequestExt, Response,
    http::{HeaderMap, Method},
};

use crate::{
    app::App,
    auth::{Authenticated, BearerToken},
    clock::Deadline,
    error::Error,
    log::Record,
    request::ListRequest,
    response, sessions,
};

/// The least time between two fetches of the key ring because of tokens that it does not know, and between two lines of
/// the log about them. Random tokens cannot drive calls faster, and a new key works at most this and one fetch after it
/// is in the secret.
pub const UNKNOWN_TOKEN_INTERVAL: Duration = Duration::from_secs(1);

/// Answers one request and writes its line to the log. Whatever goes wrong is a response as well.
///
/// # Errors
///
/// Never: an `Err` would reach the caller as API Gateway's own bare 500.
pub async fn handle(app: &App, request: Request) -> Result<Response<Body>, Infallible> {
    let mut record = Record::start(app, request.lambda_context_ref());
    let outcome = answer(app, &request, &mut record).await;
    Ok(finish(app, record, outcome))
}

async fn answer(app: &App, request: &Request, record: &mut Record) -> Result<Response<Body>, Error> {
    match *request.method() {
        Method::POST => {}
        Method::OPTIONS => return Ok(response::preflight()),
        _ => return Err(Error::MethodNotAllowed),
    }
    let deadline = Deadline::of(request.lambda_context_ref());
    let caller = record.authentication(authenticate(app, request.headers(), deadline)).await?;
    let list = ListRequest::parse(request.body(), app.limit_max)?;
    let page = record.database(sessions::list(&app.database, &caller, &list, deadline)).await?;
    record.page(&page);
    response::page(&page)
}

/// The account that the request's token belongs to. A token that the key ring does not know may be a new one, so the
/// ring is asked for anew, as often as [`UNKNOWN_TOKEN_INTERVAL`] allows.
async fn authenticate(app: &App, headers: &HeaderMap, deadline: Deadline) -> Result<Authenticated, Error> {
    let hash = BearerToken::from_headers(headers)?.hash();
    if let Some(caller) = deadline.timeout(app.api_keys.current()).await?.authenticate(&hash, Timestamp::now()) {
        return Ok(caller);
    }
    let newest = deadline.timeout(app.api_keys.newest(UNKNOWN_TOKEN_INTERVAL)).await;
    let caller = newest.and_then(|ring| ring.authenticate(&hash, Timestamp::now()).ok_or(Error::Unauthorized));
    if caller.is_err() {
        app.unknown_tokens.count();
    }
    caller
}

/// Answers an event that only keeps the environment warm: with what the next request needs made ready.
pub async fn warm_up(app: &App, context: &Context) -> Response<Body> {
    let record = Record::start(app, Some(context));
    let outcome = app.warm_up().await.map(|()| response::text("warm"));
    finish(app, record, outcome)
}

/// Answers an event that no request could be made of, or whose request cannot be answered.
pub fn refuse(app: &App, context: &Context, error: Error) -> Response<Body> {
    finish(app, Record::start(app, Some(context)), Err(error))
}

fn finish(app: &App, mut record: Record, outcome: Result<Response<Body>, Error>) -> Response<Body> {
    record.finish(app, &outcome);
    app.unknown_tokens.report(UNKNOWN_TOKEN_INTERVAL);
    response::complete(outcome, record.request_id())
}

//! `POST /functions/v1/list-chat-sessions`: the chat sessions of the caller's account, one page at a time.
//!
//! # How a request flows
//!
//! ```text
//! init, once       Config::from_env ─► App::start ─┬─ key ring          (Secrets Manager)
//!                                                  └─ first connection  (credentials ─► TLS ─► PostgreSQL)
//! every event      0 read           event                 ─► Request | 400
//!                  1 authenticate   headers + key ring    ─► Authenticated | 401
//!                  2 parse          body                  ─► ListRequest   | 400 413
//!                  3 list           database, caller      ─► Page          | 500 503 504
//!                  4 respond        Page or Error         ─► Response, and one line in the log
//! ```
//!
//! # Modules, from top to bottom
//!
//! A module imports only modules below it.
//!
//! - `runtime` polls the Runtime API for events and posts the responses.
//! - `event` turns an event into a request, and a response into JSON; `event::sanitize` works around `lambda_http`.
//! - `sync_keys` is the other function: it copies the product's table of keys into the key ring.
//! - `handler` runs the steps of one request in order.
//! - `app` holds what outlives a request: key ring, database, settings.
//! - `config` reads the environment.
//! - `request_log` writes a request's log line with its metrics.
//! - `response` builds the body and the headers of every response.
//! - `sessions` lists a page of sessions: the SQL, its rows, the total.
//! - `session_tokens` accepts session tokens of the product's sign-in, if they are configured.
//! - `api_keys` selects the secret with a token's key; for other programs, it changes key rings.
//! - `auth` authenticates a token against the key ring, or a session token against the keys of the sign-in.
//! - `request` parses and validates the body.
//! - `timestamp` reads and writes timestamps as PostgreSQL, ISO 8601 and RFC 3339 have them.
//! - `database` runs a statement on a pooled connection: connect, check, retry, time out, cancel.
//! - `secret` fetches and caches a secret.
//! - `jwks` fetches the sign-in's public keys.
//! - `aws` configures the AWS SDK.
//! - `clock` has the request's deadline, and instants that count frozen time.
//! - `error` lists the failures, each with its status, code, message and log level.
//! - `log` writes JSON lines.
//!
//! # Rules
//!
//! `tests/house.rs` checks those about imports.
//!
//! - Only `config` reads the function's variables; AWS's own are left to the SDK and to `lambda_runtime`.
//! - Only `runtime` calls the Runtime API, and only `event` knows the forms of events.
//! - Only `handler` knows the order of the steps.
//! - Only `error` and `response` choose a status, and only `response` writes JSON for callers.
//! - Only `database`, `sessions`, `sync_keys` and `timestamp` know PostgreSQL; only `secret` knows Secrets Manager.
//! - `database` knows neither tables nor callers: it does not import `sessions`, `request` or `auth`.
//! - Only `event`, `sync_keys`, `handler`, `app`, `response`, `sessions` and `request` know an endpoint. Every function shares
//!   the others: they import none of these, and name no table.
//! - `auth` and `request` are pure: they use no clock, network, database or environment.
//! - `log` imports no other module.
//! - A caller's query requires an [`auth::Authenticated`], which only [`auth::KeyRing::authenticate`] and
//!   [`auth::SessionTokenKeys::authenticate`] create.
//! - A failure's cause goes to the log, and its message to the caller; no text is used for both.
//! - The handler never returns `Err`: API Gateway would turn it into a bare 500.

#![warn(clippy::dbg_macro, clippy::print_stdout, clippy::print_stderr)]

pub mod api_keys;
pub mod app;
pub mod auth;
pub mod aws;
pub mod clock;
pub mod config;
pub mod database;
pub mod error;
pub mod event;
pub mod handler;
pub mod jwks;
pub mod log;
pub mod request;
mod request_log;
pub mod response;
pub mod runtime;
pub mod secret;
pub mod session_tokens;
pub mod sessions;
pub mod sync_keys;
pub mod timestamp;

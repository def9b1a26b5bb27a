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
//! The modules below stand in the order in which a request meets them.
//!
//! # The rules of the house
//!
//! - Only [`config`] reads the environment.
//! - Only [`runtime`] knows how Lambda is asked, only [`event`] what it delivers; only [`handler`] knows the order of the steps.
//! - Only [`error`] knows which status a failure has; only [`response`] knows the JSON that callers see.
//! - Only [`database`] and [`sessions`] know PostgreSQL; only [`secret`] knows Secrets Manager.
//! - [`auth`] and [`request`] are pure: no clock, no network, no environment.
//! - A query needs an [`auth::Authenticated`], which nothing but a key ring can make.
//! - A cause goes to the log and a message to the caller, and no value is ever both.
//! - The handler never returns `Err`: API Gateway would make a bare 500 of it.

#![warn(clippy::dbg_macro, clippy::print_stdout, clippy::print_stderr)]

pub mod runtime;

pub mod event;
pub mod handler;

pub mod auth;
pub mod secret;

pub mod request;
pub mod timestamp;

pub mod sessions;

pub mod response;

pub mod error;

pub mod database;

pub mod app;
pub mod aws;
pub mod clock;
pub mod config;
pub mod log;

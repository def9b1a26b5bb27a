//! The tests at the function's edge. They need PostgreSQL's programs, and find or fetch them as README.md says, and
//! `PgBouncer`'s, which they find or ask for.

mod app;
mod support;

mod authentication;
mod contract;
mod emulator;
mod environment;
mod events;
mod fuzzing;
mod iam;
mod key_ring;
mod listing;
mod login;
mod metrics;
mod mutations;
mod openapi;
mod outages;
mod paging;
mod plan;
mod pooler;
mod request_body;
mod role;
mod rotation;
mod secrecy;
mod tls;
mod tooling;

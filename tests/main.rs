//! The tests at the function's edge. They need PostgreSQL's programs, and find or fetch them as README.md says, and
//! `PgBouncer`'s, which they find or ask for.

mod app;
mod support;

mod authentication;
mod contract;
mod database_states;
mod emulator;
mod environment;
mod events;
mod freezing;
mod iam;
mod key_ring;
mod listing;
mod login;
mod metrics;
mod network;
mod openapi;
mod outages;
mod paging;
mod plan;
mod pooler;
mod request_body;
mod rotation;
mod secret_faults;
mod tenants;
mod tls;
mod tooling;

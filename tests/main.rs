//! The tests at the function's edge. They need PostgreSQL's programs, and find or fetch them as README.md says.

mod app;
mod support;

mod authentication;
mod bench;
mod contract;
mod database_states;
mod emulator;
mod environment;
mod events;
mod freezing;
mod fuzzing;
mod iam;
mod kept;
mod key_ring;
mod listing;
mod login;
mod long_texts;
mod lost_connections;
mod metrics;
mod network;
mod openapi;
mod outages;
mod paging;
mod plan;
mod pooler;
mod request_body;
mod role;
mod rotation;
mod secrecy;
mod secret_faults;
mod tenants;
mod tls;
mod tooling;

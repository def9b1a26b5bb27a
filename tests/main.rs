//! The tests at the function's edge. They need PostgreSQL's programs, and find or fetch them as README.md says.

mod app;
mod support;

mod authentication;
mod contract;
mod environment;
mod events;
mod iam;
mod key_ring;
mod listing;
mod login;
mod outages;
mod paging;
mod plan;
mod pooler;
mod request_body;
mod rotation;
mod tls;
mod tooling;

//! The tests at the function's edge. They need PostgreSQL's programs, and find or fetch them as README.md says.

mod app;
mod support;

mod authentication;
mod contract;
mod emulator;
mod environment;
mod events;
mod key_ring;
mod listing;
mod metrics;
mod openapi;
mod outages;
mod paging;
mod plan;
mod request_body;
mod tooling;

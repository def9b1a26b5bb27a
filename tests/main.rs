//! The tests at the function's edge. They need PostgreSQL's programs, and find or fetch them as README.md says.

mod fuzzing;
mod house;
mod materialized_counts;

mod api {
    mod contract;
    mod events;
    mod listing;
    mod long_texts;
    mod openapi;
    mod paging;
    mod request_body;
}

mod auth {
    mod authentication;
    mod key_ring;
}

mod database {
    mod iam;
    mod login;
    mod plan;
    mod pooler;
    mod role;
    mod row_level_security;
    mod tls;
}

mod packaging {
    mod emulator;
    mod environment;
    mod metrics;
}

mod resilience {
    mod database_states;
    mod freezing;
    mod lost_connections;
    mod memory;
    mod names;
    mod network;
    mod outages;
    mod tenants;
}

mod secrets {
    mod rotation;
    mod secrecy;
    mod secret_faults;
}

/// The support code keeps its own promises: what the other tests rest on holds.
mod tooling {
    mod gateway;
    mod lambda;
    mod migrations;
    mod postgres;
    mod secrets;
    mod terminal;
}

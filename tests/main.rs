//! Tests of the function's external behaviour. They need PostgreSQL's programs; README.md says how they find or fetch them.

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
    mod upstream;
}

mod auth {
    mod authentication;
    mod compact;
    mod key_ring;
    mod session_tokens;
    mod shards;
}

mod database {
    mod doctor;
    mod iam;
    mod login;
    mod plan;
    mod pooler;
    mod role;
    mod row_level_security;
    mod statements;
    mod tls;
}

mod packaging {
    mod emulator;
    mod environment;
    mod metrics;
}

mod resilience {
    mod concurrency;
    mod database_states;
    mod freezing;
    mod lost_connections;
    mod memory;
    mod names;
    mod network;
    mod outages;
    mod shutdown;
    mod tenants;
}

mod secrets {
    mod rotation;
    mod secrecy;
    mod secret_faults;
    mod sync_keys;
}

/// Tests of the support code that the other tests depend on.
mod tooling {
    mod edge_function;
    mod gateway;
    mod lambda;
    mod migrations;
    mod postgres;
    mod secrets;
    mod terminal;
}

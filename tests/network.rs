//! The network between the function and PostgreSQL fails in every phase and in every way.

use crate::{
    app::binary,
    support::faults::{Lab, network},
};

/// An answer before the invocation ends, of 200, 503 or 504; nothing left on the server; and the first request after the
/// fault is served. `cargo dev soak` holds every answer to 300 ms before the end, which takes a machine that is not busy.
#[tokio::test]
async fn whatever_the_network_does_there_is_an_answer_in_time_and_nothing_runs_on() {
    for tally in network::run(&Lab::quiet(binary()), 1, network::INVOCATION).await.unwrap() {
        assert!(tally.tried >= 14 && tally.lost == 0, "{tally}");
    }
}

//! The network between the function and PostgreSQL fails in every phase and in every way.

use testkit::{Harness, binary, faults::network};

/// An answer before the invocation's deadline less 300 ms, of 200, 503 or 504; nothing left on the server; and the first
/// request after the fault is served.
#[tokio::test]
async fn whatever_the_network_does_there_is_an_answer_in_time_and_nothing_runs_on() {
    for report in network::run(&Harness::quiet(binary()), 1).await.unwrap() {
        assert!(report.tried >= 14 && report.lost == 0, "{report}");
    }
}

//! The network between the function and PostgreSQL fails in every phase and in every way.

use testkit::{Harness, binary, faults::network};

/// A 200, 503 or 504 at least 300 ms before the invocation's deadline; no query left on the server; and the first request
/// after the fault succeeds.
#[tokio::test]
async fn every_network_fault_gets_a_response_in_time_and_leaves_no_query_running() {
    for report in network::run(&Harness::quiet(binary()), 1).await.unwrap() {
        assert!(report.tried >= 14 && report.lost == 0, "{report}");
    }
}

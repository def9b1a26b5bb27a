//! The environment loses its connection while it is frozen between two requests.

use testkit::{Harness, binary, faults::freezing};

const CYCLES: u64 = 40;

#[tokio::test]
async fn a_connection_lost_during_a_freeze_fails_no_request() {
    let report = freezing::run(&Harness::quiet(binary()), CYCLES, false).await.unwrap();
    assert_eq!((report.tried, report.lost), (CYCLES, 0), "{report}");
}

#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "processes are pinned to cores on Linux only")]
async fn a_connection_lost_during_a_freeze_fails_no_request_on_one_core() {
    let report = freezing::run(&Harness::quiet(binary()), CYCLES, true).await.unwrap();
    assert_eq!((report.tried, report.lost), (CYCLES, 0), "{report}");
}

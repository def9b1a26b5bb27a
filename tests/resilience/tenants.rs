//! Accounts never see each other's rows, and one environment serves many requests.

use testkit::{
    Harness, binary,
    faults::{endurance, tenants},
};

const REQUESTS: u64 = 4_000;

#[tokio::test]
async fn a_thousand_accounts_under_kills_locks_and_cancels_see_only_their_rows() {
    let seed = fastrand::u32(..).into();
    let report = tenants::run(&Harness::quiet(binary()), REQUESTS, seed).await.unwrap();
    assert_eq!((report.tried, report.lost), (REQUESTS, 0), "{report}, seed {seed}");
}

#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "memory and files are read from Linux's /proc")]
async fn memory_and_open_files_do_not_grow() {
    let report = endurance::run(&Harness::quiet(binary()), REQUESTS).await.unwrap();
    assert_eq!((report.tried, report.lost), (REQUESTS, 0), "{report}");
}

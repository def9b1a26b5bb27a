//! The database restarts, shuts down, crashes, is full, read-only, a standby or slow, and recovers.

use testkit::{
    Harness, binary,
    faults::{certificates, grants, slow, states},
};

#[tokio::test]
async fn an_outage_gives_503_with_retry_after_and_the_first_request_after_it_succeeds() {
    for report in states::run(&Harness::quiet(binary()), 1).await.unwrap() {
        assert!(report.tried > 0 && report.lost == 0, "{report}");
    }
}

#[tokio::test]
async fn a_slow_query_gives_504_is_cancelled_and_does_not_delay_the_next_request() {
    for report in slow::run(&Harness::quiet(binary()), 3).await.unwrap() {
        assert_eq!((report.tried, report.lost), (3, 0), "{report}");
    }
}

/// An open connection keeps working, a new one fails with an ERROR line that has the reason, and the first request after
/// the renewal succeeds.
#[tokio::test]
async fn an_expired_or_replaced_certificate_fails_new_connections_until_it_is_renewed() {
    for report in certificates::run(&Harness::quiet(binary()), 1).await.unwrap() {
        assert!(report.tried >= certificates::KINDS && report.lost == 0, "{report}");
    }
}

/// Requests fail and succeed as privileges and policies are revoked and granted again, without a restart.
#[tokio::test]
async fn no_change_of_privileges_or_row_level_security_gives_an_incomplete_page() {
    let reports = grants::run(&Harness::quiet(binary()), 1).await.unwrap();
    let text = reports.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(reports.iter().all(|report| report.tried > 0 && report.lost == 0), "{text}");
}

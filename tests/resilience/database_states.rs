//! The database restarts, closes, is full, read-only, a standby, crashes, is slow: and comes back.

use crate::{
    app::binary,
    support::faults::{Lab, certificates, grants, slow, states},
};

#[tokio::test]
async fn during_it_503_and_when_to_come_again_and_after_it_the_first_request_is_served() {
    for tally in states::run(&Lab::quiet(binary()), 1).await.unwrap() {
        assert!(tally.tried > 0 && tally.lost == 0, "{tally}");
    }
}

#[tokio::test]
async fn a_slow_query_is_504_is_cancelled_and_the_next_is_served_at_once() {
    for tally in slow::run(&Lab::quiet(binary()), 3).await.unwrap() {
        assert_eq!((tally.tried, tally.lost), (3, 0), "{tally}");
    }
}

/// An open connection goes on, a new one is refused with an ERROR that says why, and the first request after the renewal
/// is served.
#[tokio::test]
async fn a_certificate_that_expires_or_is_replaced_refuses_new_connections_until_it_is_renewed() {
    for tally in certificates::run(&Lab::quiet(binary()), 1).await.unwrap() {
        assert!(tally.tried >= certificates::KINDS && tally.lost == 0, "{tally}");
    }
}

/// Requests are refused and served as the role's rights and the rows that it may see are taken and given back, without a
/// restart.
#[tokio::test]
async fn no_change_of_rights_or_row_level_security_gives_a_page_that_lacks_rows() {
    let tallies = grants::run(&Lab::quiet(binary()), 1).await.unwrap();
    let told = tallies.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(tallies.iter().all(|tally| tally.tried > 0 && tally.lost == 0), "{told}");
}

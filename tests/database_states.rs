//! The database restarts, closes, is full, read-only, a standby, crashes, is slow: and comes back.

use crate::{
    app::binary,
    support::faults::{Lab, slow, states},
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

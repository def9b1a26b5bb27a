//! Secrets Manager fails, holds something else, or rotates, under the requests of a function that has a ring already.

use crate::{
    app::binary,
    support::faults::{Lab, vault},
};

#[tokio::test]
async fn no_fault_of_the_secret_and_no_rotation_costs_a_valid_token_a_request() {
    for tally in vault::run(&Lab::quiet(binary()), 1).await.unwrap() {
        assert!(tally.tried > 0 && tally.lost == 0, "{tally}");
    }
}

//! The environment is frozen between two requests, and loses its connection meanwhile.

use crate::{
    app::binary,
    support::faults::{Lab, freezing},
};

const CYCLES: u64 = 40;

#[tokio::test]
async fn a_connection_that_ends_while_the_environment_is_frozen_costs_no_request() {
    let tally = freezing::run(&Lab::quiet(binary()), CYCLES, false).await.unwrap();
    assert_eq!((tally.tried, tally.lost), (CYCLES, 0), "{tally}");
}

#[tokio::test]
#[cfg_attr(not(target_os = "linux"), ignore = "processes are pinned to cores on Linux only")]
async fn nor_does_it_where_there_is_one_core() {
    let tally = freezing::run(&Lab::quiet(binary()), CYCLES, true).await.unwrap();
    assert_eq!((tally.tried, tally.lost), (CYCLES, 0), "{tally}");
}

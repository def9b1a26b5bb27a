//! Memory has a limit, and what visitors have written has none.

use crate::{
    app::binary,
    support::faults::{Lab, memory},
};

/// In an address space of the template's memory.
#[tokio::test]
async fn a_page_of_huge_texts_is_cut_and_the_process_lives() {
    for tally in memory::run(&Lab::quiet(binary()), 1).await.unwrap() {
        assert!(tally.tried >= memory::KINDS && tally.lost == 0, "{tally}");
    }
}

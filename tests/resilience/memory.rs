//! Texts of any length, in limited memory.

use testkit::{Harness, binary, faults::memory};

/// The address space is as large as the template's memory.
#[tokio::test]
async fn a_page_of_huge_texts_is_cut_and_the_process_survives() {
    for report in memory::run(&Harness::quiet(binary()), 1).await.unwrap() {
        assert!(report.tried >= memory::KINDS && report.lost == 0, "{report}");
    }
}

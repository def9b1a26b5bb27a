//! The optional materialized counts: responses are the same with them, without them and with a part of them.

mod deletion;
mod folding;
mod installation;
mod interleavings;
mod loads;
mod plan;
mod settings;
mod states;
mod upgrade;

use indicatif::ProgressBar;
use testkit::faults::materialized_counts;

const TRANSACTIONS: u64 = 600;

/// `cargo dev soak --only materialized-counts --scale 0.006 --seed N` repeats a run.
#[tokio::test(flavor = "multi_thread")]
async fn in_every_snapshot_the_counts_equal_the_tables() {
    let seed = fastrand::u32(..).into();
    println!("seed {seed}");
    let report = materialized_counts::run(&ProgressBar::hidden(), TRANSACTIONS, seed).await.unwrap();
    println!("{report}");
    assert!(report.tried > 3 && report.lost == 0, "{report}");
}

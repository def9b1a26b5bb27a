//! The optional set of migrations: with it, without it and with any half of it the answers are the same.

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
use testkit::faults::kept;

const TRANSACTIONS: u64 = 600;

/// `cargo dev soak --only kept --scale 0.006 --seed N` repeats a run.
#[tokio::test(flavor = "multi_thread")]
async fn in_every_snapshot_what_is_kept_is_what_the_tables_say() {
    let seed = fastrand::u32(..).into();
    println!("kept: seed {seed}");
    let report = kept::run(&ProgressBar::hidden(), TRANSACTIONS, seed).await.unwrap();
    println!("{report}");
    assert!(report.tried > 3 && report.lost == 0, "{report}");
}

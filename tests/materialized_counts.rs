//! The optional materialized counts: responses are the same with them, without them and with a part of them.

#[path = "materialized_counts/deletion.rs"]
mod deletion;
#[path = "materialized_counts/folding.rs"]
mod folding;
#[path = "materialized_counts/installation.rs"]
mod installation;
#[path = "materialized_counts/interleavings.rs"]
mod interleavings;
#[path = "materialized_counts/loads.rs"]
mod loads;
#[path = "materialized_counts/plan.rs"]
mod plan;
#[path = "materialized_counts/settings.rs"]
mod settings;
#[path = "materialized_counts/states.rs"]
mod states;
#[path = "materialized_counts/upgrade.rs"]
mod upgrade;

use indicatif::ProgressBar;

use crate::support::faults::kept;

const TRANSACTIONS: u64 = 600;

/// `cargo dev soak --only kept --scale 0.006 --seed N` repeats a run.
#[tokio::test(flavor = "multi_thread")]
async fn in_every_snapshot_the_counts_equal_the_tables() {
    let seed = fastrand::u32(..).into();
    println!("seed {seed}");
    let tally = kept::run(&ProgressBar::hidden(), TRANSACTIONS, seed).await.unwrap();
    println!("{tally}");
    assert!(tally.tried > 3 && tally.lost == 0, "{tally}");
}

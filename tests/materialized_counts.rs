//! The optional set of migrations: with it, without it and with any half of it the answers are the same.

#[path = "kept/deletion.rs"]
mod deletion;
#[path = "kept/folding.rs"]
mod folding;
#[path = "kept/installation.rs"]
mod installation;
#[path = "kept/interleavings.rs"]
mod interleavings;
#[path = "kept/loads.rs"]
mod loads;
#[path = "kept/plan.rs"]
mod plan;
#[path = "kept/settings.rs"]
mod settings;
#[path = "kept/states.rs"]
mod states;
#[path = "kept/upgrade.rs"]
mod upgrade;

use indicatif::ProgressBar;

use crate::support::faults::kept;

const TRANSACTIONS: u64 = 600;

/// `cargo dev soak --only kept --scale 0.006 --seed N` repeats a run.
#[tokio::test(flavor = "multi_thread")]
async fn in_every_snapshot_what_is_kept_is_what_the_tables_say() {
    let seed = fastrand::u32(..).into();
    println!("kept: seed {seed}");
    let tally = kept::run(&ProgressBar::hidden(), TRANSACTIONS, seed).await.unwrap();
    println!("{tally}");
    assert!(tally.tried > 3 && tally.lost == 0, "{tally}");
}

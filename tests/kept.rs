//! The optional set of migrations: with it, without it and with any half of it the answers are the same.

#[path = "kept/installation.rs"]
mod installation;
#[path = "kept/interleavings.rs"]
mod interleavings;
#[path = "kept/plan.rs"]
mod plan;
#[path = "kept/states.rs"]
mod states;

use indicatif::ProgressBar;

use crate::support::faults::kept;

/// How many random transactions the test runs; `KEPT_TRANSACTIONS` says otherwise, and `KEPT_SEED` repeats a run.
const TRANSACTIONS: u64 = 600;

fn number(variable: &str) -> Option<u64> {
    std::env::var_os(variable).map(|value| value.to_str().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_every_snapshot_what_is_kept_is_what_the_tables_say() {
    let (transactions, seed) = (number("KEPT_TRANSACTIONS"), number("KEPT_SEED"));
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let tally = kept::run(&ProgressBar::hidden(), transactions.unwrap_or(TRANSACTIONS), seed).await.unwrap();
    println!("{tally}");
    assert!(tally.tried > 3 && tally.lost == 0, "{tally}");
}

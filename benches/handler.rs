//! Measures what the handler adds to the bare statement: `cargo bench --bench handler`.
//!
//! Alternates, in one run and on one thread, between the handler with a request; the statement that it sends, on a
//! connection of the same role to the same database, with its rows read and dropped; the same statement on another
//! connection, which shows the noise of this machine; and a Sync, which is only one round trip. The order rotates with
//! every round.
//!
//! For profilers, and for the instructions of each with `valgrind --tool=callgrind`,
//! `cargo bench --bench handler -- rounds handler 20 5000 >/dev/null` only serves 5,000 pages of 20 by the handler, and
//! `rounds bare …` by the statement.

mod drained;
mod rounds;

use list_chat_sessions::sessions::{Reading, page_statement};

use rounds::Times;
use testkit::account::{Account, KEYS, PAGES, Page, runtime};

const ROUNDS: usize = 3_000;
/// First rounds, which are not counted.
const WARM_UP: usize = 300;

/// Returns the bound of the handler's median relative to the bare statement's, by page length.
fn bound(limit: i64) -> Option<f64> {
    match limit {
        20 => Some(1.25),
        100 => Some(1.35),
        _ => None,
    }
}

fn main() {
    // cargo adds `--bench`.
    let arguments: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match &arguments[..] {
        [rounds, side, limit, number] if rounds == "rounds" => {
            let (limit, number) = (limit.parse().expect("a limit"), number.parse().expect("a number"));
            runtime().block_on(only(side == "handler", limit, number));
        }
        _ => drained::run(|| runtime().block_on(compare())),
    }
}

/// Runs only one side.
async fn only(handler: bool, limit: i64, rounds: usize) {
    let account = Account::start().await;
    let page = Page::new(limit);
    let client = account.connect().await;
    let statement = page_statement(&account.caller, &page.list, Reading::default()).fallback();
    for _ in 0..rounds {
        // Made by both sides, so that it cancels out.
        let request = page.request();
        if handler {
            account.handle(request).await;
        } else {
            account.bare(&client, &statement, &page).await;
        }
    }
}

async fn compare() {
    let account = Account::start().await;
    let clients = [account.connect().await, account.connect().await];
    eprintln!("{ROUNDS} rounds; microseconds, of which CPU is this process's own; {KEYS} keys in the ring\n");
    eprintln!("{:<22}{:>9}{:>9}{:>9}{:>9}   of the statement's p50", "", "p10", "p50", "p99", "CPU p50");
    for limit in PAGES {
        let page = Page::new(limit);
        let statement = page_statement(&account.caller, &page.list, Reading::default()).fallback();
        let mut times: [Times; 4] = Default::default();
        for round in 0..WARM_UP + ROUNDS {
            for turn in 0..times.len() {
                let side = (round + turn) % times.len();
                let time = match side {
                    0 | 1 => rounds::timed(account.bare(&clients[side], &statement, &page)).await,
                    2 => rounds::timed(Box::pin(account.handle(page.request()))).await,
                    _ => rounds::timed(clients[0].check_connection()).await,
                };
                if round >= WARM_UP {
                    times[side].add(time);
                }
            }
        }
        report(limit, &times.map(Times::sorted));
    }
}

fn report(limit: i64, times: &[Times; 4]) {
    for (name, side) in ["statement", "statement again", "handler", "Sync"].iter().zip(times) {
        let ratio = side.wall(50) / times[0].wall(50);
        let verdict = match bound(limit) {
            Some(bound) if *name == "handler" && ratio <= bound => format!(", holds {bound}"),
            Some(bound) if *name == "handler" => format!(", DOES NOT HOLD {bound}"),
            _ => String::new(),
        };
        eprintln!("{:<22}{side}{ratio:>8.3}{verdict}", format!("{limit}: {name}"));
    }
}

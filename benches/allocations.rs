//! Measures the allocations of a request: `cargo bench --bench allocations`.
//!
//! Counts every allocation on the one thread that everything runs on, including the connection's task; a buffer that
//! grows counts each time with its new size. The median over many requests excludes one-time allocations.

mod drained;

use allocation_counter::{AllocationInfo, measure};
use jiff::Timestamp;
use lambda_http::Request;
use list_chat_sessions::{
    auth::{BearerToken, KeyRing},
    clock::Deadline,
    request::ListRequest,
    response, sessions,
};
use testkit::account::{Account, PAGES, Page, key_ring, runtime};
use tokio::runtime::Runtime;

const ROUNDS: usize = 201;

fn main() {
    drained::run(|| {
        let runtime = runtime();
        let account = runtime.block_on(Account::start());
        eprintln!("{:<26}{:>12}{:>10}{:>16}", "", "allocations", "bytes", "peak bytes");
        for limit in PAGES {
            report(&runtime, &account, &Page::new(limit));
        }
    });
}

fn report(runtime: &Runtime, account: &Account, page: &Page) {
    let client = runtime.block_on(account.connect());
    let statement = sessions::page_statement(&account.caller, &page.list, sessions::Reading::default()).fallback();
    let ring = KeyRing::parse(&key_ring()).expect("a ring");
    let deadline = Deadline::within(std::time::Duration::from_mins(5));
    // Boxed before counting, because `block_on` would box a future of this size.
    let list = || {
        Box::pin(async {
            let mut resent = 0;
            sessions::list(&account.test.app.database, &account.caller, &page.list, deadline, &mut resent).await
        })
    };
    let authenticate = |request: Request| {
        let hash = BearerToken::from_headers(request.headers()).expect("a token").hash();
        ring.authenticate(&hash, Timestamp::now())
    };
    let rows = runtime.block_on(list()).expect("a page");
    let request = || page.request();
    let bare = || Box::pin(account.bare(&client, &statement, page));
    let handle = || Box::pin(account.handle(page.request()));
    let print = |name: &str, of: AllocationInfo| {
        let name = format!("{}: {name}", page.list.limit);
        eprintln!("{name:<26}{:>12}{:>10}{:>16}", of.count_total, of.bytes_total, of.bytes_max);
    };
    print("statement", counted(bare, |bare| runtime.block_on(bare)));
    print("handler", counted(handle, |handle| runtime.block_on(handle)));
    print("  authenticate", counted(request, authenticate));
    print("  parse", counted(request, |request| ListRequest::parse(request.body(), 100)));
    print("  list", counted(list, |list| runtime.block_on(list)));
    print("  respond", counted(|| (), |()| response::page(&rows)));
}

/// Returns the median over many rounds of a step, without making its input or dropping its outcome.
fn counted<G, T>(given: impl Fn() -> G, step: impl Fn(G) -> T) -> AllocationInfo {
    let round = |_| {
        let (given, mut outcome) = (given(), None);
        measure(|| outcome = Some(step(given)))
    };
    let mut rounds: Vec<_> = (0..ROUNDS).map(round).collect();
    rounds.sort_by_key(|of| of.count_total);
    rounds[ROUNDS / 2]
}

//! Very large texts, under a memory limit.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{FaultReport, FunctionUnderTest, Harness, Setup, accounts, unexpected};
use crate::{Database, Server, process};

const SESSIONS: u32 = 50;

/// Address space of the function in KiB: the template's memory, 256 MB.
const ADDRESS_SPACE: u32 = 256 * 1_024;

/// Largest resident memory in KiB, at a `limit` of 100.
const RESIDENT_MAX: u64 = 64 * 1_024;

/// Lambda's limit for a response, in bytes.
const RESPONSE_MAX: usize = 6 * 1_024 * 1_024;

/// Characters that are never cut, of a last message and of any other text.
const MESSAGE_MIN: usize = 4_000;
const TEXT_MIN: usize = 500;

/// A field of the page, and how it becomes large.
struct Case {
    field: &'static str,
    sql: &'static str,
}

/// Five megabytes in each row, unless noted.
const CASES: [Case; 8] = [
    Case { field: "last_message", sql: "UPDATE chat_messages SET content = repeat('x', 5000000)" },
    Case { field: "last_message", sql: "UPDATE chat_messages SET content = repeat('ö', 65000)" },
    // Each character takes six in JSON.
    Case { field: "last_message", sql: "UPDATE chat_messages SET content = repeat(chr(1), 1000000)" },
    Case {
        field: "last_message",
        sql: "UPDATE chat_messages SET content = repeat('x', 6300000) WHERE id = (SELECT min(id::text)::uuid FROM chat_messages)",
    },
    Case { field: "page_url", sql: "UPDATE chat_sessions SET page_url = repeat('x', 5000000)" },
    Case { field: "visitor_name", sql: "UPDATE chat_sessions SET visitor_name = repeat('x', 5000000)" },
    Case { field: "visitor_email", sql: "UPDATE chat_sessions SET visitor_email = repeat('x', 5000000)" },
    Case { field: "widget_name", sql: "UPDATE chat_widgets SET name = repeat('x', 5000000)" },
];

const SMALL: &str = "UPDATE chat_messages SET content = 'short';
    UPDATE chat_sessions SET page_url = 'short', visitor_name = 'short', visitor_email = 'short';
    UPDATE chat_widgets SET name = 'short'";

pub const KINDS: u64 = CASES.len() as u64;

/// Requests each kind of large page `count` times.
pub async fn run(harness: &Harness, count: u64) -> Result<Vec<FaultReport>> {
    let server = Server::start()?;
    let database = Database::create(&server).await?;
    accounts::fill(&database, 1, SESSIONS).await?;
    let admin = database.client().await?;
    let launcher = ["sh", "-c", &format!("ulimit -v {ADDRESS_SPACE} && exec \"$0\"")].map(ToOwned::to_owned).into();
    let tested = FunctionUnderTest::start(harness, database, Setup { launcher, ..Setup::default() }).await?;
    let mut report = FaultReport::new("pages of huge texts under a limit of memory");
    let mut resident = 0;
    for case in &CASES {
        admin.batch_execute("ALTER TABLE chat_messages DISABLE TRIGGER USER").await?;
        admin.batch_execute(case.sql).await?;
        for _ in 0..count {
            let (pid, reply) = (tested.function.pid(), tested.request_page().await?);
            let mut wrong = unexpected(&reply, &[200]);
            if wrong.is_none() {
                wrong = flaw(&reply.json()?, case.field);
            }
            let ended = (tested.function.pid() != pid).then(|| "the process ended".to_owned());
            let peak = process::peak(tested.function.pid().context("it runs")?).unwrap_or_default();
            resident = resident.max(peak);
            let large = (peak > RESIDENT_MAX).then(|| format!("{peak} KiB resident"));
            report.count(ended.or(wrong).or(large).map(|wrong| format!("{}: {wrong}", case.sql)));
            harness.bar.inc(1);
        }
        admin.batch_execute(SMALL).await?;
        admin.batch_execute("VACUUM chat_messages, chat_sessions, chat_widgets").await?;
        let next = unexpected(&tested.request_page().await?, &[200]);
        if let Some(wrong) = next {
            report.count(Some(format!("after {}: {wrong}", case.sql)));
        }
    }
    report.remark(&format!(
        "50 texts of 5 MB in each field, of control characters, of two bytes a character, one of 6.3 MB; address space \
         {} MB; {resident} KiB resident at most",
        ADDRESS_SPACE / 1_024
    ));
    Ok(vec![report])
}

/// Returns what is wrong with a page of cut texts.
fn flaw(page: &Value, field: &str) -> Option<String> {
    let length = page.to_string().len();
    if length > RESPONSE_MAX {
        return Some(format!("a page of {length} bytes"));
    }
    let sessions = page["sessions"].as_array().map_or(&[] as &[_], Vec::as_slice);
    let count = sessions.len();
    if count != SESSIONS as usize || page["total"] != SESSIONS {
        return Some(format!("{count} sessions, total {}", page["total"]));
    }
    let least = if field == "last_message" { MESSAGE_MIN } else { TEXT_MIN };
    let is_cut = |text: &str| text.ends_with('…') && text.chars().count() > least;
    let texts: Vec<_> = sessions.iter().filter_map(|session| session[field].as_str()).collect();
    let long: Vec<_> = texts.iter().filter(|text| text.chars().count() > 100).collect();
    let wrong = long.iter().filter(|text| !is_cut(text)).count();
    (texts.len() != count || long.is_empty() || wrong > 0)
        .then(|| format!("{} texts, {} of them long, {wrong} of those not cut correctly", texts.len(), long.len()))
}

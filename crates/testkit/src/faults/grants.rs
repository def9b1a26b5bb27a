//! Grants of the role and row level security change while requests run.

use std::{cell::Cell, time::Duration};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use tokio::time::{Instant, sleep};
use tokio_postgres::Client;

use super::{FaultReport, FunctionUnderTest, Harness, Reply, Setup, accounts, unexpected};
use crate::{Database, Server, end_connections, migrations, role};

/// Sessions of the account, each with a message.
const SESSIONS: u32 = 10;

/// Time after a change of row level security in which a response may still lack rows. The function reads the catalogue
/// again at most one second after the last time.
const NOTICED_WITHIN: Duration = Duration::from_millis(1_500);

/// Correct responses in a row after which a change counts as noticed.
const IN_A_ROW: u32 = 5;

/// Time that requests run before each change.
const STEADY: Duration = Duration::from_millis(30);

const TABLES: [&str; 3] = ["chat_sessions", "chat_messages", "chat_widgets"];

/// A role that is not the function's.
const ANOTHER_ROLE: &str = "somebody_else";

/// Drops the policies of docs/role.sql.
const WITHOUT_POLICIES: &str = "DO $$
    DECLARE found record;
    BEGIN
      FOR found IN SELECT polname, polrelid::regclass AS relation FROM pg_policy LOOP
        EXECUTE format('DROP POLICY %I ON %s', found.polname, found.relation);
      END LOOP;
    END $$";

/// A change, and the expected status of requests after it.
struct Change {
    sql: String,
    /// On the open connection.
    open: u16,
    /// On a new one.
    new: u16,
    within: Duration,
}

/// Returns changes that take effect with the next statement.
fn grants(with_counts: bool) -> Vec<Change> {
    let change = |sql: &str, open, new| Change { sql: sql.to_owned(), open, new, within: Duration::ZERO };
    let mut changes = Vec::new();
    // The contract requires 500 if the database rejects the query, and 503 without a connection.
    for table in TABLES {
        // With the counts, messages are not read.
        let status = if with_counts && table == "chat_messages" { 200 } else { 500 };
        changes.push(change(&format!("REVOKE SELECT ON {table} FROM list_chat_sessions"), status, status));
        changes.push(change(&format!("GRANT SELECT ON {table} TO list_chat_sessions"), 200, 200));
    }
    if with_counts {
        for table in ["chat_session_counts", "chat_session_counted", "chat_session_totals"] {
            changes.push(change(&format!("REVOKE SELECT ON {table} FROM list_chat_sessions"), 200, 200));
            changes.push(change(&format!("GRANT SELECT ON {table} TO list_chat_sessions"), 200, 200));
        }
    }
    let password = role::PASSWORD.replace('\'', "''");
    let database = "DO $$ BEGIN EXECUTE format('VERB CONNECT ON DATABASE %I WAY PUBLIC', current_database()); END $$";
    changes.extend([
        change("REVOKE USAGE ON SCHEMA public FROM PUBLIC, list_chat_sessions", 500, 500),
        change("GRANT USAGE ON SCHEMA public TO PUBLIC, list_chat_sessions", 200, 200),
        change(&database.replace("VERB", "REVOKE").replace("WAY", "FROM"), 200, 503),
        change(&database.replace("VERB", "GRANT").replace("WAY", "TO"), 200, 200),
        change("ALTER ROLE list_chat_sessions NOLOGIN", 200, 503),
        change("ALTER ROLE list_chat_sessions LOGIN", 200, 200),
        change("ALTER ROLE list_chat_sessions PASSWORD 'another password'", 200, 503),
        change(&format!("ALTER ROLE list_chat_sessions PASSWORD '{password}'"), 200, 200),
    ]);
    changes
}

/// Returns changes of row level security on one table, which the function is not told of.
fn row_level_security(table: &str) -> Vec<Change> {
    let change = |sql: String, status| Change { sql, open: status, new: status, within: NOTICED_WITHIN };
    let policy = format!("CREATE POLICY readable ON {table} FOR SELECT");
    vec![
        change(format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"), 503),
        change(format!("{policy} TO list_chat_sessions USING (true)"), 200),
        change(format!("ALTER POLICY readable ON {table} TO {ANOTHER_ROLE}"), 503),
        change(format!("ALTER POLICY readable ON {table} TO {ANOTHER_ROLE}, list_chat_sessions"), 200),
        change(format!("DROP POLICY readable ON {table}"), 503),
        change(format!("ALTER TABLE {table} DISABLE ROW LEVEL SECURITY"), 200),
    ]
}

/// Returns the number of changes in a round.
pub fn round() -> u64 {
    (grants(false).len() + grants(true).len() + 2 * TABLES.len() * row_level_security("").len()) as u64
}

/// Makes every change this many times, without and with the materialized counts.
pub async fn run(harness: &Harness, rounds: u64) -> Result<Vec<FaultReport>> {
    // Separate servers, because the role is global to a server.
    let servers = [Server::start()?, Server::start()?];
    let [for_grants, for_rows] = &servers;
    let granted = async {
        let mut report = FaultReport::new("grants and role changed under load");
        for with_counts in [false, true] {
            let fixture = Fixture::start(harness, for_grants, with_counts).await?;
            for _ in 0..rounds {
                fixture.make(harness, &grants(with_counts), &mut report).await?;
            }
        }
        anyhow::Ok(report)
    };
    let workers = TABLES.into_iter().flat_map(|table| [false, true].map(|with_counts| (table, with_counts)));
    let workers = workers.map(|(table, with_counts)| async move {
        let mut report = FaultReport::new("row level security changed under load");
        let fixture = Fixture::start(harness, for_rows, with_counts).await?;
        for _ in 0..rounds {
            fixture.admin.batch_execute(WITHOUT_POLICIES).await?;
            fixture.make(harness, &row_level_security(table), &mut report).await?;
        }
        anyhow::Ok((report, fixture.short_lived.get()))
    });
    let rows = async {
        let admin = crate::database::connect(&for_rows.url("postgres")).await?;
        admin.batch_execute(&format!("CREATE ROLE {ANOTHER_ROLE}")).await?;
        try_join_all(workers).await
    };
    let (mut granted, rows) = (granted.await?, rows.await?);
    granted.remark("changes, on the open connection and on a new one; SELECT, USAGE, CONNECT, LOGIN, password");
    let mut secured = FaultReport::new("row level security changed under load");
    for (report, _) in &rows {
        secured.add(report);
    }
    let within = rows.iter().map(|(_, short_lived)| *short_lived).max().unwrap_or_default();
    secured.remark(&format!("changes; the last response that lacked rows began {within:?} after a change"));
    Ok(vec![granted, secured])
}

struct Fixture {
    tested: FunctionUnderTest,
    admin: Client,
    /// Longest time after a change at which a response still lacked rows.
    short_lived: Cell<Duration>,
}

impl Fixture {
    async fn start(harness: &Harness, server: &Server, with_counts: bool) -> Result<Self> {
        let database = Database::create(server).await?;
        accounts::fill(&database, 1, SESSIONS).await?;
        let admin = database.client().await?;
        if with_counts {
            migrations::apply_materialized_counts(&admin).await?;
            admin.batch_execute(migrations::GRANT_MATERIALIZED_COUNTS).await?;
        }
        let tested = FunctionUnderTest::start(harness, database, Setup::default()).await?;
        Ok(Self { tested, admin, short_lived: Cell::default() })
    }

    /// Makes the changes in order and counts them.
    async fn make(&self, harness: &Harness, changes: &[Change], report: &mut FaultReport) -> Result<()> {
        let mut before = 200;
        for change in changes {
            let wrong = self.attempt(change, before).await?;
            report.count(wrong.map(|wrong| format!("{}: {wrong}", change.sql)));
            before = change.new;
            harness.bar.inc(1);
        }
        Ok(())
    }

    /// Makes one change under load, on the open connection, and then checks a new one.
    async fn attempt(&self, change: &Change, before: u16) -> Result<Option<String>> {
        let changed = Cell::new(None);
        let make = async {
            sleep(STEADY).await;
            self.admin.batch_execute(&change.sql).await?;
            changed.set(Some(Instant::now()));
            anyhow::Ok(())
        };
        let load = async {
            let (mut in_a_row, mut wrong) = (0, None);
            while in_a_row < IN_A_ROW {
                let (begin, reply) = (Instant::now(), self.tested.request_page().await?);
                let after = changed.get().and_then(|changed| begin.checked_duration_since(changed));
                let is_late = after.is_some_and(|after| after >= change.within);
                let is_right = reply.status == change.open && flaw(&reply).is_none();
                match after {
                    Some(_) if is_right => in_a_row += 1,
                    Some(after) if !is_late && flaw(&reply).is_some() => {
                        self.short_lived.set(self.short_lived.get().max(after));
                        in_a_row = 0;
                    }
                    _ => in_a_row = 0,
                }
                // Until the change is noticed, both states are correct.
                let expected = if is_late { vec![change.open] } else { vec![before, change.open] };
                let lacking = flaw(&reply).filter(|_| is_late || change.within.is_zero());
                wrong = wrong.or(unexpected(&reply, &expected)).or(lacking);
                if wrong.is_some() && is_late {
                    break;
                }
                sleep(Duration::from_millis(2)).await;
            }
            Ok(wrong)
        };
        let ((), wrong) = tokio::try_join!(make, load)?;
        ensure!(changed.get().is_some(), "the change was not made");
        end_connections(&self.admin).await?;
        let reply = self.tested.request_page().await?;
        let new = unexpected(&reply, &[change.new]).or_else(|| flaw(&reply));
        Ok(wrong.or_else(|| new.map(|wrong| format!("on a new connection {wrong} ({})", self.tested.cause()))))
    }
}

/// Returns what a page lacks; `None` if the response is not a page.
fn flaw(reply: &Reply) -> Option<String> {
    if reply.status != 200 {
        return None;
    }
    let page = reply.json().ok()?;
    let sessions = page["sessions"].as_array().map_or(&[] as &[_], Vec::as_slice);
    let is_whole = |session: &serde_json::Value| {
        session["widget_name"].is_string() && session["last_message"].is_string() && session["message_count"] == 1
    };
    let whole = sessions.iter().filter(|session| is_whole(session)).count();
    let right = whole == SESSIONS as usize && page["total"] == SESSIONS;
    (!right).then(|| format!("200 with {} sessions, {whole} of them whole, total {}", sessions.len(), page["total"]))
}

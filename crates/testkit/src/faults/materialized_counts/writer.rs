//! A connection that makes random changes to sessions and messages.

use std::{
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Result, bail};
use fastrand::Rng;
use futures_util::SinkExt;
use tokio_postgres::{Client, Error, error::SqlState};

use super::{ACCOUNTS, WIDGETS};
use crate::Database;

/// Rows from before the installation, which only the backfill can count.
pub const ROWS: &str = "
    INSERT INTO users SELECT ('00000000-0000-4000-8000-' || lpad(a::text, 12, '0'))::uuid FROM generate_series(0, 2) a;
    INSERT INTO chat_widgets (id, user_id)
      SELECT ('aaaaaaaa-0000-4000-800' || a || '-' || lpad(w::text, 12, '0'))::uuid,
             ('00000000-0000-4000-8000-' || lpad(a::text, 12, '0'))::uuid
      FROM generate_series(0, 2) a, generate_series(0, 1) w;
    INSERT INTO chat_sessions (user_id, widget_id, visitor_id, status, created_at)
      SELECT user_id, id, 'v', (ARRAY['active', 'closed', NULL])[n % 3 + 1], timestamptz '2026-01-01Z' + n * interval '31 h'
      FROM chat_widgets, generate_series(1, 40) n;
    INSERT INTO chat_widgets (id, user_id)
      SELECT ('aaaaaaaa-0000-4000-800' || a || '-' || lpad(w::text, 12, '0'))::uuid,
             ('00000000-0000-4000-8000-' || lpad(a::text, 12, '0'))::uuid
      FROM generate_series(0, 2) a, generate_series(2, 29) w;
    INSERT INTO chat_messages (session_id, role, content, created_at)
      SELECT id, 'agent', 'Message number ' || n, created_at + n * interval '1 min' FROM chat_sessions, generate_series(1, 3) n;";

const TIMES: [&str; 10] = [
    "now()",
    "NULL",
    "'infinity'",
    "'-infinity'",
    "'2026-02-28 23:59:59.999999Z'",
    "'2026-03-01Z'",
    "'2026-03-15 13:30Z'",
    "'2026-03-15 13:30:00.000001Z'",
    "'12000-01-01Z'",
    "'0044-03-15Z BC'",
];
/// Settings of a database session that the counts must not depend on.
const SETTINGS: [&str; 6] = [
    "SET LOCAL counts.changed = 'x'",
    "SET LOCAL counts.changed = '16'",
    "RESET ALL",
    "SET CONSTRAINTS ALL IMMEDIATE",
    "SET LOCAL row_security = off",
    "SET LOCAL standard_conforming_strings = off",
];
/// Rows of another database's counts, as a load would bring them.
const LOADED: &str = "
    DO $$
    BEGIN
      IF to_regclass('chat_session_totals') IS NOT NULL THEN
        INSERT INTO chat_session_counts SELECT user_id, month, widget_id, status, 20, 7, days FROM chat_session_counts LIMIT 3;
        INSERT INTO chat_session_totals SELECT user_id, '1999-01-01', status, 7, days FROM chat_session_totals LIMIT 3;
        INSERT INTO chat_session_counted VALUES ('00000000-0000-0000-0000-000000000000', true);
      END IF;
    END $$";
const STATUSES: [&str; 5] = ["'active'", "'closed'", "'active'", "NULL", "'odd'"];

/// The error of the counts for `TRUNCATE chat_messages` at REPEATABLE READ.
const REJECTED: &str = "TRUNCATE chat_messages at READ COMMITTED";

pub fn account(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

pub fn widget(account: u64, number: u64) -> String {
    format!("aaaaaaaa-0000-4000-800{account}-{number:012}")
}

pub struct Writer {
    database: Database,
    client: Client,
    rng: Rng,
    /// Whether its transaction sees concurrent commits.
    is_read_committed: bool,
}

impl Writer {
    pub async fn connect(database: &Database, seed: u64) -> Result<Self> {
        Ok(Self {
            database: database.clone(),
            client: database.client().await?,
            rng: Rng::with_seed(seed),
            is_read_committed: true,
        })
    }

    /// Runs this many transactions; returns how many of them PostgreSQL aborted because of others.
    pub async fn work(mut self, transactions: u64, done: Arc<AtomicU64>) -> Result<u64> {
        let mut aborted = 0;
        for _ in 0..transactions {
            if let Err(error) = self.transaction().await {
                // Deadlock, serialization failure, and an account, widget or session that another transaction has
                // deleted or created again.
                let usual = [
                    SqlState::T_R_DEADLOCK_DETECTED,
                    SqlState::T_R_SERIALIZATION_FAILURE,
                    SqlState::FOREIGN_KEY_VIOLATION,
                    SqlState::UNIQUE_VIOLATION,
                ];
                let is_rejected = error.as_db_error().is_some_and(|rejected| rejected.message().starts_with(REJECTED));
                if !is_rejected && !error.code().is_some_and(|code| usual.contains(code)) {
                    bail!("a writer: {error:?}");
                }
                // Not ROLLBACK: after a failed COPY, tokio-postgres mixes up responses.
                self.client = self.database.client().await?;
                aborted += 1;
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
        Ok(aborted)
    }

    async fn transaction(&mut self) -> Result<(), Error> {
        self.is_read_committed = self.rng.u8(..6) != 0;
        let level = if self.is_read_committed { "READ COMMITTED" } else { "REPEATABLE READ" };
        self.client.batch_execute(&format!("BEGIN ISOLATION LEVEL {level}")).await?;
        for _ in 0..self.rng.u8(1..=3) {
            let is_undone = self.rng.u8(..10) == 0;
            if is_undone {
                self.client.batch_execute("SAVEPOINT undone").await?;
            }
            self.act().await?;
            if is_undone {
                self.client.batch_execute("ROLLBACK TO undone").await?;
            }
        }
        let end = if self.rng.u8(..10) == 0 { "ROLLBACK" } else { "COMMIT" };
        self.client.batch_execute(end).await
    }

    async fn act(&mut self) -> Result<(), Error> {
        let (n, time, status) = (self.rng.u8(1..=4), self.time(), self.status());
        let (account, widget) = self.place();
        let (some, other) = (self.some("chat_sessions", n), self.some("chat_sessions", 1));
        let messages = self.some("chat_messages", n);
        let words = self.rng.u32(..);
        let sql = match self.rng.u16(..1000) {
            0..=149 => format!(
                "INSERT INTO chat_sessions (user_id, widget_id, visitor_id, status, created_at)
                 SELECT '{account}', '{widget}', 'v', {status}, {time}::timestamptz FROM generate_series(1, {n})"
            ),
            150..=179 => return self.copy_sessions().await,
            180..=209 => return self.copy_messages().await,
            // Includes the materialized columns where they exist.
            210..=229 => format!(
                "CREATE TEMP TABLE copies ON COMMIT DROP AS SELECT * FROM chat_sessions WHERE id IN ({some});
                 UPDATE copies SET id = gen_random_uuid(); INSERT INTO chat_sessions SELECT * FROM copies; DROP TABLE copies"
            ),
            230..=429 => format!(
                "INSERT INTO chat_messages (session_id, role, content, created_at)
                 SELECT id, 'visitor', '{words}', {time}::timestamptz FROM chat_sessions WHERE id IN ({some})"
            ),
            430..=499 => format!("UPDATE chat_messages SET content = '{words}' WHERE id IN ({messages})"),
            500..=549 => format!("UPDATE chat_messages SET created_at = {time} WHERE id IN ({messages})"),
            550..=579 => format!("UPDATE chat_messages SET read_at = now() WHERE id IN ({messages})"),
            580..=649 => format!("UPDATE chat_messages SET session_id = ({other}) WHERE id IN ({messages}) AND EXISTS ({other})"),
            650..=659 => format!("UPDATE chat_messages SET id = gen_random_uuid() WHERE id IN ({messages})"),
            660..=719 => format!("DELETE FROM chat_messages WHERE id IN ({messages})"),
            720..=749 => format!("DELETE FROM chat_sessions WHERE id IN ({some})"),
            750..=849 => format!("UPDATE chat_sessions SET status = {status} WHERE id IN ({some})"),
            850..=899 => format!("UPDATE chat_sessions SET created_at = {time} WHERE id IN ({some})"),
            900..=959 => format!("UPDATE chat_sessions SET user_id = '{account}', widget_id = '{widget}' WHERE id IN ({some})"),
            960..=964 => SETTINGS[self.rng.usize(..SETTINGS.len())].to_owned(),
            965..=966 => LOADED.to_owned(),
            967..=970 => return self.temporary_account().await,
            971..=974 => format!("UPDATE chat_sessions SET page_url = '{words}' WHERE id IN ({some})"),
            // So many that they are applied at the end of the transaction.
            975..=989 => format!("UPDATE chat_sessions SET status = {status} WHERE user_id = '{account}'"),
            990..=993 => format!("DELETE FROM chat_widgets WHERE id = '{widget}'; INSERT INTO chat_widgets VALUES ('{widget}', '{account}')"),
            994..=996 => format!(
                "DELETE FROM users WHERE id = '{account}'; INSERT INTO users VALUES ('{account}');
                 INSERT INTO chat_widgets VALUES ('{widget}', '{account}')"
            ),
            997..=998 => "TRUNCATE chat_messages".to_owned(),
            _ => "TRUNCATE chat_sessions CASCADE".to_owned(),
        };
        self.client.batch_execute(&sql).await
    }

    /// Creates, changes and deletes a temporary account. At READ COMMITTED, it must leave no counts.
    async fn temporary_account(&mut self) -> Result<(), Error> {
        let number = ACCOUNTS + self.rng.u64(..3);
        let (account, widget, status, time) = (account(number), widget(number, 0), self.status(), self.time());
        let sql = match self.rng.u8(..6) {
            0 if self.is_read_committed => format!("DELETE FROM users WHERE id = '{account}'"),
            1 => format!("DELETE FROM chat_sessions WHERE user_id = '{account}'"),
            2 => format!("UPDATE chat_sessions SET status = {status} WHERE user_id = '{account}'"),
            _ => format!(
                "INSERT INTO users VALUES ('{account}') ON CONFLICT DO NOTHING;
                 INSERT INTO chat_widgets VALUES ('{widget}', '{account}') ON CONFLICT DO NOTHING;
                 INSERT INTO chat_sessions (user_id, widget_id, visitor_id, status, created_at)
                 SELECT '{account}', '{widget}', 'v', {status}, {time}::timestamptz FROM generate_series(1, 20)"
            ),
        };
        self.client.batch_execute(&sql).await
    }

    async fn copy_sessions(&mut self) -> Result<(), Error> {
        let mut lines = String::new();
        for _ in 0..20 {
            let (account, widget) = self.place();
            let _ = writeln!(lines, "{account}\t{widget}\tv\t2026-03-{:02}Z", self.rng.u8(1..=31));
        }
        self.copy("COPY chat_sessions (user_id, widget_id, visitor_id, created_at) FROM STDIN", lines).await
    }

    async fn copy_messages(&mut self) -> Result<(), Error> {
        let ids = self.some("chat_sessions", 3);
        let rows = self.client.query_typed(&format!("SELECT id::text FROM ({ids}) s"), &[]).await?;
        let mut lines = String::new();
        for row in rows.iter().chain(&rows) {
            let _ = writeln!(lines, "{}\tagent\tcopied {}", row.get::<_, &str>(0), self.rng.u32(..));
        }
        self.copy("COPY chat_messages (session_id, role, content) FROM STDIN", lines).await
    }

    async fn copy(&self, statement: &str, lines: String) -> Result<(), Error> {
        let mut sink = std::pin::pin!(self.client.copy_in(statement).await?);
        sink.send(bytes::Bytes::from(lines)).await?;
        sink.finish().await.map(drop)
    }

    fn time(&mut self) -> &'static str {
        TIMES[self.rng.usize(..TIMES.len())]
    }

    fn status(&mut self) -> &'static str {
        STATUSES[self.rng.usize(..STATUSES.len())]
    }

    fn place(&mut self) -> (String, String) {
        let number = self.rng.u64(..ACCOUNTS);
        // Two widgets are busy; the others fill the slots.
        let widgets = if self.rng.bool() { 2 } else { WIDGETS };
        (account(number), widget(number, self.rng.u64(..widgets)))
    }

    /// Returns a query for the ids of random rows.
    fn some(&mut self, table: &str, n: u8) -> String {
        format!("SELECT id FROM {table} ORDER BY hashtextextended(id::text, {}) LIMIT {n}", self.rng.u32(..))
    }
}

//! Applies `migrations/*.sql` in the order of their names, each once, and records them in `schema_migrations`.

use std::{fs, time::Duration};

use anyhow::{Context, Result};
use tokio_postgres::{Client, Error, Row, error::SqlState};

use crate::database::explain;

/// First line of a file whose statements are sent one at a time, outside a transaction.
const NO_TRANSACTION: &str = "-- no-transaction";

/// The files of the materialized counts, in order.
pub const MATERIALIZED_COUNTS: [&str; 4] = ["1_columns.sql", "2_counts.sql", "3_backfill.sql", "4_index.sql"];

/// Key of the advisory lock that serializes runners ("migr" in ASCII).
const LOCK: i64 = 0x6d69_6772;

/// Brings the database up to date; returns the names of the files that it applied. An error names the file and has
/// PostgreSQL's message; files before it stay applied.
pub async fn apply(client: &mut Client) -> Result<Vec<String>> {
    lock(client).await?;
    let applied = apply_missing(client).await;
    client.execute("SELECT pg_advisory_unlock($1)", &[&LOCK]).await?;
    applied
}

/// Polls instead of waiting inside PostgreSQL: a waiting statement holds a snapshot, and `CREATE INDEX CONCURRENTLY` of
/// the runner with the lock would wait for that snapshot forever.
async fn lock(client: &Client) -> Result<()> {
    while !client.query_one("SELECT pg_try_advisory_lock($1)", &[&LOCK]).await?.get::<_, bool>(0) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn apply_missing(client: &mut Client) -> Result<Vec<String>> {
    client
        .batch_execute(
            "SET client_min_messages = warning;
             CREATE TABLE IF NOT EXISTS schema_migrations (
               name text PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())",
        )
        .await
        .context("schema_migrations cannot be created")?;
    let mut applied = Vec::new();
    for (name, sql) in files()? {
        let known = client.query_opt("SELECT FROM schema_migrations WHERE name = $1", &[&name]).await?.is_some();
        if !known {
            apply_file(client, &name, &sql).await.with_context(|| format!("migrations/{name}"))?;
            applied.push(name);
        }
    }
    Ok(applied)
}

/// Returns every migration as (file name, text), in order.
pub fn files() -> Result<Vec<(String, String)>> {
    let folder = crate::repository().join("migrations");
    let mut files = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, fs::read_to_string(&path)?));
        }
    }
    files.sort();
    Ok(files)
}

async fn apply_file(client: &mut Client, name: &str, sql: &str) -> Result<()> {
    const RECORD: &str = "INSERT INTO schema_migrations (name) VALUES ($1)";
    if sql.starts_with(NO_TRANSACTION) {
        for statement in statements(sql) {
            client.batch_execute(statement).await.map_err(|error| explain(&error, statement))?;
        }
        client.execute(RECORD, &[&name]).await?;
    } else {
        let transaction = client.transaction().await?;
        transaction.batch_execute(sql).await.map_err(|error| explain(&error, sql))?;
        transaction.execute(RECORD, &[&name]).await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// Installs the materialized counts and grants them to the function's role.
pub async fn apply_materialized_counts(client: &Client) -> Result<()> {
    for name in MATERIALIZED_COUNTS {
        run_materialized_counts(client, name).await?;
    }
    Ok(client.batch_execute(GRANT_MATERIALIZED_COUNTS).await?)
}

/// The grant of docs/role.sql for the materialized counts.
pub const GRANT_MATERIALIZED_COUNTS: &str =
    "GRANT SELECT ON chat_session_counts, chat_session_counted, chat_session_totals TO list_chat_sessions";

/// Returns the differences that reconcile.sql finds between materialized values and the tables.
pub async fn reconcile(client: &Client) -> Result<Vec<Row>, Error> {
    let sql = include_str!("../../../migrations/materialized_counts/reconcile.sql").trim_end().trim_end_matches(';');
    client.query_typed(sql, &[]).await
}

/// Runs a file of `migrations/materialized_counts` as psql does, one statement at a time, and again after a lock
/// timeout or a deadlock. An error names the file and has PostgreSQL's message; its transaction is rolled back.
pub async fn run_materialized_counts(client: &Client, name: &str) -> Result<()> {
    let path = crate::repository().join("migrations/materialized_counts").join(name);
    let sql = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    'again: loop {
        for statement in statements(&sql) {
            if let Err(error) = client.batch_execute(statement).await {
                client.batch_execute("ROLLBACK").await?;
                if matches!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::T_R_DEADLOCK_DETECTED)) {
                    continue 'again;
                }
                return Err(explain(&error, statement).context(format!("migrations/materialized_counts/{name}")));
            }
        }
        return Ok(());
    }
}

/// Splits SQL at the semicolons that end statements, not at those within quotes, comments or dollar-quoted bodies.
pub fn statements(sql: &str) -> Vec<&str> {
    let mut statements = Vec::new();
    let (mut start, mut at) = (0, 0);
    while let Some(next) = sql[at..].chars().next() {
        if next == ';' {
            statements.push(sql[start..=at].trim());
            start = at + 1;
        }
        at += quoted_length(&sql[at..]).unwrap_or(next.len_utf8());
    }
    statements.push(sql[start..].trim());
    statements.retain(|statement| !is_blank(statement));
    statements
}

/// Returns the length in bytes of the comment or quoted text that `sql` begins with; up to the end if it is not closed.
fn quoted_length(sql: &str) -> Option<usize> {
    let dollar_tag = || {
        let tag = &sql[..sql.get(1..)?.find('$')? + 2];
        tag[1..tag.len() - 1].chars().all(|c| c.is_alphanumeric() || c == '_').then_some(tag)
    };
    let close = match sql.as_bytes().first()? {
        b'-' if sql.starts_with("--") => "\n",
        b'/' if sql.starts_with("/*") => "*/",
        b'\'' => "'",
        b'"' => "\"",
        b'$' => dollar_tag()?,
        _ => return None,
    };
    let open = if close.starts_with('$') { close.len() } else { close.len().min(2) };
    Some(sql[open..].find(close).map_or(sql.len(), |end| open + end + close.len()))
}

/// Returns whether a statement is only comments.
fn is_blank(statement: &str) -> bool {
    let mut rest = statement.trim_start();
    while rest.starts_with("--") || rest.starts_with("/*") {
        rest = rest[quoted_length(rest).unwrap_or(rest.len())..].trim_start();
    }
    rest.is_empty()
}

/// Lists columns, indexes, triggers and functions, one line each.
pub async fn schema(client: &tokio_postgres::Client) -> Result<Vec<String>> {
    let rows = client
        .query_typed(
            "SELECT concat_ws(' ', table_name, column_name, data_type, column_default, is_nullable) AS line
               FROM information_schema.columns WHERE table_schema = 'public'
             UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
             UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
             UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
             UNION ALL SELECT concat(relname, reloptions) FROM pg_class WHERE relnamespace = 'public'::regnamespace
             ORDER BY line",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get("line")).collect())
}

//! Numbered accounts. The number is in the token, in the account's id, and in the id of each session.

use anyhow::Result;

use crate::{
    Database,
    keys::{Entry, Ring, json},
};

/// Keys that fit in a secret of 64 KiB.
pub const RING_MAX: u32 = 300;

pub fn token(account: u32) -> String {
    format!("mgp_{account:040x}")
}

pub fn ring(accounts: impl Iterator<Item = u32>) -> Result<String> {
    let entry = |account| Entry::new(&token(account), format!("00000000-0000-4000-8000-{account:012x}"), "test");
    json(&Ring { api_keys: accounts.map(entry).collect() })
}

/// Returns the prefix of the ids of an account's sessions.
pub fn mark(account: u32) -> String {
    format!("{account:08x}-")
}

/// Inserts this many accounts and sessions for each, with one message per session, of about half a kilobyte.
pub async fn fill(database: &Database, accounts: u32, sessions: u32) -> Result<()> {
    let sql = format!(
        "CREATE FUNCTION pg_temp.id(a integer, n integer) RETURNS uuid LANGUAGE sql AS
           $$ SELECT (lpad(to_hex(a), 8, '0') || '-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid $$;
         INSERT INTO users SELECT pg_temp.id(0, a) FROM generate_series(1, {accounts}) a;
         INSERT INTO chat_widgets SELECT pg_temp.id(a, 0), pg_temp.id(0, a), 'Widget ' || a
           FROM generate_series(1, {accounts}) a;
         INSERT INTO chat_sessions (id, widget_id, user_id, visitor_id, page_url)
           SELECT pg_temp.id(a, n), pg_temp.id(a, 0), pg_temp.id(0, a), 'v' || a, repeat('x', 300)
           FROM generate_series(1, {accounts}) a, generate_series(1, {sessions}) n;
         ALTER TABLE chat_messages DISABLE TRIGGER USER;
         INSERT INTO chat_messages (session_id, role, content) SELECT id, 'visitor', visitor_id FROM chat_sessions;
         ALTER TABLE chat_messages ENABLE TRIGGER USER;"
    );
    database.load(&sql).await?;
    database.client().await?.batch_execute("VACUUM (ANALYZE)").await?;
    Ok(())
}

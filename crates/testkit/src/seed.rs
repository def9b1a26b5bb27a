//! Rows for development: the demo account, and any number of realistic accounts through `COPY`.

mod account;

use std::{pin::pin, time::SystemTime};

use anyhow::{Result, anyhow, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_postgres::{Client, Transaction, binary_copy::BinaryCopyInWriter, types::Type};

use crate::{
    database::explain,
    keys::{Entry, Ring},
};
use account::Account;

pub const DEMO_SQL: &str = include_str!("seed/demo.sql");

/// The demo account's token and id, which are those of the contract's first key. They are valid only for the demo.
pub const DEMO_TOKEN: &str = "mgp_0123456789abcdef0123456789abcdef01234567";
pub const DEMO_USER_ID: &str = "11111111-1111-4111-8111-111111111111";

/// Returns the key ring with only the demo account's token.
pub fn demo_ring() -> Ring {
    Ring { api_keys: vec![Entry::new(DEMO_TOKEN, DEMO_USER_ID, "demo")] }
}

/// Keys that fit in a secret of 64 KiB, approximately.
const KEYS_MAX: usize = 300;

#[derive(Clone, Copy)]
pub struct Volume {
    pub accounts: u32,
    /// Sessions of all accounts together; the n-th account has an n-th of the first one's.
    pub sessions: u64,
    /// Average per session.
    pub messages: u32,
}

pub struct Seeded {
    pub messages: u64,
    /// Keys of the first accounts, as many as fit in a secret.
    pub key_ring: Ring,
    /// Token and number of sessions of the largest account.
    pub largest: (String, u64),
}

/// Fills a migrated database in one transaction. Accounts, tokens and ids are the same in every run; times end now.
/// Fails if the accounts exist already.
pub async fn fill(client: &mut Client, volume: Volume) -> Result<Seeded> {
    ensure!(volume.accounts > 0, "at least one account is needed");
    let accounts = Account::all(volume);
    let transaction = client.transaction().await?;
    if transaction.query_opt("SELECT FROM users WHERE id = $1", &[&accounts[0].id]).await?.is_some() {
        bail!("the seeded accounts exist already: use an empty database");
    }
    let restore = silence_triggers(&transaction).await?;
    let bar = ProgressBar::new(volume.sessions * (1 + u64::from(volume.messages)));
    bar.set_style(ProgressStyle::with_template(
        "{msg:9} {wide_bar} {human_pos} of about {human_len} rows, {eta} left",
    )?);
    copy_accounts(&transaction, &accounts).await?;
    let messages = copy_sessions(&transaction, &accounts, volume, &bar).await?;
    bar.set_message("indexes");
    transaction.batch_execute(restore).await?;
    transaction.commit().await?;
    // Index-only scans need the visibility map, and plans need statistics.
    bar.set_message("vacuum");
    client.batch_execute("VACUUM (ANALYZE) users, chat_widgets, chat_sessions, chat_messages").await?;
    bar.finish_and_clear();

    let api_keys = accounts.iter().take(KEYS_MAX).map(Account::key).collect();
    Ok(Seeded { messages, key_ring: Ring { api_keys }, largest: (accounts[0].token(), accounts[0].sessions) })
}

/// Disables the triggers, which would set every `last_message_at` to now, and, where allowed, the checks of millions of
/// references. Returns the statement that undoes it.
async fn silence_triggers(transaction: &Transaction<'_>) -> Result<&'static str> {
    const ALL: &str = "SAVEPOINT silence; SET LOCAL session_replication_role = replica";
    const OWN: &str = "ROLLBACK TO SAVEPOINT silence; ALTER TABLE chat_messages DISABLE TRIGGER USER";
    if transaction.batch_execute(ALL).await.is_ok() {
        return Ok("SET LOCAL session_replication_role = origin");
    }
    let own = transaction.batch_execute(OWN).await;
    own.map_err(|error| anyhow!("{:#}: seed as the owner of the tables", explain(&error, OWN)))?;
    Ok("SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE chat_messages ENABLE TRIGGER USER")
}

async fn copy_accounts(transaction: &Transaction<'_>, accounts: &[Account]) -> Result<()> {
    let sink = transaction.copy_in("COPY users (id, email) FROM STDIN BINARY").await?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &[Type::UUID, Type::TEXT]));
    for account in accounts {
        rows.as_mut().write(&[&account.id, &account.email()]).await?;
    }
    rows.finish().await?;
    let sink = transaction.copy_in("COPY chat_widgets (id, user_id, name) FROM STDIN BINARY").await?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &[Type::UUID, Type::UUID, Type::TEXT]));
    for account in accounts {
        for (widget, name) in &account.widgets {
            rows.as_mut().write(&[widget, &account.id, name]).await?;
        }
    }
    rows.finish().await?;
    Ok(())
}

/// Copies the sessions, then generates them again for their messages, because a connection copies into one table at a
/// time. Returns the number of messages.
async fn copy_sessions(
    transaction: &Transaction<'_>,
    accounts: &[Account],
    volume: Volume,
    bar: &ProgressBar,
) -> Result<u64> {
    const SESSIONS: &str = "COPY chat_sessions (id, widget_id, user_id, visitor_id, visitor_name, visitor_email, page_url, \
                            status, last_message_at, created_at) FROM STDIN BINARY";
    const MESSAGES: &str = "COPY chat_messages (id, session_id, role, content, created_at) FROM STDIN BINARY";
    let (uuid, text, time) = (Type::UUID, Type::TEXT, Type::TIMESTAMPTZ);
    let now = SystemTime::now();
    let sessions =
        || accounts.iter().flat_map(|account| account.sessions(volume.messages, now).map(move |s| (account.id, s)));

    bar.set_message("sessions");
    let types = [&uuid, &uuid, &uuid, &text, &text, &text, &text, &text, &time, &time].map(Clone::clone);
    let mut rows = pin!(BinaryCopyInWriter::new(transaction.copy_in(SESSIONS).await?, &types));
    for (user, s) in sessions() {
        let page = format!("https://example.com{}", s.page);
        rows.as_mut()
            .write(&[
                &s.id,
                &s.widget,
                &user,
                &s.visitor,
                &s.name,
                &s.email,
                &page,
                &s.status,
                &s.last_message_at,
                &s.created_at,
            ])
            .await?;
        bar.inc(1);
    }
    rows.finish().await?;

    bar.set_message("messages");
    let types = [&uuid, &uuid, &text, &text, &time].map(Clone::clone);
    let mut rows = pin!(BinaryCopyInWriter::new(transaction.copy_in(MESSAGES).await?, &types));
    for (_, s) in sessions() {
        for m in &s.messages {
            rows.as_mut().write(&[&m.id, &s.id, &m.role, &m.content, &m.created_at]).await?;
        }
        bar.inc(s.messages.len() as u64);
    }
    Ok(rows.finish().await?)
}

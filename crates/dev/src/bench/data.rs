//! The databases that are read: loaded once and reused by later runs.

use std::fs;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use testkit::{
    Server,
    database::{self, explain},
    keys::hex,
    migrations, repository, role,
};
use tokio_postgres::Client;

/// The database as migrated, and the one with the materialized counts.
pub const PLAIN: &str = "bench";
pub const MATERIALIZED: &str = "bench_materialized";

pub const SMALL: u32 = 1;
pub const MIDDLE: u32 = 2;
pub const LARGE: u32 = 3;

/// Returns the id of an account's widget; widget 0 has two fifths of the sessions, widget 9 a thousandth.
pub fn widget(account: u32, number: u32) -> String {
    format!("aaaaaaaa-aaaa-4aaa-8{number:03}-{account:012x}")
}

const ROWS: &str = include_str!("../../bench/data.sql");

/// Numbers of sessions of the two larger accounts.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub middle: u32,
    pub large: u32,
}

impl Sizes {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a scale is at most 1")]
    pub fn scaled(scale: f64) -> Self {
        let size = |full: f64, least| ((full * scale) as u32).max(least);
        Self { middle: size(200_000.0, 2_000), large: size(1_000_000.0, 3_000) }
    }

    pub fn of(self, account: u32) -> u32 {
        match account {
            SMALL => 1_000,
            MIDDLE => self.middle,
            _ => self.large,
        }
    }
}

/// Loads the rows unless the database has them already; returns whether it loaded them.
pub async fn load(server: &Server, name: &str, sizes: Sizes) -> Result<bool> {
    let rows = ROWS.replace("MIDDLE", &sizes.middle.to_string()).replace("LARGE", &sizes.large.to_string());
    let mark = fingerprint(&[&rows, &texts("migrations")?]);
    let admin = database::connect(&server.url("postgres")).await?;
    if is_marked(&admin, name, &mark).await? {
        return Ok(false);
    }
    admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} (FORCE)")).await?;
    admin.batch_execute(&format!("CREATE DATABASE {name}")).await?;
    let mut client = database::connect(&server.url(name)).await?;
    migrations::apply(&mut client).await?;
    let indexes = take_indexes(&client).await?;
    let sql = format!("SET session_replication_role = replica; {rows}; RESET session_replication_role; {indexes}");
    client.batch_execute(&sql).await.map_err(|error| explain(&error, &sql)).context("crates/dev/bench/data.sql")?;
    settle(&client).await?;
    mark_as(&admin, name, &mark).await?;
    Ok(true)
}

/// Copies the database and installs the materialized counts in the copy.
pub async fn load_materialized(server: &Server, plain: &str, name: &str, sizes: Sizes) -> Result<bool> {
    let shape = format!("{} {}", sizes.middle, sizes.large);
    let mark = fingerprint(&[ROWS, &shape, &texts("migrations")?, &texts("migrations/materialized_counts")?]);
    let admin = database::connect(&server.url("postgres")).await?;
    if is_marked(&admin, name, &mark).await? {
        return Ok(false);
    }
    admin.batch_execute(&format!("DROP DATABASE IF EXISTS {name} (FORCE)")).await?;
    admin.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {plain} STRATEGY file_copy")).await?;
    let client = database::connect(&server.url(name)).await?;
    for file in migrations::MATERIALIZED_COUNTS {
        migrations::run_materialized_counts(&client, file).await?;
    }
    settle(&client).await?;
    mark_as(&admin, name, &mark).await?;
    Ok(true)
}

/// Creates the role of docs/role.sql with this password and grants it this database.
pub async fn grant(server: &Server, name: &str, password: &str) -> Result<()> {
    role::create(&database::connect(&server.url(name)).await?, password).await
}

/// Drops the indexes, which would slow down the load; returns the statements that create them again.
async fn take_indexes(client: &Client) -> Result<String> {
    let sql = "SELECT indexdef, indexname FROM pg_indexes WHERE tablename IN ('chat_sessions', 'chat_messages')
               AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)";
    let mut statements = String::new();
    for row in client.query_typed(sql, &[]).await? {
        statements.push_str(row.get::<_, &str>(0));
        statements.push(';');
        client.batch_execute(&format!("DROP INDEX {}", row.get::<_, &str>(1))).await?;
    }
    Ok(statements)
}

/// Brings the database to rest: counts become index-only scans, and plans use statistics.
async fn settle(client: &Client) -> Result<()> {
    client.batch_execute("VACUUM (ANALYZE)").await?;
    Ok(client.batch_execute("CHECKPOINT").await?)
}

fn texts(folder: &str) -> Result<String> {
    let folder = repository().join(folder);
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            texts.push(fs::read_to_string(path)?);
        }
    }
    texts.sort();
    Ok(texts.concat())
}

fn fingerprint(texts: &[&str]) -> String {
    hex(&Sha256::digest(texts.concat()))
}

/// Compares the mark with the database's comment, which `CREATE DATABASE … TEMPLATE` does not copy.
async fn is_marked(admin: &Client, name: &str, mark: &str) -> Result<bool> {
    let sql = format!("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = '{name}'");
    let rows = admin.query_typed(&sql, &[]).await?;
    Ok(rows.first().and_then(|row| row.get::<_, Option<&str>>(0)) == Some(mark))
}

async fn mark_as(admin: &Client, name: &str, mark: &str) -> Result<()> {
    Ok(admin.batch_execute(&format!("COMMENT ON DATABASE {name} IS '{mark}'")).await?)
}

//! The roles of the function and of `sync-keys`: runs docs/role.sql and docs/sync-keys-role.sql without psql.

use anyhow::{Context, Result};
use tokio_postgres::Client;

use crate::{database::explain, migrations::statements};

const SCRIPT: &str = include_str!("../../../docs/role.sql");
const SYNC_KEYS_SCRIPT: &str = include_str!("../../../docs/sync-keys-role.sql");

pub const NAME: &str = "list_chat_sessions";
pub const SYNC_KEYS: &str = "sync_keys";

/// The role's password, unless a test gives it another.
pub const PASSWORD: &str = "the-role's password";

/// Below the limit of the test servers, and enough for all tests concurrently.
const CONNECTION_LIMIT: &str = "150";

/// Creates the function's role, or changes its password, and grants it the client's database.
pub async fn create(admin: &Client, password: &str) -> Result<()> {
    run_script(admin, SCRIPT, NAME, password).await.context("docs/role.sql")
}

/// Creates the role of `sync-keys` with [`PASSWORD`], and grants it the client's database. One test at a time: PostgreSQL
/// rejects concurrent changes of a role.
pub async fn create_sync_keys(admin: &Client) -> Result<()> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = TURN.lock().await;
    run_script(admin, SYNC_KEYS_SCRIPT, SYNC_KEYS, PASSWORD).await.context("docs/sync-keys-role.sql")
}

async fn run_script(admin: &Client, script: &str, role: &str, password: &str) -> Result<()> {
    crate::secrecy::keep(password);
    let literal = format!("'{}'", password.replace('\'', "''"));
    let lines = script.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n");
    let sql = lines
        .replace(":'password'", &literal)
        .replace(":connection_limit", CONNECTION_LIMIT)
        .replace(":\"role\"", role)
        .replace(":'role'", &format!("'{role}'"))
        .replace(":\"schema\"", "public");
    for statement in statements(&sql) {
        // As in psql, `\gexec` ends a query and executes each value that it returns.
        let mut parts = statement.split("\\gexec").collect::<Vec<_>>();
        let last = parts.pop().unwrap_or_default();
        for query in parts {
            for row in admin.query_typed(query, &[]).await.map_err(|error| explain(&error, query))? {
                run(admin, row.get(0)).await?;
            }
        }
        run(admin, last).await?;
    }
    Ok(())
}

async fn run(admin: &Client, sql: &str) -> Result<()> {
    admin.batch_execute(sql).await.map_err(|error| explain(&error, sql))
}

/// Returns the URL of a database on this machine, for the function's role with its usual password.
pub fn url(port: u16, database: &str) -> String {
    url_of(NAME, port, database)
}

/// Returns the URL of a database on this machine, for a role with the usual password.
pub fn url_of(role: &str, port: u16, database: &str) -> String {
    let password = PASSWORD.replace('\'', "%27").replace(' ', "%20");
    format!("postgres://{role}:{password}@127.0.0.1:{port}/{database}")
}

/// Changes a setting for new connections of the role.
pub async fn set(admin: &Client, setting: &str) {
    let database: String = admin.query_typed_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
    admin.batch_execute(&format!("ALTER ROLE {NAME} IN DATABASE {database} SET {setting}")).await.unwrap();
}

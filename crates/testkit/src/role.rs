//! The function's role: runs docs/role.sql without psql.

use anyhow::{Context, Result};
use tokio_postgres::Client;

use crate::{database::explain, migrations::statements};

const SCRIPT: &str = include_str!("../../../docs/role.sql");

pub const NAME: &str = "list_chat_sessions";

/// The role's password, unless a test gives it another.
pub const PASSWORD: &str = "the-role's password";

/// Below the limit of the test servers, and enough for all tests concurrently.
const CONNECTION_LIMIT: &str = "150";

/// Creates the role, or changes its password, and grants it the client's database.
pub async fn create(admin: &Client, password: &str) -> Result<()> {
    crate::secrecy::keep(password);
    let literal = format!("'{}'", password.replace('\'', "''"));
    let lines = SCRIPT.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n");
    let sql = lines
        .replace(":'password'", &literal)
        .replace(":connection_limit", CONNECTION_LIMIT)
        .replace(":\"role\"", NAME)
        .replace(":'role'", &format!("'{NAME}'"))
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
    admin.batch_execute(sql).await.map_err(|error| explain(&error, sql)).context("docs/role.sql")
}

/// Returns the URL of a database on this machine, for the role with its usual password.
pub fn url(port: u16, database: &str) -> String {
    let password = PASSWORD.replace('\'', "%27").replace(' ', "%20");
    format!("postgres://{NAME}:{password}@127.0.0.1:{port}/{database}")
}

/// Changes a setting for new connections of the role.
pub async fn set(admin: &Client, setting: &str) {
    let database: String = admin.query_typed_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
    admin.batch_execute(&format!("ALTER ROLE {NAME} IN DATABASE {database} SET {setting}")).await.unwrap();
}

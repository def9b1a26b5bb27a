//! A database like the product's, with row level security, migrated, and with what docs/role.sql makes.

use anyhow::Result;
use tokio_postgres::Client;

use crate::{
    Database, Server, database,
    migrations::{self, MATERIALIZED_COUNTS, run_materialized_counts},
    role,
};

const SCHEMA: &str = include_str!("product_database.sql");
/// It stands where the text above names it, so that default privileges come before the tables, and policies after them.
const TABLES: &str = include_str!("../../../migrations/0001_tables.sql");

/// Makes one. Other roles and policies come and go with a test, so the server should be the test's own.
pub async fn create(server: &Server) -> Result<Database> {
    let database = Database::create_empty(server).await?;
    let mut admin = database.client().await?;
    database::load(&mut admin, &SCHEMA.replace("-- migrations/0001_tables.sql", TABLES)).await?;
    migrations::apply(&mut admin).await?;
    role::create(&admin, role::PASSWORD).await?;
    Ok(database)
}

/// Installs the counts as docs/materialized-counts.md says, docs/role.sql at the end.
pub async fn install_counts(admin: &Client) -> Result<()> {
    for file in MATERIALIZED_COUNTS {
        run_materialized_counts(admin, file).await?;
    }
    role::create(admin, role::PASSWORD).await
}

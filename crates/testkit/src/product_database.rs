//! A database like the product's: with row level security, migrated, and with the role of docs/role.sql.

use anyhow::Result;
use tokio_postgres::Client;

use crate::{
    Database, Server, database,
    migrations::{self, MATERIALIZED_COUNTS, run_materialized_counts},
    role,
};

const SCHEMA: &str = include_str!("product_database.sql");
/// Inserted into the schema after its default privileges and before its policies.
const TABLES: &str = include_str!("../../../migrations/0001_tables.sql");

/// Creates one. Tests add roles and policies, so they should use their own server.
pub async fn create(server: &Server) -> Result<Database> {
    let database = Database::create_empty(server).await?;
    let mut admin = database.client().await?;
    create_tables(&mut admin).await?;
    migrations::apply(&mut admin).await?;
    role::create(&admin, role::PASSWORD).await?;
    Ok(database)
}

/// Creates the tables, roles and policies that the product has before the move.
pub async fn create_tables(admin: &mut Client) -> Result<()> {
    database::load(admin, &SCHEMA.replace("-- migrations/0001_tables.sql", TABLES)).await
}

/// Installs the materialized counts as docs/materialized-counts.md describes, with docs/role.sql last.
pub async fn install_counts(admin: &Client) -> Result<()> {
    for file in MATERIALIZED_COUNTS {
        run_materialized_counts(admin, file).await?;
    }
    role::create(admin, role::PASSWORD).await
}

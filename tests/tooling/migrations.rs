//! The migrations and their runner.

use testkit::{
    Database, Server,
    migrations::{self, schema},
};

#[tokio::test]
async fn migrations_change_nothing_the_second_time() -> anyhow::Result<()> {
    let database = Database::create(Server::shared()).await?;
    let mut client = database.client().await?;
    let before = schema(&client).await?;
    assert_eq!(migrations::apply(&mut client).await?, Vec::<String>::new());
    client.batch_execute("DELETE FROM schema_migrations").await?;
    assert_eq!(migrations::apply(&mut client).await?, ["0001_tables.sql", "0002_indexes.sql"]);
    assert_eq!(schema(&client).await?, before);
    assert!(before.iter().any(|line| line.contains("INDEX chat_messages_session_last")));
    assert!(!before.iter().any(|line| line.contains("idx_chat_sessions_user_id")));
    Ok(())
}

#[tokio::test]
async fn an_index_whose_build_was_interrupted_is_named() -> anyhow::Result<()> {
    let database = Database::create(Server::shared()).await?;
    let mut client = database.client().await?;
    let interrupt = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'chat_sessions_user_last'::regclass";
    client.batch_execute(interrupt).await?;
    client.batch_execute("DELETE FROM schema_migrations").await?;
    let error = migrations::apply(&mut client).await.err().map(|error| format!("{error:#}")).unwrap_or_default();
    assert!(error.contains("0002_indexes.sql"), "{error}");
    assert!(error.contains("DROP INDEX CONCURRENTLY chat_sessions_user_last;"), "{error}");
    Ok(())
}

#[tokio::test]
async fn two_concurrent_runners_apply_each_migration_once() -> anyhow::Result<()> {
    let database = Database::create(Server::shared()).await?;
    database.load("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await?;
    let (mut one, mut other) = (database.client().await?, database.client().await?);
    let (one, other) = tokio::try_join!(migrations::apply(&mut one), migrations::apply(&mut other))?;
    assert_eq!(one.len() + other.len(), 2);
    Ok(())
}

#[test]
fn statements_end_at_semicolons_outside_of_quotes() {
    let sql = "-- no; comment\nSELECT ';', \"a;b\" /* ; */;\nDO $x$ BEGIN; END $x$;\nSELECT $1;\n-- the end;\n";
    let statements = migrations::statements(sql);
    assert_eq!(statements, ["-- no; comment\nSELECT ';', \"a;b\" /* ; */;", "DO $x$ BEGIN; END $x$;", "SELECT $1;"]);
}

//! What the set changes in a database, what it refuses to be installed on, and that it leaves nothing behind.

use crate::{
    support::{
        database::Database,
        migrations::{KEPT, apply_kept, run_kept},
        postgres::Server,
    },
    tooling::migrations::schema,
};

#[tokio::test]
async fn the_way_back_leaves_the_schema_of_before() {
    let database = Database::create(Server::shared()).await.unwrap();
    let client = database.client().await.unwrap();
    let before = schema(&client).await.unwrap();
    apply_kept(&client).await.unwrap();
    let with = schema(&client).await.unwrap();
    apply_kept(&client).await.unwrap();
    assert_eq!(schema(&client).await.unwrap(), with, "each file may run again");
    assert!(with.iter().any(|line| line.contains("message_count")));
    for _ in 0..2 {
        run_kept(&client, "drop.sql").await.unwrap();
        assert_eq!(schema(&client).await.unwrap(), before);
    }
}

#[tokio::test]
async fn it_is_nobodys_but_its_owners_and_the_functions() {
    let database = Database::create(Server::shared()).await.unwrap();
    let client = database.client().await.unwrap();
    client.batch_execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC, list_chat_sessions").await.unwrap();
    let granted = "SELECT relname::text FROM pg_class, aclexplode(relacl) a
                   WHERE relname LIKE 'chat_session_count%' AND a.grantee <> relowner";
    run_kept(&client, KEPT[1]).await.unwrap();
    assert!(client.query_typed(granted, &[]).await.unwrap().is_empty());
    apply_kept(&client).await.unwrap();
    run_kept(&client, KEPT[1]).await.unwrap();
    assert_eq!(client.query_typed(granted, &[]).await.unwrap().len(), 2, "what was granted since stays");
}

#[tokio::test]
async fn it_is_refused_where_it_could_not_keep_its_word() {
    for (sql, words) in [
        ("ALTER TABLE chat_messages DROP CONSTRAINT chat_messages_session_id_fkey", "must have a valid reference"),
        (
            "ALTER TABLE chat_messages ALTER CONSTRAINT chat_messages_session_id_fkey DEFERRABLE",
            "must have a valid reference",
        ),
        (
            "INSTALLED ALTER TABLE chat_messages DISABLE TRIGGER kept_messages_deleted",
            "a trigger of the set is missing",
        ),
        ("INSTALLED DROP TRIGGER kept_sessions_deleted ON chat_sessions", "a trigger of the set is missing"),
    ] {
        let database = Database::create(Server::shared()).await.unwrap();
        let client = database.client().await.unwrap();
        if sql.starts_with("INSTALLED") {
            apply_kept(&client).await.unwrap();
        }
        client.batch_execute(sql.trim_start_matches("INSTALLED")).await.unwrap();
        let error = apply_kept(&client).await.unwrap_err();
        assert!(format!("{error:#}").contains(words), "{sql}: {error:#}");
    }
}

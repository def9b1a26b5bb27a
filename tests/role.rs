//! What the role of docs/role.sql may do, and that it may do nothing else. Every other test connects the function as it.

use std::process::{Command, Stdio};

use serde_json::json;
use tokio_postgres::{Client, error::SqlState};

use crate::{
    app::TestApp,
    support::{
        database::{self, Database},
        postgres::Server,
        role,
    },
};

/// As the role, to a database of its own.
async fn connect() -> (Client, Database) {
    let database = Database::create(Server::shared()).await.unwrap();
    (database::connect(database.url()).await.unwrap(), database)
}

async fn texts(client: &Client, sql: &str) -> Vec<String> {
    client.query_typed(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn refusal(client: &Client, sql: &str) -> SqlState {
    client.simple_query(sql).await.unwrap_err().code().unwrap().clone()
}

#[tokio::test]
async fn it_reads_three_tables_and_owns_none() {
    let (role, database) = connect().await;
    let admin = database.client().await.unwrap();
    let granted = "SELECT c.relname || ' ' || p FROM pg_class c,
          unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
        WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND c.relnamespace = 'public'::regnamespace
          AND has_table_privilege('list_chat_sessions', c.oid, p) ORDER BY 1";
    let expected = ["chat_messages SELECT", "chat_sessions SELECT", "chat_widgets SELECT"];
    assert_eq!(texts(&admin, granted).await, expected);
    assert_eq!(refusal(&role, "SELECT * FROM users").await, SqlState::INSUFFICIENT_PRIVILEGE);
    let is_more = "SELECT rolname::text FROM pg_roles WHERE rolname = 'list_chat_sessions'
        AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)
        UNION ALL SELECT 'a member of ' || roleid::regrole FROM pg_auth_members WHERE member = 'list_chat_sessions'::regrole";
    assert_eq!(texts(&admin, is_more).await, [""; 0]);
}

#[tokio::test]
async fn it_can_write_nothing_even_when_it_asks_for_leave_to() {
    let (role, _database) = connect().await;
    let insert = "INSERT INTO chat_widgets DEFAULT VALUES";
    assert_eq!(refusal(&role, insert).await, SqlState::READ_ONLY_SQL_TRANSACTION);
    role.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    for sql in [
        insert,
        "UPDATE chat_sessions SET status = 'closed'",
        "DELETE FROM chat_messages",
        "TRUNCATE chat_messages",
        "CREATE TABLE public.mine ()",
        "ALTER TABLE chat_sessions ADD mine int",
        "CREATE ROLE mine",
        "COPY chat_messages TO PROGRAM 'true'",
    ] {
        assert_eq!(refusal(&role, sql).await, SqlState::INSUFFICIENT_PRIVILEGE, "{sql}");
    }
}

#[tokio::test]
async fn its_sessions_have_their_limits() {
    let (role, _database) = connect().await;
    for (setting, value) in [
        ("statement_timeout", "4500ms"),
        ("lock_timeout", "2s"),
        ("default_transaction_read_only", "on"),
        ("jit", "off"),
        ("idle_session_timeout", "15min"),
    ] {
        assert_eq!(texts(&role, &format!("SHOW {setting}")).await, [value], "{setting}");
    }
    let limit = texts(&role, "SELECT rolconnlimit::text FROM pg_roles WHERE rolname = current_user").await;
    assert_eq!(limit, ["150"]);
}

#[tokio::test]
#[ignore = "needs psql, PostgreSQL's own client: cargo test --test main -- --ignored psql"]
async fn psql_makes_the_role_from_the_same_file() {
    let server = Server::start().unwrap();
    let test = TestApp::start_with(&server, |_| {}).await;
    let psql = |password: &str| {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/role.sql");
        let status = Command::new("psql")
            .args(["--no-psqlrc", "-v", "ON_ERROR_STOP=1", "-v", "connection_limit=7", "-f", file])
            .arg(test.database.admin_url())
            .env("PASSWORD", password)
            .stdout(Stdio::null())
            .status();
        assert!(status.expect("psql must be on the path").success());
    };
    let count = "SELECT rolconnlimit::text FROM pg_roles WHERE rolname = 'list_chat_sessions'";
    psql("another 'password'");
    assert_eq!(texts(&test.database.client().await.unwrap(), count).await, ["7"]);
    assert!(database::connect(test.database.url()).await.is_err(), "the password is another now");
    psql(role::PASSWORD);
    assert_eq!(test.list(json!({})).await.outcome(), (200, "ok".into()));
    assert!(database::connect(test.database.url()).await.is_ok());
}

//! The privileges of the role of docs/role.sql, which the function has in every other test.

use std::process::Command;

use serde_json::json;
use testkit::{Database, Server, TestApp, database, product_database, role};
use tokio_postgres::{Client, error::SqlState};

/// Connects to a new database as the role.
async fn connect() -> (Client, Database) {
    let database = Database::create(Server::shared()).await.unwrap();
    (database::connect(database.url()).await.unwrap(), database)
}

async fn texts(client: &Client, sql: &str) -> Vec<String> {
    client.query_typed(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn error_code(client: &Client, sql: &str) -> SqlState {
    client.simple_query(sql).await.unwrap_err().code().unwrap().clone()
}

#[tokio::test]
async fn the_role_reads_three_tables_and_owns_nothing() {
    let (role, database) = connect().await;
    let admin = database.client().await.unwrap();
    let granted = "SELECT c.relname || ' ' || p FROM pg_class c,
          unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) p
        WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f') AND c.relnamespace = 'public'::regnamespace
          AND has_table_privilege('list_chat_sessions', c.oid, p) ORDER BY 1";
    let expected = ["chat_messages SELECT", "chat_sessions SELECT", "chat_widgets SELECT"];
    assert_eq!(texts(&admin, granted).await, expected);
    assert_eq!(error_code(&role, "SELECT * FROM users").await, SqlState::INSUFFICIENT_PRIVILEGE);
    let is_more = "SELECT rolname::text FROM pg_roles WHERE rolname = 'list_chat_sessions'
        AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)
        UNION ALL SELECT 'a member of ' || roleid::regrole FROM pg_auth_members WHERE member = 'list_chat_sessions'::regrole";
    assert_eq!(texts(&admin, is_more).await, [""; 0]);
}

#[tokio::test]
async fn the_role_cannot_write_to_any_table() {
    let (role, _database) = connect().await;
    for sql in [
        "INSERT INTO chat_widgets DEFAULT VALUES",
        "UPDATE chat_sessions SET status = 'closed'",
        "DELETE FROM chat_messages",
        "TRUNCATE chat_messages",
        "CREATE TABLE public.mine ()",
        "ALTER TABLE chat_sessions ADD mine int",
        "CREATE ROLE mine",
        "COPY chat_messages TO PROGRAM 'true'",
    ] {
        assert_eq!(error_code(&role, sql).await, SqlState::INSUFFICIENT_PRIVILEGE, "{sql}");
    }
}

/// A single-user rotation does this.
#[tokio::test]
async fn the_role_can_change_its_password() {
    let (role, _database) = connect().await;
    role.batch_execute(&format!("ALTER USER {} WITH PASSWORD '{}'", role::NAME, role::PASSWORD.replace('\'', "''")))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_temporary_table_of_the_role_does_not_replace_a_table() {
    let (role, _database) = connect().await;
    role.batch_execute("CREATE TEMPORARY TABLE chat_sessions ()").await.unwrap();
    assert_eq!(texts(&role, "SELECT 'chat_sessions'::regclass::oid::regclass::text").await, ["chat_sessions"]);
    assert_eq!(
        texts(
            &role,
            "SELECT relnamespace::regnamespace::text FROM pg_class
                             WHERE oid = 'chat_sessions'::regclass"
        )
        .await,
        ["public"]
    );
}

/// The statements in the comment of docs/role.sql, which the database's owner may run.
#[tokio::test]
async fn the_files_optional_statements_revoke_what_every_role_may_do() {
    let (role, database) = connect().await;
    let admin = database.client().await.unwrap();
    // As in a database that was upgraded from PostgreSQL 14.
    admin.batch_execute("GRANT CREATE ON SCHEMA public TO PUBLIC").await.unwrap();
    let possible = [
        "CREATE TEMPORARY TABLE mine ()",
        "CREATE TABLE mine ()",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, '')",
    ];
    for sql in possible {
        role.batch_execute(&format!("BEGIN; {sql}; ROLLBACK")).await.unwrap();
    }
    let offered: Vec<_> =
        include_str!("../../docs/role.sql").lines().filter_map(|line| line.strip_prefix("--   REVOKE ")).collect();
    assert_eq!(offered.len(), 3);
    let name = database.url().rsplit_once('/').unwrap().1;
    for statement in offered {
        admin.batch_execute(&format!("REVOKE {}", statement.replace(" app ", &format!(" {name} ")))).await.unwrap();
    }
    for sql in possible {
        assert_eq!(error_code(&role, sql).await, SqlState::INSUFFICIENT_PRIVILEGE, "{sql}");
    }
}

#[tokio::test]
async fn the_roles_sessions_have_limits() {
    let (role, _database) = connect().await;
    for (setting, value) in [
        ("statement_timeout", "4500ms"),
        ("lock_timeout", "2s"),
        ("default_transaction_read_only", "off"),
        ("search_path", "public, pg_temp"),
        ("jit", "off"),
        ("idle_session_timeout", "15min"),
    ] {
        assert_eq!(texts(&role, &format!("SHOW {setting}")).await, [value], "{setting}");
    }
    let limit = texts(&role, "SELECT rolconnlimit::text FROM pg_roles WHERE rolname = current_user").await;
    assert_eq!(limit, ["150"]);
}

/// Runs docs/role.sql through psql and returns its warnings.
fn psql(url: &str, password: &str, variables: &[&str]) -> String {
    psql_file("docs/role.sql", url, password, &[variables, &["connection_limit=7"]].concat())
}

fn psql_file(file: &str, url: &str, password: &str, variables: &[&str]) -> String {
    let output = Command::new("psql")
        .args(["--no-psqlrc", "-q", "-v", "ON_ERROR_STOP=1", "-f", file])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(variables.iter().flat_map(|variable| ["-v", variable]))
        .arg(url)
        .env("PASSWORD", password)
        .output()
        .expect("psql must be on the path");
    let warnings = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{warnings}");
    warnings
}

#[tokio::test]
#[ignore = "needs psql, PostgreSQL's own client: cargo test --test main -- --ignored psql"]
async fn psql_creates_the_role_from_the_same_file() {
    let server = Server::start().unwrap();
    let test = TestApp::start_with(&server, |_| {}).await;
    let admin = test.database.client().await.unwrap();
    // As after an earlier version of the file.
    admin.batch_execute("ALTER ROLE list_chat_sessions SET default_transaction_read_only = on").await.unwrap();
    assert_eq!(psql(test.database.admin_url(), "another 'password'", &[]), "");
    let count = "SELECT rolconnlimit::text FROM pg_roles WHERE rolname = 'list_chat_sessions'";
    assert_eq!(texts(&admin, count).await, ["7"]);
    assert!(database::connect(test.database.url()).await.is_err(), "the password has changed");
    psql(test.database.admin_url(), role::PASSWORD, &[]);
    assert_eq!(test.list(json!({})).await.outcome(), (200, "ok".into()));
    let role = database::connect(test.database.url()).await.unwrap();
    assert_eq!(texts(&role, "SHOW default_transaction_read_only").await, ["off"]);
}

#[tokio::test]
#[ignore = "needs psql, PostgreSQL's own client: cargo test --test main -- --ignored psql"]
async fn psql_creates_the_role_of_sync_keys_of_any_name_repeatedly() {
    let server = Server::start().unwrap();
    let database = product_database::create(&server).await.unwrap();
    let admin = database.client().await.unwrap();
    for (name, variables) in [("sync_keys", vec![]), ("A \"reader's\" role", vec!["role=A \"reader's\" role"])] {
        for _ in 0..2 {
            let warnings = psql_file("docs/sync-keys-role.sql", database.admin_url(), role::PASSWORD, &variables);
            assert_eq!(warnings, "", "{name}");
        }
        let mut config: tokio_postgres::Config = database.admin_url().parse().unwrap();
        let (role, connection) =
            config.user(name).password(role::PASSWORD).connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        role.batch_execute("SELECT key_hash, user_id, name, is_active FROM api_keys").await.unwrap();
        assert_eq!(error_code(&role, "SELECT last_used_at FROM api_keys").await, SqlState::INSUFFICIENT_PRIVILEGE);
        admin.batch_execute("ALTER TABLE api_keys ADD IF NOT EXISTS expires_at timestamptz").await.unwrap();
        psql_file("docs/sync-keys-role.sql", database.admin_url(), role::PASSWORD, &variables);
        role.batch_execute("SELECT expires_at FROM api_keys").await.unwrap();
    }
    admin.batch_execute("DROP OWNED BY sync_keys; DROP ROLE sync_keys").await.unwrap();
}

#[tokio::test]
async fn policies_are_created_only_where_row_level_security_is_on_and_no_policy_names_the_role() {
    let database = Database::create(Server::shared()).await.unwrap();
    let admin = database.client().await.unwrap();
    let policies = "SELECT polname || ' on ' || polrelid::regclass FROM pg_policy ORDER BY 1";
    assert_eq!(texts(&admin, policies).await, [""; 0]);
    admin
        .batch_execute(
            "ALTER TABLE chat_sessions ENABLE ROW LEVEL SECURITY;
             ALTER TABLE chat_messages ENABLE ROW LEVEL SECURITY;
             CREATE POLICY mine ON chat_messages TO list_chat_sessions USING (role <> 'system')",
        )
        .await
        .unwrap();
    for _ in 0..2 {
        role::create(&admin, role::PASSWORD).await.unwrap();
        assert_eq!(texts(&admin, policies).await, ["list_chat_sessions on chat_sessions", "mine on chat_messages"]);
    }
}

#[tokio::test]
#[ignore = "needs psql, PostgreSQL's own client: cargo test --test main -- --ignored psql"]
async fn psql_creates_a_role_of_any_name_for_any_schema_repeatedly() {
    let server = Server::start().unwrap();
    let database = product_database::create(&server).await.unwrap();
    let admin = database.client().await.unwrap();
    admin.batch_execute("DROP OWNED BY list_chat_sessions; DROP ROLE list_chat_sessions").await.unwrap();
    let policies = "SELECT polrelid::regclass::text FROM pg_policy WHERE polname = polroles[1]::regrole::text
                    OR quote_ident(polname) = polroles[1]::regrole::text ORDER BY 1";
    for (schema, quoted) in [("public", "public"), ("The \"product\"'s", "\"The \"\"product\"\"'s\"")] {
        if schema != "public" {
            admin.batch_execute(&format!("ALTER SCHEMA public RENAME TO {quoted}")).await.unwrap();
        }
        for (name, quoted_name) in
            [("chat_reader", "chat_reader"), ("A \"reader's\" role", "\"A \"\"reader's\"\" role\"")]
        {
            for _ in 0..2 {
                psql(database.admin_url(), role::PASSWORD, &[&format!("role={name}"), &format!("schema={schema}")]);
            }
            let mut config: tokio_postgres::Config = database.admin_url().parse().unwrap();
            let (role, connection) =
                config.user(name).password(role::PASSWORD).connect(tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            role.batch_execute("SELECT FROM chat_sessions, chat_messages, chat_widgets").await.unwrap();
            assert_eq!(error_code(&role, "SELECT FROM users").await, SqlState::INSUFFICIENT_PRIVILEGE);
            assert_eq!(texts(&role, "SHOW search_path").await, [format!("{quoted}, pg_temp")]);
            admin.batch_execute(&format!("SET search_path = {quoted}")).await.unwrap();
            let three = ["chat_messages", "chat_sessions", "chat_widgets"];
            assert_eq!(texts(&admin, policies).await, three, "{name}");
            drop(role);
            // As docs/deploy.md removes it.
            admin.batch_execute(&format!("DROP OWNED BY {quoted_name}; DROP ROLE {quoted_name}")).await.unwrap();
            assert_eq!(texts(&admin, policies).await, [""; 0], "{name}");
        }
    }
}

#[tokio::test]
#[ignore = "needs psql, PostgreSQL's own client: cargo test --test main -- --ignored psql"]
async fn psql_warns_about_a_policy_that_hides_rows_from_every_role() {
    let server = Server::start().unwrap();
    let database = product_database::create(&server).await.unwrap();
    let admin = database.client().await.unwrap();
    admin.batch_execute("CREATE POLICY adults ON chat_sessions AS RESTRICTIVE USING (false)").await.unwrap();
    let warnings = psql(database.admin_url(), role::PASSWORD, &[]);
    assert!(warnings.contains("ALTER POLICY adults ON chat_sessions TO the roles"), "{warnings}");
}

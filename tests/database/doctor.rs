//! docs/doctor.sql reports each thing that is wrong with a database, and the SQL that it prints repairs it.

use std::process::Command;

use testkit::{
    Database, Server, ServerOptions, TOKEN,
    database::connect,
    environment::{lines, secrets_with, start},
    migrations::{self, MATERIALIZED_COUNTS, apply_materialized_counts, run_materialized_counts, statements},
    product_database, request, ring, role,
};
use tokio_postgres::{Client, SimpleQueryMessage, error::SqlState};

const DOCTOR: &str = include_str!("../../docs/doctor.sql");
const SET: &str = "-- psql -v ON_ERROR_STOP=1 -f migrations/materialized_counts/";

/// Two accounts with sessions and messages.
const ROWS: &str = "
    INSERT INTO users SELECT md5('account ' || a)::uuid FROM generate_series(1, 2) a;
    INSERT INTO chat_widgets SELECT md5(id::text)::uuid, id FROM users;
    INSERT INTO chat_sessions (user_id, widget_id, visitor_id, created_at)
      SELECT user_id, id, 'v', timestamptz '2026-01-01Z' + n * interval '5 days' FROM chat_widgets, generate_series(1, 40) n;
    INSERT INTO chat_messages (session_id, role, content) SELECT id, 'agent', 'hello' FROM chat_sessions, generate_series(1, 3);";

#[derive(Debug, PartialEq, Eq)]
struct Finding {
    name: String,
    level: String,
    wrong: String,
    fix: String,
}

/// Runs the file as a SQL editor does, in one query.
async fn examine_with(client: &Client, doctor: &str) -> Vec<Finding> {
    let messages = client.simple_query(doctor).await.unwrap_or_else(|error| panic!("{error:?}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let text = |value: Option<&str>| value.expect("no column is NULL").to_owned();
    rows.map(|row| Finding {
        name: text(row.get("name")),
        level: text(row.get("level")),
        wrong: text(row.get("what_is_wrong")),
        fix: text(row.get("what_to_run")),
    })
    .collect()
}

async fn examine(client: &Client) -> Vec<Finding> {
    examine_with(client, DOCTOR).await
}

async fn execute(client: &Client, sql: &str) {
    for statement in statements(sql) {
        client.batch_execute(statement).await.unwrap_or_else(|error| panic!("{error:?}: {statement}"));
    }
}

/// Runs the SQL that a finding prints, and the files that it names.
async fn repair(client: &Client, finding: &Finding) {
    for line in finding.fix.lines() {
        if let Some(file) = line.strip_prefix(SET) {
            run_materialized_counts(client, file).await.unwrap();
        } else if line.starts_with("-- And docs/role.sql") {
            role::create(client, role::PASSWORD).await.unwrap();
        }
    }
    execute(client, &finding.fix).await;
}

#[track_caller]
fn assert_healthy(findings: &[Finding], case: &str) {
    let names: Vec<_> = findings.iter().map(|finding| (&*finding.name, &*finding.level)).collect();
    assert_eq!(names, [("nothing found", "info")], "{case}: {findings:#?}");
}

/// Breaks a healthy database in each of the ways, expects one finding with this level and these words, and repairs it.
async fn assert_each_is_found_and_repaired(client: &Client, cases: &[(&str, &str, &str)]) {
    let name: String = client.query_typed_one("SELECT current_database()::text", &[]).await.unwrap().get(0);
    assert_healthy(&examine(client).await, "before");
    for (sql, level, words) in cases {
        execute(client, &sql.replace("THIS_DATABASE", &name)).await;
        let findings = examine(client).await;
        assert!(
            findings.len() == 1 && findings[0].level == *level && findings[0].wrong.contains(words),
            "{sql}: {findings:#?}"
        );
        repair(client, &findings[0]).await;
        assert_healthy(&examine(client).await, sql);
    }
}

/// Servers of their own, because roles belong to a server. Autovacuum does not repair what a test breaks.
fn server() -> Server {
    let settings = vec!["autovacuum_naptime=1h".into()];
    Server::start_with(ServerOptions { settings, ..ServerOptions::default() }).unwrap()
}

async fn plain(server: &Server) -> Client {
    let database = Database::create(server).await.unwrap();
    database.load(ROWS).await.unwrap();
    database.client().await.unwrap()
}

async fn with_counts(server: &Server) -> Client {
    let client = plain(server).await;
    apply_materialized_counts(&client).await.unwrap();
    client
}

/// A database like the product's, whose publication does not send the counts.
async fn product_with_counts(server: &Server) -> Client {
    let database = product_database::create(server).await.unwrap();
    database.load(ROWS).await.unwrap();
    let client = database.client().await.unwrap();
    product_database::install_counts(&client).await.unwrap();
    let findings = examine(&client).await;
    assert!(findings.len() == 1 && findings[0].name == "publication", "{findings:#?}");
    repair(&client, &findings[0]).await;
    client
}

#[tokio::test]
async fn a_healthy_database_has_no_finding() {
    let server = server();
    assert_healthy(&examine(&plain(&server).await).await, "plain");
    let counts = examine(&with_counts(&server).await).await;
    assert_healthy(&counts, "counts");
    assert!(counts[0].wrong.ends_with("the counts are right in 80 sessions and 2 accounts"), "{counts:?}");
    let product = product_database::create(&server).await.unwrap();
    assert_healthy(&examine(&product.client().await.unwrap()).await, "product");
    let product = product_with_counts(&server).await;
    assert_healthy(&examine(&product).await, "product with counts");
    // What Supabase Realtime sends to a role is what the role may read.
    execute(&product, "SET ROLE authenticated; SELECT id, status FROM chat_sessions").await;
    let error = product.simple_query("SELECT last_message FROM chat_sessions").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
}

#[tokio::test]
async fn nothing_is_written_or_locked() {
    let client = with_counts(Server::shared()).await;
    execute(&client, "BEGIN READ ONLY").await;
    examine(&client).await;
    let locks = "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND mode <> 'AccessShareLock' AND locktype = 'relation'";
    assert_eq!(client.query_typed_one(locks, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn what_the_role_lacks_is_found_and_repaired() {
    let server = server();
    let client = plain(&server).await;
    assert_each_is_found_and_repaired(
        &client,
        &[
            ("ALTER ROLE list_chat_sessions NOLOGIN", "error", "may not log in"),
            ("ALTER ROLE list_chat_sessions VALID UNTIL '2020-01-01'", "error", "expired"),
            ("REVOKE CONNECT ON DATABASE THIS_DATABASE FROM PUBLIC", "error", "may not connect"),
            ("REVOKE USAGE ON SCHEMA public FROM PUBLIC, list_chat_sessions", "error", "may not use the schema public"),
            ("REVOKE SELECT ON chat_widgets FROM list_chat_sessions", "error", "may not read chat_widgets"),
            (
                "REVOKE SELECT ON chat_messages FROM list_chat_sessions;
              GRANT SELECT (id, session_id, content) ON chat_messages TO list_chat_sessions",
                "error",
                "may not read chat_messages",
            ),
            (
                "ALTER ROLE list_chat_sessions RESET search_path",
                "warning",
                "search_path of list_chat_sessions is not set",
            ),
            (
                "ALTER ROLE list_chat_sessions SET search_path = other",
                "warning",
                "search_path of list_chat_sessions is other",
            ),
            (
                "ALTER ROLE list_chat_sessions RESET statement_timeout",
                "warning",
                "statement_timeout of list_chat_sessions is not set",
            ),
            (
                "ALTER ROLE list_chat_sessions SET statement_timeout = '1min'",
                "warning",
                "is 1min, and should be '4500ms'",
            ),
            (
                "ALTER ROLE list_chat_sessions IN DATABASE THIS_DATABASE SET statement_timeout = 0",
                "warning",
                "is 0, and",
            ),
            ("ALTER ROLE list_chat_sessions RESET lock_timeout", "warning", "lock_timeout"),
            ("ALTER ROLE list_chat_sessions RESET idle_session_timeout", "warning", "idle_session_timeout"),
            ("ALTER ROLE list_chat_sessions RESET jit", "warning", "jit"),
            (
                "ALTER ROLE list_chat_sessions SET default_transaction_read_only = on",
                "warning",
                "default_transaction_read_only",
            ),
            ("ALTER ROLE list_chat_sessions CONNECTION LIMIT 40", "warning", "may open 40 connections"),
            ("ALTER ROLE list_chat_sessions CONNECTION LIMIT -1", "warning", "any number of connections"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_the_role_has_too_much_is_found_and_repaired() {
    let server = server();
    let client = plain(&server).await;
    assert_each_is_found_and_repaired(
        &client,
        &[
            ("ALTER ROLE list_chat_sessions SUPERUSER CREATEDB", "warning", "SUPERUSER CREATEDB"),
            ("GRANT pg_read_all_data TO list_chat_sessions", "warning", "is a member of pg_read_all_data"),
            ("GRANT INSERT, DELETE, TRUNCATE ON chat_sessions TO list_chat_sessions", "error", "DELETE, INSERT, TRUNCATE on table"),
            ("GRANT UPDATE (content) ON chat_messages TO list_chat_sessions", "error", "UPDATE on table"),
            ("GRANT SELECT ON users TO list_chat_sessions", "warning", "SELECT on table public.users"),
            ("GRANT SELECT (email) ON users TO list_chat_sessions", "warning", "SELECT on table public.users"),
            ("CREATE SEQUENCE numbers; GRANT USAGE ON SEQUENCE numbers TO list_chat_sessions", "warning", "sequence public.numbers"),
            ("CREATE FUNCTION secret() RETURNS int LANGUAGE sql AS 'SELECT 1'; GRANT EXECUTE ON FUNCTION secret() TO list_chat_sessions",
             "warning", "routine public.secret()"),
            ("CREATE SCHEMA other; GRANT USAGE ON SCHEMA other TO list_chat_sessions", "warning", "schema other"),
            ("GRANT CREATE ON SCHEMA public TO list_chat_sessions", "error", "CREATE on schema public"),
            ("GRANT TEMPORARY ON DATABASE THIS_DATABASE TO list_chat_sessions", "error", "TEMPORARY on database"),
            ("GRANT SELECT, INSERT ON users TO PUBLIC", "error", "every role"),
            ("GRANT CREATE ON SCHEMA public TO PUBLIC", "warning", "every role"),
            ("CREATE TABLE mine (); ALTER TABLE mine OWNER TO list_chat_sessions", "warning", "owns table mine"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_role_that_does_not_exist_is_created_by_the_sql_that_is_printed() {
    for is_product in [false, true] {
        let server = server();
        let client = if is_product {
            let database = product_database::create(&server).await.unwrap();
            let client = database.client().await.unwrap();
            execute(&client, "DROP OWNED BY list_chat_sessions; DROP ROLE list_chat_sessions").await;
            client
        } else {
            let mut client = Database::create_empty(&server).await.unwrap().client().await.unwrap();
            migrations::apply(&mut client).await.unwrap();
            client
        };
        let findings = examine(&client).await;
        assert!(
            findings.len() == 1 && findings[0].wrong == "the role list_chat_sessions does not exist",
            "{findings:#?}"
        );
        assert_eq!(findings[0].fix.contains("CREATE POLICY"), is_product);
        repair(&client, &findings[0]).await;
        assert_healthy(&examine(&client).await, "created");
    }
}

#[tokio::test]
async fn hidden_rows_are_found_in_the_words_of_the_functions_log_and_repaired() {
    let server = server();
    let client = plain(&server).await;
    let words = "row level security may hide rows from the function's role: chat_sessions, chat_messages. Run docs/role.sql, \
                 which makes the policies that the role needs";
    let enable =
        "ALTER TABLE chat_sessions ENABLE ROW LEVEL SECURITY; ALTER TABLE chat_messages ENABLE ROW LEVEL SECURITY";
    assert_each_is_found_and_repaired(
        &client,
        &[
            (enable, "error", words),
            ("DROP POLICY list_chat_sessions ON chat_messages; CREATE POLICY everybody ON chat_messages USING (true)", "error", "role: chat_messages. Run"),
            // The name is in use.
            ("ALTER POLICY list_chat_sessions ON chat_messages TO postgres", "error", "role: chat_messages. Run"),
            ("CREATE POLICY adults ON chat_sessions AS RESTRICTIVE USING (false)", "error", "chat_sessions (restrictive policy adults is for PUBLIC). Run"),
        ],
    )
    .await;
    execute(&client, "DROP POLICY list_chat_sessions ON chat_sessions; ALTER ROLE list_chat_sessions BYPASSRLS").await;
    assert_healthy(&examine(&client).await, "BYPASSRLS");
}

/// Policies on a table with row level security. The function serves requests with some of them.
const POLICIES: [&str; 9] = [
    "CREATE POLICY p ON chat_messages USING (true)",
    "CREATE POLICY p ON chat_messages TO anon USING (true)",
    "CREATE POLICY p ON chat_messages TO list_chat_sessions USING (role <> 'system')",
    "CREATE POLICY p ON chat_messages FOR INSERT TO list_chat_sessions WITH CHECK (true)",
    "CREATE POLICY p ON chat_messages FOR ALL TO list_chat_sessions USING (true)",
    "CREATE POLICY p ON chat_messages AS RESTRICTIVE USING (true)",
    "CREATE POLICY p ON chat_messages TO list_chat_sessions USING (true);
     CREATE POLICY q ON chat_messages AS RESTRICTIVE TO list_chat_sessions USING (false)",
    "CREATE POLICY p ON chat_messages TO list_chat_sessions USING (true);
     CREATE POLICY q ON chat_messages AS RESTRICTIVE FOR DELETE USING (false)",
    "ALTER TABLE chat_messages FORCE ROW LEVEL SECURITY",
];

#[tokio::test]
async fn the_file_and_the_function_agree_on_row_level_security() {
    let server = server();
    let database = product_database::create(&server).await.unwrap();
    let client = database.client().await.unwrap();
    let secrets = secrets_with(ring(&[TOKEN])).await;
    execute(&client, "DROP POLICY list_chat_sessions ON chat_messages").await;
    for policies in POLICIES {
        execute(&client, policies).await;
        let function = start(&secrets, &[("DATABASE_URL", database.url())]).await.unwrap();
        function.invoke(request::post(TOKEN, "{}").to_string()).await.unwrap().response().unwrap();
        let cause = lines(&function).last().unwrap()["cause"].as_str().map(str::to_owned);
        let found = examine(&client).await.into_iter().find(|finding| finding.name == "row level security");
        assert_eq!(found.map(|finding| finding.wrong), cause, "{policies}");
        execute(&client, "DROP POLICY IF EXISTS p ON chat_messages; DROP POLICY IF EXISTS q ON chat_messages").await;
    }
}

#[tokio::test]
async fn indexes_are_judged_by_their_definition() {
    let server = server();
    let client = plain(&server).await;
    let invalid = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'INDEX'::regclass".to_owned();
    let interrupted = invalid.replace("INDEX", "chat_sessions_user_status");
    let leftover = "CREATE INDEX more ON chat_messages (created_at); ".to_owned() + &invalid.replace("INDEX", "more");
    assert_each_is_found_and_repaired(
        &client,
        &[
            ("DROP INDEX chat_sessions_user_last", "error", "chat_sessions has no usable index on (user_id, last_message_at DESC, id DESC)"),
            ("DROP INDEX chat_sessions_user_status", "error", "(user_id, status, last_message_at DESC, id DESC)"),
            ("DROP INDEX chat_sessions_user_widget", "error", "(user_id, widget_id, last_message_at DESC, id DESC)"),
            ("DROP INDEX chat_sessions_user_created", "error", "(user_id, created_at)"),
            ("DROP INDEX chat_messages_session_last", "error", "(session_id, created_at, id)"),
            // An index with the name and another definition.
            ("DROP INDEX chat_sessions_user_created; CREATE INDEX chat_sessions_user_created ON chat_sessions (user_id, created_at) WHERE status = 'closed'",
             "error", "(user_id, created_at)"),
            (&interrupted, "error", "the build of public.chat_sessions_user_status was interrupted"),
            (&leftover, "warning", "public.more is invalid"),
            ("CREATE INDEX idx_chat_sessions_user_id ON chat_sessions (user_id, last_message_at DESC)", "info", "idx_chat_sessions_user_id slows down writes"),
            ("CREATE INDEX replaced ON chat_messages (session_id, created_at)", "info", "replaced slows down writes"),
        ],
    )
    .await;
    // Other names, the other direction, more columns.
    execute(
        &client,
        "ALTER INDEX chat_sessions_user_status RENAME TO mine; DROP INDEX chat_sessions_user_last, chat_messages_session_last;
         CREATE INDEX a ON chat_sessions (user_id, last_message_at, id);
         CREATE INDEX b ON chat_messages (session_id, created_at DESC, id DESC) INCLUDE (content)",
    )
    .await;
    assert_healthy(&examine(&client).await, "other indexes of the same use");
}

#[tokio::test]
async fn tables_that_vacuum_neglects_are_found_and_repaired() {
    let server = server();
    let client = plain(&server).await;
    let large = "INSERT INTO chat_sessions (user_id, widget_id, visitor_id, page_url)
        SELECT user_id, id, 'v', repeat('x', 700) FROM chat_widgets, generate_series(1, 6000)";
    assert_each_is_found_and_repaired(
        &client,
        &[
            (
                "ALTER TABLE chat_sessions RESET (autovacuum_vacuum_scale_factor)",
                "warning",
                "until 20 % of chat_sessions are dead rows",
            ),
            (
                "ALTER TABLE chat_messages SET (autovacuum_enabled = off)",
                "warning",
                "autovacuum is off for chat_messages",
            ),
            (large, "warning", "chat_sessions needs a vacuum: 0 % of its pages"),
            ("UPDATE chat_sessions SET visitor_name = 'x'; SELECT pg_stat_force_next_flush()", "warning", "dead rows"),
        ],
    )
    .await;
    execute(&client, "ALTER SYSTEM SET autovacuum = off; SELECT pg_reload_conf()").await;
    let findings = wait_for(&client, |findings| findings[0].wrong == "autovacuum is off in this server").await;
    repair(&client, &findings[0]).await;
    wait_for(&client, |findings| findings[0].name == "nothing found").await;
}

/// Waits until the server has read its settings again.
async fn wait_for(client: &Client, condition: impl Fn(&[Finding]) -> bool) -> Vec<Finding> {
    for _ in 0..100 {
        let findings = examine(client).await;
        if condition(&findings) {
            return findings;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{:#?}", examine(client).await)
}

#[tokio::test]
async fn counts_that_are_not_whole_are_found_and_repaired() {
    let server = server();
    let client = with_counts(&server).await;
    let disabled = "SELECT format('ALTER TABLE %s DISABLE TRIGGER %I', tgrelid::regclass, tgname) FROM pg_trigger
        WHERE tgname ~ '^counts_' AND tgrelid <> 'chat_session_tasks'::regclass ORDER BY 1";
    let disable: Vec<String> = client.query_typed(disabled, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    assert_eq!(disable.len(), 14);
    let disable: Vec<_> = disable.iter().map(|sql| (&**sql, "error", "is disabled, so counts become wrong")).collect();
    assert_each_is_found_and_repaired(&client, &disable).await;
    assert_each_is_found_and_repaired(
        &client,
        &[
            ("ALTER TABLE chat_messages ENABLE REPLICA TRIGGER counts_message_inserted", "error", "is disabled"),
            ("ALTER TABLE chat_messages ENABLE ALWAYS TRIGGER counts_message_inserted", "warning", "is ENABLE ALWAYS"),
            (
                "DROP TRIGGER counts_message_inserted ON chat_messages",
                "error",
                "missing: trigger counts_message_inserted on chat_messages",
            ),
            (
                "DROP TRIGGER counts_session_updated ON chat_sessions",
                "error",
                "missing: trigger counts_session_updated on chat_sessions",
            ),
            ("DROP TRIGGER counts_users_deleted ON users", "error", "missing: trigger counts_users_deleted on users"),
            ("DROP FUNCTION counts_slot()", "error", "missing: function counts_slot"),
            ("DROP PROCEDURE backfill_chat_messages", "error", "missing: function backfill_chat_messages"),
            ("DROP TABLE chat_session_totals", "error", "table chat_session_totals"),
            (
                "ALTER TABLE chat_sessions ALTER message_count DROP DEFAULT",
                "error",
                "missing: default of message_count",
            ),
            ("DROP INDEX chat_sessions_user_widget_closed", "warning", "WHERE status = 'closed'"),
            (
                "ALTER FUNCTION counts_message_inserted() SECURITY INVOKER",
                "error",
                "counts_message_inserted does not run as its owner",
            ),
            (
                "ALTER FUNCTION counts_users_deleted() RESET search_path",
                "error",
                "counts_users_deleted does not run as its owner",
            ),
            ("GRANT SELECT ON chat_session_counts TO PUBLIC", "error", "PUBLIC may use chat_session_counts"),
            ("GRANT ALL ON chat_session_tasks TO PUBLIC", "error", "PUBLIC may use chat_session_tasks"),
            (
                "GRANT EXECUTE ON FUNCTION counts_fold_rows(tid[]) TO PUBLIC",
                "error",
                "may run functions of the set: counts_fold_rows",
            ),
            (
                "REVOKE SELECT ON chat_session_totals FROM list_chat_sessions",
                "warning",
                "may not read chat_session_totals",
            ),
            (
                "ALTER TABLE chat_session_counts ENABLE ROW LEVEL SECURITY",
                "warning",
                "row level security hides rows of chat_session_counts",
            ),
            ("DELETE FROM chat_session_counted", "warning", "the backfill is not finished"),
            (
                "UPDATE chat_sessions SET message_count = NULL",
                "warning",
                "the backfill is not finished, so each page takes a second statement (80 of 80",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn an_installation_that_stopped_half_way_is_found_and_completed() {
    for files in 1..MATERIALIZED_COUNTS.len() {
        let client = plain(Server::shared()).await;
        for file in &MATERIALIZED_COUNTS[..files] {
            run_materialized_counts(&client, file).await.unwrap();
        }
        let findings = examine(&client).await;
        assert!(
            findings[0].fix.is_empty() || findings.iter().all(|finding| finding.name != "nothing found"),
            "{findings:#?}"
        );
        assert!(!findings[0].fix.contains("drop.sql"), "nothing is lost: {findings:#?}");
        for _ in 0..2 {
            for finding in examine(&client).await {
                repair(&client, &finding).await;
            }
        }
        assert_healthy(&examine(&client).await, &format!("{files} files"));
    }
}

#[tokio::test]
async fn counts_that_are_not_true_are_found_and_repaired() {
    let client = with_counts(Server::shared()).await;
    let sessions = "80 of 80 sampled sessions have a wrong message_count or last_message";
    let accounts = "of 2 sampled accounts have wrong totals";
    assert_each_is_found_and_repaired(
        &client,
        &[
            ("UPDATE chat_sessions SET message_count = 2", "error", sessions),
            ("UPDATE chat_sessions SET last_message = 'HELLO'", "error", sessions),
            ("UPDATE chat_sessions SET last_message_id = NULL", "error", sessions),
            ("CALL fold_chat_session_counts(); UPDATE chat_session_counts SET n = n + 1", "error", accounts),
            ("UPDATE chat_session_totals SET n = n - 1", "error", accounts),
            ("SET session_replication_role = replica; INSERT INTO chat_sessions (user_id, widget_id, visitor_id)
              SELECT user_id, id, 'v' FROM chat_widgets LIMIT 1; RESET session_replication_role", "error", "1 of 2 sampled accounts"),
            ("SET session_replication_role = replica; UPDATE chat_sessions SET created_at = NULL WHERE id = (SELECT min(id::text)::uuid FROM chat_sessions);
              DELETE FROM chat_sessions WHERE created_at IS NULL; RESET session_replication_role", "error", "1 of 2 sampled accounts"),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_the_product_opens_to_everyone_is_found_and_repaired() {
    let server = server();
    let client = product_with_counts(&server).await;
    assert_each_is_found_and_repaired(
        &client,
        &[
            ("GRANT SELECT ON chat_session_totals TO anon, authenticated", "error", "anon, authenticated may use chat_session_totals"),
            ("GRANT EXECUTE ON FUNCTION counts_add_days TO anon", "error", "anon may run functions of the set: counts_add_days"),
            ("ALTER TABLE chat_session_counted ENABLE ROW LEVEL SECURITY; DROP POLICY list_chat_sessions ON chat_session_counted", "warning", "chat_session_counted"),
            ("CREATE POLICY adults ON chat_messages AS RESTRICTIVE USING (false)", "error", "restrictive policy adults is for PUBLIC"),
        ],
    )
    .await;
    let policy = "SELECT polroles::regrole[]::text FROM pg_policy WHERE polname = 'adults'";
    // As before for the roles that it is meant for.
    let roles: String = client.query_typed_one(policy, &[]).await.unwrap().get(0);
    assert_eq!(roles, "{anon,authenticated,service_role}");

    execute(
        &client,
        "CREATE ROLE shop; ALTER TABLE chat_messages OWNER TO shop; ALTER TABLE chat_sessions OWNER TO shop;
         ALTER FUNCTION counts_message_inserted() OWNER TO shop",
    )
    .await;
    let force = "ALTER TABLE chat_messages FORCE ROW LEVEL SECURITY";
    assert_each_is_found_and_repaired(
        &client,
        &[(force, "error", "hides rows of chat_messages from shop, who owns the triggers")],
    )
    .await;
}

#[tokio::test]
async fn a_policy_that_filters_rows_is_the_operators_decision() {
    let server = server();
    let client = product_with_counts(&server).await;
    execute(&client, "ALTER POLICY list_chat_sessions ON chat_messages USING (role <> 'system')").await;
    let findings = examine(&client).await;
    assert!(
        findings.len() == 1
            && findings[0].level == "info"
            && findings[0].wrong.contains("filters the rows of chat_messages"),
        "{findings:#?}"
    );
}

#[tokio::test]
async fn publications_that_send_the_counts_are_found_and_repaired() {
    let client = with_counts(Server::shared()).await;
    let sends = "sends the columns of the materialized counts";
    assert_each_is_found_and_repaired(
        &client,
        &[
            ("CREATE PUBLICATION one FOR TABLE chat_sessions, chat_messages", "warning", sends),
            (
                "CREATE PUBLICATION filtered FOR TABLE chat_sessions WHERE (id IS NOT NULL) WITH (publish = 'insert')",
                "warning",
                sends,
            ),
            (
                "CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert, update')",
                "warning",
                "and their tables",
            ),
            ("CREATE PUBLICATION a_schema FOR TABLES IN SCHEMA public", "warning", "and their tables"),
        ],
    )
    .await;
    let operations =
        "SELECT pubname || ' ' || pubinsert || pubupdate || pubdelete || pubtruncate FROM pg_publication ORDER BY 1";
    let operations: Vec<String> =
        client.query_typed(operations, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let all = "truetruetruetrue";
    assert_eq!(
        operations,
        [
            format!("a_schema {all}"),
            "everything truetruefalsefalse".into(),
            "filtered truefalsefalsefalse".into(),
            format!("one {all}")
        ]
    );
    // A column list that lacks a part of the replica identity would reject this.
    execute(&client, "UPDATE chat_sessions SET status = 'closed'; DELETE FROM chat_sessions").await;
    // A replica that receives everything.
    execute(&client, "CREATE PUBLICATION replica FOR TABLE users, chat_widgets, chat_sessions, chat_messages, chat_session_counts, chat_session_counted, chat_session_totals").await;
    assert_healthy(&examine(&client).await, "replica");
    execute(&client, "DROP PUBLICATION one; ALTER TABLE chat_sessions REPLICA IDENTITY FULL; CREATE PUBLICATION one FOR TABLE chat_sessions").await;
    let findings = examine(&client).await;
    assert!(findings.iter().any(|finding| finding.fix.contains("REPLICA IDENTITY FULL")), "{findings:#?}");

    let client = plain(Server::shared()).await;
    execute(&client, "CREATE PUBLICATION one FOR TABLE chat_sessions, chat_messages").await;
    let planned = changed("false                AS counts_planned", "true AS counts_planned");
    let findings = examine_with(&client, &planned).await;
    assert!(findings.len() == 1 && findings[0].wrong.contains("would send"), "{findings:#?}");
    repair(&client, &findings[0]).await;
    assert_healthy(&examine_with(&client, &planned).await, "planned");
}

/// The file with another value in its settings.
#[track_caller]
fn changed(from: &str, to: &str) -> String {
    assert!(DOCTOR.contains(from), "{from}");
    DOCTOR.replacen(from, to, 1)
}

#[tokio::test]
async fn the_settings_at_the_top_are_used() {
    let server = server();
    let client = plain(&server).await;
    let first = |findings: Vec<Finding>| format!("{}: {}", findings[0].level, findings[0].wrong);
    for (from, to, expected) in [
        ("150000 AS", "990000 AS", "error: PostgreSQL"),
        ("'public'  ", "'nowhere'", "error: nowhere.chat_messages does not exist"),
        ("'list_chat_sessions' AS", "'The \"role\"''s' AS", "error: the role The \"role\"'s does not exist"),
        ("20                   AS res", "100 AS res", "error: the server allows 197 connections"),
        ("20                   AS res", "80 AS res", "warning: list_chat_sessions may open 150 connections, and 80"),
        (
            "5000                 AS",
            "4000 AS",
            "warning: statement_timeout of list_chat_sessions is 4500ms, and should be '3500ms'",
        ),
        (
            "false                AS pooler",
            "true AS pooler",
            "warning: idle_session_timeout of list_chat_sessions is 15min",
        ),
    ] {
        let found = first(examine_with(&client, &changed(from, to)).await);
        assert!(found.starts_with(expected), "{found}");
    }
    let pooler = changed("false                AS pooler", "true AS pooler");
    repair(&client, &examine_with(&client, &pooler).await[0]).await;
    assert_healthy(&examine_with(&client, &pooler).await, "pooler");

    // A schema and a role whose names need quotes.
    execute(&client, "ALTER SCHEMA public RENAME TO \"The shop's\"").await;
    let named = changed("'public'  ", "'The shop''s'").replacen("'list_chat_sessions' AS", "'A \"reader\"' AS", 1);
    let findings = examine_with(&client, &named).await;
    assert_eq!(findings.len(), 1, "{findings:#?}");
    repair(&client, &findings[0]).await;
    assert_healthy(&examine_with(&client, &named).await, "other names");
}

#[tokio::test]
async fn missing_objects_are_findings_and_not_errors() {
    let server = server();
    let empty = Database::create_empty(&server).await.unwrap().client().await.unwrap();
    let missing: Vec<_> = examine(&empty)
        .await
        .into_iter()
        .filter(|finding| finding.name == "table")
        .map(|finding| finding.wrong)
        .collect();
    assert_eq!(
        missing,
        [
            "public.chat_messages does not exist",
            "public.chat_sessions does not exist",
            "public.chat_widgets does not exist"
        ]
    );
    let client = plain(&server).await;
    execute(&client, "ALTER TABLE chat_sessions RENAME page_url TO url").await;
    let findings = examine(&client).await;
    assert!(
        findings.len() == 1
            && findings[0].wrong == "public.chat_sessions has no column page_url, which the function reads",
        "{findings:#?}"
    );
    execute(&client, "DROP TABLE chat_messages").await;
    assert_eq!(examine(&client).await.len(), 2);
}

/// As on a host that keeps the superuser to itself.
#[tokio::test]
async fn the_owner_of_the_tables_needs_no_superuser() {
    let server = server();
    let database = Database::create_empty(&server).await.unwrap();
    let admin = database.client().await.unwrap();
    execute(
        &admin,
        "CREATE ROLE owner LOGIN PASSWORD 'owner' CREATEROLE BYPASSRLS; ALTER SCHEMA public OWNER TO owner",
    )
    .await;
    admin.batch_execute(&format!("ALTER DATABASE {} OWNER TO owner", database.name())).await.unwrap();
    let url = database.admin_url().replace("postgres@", "owner:owner@");
    let mut owner = connect(&url).await.unwrap();
    migrations::apply(&mut owner).await.unwrap();
    let findings = examine(&owner).await;
    assert!(findings.len() == 1 && findings[0].name == "role", "{findings:#?}");
    repair(&owner, &findings[0]).await;
    assert_healthy(&examine(&owner).await, "owner");
    owner.batch_execute(ROWS).await.unwrap();
    apply_materialized_counts(&owner).await.unwrap();
    let findings = examine(&owner).await;
    assert_healthy(&findings, "owner, counts");
    assert!(findings[0].wrong.contains("80 sessions"), "{findings:?}");

    // Others see the catalog, and no rows.
    role::create(&owner, role::PASSWORD).await.unwrap();
    assert_healthy(&examine(&owner).await, "owner, docs/role.sql");
    execute(&owner, "ALTER TABLE chat_sessions ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON chat_sessions TO list_chat_sessions USING (user_id IS NOT NULL)").await;
    let findings = examine(&connect(database.url()).await.unwrap()).await;
    let words: Vec<_> = findings
        .iter()
        .map(|finding| (&*finding.level, finding.wrong.contains("compared") || finding.wrong.contains("filters")))
        .collect();
    assert_eq!(words, [("info", true), ("info", true)], "{findings:#?}");
}

#[tokio::test]
async fn the_role_that_synchronises_keys_is_examined_if_it_exists() {
    let server = server();
    let client = product_database::create(&server).await.unwrap().client().await.unwrap();
    execute(&client, "CREATE ROLE sync_keys LOGIN").await;
    let findings = examine(&client).await;
    let wrong: Vec<_> = findings.iter().map(|finding| &*finding.wrong).collect();
    assert_eq!(
        wrong,
        [
            "row level security may hide rows of api_keys from sync_keys",
            "sync_keys may not read is_active, key_hash, name, user_id of api_keys"
        ]
    );
    for finding in &findings {
        repair(&client, finding).await;
    }
    assert_each_is_found_and_repaired(
        &client,
        &[
            ("GRANT UPDATE ON api_keys TO sync_keys", "error", "sync_keys has UPDATE on table public.api_keys"),
            (
                "GRANT SELECT ON chat_messages TO sync_keys",
                "warning",
                "sync_keys has SELECT on table public.chat_messages",
            ),
            ("GRANT service_role TO sync_keys", "warning", "sync_keys is a member of service_role"),
        ],
    )
    .await;
}

#[tokio::test]
#[ignore = "needs psql, PostgreSQL's own client: cargo test --test main -- --ignored psql"]
async fn psql_prints_the_findings_of_the_same_file() {
    let server = server();
    let database = Database::create(&server).await.unwrap();
    execute(&database.client().await.unwrap(), "DROP INDEX chat_sessions_user_created").await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/doctor.sql");
    let output = Command::new("psql")
        .args(["--no-psqlrc", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", file, database.admin_url()])
        .output()
        .expect("psql must be on the path");
    let expected = "index|error|chat_sessions has no usable index on (user_id, created_at)|CREATE INDEX CONCURRENTLY \
                    chat_sessions_user_created ON public.chat_sessions (user_id, created_at);\n";
    assert_eq!(
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap()),
        (expected.into(), String::new())
    );
}

//! Named statements: where they are used, how they are planned, and what ends them.

use std::time::Duration;

use list_chat_sessions::{
    clock::Deadline,
    database::{MAX_TEXTS, PLAN_ONCE, Statement, StatementNames},
    request::ListRequest,
    sessions::{Reading, page_statement},
};
use serde_json::{Value, json};
use testkit::{
    ACCOUNT, Database, Pooler, Server, TestApp,
    app::secrets,
    contract,
    migrations::apply_materialized_counts,
    plan::{ROWS, caller, json_of, nodes},
};
use tokio_postgres::Row;

/// An app whose account has sessions, with the materialized counts if `counts`.
async fn app(counts: bool, names: StatementNames) -> TestApp {
    let database = Database::create(Server::shared()).await.unwrap();
    database.load(&ROWS.replace("60000", "200").replace("ACCOUNT", ACCOUNT)).await.unwrap();
    if counts {
        apply_materialized_counts(&database.client().await.unwrap()).await.unwrap();
    }
    TestApp::start_on(database, secrets().await, |config| config.database_statements = names).await
}

/// Runs a statement on the app's connection.
async fn run(test: &TestApp, sql: &str) -> Vec<Row> {
    let statement = Statement::new(Vec::new(), |_| sql.to_owned());
    let deadline = Deadline::within(Duration::from_secs(5));
    test.app.database.query(&statement, Vec::new, deadline, &mut 0).await.unwrap()
}

/// The named statements of the app's connection: the first line, and how often a generic and a custom plan was used.
async fn named(test: &TestApp) -> Vec<(String, i64, i64)> {
    let sql = "SELECT split_part(statement, E'\\n', 1), generic_plans, custom_plans FROM pg_prepared_statements
               WHERE statement NOT LIKE '%pg_prepared_statements%' ORDER BY 1";
    let mut rows = run(test, sql).await;
    rows.drain(..).map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

async fn list(test: &TestApp, body: &Value, times: usize) -> Vec<String> {
    let first = test.list(body.clone()).await.ids();
    for _ in 1..times {
        assert_eq!(test.list(body.clone()).await.ids(), first, "{body}");
    }
    first
}

#[tokio::test]
async fn a_page_with_the_counts_is_planned_once_and_one_with_a_date_each_time() {
    let test = app(true, StatementNames::Auto).await;
    for body in [json!({ "limit": 20 }), json!({ "limit": 20, "from_date": "2024-01-01T00:00:00Z" })] {
        assert_eq!(list(&test, &body, 12).await.len(), 20);
    }
    let named = named(&test).await;
    assert_eq!(
        named,
        [
            // The first time, a text is sent without a name.
            ("-- list-chat-sessions: materialized, first page".into(), 11, 0),
            ("-- list-chat-sessions: materialized, first page, from_date".into(), 0, 11),
        ]
    );
}

#[tokio::test]
async fn a_page_without_the_counts_is_planned_each_time() {
    let test = app(false, StatementNames::Auto).await;
    list(&test, &json!({ "limit": 20 }), 12).await;
    assert_eq!(named(&test).await, [("-- list-chat-sessions: computed, first page".into(), 0, 11)]);
}

#[tokio::test]
async fn no_statement_is_named_if_the_operator_says_so() {
    let test = app(true, StatementNames::Unnamed).await;
    list(&test, &json!({}), 5).await;
    assert_eq!(named(&test).await, []);
    let mode: String = run(&test, "SHOW plan_cache_mode").await[0].get(0);
    assert_eq!(mode, "auto");
}

#[tokio::test]
async fn a_connection_names_a_limited_number_of_statements() {
    let test = app(true, StatementNames::Auto).await;
    for offset in 0..2 * MAX_TEXTS {
        list(&test, &json!({ "limit": 1, "offset": offset }), 3).await;
    }
    let named = named(&test).await;
    assert!(named.len() <= MAX_TEXTS && named.len() + 2 >= MAX_TEXTS, "{}", named.len());
}

#[tokio::test]
async fn a_named_statement_that_is_gone_or_changed_fails_no_request() {
    let test = app(true, StatementNames::Auto).await;
    let admin = test.database.client().await.unwrap();
    let body = json!({ "limit": 20 });
    let ids = list(&test, &body, 5).await;
    admin.batch_execute("ALTER TABLE chat_sessions ALTER page_url TYPE varchar(500)").await.unwrap();
    assert_eq!(list(&test, &body, 5).await, ids);
    assert_eq!(named(&test).await.len(), 1, "it is named again");
    for sql in ["DEALLOCATE ALL", "DISCARD ALL"] {
        run(&test, sql).await;
        assert_eq!(list(&test, &body, 5).await, ids);
        assert_eq!(named(&test).await, [], "somebody else uses this connection");
    }
    assert_eq!(test.read_page().await.1, 0, "none of that was a lost connection");
}

#[tokio::test]
async fn dropped_counts_fail_no_request() {
    let test = app(true, StatementNames::Auto).await;
    let admin = test.database.client().await.unwrap();
    let body = json!({ "limit": 20 });
    let ids = list(&test, &body, 5).await;
    let drop = std::fs::read_to_string("migrations/materialized_counts/drop.sql").unwrap();
    admin.batch_execute(&drop).await.unwrap();
    assert_eq!(list(&test, &body, 5).await, ids);
}

/// The plans of a named statement, for an account with thousands of sessions and for one with ten: no value is known.
#[tokio::test]
async fn one_plan_reads_only_the_page_of_any_account() {
    let database = Database::create(Server::shared()).await.unwrap();
    let small = "33333333-3333-4333-8333-333333333333";
    let widget = "aaaaaaaa-aaaa-4aaa-8aaa-000000000004";
    database.load(&ROWS.replace("60000", "20000").replace("ACCOUNT", ACCOUNT)).await.unwrap();
    let client = database.client().await.unwrap();
    apply_materialized_counts(&client).await.unwrap();
    // Thousands of small accounts: PostgreSQL expects an unknown account to have few sessions.
    client
        .batch_execute(&format!(
            "INSERT INTO users SELECT gen_random_uuid() FROM generate_series(1, 3000);
             INSERT INTO users VALUES ('{small}');
             INSERT INTO chat_widgets (user_id) SELECT id FROM users;
             INSERT INTO chat_sessions (widget_id, user_id, visitor_id)
               SELECT w.id, w.user_id, 'v' FROM chat_widgets w, generate_series(1, 10);"
        ))
        .await
        .unwrap();
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    client.batch_execute(PLAN_ONCE).await.unwrap();
    let mut number = 0;
    for request in [
        json!({}),
        json!({ "limit": 100 }),
        json!({ "offset": 900 }),
        json!({ "status": "active" }),
        json!({ "status": "closed", "offset": 900 }),
        json!({ "widget_id": widget }),
        json!({ "widget_id": widget, "status": "active" }),
    ] {
        let list = ListRequest::parse(request.to_string().as_bytes(), 100).unwrap();
        let caller = caller();
        let text = page_statement(&caller, &list, Reading::default()).preferred();
        number += 1;
        let has_widget = request.get("widget_id").is_some();
        let types = if has_widget { "uuid, uuid" } else { "uuid" };
        client.batch_execute(&format!("PREPARE s{number} ({types}) AS {text}")).await.unwrap();
        for account in [ACCOUNT, small] {
            let values = if has_widget { format!("'{account}', '{widget}'") } else { format!("'{account}'") };
            let sql = format!("EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) EXECUTE s{number} ({values})");
            let plan = json_of(&client.query_typed(&sql, &[]).await.unwrap()[0]);
            for node in nodes(&plan) {
                let read = node["Actual Loops"].as_f64().unwrap() * node["Actual Rows"].as_f64().unwrap();
                let skipped = node["Rows Removed by Filter"].as_f64().unwrap_or_default();
                #[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
                let most = (list.limit + list.offset) as f64;
                let is_sessions = node["Relation Name"] == "chat_sessions";
                assert!(!is_sessions || read + skipped <= most, "{request} {account}: {node:#}\n{plan:#}");
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs PgBouncer (apt-get install pgbouncer): cargo test --test main -- --ignored pooler"]
async fn behind_a_pooler_no_statement_is_named() {
    let pooler = Pooler::start(Server::shared(), &[]).unwrap();
    let database = contract::database(Server::shared()).await;
    let url = pooler.url(&database);
    let test = TestApp::start_on(database, secrets().await, |config| {
        let policy = list_chat_sessions::database::TlsPolicy::default();
        let settings = list_chat_sessions::database::ConnectionSettings::from_url(&url, &policy).unwrap();
        config.database = list_chat_sessions::config::DatabaseSource::Url(settings.into());
    })
    .await;
    list(&test, &json!({}), 5).await;
    assert_eq!(named(&test).await, []);
}

//! Responses are the same with the set, with a part of it, and while it is installed and dropped.

use serde_json::{Value, json};
use testkit::{
    ACCOUNT, Server, TestApp, WIDGET, contract,
    migrations::{
        GRANT_MATERIALIZED_COUNTS, MATERIALIZED_COUNTS, apply_materialized_counts, reconcile, run_materialized_counts,
    },
};

#[tokio::test]
async fn every_vector_passes_in_every_state_of_the_set() {
    let columns = "ALTER TABLE chat_sessions ADD COLUMN message_count integer, ADD COLUMN last_message text";
    let without_columns = format!(
        "{GRANT_MATERIALIZED_COUNTS};
         ALTER TABLE chat_sessions DROP COLUMN message_count CASCADE, DROP COLUMN last_message CASCADE"
    );
    for (state, files, sql) in [
        ("installed", &MATERIALIZED_COUNTS[..], GRANT_MATERIALIZED_COUNTS),
        ("not backfilled", &MATERIALIZED_COUNTS[..2], GRANT_MATERIALIZED_COUNTS),
        ("only the columns, without triggers", &[], columns),
        ("only the columns", &MATERIALIZED_COUNTS[..1], ""),
        ("only the counts", &MATERIALIZED_COUNTS[..2], &without_columns),
        ("not granted", &MATERIALIZED_COUNTS, ""),
    ] {
        println!("{state}");
        let database = contract::database(Server::shared()).await;
        let admin = database.client().await.unwrap();
        for file in files {
            run_materialized_counts(&admin, file).await.unwrap();
        }
        admin.batch_execute(sql).await.unwrap();
        contract::assert_every_vector(database.url(), 1).await;
    }
}

/// A session with a message that its account's page would show.
async fn add(test: &TestApp, content: &str) {
    let sql = format!(
        "WITH s AS (INSERT INTO chat_sessions (user_id, widget_id, visitor_id) VALUES ('{ACCOUNT}', '{WIDGET}', 'v')
                    RETURNING id)
         SELECT set_config('test.session', id::text, true) FROM s;
         INSERT INTO chat_messages (session_id, role, content)
         VALUES (current_setting('test.session')::uuid, 'visitor', '{content}')"
    );
    test.database.load(&sql).await.unwrap();
}

/// The newest session's last message and count, and the total.
async fn seen(test: &TestApp) -> (Value, Value, i64) {
    let response = test.list(json!({ "from_date": "2000-01-01T12:00:00Z" })).await;
    let sessions = response.sessions();
    (sessions[0]["last_message"].clone(), sessions[0]["message_count"].clone(), response.total())
}

#[tokio::test]
async fn an_open_connection_stays_exact_while_the_set_is_installed_and_dropped() {
    let test = TestApp::start().await;
    let admin = test.database.client().await.unwrap();
    add(&test, "before").await;
    assert_eq!(seen(&test).await, (json!("before"), json!(1), 1));
    apply_materialized_counts(&admin).await.unwrap();
    add(&test, "installed").await;
    assert_eq!(seen(&test).await, (json!("installed"), json!(1), 2));
    // New connections send the materialized variant, so the changed value shows.
    testkit::end_connections(&admin).await.unwrap();
    admin.batch_execute("UPDATE chat_sessions SET last_message = 'materialized: ' || last_message").await.unwrap();
    assert_eq!(seen(&test).await, (json!("materialized: installed"), json!(1), 2));
    run_materialized_counts(&admin, "drop.sql").await.unwrap();
    add(&test, "dropped").await;
    let (page, resent) = test.read_page().await;
    assert_eq!((page.unwrap().total, resent), (3, 0), "no statement was retried on another connection");
    assert_eq!(seen(&test).await, (json!("dropped"), json!(1), 3));
}

#[tokio::test]
async fn an_account_deleted_before_the_backfill_leaves_no_rows() {
    let test = TestApp::start().await;
    let admin = test.database.client().await.unwrap();
    add(&test, "old").await;
    for file in MATERIALIZED_COUNTS {
        // The triggers subtract sessions that were never added, and the backfill finds no session of the account.
        if file == MATERIALIZED_COUNTS[2] {
            admin.batch_execute("DELETE FROM chat_sessions").await.unwrap();
        }
        run_materialized_counts(&admin, file).await.unwrap();
    }
    assert!(reconcile(&admin).await.unwrap().is_empty());
    add(&test, "new").await;
    testkit::end_connections(&admin).await.unwrap();
    admin.batch_execute(GRANT_MATERIALIZED_COUNTS).await.unwrap();
    assert_eq!(seen(&test).await, (json!("new"), json!(1), 1));
}

#[tokio::test]
async fn the_backfill_repairs_what_reconcile_reports() {
    let test = TestApp::start().await;
    let admin = test.database.client().await.unwrap();
    add(&test, "one").await;
    add(&test, "two").await;
    apply_materialized_counts(&admin).await.unwrap();
    for (tamper, values) in [
        ("UPDATE chat_sessions SET message_count = 7", vec!["message_count", "message_count"]),
        ("UPDATE chat_sessions SET last_message = 'other' WHERE last_message = 'one'", vec!["last_message"]),
        ("UPDATE chat_sessions SET last_message_id = gen_random_uuid() WHERE last_message = 'two'", vec!["last_message"]),
        ("UPDATE chat_session_counts SET n = n + 1", vec!["n", "total"]),
        (
            "UPDATE chat_session_counts SET days[31] = days[31] - 1, days[30] = days[30] + 1",
            vec!["day 30", "day 31", "total of day 30", "total of day 31"],
        ),
        ("DELETE FROM chat_session_counts", vec!["day", "n", "total", "total of day"]),
        ("UPDATE chat_session_totals SET n = n - 1", vec!["total"]),
        ("UPDATE chat_session_totals SET days[31] = days[31] - 1", vec!["total of day 31"]),
        ("DELETE FROM chat_session_totals", vec!["total", "total of day"]),
        (
            "SET session_replication_role = replica; INSERT INTO chat_sessions (user_id, widget_id, visitor_id, created_at)
             SELECT user_id, widget_id, 'unseen', '2026-03-04Z' FROM chat_sessions LIMIT 1; RESET session_replication_role",
            vec!["day 4", "n"],
        ),
    ] {
        admin.batch_execute(tamper).await.unwrap();
        let rows = reconcile(&admin).await.unwrap();
        let found: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        let is_found = found.len() == values.len() && found.iter().zip(&values).all(|(f, v)| f.starts_with(v));
        assert!(is_found, "{tamper}: {found:?}");
        admin.batch_execute("CALL backfill_chat_messages(again => true)").await.unwrap();
        admin.batch_execute("CALL backfill_chat_sessions()").await.unwrap();
        assert!(reconcile(&admin).await.unwrap().is_empty(), "{tamper}");
    }
}

//! Running the files upgrades a database that has an earlier version of the set.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use list_chat_sessions::{
    request::ListRequest,
    sessions::{Reading, page_statement},
};
use serde_json::json;
use testkit::{
    Database, Server,
    migrations::{MATERIALIZED_COUNTS, reconcile, run_materialized_counts, schema, statements},
    plan,
};
use tokio_postgres::Client;

/// The earlier versions, each as the scripts that install it.
const EARLIER: [(&str, &[&str]); 2] = [
    ("without totals", &[include_str!("before_totals.sql")]),
    ("with totals", &[include_str!("before_totals.sql"), include_str!("before_rename.sql")]),
];

const ROWS: &str = "
    INSERT INTO users VALUES ('ACCOUNT');
    INSERT INTO chat_widgets SELECT md5(w::text)::uuid, 'ACCOUNT' FROM generate_series(1, 5) w;
    INSERT INTO chat_sessions (user_id, widget_id, visitor_id, created_at)
      SELECT user_id, id, 'v', timestamptz '2026-01-01Z' + n * interval '5 days' FROM chat_widgets, generate_series(1, 40) n;";

/// The total by both variants of the statement, in one snapshot; the materialized one is NULL before the backfill.
async fn totals(client: &Client) -> Vec<(Option<i64>, i64)> {
    let mut totals = Vec::new();
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    for request in [json!({}), json!({ "status": "active" }), json!({ "from_date": "2026-02-10T12:00:00Z" })] {
        let list = ListRequest::parse(request.to_string().as_bytes(), 100).unwrap();
        let caller = plan::caller();
        let statement = page_statement(&caller, &list, Reading::default());
        let [materialized, computed] = [&statement.preferred(), &statement.fallback()];
        let materialized = &client.query_typed(materialized, &statement.parameters).await.unwrap()[0];
        let computed = &client.query_typed(computed, &statement.parameters).await.unwrap()[0];
        totals.push((materialized.get("total"), computed.get("total")));
    }
    client.batch_execute("COMMIT").await.unwrap();
    totals
}

/// A database with rows and an earlier version of the set, and its schema before the set was installed.
async fn database(scripts: &[&str]) -> (Database, Client, Vec<String>) {
    let database = Database::create(Server::shared()).await.unwrap();
    let client = database.client().await.unwrap();
    let without_set = schema(&client).await.unwrap();
    database.load(&ROWS.replace("ACCOUNT", testkit::ACCOUNT)).await.unwrap();
    for statement in scripts.iter().flat_map(|script| statements(script)) {
        client.batch_execute(statement).await.unwrap();
    }
    run_materialized_counts(&client, MATERIALIZED_COUNTS[3]).await.unwrap();
    client.batch_execute("GRANT SELECT ON chat_session_counts TO list_chat_sessions").await.unwrap();
    (database, client, without_set)
}

#[tokio::test]
async fn an_earlier_set_is_upgraded_alongside_its_writers() {
    let of_a_new_database = {
        let other = Database::create(Server::shared()).await.unwrap().client().await.unwrap();
        for file in MATERIALIZED_COUNTS {
            run_materialized_counts(&other, file).await.unwrap();
        }
        schema(&other).await.unwrap()
    };
    for (version, scripts) in EARLIER {
        let (database, client, _) = database(scripts).await;
        let is_done = Arc::new(AtomicBool::new(false));
        let writers: Vec<_> =
            (0..3).map(|number| tokio::spawn(write(database.clone(), number, Arc::clone(&is_done)))).collect();
        for file in MATERIALIZED_COUNTS {
            run_materialized_counts(&client, file).await.unwrap();
            // Only the second file creates the totals that the statement and reconcile.sql read.
            if version == "without totals" && file == MATERIALIZED_COUNTS[0] {
                continue;
            }
            for (materialized, computed) in totals(&client).await {
                assert!(materialized.is_some() || file != MATERIALIZED_COUNTS[3], "{version}, after {file}");
                assert_eq!(materialized.unwrap_or(computed), computed, "{version}, after {file}");
            }
            assert!(reconcile(&client).await.unwrap().is_empty(), "{version}, after {file}");
        }
        is_done.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.await.unwrap();
        }
        assert!(reconcile(&client).await.unwrap().is_empty(), "{version}");
        let counted = "SELECT has_totals FROM chat_session_counted";
        assert!(client.query_typed_one(counted, &[]).await.unwrap().get::<_, bool>(0), "{version}");
        let readable = "SELECT has_table_privilege('list_chat_sessions', 'chat_session_totals', 'SELECT')";
        assert!(
            client.query_typed_one(readable, &[]).await.unwrap().get::<_, bool>(0),
            "{version}: as the counts were"
        );
        assert_eq!(schema(&client).await.unwrap(), of_a_new_database, "{version}");
    }
}

/// Writes messages and sessions and closes sessions until `is_done`.
async fn write(database: Database, number: u32, is_done: Arc<AtomicBool>) {
    let writer = database.client().await.unwrap();
    while !is_done.load(Ordering::Relaxed) {
        let sql = format!(
            "INSERT INTO chat_sessions (user_id, widget_id, visitor_id, created_at)
               SELECT user_id, id, 'v', timestamptz '2026-02-01Z' + random() * interval '300 days'
               FROM chat_widgets WHERE id = md5('{number}')::uuid;
             INSERT INTO chat_messages (session_id, role, content)
               SELECT id, 'visitor', 'text' FROM chat_sessions WHERE widget_id = md5('{number}')::uuid LIMIT 1;
             UPDATE chat_sessions SET status = 'closed' WHERE id = (
               SELECT id FROM chat_sessions WHERE status = 'active' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)"
        );
        writer.batch_execute(&sql).await.unwrap();
    }
}

#[tokio::test]
async fn drop_removes_an_earlier_set() {
    for (version, scripts) in EARLIER {
        let (_database, client, without_set) = database(scripts).await;
        run_materialized_counts(&client, "drop.sql").await.unwrap();
        assert_eq!(schema(&client).await.unwrap(), without_set, "{version}");
    }
}

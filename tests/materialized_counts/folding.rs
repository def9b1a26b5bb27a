//! Writers fold the rows of the slots, a few at a time and without blocking each other.

use std::collections::BTreeMap;

use testkit::{
    Database, Server,
    migrations::{apply_materialized_counts, reconcile},
};
use tokio_postgres::Client;

/// The most rows that a writer folds when it inserts one, and the most that it leaves in its slot.
const FOLDED_MAX: i64 = 16;
const SLOT_MAX: i64 = 64;

/// A database with the set, one account and 200 widgets.
async fn database() -> Database {
    let database = Database::create(Server::shared()).await.unwrap();
    let sql = "INSERT INTO users VALUES ('USER');
               INSERT INTO chat_widgets SELECT md5(w::text)::uuid, 'USER' FROM generate_series(1, 200) w";
    database.load(&sql.replace("USER", testkit::ACCOUNT)).await.unwrap();
    apply_materialized_counts(&database.client().await.unwrap()).await.unwrap();
    database
}

/// `N` connections, each with a slot of its own.
async fn writers<const N: usize>(database: &Database) -> [Client; N] {
    let mut writers = BTreeMap::new();
    while writers.len() < N {
        let client = database.client().await.unwrap();
        client.batch_execute("SET lock_timeout = '1s'").await.unwrap();
        let slot: i16 = client.query_typed_one("SELECT counts_slot()", &[]).await.unwrap().get(0);
        writers.insert(slot, client);
    }
    writers.into_values().collect::<Vec<_>>().try_into().unwrap()
}

fn session(month: &str, widget: i64) -> String {
    format!(
        "INSERT INTO chat_sessions (user_id, widget_id, visitor_id, created_at)
         SELECT user_id, id, 'v', '2026-{month}-15Z' FROM chat_widgets WHERE id = md5('{widget}')::uuid;"
    )
}

/// The number of a month's rows that are not folded, and the sum of all its rows.
async fn month(client: &Client, month: &str) -> (i64, i64) {
    let sql = format!(
        "SELECT count(*) FILTER (WHERE slot >= 0), coalesce(sum(n), 0)::bigint
         FROM chat_session_counts WHERE month = '2026-{month}-01'"
    );
    let row = client.query_typed_one(&sql, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test]
async fn a_writer_folds_at_most_16_rows_of_past_months() {
    let database = database().await;
    let [writer] = writers(&database).await;
    for widget in 1..=SLOT_MAX {
        writer.batch_execute(&session("01", widget)).await.unwrap();
    }
    let (mut unfolded, total) = month(&writer, "01").await;
    assert_eq!((unfolded, total), (SLOT_MAX, SLOT_MAX), "the current month is not folded");
    for widget in 1..=SLOT_MAX / FOLDED_MAX {
        writer.batch_execute(&session("02", widget)).await.unwrap();
        let (left, total) = month(&writer, "01").await;
        assert!((1..=FOLDED_MAX).contains(&(unfolded - left)), "{unfolded} rows, and then {left}");
        assert_eq!(total, SLOT_MAX);
        unfolded = left;
    }
    assert!(unfolded < FOLDED_MAX, "{unfolded} rows are left");
    assert!(reconcile(&writer).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_slot_does_not_grow_with_the_number_of_widgets() {
    let database = database().await;
    let [writer] = writers(&database).await;
    for widget in 1..=200 {
        writer.batch_execute(&session("01", widget)).await.unwrap();
        assert!(month(&writer, "01").await.0 <= SLOT_MAX + 1, "after {widget} widgets");
    }
    // The same in one statement: it folds in proportion to the rows that it inserts.
    writer.batch_execute(&session("02", 1).replace("WHERE id = md5('1')::uuid", "")).await.unwrap();
    assert_eq!(month(&writer, "02").await.1, 200);
    assert!(month(&writer, "02").await.0 <= SLOT_MAX + 1);
    assert!(reconcile(&writer).await.unwrap().is_empty());
}

#[tokio::test]
async fn folding_neither_waits_nor_blocks_writers() {
    let database = database().await;
    let [busy, exact, other] = writers(&database).await;
    for widget in 1..=10 {
        for writer in [&busy, &exact, &other] {
            writer.batch_execute(&session("01", widget)).await.unwrap();
        }
    }
    assert_eq!(month(&other, "01").await, (30, 30));

    exact.batch_execute(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {} COMMIT", session("02", 1))).await.unwrap();
    assert_eq!(
        month(&other, "01").await,
        (30, 30),
        "REPEATABLE READ does not fold: it could fail because of another writer"
    );

    // The first writer has folded, and its rows are locked.
    busy.batch_execute(&format!("BEGIN; {}", session("02", 1))).await.unwrap();
    other.batch_execute(&session("02", 2)).await.unwrap();
    assert_eq!(month(&other, "01").await, (30, 30), "one writer folds at a time");
    busy.batch_execute("COMMIT").await.unwrap();
    let (unfolded, total) = month(&other, "01").await;
    assert!(unfolded <= 20 && total == 30, "{unfolded} rows of {total} sessions");

    // A row that is being written is not folded until the next time.
    busy.batch_execute(&format!("BEGIN; {}", session("02", 1))).await.unwrap();
    other.batch_execute("CALL fold_chat_session_counts()").await.unwrap();
    assert_eq!((month(&other, "01").await, month(&other, "02").await), ((0, 30), (1, 3)));
    busy.batch_execute("COMMIT").await.unwrap();
    other.batch_execute("CALL fold_chat_session_counts()").await.unwrap();
    assert_eq!(month(&other, "02").await, (0, 4));
    assert!(reconcile(&other).await.unwrap().is_empty());
}

#[tokio::test]
async fn folding_removes_the_rows_of_a_deleted_widget() {
    let database = database().await;
    let [one, two] = writers(&database).await;
    for month in ["01", "02", "03"] {
        one.batch_execute(&session(month, 1)).await.unwrap();
        one.batch_execute(&session(month, 2)).await.unwrap();
    }
    one.batch_execute("CALL fold_chat_session_counts()").await.unwrap();
    two.batch_execute("DELETE FROM chat_widgets WHERE id = md5('1')::uuid").await.unwrap();
    assert!(reconcile(&one).await.unwrap().is_empty());
    one.batch_execute("CALL fold_chat_session_counts()").await.unwrap();
    let rows = "SELECT count(*), count(*) FILTER (WHERE widget_id = md5('1')::uuid) FROM chat_session_counts";
    let row = one.query_typed_one(rows, &[]).await.unwrap();
    assert_eq!((row.get(0), row.get(1)), (3_i64, 0_i64));
    assert!(reconcile(&one).await.unwrap().is_empty());
}

//! A deleted account leaves no rows in the set's tables.

use std::time::Duration;

use testkit::{
    Database, Server,
    migrations::{MATERIALIZED_COUNTS, apply_materialized_counts, reconcile, run_materialized_counts},
};
use tokio_postgres::Client;

const ROWS: &str = "
    INSERT INTO users SELECT md5('account ' || a)::uuid FROM generate_series(1, 2) a;
    INSERT INTO chat_widgets SELECT md5(u.id::text || w)::uuid, u.id FROM users u, generate_series(1, 3) w;
    INSERT INTO chat_sessions (user_id, widget_id, visitor_id, created_at)
      SELECT user_id, id, 'v', timestamptz '2026-01-01Z' + n * interval '5 days' FROM chat_widgets, generate_series(1, 40) n;";

/// The rows in the set's tables of accounts that do not exist.
const LEFT_BEHIND: &str = "
    SELECT count(*) FROM (
      SELECT user_id FROM chat_session_counts UNION ALL SELECT user_id FROM chat_session_totals
      UNION ALL SELECT user_id FROM chat_session_counted WHERE user_id <> '00000000-0000-0000-0000-000000000000'
      UNION ALL SELECT user_id FROM chat_session_changes) counts
    WHERE NOT EXISTS (SELECT FROM users WHERE id = user_id)";

/// A database with rows, before or after the backfill.
async fn database(is_backfilled: bool) -> (Database, Client) {
    let database = Database::create(Server::shared()).await.unwrap();
    let client = database.client().await.unwrap();
    if is_backfilled {
        apply_materialized_counts(&client).await.unwrap();
        database.load(ROWS).await.unwrap();
    } else {
        database.load(ROWS).await.unwrap();
        run_materialized_counts(&client, MATERIALIZED_COUNTS[0]).await.unwrap();
        run_materialized_counts(&client, MATERIALIZED_COUNTS[1]).await.unwrap();
    }
    (database, client)
}

async fn assert_nothing_is_left(client: &Client, case: &str) {
    let left: i64 = client.query_typed_one(LEFT_BEHIND, &[]).await.unwrap().get(0);
    assert_eq!(left, 0, "{case}");
    assert!(reconcile(client).await.unwrap().is_empty(), "{case}");
}

const ACCOUNT: &str = "md5('account 1')::uuid";

#[tokio::test]
async fn a_deleted_account_leaves_no_rows() {
    for (case, fold) in [
        "DELETE FROM users WHERE id = ACCOUNT",
        "DELETE FROM users",
        "DELETE FROM chat_sessions WHERE user_id = ACCOUNT; DELETE FROM users WHERE id = ACCOUNT",
        "DELETE FROM chat_widgets WHERE user_id = ACCOUNT; DELETE FROM users WHERE id = ACCOUNT",
        "BEGIN; DELETE FROM chat_sessions WHERE user_id = ACCOUNT; DELETE FROM users WHERE id = ACCOUNT; COMMIT",
        // Deferred changes must not be counted after the deletion.
        "BEGIN; UPDATE chat_sessions SET status = 'closed'; DELETE FROM users WHERE id = ACCOUNT; COMMIT",
        "BEGIN; SET CONSTRAINTS ALL IMMEDIATE; UPDATE chat_sessions SET status = 'closed';
         DELETE FROM users WHERE id = ACCOUNT; COMMIT",
        "BEGIN ISOLATION LEVEL REPEATABLE READ; DELETE FROM users WHERE id = ACCOUNT; COMMIT",
        // An account that is inserted again has counts again.
        "BEGIN; DELETE FROM users WHERE id = ACCOUNT; INSERT INTO users VALUES (ACCOUNT);
         INSERT INTO chat_widgets VALUES (md5('new')::uuid, ACCOUNT);
         INSERT INTO chat_sessions (user_id, widget_id, visitor_id) VALUES (ACCOUNT, md5('new')::uuid, 'v'); COMMIT",
        "TRUNCATE users CASCADE",
    ]
    .iter()
    .flat_map(|case| [(case, false), (case, true)])
    {
        let (_database, client) = database(true).await;
        if fold {
            client.batch_execute("CALL fold_chat_session_counts()").await.unwrap();
        }
        client.batch_execute(&case.replace("ACCOUNT", ACCOUNT)).await.unwrap();
        assert_nothing_is_left(&client, case).await;
    }
}

#[tokio::test]
async fn an_account_deleted_during_the_backfill_leaves_no_rows_after_it() {
    let (_database, client) = database(false).await;
    client
        .batch_execute(&format!("UPDATE chat_sessions SET status = 'closed' WHERE user_id = {ACCOUNT}"))
        .await
        .unwrap();
    client.batch_execute(&format!("DELETE FROM users WHERE id = {ACCOUNT}")).await.unwrap();
    run_materialized_counts(&client, MATERIALIZED_COUNTS[2]).await.unwrap();
    assert_nothing_is_left(&client, "deleted before the backfill").await;

    let (_database, client) = database(true).await;
    let as_before = "TRUNCATE chat_session_counts, chat_session_totals, chat_session_counted";
    client.batch_execute(as_before).await.unwrap();
    client.batch_execute(&format!("CALL backfill_chat_sessions_of({ACCOUNT})")).await.unwrap();
    client.batch_execute(&format!("DELETE FROM users WHERE id = {ACCOUNT}")).await.unwrap();
    assert_nothing_is_left(&client, "deleted when only it was backfilled").await;
    run_materialized_counts(&client, MATERIALIZED_COUNTS[2]).await.unwrap();
    assert_nothing_is_left(&client, "after the backfill").await;
}

/// Waits until a connection to this database waits for a lock.
async fn until_one_waits(client: &Client) {
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let until = async {
        while client.query_typed_one(waiting, &[]).await.unwrap().get::<_, i64>(0) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), until).await.expect("the second waits for the first");
}

#[tokio::test]
async fn deleting_an_account_waits_for_writers_of_its_sessions() {
    for first in [
        "INSERT INTO chat_sessions (user_id, widget_id, visitor_id) SELECT user_id, id, 'v' FROM chat_widgets",
        "UPDATE chat_sessions SET status = 'closed'",
        "UPDATE chat_sessions SET created_at = '2025-01-01Z' WHERE id = (SELECT id FROM chat_sessions WHERE user_id = ACCOUNT LIMIT 1)",
        "DELETE FROM chat_sessions WHERE user_id = ACCOUNT",
        // A backfill of the account.
        "CALL backfill_chat_sessions_of(ACCOUNT)",
        "INSERT INTO chat_session_tasks VALUES ('fold', ACCOUNT)",
    ] {
        let (database, one) = database(true).await;
        let two = database.client().await.unwrap();
        one.batch_execute(&format!("BEGIN; {}", first.replace("ACCOUNT", ACCOUNT))).await.unwrap();
        let delete = format!("DELETE FROM users WHERE id = {ACCOUNT}");
        let end = async {
            until_one_waits(&database.client().await.unwrap()).await;
            one.batch_execute("COMMIT").await.unwrap();
        };
        let (deleted, ()) = tokio::join!(two.batch_execute(&delete), end);
        deleted.unwrap();
        assert_nothing_is_left(&two, first).await;
    }
}

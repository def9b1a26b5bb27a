//! Loading a dump that contains the rows of the set leaves exact counts.

use futures_util::{SinkExt, StreamExt, pin_mut};
use testkit::{
    Database, Server,
    migrations::{apply_materialized_counts, reconcile, run_materialized_counts},
};
use tokio_postgres::Client;

/// The product's tables in the order of their foreign keys, and the set's tables after or before them.
const ORDERS: [[&str; 7]; 2] = [
    [
        "users",
        "chat_widgets",
        "chat_sessions",
        "chat_messages",
        "chat_session_counted",
        "chat_session_counts",
        "chat_session_totals",
    ],
    [
        "chat_session_totals",
        "chat_session_counts",
        "chat_session_counted",
        "users",
        "chat_widgets",
        "chat_sessions",
        "chat_messages",
    ],
];

/// An account with two widgets, sessions in three months and messages; a part of its counts is folded.
async fn with_rows(account: u8) -> (Database, Client) {
    let database = Database::create(Server::shared()).await.unwrap();
    let client = database.client().await.unwrap();
    apply_materialized_counts(&client).await.unwrap();
    let sessions = "
        INSERT INTO users VALUES (md5('ACCOUNT')::uuid);
        INSERT INTO chat_widgets SELECT md5('ACCOUNT ' || w)::uuid, md5('ACCOUNT')::uuid FROM generate_series(1, 2) w;
        INSERT INTO chat_sessions (user_id, widget_id, visitor_id, created_at)
          SELECT user_id, id, 'v', timestamptz '2026-01-01Z' + n * interval '5 days'
          FROM chat_widgets, generate_series(1, 17) n;
        INSERT INTO chat_messages (session_id, role, content) SELECT id, 'visitor', 'text' FROM chat_sessions;";
    client.batch_execute(&sessions.replace("ACCOUNT", &account.to_string())).await.unwrap();
    client.batch_execute("CALL fold_chat_session_counts()").await.unwrap();
    client.batch_execute("UPDATE chat_sessions SET status = 'closed' WHERE created_at < '2026-02-01Z'").await.unwrap();
    (database, client)
}

async fn load_inserts(from: &Client, to: &Client, table: &str) {
    let statements = format!(
        "SELECT format('INSERT INTO {table} SELECT * FROM json_populate_record(NULL::{table}, %L) ON CONFLICT DO NOTHING',
                       to_json(t)) FROM {table} t"
    );
    for row in from.query_typed(&statements, &[]).await.unwrap() {
        to.batch_execute(row.get(0)).await.unwrap();
    }
}

async fn load_copy(from: &Client, to: &Client, table: &str) {
    let rows = from.copy_out(&format!("COPY {table} TO STDOUT")).await.unwrap();
    let sink = to.copy_in(&format!("COPY {table} FROM STDIN")).await.unwrap();
    pin_mut!(rows, sink);
    while let Some(row) = rows.next().await {
        sink.send(row.unwrap()).await.unwrap();
    }
    sink.finish().await.unwrap();
}

async fn total(client: &Client) -> i64 {
    let sql = "SELECT (SELECT coalesce(sum(n), 0) FROM chat_session_totals)::bigint
                      + (SELECT coalesce(sum(n), 0) FROM chat_session_counts WHERE slot >= 0)::bigint";
    client.query_typed_one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_data_load_does_not_count_sessions_twice() {
    let (_source, from) = with_rows(1).await;
    for order in ORDERS {
        for by_copy in [false, true] {
            for is_empty in [true, false] {
                let (_target, to) = with_rows(2).await;
                if is_empty {
                    to.batch_execute("DELETE FROM users").await.unwrap();
                }
                for table in order {
                    if by_copy {
                        load_copy(&from, &to, table).await;
                    } else {
                        load_inserts(&from, &to, table).await;
                    }
                }
                let case = format!("{order:?}, COPY {by_copy}, into an empty database {is_empty}");
                assert!(reconcile(&to).await.unwrap().is_empty(), "{case}");
                assert_eq!(total(&to).await, if is_empty { 34 } else { 68 }, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_data_load_marks_no_account_as_counted() {
    let (_source, from) = with_rows(1).await;
    let target = Database::create(Server::shared()).await.unwrap();
    let to = target.client().await.unwrap();
    load_copy(&from, &to, "users").await;
    load_copy(&from, &to, "chat_widgets").await;
    let session =
        "INSERT INTO chat_sessions (user_id, widget_id, visitor_id) SELECT user_id, id, 'v' FROM chat_widgets";
    to.batch_execute(session).await.unwrap();
    run_materialized_counts(&to, "1_columns.sql").await.unwrap();
    run_materialized_counts(&to, "2_counts.sql").await.unwrap();
    load_copy(&from, &to, "chat_session_counted").await;
    load_inserts(&from, &to, "chat_session_counted").await;
    let counted = to.query_typed("SELECT FROM chat_session_counted", &[]).await.unwrap();
    assert!(counted.is_empty(), "the session from before the set is not counted");
}

#[tokio::test]
async fn a_load_with_triggers_disabled_takes_the_loaded_counts() {
    let (_source, from) = with_rows(1).await;
    for (by_copy, counted) in [(true, "DELETE FROM chat_session_counted"), (false, "")] {
        let (_target, to) = with_rows(2).await;
        // COPY would insert the row for all accounts twice.
        to.batch_execute(counted).await.unwrap();
        to.batch_execute("SET session_replication_role = replica").await.unwrap();
        for table in ORDERS[0] {
            if by_copy {
                load_copy(&from, &to, table).await;
            } else {
                load_inserts(&from, &to, table).await;
            }
        }
        to.batch_execute("RESET session_replication_role").await.unwrap();
        assert!(reconcile(&to).await.unwrap().is_empty());
        assert_eq!(total(&to).await, 68);
        to.batch_execute("UPDATE chat_sessions SET status = NULL").await.unwrap();
        assert!(reconcile(&to).await.unwrap().is_empty());
    }
}

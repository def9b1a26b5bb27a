//! Past months are added together as new ones begin, and nobody waits for that.

use std::collections::BTreeMap;

use tokio_postgres::Client;

use crate::support::{
    database::Database,
    migrations::{apply_kept, reconcile},
    postgres::Server,
};

/// As many connections, each of which counts in a slot of its own.
async fn writers<const N: usize>(database: &Database) -> [Client; N] {
    let mut writers = BTreeMap::new();
    while writers.len() < N {
        let client = database.client().await.unwrap();
        client.batch_execute("SET lock_timeout = '1s'").await.unwrap();
        let slot: i16 = client.query_typed_one("SELECT kept_slot()", &[]).await.unwrap().get(0);
        writers.insert(slot, client);
    }
    writers.into_values().collect::<Vec<_>>().try_into().unwrap()
}

fn session(month: &str) -> String {
    format!(
        "INSERT INTO chat_sessions (user_id, widget_id, visitor_id, created_at)
         SELECT user_id, id, 'v', '2026-{month}-15Z' FROM chat_widgets;"
    )
}

/// The slots of each month: whether there is the one of what was added together, how many others, and the sum of all.
async fn months(client: &Client) -> Vec<(bool, i64, i64)> {
    let sql = "SELECT bool_or(slot = -1), count(*) FILTER (WHERE slot >= 0), sum(n)::bigint
               FROM chat_session_counts GROUP BY month ORDER BY month";
    client.query_typed(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect()
}

#[tokio::test]
async fn past_months_are_added_together_without_waiting_for_who_writes_them() {
    let database = Database::create(Server::shared()).await.unwrap();
    let sql = "INSERT INTO users VALUES ('USER'); INSERT INTO chat_widgets VALUES (gen_random_uuid(), 'USER')";
    database.load(&sql.replace("USER", crate::app::ACCOUNT)).await.unwrap();
    apply_kept(&database.client().await.unwrap()).await.unwrap();
    let [busy, exact, other] = writers(&database).await;
    for writer in [&busy, &exact, &other, &busy] {
        writer.batch_execute(&session("01")).await.unwrap();
    }
    assert_eq!(months(&other).await, [(false, 3, 4)]);

    busy.batch_execute(&format!("BEGIN; {}", session("01"))).await.unwrap();
    other.batch_execute(&session("02")).await.unwrap();
    assert_eq!(months(&other).await, [(true, 1, 4), (false, 1, 1)], "whose row is being written is left");
    busy.batch_execute("COMMIT").await.unwrap();

    exact.batch_execute(&format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {} COMMIT", session("03"))).await.unwrap();
    assert_eq!(months(&other).await, [(true, 1, 5), (false, 1, 1), (false, 1, 1)], "it could fail for others' sake");

    other.batch_execute(&session("04")).await.unwrap();
    assert_eq!(months(&other).await, [(true, 0, 5), (true, 0, 1), (true, 0, 1), (false, 1, 1)]);
    assert!(reconcile(&other).await.unwrap().is_empty());
}

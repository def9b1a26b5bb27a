//! Two concurrent transactions: the second waits for the first, and the counts are exact when both have ended.

use std::time::Duration;

use testkit::{
    Database, Server,
    migrations::{apply_materialized_counts, reconcile},
};
use tokio_postgres::{Client, error::SqlState};

const LONG: &str = "5eed0000-0000-4000-8000-000000000001";
const EMPTY: &str = "5eed0000-0000-4000-8000-000000000002";

/// A session with two messages and one with none.
fn rows() -> String {
    format!(
        "INSERT INTO users VALUES ('{user}');
         INSERT INTO chat_widgets VALUES ('{widget}', '{user}');
         INSERT INTO chat_sessions (id, user_id, widget_id, visitor_id)
           VALUES ('{LONG}', '{user}', '{widget}', 'v'), ('{EMPTY}', '{user}', '{widget}', 'v');
         INSERT INTO chat_messages (session_id, role, content, created_at)
           VALUES ('{LONG}', 'agent', 'first', '2026-01-01Z'), ('{LONG}', 'agent', 'second', '2026-01-02Z')",
        user = testkit::ACCOUNT,
        widget = testkit::WIDGET,
    )
}

fn say(session: &str) -> String {
    format!("INSERT INTO chat_messages (session_id, role, content) VALUES ('{session}', 'visitor', 'newest')")
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

/// Returns the result of the second and every value that is wrong afterwards.
async fn meet(first: &str, second: &str) -> (Result<(), Option<SqlState>>, Vec<String>) {
    let database = Database::create(Server::shared()).await.unwrap();
    database.load(&rows()).await.unwrap();
    let (one, two) = (database.client().await.unwrap(), database.client().await.unwrap());
    apply_materialized_counts(&one).await.unwrap();
    // The product's trigger would lock the session first. Under another name it could fire after the set's triggers.
    one.batch_execute("ALTER TABLE chat_messages DISABLE TRIGGER chat_messages_set_last_message_at").await.unwrap();
    one.batch_execute(&format!("BEGIN; {first}")).await.unwrap();
    let end = async {
        until_one_waits(&database.client().await.unwrap()).await;
        one.batch_execute("COMMIT").await.unwrap();
    };
    let (ended, ()) = tokio::join!(two.batch_execute(second), end);
    let wrong = reconcile(&one).await.unwrap();
    (ended.map_err(|error| error.code().cloned()), wrong.iter().map(|row| row.get(0)).collect())
}

#[tokio::test]
async fn a_writer_that_waited_counts_what_the_other_committed() {
    let insert = say(LONG);
    let move_away = format!("UPDATE chat_messages SET session_id = '{EMPTY}' WHERE content = 'second'");
    let delete_first = "DELETE FROM chat_messages WHERE content = 'first'";
    let insert_old = format!(
        "INSERT INTO chat_messages (session_id, role, content, created_at)
         VALUES ('{LONG}', 'agent', 'found in an archive', '2026-01-01 12:00Z')"
    );
    for (first, second) in [
        (&*insert, &*insert),
        (&insert, &insert_old),
        (&insert, delete_first),
        (&insert, "UPDATE chat_messages SET content = 'edited' WHERE content = 'first'"),
        (&insert, &move_away),
        (&insert, "CALL backfill_chat_messages(again => true)"),
        (&insert, "TRUNCATE chat_messages"),
        (&insert, "BEGIN ISOLATION LEVEL REPEATABLE READ; TRUNCATE chat_sessions CASCADE; COMMIT"),
        (&move_away, delete_first),
        (&move_away, &say(EMPTY)),
        (&move_away, "CALL backfill_chat_messages(again => true)"),
        (delete_first, "UPDATE chat_messages SET created_at = NULL WHERE content = 'second'"),
        (delete_first, &insert),
        ("DELETE FROM chat_messages WHERE content = 'second'", &insert_old),
        ("DELETE FROM chat_messages", &insert_old),
    ] {
        assert_eq!(meet(first, second).await, (Ok(()), vec![]), "{first}, and concurrently: {second}");
    }
}

#[tokio::test]
async fn a_writer_with_an_older_snapshot_fails() {
    let [insert, into_empty] = [LONG, EMPTY].map(say);
    let too_late = SqlState::T_R_SERIALIZATION_FAILURE;
    for (first, second, code) in [
        (&insert, "DELETE FROM chat_messages WHERE content = 'first'", too_late.clone()),
        (&insert, "UPDATE chat_messages SET content = 'edited' WHERE content = 'first'", too_late),
        // The snapshot is older than the message, and TRUNCATE removes the message anyway.
        (&into_empty, "TRUNCATE chat_messages", SqlState::FEATURE_NOT_SUPPORTED),
    ] {
        let second = format!("BEGIN ISOLATION LEVEL REPEATABLE READ; {second}; COMMIT");
        assert_eq!(meet(first, &second).await, (Err(Some(code)), vec![]), "{first}, and concurrently: {second}");
    }
}

#[tokio::test]
async fn concurrent_backfills_add_what_is_missing_once() {
    let call = format!("CALL backfill_chat_sessions_of('{}')", testkit::ACCOUNT);
    for lacking in ["chat_session_counts", "chat_session_totals", "chat_session_counts, chat_session_totals"] {
        let first = format!("TRUNCATE {lacking}; COMMIT; BEGIN; {call}");
        assert_eq!(meet(&first, &call).await, (Ok(()), vec![]), "without {lacking}");
    }
}

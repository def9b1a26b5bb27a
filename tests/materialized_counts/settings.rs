//! No setting, temporary table or missing privilege of a writer makes the counts wrong.

use testkit::{
    Database, Server,
    migrations::{apply_materialized_counts, reconcile},
};
use tokio_postgres::Client;

async fn database() -> (Database, Client) {
    let database = Database::create(Server::shared()).await.unwrap();
    let client = database.client().await.unwrap();
    apply_materialized_counts(&client).await.unwrap();
    let rows = format!(
        "INSERT INTO users VALUES ('{user}');
         INSERT INTO chat_widgets VALUES ('{widget}', '{user}');
         INSERT INTO chat_sessions (user_id, widget_id, visitor_id, created_at)
           SELECT '{user}', '{widget}', 'v', timestamptz '2026-01-01Z' + n * interval '1 day' FROM generate_series(1, 60) n;
         INSERT INTO chat_messages (session_id, role, content, created_at)
           SELECT id, 'agent', 'first', '2026-01-01Z' FROM chat_sessions;",
        user = testkit::ACCOUNT,
        widget = testkit::WIDGET,
    );
    database.load(&rows).await.unwrap();
    (database, client)
}

async fn wrong(client: &Client) -> Vec<String> {
    reconcile(client).await.unwrap().iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn no_session_setting_makes_a_count_wrong() {
    let close = "UPDATE chat_sessions SET status = 'closed'";
    let (_database, client) = database().await;
    for setting in [
        "SET LOCAL counts.changed = 'x'",
        "SET LOCAL counts.changed = '-1'",
        "SET LOCAL counts.changed = '99'",
        "SET LOCAL counts.changed = '99999999999999999999'",
        "SET LOCAL counts.changed = ''",
        "RESET ALL",
        "SET CONSTRAINTS ALL IMMEDIATE",
        "SET LOCAL row_security = off",
        "SET LOCAL standard_conforming_strings = off",
        "SET LOCAL TimeZone = 'Pacific/Apia'",
        "SET LOCAL DateStyle = 'German'",
        "SET LOCAL search_path = pg_catalog",
    ] {
        for undo in ["", "SAVEPOINT undone; UPDATE public.chat_sessions SET status = 'odd'; ROLLBACK TO undone;"] {
            let close = close.replace("chat_sessions", "public.chat_sessions");
            let open = close.replace("'closed'", "'active'");
            let sql = format!(
                "BEGIN; {undo} {setting}; {close}; {setting}; {open} WHERE visitor_id = 'v'; {setting}; COMMIT"
            );
            client.batch_execute(&sql).await.unwrap();
            assert!(wrong(&client).await.is_empty(), "{sql}");
            let sql = format!(
                "BEGIN; {setting}; {close}; {setting}; DELETE FROM public.chat_sessions WHERE id = (
                                 SELECT id FROM public.chat_sessions LIMIT 1); COMMIT"
            );
            client.batch_execute(&sql).await.unwrap();
            assert!(wrong(&client).await.is_empty(), "{sql}");
        }
    }
}

#[tokio::test]
async fn truncate_discards_deferred_changes() {
    let (_database, client) = database().await;
    let sql = format!(
        "BEGIN; UPDATE chat_sessions SET status = 'closed'; TRUNCATE chat_sessions CASCADE;
         INSERT INTO chat_sessions (user_id, widget_id, visitor_id) VALUES ('{}', '{}', 'v'); COMMIT",
        testkit::ACCOUNT,
        testkit::WIDGET
    );
    client.batch_execute(&sql).await.unwrap();
    assert!(wrong(&client).await.is_empty());
}

#[tokio::test]
async fn sessions_of_any_time_are_counted() {
    let (_database, client) = database().await;
    for time in [
        "4714-11-24 00:00:00+00 BC",
        "4713-12-31 23:59:59.999999+00 BC",
        "4713-01-01 00:00:00+00 BC",
        "0001-12-31Z BC",
        "294276-12-31 23:59:59.999999Z",
        "infinity",
        "-infinity",
    ] {
        client.batch_execute(&format!("UPDATE chat_sessions SET created_at = '{time}'")).await.unwrap();
        assert!(wrong(&client).await.is_empty(), "{time}");
    }
}

/// A role that may write the product's tables and has no privileges on the set's.
const WRITER: &str = "
    CREATE SCHEMA others; GRANT USAGE ON SCHEMA others TO list_chat_sessions;
    GRANT INSERT, DELETE ON chat_sessions, chat_messages TO list_chat_sessions;
    GRANT UPDATE (status) ON chat_sessions TO list_chat_sessions;
    GRANT UPDATE (content, created_at) ON chat_messages TO list_chat_sessions;
    GRANT SELECT ON chat_sessions, chat_messages, chat_widgets TO list_chat_sessions;
    GRANT REFERENCES ON chat_sessions TO list_chat_sessions;
    ALTER TABLE chat_messages DISABLE TRIGGER chat_messages_set_last_message_at;
    SET ROLE list_chat_sessions;
    SET default_transaction_read_only = off;";

/// Every kind of write.
const WRITES: &str = "
    INSERT INTO public.chat_messages (session_id, role, content, created_at)
      SELECT id, 'visitor', 'newest', '2026-02-01Z' FROM public.chat_sessions;
    INSERT INTO public.chat_messages (session_id, role, content, created_at)
      SELECT id, 'visitor', 'oldest', '2025-02-01Z' FROM public.chat_sessions;
    UPDATE public.chat_messages SET content = 'edited' WHERE content = 'newest';
    DELETE FROM public.chat_messages WHERE content = 'edited';
    UPDATE public.chat_sessions SET status = 'closed';
    INSERT INTO public.chat_sessions (user_id, widget_id, visitor_id) SELECT user_id, id, 'v' FROM public.chat_widgets;
    DELETE FROM public.chat_sessions WHERE id = (SELECT id FROM public.chat_sessions LIMIT 1);";

#[tokio::test]
async fn a_writer_needs_no_privileges_on_the_counts() {
    let (_database, client) = database().await;
    client.batch_execute(WRITER).await.unwrap();
    client.batch_execute(WRITES).await.unwrap();
    client.batch_execute("RESET ROLE").await.unwrap();
    assert!(wrong(&client).await.is_empty());
}

#[tokio::test]
async fn temporary_tables_of_a_writer_are_ignored() {
    let (_database, client) = database().await;
    for table in
        ["chat_sessions", "chat_messages", "chat_session_counts", "chat_session_totals", "chat_session_changes"]
    {
        client.batch_execute(&format!("CREATE TEMP TABLE {table} (LIKE public.{table} INCLUDING ALL)")).await.unwrap();
    }
    client.batch_execute("SET search_path = pg_temp, public").await.unwrap();
    client.batch_execute(WRITES).await.unwrap();
    client.batch_execute("DISCARD TEMP; RESET search_path").await.unwrap();
    assert!(wrong(&client).await.is_empty());
}

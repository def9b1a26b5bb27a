//! Installing the set: its changes to a database, its failures, and its removal by `drop.sql`.

use testkit::{
    Database, Server,
    migrations::{MATERIALIZED_COUNTS, apply_materialized_counts, reconcile, run_materialized_counts, schema},
};

#[tokio::test]
async fn drop_restores_the_schema() {
    let database = Database::create(Server::shared()).await.unwrap();
    let client = database.client().await.unwrap();
    let before = schema(&client).await.unwrap();
    apply_materialized_counts(&client).await.unwrap();
    let with = schema(&client).await.unwrap();
    apply_materialized_counts(&client).await.unwrap();
    assert_eq!(schema(&client).await.unwrap(), with, "each file may run again");
    assert!(with.iter().any(|line| line.contains("message_count")));
    for _ in 0..2 {
        run_materialized_counts(&client, "drop.sql").await.unwrap();
        assert_eq!(schema(&client).await.unwrap(), before);
    }
}

#[tokio::test]
async fn drop_works_on_a_part_of_the_set() {
    for files in [&MATERIALIZED_COUNTS[..1], &MATERIALIZED_COUNTS[..2], &MATERIALIZED_COUNTS[..3]] {
        let database = Database::create(Server::shared()).await.unwrap();
        let client = database.client().await.unwrap();
        let before = schema(&client).await.unwrap();
        for file in files {
            run_materialized_counts(&client, file).await.unwrap();
        }
        run_materialized_counts(&client, "drop.sql").await.unwrap();
        assert_eq!(schema(&client).await.unwrap(), before, "{files:?}");
    }
}

#[tokio::test]
async fn the_counts_cannot_be_installed_before_the_columns() {
    let database = Database::create(Server::shared()).await.unwrap();
    let client = database.client().await.unwrap();
    let before = schema(&client).await.unwrap();
    let error = format!("{:#}", run_materialized_counts(&client, MATERIALIZED_COUNTS[1]).await.unwrap_err());
    assert!(error.contains("run 1_columns.sql"), "{error}");
    assert_eq!(schema(&client).await.unwrap(), before);
}

#[tokio::test]
async fn drop_changes_nothing_if_other_objects_depend_on_the_set() {
    for (create, name, drop) in [
        ("CREATE VIEW odd AS SELECT * FROM chat_sessions", "view odd", "DROP VIEW odd"),
        (
            "CREATE MATERIALIZED VIEW odd AS SELECT id, message_count FROM chat_sessions",
            "materialized view odd",
            "DROP MATERIALIZED VIEW odd",
        ),
        ("CREATE VIEW odd AS SELECT sum(n) FROM chat_session_totals", "view odd", "DROP VIEW odd"),
        (
            "CREATE RULE odd AS ON UPDATE TO chat_sessions WHERE NEW.message_count < 0 DO INSTEAD NOTHING",
            "rule odd",
            "DROP RULE odd ON chat_sessions",
        ),
        (
            "CREATE PUBLICATION odd FOR TABLE chat_sessions (id, last_message)",
            "publication odd",
            "DROP PUBLICATION odd",
        ),
        (
            "ALTER TABLE chat_sessions ADD COLUMN odd boolean GENERATED ALWAYS AS (message_count > 0) STORED",
            "column odd",
            "ALTER TABLE chat_sessions DROP COLUMN odd",
        ),
        (
            "CREATE POLICY odd ON chat_sessions USING (message_count > 0)",
            "policy odd",
            "DROP POLICY odd ON chat_sessions",
        ),
        (
            "CREATE FUNCTION odd() RETURNS integer BEGIN ATOMIC SELECT max(message_count) FROM chat_sessions; END",
            "function odd()",
            "DROP FUNCTION odd()",
        ),
    ] {
        let database = Database::create(Server::shared()).await.unwrap();
        let client = database.client().await.unwrap();
        let before = schema(&client).await.unwrap();
        apply_materialized_counts(&client).await.unwrap();
        let with = schema(&client).await.unwrap();
        client.batch_execute(create).await.unwrap();
        let error = format!("{:#}", run_materialized_counts(&client, "drop.sql").await.unwrap_err());
        assert!(error.contains("nothing was changed") && error.contains(name), "{create}: {error}");
        client.batch_execute(drop).await.unwrap();
        assert_eq!(schema(&client).await.unwrap(), with, "{create}");
        run_materialized_counts(&client, "drop.sql").await.unwrap();
        assert_eq!(schema(&client).await.unwrap(), before, "{create}");
    }
}

/// Some hosted PostgreSQL services grant everything to the roles of their API.
const DEFAULT_PRIVILEGES: &str = "
    DO $$ BEGIN CREATE ROLE counts_api; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON TABLES TO counts_api, list_chat_sessions;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO counts_api;
    ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON ROUTINES TO counts_api;
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC;";

const GRANTED: &str = "
    SELECT oid::regclass::text FROM pg_class, aclexplode(relacl) a
    WHERE relname LIKE 'chat_session\\_%' AND relkind IN ('r', 'v', 'S') AND a.grantee <> relowner";

const EXECUTABLE: &str = "
    SELECT p.oid::regprocedure::text FROM pg_proc p, (VALUES ('counts_api'), ('list_chat_sessions')) r (role)
    WHERE proname ~ '^(counts|backfill|fold)_' AND has_function_privilege(role, p.oid, 'EXECUTE')";

#[tokio::test]
async fn only_the_owner_may_use_the_tables_and_functions_until_granted() {
    let database = Database::create(Server::shared()).await.unwrap();
    let client = database.client().await.unwrap();
    let found = async |sql: &str| {
        let rows = client.query_typed(sql, &[]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect::<Vec<String>>()
    };
    client.batch_execute(DEFAULT_PRIVILEGES).await.unwrap();
    run_materialized_counts(&client, MATERIALIZED_COUNTS[0]).await.unwrap();
    assert!(found(EXECUTABLE).await.is_empty(), "{:?}", found(EXECUTABLE).await);
    run_materialized_counts(&client, MATERIALIZED_COUNTS[1]).await.unwrap();
    assert!(found(GRANTED).await.is_empty(), "{:?}", found(GRANTED).await);
    assert!(found(EXECUTABLE).await.is_empty(), "{:?}", found(EXECUTABLE).await);
    apply_materialized_counts(&client).await.unwrap();
    for file in MATERIALIZED_COUNTS {
        run_materialized_counts(&client, file).await.unwrap();
    }
    let mut granted = found(GRANTED).await;
    granted.sort();
    assert_eq!(granted, ["chat_session_counted", "chat_session_counts", "chat_session_totals"], "later grants stay");
    assert!(found(EXECUTABLE).await.is_empty(), "{:?}", found(EXECUTABLE).await);
    let all = "SELECT proname::text FROM pg_proc WHERE proname ~ '^(counts|backfill|fold)_'";
    assert!(found(all).await.len() > 20);
}

/// An owner of the tables that is subject to row level security.
const OWNER: &str = "
    DO $$ BEGIN CREATE ROLE counts_owner; EXCEPTION WHEN duplicate_object OR unique_violation THEN END $$;
    GRANT ALL ON SCHEMA public TO counts_owner;
    ALTER TABLE users OWNER TO counts_owner;
    ALTER TABLE chat_widgets OWNER TO counts_owner;
    ALTER TABLE chat_sessions OWNER TO counts_owner;
    ALTER TABLE chat_messages OWNER TO counts_owner;";

const ROWS: &str = "
    INSERT INTO users VALUES (md5('a')::uuid);
    INSERT INTO chat_widgets VALUES (md5('w')::uuid, md5('a')::uuid);
    INSERT INTO chat_sessions (id, user_id, widget_id, visitor_id) VALUES (md5('s')::uuid, md5('a')::uuid, md5('w')::uuid, 'v');";

fn force(table: &str) -> String {
    format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; ALTER TABLE {table} FORCE ROW LEVEL SECURITY;")
}

#[tokio::test]
async fn installation_fails_if_row_level_security_hides_rows() {
    for table in ["chat_sessions", "chat_messages"] {
        let database = Database::create(Server::shared()).await.unwrap();
        let client = database.client().await.unwrap();
        client.batch_execute(&format!("{OWNER} {}", force(table))).await.unwrap();
        client.batch_execute("SET ROLE counts_owner").await.unwrap();
        let error = format!("{:#}", apply_materialized_counts(&client).await.unwrap_err());
        assert!(error.contains("row level security on chat_sessions or chat_messages"), "{table}: {error}");
        // A superuser sees all rows.
        client.batch_execute("RESET ROLE").await.unwrap();
        apply_materialized_counts(&client).await.unwrap();
    }
}

#[tokio::test]
async fn row_level_security_enabled_later_rejects_writes_that_would_be_miscounted() {
    let say =
        "INSERT INTO chat_messages (session_id, role, content, created_at) VALUES (md5('s')::uuid, 'visitor', 'text', ";
    for table in ["chat_sessions", "chat_messages"] {
        let database = Database::create(Server::shared()).await.unwrap();
        let client = database.client().await.unwrap();
        client.batch_execute(&format!("{OWNER} SET ROLE counts_owner")).await.unwrap();
        for file in MATERIALIZED_COUNTS {
            run_materialized_counts(&client, file).await.unwrap();
        }
        client.batch_execute("RESET ROLE").await.unwrap();
        client.batch_execute(&format!("{ROWS} {say} '2026-02-01Z')")).await.unwrap();
        client.batch_execute(&force(table)).await.unwrap();
        for write in [
            format!("{say} '2026-01-01Z')"),
            "UPDATE chat_messages SET content = 'edited'".to_owned(),
            "DELETE FROM chat_messages".to_owned(),
            "SET ROLE counts_owner; CALL backfill_chat_messages(again => true)".to_owned(),
        ] {
            let error = client.batch_execute(&write).await.expect_err(&write);
            client.batch_execute("RESET ROLE").await.unwrap();
            let text = error.as_db_error().unwrap().message();
            assert!(text.contains("row level security hides"), "{table}: {write}: {text}");
        }
        assert!(reconcile(&client).await.unwrap().is_empty());
        // Changes of sessions read no hidden rows and are still counted.
        client.batch_execute("UPDATE chat_sessions SET status = 'closed'").await.unwrap();
        assert!(reconcile(&client).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn installation_fails_without_the_foreign_keys_or_with_a_missing_trigger() {
    for (sql, words) in [
        ("ALTER TABLE chat_messages DROP CONSTRAINT chat_messages_session_id_fkey", "needs a valid foreign key"),
        (
            "ALTER TABLE chat_messages ALTER CONSTRAINT chat_messages_session_id_fkey DEFERRABLE",
            "needs a valid foreign key",
        ),
        (
            "INSTALLED ALTER TABLE chat_messages DISABLE TRIGGER counts_messages_deleted",
            "a trigger of the set is missing",
        ),
        ("ALTER TABLE chat_sessions DROP CONSTRAINT chat_sessions_user_id_fkey", "needs a valid foreign key to users"),
        ("INSTALLED DROP TRIGGER counts_sessions_deleted ON chat_sessions", "a trigger of the set is missing"),
    ] {
        let database = Database::create(Server::shared()).await.unwrap();
        let client = database.client().await.unwrap();
        if sql.starts_with("INSTALLED") {
            apply_materialized_counts(&client).await.unwrap();
        }
        client.batch_execute(sql.trim_start_matches("INSTALLED")).await.unwrap();
        let error = apply_materialized_counts(&client).await.unwrap_err();
        assert!(format!("{error:#}").contains(words), "{sql}: {error:#}");
    }
}

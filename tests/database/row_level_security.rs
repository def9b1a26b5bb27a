//! Row level security, as in the product's database: every page is complete, or the response is a 503 that the log explains.

use std::time::Instant;

use list_chat_sessions::database::CHECK_INTERVAL;
use serde_json::{Value, json};
use testkit::{
    Database, Function, Secrets, Server, TOKEN, contract, end_connections,
    environment::{lines, secrets_with, start, status},
    product_database::{self, install_counts},
    request, ring, role,
};
use tokio_postgres::Client;

const RUN: &str = "Run docs/role.sql";

/// The contract's rows in a database like the product's.
struct Product {
    _server: Server,
    database: Database,
    admin: Client,
    secrets: Secrets,
}

impl Product {
    async fn create() -> Self {
        let server = Server::start().unwrap();
        let database = product_database::create(&server).await.unwrap();
        database.load(contract::ROWS).await.unwrap();
        let admin = database.client().await.unwrap();
        Self { _server: server, database, admin, secrets: secrets_with(ring(&[TOKEN])).await }
    }

    async fn start(&self) -> Function {
        start(&self.secrets, &[("DATABASE_URL", self.database.url())]).await.unwrap()
    }

    async fn execute(&self, sql: &str) {
        self.admin.batch_execute(sql).await.unwrap_or_else(|error| panic!("{error:?}: {sql}"));
    }

    /// The page and the status.
    async fn request(&self, function: &Function) -> (u64, Value) {
        let event = request::post(TOKEN, "{}").to_string();
        let response = function.invoke(event).await.unwrap().response().unwrap();
        let body = serde_json::from_str(response["body"].as_str().unwrap()).unwrap();
        if response["statusCode"] == 503 {
            assert_eq!(response["headers"]["retry-after"], "5", "{response}");
        }
        (response["statusCode"].as_u64().unwrap(), body)
    }
}

/// The logged cause of the last request's failure.
fn cause(function: &Function) -> String {
    let lines = lines(function);
    let line = lines.last().unwrap();
    assert_eq!((&line["level"], &line["Outcome"]), (&json!("ERROR"), &json!("service_unavailable")), "{line}");
    line["cause"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_vector_passes_on_the_products_database_with_and_without_the_counts() {
    let product = Product::create().await;
    contract::assert_every_vector(product.database.url(), 1).await;
    install_counts(&product.admin).await.unwrap();
    contract::assert_every_vector(product.database.url(), 1).await;
    product.execute("UPDATE chat_sessions SET last_message = 'from the counts' WHERE message_count > 0").await;
    let function = product.start().await;
    let (_, page) = product.request(&function).await;
    assert!(page.to_string().contains("from the counts"), "the counts are used: {page}");
}

/// Restores everything that a case may have changed to the state before docs/role.sql.
const RESET: &str = "
    DO $$
    DECLARE
      r record;
    BEGIN
      FOR r IN SELECT polname, polrelid::regclass AS of FROM pg_policy
               WHERE polname = 'list_chat_sessions' OR polname ~ '^case' LOOP
        EXECUTE format('DROP POLICY %I ON %s', r.polname, r.of);
      END LOOP;
      FOR r IN SELECT unnest('{chat_widgets,chat_sessions,chat_messages}'::regclass[]) AS of LOOP
        EXECUTE format('ALTER TABLE %s OWNER TO postgres, NO FORCE ROW LEVEL SECURITY', r.of);
        EXECUTE format('GRANT SELECT ON %s TO list_chat_sessions', r.of);
      END LOOP;
    END
    $$;
    REVOKE readers FROM list_chat_sessions;
    ALTER ROLE list_chat_sessions NOBYPASSRLS INHERIT";

#[tokio::test]
async fn an_incomplete_setup_gives_503_or_the_right_page() {
    let product = Product::create().await;
    let function = product.start().await;
    let (_, all) = product.request(&function).await;
    assert_eq!((all["total"].as_i64(), all["sessions"][0]["message_count"].as_i64()), (Some(5), Some(0)));
    product.execute("CREATE ROLE readers; CREATE ROLE strangers").await;
    // One statement for each of the three tables.
    let each =
        |sql: &str| ["chat_widgets", "chat_sessions", "chat_messages"].map(|table| sql.replace('?', table)).join(";");
    let (policy, own) = ("CREATE POLICY case_1 ON", "TO list_chat_sessions USING (true)");
    let three = "chat_widgets, chat_sessions, chat_messages";
    for (case, sql, hidden) in [
        ("no policy", String::new(), Some(three)),
        ("on sessions only", format!("{policy} chat_sessions FOR SELECT {own}"), Some("chat_widgets, chat_messages")),
        (
            "on two of three",
            format!("{policy} chat_sessions FOR SELECT {own}; {policy} chat_widgets FOR SELECT {own}"),
            Some("chat_messages"),
        ),
        ("for SELECT", each(&format!("{policy} ? FOR SELECT {own}")), None),
        ("for ALL", each(&format!("{policy} ? {own}")), None),
        ("for UPDATE", each(&format!("{policy} ? FOR UPDATE {own}")), Some(three)),
        ("for PUBLIC only", each(&format!("{policy} ? FOR SELECT USING (true)")), Some(three)),
        ("restrictive only", each(&format!("{policy} ? AS RESTRICTIVE FOR SELECT {own}")), Some(three)),
        ("for a role of strangers", each(&format!("{policy} ? FOR SELECT TO strangers USING (true)")), Some(three)),
        (
            "for a role that ours is a member of",
            each(&format!("{policy} ? FOR SELECT TO readers USING (true)")) + "; GRANT readers TO list_chat_sessions",
            None,
        ),
        (
            "for a role whose rights ours does not inherit",
            each(&format!("{policy} ? FOR SELECT TO readers USING (true)"))
                + "; GRANT readers TO list_chat_sessions; ALTER ROLE list_chat_sessions NOINHERIT",
            Some(three),
        ),
        ("role with BYPASSRLS", "ALTER ROLE list_chat_sessions BYPASSRLS".into(), None),
        ("role as owner", each("ALTER TABLE ? OWNER TO list_chat_sessions"), None),
        (
            "role as owner, forced",
            each("ALTER TABLE ? OWNER TO list_chat_sessions, FORCE ROW LEVEL SECURITY"),
            Some(three),
        ),
        (
            "role as owner, forced, with a policy",
            each(&format!("ALTER TABLE ? OWNER TO list_chat_sessions, FORCE ROW LEVEL SECURITY; {policy} ? {own}")),
            None,
        ),
        ("forced, with a policy", each(&format!("ALTER TABLE ? FORCE ROW LEVEL SECURITY; {policy} ? {own}")), None),
        (
            "hidden again by a restrictive policy for PUBLIC",
            each(&format!("{policy} ? {own}")) + "; CREATE POLICY case_2 ON chat_sessions AS RESTRICTIVE USING (false)",
            Some("chat_sessions (restrictive policy case_2 is for PUBLIC)"),
        ),
        (
            "with a restrictive policy for others",
            each(&format!("{policy} ? {own}"))
                + "; CREATE POLICY case_2 ON chat_sessions AS RESTRICTIVE TO authenticated USING (false)",
            None,
        ),
    ] {
        product.execute(RESET).await;
        product.execute(&sql).await;
        end_connections(&product.admin).await.unwrap();
        let (status, page) = product.request(&function).await;
        match hidden {
            None => assert_eq!((status, &page), (200, &all), "{case}"),
            Some(tables) => {
                assert_eq!(status, 503, "{case}: {page}");
                let cause = cause(&function);
                let expected = format!("row level security may hide rows from the function's role: {tables}. {RUN}");
                assert!(cause.starts_with(&expected), "{case}: {cause}");
            }
        }
    }
    product.execute(RESET).await;
    role::create(&product.admin, role::PASSWORD).await.unwrap();
    assert_eq!(product.request(&function).await, (200, all));
}

#[tokio::test]
async fn a_policy_for_the_role_decides_which_sessions_it_lists_and_counts() {
    let product = Product::create().await;
    install_counts(&product.admin).await.unwrap();
    product
        .execute(
            "DROP POLICY list_chat_sessions ON chat_sessions;
             CREATE POLICY active_ones ON chat_sessions FOR SELECT TO list_chat_sessions USING (status = 'active')",
        )
        .await;
    let (status, page) = product.request(&product.start().await).await;
    assert_eq!((status, &page["total"], page["sessions"].as_array().unwrap().len()), (200, &json!(2), 2), "{page}");
}

#[tokio::test]
async fn a_missing_policy_during_init_does_not_end_the_environment_and_adding_it_needs_no_restart() {
    let product = Product::create().await;
    product.execute("DROP OWNED BY list_chat_sessions").await;
    product.execute(RESET.split("REVOKE").next().unwrap()).await;
    product.execute("GRANT SELECT ON chat_widgets, chat_sessions, chat_messages TO list_chat_sessions").await;
    product.execute("GRANT USAGE ON SCHEMA public TO list_chat_sessions").await;
    let function = product.start().await;
    let process = function.pid();
    let first = &lines(&function)[0];
    assert_eq!((&first["level"], &first["message"]), (&json!("ERROR"), &json!("init is incomplete")));
    assert!(first["cause"].as_str().unwrap().contains(RUN), "{first}");
    for _ in 0..2 {
        assert_eq!(product.request(&function).await.0, 503);
        assert!(cause(&function).contains(RUN));
    }
    role::create(&product.admin, role::PASSWORD).await.unwrap();
    let (status, page) = product.request(&function).await;
    assert_eq!((status, &page["total"]), (200, &json!(5)));
    assert_eq!(function.pid(), process);
}

/// The response to a request whose connection is due for a check, after a second without requests or with many.
async fn after_the_interval(busy: bool, product: &Product, function: &Function) -> (u64, Value) {
    let changed = Instant::now();
    while busy && changed.elapsed() < CHECK_INTERVAL {
        product.request(function).await;
    }
    if !busy {
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
    product.request(function).await
}

#[tokio::test]
async fn a_change_of_policies_is_noticed_at_an_open_connections_next_check() {
    let product = Product::create().await;
    let function = product.start().await;
    let (_, all) = product.request(&function).await;
    let on_each =
        |sql: &str| ["chat_widgets", "chat_sessions", "chat_messages"].map(|table| sql.replace('?', table)).join(";");
    let (off, on) =
        (on_each("ALTER TABLE ? DISABLE ROW LEVEL SECURITY"), on_each("ALTER TABLE ? ENABLE ROW LEVEL SECURITY"));
    let (drop, create) = (
        "DROP POLICY list_chat_sessions ON chat_messages",
        "CREATE POLICY list_chat_sessions ON chat_messages TO list_chat_sessions USING (true)",
    );
    for (name, busy, before, change, repair) in [
        ("a policy is dropped", false, "", drop, create),
        ("a policy is dropped under load", true, "", drop, create),
        ("row level security is enabled", false, &*format!("{off}; {drop}"), &*on, create),
    ] {
        product.execute(before).await;
        end_connections(&product.admin).await.unwrap();
        assert_eq!(product.request(&function).await, (200, all.clone()), "{name}: before");
        product.execute(change).await;
        assert_eq!(after_the_interval(busy, &product, &function).await.0, 503, "{name}");
        product.execute(repair).await;
        assert_eq!(product.request(&function).await, (200, all.clone()), "{name}: repaired");
    }
    product.execute(&off).await;
    end_connections(&product.admin).await.unwrap();
    assert_eq!(product.request(&function).await, (200, all.clone()));
    product.execute(&on).await;
    assert_eq!(after_the_interval(false, &product, &function).await, (200, all), "the policies were there before");
    assert_eq!(lines(&function).last().unwrap()["Retries"], 0);
}

#[tokio::test]
async fn counts_that_row_level_security_hides_are_computed() {
    let product = Product::create().await;
    let function = product.start().await;
    let (_, all) = product.request(&function).await;
    install_counts(&product.admin).await.unwrap();
    for table in ["chat_session_counts", "chat_session_counted", "chat_session_totals"] {
        // First an open connection that uses the counts, then a new one.
        end_connections(&product.admin).await.unwrap();
        assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, 200);
        product.execute(&format!("DROP POLICY list_chat_sessions ON {table}")).await;
        assert_eq!(after_the_interval(false, &product, &function).await, (200, all.clone()), "{table}");
        end_connections(&product.admin).await.unwrap();
        assert_eq!(product.request(&function).await, (200, all.clone()), "{table}");
        role::create(&product.admin, role::PASSWORD).await.unwrap();
    }
}

//! The function never logs or returns a secret, whatever fails. The log and the errors of every function that any test
//! starts are searched too, see crates/testkit/src/function.rs. `output` searches the output of the whole suite.

use std::{env, fs};

use list_chat_sessions::auth::TokenHash;
use serde_json::json;
use testkit::{
    ACCOUNT, Database, NEIGHBOURS_TOKEN, Secrets, SecretsFault, Server, TOKEN, TestApp, contract,
    environment::{database, secrets_with, start, status},
    request, ring, role, secrecy, seed,
};

const MESSAGE: &str = "my card is 4111 1111";
const EMAIL: &str = "visitor.of.this.test@example.com";

/// The log of a function with these variables, after a request with this status.
async fn log(secrets: &Secrets, variables: &[(&str, &str)], expected: u64) -> String {
    let function = start(secrets, variables).await.unwrap();
    assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, expected);
    function.log().join("\n")
}

#[tokio::test]
async fn a_query_that_fails_on_a_row_is_logged_with_its_code_and_without_the_row() {
    let database = database().await;
    // A view instead of the product's table: PostgreSQL quotes values that it cannot cast.
    let view = |expression: &str| {
        format!(
            "DROP VIEW IF EXISTS chat_sessions;
             CREATE VIEW chat_sessions AS SELECT id, widget_id, user_id, visitor_id, visitor_name, visitor_email, status,
               last_message_at, created_at, {expression} AS page_url FROM sessions;
             GRANT SELECT ON chat_sessions TO {};",
            role::NAME
        )
    };
    database
        .load(&format!(
            "UPDATE chat_sessions SET visitor_email = '{EMAIL}';
             ALTER TABLE chat_sessions RENAME TO sessions;
             CREATE FUNCTION fail(text) RETURNS text LANGUAGE plpgsql AS
               $$ BEGIN RAISE EXCEPTION 'not this one: %', $1; END $$;"
        ))
        .await
        .unwrap();
    let secrets = secrets_with(ring(&[TOKEN])).await;
    for (expression, code) in [
        ("visitor_email::int::text", "22P02"),
        ("visitor_email::date::text", "22007"),
        ("visitor_email::json::text", "22P02"),
        ("fail(visitor_email)", "P0001"),
    ] {
        database.load(&view(expression)).await.unwrap();
        let log = log(&secrets, &[("DATABASE_URL", database.url())], 500).await;
        assert!(log.contains(&format!("ERROR {code}\"")), "{expression}: {log}");
        secrecy::assert_silent("the log", &log);
    }
}

#[tokio::test]
async fn rejected_credentials_are_logged_without_the_password() {
    let database = database().await;
    let secrets = secrets_with(ring(&[TOKEN])).await;
    let url = database.url().replace("the-role", "not-the-role");
    secrecy::keep("not-the-role");
    let rejected = log(&secrets, &[("DATABASE_URL", &url)], 503).await;
    assert!(rejected.contains("28P01: password authentication failed"), "{rejected}");
    let tls = format!("{}?sslmode=require", database.url());
    assert!(log(&secrets, &[("DATABASE_URL", &tls)], 503).await.contains("does not support TLS"));
}

#[tokio::test]
async fn an_invalid_url_is_logged_without_its_content() {
    let secrets = secrets_with(ring(&[TOKEN])).await;
    for url in [
        "postgres://u:hunt@er2?hunter2=hunter2@db/d",
        "postgres://u:hunter2@db:hunter2/d",
        "postgres://u:hunter2@db/d?sslmode=hunter2",
        "postgres://u:hunter2@db/d?sslrootcert=hunter2",
        "hunter2",
    ] {
        let fault = format!("{:#}", start(&secrets, &[("DATABASE_URL", url)]).await.err().unwrap());
        assert!(fault.contains("DATABASE_URL: ") && !fault.contains("hunter2"), "{fault}");
    }
}

#[tokio::test]
async fn an_invalid_secret_is_logged_without_its_content() {
    let pem = "-----BEGIN hunter2hunter2\nhunter2hunter2\n";
    for (secret, fault) in [
        ("hunter2hunter2".to_owned(), "it is not JSON"),
        (json!({ "username": "u", "password": "hunter2hunter2", "host": "db", "port": "hunter2" }).to_string(), "port"),
        (json!({ "username": "u", "password": "hunter2hunter2", "host": "db", "sslrootcert": pem }).to_string(), "PEM"),
    ] {
        let secrets = secrets_with(ring(&[TOKEN])).await;
        secrets.put("database", secret).unwrap();
        let log = log(&secrets, &[("DATABASE_SECRET_ID", "database")], 500).await;
        assert!(log.contains(fault) && !log.contains("hunter2"), "{log}");
    }
}

#[tokio::test]
async fn a_failure_of_secrets_manager_is_logged_without_secrets() {
    let database = database().await;
    let secrets = secrets_with(ring(&[TOKEN])).await;
    for fault in [
        SecretsFault::Throttled,
        SecretsFault::Unavailable,
        SecretsFault::AccessDenied,
        SecretsFault::NotFound,
        SecretsFault::Garbage,
    ] {
        secrets.fail(fault);
        log(&secrets, &[("DATABASE_URL", database.url())], 503).await;
    }
}

#[tokio::test]
async fn debug_output_contains_no_secret() {
    let test = TestApp::start().await;
    let sql = format!(
        "INSERT INTO chat_sessions (widget_id, user_id, visitor_id, visitor_email, visitor_name)
         SELECT id, user_id, 'v', '{EMAIL}', 'A visitor''s name' FROM chat_widgets WHERE user_id = '{ACCOUNT}';
         INSERT INTO chat_messages (session_id, role, content) SELECT id, 'visitor', '{MESSAGE}' FROM chat_sessions;"
    );
    test.database.load(&sql).await.unwrap();
    assert!(test.list(json!({})).await.body.contains(MESSAGE), "the response has it");
    let hash = TokenHash::from_hex(&testkit::keys::hash(TOKEN)).unwrap();
    let ring = test.app.api_keys.secret_of(&hash).current().await.unwrap();
    secrecy::assert_silent("Debug", &format!("{:?} {ring:?}", test.app));
    secrecy::assert_silent("Debug", &format!("{:#?}", testkit::app::config(&test.database)));
}

/// Otherwise the other searches would prove nothing.
#[tokio::test]
async fn the_search_finds_the_secrets_that_tests_use() {
    let database = Database::create(Server::shared()).await.unwrap();
    database.load(seed::DEMO_SQL).await.unwrap();
    let _ = contract::database(Server::shared()).await;
    let _secrets = secrets_with(ring(&[TOKEN])).await;
    request::post(NEIGHBOURS_TOKEN, "{}");
    for secret in
        [NEIGHBOURS_TOKEN, &testkit::keys::hash(TOKEN), role::PASSWORD, "john@example.com", "Thanks, that helps!"]
    {
        assert!(secrecy::found_in(&format!("a line with {secret} in it")).contains(&secret.to_owned()), "{secret}");
    }
}

#[tokio::test]
#[ignore = "needs the suite's output, which .ci/test provides"]
async fn output_of_the_whole_suite_contains_no_secret() {
    register_shared_secrets().await;
    let file = env::var_os("SUITE_OUTPUT").expect("SUITE_OUTPUT must name a file with the output of `--nocapture`");
    let output = fs::read_to_string(file).unwrap();
    let lines = output.lines().filter(|line| line.starts_with("{\"timestamp\"")).count();
    assert!(lines > 500, "the output is incomplete: {lines} lines");
    secrecy::assert_silent("the suite's output", &output);
    println!("searched for {} secrets in the output, {lines} lines of the log", secrecy::known());
}

/// Registers the secrets that tests share, in a process that runs only this test.
async fn register_shared_secrets() {
    let _test = TestApp::start().await;
    let database = database().await;
    database.load(seed::DEMO_SQL.replace("11111111-1111", "33333333-1111").as_str()).await.unwrap();
    let _ = contract::database(Server::shared()).await;
    for token in [TOKEN, NEIGHBOURS_TOKEN, seed::DEMO_TOKEN] {
        secrecy::keep_token(token);
    }
    secrecy::keep_secret(contract::KEYS);
    let vectors: serde_json::Value = serde_json::from_str(contract::VECTORS).unwrap();
    for vector in vectors["vectors"].as_array().unwrap() {
        for (name, value) in vector["headers"].as_object().unwrap() {
            if name.eq_ignore_ascii_case("authorization") {
                secrecy::keep_token(value.as_str().unwrap());
            }
        }
    }
    ["hunter2", MESSAGE, EMAIL].into_iter().for_each(secrecy::keep);
}

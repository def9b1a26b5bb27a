//! The binary as Lambda runs it: its start, its configuration and its log.

use std::time::Instant;

use list_chat_sessions::handler::UNKNOWN_TOKEN_INTERVAL;
use serde_json::json;
use testkit::{
    Database, SecretsFault, Server, TOKEN,
    environment::{VISITOR, database, lines, secrets_with, start, status},
    keys, request, ring, role,
};

#[tokio::test]
async fn each_request_has_one_complete_log_line_without_secrets() {
    let secrets = secrets_with(ring(&[TOKEN])).await;
    let database = database().await;
    let function = start(&secrets, &[("DATABASE_URL", database.url())]).await.unwrap();
    let other = "mgp_some_other_token";
    for (event, expected) in [
        (request::post(TOKEN, "{}"), 200),
        (request::post(TOKEN, "{\"limit\": -1}"), 400),
        (request::post(other, "{}"), 401),
        (request::request("GET", &[], b""), 405),
    ] {
        assert_eq!(status(&function, &event).await, expected);
    }
    let lines: Vec<_> = lines(&function).into_iter().filter(|line| line["message"] == "request").collect();
    let shown: Vec<_> = lines
        .iter()
        .map(|line| json!([line["level"], line["Outcome"], line["status"], line["rows"], line["ColdStart"]]))
        .collect();
    assert_eq!(
        shown,
        [
            json!(["INFO", "ok", 200, 1, 1]),
            json!(["INFO", "validation_error", 400, null, 0]),
            json!(["INFO", "unauthorized", 401, null, 0]),
            json!(["INFO", "method_not_allowed", 405, null, 0]),
        ]
    );
    for line in &lines {
        assert!(line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert!(line["request_id"].as_str().unwrap().parse::<uuid::Uuid>().is_ok(), "{line}");
        assert!(line["Duration"].is_f64(), "{line}");
    }
    assert!(
        lines[0]["DatabaseDuration"].as_f64().unwrap() > 0.0
            && lines[0]["AuthenticationDuration"].as_f64().unwrap() > 0.0
    );
    let log = function.log().join("\n");
    for secret in [TOKEN, other, &keys::hash(TOKEN), &keys::hash(other)].into_iter().chain(VISITOR) {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

#[tokio::test]
async fn unknown_tokens_are_counted_in_one_line_a_second() {
    const TOKENS: u64 = 30;
    let secrets = secrets_with(ring(&[TOKEN])).await;
    let database = database().await;
    let function = start(&secrets, &[("DATABASE_URL", database.url())]).await.unwrap();
    let begin = Instant::now();
    for expected in [401, 503] {
        secrets.fail((expected == 503).then_some(SecretsFault::Unavailable));
        // The next fetch, which fails, is a second after the last good one.
        tokio::time::sleep(UNKNOWN_TOKEN_INTERVAL).await;
        for number in 0..TOKENS {
            let event = request::post(&format!("mgp_unknown_{number}"), "{}");
            assert_eq!(status(&function, &event).await, expected);
        }
    }
    tokio::time::sleep(UNKNOWN_TOKEN_INTERVAL).await;
    assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, 200, "a request of any kind writes the last line");
    let lines = lines(&function);
    let with = |message: &str| lines.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    let counts = with("unknown tokens");
    assert_eq!(counts.iter().map(|line| line["unknown_tokens"].as_u64().unwrap()).sum::<u64>(), 2 * TOKENS);
    assert!(counts.len() as u64 <= begin.elapsed().as_secs(), "{counts:?}");
    for line in counts {
        assert_eq!(line["level"], "INFO");
        let time = |field: &str| line[field].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        assert!(
            time("timestamp").duration_since(time("since")) >= UNKNOWN_TOKEN_INTERVAL.try_into().unwrap(),
            "{line}"
        );
    }
    assert_eq!(with("secret not fetched").len(), 1, "one line, not one per request");
}

#[tokio::test]
async fn a_database_that_is_unavailable_during_init_does_not_end_the_environment() {
    let mut server = Server::start().unwrap();
    let secrets = secrets_with(ring(&[TOKEN])).await;
    let database = Database::create(&server).await.unwrap();
    server.stop().unwrap();
    let function = start(&secrets, &[("DATABASE_URL", database.url())]).await.unwrap();
    let process = function.pid();
    assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, 503);
    server.start_again().unwrap();
    assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, 200);
    assert_eq!(function.pid(), process);
    let lines = lines(&function);
    assert_eq!((&lines[0]["level"], &lines[0]["message"]), (&json!("WARN"), &json!("init is incomplete")));
    assert_eq!((&lines[1]["level"], &lines[1]["Outcome"]), (&json!("ERROR"), &json!("service_unavailable")));
}

#[tokio::test]
async fn an_invalid_environment_ends_init_and_every_violation_is_logged() {
    let secrets = secrets_with(ring(&[TOKEN])).await;
    let variables = [
        ("API_KEYS_SECRET_ID", ""),
        ("DATABASE_URL", "postgres://u:hunter2@db.example.com/d?sslmode=disable"),
        ("LIMIT_MAX", "2000"),
        ("QUERY_TIMEOUT_MS", "soon"),
        ("DATABASE_ALLOW_PLAINTEXT", "yes"),
        ("DATABASE_AUTH", "hunter2"),
        ("DATABASE_STATEMENTS", "hunter2"),
        ("DATABASE_CA_PEM", "hunter2"),
    ];
    let fault = format!("{:#}", start(&secrets, &variables).await.err().unwrap());
    for expected in [
        "API_KEYS_SECRET_ID must name the secret with the key ring",
        "DATABASE_URL: sslmode=disable is for loopback",
        "LIMIT_MAX must be a whole number from 100 to 1000",
        "QUERY_TIMEOUT_MS must be a whole number from 1 to 28000",
        "DATABASE_ALLOW_PLAINTEXT must be true or false",
        "DATABASE_AUTH must be password or iam",
        "DATABASE_STATEMENTS must be auto, named or unnamed",
        "DATABASE_CA_PEM: it contains no certificate in PEM",
    ] {
        assert!(fault.contains(expected), "{fault}");
    }
    assert!(!fault.contains("hunter2"), "{fault}");
    for both in [vec![], vec![("DATABASE_URL", "postgres://u@127.0.0.1/d"), ("DATABASE_SECRET_ID", "s")]] {
        let fault = format!("{:#}", start(&secrets, &both).await.err().unwrap());
        assert!(fault.contains("exactly one of DATABASE_SECRET_ID and DATABASE_URL must be set"), "{fault}");
    }
}

#[tokio::test]
async fn an_invalid_secret_is_logged_with_its_error_and_without_its_content() {
    let secrets = secrets_with(json!({ "api_keys": [{ "key_hash": "plain-text-token" }] }).to_string()).await;
    let database = database().await;
    let function = start(&secrets, &[("DATABASE_URL", database.url())]).await.unwrap();
    assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, 500);
    let lines = lines(&function);
    assert_eq!(lines[0]["level"], "ERROR");
    let fault = "server_error: secret keys: api_keys[0].key_hash is not 64 lower-case hex digits";
    assert_eq!(lines[0]["cause"], fault);
    assert!(!function.log().join("\n").contains("plain-text-token"));
    secrets.put("keys", ring(&[TOKEN])).unwrap();
    assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, 200);
}

#[tokio::test]
async fn a_secret_can_provide_the_database_settings() {
    let secrets = secrets_with(ring(&[TOKEN])).await;
    let database = database().await;
    let name = database.url().rsplit_once('/').unwrap().1;
    let port = Server::shared().port();
    let secret = json!({ "username": role::NAME, "password": role::PASSWORD, "host": "127.0.0.1", "port": port, "dbname": name });
    secrets.put("database", secret.to_string()).unwrap();
    let function = start(&secrets, &[("DATABASE_SECRET_ID", "database")]).await.unwrap();
    assert_eq!(status(&function, &request::post(TOKEN, "{}")).await, 200);
    assert_eq!((secrets.calls("keys"), secrets.calls("database")), (1, 1));
    assert!(!function.log().join("\n").contains(role::PASSWORD));
}

#[tokio::test]
async fn a_secret_without_a_host_uses_the_variables_or_its_error_names_the_variable() {
    let secrets = secrets_with(ring(&[TOKEN])).await;
    let database = database().await;
    let secret = json!({ "username": role::NAME, "password": role::PASSWORD });
    secrets.put("database", secret.to_string()).unwrap();
    let port = Server::shared().port().to_string();
    let mut variables = vec![("DATABASE_SECRET_ID", "database"), ("DATABASE_PORT", &port)];
    variables.push(("DATABASE_NAME", database.name()));
    let without_host = start(&secrets, &variables).await.unwrap();
    assert_eq!(status(&without_host, &request::post(TOKEN, "{}")).await, 500);
    let fault = "secret database: it has no text \"host\"; add it or set DATABASE_HOST";
    assert_eq!(lines(&without_host).last().unwrap()["cause"], fault);
    variables.push(("DATABASE_HOST", "127.0.0.1"));
    let with_host = start(&secrets, &variables).await.unwrap();
    assert_eq!(status(&with_host, &request::post(TOKEN, "{}")).await, 200);
}

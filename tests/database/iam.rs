//! IAM database authentication, with tokens that a stand-in for RDS verifies.

use std::time::Duration;

use serde_json::{Value, json};
use testkit::{
    API_KEYS, Authority, Database, Function, FunctionOptions, Rds, Secrets, Server, TOKEN,
    app::secrets,
    binary,
    certificates::NOW,
    end_connections,
    rds::{HOST, Role},
    request,
};

const ROLE: Role =
    Role { access_key: "AKIDEXAMPLE", secret_key: "wJalrXUtnFEMI/K7MDENG", session_token: Some("session%2Ftoken%2B") };
const USER: &str = "chat_reader";

/// A database behind the stand-in, and a function that connects to it with these keys.
struct Fixture {
    database: Database,
    rds: Rds,
    function: Function,
    _secrets: Secrets,
}

impl Fixture {
    /// With the address in the secret.
    async fn start(access_key: &str, secret_key: &str) -> Self {
        Self::start_with(access_key, secret_key, |host, port, name| {
            // `sslmode`, because the default on this machine is plain text.
            (json!({ "username": USER, "host": host, "port": port, "dbname": name, "sslmode": "require" }), vec![])
        })
        .await
    }

    /// With the secret and the variables that `login` returns for host, port and the database's name.
    async fn start_with(
        access_key: &str,
        secret_key: &str,
        login: impl FnOnce(&str, u16, &str) -> (Value, Vec<(&'static str, String)>),
    ) -> Self {
        let authority = Authority::new().unwrap();
        let database = Database::create(Server::shared()).await.unwrap();
        let certificate = authority.certify(&[HOST], NOW).unwrap();
        let rds = Rds::start(Server::shared(), &certificate, ROLE, USER).await.unwrap();
        let secrets = secrets().await;
        let pem = authority.pem();
        let (login, variables) = login(HOST, rds.port(), database.name());
        secrets.put("database", login.to_string()).unwrap();
        let mut env = vec![
            ("API_KEYS_SECRET_ID", API_KEYS),
            ("DATABASE_SECRET_ID", "database"),
            ("DATABASE_AUTH", "iam"),
            ("DATABASE_CA_PEM", &pem),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
            ("AWS_ACCESS_KEY_ID", access_key),
            ("AWS_SECRET_ACCESS_KEY", secret_key),
            ("AWS_SESSION_TOKEN", "session/token+"),
        ];
        env.extend(variables.iter().map(|(name, value)| (*name, value.as_str())));
        let function = Function::start(FunctionOptions::new(binary(), &env)).await.unwrap();
        Self { database, rds, function, _secrets: secrets }
    }

    async fn status(&self) -> Value {
        let response = self.function.invoke(request::post(TOKEN, "{}").to_string()).await.unwrap().response().unwrap();
        response["statusCode"].clone()
    }
}

#[tokio::test]
async fn each_connection_uses_a_new_token() {
    let fixture = Fixture::start(ROLE.access_key, ROLE.secret_key).await;
    for _ in 0..3 {
        assert_eq!(fixture.status().await, 200);
    }
    assert_eq!(fixture.rds.passwords().len(), 1, "a connection is used for more than one request");
    // A token contains the second in which it was signed, so the next one must be signed in another.
    tokio::time::sleep(Duration::from_secs(1)).await;
    end_connections(&fixture.database.client().await.unwrap()).await.unwrap();
    assert_eq!(fixture.status().await, 200);
    let tokens = fixture.rds.passwords();
    assert_eq!(tokens.len(), 2);
    assert_ne!(tokens[0], tokens[1]);

    let start =
        format!("{HOST}:{}/?Action=connect&DBUser={USER}&X-Amz-Algorithm=AWS4-HMAC-SHA256&", fixture.rds.port());
    let log = fixture.function.log().join("\n");
    for token in &tokens {
        assert!(token.starts_with(&start), "{token}");
        assert!(!log.contains("X-Amz") && !log.contains(ROLE.secret_key));
    }
}

#[tokio::test]
async fn a_token_is_for_the_address_in_the_variables_if_the_secret_has_none() {
    let fixture = Fixture::start_with(ROLE.access_key, ROLE.secret_key, |host, port, name| {
        let variables =
            [("DATABASE_HOST", host.into()), ("DATABASE_PORT", port.to_string()), ("DATABASE_NAME", name.into())];
        (json!({ "username": USER, "sslmode": "require" }), variables.into())
    })
    .await;
    assert_eq!(fixture.status().await, 200);
    assert!(fixture.rds.passwords()[0].starts_with(&format!("{HOST}:{}/?Action=connect&", fixture.rds.port())));
}

#[tokio::test]
async fn a_rejected_token_gives_503_and_is_not_logged() {
    let fixture = Fixture::start(ROLE.access_key, "another key").await;
    assert_eq!(fixture.status().await, 503);
    let log = fixture.function.log();
    let line: Value = serde_json::from_str(log.last().unwrap()).unwrap();
    let cause =
        "no connection: FATAL 28000: PAM authentication failed for user \"chat_reader\": its signature is wrong";
    assert_eq!(line["cause"], cause);
    assert!(!log.join("\n").contains("X-Amz"));
}

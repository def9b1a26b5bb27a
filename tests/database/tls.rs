//! TLS to PostgreSQL: which servers the function accepts, and the logged reason for rejecting the others.

use std::time::Duration;

use list_chat_sessions::{
    config::DatabaseSource,
    database::{ConnectionSettings, Tls, TlsPolicy},
};
use serde_json::{Value, json};
use testkit::{
    API_KEYS, Authority, Database, Function, FunctionOptions, Server, ServerOptions, TOKEN, TestApp,
    app::secrets,
    assert_nothing_runs, binary,
    certificates::{FUTURE, NOW, PAST},
    request, role,
};
use tokio::sync::OnceCell;

/// The only name in the servers' certificates. `localhost` has the same address but is not in them.
const NAME: &str = "127.0.0.1";

/// A PostgreSQL server with a certificate, the authority that verifies it, and a database.
struct Encrypted {
    server: Server,
    database: Database,
    ca: String,
}

impl Encrypted {
    /// A server with a valid certificate, for all tests of this file.
    async fn shared() -> &'static Self {
        static SHARED: OnceCell<Encrypted> = OnceCell::const_new();
        SHARED.get_or_init(|| Self::start(NOW, &[])).await
    }

    async fn start(validity: [i32; 2], settings: &[&str]) -> Self {
        let authority = Authority::new().unwrap();
        let mut options = ServerOptions::with_tls(authority.certify(&[NAME], validity).unwrap());
        options.settings.extend(settings.iter().map(ToString::to_string));
        let server = Server::start_with(options).unwrap();
        let database = Database::create(&server).await.unwrap();
        Self { server, database, ca: authority.pem() }
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        format!("{}?{parameters}", self.database.url().replace(NAME, host))
    }

    fn secret(&self, user: &str, more: &Value) -> String {
        let name = self.database.url().rsplit_once('/').unwrap().1;
        let mut secret = json!({
            "username": user, "password": "hunter2", "host": NAME, "port": self.server.port(), "dbname": name,
        });
        secret.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        secret.to_string()
    }
}

/// The status of one request to a function with these variables, and its log line.
async fn request_with(variables: &[(&str, &str)]) -> (u64, Value) {
    request_with_secret("{}", variables).await
}

async fn request_with_secret(secret: &str, variables: &[(&str, &str)]) -> (u64, Value) {
    let secrets = secrets().await;
    secrets.put("database", secret).unwrap();
    let mut env = vec![("API_KEYS_SECRET_ID", API_KEYS), ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url())];
    env.extend(variables);
    let function = Function::start(FunctionOptions::new(binary(), &env)).await.unwrap();
    let response = function.invoke(request::post(TOKEN, "{}").to_string()).await.unwrap().response().unwrap();
    let log = function.log();
    assert!(!log.join("\n").contains("hunter2"));
    (response["statusCode"].as_u64().unwrap(), serde_json::from_str(log.last().unwrap()).unwrap())
}

/// Asserts that the response is a 503 whose log line has this cause.
async fn assert_rejected(variables: &[(&str, &str)], cause: &str) {
    let (status, line) = request_with(variables).await;
    assert_eq!(status, 503, "{line}");
    assert_eq!(line["level"], "ERROR");
    let logged = line["cause"].as_str().unwrap();
    assert!(logged.contains(cause), "{logged:?} does not contain {cause:?}");
}

#[tokio::test]
async fn a_server_with_the_right_authority_and_host_is_accepted() {
    let server = Encrypted::shared().await;
    for mode in ["sslmode=verify-full", "sslmode=require"] {
        let (status, line) =
            request_with(&[("DATABASE_URL", &server.url(NAME, mode)), ("DATABASE_CA_PEM", &server.ca)]).await;
        assert_eq!(status, 200, "{mode}: {line}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, &server.ca).unwrap();
    let path = file.path().to_str().unwrap().replace('/', "%2F");
    let url = server.url(NAME, &format!("sslmode=verify-full&sslrootcert={path}"));
    let (status, line) = request_with(&[("DATABASE_URL", &url)]).await;
    assert_eq!(status, 200, "{line}");
    let secret = server
        .secret(role::NAME, &json!({ "password": role::PASSWORD, "sslmode": "verify-full", "sslrootcert": server.ca }));
    let (status, line) = request_with_secret(&secret, &[("DATABASE_SECRET_ID", "database")]).await;
    assert_eq!(status, 200, "{line}");
}

#[tokio::test]
async fn another_host_and_an_unknown_authority_are_rejected() {
    let server = Encrypted::shared().await;
    let other_host = server.url("localhost", "sslmode=verify-full");
    assert_rejected(&[("DATABASE_URL", &other_host), ("DATABASE_CA_PEM", &server.ca)], "not valid for name").await;
    let url = server.url(NAME, "sslmode=require");
    assert_rejected(&[("DATABASE_URL", &url)], "certificate: UnknownIssuer").await;
    let another = Authority::new().unwrap().pem();
    assert_rejected(&[("DATABASE_URL", &url), ("DATABASE_CA_PEM", &another)], "certificate: UnknownIssuer").await;
}

#[tokio::test]
async fn an_expired_certificate_is_rejected() {
    let server = Encrypted::start(PAST, &[]).await;
    let url = server.url(NAME, "sslmode=verify-full");
    assert_rejected(&[("DATABASE_URL", &url), ("DATABASE_CA_PEM", &server.ca)], "certificate expired").await;
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_yet_is_rejected() {
    let server = Encrypted::start(FUTURE, &[]).await;
    let url = server.url(NAME, "sslmode=verify-full");
    assert_rejected(&[("DATABASE_URL", &url), ("DATABASE_CA_PEM", &server.ca)], "certificate not valid yet").await;
}

#[tokio::test]
async fn a_server_without_tls_is_rejected() {
    let database = Database::create(Server::shared()).await.unwrap();
    let url = format!("{}?sslmode=verify-full", database.url());
    assert_rejected(&[("DATABASE_URL", &url)], "server does not support TLS").await;
}

#[tokio::test]
async fn a_protocol_older_than_tls_1_2_is_rejected() {
    let old = ["ssl_min_protocol_version=TLSv1", "ssl_max_protocol_version=TLSv1.1", "ssl_ciphers=ALL:@SECLEVEL=0"];
    let server = Encrypted::start(NOW, &old).await;
    let url = server.url(NAME, "sslmode=verify-full");
    assert_rejected(&[("DATABASE_URL", &url), ("DATABASE_CA_PEM", &server.ca)], "ProtocolVersion").await;
}

#[tokio::test]
async fn a_password_can_be_bound_to_the_channel() {
    let server = Encrypted::shared().await;
    let role = format!("bound_{:016x}", fastrand::u64(..));
    let create =
        format!("CREATE ROLE {role} LOGIN PASSWORD 'hunter2'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}");
    server.database.load(&create).await.unwrap();
    let database = [("DATABASE_SECRET_ID", "database")];
    for binding in ["require", "prefer", "disable"] {
        let tls = json!({ "sslmode": "verify-full", "sslrootcert": server.ca, "channel_binding": binding });
        let (status, line) = request_with_secret(&server.secret(&role, &tls), &database).await;
        assert_eq!(status, 200, "{binding}: {line}");
    }
    // With `trust` there is no password to bind.
    let bound = json!({ "sslmode": "verify-full", "sslrootcert": server.ca, "channel_binding": "require" });
    let (status, line) = request_with_secret(&server.secret("postgres", &bound), &database).await;
    assert_eq!(status, 503);
    assert!(line["cause"].as_str().unwrap().ends_with("server did not use channel binding"), "{line}");
    let plain = json!({ "sslmode": "disable", "channel_binding": "require" });
    let (status, line) = request_with_secret(&server.secret(&role, &plain), &database).await;
    let fault = "secret database: channel_binding=require needs TLS; use sslmode=verify-full";
    assert_eq!((status, &line["cause"]), (500, &json!(fault)));
}

#[tokio::test]
async fn a_slow_query_is_cancelled_over_tls() {
    let server = Encrypted::shared().await;
    let policy = TlsPolicy { tls: Some(Tls::from_pem(&server.ca).unwrap()), ..TlsPolicy::default() };
    // A separate database, because every other user of the locked table waits too.
    let database = Database::create(&server.server).await.unwrap();
    let admin = database.client().await.unwrap();
    let login = ConnectionSettings::from_url(&format!("{}?sslmode=verify-full", database.url()), &policy).unwrap();
    let test = TestApp::start_on(database, secrets().await, |config| {
        config.database = DatabaseSource::Url(login.into());
        config.query_timeout = Duration::from_millis(300);
    })
    .await;
    admin.batch_execute("BEGIN; LOCK TABLE chat_sessions IN ACCESS EXCLUSIVE MODE").await.unwrap();
    assert_eq!(test.list(json!({})).await.outcome(), (504, "timeout".into()));
    assert_nothing_runs(&test.database.client().await.unwrap()).await;
    admin.batch_execute("COMMIT").await.unwrap();
    assert_eq!(test.list(json!({})).await.status, 200);
}

//! The app as the binary builds it, on a real database and the Secrets Manager stand-in, and its responses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_secretsmanager::config::{Credentials, Region, SharedCredentialsProvider};
use lambda_http::{Body, Context, RequestExt, Response, http::StatusCode};
use list_chat_sessions::{
    api_keys::ShardedId,
    app::App,
    clock::Deadline,
    config::{Config, DatabaseSource},
    database::{ConnectionSettings, StatementNames, TlsPolicy},
    error::Error,
    handler::handle,
    request::ListRequest,
    secret::Lifetime,
    sessions::{self, Page},
};
use serde_json::{Value, json};

use crate::{Database, Secrets, Server, keys, openapi, plan, request, secrecy};

pub const API_KEYS: &str = "test/api-keys";

/// The account of most tests.
pub const ACCOUNT: &str = "11111111-1111-4111-8111-111111111111";
pub const TOKEN: &str = "mgp_0123456789abcdef0123456789abcdef01234567";
pub const NEIGHBOUR: &str = "22222222-2222-4222-8222-222222222222";
pub const NEIGHBOURS_TOKEN: &str = "mgp_76543210fedcba9876543210fedcba9876543210";

pub const WIDGET: &str = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
pub const NEIGHBOURS_WIDGET: &str = "bbbbbbbb-bbbb-4bbb-8bbb-bbbbbbbbbbbb";

/// An app with its services. The database has the two accounts with a widget each, and no session.
pub struct TestApp {
    pub app: App,
    pub database: Database,
    pub secrets: Secrets,
}

impl TestApp {
    /// Reads the first page of [`ACCOUNT`]; also returns how often the statement was sent again.
    pub async fn read_page(&self) -> (Result<Page, Error>, u32) {
        let request = ListRequest::parse(b"{}", 100).unwrap();
        let (caller, mut resent) = (plan::caller(), 0);
        let deadline = Deadline::within(Duration::from_secs(10));
        (sessions::list(&self.app.database, &caller, &request, deadline, &mut resent).await, resent)
    }

    /// Starts with the usual configuration.
    pub async fn start() -> Self {
        Self::start_with(Server::shared(), |_| {}).await
    }

    /// Starts on a database of `server` with a changed configuration.
    pub async fn start_with(server: &Server, configure: impl FnOnce(&mut Config)) -> Self {
        Self::start_over(server, secrets().await, configure).await
    }

    /// Starts with a prepared Secrets Manager.
    pub async fn start_over(server: &Server, secrets: Secrets, configure: impl FnOnce(&mut Config)) -> Self {
        let database = Database::create(server).await.unwrap();
        database
            .load(&format!(
                "INSERT INTO users (id, email) VALUES ('{ACCOUNT}', 'a@example.com'), ('{NEIGHBOUR}', 'b@example.com');
                 INSERT INTO chat_widgets (id, user_id, name)
                 VALUES ('{WIDGET}', '{ACCOUNT}', 'Support Widget'), ('{NEIGHBOURS_WIDGET}', '{NEIGHBOUR}', 'Other');"
            ))
            .await
            .unwrap();
        Self::start_on(database, secrets, configure).await
    }

    /// Starts with a prepared database and Secrets Manager.
    pub async fn start_on(database: Database, secrets: Secrets, configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(&database);
        configure(&mut config);
        let app = App::start(config, &aws(&secrets)).await;
        Self { app, database, secrets }
    }

    /// Calls with an empty body and returns the [`TestResponse::outcome`].
    pub async fn outcome(&self) -> (u16, String) {
        self.list(json!({})).await.outcome()
    }

    /// Calls with [`TOKEN`] and a JSON body.
    pub async fn list(&self, body: Value) -> TestResponse {
        self.list_as(TOKEN, body).await
    }

    pub async fn list_as(&self, token: &str, body: Value) -> TestResponse {
        self.send(&request::post(token, &body.to_string())).await
    }

    pub async fn send(&self, event: &Value) -> TestResponse {
        self.send_within(event, Duration::from_secs(10)).await
    }

    /// Calls with an event and this much time until the deadline of the invocation.
    pub async fn send_within(&self, event: &Value, time: Duration) -> TestResponse {
        self.send_by(event, SystemTime::now() + time).await
    }

    pub async fn send_by(&self, event: &Value, deadline: SystemTime) -> TestResponse {
        let mut context = Context::default();
        context.request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd".into();
        context.deadline = deadline.duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap();
        let event = lambda_http::request::from_str(&event.to_string()).unwrap().with_lambda_context(context);
        let Ok(response) = handle(&self.app, event).await;
        response.into()
    }
}

/// Starts a Secrets Manager with the usual key ring.
pub async fn secrets() -> Secrets {
    let secrets = Secrets::start().await.unwrap();
    secrets.put(API_KEYS, ring(&[TOKEN])).unwrap();
    secrets
}

pub fn config(database: &Database) -> Config {
    Config {
        api_keys_secret_id: ShardedId::new(API_KEYS, None).unwrap(),
        api_keys_max_age: None,
        session_tokens: None,
        database: DatabaseSource::Url(
            ConnectionSettings::from_url(database.url(), &TlsPolicy::default()).unwrap().into(),
        ),
        database_policy: TlsPolicy::default(),
        pool_size: 1,
        concurrency: 1,
        database_statements: StatementNames::default(),
        limit_max: 100,
        query_timeout: Duration::from_secs(5),
        secret_lifetime: Lifetime { max_age: Duration::from_mins(5), max_stale: Duration::from_hours(24) },
    }
}

pub fn key(token: &str, account: &str) -> Value {
    json!({ "key_hash": keys::hash(token), "user_id": account, "name": "test", "is_active": true })
}

/// Returns a configuration of the SDK for the stand-in.
pub fn aws(secrets: &Secrets) -> SdkConfig {
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(list_chat_sessions::aws::http_client())
        .region(Region::new("us-east-1"))
        .endpoint_url(secrets.url())
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("test", "test", None, None, "test")))
        .build()
}

/// Returns a key ring with these tokens for [`ACCOUNT`], and [`NEIGHBOURS_TOKEN`].
pub fn ring(tokens: &[&str]) -> String {
    let mut api_keys: Vec<_> = tokens.iter().map(|token| key(token, ACCOUNT)).collect();
    api_keys.push(key(NEIGHBOURS_TOKEN, NEIGHBOUR));
    json!({ "api_keys": api_keys }).to_string()
}

#[derive(Clone, Debug, PartialEq)]
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl TestResponse {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    pub fn sessions(&self) -> Vec<Value> {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.json()["sessions"].as_array().unwrap().clone()
    }

    pub fn ids(&self) -> Vec<String> {
        self.sessions().iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
    }

    pub fn total(&self) -> i64 {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.json()["total"].as_i64().unwrap()
    }

    /// Returns the status, and the code of an error or "ok": `(503, "service_unavailable")`.
    pub fn outcome(&self) -> (u16, String) {
        let code = if self.status.is_success() { json!("ok") } else { self.json()["error"]["code"].clone() };
        (self.status.as_u16(), code.as_str().unwrap().to_owned())
    }

    pub fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }
}

impl From<Response<Body>> for TestResponse {
    fn from(response: Response<Body>) -> Self {
        let headers = response.headers().iter();
        let response = Self {
            status: response.status(),
            headers: headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect(),
            body: str::from_utf8(response.body()).unwrap().to_owned(),
        };
        if response.status != StatusCode::OK {
            secrecy::assert_silent("a response", &format!("{response:?}"));
        }
        if response.body != "ok" {
            let header = |name: &str| response.header(name).map(ToOwned::to_owned);
            openapi::check(response.status.as_u16(), header, &response.body);
        }
        response
    }
}

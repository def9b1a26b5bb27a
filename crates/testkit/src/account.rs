//! An app on a real PostgreSQL with an account to list, and the bare statement on a similar connection.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{TryStreamExt, pin_mut};
use jiff::Timestamp;
use lambda_http::{Body, Context, Request, RequestExt, Response};
use list_chat_sessions::{
    auth::{Authenticated, BearerToken, KeyRing},
    handler::handle,
    request::ListRequest,
    sessions::{Reading, page_statement},
};
use serde_json::json;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::Client;

use crate::{API_KEYS, Secrets, Server, TOKEN, TestApp, database::connect, request, ring};

pub const PAGES: [i64; 3] = [20, 50, 100];

/// About as many as fit in a secret.
pub const KEYS: usize = 350;

/// Returns a token of the ring; the last one is the account's.
pub fn token(number: usize) -> String {
    if number == KEYS - 1 { TOKEN.into() } else { format!("mgp_{number:040x}") }
}

pub fn key_ring() -> String {
    let tokens: Vec<_> = (0..KEYS).map(token).collect();
    ring(&tokens.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Makes the same runtime as `main.rs`.
pub fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// An account, with its app and its database.
pub struct Account {
    pub test: TestApp,
    pub caller: Authenticated,
    database: String,
}

/// A page to request, as an event and as a parsed request.
pub struct Page {
    pub list: ListRequest,
    event: String,
}

impl Page {
    pub fn new(limit: i64) -> Self {
        let body = json!({ "limit": limit }).to_string();
        let list = ListRequest::parse(body.as_bytes(), limit).expect("a request");
        Self { list, event: request::post(TOKEN, &body).to_string() }
    }

    /// Parses the event with `lambda_http`. The handler consumes each request.
    pub fn request(&self) -> Request {
        let mut context = Context::default();
        context.request_id = "8476a536-e9f4-11e8-9739-2dfe598c3fcd".into();
        let deadline = (SystemTime::now() + Duration::from_secs(10)).duration_since(UNIX_EPOCH).expect("after 1970");
        context.deadline = deadline.as_millis().try_into().expect("milliseconds");
        lambda_http::request::from_str(&self.event).expect("an event").with_lambda_context(context)
    }
}

impl Account {
    /// Starts everything, vacuums the tables and waits for a checkpoint.
    pub async fn start() -> Self {
        let secrets = Secrets::start().await.expect("the stand-in for Secrets Manager");
        secrets.put(API_KEYS, key_ring()).expect("the key ring");
        let test = TestApp::start_over(Server::shared(), secrets, |_| {}).await;
        test.database.load(include_str!("account.sql")).await.expect("rows");
        let admin = test.database.client().await.expect("a connection");
        for statement in ["VACUUM (ANALYZE)", "CHECKPOINT"] {
            admin.batch_execute(statement).await.expect("the server at rest");
        }
        let ring = KeyRing::parse(&key_ring()).expect("a ring");
        let request = Page::new(1).request();
        let hash = BearerToken::from_headers(request.headers()).expect("a token").hash();
        let caller = ring.authenticate(&hash, Timestamp::now()).expect("a known token");
        Self { database: test.database.url().into(), test, caller }
    }

    /// Connects as the same role to the same database.
    pub async fn connect(&self) -> Client {
        connect(&self.database).await.expect("a connection")
    }

    pub async fn handle(&self, request: Request) -> Response<Body> {
        let Ok(response) = handle(&self.test.app, request).await;
        assert_eq!(response.status(), 200);
        response
    }

    /// Sends the statement, reads its rows, drops them and returns their number: the least that a response needs.
    pub async fn bare(&self, client: &Client, statement: &str, page: &Page) -> usize {
        let parameters = page_statement(&self.caller, &page.list, Reading::default()).parameters;
        let rows = client.query_typed_raw(statement, parameters).await.expect("rows");
        pin_mut!(rows);
        let mut count = 0;
        while rows.try_next().await.expect("a row").is_some() {
            count += 1;
        }
        count
    }
}

//! A stand-in for the Supabase edge function that this project replaces, on a port of this machine, over a database with
//! the product's tables. It behaves as docs/contract.md says in "Moving from the edge function":
//!
//! | behaviour | here |
//! | --- | --- |
//! | keys | rows of the table `api_keys`, read for every request, so a revoked key stops immediately |
//! | `api_keys.last_used_at` | written with every call |
//! | token | `Authorization` without the first `Bearer `, which may be missing; other schemes and session tokens get 401 |
//! | body | `{}` if it is not JSON or not an object, and 500 if it is `null`; the last of several equal keys; any size |
//! | `limit`, `offset` | JavaScript arithmetic, see [`javascript`]; at most 1,000 rows |
//! | filters | false values (`0`, `false`, `""`) are ignored; PostgreSQL parses the others |
//! | a page past the end, or empty with an offset | 500 |
//! | order | by `last_message_at` only |
//! | `last_message` | the last of a list in the order of the heap, which an update of a message changes |
//! | `message_count` | 1,000 at most |
//! | no message, no visible widget | the key is missing |
//! | times | `+00:00` |
//! | methods | all of them list, except OPTIONS |

mod javascript;

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, Response, Uri},
};
use javascript::Fields;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_postgres::{Client, Error, Row, types::Type};

use crate::{database, keys, request};

/// The host's limit for rows, which also holds for the messages of a session.
const ROWS_MAX: i64 = 1_000;

/// A running stand-in; dropping it stops it.
pub struct EdgeFunction {
    url: String,
    _server: JoinSet<()>,
}

impl EdgeFunction {
    /// Serves on this port of 127.0.0.1, 0 for any free port, as a role that row level security does not apply to.
    pub async fn start(port: u16, admin_url: &str) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.with_context(|| format!("port {port} cannot be used"))?;
        let url = format!("http://{}{}", listener.local_addr()?, request::PATH);
        let router = Router::new().fallback(respond).with_state(admin_url.to_owned());
        let server = JoinSet::from_iter([async move { drop(axum::serve(listener, router).await) }]);
        Ok(Self { url, _server: server })
    }

    /// The endpoint's address.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Adds keys in the form of the key ring to the table `api_keys`, and creates the table if the database has none.
pub async fn add_keys(admin: &Client, ring: &str) -> Result<()> {
    let ring: Value = serde_json::from_str(ring).context("the key ring is not JSON")?;
    let add = "CREATE TABLE IF NOT EXISTS api_keys (
                 id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL, name text NOT NULL,
                 key_prefix text NOT NULL, key_hash text NOT NULL UNIQUE, is_active boolean DEFAULT true,
                 last_used_at timestamptz, created_at timestamptz DEFAULT now());
               INSERT INTO api_keys (user_id, name, key_prefix, key_hash, is_active)
               SELECT user_id, coalesce(name, ''), 'mgp_', key_hash, coalesce(is_active, true)
               FROM json_to_recordset($json$RING$json$) key (user_id uuid, name text, key_hash text, is_active boolean)
               ON CONFLICT (key_hash) DO UPDATE SET user_id = excluded.user_id, is_active = excluded.is_active";
    Ok(admin.batch_execute(&add.replace("RING", &ring["api_keys"].to_string())).await?)
}

async fn respond(
    State(admin_url): State<String>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let is_routed = uri.path().strip_prefix(request::PATH).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if !is_routed {
        let body = json!({ "code": "NOT_FOUND", "message": "Requested function was not found" });
        return response(404, "application/json", body.to_string());
    }
    if method == Method::OPTIONS {
        return response(200, "text/plain;charset=UTF-8", "ok".to_owned());
    }
    match list(&admin_url, &headers, &body).await {
        Ok(page) => response(200, "application/json", page),
        Err(Failure { status, code, message }) => {
            let body = json!({ "error": { "code": code, "message": message } });
            response(status, "application/json", body.to_string())
        }
    }
}

fn response(status: u16, content_type: &str, body: String) -> Response<Body> {
    let response = Response::builder()
        .status(status)
        .header("access-control-allow-origin", "*")
        .header("access-control-allow-headers", "authorization, x-client-info, apikey, content-type")
        .header("access-control-allow-methods", "GET, POST, PUT, PATCH, DELETE, OPTIONS")
        .header("content-type", content_type);
    response.body(body.into()).unwrap_or_default()
}

struct Failure {
    status: u16,
    code: &'static str,
    message: String,
}

impl Failure {
    fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    fn range() -> Self {
        Self::new(500, "query_error", "Requested range not satisfiable")
    }
}

impl From<Error> for Failure {
    /// The caller gets PostgreSQL's own message.
    fn from(error: Error) -> Self {
        let message = error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned());
        Self::new(500, "query_error", message)
    }
}

async fn list(admin_url: &str, headers: &HeaderMap, body: &[u8]) -> Result<String, Failure> {
    let server_error = |error: anyhow::Error| Failure::new(500, "server_error", error.to_string());
    let client = database::connect(admin_url).await.map_err(server_error)?;
    client.batch_execute("SET TIME ZONE 'UTC'").await?;
    let account = authenticate(&client, headers).await?;
    let account = account.ok_or_else(|| Failure::new(401, "unauthorized", "Unauthorized"))?;
    let fields = Fields::read(body).map_err(|message| Failure::new(500, "server_error", message))?;
    page(&client, &account, &fields).await
}

/// Returns the account of an active key, and notes that the key was used.
async fn authenticate(client: &Client, headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let values: Vec<_> = headers.get_all("authorization").iter().filter_map(|value| value.to_str().ok()).collect();
    let token = values.join(", ").replacen("Bearer ", "", 1);
    if !token.starts_with("mgp_") {
        return Ok(None);
    }
    let touch = "UPDATE api_keys SET last_used_at = now() WHERE key_hash = $1 AND is_active RETURNING user_id::text";
    let rows = client.query_typed(touch, &[(&keys::hash(&token), Type::TEXT)]).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// The statement's rows, and those that are counted.
const MATCHING: &str =
    "FROM chat_sessions WHERE user_id = $1::text::uuid AND ($2::text IS NULL OR widget_id = $2::uuid)
      AND ($3::text IS NULL OR status = $3) AND ($4::text IS NULL OR created_at >= $4::timestamptz)";

const COLUMNS: [&str; 12] = [
    "id",
    "widget_id",
    "widget_name",
    "visitor_id",
    "visitor_name",
    "visitor_email",
    "status",
    "last_message",
    "last_message_at",
    "message_count",
    "page_url",
    "created_at",
];

async fn page(client: &Client, account: &str, fields: &Fields) -> Result<String, Failure> {
    let [widget, status, from] = [&fields.widget_id, &fields.status, &fields.from_date];
    let filters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 4] =
        [(&account, Type::TEXT), (widget, Type::TEXT), (status, Type::TEXT), (from, Type::TEXT)];
    let total: i64 = client.query_typed(&format!("SELECT count(*) {MATCHING}"), &filters).await?[0].get(0);
    let (offset, limit) = fields.range().filter(|(offset, _)| *offset <= total).ok_or_else(Failure::range)?;
    let limit = limit.min(ROWS_MAX);
    let statement = format!(
        "SELECT s.id::text, s.widget_id::text, w.name, s.visitor_id, s.visitor_name, s.visitor_email, s.status,
                m.contents[cardinality(m.contents)], to_json(s.last_message_at) #>> '{{}}',
                coalesce(cardinality(m.contents), 0), s.page_url, to_json(s.created_at) #>> '{{}}', w.id IS NULL
         FROM (SELECT * {MATCHING} ORDER BY last_message_at DESC LIMIT {limit} OFFSET {offset}) s
         LEFT JOIN chat_widgets w ON w.id = s.widget_id
         CROSS JOIN LATERAL (SELECT array_agg(content) FROM (SELECT content FROM chat_messages WHERE session_id = s.id
                                                             ORDER BY ctid LIMIT {ROWS_MAX}) list) m (contents)
         ORDER BY s.last_message_at DESC"
    );
    let rows = client.query_typed(&statement, &filters).await?;
    let sessions: Vec<String> = rows.iter().map(session).collect();
    Ok(format!(r#"{{"sessions":[{}],"total":{total}}}"#, sessions.join(",")))
}

/// Writes a session in the order of the columns, which a `Value` would sort.
fn session(row: &Row) -> String {
    let member = |(index, name): (usize, &&str)| {
        let value = match *name {
            "message_count" => json!(row.get::<_, i32>(index)),
            _ => json!(row.get::<_, Option<String>>(index)),
        };
        let is_missing = match *name {
            "last_message" => value.is_null(),
            "widget_name" => row.get(COLUMNS.len()),
            _ => false,
        };
        (!is_missing).then(|| format!("\"{name}\":{value}"))
    };
    let members: Vec<String> = COLUMNS.iter().enumerate().filter_map(member).collect();
    format!("{{{}}}", members.join(","))
}

//! The vectors of the contract, over HTTP, through the binary under a Lambda Runtime API.

use std::sync::Arc;

use axum::{
    body::Bytes,
    http::{Request, StatusCode},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::{Database, Function, FunctionOptions, Gateway, Secrets, Server, binary, client, openapi};

pub const VECTORS: &str = include_str!("../../../tests/contract/vectors.json");
pub const ROWS: &str = include_str!("../../../tests/contract/seed.sql");
pub const KEYS: &str = include_str!("../../../tests/contract/seed_keys.json");

/// Creates a database with the rows of the vectors.
pub async fn database(server: &Server) -> Database {
    let database = Database::create(server).await.unwrap();
    database.load(ROWS).await.unwrap();
    database
}

/// Distributes the vectors among several functions on one database and asserts that each vector gets the expected
/// response.
pub async fn assert_every_vector(database_url: &str, functions: usize) {
    let secrets = Secrets::start().await.unwrap();
    secrets.put("keys", KEYS).unwrap();
    let env = [
        ("API_KEYS_SECRET_ID", "keys"),
        ("DATABASE_URL", database_url),
        ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
    ];
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 144);
    let mut shares = JoinSet::new();
    for first in 0..functions {
        let function = Function::start(FunctionOptions::new(binary(), &env)).await.unwrap();
        let share = vectors.iter().skip(first).step_by(functions).cloned().collect();
        shares.spawn(faults_of_share(function, share));
    }
    let faults = shares.join_all().await.concat();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

async fn faults_of_share(function: Function, vectors: Vec<Value>) -> Vec<String> {
    let gateway = Gateway::bind(0).await.unwrap();
    let url = gateway.url().unwrap();
    let _serving = gateway.serve(Arc::new(function));
    let mut faults = Vec::new();
    for vector in vectors {
        let (status, body) = call(&url, &vector).await;
        for fault in faults_of(status, &body, &vector["expect"]) {
            faults.push(format!("{} {}: {fault}", vector["id"], vector["title"]));
        }
    }
    faults
}

async fn call(url: &str, vector: &Value) -> (StatusCode, String) {
    let path = vector["path"].as_str().unwrap();
    let mut request = Request::builder().method(vector["method"].as_str().unwrap()).uri(format!("{url}{path}"));
    for (name, value) in vector["headers"].as_object().unwrap() {
        request = request.header(name, value.as_str().unwrap());
    }
    let response = client::send(request.body(body(vector)).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = String::from_utf8(body.to_vec()).unwrap();
    if vector["method"] != "OPTIONS" {
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        openapi::check(parts.status.as_u16(), header, &body);
    }
    (parts.status, body)
}

fn body(vector: &Value) -> Bytes {
    if let Some(text) = vector["body"].as_str() {
        return text.to_owned().into();
    }
    if let Some(base64) = vector["body_base64"].as_str() {
        return BASE64_STANDARD.decode(base64).unwrap().into();
    }
    let Some(parts) = vector["body_generated"].as_object() else { return Bytes::new() };
    let part = |name: &str| parts[name].as_str().unwrap();
    let (prefix, fill, suffix) = (part("prefix"), part("fill"), part("suffix"));
    let bytes = usize::try_from(parts["bytes"].as_u64().unwrap()).unwrap();
    let body = format!("{prefix}{}{suffix}", fill.repeat((bytes - prefix.len() - suffix.len()) / fill.len()));
    assert_eq!(body.len(), bytes);
    body.into()
}

fn faults_of(status: StatusCode, body: &str, expect: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut check = |what: &str, actual: &Value, expected: &Value| {
        if actual != expected {
            faults.push(format!("{what} is {actual}, not {expected}"));
        }
    };
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let sessions = json["sessions"].as_array().cloned().unwrap_or_default();
    let ids: Vec<&str> = sessions.iter().filter_map(|session| session["id"].as_str()).collect();
    for (what, expected) in expect.as_object().unwrap() {
        match what.as_str() {
            "status" => check(what, &status.as_u16().into(), expected),
            "status_in" => {
                let one_of = expected.as_array().unwrap().contains(&status.as_u16().into());
                check(what, &one_of.into(), &true.into());
            }
            "error_code" => check(what, &json["error"]["code"], expected),
            "body_text" => check(what, &body.into(), expected),
            "count" => check(what, &sessions.len().into(), expected),
            "total" => check(what, &json["total"], expected),
            "ids_end" => check(what, &ids.iter().map(|id| &id[id.len() - 2..]).collect(), expected),
            "first" => check(what, &ids.first().copied().into(), expected),
            "last" => check(what, &ids.last().copied().into(), expected),
            "first_session_keys" => check(what, &keys_in_order(body).into(), expected),
            "first_session" => {
                for (field, expected) in expected.as_object().unwrap() {
                    check(field, &sessions[0][field], expected);
                }
            }
            "session" => check(what, &sessions.contains(expected).into(), &true.into()),
            unknown => panic!("a vector expects {unknown:?}, which this test does not know"),
        }
    }
    faults
}

/// Returns the keys of the first session in the order of the text, which [`Value`] does not preserve.
fn keys_in_order(body: &str) -> Vec<&str> {
    let session = body.split_once("[{").and_then(|(_, rest)| rest.split_once('}')).map_or("", |(session, _)| session);
    let mut places: Vec<_> = serde_json::from_str::<Value>(&format!("{{{session}}}"))
        .unwrap()
        .as_object()
        .unwrap()
        .keys()
        .filter_map(|key| session.find(&format!("\"{key}\":")).map(|place| (place, &session[place + 1..][..key.len()])))
        .collect();
    places.sort_unstable();
    places.into_iter().map(|(_, key)| key).collect()
}

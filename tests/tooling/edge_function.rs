//! The stand-in for the edge function behaves as docs/contract.md says in "Moving from the edge function".

use axum::http::{Request, StatusCode};
use serde_json::{Value, json};
use testkit::{Database, EdgeFunction, Server, client, contract, edge_function::add_keys};

const TOKEN: &str = "Bearer mgp_0123456789abcdef0123456789abcdef01234567";
const LARGE_ACCOUNT: &str = "Bearer mgp_big";

struct Old {
    database: Database,
    function: EdgeFunction,
}

impl Old {
    async fn start() -> Self {
        let database = contract::database(Server::shared()).await;
        add_keys(&database.client().await.unwrap(), contract::KEYS).await.unwrap();
        let function = EdgeFunction::start(0, database.admin_url()).await.unwrap();
        Self { database, function }
    }

    async fn call(&self, method: &str, token: &str, body: impl Into<Vec<u8>>) -> (StatusCode, Value) {
        let request = Request::builder().method(method).uri(self.function.url()).header("authorization", token);
        let response = client::send(request.body(body.into().into()).unwrap()).await.unwrap();
        (response.status(), serde_json::from_slice(response.body()).unwrap_or_default())
    }
}

#[tokio::test]
async fn every_form_of_a_request_gets_the_edge_functions_response() {
    let old = Old::start().await;
    // The sessions on the page, of five; or the error's message.
    let (all, range) = (Ok(5), Err("Requested range not satisfiable"));
    for (body, expected) in [
        ("", all),
        ("hello", all),
        ("[]", all),
        ("5", all),
        ("\u{feff}{\"limit\":1}", Ok(1)),
        (r#"{"limit":1,"limit":2}"#, Ok(2)),
        ("null", Err("Cannot read properties of null (reading 'limit')")),
        (r#"{"limit":0}"#, Ok(0)),
        (r#"{"limit":0,"offset":1}"#, range),
        (r#"{"limit":-1}"#, range),
        (r#"{"limit":null}"#, Ok(0)),
        (r#"{"limit":"2"}"#, Ok(2)),
        (r#"{"limit":"2","offset":1}"#, Ok(4)),
        (r#"{"limit":[2]}"#, Ok(2)),
        (r#"{"limit":true}"#, Ok(1)),
        (r#"{"limit":1.5}"#, Ok(0)),
        (r#"{"limit":{}}"#, Ok(0)),
        (r#"{"offset":"1"}"#, Ok(4)),
        (r#"{"offset":null}"#, all),
        (r#"{"offset":1.5}"#, all),
        (r#"{"limit":5,"offset":-2}"#, Ok(3)),
        (r#"{"limit":2,"offset":-2}"#, Ok(0)),
        (r#"{"limit":2,"offset":-3}"#, range),
        (r#"{"offset":5}"#, Ok(0)),
        (r#"{"offset":6}"#, range),
        (r#"{"offset":1e30}"#, Ok(1)),
        (r#"{"status":"archived"}"#, Ok(0)),
        (r#"{"status":false,"widget_id":0,"from_date":""}"#, all),
        (r#"{"widget_id":"abc"}"#, Err("invalid input syntax for type uuid: \"abc\"")),
        (r#"{"widget_id":"aaaa-aaaa-aaaa4aaa8aaaaaaaaaaaaaaa"}"#, Ok(4)),
        (r#"{"from_date":"tomorrow"}"#, Ok(0)),
        (r#"{"from_date":"Jan 16 2024"}"#, Ok(3)),
        (r#"{"from_date":"abc"}"#, Err("invalid input syntax for type timestamp with time zone: \"abc\"")),
    ] {
        let (status, response) = old.call("POST", TOKEN, body).await;
        let actual = match status {
            StatusCode::OK => Ok(response["sessions"].as_array().unwrap().len()),
            _ => Err(response["error"]["message"].as_str().unwrap()),
        };
        assert_eq!(actual, expected, "{body}");
    }
    for method in ["GET", "PUT", "PATCH", "DELETE"] {
        assert_eq!(old.call(method, TOKEN, "{}").await.1["total"], 5, "{method}");
    }
    for limit in [101, 1_000, 1_500] {
        let (_, page) = old.call("POST", LARGE_ACCOUNT, json!({ "limit": limit }).to_string()).await;
        assert_eq!(page["sessions"].as_array().unwrap().len(), limit.min(1_000));
    }
}

#[tokio::test]
async fn a_session_has_its_keys_only_with_values_and_the_last_message_of_the_heap() {
    let old = Old::start().await;
    let session = async |token: &str, id: &str| {
        let (_, page) = old.call("POST", token, "{}").await;
        page["sessions"].as_array().unwrap().iter().find(|session| session["id"] == id).unwrap().clone()
    };
    let first = "00000000-0000-4000-8000-000000000001";
    assert_eq!(session(TOKEN, first).await["created_at"], "2024-01-15T10:30:00+00:00");
    assert_eq!(session(TOKEN, first).await["last_message"], "OLDER, INSERTED LATER");
    old.database.load("UPDATE chat_messages SET read_at = now() WHERE content = 'Hi'").await.unwrap();
    assert_eq!(session(TOKEN, first).await["last_message"], "Hi");
    let without = session(TOKEN, "00000000-0000-4000-8000-000000000004").await;
    assert_eq!(
        (without.get("last_message"), &without["message_count"], &without["status"]),
        (None, &json!(0), &Value::Null)
    );
    let large = session(LARGE_ACCOUNT, "90000000-0000-4000-8000-000000001203").await;
    assert_eq!((&large["message_count"], &large["last_message"]), (&json!(1_000), &json!("m1000")));
}

#[tokio::test]
async fn a_revoked_key_stops_immediately_and_each_use_is_noted() {
    let old = Old::start().await;
    for (token, status) in [
        (TOKEN, 200),
        ("mgp_0123456789abcdef0123456789abcdef01234567", 200),
        ("bearer mgp_0123456789abcdef0123456789abcdef01234567", 401),
        ("Bearer  mgp_0123456789abcdef0123456789abcdef01234567", 401),
        ("Bearer eyJvalid.jwt.token", 401),
        ("Bearer mgp_revoked6789abcdef0123456789abcdef0123456", 401),
        ("", 401),
    ] {
        let (actual, body) = old.call("POST", token, "{}").await;
        assert_eq!(actual, status, "{token}");
        assert!(status == 200 || body == json!({ "error": { "code": "unauthorized", "message": "Unauthorized" } }));
    }
    let used = "SELECT count(*) FROM api_keys WHERE last_used_at IS NOT NULL";
    let admin = old.database.client().await.unwrap();
    assert_eq!(admin.query_typed(used, &[]).await.unwrap()[0].get::<_, i64>(0), 1);
    admin.batch_execute("UPDATE api_keys SET is_active = false").await.unwrap();
    assert_eq!(old.call("POST", TOKEN, "{}").await.0, 401);
}

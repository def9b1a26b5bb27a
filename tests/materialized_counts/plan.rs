//! With the set, PostgreSQL reads the materialized counts and does not count.

use list_chat_sessions::{
    request::ListRequest,
    sessions::{Reading, page_statement},
};
use serde_json::{Value, json};
use testkit::{
    Database, Server,
    migrations::apply_materialized_counts,
    plan::{ROWS, caller, json_of, nodes},
};

#[tokio::test]
async fn materialized_values_are_read_instead_of_counted() {
    let database = Database::create(Server::shared()).await.unwrap();
    database.load(&ROWS.replace("ACCOUNT", testkit::ACCOUNT)).await.unwrap();
    let client = database.client().await.unwrap();
    apply_materialized_counts(&client).await.unwrap();
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let widget = "aaaaaaaa-aaaa-4aaa-8aaa-000000000004";
    for request in [
        json!({}),
        json!({ "offset": 5_000 }),
        json!({ "status": "active" }),
        json!({ "widget_id": widget }),
        json!({ "widget_id": widget, "status": "active" }),
        json!({ "from_date": "2024-01-03" }),
        json!({ "widget_id": widget, "status": "active", "from_date": "2024-01-03" }),
    ] {
        let list = ListRequest::parse(request.to_string().as_bytes(), 100).unwrap();
        let caller = caller();
        let statement = page_statement(&caller, &list, Reading::default());
        let text = format!("EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) {}", statement.preferred());
        let plan = json_of(&client.query_typed(&text, &statement.parameters).await.unwrap()[0]);
        for node in nodes(&plan) {
            let read = node["Actual Loops"].as_f64().unwrap() * node["Actual Rows"].as_f64().unwrap();
            let table = node["Relation Name"].as_str().unwrap_or_default();
            let is_page = read <= if list.offset > 0 { 5_050.0 } else { 50.0 };
            let is_count = table == "chat_messages" || (table == "chat_sessions" && !is_page);
            assert!(read == 0.0 || !is_count, "{request}: {node:#}\n{plan:#}");
        }
        let reads = |table: &str| nodes(&plan).iter().any(|node: &&Value| node["Relation Name"] == table);
        assert!(reads("chat_session_counts") && !reads("chat_messages"), "{plan:#}");
    }
}

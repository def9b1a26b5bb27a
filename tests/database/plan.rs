//! PostgreSQL's plans read from the indexes, and read only a page of an account's sessions.

use list_chat_sessions::{
    request::ListRequest,
    sessions::{DEEP_OFFSET, Reading, page_statement},
};
use serde_json::{Value, json};
use testkit::{
    ACCOUNT, Database, Server, migrations,
    plan::{ROWS, caller, json_of, nodes},
};

#[tokio::test]
async fn every_combination_of_filters_reads_a_page_and_counts_from_an_index() {
    let database = Database::create(Server::shared()).await.unwrap();
    database.load(&ROWS.replace("ACCOUNT", ACCOUNT)).await.unwrap();
    let client = database.client().await.unwrap();
    client.batch_execute("VACUUM ANALYZE").await.unwrap();
    let widget = "aaaaaaaa-aaaa-4aaa-8aaa-000000000004";
    for (request, page_index, total_index) in [
        (json!({}), "chat_sessions_user_last", "chat_sessions_user_"),
        (json!({ "offset": 5_000 }), "chat_sessions_user_last", "chat_sessions_user_"),
        (json!({ "status": "active" }), "chat_sessions_user_status", "chat_sessions_user_status"),
        (json!({ "widget_id": widget }), "chat_sessions_user_widget", "chat_sessions_user_widget"),
        (json!({ "widget_id": widget, "status": "active" }), "chat_sessions_user_", "chat_sessions_user_"),
        (json!({ "from_date": "2024-01-28" }), "chat_sessions_user_", "chat_sessions_user_created"),
    ] {
        let plan = explain(&client, &request).await;
        let nodes = nodes(&plan);
        for node in &nodes {
            let kind = node["Node Type"].as_str().unwrap();
            let table = node["Relation Name"].as_str().unwrap_or_default();
            let is_scan_of_all = kind == "Seq Scan" && table != "chat_widgets";
            assert!(!is_scan_of_all, "{request}: {table} is read from end to end\n{plan:#}");
            let is_large_sort = kind.contains("Sort") && node["Plan Rows"].as_f64().unwrap() > 2_000.0;
            assert!(!is_large_sort, "{request}: more than a page is sorted\n{plan:#}");
        }
        let uses =
            |index: &str| nodes.iter().any(|node| node["Index Name"].as_str().unwrap_or_default().starts_with(index));
        assert!(uses(page_index) && uses(total_index), "{request}\n{plan:#}");
        let counts_messages = |node: &&&Value| node["Index Name"] == "chat_messages_session_last";
        assert_eq!(
            nodes.iter().filter(counts_messages).count(),
            2,
            "{request}: the last message and the count\n{plan:#}"
        );
    }
}

#[tokio::test]
async fn the_columns_stand_in_the_contracts_order() {
    let client = Database::create(Server::shared()).await.unwrap().client().await.unwrap();
    migrations::apply_materialized_counts(&client).await.unwrap();
    for offset in [0, 1, DEEP_OFFSET] {
        let list = ListRequest::parse(json!({ "offset": offset }).to_string().as_bytes(), 100).unwrap();
        let caller = caller();
        let statement = page_statement(&caller, &list, Reading::default());
        let types: Vec<_> = statement.parameters.iter().map(|(_, r#type)| r#type.clone()).collect();
        for text in [&statement.preferred(), &statement.fallback()] {
            let prepared = client.prepare_typed(text, &types).await.unwrap();
            let columns: Vec<&str> = prepared.columns().iter().map(tokio_postgres::Column::name).collect();
            assert_eq!(
                columns.join(" "),
                "id widget_id widget_name visitor_id visitor_name visitor_email status last_message last_message_at \
                 message_count page_url created_at total"
            );
        }
    }
}

/// Runs them as in psql, with values for the parameters.
#[tokio::test]
async fn every_statement_of_the_snapshots_runs() {
    let client = Database::create(Server::shared()).await.unwrap().client().await.unwrap();
    migrations::apply_materialized_counts(&client).await.unwrap();
    let folder = testkit::repository().join("src/sessions/snapshots");
    let mut executed = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "sql") {
            continue;
        }
        let statements = std::fs::read_to_string(&path).unwrap();
        for statement in statements.split_terminator(";\n").map(str::trim_start) {
            let label = statement.lines().next().unwrap();
            let filters =
                [("widget_id", "'aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa'"), ("from_date", "'2024-01-15T10:30:00Z'")];
            let values = filters.iter().filter(|(name, _)| label.contains(name)).map(|(_, value)| *value);
            let values = std::iter::once("'11111111-1111-4111-8111-111111111111'").chain(values);
            let pasted = (1..)
                .zip(values)
                .fold(statement.to_owned(), |text, (number, value)| text.replace(&format!("${number}"), value));
            client
                .batch_execute(&pasted)
                .await
                .unwrap_or_else(|error| panic!("{}: {error:?}\n{pasted}", path.display()));
            executed += 1;
        }
    }
    assert!(executed > 100, "{executed}");
}

async fn explain(client: &tokio_postgres::Client, request: &Value) -> Value {
    let list = ListRequest::parse(request.to_string().as_bytes(), 100).unwrap();
    let caller = caller();
    let statement = page_statement(&caller, &list, Reading::default());
    let text = statement.fallback();
    let rows = client.query_typed(&format!("EXPLAIN (FORMAT JSON) {text}"), &statement.parameters).await.unwrap();
    json_of(&rows[0])
}

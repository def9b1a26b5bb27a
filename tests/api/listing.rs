//! The content of a page: the account's sessions, the filters, the order, the values.

use serde_json::{Value, json};
use testkit::{ACCOUNT, Database, NEIGHBOUR, NEIGHBOURS_TOKEN, NEIGHBOURS_WIDGET, Server, TestApp, WIDGET};

/// A session of [`ACCOUNT`] with a value in every field.
const FULL: &str = "00000000-0000-4000-8000-000000000001";

async fn insert(test: &TestApp, values: &str) {
    let sql = format!(
        "INSERT INTO chat_sessions (id, user_id, widget_id, visitor_id, status, last_message_at, created_at)
         SELECT v.id::uuid, coalesce(v.user_id, '{ACCOUNT}')::uuid, coalesce(v.widget_id, '{WIDGET}')::uuid, 'v',
                v.status, v.last_message_at::timestamptz, v.created_at::timestamptz
         FROM (VALUES {values}) v (id, user_id, widget_id, status, last_message_at, created_at)"
    );
    test.database.load(&sql).await.unwrap();
}

fn id(number: u32) -> String {
    format!("00000000-0000-4000-8000-{number:012}")
}

#[tokio::test]
async fn a_page_is_exactly_as_in_the_snapshot() {
    let test = TestApp::start().await;
    let sql = format!(
        "INSERT INTO chat_sessions
           (id, widget_id, user_id, visitor_id, visitor_name, visitor_email, page_url, browser_info, created_at)
         VALUES ('{FULL}', '{WIDGET}', '{ACCOUNT}', 'v_abc123def456', 'Zoë \"Z\"', 'zoe@example.com',
                 'https://example.com/pricing', '{{}}', '2024-01-15 10:30:00.5+00');
         INSERT INTO chat_messages (session_id, role, content, created_at) VALUES
           ('{FULL}', 'agent', E'newest\\n\\u2028😀', '2024-01-15 10:45:00+00'),
           ('{FULL}', 'visitor', 'older, written later', '2024-01-15 10:30:01+00');
         UPDATE chat_sessions SET last_message_at = '2024-01-15 12:45:00.123400+02';"
    );
    test.database.load(&sql).await.unwrap();
    insta::assert_snapshot!(test.list(json!({})).await.body.replace('\u{2028}', "<U+2028>"), @r#"{"sessions":[{"id":"00000000-0000-4000-8000-000000000001","widget_id":"aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa","widget_name":"Support Widget","visitor_id":"v_abc123def456","visitor_name":"Zoë \"Z\"","visitor_email":"zoe@example.com","status":"active","last_message":"newest\n<U+2028>😀","last_message_at":"2024-01-15T10:45:00.1234Z","message_count":2,"page_url":"https://example.com/pricing","created_at":"2024-01-15T10:30:00.5Z"}],"total":1}"#);
}

#[tokio::test]
async fn missing_values_are_null() {
    let test = TestApp::start().await;
    let sql = format!(
        "INSERT INTO chat_sessions (id, widget_id, user_id, visitor_id, status, last_message_at, created_at)
         VALUES ('{FULL}', '{WIDGET}', '{ACCOUNT}', '', NULL, NULL, NULL);
         UPDATE chat_widgets SET name = NULL;"
    );
    test.database.load(&sql).await.unwrap();
    let expected = json!({
        "id": FULL, "widget_id": WIDGET, "widget_name": null, "visitor_id": "", "visitor_name": null,
        "visitor_email": null, "status": null, "last_message": null, "last_message_at": null, "message_count": 0,
        "page_url": null, "created_at": null,
    });
    assert_eq!(test.list(json!({})).await.sessions(), [expected]);
}

#[tokio::test]
async fn a_time_that_rfc_3339_cannot_express_is_null_and_does_not_fail_the_page() {
    let test = TestApp::start().await;
    insert(
        &test,
        &format!(
            "('{}', NULL, NULL, 'active', 'infinity', '-infinity'),
             ('{}', NULL, NULL, 'active', '10000-01-01 00:00:00+00', '0044-03-15 00:00:00+00 BC'),
             ('{}', NULL, NULL, 'active', '9999-12-31 23:59:59.999999+00', '0001-01-01 00:00:00+00')",
            id(3),
            id(2),
            id(1)
        ),
    )
    .await;
    let response = test.list(json!({})).await;
    assert_eq!(response.ids(), [id(3), id(2), id(1)]);
    let times: Vec<_> =
        response.sessions().iter().map(|s| (s["last_message_at"].clone(), s["created_at"].clone())).collect();
    let last = (json!("9999-12-31T23:59:59.999999Z"), json!("0001-01-01T00:00:00Z"));
    assert_eq!(times, [(Value::Null, Value::Null), (Value::Null, Value::Null), last]);
}

#[tokio::test]
async fn the_last_message_is_the_newest_one_and_all_are_counted() {
    let test = TestApp::start().await;
    insert(&test, &format!("('{FULL}', NULL, NULL, 'active', now()::text, now()::text)")).await;
    let sql = format!(
        "INSERT INTO chat_messages (id, session_id, role, content, created_at)
         SELECT gen_random_uuid(), '{FULL}', 'visitor', 'm' || n, timestamptz '2024-03-01' + n * interval '1 s'
         FROM generate_series(1, 1500) n;
         -- Two more of the same instant: the larger id is the newer.
         INSERT INTO chat_messages (id, session_id, role, content, created_at) VALUES
           ('ffffffff-0000-4000-8000-000000000000', '{FULL}', 'agent', 'text of the newest', '2025-01-01'),
           ('eeeeeeee-0000-4000-8000-000000000000', '{FULL}', 'agent', 'text of the one before', '2025-01-01');
         -- Reading messages moves their rows to the end of the table.
         UPDATE chat_messages SET read_at = now() WHERE role = 'visitor';"
    );
    test.database.load(&sql).await.unwrap();
    let sessions = test.list(json!({})).await.sessions();
    assert_eq!(
        (&sessions[0]["last_message"], &sessions[0]["message_count"]),
        (&json!("text of the newest"), &json!(1502))
    );
}

#[tokio::test]
async fn a_text_too_large_for_lambda_is_cut_at_a_character_and_any_other_is_complete() {
    let test = TestApp::start().await;
    insert(&test, &format!("('{FULL}', NULL, NULL, 'active', now()::text, now()::text)")).await;
    // A quote takes two bytes in the body, and each of those takes two in the envelope.
    for (text, length, is_cut) in [
        ("x", 6_200_000, false),
        ("x", 6_300_000, true),
        ("\"", 1_500_000, false),
        ("\"", 1_600_000, true),
        ("😀", 1_600_000, true),
        ("x", 20_000_000, true),
    ] {
        let sql = format!(
            "DELETE FROM chat_messages;
             INSERT INTO chat_messages (session_id, role, content) VALUES ('{FULL}', 'agent', repeat('{text}', {length}))"
        );
        test.database.load(&sql).await.unwrap();
        let sessions = test.list(json!({ "limit": 1 })).await.sessions();
        let message = sessions[0]["last_message"].as_str().unwrap();
        let kept = message.strip_suffix('…').unwrap_or(message);
        assert_eq!((message.ends_with('…'), kept.replace(text, "")), (is_cut, String::new()), "{length} times {text}");
        let size = |text: &str| text.len() + 3 * text.matches('"').count();
        let expected = if is_cut { 6_285_000..6_291_556 } else { size(text) * length..size(text) * length + 1 };
        assert!(expected.contains(&size(kept)), "{length} times {text}: {}", size(kept));
    }
}

#[tokio::test]
async fn the_longest_texts_of_a_page_are_cut_to_a_common_length() {
    let test = TestApp::start().await;
    insert(
        &test,
        &format!(
            "('{}', NULL, NULL, 'active', '2024-05-03Z', now()::text), ('{}', NULL, NULL, 'active', '2024-05-02Z', now()::text),
             ('{}', NULL, NULL, 'active', '2024-05-01Z', now()::text)",
            id(3),
            id(2),
            id(1)
        ),
    )
    .await;
    let sql = format!(
        "ALTER TABLE chat_messages DISABLE TRIGGER USER;
         INSERT INTO chat_messages (session_id, role, content) VALUES
           ('{}', 'agent', repeat('a', 5000000)), ('{}', 'agent', repeat('b', 3000000)), ('{}', 'agent', repeat('c', 2000000));
         UPDATE chat_sessions SET page_url = repeat('u', 900000);",
        id(3),
        id(2),
        id(1)
    );
    test.database.load(&sql).await.unwrap();
    let sessions = test.list(json!({ "limit": 3 })).await.sessions();
    let chars = |session: usize, key: &str| sessions[session][key].as_str().unwrap().chars().count();
    let cut: Vec<_> = (0..3).map(|session| (chars(session, "last_message"), chars(session, "page_url"))).collect();
    let length = cut[0].0;
    assert_eq!(cut, [(length, 900_000), (length, 900_000), (length, 900_000)]);
    assert!((6_285_000..6_291_556).contains(&(3 * (length + 900_000))), "{length}");
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_are_replaced_and_do_not_fail_the_page() {
    let test = TestApp::start_on(sql_ascii_database().await, testkit::app::secrets().await, |_| {}).await;
    insert(&test, &format!("('{FULL}', NULL, NULL, 'active', '2024-05-03Z', '2024-05-03Z')")).await;
    let sql = format!(
        "INSERT INTO chat_messages (session_id, role, content) VALUES ('{FULL}', 'agent', E'caf\\xE9 \\xE2\\x82 ok');
         UPDATE chat_sessions SET visitor_name = E'Zo\\xC3\\xAB';"
    );
    test.database.load(&sql).await.unwrap();
    for body in [json!({}), json!({ "status": "active" })] {
        let sessions = test.list(body).await.sessions();
        assert_eq!(sessions[0]["last_message"], "caf\u{FFFD} \u{FFFD} ok");
        assert_eq!(sessions[0]["visitor_name"], "Zoë");
    }
}

/// A database whose texts may be any bytes, with two accounts that have one widget each.
async fn sql_ascii_database() -> Database {
    let server = Server::shared();
    let database = Database::create_sql_ascii(server).await.unwrap();
    let sql = format!(
        "INSERT INTO users (id) VALUES ('{ACCOUNT}'), ('{NEIGHBOUR}');
         INSERT INTO chat_widgets (id, user_id, name)
         VALUES ('{WIDGET}', '{ACCOUNT}', 'Support Widget'), ('{NEIGHBOURS_WIDGET}', '{NEIGHBOUR}', 'Other');"
    );
    database.load(&sql).await.unwrap();
    database
}

#[tokio::test]
async fn an_account_never_sees_the_sessions_of_another() {
    let test = TestApp::start().await;
    insert(
        &test,
        &format!(
            "('{}', NULL, NULL, 'active', now()::text, now()::text),
             ('{}', '{NEIGHBOUR}', '{NEIGHBOURS_WIDGET}', 'active', now()::text, now()::text)",
            id(1),
            id(2)
        ),
    )
    .await;
    for (token, widget_id, expected) in [
        (testkit::TOKEN, None, vec![id(1)]),
        (NEIGHBOURS_TOKEN, None, vec![id(2)]),
        (testkit::TOKEN, Some(NEIGHBOURS_WIDGET), vec![]),
        (NEIGHBOURS_TOKEN, Some(WIDGET), vec![]),
    ] {
        let response = test.list_as(token, json!({ "widget_id": widget_id })).await;
        assert_eq!((response.ids(), response.total()), (expected.clone(), i64::try_from(expected.len()).unwrap()));
    }
}

#[tokio::test]
async fn each_filter_and_all_together_select_the_matching_sessions() {
    let test = TestApp::start().await;
    let other = "cccccccc-cccc-4ccc-8ccc-cccccccccccc";
    test.database.load(&format!("INSERT INTO chat_widgets VALUES ('{other}', '{ACCOUNT}', 'C')")).await.unwrap();
    insert(
        &test,
        &format!(
            "('{}', NULL, NULL, 'active', '2024-05-05Z', '2024-01-01 00:00:00Z'),
             ('{}', NULL, NULL, 'closed', '2024-05-04Z', '2024-01-02 00:00:00Z'),
             ('{}', NULL, '{other}', 'active', '2024-05-03Z', '2024-01-02 00:00:00.000001Z'),
             ('{}', NULL, '{other}', 'Active', '2024-05-02Z', '2024-01-03 00:00:00Z'),
             ('{}', NULL, NULL, NULL, '2024-05-01Z', NULL)",
            id(1),
            id(2),
            id(3),
            id(4),
            id(5)
        ),
    )
    .await;
    for (filters, expected) in [
        (json!({ "status": "active" }), vec![1, 3]),
        (json!({ "status": "closed" }), vec![2]),
        (json!({ "status": "" }), vec![1, 2, 3, 4, 5]),
        (json!({ "widget_id": other }), vec![3, 4]),
        (json!({ "from_date": "2024-01-02" }), vec![2, 3, 4]),
        (json!({ "from_date": "2024-01-02T00:00:00.000001Z" }), vec![3, 4]),
        (json!({ "from_date": "2024-01-02T00:00:00.0000001Z" }), vec![3, 4]),
        (json!({ "from_date": "2024-01-02T01:00:00+01:00" }), vec![2, 3, 4]),
        (json!({ "from_date": "9999-12-31" }), vec![]),
        (json!({ "widget_id": WIDGET, "status": "active" }), vec![1]),
        (json!({ "widget_id": other, "status": "active", "from_date": "2024-01-02" }), vec![3]),
        (json!({ "widget_id": other, "status": "closed", "from_date": "2024-01-02" }), vec![]),
    ] {
        let total = i64::try_from(expected.len()).unwrap();
        let expected: Vec<_> = expected.into_iter().map(id).collect();
        let response = test.list(filters.clone()).await;
        assert_eq!((response.ids(), response.total()), (expected, total), "{filters}");
        for (field, value) in [("limit", json!(0)), ("offset", json!(i64::MAX))] {
            let mut filters = filters.clone();
            filters[field] = value;
            let response = test.list(filters.clone()).await;
            assert_eq!((response.ids().len(), response.total()), (0, total), "{filters}");
        }
    }
}

#[tokio::test]
async fn the_operator_can_raise_the_maximum_limit() {
    let test = TestApp::start_with(Server::shared(), |config| config.limit_max = 1_000).await;
    assert_eq!(test.list(json!({ "limit": 1_000 })).await.status, 200);
    assert_eq!(test.list(json!({ "limit": 1_001 })).await.message(), "limit must be an integer from 0 to 1000");
}

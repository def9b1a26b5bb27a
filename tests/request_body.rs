//! The body: every rule of the contract's request table, and nothing that a body can do besides.

use list_chat_sessions::{
    error::Error,
    request::{ListRequest, MAX_BODY_BYTES, Status},
    timestamp::Timestamp,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn parse(body: impl AsRef<[u8]>) -> Result<ListRequest, Error> {
    ListRequest::parse(body.as_ref(), 100)
}

fn message(body: impl AsRef<[u8]>) -> String {
    match parse(body) {
        Err(Error::Validation(message)) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_given_is_the_first_page_of_all() {
    let expected = ListRequest { limit: 50, offset: 0, widget_id: None, status: None, from_date: None };
    let nulls = r#"{"limit": null, "offset": null, "widget_id": null, "status": null, "from_date": null}"#;
    let empty = r#"{"widget_id": "", "status": "", "from_date": ""}"#;
    let unknown =
        r#"{"Limit": 3, "foo": {"limit": [1]}, "foo": 2, "\ud800": 1, "x": "\ud800", "__proto__": {"limit": 1}}"#;
    for body in ["", " \r\n\t", "{}", nulls, empty, unknown] {
        assert_eq!(parse(body).unwrap(), expected, "{body}");
    }
}

#[test]
fn the_message_names_every_field_that_is_wrong_and_its_rule() {
    let body = r#"{"limit": 101, "offset": -1, "widget_id": "x", "status": "Active", "from_date": "today"}"#;
    insta::assert_snapshot!(message(body), @r#"limit must be an integer from 0 to 100; offset must be an integer from 0 to 9223372036854775807; widget_id must be a UUID; status must be "active" or "closed"; from_date must be an ISO 8601 date or date-time"#);
}

#[test]
fn a_field_given_twice_is_wrong_whatever_it_says() {
    assert_eq!(message(r#"{"limit": 1, "limit": 1}"#), "limit must be given once");
    assert_eq!(message(r#"{"status": null, "\u0073tatus": null}"#), "status must be given once");
    assert_eq!(
        message(r#"{"offset": 1, "offset": -1, "offset": "x"}"#),
        "offset must be given once; offset must be an integer from 0 to 9223372036854775807"
    );
}

#[test]
fn what_is_no_json_object_is_told_so() {
    for body in ["null", "[]", "5", "\"limit\"", "true"] {
        assert_eq!(message(body), "the body must be a JSON object", "{body}");
    }
    assert_eq!(message("{\"limit\": 1\n x}"), "the body must be a JSON object: broken at line 2 column 2");
    assert_eq!(message(b"{\"x\": \"\xff\"}"), "the body must be a JSON object in UTF-8");
    for body in [
        "hello",
        "{\"limit\":1} x",
        "{\"limit\":NaN}",
        "limit=1",
        "\u{feff}{}",
        "{'limit': 1}",
        "{\"limit\": 01}",
        "{,}",
    ] {
        assert!(message(body).starts_with("the body must be a JSON object"), "{body}");
    }
}

#[test]
fn the_size_ends_at_64_kib() {
    let body = |bytes: usize| format!("{{\"x\": \"{}\"}}", "y".repeat(bytes - 9));
    assert_eq!(body(MAX_BODY_BYTES).len(), 65_536);
    assert!(parse(body(MAX_BODY_BYTES)).is_ok());
    assert!(matches!(parse(body(MAX_BODY_BYTES + 1)), Err(Error::PayloadTooLarge)));
    assert!(matches!(parse(" ".repeat(MAX_BODY_BYTES + 1)), Err(Error::PayloadTooLarge)));
}

#[test]
fn depth_is_no_reason_to_fail() {
    let depth = 32_000;
    let nested = format!("{{\"x\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested).is_ok());
    let limit = format!("{{\"limit\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(message(limit), "limit must be an integer from 0 to 100");
}

#[test]
fn a_widget_id_is_read_in_the_forms_that_postgresql_reads() {
    let id = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
    let read = |text: &str| parse(json!({ "widget_id": text }).to_string()).map(|request| request.widget_id);
    for form in [id, &id.to_uppercase(), &id.replace('-', ""), &format!("{{{id}}}")] {
        assert_eq!(read(form).unwrap(), id.parse().ok(), "{form}");
    }
    for form in [
        "abc",
        &format!("urn:uuid:{id}"),
        &format!("URN:UUID:{id}"),
        &format!(" {id}"),
        &format!("{id} or 1=1"),
        &format!("{id},{id}"),
    ] {
        assert!(read(form).is_err(), "{form}");
    }
}

/// A request, and fields of a body that says the same.
fn request() -> impl Strategy<Value = (ListRequest, Vec<(&'static str, Value)>)> {
    let status = prop_oneof![Just(None), Just(Some(Status::Active)), Just(Some(Status::Closed))];
    let day = proptest::option::of((0..10_000_u32, 1..13_u32, 1..29_u32));
    let fields = (0..=100_i64, 0..=i64::MAX, proptest::option::of(any::<u128>()), status, day);
    fields.prop_map(|(limit, offset, widget_id, status, day)| {
        let widget_id = widget_id.map(uuid::Uuid::from_u128);
        let from_date = day.map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}"));
        let timestamp = from_date.as_deref().and_then(Timestamp::parse);
        let request = ListRequest { limit, offset, widget_id, status, from_date: timestamp };
        let fields = vec![
            ("limit", json!(limit)),
            ("offset", json!(offset)),
            ("widget_id", json!(widget_id.map(|id| id.to_string()))),
            ("status", json!(status.map(Status::as_str))),
            ("from_date", json!(from_date)),
            ("unknown", json!({ "limit": "x" })),
        ];
        (request, fields)
    })
}

proptest! {
    #[test]
    fn any_request_survives_its_way_through_json(
        (request, fields) in request().prop_flat_map(|(r, fields)| (Just(r), Just(fields).prop_shuffle())),
    ) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}: {value}")).collect();
        prop_assert_eq!(parse(format!("{{{}}}", fields.join(", "))).unwrap(), request);
    }

    #[test]
    fn any_bytes_are_a_request_or_the_callers_fault(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let outcome = parse(body);
        prop_assert!(matches!(outcome, Ok(_) | Err(Error::Validation(_))), "{outcome:?}");
    }

    #[test]
    fn any_text_in_any_field_is_a_request_or_the_callers_fault(
        field in prop_oneof![Just("limit"), Just("offset"), Just("widget_id"), Just("status"), Just("from_date")],
        text in "\\PC{0,40}|[-+0-9.eE]{1,30}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][-+0-9:.Z]{0,20}",
        quoted: bool,
    ) {
        let value = if quoted { json!(text).to_string() } else { text };
        let outcome = parse(format!("{{{field:?}: {value}}}"));
        prop_assert!(matches!(outcome, Ok(_) | Err(Error::Validation(_))), "{outcome:?}");
    }
}

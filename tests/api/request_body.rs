//! The body: every rule of the contract's request table, and malformed bodies.

use bytes::BytesMut;
use list_chat_sessions::{
    error::Error,
    request::{ListRequest, MAX_BODY_BYTES, Status},
    timestamp::PgTimestamp,
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};
use testkit::{Database, Server};
use tokio_postgres::types::{ToSql, Type};

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
fn an_empty_request_is_the_first_page_of_all_sessions() {
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
fn the_message_has_the_rule_of_every_invalid_field() {
    let body = r#"{"limit": 101, "offset": -1, "widget_id": "x", "status": "Active", "from_date": "today"}"#;
    insta::assert_snapshot!(message(body), @r#"limit must be an integer from 0 to 100; offset must be an integer from 0 to 9223372036854775807; widget_id must be a UUID; status must be "active" or "closed"; from_date must be an ISO 8601 date or date-time"#);
}

#[test]
fn a_field_given_twice_is_rejected() {
    assert_eq!(message(r#"{"limit": 1, "limit": 1}"#), "limit must be given once");
    assert_eq!(message(r#"{"status": null, "\u0073tatus": null}"#), "status must be given once");
    assert_eq!(
        message(r#"{"offset": 1, "offset": -1, "offset": "x"}"#),
        "offset must be given once; offset must be an integer from 0 to 9223372036854775807"
    );
}

#[test]
fn a_body_that_is_not_a_json_object_is_rejected() {
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

/// The rows of the contract's last table that are a 400 here, in the table's order.
#[test]
fn undocumented_input_that_the_edge_function_accepts_is_rejected() {
    for body in [
        r#"{"widget_id": "aaaaaaaa-aaaa4aaa-8aaa-aaaaaaaaaaaa"}"#,
        r#"{"from_date": "now"}"#,
        r#"{"from_date": "today"}"#,
        r#"{"from_date": "epoch"}"#,
        r#"{"from_date": "infinity"}"#,
        r#"{"from_date": "Jan 15 2024"}"#,
        r#"{"from_date": "01/15/2024"}"#,
        r#"{"from_date": "2024-015"}"#,
        r#"{"from_date": "2024-01-15 10:30:00 Europe/Berlin"}"#,
        r#"{"from_date": "2024-01-15T24:00:00"}"#,
        r#"{"from_date": " 2024-01-15"}"#,
        r#"{"from_date": "12024-01-15"}"#,
        "limit=20",
        "[]",
        "\u{feff}{}",
        r#"{"limit": 1, "limit": 2}"#,
        r#"{"limit": "20"}"#,
        r#"{"limit": [2]}"#,
        r#"{"limit": true}"#,
        r#"{"limit": 1.5}"#,
        r#"{"offset": "10"}"#,
        r#"{"offset": 0.5}"#,
        r#"{"widget_id": 0}"#,
        r#"{"status": false}"#,
        r#"{"from_date": 0}"#,
        r#"{"offset": -1}"#,
        r#"{"limit": 101}"#,
        r#"{"status": "open"}"#,
    ] {
        message(body);
    }
}

#[test]
fn a_raw_control_character_is_rejected_in_any_key_or_text() {
    for character in (0..b' ').map(char::from) {
        for body in [
            format!("{{\"x{character}\": 1}}"),
            format!("{{\"limit{character}\": 1}}"),
            format!("{{\"x\": \"{character}\"}}"),
            format!("{{\"x\": [{{\"y\": [\"{character}\"]}}]}}"),
            format!("{{\"x\": [{{\"{character}\": 1}}]}}"),
            format!("{{\"status\": \"{character}\"}}"),
        ] {
            assert!(message(&body).starts_with("the body must be a JSON object: broken at line"), "{body:?}");
        }
        let escaped = format!("{{\"\\u{:04x}\": \"\\u{0:04x}\", \"limit\": 7}}", u32::from(character));
        assert_eq!(parse(&escaped).unwrap().limit, 7, "{escaped}");
    }
    assert!(parse("{\"x\u{7f}\": \"\u{7f}\u{80}\u{9f}\"}").is_ok(), "JSON allows these");
}

#[test]
fn only_jsons_white_space_is_accepted() {
    assert_eq!(parse(" \t\r\n{ \"limit\"\t:\n7 }\r\n").unwrap().limit, 7);
    for odd in ["\u{c}", "\u{b}", "\0", "\u{85}", "\u{a0}", "\u{2028}", "\u{3000}"] {
        for body in [odd.to_owned(), format!("{odd}{{}}"), format!("{{}}{odd}"), format!("{{{odd}}}")] {
            assert!(message(&body).starts_with("the body must be a JSON object"), "{body:?}");
        }
    }
}

#[test]
fn a_body_may_have_64_kib() {
    let body = |bytes: usize| format!("{{\"x\": \"{}\"}}", "y".repeat(bytes - 9));
    assert_eq!(body(MAX_BODY_BYTES).len(), 65_536);
    assert!(parse(body(MAX_BODY_BYTES)).is_ok());
    assert!(matches!(parse(body(MAX_BODY_BYTES + 1)), Err(Error::PayloadTooLarge)));
    assert!(matches!(parse(" ".repeat(MAX_BODY_BYTES + 1)), Err(Error::PayloadTooLarge)));
}

#[test]
fn deep_nesting_is_accepted() {
    let depth = 32_000;
    let nested = format!("{{\"x\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested).is_ok());
    let limit = format!("{{\"limit\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(message(limit), "limit must be an integer from 0 to 100");
}

#[test]
fn a_widget_id_is_accepted_in_postgresqls_forms() {
    let id = "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa";
    let read = |text: &str| parse(json!({ "widget_id": text }).to_string()).map(|request| request.widget_id);
    let digits = id.replace('-', "");
    for form in [id, &id.to_uppercase(), &digits, &format!("{{{id}}}"), &format!("{{{digits}}}")] {
        assert_eq!(read(form).unwrap(), id.parse().ok(), "{form}");
    }
    for form in [
        "abc",
        "{}",
        &digits[1..],
        &format!("{digits}a"),
        &format!("{{{id}"),
        &format!("{id}}}"),
        &format!("{{{{{id}}}}}"),
        &format!("{{urn:uuid:{id}}}"),
        "aaaa-aaaa-aaaa-4aaa-8aaa-aaaa-aaaa-aaaa",
        "aaaaaaaaaaaa-4aaa-8aaa-aaaaaaaaaaaa",
        "aaaaaaaa-aaaa4aaa-8aaa-aaaaaaaaaaaa",
        &format!("urn:uuid:{id}"),
        &format!("URN:UUID:{id}"),
        &format!(" {id}"),
        &format!("{id} or 1=1"),
        &format!("{id},{id}"),
    ] {
        assert!(read(form).is_err(), "{form}");
    }
}

/// Microseconds since 2000, as in PostgreSQL.
fn microseconds(timestamp: PgTimestamp) -> i64 {
    let mut bytes = BytesMut::new();
    timestamp.to_sql(&Type::TIMESTAMPTZ, &mut bytes).unwrap();
    i64::from_be_bytes(bytes[..].try_into().unwrap())
}

/// The days since 2000-01-01, computed independently.
fn days(year: i128, month: i128, day: i128) -> i128 {
    let is_leap = |year: i128| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let years: i128 = match year {
        2000.. => (2000..year).map(|year| 365 + i128::from(is_leap(year))).sum(),
        _ => -(year..2000).map(|year| 365 + i128::from(is_leap(year))).sum::<i128>(),
    };
    let lengths = [31, 28 + i128::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    years + lengths.iter().take(usize::try_from(month).unwrap() - 1).sum::<i128>() + day - 1
}

/// The forms of `from_date` that PostgreSQL accepts too.
#[tokio::test]
async fn a_from_date_is_the_same_instant_as_in_postgresql() {
    let database = Database::create(Server::shared()).await.unwrap();
    let client = database.client().await.unwrap();
    client.batch_execute("SET timezone = 'UTC'").await.unwrap();
    for text in [
        "2024-02-29",
        "20240229",
        "2024-01-15T10:30:00Z",
        "2024-01-15t10:30:00z",
        "2024-01-15 10:30",
        "2024-01-15T10:30:00.5",
        "2024-01-15T10:30:00.123456+05:30",
        "20240115T103000-0330",
        "2024-01-15T10:30:00+15:59",
        "2024-01-15T10:30:00-15",
        "2024-01-15T23:59:60Z",
        "2024-12-31 10:59:60.25Z",
        "2024-01-15T10:30:60+05:30",
        "9999-12-31T23:59:60-15:59",
    ] {
        let sql = "SELECT (extract(epoch FROM $1::text::timestamptz - '2000-01-01Z') * 1000000)::int8";
        let expected: i64 = client.query_one(sql, &[&text]).await.unwrap().get(0);
        assert_eq!(PgTimestamp::parse(text).map(microseconds), Some(expected), "{text}");
    }
}

/// A request, and the fields of an equivalent body.
fn request() -> impl Strategy<Value = (ListRequest, Vec<(&'static str, Value)>)> {
    let status = prop_oneof![Just(None), Just(Some(Status::Active)), Just(Some(Status::Closed))];
    let day = proptest::option::of((0..10_000_u32, 1..13_u32, 1..29_u32));
    let fields = (0..=100_i64, 0..=i64::MAX, proptest::option::of(any::<u128>()), status, day);
    fields.prop_map(|(limit, offset, widget_id, status, day)| {
        let widget_id = widget_id.map(uuid::Uuid::from_u128);
        let from_date = day.map(|(year, month, day)| format!("{year:04}-{month:02}-{day:02}"));
        let timestamp = from_date.as_deref().and_then(PgTimestamp::parse);
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
    fn any_request_round_trips_through_json(
        (request, fields) in request().prop_flat_map(|(r, fields)| (Just(r), Just(fields).prop_shuffle())),
    ) {
        let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}: {value}")).collect();
        prop_assert_eq!(parse(format!("{{{}}}", fields.join(", "))).unwrap(), request);
    }

    #[test]
    fn any_from_date_is_the_instant_of_its_numbers_rounded_up(
        (year, month, day) in (0..=9999_i128, 1..=12_i128, 1..=28_i128),
        (hour, minute, second) in (0..24_i128, 0..60_i128, 0..=60_i128),
        fraction in "[0-9]{1,30}|0{1,30}|9{1,30}",
        (sign, offset_hour, offset_minute) in (select(&["+", "-"][..]), 0..16_i128, 0..60_i128),
        (t, point) in (select(&["T", "t", " "][..]), select(&[".", ",", ""][..])),
        (zone, compact) in (select(&["", "Z", "z", "numeric"][..]), any::<bool>()),
    ) {
        let (hyphen, colon) = if compact { ("", "") } else { ("-", ":") };
        let fraction = if point.is_empty() { "" } else { &fraction };
        let is_numeric = zone == "numeric";
        let offset = if is_numeric { format!("{sign}{offset_hour:02}{colon}{offset_minute:02}") } else { zone.into() };
        let date = format!("{year:04}{hyphen}{month:02}{hyphen}{day:02}");
        let clock = format!("{hour:02}{colon}{minute:02}{colon}{second:02}");
        let text = format!("{date}{t}{clock}{point}{fraction}{offset}");
        let east = if is_numeric { (offset_hour * 60 + offset_minute) * if sign == "+" { 1 } else { -1 } } else { 0 };
        let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute - east) * 60 + second;
        // Units of the last digit; 128 bits hold them all.
        let unit = 10_i128.pow(u32::try_from(fraction.len()).unwrap().saturating_sub(6));
        let padded: i128 = format!("{fraction:0<6}").parse().unwrap();
        let expected = seconds * 1_000_000 + padded / unit + i128::from(padded % unit > 0);
        prop_assert_eq!(PgTimestamp::parse(&text).map(|time| microseconds(time).into()), Some(expected), "{}", text);
    }

    #[test]
    fn any_bytes_are_a_request_or_a_validation_error(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let outcome = parse(body);
        prop_assert!(matches!(outcome, Ok(_) | Err(Error::Validation(_))), "{outcome:?}");
    }

    #[test]
    fn any_text_in_any_field_is_a_request_or_a_validation_error(
        field in prop_oneof![Just("limit"), Just("offset"), Just("widget_id"), Just("status"), Just("from_date")],
        text in "\\PC{0,40}|[-+0-9.eE]{1,30}|[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][-+0-9:.Z]{0,20}",
        quoted: bool,
    ) {
        let value = if quoted { json!(text).to_string() } else { text };
        let outcome = parse(format!("{{{field:?}: {value}}}"));
        prop_assert!(matches!(outcome, Ok(_) | Err(Error::Validation(_))), "{outcome:?}");
    }
}

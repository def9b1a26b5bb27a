//! The formatting of log lines for a terminal.

use testkit::terminal::{WIDTH, short, wrapped};

const REQUEST: &str = r#"{"timestamp":"2026-01-02T03:04:05.678Z","level":"INFO","message":"request","request_id":"r",
    "trace_id":"t","status":200,"rows":20,"_aws":{},"FunctionName":"f","Outcome":"ok","Count":1,"Duration":1.234,
    "AuthenticationDuration":0.004,"DatabaseDuration":1.1,"Retries":0,"ColdStart":0,"SecretStale":0}"#;

#[test]
fn a_request_is_one_aligned_line_that_says_what_is_unusual() {
    let unusual = |from: &str, to: &str| REQUEST.replace(from, to);
    let lines = [
        short(REQUEST, Some("POST")),
        short(&unusual(r#""rows":20"#, r#""rows":1"#).replace("1.234", "12345.678"), Some("POST")),
        short(&unusual(r#""rows":20,"#, "").replace("1.234", "0.04"), Some("OPTIONS")),
        short(&unusual(r#""ColdStart":0"#, r#""ColdStart":1"#), None),
        short(&unusual(r#""Retries":0"#, r#""Retries":1"#).replace(r#"Stale":0"#, r#"Stale":1"#), Some("POST")),
        short(&unusual("200", "400").replace(r#""ok""#, r#""validation_error""#), Some("POST")),
        short(
            &unusual("200", "503").replace(r#""ok""#, r#""service_unavailable","cause":"no route\nto\u001b[2J host""#),
            Some("POST"),
        ),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r"
    03:04:05Z  POST    200    20 rows      1.2 ms
    03:04:05Z  POST    200     1 row   12345.7 ms
    03:04:05Z  OPTIONS 200                 0.0 ms
    03:04:05Z          200    20 rows      1.2 ms  cold start
    03:04:05Z  POST    200    20 rows      1.2 ms  1 retry, old secret
    03:04:05Z  POST    400    20 rows      1.2 ms  validation_error
    03:04:05Z  POST    503    20 rows      1.2 ms  service_unavailable: no route to [2J host
    ");
}

#[test]
fn every_other_line_of_the_log_is_shown_as_well() {
    let lines = [
        r#"{"timestamp":"2026-01-02T03:04:05.678Z","level":"WARN","message":"a secret is old","cause":"throttled"}"#,
        r#"{"timestamp":"2026-01-02T03:04:05.678Z","level":"ERROR","message":"panic","cause":"src/x.rs:1:2"}"#,
        r#"{"timestamp":"2026-01-02T03:04:05.678Z","level":"WARN","message":"Not Found","method":"GET","path":"/x",
            "status":404,"cause":null}"#,
        r#"{"of":"another form"}"#,
        "thread 'main' panicked\tat \u{1b}[31msrc/main.rs",
    ];
    insta::assert_snapshot!(lines.map(|line| short(line, None)).join("\n"), @r#"
    03:04:05Z  WARN    a secret is old: throttled
    03:04:05Z  ERROR   panic: src/x.rs:1:2
    03:04:05Z  GET     404  /x: Not Found
    {"of":"another form"}
    thread 'main' panicked at  [31msrc/main.rs
    "#);
}

#[test]
fn a_wrapped_text_fits_and_loses_nothing() {
    let text = "one two three ".repeat(30) + &"x".repeat(100) + " four";
    let lines = wrapped(&text, 4);
    assert!(lines.lines().all(|line| line.len() <= WIDTH && line.starts_with("    ")), "{lines}");
    assert!(lines.lines().count() <= 8, "{lines}");
    let letters = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(letters(&lines), letters(&text));
}

//! Tests `cargo dev parity` as a process, between two running endpoints of which one is made to differ.

use std::{
    fmt::Write as _,
    fs,
    process::{Output, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Response, StatusCode, response::Parts},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};
use testkit::{
    Authority, Database, EdgeFunction, Function, FunctionOptions, Gateway, Secrets, Server, binary, certificates,
    client, contract, edge_function::add_keys, product_database, request::PATH, secrecy,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
    task::JoinSet,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// The tokens of the contract's account with five sessions, and of the one with 1,203.
const TOKEN: &str = "mgp_0123456789abcdef0123456789abcdef01234567";
const LARGE_ACCOUNTS_TOKEN: &str = "mgp_big";

/// Two requests that list sessions.
const LISTS: &str = "{\"body\":{}}\n{\"body\":{\"status\":\"active\",\"limit\":20}}\n";

/// Texts of the account that the contract's rows have, besides those that `secrecy` collects.
const TEXTS: [&str; 6] = ["John", "Zoë", "pricing", "that helps", "Support Widget", "line1"];

/// The old endpoint and the new one over one database.
struct Endpoints {
    old: EdgeFunction,
    new: String,
    database: Database,
    _secrets: Secrets,
    _serving: JoinSet<()>,
}

impl Endpoints {
    async fn start() -> Self {
        let database = product_database::create(Server::shared()).await.unwrap();
        database.load(contract::ROWS).await.unwrap();
        add_keys(&database.client().await.unwrap(), contract::KEYS).await.unwrap();
        let secrets = Secrets::start().await.unwrap();
        secrets.put("keys", contract::KEYS).unwrap();
        let env = [
            ("API_KEYS_SECRET_ID", "keys"),
            ("DATABASE_URL", database.url()),
            ("AWS_ENDPOINT_URL_SECRETS_MANAGER", secrets.url()),
        ];
        let function = Function::start(FunctionOptions::new(binary(), &env)).await.unwrap();
        let gateway = Gateway::bind(0).await.unwrap();
        let new = gateway.url().unwrap();
        let serving = gateway.serve(Arc::new(function));
        let old = EdgeFunction::start(0, database.admin_url()).await.unwrap();
        Self { old, new, database, _secrets: secrets, _serving: serving }
    }
}

/// Serves an endpoint with changed responses; the change gets the number of the request. Returns the URL.
async fn altered(
    servers: &mut JoinSet<()>,
    endpoint: &str,
    alter: impl Fn(usize, &mut Parts, &mut Value) + Clone + Send + Sync + 'static,
) -> String {
    let base = endpoint.strip_suffix(PATH).unwrap_or(endpoint).to_owned();
    let number = Arc::new(AtomicUsize::new(0));
    let forward = async move |request: Request| {
        let (mut parts, body) = request.into_parts();
        parts.uri = format!("{base}{}", parts.uri.path()).parse().unwrap();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        let response = client::send(axum::http::Request::from_parts(parts, body)).await.unwrap();
        let (mut parts, body) = response.into_parts();
        let Ok(mut page) = serde_json::from_slice(&body) else { return Response::from_parts(parts, Body::from(body)) };
        alter(number.fetch_add(1, Ordering::Relaxed), &mut parts, &mut page);
        parts.headers.remove("content-length");
        Response::from_parts(parts, Body::from(page.to_string()))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    servers.spawn(async move { drop(axum::serve(listener, Router::new().fallback(forward)).await) });
    url
}

struct Comparison {
    code: Option<i32>,
    output: String,
    report: Value,
}

impl Comparison {
    fn words(&self) -> String {
        self.output.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

fn command(old: &str, new: &str, rps: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev"));
    command.args(["parity", "--old", old, "--new", new, "--token-env", "TOKEN", "--rps", rps]);
    command.env("TOKEN", TOKEN).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Compares, and searches the output and the report for secrets.
async fn parity(old: &str, new: &str, requests: &str, arguments: &[&str], token: &str) -> Comparison {
    let folder = tempfile::tempdir().unwrap();
    let (file, report) = (folder.path().join("requests.jsonl"), folder.path().join("report.json"));
    let mut command = command(old, new, "100");
    command.args(arguments).env("TOKEN", token).arg("--report").arg(&report);
    if !requests.is_empty() {
        fs::write(&file, requests).unwrap();
        command.arg("--requests").arg(&file);
    }
    let output = command.output().await.unwrap();
    let report = fs::read_to_string(report).unwrap_or_default();
    let output = Comparison {
        code: output.status.code(),
        output: text(&output),
        report: serde_json::from_str(&report).unwrap_or_default(),
    };
    secrecy::keep_token(token);
    for written in [&output.output, &report] {
        secrecy::assert_silent("the output or the report", written);
        let found: Vec<_> = TEXTS.iter().filter(|text| written.contains(**text)).collect();
        assert!(found.is_empty(), "{found:?} in {written}");
    }
    output
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn first(page: &mut Value) -> &mut Value {
    &mut page["sessions"][1]
}

/// The session with three messages.
fn with_messages(page: &mut Value) -> &mut Value {
    let sessions = page["sessions"].as_array_mut().unwrap();
    sessions.iter_mut().find(|session| session["message_count"] == 3).unwrap()
}

type Alter = fn(usize, &mut Parts, &mut Value);

/// Ways in which a response can differ, and what the output says.
const DIFFERENCES: [(&str, Alter); 22] = [
    ("total: old ", |_, _, page| page["total"] = json!(page["total"].as_i64().unwrap() + 1)),
    ("order of the sessions", |_, _, page| page["sessions"].as_array_mut().unwrap().swap(0, 1)),
    ("old listed, new missing", |_, _, page| drop(page["sessions"].as_array_mut().unwrap().pop())),
    ("old missing, new listed", |_, _, page| {
        let mut other = first(page).clone();
        (other["id"], other["status"]) = (json!("99999999-0000-4000-8000-000000000000"), json!("closed"));
        page["sessions"].as_array_mut().unwrap().insert(1, other);
    }),
    ("old once, new twice", |_, _, page| {
        let other = first(page).clone();
        page["sessions"].as_array_mut().unwrap().push(other);
    }),
    ("visitor_name: old text of length", |_, _, page| first(page)["visitor_name"] = json!("Somebody Else")),
    ("created_at: old 2024-", |_, _, page| {
        let time: jiff::Timestamp = first(page)["created_at"].as_str().unwrap().parse().unwrap();
        first(page)["created_at"] = json!((time + Duration::from_micros(1)).to_string());
    }),
    ("last_message_at: old 2024-", |_, _, page| {
        let time: jiff::Timestamp = first(page)["last_message_at"].as_str().unwrap().parse().unwrap();
        first(page)["last_message_at"] = json!((time + Duration::from_hours(1)).to_string());
    }),
    ("created_at: old", |_, _, page| first(page)["created_at"] = json!("2024-01-17T00:00:00.120Z")),
    ("message_count: old 3, new 4", |_, _, page| with_messages(page)["message_count"] = json!(4)),
    ("visitor_id: old text of length 3", |_, _, page| first(page)["visitor_id"] = Value::Null),
    ("last_message: old text of length", |_, _, page| first(page)["last_message"] = Value::Null),
    ("last_message: old text of length", |_, _, page| first(page)["last_message"] = json!("of another session")),
    ("status: old 200, new 500", |_, parts, page| {
        parts.status = StatusCode::INTERNAL_SERVER_ERROR;
        *page = json!({ "error": { "code": "query_error", "message": "John was not found" } });
    }),
    ("status: old 200, new 400", |_, parts, page| {
        parts.status = StatusCode::BAD_REQUEST;
        *page = json!({ "error": { "code": "validation_error", "message": "limit must be an integer" } });
    }),
    ("header cache-control: old no-store, new missing", |_, parts, _| drop(parts.headers.remove("cache-control"))),
    ("header content-type", |_, parts, _| {
        drop(parts.headers.insert("content-type", HeaderValue::from_static("text/plain")));
    }),
    ("internal_notes: old missing, new text of length", |_, _, page| {
        first(page)["internal_notes"] = json!("He is angry");
    }),
    ("visitor_email: old", |_, _, page| drop(first(page).as_object_mut().unwrap().remove("visitor_email"))),
    ("page_url: old text of length", |_, _, page| first(page)["page_url"] = json!(["https://example.com/pricing"])),
    ("body: old", |_, _, page| *page = json!({ "sessions": [{ "visitor_name": "John" }], "total": 5 })),
    ("next_page: old missing, new an extra key", |_, _, page| page["next_page"] = json!("John")),
];

#[tokio::test(flavor = "multi_thread")]
async fn two_equal_functions_are_equal_and_each_of_22_differences_is_found() {
    let (endpoints, mut servers) = (Endpoints::start().await, JoinSet::new());
    let equal = parity(&endpoints.new, &endpoints.new, LISTS, &["--strict"], TOKEN).await;
    assert_eq!(equal.code, Some(0), "{}", equal.output);
    assert!(equal.words().contains("verdict: equal; 2 requests: 2 same, 0 departs, 0 differs, 0 undecided"));

    let mut faults = String::new();
    for (expected, alter) in DIFFERENCES {
        // The first request is the one for the account's widgets, without which nothing is compared.
        let alter = move |number: usize, parts: &mut Parts, page: &mut Value| {
            if number > 0 {
                alter(number, parts, page);
            }
        };
        let new = altered(&mut servers, &endpoints.new, alter).await;
        let different = parity(&endpoints.new, &new, LISTS, &[], TOKEN).await;
        let is_found = different.words().contains(expected) && different.words().contains("verdict: not equal;");
        if different.code != Some(1) || !is_found || different.report["verdict"] != "not equal" {
            writeln!(faults, "{expected} was not found: {:?}\n{}", different.code, different.output).unwrap();
        }
    }
    assert!(faults.is_empty(), "{faults}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_last_message_of_several_is_a_departure_unless_departures_are_not_allowed() {
    let (endpoints, mut servers) = (Endpoints::start().await, JoinSet::new());
    let older =
        |_, _: &mut Parts, page: &mut Value| with_messages(page)["last_message"] = json!("OLDER, INSERTED LATER");
    let new = altered(&mut servers, &endpoints.new, older).await;
    let departs = parity(&endpoints.new, &new, LISTS, &[], TOKEN).await;
    assert_eq!(departs.code, Some(0), "{}", departs.output);
    assert_eq!(departs.report["classes"]["last message"], json!({ "kind": "departure", "requests": 2, "places": 2 }));
    let strict = parity(&endpoints.new, &new, LISTS, &["--strict"], TOKEN).await;
    assert_eq!(strict.code, Some(1), "{}", strict.output);
    assert!(strict.words().contains("last_message: old text of length 19, hash "), "{}", strict.output);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_edge_function_and_the_function_differ_only_by_every_documented_departure() {
    let endpoints = Endpoints::start().await;
    let rows = "UPDATE chat_messages SET read_at = now() WHERE content = 'Hi';
                UPDATE chat_sessions SET last_message_at = '2024-01-01Z' WHERE widget_id = 'cccccccc-cccc-4ccc-8ccc-cccccccccccc'
                  AND id < '90000000-0000-4000-8000-000000001200';
                INSERT INTO chat_sessions (widget_id, user_id, visitor_id, last_message_at)
                SELECT 'cccccccc-cccc-4ccc-8ccc-cccccccccccc', user_id, 'infinite', 'infinity' FROM chat_widgets
                WHERE id = 'cccccccc-cccc-4ccc-8ccc-cccccccccccc';";
    endpoints.database.load(rows).await.unwrap();
    let mut found = Vec::new();
    for token in [TOKEN, LARGE_ACCOUNTS_TOKEN] {
        let comparison = parity(endpoints.old.url(), &endpoints.new, "", &[], token).await;
        assert_eq!(comparison.code, Some(0), "{}", comparison.output);
        assert!(comparison.output.lines().all(|line| line.chars().count() <= 80), "{}", comparison.output);
        let classes = comparison.report["classes"].as_object().unwrap().clone();
        found.extend(classes.into_iter().filter(|(_, class)| class["kind"] != "noise").map(|(name, _)| name));
    }
    found.sort_unstable();
    found.dedup();
    let expected = [
        "0 or false in a filter",
        "PostgreSQL's date form",
        "UUID's grouping",
        "added headers",
        "allowed methods",
        "bad UUID or date",
        "body over 64 KiB",
        "encoding or field twice",
        "inexpressible time",
        "last message",
        "limit 0 with an offset",
        "limit over 100",
        "message_count over 1,000",
        "method",
        "negative number",
        "not a JSON object",
        "null in limit or offset",
        "null instead of a missing key",
        "offset past the end",
        "order of equal times",
        "spelling of Bearer",
        "times end in Z",
        "token without Bearer",
        "unknown status",
        "wrong type or fraction",
    ];
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_old_endpoint_disagrees_with_itself_about_is_noise() {
    let (endpoints, mut servers) = (Endpoints::start().await, JoinSet::new());
    let noise: [Alter; 5] = [
        |number, _, page| {
            page["total"] = json!(page["total"].as_i64().unwrap() + i64::try_from(number % 2).unwrap() * 2 - 1);
        },
        |number, _, page| {
            with_messages(page)["last_message"] = json!(if number % 2 == 0 { "Hi" } else { "Thanks, that helps!" });
        },
        |number, _, page| drop((number % 2 == 0).then(|| page["sessions"].as_array_mut().unwrap().pop())),
        |number, _, page| {
            if number % 2 == 0 {
                first(page)["visitor_name"] = json!("Somebody Else");
            }
        },
        |number, parts, page| {
            if number > 0 && number % 2 == 0 {
                parts.status = StatusCode::SERVICE_UNAVAILABLE;
                *page = json!({});
            }
        },
    ];
    for (index, alter) in noise.into_iter().enumerate() {
        let old = altered(&mut servers, &endpoints.new, alter).await;
        let comparison = parity(&old, &endpoints.new, LISTS, &[], TOKEN).await;
        assert_eq!(comparison.code, Some(0), "{}", comparison.output);
        let noise = &comparison.report["classes"]["old one's noise"]["requests"];
        // The last one fails every second time instead.
        assert_eq!(*noise, if index < 4 { json!(2) } else { Value::Null }, "{index}: {}", comparison.output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_that_changes_between_the_requests_is_not_a_difference() {
    let endpoints = Endpoints::start().await;
    let writer = endpoints.database.client().await.unwrap();
    let write = async move {
        loop {
            let statements = "INSERT INTO chat_messages (session_id, role, content)
                              SELECT id, 'visitor', 'written ' || random() FROM chat_sessions
                              WHERE user_id = '11111111-1111-4111-8111-111111111111' ORDER BY random() LIMIT 1;
                              UPDATE chat_messages SET read_at = now() WHERE id IN
                                (SELECT id FROM chat_messages WHERE content <> '' ORDER BY random() LIMIT 1);
                              INSERT INTO chat_sessions (widget_id, user_id, visitor_id)
                              VALUES ('aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa', '11111111-1111-4111-8111-111111111111', 'new')";
            writer.batch_execute(statements).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let _writing = JoinSet::<()>::from_iter([write]);
    let requests =
        format!("{LISTS}{{\"body\":{{\"limit\":1}}}}\n{{\"body\":{{\"limit\":2,\"offset\":1}}}}\n").repeat(15);
    let comparison = parity(endpoints.old.url(), &endpoints.new, &requests, &[], TOKEN).await;
    assert_eq!(comparison.code, Some(0), "{}", comparison.output);
    assert!(comparison.report["classes"]["old one's noise"]["requests"].as_u64() > Some(0), "{}", comparison.output);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_that_shows_nothing_says_why_and_exits_with_2() {
    let (endpoints, mut servers) = (Endpoints::start().await, JoinSet::new());
    let old = endpoints.old.url();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let closed = format!("http://{closed}");
    let fails = |number, parts: &mut Parts, _: &mut Value| {
        parts.status = if number == 0 { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
    };
    let failing = altered(&mut servers, old, fails).await;
    let unknown = "mgp_ffffffffffffffffffffffffffffffffffffffff";
    for (old, new, requests, token, reason) in [
        (closed.as_str(), endpoints.new.as_str(), LISTS, TOKEN, "the old endpoint http://127.0.0.1:"),
        (old, &closed, LISTS, TOKEN, "the new endpoint http://127.0.0.1:"),
        (old, &endpoints.new, LISTS, unknown, "rejects the token: 401"),
        (&failing, &endpoints.new, LISTS, TOKEN, "the old endpoint failed: 502"),
        (old, &endpoints.new, LISTS, "", "--token-env: the variable TOKEN must have one token"),
        (old, &endpoints.new, LISTS, "Bearer mgp_1234567", "must have one token, without \"Bearer\""),
        (old, &endpoints.new, "{}\nmgp_1234567\n", TOKEN, "requests.jsonl line 2: is not a JSON object"),
        (old, &endpoints.new, "\n\n{\"bodytext\":\"\"}", TOKEN, "line 3: has an unknown field; the fields are"),
        (old, &endpoints.new, "{\"body\":1,\"body_text\":\"1\"}", TOKEN, "line 1: has \"body\" and \"body_text\""),
        (old, &endpoints.new, "{\"method\":5}", TOKEN, "line 1: \"method\" must be a text"),
        (old, &endpoints.new, "{\"method\":\"P ST\"}", TOKEN, "line 1: \"method\" is not an HTTP method"),
        (old, &endpoints.new, "{\"headers\":\"mgp_1234567\"}", TOKEN, "line 1: \"headers\" must be an object"),
        (old, &endpoints.new, "\n", TOKEN, "requests.jsonl has no requests"),
        (old, old, "", TOKEN, "the new endpoint seems to pass requests to the old one"),
    ] {
        let comparison = parity(old, new, requests, &[], token).await;
        assert_eq!(comparison.code, Some(2), "{reason}: {}", comparison.output);
        assert!(comparison.words().contains(reason), "{reason}: {}", comparison.output);
        assert!(comparison.words().contains("verdict: undecided; "), "{}", comparison.output);
        assert_eq!(comparison.report["verdict"], "undecided");
        assert!(!comparison.output.contains("1234567"), "{}", comparison.output);
    }
    let mut unwritable = command(old, &endpoints.new, "100");
    let output = unwritable.args(["--report", "/dev/null/report.json"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(text(&output).contains("error: --report: cannot write /dev/null/report.json"), "{}", text(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_a_file_have_their_own_method_headers_and_body() {
    let endpoints = Endpoints::start().await;
    let requests = "{\"method\":\"OPTIONS\",\"headers\":{\"Authorization\":null}}\n\n{\"body_text\":\"{\\\"limit\\\":\"}\n\
                    {\"headers\":{\"authorization\":\"bearer mgp_0123456789abcdef0123456789abcdef01234567\"},\"body\":{}}\n\
                    {\"headers\":{\"authorization\":\"Bearer eyJh.eyJz.c2ln\"}}\n";
    let comparison = parity(endpoints.old.url(), &endpoints.new, requests, &[], TOKEN).await;
    assert_eq!(comparison.code, Some(0), "{}", comparison.output);
    let rows = comparison.report["requests"].as_array().unwrap().iter();
    let rows: Vec<_> =
        rows.map(|row| format!("{} {} {}", row["request"], row["old_status"][0], row["new_status"])).collect();
    assert_eq!(rows, ["\"line 1\" 200 200", "\"line 3\" 200 400", "\"line 4\" 401 200", "\"line 5\" 401 401"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_404_for_another_method_is_a_departure_and_for_post_a_difference() {
    let (endpoints, mut servers) = (Endpoints::start().await, JoinSet::new());
    let not_found = |number, parts: &mut Parts, page: &mut Value| {
        if number > 0 {
            (parts.status, *page) = (StatusCode::NOT_FOUND, json!({ "message": "Not Found" }));
            parts.headers.clear();
        }
    };
    for (method, code) in [("GET", 0), ("POST", 1)] {
        let new = altered(&mut servers, &endpoints.new, not_found).await;
        let request = json!({ "method": method }).to_string();
        let comparison = parity(endpoints.old.url(), &new, &request, &[], TOKEN).await;
        assert_eq!(comparison.code, Some(code), "{}", comparison.output);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_comparison_prints_and_writes_what_it_has_compared() {
    let endpoints = Endpoints::start().await;
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let mut command = command(endpoints.old.url(), &endpoints.new, "20");
    let mut process = command.arg("--report").arg(&report).spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("\n{}") {
        assert!(output.read_line(&mut shown).await.unwrap() > 0, "{shown}");
    }
    kill(Pid::from_raw(process.id().unwrap().try_into().unwrap()), Signal::SIGINT).unwrap();
    output.read_to_string(&mut shown).await.unwrap();
    assert_eq!(process.wait().await.unwrap().code(), Some(130), "{shown}");
    assert!(shown.contains("verdict: interrupted; "), "{shown}");
    let report: Value = serde_json::from_str(&fs::read_to_string(report).unwrap()).unwrap();
    assert_eq!(report["verdict"], "interrupted");
    assert!(report["compared"].as_u64().unwrap() > 0 && report["compared"].as_u64() < report["planned"].as_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_https_endpoint_is_verified_by_the_systems_certificates() {
    let endpoints = Endpoints::start().await;
    let authority = Authority::new().unwrap();
    let certificate = authority.certify(&["localhost"], certificates::NOW).unwrap();
    let chain = CertificateDer::pem_slice_iter(certificate.chain.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(certificate.key.as_bytes()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let address = endpoints.new.strip_prefix("http://").unwrap().to_owned();
    let relay = async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, address) = (acceptor.clone(), address.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut plain = TcpStream::connect(address).await.unwrap();
                drop(tokio::io::copy_bidirectional(&mut stream, &mut plain).await);
            });
        }
    };
    let _serving = JoinSet::from_iter([relay]);
    let folder = tempfile::tempdir().unwrap();
    for (pem, code, words) in
        [(authority.pem(), 0, "verdict: equal"), (Authority::new().unwrap().pem(), 2, "invalid peer certificate")]
    {
        let trusted = folder.path().join("ca.pem");
        fs::write(&trusted, pem).unwrap();
        fs::write(folder.path().join("requests.jsonl"), LISTS).unwrap();
        let mut command = command(&endpoints.new, &url, "100");
        command.env("SSL_CERT_FILE", trusted).env_remove("SSL_CERT_DIR");
        let output = command.arg("--requests").arg(folder.path().join("requests.jsonl")).output().await.unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output));
        assert!(text(&output).contains(words), "{}", text(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_new_endpoint_may_not_close_the_connection() {
    let endpoints = Endpoints::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let address = endpoints.new.strip_prefix("http://").unwrap().to_owned();
    // Relays the request for the account's widgets and closes all later connections.
    let relay = async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut plain = TcpStream::connect(address).await.unwrap();
        drop(tokio::io::copy_bidirectional(&mut stream, &mut plain).await);
        while listener.accept().await.is_ok() {}
    };
    let _serving = JoinSet::from_iter([relay]);
    let comparison = parity(&endpoints.new, &url, LISTS, &[], TOKEN).await;
    assert_eq!(comparison.code, Some(1), "{}", comparison.output);
    assert!(comparison.words().contains("response: old 200, new "), "{}", comparison.output);
}

//! Tests `cargo dev` as a process: its output, its streams and its exit code.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, ChildStdout, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use testkit::{Authority, UpstreamStub, binary, certificates::NOW};

fn dev(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dev"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// `cargo dev up` on a free port, with its output until it is ready.
struct Up {
    process: Child,
    output: BufReader<ChildStdout>,
    start: String,
}

impl Up {
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    fn start_with(arguments: &[&str], variables: &[(&str, &Path)]) -> Self {
        let mut command = dev(&["up", "--port", "0", "--binary"]);
        let mut process = command.arg(binary()).args(arguments).envs(variables.iter().copied()).spawn().unwrap();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        let mut start = String::new();
        while !start.contains("Ctrl-C") {
            let read = output.read_line(&mut start).unwrap();
            assert!(read > 0, "{start}\n{}", text(&process.wait_with_output().unwrap().stderr));
        }
        Self { process, output, start }
    }

    /// Returns the rest of the first line that begins with a word.
    fn line(&self, word: &str) -> &str {
        self.start.lines().find_map(|line| line.strip_prefix(word)).unwrap_or_else(|| panic!("{}", self.start)).trim()
    }

    /// Stops it as Ctrl-C does.
    fn end(self) -> Output {
        kill(Pid::from_raw(self.process.id().try_into().unwrap()), Signal::SIGINT).unwrap();
        drop(self.output);
        self.process.wait_with_output().unwrap()
    }
}

#[test]
fn up_prints_urls_that_work_and_one_short_line_for_each_request() {
    let up = Up::start(&[]);
    let (url, curl) = (up.line("ready "), up.line("curl "));
    assert!(curl.contains(url) && curl.contains("Bearer mgp_"), "{curl}");
    let urls: Vec<&str> = up.start.lines().filter_map(|line| line.strip_prefix("psql ")).collect();
    let [superuser, role] = urls[..] else { panic!("{}", up.start) };
    let wrong_path = url.replace("list-chat-sessions", "list-calls");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for (url, user) in [(superuser, "postgres"), (role, "list_chat_sessions")] {
            let client = testkit::database::connect(url).await.unwrap();
            let row = client.query_one("SELECT current_user::text", &[]).await.unwrap();
            assert_eq!(row.get::<_, &str>(0), user);
        }
        for (url, status) in [(url, 401), (&wrong_path, 404)] {
            let request = axum::http::Request::post(url).body(axum::body::Bytes::new()).unwrap();
            assert_eq!(testkit::client::send(request).await.unwrap().status(), status);
        }
    });
    let output = up.end();
    assert_eq!(output.status.code(), Some(0));
    let log = text(&output.stderr);
    let lines: Vec<&str> = log.lines().collect();
    let [first, unauthorized, not_found] = lines[..] else { panic!("{log}") };
    assert!(first.contains("Z  POST    200    20 rows  ") && first.ends_with(" ms  cold start"), "{log}");
    assert!(unauthorized.contains("Z  POST    401  ") && unauthorized.ends_with("  unauthorized"), "{log}");
    assert!(not_found.ends_with("Z  POST    404  /functions/v1/list-calls: Not Found"), "{log}");
}

#[test]
fn up_passes_other_functions_to_an_https_upstream_whose_certificate_it_verifies() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let authority = Authority::new().unwrap();
    let (mut stub, roots) = (runtime.block_on(UpstreamStub::start()).unwrap(), tempfile::NamedTempFile::new().unwrap());
    fs::write(roots.path(), authority.pem()).unwrap();
    for (name, status) in [("localhost", 200), ("other.example.com", 503)] {
        let certificate = authority.certify(&[name], NOW).unwrap();
        let upstream = runtime.block_on(stub.add_tls(&certificate)).unwrap();
        let up = Up::start_with(&["--upstream", &upstream], &[("SSL_CERT_FILE", roots.path())]);
        assert_eq!(up.line("other functions are passed to "), upstream);
        let url = up.line("ready ").replace("list-chat-sessions", "list-agents");
        let request = axum::http::Request::get(url).body(axum::body::Bytes::new()).unwrap();
        assert_eq!(runtime.block_on(testkit::client::send(request)).unwrap().status(), status, "{name}");
        let log = text(&up.end().stderr);
        let message = if status == 200 { "upstream" } else { "Service Unavailable: " };
        assert!(log.contains(&format!("Z  GET     {status}  /functions/v1/list-agents: {message}")), "{log}");
    }
    let output = dev(&["up", "--upstream", "https://old.example.com/"]).output().unwrap();
    assert_eq!(text(&output.stderr).lines().count(), 1);
    assert!(text(&output.stderr).starts_with("error: --upstream: https://old.example.com/ must not end with a slash"));
}

#[test]
fn a_password_in_a_database_url_is_not_printed() {
    let up = Up::start(&[]);
    let url = up.line("psql ").replace("postgres@", "postgres:hidden-word@");
    let keys = tempfile::NamedTempFile::new().unwrap();
    let mut seed = dev(&["seed", "--accounts", "1", "--sessions", "2", "--database-url", &url, "--keys"]);
    let output = seed.arg(keys.path()).output().unwrap();
    let messages = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && messages.contains("\"postgres://postgres:$PASSWORD@127.0.0.1:"), "{messages}");
    assert!(!messages.contains("hidden-word"), "{messages}");
    up.end();
}

#[test]
fn json_shows_the_log_as_the_function_writes_it() {
    let output = Up::start(&["--json"]).end();
    let line: Value = serde_json::from_str(text(&output.stderr).trim()).unwrap();
    assert_eq!((&line["message"], &line["status"], &line["rows"]), (&"request".into(), &200.into(), &20.into()));
}

#[test]
fn invoke_prints_the_response_on_standard_output_and_the_log_on_standard_error() {
    let event = testkit::repository().join("events/200-documented-request.json");
    let output = dev(&["invoke", event.to_str().unwrap(), "--binary"]).arg(binary()).output().unwrap();
    let log = text(&output.stderr);
    assert!(output.status.success(), "{log}");
    assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap()["statusCode"], 200);
    let requests = log.lines().filter(|line| line.contains("  POST    200    20 rows  "));
    assert_eq!(requests.count(), 1, "{log}");
}

#[test]
fn a_closed_output_ends_up_without_a_panic_and_stops_its_servers() {
    let mut process = dev(&["up", "--port", "0", "--binary"]).arg(binary()).spawn().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("data in ") {
        line.clear();
        assert!(output.read_line(&mut line).unwrap() > 0);
    }
    let folder = line.trim().rsplit_once("data in ").unwrap().1;
    drop(output);
    let output = process.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).contains("panic")), (Some(0), false), "{output:?}");
    assert!(!std::path::Path::new(folder).exists());
}

#[test]
fn a_closed_output_never_causes_a_panic() {
    for (arguments, code) in [
        (vec!["--help"], 0),
        (vec!["new-token"], 0),
        (vec!["soak", "--only", "slow", "--scale", "0.001", "--binary", binary().to_str().unwrap()], 141),
    ] {
        let mut process = dev(&arguments).spawn().unwrap();
        drop(process.stdout.take());
        let output = process.wait_with_output().unwrap();
        let messages = text(&output.stderr);
        assert_eq!(
            (output.status.code(), messages.contains("panic")),
            (Some(code), false),
            "{arguments:?}: {messages}"
        );
    }
}

#[test]
fn help_describes_every_option_and_its_values() {
    let version = dev(&["--version"]).output().unwrap();
    assert_eq!(text(&version.stdout), format!("cargo dev {}\n", env!("CARGO_PKG_VERSION")));
    let keys = ["new", "list", "revoke", "import", "init"].map(|command| vec!["keys", command]);
    let others = [
        "up",
        "services",
        "invoke",
        "seed",
        "soak",
        "bench",
        "parity",
        "rehearse",
        "edge-function",
        "new-token",
        "hash-token",
    ];
    for command in others.iter().map(|command| vec![*command]).chain(keys) {
        let help = text(&dev(&[command.as_slice(), &["-h"]].concat()).output().unwrap().stdout);
        for line in help.lines().filter(|line| line.trim_start().starts_with('-')) {
            let words = line.trim_start().split("  ").filter(|part| !part.is_empty()).count();
            assert!(words > 1, "{command:?}: {line}");
        }
    }
    let soak = text(&dev(&["soak", "--help"]).output().unwrap().stdout);
    for part in ["--only <PARTS>", "from 0.001 to 100", "Inject faults repeatedly and count lost requests", "- freeze:"]
    {
        assert!(soak.contains(part), "{soak}");
    }
    assert!(text(&dev(&["bench", "--help"]).output().unwrap().stdout).contains("from 0.001 to 1:"));
}

#[test]
fn soak_prints_each_result_once_in_80_columns_with_its_seed_and_its_commit() {
    // `kept` is the former name of `materialized-counts`.
    let mut soak = dev(&["soak", "--only", "events,kept", "--scale", "0.001", "--seed", "7", "--binary"]);
    let output = soak.arg(binary()).output().unwrap();
    let table = text(&output.stdout);
    assert!(output.status.success(), "{table}{}", text(&output.stderr));
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let rows = ["malformed events ", "materialized counts: random writers "].map(|row| table.matches(row).count());
    assert_eq!(rows, [1, 1], "{table}");
    let words = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words.matches("seed 7, commit ").count(), 2, "{table}");
}

#[test]
#[ignore = "installs the peers by npm and pip, and builds one: .ci/run runs it"]
fn the_bench_measures_every_candidate_and_writes_its_table_and_plots() {
    let results = tempfile::tempdir().unwrap();
    let mut bench = dev(&["bench", "--unoptimised", "--scale", "0.001", "--results"]);
    let output = bench.arg(results.path()).arg("--binary").arg(binary()).output().unwrap();
    let messages = text(&output.stderr);
    assert!(output.status.success(), "{messages}");

    let read = |name: &str| fs::read_to_string(results.path().join(name)).unwrap();
    let results: Value = serde_json::from_str(&read("latest.json")).unwrap();
    let table = &results["table"];
    let rows = table["rows"].as_array().unwrap();
    for column in ["ours", "Node", "Node, bundled", "Python", "PostgREST's statement", "our statement alone"] {
        assert_eq!(table["missing"].get(column), None, "{messages}");
        let takes_part = |row: &Value| row["cells"][column]["value"].is_f64();
        assert!(rows.iter().any(takes_part), "{column}\n{table:#}");
    }
    let page = read("latest.md");
    let failed = rows.iter().filter(|row| row["failed"].as_object().is_some_and(|failed| !failed.is_empty()));
    assert_eq!(failed.count(), 0, "{page}");
    for part in ["Cold start", "Page size", "Account size", "Offset", "Filter", "Memory", "Package", "Writes"] {
        assert!(page.contains(&format!("**{part}**")), "{page}");
    }
    let plots: Vec<&str> = page.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert_eq!(plots.len(), 7, "{page}");
    for plot in plots {
        assert!(read(plot).starts_with("<svg"), "{plot}");
    }
}

/// Returns what `cargo dev plan` prints with these arguments.
fn plan(arguments: &[&str]) -> String {
    let output = dev(&["plan"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn docs_performance_has_the_table_that_plan_prints() {
    let document = include_str!("../../../docs/performance.md");
    for arguments in [&[][..], &["--counts", "--accounts", "1000000", "--rps", "1000"]] {
        let table = plan(arguments);
        assert!(
            document.contains(&table),
            "docs/performance.md lacks the output of cargo dev plan {arguments:?}:\n{table}"
        );
    }
}

#[test]
fn a_load_that_one_postgresql_cannot_carry_is_an_error() {
    let output = dev(&["plan", "--rps", "100000", "--accounts", "1000000"]).output().unwrap();
    let error = text(&output.stderr);
    assert!(!output.status.success() && error.contains("more than one instance has"), "{error}");
}

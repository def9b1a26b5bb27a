//! `cargo dev bench` as a whole, at a glance: that it measures, not what.

use std::{fs, process::Command};

use serde_json::Value;
use testkit::binary;

#[test]
#[ignore = "installs the peers by npm and pip, and builds one: .ci/run runs it"]
fn the_bench_measures_every_candidate_and_writes_its_table_and_plots() {
    let results = tempfile::tempdir().unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_dev"));
    bench.args(["bench", "--unoptimised", "--scale", "0.001", "--results"]).arg(results.path());
    let output = bench.arg("--binary").arg(binary()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");

    let read = |name: &str| fs::read_to_string(results.path().join(name)).unwrap();
    let results: Value = serde_json::from_str(&read("latest.json")).unwrap();
    let table = &results["table"];
    let rows = table["rows"].as_array().unwrap();
    for column in ["ours", "Node", "Node, bundled", "Python", "PostgREST's statement", "our statement alone"] {
        assert_eq!(table["missing"].get(column), None, "{said}");
        let takes_part = |row: &Value| row["cells"][column]["value"].is_f64();
        assert!(rows.iter().any(takes_part), "{column}\n{table:#}");
    }
    let text = read("latest.md");
    let failed = rows.iter().filter(|row| row["failed"].as_object().is_some_and(|failed| !failed.is_empty()));
    assert_eq!(failed.count(), 0, "{text}");
    for part in ["Cold start", "Page size", "Account size", "Offset", "Filter", "Memory", "Package", "Writes"] {
        assert!(text.contains(&format!("**{part}**")), "{text}");
    }
    let plots: Vec<&str> = text.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    assert_eq!(plots.len(), 7, "{text}");
    for plot in plots {
        assert!(read(plot).starts_with("<svg"), "{plot}");
    }
}

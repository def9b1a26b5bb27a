//! Tests of samples, tables, goals and plots.

use std::collections::BTreeMap;

use testkit::process;

use crate::measure::{ goal::Goal, number, plot::{Bars, Dots, Lines, Series}, sample::Sample, table::{Cell, Row, Table}, };

#[test]
fn a_percentile_is_a_measured_value() {
    let sample = Sample::of([3.0, 1.0, 2.0, 5.0, 4.0]);
    assert_eq!(sample.median(), Some(3.0));
    assert_eq!((sample.percentile(10), sample.percentile(99)), (Some(1.0), Some(5.0)));
    assert_eq!(Sample::of([2.0, 1.0]).median(), Some(1.0), "the lower of two");
    assert_eq!(Sample::of([7.0]).percentile(0), Some(7.0));
    assert_eq!(Sample::of([]).median(), None);
    let hundred = Sample::of((1..=100).map(f64::from));
    assert_eq!((hundred.percentile(10), hundred.percentile(99)), (Some(10.0), Some(99.0)));
}

#[test]
fn numbers_have_three_digits_and_thousands() {
    let shown = [0.0, 0.01234, 1.5, 12.34, 123.4, 1_234.0, 1_000_000.0, -1_234.5].map(number);
    assert_eq!(shown, ["0", "0.0123", "1.50", "12.3", "123", "1,234", "1,000,000", "-1,234"]);
}

fn table() -> Table {
    let mut row = Row::new("Pages", "page of 1", "ms");
    row.cells.insert("ours", Cell::once(2.0));
    row.cells.insert("other", Cell::once(5.0));
    row.failed.insert("third", "status 500".into());
    let missing = BTreeMap::from([("fourth", "it is not installed".to_owned())]);
    Table { columns: vec!["ours", "other", "third", "fourth", "fifth"], missing, rows: vec![row] }
}

#[test]
fn the_table_shows_ratios_to_its_first_column_and_reasons_for_missing_figures() {
    let expected = "\
        | | ours | other | third | fourth | fifth |\n\
        | --- | ---: | ---: | ---: | ---: | ---: |\n\
        | **Pages** | | | | | |\n\
        | page of 1 | 2.00 ms | 5.00 ms (×2.50) | failed | missing | – |\n\
        \n\
        - fourth is missing: it is not installed\n\
        - third failed at Pages, page of 1: status 500\n";
    assert_eq!(table().to_string(), expected);
}

#[test]
fn the_terminal_table_shows_figures_below_each_row_and_reasons_for_missing_ones() {
    insta::assert_snapshot!(table().text(), @r"

    Pages
      page of 1
        ours 2.00 ms, other 5.00 ms (×2.50)
        third failed: status 500
    fourth is missing: it is not installed
    ");
}

#[test]
fn a_missing_value_has_a_reason() {
    let table = table();
    assert_eq!(table.value("Pages", "page of 1", "other"), Ok(5.0));
    let reason = |part, column| table.value(part, "page of 1", column).unwrap_err();
    assert_eq!(reason("Pages", "third"), "status 500");
    assert_eq!(reason("Pages", "fourth"), "it is not installed");
    assert_eq!(reason("Memory", "ours"), "Memory was not measured");
}

#[test]
fn a_goal_holds_up_to_its_bound_and_is_unknown_without_a_figure() {
    let goal = |measured| Goal { what: "package".into(), bound: 8.0, unit: " MB", measured };
    let [at, above, none] = [Ok(8.0), Ok(8.01), Err("not measured".to_owned())].map(goal);
    assert_eq!([&at, &above, &none].map(Goal::holds), [Some(true), Some(false), None]);
    assert_eq!(above.to_string(), "| package | 8.00 MB | 8.01 MB | **no** |");
    assert_eq!(none.to_string(), "| package | 8.00 MB | missing | not measured |");
    assert_eq!(serde_json::to_value(&none).unwrap()["missing"], "not measured");
    insta::assert_snapshot!([at, above, none].map(|goal| goal.text()).join("\n"), @r"
      met: package: 8.00 MB of at most 8.00 MB
      NOT met: package: 8.01 MB of at most 8.00 MB
      not measured: package: not measured
    ");
}

/// Covers figures with gaps, a single value and equal values.
#[test]
fn a_plot_shows_every_name_and_stays_inside_the_canvas() {
    let series = |values: &[Option<f64>]| {
        let values = values.to_vec();
        [("one & only", "#000000"), ("two", "#111111"), ("three", "#222222")]
            .map(|(name, colour)| Series { name, colour, values: values.clone() })
            .into()
    };
    let points = vec!["a".to_owned(), "b".to_owned()];
    let title = || "<title>".to_owned();
    for values in [vec![Some(1.0), Some(1_000.0)], vec![None, Some(0.5)], vec![Some(3.0), Some(3.0)]] {
        let plots = [
            Bars { title: title(), unit: "ms", series: series(&values[1..]) }.svg(),
            Lines { title: title(), unit: "ms", points: points.clone(), series: series(&values) }.svg(),
            Dots { title: title(), unit: "ms", points: points.clone(), series: series(&values) }.svg(),
        ];
        for plot in plots {
            assert!(
                ["one &amp; only", "two", "three", "&lt;title&gt;"].iter().all(|text| plot.contains(text)),
                "{plot}"
            );
            assert!(!plot.contains("NaN") && !plot.contains("inf"), "{plot}");
            assert!(lengths(&plot).all(|length| (0.0..=900.0).contains(&length)), "{plot}");
        }
    }
}

/// Returns every coordinate of texts, dots and bars.
fn lengths(svg: &str) -> impl Iterator<Item = f64> {
    let attributes = ["x=\"", "y=\"", "cx=\"", "cy=\"", "width=\""];
    let values = attributes.into_iter().flat_map(|name| svg.split(&format!(" {name}")).skip(1).collect::<Vec<_>>());
    values.filter_map(|rest| rest.split('"').next()?.parse().ok())
}

#[test]
fn process_reads_the_cpu_time_and_memory_of_a_process() {
    let pid = std::process::id();
    let before = process::cpu(pid).unwrap();
    while process::cpu(pid).unwrap() <= before {
        std::hint::black_box((0..10_000).sum::<u64>());
    }
    assert!(process::peak(pid).unwrap() >= process::resident(pid).unwrap());
    assert!(process::resident(pid).unwrap() > 0);
    assert!(process::cpu(0).is_err());
}

#[test]
fn the_size_of_a_folder_is_that_of_its_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("inner")).unwrap();
    std::fs::write(folder.path().join("a"), [0; 10]).unwrap();
    std::fs::write(folder.path().join("inner/b"), [0; 5]).unwrap();
    assert_eq!(process::size(folder.path()).unwrap(), 15);
    assert_eq!(process::size(&folder.path().join("a")).unwrap(), 10);
}

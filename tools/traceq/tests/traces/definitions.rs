//! `traceq` against `definitions/`, some hundred lines of Python that compute the same by the plain definitions: every
//! number equal, in integer nanoseconds, or the difference listed here with its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::fixtures;
use crate::support::run;
use testkit::list_files;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/traces/definitions");

/// Differences that are known and not fixed yet: the end of the path, what the difference begins with, and why.
const OPEN: &[(&str, &str, &str)] = &[];

#[test]
fn fixtures_add_up_by_definition() {
    let Some(python) = testkit::require("python3") else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut paths = Vec::new();
    for (name, document) in fixtures::all() {
        let path = dir.path().join(format!("{name}.json"));
        std::fs::write(&path, document.compact()).unwrap();
        paths.push(path);
    }
    assert_eq!(compare(&python, &paths), paths.len());
}

#[test]
fn shared_traces_add_up_by_definition() {
    let Some(root) = testkit::require_data("") else { return };
    let Some(python) = testkit::require("python3") else { return };
    // The largest take minutes in a build without optimization; an optimized one reads them all.
    let limit = if cfg!(debug_assertions) { 400_000 } else { u64::MAX };
    let small = |p: &PathBuf| p.metadata().is_ok_and(|m| m.len() <= limit);
    let paths: Vec<_> = list_files(&root).into_iter().filter(|p| is_json(p) && small(p)).collect();
    assert!(compare(&python, &paths) > 30);
}

/// Whether a file may be a trace in Chrome's format, by its name; the others are compared in `tests/formats.rs`.
fn is_json(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let other = name.contains("speedscope") || name.ends_with("communication.json");
    !other && (name.ends_with(".json") || name.ends_with(".json.gz"))
}

/// Compares all files; panics with all differences, and returns how many files were traces.
fn compare(python: &Path, paths: &[PathBuf]) -> usize {
    let expected = run_definitions(python, paths);
    let (mut traces, mut differences) = (0, Vec::new());
    for (path, expected) in paths.iter().zip(&expected) {
        let mut found = Vec::new();
        traces += usize::from(compare_trace(path, expected, &mut found));
        let name = path.to_string_lossy();
        found.retain(|d| {
            let open = OPEN.iter().find(|(end, what, _)| name.ends_with(end) && d.starts_with(what));
            open.iter().for_each(|(_, _, why)| testkit::note(format!("open: {why}")));
            open.is_none()
        });
        differences.extend(found.into_iter().map(|d| format!("{name}: {d}")));
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    traces
}

fn run_definitions(python: &Path, paths: &[PathBuf]) -> Vec<Value> {
    let output = Command::new(python)
        .args(["-B", PROGRAM])
        .args(paths)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let values: Vec<Value> = lines.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(values.len(), paths.len());
    values
}

/// Returns whether the file is a trace for both.
fn compare_trace(path: &Path, expected: &Value, differences: &mut Vec<String>) -> bool {
    let json = |args: &[&str]| run([args, &["--format", "json", path.to_str().unwrap()]].concat());
    let info = json(&["info"]);
    let info = info.of("traceq.info");
    let mut check = |what: &str, ours: Value, theirs: Value| {
        if ours != theirs {
            differences.push(format!("{what}: {ours}, by definition {theirs}"));
        }
    };
    check("refused", json!(info.is_empty()), json!(!expected["refused"].is_null()));
    let ([info], true) = (&info[..], expected["refused"].is_null()) else { return false };
    let sum = json(&["sum"]);
    let (totals, steps) = (sum.of("traceq.total"), sum.of("traceq.step"));
    for field in ["events", "categories"] {
        check(field, info[field].clone(), expected[field].clone());
    }
    check("span_ns", totals[0]["span_ns"].clone(), expected["span_ns"].clone());
    let numbers: BTreeSet<i64> = steps.iter().filter_map(|s| s["step"].as_i64()).collect();
    check("step_numbers", json!(numbers), expected["step_numbers"].clone());
    // Steps that were told from the optimizer have numbers of our own.
    let marked = steps.iter().filter(|s| s["derived"] != true).filter_map(|s| s["step"].as_i64());
    check("info steps", info["steps"].clone(), json!(marked.collect::<BTreeSet<i64>>()));
    for cause in ["begin_without_end", "end_without_begin"] {
        check(cause, json!(totals[0]["excluded"][cause].as_u64().unwrap_or(0)), expected[cause].clone());
    }
    // What counts as host time in a trace without operators is our own choice.
    let mut expected_steps = expected["steps"].clone();
    if expected["host_op_ns"] == 0 {
        let steps = expected_steps.as_array_mut().unwrap().iter_mut();
        steps.for_each(|s| _ = s.as_object_mut().unwrap().remove("host_op_ns"));
    } else {
        check("host_op_ns", totals[0]["host_op_ns"].clone(), expected["host_op_ns"].clone());
    }
    let device = |r: &Value| json!([r["device"]]).to_string();
    check_rows("total", &totals, &expected["totals"], device, &mut check);
    let key = |r: &Value| json!([r["step"], r["start_ns"], r["device"]]).to_string();
    check_rows("step", &steps, &expected_steps, key, &mut check);
    for by in ["kernel", "op", "runtime", "python", "api", "marker", "other"] {
        let ours: BTreeMap<String, Value> =
            json(&["top", "-n", "1000000", "--by", by]).of("traceq.top").iter().map(top_row).collect();
        let theirs = expected["top"][by].as_object().unwrap();
        let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for name in names {
            let none = Value::Null;
            let (a, b) = (ours.get(name).unwrap_or(&none), theirs.get(name).unwrap_or(&none));
            check(&format!("top {by} {name}"), a.clone(), b.clone());
        }
    }
    true
}

fn top_row(row: &Value) -> (String, Value) {
    let values = json!([row["count"], row["total_ns"], row["self_ns"], row["min_ns"], row["max_ns"]]);
    (row["name"].as_str().unwrap().to_owned(), values)
}

/// Compares the rows that have device work, by their keys, in every field that the definition gives.
fn check_rows(
    what: &str,
    ours: &[Value],
    theirs: &Value,
    key: impl Fn(&Value) -> String,
    check: &mut impl FnMut(&str, Value, Value),
) {
    let keyed = |rows: &[Value]| -> BTreeMap<String, Value> {
        rows.iter().filter(|r| r["device_events"] != 0).map(|r| (key(r), r.clone())).collect()
    };
    let (ours, theirs) = (keyed(ours), keyed(theirs.as_array().unwrap()));
    check(
        &format!("{what}s"),
        json!(ours.keys().collect::<Vec<_>>()),
        json!(theirs.keys().collect::<Vec<_>>()),
    );
    for (key, expected) in &theirs {
        let Some(row) = ours.get(key) else { continue };
        for (field, value) in expected.as_object().unwrap() {
            let found = match field.as_str() {
                // An exporter's `Free` lane knows no copies; ours may tell them apart.
                "free" => {
                    json!(row["idle_ns"].as_i64().unwrap() + row["exposed_memcpy_ns"].as_i64().unwrap())
                }
                _ => row[field].clone(),
            };
            check(&format!("{what} {key} {field}"), found, value.clone());
        }
    }
}

//! The subcommands as users and pipes see them.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::path::PathBuf;

use common::exit::Exit;
use proptest::prelude::*;
use serde_json::json;
use support::run;
use tempfile::TempDir;

const TRACE: &str = r#"{"schemaVersion":1,"distributedInfo":{"rank":2},"traceEvents":[
{"ph":"X","cat":"user_annotation","name":"ProfilerStep#1","pid":1,"tid":1,"ts":0,"dur":10},
{"ph":"X","cat":"user_annotation","name":"ProfilerStep#2","pid":1,"tid":1,"ts":10,"dur":10},
{"ph":"X","cat":"cpu_op","name":"outer, \"quoted\"\nline","pid":1,"tid":1,"ts":1,"dur":8,"args":{"Call stack":"a;b"}},
{"ph":"X","cat":"cpu_op","name":"inner","pid":1,"tid":1,"ts":2,"dur":3.5},
{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":1,"tid":1,"ts":3,"dur":1,"args":{"correlation":9}},
{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":15,"dur":2,"args":{"correlation":9,"External id":3}},
{"ph":"X","cat":"kernel","name":"k","pid":0,"tid":7,"ts":20,"dur":2,"args":{"External id":3}}]}"#;

fn trace() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    std::fs::write(&path, TRACE).unwrap();
    (dir, path)
}

fn names(run: &testkit::ToolRun) -> Vec<String> {
    run.of("traceq.event").iter().map(|e| e["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_records_of_profctl_name_the_traces() {
    let (dir, path) = trace();
    let list = dir.path().join("list");
    let lines = format!(
        "{}\n{}\n{}\nnot json but a path\n{{broken\n",
        json!({"type": "profctl.request", "v": 1, "path": "/nowhere"}),
        json!({"type": "profctl.trace_file", "v": 1, "path": path, "pid": 1, "trace_id": "7", "later": {}}),
        path.display(),
    );
    std::fs::write(&list, lines).unwrap();
    let run = run(["sum", "--format", "json", "--files-from", list.to_str().unwrap()]);
    assert_eq!((run.exit, run.errors), (Exit::Failed, 2));
    let idle: Vec<_> = run.records().into_iter().filter(|r| r["idle_ratio"].as_f64() > Some(0.3)).collect();
    assert_eq!(idle.len(), 2, "one total for each time the trace is named");
    assert!(idle.iter().all(|r| r["rank"] == 2));

    std::fs::write(&list, [path.to_str().unwrap().as_bytes(), b"\0"].concat()).unwrap();
    let run = support::run(["info", "-0", "--format", "json", "--files-from", list.to_str().unwrap()]);
    assert_eq!((run.exit, run.of("traceq.info").len()), (Exit::Ok, 1));

    std::fs::write(&list, "").unwrap();
    assert_eq!(support::run(["info", "--files-from", list.to_str().unwrap()]).exit, Exit::No);
}

#[test]
fn cat_writes_what_is_asked_for() {
    let (_dir, path) = trace();
    let path = path.to_str().unwrap();
    let cat = |args: &[&str]| run([&["cat", "--format", "json", path], args].concat());
    assert_eq!(cat(&[]).of("traceq.event").len(), 7);
    assert_eq!(names(&cat(&["--category", "kernel,runtime"])), ["cudaLaunchKernel", "k", "k"]);
    assert_eq!(names(&cat(&["--name", "inn"])), ["inner"]);
    // The kernel ran in step 2, and step 1 launched it; the other kernel's launch is not known.
    let step = cat(&["--steps", "1"]);
    assert_eq!(names(&step).iter().filter(|n| *n == "k").count(), 1);
    assert_eq!(names(&cat(&["--step", "2"])), ["ProfilerStep#2"]);
    let steps = names(&cat(&["--steps", "1-2"]));
    assert_eq!(steps.len(), names(&step).len() + 1);
    assert!(steps.iter().any(|name| name == "ProfilerStep#2"));
    assert_eq!(names(&cat(&["--from-ns", "9000", "--to-ns", "16000", "--category", "kernel"])), ["k"]);
    let inner = cat(&["--name", "inn", "--no-args"]).of("traceq.event").remove(0);
    let expected = json!({"type": "traceq.event", "v": 1, "category": "cpu_op", "cat": "cpu_op", "ph": "X",
        "name": "inner", "pid": 1, "tid": 1, "start_ns": 2000, "dur_ns": 3500});
    assert_eq!(inner, expected);
}

#[test]
fn csv_reads_back() {
    let (_dir, path) = trace();
    let out = run(["cat", "--format", "csv", path.to_str().unwrap()]).stdout;
    let mut rows = csv::Reader::from_reader(out.as_bytes());
    let column = |name: &str, header: &csv::StringRecord| header.iter().position(|h| h == name).unwrap();
    let header = rows.headers().unwrap().clone();
    let rows: Vec<_> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 7);
    assert_eq!(&rows[2][column("name", &header)], "outer, \"quoted\"\nline");
    assert_eq!(&rows[2][column("args", &header)], r#"{"Call stack":"a;b"}"#);
    assert_eq!((&rows[5][column("device", &header)], &rows[5][column("stream", &header)]), ("0", "7"));
}

#[test]
fn top_ranks_kernels_and_operators() {
    let (_dir, path) = trace();
    let path = path.to_str().unwrap();
    let top = run(["top", "--format", "json", path]).of("traceq.top");
    let rows: Vec<_> =
        top.iter().map(|r| (r["by"].as_str().unwrap(), r["total_ns"].as_i64().unwrap())).collect();
    assert_eq!(rows, [("kernel", 4000), ("op", 8000), ("op", 3500)]);
    assert_eq!(
        (&top[1]["self_ns"], &top[0]["count"], &top[0]["share"]),
        (&json!(4500), &json!(2), &json!(1.0))
    );
    let one = run(["top", "--by", "op", "-n", "1", "--format", "json", path]).of("traceq.top");
    assert_eq!(one.len(), 1);
    // A name with a line end stays on one line of a table.
    assert!(run(["top", path]).stdout.contains("outer, \"quoted\"\\nline"));
}

#[test]
fn tables_fit_a_hundred_columns() {
    let (_dir, path) = trace();
    for command in ["info", "sum", "top"] {
        let text = run([command, path.to_str().unwrap()]).stdout;
        let tables = text.lines().filter(|l| !l.contains("t.json"));
        assert!(tables.clone().count() > 3);
        tables.for_each(|l| assert!(l.chars().count() <= 100, "{l}"));
    }
}

#[test]
fn a_format_that_is_not_written_is_a_usage_error() {
    let (_dir, path) = trace();
    let run = run(["sum", "--format", "csv", path.to_str().unwrap()]);
    let fatal = run.fatal.unwrap();
    assert!(fatal.contains("invalid value 'csv' for '--format <FORMAT>'"), "{fatal}");
    assert_eq!(support::run(["cat", "--steps", "1", "-"]).exit, Exit::Failed);
}

#[test]
fn a_step_that_never_ended_is_partial() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    let text = r#"[{"\u0070h":"B","cat":"user_annotation","name":"ProfilerStep#4","pid":1,"tid":1,"ts":1},
        {"ph":"B","cat":"cpu_op","name":"a","pid":1,"tid":1,"ts":2},
        {"ph":"E","cat":"cpu_op","name":"a","pid":1,"tid":1,"ts":7}]"#;
    std::fs::write(&path, text).unwrap();
    let run = run(["sum", "--format", "json", path.to_str().unwrap()]);
    let (step, total) = (run.of("traceq.step").remove(0), run.of("traceq.total").remove(0));
    assert_eq!(
        (&step["step"], &step["partial"], &step["host_op_ns"]),
        (&json!(4), &json!(true), &json!(5000))
    );
    assert_eq!((&total["partial_steps"], &total["excluded"]), (&json!(1), &json!({"begin_without_end": 1})));
}

#[test]
fn paths_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(std::ffi::OsStr::from_bytes(b"t\xff.json"));
    std::fs::write(&path, TRACE).unwrap();
    for command in ["info", "sum", "top"] {
        let run = run([std::ffi::OsStr::new(command), "--format".as_ref(), "json".as_ref(), path.as_ref()]);
        assert_eq!(run.exit, Exit::Ok);
        let records = run.records();
        let named = records.iter().filter(|r| r["type"] != "traceq.summary");
        assert!(
            named.clone().count() > 0
                && named.clone().all(|r| r["path_hex"].as_str().unwrap().ends_with("74ff2e6a736f6e"))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is done to a trace, reading it ends and does not panic.
    #[test]
    fn damaged_traces_do_no_harm(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..12),
    ) {
        let mut text = TRACE.as_bytes().to_vec();
        for (at, byte, how) in edits {
            if text.is_empty() { break }
            let at = at.index(text.len());
            match how {
                0 => text[at] = byte,
                1 => _ = text.remove(at),
                2 => text.insert(at, b"\"\\{}[],:0-9eBEXM"[byte as usize % 16]),
                _ => { let end = (at + byte as usize).min(text.len()); text.drain(at..end); }
            }
        }
        traceq::fuzz_trace(&text);
    }
}

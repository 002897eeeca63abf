//! What people reported of their traces, one case for each kind: a small trace of our own in that state, a command, and
//! the answer worked out by hand. Times in the traces are microseconds, those expected nanoseconds.

mod damaged;
mod devices;
mod producers;

use common::exit::Exit;
use serde_json::{Value, json};

use crate::support::run;

/// A file in some state, and what is true of it.
struct Case {
    name: &'static str,
    file: &'static str,
    bytes: Vec<u8>,
    expected: Vec<Expected>,
}

/// What a command must come to: its exit status, and records of which each must be there with these fields.
struct Expected {
    command: &'static str,
    /// `None` where the format allows what this file is, and a reader may still doubt that it is whole.
    exit: Option<Exit>,
    records: Vec<Value>,
}

fn ok(command: &'static str, records: Vec<Value>) -> Expected {
    Expected { command, exit: Some(Exit::Ok), records }
}

fn case(name: &'static str, file: &'static str, text: impl Into<Vec<u8>>, expected: Vec<Expected>) -> Case {
    Case { name, file, bytes: text.into(), expected }
}

/// An operator with its launch and the kernel that it starts 20 us later; `i` gives the times and the numbers.
fn launched(i: i64, kernel: &str, dur: i64) -> String {
    launched_on(i, kernel, dur, ("4", "0", 7))
}

fn launched_on(i: i64, kernel: &str, dur: i64, (host, device, stream): (&str, &str, i64)) -> String {
    let (at, correlation) = (i * 200, 70 + i);
    format!(
        r#"{{"ph":"X","cat":"cpu_op","name":"aten::op{i}","pid":{host},"tid":4,"ts":{at},"dur":30,"args":{{"External id":{i},"Ev Idx":{i}}}}},
{{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":{host},"tid":4,"ts":{},"dur":4,"args":{{"correlation":{correlation},"External id":{i}}}}},
{{"ph":"X","cat":"kernel","name":"{kernel}","pid":{device},"tid":{stream},"ts":{},"dur":{dur},"args":{{"device":0,"stream":{stream},"correlation":{correlation},"External id":{i}}}}}"#,
        at + 6,
        at + 20
    )
}

fn object(events: &[String]) -> String {
    format!(
        r#"{{"schemaVersion":1,"deviceProperties":[{{"id":0,"name":"G"}}],"distributedInfo":{{"rank":0,"world_size":2}},"traceEvents":[
{}
],"traceName":"t.json"}}"#,
        events.join(",\n")
    )
}

/// Kernels of 40 us every 200 us.
fn regular(n: i64) -> Vec<String> {
    (0..n).map(|i| launched(i, "gemm", 40)).collect()
}

/// The total of [`regular`].
fn regular_total(n: i64) -> Value {
    json!({"type": "traceq.total", "device": 0, "kernels": n, "compute_ns": n * 40_000, "events_read": 3 * n,
        "total_ns": (n - 1) * 200_000 + 40_000, "idle_ns": (n - 1) * 160_000})
}

fn cases() -> Vec<Case> {
    [
        damaged::damaged_cases(),
        damaged::time_cases(),
        devices::device_cases(),
        producers::producer_cases(),
        producers::step_cases(),
        producers::host_cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn every_kind_has_its_answer() {
    let mut failures = Vec::new();
    for case in cases() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(case.file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &case.bytes).unwrap();
        // A tree is given by its directory.
        let top = case.file.split('/').next().unwrap();
        for expected in &case.expected {
            let words = expected.command.split(' ').map(|w| w.replace(r"\x20", " "));
            let run = run(words.chain([
                "--format".into(),
                "json".into(),
                dir.path().join(top).to_string_lossy().into_owned(),
            ]));
            let what = format!("{}: {}", case.name, expected.command);
            if expected.exit.is_some_and(|exit| exit != run.exit) {
                failures
                    .push(format!("{what}: exit {:?}, not {:?} {:?}", run.exit, expected.exit, run.fatal));
            }
            let records = run.records();
            for wanted in &expected.records {
                if !records.iter().any(|r| wanted.as_object().unwrap().iter().all(|(k, v)| r[k] == *v)) {
                    let kind: Vec<_> = records
                        .iter()
                        .filter(|r| wanted["type"].is_null() || r["type"] == wanted["type"])
                        .map(ToString::to_string)
                        .collect();
                    failures.push(format!("{what}: no {wanted} in\n    {}", kind.join("\n    ")));
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Numbers, members and their order stand as in the file, and in a table two names never look the same.
#[test]
fn nothing_is_changed_on_the_way_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    let args = r#"{"a":0.30000000000000004441,"b":-0.0,"c":1e400,"d":12345678901234567890123,"e":1.50,"":[1.0,2E-7]}"#;
    std::fs::write(&path, format!(r#"[{{"ph":"X","name":"n","ts":1,"dur":1,"args":{args}}}]"#)).unwrap();
    // The records of Value would round: look at the text.
    let text = run(["cat", "--format", "json", path.to_str().unwrap()]).stdout;
    assert!(text.contains(args), "{text}");
}

#[test]
fn info_lists_the_steps_of_jax() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.trace.json");
    std::fs::write(&path, crate::fixtures::named("jax-gpu").compact()).unwrap();
    let info = run(["info", "--format", "json", path.to_str().unwrap()]).of("traceq.info").remove(0);
    assert_eq!(info["steps"], json!([4, 5, 6]));
}

#[test]
fn long_names_stay_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    let name = |i: i64| {
        format!(
            "void at::native::(anonymous namespace)::vectorized_elementwise_kernel<4, at::native::Functor{i}<float>, std::array<char*, 3ul> >(int, long)"
        )
    };
    let events: Vec<String> = (0..6).map(|i| launched(i, &name(i), 10)).collect();
    std::fs::write(&path, object(&events)).unwrap();
    let text = run(["top", "--by", "kernel", path.to_str().unwrap()]).stdout;
    let rows: Vec<&str> = text.lines().filter(|l| l.contains('%')).collect();
    let names: std::collections::BTreeSet<String> =
        rows.iter().map(|r| r.split_whitespace().skip(5).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!((rows.len(), names.len()), (6, 6), "{text}");
}

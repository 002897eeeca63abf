//! What traces mean: situations of real reports in small, with every expectation computed by hand. Times in the
//! fixtures are microseconds, in results nanoseconds.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

#[path = "../support/mod.rs"]
mod support;

mod devices;
mod output;
mod ranks;
mod rules;
mod times;

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::ToolRun;

/// Writes a Kineto trace and runs a command on it.
struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, document: &Value) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, document.to_string()).unwrap();
        path
    }

    fn run(&self, document: &Value, args: &[&str]) -> ToolRun {
        let path = self.file("t.json", document);
        support::run([args, &[path.to_str().unwrap()]].concat())
    }

    fn json(&self, document: &Value, args: &[&str]) -> ToolRun {
        self.run(document, &[args, &["--format", "json"]].concat())
    }

    fn total(&self, document: &Value) -> Value {
        self.json(document, &["sum"]).of("traceq.total").remove(0)
    }

    /// The rules that `check` finds broken.
    fn rules(&self, document: &Value) -> Vec<String> {
        let findings = self.json(document, &["check"]).of("traceq.finding");
        findings.iter().map(|f| f["rule"].as_str().unwrap().to_owned()).collect()
    }
}

fn kineto(events: Vec<Value>) -> Value {
    json!({"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "GPU"}],
        "distributedInfo": {"backend": "nccl", "rank": 0, "world_size": 2},
        "baseTimeNanoseconds": 1_700_000_000_000_000_000_i64, "traceEvents": events})
}

fn x(cat: &str, name: &str, (pid, tid): (i64, i64), ts: f64, dur: f64, args: Value) -> Value {
    json!({"ph": "X", "cat": cat, "name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "args": args})
}

/// An operator with its launch and its kernel.
fn launched(name: &str, id: i64, at: f64, kernel_at: f64, kernel_dur: f64) -> Vec<Value> {
    vec![
        x("cpu_op", "aten::op", (100, 10), at, 20.0, json!({"External id": id})),
        x("cuda_runtime", "cudaLaunchKernel", (100, 10), at + 5.0, 5.0, json!({"correlation": 1000 + id})),
        x(
            "kernel",
            name,
            (0, 7),
            kernel_at,
            kernel_dur,
            json!({"device": 0, "stream": 7, "correlation": 1000 + id}),
        ),
    ]
}

fn step(n: i64, at: f64, dur: f64) -> Value {
    x("user_annotation", &format!("ProfilerStep#{n}"), (100, 10), at, dur, json!({}))
}

#[track_caller]
fn assert_fields(record: &Value, expected: Value) {
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&record[field], value, "{field} of {record}");
    }
}

//! Names of any length, with whatever characters, in what people read: short and harmless there, whole in records.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::records;

/// What would drive a terminal, end a line or a cell, or be markup.
const HOSTILE: &str =
    "\u{1b}[31m\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\r\n\t|`</script><img src=x onerror=alert(1)>](javascript:x)";

/// A name of a hundred kilobytes. Those of different numbers differ in the middle.
fn long(word: &str, number: usize) -> String {
    let half = "x".repeat(50_000);
    format!("{word}{HOSTILE}{half}{number}{half}")
}

/// The trace of one of two ranks: three steps, in which everything that has a name has a long one.
fn write_rank(dir: &Path, rank: i64, slower: i64) -> PathBuf {
    let span = |cat: &str, name: &str, tid: i64, ts: i64, dur: i64, args: Value| json!({"ph": "X", "cat": cat, "name": name, "pid": 1, "tid": tid, "ts": ts, "dur": dur, "args": args});
    let mut events = Vec::new();
    for step in 0..3 {
        let t = step * 10_000;
        let shapes =
            json!({"Input Dims": [[256, 256], [256, 256]], "Input type": [long("type", 0), "float"]});
        events.extend([
            span("user_annotation", &format!("ProfilerStep#{step}"), 1, t, 9_000, json!({})),
            span("python_function", &long("nn.Module: ", 1), 1, t + 10, 400, json!({})),
            span("user_annotation", &long("range", 1), 1, t + 20, 380, json!({})),
            span("cpu_op", &long("aten::", 1), 1, t + 30, 100, json!({})),
            span("cpu_op", "aten::mm", 1, t + 40, 80, shapes),
        ]);
        for number in 0..3 {
            let id = json!({"correlation": step * 10 + number});
            events.push(span("cuda_runtime", "cudaLaunchKernel", 1, t + 50 + number, 1, id));
            let args = json!({"device": 0, "stream": 7, "correlation": step * 10 + number});
            let name = long("gemm", usize::try_from(number).unwrap());
            events.push(span("kernel", &name, 7, t + 100 + number * 1000, 900 + slower, args));
        }
        let collective = json!({
            "device": 0, "stream": 9, "Collective name": "allreduce", "In msg nelems": 1000, "Out msg nelems": 1000,
            "dtype": "Float", "Group size": 2, "Process Group Name": long("group", 1), "Process Group Ranks": "[0, 1]",
        });
        events.push(span("kernel", "ncclDevKernel_AllReduce_Sum_f32", 9, t + 8_000, 500, collective));
        let memory = json!({
            "Device Type": 1, "Device Id": 0, "Addr": step + 1, "Bytes": 1000, "Total Allocated": 1000 * (step + 1),
            "Total Reserved": 10_000,
        });
        events.push(json!({
            "ph": "i", "cat": "cpu_instant_event", "name": "[memory]", "s": "t", "pid": 1, "tid": 1, "ts": t + 60,
            "args": memory,
        }));
    }
    let document = json!({
        "schemaVersion": 1, "deviceProperties": [{"id": 0, "name": long("device", 1)}],
        "distributedInfo": {"rank": rank, "world_size": 2, "backend": "nccl"}, "traceEvents": events,
    });
    let path = dir.join(format!("rank{rank}.json"));
    std::fs::write(&path, document.to_string()).unwrap();
    path
}

#[test]
fn long_and_hostile_names_are_short_and_harmless_for_people() {
    let dir = tempfile::tempdir().unwrap();
    let ranks = [write_rank(dir.path(), 0, 0), write_rank(dir.path(), 1, 0)];
    let slower = write_rank(
        &{
            std::fs::create_dir(dir.path().join("b")).unwrap();
            dir.path().join("b")
        },
        0,
        300,
    );
    let jobs =
        ["ranks", "comm", "idle", "modules", "critical", "mem", "flops"].map(|verb| (verb, ranks.clone()));
    for (verb, paths) in jobs.into_iter().chain([("diff", [ranks[0].clone(), slower])]) {
        for form in ["text", "md"] {
            let mut args: Vec<OsString> = ["--format", form, verb].map(Into::into).to_vec();
            args.extend(paths.iter().map(Into::into));
            let (_, text) = testkit::run_tool::<tracewhy::Cli>(&args);
            let longest = text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
            assert!(longest < 600 && text.len() < 20_000, "{verb} {form}: {longest} of {}", text.len());
            let control = text.chars().find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}');
            assert_eq!(control, None, "{verb} {form}");
            assert!(!text.is_empty(), "{verb} {form}");
        }
        let whole = records(verb, &paths);
        let (name, has) = match verb {
            "comm" => (long("group", 1), true),
            "modules" => (long("nn.Module: ", 1), true),
            "diff" => (long("gemm", 2), true),
            _ => (String::new(), false),
        };
        let is_whole = |r: &Value| r["name"] == name.as_str() || r["group"] == name.as_str();
        assert!(!has || whole.iter().any(is_whole), "{verb}");
    }
}

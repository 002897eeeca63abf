//! Every conversion keeps sums: what `traceq sum` and `traceq top` say of a trace, they say of what `tracecv` makes of it.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

mod harness;

use std::path::{Path, PathBuf};
use std::process::Command;

use harness::run;
use serde_json::{Value, json};

/// A JAX trace on a GPU: rows are what their process and thread make of them, and steps have a number.
fn jax() -> String {
    let mut events = vec![
        json!({"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "/device:GPU:0"}}),
        json!({"ph": "M", "name": "thread_name", "pid": 1, "tid": 13, "args": {"name": "Stream #13(Compute)"}}),
        json!({"ph": "M", "name": "thread_name", "pid": 1, "tid": 14, "args": {"name": "Stream #14(MemcpyD2H)"}}),
        json!({"ph": "M", "name": "thread_name", "pid": 1, "tid": 15, "args": {"name": "XLA Ops"}}),
        json!({"ph": "M", "name": "process_name", "pid": 701, "args": {"name": "node7 /host:CPU"}}),
    ];
    for step in 0..3 {
        let at = f64::from(step) * 1000.5;
        let row = |tid: u32, name: &str, from: f64, dur: f64| json!({"ph": "X", "name": name, "pid": 1, "tid": tid, "ts": at + from, "dur": dur, "args": {"correlation_id": step}});
        events.extend([
            json!({"ph": "X", "name": "train", "pid": 701, "tid": 9, "ts": at, "dur": 900, "args": {"step_num": step}}),
            row(13, "fusion_1", 100.0, 300.125),
            row(15, "fusion_1", 100.0, 300.125),
            row(13, "ncclDevKernel_AllReduce_Sum", 350.0, 200.0),
            row(14, "MemcpyD2H", 600.25, 50.0),
        ]);
    }
    json!({"traceEvents": events}).to_string()
}

/// An Ascend timeline with process ids of more than 32 bits; its threads, tasks and lanes are what decides.
fn ascend() -> String {
    let pid = |layer: i64| (4321 << 20) + (layer << 5);
    let mut events = Vec::new();
    for (layer, name) in [(14, "Ascend Hardware"), (16, "Communication"), (31, "Overlap Analysis")] {
        events.push(json!({"ph": "M", "name": "process_name", "pid": pid(layer), "args": {"name": name}}));
        events.push(
            json!({"ph": "M", "name": "process_labels", "pid": pid(layer), "args": {"labels": "NPU 2"}}),
        );
    }
    events.push(json!({"ph": "M", "name": "process_name", "pid": 4321, "args": {"name": "python"}}));
    let mut row = |layer: i64, tid: i64, name: &str, from: &str, dur: f64, args: Value| {
        let ts = format!("1736412474{from}");
        events.push(json!({"ph": "X", "name": name, "pid": pid(layer), "tid": tid, "ts": ts, "dur": dur, "args": args}));
    };
    row(14, 0, "MatMulV2", "000100.001", 100.0, json!({"Task Type": "AI_CORE", "connection_id": 5}));
    row(14, 7, "MEMCPY_ASYNC", "000420.500", 35.001, json!({"Task Type": "SDMA_SQE"}));
    row(14, 7, "MEMCPY_ASYNC", "000460.500", 5.0, json!({"Task Type": "PCIE_DMA_SQE"}));
    row(14, 7, "Notify_Wait", "000470.500", 5.0, json!({"Task Type": "EVENT_WAIT_SQE"}));
    row(16, 0, "hcom_allReduce__123_0_1", "000180.000", 220.0, json!({}));
    row(16, 3, "Memcpy", "000190.000", 10.0, json!({}));
    row(31, 0, "Computing", "000100.001", 100.0, json!({}));
    row(31, 1, "Communication", "000180.000", 220.0, json!({}));
    row(31, 2, "Communication(Not Overlapped)", "000200.001", 199.999, json!({}));
    row(31, 3, "Free", "000400.000", 75.5, json!({}));
    for (name, cat, ts, dur) in [
        ("ProfilerStep#7", "user_annotation", "1736412474000000.000", 500.0),
        // Operators that overlap without one being in the other.
        ("aten::mm", "cpu_op", "1736412474000010.000", 50.0),
        ("aten::add", "cpu_op", "1736412474000040.000", 50.0),
        ("Enqueue", "enqueue", "1736412474000030.000", 5.0),
    ] {
        events.push(
            json!({"ph": "X", "cat": cat, "name": name, "pid": 4321, "tid": 4321, "ts": ts, "dur": dur,
            "args": {"correlation_id": 3}}),
        );
    }
    Value::from(events).to_string()
}

/// Host ranges of gloo, without a device, as PyTorch writes them.
fn gloo() -> String {
    let mut events = Vec::new();
    for step in 0..3 {
        let at = step * 1000;
        let range = |cat: &str, name: &str, from: i64, dur: i64, args: Value| json!({"ph": "X", "cat": cat, "name": name, "pid": 71, "tid": 72, "ts": at + from, "dur": dur, "args": args});
        events.extend([
            range("user_annotation", &format!("ProfilerStep#{step}"), 0, 900, json!({})),
            range("cpu_op", "aten::mm", 10, 200, json!({"External id": step + 1})),
            range("cpu_op", "c10d::allreduce_", 300, 100, json!({"External id": 100 + step})),
            range("user_annotation", "gloo:all_reduce", 310, 500, json!({})),
        ]);
    }
    let distributed = json!({"backend": "gloo", "rank": 0, "world_size": 2});
    json!({"distributedInfo": distributed, "traceEvents": events}).to_string()
}

/// A trace of two ranks that another program has merged: their processes are texts.
fn merged_by_others() -> String {
    let mut events = Vec::new();
    for rank in 0..2 {
        let process = |pid: &str| format!("[TP0{rank}] {pid}");
        for i in 0..4 {
            let at = 100 * i;
            events.push(json!({"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": process("83"), "tid": 83,
                "ts": at, "dur": 5, "args": {"correlation": i + 1}}));
            events.push(
                json!({"ph": "X", "cat": "kernel", "name": "gemm", "pid": process("0"), "tid": "stream 7",
                "ts": at + 20, "dur": 40 + rank, "args": {"correlation": i + 1, "device": 0, "stream": 7}}),
            );
        }
    }
    json!({"traceEvents": events}).to_string()
}

/// A PyTorch trace as of today, one whose kernels do not say their device, and one whose kernels are begins and ends.
fn kineto(device: bool, pairs: bool) -> String {
    let mut events = vec![
        json!({"ph": "X", "cat": "user_annotation", "name": "ProfilerStep#4", "pid": 41, "tid": 42, "ts": 0, "dur": 600}),
        // It ends behind the step, and the next begins behind it.
        json!({"ph": "X", "cat": "gpu_user_annotation", "name": "ProfilerStep#3", "pid": 1, "tid": 7, "ts": 700, "dur": 90}),
    ];
    for i in 0..5 {
        let at = 100 * i;
        events.push(
            json!({"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 41, "tid": 42, "ts": at, "dur": 50,
            "args": {"External id": 30 + i}}),
        );
        events
            .push(json!({"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 41, "tid": 42,
            "ts": at + 10, "dur": 5, "args": {"correlation": i, "External id": 30 + i}}));
        let mut args = json!({"correlation": i, "External id": 30 + i});
        if device {
            (args["device"], args["stream"]) = (json!(1), json!(7));
        }
        let (name, pid, tid) = ("void gemm<float>(int)", 1, 7);
        if pairs {
            events.push(json!({"ph": "B", "cat": "kernel", "name": name, "pid": pid, "tid": tid, "ts": at + 30, "args": args}));
            events.push(json!({"ph": "E", "cat": "kernel", "pid": pid, "tid": tid, "ts": at + 90}));
        } else {
            events.push(json!({"ph": "X", "cat": "kernel", "name": name, "pid": pid, "tid": tid, "ts": at + 30, "dur": 60.125,
                "args": args}));
        }
    }
    json!({"traceEvents": events}).to_string()
}

/// Makes a database of Nsight Systems in which two processes launch, each on its own device, by equal numbers from 0.
const NSIGHT: &str = "
import sqlite3, sys
c = sqlite3.connect(sys.argv[1])
c.executescript('''
create table StringIds(id integer primary key, value text);
create table META_DATA_EXPORT(name text, value text);
create table TARGET_INFO_SESSION_START_TIME(utcEpochNs integer);
create table PROCESSES(globalPid integer, pid integer, name text);
create table TARGET_INFO_CUDA_DEVICE(gpuId integer, cudaId integer, pid integer);
create table CUPTI_ACTIVITY_KIND_RUNTIME(start integer, end integer, eventClass integer, globalTid integer, correlationId integer, nameId integer);
create table CUPTI_ACTIVITY_KIND_KERNEL(start integer, end integer, deviceId integer, streamId integer, correlationId integer, globalPid integer, demangledName integer, shortName integer);
insert into StringIds values (1, 'cudaLaunchKernel_v7000'), (2, 'gemm'), (3, 'ncclDevKernel_AllReduce_Sum');
insert into META_DATA_EXPORT values ('EXPORT_SCHEMA_VERSION', '3.1.7');
insert into TARGET_INFO_SESSION_START_TIME values (1700000000000000000);
''')
for i, pid in enumerate((5000, 5001)):
    c.execute('insert into PROCESSES values (?, ?, ?)', (pid << 24, pid, 'python'))
    c.execute('insert into TARGET_INFO_CUDA_DEVICE values (?, 0, ?)', (i, pid))
    for k in range(6):
        at = 1000 + 100000 * k
        c.execute('insert into CUPTI_ACTIVITY_KIND_RUNTIME values (?, ?, 0, ?, ?, 1)', (at, at + 2000, pid << 24 | pid, k))
        c.execute('insert into CUPTI_ACTIVITY_KIND_KERNEL values (?, ?, 0, 7, ?, ?, ?, ?)', (at + 5000, at + 45001 + i, k, pid << 24, 2 + (k == 5), 2 + (k == 5)))
c.commit()";

/// Traces of every kind, by file name.
fn make_traces(dir: &Path) -> Vec<PathBuf> {
    let texts = [
        ("kineto.json", kineto(true, false)),
        ("kineto-old.json", kineto(false, false)),
        ("kineto-pairs.json", kineto(true, true)),
        ("jax.json", jax()),
        ("ascend.json", ascend()),
        ("gloo.json", gloo()),
        ("merged.json", merged_by_others()),
    ];
    let mut paths = Vec::new();
    for (name, text) in texts {
        std::fs::write(dir.join(name), text).unwrap();
        paths.push(dir.join(name));
    }
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for name in [
        "ascend.db",
        "kernel_details.csv",
        "op_summary.csv",
        "nsys.sqlite",
        "rocpd.db",
        "xplane.pb",
        "msmonitor.jsonl",
    ] {
        paths.push(seeds.join("trace_formats").join(name));
    }
    for name in ["ascend.json", "kineto.json", "chrome-old.json"] {
        paths.push(seeds.join("trace_reader").join(name));
    }
    match testkit::find("python3") {
        Ok(python) => {
            let path = dir.join("two.sqlite");
            let made = Command::new(python).args(["-c", NSIGHT]).arg(&path).status().unwrap();
            assert!(made.success());
            paths.push(path);
        }
        Err(reason) => testkit::skip(reason),
    }
    paths
}

/// The records of `sum` and `top`, without what differs between formats: how many events there are, where 0 is, what the
/// reader repaired or counted as left out, and the rank, which not all of them hold.
fn sums(path: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for verb in ["sum", "top"] {
        let done =
            run("traceq", &[verb.as_ref(), "--format".as_ref(), "json".as_ref(), path.as_os_str()]).expect(0);
        for mut record in done.records() {
            let members = record.as_object_mut().unwrap();
            if !matches!(members["type"].as_str(), Some("traceq.step" | "traceq.total" | "traceq.top")) {
                continue;
            }
            for key in [
                "path",
                "format",
                "events_read",
                "repairs",
                "excluded",
                "unlinked_events",
                "start_ns",
                "start",
                "rank",
            ] {
                members.remove(key);
            }
            out.push(record.to_string());
        }
    }
    out
}

fn tracecv(args: &[&str], to: &Path, from: &[&Path]) {
    let mut all: Vec<&std::ffi::OsStr> = args.iter().map(|arg| arg.as_ref()).collect();
    all.extend(["-o".as_ref(), to.as_os_str()]);
    all.extend(from.iter().map(|path| path.as_os_str()));
    run("tracecv", &all).expect(0);
}

/// What becomes of a trace, by the arguments that make it of the trace before.
const WAYS: [(&str, &[&[&str]]); 10] = [
    ("chrome", &[&["convert", "--to", "chrome"]]),
    ("perfetto", &[&["convert", "--to", "perfetto"]]),
    ("perfetto, chrome", &[&["convert", "--to", "perfetto"], &["convert", "--to", "chrome"]]),
    ("chrome, perfetto", &[&["convert", "--to", "chrome"], &["convert", "--to", "perfetto"]]),
    ("parquet", &[&["convert", "--to", "parquet"]]),
    ("parquet, chrome", &[&["convert", "--to", "parquet"], &["convert", "--to", "chrome"]]),
    ("perfetto, parquet", &[&["convert", "--to", "perfetto"], &["convert", "--to", "parquet"]]),
    ("cut", &[&["cut", "--from-ns", "-4000000000000000000"]]),
    ("repair", &[&["repair"]]),
    ("anon", &[&["anon"]]),
];

#[test]
fn every_conversion_keeps_sums() {
    let dir = tempfile::tempdir().unwrap();
    let mut failed = Vec::new();
    for path in make_traces(dir.path()) {
        let before = sums(&path);
        assert!(!before.is_empty(), "{}", path.display());
        for (way, steps) in WAYS {
            // A data set keeps ranks that were merged apart, and is not read as one trace.
            if way.contains("parquet") && path.ends_with("merged.json") {
                continue;
            }
            let work = tempfile::tempdir().unwrap();
            let mut last = path.clone();
            for (i, args) in steps.iter().enumerate() {
                let to = work.path().join(format!("{i}.out"));
                tracecv(args, &to, &[&last]);
                last = to;
            }
            let mut after = sums(&last);
            let mut expected = before.clone();
            if way == "anon" {
                // Names of the program are replaced: what they add up to stays.
                let without_names = |record: &String| {
                    let mut record: Value = serde_json::from_str(record).unwrap();
                    record.as_object_mut().unwrap().remove("name");
                    record.to_string()
                };
                (after, expected) =
                    (after.iter().map(without_names).collect(), expected.iter().map(without_names).collect());
            }
            if after != expected {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let differ = expected.iter().zip(&after).find(|(a, b)| a != b);
                failed.push(format!("{name}: {way}: {differ:#?}"));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Of two ranks in one file, each has the sums that it has by itself.
#[test]
fn a_merge_keeps_the_sums_of_every_rank() {
    let dir = tempfile::tempdir().unwrap();
    for path in make_traces(dir.path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // A merged trace is rejected as one rank.
        if name == "merged.json" {
            continue;
        }
        let to = dir.path().join("both.json");
        tracecv(&["merge"], &to, &[&path, &path]);
        let merged = sums(&to);
        let mut differ = 0;
        for expected in sums(&path) {
            let expected: Value = serde_json::from_str(&expected).unwrap();
            let of_rank = |record: &&String| {
                let mut record: Value = serde_json::from_str(record).unwrap();
                let members = record.as_object_mut().unwrap();
                members.remove("process").is_some() && record == expected
            };
            let expected_twice = merged.iter().filter(of_rank).count();
            differ += usize::from(expected_twice < 2);
        }
        assert_eq!(differ, 0, "{name}: {:#?}\n{merged:#?}", sums(&path));
    }
}

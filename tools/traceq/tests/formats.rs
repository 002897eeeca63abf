//! Traces in formats other than JSON: the same sums as independent sources give for the shared sample data, and as the
//! same recording gives in another format. Skipped where the data is absent.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are test code")]

mod support;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use common::exit::Exit;
use serde_json::Value;
use support::run;
use testkit::{oracle, require_data};

fn records(command: &str, path: &Path, kind: &str) -> Vec<Value> {
    let run = run([command, "--format", "json", path.to_str().unwrap()]);
    assert_eq!(run.exit, Exit::Ok, "{}", path.display());
    run.of(kind)
}

fn ns(record: &Value, field: &str) -> i64 {
    record[field].as_i64().unwrap_or_else(|| panic!("{field} in {record}"))
}

/// What the exporter summed up beside its database, in microseconds with three decimals: ours are the same in
/// nanoseconds. Its rows are read by another program.
#[test]
fn steps_of_an_ascend_database_are_those_of_its_exporter() {
    const SCRIPT: &str = "import sqlite3, sys, json
c = sqlite3.connect('file:' + sys.argv[1] + '?mode=ro&immutable=1', uri=True)
c.row_factory = sqlite3.Row
print(json.dumps([dict(r) for r in c.execute('SELECT * FROM StepTraceTime')]))";
    for rank in [0, 1] {
        let tree =
            format!("msinsight/test/data/pytorch/db/level1/rank{rank}_ascend_pt/ASCEND_PROFILER_OUTPUT");
        let Some(dir) = require_data(&tree) else { return };
        let sums = dir.join("analysis.db");
        let args = ["-c", SCRIPT, sums.to_str().unwrap()].map(std::ffi::OsStr::new);
        let Some(rows) = oracle("python3", &args) else { return };
        let rows: Vec<Value> = serde_json::from_slice(&rows).unwrap();
        let steps = records("sum", &dir.join(format!("ascend_pytorch_profiler_{rank}.db")), "traceq.step");
        assert_eq!((steps.len(), rows.len()), (1, 1));
        for (step, row) in steps.iter().zip(&rows) {
            assert_eq!(
                (ns(step, "step").to_string(), ns(step, "rank")),
                (row["step"].as_str().unwrap().to_owned(), rank)
            );
            let pairs = [
                ("compute_ns", "computing"),
                ("communication_ns", "communication"),
                ("exposed_communication_ns", "communication_not_overlapped"),
                ("overlap_ns", "overlapped"),
                ("idle_ns", "free"),
                ("stage_ns", "stage"),
                ("bubble_ns", "bubble"),
                ("preparing_ns", "preparing"),
            ];
            for (ours, theirs) in pairs {
                let expected = (row[theirs].as_f64().unwrap() * 1e3).round() as i64;
                // Differences of the exporter are of floats near 1.7e15 us, in steps of a quarter.
                let exact = matches!(
                    ours,
                    "compute_ns" | "communication_ns" | "exposed_communication_ns" | "overlap_ns"
                );
                let tolerance = if exact { 0 } else { 500 };
                assert!(
                    (ns(step, ours) - expected).abs() <= tolerance,
                    "{rank} {ours}: {} {expected}",
                    ns(step, ours)
                );
            }
        }
    }
}

/// Every kernel of a file of rocprofv3, read whole by another parser.
#[test]
fn kernels_of_rocprof_are_all_there() {
    let Some(path) = require_data("tracelens/tests/rocprof/908_results.json.gz") else { return };
    let mut text = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(&path).unwrap()).read_to_string(&mut text).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let process = &whole["rocprofiler-sdk-tool"][0];
    let names: BTreeMap<u64, &str> = process["kernel_symbols"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| (s["kernel_id"].as_u64().unwrap(), s["formatted_kernel_name"].as_str().unwrap()))
        .collect();
    let mut expected: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    for record in process["buffer_records"]["kernel_dispatch"].as_array().unwrap() {
        let name = names[&record["dispatch_info"]["kernel_id"].as_u64().unwrap()];
        let entry = expected.entry(name.to_owned()).or_default();
        entry.0 += 1;
        entry.1 += ns(record, "end_timestamp") - ns(record, "start_timestamp");
    }
    let top = run(["top", "--by", "kernel", "-n", "0", "--format", "json", path.to_str().unwrap()]);
    let mut ours: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    for row in top.of("traceq.top") {
        let entry = ours.entry(row["name"].as_str().unwrap().to_owned()).or_default();
        entry.0 += row["count"].as_u64().unwrap();
        entry.1 += ns(&row, "total_ns");
    }
    assert_eq!(expected.values().map(|(n, _)| n).sum::<u64>(), 43_915);
    for (name, sums) in &expected {
        assert_eq!(ours.get(name), Some(sums), "{name:.60} of {}", ours.len());
    }
}

/// One run of JAX in its two formats: what stands in the JSON is in the protobuf, and at the same times.
#[test]
fn both_files_of_jax_have_the_same_events() {
    let Some(dir) = require_data("own/jax-cpu/plugins/profile/2026_11_29_08_28_32") else { return };
    let events = |name: &str| {
        let run = run(["cat", "--no-args", "--format", "json", dir.join(name).to_str().unwrap()]);
        let mut out: BTreeMap<(String, i64, i64), i64> = BTreeMap::new();
        for event in run.of("traceq.event").iter().filter(|e| e["ph"] == "X") {
            let key =
                (event["name"].as_str().unwrap().to_owned(), ns(event, "start_ns"), ns(event, "dur_ns"));
            *out.entry(key).or_default() += 1;
        }
        out
    };
    let (json, protobuf) = (events("vm.trace.json.gz"), events("vm.xplane.pb"));
    let missing: Vec<_> = json.iter().filter(|(key, n)| protobuf.get(*key) != Some(n)).take(5).collect();
    assert!(json.len() > 100 && missing.is_empty(), "{} {} {missing:?}", json.len(), protobuf.len());
    let steps = |name: &str| records("info", &dir.join(name), "traceq.info").remove(0)["steps"].clone();
    assert_eq!(steps("vm.trace.json.gz"), steps("vm.xplane.pb"));
}

/// Stacks of two formats and their variants.
#[test]
fn stacks_have_their_weights() {
    let Some(dir) = require_data("speedscope/sample/profiles") else { return };
    let total = |path: PathBuf| {
        let top = run(["top", "--by", "other", "-n", "0", "--format", "json", path.to_str().unwrap()]);
        assert_eq!(top.exit, Exit::Ok, "{}", path.display());
        let rows = top.of("traceq.top");
        rows.iter()
            .map(|r| (r["name"].as_str().unwrap().to_owned(), ns(r, "total_ns")))
            .collect::<BTreeMap<_, _>>()
    };
    let expected = |scale: i64| {
        [("a", 14), ("b", 14), ("c", 5), ("d", 4)]
            .map(|(n, t)| (n.to_owned(), t * scale))
            .into_iter()
            .collect()
    };
    for name in ["simple.txt", "simple-crlf.txt"] {
        assert_eq!(total(dir.join("stackcollapse").join(name)), expected(1), "{name}");
    }
    let sampled = total(dir.join("speedscope/0.1.2/simple-sampled.speedscope.json"));
    assert_eq!(sampled, expected(1_000_000_000));
}

/// One recording of Ascend as a timeline and as a database: two steps' worth of work, a collective that computation
/// hides in part, a copy, and a wait that counts for nothing.
const TIMELINE: &str = r#"[
{"ph":"M","name":"process_name","pid":77,"tid":0,"args":{"name":"Python"}},
{"ph":"M","name":"process_name","pid":9001,"tid":0,"args":{"name":"Ascend Hardware"}},
{"ph":"M","name":"process_labels","pid":9001,"tid":0,"args":{"labels":"NPU 1"}},
{"ph":"M","name":"process_name","pid":9002,"tid":0,"args":{"name":"Communication"}},
{"ph":"M","name":"process_labels","pid":9002,"tid":0,"args":{"labels":"NPU 1"}},
{"ph":"M","name":"process_name","pid":9003,"tid":0,"args":{"name":"Overlap Analysis"}},
{"ph":"M","name":"process_labels","pid":9003,"tid":0,"args":{"labels":"NPU 1"}},
{"ph":"X","cat":"cpu_op","name":"ProfilerStep#4","pid":77,"tid":77,"ts":"100.000","dur":900},
{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":77,"tid":77,"ts":"120.000","dur":50},
{"ph":"s","cat":"async_npu","name":"torch_to_npu","id":300000,"pid":77,"tid":77,"ts":"120.000"},
{"ph":"f","cat":"async_npu","name":"torch_to_npu","id":300000,"pid":9001,"tid":2,"ts":"300.000","bp":"e"},
{"ph":"X","name":"MatMul","pid":9001,"tid":2,"ts":"300.000","dur":100.5,"args":{"Task Type":"KERNEL_AICORE"}},
{"ph":"X","name":"MEMCPY_ASYNC","pid":9001,"tid":2,"ts":"405.000","dur":5,"args":{"Task Type":"MEMCPY_ASYNC"}},
{"ph":"X","name":"EVENT_WAIT","pid":9001,"tid":3,"ts":"300.000","dur":400,"args":{"Task Type":"EVENT_WAIT"}},
{"ph":"X","name":"hcom_allReduce__1_0_1","pid":9002,"tid":0,"ts":"380.000","dur":120},
{"ph":"X","name":"Add","pid":9001,"tid":2,"ts":"600.000","dur":40,"args":{"Task Type":"KERNEL_AIVEC"}},
{"ph":"X","name":"Computing","pid":9003,"tid":0,"ts":"300.000","dur":100.5},
{"ph":"X","name":"Computing","pid":9003,"tid":0,"ts":"600.000","dur":40},
{"ph":"X","name":"Communication","pid":9003,"tid":1,"ts":"380.000","dur":120},
{"ph":"X","name":"Communication(Not Overlapped)","pid":9003,"tid":2,"ts":"400.500","dur":99.5},
{"ph":"X","name":"Free","pid":9003,"tid":3,"ts":"500.000","dur":100}
]"#;

const DATABASE: &str = "
    CREATE TABLE STRING_IDS (id INTEGER PRIMARY KEY, value TEXT);
    INSERT INTO STRING_IDS VALUES (1,'ProfilerStep#4'),(2,'aten::mm'),(3,'MatMul'),(4,'Add'),(5,'KERNEL_AICORE'),
        (6,'KERNEL_AIVEC'),(7,'MEMCPY_ASYNC'),(8,'EVENT_WAIT'),(9,'hcom_allReduce__1_0_1'),(10,'1');
    CREATE TABLE TASK (startNs INTEGER, endNs INTEGER, deviceId INTEGER, connectionId INTEGER, globalTaskId INTEGER,
        taskType INTEGER, streamId INTEGER);
    INSERT INTO TASK VALUES (300000,400500,1,50,0,5,2),(405000,410000,1,51,1,7,2),(300000,700000,1,52,2,8,3),
        (600000,640000,1,53,3,6,2);
    CREATE TABLE COMPUTE_TASK_INFO (globalTaskId INTEGER PRIMARY KEY, name INTEGER);
    INSERT INTO COMPUTE_TASK_INFO VALUES (0,3),(3,4);
    CREATE TABLE COMMUNICATION_OP (opName INTEGER, startNs INTEGER, endNs INTEGER, connectionId INTEGER,
        groupName INTEGER, opId INTEGER PRIMARY KEY, deviceId INTEGER);
    INSERT INTO COMMUNICATION_OP VALUES (9,380000,500000,54,10,1,1);
    CREATE TABLE CONNECTION_IDS (id INTEGER, connectionId INTEGER);
    INSERT INTO CONNECTION_IDS VALUES (0,50);
    CREATE TABLE PYTORCH_API (startNs TEXT, endNs TEXT, globalTid INTEGER, connectionId INTEGER, name INTEGER,
        type INTEGER);
    INSERT INTO PYTORCH_API VALUES ('100000','1000000',(77<<32)|77,NULL,1,50001),('120000','170000',(77<<32)|77,0,2,50001);
";

#[test]
fn a_timeline_and_a_database_of_one_recording_have_the_same_sums() {
    let dir = tempfile::tempdir().unwrap();
    let (text, database) =
        (dir.path().join("trace_view.json"), dir.path().join("ascend_pytorch_profiler.db"));
    std::fs::write(&text, TIMELINE).unwrap();
    rusqlite::Connection::open(&database).unwrap().execute_batch(DATABASE).unwrap();
    let of = |path: &Path| {
        let mut all = Vec::new();
        for (command, kind) in [("sum", "traceq.step"), ("sum", "traceq.total")] {
            for mut record in records(command, path, kind) {
                let fields = record.as_object_mut().unwrap();
                // The two files do not have the same number of rows that count for nothing.
                ["path", "events_read", "threads"].iter().for_each(|field| _ = fields.remove(*field));
                all.push(record);
            }
        }
        let top = run([
            "top",
            "--by",
            "kernel",
            "--by",
            "op",
            "-n",
            "0",
            "--format",
            "json",
            path.to_str().unwrap(),
        ]);
        for mut record in top.of("traceq.top") {
            record.as_object_mut().unwrap().remove("path");
            all.push(record);
        }
        all
    };
    let (expected, found) = (of(&text), of(&database));
    assert_eq!(
        (expected[0]["compute_ns"].as_i64(), expected[0]["exposed_communication_ns"].as_i64()),
        (Some(140_500), Some(99_500))
    );
    assert_eq!(found, expected);
}

/// What the fuzz target does, with a few thousand changed seeds: everything that reads ends, and what it sums agrees.
#[test]
fn changed_files_of_every_format_are_read_or_refused() {
    let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/trace_formats");
    testkit::mutate_seeds(Path::new(seeds), traceq::fuzz_trace);
}

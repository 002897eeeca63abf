//! What traces mean: situations of real reports in small, with every expectation computed by hand. Times in the
//! fixtures are microseconds, in results nanoseconds.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::path::PathBuf;

use common::exit::Exit;
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

#[test]
fn events_at_impossible_times_are_named_and_in_no_sum() {
    let bench = Bench::new();
    let day = 86_400_000_000.0;
    // Before all others, and behind them: a kernel in a month, a range of the host at zero.
    for odd in [
        x("kernel", "late", (0, 7), 40.0 * day, 5.0, json!({"device": 0, "stream": 7})),
        x("cpu_op", "early", (100, 10), -40.0 * day, 5.0, json!({})),
    ] {
        let mut events = vec![step(1, 0.0, 1000.0), odd.clone()];
        events.extend(
            (0..10).flat_map(|i| {
                launched("gemm", i, f64::from(i as i32) * 100.0, 30.0 + 100.0 * i as f64, 40.0)
            }),
        );
        let trace = kineto(events);
        let total = bench.total(&trace);
        assert_fields(
            &total,
            json!({"span_ns": 1_000_000, "total_ns": 940_000, "compute_ns": 400_000,
            "idle_ns": 540_000, "excluded": {"impossible_time": 1}, "host_op_ns": 200_000}),
        );
        let check = bench.json(&trace, &["check"]);
        let finding = check.of("traceq.finding").remove(0);
        assert_eq!((check.exit, &finding["rule"]), (Exit::No, &json!("impossible-times")));
        assert!(
            finding["found"].as_str().unwrap().contains(&format!("`{}`", odd["name"].as_str().unwrap())),
            "{finding}"
        );
    }
}

/// A GPU of XLA: its streams are work, its derived rows are not, and `train` with a `step_num` is a step.
fn xla(last: bool) -> Value {
    let names = vec![
        json!({"ph": "M", "pid": 3, "name": "process_name", "args": {"name": "/device:GPU:1"}}),
        json!({"ph": "M", "pid": 3, "tid": 1, "name": "thread_name", "args": {"name": "Stream #13(Compute)"}}),
        json!({"ph": "M", "pid": 3, "tid": 2, "name": "thread_name", "args": {"name": "Stream #14(MemcpyH2D)"}}),
        json!({"ph": "M", "pid": 3, "tid": 3, "name": "thread_name", "args": {"name": "XLA Modules"}}),
        json!({"ph": "M", "pid": 701, "name": "process_name", "args": {"name": "/host:CPU"}}),
    ];
    let x = |pid: i64, tid: i64, name: &str, ts: f64, dur: f64, args: Value| json!({"ph": "X", "pid": pid, "tid": tid, "name": name, "ts": ts, "dur": dur, "args": args});
    let rows = vec![
        x(701, 5, "train", 0.0, 100.0, json!({"step_num": "7"})),
        x(701, 5, "train", 100.0, 100.0, json!({"step_num": "8"})),
        x(3, 1, "fusion_3", 10.0, 20.25, json!({"correlation_id": "1"})),
        x(3, 1, "ncclDevKernel_AllReduce_Sum_f32_RING_LL", 40.0, 10.0, json!({})),
        x(3, 2, "MemcpyH2D", 25.0, 10.0, json!({})),
        x(3, 3, "jit_train", 5.0, 90.0, json!({})),
        x(3, 1, "fusion_3", 110.0, 20.0, json!({})),
        json!({}),
    ];
    let events = if last { [rows, names].concat() } else { [names, rows].concat() };
    json!({"displayTimeUnit": "ns", "metadata": {"highres-ticks": true}, "traceEvents": events})
}

#[test]
fn devices_of_xla_are_told_by_process_and_thread() {
    let bench = Bench::new();
    for last in [false, true] {
        let run = bench.json(&xla(last), &["sum"]);
        assert_fields(
            &run.of("traceq.total")[0],
            json!({"device": 1, "total_ns": 120_000, "compute_ns": 40_250,
            "communication_ns": 10_000, "exposed_communication_ns": 10_000, "memcpy_ns": 10_000,
            "exposed_memcpy_ns": 4750, "idle_ns": 65_000, "kernels": 2, "memcpys": 1, "collectives": 1}),
        );
        let steps = run.of("traceq.step");
        assert_fields(&steps[0], json!({"step": 7, "mark": "train", "device": 1, "device_events": 3}));
        assert_fields(&steps[1], json!({"step": 8, "compute_ns": 20_000}));
    }
}

/// Operations of a TPU contain others: a loop counts for what is in none of its parts.
#[test]
fn operations_of_a_tpu_count_once() {
    let bench = Bench::new();
    let op = |name: &str, ts: i64, dur: i64| json!({"ph": "X", "pid": 1, "tid": 9, "name": name, "ts": ts, "dur": dur});
    let trace = json!({"traceEvents": [
        op("while.1", 0, 100), op("fusion.2", 10, 20), op("all-reduce.3", 40, 30),
        {"ph": "M", "pid": 1, "name": "process_name", "args": {"name": "/device:TPU:0"}},
        {"ph": "M", "pid": 1, "tid": 9, "name": "thread_name", "args": {"name": "XLA Ops"}}]});
    assert_fields(
        &bench.total(&trace),
        json!({"device": 0, "total_ns": 100_000, "compute_ns": 70_000,
        "communication_ns": 30_000, "exposed_communication_ns": 30_000, "idle_ns": 0}),
    );
}

#[test]
fn old_profilers_name_devices_in_their_processes() {
    let bench = Bench::new();
    let x = |pid: Value, tid: i64, name: &str, ts: i64, dur: i64| json!({"ph": "X", "pid": pid, "tid": tid, "name": name, "ts": ts, "dur": dur, "args": {}});
    let torch = json!([
        x(json!("CPU functions"), 0, "aten::mm", 0, 30),
        x(json!("CUDA functions"), 2, "sgemm", 10, 15),
        x(json!("CUDA functions"), 2, "sgemm", 30, 5)
    ]);
    assert_fields(&bench.total(&torch), json!({"device": 2, "total_ns": 25_000, "compute_ns": 20_000}));
    let ops = bench.json(&torch, &["top", "--by", "op"]).of("traceq.top");
    assert_fields(&ops[0], json!({"name": "aten::mm", "total_ns": 30_000}));
    let name =
        |pid: i64, name: &str| json!({"ph": "M", "pid": pid, "name": "process_name", "args": {"name": name}});
    let tensorflow = json!({"traceEvents": [name(1, "/job:w/task:0/device:GPU:0/stream:all Compute"),
        name(2, "/job:w/task:0/device:GPU:0/stream:7 Compute"), name(3, "/job:w/task:0/device:GPU:0 Compute"),
        {"ph": "X", "cat": "Op", "pid": 1, "tid": 0, "name": "MatMul", "ts": 10, "dur": 4},
        {"ph": "X", "cat": "Op", "pid": 2, "tid": 0, "name": "MatMul", "ts": 10, "dur": 4},
        {"ph": "X", "cat": "Op", "pid": 3, "tid": 0, "name": "MatMul", "ts": 2, "dur": 9}]});
    assert_fields(&bench.total(&tensorflow), json!({"device": 0, "device_events": 1, "compute_ns": 4000}));
}

/// An Ascend timeline with copies, a collective with its parts, and lanes.
fn ascend() -> Vec<Value> {
    let name = |pid: i64, name: &str| {
        [
            json!({"name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}, "ph": "M"}),
            json!({"name": "process_labels", "pid": pid, "tid": 0, "args": {"labels": "NPU 5"}, "ph": "M"}),
        ]
    };
    let x = |pid: i64, tid: i64, name: &str, ts: &str, dur: f64, task: Option<&str>| {
        let mut row = json!({"name": name, "pid": pid, "tid": tid, "ts": ts, "dur": dur, "ph": "X"});
        if let Some(task) = task {
            row["args"] = json!({"Task Type": task});
        }
        row
    };
    let mut events = [name(41, "Ascend Hardware"), name(42, "HCCL"), name(43, "Overlap Analysis")].concat();
    events.extend([
        x(41, 2, "MEMCPY_ASYNC", "1736412474000020.000", 10.002, Some("PCIE_DMA_SQE")),
        x(41, 2, "Add", "1736412474000060.000", 50.0, Some("KERNEL_AIVEC")),
        x(41, 3, "MEMCPY_ASYNC", "1736412474000025.002", 15.0, Some("SDMA_SQE")),
        x(41, 4, "SDMA", "1736412474000130.000", 20.0, Some("SDMA")),
        x(41, 4, "NOTIFY_WAIT", "1736412474000150.000", 90.0, Some("NOTIFY_WAIT")),
        x(42, 1, "hcom_allGather__9_0_1", "1736412474000120.000", 80.0, None),
        x(42, 2, "Memcpy", "1736412474000130.000", 20.0, None),
        x(43, 0, "Computing", "1736412474000060.000", 50.0, None),
        x(43, 1, "Communication", "1736412474000120.000", 80.0, None),
        x(43, 2, "Communication(Not Overlapped)", "1736412474000120.000", 80.0, None),
        x(43, 3, "Free", "1736412474000110.000", 10.0, None),
    ]);
    events
}

#[test]
fn copies_of_ascend_are_not_the_parts_of_a_collective() {
    let bench = Bench::new();
    // Both copies together: 20.000 to 40.002.
    assert_fields(
        &bench.total(&json!(ascend())),
        json!({"device": 5, "memcpys": 2, "memcpy_ns": 20_002,
        "compute_ns": 50_000, "communication_ns": 80_000, "idle_ns": 10_000, "collectives": 1, "kernels": 1}),
    );
    let top = bench.json(&json!(ascend()), &["top", "--by", "kernel"]).of("traceq.top");
    let rows: Vec<_> =
        top.iter().map(|r| (r["name"].as_str().unwrap(), r["total_ns"].as_i64().unwrap())).collect();
    assert_eq!(rows, [("hcom_allGather__9_0_1", 80_000), ("Add", 50_000), ("MEMCPY_ASYNC", 25_002)]);
}

/// Events in a fixed but thorough disorder.
fn shuffle(events: &[Value], seed: usize) -> Vec<Value> {
    let n = events.len();
    let stride = (seed..).find(|s| gcd(*s, n) == 1).unwrap();
    (0..n).map(|i| events[(i * stride + seed) % n].clone()).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Ids as text, where they were numbers.
fn with_text_ids(events: &[Value]) -> Vec<Value> {
    let text = |v: &Value| if v.is_number() { json!(v.to_string()) } else { v.clone() };
    let change = |e: &Value| {
        let mut e = e.clone();
        for key in ["pid", "tid"] {
            e[key] = text(&e[key]);
        }
        if e["args"]["correlation"].is_number() {
            e["args"]["correlation"] = text(&e["args"]["correlation"]);
        }
        e
    };
    events.iter().map(change).collect()
}

#[test]
fn order_and_spelling_do_not_matter() {
    let bench = Bench::new();
    let mut events = vec![step(1, 0.0, 300.0), step(2, 300.0, 300.0)];
    events.extend(launched("gemm", 1, 0.0, 30.0, 40.0));
    events.extend(launched("ncclDevKernel_AllReduce_Sum", 2, 100.0, 60.0, 45.125));
    events.extend(launched("Memcpy HtoD", 3, 310.0, 335.0, 12.0));
    // Equal spans: the higher index is the inner one.
    events.push(x("cpu_op", "aten::outer", (100, 10), 400.0, 9.0, json!({"Ev Idx": 40})));
    events.push(x("cpu_op", "aten::inner", (100, 10), 400.0, 9.0, json!({"Ev Idx": 41})));
    let edge = |ph: &str, ts: f64| json!({"ph": ph, "cat": "kernel", "name": "persistent", "pid": 0, "tid": 9, "ts": ts, "args": {"device": 0, "stream": 9, "correlation": 1001}});
    events.extend([edge("B", 200.0), edge("E", 207.5)]);
    for events in [events, ascend()] {
        let results = |events: Vec<Value>| {
            let is_kineto = events.iter().any(|e| e["cat"] == "kernel");
            let trace = if is_kineto { kineto(events) } else { json!(events) };
            [vec!["sum"], vec!["top", "--by", "kernel,op,other,runtime"]]
                .map(|c| bench.json(&trace, &c).stdout)
        };
        let expected = results(events.clone());
        assert!(expected[0].lines().count() > 1 && expected[1].lines().count() > 2);
        for seed in 1..8 {
            assert_eq!(results(shuffle(&events, seed)), expected, "{seed}");
        }
        assert_eq!(results(with_text_ids(&events)), expected);
        let memory =
            |args: &[&str]| bench.json(&json!(events), &[args, &["--max-memory", "16MiB"]].concat()).stdout;
        assert_eq!(memory(&["sum"]), bench.json(&json!(events), &["sum"]).stdout);
    }
}

#[test]
fn equal_spans_nest_by_index_or_by_file_order() {
    let bench = Bench::new();
    let own = |events: Vec<Value>| {
        let top = bench.json(&kineto(events), &["top", "--by", "op"]).of("traceq.top");
        let of = |name: &str| top.iter().find(|r| r["name"] == name).unwrap()["self_ns"].as_i64().unwrap();
        (of("a"), of("b"))
    };
    let op = |name: &str, args: Value| x("cpu_op", name, (1, 1), 5.0, 4.0, args);
    assert_eq!(own(vec![op("a", json!({})), op("b", json!({}))]), (0, 4000));
    assert_eq!(own(vec![op("b", json!({})), op("a", json!({}))]), (4000, 0));
    assert_eq!(own(vec![op("b", json!({"Ev Idx": 8})), op("a", json!({"Ev Idx": 3}))]), (0, 4000));
    assert_eq!(own(vec![op("b", json!({"External id": 8})), op("a", json!({"External id": 3}))]), (0, 4000));
}

#[test]
fn work_without_a_launch_counts_where_it_is_most_of_the_time() {
    let bench = Bench::new();
    let mut events = launched("gemm", 1, 0.0, 30.0, 5.0);
    let replayed =
        |i: i64| x("kernel", "node", (0, 3), 100.0 * i as f64, 90.0, json!({"device": 0, "stream": 3}));
    events.extend((1..=9).map(replayed));
    events.push(step(4, 0.0, 500.0));
    let run = bench.json(&kineto(events.clone()), &["sum"]);
    // From 30 to 990: nine of 90 and one of 5.
    assert_fields(
        &run.of("traceq.total")[0],
        json!({"total_ns": 960_000, "compute_ns": 815_000, "idle_ns": 145_000,
        "unlinked_events": 9, "device_events": 10}),
    );
    // Those that start before 500, and the one that was launched.
    assert_fields(&run.of("traceq.step")[0], json!({"device_events": 5, "compute_ns": 365_000}));
    assert!(bench.rules(&kineto(events.clone())).contains(&"unlinked-work".to_owned()));
    // A little of it is left over from before the recording.
    events.retain(|e| e["name"] != "node");
    events.push(x("kernel", "old", (0, 3), 0.0, 4.0, json!({"device": 0, "stream": 3})));
    assert_fields(&bench.total(&kineto(events)), json!({"compute_ns": 5000, "excluded": {"unlinked": 1}}));
}

#[test]
fn an_end_within_the_streams_successors_is_a_finding() {
    let bench = Bench::new();
    let trace = |long: f64| {
        let kernels = (0..40).flat_map(|i| {
            let dur = if i == 4 { long } else { 50.0 };
            launched("gemm", i, 100.0 * i as f64, 30.0 + 100.0 * i as f64, dur)
        });
        let mut events: Vec<Value> = kernels.collect();
        events.push(step(1, 0.0, 4000.0));
        kineto(events)
    };
    assert_eq!(bench.rules(&trace(50.0)), [] as [&str; 0]);
    // The next kernel of a stream may start a little early.
    assert_eq!(bench.rules(&trace(103.0)), [] as [&str; 0]);
    let run = bench.json(&trace(2000.0), &["check"]);
    let finding = run.of("traceq.finding").remove(0);
    assert_eq!((run.exit, &finding["rule"]), (Exit::No, &json!("stream-overrun")));
    // It starts at 430 and ends at 2430, its successor starts at 530; 19 others end within it.
    let found = finding["found"].as_str().unwrap();
    assert!(found.starts_with("device 0, stream 7: 1 event overruns its successor by 1900000 ns"), "{found}");
    assert!(found.ends_with("and 19 events within it; without it 1950000 ns of compute"), "{found}");
}

/// Thirty kernels of 50 us, one each 100 us, all launched 25 us before, in one step.
fn healthy() -> Vec<Value> {
    let mut events: Vec<Value> =
        (0..30).flat_map(|i| launched("gemm", i, 100.0 * i as f64, 30.0 + 100.0 * i as f64, 50.0)).collect();
    events.push(step(1, 0.0, 3000.0));
    events
}

#[test]
fn work_before_its_launch_shows_two_clocks() {
    let bench = Bench::new();
    let early_by = |early: f64, count: usize| {
        let mut events = healthy();
        for e in events.iter_mut().filter(|e| e["cat"] == "kernel").take(count) {
            e["ts"] = json!(e["ts"].as_f64().unwrap() - early);
        }
        bench.json(&kineto(events), &["check"])
    };
    let run = early_by(400.0, 30);
    let finding = run.of("traceq.finding").remove(0);
    assert_eq!((run.exit, &finding["rule"]), (Exit::No, &json!("clocks-disagree")));
    let found = finding["found"].as_str().unwrap();
    assert_eq!(found, "30 of 30 device events start before their launch, by up to 375.000 us");
    // A few records are wrong in good traces, and clocks that agree differ by microseconds.
    for (early, count) in [(400.0, 1), (33.0, 30), (0.0, 30)] {
        let run = early_by(early, count);
        assert_eq!((run.exit, run.of("traceq.finding").len()), (Exit::Ok, 0), "{early} {count}");
    }
}

#[test]
fn replays_of_graphs_must_have_kernels() {
    let bench = Bench::new();
    let replays = |kernels: i64| {
        let mut events = healthy();
        for i in 0..5 {
            let (at, c) = (3000.0 + 100.0 * i as f64, json!({"correlation": 5000 + i}));
            events.push(x("cuda_runtime", "cudaGraphLaunch", (100, 10), at, 5.0, c));
            for k in 0..kernels {
                let args = json!({"device": 0, "stream": 7, "correlation": 5000 + i});
                events.push(x("kernel", "node", (0, 7), at + 20.0 + 10.0 * k as f64, 8.0, args));
            }
        }
        bench.rules(&kineto(events))
    };
    assert_eq!(replays(0), ["graph-replays-collapsed"]);
    assert_eq!(replays(1), ["graph-replays-collapsed"]);
    assert_eq!(replays(3), [] as [&str; 0]);
}

#[test]
fn activities_that_are_missing_in_the_middle_are_a_finding() {
    let bench = Bench::new();
    // Without the kernels of so many launches of a hundred.
    let without = |missing: i64| {
        let mut events: Vec<Value> = (0..100)
            .flat_map(|i| launched("gemm", i, 100.0 * i as f64, 30.0 + 100.0 * i as f64, 50.0))
            .collect();
        events.push(step(1, 0.0, 10_000.0));
        let dropped = 1040..1040 + missing;
        events.retain(|e| {
            e["cat"] != "kernel" || !dropped.contains(&e["args"]["correlation"].as_i64().unwrap())
        });
        bench.json(&kineto(events), &["check"]).of("traceq.finding")
    };
    let findings = without(30);
    assert_eq!((findings.len(), &findings[0]["rule"]), (1, &json!("dropped-activities")));
    assert_eq!(findings[0]["found"], "30 of 100 launches without a device event");
    // At the edge of a recording some have not run.
    assert_eq!(without(4), [] as [Value; 0]);
    assert_eq!(without(0), [] as [Value; 0]);
}

#[test]
fn one_event_that_makes_most_of_the_time_is_a_finding() {
    let bench = Bench::new();
    let with_wait = |dur: f64| {
        let mut events = healthy();
        let mut wait = launched("ncclDevKernel_AllReduce", 99, 2990.0, 3030.0, dur);
        wait[2]["tid"] = json!(20);
        wait[2]["args"]["stream"] = json!(20);
        events.extend(wait);
        bench.json(&kineto(events), &["check"]).of("traceq.finding")
    };
    let findings = with_wait(60_000.0);
    assert_eq!((findings.len(), &findings[0]["rule"]), (1, &json!("dominant-event")));
    let found = findings[0]["found"].as_str().unwrap();
    assert!(found.contains("`ncclDevKernel_AllReduce` at 3030000 ns lasts 60.000 ms, 97.6%"), "{found}");
    assert!(found.ends_with("of the busy time of 31 events; without it 1500000 ns of compute"), "{found}");
    assert_eq!(with_wait(400.0), [] as [Value; 0]);
}

#[test]
fn steps_have_many_marks() {
    let bench = Bench::new();
    let marked = |names: [&str; 2]| {
        let mut events = vec![
            x("user_annotation", names[0], (100, 10), 0.0, 90.0, json!({})),
            x("user_annotation", names[1], (100, 10), 100.0, 90.0, json!({})),
            x("gpu_user_annotation", names[1], (0, 7), 100.0, 500.0, json!({})),
        ];
        events.extend(launched("gemm", 1, 0.0, 30.0, 40.0));
        events.extend(launched("gemm", 2, 100.0, 130.0, 45.0));
        kineto(events)
    };
    let steps = |names: [&str; 2], args: &[&str]| {
        let run = bench.json(&marked(names), &[&["sum"], args].concat());
        let list = run.of("traceq.step");
        list.iter()
            .map(|s| (s["step"].as_i64().unwrap(), s["compute_ns"].as_i64().unwrap()))
            .collect::<Vec<_>>()
    };
    let (counted, numbered) = ([(0, 40_000), (1, 45_000)], [(11, 40_000), (12, 45_000)]);
    assert_eq!(steps(["step[DECODE bs=8]", "step[EXTEND bs=2 toks=96]"], &[]), counted);
    assert_eq!(
        steps(["execute_context_1(64)_generation_0(0)", "execute_context_0(0)_generation_8(8)"], &[]),
        counted
    );
    assert_eq!(steps(["iteration 11", "iteration 12"], &[]), numbered);
    assert_eq!(steps(["my work", "my work"], &[]), []);
    assert_eq!(steps(["my work", "my work"], &["--step-name", "^my"]), counted);
    assert_eq!(steps(["batch 11 of 90", "batch 12 of 90"], &["--step-name", r"^batch (\d+)"]), numbered);
    assert_eq!(bench.run(&marked(["a", "b"]), &["sum", "--step-name", "("]).exit, Exit::Failed);
}

#[test]
fn calls_of_collectives_are_listed_by_themselves() {
    let bench = Bench::new();
    let host = |cat: &str, name: &str, ts: f64, dur: f64| x(cat, name, (100, 10), ts, dur, json!({}));
    let trace = kineto(vec![
        host("cpu_op", "c10d::allreduce_", 0.0, 50.0),
        host("cpu_op", "record_param_comms", 10.0, 20.0),
        host("user_annotation", "gloo:all_reduce", 60.0, 30.0),
        host("cpu_op", "aten::gather", 100.0, 70.0),
        host("user_annotation", "loader:gather", 200.0, 70.0),
        x("gpu_user_annotation", "nccl:all_reduce", (0, 7), 20.0, 40.0, json!({})),
    ]);
    let rows = |by: &str| {
        let top = bench.json(&trace, &["top", "--by", by]).of("traceq.top");
        let row = |r: &Value| {
            (
                r["name"].as_str().unwrap().to_owned(),
                r["total_ns"].as_i64().unwrap(),
                r["self_ns"].as_i64().unwrap(),
            )
        };
        top.iter().map(row).collect::<Vec<_>>()
    };
    let row = |name: &str, total, own| (name.to_owned(), total, own);
    assert_eq!(
        rows("collective-call"),
        [
            row("c10d::allreduce_", 50_000, 30_000),
            row("gloo:all_reduce", 30_000, 30_000),
            row("record_param_comms", 20_000, 20_000)
        ]
    );
    // They stay operators, and add no time to the device.
    assert_eq!(rows("op").len(), 3);
    assert_fields(&bench.total(&trace), json!({"device_events": 0}));
}

#[test]
fn classes_come_from_the_table_the_user_and_a_file() {
    let bench = Bench::new();
    let mut events = launched("void at::native::reduce_kernel<512, 1>", 1, 0.0, 0.0, 10.0);
    events.extend(launched("void deep_ep::internode::combine<4>(int)", 2, 0.0, 20.0, 3.0));
    events.extend(launched("all_my_ranks", 3, 0.0, 30.0, 4.0));
    events.extend(launched("warmup", 4, 0.0, 40.0, 50.0));
    let trace = kineto(events);
    let times = |args: &[&str]| {
        let t = bench.json(&trace, &[&["sum"], args].concat()).of("traceq.total").remove(0);
        ["compute_ns", "communication_ns", "memcpy_ns"].map(|k| t[k].as_i64().unwrap())
    };
    assert_eq!(times(&[]), [64_000, 3000, 0]);
    assert_eq!(times(&["--class", "communication=^all_my", "--class", "ignore=warm"]), [10_000, 7000, 0]);
    let config = bench.dir.path().join("traceq.toml");
    std::fs::write(&config, "class = ['copy=^all_my', 'ignore=warm']\n").unwrap();
    let config = config.to_str().unwrap();
    assert_eq!(times(&["--config", config]), [10_000, 3000, 4000]);
    // The command line takes precedence.
    assert_eq!(times(&["--config", config, "--class", "compute=^all"]), [14_000, 3000, 0]);
    let bad = bench.run(&trace, &["sum", "--class", "x"]);
    assert!(bad.fatal.unwrap().contains("is not NAME=REGEX"));
    // `cat` and `info` know the same classes.
    let events = bench.json(&trace, &["cat", "--category", "collective"]).of("traceq.event");
    assert_eq!(events.len(), 1);
    let info = bench.json(&trace, &["info"]).of("traceq.info").remove(0);
    assert_eq!(info["categories"], json!({"cpu_op": 4, "runtime": 4, "kernel": 3, "collective": 1}));
}

#[test]
fn async_spans_are_paired_by_their_scope() {
    let bench = Bench::new();
    let edge = |ph: &str, name: &str, pid: i64, ts: i64, id: Value| {
        let mut e = json!({"ph": ph, "cat": "net", "name": name, "pid": pid, "tid": pid, "ts": ts});
        e.as_object_mut().unwrap().extend(id.as_object().unwrap().clone());
        e
    };
    let (local, global, plain) =
        (json!({"id2": {"local": "0x1"}}), json!({"id2": {"global": "0x1"}}), json!({"id": 1}));
    let trace = json!([
        edge("b", "send", 1, 0, local.clone()),
        edge("b", "send", 2, 5, local.clone()),
        edge("e", "send", 1, 7, local.clone()),
        edge("e", "send", 2, 25, local),
        // Begun in one process, ended in another.
        edge("b", "move", 1, 0, global.clone()),
        edge("e", "move", 2, 40, global),
        // Nested in one id, and one left open until the last moment of its thread.
        edge("b", "outer", 3, 0, plain.clone()),
        edge("b", "inner", 3, 10, plain.clone()),
        edge("e", "inner", 3, 30, plain.clone()),
        edge("e", "outer", 3, 100, plain),
        edge("b", "open", 3, 60, json!({"id": "0x9"})),
    ]);
    let top = bench.json(&trace, &["top"]).of("traceq.top");
    let rows: Vec<_> = top
        .iter()
        .map(|r| {
            (
                r["name"].as_str().unwrap(),
                r["count"].as_u64().unwrap(),
                r["total_ns"].as_i64().unwrap(),
                r["self_ns"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("outer", 1, 100_000, 80_000),
            ("move", 1, 40_000, 40_000),
            ("open", 1, 40_000, 40_000),
            ("send", 2, 27_000, 27_000),
            ("inner", 1, 20_000, 20_000)
        ]
    );
    assert_eq!(bench.total(&trace)["excluded"], json!({"async_span": 6, "begin_without_end": 1}));
}

#[test]
fn what_is_open_ends_with_its_thread() {
    let bench = Bench::new();
    let trace = json!([
        {"ph": "B", "name": "main", "pid": 1, "tid": 1, "ts": 0},
        {"ph": "B", "name": "load", "pid": 1, "tid": 1, "ts": 50},
        {"ph": "X", "name": "read", "pid": 1, "tid": 1, "ts": 60, "dur": 30},
        {"ph": "X", "name": "elsewhere", "pid": 1, "tid": 2, "ts": 60, "dur": 300}]);
    let top = bench.json(&trace, &["top"]).of("traceq.top");
    let of = |name: &str| {
        let row = top.iter().find(|r| r["name"] == name).unwrap();
        (row["total_ns"].as_i64().unwrap(), row["self_ns"].as_i64().unwrap())
    };
    assert_eq!((of("main"), of("load"), of("read")), ((90_000, 50_000), (40_000, 10_000), (30_000, 30_000)));
}

/// Two ranks with the same numbers of devices and launches.
fn merged(pids: [[Value; 2]; 2]) -> Value {
    let mut events = Vec::new();
    for (rank, [host, device]) in pids.into_iter().enumerate() {
        for i in 0..4 {
            let at = 100 * i;
            let args = json!({"device": 0, "stream": 7, "correlation": i});
            events.push(json!({"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": host, "tid": 1, "ts": at, "dur": 1, "args": {"correlation": i}}));
            events.push(json!({"ph": "X", "cat": "kernel", "name": "gemm", "pid": device, "tid": 7, "ts": at + 10, "dur": 20 + 30 * rank, "args": args}));
        }
    }
    kineto(events)
}

#[test]
fn merged_ranks_are_split_or_refused() {
    let bench = Bench::new();
    let text = |a: &str, b: &str| [json!(a), json!(b)];
    for pids in [
        [text("[TP00] 83", "[TP00] 0"), text("[TP01] 84", "[TP01] 0")],
        [text("rank0/83", "rank0/0"), text("rank1/83", "rank1/0")],
    ] {
        let trace = merged(pids);
        let totals = bench.json(&trace, &["sum"]).of("traceq.total");
        assert_eq!(totals.len(), 2);
        assert_fields(&totals[0], json!({"rank": 0, "device": 0, "total_ns": 320_000, "compute_ns": 80_000}));
        assert_fields(
            &totals[1],
            json!({"rank": 1, "device": 0, "total_ns": 350_000, "compute_ns": 200_000}),
        );
        assert!(totals[1]["process"].is_string());
        let top = bench.json(&trace, &["top", "--by", "kernel"]).of("traceq.top");
        let of: Vec<_> =
            top.iter().map(|r| (r["rank"].as_i64().unwrap(), r["total_ns"].as_i64().unwrap())).collect();
        assert_eq!(of, [(0, 80_000), (1, 200_000)]);
        assert!(bench.rules(&trace).contains(&"merged-ranks".to_owned()));
    }
    // Numbers do not tell which rank launched what.
    let run = bench.json(&merged([[json!(83), json!(0)], [json!(84), json!(0)]]), &["sum"]);
    assert_eq!((run.exit, run.errors, run.of("traceq.total").len()), (Exit::Failed, 1, 0));
    // Nor does it help that the numbers differ: it is not one device.
    let mut trace = merged([[json!(83), json!(0)], [json!(84), json!(1)]]);
    let changed = trace["traceEvents"].as_array_mut().unwrap().iter_mut().skip(8);
    changed.for_each(|e| e["args"]["correlation"] = json!(e["args"]["correlation"].as_i64().unwrap() + 50));
    assert_eq!(bench.json(&trace, &["sum"]).exit, Exit::Failed);
}

#[test]
fn work_may_begin_and_end() {
    let bench = Bench::new();
    let edge = |ph: &str, name: &str, ts: f64, args: Value| json!({"ph": ph, "cat": "kernel", "name": name, "pid": 0, "tid": 7, "ts": ts, "args": args});
    let args = |c: i64| json!({"device": 0, "stream": 7, "correlation": c});
    let mut events = launched("gemm", 1, 0.0, 30.0, 50.0);
    events
        .extend([edge("B", "ncclDevKernel_AllGather", 100.0, args(1001)), edge("E", "", 120.25, json!({}))]);
    assert_fields(
        &bench.total(&kineto(events)),
        json!({"total_ns": 90_250, "compute_ns": 50_000,
        "communication_ns": 20_250, "collectives": 1, "device_events": 2}),
    );
}

#[test]
fn launches_without_any_kernel_are_a_finding() {
    let bench = Bench::new();
    let mut events: Vec<Value> =
        (0..30).flat_map(|i| launched("gemm", i, 100.0 * i as f64, 0.0, 1.0)).collect();
    events.retain(|e| e["cat"] != "kernel");
    assert_eq!(bench.rules(&kineto(events.clone())), ["launches-without-kernels"]);
    assert!(bench.run(&kineto(events), &["sum"]).stdout.contains("launches without a device event: 30"));
}

#[test]
fn names_in_a_table_are_never_the_same() {
    let bench = Bench::new();
    let long = "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<float>, std::array<char*, ";
    let mut events = Vec::new();
    for i in 0..5 {
        events.extend(launched(
            &format!("{long}{i}ul> >(int, std::array<char*, 3ul>, and so on and on and on)"),
            i,
            0.0,
            10.0 * i as f64,
            1.0,
        ));
    }
    let text = bench.run(&kineto(events), &["top", "--by", "kernel"]).stdout;
    let names: std::collections::BTreeSet<_> =
        text.lines().filter_map(|l| l.split_once("void")).map(|(_, n)| n).collect();
    assert_eq!(names.len(), 5, "{text}");
    assert!(text.lines().all(|l| l.contains("t.json") || l.chars().count() <= 100), "{text}");
}

#[test]
fn a_search_without_result_is_a_no() {
    let bench = Bench::new();
    let trace = kineto(launched("gemm", 1, 0.0, 30.0, 50.0));
    for args in [&["--name", "nothing"][..], &["--category", "memset"], &["--from-ns", "900000000"]] {
        assert_eq!(bench.run(&trace, &[&["cat"], args].concat()).exit, Exit::No, "{args:?}");
    }
    assert_eq!(bench.run(&trace, &["cat", "--name", "gemm"]).exit, Exit::Ok);
    assert_eq!(bench.run(&kineto(vec![]), &["cat"]).exit, Exit::Ok);
}

#[test]
fn reports_have_the_formats_and_statuses_of_all_checkers() {
    let bench = Bench::new();
    let mut events: Vec<Value> =
        (0..30).flat_map(|i| launched("gemm", i, 100.0 * i as f64, 30.0 + 100.0 * i as f64, 50.0)).collect();
    events.push(step(1, 0.0, 3000.0));
    let good = kineto(events.clone());
    events.retain(|e| e["cat"] != "kernel");
    let bad = kineto(events);
    assert_eq!(bench.run(&good, &["check"]).stdout, "");
    for (format, sign) in [
        ("sarif", "\"launches-without-kernels\""),
        ("junit", "<testsuite"),
        ("prometheus", "traceq_"),
        ("nagios", "WARNING"),
        ("json", "\"traceq.check_summary\""),
    ] {
        let run = bench.run(&bad, &["check", "--format", format]);
        assert!(run.stdout.contains(sign), "{format}: {}", run.stdout);
        assert_eq!(run.exit == Exit::Ok, format != "nagios", "{format}");
        assert_eq!(bench.run(&good, &["check", "--format", format]).exit, Exit::Ok, "{format}");
    }
    assert_eq!(bench.run(&bad, &["check", "--fail-on", "warning"]).exit, Exit::No);
    assert_eq!(bench.run(&good, &["check", "--fail-on", "note"]).exit, Exit::Ok);
    assert_eq!(bench.run(&good, &["sum", "--format", "sarif"]).exit, Exit::Failed);
    let report = bench.dir.path().join("report.json");
    bench.run(&bad, &["check", "--format", "json", "--output", report.to_str().unwrap()]);
    assert!(std::fs::read_to_string(report).unwrap().contains("launches-without-kernels"));
}

#[test]
fn ranks_of_a_job_are_compared() {
    let bench = Bench::new();
    let rank = |rank: i64, base: i64| {
        let mut events = launched("gemm", 1, 0.0, 30.0, 50.0);
        events.push(step(1, 0.0, 100.0));
        let mut trace = kineto(events);
        trace["distributedInfo"]["rank"] = json!(rank);
        trace["baseTimeNanoseconds"] = json!(1_700_000_000_000_000_000_i64 + base);
        bench.file(&format!("rank{rank}-{base}.json"), &trace)
    };
    let check = |paths: [&PathBuf; 2]| {
        let args = ["check", "--format", "json", paths[0].to_str().unwrap(), paths[1].to_str().unwrap()];
        let findings = support::run(args).of("traceq.finding");
        findings.iter().map(|f| f["rule"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (first, near, far) = (rank(0, 0), rank(1, 30_000), rank(1, 60_000_000_000));
    assert_eq!(check([&first, &near]), [] as [&str; 0]);
    assert_eq!(check([&first, &far]), ["ranks-do-not-overlap"]);
}

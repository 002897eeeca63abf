//! The devices, processes and threads of other profilers: XLA, TPU, TensorFlow, old PyTorch, Ascend.

use serde_json::{Value, json};

use crate::{Bench, assert_fields, kineto, launched, step, x};

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

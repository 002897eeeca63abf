//! What counts, where it belongs and for how long: spans that nest, steps, classes, work without a launch.

use common::exit::Exit;
use serde_json::{Value, json};

use crate::{Bench, assert_fields, kineto, launched, step, x};

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

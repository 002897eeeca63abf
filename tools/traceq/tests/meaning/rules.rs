//! The rules of `traceq check`: each trace breaks one of them.

use common::exit::Exit;
use serde_json::{Value, json};

use crate::{Bench, assert_fields, kineto, launched, step, x};

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
fn launches_without_any_kernel_are_a_finding() {
    let bench = Bench::new();
    let mut events: Vec<Value> =
        (0..30).flat_map(|i| launched("gemm", i, 100.0 * i as f64, 0.0, 1.0)).collect();
    events.retain(|e| e["cat"] != "kernel");
    assert_eq!(bench.rules(&kineto(events.clone())), ["launches-without-kernels"]);
    assert!(
        bench.run(&kineto(events.clone()), &["sum"]).stdout.contains("launches without a device event: 30")
    );
    // Of every runtime, and of graphs.
    for (cat, name) in [
        ("cuda_runtime", "hipModuleLaunchKernel"),
        ("cuda_runtime", "hipExtLaunchKernel"),
        ("cuda_runtime", "cudaGraphLaunch"),
        ("xpu_runtime", "urEnqueueKernelLaunch"),
        ("privateuse1_runtime", "musaLaunchKernel"),
    ] {
        let mut events = events.clone();
        for event in events.iter_mut().filter(|e| e["cat"] == "cuda_runtime") {
            (event["cat"], event["name"]) = (json!(cat), json!(name));
        }
        assert_eq!(bench.rules(&kineto(events)), ["launches-without-kernels"], "{name}");
    }
}

#[test]
fn sums_by_step_and_rank_say_that_nothing_ran_on_a_device() {
    let bench = Bench::new();
    let mut events: Vec<Value> = (0..3).flat_map(|i| launched("gemm", i, 0.0, 0.0, 1.0)).collect();
    events.retain(|e| e["cat"] == "cpu_op");
    events.push(step(1, 0.0, 1000.0));
    for by in ["step", "rank"] {
        let run = bench.run(&kineto(events.clone()), &["sum", "--by", by]);
        assert!(run.stdout.starts_with(&format!("no {by} has work on a device: ")), "{}", run.stdout);
    }
}

//! Several ranks, in one file or in several.

use std::path::PathBuf;

use common::exit::Exit;
use serde_json::{Value, json};

use crate::{Bench, assert_fields, kineto, launched, step, support};

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

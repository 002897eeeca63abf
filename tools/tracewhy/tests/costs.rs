//! `tracewhy comm` and `tracewhy idle` beside numbers that the generator, or somebody by hand, has computed.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use serde_json::{Value, json};
use support::jobs::{Fault, PAIR_BYTES, Plan, REDUCE_BYTES, write_job};
use support::{of, records};

const PLAN: Plan = Plan {
    seed: 5,
    ranks: 4,
    steps: 6,
    fault: Fault::Host(15),
    bad: 1,
    skewed: false,
    overlapped: false,
    numbered: true,
};

#[test]
fn bandwidth_is_that_of_the_rank_that_waits_for_nobody() {
    for numbered in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let (paths, truth) = write_job(dir.path(), &Plan { numbered, ..PLAN });
        let records = records("comm", paths);
        let costs = of(&records, "tracewhy.collective");
        // All-reduces of one size, and transfers of four pairs.
        assert_eq!(costs.len(), 5);
        let reduce = costs.iter().find(|c| c["kind"] == "all_reduce").unwrap();
        assert_eq!((reduce["count"].as_u64(), reduce["ranks"].as_u64()), (Some(truth.reduces), Some(4)));
        assert_eq!(
            (&reduce["bytes"], &reduce["total_ns"]),
            (&json!(REDUCE_BYTES), &json!(truth.reduce_total))
        );
        assert_eq!(reduce["transfer_ns"], truth.reduce_transfer / truth.reduces as i64);
        // Nothing is computed meanwhile.
        assert_eq!(reduce["exposed_ns"], truth.reduce_total);
        let algorithm = (REDUCE_BYTES * truth.reduces) as f64 / truth.reduce_transfer as f64;
        assert!((reduce["algorithm_gbps"].as_f64().unwrap() - algorithm).abs() < 1e-9);
        assert!((reduce["bus_gbps"].as_f64().unwrap() - algorithm * 2.0 * 3.0 / 4.0).abs() < 1e-9);
        for pair in costs.iter().filter(|c| c["kind"] == "send_receive") {
            assert_eq!(
                (&pair["bytes"], &pair["count"], &pair["ranks"]),
                (&json!(PAIR_BYTES), &json!(6), &json!(2))
            );
            assert_eq!(pair["algorithm_gbps"], pair["bus_gbps"]);
        }
    }
}

/// One step of a device, by hand, in microseconds.
fn write_step(dir: &std::path::Path) -> std::path::PathBuf {
    let host = |cat: &str, name: &str, ts: i64, dur: i64, args: &str| {
        format!(
            r#"{{"ph":"X","cat":"{cat}","name":"{name}","pid":1,"tid":1,"ts":{ts},"dur":{dur},"args":{{{args}}}}}"#
        )
    };
    let kernel = |name: &str, ts: i64, dur: i64, correlation: i64| {
        format!(
            r#"{{"ph":"X","cat":"kernel","name":"{name}","pid":0,"tid":7,"ts":{ts},"dur":{dur},"args":{{"device":0,"stream":7,"correlation":{correlation}}}}}"#
        )
    };
    let launch = |ts: i64, correlation: i64| {
        host("cuda_runtime", "cudaLaunchKernel", ts, 2, &format!("\"correlation\":{correlation}"))
    };
    let events = [
        host("user_annotation", "ProfilerStep#4", 0, 1000, ""),
        launch(0, 1),
        kernel("gemm", 10, 90, 1),
        // 100 to 300: 50 of data, 30 of garbage, 110 of nothing known before the launch at 290, 10 after it.
        host("user_annotation", "enumerate(DataLoader)#X.__next__", 120, 50, ""),
        host("python_function", "gc.collect", 180, 30, ""),
        launch(290, 2),
        kernel("gemm", 300, 100, 2),
        // 400 to 420: launched before. 520 to 700: launched before as well, and nobody knows why it waits.
        launch(302, 3),
        kernel("ncclDevKernel_AllReduce_Sum", 420, 100, 3),
        launch(304, 4),
        kernel("gemm", 700, 100, 4),
        // 800 to 900: memory is allocated for 60, and the host waits for the device for 20.
        host("cuda_runtime", "cudaMalloc", 800, 60, ""),
        host("cuda_runtime", "cudaStreamSynchronize", 860, 20, ""),
        launch(880, 5),
        kernel("gemm", 900, 50, 5),
    ];
    let path = dir.join("step.json");
    std::fs::write(&path, format!("[{}]", events.join(",\n"))).unwrap();
    path
}

#[test]
fn idle_time_has_its_causes() {
    let dir = tempfile::tempdir().unwrap();
    let records = records("idle", [write_step(dir.path())]);
    let step = &records[0];
    assert_eq!((step["type"].as_str(), step["step"].as_i64()), (Some("tracewhy.idle"), Some(4)));
    let expected = json!({
        "input": 50_000, "garbage_collection": 30_000, "host_late": 110_000, "allocation": 60_000,
        "synchronization": 20_000, "launch": 10_000 + 20_000 + 20_000, "not_known": 180_000,
    });
    assert_eq!(step["by_cause"], expected);
    let sum: i64 = expected.as_object().unwrap().values().filter_map(Value::as_i64).sum();
    assert_eq!((step["idle_ns"].as_i64(), step["span_ns"].as_i64()), (Some(sum), Some(940_000)));
    assert_eq!(step["exposed_communication_ns"], 100_000);
    // One step is the whole.
    assert_eq!((&records[1]["by_cause"], &records[1]["step"]), (&expected, &Value::Null));
}

#[test]
fn reports_are_bounded_and_lead_with_the_answer() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { ranks: 40, fault: Fault::Compute(40), bad: 9, ..PLAN };
    let (paths, _) = write_job(dir.path(), &plan);
    for (verb, start) in [
        ("ranks", "**rank 9 is slow: it computes longer"),
        ("comm", "**collectives take"),
        ("idle", "**devices are idle"),
    ] {
        let mut args: Vec<std::ffi::OsString> = ["--format", "md", verb].map(Into::into).to_vec();
        args.extend(paths.iter().map(Into::into));
        let (_, text) = testkit::run_tool::<tracewhy::Cli>(&args);
        assert!(text.starts_with(start), "{text}");
        assert!(text.lines().count() < 40 && text.contains("more with --format json"), "{text}");
        assert!(text.contains("--:|"), "{text}");
    }
}

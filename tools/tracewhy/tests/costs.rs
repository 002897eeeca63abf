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
        // 400 to 420: launched before. 520 to 700: launched before as well, and the trace does not show why it waits.
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

/// Without a device nothing is launched, so nothing is launched late.
#[test]
fn a_job_without_devices_is_not_told_about_launches() {
    let dir = tempfile::tempdir().unwrap();
    let operator = |ts: i64| {
        format!(r#"{{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":2,"ts":{ts},"dur":100}}"#)
    };
    let step =
        r#"{"ph":"X","cat":"user_annotation","name":"ProfilerStep#4","pid":1,"tid":2,"ts":0,"dur":400}"#;
    let path = dir.path().join("host.json");
    std::fs::write(&path, format!("[{step},{},{}]", operator(0), operator(300))).unwrap();
    assert_eq!(records("idle", [&path])[0]["by_cause"], json!({"not_known": 200_000}));
    let args = ["idle".into(), path.into_os_string()];
    let (_, text) = testkit::run_tool::<tracewhy::Cli>(&args);
    assert!(text.starts_with("hosts run no operator 50.0% of the time"), "{text}");
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

/// Two made-up jobs, the second with another fault, and what the comparison says.
fn compare(fault: Fault, args: &[&str]) -> (common::exit::Exit, String) {
    let dir = tempfile::tempdir().unwrap();
    let (base, new) = (dir.path().join("base"), dir.path().join("new"));
    for dir in [&base, &new] {
        std::fs::create_dir(dir).unwrap();
    }
    write_job(&base, &Plan { fault: Fault::None, ..PLAN });
    write_job(&new, &Plan { fault, seed: 6, ..PLAN });
    let mut words: Vec<std::ffi::OsString> = args.iter().map(Into::into).collect();
    words.extend([base.into(), new.into()]);
    testkit::run_tool::<tracewhy::Cli>(&words)
}

#[test]
fn what_became_slower_is_told_from_noise() {
    use common::exit::Exit;
    let dir = tempfile::tempdir().unwrap();
    let (_, base) = write_job(dir.path(), &Plan { fault: Fault::None, ..PLAN });
    let (_, new) = write_job(dir.path(), &Plan { fault: Fault::Compute(30), seed: 6, ..PLAN });
    let (exit, text) = compare(Fault::Compute(30), &["--format", "json", "diff", "--fail-on", "step>5%"]);
    let records: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!((exit, &records[0]["failed"]), (Exit::No, &json!(["step>5%"])));
    assert_eq!((records[0]["base_ranks"].as_i64(), &records[0]["beyond_noise"]), (Some(4), &json!(true)));
    let changes = of(&records, "tracewhy.change");
    let find =
        |kind: &str, name: &str| *changes.iter().find(|c| c["kind"] == kind && c["name"] == name).unwrap();
    // Kernels do not overlap, and every step is as long on each rank: the sums of the generator are those of the steps.
    let mean = |computes: &[i64]| (computes.iter().sum::<i64>() as f64 / (4 * PLAN.steps) as f64).round();
    for (kind, name) in [("kernel", "gemm_kernel"), ("step", "compute")] {
        let change = find(kind, name);
        assert_eq!(change["base_ns"].as_f64(), Some(mean(&base.compute)), "{change}");
        assert_eq!(change["new_ns"].as_f64(), Some(mean(&new.compute)), "{change}");
    }
    assert_eq!(find("kernel", "gemm_kernel")["base_calls"], 12.0);
    let reduce = find("collective", "all_reduce");
    assert_eq!(
        reduce["base_ns"].as_f64(),
        Some((base.reduce_total as f64 / (4 * PLAN.steps) as f64).round())
    );
    // The same work with other noise is no change.
    let (exit, text) = compare(Fault::None, &["--format", "junit", "diff", "--fail-on", "step>5%"]);
    assert_eq!(exit, Exit::Ok, "{text}");
    assert!(text.contains(r#"failures="0""#), "{text}");
    let (exit, text) = compare(Fault::Host(20), &["--format", "junit", "diff", "--fail-on", "idle>100us"]);
    assert!(exit == Exit::No && text.contains(r#"failures="1""#) && text.contains("new: idle: "), "{text}");
    let (_, text) = compare(Fault::Host(20), &["--format", "md", "diff"]);
    assert!(text.starts_with("**a step takes ") && text.lines().count() < 60, "{text}");
}

/// Steps with two modules and an optimizer, whose backward pass runs on a thread of its own. `linear` is the time of the
/// slower module's kernels, in microseconds; times differ a little from step to step.
fn write_modules(path: &std::path::Path, linear: i64, noise: i64) {
    let mut events = Vec::new();
    let mut host = |tid: i64, cat: &str, name: &str, ts: i64, dur: i64, args: &str| {
        events.push(format!(
            r#"{{"ph":"X","cat":"{cat}","name":"{name}","pid":1,"tid":{tid},"ts":{ts},"dur":{dur},"args":{{{args}}}}}"#
        ));
    };
    let backward = "autograd::engine::evaluate_function: AddmmBackward0";
    let mut number = 0;
    for step in 0..6 {
        let at = step * 10_000;
        let jitter = (step * 37 + noise) % 7 - 3;
        host(1, "user_annotation", &format!("ProfilerStep#{step}"), at, 9_000, "");
        host(1, "user_annotation", "Optimizer.step#SGD.step", at + 5_000, 500, "");
        host(1, "python_function", "nn.Module: Net_0", at + 10, 900, "");
        host(1, "python_function", "nn.Module: Linear_0", at + 20, 300, "");
        host(
            1,
            "cpu_op",
            "aten::addmm",
            at + 30,
            100,
            &format!(r#""Sequence number":{},"Fwd thread id":0"#, step + 1),
        );
        host(1, "python_function", "nn.Module: Norm_0", at + 400, 300, "");
        host(
            2,
            "cpu_op",
            backward,
            at + 2_000,
            500,
            &format!(r#""Sequence number":{},"Fwd thread id":1"#, step + 1),
        );
        for (tid, launch, time) in [(1, 40, linear), (1, 410, 200), (2, 2_010, 2 * linear), (1, 5_010, 80)]
            .map(|(tid, t, time)| (tid, t, time + jitter))
        {
            number += 1;
            host(
                tid,
                "cuda_runtime",
                "cudaLaunchKernel",
                at + launch,
                1,
                &format!("\"correlation\":{number}"),
            );
            let args = format!(r#""device":0,"stream":7,"correlation":{number}"#);
            host(7, "kernel", "gemm", at + launch + 5, time, &args);
        }
    }
    std::fs::write(path, format!("[{}]", events.join(",\n"))).unwrap();
}

#[test]
fn modules_annotations_and_phases_are_compared() {
    use common::exit::Exit;
    let dir = tempfile::tempdir().unwrap();
    let [base, same, new] =
        [("base", 300, 0), ("same", 300, 2), ("new", 390, 4)].map(|(name, linear, noise)| {
            let path = dir.path().join(name);
            write_modules(&path, linear, noise);
            path
        });
    let diff = |other: &std::path::Path, more: &[&str]| {
        let mut args: Vec<std::ffi::OsString> =
            ["--format", "json", "diff"].iter().chain(more).map(Into::into).collect();
        args.extend([base.clone().into_os_string(), other.into()]);
        let (exit, text) = testkit::run_tool::<tracewhy::Cli>(&args);
        (exit, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>())
    };
    let (exit, records) = diff(&new, &["--fail-on", "module>5%"]);
    assert_eq!((exit, &records[0]["failed"]), (Exit::No, &json!(["module>5%"])));
    let changes = of(&records, "tracewhy.change");
    let find = |kind: &str, name: &str| {
        let change = changes.iter().find(|c| c["kind"] == kind && c["name"] == name);
        change.map(|c| {
            (
                c["beyond_noise"].as_bool().unwrap(),
                c["new_ns"].as_i64().unwrap() - c["base_ns"].as_i64().unwrap(),
            )
        })
    };
    // 90 forward, and twice that backward, which belongs to the module of its forward operator; the noise has a mean of 0.
    let about = |found: Option<(bool, i64)>, us: i64| {
        found.is_some_and(|(beyond, ns)| beyond == (us != 0) && (ns - us * 1000).abs() <= 9_000)
    };
    assert!(about(find("module", "nn.Module: Linear_0"), 270), "{records:#?}");
    assert!(about(find("module", "nn.Module: Norm_0"), 0), "{records:#?}");
    assert!(about(find("phase", "forward"), 90) && about(find("phase", "backward"), 180), "{records:#?}");
    assert!(about(find("phase", "optimizer"), 0), "{records:#?}");
    assert!(about(find("annotation", "Optimizer.step#SGD.step"), 0), "{records:#?}");
    assert!(about(find("annotation", "(none)"), 270), "{records:#?}");
    assert_eq!(find("module", "(none)").map(|(beyond, _)| beyond), Some(false));
    // The same modules with other noise, and a limit that is not reached.
    for condition in ["module>5%", "annotation>5%", "phase>1%"] {
        assert_eq!(diff(&same, &["--fail-on", condition]).0, Exit::Ok, "{condition}");
    }
    assert_eq!(diff(&new, &["--fail-on", "module>80%"]).0, Exit::Ok);
    assert_eq!(diff(&new, &["--fail-on", "phase>50us"]).0, Exit::No);
    let args: Vec<std::ffi::OsString> =
        ["--format", "junit", "diff", "--fail-on", "module>5%"].map(Into::into).into();
    let args: Vec<_> = args.into_iter().chain([base.into(), new.into()]).collect();
    let (_, text) = testkit::run_tool::<tracewhy::Cli>(&args);
    assert!(text.contains(r#"failures="1""#) && text.contains("module nn.Module: Linear_0"), "{text}");
}

#[test]
fn device_time_belongs_to_modules_phases_and_annotations() {
    let dir = tempfile::tempdir().unwrap();
    let host = |tid: i64, cat: &str, name: &str, ts: i64, dur: i64, args: &str| {
        format!(
            r#"{{"ph":"X","cat":"{cat}","name":"{name}","pid":1,"tid":{tid},"ts":{ts},"dur":{dur},"args":{{{args}}}}}"#
        )
    };
    // A launch, and its kernel of so many microseconds, one after the other.
    let work = |tid: i64, ts: i64, number: i64, name: &str, dur: i64| {
        let launch =
            host(tid, "cuda_runtime", "cudaLaunchKernel", ts, 1, &format!("\"correlation\":{number}"));
        let at = number * 1000;
        format!(
            r#"{launch},{{"ph":"X","cat":"kernel","name":"{name}","pid":0,"tid":7,"ts":{at},"dur":{dur},"args":{{"device":0,"stream":7,"correlation":{number}}}}}"#
        )
    };
    let backward = "autograd::engine::evaluate_function: AddmmBackward0";
    let events = [
        host(1, "user_annotation", "ProfilerStep#3", 0, 900, ""),
        host(1, "user_annotation", "forward", 10, 190, ""),
        host(1, "python_function", "nn.Module: Net_0", 20, 100, ""),
        host(1, "python_function", "nn.Module: Linear_0", 30, 40, ""),
        host(1, "cpu_op", "aten::addmm", 35, 20, "\"Sequence number\":5,\"Fwd thread id\":0"),
        work(1, 40, 1, "gemm", 100),
        work(1, 100, 2, "relu", 10),
        work(1, 150, 3, "loss", 3),
        // The backward pass on a thread of its own: one operator of the layer, one that recomputes, one of nothing known.
        host(2, "cpu_op", backward, 300, 50, "\"Sequence number\":5,\"Fwd thread id\":1"),
        work(2, 310, 4, "gemm", 200),
        host(2, "cpu_op", backward, 400, 50, "\"Sequence number\":9,\"Fwd thread id\":1"),
        host(2, "python_function", "nn.Module: Linear_0", 405, 20, ""),
        work(2, 410, 5, "gemm", 90),
        work(2, 440, 6, "gemm", 7),
        host(1, "user_annotation", "Optimizer.step#SGD.step", 500, 50, ""),
        work(1, 510, 7, "sgd", 20),
        work(1, 600, 8, "ncclDevKernel_AllReduce_Sum", 40),
        // Launched before the recording.
        work(1, 700, 9, "gemm", 5).split_once(",{").map(|(_, kernel)| format!("{{{kernel}")).unwrap(),
    ];
    let path = dir.path().join("step.json");
    std::fs::write(&path, format!("[{}]", events.join(",\n"))).unwrap();
    let records = records("modules", [path]);
    let own = |part: &str| -> Value {
        let of_part = of(&records, "tracewhy.program").into_iter().filter(|r| r["part"] == part);
        of_part
            .map(|r| {
                (
                    r["name"].as_str().unwrap_or("-").to_owned(),
                    json!([r["own_ns"], r["total_ns"], r["count"]]),
                )
            })
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let us = |own: i64, total: i64, count: i64| json!([own * 1000, total * 1000, count]);
    assert_eq!(
        own("phase"),
        json!({
            "forward": us(113, 113, 3), "backward": us(207, 207, 2), "recompute": us(90, 90, 1),
            "optimizer": us(20, 20, 1), "communication": us(40, 40, 1), "other": us(5, 5, 1),
        })
    );
    assert_eq!(
        own("module"),
        json!({
            "nn.Module: Linear_0": us(390, 390, 3), "nn.Module: Net_0": us(10, 110, 1), "-": us(75, 75, 5),
        })
    );
    assert_eq!(
        own("annotation"),
        json!({ "forward": us(113, 113, 3), "Optimizer.step#SGD.step": us(20, 20, 1), "-": us(342, 342, 5) })
    );
}

/// A trace that marks no steps and has no collectives is one step: from its first work to its last.
#[test]
fn a_trace_without_steps_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = |ts: i64, dur: i64| {
        format!(
            r#"{{"ph":"X","cat":"kernel","name":"gemm","pid":0,"tid":7,"ts":{ts},"dur":{dur},"args":{{"device":0,"stream":7}}}}"#
        )
    };
    let operator = |ts: i64, dur: i64| {
        format!(r#"{{"ph":"X","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":{ts},"dur":{dur}}}"#)
    };
    let path = dir.path().join("t.json");
    for (events, idle) in
        [([kernel(100, 50), kernel(900, 100)], 750), ([operator(0, 10), operator(40, 5)], 30)]
    {
        std::fs::write(&path, format!("[{}]", events.join(","))).unwrap();
        let whole = &records("idle", [&path])[0];
        assert_eq!(whole["idle_ns"], idle * 1000, "{whole}");
        let (_, text) = testkit::run_tool::<tracewhy::Cli>(&["ranks".as_ref(), path.as_os_str()]);
        assert!(text.contains("is taken for one step"), "{text}");
    }
}

#[test]
fn hostile_times_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut events = Vec::new();
    for (i, ts) in ["-9.2e15", "9.2e15", "-9223372036854775", "0", "1", "9223372036854775"].iter().enumerate()
    {
        for (dur, name) in [
            ("9.2e15", "gemm"),
            ("-5", "gemm"),
            ("9223372036854775", "ncclDevKernel_AllReduce_Sum"),
            ("3", "gemm"),
        ] {
            events.push(format!(
                r#"{{"ph":"X","cat":"kernel","name":"{name}","pid":0,"tid":7,"ts":{ts},"dur":{dur},"args":{{"device":0,"stream":7,"Seq":{i}}}}}"#
            ));
            events.push(format!(r#"{{"ph":"X","cat":"user_annotation","name":"ProfilerStep#{i}","pid":1,"tid":1,"ts":{ts},"dur":{dur}}}"#));
        }
    }
    let paths = [1, 2, 3].map(|rank| {
        let path = dir.path().join(format!("{rank}.json"));
        std::fs::write(&path, format!("[{}]", events[rank..].join(",\n"))).unwrap();
        path
    });
    for verb in ["ranks", "comm", "idle", "modules"] {
        let records = records(verb, &paths);
        assert_eq!(records.last().unwrap()["type"], "tracewhy.summary", "{verb}");
    }
    let [base, new, _] = &paths;
    let (_, text) = testkit::run_tool::<tracewhy::Cli>(&["diff".as_ref(), base.as_os_str(), new.as_os_str()]);
    assert!(text.contains("a step takes"), "{text}");
}

/// Two stages of a pipeline and two ranks of experts, by hand, in microseconds: what of it is waiting.
#[test]
fn pipelines_have_bubbles_and_experts_have_ways() {
    let dir = tempfile::tempdir().unwrap();
    let kernel = |name: &str, stream: i64, ts: i64, dur: i64, args: &str| {
        format!(
            r#"{{"ph":"X","cat":"kernel","name":"{name}","pid":0,"tid":{stream},"ts":{ts},"dur":{dur},"args":{{"device":0,"stream":{stream}{args}}}}}"#
        )
    };
    let mark =
        r#"{"ph":"X","cat":"user_annotation","name":"ProfilerStep#1","pid":1,"tid":1,"ts":0,"dur":1000}"#;
    let pair = |kind: &str, sequence: i64| {
        format!(
            r#","Collective name":"{kind}","In msg nelems":1000,"Out msg nelems":1000,"dtype":"Float","Group size":2,"Process Group Name":"pp","Src Rank":0,"Dst Rank":1,"Seq":{sequence}"#
        )
    };
    let send_receive = "ncclDevKernel_SendRecv";
    let ranks = [
        [
            kernel("gemm", 7, 0, 300, ""),
            // It sends when the other has long been there; the next time it waits 50.
            kernel(send_receive, 9, 300, 40, &pair("send", 1)),
            kernel("gemm", 7, 500, 120, ""),
            kernel(send_receive, 9, 600, 90, &pair("send", 2)),
            kernel("deep_ep::internode::dispatch<false>", 9, 700, 60, ""),
            kernel("gemm", 7, 740, 100, ""),
            kernel("deep_ep::internode::combine<false>", 9, 850, 30, ""),
        ],
        [
            kernel("gemm", 7, 0, 10, ""),
            kernel(send_receive, 9, 20, 320, &pair("recv", 1)),
            kernel("gemm", 7, 340, 300, ""),
            kernel(send_receive, 9, 650, 40, &pair("recv", 2)),
            kernel("deep_ep::internode::dispatch<false>", 9, 700, 60, ""),
            kernel("gemm", 7, 760, 80, ""),
            kernel("deep_ep::internode::combine<false>", 9, 850, 30, ""),
        ],
    ];
    let paths = [0, 1].map(|rank| {
        let path = dir.path().join(format!("rank{rank}.json"));
        let head = format!(
            r#"{{"schemaVersion":1,"distributedInfo":{{"rank":{rank},"world_size":2}},"traceEvents":[{mark},"#
        );
        std::fs::write(&path, format!("{head}{}]}}", ranks[rank].join(",\n"))).unwrap();
        path
    });
    let records = records("comm", &paths);
    let waits = of(&records, "tracewhy.waits");
    let of_rank = |rank: i64| *waits.iter().find(|r| r["rank"] == rank).unwrap();
    // The receiver waits 280 for the first, and nothing is computed meanwhile.
    assert_eq!((&of_rank(1)["bubble_ns"], &of_rank(0)["bubble_ns"]), (&json!(280_000), &json!(50_000)));
    let experts = |rank: i64| {
        ["dispatch_ns", "combine_ns", "experts_exposed_ns"]
            .map(|key| of_rank(rank)[key].as_i64().unwrap() / 1000)
    };
    assert_eq!((experts(0), experts(1)), ([60, 30, 40 + 30], [60, 30, 60 + 30]));
    let pair = of(&records, "tracewhy.pair");
    assert_eq!(pair.len(), 1);
    assert_eq!((&pair[0]["from"], &pair[0]["to"], &pair[0]["count"]), (&json!(0), &json!(1), &json!(2)));
    assert_eq!(
        (&pair[0]["bytes"], &pair[0]["transfer_ns"], &pair[0]["gbps"]),
        (&json!(8000), &json!(80_000), &json!(0.1))
    );
    let (_, text) = testkit::run_tool::<tracewhy::Cli>(&[
        std::ffi::OsStr::new("comm"),
        paths[0].as_os_str(),
        paths[1].as_os_str(),
    ]);
    for part in ["bubbles of the pipeline", "to experts and back", "transfers between pairs"] {
        assert!(text.contains(part), "{text}");
    }
}

/// Without devices, a barrier of gloo is a call like others, and operators in two halves are operators.
#[test]
fn barriers_and_halves_of_operators_count_on_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [0, 1].map(|rank: i64| {
        let late = 100 * rank;
        let text = format!(
            r#"{{"schemaVersion":1,"distributedInfo":{{"rank":{rank},"world_size":2,"backend":"gloo"}},"traceEvents":[
{{"ph":"X","cat":"user_annotation","name":"ProfilerStep#1","pid":1,"tid":1,"ts":0,"dur":900}},
{{"ph":"B","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":0}},
{{"ph":"E","cat":"cpu_op","name":"aten::mm","pid":1,"tid":1,"ts":{}}},
{{"ph":"X","cat":"user_annotation","name":"gloo:barrier","pid":1,"tid":1,"ts":{},"dur":{}}}]}}"#,
            500 + late,
            550 + late,
            150 - late
        );
        let path = dir.path().join(format!("rank{rank}.json"));
        std::fs::write(&path, text).unwrap();
        path
    });
    let records = records("comm", &paths);
    let [cost] = of(&records, "tracewhy.collective")[..] else { panic!("{records:?}") };
    assert_eq!((&cost["kind"], &cost["count"], &cost["ranks"]), (&json!("barrier"), &json!(1), &json!(2)));
    assert_eq!((&cost["transfer_ns"], &cost["total_ns"]), (&json!(50_000), &json!(200_000)));
    let ranks = support::records("ranks", &paths);
    let of_rank = |rank: i64| *of(&ranks, "tracewhy.rank").iter().find(|r| r["rank"] == rank).unwrap();
    assert_eq!((&of_rank(0)["compute_ns"], &of_rank(1)["compute_ns"]), (&json!(500_000), &json!(600_000)));
}

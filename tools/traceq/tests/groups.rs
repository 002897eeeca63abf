//! `traceq sum --by`: times by step, rank, phase, module, annotation and stream, beside sums by hand.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use testkit::ToolRun;

fn host(tid: i64, cat: &str, name: &str, ts: i64, dur: i64, args: Value) -> Value {
    json!({"ph": "X", "cat": cat, "name": name, "pid": 1, "tid": tid, "ts": ts, "dur": dur, "args": args})
}

/// A launch, and its kernel on a stream.
fn work(launch: (i64, i64), number: i64, name: &str, (stream, ts, dur): (i64, i64, i64)) -> [Value; 2] {
    [
        host(launch.0, "cuda_runtime", "cudaLaunchKernel", launch.1, 1, json!({"correlation": number})),
        json!({"ph": "X", "cat": "kernel", "name": name, "pid": 0, "tid": stream, "ts": ts, "dur": dur,
            "args": {"device": 0, "stream": stream, "correlation": number}}),
    ]
}

/// One rank of two steps; `slow` is added to the kernel of the second.
fn write_rank(dir: &Path, rank: i64, slow: i64) -> PathBuf {
    let backward = "autograd::engine::evaluate_function: AddmmBackward0";
    let mut events = vec![
        host(1, "user_annotation", "ProfilerStep#3", 0, 900, json!({})),
        host(1, "user_annotation", "forward", 10, 190, json!({})),
        host(1, "python_function", "nn.Module: Net_0", 20, 100, json!({})),
        host(1, "python_function", "nn.Module: Linear_0", 30, 40, json!({})),
        host(1, "cpu_op", "aten::addmm", 35, 20, json!({"Sequence number": 5, "Fwd thread id": 0})),
        host(2, "cpu_op", backward, 300, 50, json!({"Sequence number": 5, "Fwd thread id": 1})),
        host(1, "user_annotation", "ProfilerStep#4", 1000, 900, json!({})),
        host(1, "user_annotation", "Optimizer.step#SGD.step", 1100, 50, json!({})),
    ];
    events.extend(work((1, 40), 1, "gemm", (7, 100, 100)));
    events.extend(work((1, 90), 2, "relu", (7, 210, 10)));
    events.extend(work((2, 310), 3, "gemm", (7, 400, 200)));
    // Beside the kernel before, by half.
    events.extend(work((1, 600), 4, "ncclDevKernel_AllReduce_Sum", (20, 500, 200)));
    events.extend(work((1, 1110), 5, "sgd", (7, 1200, 20 + slow)));
    let document = json!({"schemaVersion": 1, "distributedInfo": {"rank": rank, "world_size": 2}, "traceEvents": events});
    let path = dir.join(format!("rank{rank}.json"));
    std::fs::write(&path, document.to_string()).unwrap();
    path
}

fn sum_by(by: &str, paths: &[PathBuf]) -> ToolRun {
    let mut args = vec!["--format", "json", "sum", "--by", by];
    args.extend(paths.iter().map(|path| path.to_str().unwrap()));
    support::run(args)
}

/// Name, own time, time with inner, and count, in microseconds.
fn groups(by: &str, paths: &[PathBuf]) -> Value {
    let of_record = |r: Value| {
        let us = |key: &str| r[key].as_i64().unwrap() / 1000;
        (
            r["name"].as_str().unwrap_or("-").to_owned(),
            json!([us("own_ns"), us("total_ns"), r["count"], r["ranks"]]),
        )
    };
    sum_by(by, paths).of("traceq.group").into_iter().map(of_record).collect::<Map<_, _>>().into()
}

#[test]
fn device_time_belongs_to_parts_of_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [write_rank(dir.path(), 0, 0), write_rank(dir.path(), 1, 30)];
    assert_eq!(
        groups("phase", &paths),
        json!({
            "forward": [220, 220, 4, 2], "backward": [400, 400, 2, 2], "communication": [400, 400, 2, 2],
            "optimizer": [70, 70, 2, 2],
        })
    );
    assert_eq!(
        groups("module", &paths),
        json!({"nn.Module: Linear_0": [600, 600, 4, 2], "nn.Module: Net_0": [20, 220, 2, 2], "-": [470, 470, 4, 2]})
    );
    assert_eq!(
        groups("annotation", &paths),
        json!({"forward": [220, 220, 4, 2], "Optimizer.step#SGD.step": [70, 70, 2, 2], "-": [800, 800, 4, 2]})
    );
    let text = support::run(["sum", "--by", "phase", paths[0].to_str().unwrap()]).stdout;
    assert!(text.contains("37.7%") && text.contains("backward"), "{text}");
}

#[test]
fn streams_are_busy_while_any_work_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    // Pieces that overlap, of which a moment counts once.
    let mut seed = 12345_u64;
    let mut next = |n: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % n
    };
    let (mut events, mut busy, mut total) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    for number in 1..300 {
        let (stream, ts, dur) = ((next(4) + 7) as i64, next(9000) as i64, next(60) as i64);
        events.extend(work((1, number), number, "k", (stream, ts, dur)));
        busy.entry(stream).or_insert_with(|| vec![false; 9100])[ts as usize..(ts + dur) as usize].fill(true);
        *total.entry(stream).or_insert(0) += dur;
    }
    std::fs::write(&path, json!({"schemaVersion": 1, "traceEvents": events}).to_string()).unwrap();
    let records = sum_by("stream", &[path]).of("traceq.group");
    assert_eq!(records.len(), 4);
    for record in records {
        let stream = record["stream"].as_i64().unwrap();
        let expected = busy[&stream].iter().filter(|b| **b).count() as i64;
        assert_eq!(record["busy_ns"], expected * 1000);
        assert_eq!((&record["own_ns"], &record["device"]), (&json!(total[&stream] * 1000), &json!(0)));
    }
}

#[test]
fn ranks_and_steps_are_beside_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let paths = [write_rank(dir.path(), 0, 0), write_rank(dir.path(), 1, 30)];
    let steps = sum_by("step", &paths).of("traceq.job");
    let find = |step: i64, name: &str| steps.iter().find(|r| r["step"] == step && r["name"] == name).unwrap();
    // The first step's work goes from 100 to 700, and 290 of it compute, 100 beside communication.
    let total = find(3, "total");
    assert_eq!(
        (&total["min_ns"], &total["max_ns"], &total["devices"]),
        (&json!(600_000), &json!(600_000), &json!(2))
    );
    assert_eq!(find(3, "compute")["median_ns"], 310_000);
    assert_eq!(find(3, "exposed_communication")["median_ns"], 100_000);
    let second = find(4, "total");
    assert_eq!(
        (&second["min_ns"], &second["median_ns"], &second["max_ns"]),
        (&json!(20_000), &json!(35_000), &json!(50_000))
    );
    assert_eq!(second["max_rank"], 1);
    let ranks = sum_by("rank", &paths).of("traceq.rank");
    let of: Vec<_> =
        ranks.iter().map(|r| (r["rank"].as_i64(), r["steps"].as_i64(), r["total_ns"].as_i64())).collect();
    assert_eq!(of, [(Some(0), Some(2), Some(310_000)), (Some(1), Some(2), Some(325_000))]);
    for by in ["step", "rank"] {
        let text =
            support::run(["sum", "--by", by, paths[0].to_str().unwrap(), paths[1].to_str().unwrap()]).stdout;
        assert!(text.lines().count() == 4, "{text}");
    }
}

/// Ranges in halves come to the same as spans.
#[test]
fn halves_of_ranges_count() {
    let dir = tempfile::tempdir().unwrap();
    let whole = write_rank(dir.path(), 0, 0);
    let document: Value = serde_json::from_slice(&std::fs::read(&whole).unwrap()).unwrap();
    let mut halves: Vec<(i64, i64, Value)> = Vec::new();
    for event in document["traceEvents"].as_array().unwrap() {
        let (ts, dur) = (event["ts"].as_i64().unwrap(), event["dur"].as_i64().unwrap());
        if event["cat"] == "kernel" || event["cat"] == "cuda_runtime" {
            halves.push((ts, 2, event.clone()));
            continue;
        }
        for (ph, at, order) in [("B", ts, -dur), ("E", ts + dur, -10_000)] {
            let mut half = event.clone();
            half["ph"] = ph.into();
            half["ts"] = at.into();
            half.as_object_mut().unwrap().remove("dur");
            halves.push((at, order, half));
        }
    }
    halves.sort_by_key(|(at, order, _)| (*at, *order));
    let events: Vec<Value> = halves.into_iter().map(|(_, _, event)| event).collect();
    let path = dir.path().join("halves.json");
    std::fs::write(&path, json!({"schemaVersion": 1, "traceEvents": events}).to_string()).unwrap();
    for by in ["phase", "module", "annotation"] {
        assert_eq!(groups(by, std::slice::from_ref(&path)), groups(by, std::slice::from_ref(&whole)), "{by}");
    }
}

/// Streams of equal numbers belong to different devices if the file holds several ranks; events at impossible times to none.
#[test]
fn merged_ranks_do_not_share_streams() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("merged.json");
    let rank = |n: i64, dur: i64| {
        let launch = |i: i64, at: i64| {
            format!(
                r#"{{"ph":"X","cat":"cuda_runtime","name":"cudaLaunchKernel","pid":"[TP0{n}] 9","tid":1,"ts":{at},"dur":4,"args":{{"correlation":{i}}}}}"#
            )
        };
        let kernel = |i: i64, at: i64| {
            format!(
                r#"{{"ph":"X","cat":"kernel","name":"k","pid":"[TP0{n}] 0","tid":7,"ts":{at},"dur":{dur},"args":{{"device":0,"stream":7,"correlation":{i}}}}}"#
            )
        };
        let since = 1_623_000_000_000_000;
        [launch(1, since), kernel(1, since + 10), launch(2, since + 50), kernel(2, since + 60)].join(",")
    };
    let odd = r#"{"ph":"X","cat":"kernel","name":"k","pid":"[TP00] 0","tid":7,"ts":5,"dur":7,"args":{"device":0,"stream":7,"correlation":1}}"#;
    let text = format!(r#"{{"schemaVersion":1,"traceEvents":[{},{},{odd}]}}"#, rank(0, 20), rank(1, 30));
    std::fs::write(&path, text).unwrap();
    let run = support::run(["--format", "json", "sum", "--by", "stream", path.to_str().unwrap()]);
    let stream = run.of("traceq.group").remove(0);
    let found = (&stream["busy_ns"], &stream["total_ns"], &stream["count"], &stream["ranks"]);
    assert_eq!(found, (&100_000.into(), &100_000.into(), &4.into(), &2.into()), "{stream}");
}

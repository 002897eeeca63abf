//! `tracecv cut` and `tracecv merge`: pieces together are the whole, and ranks meet on one clock.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::path::{Path, PathBuf};

use common::exit::Exit;
use serde_json::{Value, json};
use support::run;

/// A trace of 40 operators with flows, a pair that spans all, one that is never closed, and an end without a begin.
fn trace() -> String {
    let mut events = vec![
        json!({"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "python"}}),
        json!({"ph": "B", "name": "all", "pid": 1, "tid": 9, "ts": 0.5}),
        json!({"ph": "E", "pid": 1, "tid": 9, "ts": 401.5}),
        json!({"ph": "E", "name": "stray", "pid": 1, "tid": 8, "ts": 7}),
        json!({"ph": "B", "name": "open", "pid": 1, "tid": 7, "ts": 100, "args": {"x": 1}}),
        json!({"ph": "i", "name": "last", "pid": 1, "tid": 7, "ts": 250}),
    ];
    for i in 0..40 {
        let ts = f64::from(i) * 10.0;
        events.push(json!({"ph": "X", "cat": "cpu_op", "name": format!("op{i}"), "pid": 1, "tid": 1, "ts": ts, "dur": 8}));
        events.push(json!({"ph": "s", "id": i, "cat": "c", "name": "f", "pid": 1, "tid": 1, "ts": ts}));
        events
            .push(json!({"ph": "f", "id": i, "cat": "c", "name": "f", "pid": 1, "tid": 1, "ts": ts + 25.0}));
    }
    events.push(json!({"ph": "X", "cat": "user_annotation", "name": "ProfilerStep#3", "pid": 1, "tid": 1, "ts": 100, "dur": 50}));
    json!({"distributedInfo": {"rank": 3}, "traceEvents": events}).to_string()
}

fn events(path: &Path) -> Vec<Value> {
    let mut root: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    serde_json::from_value(root["traceEvents"].take()).unwrap()
}

fn cut(args: &[&str]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.json"), dir.path().join("out"));
    std::fs::write(&input, trace()).unwrap();
    let fixed = ["cut", "-o", out.to_str().unwrap(), input.to_str().unwrap()];
    let done = run(fixed.iter().chain(args));
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    (dir, out)
}

fn names(events: &[Value], phase: &str) -> Vec<String> {
    let of_phase = events.iter().filter(|e| e["ph"] == phase);
    of_phase.map(|e| e["name"].as_str().unwrap_or("").to_owned()).collect()
}

#[test]
fn a_part_stands_for_itself() {
    let (_dir, out) = cut(&["--from-ns", "200000", "--to-ns", "240000"]);
    let part = events(&out);
    assert_eq!(names(&part, "X"), ["op20", "op21", "op22", "op23"]);
    assert_eq!(names(&part, "M"), ["process_name"]);
    // The pair that spans all has both its ends, and what is open is closed.
    assert_eq!(names(&part, "B"), ["all", "open"]);
    assert_eq!(part.iter().filter(|e| e["ph"] == "E").count(), 2);
    let closing = part.iter().find(|e| e["ph"] == "E" && e["name"] == "open").unwrap();
    assert_eq!(closing["ts"].to_string(), "250.0");
    // Each flow that starts there has its end.
    for id in 20..24 {
        assert_eq!(part.iter().filter(|e| e["cat"] == "c" && e["id"] == id).count(), 2);
    }
    assert_eq!(part.iter().filter(|e| e["cat"] == "c").count(), 8);
}

#[test]
fn steps_and_names_select() {
    let (_dir, out) = cut(&["--steps", "3"]);
    assert_eq!(names(&events(&out), "X"), ["op10", "op11", "op12", "op13", "op14", "ProfilerStep#3"]);
    let (_dir, out) = cut(&["--name", "op3"]);
    assert_eq!(names(&events(&out), "X").len(), 11);
}

/// An end without a begin would end something else in a part.
#[test]
fn ends_without_a_begin_are_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    std::fs::write(&path, trace()).unwrap();
    let not_held = |more: &[&str]| {
        let out = dir.path().join(more.join("_"));
        let args = ["cut", "--format", "json", "-o", out.to_str().unwrap(), path.to_str().unwrap()];
        let done = run(args.iter().chain(more).copied());
        assert_eq!((done.exit, &done.fatal), (Exit::Ok, &None), "{more:?}");
        let written = done.of("tracecv.output").into_iter();
        written.filter_map(|w| w["not_held"]["ends without a begin"].as_u64()).sum::<u64>()
    };
    assert_eq!((not_held(&["--max-size", "2000"]), not_held(&["--from-ns", "0"])), (1, 1));
    assert_eq!(not_held(&["--name", "open"]), 0);
}

#[test]
fn pieces_together_are_the_whole() {
    let (_dir, out) = cut(&["--max-size", "2000"]);
    let files = testkit::list_files(&out);
    assert!(files.len() > 3, "{files:?}");
    let key = |e: &Value| e.to_string();
    let mut together = Vec::new();
    for file in &files {
        let piece = events(file);
        assert_eq!(names(&piece, "M"), ["process_name"]);
        assert_eq!(names(&piece, "B").len(), names(&piece, "E").len());
        let flows = |phase| {
            piece.iter().filter(|e| e["ph"] == phase).map(|e| e["id"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(flows("s"), flows("f"));
        together.extend(piece.iter().filter(|e| e["ph"] != "M").map(key));
    }
    // The end that nothing begins is in no piece; the begin that nothing ends has got an end.
    let whole: Value = serde_json::from_str(&trace()).unwrap();
    let mut expected: Vec<String> = whole["traceEvents"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|e| e["ph"] != "M" && e["name"] != "stray")
        .map(key)
        .collect();
    expected.push(json!({"name": "open", "ph": "E", "pid": 1, "tid": 7, "ts": 250.0}).to_string());
    together.sort();
    expected.sort();
    assert_eq!(together, expected);
}

#[test]
fn nothing_that_meets_the_conditions_is_a_no() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.json"), dir.path().join("out"));
    std::fs::write(&input, trace()).unwrap();
    let done = run(["cut", "--name", "nowhere", "-o", out.to_str().unwrap(), input.to_str().unwrap()]);
    assert_eq!(done.exit, Exit::No);
}

/// The trace of a rank whose clock is `offset` nanoseconds behind and `ppm` too slow. In each of 50 collectives, every
/// rank waits for the last.
fn rank_trace(rank: i64, offset: i64, ppm: i64) -> String {
    let own_clock = |truth: i64| truth - offset - truth * ppm / 1_000_000;
    let micros = |ns: i64| format!("{}.{:03}", ns / 1000, ns % 1000);
    let mut events = Vec::new();
    for i in 0..50_i64 {
        let (last, end) = (100_000_000 + i * 20_000_000, 100_000_000 + i * 20_000_000 + 60_000);
        let (start, end) = (
            own_clock(last - (i * 7 + rank * 13) % 10 * 40_000),
            own_clock(end + (i * 31 + rank * 17) % 5 * 1000),
        );
        events.push(format!(
            r#"{{"ph":"X","cat":"kernel","name":"ncclDevKernel_AllReduce_Sum_f32_RING_LL","pid":0,"tid":7,"ts":{},"dur":{},"args":{{"Collective name":"allreduce","Process Group Name":"0","Seq":{i}}}}}"#,
            micros(start), micros(end - start)
        ));
    }
    events.push(r#"{"ph":"M","name":"process_name","pid":5,"args":{"name":"python"}}"#.to_owned());
    events.push(r#"{"ph":"s","id":1,"cat":"c","name":"f","pid":5,"tid":5,"ts":1}"#.to_owned());
    format!(
        r#"{{"distributedInfo":{{"rank":{rank},"world_size":3}},"traceEvents":[{}]}}"#,
        events.join(",\n")
    )
}

#[test]
fn merging_finds_planted_clocks() {
    let dir = tempfile::tempdir().unwrap();
    let planted = [(0, 0), (3_000_000, 0), (-40_000_000, 80)];
    let paths: Vec<String> = (0..)
        .zip(planted)
        .map(|(rank, (offset, ppm))| {
            let path = dir.path().join(format!("rank{rank}.json"));
            std::fs::write(&path, rank_trace(rank, offset, ppm)).unwrap();
            path.to_str().unwrap().to_owned()
        })
        .collect();
    let out = dir.path().join("job.json");
    let args = ["--format", "json", "merge", "-o", out.to_str().unwrap()];
    let done = run(args.iter().map(|s| (*s).to_owned()).chain(paths));
    assert_eq!((done.exit, &done.fatal), (Exit::Ok, &None));
    let clocks = done.of("tracecv.clock");
    assert_eq!((&clocks[1]["matched"], &clocks[1]["drift_ppb"]), (&json!(50), &json!(0)));
    let merged = events(&out);
    // Every collective ends on all ranks within less than the shortest of them takes.
    let shortest = clocks[2]["shortest_ns"].as_i64().unwrap();
    assert!(shortest >= 60_000);
    let end = |e: &Value| ((e["ts"].as_f64().unwrap() + e["dur"].as_f64().unwrap()) * 1000.0) as i64;
    for i in 0..50 {
        let ends: Vec<i64> = merged.iter().filter(|e| e["args"]["Seq"] == i).map(end).collect();
        assert_eq!(ends.len(), 3);
        let spread = ends.iter().max().unwrap() - ends.iter().min().unwrap();
        assert!(spread < shortest / 2, "{i}: {spread}");
    }
    // Ids are apart, and say whose they are.
    let named: Vec<_> = merged
        .iter()
        .filter(|e| e["ph"] == "M")
        .map(|e| (e["pid"].clone(), e["args"]["name"].clone()))
        .collect();
    let pids: std::collections::BTreeSet<String> = named.iter().map(|(pid, _)| pid.to_string()).collect();
    assert_eq!((named.len(), pids.len()), (6, 6));
    assert!(named.iter().any(|(_, name)| name == "rank 2: python"));
    let flows: Vec<_> = merged.iter().filter(|e| e["ph"] == "s").map(|e| e["id"].clone()).collect();
    assert_eq!(flows, [json!("rank 0: 1"), json!("rank 1: 1"), json!("rank 2: 1")]);
}

#[test]
fn a_repaired_trace_needs_no_repair() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.json"), dir.path().join("out.json"));
    let damaged = r#"[{"ph":"B","name":"C:\x","pid":1,"tid":1,"ts":1},{"ph":"E","name":"x","pid":1,"tid":2,"ts":1},,
        {"ph":"X","name":"a","pid":1,"tid":1,"ts":"2.0005","dur":-1,"args":{"bw":inf}},"#;
    std::fs::write(&input, damaged).unwrap();
    let done = run(["repair", "-o", out.to_str().unwrap(), input.to_str().unwrap()]);
    assert_eq!((done.exit, &done.fatal), (Exit::Ok, &None));
    let repaired = events(&out);
    let shown: Vec<String> = repaired.iter().map(Value::to_string).collect();
    assert_eq!(
        shown,
        [
            r#"{"name":"C:\\x","ph":"B","pid":1,"tid":1,"ts":1.0}"#,
            r#"{"name":"C:\\x","ph":"E","pid":1,"tid":1,"ts":2.001}"#,
            r#"{"args":{"bw":null},"dur":0.0,"name":"a","ph":"X","pid":1,"tid":1,"ts":2.001}"#,
        ]
    );
}

#[test]
fn an_anonymous_trace_tells_no_names_and_the_same_times() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.json"), dir.path().join("out.json"));
    let trace = json!({"distributedInfo": {"rank": 3}, "host_name": "secret", "traceName": "secret.json", "traceEvents": [
        {"ph": "M", "name": "process_name", "pid": 1, "args": {"name": "secret rank 3"}},
        {"ph": "X", "cat": "python_function", "name": "secret.py(3): f", "pid": 1, "tid": 1, "ts": 1.5, "dur": 2, "args": {"Python id": 4}},
        {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 1, "tid": 1, "ts": 2, "dur": 1, "args": {"Call stack": "secret", "Input type": ["float"]}},
        {"ph": "f", "id": 7, "cat": "ac2g", "name": "ac2g", "pid": 1, "tid": 1, "ts": 2, "bp": "e"}]});
    std::fs::write(&input, trace.to_string()).unwrap();
    let done = run(["anon", "-o", out.to_str().unwrap(), input.to_str().unwrap()]);
    assert_eq!((done.exit, &done.fatal), (Exit::Ok, &None));
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(!text.contains("secret"), "{text}");
    let written = events(&out);
    assert_eq!(written[0]["args"]["name"], "rank 3 process-1");
    assert_eq!(
        (&written[1]["name"], &written[1]["ts"], &written[1]["args"]["Python id"]),
        (&json!("python-1"), &json!(1.5), &json!(4))
    );
    assert_eq!(
        (&written[2]["name"], &written[2]["args"]),
        (&json!("aten::mm"), &json!({"Call stack": "text-1", "Input type": ["float"]}))
    );
    assert_eq!((&written[3]["id"], &written[3]["bp"]), (&json!(7), &json!("e")));
}

/// The steps of two ranks in one file, of which the second is half a step late.
fn merged_ranks() -> String {
    let mut events = Vec::new();
    for (rank, since) in [(0, 0), (1, 200)] {
        let (host, device) = (format!("[TP0{rank}] 8{rank}"), format!("[TP0{rank}] 0"));
        for step in 0..3 {
            let begin = since + step * 400;
            events.push(json!({"ph": "X", "cat": "user_annotation", "name": format!("batch {step}"), "pid": host, "tid": 1, "ts": begin, "dur": 400}));
            events.push(json!({"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": host, "tid": 1, "ts": begin + 380, "dur": 4, "args": {"correlation": step}}));
            events.push(json!({"ph": "X", "cat": "kernel", "name": format!("k{rank}{step}"), "pid": device, "tid": 7, "ts": begin + 390, "dur": 100, "args": {"device": 0, "stream": 7, "correlation": step}}));
        }
    }
    json!({"schemaVersion": 1, "traceEvents": events}).to_string()
}

#[test]
fn a_step_is_cut_of_each_rank_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.json"), dir.path().join("out"));
    std::fs::write(&input, merged_ranks()).unwrap();
    let arguments = [
        ["cut", "--steps", "1"].as_slice(),
        &["--step-name", "^batch"],
        &["-o", out.to_str().unwrap(), input.to_str().unwrap()],
    ];
    let done = run(arguments.concat());
    assert_eq!((done.exit, done.fatal), (Exit::Ok, None));
    let mut found = names(&events(&out), "X");
    found.retain(|name| name != "cudaLaunchKernel");
    found.sort_unstable();
    assert_eq!(found, ["batch 1", "batch 1", "k01", "k11"]);
}

#[test]
fn a_file_of_several_ranks_has_no_clock_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.json"), dir.path().join("out.json"));
    std::fs::write(&input, merged_ranks()).unwrap();
    let done = run(["merge", "-o", out.to_str().unwrap(), input.to_str().unwrap()]);
    assert_eq!((done.exit, done.errors, out.exists()), (Exit::Failed, 1, false));
}

#[test]
fn what_strict_refuses_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.json"), dir.path().join("out.json"));
    std::fs::write(&input, trace().replacen("},{", "},,{", 1)).unwrap();
    for verb in [&["convert", "--to", "chrome"][..], &["cut"], &["repair"]] {
        let fixed = ["--strict", "-o", out.to_str().unwrap(), input.to_str().unwrap()];
        let done = run([verb, &fixed].concat());
        assert_eq!((done.exit, done.errors, out.exists()), (Exit::Failed, 1, false), "{verb:?}");
    }
}

/// A job without a group of all ranks: 0 and 1 have one, 1 and 2 another of the same name.
#[test]
fn ranks_that_share_nothing_with_the_first_are_placed_by_others() {
    let dir = tempfile::tempdir().unwrap();
    let planted = [0, 5_000_000, -70_000_000];
    let mut paths = Vec::new();
    for (rank, offset) in planted.into_iter().enumerate() {
        let mut events = Vec::new();
        for i in 0..20_i64 {
            for (group, members) in [(0, [0, 1]), (1, [1, 2])] {
                if members.contains(&rank) {
                    let end = 100_000_000 + i * 20_000_000 + group * 7_000_000 - offset;
                    events.push(json!({"ph": "X", "cat": "kernel", "name": "ncclDevKernel_AllReduce_Sum_f32_RING_LL",
                        "pid": 0, "tid": 7, "ts": (end - 60_000) / 1000, "dur": 60, "args": {"Collective name": "allreduce",
                        "Process Group Name": "tp", "Process Group Ranks": format!("{members:?}"), "Seq": i}}));
                }
            }
        }
        let path = dir.path().join(format!("rank{rank}.json"));
        let trace = json!({"distributedInfo": {"rank": rank, "world_size": 3}, "traceEvents": events});
        std::fs::write(&path, trace.to_string()).unwrap();
        paths.push(path.to_str().unwrap().to_owned());
    }
    // The rank that has nothing in common with the first comes before the one that leads to it.
    paths.swap(1, 2);
    let out = dir.path().join("job.json");
    let args = ["--format", "json", "merge", "-o", out.to_str().unwrap()];
    let done = run(args.iter().map(|s| (*s).to_owned()).chain(paths));
    assert_eq!((done.exit, &done.fatal), (Exit::Ok, &None));
    let offsets: Vec<_> = done.of("tracecv.clock").iter().map(|clock| clock["offset_ns"].clone()).collect();
    assert_eq!(offsets, [json!(0), json!(-70_000_000), json!(5_000_000)]);
}

#[test]
fn of_a_member_that_comes_twice_the_last_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.json"), dir.path().join("out.json"));
    std::fs::write(&input, r#"[{"ph":"X","name":"a","cname":"x","name":"b","pid":1,"tid":1,"ts":1,"ts":2,"dur":3,"cname":"y","args":{"n":1},"args":{"n":2}}]"#).unwrap();
    let done = run(["repair", "-o", out.to_str().unwrap(), input.to_str().unwrap()]);
    assert_eq!((done.exit, &done.fatal), (Exit::Ok, &None));
    let text = std::fs::read_to_string(&out).unwrap();
    let event = r#"{"ph":"X","name":"b","pid":1,"tid":1,"cname":"y","ts":2.000,"dur":3.000,"args":{"n":2}}"#;
    assert!(text.contains(event), "{text}");
}

/// Every text of an event that may be anybody's.
#[test]
fn no_text_of_an_event_tells_whose_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("t.json"), dir.path().join("out.json"));
    let trace = json!({"cuda_driver_version": "secret", "deviceProperties": [{"id": 0, "name": "H100"}], "traceEvents": [
        {"ph": "M", "name": "secret", "pid": 1, "args": {"x": ["secret"], "/secret/y": 1}},
        {"ph": "M", "name": "thread_name", "pid": 1, "tid": 1, "args": {"name": "streams of secret"}},
        {"ph": "M", "name": "process_labels", "pid": 1, "args": {"labels": "GPU of secret", "more": {"x": "secret"}}},
        {"ph": "X", "cat": "secret", "name": "secret", "scope": "secret", "id": "secret", "pid": "secret", "tid": "stream secret", "ts": 1, "dur": 1},
        {"ph": "b", "cat": "secret,x", "name": "secret", "id": "rank 0: secret", "pid": 1, "tid": 1, "ts": 1},
        {"ph": "X", "cat": "cpu_op", "name": "SecretBackward", "pid": 1, "tid": 1, "ts": 1, "dur": 1,
            "args": {"Input type": ["float", "__torch__.torch.classes.secret.T"], "node.secret.com": 1, "n": {"/home/secret": 2}}},
        {"ph": "X", "cat": "user_annotation", "name": "Optimizer.step#SecretOptimizer.step", "pid": 1, "tid": 1, "ts": 1, "dur": 1,
            "args": {"Task Type": "secret", "src": "10.secret.1.2", "dtype": "secret/x"}},
        {"ph": "C", "name": "secret", "pid": 1, "ts": 1, "args": {"mail@secret": 1}},
        {"ph": "s", "cat": "ac2g", "name": "ac2g", "id": "0x1f", "pid": 1, "tid": 1, "ts": 1}]});
    std::fs::write(&input, trace.to_string()).unwrap();
    let done = run(["anon", "-o", out.to_str().unwrap(), input.to_str().unwrap()]);
    assert_eq!((done.exit, &done.fatal), (Exit::Ok, &None));
    let text = std::fs::read_to_string(&out).unwrap();
    assert!(!text.to_lowercase().contains("secret"), "{text}");
    let written = events(&out);
    assert_eq!((&written[5]["name"], &written[8]["id"]), (&json!("operator-1Backward"), &json!("0x1f")));
    assert_eq!(written[6]["name"], "Optimizer.step#optimizer-1.step");
    assert!(text.contains("H100"));
}

//! What traces may look like, and what is said when they are broken: with small fixtures of our own.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};

use common::exit::Exit;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use support::run;
use tempfile::TempDir;
use testkit::ToolRun;

/// A Kineto trace of two steps on one device: the first launches a kernel, a collective that it half covers and a
/// copy, the second one kernel that runs after the step. One kernel is left over from before.
fn kineto() -> Value {
    let x = |cat: &str, name: &str, tid: i64, ts: &str, dur: &str, args: Value| {
        let pid = if tid < 100 { 0 } else { 900 };
        format!(
            r#"{{"ph":"X","cat":"{cat}","name":"{name}","pid":{pid},"tid":{tid},"ts":{ts},"dur":{dur},"args":{args}}}"#
        )
    };
    let device = |corr: i64| json!({"External id": corr, "device": 0, "stream": 7, "correlation": corr});
    let events = [
        x("user_annotation", "ProfilerStep#5", 900, "10.000", "100.000", json!({"External id": 1})),
        x("user_annotation", "ProfilerStep#6", 900, "110.000", "50.5", json!({"External id": 2})),
        x("cpu_op", "aten::mm", 900, "12.000", "40.000", json!({"External id": 3, "Ev Idx": 0})),
        x("cpu_op", "aten::empty", 900, "14.000", "2.000", json!({"External id": 4})),
        x(
            "cuda_runtime",
            "cudaLaunchKernel",
            900,
            "20.000",
            "5.000",
            json!({"External id": 3, "correlation": 3}),
        ),
        x("cuda_runtime", "cudaLaunchKernel", 900, "30.000", "5.000", json!({"correlation": 4})),
        x("cuda_runtime", "cudaMemcpyAsync", 900, "40.000", "5.000", json!({"correlation": 5})),
        x("cuda_runtime", "cudaLaunchKernel", 900, "120.000", "5.000", json!({"correlation": 6})),
        x("cuda_runtime", "cudaLaunchKernel", 900, "130.000", "5.000", json!({"correlation": 77})),
        x("kernel", "gemm", 7, "30.000", "20.000", device(3)),
        x("kernel", "ncclDevKernel_AllReduce", 8, "40.000", "20.000", device(4)),
        x("gpu_memcpy", "Memcpy HtoD", 9, "70.000", "5.001", device(5)),
        x("kernel", "gemm", 7, "200.000", "10.000", device(6)),
        x("kernel", "old", 7, "1.000", "1.000", json!({"device": 0, "stream": 7, "correlation": 1})),
    ];
    let events: Vec<Value> = events.iter().map(|e| serde_json::from_str(e).unwrap()).collect();
    json!({
        "schemaVersion": 1,
        "traceEvents": events,
        "zz": {"nested": [1, {"x": null}]},
    })
}

fn write(dir: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn json_of(command: &str, path: &Path) -> ToolRun {
    run([Path::new(command), Path::new("--format"), Path::new("json"), path])
}

#[test]
fn a_kineto_trace_sums_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(&dir, "t.json", kineto().to_string());
    let run = json_of("sum", &path);
    assert_eq!((run.exit, run.errors), (Exit::Ok, 0));
    let steps = run.of("traceq.step");
    let expected = [
        json!({"step": 5, "start_ns": 10_000, "dur_ns": 100_000, "host_op_ns": 40_000, "device": 0, "device_events": 3,
            "total_ns": 45_001, "compute_ns": 20_000, "communication_ns": 20_000, "exposed_communication_ns": 10_000,
            "overlap_ns": 10_000, "memcpy_ns": 5001, "exposed_memcpy_ns": 5001, "idle_ns": 10_000,
            "launches_without_event": 0, "partial": false}),
        json!({"step": 6, "start_ns": 110_000, "dur_ns": 50_500, "total_ns": 10_000, "idle_ns": 0, "idle_ratio": 0.0,
            "device_events": 1, "launches_without_event": 1}),
    ];
    assert_eq!(steps.len(), 2);
    for (step, expected) in steps.iter().zip(&expected) {
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&step[field], value, "{field}: {step}");
        }
    }
    let totals = run.of("traceq.total");
    assert_eq!(totals.len(), 1);
    let expected = json!({"total_ns": 180_000, "span_ns": 209_000, "device_events": 4, "kernels": 2, "collectives": 1,
        "memcpys": 1, "memsets": 0, "steps": 2, "partial_steps": 0, "excluded": {"unlinked": 1}, "repairs": {},
        "complete": true, "events_read": 14, "format": "kineto"});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&totals[0][field], value, "{field}");
    }
    assert!(totals[0].get("rank").is_none());
    let unlinked = support::run(["sum", "--include-unlinked", "--format", "json", path.to_str().unwrap()]);
    assert_eq!(unlinked.of("traceq.total")[0]["total_ns"], 209_000);
    let text = support::run([Path::new("sum"), &path]).stdout;
    assert!(text.contains("left out: unlinked 1\n  launches without a device event: 1\n"), "{text}");
}

#[test]
fn metadata_may_follow_the_events_and_the_rank_may_be_text() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"{"traceEvents":[{"ph":"X","cat":"Operator","name":"ProfilerStep#1","pid":1,"tid":"1","ts":5,"dur":2,"args":{}}],
        "distributedInfo":{"backend":"nccl","rank":"3","world_size":8,"ranks":"[0, 1, 2]"},
        "deviceProperties":[{"id":0,"name":"H100"}],
        "baseTimeNanoseconds":1722470400000000000,"trace_id":"AB","host_name":"node17"}"#;
    let path = write(&dir, "t.json", text);
    let info = json_of("info", &path).of("traceq.info").remove(0);
    let expected = json!({"rank": 3, "world_size": 8, "steps": [1], "start": "2024-08-01T00:00:00.000005Z",
        "trace_id": "AB", "host": "node17", "devices": [{"device": 0, "name": "H100", "events": 0}],
        "format": "kineto", "complete": true, "gzip": false, "size_bytes": text.len(), "span_ns": 2000});
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&info[field], value, "{field}");
    }
}

#[test]
fn gzip_is_told_by_content_and_may_have_members() {
    let dir = tempfile::tempdir().unwrap();
    let text = kineto().to_string();
    let (a, b) = text.as_bytes().split_at(700);
    let members = [gzip(a), gzip(b)].concat();
    let path = write(&dir, "t.json", members);
    let run = json_of("info", &path);
    assert_eq!(run.exit, Exit::Ok);
    let info = run.of("traceq.info").remove(0);
    assert_eq!(
        (&info["gzip"], &info["events"], &info["text_bytes"]),
        (&json!(true), &json!(14), &json!(text.len()))
    );
}

#[test]
fn a_cut_trace_gives_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let text = kineto().to_string();
    let cut = &text[..text.find("\"name\":\"old\"").unwrap()];
    for (name, bytes) in [("t.json", cut.as_bytes().to_vec()), ("t.json.gz", gzip(cut.as_bytes()))] {
        let run = json_of("sum", &write(&dir, name, bytes));
        assert_eq!((run.exit, run.errors), (Exit::Failed, 1));
        let total = run.of("traceq.total").remove(0);
        assert_eq!((&total["complete"], &total["events_read"]), (&json!(false), &json!(13)));
        assert!(run.of("traceq.step").iter().all(|s| s["partial"] == true));
        let summary = run.records().pop().unwrap();
        assert_eq!(
            (&summary["files"], &summary["incomplete"], &summary["errors"]),
            (&json!(1), &json!(1), &json!(1))
        );
    }
    let whole = gzip(text.as_bytes());
    let run = json_of("info", &write(&dir, "cut.gz", &whole[..whole.len() / 2]));
    let info = run.of("traceq.info").remove(0);
    assert_eq!((run.exit, &info["complete"]), (Exit::Failed, &json!(false)));
    assert!(info["error"].as_str().unwrap().contains("the compressed data ends early (byte "), "{info}");
}

#[test]
fn cut_anywhere_it_is_an_error_or_an_open_array() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"[{"ph":"X","name":"a\u00e9","ts":"1.5","dur":2,"pid":1,"tid":"x","args":{"a":[1,{"b":-1.5e3}]}},
        {"ph":"B","name":"b","ts":2}]"#;
    // A bare array may end after its bracket and after any of its events.
    let (first_end, second) = (text.find("]}}").unwrap() + 3, text.find("{\"ph\":\"B\"").unwrap());
    let may_end = |end: usize| end == 1 || (first_end..=second).contains(&end) || end == text.len() - 1;
    for end in 1..text.len() {
        let run = json_of("sum", &write(&dir, "t.json", &text[..end]));
        assert_eq!(run.exit == Exit::Ok, may_end(end), "{}", &text[..end]);
        assert_eq!(run.of("traceq.summary").len(), 1);
        let total = run.of("traceq.total").remove(0);
        assert_eq!(
            (&total["complete"], &total["events_read"]),
            (
                &json!(false),
                &json!(match end {
                    e if e < first_end => 0,
                    e if e < text.len() - 1 => 1,
                    _ => 2,
                })
            )
        );
    }
}

#[test]
fn broken_input_is_named_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let good = write(&dir, "good.json", kineto().to_string());
    let empty = dir.path().join("directory");
    std::fs::create_dir(&empty).unwrap();
    let bad = [
        dir.path().join("missing"),
        empty,
        "/dev/null".into(),
        write(&dir, "empty", ""),
        write(&dir, "space", " \n"),
        write(&dir, "binary", b"\x7fELF\x02\x01\x00"),
        write(&dir, "db", b"SQLite format 3\0"),
        write(&dir, "gz", gzip(b"\0\0\0")),
        write(&dir, "text", "hello"),
        write(&dir, "other.json", r#"{"a":1,"b":[2]}"#),
        write(&dir, "numbers.json", "[[1,2],[3,4]]"),
        write(&dir, "objects.json", r#"[{"a":1},{"b":2}]"#),
        write(&dir, "events.json", r#"{"traceEvents":7}"#),
    ];
    let mut args = vec!["sum".into(), "--format".into(), "json".into()];
    args.extend(bad.iter().map(|p| p.clone().into_os_string()));
    args.push(good.into_os_string());
    let run = run(args);
    assert_eq!((run.exit, run.errors), (Exit::Failed, bad.len() as u64));
    assert_eq!(run.of("traceq.total").iter().filter(|t| t["complete"] == true).count(), 1);
}

/// As of `traceq sum <(zcat trace.json.gz)` in a shell. The text is shorter than what a FIFO holds.
#[test]
fn a_fifo_is_read_as_standard_input_is() {
    use rustix::fs::{CWD, FileType, Mode, OFlags};

    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("rank0.pt.trace.json");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let step = run([Path::new("cat"), Path::new("--steps"), Path::new("5"), &fifo]);
    assert!(step.fatal.is_some_and(|reason| reason.contains("read only once")));
    // Of the FIFO in a directory, nothing is read.
    assert_eq!(json_of("sum", dir.path()).exit, Exit::Failed);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| std::fs::write(&fifo, kineto().to_string()));
        let run = json_of("sum", &fifo);
        // If it has not been read, its writer still waits for a reader.
        let _reader = rustix::fs::open(&fifo, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
        writer.join().unwrap().unwrap();
        let totals = run.of("traceq.total");
        assert_eq!((run.exit, totals.len(), &totals[0]["complete"]), (Exit::Ok, 1, &json!(true)));
    });
}

#[test]
fn an_endless_event_is_a_loss() {
    let dir = tempfile::tempdir().unwrap();
    let text = [&b"[{\"ph\":\"i\",\"ts\":1},\n{\"name\":\""[..], &vec![b'a'; 20 << 20]].concat();
    let run = json_of("info", &write(&dir, "t.json", text));
    let info = run.of("traceq.info").remove(0);
    assert_eq!((run.exit, &info["events"]), (Exit::Failed, &json!(1)));
    assert_eq!((&info["losses"], &info["complete"]), (&json!({"event_too_long": 1}), &json!(false)));
}

#[test]
fn quirks_are_repaired_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let text = "\u{feff}[{\"ph\":\"X\",\"name\":\"a\",\"ts\":1,\"dur\":-1,\"args\":{\"bw\":inf,\"x\":N/A}}
        {\"ph\":\"X\",\"name\":\"b\",\"ts\":\"9\\t\",\"dur\":NaN},
        {\"ph\":\"X\",\"name\":\"c\",\"ts\":1,\"dur\":9e14},
        {\"ph\":\"i\",\"name\":\"d\"}, null, {\"name\":\"e\"},
        {\"ph\":\"M\",\"name\":\"process_name\",\"dur\":0,\"args\":{\"name\":7}}, ]\n";
    let run = json_of("sum", &write(&dir, "t.json", text));
    assert_eq!(run.exit, Exit::Ok, "{:?}", run.records());
    let total = run.of("traceq.total").remove(0);
    let expected = json!({"negative_dur": 1, "missing_comma": 1, "bad_dur": 1, "no_ts": 1,
        "longer_than_7_days": 1, "not_an_event": 1, "no_phase": 1, "trailing_comma": 1, "missing_number": 2});
    assert_eq!(total["repairs"], expected);
    assert_eq!(total["events_read"], 5);
}

#[test]
fn an_ascend_timeline_without_lanes_is_summed_from_its_tasks() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("node_1_2025_ascend_pt");
    std::fs::create_dir_all(tree.join("ASCEND_PROFILER_OUTPUT")).unwrap();
    std::fs::write(tree.join("profiler_info_4.json"), "{}").unwrap();
    let text = r#"[{"ph":"X","name":"aten::mm","pid":5,"tid":5,"ts":"1736408883688177.930","dur":9.5,"cat":"cpu_op"},
        {"name":"process_name","pid":3170820512,"tid":0,"args":{"name":"Ascend Hardware"},"ph":"M"},
        {"name":"process_labels","pid":3170820512,"tid":0,"args":{"labels":"NPU 3"},"ph":"M"},
        {"name":"process_name","pid":3170820576,"tid":0,"args":{"name":"HCCL"},"ph":"M"},
        {"name":"MatMul","pid":3170820512,"tid":2,"ts":"1736408883688180.000","dur":4,"args":{"Task Type":"AI_CORE"},"ph":"X"},
        {"name":"wait","pid":3170820512,"tid":2,"ts":"1736408883688100.000","dur":4,"args":{"Task Type":"EVENT_WAIT_SQE"},"ph":"X"},
        {"name":"hcom_allReduce__1_2","pid":3170820576,"tid":2,"ts":"1736408883688182.000","dur":4.001,"args":{},"ph":"X"},
        {"name":"Notify_Wait","pid":3170820576,"tid":3,"ts":"1736408883688182.000","dur":90,"args":{},"ph":"X"}]"#;
    std::fs::write(tree.join("ASCEND_PROFILER_OUTPUT/trace_view.json"), text).unwrap();
    let run = json_of("sum", &tree);
    let totals = run.of("traceq.total");
    assert_eq!((run.exit, totals.len()), (Exit::Ok, 2));
    // The collective's process has no label, so its device is not known.
    let [unknown, known] = &totals[..] else { unreachable!() };
    assert_eq!(
        (&known["device"], &known["compute_ns"], &known["rank"]),
        (&json!(3), &json!(4000), &json!(4))
    );
    assert_eq!((unknown.get("device"), &unknown["communication_ns"]), (None, &json!(4001)));
}

/// Step 1 launches the first two kernels, the second of which ends after it; the piece between the steps on the
/// device is in neither.
#[test]
fn ascend_lanes_belong_to_the_steps_of_the_device() {
    let dir = tempfile::tempdir().unwrap();
    let process = |pid: i64, name: &str| {
        [
            json!({"name": "process_name", "pid": pid, "args": {"name": name}, "ph": "M"}),
            json!({"name": "process_labels", "pid": pid, "args": {"labels": "NPU 3"}, "ph": "M"}),
        ]
    };
    let x = |pid: i64, name: &str, from: i64, to: i64| json!({"ph": "X", "pid": pid, "tid": 0, "name": name, "ts": format!("{from}.000"), "dur": to - from});
    let launch = |id: i64, host: i64, device: i64| {
        let end = |ph: &str, pid: i64, ts: i64| {
            json!({"ph": ph, "cat": "async_npu", "name": "torch_to_npu", "id": id, "pid": pid, "tid": 0,
                "ts": format!("{ts}.000")})
        };
        [end("s", 5, host), end("f", 91, device)]
    };
    let step = |n: i64, from: i64, to: i64| {
        let mut step = x(5, &format!("ProfilerStep#{n}"), from, to);
        step["cat"] = json!("cpu_op");
        step
    };
    let mut events = vec![step(1, 100, 200), step(2, 200, 300)];
    events.extend(
        [process(91, "Ascend Hardware"), process(92, "Overlap Analysis"), process(93, "HCCL")].concat(),
    );
    events.extend([launch(7, 110, 120), launch(8, 190, 210), launch(9, 270, 280)].concat());
    events.extend([x(91, "k", 120, 130), x(91, "k", 210, 260), x(91, "k", 280, 290)]);
    events.push(x(93, "hcom_receive__1", 140, 150));
    let lanes = [
        ("Computing", 120, 130),
        ("Free", 130, 140),
        ("Communication", 140, 180),
        ("Free", 180, 210),
        ("Communication(Not Overlapped)", 140, 180),
        ("Computing", 210, 260),
        ("Free", 260, 280),
        ("Computing", 280, 290),
    ];
    events.extend(lanes.map(|(name, from, to)| x(92, name, from, to)));
    let run = json_of("sum", &write(&dir, "trace_view.json", json!(events).to_string()));
    let steps = run.of("traceq.step");
    let expected = [
        json!({"step": 1, "device": 3, "compute_ns": 60_000, "communication_ns": 40_000, "idle_ns": 40_000,
            "exposed_communication_ns": 40_000, "total_ns": 140_000, "stage_ns": 130_000, "bubble_ns": 10_000,
            "exposed_communication_excluding_receive_ns": 30_000, "preparing_ns": 20_000}),
        json!({"step": 2, "device": 3, "compute_ns": 10_000, "idle_ns": 0, "total_ns": 10_000, "preparing_ns": 80_000}),
    ];
    assert_eq!((run.exit, steps.len()), (Exit::Ok, 2));
    for (step, expected) in steps.iter().zip(&expected) {
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&step[field], value, "{field}");
        }
    }
    let total = run.of("traceq.total").remove(0);
    assert_eq!((&total["idle_ns"], &total["excluded"]), (&json!(60_000), &json!({"outside_steps": 1})));
}

#[test]
fn a_trace_without_a_device_has_host_time() {
    let dir = tempfile::tempdir().unwrap();
    let text = r#"{"schemaVersion":1,"traceEvents":[
        {"ph":"X","cat":"user_annotation","name":"ProfilerStep#1","pid":1,"tid":1,"ts":0,"dur":10},
        {"ph":"X","cat":"cpu_op","name":"a","pid":1,"tid":1,"ts":1,"dur":4},
        {"ph":"X","cat":"cpu_op","name":"b","pid":1,"tid":1,"ts":2,"dur":1},
        {"ph":"X","cat":"cpu_op","name":"c","pid":1,"tid":2,"ts":8,"dur":4}]}"#;
    let path = write(&dir, "t.json", text);
    let run = json_of("sum", &path);
    let (step, total) = (run.of("traceq.step").remove(0), run.of("traceq.total").remove(0));
    assert_eq!((&step["dur_ns"], &step["host_op_ns"]), (&json!(10_000), &json!(6000)));
    assert_eq!((&total["host_op_ns"], &total["device_events"]), (&json!(8000), &json!(0)));
    assert!(step.get("idle_ratio").is_none() && total.get("idle_ratio").is_none());
    assert!(support::run([Path::new("sum"), &path]).stdout.contains("no device events"));
}

/// Each file of a kind that was reported from the field, damaged so that nothing of it is lost, and so that one event is.
#[test]
fn damage_is_a_warning_where_nothing_was_lost_and_an_error_where_something_was() {
    let dir = tempfile::tempdir().unwrap();
    let text = kineto().to_string();
    let repaired: [(&str, Vec<u8>, &str); 5] = [
        ("backslash", text.replacen("aten::mm", r"C:\my\mm", 1).into(), "invalid_escape"),
        ("comma", text.replacen("},{\"args\"", ",},{\"args\"", 1).into(), "extra_comma_in_event"),
        (
            "log",
            text.replacen("},{\"args\"", "},\n[W] slow disk\n{\"args\"", 1).into(),
            "text_between_events",
        ),
        ("zeros", [text.as_bytes(), &[0; 512]].concat(), "padding_behind_end"),
        ("utf16", text.encode_utf16().flat_map(u16::to_le_bytes).collect(), "utf16"),
    ];
    for (name, bytes, cause) in repaired {
        let path = write(&dir, name, bytes);
        let run = json_of("sum", &path);
        let total = run.of("traceq.total").remove(0);
        assert_eq!((run.exit, &total["repairs"]), (Exit::Ok, &json!({cause: 1})), "{name}");
        assert_eq!((&total["events_read"], &total["complete"]), (&json!(14), &json!(true)), "{name}");
        assert!(total.get("losses").is_none(), "{name}");
        let strict = support::run([Path::new("sum"), Path::new("--strict"), &path]);
        assert_eq!((strict.exit, strict.errors), (Exit::Failed, 1), "{name}");
        assert_eq!(strict.stdout, "", "{name}: what is refused has no result");
    }
    let broken = text.replacen("\"ts\":", "\"ts\"", 1);
    let run = json_of("sum", &write(&dir, "broken", broken));
    let total = run.of("traceq.total").remove(0);
    assert_eq!((run.exit, &total["losses"]), (Exit::Failed, &json!({"unreadable_event": 1})));
    assert_eq!((&total["events_read"], &total["complete"]), (&json!(13), &json!(true)));
}

/// What an Ascend row is, the name of its process tells, wherever that stands.
#[test]
fn rows_are_told_by_names_that_stand_behind_them() {
    let dir = tempfile::tempdir().unwrap();
    let row =
        r#"{"name":"MatMul","pid":91,"tid":2,"ts":"1.000","dur":4,"args":{"Task Type":"AI_CORE"},"ph":"X"}"#;
    let name = r#"{"name":"process_name","pid":91,"args":{"name":"Ascend Hardware"},"ph":"M"}"#;
    let label = r#"{"name":"process_labels","pid":91,"args":{"labels":"NPU 3"},"ph":"M"}"#;
    for text in [
        format!("[{name},{label},{row}]"),
        format!("[{label},{row},{name}]"),
        format!("[{row},{name},{label}]"),
    ] {
        let path = write(&dir, "trace_view.json", &text);
        let kernels =
            support::run(["cat", "--category", "kernel", "--format", "json", path.to_str().unwrap()]);
        let events = kernels.of("traceq.event");
        assert_eq!((kernels.exit, events.len()), (Exit::Ok, 1), "{text}");
        assert_eq!((&events[0]["device"], &events[0]["stream"]), (&json!(3), &json!(2)), "{text}");
    }
}

//! Nothing that makes sums wrong passes in silence: each kind of it in small, with what must be said. Times in the fixtures
//! are microseconds, in results nanoseconds.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::io::Write;
use std::path::{Path, PathBuf};

use common::exit::Exit;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::ToolRun;

/// Files, and commands on them.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn run(&self, command: &[&str], bytes: impl AsRef<[u8]>) -> ToolRun {
        run(command, &self.write("t", bytes))
    }

    /// The rules that `check` finds broken, and its exit status.
    fn check(&self, bytes: impl AsRef<[u8]>) -> (Vec<String>, Exit) {
        let run = self.run(&["check"], bytes);
        let rule = |f: &Value| f["rule"].as_str().unwrap().to_owned();
        (run.of("traceq.finding").iter().map(rule).collect(), run.exit)
    }

    fn total(&self, bytes: impl AsRef<[u8]>) -> Value {
        self.run(&["sum"], bytes).of("traceq.total").remove(0)
    }
}

fn run(command: &[&str], path: &Path) -> ToolRun {
    support::run([command, &["--format", "json", path.to_str().unwrap()]].concat())
}

/// A number of launches with their kernels of 40 us, one each 100 us, in step 1.
fn kineto(count: i64) -> Vec<Value> {
    let mut events =
        vec![json!({"ph": "X", "cat": "user_annotation", "name": "ProfilerStep#1", "pid": 9, "tid": 9,
        "ts": 1, "dur": 100 * count})];
    for i in 0..count {
        let (at, args) = (2 + 100 * i, json!({"device": 0, "stream": 7, "correlation": i + 1}));
        events.push(
            json!({"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 9, "tid": 9, "ts": at,
            "dur": 5, "args": {"correlation": i + 1}}),
        );
        events.push(
            json!({"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": at + 10, "dur": 40,
            "args": args}),
        );
    }
    events
}

fn document(events: &[Value]) -> String {
    json!({"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "G"}],
        "distributedInfo": {"backend": "nccl", "rank": 0, "world_size": 1}, "traceEvents": events})
    .to_string()
}

/// The rows that name a process of a device.
fn plane(pid: i64, name: &str, label: &str) -> [Value; 2] {
    [
        json!({"name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}, "ph": "M"}),
        json!({"name": "process_labels", "pid": pid, "tid": 0, "args": {"labels": label}, "ph": "M"}),
    ]
}

/// An Ascend timeline with lanes: a number of tasks of 60 us, one each 100 us; its processes and times are moved.
fn ascend(count: i64, pid: i64, shift: i64) -> Vec<Value> {
    let (hardware, lanes) = (pid + 1, pid + 2);
    let mut events = plane(hardware, "Ascend Hardware", "NPU 0").to_vec();
    events.extend(plane(lanes, "Overlap Analysis", "NPU 0"));
    let x = |pid: i64, tid: i64, name: &str, at: i64, dur: i64| json!({"ph": "X", "name": name, "pid": pid, "tid": tid, "ts": format!("{}.000", 1_736_412_474_000_000 + shift + at), "dur": dur});
    for i in 0..count {
        let mut task = x(hardware, 3, "MatMulV2", 100 * i, 60);
        task["args"] = json!({"Task Type": "KERNEL_AICORE"});
        events.push(task);
        events.push(x(lanes, 0, "Computing", 100 * i, 60));
        events.push(x(lanes, 3, "Free", 100 * i + 60, 40));
    }
    events
}

#[test]
fn device_work_without_a_usable_time_is_an_error_of_the_trace() {
    let bench = Bench::new();
    assert_eq!(bench.check(document(&kineto(10))), (vec![], Exit::Ok));
    let bad = |member: &str, value: Value, on: usize| {
        let mut events = kineto(10);
        let event = events[on].as_object_mut().unwrap();
        if value == json!("none") {
            event.remove(member)
        } else {
            event.insert(member.to_owned(), value)
        };
        document(&events)
    };
    for (member, value) in [
        ("dur", json!(null)),
        ("dur", json!("abc")),
        ("dur", json!(-0.002)),
        ("dur", json!(1e13)),
        ("dur", json!(1e30)),
        ("dur", json!("none")),
        ("ts", json!("9223372036854775.807")),
        ("ts", json!([])),
        ("ts", json!("none")),
    ] {
        let text = bad(member, value.clone(), 6);
        assert_eq!(bench.check(&text), (vec!["untimed-work".to_owned()], Exit::No), "{member} {value}");
        let total = bench.total(&text);
        assert_eq!(total["excluded"]["untimed"], 1, "{member} {value}");
        assert_eq!(total["compute_ns"], 360_000, "{member} {value}");
    }
    // Of the host, it costs no device time.
    assert_eq!(bench.check(bad("dur", json!(null), 5)).1, Exit::Ok);
    // Rows that only their process makes device work.
    let mut events = ascend(10, 100, 0);
    events.iter_mut().find(|e| e["name"] == "MatMulV2").unwrap()["dur"] = json!("x");
    let found = bench.check(json!(events).to_string());
    assert!(found.0.contains(&"untimed-work".to_owned()) && found.1 == Exit::No, "{found:?}");
}

#[test]
fn negative_durations_are_repairs() {
    let bench = Bench::new();
    let mut events = kineto(10);
    events.iter_mut().filter(|e| e["cat"] == "kernel").for_each(|e| e["dur"] = json!(-0.002));
    let text = document(&events);
    assert_eq!(bench.total(&text)["repairs"], json!({"negative_dur": 10}));
    assert_eq!(bench.run(&["sum", "--strict"], &text).exit, Exit::Failed);
    assert_eq!(bench.check(&text).1, Exit::No);
    let csv = "Name,Type,Accelerator Core,Start Time(us),Duration(us)\nA,A,AI_CORE,10.000,-5\nB,B,AI_CORE,30.000,5\n";
    assert_eq!(bench.check(csv).0, ["steps-missing", "untimed-work"]);
}

/// Members that JSON does not spell so: what stands there is lost, and never becomes part of the text before it.
#[test]
fn members_without_quotes_are_no_text() {
    let bench = Bench::new();
    let text = document(&kineto(10));
    let broken = |from: &str, to: &str| {
        let text = text.replacen(from, to, 1);
        let total = bench.total(&text);
        (total["losses"].clone(), total["events_read"].clone(), bench.run(&["sum"], &text).exit)
    };
    let kernel = r#""cat":"kernel","dur":40,"name":"gemm""#;
    for to in [
        r#""cat":"kernel", dur: 40,"name":"gemm""#,
        r#""cat":"kernel"; "dur"= 40,"name":"gemm""#,
        r#""cat":"kernel", name: "gemm","dur":40"#,
        r#""cat":"kernel", 'name': "gemm","dur":40"#,
    ] {
        assert!(text.contains(kernel), "{text}");
        let lost = (json!({"unreadable_event": 1}), json!(20), Exit::Failed);
        assert_eq!(broken(kernel, to), lost, "{to}");
    }
    // Quotation marks within a name are read as before.
    for name in [r#"say "hi", x"#, r#"f<"q","r">"#, r#"a "b", c: d"#] {
        let text = text.replacen("\"gemm\"", &format!("\"{name}\""), 1);
        assert_eq!(bench.total(&text)["repairs"], json!({"raw_quote": 1}), "{name}");
    }
}

#[test]
fn merged_ranks_without_a_name_are_refused() {
    let bench = Bench::new();
    let jax = |pid: i64, shift: f64, prefix: &str| {
        let mut events = vec![
            json!({"ph": "M", "pid": pid, "name": "process_name", "args": {"name": format!("{prefix}/device:GPU:0")}}),
            json!({"ph": "M", "pid": pid, "tid": 1, "name": "thread_name", "args": {"name": "Stream #13(Compute)"}}),
            json!({"ph": "M", "pid": pid + 1, "name": "process_name", "args": {"name": format!("{prefix}/host:CPU")}}),
        ];
        events.extend((0..4).map(|i| {
            json!({"ph": "X", "pid": pid, "tid": 1, "ts": shift + 100.0 * f64::from(i), "dur": 40, "name": "fusion"})
        }));
        events
    };
    let same_pid = {
        let mut other = kineto(10);
        other.iter_mut().for_each(|e| e["ts"] = json!(e["ts"].as_i64().unwrap() + 33));
        document(&[kineto(10), other].concat())
    };
    let all = |parts: [Vec<Value>; 2]| json!(parts.concat()).to_string();
    for (text, sign) in [
        (
            all([ascend(5, 100, 0), ascend(5, 200, 33)]),
            "processes 101 and 201 both hold the work of device 0",
        ),
        (all([ascend(5, 100, 0), ascend(5, 100, 33)]), "pieces that begin before the one before has ended"),
        (all([jax(1, 0.0, ""), jax(11, 33.0, "")]), "processes 1 and 11 both hold"),
        (same_pid, "10 correlation numbers launch twice"),
    ] {
        let run = bench.run(&["sum"], &text);
        assert_eq!((run.exit, run.of("traceq.total").len()), (Exit::Failed, 0), "{sign}");
        let path = bench.0.path().join("t");
        let error = trace_error(&path);
        assert!(error.contains("merged") && error.contains(sign), "{error}");
    }
    // Hosts have devices of their own, each numbered from 0.
    let text = all([jax(1, 0.0, "hostA "), jax(11, 33.0, "hostB ")]);
    let totals = bench.run(&["sum"], &text).of("traceq.total");
    let of: Vec<_> = totals.iter().map(|t| (t["process"].clone(), t["compute_ns"].clone())).collect();
    assert_eq!(of, [(json!("hostA"), json!(160_000)), (json!("hostB"), json!(160_000))]);
    // One timeline of two devices is of one rank.
    let mut two = ascend(5, 200, 33);
    two.iter_mut()
        .filter(|e| e["name"] == "process_labels")
        .for_each(|e| e["args"]["labels"] = json!("NPU 1"));
    assert_eq!(bench.run(&["sum"], all([ascend(5, 100, 0), two])).of("traceq.total").len(), 2);
    // A call of the driver has the number of the runtime's.
    let mut events = kineto(10);
    let drivers: Vec<Value> = events.iter().filter(|e| e["cat"] == "cuda_runtime").cloned().collect();
    events.extend(drivers.into_iter().map(|mut e| {
        (e["name"], e["cat"], e["dur"]) = (json!("cuLaunchKernel"), json!("cuda_driver"), json!(2));
        e
    }));
    assert_eq!(bench.total(document(&events))["compute_ns"], 400_000);
}

/// Why a trace cannot be summed.
fn trace_error(path: &Path) -> String {
    use trace::analysis::collect::CollectOptions;
    use trace::analysis::resolve::resolve;
    use trace::analysis::sum::sum_trace;
    let mut collected = CollectOptions::default().collector();
    let source = Box::new(std::fs::File::open(path).unwrap());
    let out = trace::read::read_trace(source, &trace::read::ReadOptions::default(), &mut collected).unwrap();
    let sums = resolve(collected, out.meta.dialect, false).and_then(|r| sum_trace(r, false));
    format!("{:#}", sums.unwrap_err())
}

/// Copies are in no lane: they belong to the step in which they start, as pieces of lanes do.
#[test]
fn steps_of_ascend_have_their_copies_and_events() {
    let bench = Bench::new();
    let mut events = ascend(10, 100, 0);
    for (n, at) in [(1, 0), (2, 500)] {
        events.push(
            json!({"ph": "X", "cat": "cpu_op", "name": format!("ProfilerStep#{n}"), "pid": 5, "tid": 5,
            "ts": format!("{}.000", 1_736_412_474_000_000_i64 + at), "dur": 500}),
        );
    }
    // The step on the device begins with what its first operator launched.
    for (id, at) in [(1, 100), (2, 600)] {
        let end = |ph: &str, pid: i64, at: i64| {
            json!({"ph": ph, "cat": "async_npu", "name": "torch_to_npu", "id": id,
            "pid": pid, "tid": if ph == "s" { 5 } else { 3 }, "ts": format!("{}.000", 1_736_412_474_000_000_i64 + at)})
        };
        events.extend([end("s", 5, at - 90), end("f", 101, at)]);
    }
    for (at, dur) in [(64, 10), (564, 20), (570, 20)] {
        events.push(json!({"ph": "X", "name": "MEMCPY_ASYNC", "pid": 101, "tid": 8, "dur": dur,
            "ts": format!("{}.000", 1_736_412_474_000_000_i64 + at), "args": {"Task Type": "PCIE_DMA_SQE"}}));
    }
    let run = bench.run(&["sum"], json!(events).to_string());
    let of = |record: &Value| ["memcpy_ns", "device_events"].map(|field| record[field].as_i64().unwrap());
    let steps = run.of("traceq.step");
    assert_eq!(steps.iter().map(of).collect::<Vec<_>>(), [[10_000, 6], [26_000, 7]]);
    assert_eq!(of(&run.of("traceq.total")[0]), [36_000, 13]);
}

#[test]
fn ends_that_are_wrong_are_found_beside_lanes_and_among_few() {
    let bench = Bench::new();
    let long = |mut events: Vec<Value>, name: &str, place: usize| {
        let mut of_name = events.iter_mut().filter(|e| e["name"] == name);
        of_name.nth(place).unwrap()["dur"] = json!(1_900_000);
        events
    };
    let text = |events: Vec<Value>| json!(events).to_string();
    assert_eq!(bench.check(text(ascend(10, 100, 0))).1, Exit::Ok);
    let overrun = bench.check(text(long(ascend(10, 100, 0), "MatMulV2", 2)));
    assert!(overrun.0.contains(&"stream-overrun".to_owned()) && overrun.1 == Exit::No, "{overrun:?}");
    // The last of a stream has no successor.
    assert_eq!(bench.check(document(&long(kineto(10), "gemm", 9))).0, ["dominant-event"]);
    assert_eq!(bench.check(text(long(ascend(10, 100, 0), "MatMulV2", 9))).0[0], "dominant-event");
}

#[test]
fn copies_that_are_missing_are_a_finding() {
    let bench = Bench::new();
    let with = |missing: i64, name: &str| {
        let mut events = kineto(10);
        events.iter_mut().filter(|e| e["name"] == "cudaLaunchKernel").for_each(|e| e["name"] = json!(name));
        events.extend((0..missing).map(|i| {
            json!({"ph": "X", "cat": "cuda_runtime", "name": name, "pid": 9, "tid": 9, "ts": 2 + i, "dur": 1,
                "args": {"correlation": 100 + i}})
        }));
        bench.check(document(&events)).0
    };
    assert_eq!(with(50, "cudaMemcpyAsync"), ["launches-without-kernels"]);
    assert_eq!(with(50, "hipMemcpyAsync"), ["launches-without-kernels"]);
    // Some come to nothing, and fills of libraries often have no event.
    assert_eq!(with(9, "cudaMemcpyAsync"), [] as [&str; 0]);
    assert_eq!(with(50, "cudaMemsetAsync"), [] as [&str; 0]);
}

#[test]
fn several_records_at_zero_are_impossible() {
    let bench = Bench::new();
    let mut events = kineto(40);
    events.iter_mut().for_each(|e| e["ts"] = json!(1_700_000_000_000_000_i64 + e["ts"].as_i64().unwrap()));
    events.iter_mut().filter(|e| e["cat"] == "kernel").skip(3).step_by(5).for_each(|e| e["ts"] = json!(0));
    let text = document(&events);
    let total = bench.total(&text);
    assert_eq!(total["excluded"]["impossible_time"], 8);
    assert_eq!((&total["compute_ns"], &total["total_ns"]), (&json!(32 * 40_000), &json!(3_940_000)));
    assert!(bench.check(&text).0.contains(&"impossible-times".to_owned()));
    // In a table, the step begins where its other kernels do.
    let mut csv = "Step Id,Device_id,Name,Type,Accelerator Core,Start Time(us),Duration(us)\n".to_owned();
    for i in 0..6 {
        let at = if i == 2 { 0 } else { 1_736_412_474_000_000_i64 + 100 * i };
        csv.push_str(&format!("1,0,MatMul,MatMul,AI_CORE,{at}.000,60\n"));
    }
    let run = bench.run(&["sum"], &csv);
    let step = run.of("traceq.step").remove(0);
    assert_eq!(
        (&step["step"], &step["dur_ns"], &step["compute_ns"]),
        (&json!(1), &json!(560_000), &json!(300_000))
    );
    assert_eq!(bench.check(&csv).0, ["impossible-times"]);
}

/// Two clocks are so far apart as the gap between them is long.
#[test]
fn what_stands_elsewhere_is_measured() {
    let bench = Bench::new();
    let mut events = kineto(10);
    events.iter_mut().filter(|e| e["cat"] == "kernel").for_each(|e| {
        e["ts"] = json!(7_200_000_000_i64 + e["ts"].as_i64().unwrap());
    });
    let findings = bench.run(&["check"], document(&events)).of("traceq.finding");
    let found = findings.iter().find(|f| f["rule"] == "clocks-disagree").unwrap()["found"].as_str().unwrap();
    assert!(found.contains("stand 7199.999 s away") || found.contains("h away"), "{found}");
}

#[test]
fn text_behind_the_end_is_a_repair() {
    let bench = Bench::new();
    let text = document(&kineto(10));
    for behind in [&b"2026-01-01 12:00:00 INFO done\n"[..], &[0xff; 4096], b"%%EOF {x}"] {
        let total = bench.total([text.as_bytes(), b"\n", behind].concat());
        assert_eq!((&total["repairs"], &total["complete"]), (&json!({"text_behind_end": 1}), &json!(true)));
        assert!(total.get("losses").is_none());
    }
    // What was an event is lost.
    let behind = r#""ph":"X","name":"x","ts":1}"#;
    assert_eq!(bench.total(format!("{text}\n{behind}"))["losses"], json!({"unreadable_event": 1}));
}

#[test]
fn members_that_come_twice_are_counted() {
    let bench = Bench::new();
    let text = document(&kineto(10));
    let twice = text.replace(r#""dur":40"#, r#""dur":7,"dur":40"#);
    let total = bench.total(&twice);
    assert_eq!((&total["repairs"], &total["compute_ns"]), (&json!({"repeated_member": 10}), &json!(400_000)));
    // Arguments have more than one spelling.
    let alias = text.replace(r#""stream":7"#, r#""stream":7,"stream_id":7"#);
    assert_eq!(bench.total(alias)["repairs"], json!({}));
}

#[test]
fn records_of_these_tools_are_no_traces() {
    let bench = Bench::new();
    let path = bench.write("t.json", document(&kineto(3)));
    let records = run(&["cat"], &path).stdout;
    let run = bench.run(&["info"], records);
    assert_eq!((run.exit, run.of("traceq.info").len()), (Exit::Failed, 0));
}

#[test]
fn names_of_steps_that_nothing_has_are_told() {
    let bench = Bench::new();
    let named = |pattern: &str| {
        bench.run(&["check", "--step-name", pattern], document(&kineto(10))).of("traceq.finding")
    };
    assert_eq!(named(r"ProfilerStep#(\d+)"), [] as [Value; 0]);
    let findings = named("nothing");
    assert_eq!(findings[0]["rule"], "steps-missing");
    assert!(findings[0]["found"].as_str().unwrap().contains("--step-name"), "{findings:?}");
}

#[test]
fn slices_of_msprof_are_one_timeline() {
    let bench = Bench::new();
    let events = ascend(10, 100, 0);
    let (names, rows) = events.split_at(4);
    let path = |slice: usize| format!("PROF_1/mindstudio_profiler_output/msprof_slice_{slice}_20250101.json");
    let whole = bench.total(json!(events).to_string());
    for (i, part) in rows.chunks(7).enumerate() {
        bench.write(&path(i), json!([names, part].concat()).to_string());
    }
    for dir in ["", "PROF_1", "PROF_1/mindstudio_profiler_output"] {
        std::fs::remove_file(bench.0.path().join("t")).ok();
        let sum = run(&["sum"], &bench.0.path().join(dir));
        let totals = sum.of("traceq.total");
        assert_eq!((sum.exit, totals.len()), (Exit::Ok, 1), "{dir}");
        for field in ["total_ns", "compute_ns", "idle_ns", "device_events", "repairs"] {
            assert_eq!(totals[0][field], whole[field], "{dir} {field}");
        }
    }
    // Without one of them, it is not the whole.
    std::fs::remove_file(bench.0.path().join(path(1))).unwrap();
    assert_eq!(run(&["sum"], &bench.0.path().join("PROF_1")).exit, Exit::Failed);
}

#[test]
fn what_is_compressed_twice_is_read() {
    let bench = Bench::new();
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let text = document(&kineto(10));
    let mut packed = text.clone().into_bytes();
    for times in 1..=6 {
        packed = gzip(&packed);
        let run = bench.run(&["sum"], &packed);
        if times > 4 {
            assert_eq!(run.exit, Exit::Failed, "{times}");
        } else {
            assert_eq!(run.of("traceq.total")[0]["compute_ns"], 400_000, "{times}");
        }
    }
}

//! `tracewhy mem` beside an account that is kept block by block, and beside Python's own pickles.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;

use common::exit::Exit;
use serde_json::{Value, json};
use support::random::Random;
use support::{of, records};

/// A live block of the account that the test keeps: bytes and who asked for it.
type Live = HashMap<i64, (i64, String)>;

/// What is true of a made-up trace: the highest moment and what is live then.
#[derive(Default)]
struct Truth {
    peak: i64,
    peak_at: i64,
    held: BTreeMap<String, (i64, u64)>,
    allocations: u64,
    after: i64,
}

impl Truth {
    fn note(&mut self, at: i64, allocated: i64, live: &Live) {
        self.after = allocated;
        if allocated > self.peak {
            (self.peak, self.peak_at) = (allocated, at);
            self.held.clear();
            for (bytes, name) in live.values() {
                let held = self.held.entry(name.clone()).or_default();
                *held = (held.0 + bytes, held.1 + 1);
            }
        }
    }
}

/// A trace with modules, operators in operators, and blocks that come and go; addresses are used again.
fn make_trace(path: &Path, seed: u64) -> Truth {
    let mut random = Random(seed);
    let (mut text, mut truth, mut live) = (String::new(), Truth::default(), Live::new());
    let before = 1_000_000;
    let mut allocated = before;
    for i in 0..300 {
        let begin = i * 100;
        let module = format!("nn.Module: Layer_{}", random.below(4));
        let operator = format!("aten::op{}", random.below(5));
        for (cat, name, start, end) in [
            ("python_function", &module, begin, begin + 90),
            ("cpu_op", &operator, begin + 5, begin + 80),
            ("cpu_op", &"aten::empty".to_owned(), begin + 10, begin + 70),
        ] {
            let dur = end - start;
            writeln!(
                text,
                r#"{{"ph":"X","cat":"{cat}","name":"{name}","pid":1,"tid":1,"ts":{start},"dur":{dur}}},"#
            )
            .unwrap();
        }
        for j in 0..random.below(5) {
            let at = begin + 11 + j;
            let address = random.below(400);
            let bytes = match live.remove(&address) {
                Some((bytes, _)) => -bytes,
                None => {
                    let bytes = 512 * (1 + random.below(100));
                    live.insert(address, (bytes, format!("{module} {operator}")));
                    truth.allocations += 1;
                    bytes
                }
            };
            allocated += bytes;
            truth.note(at * 1000, allocated, &live);
            writeln!(
                text,
                r#"{{"ph":"i","s":"t","cat":"cpu_instant_event","name":"[memory]","pid":1,"tid":1,"ts":{at},"args":{{"Bytes":{bytes},"Total Allocated":{allocated},"Total Reserved":{},"Addr":{address},"Device Type":1,"Device Id":0}}}},"#,
                2_000_000 + i
            )
            .unwrap();
        }
    }
    std::fs::write(path, format!("[{}]", text.trim_end_matches(",\n"))).unwrap();
    truth
}

#[test]
fn the_peak_and_its_holders_are_those_of_the_account() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    for seed in 0..6 {
        let truth = make_trace(&path, seed);
        let records = records("mem", [&path]);
        let peak = of(&records, "tracewhy.memory")[0];
        assert_eq!(peak["device"], "cuda:0");
        assert_eq!(
            (peak["peak_bytes"].as_i64(), peak["peak_at_ns"].as_i64()),
            (Some(truth.peak), Some(truth.peak_at))
        );
        assert_eq!((&peak["before_bytes"], &peak["not_known_bytes"]), (&json!(1_000_000), &json!(1_000_000)));
        assert_eq!(
            (peak["allocations"].as_u64(), peak["after_bytes"].as_i64()),
            (Some(truth.allocations), Some(truth.after))
        );
        let held: BTreeMap<String, (i64, u64)> = of(&records, "tracewhy.memory_holder")
            .iter()
            .map(|r| {
                let name = format!("{} {}", r["part"].as_str().unwrap(), r["operator"].as_str().unwrap());
                (name, (r["bytes"].as_i64().unwrap(), r["blocks"].as_u64().unwrap()))
            })
            .collect();
        assert_eq!(held, truth.held);
        // A hundred points, of which one has the peak.
        let points = of(&records, "tracewhy.memory_point");
        assert!(points.len() <= 100, "{}", points.len());
        let highest = points.iter().map(|p| p["allocated_bytes"].as_i64().unwrap()).max();
        assert_eq!(highest, Some(truth.peak));
    }
    let all = records("mem", ["--points".into(), "0".into(), path.into_os_string()]);
    assert!(of(&all, "tracewhy.memory_point").len() > 300);
}

/// A report has what `mem` says: the peak of each device, its timeline, and what held it.
#[test]
fn a_report_has_the_memory_of_its_traces() {
    let dir = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..10).map(|rank| dir.path().join(format!("rank{rank}.json"))).collect();
    for (seed, path) in (0..).zip(&paths) {
        make_trace(path, seed);
    }
    let output = dir.path().join("report.html");
    let mut args: Vec<std::ffi::OsString> = ["--quiet", "report", "-o"].map(Into::into).into();
    args.push(output.clone().into());
    args.extend(paths.iter().map(Into::into));
    let (exit, text) = testkit::run_tool::<tracewhy::Cli>(&args);
    assert_eq!(exit, common::exit::Exit::Ok, "{text}");
    let page = std::fs::read_to_string(output).unwrap();
    let (_, data) = page.split_once(r#"<script type="application/json" id="data">"#).unwrap();
    let data: Value = serde_json::from_str(data.split_once("</script>").unwrap().0).unwrap();
    let (peaks, shown) = (&data["memory"]["peaks"]["rows"], data["memory"]["shown"].as_array().unwrap());
    let records = records("mem", &paths);
    let expected = of(&records, "tracewhy.memory");
    assert_eq!((peaks.as_array().unwrap().len(), expected.len(), shown.len()), (10, 10, 8));
    for peak in &expected {
        let row = peaks.as_array().unwrap().iter().find(|row| row[0] == peak["rank"]).unwrap();
        let keys =
            ["rank", "device", "peak_bytes", "reserved_bytes", "before_bytes", "after_bytes", "allocations"];
        keys.iter().enumerate().for_each(|(i, key)| assert_eq!(row[i], peak[key], "{key}"));
    }
    // The highest come first, and have a timeline with their peak.
    for (device, row) in shown.iter().zip(peaks.as_array().unwrap()) {
        assert_eq!((&device["rank"], &device["peak"]), (&row[0], &row[2]));
        let allocated = device["allocated"].as_array().unwrap();
        assert!((2..=160).contains(&allocated.len()), "{}", allocated.len());
        assert_eq!(allocated.iter().max_by_key(|bytes| bytes.as_i64()), Some(&device["peak"]));
        let rows = device["held"]["rows"].as_array().unwrap();
        let holders: Vec<_> = of(&records, "tracewhy.memory_holder")
            .into_iter()
            .filter(|holder| holder["rank"] == device["rank"])
            .collect();
        assert_eq!(
            (&rows[0][3], &rows[0][0]),
            (&json!("(allocated before the recording)"), &json!(1_000_000))
        );
        assert_eq!(rows.len(), 1 + holders.len());
        for (row, holder) in rows[1..].iter().zip(holders) {
            assert_eq!((&row[0], &row[2]), (&holder["bytes"], &holder["blocks"]));
            assert_eq!((&row[3], &row[4]), (&holder["operator"], &holder["part"]));
        }
    }
}

/// A snapshot as PyTorch makes it, as JSON: two blocks from before, of which one is released; three of the history.
fn snapshot() -> Value {
    let frames = |file: &str, line: i64, name: &str| {
        json!([
            {"filename": "/venv/lib/python3.12/site-packages/torch/nn/modules/linear.py", "line": 125, "name": "forward"},
            {"filename": file, "line": line, "name": name},
        ])
    };
    let entry = |action: &str, addr: i64, size: i64, time: i64, frames: Value| json!({"action": action, "addr": addr, "size": size, "stream": 0, "time_us": time, "frames": frames});
    let none = || json!([]);
    json!({
        "device_traces": [[
            entry("segment_alloc", 4096, 1 << 20, 10, none()),
            entry("alloc", 4096, 1000, 11, frames("train.py", 7, "forward")),
            entry("free_requested", 9000, 300, 12, none()),
            entry("free_completed", 9000, 300, 13, none()),
            entry("alloc", 8192, 5000, 14, frames("train.py", 9, "backward")),
            entry("free_requested", 8192, 5000, 15, none()),
            entry("free_completed", 8192, 5000, 16, none()),
            entry("alloc", 8192, 600, 17, frames("train.py", 7, "forward")),
        ], []],
        "segments": [
            {"device": 0, "address": 4096, "total_size": 1 << 20, "blocks": [
                {"size": 1024, "requested_size": 1000, "state": "active_allocated", "address": 4096},
                {"size": 3072, "requested_size": 0, "state": "inactive", "address": 5120},
                {"size": 1024, "requested_size": 600, "state": "active_allocated", "address": 8192},
                {"size": 512, "requested_size": 70, "state": "active_allocated", "address": 9216, "frames": frames("model.py", 3, "__init__")},
            ]},
            {"device": 1, "address": 70000, "total_size": 100, "blocks": [{"size": 100, "state": "active_allocated"}]},
        ],
        "allocator_settings": {"expandable_segments": false, "garbage_collection_threshold": 0.5},
    })
}

#[test]
fn snapshots_of_every_protocol_are_read_and_never_run() {
    if testkit::require("python3").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("s.json"), dir.path().join("s.pickle"));
    std::fs::write(&input, snapshot().to_string()).unwrap();
    let pickle = |script: &str, protocol: &str| {
        let args = ["-c".as_ref(), script.as_ref(), input.as_os_str(), output.as_os_str(), protocol.as_ref()];
        assert!(testkit::oracle("python3", &args).is_some());
    };
    let script = "import json,pickle,sys\npickle.dump(json.load(open(sys.argv[1])),open(sys.argv[2],'wb'),int(sys.argv[3]))";
    for protocol in ["2", "3", "4", "5"] {
        pickle(script, protocol);
        let records = records("mem", [&output]);
        let peaks = of(&records, "tracewhy.memory");
        let [peak] = peaks[..] else { panic!("{records:?}") };
        // From before are 300, which are released, and 70 in a block of 512, which are not.
        assert_eq!((&peak["peak_bytes"], &peak["peak_at_ns"]), (&json!(6070), &json!(14_000)));
        assert_eq!((&peak["after_bytes"], &peak["device"]), (&json!(1670), &json!("cuda:0")));
        assert_eq!((&peak["reserved_bytes"], &peak["before_bytes"]), (&json!(1 << 20), &json!(370)));
        assert_eq!((&peak["allocations"], &peak["releases"]), (&json!(3), &json!(2)));
        let held: Vec<_> = of(&records, "tracewhy.memory_holder")
            .iter()
            .map(|r| (r["operator"].as_str().unwrap().to_owned(), r["bytes"].as_i64().unwrap()))
            .collect();
        let expected =
            [("train.py(9): backward", 5000), ("train.py(7): forward", 1000), ("model.py(3): __init__", 70)];
        assert_eq!(held, expected.map(|(name, bytes)| (name.to_owned(), bytes)));
    }
    // What would touch a file if it ran.
    let script = "import os,pickle,sys\nclass T:\n  def __reduce__(self): return (os.system, ('touch '+sys.argv[2]+'.ran',))\npickle.dump({'device_traces':[T()]},open(sys.argv[2],'wb'),int(sys.argv[3]))";
    for protocol in ["2", "5"] {
        pickle(script, protocol);
        let run = testkit::run_tool_to_end::<tracewhy::Cli>(["mem".into(), output.clone().into_os_string()]);
        assert_eq!((run.exit, run.errors), (Exit::Failed, 1), "{}", run.stdout);
        assert!(!dir.path().join("s.pickle.ran").exists());
    }
}

/// With `stacks="all"`, a stack has frames of C++ and of the interpreter; the program's is in Python. The backward pass has none.
#[test]
fn frames_of_compiled_code_are_not_the_programs() {
    if testkit::require("python3").is_none() {
        return;
    }
    let frame = |(file, name): (&str, &str)| json!({"filename": file, "line": 7, "name": name});
    let native = [
        ("??", "torch::unwind::unwind()"),
        ("CUDACachingAllocator.cpp", "malloc(int, unsigned long)"),
        ("??", "at::_ops::mm::redispatch(c10::DispatchKeySet)"),
        ("/conda/python-3.10.14/Objects/methodobject.c", "cfunction_call"),
        ("??", "at::_ops::linear::call(at::Tensor const&)"),
    ];
    let node = ("??", "torch::autograd::generated::MmBackward0::apply(std::vector<at::Tensor>&&)");
    let torch = ("/venv/torch/nn/functional.py", "linear");
    for (more, expected) in [
        (vec![torch, ("/home/u/train.py", "forward"), ("thread.o", "start")], "/home/u/train.py(7): forward"),
        (
            vec![node, ("thread48.o", "execute_native_thread_routine")],
            "torch::autograd::generated::MmBackward0::apply",
        ),
        (vec![torch], "/venv/torch/nn/functional.py(7): linear"),
        (vec![], "at::_ops::linear::call"),
    ] {
        let frames: Vec<Value> = native.into_iter().chain(more).map(frame).collect();
        let entry = json!({"action": "alloc", "addr": 4096, "size": 1000, "stream": 0, "frames": frames});
        let dir = tempfile::tempdir().unwrap();
        let (input, output) = (dir.path().join("s.json"), dir.path().join("s.pickle"));
        std::fs::write(&input, json!({"device_traces": [[entry]], "segments": []}).to_string()).unwrap();
        let script =
            "import json,pickle,sys\npickle.dump(json.load(open(sys.argv[1])),open(sys.argv[2],'wb'))";
        let args = ["-c".as_ref(), script.as_ref(), input.as_os_str(), output.as_os_str()];
        assert!(testkit::oracle("python3", &args).is_some());
        let records = records("mem", [&output]);
        assert_eq!(of(&records, "tracewhy.memory_holder")[0]["operator"], expected);
    }
}

#[test]
fn damaged_snapshots_end_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.pickle");
    for bytes in [&b"\x80\x04."[..], b"\x80\x04}.", b"\x80\x04\x8c\xff", b"\x80\x04}\x8c\x0ddevice_traces]s."]
    {
        std::fs::write(&path, bytes).unwrap();
        let run = testkit::run_tool_to_end::<tracewhy::Cli>(["mem".into(), path.clone().into_os_string()]);
        assert_eq!((run.exit, run.errors), (Exit::Failed, 1), "{bytes:?}");
    }
}

/// The highest number of a column of a table, in MiB, over the rows for which a column has a value.
fn highest(table: &str, column: &str, rows: impl Fn(&HashMap<&str, &str>) -> bool) -> f64 {
    let mut lines = table.lines();
    let titles: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &'static str| titles.iter().copied().zip(line.split(',')).collect::<HashMap<_, _>>();
    let lines: Vec<String> = lines.map(str::to_owned).collect();
    let lines: &'static [String] = Box::leak(lines.into_boxed_slice());
    let numbers =
        lines.iter().map(|line| row(line)).filter(|r| rows(r)).filter_map(|r| r[column].parse().ok());
    numbers.fold(0.0, f64::max)
}

#[test]
fn tables_of_ascend_have_their_own_peaks() {
    let base = "msinsight/test/data/pytorch/text/level1/rank0_ascend_pt";
    let Some(dir) = testkit::require_data(base) else { return };
    let read = |name: &str| std::fs::read_to_string(dir.join("ASCEND_PROFILER_OUTPUT").join(name)).unwrap();
    let (operators, states) = (read("operator_memory.csv"), read("memory_record.csv"));
    let records = records("mem", [&dir]);
    let bytes = |mib: f64| json!((mib * 1_048_576.0).round() as i64);
    let peaks = of(&records, "tracewhy.memory");
    let find = |device: &str| *peaks.iter().find(|p| p["device"] == device).unwrap();
    let columns = ["Allocation Total Allocated(MB)", "Release Total Allocated(MB)"];
    let of_blocks = columns.map(|column| highest(&operators, column, |r| r["Device Type"] == "NPU:0"));
    assert_eq!(find("NPU:0")["peak_bytes"], bytes(of_blocks[0].max(of_blocks[1])));
    let of_states = highest(&states, "Total Allocated(MB)", |r| r["Component"] == "PTA");
    assert_eq!(find("NPU:0 PTA")["peak_bytes"], bytes(of_states));
    assert_eq!(find("NPU:0 PTA")["rank"], 0);
}

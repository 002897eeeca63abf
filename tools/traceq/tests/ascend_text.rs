//! The tables and summaries of Ascend's profilers: the same sums as a few lines of Python give for the shared sample
//! data, in whole nanoseconds. Skipped where the data is absent.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use common::exit::Exit;
use serde_json::Value;
use support::run;
use testkit::{list_files, oracle, require_data};

const TEXT: &str = "msinsight/test/data/pytorch/text";

/// What Python says of a file.
fn ask_python(script: &str, path: &Path) -> Option<Value> {
    const BEGIN: &str = "import csv, json, sys\nfrom decimal import Decimal\nfrom collections import Counter, defaultdict\n\
        ns = lambda cell: int((Decimal(cell.strip()) * 1000).quantize(0, 'ROUND_HALF_UP'))\n";
    let script = format!("{BEGIN}{script}");
    let args = [OsStr::new("-c"), OsStr::new(&script), path.as_os_str()];
    Some(serde_json::from_slice(&oracle("python3", &args)?).unwrap())
}

/// The spans that `traceq` finds in a file, without marks of steps.
fn spans(path: &Path) -> Vec<Value> {
    let run = run(["cat", "--format", "json", path.to_str().unwrap()]);
    assert_eq!(run.exit, Exit::Ok, "{}", path.display());
    let is_mark = |event: &Value| event["category"] == "step";
    run.of("traceq.event").into_iter().filter(|event| event["ph"] == "X" && !is_mark(event)).collect()
}

/// How often a name comes, and for how long.
fn sums<'a>(events: impl IntoIterator<Item = &'a Value>) -> BTreeMap<String, (u64, i64)> {
    let mut sums: BTreeMap<String, (u64, i64)> = BTreeMap::new();
    for event in events {
        let sum = sums.entry(event["name"].as_str().unwrap().to_owned()).or_default();
        *sum = (sum.0 + 1, sum.1 + event["dur_ns"].as_i64().unwrap());
    }
    sums
}

fn tables_of_kernels() -> Option<Vec<PathBuf>> {
    let is_table = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy();
        name == "kernel_details.csv" || name.starts_with("op_summary_") || name == "test.csv"
    };
    Some(list_files(&require_data("")?).into_iter().filter(is_table).collect())
}

#[test]
fn every_kernel_of_every_table_is_there() {
    const SCRIPT: &str = "
out = defaultdict(lambda: [0, 0])
for row in csv.DictReader(open(sys.argv[1], newline='')):
    cell = lambda *names: next(row[n] for n in names if row.get(n) is not None)
    try: ns(cell('Start Time(us)', 'Task Start Time(us)'))
    except Exception: continue
    sum = out[cell('Name', 'Op Name')]
    sum[0] += 1
    sum[1] += ns(cell('Duration(us)', 'Task Duration(us)'))
print(json.dumps(out))";
    let Some(tables) = tables_of_kernels() else { return };
    assert!(tables.len() >= 8, "{tables:?}");
    for path in tables {
        let Some(expected) = ask_python(SCRIPT, &path) else { return };
        let expected: BTreeMap<String, (u64, i64)> = serde_json::from_value(expected).unwrap();
        assert!(!expected.is_empty());
        assert_eq!(sums(&spans(&path)), expected, "{}", path.display());
    }
}

/// Unions of computation and communication, and what of the latter is exposed, worked out over the points where anything
/// begins or ends.
#[test]
fn a_table_of_kernels_is_summed_as_python_sums_it() {
    const SCRIPT: &str = "
spans = {True: [], False: []}
for row in csv.DictReader(open(sys.argv[1], newline='')):
    start = ns(row['Start Time(us)'])
    core, name = row['Accelerator Core'], row['Name']
    spans[core in ('HCCL', 'COMMUNICATION') or core == 'N/A' and name.startswith('hcom_')].append((start, start + ns(row['Duration(us)'])))
at = sorted({t for s in spans.values() for span in s for t in span})
runs = lambda kind, t: any(a <= t < b for a, b in spans[kind])
compute = communication = exposed = 0
for a, b in zip(at, at[1:]):
    c, m = runs(False, a), runs(True, a)
    compute += (b - a) * c
    communication += (b - a) * m
    exposed += (b - a) * (m and not c)
print(json.dumps([compute, communication, exposed, at[-1] - at[0]]))";
    for (level, rank) in [("level0", 0), ("level0", 1), ("level1", 0), ("level1", 1)] {
        let Some(dir) = require_data(&format!("{TEXT}/{level}/rank{rank}_ascend_pt/ASCEND_PROFILER_OUTPUT"))
        else {
            return;
        };
        let path = dir.join("kernel_details.csv");
        let Some(expected) = ask_python(SCRIPT, &path) else { return };
        let run = run(["sum", "--format", "json", path.to_str().unwrap()]);
        let [step] = &run.of("traceq.step")[..] else { panic!("{}", run.stdout) };
        let ns = |field: &str| step[field].as_i64().unwrap();
        let found = ["compute_ns", "communication_ns", "exposed_communication_ns", "total_ns"].map(ns);
        assert_eq!(Value::from(found.to_vec()), expected, "{}", path.display());
        assert_eq!((&step["step"], &step["rank"]), (&50.into(), &rank.into()));
    }
}

/// The timeline, the table of kernels and the collectives of one recording: the exporter rounds each by itself, so that
/// they differ by a nanosecond for each event, and the starts in `communication.json` are floats with steps of 0.25 us.
#[test]
fn the_files_of_one_recording_agree() {
    for rank in [0, 1] {
        let Some(dir) = require_data(&format!("{TEXT}/level1/rank{rank}_ascend_pt/ASCEND_PROFILER_OUTPUT"))
        else {
            return;
        };
        let of = |name: &str, category: &str| {
            let all = spans(&dir.join(name));
            all.into_iter().filter(|event| event["category"] == category).collect::<Vec<_>>()
        };
        for category in ["kernel", "collective"] {
            let table = of("kernel_details.csv", category);
            let timeline = sums(&of("trace_view.json", category));
            assert!(!table.is_empty());
            for (name, (count, total)) in sums(&table) {
                let (n, t) = timeline[&name];
                assert!(n == count && (t - total).unsigned_abs() <= n, "{name}: {n} {count} {t} {total}");
            }
        }
        let table = of("kernel_details.csv", "collective");
        let summary = of("communication.json", "collective");
        assert_eq!(table.len(), summary.len());
        for (a, b) in table.iter().zip(&summary) {
            let ns = |event: &Value, field: &str| event[field].as_i64().unwrap();
            assert_eq!(a["name"], b["name"]);
            assert!((ns(a, "dur_ns") - ns(b, "dur_ns")).abs() <= 1, "{a} {b}");
            assert!((ns(a, "start_ns") - ns(b, "start_ns")).abs() <= 250, "{a} {b}");
        }
    }
}

/// Allocations and releases by their bytes, and the levels of each component.
#[test]
fn memory_has_the_bytes_that_python_gives() {
    const ALLOCATIONS: &str = "
events, bytes = 0, 0
for row in csv.DictReader(open(sys.argv[1], newline='')):
    size = round(Decimal(row['Size(KB)']) * 1024)
    for time, sign in (('Allocation Time(us)', 1), ('Release Time(us)', -1)):
        if row[time].strip() not in ('', 'N/A'):
            events += 1
            bytes += sign * size
print(json.dumps([events, bytes]))";
    const LEVELS: &str = "
out = defaultdict(lambda: [0, 0])
for row in csv.DictReader(open(sys.argv[1], newline='')):
    sum = out[row['Component']]
    sum[0] += 1
    sum[1] += round(Decimal(row['Total Reserved(MB)'] or 0) * 1024 * 1024)
print(json.dumps(out))";
    let Some(root) = require_data(TEXT) else { return };
    let mut seen = 0;
    for path in list_files(&root) {
        let cat = || run(["cat", "--format", "json", path.to_str().unwrap()]).of("traceq.event");
        if path.ends_with("operator_memory.csv") {
            let Some(expected) = ask_python(ALLOCATIONS, &path) else { return };
            let events: Vec<Value> = cat().into_iter().filter(|event| event["ph"] == "i").collect();
            let bytes: i64 = events.iter().map(|event| event["args"]["Bytes"].as_i64().unwrap()).sum();
            assert_eq!(serde_json::json!([events.len(), bytes]), expected, "{}", path.display());
            assert!(events.iter().all(|event| event["category"] == "memory"));
        } else if path.ends_with("memory_record.csv") || path.ends_with("npu_module_mem.csv") {
            let Some(expected) = ask_python(LEVELS, &path) else { return };
            let mut sums: BTreeMap<String, (u64, i64)> = BTreeMap::new();
            for event in cat().iter().filter(|event| event["ph"] == "C") {
                let name = event["name"].as_str().unwrap();
                let component = name.trim_start_matches("Memory ").trim_start_matches("NPU Module MEM ");
                let sum = sums.entry(component.to_owned()).or_default();
                *sum = (sum.0 + 1, sum.1 + event["args"]["totalReserved"].as_i64().unwrap_or(0));
            }
            assert_eq!(serde_json::to_value(sums).unwrap(), expected, "{}", path.display());
        } else {
            continue;
        }
        seen += 1;
    }
    assert_eq!(seen, 12);
}

/// The database of another run of the same program has as many kernels of each kind.
#[test]
fn the_database_of_the_same_program_has_the_same_kernels() {
    for rank in [0, 1] {
        let tree = format!("rank{rank}_ascend_pt/ASCEND_PROFILER_OUTPUT");
        let Some(text) = require_data(&format!("{TEXT}/level1/{tree}/kernel_details.csv")) else { return };
        let database =
            format!("msinsight/test/data/pytorch/db/level1/{tree}/ascend_pytorch_profiler_{rank}.db");
        let Some(database) = require_data(&database) else { return };
        let counts = |path: &Path, category: &str| {
            let mut counts: BTreeMap<String, u64> = BTreeMap::new();
            for event in spans(path).iter().filter(|event| event["category"] == category) {
                let kind = event["args"]["Op Type"].as_str().map_or(String::new(), str::to_owned);
                *counts.entry(if category == "kernel" { kind } else { String::new() }).or_default() += 1;
            }
            counts
        };
        for category in ["kernel", "collective"] {
            assert_eq!(counts(&text, category), counts(&database, category), "{rank} {category}");
        }
    }
}

/// A tree without a timeline stands for its table of kernels.
#[test]
fn a_tree_of_tables_is_read() {
    let Some(tree) = require_data(&format!("{TEXT}/level1/rank1_ascend_pt")) else { return };
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("host_1_20250109000000000_ascend_pt/ASCEND_PROFILER_OUTPUT");
    std::fs::create_dir_all(&copy).unwrap();
    for name in ["kernel_details.csv", "step_trace_time.csv", "op_statistic.csv", "communication.json"] {
        std::fs::copy(tree.join("ASCEND_PROFILER_OUTPUT").join(name), copy.join(name)).unwrap();
    }
    std::fs::copy(tree.join("profiler_info_1.json"), copy.parent().unwrap().join("profiler_info_1.json"))
        .unwrap();
    let run = run(["info", "--format", "json", dir.path().to_str().unwrap()]);
    let [info] = &run.of("traceq.info")[..] else { panic!("{}", run.stdout) };
    assert_eq!((&info["rank"], &info["steps"]), (&1.into(), &serde_json::json!([50])));
    assert_eq!(info["categories"]["kernel"], 187);
}

//! Tables that other programs published beside the traces of the shared sample data, number by number. Skipped where that is
//! absent.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;
use support::{of, records};
use testkit::{list_files, require_data};

fn table(path: &Path) -> Vec<HashMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

fn number(row: &HashMap<String, String>, column: &str) -> f64 {
    row[column].parse().unwrap_or_else(|_| panic!("{column} in {row:?}"))
}

fn ns(record: &Value, key: &str) -> i64 {
    record[key].as_i64().unwrap_or_else(|| panic!("{key} in {record}"))
}

/// Count and microseconds.
type Times<K> = BTreeMap<K, (u64, f64)>;

fn add<K: Ord>(times: &mut Times<K>, key: K, count: u64, us: f64) {
    let sum = times.entry(key).or_default();
    *sum = (sum.0 + count, sum.1 + us);
}

/// TraceLens' `kernel_summary.csv` has each kernel by the operator that launched it, and those launched before the recording
/// without one; `ops_summary.csv` the kernels that each operator launches, with all that it calls
/// (`total_subtree_kernel_time`). Copies and fills are in neither.
#[test]
fn kernels_of_operators_are_those_of_tracelens() {
    let mut compared = 0;
    for family in ["h100", "mi300"] {
        let Some(dir) = require_data(&format!("tracelens/tests/traces/{family}")) else { return };
        for path in list_files(&dir).into_iter().filter(|path| path.ends_with("kernel_summary.csv")) {
            let tables = path.parent().unwrap();
            let trace = tables.to_str().unwrap().replace("_perf_report_csvs", ".json.gz");
            let operators = table(&tables.join("ops_summary.csv"));
            let mut theirs = Times::new();
            for row in table(&path) {
                let key = (row["Parent cpu_op"].clone(), row["Kernel name"].clone());
                let count = number(&row, "Kernel duration (µs)_count") as u64;
                add(&mut theirs, key, count, number(&row, "Kernel duration (µs)_sum"));
            }
            let (mut ours, mut within) = (Times::new(), Times::new());
            let stacks = records("stacks", [&trace]);
            for stack in of(&stacks, "tracewhy.stack") {
                let frames: Vec<&str> =
                    stack["frames"].as_array().unwrap().iter().map(|frame| frame.as_str().unwrap()).collect();
                let (kernel, callers) = frames.split_last().unwrap();
                let (count, us) = (stack["count"].as_u64().unwrap(), ns(stack, "own_ns") as f64 / 1e3);
                let is_operator = |name: &&&str| operators.iter().any(|row| row["name"] == ***name);
                let operator = callers.iter().rev().find(is_operator).copied().unwrap_or_default();
                add(&mut ours, (operator.to_owned(), (*kernel).to_owned()), count, us);
                let mut callers: Vec<&str> = callers.to_vec();
                callers.sort_unstable();
                callers.dedup();
                callers.into_iter().for_each(|caller| add(&mut within, caller.to_owned(), count, us));
            }
            for (key, (count, us)) in &theirs {
                let (n, time) = ours.get(key).unwrap_or_else(|| panic!("{trace}: no {key:?}"));
                assert!(n == count && (time - us).abs() < 0.01, "{trace} {key:?}: {n} {time}, {count} {us}");
            }
            let others = ours.keys().filter(|key| !theirs.contains_key(key)).map(|(_, kernel)| kernel);
            let kernels: Vec<_> = others.filter(|name| !name.starts_with("Mem")).collect();
            assert!(kernels.is_empty(), "{trace}: {kernels:?}");
            for row in &operators {
                let (time, us) = (within[&row["name"]].1, number(row, "total_subtree_kernel_time_sum"));
                assert!((time - us).abs() < 0.01, "{trace} {}: {time}, {us}", row["name"]);
            }
            compared += theirs.len() + operators.len();
        }
    }
    assert!(compared > 200, "{compared}");
}

/// `Elapse Time(ms)` of each collective in Ascend's `communication.json` is what `comm` adds up; `Transit Size(MB)` of one that
/// eight ranks make in the ring or mesh of one machine is the size by the factor of nccl-tests, `2(n-1)/n`.
#[test]
fn collectives_are_those_of_ascend() {
    for rank in [0, 1] {
        let base =
            format!("msinsight/test/data/pytorch/text/level1/rank{rank}_ascend_pt/ASCEND_PROFILER_OUTPUT");
        let Some(dir) = require_data(&base) else { return };
        let text = std::fs::read_to_string(dir.join("communication.json")).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let collectives = document["step50"]["collective"].as_object().unwrap();
        let theirs = collectives.iter().filter(|(name, _)| name.starts_with("hcom"));
        let mut theirs: Vec<(i64, f64)> = theirs
            .map(|(_, told)| {
                let elapsed = told["Communication Time Info"]["Elapse Time(ms)"].as_f64().unwrap();
                let moved =
                    told["Communication Bandwidth Info"]["HCCS"]["Transit Size(MB)"].as_f64().unwrap();
                ((elapsed * 1e6).round() as i64, moved)
            })
            .collect();
        theirs.sort_by_key(|(time, _)| -time);
        let costs = records("comm", [dir.join("trace_view.json")]);
        let mut ours: Vec<(i64, f64)> = of(&costs, "tracewhy.collective")
            .iter()
            .map(|cost| (ns(cost, "total_ns"), ns(cost, "bytes") as f64 * 2.0 * 7.0 / 8.0 / 1e6))
            .collect();
        ours.sort_by_key(|(time, _)| -time);
        assert_eq!(ours.len(), 4);
        for ((time, moved), (t, m)) in ours.iter().zip(&theirs) {
            // Times are rounded to whole nanoseconds; the shares of the ranks are not all equal.
            assert!(
                (time - t).abs() <= 1 && (moved - m).abs() < 0.002 * m,
                "rank {rank}: {time} {moved}, {t} {m}"
            );
        }
    }
}

/// `operator_details.csv`: time on the device of what each operator launched itself, and with what it calls. An operator within one of
/// its own name has two rows there, each with all of the time.
#[test]
fn operators_have_the_device_times_of_ascends_table() {
    for (level, rank) in [("level0", 0), ("level0", 1), ("level1", 0), ("level1", 1)] {
        let base =
            format!("msinsight/test/data/pytorch/text/{level}/rank{rank}_ascend_pt/ASCEND_PROFILER_OUTPUT");
        let Some(dir) = require_data(&base) else { return };
        let mut theirs: BTreeMap<String, [f64; 2]> = BTreeMap::new();
        for row in table(&dir.join("operator_details.csv")) {
            let sums = theirs.entry(row["Name"].clone()).or_default();
            sums[0] += number(&row, "Device Self Duration(us)");
            sums[1] += number(&row, "Device Total Duration(us)");
        }
        let mut ours: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
        let stacks = records("stacks", [dir.join("trace_view.json")]);
        for stack in of(&stacks, "tracewhy.stack") {
            let us = ns(stack, "own_ns") as f64 / 1e3;
            let frames = stack["frames"].as_array().unwrap().iter().map(|frame| frame.as_str().unwrap());
            let mut operators: Vec<&str> = frames.filter(|name| theirs.contains_key(*name)).collect();
            if let Some(innermost) = operators.last() {
                ours.entry(innermost).or_default()[0] += us;
            }
            operators.sort_unstable();
            operators.dedup();
            operators.into_iter().for_each(|name| ours.entry(name).or_default()[1] += us);
        }
        for (name, [own, total]) in &theirs {
            let [o, t] = ours.get(name.as_str()).copied().unwrap_or_default();
            let twice = if name == "HcclAllreduce" { 2.0 } else { 1.0 };
            assert!(
                (o - own).abs() < 0.05 && (t * twice - total).abs() < 0.05,
                "{level} {rank} {name}: {o} {t}, {own} {total}"
            );
        }
        assert!(theirs.values().filter(|[own, _]| *own > 0.0).count() > 30);
    }
}

/// `memory_record.csv`: the most of `Total Allocated` and `Total Reserved` of each component, at both levels and ranks.
#[test]
fn memory_is_that_of_ascends_tables() {
    for (level, rank) in [("level0", 0), ("level0", 1), ("level1", 0), ("level1", 1)] {
        let base = format!("msinsight/test/data/pytorch/text/{level}/rank{rank}_ascend_pt");
        let Some(dir) = require_data(&base) else { return };
        let mut theirs: BTreeMap<String, [i64; 2]> = BTreeMap::new();
        for row in table(&dir.join("ASCEND_PROFILER_OUTPUT/memory_record.csv")) {
            let levels = theirs.entry(format!("NPU:{rank} {}", row["Component"])).or_default();
            for (most, column) in levels.iter_mut().zip(["Total Allocated(MB)", "Total Reserved(MB)"]) {
                let mib: f64 = row[column].parse().unwrap_or(0.0);
                *most = (*most).max((mib * 1_048_576.0).round() as i64);
            }
        }
        let memory = records("mem", [&dir]);
        for (device, [allocated, reserved]) in theirs {
            // Of the whole process, only the reserved size is known.
            let peak = if allocated > 0 { allocated } else { reserved };
            let is_same = |m: &&Value| {
                m["device"] == device.as_str()
                    && ns(m, "peak_bytes") == peak
                    && ns(m, "reserved_bytes") == reserved
            };
            assert!(of(&memory, "tracewhy.memory").iter().any(is_same), "{level} {device}: {memory:?}");
        }
    }
}

/// HolisticTraceAnalysis expects 27 kernels under this annotation in its own trace (commit f4d0062, `tests/test_trace_analysis.py`):
/// of three steps. Of the five that there are, it drops the kernels of the last, which begins on the host before the marks on the
/// device of the last two do; those are dropped as well, and nine kernels of the fourth step have no annotation then.
#[test]
fn kernels_of_an_annotation_are_those_of_all_steps() {
    let name = "hta/tests/data/ns_resolution_trace/rank-0.Apr_03_18_51_38.1102.pt.trace.json.gz";
    let Some(trace) = require_data(name) else { return };
    let stacks = records("stacks", [&trace]);
    let is_optimizer = |stack: &&&Value| {
        let mut frames = stack["frames"].as_array().unwrap().iter();
        frames.any(|frame| frame == "Optimizer.step#SGD.step")
    };
    let stacks = of(&stacks, "tracewhy.stack");
    let kernels: u64 = stacks.iter().filter(is_optimizer).map(|stack| stack["count"].as_u64().unwrap()).sum();
    let (steps, of_each) = (5, 9);
    assert_eq!(kernels, steps * of_each);
}

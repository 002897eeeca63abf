//! `tracewhy` on profiles of Ascend: calls of CANN launch device work, operators ask for it through a queue, allocators
//! are apart.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::jobs::{Fault, Plan, write_job};
use support::{of, records};

const PLAN: Plan = Plan {
    seed: 3,
    ranks: 8,
    steps: 8,
    fault: Fault::None,
    bad: 2,
    skewed: false,
    overlapped: false,
    numbered: true,
};

/// Processes of a timeline: the framework, CANN, tasks, collectives.
const PYTHON: i64 = 500;
const CANN: i64 = 512_448;
const HARDWARE: i64 = 512_512;
const COMMUNICATION: i64 = 512_400;

/// How launches are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Launches {
    /// By calls with connections.
    Calls,
    /// By arrows from calls that have no row, as on level 0.
    Arrows,
    /// By arrows from operators.
    Operators,
}

/// Nanoseconds since the Unix epoch as a timeline has them.
fn stamp(at: i64) -> String {
    format!("{}.{:03}", at / 1000, at % 1000)
}

/// Writes a trace of libkineto as the profile of a rank on Ascend.
fn write_profile(kineto: &Path, dir: &Path, rank: usize, launches: Launches) -> PathBuf {
    let trace: Value = serde_json::from_slice(&std::fs::read(kineto).unwrap()).unwrap();
    let mut rows: Vec<Value> = Vec::new();
    for (pid, name, label) in [
        (PYTHON, "Python", "CPU"),
        (CANN, "CANN", "CPU"),
        (HARDWARE, "Ascend Hardware", "NPU 0"),
        (COMMUNICATION, "Communication", "NPU 0"),
    ] {
        let row = |what: &str, key: &str, text: &str| json!({"ph": "M", "name": what, "pid": pid, "tid": 0, "args": {key: text}});
        rows.push(row("process_name", "name", name));
        rows.push(row("process_labels", "labels", label));
    }
    for event in trace["traceEvents"].as_array().unwrap().iter().filter(|event| event["ph"] == "X") {
        let nanos = |key: &str| (event[key].as_f64().unwrap() * 1000.0).round() as i64;
        let start = 1_736_412_474_000_000_000 + nanos("ts");
        let (ts, dur) = (stamp(start), event["dur"].clone());
        let (name, args) = (event["name"].as_str().unwrap(), &event["args"]);
        let connection = args["correlation"].clone();
        let arrow = |phase: &str, place: (i64, i64), at: &str| {
            let (pid, tid) = place;
            json!({"ph": phase, "bp": "e", "cat": "HostToDevice", "name": format!("HostToDevice{connection}"),
                "id": connection.to_string(), "pid": pid, "tid": tid, "ts": at, "args": {}})
        };
        let is_launch = name == "cudaLaunchKernel";
        match event["cat"].as_str().unwrap() {
            "cuda_runtime" if is_launch => {
                if launches == Launches::Calls {
                    rows.push(json!({"ph": "X", "name": "Node@launch", "pid": CANN, "tid": 10, "ts": ts, "dur": dur,
                        "args": {"Thread Id": 10, "level": "node", "connection_id": connection}}));
                }
                if launches == Launches::Operators {
                    // Its number is put in when the work is known.
                    rows.push(json!({"ph": "s", "bp": "e", "cat": "async_npu", "name": "torch_to_npu",
                        "id": connection, "pid": PYTHON, "tid": 10, "ts": ts, "args": {}}));
                } else {
                    rows.push(arrow("s", (CANN, 10), &ts));
                }
            }
            "cuda_runtime" => rows.push(json!({"ph": "X", "name": "AscendCL@aclrtSynchronizeDevice", "pid": CANN,
                "tid": 10, "ts": ts, "dur": dur, "args": {"Thread Id": 10, "level": "acl", "connection_id": -1}})),
            cat @ ("kernel" | "gpu_memcpy") => {
                let communicates = name.starts_with("nccl");
                let place = if communicates { (COMMUNICATION, 0) } else { (HARDWARE, 2) };
                let (name, args) = if communicates {
                    let kind = if name.contains("AllReduce") { "allReduce" } else { "send" };
                    let count = &args["In msg nelems"];
                    (format!("hcom_{kind}__905_0_1"), json!({"connection_id": connection, "data_type": "BFP16", "count": count}))
                } else {
                    let task = if cat == "kernel" { "AI_CORE" } else { "PCIE_DMA_SQE" };
                    let name = if cat == "kernel" { name } else { "MEMCPY_ASYNC" };
                    (name.to_owned(), json!({"Task Type": task, "connection_id": connection}))
                };
                rows.push(json!({"ph": "X", "name": name, "pid": place.0, "tid": place.1, "ts": ts, "dur": dur, "args": args}));
                if launches == Launches::Operators {
                    let tail = rows.iter_mut().rfind(|row| row["cat"] == "async_npu" && row["id"] == connection);
                    tail.unwrap()["id"] = json!(start);
                } else {
                    rows.push(arrow("f", place, &ts));
                }
            }
            cat => {
                let cat = if cat == "python_function" { cat } else { "cpu_op" };
                rows.push(json!({"ph": "X", "cat": cat, "name": name, "pid": PYTHON, "tid": 10, "ts": ts, "dur": dur, "args": {}}));
            }
        }
    }
    let profile = dir.join(format!("rank{rank}_ascend_pt"));
    let output = profile.join("ASCEND_PROFILER_OUTPUT");
    std::fs::create_dir_all(&output).unwrap();
    std::fs::write(output.join("trace_view.json"), serde_json::to_vec(&rows).unwrap()).unwrap();
    let info = json!({"config": {}, "rank_id": rank});
    std::fs::write(profile.join(format!("profiler_info_{rank}.json")), info.to_string()).unwrap();
    profile
}

/// The profiles of a made-up job.
fn write_profiles(dir: &Path, plan: &Plan, launches: Launches) -> Vec<PathBuf> {
    let (paths, _) = write_job(dir, plan);
    paths.iter().enumerate().map(|(rank, path)| write_profile(path, dir, rank, launches)).collect()
}

#[test]
fn causes_are_found_on_ascend_as_elsewhere() {
    for (fault, cause) in [
        (Fault::Host(20), "host"),
        (Fault::Input(20), "input"),
        (Fault::Compute(25), "compute"),
        (Fault::Copy(20), "copy"),
    ] {
        for launches in [Launches::Calls, Launches::Arrows, Launches::Operators] {
            let dir = tempfile::tempdir().unwrap();
            let plan = Plan { fault, ..PLAN };
            let verdict = records("ranks", write_profiles(dir.path(), &plan, launches)).swap_remove(0);
            let found = (verdict["rank"].as_u64(), verdict["cause"].as_str());
            assert_eq!(found, (Some(2), Some(cause)), "{fault:?} {launches:?}: {verdict}");
        }
    }
}

#[test]
fn idle_time_and_paths_are_those_of_the_same_job_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { fault: Fault::Host(20), ranks: 4, ..PLAN };
    let (paths, _) = write_job(dir.path(), &plan);
    for launches in [Launches::Calls, Launches::Arrows, Launches::Operators] {
        let profiles: Vec<PathBuf> = paths
            .iter()
            .enumerate()
            .map(|(rank, path)| write_profile(path, dir.path(), rank, launches))
            .collect();
        let (kineto, ascend) = (records("idle", &paths), records("idle", &profiles));
        let causes = |records: &[Value]| -> Vec<Value> {
            of(records, "tracewhy.idle").iter().map(|record| record["by_cause"].clone()).collect()
        };
        assert_eq!(causes(&kineto), causes(&ascend), "{launches:?}");
    }
    let profiles = write_profiles(dir.path(), &plan, Launches::Calls);
    let (kineto, ascend) = (records("critical", &paths), records("critical", &profiles));
    let (kineto, ascend) = (&kineto[0]["by_cause"], &ascend[0]["by_cause"]);
    let time = |causes: &Value, cause: &str| causes[cause].as_i64().unwrap_or(0);
    assert!(time(kineto, "compute") > 0 && time(kineto, "communication") > 0, "{kineto}");
    // Which ranks take part in a transfer, these profiles do not say.
    for (cause, parts) in [("compute", 20), ("communication", 4)] {
        let (a, b) = (time(kineto, cause), time(ascend, cause));
        assert!((a - b).abs() * parts <= a, "{cause}: {a} and {b}");
    }
}

/// An operator of a module asks for work; a second thread takes it from a queue and launches it.
#[test]
fn work_from_a_queue_belongs_to_the_module_that_asked_for_it() {
    let base = 1_736_412_474_000_000_000_i64;
    let at = |us: i64| stamp(base + us * 1000);
    let name = |pid: i64, name: &str| json!({"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}});
    let python = |cat: &str, name: &str, tid: i64, ts: i64, dur: i64, args: Value| json!({"ph": "X", "cat": cat, "name": name, "pid": PYTHON, "tid": tid, "ts": at(ts), "dur": dur, "args": args});
    let mut rows = vec![name(PYTHON, "Python"), name(CANN, "CANN"), name(HARDWARE, "Ascend Hardware")];
    rows.extend([
        python("cpu_op", "ProfilerStep#1", 1, 0, 640, json!({})),
        python("python_function", "nn.Module: Linear_0", 1, 10, 100, json!({})),
        python("cpu_op", "aten::mm", 1, 20, 50, json!({})),
        python("enqueue", "Enqueue", 1, 40, 10, json!({"correlation_id": 5})),
        python("dequeue", "Dequeue@aclnnMm", 2, 200, 40, json!({"correlation_id": 5})),
        python("cpu_op", "Optimizer.step#SGD.step", 1, 300, 100, json!({})),
        python("cpu_op", "aten::add_", 1, 310, 20, json!({})),
        python("enqueue", "Enqueue", 1, 315, 10, json!({"correlation_id": 6})),
        python("dequeue", "Dequeue@aclnnAdd", 2, 600, 40, json!({"correlation_id": 6})),
    ]);
    for (connection, operator, launch, start, dur) in [(11, 20, 210, 220, 100), (12, 310, 610, 620, 50)] {
        rows.push(
            json!({"ph": "X", "name": "Node@launch", "pid": CANN, "tid": 2, "ts": at(launch), "dur": 8,
            "args": {"connection_id": connection}}),
        );
        rows.push(
            json!({"ph": "X", "name": "MatMul", "pid": HARDWARE, "tid": 2, "ts": at(start), "dur": dur,
            "args": {"Task Type": "AI_CORE", "connection_id": connection}}),
        );
        for (phase, place, ts) in [("s", (PYTHON, 1), operator), ("f", (HARDWARE, 2), start)] {
            rows.push(json!({"ph": phase, "bp": "e", "cat": "async_npu", "name": "torch_to_npu",
                "id": base + start * 1000, "pid": place.0, "tid": place.1, "ts": at(ts), "args": {}}));
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace_view.json");
    std::fs::write(&path, serde_json::to_vec(&rows).unwrap()).unwrap();
    let parts = records("modules", [&path]);
    let own = |part: &str, name: &str| {
        let found = parts.iter().find(|r| r["part"] == part && r["name"] == name);
        found.map(|r| r["own_ns"].as_i64().unwrap())
    };
    assert_eq!(own("module", "nn.Module: Linear_0"), Some(100_000), "{parts:?}");
    assert_eq!(own("annotation", "Optimizer.step#SGD.step"), Some(50_000), "{parts:?}");
    assert_eq!(own("phase", "optimizer"), Some(50_000), "{parts:?}");
    // From 320, where the device is done, to 610, where the call begins, and 10 until the work does.
    let idle = records("idle", [&path]);
    let causes = &of(&idle, "tracewhy.idle")[0]["by_cause"];
    assert_eq!((&causes["host_late"], &causes["launch"]), (&json!(290_000), &json!(10_000)), "{causes}");
    // The path goes from the second kernel through its call and the queue to the operator.
    let critical = records("critical", [&path]);
    let items: Vec<&str> = critical.iter().filter_map(|r| r["name"].as_str()).collect();
    assert!(items.contains(&"aten::add_"), "{critical:?}");
}

fn sample(path: &str) -> Option<PathBuf> {
    testkit::require_data(&format!("msinsight/test/data/pytorch/{path}"))
}

#[test]
fn real_profiles_have_launches_and_modules() {
    for path in ["db/level1/rank0_ascend_pt", "text/level1/rank0_ascend_pt", "text/level0/rank0_ascend_pt"] {
        let Some(profile) = sample(path) else { return };
        let idle = records("idle", [&profile]);
        let whole = of(&idle, "tracewhy.idle")[0].clone();
        let time = |cause: &str| whole["by_cause"][cause].as_i64().unwrap_or(0);
        let idle_time = whole["idle_ns"].as_i64().unwrap();
        assert!(time("not_known") * 4 < idle_time, "{path}: {whole}");
        let parts = records("modules", [&profile]);
        let has = |name: &str| parts.iter().any(|r| r["name"] == name && r["total_ns"].as_i64().unwrap() > 0);
        assert!(has("nn.Module: Conv2d_0") && has("Optimizer.step#SGD.step"), "{path}");
        // Level 0 has no calls, so that the host seems busy where it waits for the device.
        if path.contains("level0") {
            continue;
        }
        let critical = records("critical", [&profile]);
        let on_device: i64 = ["compute", "communication", "queue"]
            .iter()
            .map(|cause| critical[0]["by_cause"][*cause].as_i64().unwrap_or(0))
            .sum();
        assert!(on_device > 50_000_000, "{path}: {}", critical[0]);
    }
}

#[test]
fn real_collectives_have_sizes() {
    let paths = ["rank0_ascend_pt", "rank1_ascend_pt"].map(|rank| sample(&format!("text/level1/{rank}")));
    let [Some(a), Some(b)] = paths else { return };
    let costs = records("comm", [&a, &b]);
    let sizes: Vec<u64> =
        of(&costs, "tracewhy.collective").iter().map(|c| c["bytes"].as_u64().unwrap()).collect();
    // `count` of FP32.
    assert!(sizes.contains(&(4_097_000 * 4)), "{sizes:?}");
    // The group has eight ranks, which none of the files says.
    for paths in [&[&a][..], &[&a, &b]] {
        let costs = records("comm", paths);
        assert!(of(&costs, "tracewhy.collective").iter().all(|c| c["bus_gbps"].is_null()), "{costs:?}");
    }
}

#[test]
fn allocators_of_a_real_database_are_apart() {
    let Some(profile) = sample("db/level1/rank0_ascend_pt") else { return };
    let memory = records("mem", [&profile]);
    let of_device = |name: &str| {
        let found = of(&memory, "tracewhy.memory").into_iter().find(|m| m["device"] == name);
        found.map(|m| (m["peak_bytes"].as_i64().unwrap(), m["after_bytes"].as_i64().unwrap()))
    };
    // The greatest and the last `totalAllocated` of each component of MEMORY_RECORD.
    assert_eq!(of_device("NPU:0 PTA"), Some((1_245_688_832, 1_000_412_672)));
    assert_eq!(of_device("NPU:0 GE"), Some((76_611_584, 131_072)));
    assert_eq!(of_device("NPU:0 PTA+GE"), Some((1_263_251_456, 1_000_543_744)));
    let devices: Vec<&Value> = of(&memory, "tracewhy.memory");
    assert_eq!(devices.len(), 3, "{devices:?}");
    // Rows of OP_MEMORY whose allocation is not after the peak, and whose release is.
    assert!(devices.iter().all(|d| d["unknown_releases"] == 0), "{devices:?}");
    let holders = of(&memory, "tracewhy.memory_holder");
    let held: i64 =
        holders.iter().filter(|h| h["device"] == "NPU:0 PTA").map(|h| h["bytes"].as_i64().unwrap()).sum();
    assert_eq!(held, 510_196_224);
}

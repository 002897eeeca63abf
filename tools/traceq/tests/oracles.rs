//! Results that other programs published for real traces, from the shared sample data. Skipped where that is absent.

#![allow(clippy::unwrap_used, reason = "helpers of tests are test code")]

mod support;

use std::collections::HashMap;
use std::path::Path;

use common::exit::Exit;
use serde_json::Value;
use support::run;
use testkit::list_files;
use testkit::require_data;

fn table(path: &Path) -> Vec<HashMap<String, String>> {
    csv::Reader::from_path(path).unwrap().deserialize().map(Result::unwrap).collect()
}

fn ns(record: &Value, field: &str) -> i64 {
    record[field].as_i64().unwrap_or_else(|| panic!("{field} in {record}"))
}

fn sum(path: &Path) -> Vec<Value> {
    let run = run([Path::new("sum"), Path::new("--format"), Path::new("json"), path]);
    assert_eq!(run.exit, Exit::Ok, "{}", path.display());
    run.records()
}

/// TraceLens prints milliseconds computed in floats from times near 1.4e12 us, which have steps of 0.25 ns: its sums
/// are off by that much per event, ours are exact.
#[test]
fn gpu_timelines_are_those_of_tracelens() {
    let mut seen = 0;
    for family in ["h100", "mi300"] {
        let Some(dir) = require_data(&format!("tracelens/tests/traces/{family}")) else { return };
        for path in list_files(&dir).into_iter().filter(|p| p.ends_with("gpu_timeline.csv")) {
            let stem = path.parent().unwrap().to_str().unwrap().replace("_perf_report_csvs", ".json.gz");
            let totals: Vec<_> =
                sum(Path::new(&stem)).into_iter().filter(|r| r["type"] == "traceq.total").collect();
            let [total] = &totals[..] else { panic!("{stem}: {} devices", totals.len()) };
            let tolerance = 2.0 + ns(total, "device_events") as f64 / 100.0;
            for row in table(&path) {
                let ours = match row["type"].as_str() {
                    "computation_time" => ns(total, "compute_ns"),
                    "exposed_comm_time" => ns(total, "exposed_communication_ns"),
                    "exposed_memcpy_time" => ns(total, "exposed_memcpy_ns"),
                    "busy_time" => ns(total, "total_ns") - ns(total, "idle_ns"),
                    "idle_time" => ns(total, "idle_ns"),
                    "total_time" => ns(total, "total_ns"),
                    "total_comm_time" => ns(total, "communication_ns"),
                    "total_memcpy_time" => ns(total, "memcpy_ns"),
                    other => panic!("{other}"),
                };
                let theirs = row["time ms"].parse::<f64>().unwrap() * 1e6;
                assert!((ours as f64 - theirs).abs() < tolerance, "{stem} {}: {ours} {theirs}", row["type"]);
            }
            seen += 1;
        }
    }
    assert_eq!(seen, 7);
}

/// The same tables list every kernel that they counted: ours are the same by name.
#[test]
fn kernels_are_those_of_tracelens() {
    for family in ["h100", "mi300"] {
        let Some(dir) = require_data(&format!("tracelens/tests/traces/{family}")) else { return };
        for path in list_files(&dir).into_iter().filter(|p| p.ends_with("kernel_summary.csv")) {
            let mut theirs: HashMap<String, (u64, f64)> = HashMap::new();
            for row in table(&path) {
                let entry = theirs.entry(row["Kernel name"].clone()).or_default();
                entry.0 += row["Kernel duration (µs)_count"].parse::<f64>().unwrap() as u64;
                entry.1 += row["Kernel duration (µs)_sum"].parse::<f64>().unwrap() * 1e3;
            }
            let stem = path.parent().unwrap().to_str().unwrap().replace("_perf_report_csvs", ".json.gz");
            let top = run(["top", "--by", "kernel", "-n", "100000", "--format", "json", &stem]);
            let ours: HashMap<String, (u64, i64)> = top
                .of("traceq.top")
                .iter()
                .map(|r| {
                    (
                        r["name"].as_str().unwrap().to_owned(),
                        (r["count"].as_u64().unwrap(), ns(r, "total_ns")),
                    )
                })
                .collect();
            // They leave out what was launched before the recording; those kernels may be fewer there.
            let all_linked = sum(Path::new(&stem)).iter().all(|r| r["excluded"]["unlinked"].is_null());
            for (name, (count, total)) in &theirs {
                let (n, t) = ours.get(name).unwrap_or_else(|| panic!("{stem}: no {name}"));
                assert!(n >= count && *t as f64 >= total - 1.0, "{stem}: {name}: {n} {count} {t} {total}");
                if all_linked {
                    assert!(n == count && (*t as f64 - total).abs() < 1.0, "{stem}: {name}: {t} {total}");
                }
            }
        }
    }
}

/// The exporter's own table, from float differences of times near 1.7e15 us: sums of durations are exact to its
/// noise, differences of times to its steps of 0.25 us.
#[test]
fn ascend_steps_are_those_of_the_exporter() {
    for (level, rank) in [("level0", 0), ("level0", 1), ("level1", 0), ("level1", 1)] {
        let Some(tree) =
            require_data(&format!("msinsight/test/data/pytorch/text/{level}/rank{rank}_ascend_pt"))
        else {
            return;
        };
        let records = sum(&tree);
        let steps: Vec<_> = records.iter().filter(|r| r["type"] == "traceq.step").collect();
        let rows = table(&tree.join("ASCEND_PROFILER_OUTPUT/step_trace_time.csv"));
        assert_eq!(steps.len(), rows.len());
        for (step, row) in steps.iter().zip(&rows) {
            assert_eq!((ns(step, "step").to_string(), ns(step, "rank")), (row["Step"].clone(), rank));
            let pairs = [
                ("compute_ns", "Computing", 1.0),
                ("communication_ns", "Communication", 1.0),
                ("exposed_communication_ns", "Communication(Not Overlapped)", 1.0),
                ("overlap_ns", "Overlapped", 1.0),
                ("idle_ns", "Free", 1.0),
                ("bubble_ns", "Bubble", 1.0),
                (
                    "exposed_communication_excluding_receive_ns",
                    "Communication(Not Overlapped and Exclude Receive)",
                    1.0,
                ),
                ("stage_ns", "Stage", 500.0),
                ("preparing_ns", "Preparing", 500.0),
            ];
            for (ours, theirs, tolerance) in pairs {
                let (a, b) = (ns(step, ours) as f64, row[theirs].parse::<f64>().unwrap() * 1e3);
                assert!((a - b).abs() < tolerance, "{level} {rank} {ours}: {a} {b}");
            }
        }
    }
}

/// Two ranks of one job, as HTA's rule of steps has it: the launches decide, and no step is dropped.
#[test]
fn both_ranks_of_the_sampled_job_have_their_steps() {
    for rank in 0..2 {
        let Some(path) = require_data(&format!("hta/tests/data/trace_filter/sampled_rank-{rank}.json.gz"))
        else {
            return;
        };
        let steps: Vec<_> = sum(&path).into_iter().filter(|r| r["type"] == "traceq.step").collect();
        let numbers: Vec<_> = steps.iter().map(|s| (ns(s, "step"), ns(s, "rank"))).collect();
        assert_eq!(numbers, [(551, rank), (552, rank)]);
    }
}

/// The exporter's tables of single rows, added up by name: kernels (`kernel_details.csv`), operators of the host with what they
/// call and without (`operator_details.csv`), and calls of CANN by their level (`api_statistic.csv`).
#[test]
fn names_have_the_times_of_ascends_tables() {
    for (level, rank) in [("level0", 0), ("level0", 1), ("level1", 0), ("level1", 1)] {
        let base =
            format!("msinsight/test/data/pytorch/text/{level}/rank{rank}_ascend_pt/ASCEND_PROFILER_OUTPUT");
        let Some(dir) = require_data(&base) else { return };
        let timeline = dir.join("trace_view.json");
        let top =
            run(["top", "--by", "kernel,op,api", "-n", "0", "--format", "json", timeline.to_str().unwrap()]);
        let mut ours: HashMap<(String, String), (u64, [i64; 2])> = HashMap::new();
        for r in top.of("traceq.top") {
            let text = |key: &str| r[key].as_str().unwrap().to_owned();
            let own = r["self_ns"].as_i64().unwrap_or_default();
            ours.insert(
                (text("by"), text("name")),
                (r["count"].as_u64().unwrap(), [ns(&r, "total_ns"), own]),
            );
        }
        let mut theirs: HashMap<(String, String), (u64, [f64; 2])> = HashMap::new();
        let mut add = |by: &str, name: String, count: u64, times: [f64; 2]| {
            let (n, sums) = theirs.entry((by.to_owned(), name)).or_default();
            *n += count;
            sums.iter_mut().zip(times).for_each(|(sum, time)| *sum += time);
        };
        for row in table(&dir.join("kernel_details.csv")) {
            add("kernel", row["Name"].clone(), 1, [row["Duration(us)"].parse().unwrap(), 0.0]);
        }
        for row in table(&dir.join("operator_details.csv")) {
            let times =
                ["Host Total Duration(us)", "Host Self Duration(us)"].map(|c| row[c].parse().unwrap());
            add("op", row["Name"].clone(), 1, times);
        }
        if level == "level1" {
            for row in table(&dir.join("api_statistic.csv")) {
                let place = match row["Level"].as_str() {
                    "acl" => "AscendCL",
                    "node" => "Node",
                    "hccl" => "HCCL",
                    other => panic!("{other}"),
                };
                let name = format!("{place}@{}", row["API Name"]);
                add(
                    "api",
                    name.to_lowercase(),
                    row["Count"].parse().unwrap(),
                    [row["Time(us)"].parse().unwrap(), 0.0],
                );
            }
        }
        assert!(theirs.len() > 200, "{}", theirs.len());
        for ((by, name), (count, times)) in &theirs {
            let is_it = |(b, n): &&(String, String)| {
                b == by && (n == name || by == "api" && n.to_lowercase() == *name)
            };
            let key = ours.keys().find(is_it).unwrap_or_else(|| panic!("{level} {rank}: no {by} {name}"));
            let (n, [total, own]) = ours[key];
            let is_near = |ns: i64, us: f64| us == 0.0 || (ns as f64 - us * 1e3).abs() < 50.0;
            assert!(n == *count && is_near(total, times[0]), "{by} {name}: {n} {total}, {count} {times:?}");
            assert!(by != "op" || is_near(own, times[1]), "{name}: {own}, {times:?}");
        }
    }
}

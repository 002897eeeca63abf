//! `tracewhy ranks` on jobs whose truth is known: planted faults are found, and nothing is blamed without one.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use serde_json::Value;
use support::hosts::{HostFault, write_hosts};
use support::jobs::{Fault, Plan, Truth, write_job};
use support::{of, records};

const PLAN: Plan = Plan {
    seed: 1,
    ranks: 8,
    steps: 8,
    fault: Fault::None,
    bad: 0,
    skewed: false,
    overlapped: false,
    numbered: true,
};

/// The records of a made-up job.
fn find_verdict(plan: &Plan) -> (Vec<Value>, Truth) {
    let dir = tempfile::tempdir().unwrap();
    let (paths, truth) = write_job(dir.path(), plan);
    (records("ranks", paths), truth)
}

fn verdict(plan: &Plan) -> Value {
    find_verdict(plan).0.swap_remove(0)
}

/// Variants of a job by seed: sizes, clocks, overlap and numbering differ.
fn variant(seed: u64, fault: Fault) -> Plan {
    let ranks = [4, 8, 8, 16, 32][seed as usize % 5];
    Plan {
        seed,
        ranks,
        steps: 5 + seed as usize % 6,
        fault,
        bad: (seed as usize * 7 + 3) % ranks,
        skewed: seed % 2 == 0,
        overlapped: seed % 3 == 0,
        numbered: seed % 4 != 0,
    }
}

const SEEDS: u64 = 20;

#[test]
fn planted_causes_are_found() {
    type MakeFault = fn(i64) -> Fault;
    let faults: [(MakeFault, &str); 6] = [
        (Fault::Compute, "compute"),
        (Fault::Host, "host"),
        (Fault::Input, "input"),
        (Fault::Garbage, "garbage_collection"),
        (Fault::Copy, "copy"),
        (Fault::Hiccup, "host"),
    ];
    let (mut found, mut cases) = (0, 0);
    let mut wrong = Vec::new();
    for (make, cause) in faults {
        for seed in 0..SEEDS {
            // From 10 % of a step on; a hiccup is larger, since one step says less than all.
            let least = if cause == "host" && make(0) == Fault::Hiccup(0) { 60 } else { 10 };
            let plan = variant(seed + 100, make(least + 2 * seed as i64));
            let verdict = verdict(&plan);
            cases += 1;
            if verdict["rank"] == plan.bad && verdict["cause"] == cause {
                found += 1;
            } else {
                wrong.push(format!("{plan:?}: {verdict}"));
            }
            if let Fault::Hiccup(_) = plan.fault {
                assert_eq!(verdict["only_steps"], serde_json::json!([10 + plan.steps / 2]), "{plan:?}");
            }
        }
    }
    assert!(found * 100 >= cases * 95, "{found} of {cases} found:\n{}", wrong.join("\n"));
}

#[test]
fn slow_links_are_found() {
    let (mut found, mut wrong) = (0, Vec::new());
    for seed in 0..SEEDS {
        let plan = Plan { steps: 6, ..variant(seed, Fault::Link(3 + seed as i64 % 3)) };
        let plan = Plan { ranks: plan.ranks.max(8), ..plan };
        let (records, _) = find_verdict(&plan);
        let is_found = records[0]["rank"] == plan.bad && records[0]["cause"] == "link";
        found += usize::from(is_found);
        wrong.extend((!is_found).then(|| format!("{plan:?}: {}", records[0])));
        assert_eq!(of(&records, "tracewhy.link").len(), 2, "{plan:?}");
    }
    assert!(found * 100 >= SEEDS as usize * 95, "{found} of {SEEDS}:\n{}", wrong.join("\n"));
}

#[test]
fn nothing_is_blamed_in_clean_jobs() {
    let blamed: Vec<String> = (0..100)
        .map(|seed| (seed, verdict(&variant(seed, Fault::None))))
        .filter(|(_, verdict)| !verdict["rank"].is_null())
        .map(|(seed, verdict)| format!("{seed}: {verdict}"))
        .collect();
    assert!(blamed.len() < 2, "{} of 100:\n{}", blamed.len(), blamed.join("\n"));
}

#[test]
fn many_ranks_are_one_job() {
    for ranks in [64, 512] {
        let plan = Plan { ranks, bad: ranks - 7, steps: 5, skewed: true, ..PLAN };
        let slow = verdict(&Plan { fault: Fault::Compute(25), ..plan });
        assert_eq!(
            (slow["rank"].as_u64(), slow["cause"].as_str()),
            (Some(ranks as u64 - 7), Some("compute"))
        );
        assert_eq!(slow["ranks"], ranks);
        assert!(verdict(&plan)["rank"].is_null(), "{ranks}");
    }
}

#[test]
fn ranks_without_a_trace_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { fault: Fault::Compute(30), bad: 5, ..PLAN };
    let (mut paths, _) = write_job(dir.path(), &plan);
    paths.remove(2);
    let verdict = records("ranks", &paths).swap_remove(0);
    assert_eq!((verdict["rank"].as_i64(), verdict["missing"].as_i64()), (Some(5), Some(1)));
    assert_eq!(verdict["missing_ranks"], serde_json::json!([2]));
    // Without the slow one, the others are all right, as far as anybody can say.
    paths.remove(4);
    let verdict = records("ranks", &paths).swap_remove(0);
    assert!(verdict["rank"].is_null() && verdict["undecided"][0].as_str().unwrap().contains("2 of 8 ranks"));
}

#[test]
fn numbers_are_those_of_the_generator() {
    for seed in 0..4 {
        let fault = if seed % 2 == 0 { Fault::Compute(20) } else { Fault::None };
        // Times on another clock are rounded to its ticks: so none here.
        let plan = Plan { seed, bad: 3, ranks: 6, numbered: seed < 2, ..PLAN };
        let (records, truth) = find_verdict(&Plan { fault, ..plan });
        let ranks = of(&records, "tracewhy.rank");
        assert_eq!(ranks.len(), 6);
        for (r, record) in ranks.iter().enumerate() {
            assert_eq!(record["rank"], r);
            assert_eq!(record["others_wait_ns"], truth.lost[r], "{seed}: rank {r}");
            assert_eq!(record["last"], truth.last[r], "{seed}: rank {r}");
            assert_eq!(record["compute_ns"], truth.compute[r] / plan.steps as i64, "{seed}: rank {r}");
            assert_eq!(record["collectives"], truth.reduces);
        }
        if fault != Fault::None {
            // Without it, others would have waited a little for the next to last.
            let lost = records[0]["lost_ns"].as_i64().unwrap();
            assert!(
                (truth.lost[3] * 95 / 100..truth.lost[3]).contains(&lost),
                "{lost}, of {}",
                truth.lost[3]
            );
            assert_eq!(records[0]["more_kernels"], false);
            assert!((records[0]["ratio"].as_f64().unwrap() - 1.2).abs() < 0.02);
        }
    }
}

#[test]
fn clocks_are_kept_apart_from_work() {
    let plan = Plan { skewed: true, bad: 2, fault: Fault::Host(20), ..PLAN };
    let (skewed, _) = find_verdict(&plan);
    let (straight, _) = find_verdict(&Plan { skewed: false, ..plan });
    assert_eq!((skewed[0]["rank"].as_i64(), straight[0]["rank"].as_i64()), (Some(2), Some(2)));
    let offset = |records: &[Value]| -> i64 {
        of(records, "tracewhy.rank")
            .iter()
            .filter_map(|r| r["clock_offset_ns"].as_i64())
            .map(i64::abs)
            .max()
            .unwrap()
    };
    assert!(offset(&skewed) > 1_000_000 && offset(&straight) == 0);
}

#[test]
fn one_rank_is_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    let (paths, _) = write_job(dir.path(), &Plan { fault: Fault::Compute(50), ..PLAN });
    let verdict = records("ranks", &paths[..1]).swap_remove(0);
    assert!(verdict["rank"].is_null() && verdict["confidence"] == 0.0);
    assert!(!verdict["undecided"].as_array().unwrap().is_empty());
}

/// msprof-analyze's `cluster_step_trace_time.csv` has the rows of each rank's `step_trace_time.csv` (msprof-analyze 26.2.0
/// `cluster_analyse/analysis/step_trace_time_analysis.py`): what the exporter of Ascend says of the step.
#[test]
fn the_parts_of_a_step_are_those_of_msprof_analyze() {
    for level in ["level0", "level1"] {
        let Some(dir) = testkit::require_data(&format!("msinsight/test/data/pytorch/text/{level}")) else {
            continue;
        };
        let ranks = [0, 1].map(|rank| dir.join(format!("rank{rank}_ascend_pt/ASCEND_PROFILER_OUTPUT")));
        let records = records("ranks", ranks.iter().map(|rank| rank.join("trace_view.json")));
        for (rank, dir) in ranks.iter().enumerate() {
            let record = of(&records, "tracewhy.rank").into_iter().find(|r| r["rank"] == rank).unwrap();
            let table = std::fs::read_to_string(dir.join("step_trace_time.csv")).unwrap();
            let lines: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
            let [names, values] = &lines[..] else { panic!("{level}: one step") };
            for (key, column) in
                [("compute_ns", "Computing"), ("exposed_communication_ns", "Communication(Not Overlapped)")]
            {
                let place = names.iter().position(|name| *name == column).unwrap();
                let expected: f64 = values[place].parse().unwrap();
                let found = record[key].as_i64().unwrap() as f64 / 1000.0;
                // The exporter adds up times that are rounded to parts of a microsecond.
                assert!(
                    (found - expected).abs() < 0.05,
                    "{level}: rank {rank}: {column}: {found}, {expected}"
                );
            }
        }
    }
}

/// What msprof-analyze 26.2.0 says of the same two ranks: `cluster -m cluster_time_summary` (computation, communication and
/// memory that nothing overlaps, what a rank waits for the other) and `-m hccl_sum` (the sum over all calls).
#[test]
fn databases_have_the_times_of_msprof_analyze() {
    let Some(dir) = testkit::require_data("msinsight/test/data/pytorch/db/level1") else { return };
    let paths = [0, 1].map(|rank| dir.join(format!("rank{rank}_ascend_pt")));
    let ranks = records("ranks", &paths);
    for (rank, times, others_wait) in
        [(0, [8_903_431, 98_071_947, 841_618], 5_081), (1, [8_915_634, 94_556_050, 762_215], 3_522_991)]
    {
        let record = of(&ranks, "tracewhy.rank").into_iter().find(|r| r["rank"] == rank).unwrap();
        let keys = ["compute_ns", "exposed_communication_ns", "exposed_copy_ns"];
        assert_eq!(keys.map(|key| record[key].as_i64().unwrap()), times, "rank {rank}");
        // Of two ranks, one waits what is lost for the other.
        assert_eq!(record["others_wait_ns"], others_wait, "rank {rank}");
    }
    let costs = records("comm", &paths);
    // Each call has a size of its own.
    let reduces = of(&costs, "tracewhy.collective");
    let sum = |key: &str| reduces.iter().map(|reduce| reduce[key].as_i64().unwrap()).sum::<i64>();
    assert!(reduces.iter().all(|reduce| reduce["kind"] == "all_reduce" && reduce["count"] == 1), "{costs:?}");
    assert_eq!((sum("total_ns"), sum("count")), (200_698_290, 4));
    // Time in which data move is that of the rank that waits least, in each call.
    let moving = sum("transfer_ns");
    assert!((moving - 98_585_109).abs() < 4, "{moving}");
}

/// On jobs without devices, an operator that is held up computes no longer than others.
#[test]
fn operators_of_hosts_that_stall_are_no_computation() {
    let mut wrong = Vec::new();
    let faults = [
        (HostFault::None, None),
        (HostFault::Compute(25), Some("compute")),
        (HostFault::Stall(1_500_000), Some("host")),
        (HostFault::Item(1_200_000), Some("host")),
        (HostFault::Pause(1_200_000), Some("host")),
    ];
    for (fault, cause) in faults {
        for (seed, ranks) in [(1, 4), (2, 8), (3, 4), (4, 16)] {
            let dir = tempfile::tempdir().unwrap();
            let bad = (seed as usize * 3) % ranks;
            let verdict = records("ranks", write_hosts(dir.path(), seed, ranks, bad, fault)).swap_remove(0);
            let rank = verdict["rank"].as_u64().map(|rank| rank as usize);
            if (rank, verdict["cause"].as_str()) != (cause.map(|_| bad), cause) {
                wrong.push(format!("{fault:?}: {verdict}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Real jobs of four processes with gloo, without devices: one as it is, one whose rank 2 multiplies matrices in vain.
#[test]
fn a_real_job_on_cpus_is_judged_by_its_operators() {
    for (name, rank) in [("gloo4-slow-rank2", Some(2)), ("gloo4-clean", None)] {
        let Some(dir) = testkit::require_data(&format!("own/{name}")) else { continue };
        let paths = (0..4).map(|r| dir.join(format!("rank{r}.pt.trace.json.gz")));
        let verdict = records("ranks", paths).swap_remove(0);
        assert_eq!(verdict["rank"].as_i64(), rank, "{verdict}");
        if rank.is_some() {
            assert_eq!(
                (verdict["cause"].as_str(), verdict["on_device"].as_bool()),
                (Some("compute"), Some(false))
            );
        }
    }
}

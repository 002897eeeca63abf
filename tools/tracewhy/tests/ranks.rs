//! `tracewhy ranks` on jobs whose truth is known: planted faults are found, and nothing is blamed without one.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use serde_json::Value;
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
fn judge(plan: &Plan) -> (Vec<Value>, Truth) {
    let dir = tempfile::tempdir().unwrap();
    let (paths, truth) = write_job(dir.path(), plan);
    (records("ranks", paths), truth)
}

fn verdict(plan: &Plan) -> Value {
    judge(plan).0.swap_remove(0)
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
        let (records, _) = judge(&plan);
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
        let (records, truth) = judge(&Plan { fault, ..plan });
        let ranks = of(&records, "tracewhy.rank");
        assert_eq!(ranks.len(), 6);
        for (r, record) in ranks.iter().enumerate() {
            assert_eq!(record["rank"], r);
            assert_eq!(record["lost_ns"], truth.lost[r], "{seed}: rank {r}");
            assert_eq!(record["last"], truth.last[r], "{seed}: rank {r}");
            assert_eq!(record["compute_ns"], truth.compute[r] / plan.steps as i64, "{seed}: rank {r}");
            assert_eq!(record["collectives"], truth.reduces);
        }
        if fault != Fault::None {
            assert_eq!(records[0]["lost_ns"], truth.lost[3]);
            assert_eq!(records[0]["more_kernels"], false);
            assert!((records[0]["ratio"].as_f64().unwrap() - 1.2).abs() < 0.02);
        }
    }
}

#[test]
fn clocks_are_kept_apart_from_work() {
    let plan = Plan { skewed: true, bad: 2, fault: Fault::Host(20), ..PLAN };
    let (skewed, _) = judge(&plan);
    let (straight, _) = judge(&Plan { skewed: false, ..plan });
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

//! `tracewhy ranks` and `comm` on jobs of 8 to 512 ranks with planted faults, bubbles and overlaps. The rates are printed:
//! `cargo test --workspace --test planted -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

mod support;

use serde_json::{Value, json};
use support::jobs::{Fault, Plan, Shape, Truth, write_shaped_job};
use support::pipelines::{PipelinePlan, write_pipeline};
use support::random::Random;
use support::{of, records};

/// Ranks, and how many jobs of that size there are for each fault, and without any.
const SIZES: [(usize, u64, u64); 6] =
    [(8, 6, 40), (16, 5, 30), (32, 3, 20), (64, 2, 16), (128, 2, 6), (512, 1, 3)];

type MakeFault = fn(i64) -> Fault;

/// Faults, the cause that is to be found, and how large they are: percent of a step, or times as long.
const FAULTS: [(MakeFault, &str, i64, i64); 7] = [
    (Fault::Compute, "compute", 25, 10),
    (Fault::Host, "host", 15, 10),
    (Fault::Input, "input", 15, 10),
    (Fault::Garbage, "garbage_collection", 15, 10),
    (Fault::Copy, "copy", 15, 10),
    (Fault::Hiccup, "host", 80, 20),
    (Fault::Link, "link", 3, 1),
];

/// A job by its seed: steps, clocks, overlap and numbering differ.
fn job(seed: u64, ranks: usize, fault: Fault) -> Plan {
    Plan {
        seed,
        ranks,
        steps: 5 + seed as usize % 3,
        fault,
        bad: (seed as usize * 37 + 3) % ranks,
        skewed: seed % 2 == 0,
        overlapped: seed % 3 == 0,
        numbered: seed % 4 != 0,
    }
}

/// The records of a job; of its ranks, those that `keep` names have a trace.
fn find_verdict(plan: &Plan, shape: &Shape, keep: impl Fn(usize) -> bool) -> (Vec<Value>, Truth) {
    let dir = tempfile::tempdir().unwrap();
    let (paths, truth) = write_shaped_job(dir.path(), plan, shape);
    let kept = paths.into_iter().enumerate().filter(|(rank, _)| keep(*rank)).map(|(_, path)| path);
    (records("ranks", kept), truth)
}

/// How many cases were right, and what was wrong with the others.
#[derive(Default)]
struct Rate {
    right: usize,
    wrong: Vec<String>,
}

impl Rate {
    fn add(&mut self, right: bool, plan: &Plan, verdict: &Value) {
        self.right += usize::from(right);
        self.wrong.extend((!right).then(|| format!("{plan:?}: {verdict}")));
    }

    fn cases(&self) -> usize {
        self.right + self.wrong.len()
    }

    fn percent(&self) -> f64 {
        self.right as f64 * 100.0 / self.cases().max(1) as f64
    }

    fn join(&mut self, other: Self) {
        self.right += other.right;
        self.wrong.extend(other.wrong);
    }

    fn print(&self, what: &str) {
        println!("{what}: {} of {} ({:.1} %)", self.right, self.cases(), self.percent());
    }
}

#[test]
fn the_planted_cause_is_found_in_jobs_of_all_sizes() {
    let mut all = Rate::default();
    for (make, cause, least, more) in FAULTS {
        let mut rate = Rate::default();
        for (ranks, seeds, _) in SIZES {
            for seed in 0..seeds {
                let plan = job(1000 + seed * 7 + ranks as u64, ranks, make(least + more * (seed as i64 % 4)));
                let (records, _) = find_verdict(&plan, &Shape::SMALL, |_| true);
                let verdict = &records[0];
                rate.add(verdict["rank"] == plan.bad && verdict["cause"] == cause, &plan, verdict);
            }
        }
        rate.print(&format!("{:?} found as {cause}", make(least)));
        all.join(rate);
    }
    all.print("planted causes found");
    assert!(all.percent() >= 95.0, "{}", all.wrong.join("\n"));
}

#[test]
fn clean_jobs_of_all_sizes_are_not_blamed() {
    let mut all = Rate::default();
    for (ranks, _, seeds) in SIZES {
        let mut rate = Rate::default();
        for seed in 0..seeds {
            let plan = job(5000 + seed * 11 + ranks as u64, ranks, Fault::None);
            let (records, _) = find_verdict(&plan, &Shape::SMALL, |_| true);
            rate.add(records[0]["rank"].is_null(), &plan, &records[0]);
        }
        rate.print(&format!("clean jobs of {ranks} ranks, nothing blamed"));
        all.join(rate);
    }
    all.print("clean jobs, nothing blamed");
    assert!(all.percent() > 98.0, "{}", all.wrong.join("\n"));
}

/// Transfers of a rank that take three times as long as equal ones, and a few thousandths of a step: they are told, and blamed for
/// nothing.
#[test]
fn a_slow_link_that_costs_little_is_not_blamed() {
    for (seed, ranks) in [(1, 8), (2, 16), (3, 32)] {
        for (exchange, is_blamed) in [(5_000, false), (200_000, true)] {
            let plan = job(seed, ranks, Fault::Link(3));
            let (records, _) = find_verdict(&plan, &Shape { exchange, ..Shape::USUAL }, |_| true);
            assert_eq!(records[0]["cause"] == "link", is_blamed, "{plan:?}: {}", records[0]);
            assert!(
                of(&records, "tracewhy.link").len() > 1 && records[0]["undecided"].is_null(),
                "{records:?}"
            );
        }
    }
}

/// An eighth of the ranks has no trace: they are named, and the slow one is found if it is not one of them.
#[test]
fn the_cause_is_found_with_ranks_missing() {
    let (mut found, mut kept_back) = (Rate::default(), Rate::default());
    for (ranks, seeds) in [(8, 4_u64), (16, 4), (64, 2), (256, 1)] {
        for (make, cause, least, _) in FAULTS.into_iter().filter(|(_, cause, ..)| *cause != "link") {
            for seed in 0..seeds {
                let plan = job(9000 + seed * 13 + ranks as u64, ranks, make(least + 10));
                let mut random = Random(seed + 1);
                let mut missing: Vec<usize> = (0..ranks).filter(|r| *r != plan.bad).collect();
                while missing.len() > ranks / 8 {
                    missing.swap_remove(random.below(missing.len() as i64) as usize);
                }
                missing.sort_unstable();
                let (records, _) = find_verdict(&plan, &Shape::SMALL, |rank| !missing.contains(&rank));
                let verdict = &records[0];
                assert_eq!(verdict["missing"], missing.len(), "{plan:?}");
                let named = missing.iter().take(verdict["missing_ranks"].as_array().unwrap().len());
                assert_eq!(verdict["missing_ranks"], json!(named.collect::<Vec<_>>()), "{plan:?}");
                found.add(verdict["rank"] == plan.bad && verdict["cause"] == cause, &plan, verdict);
                // Without the slow one, nobody else is to blame, and the verdict says what it does not know.
                let (records, _) = find_verdict(&plan, &Shape::SMALL, |rank| rank != plan.bad);
                let verdict = &records[0];
                let says = verdict["undecided"].as_array().is_some_and(|list| !list.is_empty());
                kept_back.add(verdict["rank"].is_null() && says, &plan, verdict);
            }
        }
    }
    found.print("causes found with an eighth of the ranks missing");
    kept_back.print("nobody blamed where the slow rank is missing");
    assert!(found.percent() >= 95.0, "{}", found.wrong.join("\n"));
    assert!(kept_back.percent() > 98.0, "{}", kept_back.wrong.join("\n"));
}

/// Clocks that differ by milliseconds and drift by as much as bad ones do: they are measured, and change no verdict.
#[test]
fn drifting_clocks_are_measured_and_blame_nobody() {
    let shape = Shape { ppm: 500, ..Shape::SMALL };
    let (mut clean, mut found) = (Rate::default(), Rate::default());
    for (ranks, seeds) in [(8, 8_u64), (32, 4), (128, 2)] {
        for seed in 0..seeds {
            let plan = Plan { skewed: true, ..job(300 + seed + ranks as u64, ranks, Fault::None) };
            let (records, truth) = find_verdict(&plan, &shape, |_| true);
            clean.add(records[0]["rank"].is_null(), &plan, &records[0]);
            for record in of(&records, "tracewhy.rank") {
                let rank = record["rank"].as_u64().unwrap() as usize;
                let Some(offset) = record["clock_offset_ns"].as_i64() else { continue };
                let expected = truth.clocks[0] - truth.clocks[rank];
                assert!(
                    (offset - expected).abs() < 20_000,
                    "{plan:?}: rank {rank}: {offset}, not {expected}"
                );
            }
            let plan = Plan { fault: Fault::Host(30), ..plan };
            let (records, _) = find_verdict(&plan, &shape, |_| true);
            let verdict = &records[0];
            found.add(verdict["rank"] == plan.bad && verdict["cause"] == "host", &plan, verdict);
        }
    }
    clean.print("drifting clocks, nothing blamed");
    found.print("drifting clocks, late host found");
    assert!(clean.wrong.is_empty(), "{}", clean.wrong.join("\n"));
    assert!(found.percent() >= 95.0, "{}", found.wrong.join("\n"));
}

#[test]
fn planted_overlap_is_what_is_exposed() {
    for (seed, ranks) in [(1, 8), (2, 16), (3, 64)] {
        for overlapped in [true, false] {
            let plan = Plan { overlapped, skewed: false, ..job(seed, ranks, Fault::Compute(20)) };
            let dir = tempfile::tempdir().unwrap();
            let (paths, truth) = write_shaped_job(dir.path(), &plan, &Shape::USUAL);
            let records = records("comm", paths);
            let costs = of(&records, "tracewhy.collective");
            let reduce = costs.iter().find(|cost| cost["kind"] == "all_reduce").unwrap();
            let exposed: i64 = truth.exposed.iter().sum();
            assert_eq!(
                (&reduce["total_ns"], &reduce["exposed_ns"]),
                (&json!(truth.reduce_total), &json!(exposed))
            );
            // Alone on the device, all of a collective is exposed; beside computation, part of it.
            assert_eq!(exposed < truth.reduce_total, overlapped, "{plan:?}");
        }
    }
}

#[test]
fn planted_bubbles_are_measured() {
    for (seed, stages, batches, slow) in
        [(1, 2, 4, None), (2, 4, 8, Some(2)), (3, 8, 4, None), (4, 8, 16, Some(0)), (5, 16, 8, Some(15))]
    {
        let plan = PipelinePlan { seed, stages, batches, steps: 3, slow };
        let dir = tempfile::tempdir().unwrap();
        let (paths, bubbles) = write_pipeline(dir.path(), &plan);
        let records = records("comm", paths);
        let mut found = vec![0; stages];
        for waits in of(&records, "tracewhy.waits") {
            found[waits["rank"].as_u64().unwrap() as usize] = waits["bubble_ns"].as_i64().unwrap();
        }
        assert_eq!(found, bubbles, "{plan:?}");
        let pairs = of(&records, "tracewhy.pair");
        assert_eq!(pairs.len(), 2 * (stages - 1), "{plan:?}");
        assert!(pairs.iter().all(|pair| pair["count"] == batches * plan.steps), "{plan:?}");
        let fewest = (0..stages).min_by_key(|stage| bubbles[*stage]);
        assert!(slow.is_none_or(|slow| fewest == Some(slow)), "the slow stage waits least: {bubbles:?}");
    }
}

//! How often `tracewhy ranks` finds planted faults, by cause, size, noise and how the job is divided, and how well it knows what
//! they cost. A table for people: `cargo test --workspace --test measured -- --ignored --nocapture`. `MEASURED` chooses lines that
//! contain it, `SEEDS` how many jobs a cell
//! has, `CLEAN` how many are without faults, `STEPS` how many steps a job has, `FAULT` those that contain it, `PERCENT` their sizes.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

mod support;

use serde_json::Value;
use support::groups::{ALL, Extra, GroupPlan, Planted, cost_of_faults, length_of_job, write_groups};
use support::{of, records};

/// Jobs of a cell with faults, and of one without.
fn seeds() -> [u64; 2] {
    let of = |name, usual| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    [of("SEEDS", 6), of("CLEAN", 18)]
}

/// The sizes of faults, in percent of a step.
fn sizes() -> Vec<i64> {
    let of = |text: String| text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    std::env::var("PERCENT").map_or_else(|_| vec![10, 20, 40, 100], of)
}

/// How jobs are divided.
fn jobs() -> Vec<(&'static str, GroupPlan)> {
    let clean = GroupPlan::clean;
    let stages = |ranks, inner| GroupPlan { batches: 4, world: false, ..clean(0, ranks, inner) };
    vec![
        ("data 8", clean(0, 8, 8)),
        ("data 32", clean(0, 32, 32)),
        ("tensor 4, data 4", clean(0, 16, 4)),
        ("stages 4, data 2", stages(8, 4)),
        ("tensor 2, stages 4, data 2", GroupPlan { tensor: 2, ..stages(16, 4) }),
        ("tensor 4, stages 4, data 4", GroupPlan { tensor: 4, ..stages(64, 4) }),
        ("alternating, stages 4, data 2", GroupPlan { alternating: true, batches: 6, ..stages(8, 4) }),
        ("interleaved, stages 4, data 2", GroupPlan { chunks: 2, batches: 3, ..stages(8, 4) }),
        ("rounds 3, tensor 4, data 4", GroupPlan { rounds: 3, world: false, ..clean(0, 16, 4) }),
        ("data 64", clean(0, 64, 64)),
        ("heavy ends, tensor 2, data 4", GroupPlan { tensor: 2, heavy: 40, ..stages(32, 4) }),
        ("experts 8, data 2", GroupPlan { experts: true, ..clean(0, 16, 8) }),
        ("uneven experts 8, data 2", GroupPlan { experts: true, hot: 60, ..clean(0, 16, 8) }),
    ]
}

/// By how much the time of kernels, or the work of all, changes.
const NOISE: [(&str, i64, i64); 4] =
    [("little", 0, 0), ("tails", 3, 0), ("long tails", 30, 0), ("uneven", 0, 20)];

/// The name, what a rank has more of, the cause that is to be found, in which steps.
const FAULTS: [(&str, Extra, &str, u64); 8] = [
    ("compute", Extra::Compute, "compute", ALL),
    ("host", Extra::Host, "host", ALL),
    ("input", Extra::Input, "input", ALL),
    ("copy", Extra::Copy, "copy", ALL),
    ("compute, one step", Extra::Compute, "compute", 1 << 5),
    ("kernel, one step", Extra::Kernel, "compute", 1 << 5),
    ("host, one step", Extra::Host, "host", 1 << 5),
    ("copy, one step", Extra::Copy, "copy", 1 << 5),
];

/// About how many nanoseconds a step takes.
fn step_length(plan: &GroupPlan) -> i64 {
    length_of_job(&GroupPlan { faults: Vec::new(), tail: 0, ..plan.clone() }) / plan.steps as i64
}

#[derive(Default)]
struct Cell {
    found: usize,
    /// Said to be a hiccup, and no verdict.
    hiccups: usize,
    /// Another rank is named.
    other: usize,
    of: usize,
    /// What others lose by what is said, and what they lose, of all jobs together.
    lost: i64,
    truth: i64,
    /// By how much both differ in a job at most, in thousandths of the job.
    apart: i64,
}

#[test]
#[ignore = "a table for people, of several minutes"]
fn how_often_causes_are_found() {
    let [seeds, clean_seeds] = seeds();
    let [only, only_fault] = ["MEASURED", "FAULT"].map(|name| std::env::var(name).unwrap_or_default());
    let steps_of_job = std::env::var("STEPS").ok().and_then(|text| text.parse().ok());
    for (job, shape) in jobs() {
        let shape = GroupPlan { steps: steps_of_job.unwrap_or(shape.steps), ..shape };
        for (noise, tail, uneven) in NOISE {
            let mut line = format!("{job:28} {noise:10}");
            if !line.contains(&only) {
                continue;
            }
            let mut clean = Cell::default();
            for seed in 0..clean_seeds {
                let plan = GroupPlan { seed: 77 + seed, tail, uneven, ..shape.clone() };
                clean.add(&plan, "");
            }
            line +=
                &format!(" | clean: {} of {} named, {} with hiccups", clean.other, clean.of, clean.hiccups);
            println!("{line}");
            for (fault, extra, cause, steps) in FAULTS.into_iter().filter(|_| seeds > 0) {
                let mut line = format!("    {fault:18}");
                if !line.contains(&only_fault) {
                    continue;
                }
                for percent in sizes() {
                    let mut cell = Cell::default();
                    for seed in 0..seeds {
                        let plan = GroupPlan { seed: 177 + seed, tail, uneven, ..shape.clone() };
                        let time = step_length(&plan) * percent / 100;
                        let rank = (seed as usize * 5 + 2) % plan.ranks;
                        let faults = vec![Planted { rank, extra, time, steps }];
                        cell.add(&GroupPlan { faults, ..plan }, cause);
                    }
                    let cost = if cell.truth > 0 {
                        format!("{}%", cell.lost * 100 / cell.truth)
                    } else {
                        format!("{}", cell.lost)
                    };
                    let apart = cell.apart as f64 / 10.0;
                    let (found, hiccups) = (cell.found, cell.hiccups);
                    line += &format!(
                        " | {percent}%: {found}+{hiccups}/{} x{} {cost:>4} ±{apart}",
                        cell.of, cell.other
                    );
                }
                println!("{line}");
            }
        }
    }
}

/// Whether a hiccup is a fault, in a step that has it.
fn is_of_fault(hiccup: &Value, fault: &Planted, cause: &str) -> bool {
    let has_step = hiccup["step"].as_u64().is_some_and(|step| fault.steps >> step & 1 == 1);
    hiccup["rank"] == fault.rank && hiccup["cause"] == cause && has_step && fault.steps != ALL
}

impl Cell {
    fn add(&mut self, plan: &GroupPlan, cause: &str) {
        let dir = tempfile::tempdir().unwrap();
        let records = records("ranks", write_groups(dir.path(), plan));
        let bad = plan.faults.first().map(|fault| fault.rank);
        let causes = of(&records, "tracewhy.cause");
        let right = causes
            .iter()
            .find(|found| bad.is_some_and(|bad| found["rank"] == bad) && found["cause"] == cause);
        let hiccups = of(&records, "tracewhy.hiccup");
        let hiccup = hiccups
            .iter()
            .find(|found| plan.faults.first().is_none_or(|fault| is_of_fault(found, fault, cause)));
        self.of += 1;
        self.found += usize::from(right.is_some());
        self.hiccups += usize::from(right.is_none() && hiccup.is_some());
        self.other += usize::from(causes.iter().any(|found| bad.is_none_or(|bad| found["rank"] != bad)));
        if let Some(found) = right.or(hiccup).filter(|_| bad.is_some()) {
            let truth = cost_of_faults(plan) * (plan.ranks as i64 - 1);
            let lost = found["lost_ns"].as_i64().unwrap();
            (self.lost, self.truth) = (self.lost + lost, self.truth + truth);
            let job = length_of_job(plan) * (plan.ranks as i64 - 1);
            self.apart = self.apart.max((lost - truth).abs() * 1000 / job);
        }
    }
}

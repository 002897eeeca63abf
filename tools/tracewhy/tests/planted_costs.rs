//! What `tracewhy ranks` says that a slow rank costs the others, beside how much longer the made-up job is for its fault: where
//! slack takes up a part of it, where work is uneven, and where kernels have long tails.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

mod support;

use serde_json::Value;
use support::groups::{ALL, Extra, GroupPlan, Planted, cost_of_faults, length_of_job, write_groups};
use support::{of, records};

const EXTRAS: [(Extra, &str); 4] =
    [(Extra::Compute, "compute"), (Extra::Host, "host"), (Extra::Input, "input"), (Extra::Copy, "copy")];

/// Jobs in which a rank that comes late is not always waited for.
fn jobs(seed: u64) -> Vec<GroupPlan> {
    let clean = |ranks, inner| GroupPlan { world: false, ..GroupPlan::clean(seed, ranks, inner) };
    let stages = |ranks| GroupPlan { batches: 4, ..clean(ranks, 4) };
    vec![
        stages(8),
        GroupPlan { tensor: 2, ..stages(16) },
        GroupPlan { tensor: 2, heavy: 40, ..stages(32) },
        GroupPlan { alternating: true, batches: 6, ..stages(8) },
        GroupPlan { chunks: 2, batches: 3, ..stages(8) },
        GroupPlan { rounds: 3, ..clean(16, 4) },
        GroupPlan { experts: true, hot: 60, world: true, ..clean(16, 8) },
    ]
}

fn without_faults(plan: &GroupPlan) -> i64 {
    length_of_job(&GroupPlan { faults: Vec::new(), ..plan.clone() })
}

fn causes_of(plan: &GroupPlan) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let records = records("ranks", write_groups(dir.path(), plan));
    of(&records, "tracewhy.cause").into_iter().cloned().collect()
}

/// Whether what others lose is as much as the job is longer: within 8 % of that, or half a percent of the job.
fn is_cost(lost: i64, plan: &GroupPlan) -> bool {
    let others = plan.ranks as i64 - 1;
    let (truth, job) = (cost_of_faults(plan) * others, without_faults(plan) * others);
    (lost - truth).abs() <= (truth.abs() * 8 / 100).max(job / 200)
}

fn check(what: &str, of: usize, wrong: &[String]) {
    println!("{what}: {} of {of}", of - wrong.len());
    assert!(wrong.len() * 20 <= of, "{what}:\n{}", wrong.join("\n"));
}

#[test]
fn others_lose_what_the_job_would_gain() {
    let (mut cases, mut wrong) = (0, Vec::new());
    for (i, plan) in (0..2).flat_map(|seed| jobs(600 + seed)).enumerate() {
        let step = without_faults(&plan) / plan.steps as i64;
        for (j, (extra, cause)) in EXTRAS.into_iter().enumerate() {
            let percent = [20, 40, 100][(i + j) % 3];
            // In all steps, or in every other one.
            let steps = [ALL, 0b1010_1010][(i + j) % 2];
            let rank = (i * 5 + j * 3) % plan.ranks;
            let faults = vec![Planted { rank, extra, time: step * percent / 100, steps }];
            let plan = GroupPlan { faults, ..plan.clone() };
            let causes = causes_of(&plan);
            let right = matches!(&causes[..], [found] if found["rank"] == rank && found["cause"] == cause
                && is_cost(found["lost_ns"].as_i64().unwrap(), &plan));
            cases += 1;
            wrong.extend((!right).then(|| format!("{plan:?}\n {} {causes:?}", cost_of_faults(&plan))));
        }
    }
    check("costs of slow ranks where there is slack", cases, &wrong);
}

/// A last stage has time until the first micro-batch comes: what takes it up costs nobody anything.
#[test]
fn what_slack_takes_up_costs_nothing() {
    let plan = GroupPlan { batches: 4, world: false, ..GroupPlan::clean(650, 8, 4) };
    let faults = vec![Planted { rank: 3, extra: Extra::Input, time: 300_000, steps: ALL }];
    let plan = GroupPlan { faults, ..plan };
    let causes = causes_of(&plan);
    assert_eq!((causes.len(), &causes[0]["rank"]), (1, &Value::from(3)), "{causes:?}");
    assert!(causes[0]["late_ns"].as_i64().unwrap() > 250_000, "{causes:?}");
    let lost = causes[0]["lost_ns"].as_i64().unwrap();
    assert!(lost < 8 * 7 * 300_000 / 20 && is_cost(lost, &plan), "{causes:?}");
}

/// Two faults of different ranks in the same steps cost together what the job is longer for both.
#[test]
fn faults_of_two_ranks_share_what_they_cost() {
    let (mut cases, mut wrong) = (0, Vec::new());
    for (i, plan) in jobs(700).into_iter().enumerate() {
        let time = without_faults(&plan) / plan.steps as i64 * 3 / 10;
        let (a, b) = (i % plan.ranks, (i * 3 + 5) % plan.ranks);
        let fault = |rank, extra| Planted { rank, extra, time, steps: ALL };
        let plan = GroupPlan { faults: vec![fault(a, Extra::Compute), fault(b, Extra::Host)], ..plan };
        let causes = causes_of(&plan);
        let lost: i64 = causes.iter().map(|found| found["lost_ns"].as_i64().unwrap()).sum();
        cases += 1;
        let right = causes.len() == 2 && is_cost(lost, &plan);
        wrong.extend((!right).then(|| format!("{plan:?}\n {lost} {} {causes:?}", cost_of_faults(&plan))));
    }
    check("costs of two slow ranks", cases, &wrong);
}

/// Where kernels now and then take many times as long, others are late by chance: what they would have waited anyway is not lost.
#[test]
fn chance_is_not_charged_to_a_slow_rank() {
    let (mut cases, mut wrong) = (0, Vec::new());
    for i in 0..6_u64 {
        for (extra, cause) in EXTRAS.into_iter().skip(1) {
            let plan = GroupPlan { tail: 3, ..GroupPlan::clean(750 + i, 8, 8) };
            let rank = i as usize;
            let faults = vec![Planted { rank, extra, time: 300_000, steps: ALL }];
            let plan = GroupPlan { faults, ..plan };
            let causes = causes_of(&plan);
            let found = causes.iter().find(|found| found["rank"] == rank && found["cause"] == cause);
            let right = found.is_some_and(|found| is_cost(found["lost_ns"].as_i64().unwrap(), &plan));
            cases += 1;
            wrong.extend((!right).then(|| format!("{plan:?}\n {} {causes:?}", cost_of_faults(&plan))));
        }
    }
    check("costs among kernels with long tails", cases, &wrong);
}

/// A rank that computes longer in all steps is found by what is usual for it, where single kernels take many times as long; and it
/// costs what the job is longer for it.
#[test]
fn slow_computation_among_long_tails_is_found_and_costed() {
    let (mut cases, mut wrong) = (0, Vec::new());
    for (percent, tail) in [(20, 30), (40, 30), (100, 30), (10, 3)] {
        let (mut lost, mut truth) = (0, 0);
        for i in 0..8_u64 {
            let clean = GroupPlan { tail, ..GroupPlan::clean(800 + 10 * percent as u64 + i, 8, 8) };
            let step = without_faults(&GroupPlan { tail: 0, ..clean.clone() }) / clean.steps as i64;
            let rank = i as usize;
            let fault = Planted { rank, extra: Extra::Compute, time: step * percent / 100, steps: ALL };
            let plan = GroupPlan { faults: vec![fault], ..clean };
            let causes = causes_of(&plan);
            let found = causes.iter().find(|found| found["rank"] == rank && found["cause"] == "compute");
            lost += found.map_or(0, |found| found["lost_ns"].as_i64().unwrap());
            truth += cost_of_faults(&plan) * (plan.ranks as i64 - 1);
            cases += 1;
            wrong.extend(found.is_none().then(|| format!("{plan:?}\n {causes:?}")));
        }
        println!("{percent} % of a step, tails {tail}: {lost} of {truth}");
        assert!(
            (lost - truth).abs() * 5 <= truth,
            "{percent} % of a step, tails {tail}: {lost}, not {truth}"
        );
    }
    check("slow computation among long tails", cases, &wrong);
}

/// What a rank waits for in a single step is known by itself, however much its work changes: it is a hiccup from a tenth of a step
/// on, and no slow rank.
#[test]
fn small_faults_of_a_single_step_are_hiccups() {
    let (mut cases, mut wrong) = (0, Vec::new());
    for i in 0..4_u64 {
        for (extra, cause) in [(Extra::Host, "host"), (Extra::Copy, "copy")] {
            for uneven in [0, 20] {
                let plan = GroupPlan { uneven, ..GroupPlan::clean(900 + i, 8, 8) };
                let time = without_faults(&plan) / plan.steps as i64 / 10;
                let rank = (i * 5 + 2) as usize % 8;
                let plan = GroupPlan { faults: vec![Planted { rank, extra, time, steps: 1 << 4 }], ..plan };
                let dir = tempfile::tempdir().unwrap();
                let records = records("ranks", write_groups(dir.path(), &plan));
                let hiccups = of(&records, "tracewhy.hiccup");
                let right = matches!(&hiccups[..], [found] if found["rank"] == rank && found["cause"] == cause
                    && found["step"] == 4 && is_cost(found["lost_ns"].as_i64().unwrap(), &plan));
                cases += 1;
                wrong.extend((!right).then(|| format!("{plan:?}\n {hiccups:?}")));
            }
        }
    }
    check("small faults of a single step", cases, &wrong);
}

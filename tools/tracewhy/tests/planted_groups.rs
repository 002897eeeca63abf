//! `tracewhy ranks` on jobs of inner and outer groups and of pipelines, with planted faults: who is slow, why, and what that
//! costs. The rates are printed: `cargo test --workspace --test planted_groups -- --nocapture`.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

mod support;

use std::ffi::OsString;

use serde_json::Value;
use support::groups::{ALL, Extra, GroupPlan, Planted, cost_of_faults, write_groups};
use support::of;

const EXTRAS: [(Extra, &str); 4] =
    [(Extra::Compute, "compute"), (Extra::Host, "host"), (Extra::Input, "input"), (Extra::Copy, "copy")];

fn find_verdict(plan: &GroupPlan) -> Vec<Value> {
    judge_without(plan, None)
}

/// The records of a job, of which one rank has no trace. A trace that was cut off is an error, and no reason to say nothing.
fn judge_without(plan: &GroupPlan, missing: Option<usize>) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--quiet", "--format", "json", "ranks"].into_iter().map(OsString::from);
    let paths = write_groups(dir.path(), plan).into_iter().zip(0..);
    let kept = paths.filter(|(_, rank)| Some(*rank) != missing).map(|(path, _)| path.into());
    let args: Vec<OsString> = args.chain(kept).collect();
    let (_, text) = testkit::run_tool::<tracewhy::Cli>(&args);
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What other ranks lose by a slow one: as much as the job is longer than without faults, which chance changes in nothing else.
fn lost_by_faults(plan: &GroupPlan) -> i64 {
    cost_of_faults(plan) * (plan.ranks as i64 - 1)
}

/// Whether it is a number within a share of what is expected.
fn is_about(found: &Value, expected: i64, share: f64) -> bool {
    found.as_i64().is_some_and(|found| (found - expected).abs() as f64 <= share * expected as f64)
}

/// What was wrong, of how many cases.
#[derive(Default)]
struct Rate {
    cases: usize,
    wrong: Vec<String>,
}

impl Rate {
    fn add(&mut self, right: bool, plan: &GroupPlan, records: &[Value]) {
        self.cases += 1;
        let causes = of(records, "tracewhy.cause");
        self.wrong.extend((!right).then(|| format!("{plan:?}\n  {}\n  {causes:?}", records[0])));
    }

    fn check(self, what: &str, least: f64) {
        let right = self.cases - self.wrong.len();
        println!("{what}: {right} of {}", self.cases);
        assert!(right as f64 >= least * self.cases as f64, "{what}: {right}\n{}", self.wrong.join("\n"));
    }
}

/// Sizes of jobs and of their inner groups; which outer groups they have.
fn shapes() -> impl Iterator<Item = GroupPlan> {
    let sizes = [(8, 4), (16, 8), (8, 2), (16, 4), (32, 8), (4, 2)];
    let outer = [(true, true), (true, false), (false, true)];
    sizes.into_iter().enumerate().flat_map(move |(i, (ranks, inner))| {
        outer.into_iter().zip(0..).flat_map(move |((outer, world), j)| {
            [false, true].map(|experts| {
                let seed = 100 * i as u64 + 10 * j + u64::from(experts);
                GroupPlan { outer, world, experts, ..GroupPlan::clean(seed, ranks, inner) }
            })
        })
    })
}

fn planted(rank: usize, extra: Extra, time: i64) -> Planted {
    Planted { rank, extra, time, steps: ALL }
}

#[test]
fn a_slow_rank_of_an_inner_group_is_found_and_costed() {
    let mut rate = Rate::default();
    for (i, plan) in shapes().enumerate() {
        for (j, (extra, cause)) in EXTRAS.into_iter().enumerate() {
            let (rank, time) = ((i * 5 + j * 3) % plan.ranks, 240_000 + 30_000 * j as i64);
            let plan = GroupPlan { faults: vec![planted(rank, extra, time)], ..plan.clone() };
            let records = find_verdict(&plan);
            let verdict = &records[0];
            let right = verdict["rank"] == rank
                && verdict["cause"] == cause
                && verdict["causes"] == 1
                && is_about(&verdict["late_ns"], time, 0.05)
                && is_about(&verdict["lost_ns"], lost_by_faults(&plan), 0.08);
            rate.add(right, &plan, &records);
        }
    }
    rate.check("slow ranks of inner groups, what others lose within 8 %", 0.97);
}

/// While a collective waits beside others for a slow rank, the others go on.
#[test]
fn a_slow_rank_is_found_and_costed_where_collectives_run_beside_each_other() {
    let mut rate = Rate::default();
    for (i, (ranks, inner)) in [(8, 4), (8, 2), (16, 4), (16, 8)].into_iter().enumerate() {
        for (j, (extra, cause)) in EXTRAS.into_iter().enumerate() {
            for world in [false, true] {
                let (rank, time) = ((i * 5 + j * 3) % ranks, 240_000 + 30_000 * j as i64);
                let faults = vec![planted(rank, extra, time)];
                let clean = GroupPlan::clean(300 + 10 * i as u64 + j as u64, ranks, inner);
                let plan = GroupPlan { beside: true, world, faults, ..clean };
                let records = find_verdict(&plan);
                let verdict = &records[0];
                let right = verdict["rank"] == rank
                    && verdict["cause"] == cause
                    && is_about(&verdict["lost_ns"], lost_by_faults(&plan), 0.1);
                rate.add(right, &plan, &records);
            }
        }
    }
    rate.check("slow ranks beside hidden collectives, what others lose within 10 %", 0.95);
}

/// What each rank has to compute changes from step to step, as with sequences of different lengths.
#[test]
fn what_does_not_change_with_the_work_is_found_where_work_is_uneven() {
    let (mut rate, mut clean) = (Rate::default(), Rate::default());
    for i in 0..8_u64 {
        let plan = GroupPlan { uneven: 40, steps: 16, ..GroupPlan::clean(900 + i, 8, 8) };
        for (j, (extra, cause)) in EXTRAS.into_iter().enumerate().skip(1) {
            let rank = (i as usize + j * 3) % plan.ranks;
            let steps = [ALL, 1 << 9 | 1 << 3 | 1 << 12 | 1 << 5][i as usize % 2];
            let faults = vec![Planted { rank, extra, time: 250_000, steps }];
            let plan = GroupPlan { faults, ..plan.clone() };
            let records = find_verdict(&plan);
            let right = records[0]["rank"] == rank && records[0]["cause"] == cause;
            rate.add(right, &plan, &records);
        }
        let records = find_verdict(&plan);
        clean.add(records[0]["rank"].is_null(), &plan, &records);
    }
    rate.check("causes in uneven jobs", 0.95);
    clean.check("uneven jobs without any, nothing blamed", 1.0);
}

#[test]
fn clean_jobs_of_groups_and_stages_are_not_blamed() {
    let mut rate = Rate::default();
    let pipelines = pipelines().into_iter().filter(|plan| plan.faults.is_empty());
    for plan in shapes()
        .chain(shapes())
        .zip(1..)
        .map(|(plan, i)| GroupPlan { seed: 7000 + i, ..plan })
        .chain(pipelines)
    {
        let records = find_verdict(&plan);
        let quiet = records[0]["rank"].is_null() && records[0]["causes"] == 0;
        rate.add(quiet && records[0]["undecided"].is_null(), &plan, &records);
    }
    rate.check("clean jobs of groups and stages, nothing blamed", 0.98);
}

/// Now and then a kernel takes many times as long, on any rank: that is nobody's fault.
#[test]
fn what_takes_long_once_in_a_while_blames_nobody() {
    let (mut clean, mut found) = (Rate::default(), Rate::default());
    for (i, plan) in shapes().chain(pipelines().into_iter().filter(|plan| plan.faults.is_empty())).enumerate()
    {
        for tail in [1, 3, 10, 30] {
            let seed = 40_000 + 10 * i as u64 + tail as u64;
            let plan = GroupPlan { seed, tail, steps: 5 + i % 8, ..plan.clone() };
            let records = find_verdict(&plan);
            clean.add(records[0]["rank"].is_null() && records[0]["causes"] == 0, &plan, &records);
            if plan.batches > 0 || tail > 3 {
                continue;
            }
            // Who is slow all the time, or in every other step, still is.
            let steps = [ALL, 0b0101_0101_0101_0101][i % 2];
            let fault = Planted { steps, ..planted((i * 5 + 1) % plan.ranks, Extra::Compute, 300_000) };
            let plan = GroupPlan { faults: vec![fault], ..plan };
            let records = find_verdict(&plan);
            let right = records[0]["rank"] == fault.rank && records[0]["cause"] == "compute";
            found.add(right, &plan, &records);
        }
    }
    clean.check("clean jobs of kernels with long tails, nothing blamed", 0.98);
    found.check("slow ranks among kernels with long tails", 0.95);
}

/// Pipelines: stages, how many there are beside each other, whether all meet; of each a clean one and a slow one.
fn pipelines() -> Vec<GroupPlan> {
    let mut out = Vec::new();
    for (i, (stages, beside)) in
        [(2, 1), (4, 1), (8, 1), (2, 2), (4, 2), (2, 4), (4, 4)].into_iter().enumerate()
    {
        for world in [true, false] {
            for seed in 0..3 {
                let seed = 500 + 10 * i as u64 + seed;
                let clean = GroupPlan {
                    batches: 6,
                    world,
                    outer: beside > 1,
                    ..GroupPlan::clean(seed, stages * beside, stages)
                };
                let fault = planted((seed as usize * 3) % clean.ranks, Extra::Compute, 1_200_000);
                out.push(GroupPlan { faults: vec![fault], ..clean.clone() });
                out.push(clean);
            }
        }
    }
    out
}

#[test]
fn a_slow_stage_is_named_or_said_to_be_undecided() {
    let mut rate = Rate::default();
    for plan in pipelines().into_iter().filter(|plan| !plan.faults.is_empty()) {
        let rank = plan.faults[0].rank;
        let records = find_verdict(&plan);
        let verdict = &records[0];
        let right = if plan.ranks == plan.inner {
            let named = format!("rank {rank} works ");
            let says = |list: &Vec<Value>| list.iter().any(|text| text.as_str().unwrap().starts_with(&named));
            verdict["rank"].is_null() && verdict["undecided"].as_array().is_some_and(says)
        } else {
            verdict["rank"] == rank
                && verdict["cause"] == "compute"
                && verdict["causes"] == 1
                && is_about(&verdict["lost_ns"], lost_by_faults(&plan), 0.05)
        };
        rate.add(right, &plan, &records);
    }
    rate.check("slow stages named, or said to be undecided", 0.97);
}

/// In five of eight steps, in six, in every other, in three.
#[test]
fn slowness_in_any_share_of_the_steps_is_found() {
    let mut rate = Rate::default();
    for (i, plan) in shapes().enumerate() {
        for steps in [0b0001_1111_u64, 0b0111_1011, 0b0101_0101, 0b1011_0000] {
            let rank = (i * 7 + 2) % plan.ranks;
            let fault = Planted { steps, ..planted(rank, Extra::Compute, 300_000) };
            let plan = GroupPlan { faults: vec![fault], ..plan.clone() };
            let records = find_verdict(&plan);
            let verdict = &records[0];
            let causes = of(&records, "tracewhy.cause");
            let right = verdict["rank"] == rank
                && verdict["cause"] == "compute"
                && causes[0]["slow_steps"] == (steps & 0xff).count_ones()
                && is_about(&verdict["lost_ns"], lost_by_faults(&plan), 0.08);
            rate.add(right, &plan, &records);
        }
    }
    rate.check("slowness in some of the steps", 0.97);
}

#[test]
fn a_slow_rank_whose_trace_is_cut_off_is_found() {
    let mut rate = Rate::default();
    for (i, plan) in shapes().enumerate() {
        let rank = (i * 3 + 1) % plan.ranks;
        let plan =
            GroupPlan { faults: vec![planted(rank, Extra::Compute, 260_000)], cut: Some(rank), ..plan };
        let records = find_verdict(&plan);
        let says = |list: &Vec<Value>| list.iter().any(|text| text.as_str().unwrap().contains("incomplete"));
        let right = records[0]["rank"] == rank
            && records[0]["cause"] == "compute"
            && records[0]["undecided"].as_array().is_some_and(says);
        rate.add(right, &plan, &records);
    }
    rate.check("slow ranks with a trace that is cut off", 0.97);
}

/// The others of its group wait for it as long as all others wait for them: they are not late.
#[test]
fn a_group_that_waits_for_a_rank_without_a_trace_is_not_blamed() {
    let mut rate = Rate::default();
    for (i, plan) in shapes().enumerate() {
        let rank = (i * 5 + 3) % plan.ranks;
        let plan = GroupPlan { faults: vec![planted(rank, Extra::Compute, 260_000)], ..plan };
        let records = judge_without(&plan, Some(rank));
        rate.add(records[0]["causes"] == 0 && !records[0]["undecided"].is_null(), &plan, &records);
        // Without another one, the slow rank is found.
        let records = judge_without(&plan, Some((rank + 1) % plan.ranks));
        rate.add(records[0]["rank"] == rank && records[0]["causes"] == 1, &plan, &records);
    }
    rate.check("slow ranks of inner groups, with a rank missing", 0.97);
}

#[test]
fn slow_transfers_of_a_group_name_the_group() {
    let mut rate = Rate::default();
    for seed in 0..10 {
        for (ranks, inner) in [(16, 4), (32, 8), (8, 4)] {
            let groups = ranks / inner;
            let group = seed as usize % groups;
            let plan =
                GroupPlan { slow_group: Some((group, 5)), ..GroupPlan::clean(900 + seed, ranks, inner) };
            let records = find_verdict(&plan);
            let verdict = &records[0];
            let right = if groups > 2 {
                verdict["rank"].is_null()
                    && verdict["cause"] == "link"
                    && verdict["group"] == format!("in{group}")
                    && of(&records, "tracewhy.cause")[0]["ranks"].as_array().unwrap().len() == inner
            } else {
                // Of two groups, which is usual?
                verdict["causes"] == 0 && !verdict["undecided"].is_null()
            };
            rate.add(right, &plan, &records);
        }
    }
    rate.check("slow transfers of a group", 0.97);
}

#[test]
fn several_slow_ranks_and_several_causes_are_all_told() {
    let mut rate = Rate::default();
    for (i, plan) in shapes().enumerate().filter(|(_, plan)| plan.ranks > 4) {
        let (a, b) = ((i * 3) % plan.ranks, (i * 3 + 1 + i % (plan.ranks - 1)) % plan.ranks);
        // Two ranks, then two causes of one.
        let two = vec![planted(a, Extra::Compute, 260_000), planted(b, Extra::Copy, 300_000)];
        let one = vec![planted(a, Extra::Compute, 240_000), planted(a, Extra::Host, 260_000)];
        for faults in [two, one] {
            let plan = GroupPlan { faults, ..plan.clone() };
            let records = find_verdict(&plan);
            let causes = of(&records, "tracewhy.cause");
            let is_told = |fault: &Planted| {
                let name = EXTRAS.iter().find(|(extra, _)| *extra == fault.extra).unwrap().1;
                causes.iter().any(|found| {
                    found["rank"] == fault.rank
                        && found["cause"] == name
                        && is_about(&found["late_ns"], fault.time, 0.12)
                })
            };
            let total: i64 = causes.iter().map(|found| found["lost_ns"].as_i64().unwrap()).sum();
            let expected = lost_by_faults(&plan);
            let costs = is_about(&Value::from(total), expected, 0.08);
            let ordered = causes.windows(2).all(|pair| {
                pair[0]["rank"] != pair[1]["rank"]
                    || pair[0]["lost_ns"].as_i64() >= pair[1]["lost_ns"].as_i64()
            });
            let right = causes.len() == 2 && plan.faults.iter().all(is_told) && costs && ordered;
            rate.add(right, &plan, &records);
        }
    }
    rate.check("two ranks, or two causes of one", 0.97);
}

/// What passes from rank to rank is slow on none of them.
#[test]
fn lateness_that_changes_hands_blames_nobody() {
    let mut rate = Rate::default();
    for plan in shapes().filter(|plan| plan.ranks == 8) {
        let faults =
            (0..8).map(|rank| Planted { steps: 1 << rank, ..planted(rank, Extra::Compute, 400_000) });
        let plan = GroupPlan { faults: faults.collect(), ..plan };
        let records = find_verdict(&plan);
        rate.add(records[0]["causes"] == 0, &plan, &records);
    }
    rate.check("lateness that changes hands", 0.97);
}

/// A computation that takes long in one step is named: by the verdict, or as a hiccup where chance may do as much.
#[test]
fn a_computation_that_takes_long_once_is_named() {
    let mut rate = Rate::default();
    for (i, plan) in shapes().chain(pipelines().into_iter().filter(|plan| plan.faults.is_empty())).enumerate()
    {
        if plan.batches > 0 && plan.ranks == plan.inner {
            continue;
        }
        for tail in [0, 1] {
            let rank = (i * 5 + 2) % plan.ranks;
            let time = if plan.batches > 0 { 4_000_000 } else { 800_000 };
            let fault = Planted { rank, extra: Extra::Kernel, time, steps: 1 << 5 };
            let plan = GroupPlan { faults: vec![fault], tail, ..plan.clone() };
            let records = find_verdict(&plan);
            let found = of(&records, "tracewhy.cause").into_iter().chain(of(&records, "tracewhy.hiccup"));
            let right = found.into_iter().any(|found| {
                let is_step = found["step"] == 5 || found["only_steps"] == serde_json::json!([5]);
                let excess = || found["kernel_ns"].as_i64()?.checked_sub(found["kernel_usual_ns"].as_i64()?);
                found["rank"] == rank
                    && found["cause"] == "compute"
                    && is_step
                    && found["kernel"] == "gemm_kernel"
                    && is_about(&Value::from(excess()), time, 0.3)
            });
            rate.add(right, &plan, &records);
        }
    }
    rate.check("computations that take long once", 0.95);
}

/// Tensor, pipeline and data groups with stages of different work, and experts with different numbers of tokens.
#[test]
fn uneven_work_is_not_blamed_and_slow_compute_in_it_is() {
    let (mut clean, mut found) = (Rate::default(), Rate::default());
    for i in 0..6_u64 {
        let stages = |ranks, tensor, heavy| GroupPlan {
            tensor,
            heavy,
            batches: 4,
            world: i % 2 == 0,
            ..GroupPlan::clean(3000 + i, ranks, 4)
        };
        let experts = GroupPlan { experts: true, hot: 60, ..GroupPlan::clean(3100 + i, 16, 8) };
        for (plan, time) in [
            (stages(16, 2, 40), 600_000),
            (stages(32, 2, 80), 600_000),
            (stages(8, 1, 40), 600_000),
            (experts, 400_000),
        ] {
            let records = find_verdict(&plan);
            clean.add(records[0]["causes"] == 0, &plan, &records);
            let rank = (i as usize * 5 + 1) % plan.ranks;
            let plan = GroupPlan { faults: vec![planted(rank, Extra::Compute, time)], ..plan };
            let records = find_verdict(&plan);
            found.add(records[0]["rank"] == rank && records[0]["cause"] == "compute", &plan, &records);
        }
    }
    clean.check("uneven stages and experts, nothing blamed", 1.0);
    found.check("slow ranks among uneven stages and experts", 0.95);
}

//! Checks of the traces of one job together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::finding::Finding;

use super::finding_of;
use super::rules::{DEVICE_COUNT, RANK_CLOCKS_DISAGREE, RANK_MISSING, RANKS_DO_NOT_OVERLAP};
use crate::analysis::sum::Sums;
use crate::model::TraceMeta;
use crate::units::{format_duration, format_wall_clock};

/// The facts that are compared between ranks.
#[derive(Clone, Debug)]
pub struct RankFacts {
    path: PathBuf,
    rank: Option<i64>,
    world_size: Option<i64>,
    trace_id: Option<String>,
    /// Start and end in nanoseconds since the Unix epoch.
    window: Option<(i64, i64)>,
    /// Steps by number: start on the same clock, and duration.
    steps: BTreeMap<i64, (i64, i64)>,
    devices: usize,
}

/// More steps than this are not compared.
const MOST_STEPS: usize = 10_000;

impl RankFacts {
    /// The facts of a trace.
    pub fn of_trace(path: &Path, meta: &TraceMeta, sums: &Sums) -> Self {
        let offset = sums.recorded.extent.and_then(|(start, _)| meta.epoch_offset(start));
        let wall = |t: i64| offset.and_then(|o| t.checked_add(o));
        let steps = sums.steps.iter().filter(|s| !s.derived).take(MOST_STEPS);
        Self {
            path: path.to_owned(),
            rank: meta.rank,
            world_size: meta.world_size,
            trace_id: meta.trace_id.clone(),
            window: sums.recorded.extent.and_then(|(start, end)| Some((wall(start)?, wall(end)?))),
            steps: steps
                .filter_map(|s| Some((s.step.number, (wall(s.step.start)?, s.step.end - s.step.start))))
                .collect(),
            devices: sums.totals.iter().filter(|t| t.counts.device_events > 0).count(),
        }
    }
}

/// The findings between traces. Those belong together that have the same world size and trace id, and different ranks:
/// what else a user names at once may be of different jobs, and is not compared.
pub fn check_ranks(all: &[RankFacts]) -> Vec<Finding> {
    let mut findings = check_missing_ranks(all);
    let mut jobs: BTreeMap<(Option<i64>, Option<&str>), Vec<&RankFacts>> = BTreeMap::new();
    for facts in all.iter().filter(|f| f.rank.is_some()) {
        jobs.entry((facts.world_size, facts.trace_id.as_deref())).or_default().push(facts);
    }
    for mut job in jobs.into_values() {
        job.sort_by_key(|f| (f.rank, f.path.clone()));
        let ranks: BTreeSet<_> = job.iter().map(|f| f.rank).collect();
        if job.len() < 2 || ranks.len() < job.len() {
            continue;
        }
        let apart = check_windows(&job);
        if apart.is_empty() {
            findings.extend(check_clocks(&job));
        }
        findings.extend(apart);
        findings.extend(check_device_counts(&job));
    }
    findings
}

fn rank_text(facts: &RankFacts) -> String {
    facts.rank.map_or("-".to_owned(), |r| r.to_string())
}

/// Some of several say their rank and others do not.
fn check_missing_ranks(all: &[RankFacts]) -> Vec<Finding> {
    let with = all.iter().filter(|f| f.rank.is_some()).count();
    let jobs: BTreeSet<_> = all.iter().filter_map(|f| f.world_size).collect();
    if with == 0 || with == all.len() || jobs.len() > 1 {
        return Vec::new();
    }
    let missing = all.iter().filter(|f| f.rank.is_none());
    let found = |f: &RankFacts| {
        let found = format!("no rank, and {with} of {} traces say theirs", all.len());
        finding_of(&RANK_MISSING, &f.path, found, "the rank in each")
    };
    missing.map(found).collect()
}

/// Ranks whose window has nothing in common with that of the most.
fn check_windows(job: &[&RankFacts]) -> Vec<Finding> {
    let known: Vec<(&RankFacts, (i64, i64))> = job.iter().filter_map(|f| Some((*f, f.window?))).collect();
    let overlaps = |a: (i64, i64), b: (i64, i64)| a.0 < b.1 && b.0 < a.1;
    // The rank that overlaps most others is what they are compared with; of equal ones the first.
    let popularity = |window: (i64, i64)| known.iter().filter(|(_, w)| overlaps(window, *w)).count();
    let Some((main, window)) = known.iter().rev().max_by_key(|(_, w)| popularity(*w)) else {
        return Vec::new();
    };
    let apart = known.iter().filter(|(_, w)| !overlaps(*w, *window));
    let time = |ns: i64| format_wall_clock(ns).unwrap_or_else(|| format!("{ns} ns"));
    let found = |(facts, (start, end)): &(&RankFacts, (i64, i64))| {
        let found = format!("rank {}: {} to {}", rank_text(facts), time(*start), time(*end));
        let expected =
            format!("a part of {} to {}, as rank {}", time(window.0), time(window.1), rank_text(main));
        finding_of(&RANKS_DO_NOT_OVERLAP, &facts.path, found, &expected)
    };
    apart.map(found).collect()
}

/// Ranks that are in a step when others are in another one.
fn check_clocks(job: &[&RankFacts]) -> Vec<Finding> {
    let mut offsets: BTreeMap<usize, Vec<(i64, i64)>> = BTreeMap::new();
    let numbers: BTreeSet<i64> = job.iter().flat_map(|f| f.steps.keys().copied()).collect();
    for number in numbers {
        let mut starts: Vec<i64> = job.iter().filter_map(|f| f.steps.get(&number)).map(|s| s.0).collect();
        if starts.len() < 2 {
            continue;
        }
        // Of two, the first is as good as the second.
        starts.sort_unstable();
        let middle = starts[(starts.len() - 1) / 2];
        for (i, facts) in job.iter().enumerate() {
            if let Some((start, duration)) = facts.steps.get(&number) {
                offsets.entry(i).or_default().push((start - middle, *duration));
            }
        }
    }
    let mut findings = Vec::new();
    for (i, mut list) in offsets {
        list.sort_unstable_by_key(|(offset, _)| *offset);
        let (offset, _) = list[list.len() / 2];
        let longest = list.iter().map(|(_, duration)| *duration).max().unwrap_or(0);
        if offset.unsigned_abs() > longest.unsigned_abs() && offset != 0 {
            let way = if offset > 0 { "after" } else { "before" };
            let apart = format_duration(i64::try_from(offset.unsigned_abs()).unwrap_or(i64::MAX));
            let found = format!(
                "rank {}: steps begin {apart} {way} those of the other ranks, and last at most {}",
                rank_text(job[i]),
                format_duration(longest)
            );
            findings.push(finding_of(&RANK_CLOCKS_DISAGREE, &job[i].path, found, "less than a step"));
        }
    }
    findings
}

/// Ranks with work on more or fewer devices than the most.
fn check_device_counts(job: &[&RankFacts]) -> Vec<Finding> {
    let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
    for facts in job {
        *counts.entry(facts.devices).or_default() += 1;
    }
    let usual = counts.iter().max_by_key(|(_, n)| **n).map_or(0, |(devices, _)| *devices);
    let agreed = counts.get(&usual).is_some_and(|n| *n * 2 > job.len());
    let odd = job.iter().filter(|f| agreed && f.devices != usual);
    let found = |f: &&RankFacts| {
        let found = format!("rank {}: work on {} devices", rank_text(f), f.devices);
        finding_of(&DEVICE_COUNT, &f.path, found, &format!("{usual}, as most ranks"))
    };
    odd.map(found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn rank(rank: i64, start: i64, steps: &[(i64, i64)], devices: usize) -> RankFacts {
        RankFacts {
            path: format!("rank{rank}.json").into(),
            rank: Some(rank),
            world_size: Some(4),
            trace_id: None,
            window: Some((start, start + 10 * SECOND)),
            steps: steps.iter().map(|(n, at)| (*n, (start + at, SECOND))).collect(),
            devices,
        }
    }

    fn rules(all: &[RankFacts]) -> Vec<(String, String)> {
        check_ranks(all).into_iter().map(|f| (f.rule, f.path)).collect()
    }

    #[test]
    fn ranks_of_one_window_are_fine() {
        let steps = [(5, SECOND), (6, 2 * SECOND)];
        let all: Vec<_> = (0..4).map(|r| rank(r, r * 1000, &steps, 1)).collect();
        assert_eq!(rules(&all), []);
        // What is not of one job is not compared.
        let mut other = rank(0, 900 * SECOND, &steps, 2);
        other.world_size = Some(8);
        assert_eq!(rules(&[all[0].clone(), other]), []);
        assert_eq!(rules(&[all[0].clone(), rank(0, 900 * SECOND, &steps, 2)]), []);
    }

    #[test]
    fn a_rank_that_recorded_later_is_named() {
        let all = [rank(0, 0, &[], 1), rank(1, 100 * SECOND, &[], 1), rank(2, SECOND, &[], 1)];
        assert_eq!(rules(&all), [("ranks-do-not-overlap".to_owned(), "rank1.json".to_owned())]);
    }

    #[test]
    fn clocks_and_devices_are_compared_with_the_most() {
        let steps = [(5, SECOND), (6, 2 * SECOND)];
        let mut all: Vec<_> = (0..3).map(|r| rank(r, 0, &steps, 1)).collect();
        all.push(rank(3, 3 * SECOND, &steps, 2));
        assert_eq!(
            rules(&all),
            [
                ("rank-clocks-disagree".to_owned(), "rank3.json".to_owned()),
                ("device-count".to_owned(), "rank3.json".to_owned())
            ]
        );
        all[1].rank = None;
        assert_eq!(rules(&all)[0], ("rank-missing".to_owned(), "rank1.json".to_owned()));
    }
}

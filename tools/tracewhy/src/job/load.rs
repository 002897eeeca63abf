//! Work that is divided unevenly by plan: a rank whose experts get more tokens computes longer, and is not slow by that.
//!
//! Tokens come to experts, and their results go back, in all-to-alls of which each rank has a size of its own. If ranks are
//! later by as much as they have more of that, in all of the job, it explains their lateness.

use std::collections::BTreeMap;

use trace::clock::median;

use super::lateness::{StepLateness, median_of_others};
use super::place::RankPlaces;
use super::signal::FEW_RANKS;

/// Maximum number of steps of ranks by which is measured what more tokens cost: all pairs of them are compared.
const MOST_SAMPLES: usize = 512;
/// Loads that differ by less than one part in this many of the usual one say nothing.
const LEAST_APART: i64 = 50;
/// What they explain must make lateness smaller: to this share of it.
const MOST_LEFT: f64 = 0.7;

/// A rank in a step: how late it is, and by how many bytes its all-to-alls are larger than those of its equals.
#[derive(Clone, Copy, Debug)]
struct LoadSample {
    part: usize,
    step: i64,
    late: i64,
    more: i64,
    usual: i64,
}

/// Takes from the lateness of ranks what is explained by the tokens that they get.
pub(super) fn take_out_load(steps: &mut BTreeMap<i64, Vec<StepLateness>>, places: &RankPlaces) {
    let mut classes: BTreeMap<usize, Vec<LoadSample>> = BTreeMap::new();
    for (&step, ranks) in steps.iter() {
        let mut of_step: BTreeMap<usize, Vec<(usize, &StepLateness)>> = BTreeMap::new();
        for (part, at) in ranks.iter().enumerate().filter(|(_, at)| at.is_compared && at.load > 0) {
            of_step.entry(places.class(part)).or_default().push((part, at));
        }
        for (class, members) in of_step.into_iter().filter(|(_, members)| members.len() >= FEW_RANKS) {
            let mut loads: Vec<i64> = members.iter().map(|(_, at)| at.load).collect();
            loads.sort_unstable();
            let sample = |(part, at): (usize, &StepLateness)| {
                let usual = median_of_others(&loads, at.load);
                LoadSample { part, step, late: at.late, more: at.load - usual, usual }
            };
            classes.entry(class).or_default().extend(members.into_iter().map(sample));
        }
    }
    for samples in classes.into_values() {
        let Some(time) = time_per_byte(&samples) else { continue };
        for LoadSample { part, step, more, .. } in samples {
            let Some(at) = steps.get_mut(&step).and_then(|ranks| ranks.get_mut(part)) else { continue };
            at.by_load = (time * more as f64) as i64;
            at.late = at.late.saturating_sub(at.by_load);
        }
    }
}

/// Nanoseconds by which a rank is later for each byte, if that explains a good part of how late ranks are: the median of what
/// pairs of ranks say (Theil and Sen), which a slow rank among them does not change.
fn time_per_byte(samples: &[LoadSample]) -> Option<f64> {
    let least = samples.iter().map(|sample| sample.usual / LEAST_APART).max()?;
    let few: Vec<&LoadSample> = samples.iter().step_by(samples.len().div_ceil(MOST_SAMPLES).max(1)).collect();
    let mut slopes = Vec::new();
    for (i, a) in few.iter().enumerate() {
        for b in &few[i + 1..] {
            let apart = a.more.saturating_sub(b.more);
            if apart.saturating_abs() > least {
                slopes.push(a.late.saturating_sub(b.late) as f64 / apart as f64);
            }
        }
    }
    if slopes.len() < few.len() {
        return None;
    }
    let middle = slopes.len() / 2;
    let time = *slopes.select_nth_unstable_by(middle, f64::total_cmp).1;
    let size = |of: &dyn Fn(&LoadSample) -> f64| {
        median(&mut samples.iter().map(|sample| of(sample).abs() as i64).collect::<Vec<i64>>()) as f64
    };
    let before = size(&|sample| sample.late as f64);
    let after = size(&|sample| sample.late as f64 - time * sample.more as f64);
    (time > 0.0 && after < MOST_LEFT * before).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::RankPart;

    /// Lateness after that of eight ranks in six steps: what each has more to do, and how late it is.
    fn take_out(load: impl Fn(usize) -> i64, late: impl Fn(usize) -> i64) -> Vec<i64> {
        let of_rank = |rank: usize, step: usize| {
            let mut at = StepLateness::default();
            at.late = late(rank) + (rank * 5 + step * 3) as i64 % 7;
            (at.load, at.is_compared) = (load(rank), true);
            at
        };
        let ranks = |step| (0..8).map(|rank| of_rank(rank, step)).collect();
        let mut steps: BTreeMap<i64, Vec<StepLateness>> =
            (0..6).map(|step| (step as i64, ranks(step))).collect();
        let parts = vec![RankPart::default(); 8];
        take_out_load(&mut steps, &RankPlaces::of_calls(&parts, &BTreeMap::new()));
        steps[&2].iter().map(|at| at.late).collect()
    }

    #[test]
    fn who_gets_more_is_not_late_by_that() {
        let load = |rank: usize| 1_000_000 + 100_000 * (rank as i64 * 3 % 8);
        let more = |rank: usize| 100 * (rank as i64 * 3 % 8) - 350;
        let left = take_out(load, more);
        assert!(left.iter().all(|late| late.abs() <= 60), "{left:?}");
        // One of them is slow as well.
        let left = take_out(load, |rank| more(rank) + if rank == 3 { 500 } else { 0 });
        assert!(
            left.iter().enumerate().all(|(rank, late)| (late - if rank == 3 { 500 } else { 0 }).abs() <= 60),
            "{left:?}"
        );
    }

    #[test]
    fn loads_that_explain_nothing_change_nothing() {
        let late = |rank: usize| if rank == 5 { 800 } else { 0 };
        assert!(take_out(|rank| 1_000_000 + 100_000 * (rank as i64 * 3 % 8), late)[5] >= 800);
        assert!(take_out(|_| 1_000_000, late)[5] >= 800);
        assert!(take_out(|_| 0, late)[5] >= 800);
    }
}

//! Ranks that are slow in all steps where times have long tails: such a rank is hardly ever among the short ones, while the long
//! ones are everybody's.
//!
//! Of each stretch of own time, the place among those of its equals counts, and not its length, so that tails change nothing.
//! Fisher's method of joining tests: minus the logarithm of the share of others that is shorter is distributed exponentially if
//! nothing is wrong, and the sum over all stretches of a rank as a gamma distribution. What ranks do in one step may go
//! together; so it is measured by how much sums of steps differ more than independent stretches would, and there are fewer of
//! those by as much.

use std::collections::{BTreeMap, BTreeSet};

use trace::model::FastMap;

use super::evidence::{Evidence, FEW_STEPS, LEAST_SHARE, LateRank};
use super::hiccups::FEW_OF;
use super::signal::{FEW_RANKS, TO_DEVIATION};
use super::stretches::{StretchTime, Stretches, score, usual_time};
use trace::clock::median;

/// A job in which nothing is wrong has such a rank with at most this probability.
const MOST_CHANCE: f64 = 0.004;
/// Number of tests of each rank, by its places among all times of its equals and among those of the same step. The smaller
/// probability counts, times this number (Bonferroni's correction).
const TESTS: f64 = 2.0;
/// Where equals differ in each step, a slow one must be later by this multiple of what they differ by, as a standard deviation.
const LEAST_SPREAD: f64 = 3.0;
/// Maximum number of equals by which that is measured.
const MOST_EQUALS: usize = 32;

/// The scores of a rank in a step: each stretch counts by the time that it usually takes.
#[derive(Clone, Copy, Debug, Default)]
struct StepScore {
    sum: f64,
    weight: f64,
    /// The sum of the squares of weights: the variance of `sum` if stretches are independent.
    squares: f64,
}

impl StepScore {
    fn add(&mut self, other: Self) {
        self.sum += other.sum;
        self.weight += other.weight;
        self.squares += other.squares;
    }
}

impl Evidence<'_> {
    /// The ranks that take longer in all steps by what chance does not explain. Of those that are `known` to be late in some
    /// steps, the others count; those that are late in all are left out.
    pub(super) fn find_late_by_order(&self, stretches: &Stretches, known: &[LateRank]) -> Vec<LateRank> {
        // A few single steps make no sum of scores small.
        let many = known.iter().filter(|late| late.slow.len() * FEW_OF > self.signal.series[late.part].len());
        let of_known = many.flat_map(|late| late.slow.iter().map(|number| (late.part, *number)));
        let without: BTreeSet<(usize, i64)> = of_known.collect();
        let mut chances = vec![1.0_f64; self.parts.len()];
        for within_step in [false, true] {
            self.find_chances(stretches, within_step, &without, &mut chances);
        }
        let is_seldom = |part: &usize| chances[*part] * TESTS * self.parts.len() as f64 <= MOST_CHANCE;
        let is_known = |late: &LateRank, part: usize| {
            late.part == part && (late.partial.is_none() || late.by_cause.is_some())
        };
        let parts = (0..self.parts.len())
            .filter(|part| is_seldom(part) && !known.iter().any(|late| is_known(late, *part)));
        parts.filter_map(|part| self.describe_shift(stretches, part)).collect()
    }

    /// Describes how late a rank is by the usual time of its stretches, if that matters, stands out among its equals and has a
    /// cause.
    fn describe_shift(&self, stretches: &Stretches, part: usize) -> Option<LateRank> {
        let slow: Vec<i64> = self.signal.series[part].iter().map(|(number, _)| *number).collect();
        let (late, spread) = self.measure_shift(stretches, part);
        let least = (LEAST_SHARE * self.step_length as f64).max(LEAST_SPREAD * spread);
        let matters = slow.len() >= FEW_STEPS && late as f64 >= least;
        let late = LateRank { part, slow, late, share: 0.9, partial: None, by_cause: None };
        (matters && !self.explain_rank(&late).is_empty()).then_some(late)
    }

    /// By how many nanoseconds a rank takes longer in a step than its equals, and how much these differ by, as a standard
    /// deviation; 0 if they are too few to say.
    fn measure_shift(&self, stretches: &Stretches, part: usize) -> (i64, f64) {
        let own = stretches.find_shift(part);
        let equals: Vec<usize> = (0..self.parts.len())
            .filter(|other| *other != part && self.places.class(*other) == self.places.class(part))
            .collect();
        if equals.len() + 1 < FEW_RANKS {
            return (own, 0.0);
        }
        let few = equals.iter().step_by(equals.len().div_ceil(MOST_EQUALS).max(1));
        let mut shifts: Vec<i64> = few.map(|other| stretches.find_shift(*other)).collect();
        let middle = median(&mut shifts);
        let mut apart: Vec<i64> = shifts.iter().map(|shift| (shift - middle).abs()).collect();
        (own, TO_DEVIATION * median(&mut apart) as f64)
    }

    /// Lowers the `chances`, by index of the rank, to the probability that it is as seldom among the short ones of its equals by
    /// chance, in all steps but those of ranks that are in `without`.
    fn find_chances(
        &self,
        stretches: &Stretches,
        within_step: bool,
        without: &BTreeSet<(usize, i64)>,
        chances: &mut [f64],
    ) {
        let mut classes: BTreeMap<usize, FastMap<(u32, u32), StepScore>> = BTreeMap::new();
        let mut own = vec![OwnPlaces::default(); self.parts.len()];
        for (&(class, ..), column) in &stretches.columns {
            let of_class = classes.entry(class).or_default();
            each_score(column, within_step, &mut own, |stretch, score| {
                of_class.entry((stretch.part, stretch.step)).or_default().add(score);
            });
        }
        for mut of_class in classes.into_values() {
            of_class
                .retain(|(part, step), _| !without.contains(&(*part as usize, stretches.number_of(*step))));
            let mut of_parts: BTreeMap<u32, (StepScore, u32)> = BTreeMap::new();
            for ((part, _), score) in &of_class {
                let (sum, steps) = of_parts.entry(*part).or_default();
                sum.add(*score);
                *steps += 1;
            }
            let ranks = of_parts.len() as f64;
            let freedom: f64 =
                of_parts.values().map(|(_, steps)| f64::from(steps - 1)).sum::<f64>() * (ranks - 1.0) / ranks;
            // Few ranks show little of what chance does.
            if of_parts.len() < FEW_RANKS || freedom < 1.0 {
                continue;
            }
            let square = |((part, _), score): (&(u32, u32), &StepScore)| {
                let (sum, _) = of_parts.get(part).copied().unwrap_or_default();
                (score.sum - score.weight * sum.sum / sum.weight.max(f64::MIN_POSITIVE)).powi(2)
            };
            let squares: f64 = of_class.iter().map(square).sum();
            let expected = of_class.values().map(|score| score.squares).sum::<f64>() / of_class.len() as f64;
            let together = go_together(squares / freedom / expected.max(f64::MIN_POSITIVE), freedom);
            for (part, (score, _)) in of_parts {
                let count = score.weight * score.weight / score.squares.max(f64::MIN_POSITIVE) / together;
                let mean = score.sum / score.weight.max(f64::MIN_POSITIVE);
                let chance = if mean < 1.0 { chance_below(count, count * mean) } else { 1.0 };
                if let Some(least) = chances.get_mut(part as usize) {
                    *least = least.min(chance);
                }
            }
        }
    }
}

/// How many stretches of a step count as one at most, if sums of steps differ by `measured` times as much as those of
/// independent stretches would: that is measured with an error, by how many values are free to differ (`freedom`).
fn go_together(measured: f64, freedom: f64) -> f64 {
    // What is within the error of 1 is 1.
    let beyond = ((measured - 1.0) / (2.0 * (2.0 / freedom).sqrt())).clamp(0.0, 1.0);
    measured.max(1.0) * (1.0 + beyond * (freedom / low_of_chi_squared(freedom) - 1.0))
}

/// How many stretches of a pool are of one rank: all, those that are shorter than some time, and those that are as long.
#[derive(Clone, Copy, Debug, Default)]
struct OwnPlaces {
    all: usize,
    below: usize,
    alike: usize,
}

/// Calls `each` with the stretches of a column and their scores, whose mean is 1. `own` has room for each rank.
fn each_score(
    column: &[StretchTime],
    within_step: bool,
    own: &mut [OwnPlaces],
    mut each: impl FnMut(&StretchTime, StepScore),
) {
    let weight = usual_time(column).max(0) as f64;
    if weight == 0.0 {
        return;
    }
    let mut sorted = column.to_vec();
    sorted.sort_unstable_by_key(|stretch| (if within_step { stretch.step } else { 0 }, stretch.time));
    let mut scores = Vec::with_capacity(sorted.len());
    for pool in sorted.chunk_by(|a, b| !within_step || a.step == b.step) {
        pool.iter().for_each(|stretch| own[stretch.part as usize] = OwnPlaces::default());
        pool.iter().for_each(|stretch| own[stretch.part as usize].all += 1);
        let mut below = 0;
        for alike in pool.chunk_by(|a, b| a.time == b.time) {
            alike.iter().for_each(|stretch| own[stretch.part as usize].alike += 1);
            for stretch in alike {
                let own = own[stretch.part as usize];
                let (below, alike) = ((below - own.below) as f64, (alike.len() - own.alike) as f64);
                scores.push(score(below, alike, pool.len() - own.all));
            }
            for stretch in alike {
                let own = &mut own[stretch.part as usize];
                own.below += std::mem::take(&mut own.alike);
            }
            below += alike.len();
        }
    }
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    if mean <= 0.0 {
        return;
    }
    for (stretch, score) in sorted.iter().zip(scores) {
        each(stretch, StepScore { sum: weight * score / mean, weight, squares: weight * weight });
    }
}

/// What a chi-squared value is below with a probability of one twentieth, by its degrees of freedom (Wilson and Hilferty,
/// 1931).
fn low_of_chi_squared(freedom: f64) -> f64 {
    let part = 2.0 / (9.0 * freedom);
    freedom * (1.0 - part - 1.645 * part.sqrt()).max(0.1).powi(3)
}

/// The probability that a sum of `count` exponentially distributed values with a mean of 1 is `sum` or less: the regularized
/// incomplete gamma function, by its series (Abramowitz and Stegun, 6.5.29).
fn chance_below(count: f64, sum: f64) -> f64 {
    if sum <= 0.0 || count <= 0.0 {
        return if count > 0.0 { 0.0 } else { 1.0 };
    }
    let (mut term, mut series, mut place) = (1.0, 1.0, count);
    // Terms become smaller from the first on, where the sum is less than the count.
    while term > series * 1e-12 {
        place += 1.0;
        term *= sum / place;
        series += term;
    }
    (series.ln() + count * sum.ln() - sum - ln_gamma(count + 1.0)).exp().min(1.0)
}

/// The logarithm of the gamma function, by Stirling's series (Abramowitz and Stegun, 6.1.41), of values above 0.
fn ln_gamma(of: f64) -> f64 {
    let (mut of, mut less) = (of, 0.0);
    while of < 10.0 {
        less += of.ln();
        of += 1.0;
    }
    let inverse = 1.0 / of;
    let series = inverse / 12.0 - inverse.powi(3) / 360.0 + inverse.powi(5) / 1260.0;
    (of - 0.5) * of.ln() - of + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - less
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_exponentials_are_gamma_distributed() {
        // Of one, it is 1 - exp(-x); of ten, the probability that a Poisson variable with a mean of 5 is 10 or more.
        for (count, sum, expected) in [(1.0, 0.5, 0.393_469), (1.0, 3.0, 0.950_213), (10.0, 5.0, 0.031_828)] {
            assert!((chance_below(count, sum) - expected).abs() < 1e-6, "{count} {sum}");
        }
        assert!(chance_below(400.0, 200.0) < 1e-20 && chance_below(32.0, 0.0) == 0.0);
        assert!((ln_gamma(0.5) - std::f64::consts::PI.sqrt().ln()).abs() < 1e-9);
    }

    #[test]
    fn stretches_that_go_together_count_less() {
        // Tables of chi-squared: 49 degrees of freedom.
        assert!((low_of_chi_squared(49.0) - 33.93).abs() < 0.05);
        assert_eq!((go_together(0.9, 49.0), go_together(0.5, 217.0)), (1.0, 1.0));
        assert!((go_together(4.0, 49.0) - 5.78).abs() < 0.05);
    }

    /// The scores of a column, by rank: `times` of each rank, one for each step.
    fn mean_scores(times: &[&[i64]], within_step: bool) -> Vec<f64> {
        let mut column: Vec<StretchTime> = Vec::new();
        for (part, times) in (0..).zip(times) {
            column.extend((0..).zip(*times).map(|(step, time)| StretchTime { time: *time, part, step }));
        }
        column.sort_unstable_by_key(|stretch| stretch.time);
        let (mut sums, mut own) = (vec![0.0; times.len()], vec![OwnPlaces::default(); times.len()]);
        each_score(&column, within_step, &mut own, |stretch, score| {
            sums[stretch.part as usize] += score.sum / score.weight / times[0].len() as f64;
        });
        sums
    }

    #[test]
    fn who_is_never_short_has_a_low_score_whatever_tails_are() {
        let times: [&[i64]; 4] =
            [&[100, 101, 9000, 104], &[102, 800, 103, 100], &[131, 132, 130, 133], &[101, 103, 102, 70_000]];
        for within_step in [false, true] {
            let scores = mean_scores(&times, within_step);
            assert!((scores.iter().sum::<f64>() / 4.0 - 1.0).abs() < 1e-9, "{scores:?}");
            assert!(
                scores[2] < 0.5 && scores.iter().filter(|score| **score > 0.8).count() == 3,
                "{scores:?}"
            );
        }
        // Those that are alike share their places.
        let alike = mean_scores(&[&[5, 5], &[5, 5], &[5, 5]], false);
        assert!(alike.iter().all(|score| (score - 1.0).abs() < 1e-9), "{alike:?}");
    }
}

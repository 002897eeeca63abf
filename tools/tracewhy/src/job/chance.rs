//! Whether a rank that is late in some steps may be so by chance: what happens on its equals in all of theirs says how often
//! ranks of this job are as late without being slow.
//!
//! Times have long tails: a kernel that usually takes a millisecond takes a hundred once in a while, on any rank. The median
//! of what steps differ by says nothing about that.

use std::collections::BTreeMap;

use super::place::RankPlaces;
use super::signal::Signal;

/// A job in which nothing is wrong has such a rank with at most this probability; by a single computation, with less. With that
/// of [`super::order_test`], it is one percent.
const MOST_CHANCE: f64 = 0.006;
const MOST_CHANCE_OF_KERNEL: f64 = 0.001;
/// Of the ranks that are later still, each counts at most so often: it may be slow itself.
const MOST_OF_RANK: u64 = 2;
/// Spacings of the largest values by which the tail is measured: one of as many values, and as many at most. Few of them are of
/// the tail only; many say more, where the tail begins early.
const TAILS: [(usize, usize); 2] = [(6, 5), (2, 40)];
/// Of fewer values, many are no tail.
const LEAST_VALUES: usize = 40;
const LEAST_TAIL: usize = 3;

/// By how much ranks are late in all of their steps, by class of equal ranks: how late, and the index of the rank; the
/// latest first.
pub(super) struct Chances<'a> {
    signal: &'a Signal,
    /// Ranks are compared with their equals; without, with all.
    places: Option<&'a RankPlaces>,
    /// A job in which nothing is wrong has such a rank with at most this probability.
    most: f64,
    pools: BTreeMap<usize, Vec<(i64, usize)>>,
}

impl<'a> Chances<'a> {
    /// Of a signal of ranks beside their equals. Less than `least` nanoseconds is as good as nothing.
    pub(super) fn new(signal: &'a Signal, places: &'a RankPlaces, least: i64) -> Self {
        Self::of_pools(signal, Some(places), least, MOST_CHANCE)
    }

    /// Of what single computations take longer than usual: on any rank, that is as likely.
    pub(super) fn of_kernels(signal: &'a Signal, least: i64) -> Self {
        Self::of_pools(signal, None, least, MOST_CHANCE_OF_KERNEL)
    }

    fn of_pools(signal: &'a Signal, places: Option<&'a RankPlaces>, least: i64, most: f64) -> Self {
        let mut pools: BTreeMap<usize, Vec<(i64, usize)>> = BTreeMap::new();
        for (part, series) in signal.series.iter().enumerate() {
            // Who is late in all steps is so by no chance; who is early in all may be beside one that is late.
            let level = signal.levels[part].max(0);
            let values = series.iter().map(|(_, value)| ((value - level).max(least.max(1)), part));
            pools.entry(places.map_or(0, |places| places.class(part))).or_default().extend(values);
        }
        pools.values_mut().for_each(|pool| pool.sort_unstable_by(|a, b| b.cmp(a)));
        Self { signal, places, most, pools }
    }

    /// Returns whether a rank is as late as in these steps by chance.
    pub(super) fn explain(&self, part: usize, slow: &[i64]) -> bool {
        let steps = self.signal.series.get(part).map_or(0, Vec::len);
        let class = self.places.map_or(0, |places| places.class(part));
        let Some(pool) = self.pools.get(&class) else { return false };
        // Of a rank that is late in most steps, what they differ by counts like that of others.
        let own = (slow.len() * 2 <= steps).then_some(part);
        let pool: Vec<(i64, usize)> = pool.iter().filter(|(_, of)| Some(*of) != own).copied().collect();
        let ranks = self.signal.series.len() as f64;
        let mut late: Vec<i64> = slow.iter().filter_map(|number| self.signal.at(*number, part)).collect();
        late.sort_unstable_by(|a, b| b.cmp(a));
        // In one step by as much as in its latest, in two by as much as in the second of them, and so on.
        !late.iter().zip(1..).any(|(&late, count)| {
            let beyond = count_beyond(&pool, late);
            let more = if beyond == 0 { chance_beyond(&pool, late) } else { 1.0 };
            let share = (beyond as f64 + more) / pool.len().max(1) as f64;
            // Any of these says that it is slow; that all of its steps do counts for half. Together they do so by chance no
            // more often than said, since the sum of 1 / (n (n + 1)) is 1.
            let questions = if count == slow.len() { 2.0 } else { (2 * count * (count + 1)) as f64 };
            questions * ranks * chance_of_times(steps, count, share) <= self.most
        })
    }
}

/// How often ranks are as late.
fn count_beyond(pool: &[(i64, usize)], late: i64) -> u64 {
    let mut counts: BTreeMap<usize, u64> = BTreeMap::new();
    let beyond = pool.iter().take_while(|(value, _)| *value >= late);
    beyond.for_each(|(_, of)| *counts.entry(*of).or_default() += 1);
    counts.values().map(|count| (*count).min(MOST_OF_RANK)).sum()
}

/// The probability that the largest of all values is `late` or more if no other is, by how far the next ones are apart.
///
/// Of values whose tail falls as a power, `i ln(x[i] / x[i + 1])` of the i-th largest are exponentially distributed and
/// independent (Rényi's representation, by which Hill's estimator is derived): the first is compared with the sum of the
/// next. Lighter tails make it larger than it is.
fn chance_beyond(pool: &[(i64, usize)], late: i64) -> f64 {
    let chance = |(share, most): (usize, usize)| {
        chance_by_spacings(pool, late, (pool.len() / share).clamp(LEAST_TAIL, most))
    };
    if pool.len() < LEAST_VALUES {
        return chance(TAILS[0]);
    }
    // Of two answers the smaller one, so twice.
    TAILS.map(chance).into_iter().fold(1.0, f64::min) * TAILS.len() as f64
}

fn chance_by_spacings(pool: &[(i64, usize)], late: i64, spacings: usize) -> f64 {
    let largest: Vec<f64> = pool.iter().take(spacings + 1).map(|(value, _)| *value as f64).collect();
    let (Some(first), true) = (largest.first(), largest.len() > LEAST_TAIL) else { return 1.0 };
    let sum: f64 = largest.windows(2).zip(2..).map(|(pair, i)| f64::from(i) * (pair[0] / pair[1]).ln()).sum();
    let own = (late as f64 / first).ln().max(0.0);
    if own == 0.0 { 1.0 } else { (sum / (sum + own)).powi(largest.len() as i32 - 1) }
}

/// The probability that something happens `count` times in a number of steps, at most, if it does in this share of them.
fn chance_of_times(steps: usize, count: usize, share: f64) -> f64 {
    let ways = (0..count).map(|i| (steps.saturating_sub(i)) as f64 / (i + 1) as f64);
    ways.fold(1.0, |product, ways| product * ways * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::RankPart;

    /// Whether chance explains the latest steps of the first of eight ranks, whose others have these values.
    fn is_chance(own: &[i64], others: impl Fn(usize, usize) -> i64) -> bool {
        let series = |rank: usize| -> Vec<(i64, i64)> {
            let value = |step: usize| if rank == 0 { own[step] } else { others(rank, step) };
            (0..own.len()).map(|step| (step as i64, value(step))).collect()
        };
        let signal = Signal::new((0..8).map(series).collect());
        let parts = vec![RankPart::default(); 8];
        let places = RankPlaces::of_calls(&parts, &BTreeMap::new());
        let slow: Vec<i64> = (0..own.len()).filter(|step| own[*step] > 50).map(|step| step as i64).collect();
        Chances::new(&signal, &places, 1).explain(0, &slow)
    }

    /// Noise of up to 20, of a light tail.
    fn light(rank: usize, step: usize) -> i64 {
        (rank * 7 + step * 13) as i64 % 41 - 20
    }

    /// Noise in which one value in `n` is larger than `20 n`: its mean is not finite.
    fn heavy(rank: usize, step: usize) -> i64 {
        20 * 64 / (((rank * 8 + step) * 37) as i64 % 64 + 1) - 40
    }

    #[test]
    fn one_late_step_is_an_exception_where_tails_are_light() {
        assert!(!is_chance(&[3, -5, 200, 1, 0, 7, -9, 2], light));
        assert!(is_chance(&[3, -5, 60, 1, 0, 7, -9, 2], |r, s| if r == 3 && s == 4 {
            70
        } else {
            light(r, s)
        }));
    }

    #[test]
    fn one_late_step_is_chance_where_tails_are_heavy() {
        assert!(is_chance(&[3, -5, 2000, 1, 0, 7, -9, 2], heavy));
        // Four of them are not.
        assert!(!is_chance(&[3, 2000, 2000, 1, 1900, 7, -9, 1800], heavy));
    }

    #[test]
    fn another_rank_that_is_slow_in_some_steps_is_no_chance() {
        let own = [100, -5, 120, 1, 100, 110, -9, 100];
        let other = |rank, step| if rank == 5 && step % 2 == 0 { 130 } else { light(rank, step) };
        assert!(!is_chance(&own, other));
    }
}

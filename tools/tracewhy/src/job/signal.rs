//! What ranks have more of than their equals, step by step: lateness, or one of its possible causes.

use trace::clock::median;

use crate::part::sum_times;

/// From the median of distances to a standard deviation, of normal noise.
pub(super) const TO_DEVIATION: f64 = 1.4826;
/// Of fewer ranks, any may be the exception.
pub(super) const FEW_RANKS: usize = 5;

/// Something of each rank in each step, beside that of its equals.
pub(super) struct Signal {
    /// By index of the rank: the steps in which it was compared, in order, and what it has more.
    pub(super) series: Vec<Vec<(i64, i64)>>,
    /// By index of the rank: the median.
    pub(super) levels: Vec<i64>,
    /// What it changes by, from step to step.
    pub(super) noise: f64,
}

impl Signal {
    pub(super) fn new(series: Vec<Vec<(i64, i64)>>) -> Self {
        let values = |series: &[(i64, i64)]| series.iter().map(|(_, value)| *value).collect::<Vec<_>>();
        let levels: Vec<i64> = series.iter().map(|series| median(&mut values(series))).collect();
        let mut changes: Vec<i64> = series
            .iter()
            .zip(&levels)
            .flat_map(|(series, level)| series.iter().map(move |(_, value)| (value - level).abs()))
            .collect();
        let mut noise = median(&mut changes) as f64 * TO_DEVIATION;
        if series.len() < FEW_RANKS {
            // If one is late, the others are early: among changing values, the equal ones are the noise.
            let mut spreads: Vec<i64> =
                series.iter().filter_map(|series| spread_of_like(values(series))).collect();
            if !spreads.is_empty() {
                noise = noise.min(median(&mut spreads) as f64);
            }
        }
        Self { series, levels, noise }
    }

    /// The ranks that have most of it, at most so many, in their order.
    pub(super) fn list_latest(&self, most: usize) -> Vec<usize> {
        let sum = |part: usize| sum_times(self.series[part].iter().map(|(_, value)| (*value).max(0)));
        let mut parts: Vec<usize> = (0..self.series.len()).collect();
        if parts.len() > most {
            parts.sort_by_cached_key(|part| std::cmp::Reverse(sum(*part)));
            parts.truncate(most);
            parts.sort_unstable();
        }
        parts
    }

    /// What a rank has more in a step, if it was compared.
    pub(super) fn at(&self, number: i64, part: usize) -> Option<i64> {
        let series = self.series.get(part)?;
        series.binary_search_by_key(&number, |(step, _)| *step).ok().map(|place| series[place].1)
    }
}

/// How far values lie apart that are alike, as a standard deviation: the shortest span of four tenths of them, whatever the
/// others are.
fn spread_of_like(mut values: Vec<i64>) -> Option<i64> {
    /// Four tenths of normal noise lie within this number of deviations. Of few values, the shortest span is shorter.
    const SPAN: f64 = 1.05;
    const OF_FEW: f64 = 1.5;
    values.sort_unstable();
    let count = (values.len() * 2).div_ceil(5).max(3);
    let shortest = values.windows(count).map(|window| window[count - 1] - window[0]).min()?;
    Some((shortest as f64 * OF_FEW / SPAN) as i64)
}

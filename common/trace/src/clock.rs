//! The clock of one rank against that of another, by the ends of the collectives that both took part in.
//!
//! No rank leaves a collective before the last has entered it, so its ends lie close together, while its starts show who
//! waited. Clocks differ by an offset, and by a drift: the ratio of their speeds.

/// How to come from one clock to another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClockFit {
    /// The moment at which `offset` holds.
    origin: i64,
    /// Nanoseconds to add.
    pub offset: i64,
    /// Nanoseconds to add for each nanosecond since the origin.
    pub drift: f64,
    /// Median distance of the ends of matching collectives, in nanoseconds.
    pub residual: i64,
    /// Matching collectives.
    pub matched: u64,
}

impl ClockFit {
    /// Fits moments of one clock to the same moments of another. `None` without any.
    pub fn of(pairs: &[(i64, i64)]) -> Option<Self> {
        let origin = pairs.first()?.0;
        let steady = Self::with_drift(pairs, origin, 0.0);
        // The slopes between the first half and the second: few, far apart, and their median knows no outliers.
        let half = pairs.len() / 2;
        let mut slopes: Vec<f64> = (0..half)
            .filter_map(|i| {
                let ((x, y), (x2, y2)) = (pairs[i], pairs[i + half]);
                let run = x2.checked_sub(x).filter(|run| *run > 0)?;
                Some((y2.saturating_sub(y).saturating_sub(run)) as f64 / run as f64)
            })
            .collect();
        slopes.sort_unstable_by(f64::total_cmp);
        let Some(&drift) = slopes.get(slopes.len() / 2).filter(|_| pairs.len() >= 4) else {
            return Some(steady);
        };
        // Clocks of computers drift by less than a tenth of this: more is a wrong match.
        const MOST: f64 = 0.001;
        let drift = drift.clamp(-MOST, MOST);
        let drifting = Self::with_drift(pairs, origin, drift);
        // A drift that explains nothing is noise.
        Some(if drifting.residual < steady.residual / 2 { drifting } else { steady })
    }

    fn with_drift(pairs: &[(i64, i64)], origin: i64, drift: f64) -> Self {
        let shape = Self { origin, drift, ..Self::default() };
        let mut offsets: Vec<i64> = pairs.iter().map(|(x, y)| y.saturating_sub(shape.apply(*x))).collect();
        let offset = median(&mut offsets);
        let mut distances: Vec<i64> =
            offsets.iter().map(|o| o.saturating_sub(offset).saturating_abs()).collect();
        Self { offset, residual: median(&mut distances), matched: pairs.len() as u64, ..shape }
    }

    /// A moment on the other clock.
    pub fn apply(&self, moment: i64) -> i64 {
        let since = moment.saturating_sub(self.origin) as f64;
        moment.saturating_add(self.offset).saturating_add((since * self.drift).round() as i64)
    }
}

/// The median, the upper of two; 0 of nothing. Reorders the values.
pub fn median(values: &mut [i64]) -> i64 {
    if values.is_empty() {
        return 0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Moments of a clock that is `offset` behind and `ppm` too slow, with some noise.
    fn moments(offset: i64, ppm: f64, noise: i64) -> Vec<(i64, i64)> {
        (0..200_i64)
            .map(|i| {
                let truth = 5_000_000_000 + i * 10_000_000;
                let own = truth - offset - ((truth - 5_000_000_000) as f64 * ppm / 1e6) as i64;
                (own, truth + (i * 7919) % 13 * noise / 13)
            })
            .collect()
    }

    #[test]
    fn planted_offsets_and_drifts_are_found() {
        for (offset, ppm) in [(0, 0.0), (123_456_789, 0.0), (-7_000_000, 40.0), (1 << 40, -100.0)] {
            let pairs = moments(offset, ppm, 1_000);
            let fit = ClockFit::of(&pairs).unwrap();
            for (own, truth) in &pairs {
                assert!((fit.apply(*own) - truth).abs() < 2_000, "{offset} {ppm}: {fit:?}");
            }
        }
    }

    #[test]
    fn noise_is_no_drift() {
        let fit = ClockFit::of(&moments(5, 0.0, 100_000)).unwrap();
        assert_eq!(fit.drift, 0.0);
        assert_eq!(ClockFit::of(&[]), None);
        assert_eq!(ClockFit::of(&[(3, 10)]).unwrap().apply(4), 11);
    }
}

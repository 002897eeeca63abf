//! How much host time operators take up to any moment: per thread the union, summed over threads.

use trace::interval::IntervalSet;

/// A running total over time, answered by binary search.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    /// Moment, how many threads are busy from there on, and the sum until there.
    points: Vec<(i64, i64, i64)>,
}

impl Coverage {
    /// From one set per thread.
    pub(crate) fn new(threads: &[IntervalSet]) -> Self {
        let edges =
            threads.iter().flat_map(|t| t.intervals()).flat_map(|&(start, end)| [(start, 1), (end, -1)]);
        let mut edges: Vec<(i64, i64)> = edges.collect();
        edges.sort_unstable();
        let mut points: Vec<(i64, i64, i64)> = Vec::new();
        for (at, change) in edges {
            let (last, busy, sum) = points.last().copied().unwrap_or((at, 0, 0));
            let sum = sum.saturating_add(busy.saturating_mul(at - last));
            if last == at {
                points.pop();
            }
            points.push((at, busy + change, sum));
        }
        Self { points }
    }

    /// The sum until a moment.
    pub(crate) fn covered_until(&self, moment: i64) -> i64 {
        match self.points.partition_point(|(at, ..)| *at <= moment).checked_sub(1) {
            Some(i) => {
                let (at, busy, sum) = self.points[i];
                sum.saturating_add(busy.saturating_mul(moment - at))
            }
            None => 0,
        }
    }

    /// The sum over everything.
    pub(crate) fn total_covered(&self) -> i64 {
        self.points.last().map_or(0, |(.., sum)| *sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let coverage =
            Coverage::new(&[IntervalSet::union(vec![(0, 10), (20, 30)]), IntervalSet::union(vec![(5, 25)])]);
        let sums: Vec<_> =
            [-1, 0, 5, 7, 10, 22, 25, 30, 99].iter().map(|t| coverage.covered_until(*t)).collect();
        assert_eq!(sums, [0, 0, 5, 9, 15, 29, 35, 40, 40]);
        assert_eq!((coverage.total_covered(), Coverage::default().total_covered()), (40, 0));
    }
}

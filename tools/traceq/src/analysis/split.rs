//! How time on a device divides between computation, communication, copies and nothing.

use trace::interval::IntervalSet;
use trace::model::Category;

/// The division. `compute + exposed_communication + exposed_memcpy + idle = total`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// From the first start to the last end.
    pub(crate) total: i64,
    /// At least one computation runs; fills count as computation.
    pub(crate) compute: i64,
    /// At least one communication runs.
    pub(crate) communication: i64,
    /// Communication runs and no computation.
    pub(crate) exposed_communication: i64,
    /// At least one copy runs.
    pub(crate) memcpy: i64,
    /// A copy runs, and neither computation nor communication.
    pub(crate) exposed_memcpy: i64,
}

impl Split {
    /// Divides the time of some device events. `None` if there are none.
    pub(crate) fn of(events: impl IntoIterator<Item = (i64, i64, Category)>) -> Option<Self> {
        let mut spans: [Vec<(i64, i64)>; 3] = Default::default();
        let mut extent: Option<(i64, i64)> = None;
        for (start, end, category) in events {
            let (first, last) = extent.unwrap_or((start, end));
            extent = Some((first.min(start), last.max(end)));
            let kind = match category {
                Category::Collective => 1,
                Category::Memcpy => 2,
                _ => 0,
            };
            spans[kind].push((start, end));
        }
        let (first, last) = extent?;
        let [compute, communication, memcpy] = spans.map(IntervalSet::union);
        let exposed = communication.difference(&compute);
        Some(Self {
            total: last - first,
            compute: compute.length(),
            communication: communication.length(),
            exposed_communication: exposed.length(),
            memcpy: memcpy.length(),
            exposed_memcpy: memcpy.difference(&compute).difference(&communication).length(),
        })
    }

    /// Nothing runs.
    pub(crate) fn idle(&self) -> i64 {
        self.total - self.compute - self.exposed_communication - self.exposed_memcpy
    }

    /// Communication and computation both run.
    pub(crate) fn overlap(&self) -> i64 {
        self.communication - self.exposed_communication
    }

    /// A part of the total; `None` if that is 0.
    pub(crate) fn ratio(&self, part: i64) -> Option<f64> {
        (self.total > 0).then(|| part as f64 / self.total as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against an oracle that looks at every nanosecond.
        #[test]
        fn every_nanosecond_is_somewhere(
            events in prop::collection::vec((0i64..200, 0i64..40, 0usize..4), 1..40)
        ) {
            let kinds = [Category::Kernel, Category::Memset, Category::Collective, Category::Memcpy];
            let events: Vec<_> = events.into_iter().map(|(s, d, k)| (s, s + d, kinds[k])).collect();
            let split = Split::of(events.iter().copied()).unwrap();
            let first = events.iter().map(|e| e.0).min().unwrap();
            let last = events.iter().map(|e| e.1).max().unwrap();
            let mut expected = Split { total: last - first, ..Split::default() };
            let mut idle = 0;
            for t in first..last {
                let runs = |k: &[Category]| events.iter().any(|e| (e.0..e.1).contains(&t) && k.contains(&e.2));
                let compute = runs(&kinds[..2]);
                let (communication, copy) = (runs(&kinds[2..3]), runs(&kinds[3..]));
                expected.compute += i64::from(compute);
                expected.communication += i64::from(communication);
                expected.exposed_communication += i64::from(communication && !compute);
                expected.memcpy += i64::from(copy);
                expected.exposed_memcpy += i64::from(copy && !compute && !communication);
                idle += i64::from(!(compute || communication || copy));
            }
            prop_assert_eq!(split, expected);
            prop_assert_eq!(split.idle(), idle);
            prop_assert_eq!(split.overlap(), split.communication - split.exposed_communication);
        }
    }

    #[test]
    fn nothing_has_no_split() {
        assert_eq!(Split::of([]), None);
        assert_eq!(Split::of([(5, 5, Category::Kernel)]).unwrap().ratio(0), None);
    }
}

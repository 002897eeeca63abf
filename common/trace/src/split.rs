//! How time on a device divides between computation, communication, copies and nothing.

use crate::model::Category;

/// The division. `compute + exposed_communication + exposed_memcpy + idle = total`, always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// From the first start to the last end.
    pub total: i64,
    /// At least one computation runs; fills count as computation.
    pub compute: i64,
    /// At least one communication runs.
    pub communication: i64,
    /// Communication runs and no computation.
    pub exposed_communication: i64,
    /// At least one copy runs.
    pub memcpy: i64,
    /// A copy runs, and neither computation nor communication.
    pub exposed_memcpy: i64,
}

impl Split {
    /// Nothing runs.
    pub fn idle(&self) -> i64 {
        self.total - self.compute - self.exposed_communication - self.exposed_memcpy
    }

    /// Communication and computation both run.
    pub fn overlap(&self) -> i64 {
        self.communication - self.exposed_communication
    }

    /// The two together.
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            total: self.total.saturating_add(other.total),
            compute: self.compute.saturating_add(other.compute),
            communication: self.communication.saturating_add(other.communication),
            exposed_communication: self.exposed_communication.saturating_add(other.exposed_communication),
            memcpy: self.memcpy.saturating_add(other.memcpy),
            exposed_memcpy: self.exposed_memcpy.saturating_add(other.exposed_memcpy),
        }
    }

    /// The mean of `count` times, this being their sum; remainders of the divisions count as idle.
    pub fn divided_by(&self, count: i64) -> Self {
        Self {
            total: self.total / count,
            compute: self.compute / count,
            communication: self.communication / count,
            exposed_communication: self.exposed_communication / count,
            memcpy: self.memcpy / count,
            exposed_memcpy: self.exposed_memcpy / count,
        }
    }

    /// A part of the total; `None` if that is 0.
    pub fn ratio(&self, part: i64) -> Option<f64> {
        (self.total > 0).then(|| part as f64 / self.total as f64)
    }
}

/// Divides the time of events that come in the order of their starts, and keeps none of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct SplitSweep {
    /// Until here time has been divided; none before the first event.
    now: Option<i64>,
    /// Until when computation, communication and copies run.
    busy: [i64; 3],
    split: Split,
}

impl SplitSweep {
    /// Takes the next event. Starts must not decrease.
    pub fn add(&mut self, start: i64, end: i64, category: Category) {
        match self.now {
            None => (self.now, self.busy) = (Some(start), [start; 3]),
            Some(_) => self.advance(start),
        }
        let kind = match category {
            Category::Collective => 1,
            Category::Memcpy => 2,
            _ => 0,
        };
        self.busy[kind] = self.busy[kind].max(end);
    }

    /// Divides the time until a moment.
    fn advance(&mut self, moment: i64) {
        let Some(mut now) = self.now else { return };
        while now < moment {
            // The next end among those that run, or the moment.
            let until = self.busy.iter().copied().filter(|&b| b > now).min().unwrap_or(moment).min(moment);
            let [compute, communication, memcpy] = self.busy.map(|b| b > now);
            let span = until - now;
            let split = &mut self.split;
            split.total += span;
            split.compute += if compute { span } else { 0 };
            split.communication += if communication { span } else { 0 };
            split.memcpy += if memcpy { span } else { 0 };
            split.exposed_communication += if communication && !compute { span } else { 0 };
            split.exposed_memcpy += if memcpy && !compute && !communication { span } else { 0 };
            now = until;
        }
        self.now = Some(now);
    }

    /// The division up to the last end. `None` if there was no event.
    pub fn finish(mut self) -> Option<Split> {
        self.now?;
        let last = self.busy.iter().copied().max()?;
        self.advance(last);
        Some(self.split)
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
            let mut sorted = events.clone();
            sorted.sort_by_key(|e| e.0);
            let mut sweep = SplitSweep::default();
            sorted.iter().for_each(|(s, e, k)| sweep.add(*s, *e, *k));
            let split = sweep.finish().unwrap();
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
        assert_eq!(SplitSweep::default().finish(), None);
        let mut sweep = SplitSweep::default();
        sweep.add(5, 5, Category::Kernel);
        assert_eq!(sweep.finish().unwrap().ratio(0), None);
    }
}

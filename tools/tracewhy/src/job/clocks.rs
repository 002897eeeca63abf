//! How the clocks of the ranks differ, apart from how their work does.

use std::collections::BTreeMap;

use trace::clock::ClockFit;

use crate::part::call::CallFamily;
use crate::part::kept::Arrival;

/// The clock of one rank beside that of another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClockSkew {
    /// Index of the other rank.
    pub(crate) against: u32,
    pub(crate) fit: ClockFit,
}

impl ClockSkew {
    /// Nanoseconds that must be added for each second; none of few collectives, whose noise looks like it.
    pub(crate) fn drift_per_second(&self) -> Option<i64> {
        const LEAST: u64 = 32;
        (self.fit.matched >= LEAST).then(|| (self.fit.drift * 1e9).round() as i64)
    }
}

/// The ends of the collectives that two ranks share; of many, some.
#[derive(Clone, Debug, Default)]
struct SharedEnds {
    against: u32,
    pairs: Vec<(i64, i64)>,
    /// One of this many is kept.
    stride: u64,
    seen: u64,
}

/// Maximum number of ends of each rank that are kept.
const MOST_PAIRS: usize = 512;

/// The samples that clocks are fitted to, by index of the rank.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClockSamples(BTreeMap<u32, SharedEnds>);

impl ClockSamples {
    /// Takes one collective of the whole job. The first rank in it is the reference of the others.
    pub(crate) fn take(&mut self, family: &CallFamily, call: &[Arrival]) {
        let Some((first, others)) = call.split_first().filter(|_| family.kind.is_symmetric()) else { return };
        for arrival in others {
            let fresh = || SharedEnds { against: first.part, stride: 1, ..SharedEnds::default() };
            let ends = self.0.entry(arrival.part).or_insert_with(fresh);
            if first.part < ends.against {
                *ends = fresh();
            }
            if ends.against == first.part {
                ends.push((arrival.end, first.end));
            }
        }
    }

    /// The clocks, by index of the rank; those that share nothing have none.
    pub(crate) fn fit(mut self) -> BTreeMap<u32, ClockSkew> {
        let mut out = BTreeMap::new();
        for (part, ends) in &mut self.0 {
            ends.pairs.sort_unstable();
            if let Some(fit) = ClockFit::of(&ends.pairs) {
                out.insert(*part, ClockSkew { against: ends.against, fit });
            }
        }
        out
    }
}

impl SharedEnds {
    fn push(&mut self, pair: (i64, i64)) {
        if self.seen % self.stride == 0 {
            if self.pairs.len() >= MOST_PAIRS {
                let mut keep = false;
                self.pairs.retain(|_| {
                    keep = !keep;
                    keep
                });
                self.stride *= 2;
            }
            self.pairs.push(pair);
        }
        self.seen += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::call::CollectiveKind;

    #[test]
    fn an_offset_and_a_drift_are_found_in_few_samples() {
        let mut samples = ClockSamples::default();
        let family = CallFamily { kind: CollectiveKind::Barrier, ..CallFamily::default() };
        let arrival = |part, end| Arrival {
            start: end - 10,
            end,
            exposed: 10,
            awaited: 10,
            part,
            ..Arrival::default()
        };
        for i in 0..5000_i64 {
            let now = i * 1_000_000;
            // 3 ms behind, and 100 millionths too slow.
            samples.take(&family, &[arrival(0, now), arrival(4, now - 3_000_000 - now / 10_000)]);
        }
        assert!(samples.0[&4].pairs.len() <= MOST_PAIRS);
        let skew = samples.fit()[&4];
        assert_eq!((skew.against, (skew.fit.offset - 3_000_000).abs() < 1000), (0, true), "{skew:?}");
        assert!((skew.fit.drift - 1e-4).abs() < 1e-6, "{skew:?}");
    }
}

//! Slow links: transfers among some ranks that take longer than equal ones among others.
//!
//! The time of a transfer is that of the rank that came last to it, and so did not wait. Equal transfers are of one kind
//! and size, in groups of one size; at least three groups or pairs must have made them.

use std::collections::{BTreeMap, BTreeSet};

use trace::clock::median;

use crate::part::call::{CallFamily, CollectiveKind};
use crate::part::kept::Arrival;
use crate::part::sum_times;

/// The transfers of one family.
#[derive(Clone, Debug, Default)]
struct FamilyTransfers {
    times: Vec<i64>,
    parts: BTreeSet<u32>,
}

/// So many transfers of each family are looked at.
const MOST_TIMES: usize = 512;

/// By how much a transfer must be slower than its equals.
const SLOW: f64 = 1.5;

/// All transfers of a job.
#[derive(Clone, Debug, Default)]
pub(crate) struct LinkTimes(BTreeMap<CallFamily, FamilyTransfers>);

/// Transfers that are slower than their equals.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SlowTransfers {
    pub(crate) family: CallFamily,
    /// Indices of the ranks in it.
    pub(crate) parts: BTreeSet<u32>,
    /// Median time, and that of its equals.
    pub(crate) time: i64,
    pub(crate) usual: i64,
    /// How many there were.
    pub(crate) count: u64,
}

/// What the slow transfers have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SlowLinks {
    /// The slowest first.
    pub(crate) transfers: Vec<SlowTransfers>,
    /// The rank that all of them touch and the fewest quick ones do; or one end of the one pair that is slow.
    pub(crate) part: Option<u32>,
    /// The other end of that pair.
    pub(crate) peer: Option<u32>,
}

impl LinkTimes {
    /// Takes one collective of the whole job.
    pub(crate) fn take(&mut self, family: &CallFamily, call: &[Arrival]) {
        let is_transfer = family.kind == CollectiveKind::SendReceive && family.pair.is_some();
        if call.len() < 2 || !(is_transfer || family.kind.is_symmetric()) {
            return;
        }
        let Some(time) = call.iter().map(|a| a.end - a.start).min() else { return };
        let transfers = self.0.entry(family.clone()).or_default();
        transfers.parts.extend(call.iter().map(|a| a.part));
        if transfers.times.len() < MOST_TIMES {
            transfers.times.push(time);
        }
    }

    /// Finds transfers that are slower than their equals, and what they have in common.
    pub(crate) fn find_slow(self) -> SlowLinks {
        type EqualKey = (CollectiveKind, Option<u64>, usize, bool);
        let mut classes: BTreeMap<EqualKey, Vec<(CallFamily, FamilyTransfers, i64)>> = BTreeMap::new();
        for (family, mut transfers) in self.0 {
            let time = median(&mut transfers.times);
            let key = (family.kind, family.bytes, transfers.parts.len(), family.pair.is_some());
            classes.entry(key).or_default().push((family, transfers, time));
        }
        let mut out = SlowLinks::default();
        let mut quick: BTreeMap<u32, u64> = BTreeMap::new();
        for equals in classes.into_values().filter(|equals| equals.len() >= 3) {
            let mut times: Vec<i64> = equals.iter().map(|(.., time)| *time).collect();
            let usual = median(&mut times);
            let mut spread: Vec<i64> = times.iter().map(|t| (t - usual).abs()).collect();
            let noise = median(&mut spread);
            for (family, transfers, time) in equals {
                let count = transfers.times.len() as u64;
                let is_slow = time as f64 > SLOW * usual as f64 && time - usual > 6 * noise && count >= 3;
                if is_slow {
                    out.transfers.push(SlowTransfers { family, parts: transfers.parts, time, usual, count });
                } else {
                    transfers.parts.iter().for_each(|p| *quick.entry(*p).or_default() += 1);
                }
            }
        }
        out.transfers.sort_by_key(|t| std::cmp::Reverse((t.time - t.usual, t.count)));
        out.find_common(&quick);
        out
    }
}

impl SlowLinks {
    fn find_common(&mut self, quick: &BTreeMap<u32, u64>) {
        let Some(first) = self.transfers.first() else { return };
        let touched_by_all = |part: &u32| self.transfers.iter().all(|t| t.parts.contains(part));
        let common: Vec<u32> = first.parts.iter().copied().filter(touched_by_all).collect();
        if let (1, [a, b]) = (self.transfers.len(), common.as_slice()) {
            (self.part, self.peer) = (Some(*a), Some(*b));
            return;
        }
        // Who is slow in everything.
        let fewest = common.iter().map(|p| quick.get(p).copied().unwrap_or(0)).min();
        let slow: Vec<u32> =
            common.iter().copied().filter(|p| Some(quick.get(p).copied().unwrap_or(0)) == fewest).collect();
        if let [part] = slow.as_slice() {
            self.part = Some(*part);
        }
    }

    /// What slow transfers cost, of all ranks in them together.
    pub(crate) fn lost(&self) -> i64 {
        let cost = |t: &SlowTransfers| {
            (t.time - t.usual).saturating_mul(t.count as i64).saturating_mul(t.parts.len() as i64)
        };
        sum_times(self.transfers.iter().map(cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(calls: &[((u32, u32), i64)]) -> SlowLinks {
        let mut times = LinkTimes::default();
        for &((a, b), time) in calls {
            let pair = Some((i64::from(a), i64::from(b)));
            let family = CallFamily {
                kind: CollectiveKind::SendReceive,
                pair,
                bytes: Some(1),
                ..CallFamily::default()
            };
            let arrival = |part, wait| {
                let (key, step) = (0, 0);
                Arrival { key, start: -time - wait, end: 0, exposed: 0, part, family: 0, step }
            };
            for _ in 0..3 {
                times.take(&family, &[arrival(a, 0), arrival(b, 70)]);
            }
        }
        times.find_slow()
    }

    #[test]
    fn the_rank_of_all_slow_pairs_is_named() {
        let links =
            find(&[((0, 1), 30), ((1, 2), 95), ((2, 3), 90), ((3, 4), 31), ((4, 5), 29), ((5, 0), 30)]);
        assert_eq!((links.transfers.len(), links.part, links.peer), (2, Some(2), None));
        assert_eq!(links.lost(), (64 + 59) * 3 * 2);
    }

    #[test]
    fn one_slow_pair_is_a_link() {
        let links = find(&[((0, 1), 30), ((1, 2), 95), ((2, 3), 33), ((3, 4), 31)]);
        assert_eq!((links.part, links.peer), (Some(1), Some(2)));
    }

    #[test]
    fn equal_pairs_are_not_slow() {
        assert_eq!(find(&[((0, 1), 30), ((1, 2), 40), ((2, 3), 33), ((3, 4), 31)]), SlowLinks::default());
        assert_eq!(find(&[((0, 1), 30), ((1, 2), 400)]), SlowLinks::default(), "of two, which is unusual?");
    }
}

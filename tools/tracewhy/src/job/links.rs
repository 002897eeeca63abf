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
    /// The time of each, and for how long a rank in it was held up.
    times: Vec<(i64, i64)>,
    count: u64,
    parts: BTreeSet<u32>,
}

/// Maximum number of transfers of each family that are compared.
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
    /// Nanoseconds that each rank in it lost over all of them; a transfer that work hides counts as zero.
    pub(crate) lost_by_each: i64,
}

/// The rank or link that the slow transfers have in common.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SlowLinks {
    /// The slowest first.
    pub(crate) transfers: Vec<SlowTransfers>,
    /// The rank that all of them touch and the fewest quick ones do; or one end of the one pair that is slow.
    pub(crate) part: Option<u32>,
    /// The other end of that pair.
    pub(crate) peer: Option<u32>,
    /// All of them are of one group of three ranks or more.
    pub(crate) is_group: bool,
}

impl FamilyTransfers {
    /// What each rank lost by what they take longer than usual.
    fn lost_by_each(&self, usual: i64) -> i64 {
        let lost = sum_times(self.times.iter().map(|(time, held_up)| (time - usual).min(*held_up).max(0)));
        (lost as f64 * self.count as f64 / self.times.len().max(1) as f64) as i64
    }
}

impl LinkTimes {
    /// Takes one collective of the whole job.
    pub(crate) fn take(&mut self, family: &CallFamily, call: &[Arrival]) {
        let is_transfer = family.kind == CollectiveKind::SendReceive && family.pair.is_some();
        if call.len() < 2 || !(is_transfer || family.kind.is_symmetric()) {
            return;
        }
        // All may have waited for a rank without a trace.
        if !is_transfer && family.group_size.is_some_and(|n| n > call.len() as u64) {
            return;
        }
        let Some(time) = call.iter().map(|a| a.end - a.start).min() else { return };
        let transfers = self.0.entry(family.clone()).or_default();
        transfers.parts.extend(call.iter().map(|a| a.part));
        transfers.count += 1;
        if transfers.times.len() < MOST_TIMES {
            // One end of a transfer goes on by itself; the other waits, and with it the rest of the pipeline.
            let held_up = match is_transfer {
                true => call.iter().map(|a| a.awaited).max().unwrap_or(0),
                false => sum_times(call.iter().map(|a| a.awaited)) / call.len() as i64,
            };
            transfers.times.push((time, held_up));
        }
    }

    /// Finds transfers that are slower than their equals, and what they have in common.
    pub(crate) fn find_slow(self) -> SlowLinks {
        type EqualKey = (CollectiveKind, Option<u64>, usize, bool);
        let mut classes: BTreeMap<EqualKey, Vec<(CallFamily, FamilyTransfers, i64)>> = BTreeMap::new();
        for (family, transfers) in self.0 {
            let time = median(&mut transfers.times.iter().map(|(time, _)| *time).collect::<Vec<_>>());
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
                let count = transfers.count;
                let is_slow =
                    time as f64 > SLOW * usual as f64 && time - usual > noise.saturating_mul(6) && count >= 3;
                if is_slow {
                    let lost_by_each = transfers.lost_by_each(usual);
                    let parts = transfers.parts;
                    out.transfers.push(SlowTransfers { family, parts, time, usual, count, lost_by_each });
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
        if self.transfers.iter().all(|t| t.parts == first.parts) {
            let ends: Vec<u32> = first.parts.iter().copied().collect();
            match ends[..] {
                [a, b] => (self.part, self.peer) = (Some(a), Some(b)),
                _ => self.is_group = true,
            }
            return;
        }
        let touched_by_all = |part: &u32| self.transfers.iter().all(|t| t.parts.contains(part));
        let common: Vec<u32> = first.parts.iter().copied().filter(touched_by_all).collect();
        // Who is slow in everything.
        let fewest = common.iter().map(|p| quick.get(p).copied().unwrap_or(0)).min();
        let slow: Vec<u32> =
            common.iter().copied().filter(|p| Some(quick.get(p).copied().unwrap_or(0)) == fewest).collect();
        if let [part] = slow.as_slice() {
            self.part = Some(*part);
        }
    }

    /// What slow collectives take from a rank, all together. Transfers between two ranks count in no time of its own.
    pub(crate) fn excess_of(&self, part: u32) -> i64 {
        let slow = self.transfers.iter().filter(|t| t.family.pair.is_none() && t.parts.contains(&part));
        sum_times(slow.map(|t| t.lost_by_each))
    }

    /// The time that the rank which loses most loses by slow transfers, in nanoseconds.
    pub(crate) fn most_lost(&self) -> i64 {
        let mut of_part: BTreeMap<u32, i64> = BTreeMap::new();
        for slow in &self.transfers {
            for part in &slow.parts {
                let lost = of_part.entry(*part).or_default();
                *lost = lost.saturating_add(slow.lost_by_each);
            }
        }
        of_part.into_values().max().unwrap_or(0)
    }

    /// What slow transfers cost, of all ranks in them together.
    pub(crate) fn lost(&self) -> i64 {
        let cost = |t: &SlowTransfers| t.lost_by_each.saturating_mul(t.parts.len() as i64);
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
            let arrival = |part, wait| Arrival {
                start: -time - wait,
                awaited: time + wait,
                part,
                ..Arrival::default()
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
        assert_eq!((links.lost(), links.most_lost()), ((64 + 59) * 3 * 2, (64 + 59) * 3));
    }

    #[test]
    fn one_slow_pair_is_a_link() {
        let links = find(&[((0, 1), 30), ((1, 2), 95), ((2, 3), 33), ((3, 4), 31)]);
        assert_eq!((links.part, links.peer), (Some(1), Some(2)));
    }

    #[test]
    fn a_slow_group_is_no_member_of_it() {
        let mut times = LinkTimes::default();
        for (group, time) in [30, 31, 150, 29].into_iter().enumerate() {
            let (kind, group) = (CollectiveKind::AllReduce, group.to_string());
            let family = CallFamily { kind, group_size: Some(4), group, ..CallFamily::default() };
            let first = 4 * family.group.parse::<u32>().unwrap();
            let arrival =
                |part| Arrival { start: -time, exposed: time, awaited: time, part, ..Arrival::default() };
            (0..3).for_each(|_| times.take(&family, &[0, 1, 2, 3].map(|i| arrival(first + i))));
            // What lacks a rank is not compared.
            times.take(&family, &[0, 1].map(|i| Arrival { start: -9000, ..arrival(first + i) }));
        }
        let links = times.find_slow();
        assert_eq!((links.is_group, links.part, links.transfers.len()), (true, None, 1));
        assert_eq!((links.excess_of(9), links.excess_of(3)), ((150 - 31) * 3, 0));
    }

    /// A trace may say any time.
    #[test]
    fn times_at_the_limits_are_compared() {
        const LONG: i64 = 8_000_000_000_000_000_000;
        assert!(find(&[((0, 1), LONG), ((1, 2), 1), ((2, 3), LONG), ((3, 4), 1)]).transfers.len() < 3);
        assert_eq!(find(&[((0, 1), 1), ((1, 2), 1), ((2, 3), LONG), ((3, 4), 1)]).part, Some(2));
    }

    #[test]
    fn equal_pairs_are_not_slow() {
        assert_eq!(find(&[((0, 1), 30), ((1, 2), 40), ((2, 3), 33), ((3, 4), 31)]), SlowLinks::default());
        assert_eq!(find(&[((0, 1), 30), ((1, 2), 400)]), SlowLinks::default(), "of two, which is unusual?");
    }
}

//! Who comes last to collectives, and what that costs the others.
//!
//! No clocks are compared: no rank leaves a collective before the last has entered it, so the ends are one moment, and of
//! two ranks the one whose call is shorter came later by the difference.

use std::collections::BTreeMap;

use trace::clock::median;

use crate::part::call::CallFamily;
use crate::part::kept::Arrival;
use crate::part::sum_times;

/// One rank in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepLateness {
    /// How much later it came than the median of the others, over all collectives; less than zero if it came earlier.
    /// Only what no computation hides counts.
    pub(crate) late: i64,
    /// What the others waited where it was the last.
    pub(crate) lost: i64,
}

/// One rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RankArrivals {
    /// Collectives in which it was compared with others.
    pub(crate) compared: u64,
    /// Those to which it came last.
    pub(crate) last: u64,
    /// What the others waited for it.
    pub(crate) lost: i64,
    /// By how much its clock shows an earlier start than the median of all, of some collectives.
    pub(crate) starts: Vec<i64>,
}

/// The lateness of all ranks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lateness {
    /// By number of the step, then by index of the rank.
    pub(crate) steps: BTreeMap<i64, Vec<StepLateness>>,
    pub(crate) ranks: Vec<RankArrivals>,
    /// Collectives that several ranks took part in.
    pub(crate) collectives: u64,
}

/// A rank is not later than this in a step, whatever a trace says: eleven days.
const MOST_LATE: i64 = 1_000_000_000_000_000;
/// So many starts of each rank are looked at.
const MOST_STARTS: usize = 512;

impl Lateness {
    /// For so many ranks.
    pub(crate) fn new(ranks: usize) -> Self {
        Self { ranks: vec![RankArrivals::default(); ranks], ..Self::default() }
    }

    /// Takes one collective of the whole job.
    pub(crate) fn take(&mut self, family: &CallFamily, call: &[Arrival]) {
        if !family.kind.is_symmetric() || call.len() < 2 {
            return;
        }
        self.collectives += 1;
        let durations: Vec<i64> = call.iter().map(|a| a.end - a.start).collect();
        let mut sorted = durations.clone();
        sorted.sort_unstable();
        let mut exposed: Vec<i64> = call.iter().map(|a| a.exposed).collect();
        let exposed = median(&mut exposed);
        let mut starts: Vec<i64> = call.iter().map(|a| a.start).collect();
        let start = median(&mut starts);
        let ranks = self.ranks.len();
        let step = self.steps.entry(call[0].step).or_insert_with(|| vec![StepLateness::default(); ranks]);
        for (arrival, duration) in call.iter().zip(&durations) {
            let part = arrival.part as usize;
            let (Some(rank), Some(at)) = (self.ranks.get_mut(part), step.get_mut(part)) else { continue };
            rank.compared += 1;
            if rank.starts.len() < MOST_STARTS {
                rank.starts.push(arrival.start.saturating_sub(start));
            }
            let late = median_of_others(&sorted, *duration) - duration;
            let counted = if late > 0 { late.min(exposed) } else { -(-late).min(arrival.exposed) };
            at.late = (at.late + counted).clamp(-MOST_LATE, MOST_LATE);
        }
        // Of ranks that came at the same time, none was the last.
        if sorted[0] == sorted[1] {
            return;
        }
        let Some(last) = durations.iter().position(|d| *d == sorted[0]).map(|i| call[i].part as usize) else {
            return;
        };
        let waited = sum_times(call.iter().zip(&durations).map(|(a, d)| (d - sorted[0]).min(a.exposed)));
        if let (Some(rank), Some(at)) = (self.ranks.get_mut(last), step.get_mut(last)) {
            rank.last += 1;
            rank.lost = rank.lost.saturating_add(waited);
            at.lost = at.lost.saturating_add(waited);
        }
    }
}

/// The median of a sorted list without one of its values; the mean of the middle two.
fn median_of_others(sorted: &[i64], value: i64) -> i64 {
    let place = sorted.partition_point(|v| *v < value);
    let others = sorted.len() - 1;
    let at = |i: usize| if i < place { sorted[i] } else { sorted[i + 1] };
    let (low, high) = (at((others - 1) / 2), at(others / 2));
    low + (high - low) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::call::CollectiveKind;

    fn family(kind: CollectiveKind) -> CallFamily {
        CallFamily { kind, ..CallFamily::default() }
    }

    fn arrivals(spans: &[(i64, i64, i64)]) -> Vec<Arrival> {
        let arrival = |(part, &(start, end, exposed))| {
            let (key, family, step) = (1, 0, 5);
            Arrival { key, start, end, exposed, part, family, step }
        };
        (0..).zip(spans).map(arrival).collect()
    }

    #[test]
    fn the_last_to_come_is_told_without_clocks() {
        let mut lateness = Lateness::new(3);
        // The clock of the third is 1000 behind. The first waits 40, of which 10 are hidden.
        let call = arrivals(&[(100, 150, 30), (110, 150, 40), (-860, -850, 10)]);
        lateness.take(&family(CollectiveKind::AllReduce), &call);
        let last = &lateness.ranks[2];
        assert_eq!((last.last, last.lost, last.compared), (1, 30 + 30, 1));
        let step: Vec<i64> = lateness.steps[&5].iter().map(|s| s.late).collect();
        // 50, 40 and 10 long: the medians of the others are 25, 30 and 45.
        assert_eq!(step, [-25, -10, 30]);
        assert_eq!(lateness.ranks[0].starts, [0]);
    }

    #[test]
    fn a_root_may_leave_early() {
        let mut lateness = Lateness::new(2);
        lateness.take(&family(CollectiveKind::Broadcast), &arrivals(&[(0, 5, 5), (0, 50, 50)]));
        assert_eq!(lateness, Lateness::new(2));
    }

    #[test]
    fn medians_leave_the_value_out() {
        assert_eq!(median_of_others(&[1, 5], 5), 1);
        assert_eq!(median_of_others(&[1, 5, 9], 1), 7);
        assert_eq!(median_of_others(&[1, 5, 9, 10], 10), 5);
    }
}

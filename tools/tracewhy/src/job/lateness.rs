//! Who is late in the steps of a job, and what that costs the others.
//!
//! No clocks are compared. No rank leaves a collective before the last has entered it, so the ends are one moment, and of
//! two ranks the one whose call is shorter came later by the difference: the other has waited for as long. Between the last
//! collectives of two steps, on its own clock, each rank has waited or has done something of its own. Who has done
//! something of its own for longer than its equals is late by that, wherever others wait for it: those of its own group
//! wait in the collectives of the group, those of other groups in the ones that follow; who comes late there because it has waited
//! itself is not late.

use std::collections::{BTreeMap, BTreeSet};

use trace::clock::median;

use super::Job;
use super::place::{RankPlaces, SharedCalls};
use crate::part::call::{CallFamily, CollectiveKind};
use crate::part::kept::Arrival;
use crate::part::{RankPart, sum_times};

/// One rank in one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StepLateness {
    /// By how much its own time exceeds the median of that of its equals; less than zero if it is shorter. Set by
    /// [`Lateness::settle`], if it is compared.
    pub(crate) late: i64,
    /// There were equals in the step.
    pub(crate) is_compared: bool,
    /// Its collectives and transfers, also those that lack the traces of all others.
    calls: u64,
    /// Bytes of its all-to-alls, which may be more than those of its equals.
    pub(crate) load: i64,
    /// By how much it would be later by that than its equals; that is not in `late`.
    pub(crate) by_load: i64,
    /// What it waited for others in collectives while nothing was computed.
    waited: i64,
    /// Time in communication while nothing was computed, of which the waiting is not known.
    others: i64,
    /// All time of communication in which nothing was computed: of calls that run beside each other, their waiting adds
    /// up to more. None if the rank has no such step.
    exposed: Option<i64>,
    /// It waited, or may have, in calls of which the others are not known, or in which not all wait for the last.
    pub(crate) is_unmatched: bool,
    /// When the last collective ended, and the last transfer, by its clock.
    end: Option<i64>,
    pair_end: Option<i64>,
}

/// One rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RankArrivals {
    /// Collectives in which it was compared with others.
    pub(crate) compared: u64,
    /// Those to which it came last.
    pub(crate) last: u64,
    /// The time that the others waited for it.
    pub(crate) others_wait: i64,
    /// Collectives that it entered when the others did, by its clock, and was in for longer than they were.
    pub(crate) longer: u64,
    /// By how much longer, while nothing was computed, all together.
    pub(crate) longer_time: i64,
}

/// The lateness of all ranks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lateness {
    /// By number of the step, then by index of the rank.
    pub(crate) steps: BTreeMap<i64, Vec<StepLateness>>,
    pub(crate) ranks: Vec<RankArrivals>,
    /// Collectives that several ranks took part in.
    pub(crate) collectives: u64,
    /// Some of them lack the trace of a member.
    lacks_ranks: bool,
    /// By number of the family.
    pub(crate) shared: BTreeMap<u32, SharedCalls>,
    /// By number of the family, the bytes of an all-to-all.
    loads: Vec<i64>,
    /// Later steps are not compared.
    last_step: Option<i64>,
    /// Maximum number of steps of all ranks together.
    most_cells: usize,
    /// Calls in steps that are not compared.
    pub(crate) left_out: u64,
}

/// Maximum number of steps of all ranks, together, that are compared. Each takes about 100 bytes.
const MOST_CELLS: usize = 1 << 22;

/// A rank is not later than this in a step, whatever a trace says: eleven days.
const MOST_LATE: i64 = 1_000_000_000_000_000;
/// Two starts count as equal if they differ by less than one part in this many of what the durations differ by.
const SAME_START: i64 = 4;

impl StepLateness {
    /// The rank took part in something with others.
    fn is_present(&self) -> bool {
        self.end.is_some() || self.pair_end.is_some()
    }

    /// Time of communication that is not the rank's own: what it waited or may have waited; or all of it.
    fn not_own(&self, is_all: bool) -> i64 {
        let waited = self.waited.saturating_add(self.others);
        match self.exposed {
            Some(exposed) if is_all => exposed,
            exposed => waited.min(exposed.unwrap_or(i64::MAX)),
        }
    }

    /// What it waited for others in collectives while nothing was computed.
    pub(crate) fn waited(&self) -> i64 {
        self.waited.min(self.exposed.unwrap_or(i64::MAX)).max(0)
    }
}

impl Lateness {
    /// For a number of ranks.
    pub(crate) fn new(ranks: usize) -> Self {
        Self { ranks: vec![RankArrivals::default(); ranks], most_cells: MOST_CELLS, ..Self::default() }
    }

    /// For the ranks of a job. Of more steps than fit into memory, the first are compared.
    pub(crate) fn of_job(job: &Job) -> Self {
        let loads = job.families.iter().map(|family| match family.kind {
            CollectiveKind::AllToAll => family.bytes.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(0),
            _ => 0,
        });
        Self { loads: loads.collect(), ..Self::new(job.parts.len()).limited(&job.parts, MOST_CELLS) }
    }

    fn limited(self, parts: &[RankPart], most_cells: usize) -> Self {
        let most = (most_cells / parts.len().max(1)).max(1);
        let mut numbers = BTreeSet::new();
        for number in parts.iter().flat_map(|part| &part.steps).map(|step| step.number) {
            numbers.insert(number);
            if numbers.len() > most {
                numbers.pop_last();
            }
        }
        let last_step = if numbers.len() == most { numbers.last().copied() } else { None };
        Self { last_step, most_cells, ..self }
    }

    /// The ranks in a step; none if it is not compared.
    fn step(&mut self, number: i64) -> Option<&mut Vec<StepLateness>> {
        let ranks = self.ranks.len();
        let fits = (self.steps.len() + 1).saturating_mul(ranks) <= self.most_cells || self.steps.is_empty();
        let wanted = self.last_step.is_none_or(|last| number <= last) && fits;
        if !wanted && !self.steps.contains_key(&number) {
            self.left_out += 1;
            return None;
        }
        Some(self.steps.entry(number).or_insert_with(|| vec![StepLateness::default(); ranks]))
    }

    fn share(&mut self, call: &[Arrival], is_pair: bool) {
        let shared = self.shared.entry(call[0].family).or_default();
        (shared.calls, shared.is_pair) = (shared.calls + 1, is_pair);
        for part in call.iter().map(|arrival| arrival.part) {
            if !shared.parts.contains(&part) {
                shared.parts.insert(part);
            }
        }
    }

    /// Takes one call of the whole job.
    pub(crate) fn take(&mut self, family: &CallFamily, call: &[Arrival]) {
        let is_pair = family.kind == CollectiveKind::SendReceive && call.len() == 2;
        if call.len() > 1 && family.kind.is_symmetric() {
            self.take_collective(family, call);
        } else if is_pair {
            self.share(call, true);
            let Some(step) = self.step(call[0].step) else { return };
            for arrival in call {
                let Some(at) = step.get_mut(arrival.part as usize) else { continue };
                at.others = at.others.saturating_add(arrival.awaited);
                at.pair_end = at.pair_end.max(Some(arrival.end));
                at.calls += 1;
            }
        } else {
            for arrival in call.iter().filter(|arrival| arrival.step != i64::MIN) {
                let step = self.step(arrival.step);
                if let Some(at) = step.and_then(|step| step.get_mut(arrival.part as usize)) {
                    at.others = at.others.saturating_add(arrival.awaited);
                    at.is_unmatched |= arrival.awaited > 0;
                    at.calls += 1;
                }
            }
        }
    }

    fn take_collective(&mut self, family: &CallFamily, call: &[Arrival]) {
        self.collectives += 1;
        self.share(call, false);
        let durations: Vec<i64> = call.iter().map(|a| a.end - a.start).collect();
        let mut sorted = durations.clone();
        sorted.sort_unstable();
        let mut starts: Vec<i64> = call.iter().map(|a| a.start).collect();
        starts.sort_unstable();
        // Of what a rank without a trace made all wait for, nothing is known.
        let is_whole = family.group_size.is_none_or(|n| n <= call.len() as u64);
        self.lacks_ranks |= !is_whole;
        if self.step(call[0].step).is_none() {
            return;
        }
        let Some(step) = self.steps.get_mut(&call[0].step) else { return };
        // What work hid of the transfer on the last to come holds up only those who wait.
        let least =
            call.iter().zip(&durations).filter(|(_, d)| **d == sorted[0]).map(|(a, _)| a.awaited).min();
        let hidden = sorted[0] - least.unwrap_or(sorted[0]);
        for (arrival, duration) in call.iter().zip(&durations) {
            let part = arrival.part as usize;
            let (Some(rank), Some(at)) = (self.ranks.get_mut(part), step.get_mut(part)) else { continue };
            rank.compared += 1;
            let longer = duration - median_of_others(&sorted, *duration);
            let others = median_of_others(&starts, arrival.start);
            let apart = arrival.start.saturating_sub(others).saturating_abs();
            if longer > 0 && apart.saturating_mul(SAME_START) <= longer {
                rank.longer += 1;
                rank.longer_time = rank.longer_time.saturating_add(longer.min(arrival.awaited));
            }
            let longer = duration - sorted[0];
            let waited = (longer + longer.min(hidden)).min(arrival.awaited);
            at.waited = at.waited.saturating_add(waited);
            if !is_whole {
                at.others = at.others.saturating_add(arrival.awaited - waited);
            }
            at.end = at.end.max(Some(arrival.end));
            at.load = at.load.saturating_add(self.loads.get(arrival.family as usize).copied().unwrap_or(0));
            at.calls += 1;
        }
        // Of ranks that came at the same time, none was the last.
        if sorted[0] == sorted[1] {
            return;
        }
        let Some(last) = durations.iter().position(|d| *d == sorted[0]).map(|i| call[i].part as usize) else {
            return;
        };
        let waited = sum_times(call.iter().zip(&durations).map(|(a, d)| (d - sorted[0]).min(a.awaited)));
        if let Some(rank) = self.ranks.get_mut(last) {
            rank.last += 1;
            rank.others_wait = rank.others_wait.saturating_add(waited);
        }
    }

    /// Numbers of the steps in which several ranks took part in something, in order.
    pub(crate) fn shared_steps(&self) -> Vec<i64> {
        let is_shared = |ranks: &[StepLateness]| ranks.iter().filter(|at| at.is_present()).count() > 1;
        let steps = self.steps.iter().filter(|(number, ranks)| **number != i64::MIN && is_shared(ranks));
        steps.map(|(number, _)| *number).collect()
    }

    /// All communication is apart from own time: stages of a pipeline have more of it or less by plan, and for how long
    /// ranks wait for one without a trace, of which groups have one and others do not, nobody knows.
    fn is_all_apart(&self, places: &RankPlaces) -> bool {
        places.is_pipelined || self.lacks_ranks
    }

    /// What each rank did of its own in a step, by index: from the end of the last collective of the step before to that
    /// of this one, without communication in which it waited or may have waited, and without `slow` for slow transfers.
    /// Where a rank begins with this step, its length is that of all who wait for each other, and not known.
    pub(crate) fn own_times(
        &self,
        places: &RankPlaces,
        before: Option<i64>,
        number: i64,
        slow: &[i64],
    ) -> Vec<Option<OwnTime>> {
        let Some(step) = self.steps.get(&number) else { return Vec::new() };
        let before = before.and_then(|number| self.steps.get(&number));
        let is_all = self.is_all_apart(places);
        let slow = if is_all { &[] } else { slow };
        let of_rank = |(part, at): (usize, &StepLateness)| {
            if !at.is_present() {
                return None;
            }
            let since = |ends: fn(&StepLateness) -> Option<i64>| {
                Some(ends(at)?.saturating_sub(ends(before?.get(part)?)?))
            };
            let not_own = at.not_own(is_all).saturating_add(slow.get(part).copied().unwrap_or(0));
            let length = since(|at| at.end).or_else(|| since(|at| at.pair_end));
            let time = length.unwrap_or(0).saturating_sub(not_own).clamp(-MOST_LATE, MOST_LATE);
            Some(OwnTime { time, is_whole: length.is_some() })
        };
        step.iter().enumerate().map(of_rank).collect()
    }

    /// Compares the ranks of all steps with their equals. `slow` is what slow transfers take from each in a step.
    pub(crate) fn settle(&mut self, parts: &[RankPart], places: &RankPlaces, slow: &[i64]) {
        for (index, part) in parts.iter().enumerate() {
            for step in &part.steps {
                if let Some(at) = self.steps.get_mut(&step.number).and_then(|ranks| ranks.get_mut(index)) {
                    at.exposed = Some(step.times.exposed_communication);
                }
            }
        }
        let (mut before, is_all) = (None, self.is_all_apart(places));
        let slow = if is_all { &[] } else { slow };
        for number in self.shared_steps() {
            let own = self.own_times(places, before, number, slow);
            before = Some(number);
            let mut classes: BTreeMap<usize, Vec<(usize, OwnTime)>> = BTreeMap::new();
            for (part, own) in own.iter().enumerate().filter_map(|(part, own)| Some((part, (*own)?))) {
                classes.entry(places.class(part)).or_default().push((part, own));
            }
            let Some(step) = self.steps.get_mut(&number) else { continue };
            for members in classes.into_values() {
                if members.iter().all(|(_, own)| own.is_whole) {
                    compare_equals(step, members);
                    continue;
                }
                let mut connected: BTreeMap<usize, Vec<(usize, OwnTime)>> = BTreeMap::new();
                for (part, _) in members {
                    let not_own =
                        step[part].not_own(is_all).saturating_add(slow.get(part).copied().unwrap_or(0));
                    let own = OwnTime { time: not_own.min(MOST_LATE).saturating_neg(), is_whole: false };
                    connected.entry(places.component(part)).or_default().push((part, own));
                }
                connected.into_values().for_each(|members| compare_equals(step, members));
            }
        }
    }
}

/// Time of its own of one rank in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnTime {
    pub(crate) time: i64,
    /// The length of the step is in it; otherwise it is less by that.
    pub(crate) is_whole: bool,
}

/// A rank with less than this share of the calls of its equals has lost part of the step: its trace begins or ends there.
const LEAST_CALLS: f64 = 0.75;

fn compare_equals(step: &mut [StepLateness], mut members: Vec<(usize, OwnTime)>) {
    let mut calls: Vec<i64> =
        members.iter().map(|(part, _)| i64::try_from(step[*part].calls).unwrap_or(i64::MAX)).collect();
    let least = LEAST_CALLS * median(&mut calls) as f64;
    members.retain(|(part, _)| step[*part].calls as f64 >= least);
    if members.len() < 2 {
        return;
    }
    let mut sorted: Vec<i64> = members.iter().map(|(_, own)| own.time).collect();
    sorted.sort_unstable();
    for (part, own) in members {
        let late = own.time - median_of_others(&sorted, own.time);
        (step[part].late, step[part].is_compared) = (late, true);
    }
}

/// The median of a sorted list without one of its values; the mean of the middle two.
pub(super) fn median_of_others(sorted: &[i64], value: i64) -> i64 {
    let place = sorted.partition_point(|v| *v < value);
    let others = sorted.len() - 1;
    let at = |i: usize| if i < place { sorted[i] } else { sorted[i + 1] };
    let (low, high) = (at((others - 1) / 2), at(others / 2));
    low + (high - low) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::part::StepPart;
    use crate::part::call::CollectiveKind;

    fn family(kind: CollectiveKind) -> CallFamily {
        CallFamily { kind, ..CallFamily::default() }
    }

    fn settle(lateness: &mut Lateness) {
        let parts = vec![RankPart::default(); lateness.ranks.len()];
        let places = RankPlaces::of_calls(&parts, &lateness.shared);
        lateness.settle(&parts, &places, &[]);
    }

    fn arrivals(spans: &[(i64, i64, i64)]) -> Vec<Arrival> {
        let arrival = |(part, &(start, end, exposed))| {
            let (key, family, step) = (1, 0, 5);
            Arrival { key, start, end, exposed, awaited: exposed, part, family, step }
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
        assert_eq!((last.last, last.others_wait, last.compared), (1, 30 + 30, 1));
        settle(&mut lateness);
        let step: Vec<i64> = lateness.steps[&5].iter().map(|s| s.late).collect();
        // They waited 30, 30 and 0: the medians of the others are 15, 15 and 30.
        assert_eq!(step, [-15, -15, 30]);
    }

    /// Ranks 0 and 1 are one group, 2 and 3 another, and then all are one. Rank 1 is 100 late in the first: rank 0 waits
    /// there, ranks 2 and 3 in the collective of all, to which rank 0 comes last, by 5.
    #[test]
    fn who_has_waited_itself_is_not_late() {
        let mut lateness = Lateness::new(4);
        for step in [5, 6] {
            let base = step * 1000;
            let arrival = |part, start, end| {
                let (key, family, exposed) = (1, u32::from(part > 1), end - start);
                let (start, end) = (base + start, base + end);
                Arrival { key, start, end, exposed, awaited: exposed, part, family, step }
            };
            let family = family(CollectiveKind::AllReduce);
            lateness.take(&family, &[arrival(0, 50, 160), arrival(1, 150, 160)]);
            lateness.take(&family, &[arrival(2, 50, 60), arrival(3, 51, 60)]);
            let all = [arrival(0, 185, 205), arrival(1, 180, 205), arrival(2, 80, 205), arrival(3, 80, 205)];
            lateness.take(&family, &all);
        }
        settle(&mut lateness);
        for step in [5, 6] {
            let late: Vec<i64> = lateness.steps[&step].iter().map(|s| s.late).collect();
            assert_eq!((late[1], late[0].abs() < 20, late[2].abs() < 20), (100, true, true), "{late:?}");
        }
    }

    #[test]
    fn what_work_hides_of_a_transfer_holds_up_who_waits() {
        let mut lateness = Lateness::new(3);
        // The last computes during its transfer of 20; the first has waited for 80, the second for 5.
        let call = arrivals(&[(0, 100, 100), (75, 100, 25), (80, 100, 0)]);
        lateness.take(&family(CollectiveKind::AllReduce), &call);
        let waited: Vec<i64> = lateness.steps[&5].iter().map(|s| s.waited()).collect();
        assert_eq!((waited, lateness.ranks[2].others_wait), (vec![100, 10, 0], 85));
    }

    #[test]
    fn who_takes_no_part_is_not_compared() {
        let mut lateness = Lateness::new(4);
        lateness
            .take(&family(CollectiveKind::AllReduce), &arrivals(&[(0, 50, 50), (10, 50, 40), (30, 50, 20)]));
        settle(&mut lateness);
        let compared: Vec<bool> = lateness.steps[&5].iter().map(|s| s.is_compared).collect();
        assert_eq!(compared, [true, true, true, false]);
    }

    #[test]
    fn of_more_steps_than_fit_the_first_are_compared() {
        let step = |number| StepPart { number, ..StepPart::default() };
        let parts = vec![RankPart { steps: (0..99).map(step).collect(), ..RankPart::default() }; 3];
        let last_step = |most_cells| Lateness::new(3).limited(&parts, most_cells).last_step;
        assert_eq!([8 * 3, 8 * 3 + 2, 99 * 3 + 3].map(last_step), [Some(7), Some(7), None]);
        // Of steps that no rank has named, some.
        let mut lateness = Lateness { most_cells: 8, ..Lateness::new(3) };
        for step in [4, 9, 2] {
            let call = arrivals(&[(0, 50, 50), (10, 50, 40), (30, 50, 20)]);
            let call: Vec<Arrival> = call.into_iter().map(|call| Arrival { step, ..call }).collect();
            lateness.take(&family(CollectiveKind::AllReduce), &call);
        }
        assert_eq!((lateness.shared_steps(), lateness.left_out, lateness.collectives), (vec![4, 9], 1, 3));
    }

    #[test]
    fn a_root_may_leave_early() {
        let mut lateness = Lateness::new(2);
        lateness.take(&family(CollectiveKind::Broadcast), &arrivals(&[(0, 5, 5), (0, 50, 50)]));
        assert_eq!((lateness.collectives, &lateness.ranks), (0, &Lateness::new(2).ranks));
    }

    #[test]
    fn medians_leave_the_value_out() {
        assert_eq!(median_of_others(&[1, 5], 5), 1);
        assert_eq!(median_of_others(&[1, 5, 9], 1), 7);
        assert_eq!(median_of_others(&[1, 5, 9, 10], 10), 5);
    }
}

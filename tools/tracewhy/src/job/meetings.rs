//! The calls of a job, step after step: when ranks entered them, for how long they waited there, and in which order, so that
//! a step can be gone through once more as if a rank had come earlier.
//!
//! No clocks are compared: that a rank waited `w` longer in a call than the last to come says that it had come `w` earlier.

use std::io;

use trace::model::FastMap;
use trace::spool::{MemoryLimit, Spool, SpoolRecord};

use crate::part::call::{CallFamily, CollectiveKind};
use crate::part::kept::Arrival;

/// One rank in one call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Meeting {
    step: i64,
    /// Index of the rank.
    part: u32,
    /// Number of the call.
    call: u32,
    /// By the rank's own clock, in nanoseconds.
    start: i64,
    end: i64,
    /// Time before the end in which it computed nothing and no other call of it was to end sooner.
    awaited: i64,
    /// By how much it came before the last.
    waited: i64,
}

impl SpoolRecord<6> for Meeting {
    fn to_words(self) -> [i64; 6] {
        let ids = (u64::from(self.part) << 32 | u64::from(self.call)) as i64;
        [self.step, ids, self.start, self.end, self.awaited, self.waited]
    }

    fn from_words([step, ids, start, end, awaited, waited]: [i64; 6]) -> Self {
        let ids = ids as u64;
        Self { step, part: (ids >> 32) as u32, call: ids as u32, start, end, awaited, waited }
    }
}

/// The calls of a job in which ranks wait for each other. What does not fit into memory is in a temporary file.
#[derive(Debug)]
pub(crate) struct Meetings {
    records: Spool<Meeting, 6>,
    memory: MemoryLimit,
    calls: u32,
    /// Number of the records.
    count: usize,
    failed: Option<io::Error>,
}

/// Maximum number of records of one step; a step that has more is not gone through. Each takes about 200 bytes then.
const MOST_OF_STEP: usize = 1 << 21;

impl Meetings {
    /// Without calls yet.
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        Self { records: Spool::new(memory), memory, calls: 0, count: 0, failed: None }
    }

    /// Takes one call of the whole job. An error of the temporary file is kept for [`Self::each_step`].
    pub(crate) fn take(&mut self, family: &CallFamily, call: &[Arrival]) {
        let is_pair = family.kind == CollectiveKind::SendReceive && call.len() == 2;
        let counts = is_pair || (call.len() > 1 && family.kind.is_symmetric());
        let Some(first) = call.first().filter(|first| counts && first.step != i64::MIN) else { return };
        let shortest = call.iter().map(|a| a.end.saturating_sub(a.start)).min().unwrap_or(0);
        self.calls = self.calls.wrapping_add(1);
        for &Arrival { start, end, awaited, part, .. } in call {
            let waited = end.saturating_sub(start).saturating_sub(shortest);
            let record = Meeting { step: first.step, part, call: self.calls, start, end, awaited, waited };
            self.count += 1;
            if self.failed.is_none() {
                self.failed = self.records.push(record).err();
            }
        }
    }

    /// Entries of ranks into calls, of all calls together.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Calls `each` with the number of each step and the records of its calls, by rank and time; returns the same
    /// meetings, and the number of steps that have too many.
    ///
    /// # Errors
    /// The temporary file cannot be used.
    pub(super) fn each_step(self, mut each: impl FnMut(i64, &[Meeting])) -> io::Result<(Self, u64)> {
        let Self { records, memory, calls, count, failed } = self;
        if let Some(error) = failed {
            return Err(error);
        }
        let mut sorted = records.into_sorted(|m| (m.step, m.part, m.start, m.end))?;
        let mut again = Self { calls, count, ..Self::new(memory) };
        let (mut of_step, mut left_out): (Vec<Meeting>, u64) = (Vec::new(), 0);
        let mut is_too_many = false;
        loop {
            let next = sorted.next_record()?;
            if of_step.first().is_some_and(|first| next.is_none_or(|next| next.step != first.step)) {
                if is_too_many {
                    left_out += 1;
                } else {
                    each(of_step[0].step, &of_step);
                }
                of_step.clear();
                is_too_many = false;
            }
            let Some(next) = next else { return Ok((again, left_out)) };
            again.records.push(next)?;
            is_too_many |= of_step.len() >= MOST_OF_STEP;
            if !is_too_many {
                of_step.push(next);
            }
        }
    }
}

/// What a rank does next in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Move {
    /// It enters a call, the one of this place among those that it enters in the step, and would be there by `waited` before the
    /// last. The call begins behind another one, if that is so.
    Enter { part: usize, call: usize, place: usize, waited: i64, behind: Option<usize> },
    /// It has waited for the end of a call.
    Leave { part: usize, call: usize, awaited: i64 },
}

impl Move {
    /// The call that must have ended before.
    fn needs(self) -> Option<usize> {
        match self {
            Self::Enter { behind, .. } => behind,
            Self::Leave { call, .. } => Some(call),
        }
    }
}

/// When a rank entered each call of a step, by a clock that does not run while it waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnArrivals {
    /// Nanoseconds since it entered the last call of the step before, or the first of this one if there was none before,
    /// without what it waited and without transfers that nothing hid. None of a call that waited in a queue: when the
    /// rank came to it, the trace does not tell.
    pub(super) times: Vec<Option<i64>>,
    /// The rank begins with this step.
    pub(super) is_first: bool,
}

/// What the ranks did in a step, in an order in which it may have been done.
#[derive(Debug, Default)]
pub(super) struct StepMoves {
    pub(super) moves: Vec<Move>,
    /// By index of the rank.
    pub(super) arrivals: Vec<OwnArrivals>,
    calls: usize,
}

/// Where the clock of a rank stands that does not run while the rank waits.
#[derive(Clone, Copy, Debug, Default)]
struct OwnClock {
    /// What it has waited, all together.
    waited: i64,
    /// When it last entered a call.
    entered: Option<i64>,
}

/// Puts the calls of one step after the other into order.
#[derive(Debug)]
pub(super) struct MoveOrder(Vec<OwnClock>);

/// A call that begins by less than this behind the end of another one of the rank has waited for that, and not for the rank:
/// both run in one queue. Nanoseconds.
const SAME_QUEUE: i64 = 5_000;

impl MoveOrder {
    /// For a number of ranks.
    pub(super) fn new(parts: usize) -> Self {
        Self(vec![OwnClock::default(); parts])
    }

    /// When ranks entered the calls of the next step of the job, by index of the rank.
    pub(super) fn list_arrivals(&mut self, meetings: &[Meeting]) -> Vec<OwnArrivals> {
        let mut out = vec![OwnArrivals::default(); self.0.len()];
        for of_part in meetings.chunk_by(|a, b| a.part == b.part) {
            let part = of_part[0].part as usize;
            if let (Some(clock), Some(arrivals)) = (self.0.get_mut(part), out.get_mut(part)) {
                list_moves(of_part, clock, arrivals, |_| 0);
            }
        }
        out
    }

    /// Orders the next step of the job.
    pub(super) fn order_step(&mut self, meetings: &[Meeting]) -> StepMoves {
        let mut numbers: FastMap<u32, usize> = FastMap::default();
        // By number of the call in this step, the ranks that have not entered it yet.
        let mut absent: Vec<usize> = Vec::new();
        for meeting in meetings {
            let number = *numbers.entry(meeting.call).or_insert_with(|| {
                absent.push(0);
                absent.len() - 1
            });
            absent[number] += 1;
        }
        let mut out = StepMoves { calls: absent.len(), ..StepMoves::default() };
        out.arrivals = vec![OwnArrivals::default(); self.0.len()];
        let mut lists: Vec<Vec<Move>> = Vec::new();
        for of_part in meetings.chunk_by(|a, b| a.part == b.part) {
            let part = of_part[0].part as usize;
            let (Some(clock), Some(arrivals)) = (self.0.get_mut(part), out.arrivals.get_mut(part)) else {
                continue;
            };
            lists.push(list_moves(of_part, clock, arrivals, |call| numbers.get(&call).copied().unwrap_or(0)));
        }
        out.moves = interleave(&lists, absent);
        out
    }
}

/// The moves of one rank in the order of time, and when it entered calls.
fn list_moves(
    meetings: &[Meeting],
    clock: &mut OwnClock,
    arrivals: &mut OwnArrivals,
    number: impl Fn(u32) -> usize,
) -> Vec<Move> {
    // A call is left before the next is entered at the same moment.
    let leaves = |m: &Meeting| if m.end > m.start { (m.end, 0) } else { (m.end, 2) };
    let mut points: Vec<((i64, u8), usize)> = Vec::with_capacity(2 * meetings.len());
    for (index, meeting) in meetings.iter().enumerate() {
        points.push(((meeting.start, 1), index));
        points.push((leaves(meeting), index));
    }
    points.sort_unstable();
    arrivals.is_first = clock.entered.is_none();
    let mut before = clock.entered;
    let mut moves = Vec::with_capacity(points.len());
    let mut inside: Vec<usize> = Vec::new();
    let mut left: Option<(i64, usize)> = None;
    for ((at, kind), index) in points {
        let meeting = &meetings[index];
        let (part, call) = (meeting.part as usize, number(meeting.call));
        if kind != 1 {
            inside.retain(|other| *other != index);
            clock.waited = clock.waited.saturating_add(meeting.awaited);
            if meeting.awaited > 0 {
                moves.push(Move::Leave { part, call, awaited: meeting.awaited });
            }
            left = Some((at, call));
            continue;
        }
        let begun = inside.iter().map(|other| {
            let other = &meetings[*other];
            at.saturating_sub(other.end.saturating_sub(other.awaited)).max(0)
        });
        let own = at.saturating_sub(clock.waited).saturating_sub(begun.sum());
        let behind = left.filter(|(end, _)| at.saturating_sub(*end) < SAME_QUEUE).map(|(_, call)| call);
        let since = own.saturating_sub(*before.get_or_insert(own));
        clock.entered = Some(own);
        arrivals.times.push(behind.is_none().then_some(since));
        let place = arrivals.times.len() - 1;
        moves.push(Move::Enter { part, call, place, waited: meeting.waited, behind });
        inside.push(index);
    }
    moves
}

/// Joins the moves of all ranks: nobody leaves a call before all have entered it. `absent` counts the ranks that enter each.
fn interleave(lists: &[Vec<Move>], mut absent: Vec<usize>) -> Vec<Move> {
    let mut waiting: Vec<Vec<usize>> = vec![Vec::new(); absent.len()];
    let mut next = vec![0; lists.len()];
    let mut ready: Vec<usize> = (0..lists.len()).rev().collect();
    let mut out = Vec::with_capacity(lists.iter().map(Vec::len).sum());
    let mut first_open = 0;
    loop {
        // Traces that contradict each other do not keep the rest from going on.
        let is_forced = ready.is_empty();
        let list = match ready.pop() {
            Some(list) => list,
            None => {
                while first_open < lists.len() && next[first_open] == lists[first_open].len() {
                    first_open += 1;
                }
                first_open
            }
        };
        let Some(moves) = lists.get(list) else { return out };
        let mut may_go = is_forced;
        while let Some(&step) = moves.get(next[list]) {
            if let Some(call) = step.needs().filter(|call| absent[*call] > 0 && !may_go) {
                waiting[call].push(list);
                break;
            }
            may_go = false;
            if let Move::Enter { call, .. } = step {
                absent[call] = absent[call].saturating_sub(1);
                if absent[call] == 0 {
                    ready.append(&mut waiting[call]);
                }
            }
            out.push(step);
            next[list] += 1;
        }
    }
}

impl StepMoves {
    /// Goes through the step as if ranks had come earlier. `gains` has by how much each rank is earlier than it was, before and
    /// afterwards; `removed`, by index of the rank, what is taken from its own time before each call that it enters.
    pub(super) fn replay(&self, gains: &mut [i64], removed: &[Option<&[i64]>]) {
        // A call ends earlier by as much as the rank that comes last now is earlier than the one that came last.
        let mut of_call = vec![i64::MAX; self.calls];
        for step in &self.moves {
            match *step {
                Move::Enter { part, call, place, waited, behind } => {
                    let less = removed[part].and_then(|times| times.get(place)).copied().unwrap_or(0);
                    gains[part] = gains[part].saturating_add(less);
                    let earlier = behind.map_or(gains[part], |other| of_call[other]);
                    of_call[call] = of_call[call].min(earlier.saturating_add(waited));
                }
                Move::Leave { part, call, awaited } => {
                    gains[part] = gains[part].saturating_add(awaited).min(of_call[call]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: MemoryLimit = MemoryLimit { bytes: 1 << 20 };

    /// A rank, and when it entered and left a call.
    type Span = (u32, i64, i64);

    /// The gains of ranks at the end, of a job whose calls are given as `(step, [(rank, start, end)])`, all exposed. What is
    /// removed is of the first rank.
    fn replay(parts: usize, calls: &[(i64, &[Span])], removed: &[i64]) -> Vec<i64> {
        let mut meetings = Meetings::new(MEMORY);
        for &(step, call) in calls {
            let arrival = |&(part, start, end): &Span| {
                let awaited = end - start;
                Arrival { start, end, exposed: awaited, awaited, part, step, ..Arrival::default() }
            };
            let call: Vec<Arrival> = call.iter().map(arrival).collect();
            meetings.take(&CallFamily { kind: CollectiveKind::AllReduce, ..CallFamily::default() }, &call);
        }
        let (mut order, mut gains) = (MoveOrder::new(parts), vec![0; parts]);
        let mut of_parts = vec![None; parts];
        of_parts[0] = Some(removed);
        let again = meetings.each_step(|_, step| order.order_step(step).replay(&mut gains, &of_parts));
        assert_eq!(again.unwrap().1, 0);
        gains
    }

    #[test]
    fn a_rank_that_comes_earlier_gains_as_much_as_the_next_to_last_allows() {
        // The first comes at 90, the second at 20, the third, whose clock is 1000 behind, at 50; all leave at 100.
        let call: &[Span] = &[(0, 90, 100), (1, 20, 100), (2, -950, -900)];
        assert_eq!(replay(3, &[(1, call)], &[30]), [30, 30, 30]);
        assert_eq!(replay(3, &[(1, call)], &[60]), [40, 40, 40], "the third is the last then");
    }

    #[test]
    fn slack_takes_up_what_is_earlier() {
        // It waits for the second anyway: nobody gains, and neither does the rank itself.
        let call: &[Span] = &[(0, 40, 100), (1, 90, 100)];
        assert_eq!(replay(2, &[(1, call)], &[30]), [0, 0]);
        // What a rank gains reaches the next one by another call.
        let calls: &[(i64, &[Span])] =
            &[(1, &[(0, 90, 100), (1, 50, 100)]), (1, &[(1, 130, 140), (2, 110, 140)])];
        assert_eq!(replay(3, calls, &[30]), [30, 20, 20], "the third is the last to the second call");
    }

    #[test]
    fn gains_of_a_step_are_there_in_the_next() {
        let calls: &[(i64, &[Span])] =
            &[(1, &[(0, 90, 100), (1, 20, 100)]), (2, &[(0, 190, 200), (1, 120, 200)])];
        assert_eq!(replay(2, calls, &[30]), [60, 60]);
    }

    #[test]
    fn traces_that_contradict_each_other_end() {
        // Each is said to have left one call before it entered the other.
        let calls: &[(i64, &[Span])] = &[(1, &[(0, 0, 10), (1, 20, 30)]), (1, &[(1, 0, 10), (0, 20, 30)])];
        assert_eq!(replay(2, calls, &[5]).len(), 2);
        let (start, end) = (i64::MIN / 4, i64::MAX / 4);
        assert_eq!(replay(2, &[(1, &[(0, start, end), (1, 0, 0)])], &[i64::MAX]).len(), 2);
    }

    #[test]
    fn own_time_has_no_waiting() {
        // In units longer than the queue of calls, so that no call waits for another in it.
        let ns = |units: i64| 2 * SAME_QUEUE * units;
        let meeting = |call, start, end, awaited| {
            let (start, end, awaited) = (ns(start), ns(end), ns(awaited));
            Meeting { call, start, end, awaited, ..Meeting::default() }
        };
        let mut order = MoveOrder::new(1);
        // The second call runs beside work from 130 to 180, and is waited for until 200.
        let step =
            order.order_step(&[meeting(0, 100, 120, 20), meeting(1, 130, 200, 20), meeting(2, 230, 240, 10)]);
        let times = vec![Some(0), Some(ns(10)), Some(ns(90))];
        assert_eq!(step.arrivals[0], OwnArrivals { times, is_first: true });
        // The second begins as soon as the first has ended.
        let step = order.order_step(&[meeting(3, 300, 310, 10), meeting(4, 310, 330, 20)]);
        assert_eq!(step.arrivals[0], OwnArrivals { times: vec![Some(ns(60)), None], is_first: false });
    }

    #[test]
    fn records_survive_the_file() {
        let record = Meeting { step: -1, part: 3, call: u32::MAX, start: 4, end: 5, awaited: 6, waited: 7 };
        assert_eq!(Meeting::from_words(record.to_words()), record);
    }
}

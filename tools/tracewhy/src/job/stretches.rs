//! Own time of ranks between their calls, stretch by stretch: what a rank did of its own from one call to the next, beside what
//! its equals did there in the same step and in others.
//!
//! The sum of a step is as long as the longest of its kernels now and then is; single stretches say more about what is usual.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::lateness::Lateness;
use super::meetings::{Meetings, MoveOrder, OwnArrivals};
use super::place::RankPlaces;

/// Own time of a rank in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StretchTime {
    /// Nanoseconds.
    pub(super) time: i64,
    /// Index of the rank.
    pub(super) part: u32,
    /// Number of the step among those that were collected.
    pub(super) step: u32,
}

/// Where in a step a stretch lies: the class of the ranks, how many calls they enter in the step, behind which of them it begins,
/// none if with the step, and before which it ends.
pub(super) type StretchPlace = (usize, usize, Option<usize>, usize);

/// The stretches of all ranks.
#[derive(Debug, Default)]
pub(super) struct Stretches {
    /// Sorted by time.
    pub(super) columns: BTreeMap<StretchPlace, Vec<StretchTime>>,
    /// Numbers of the steps.
    steps: Vec<i64>,
    /// By index of the rank, the step with which it begins: the length of its first stretch there is not known.
    begins: BTreeMap<u32, u32>,
    samples: usize,
    /// By index of the rank, what [`Self::find_shift`] has found, and the number of steps of which all is known.
    shifts: Vec<OnceCell<(i64, usize)>>,
}

/// Maximum number of own times. Of more calls, several stretches are one; of more steps, the first are compared.
const MOST_SAMPLES: usize = 1 << 19;
/// Halvings of an interval until the shift in it is known well enough.
const HALVINGS: usize = 24;

impl Stretches {
    /// Takes the own times out of the calls of a job; returns the same calls.
    ///
    /// # Errors
    /// The temporary file cannot be used.
    pub(super) fn collect(
        meetings: Meetings,
        lateness: &Lateness,
        places: &RankPlaces,
    ) -> io::Result<(Meetings, Self)> {
        let every = meetings.count().div_ceil(MOST_SAMPLES).max(1);
        let (mut out, mut order) = (Self::default(), MoveOrder::new(lateness.ranks.len()));
        let (meetings, _) = meetings.each_step(|number, step| {
            let arrivals = order.list_arrivals(step);
            let Some(late) = lateness.steps.get(&number).filter(|_| out.samples < MOST_SAMPLES) else {
                return;
            };
            let mut equals: BTreeMap<(usize, usize), Vec<(usize, &OwnArrivals)>> = BTreeMap::new();
            for (part, own) in arrivals.iter().enumerate() {
                let counts = late.get(part).is_some_and(|at| at.is_compared && !at.is_unmatched);
                if counts && !own.times.is_empty() {
                    equals.entry((places.class(part), own.times.len())).or_default().push((part, own));
                }
            }
            for ((class, count), members) in equals.into_iter().filter(|(_, members)| members.len() > 1) {
                out.add_equals((class, count), &members, every, |part| late[part].by_load);
            }
            out.steps.push(number);
        })?;
        out.columns.values_mut().for_each(|column| column.sort_unstable_by_key(|stretch| stretch.time));
        out.shifts = vec![OnceCell::new(); lateness.ranks.len()];
        Ok((meetings, out))
    }

    /// Adds a step of equal ranks. Calls that waited in a queue on one of them end no stretch.
    fn add_equals(
        &mut self,
        (class, count): (usize, usize),
        members: &[(usize, &OwnArrivals)],
        every: usize,
        by_load: impl Fn(usize) -> i64,
    ) {
        let is_known = |place: &usize| members.iter().all(|(_, own)| own.times[*place].is_some());
        let known: Vec<usize> = (0..count).filter(is_known).collect();
        let mut from = None;
        for &to in known.iter().skip((known.len() + every - 1) % every).step_by(every) {
            let column = self.columns.entry((class, count, from, to)).or_default();
            for &(part, own) in members {
                // The length of what comes before the first call of a trace is not known.
                let before = match from {
                    Some(from) => own.times[from],
                    None => (!own.is_first).then_some(0),
                };
                let (part_number, step) = (part as u32, self.steps.len() as u32);
                if own.is_first {
                    self.begins.insert(part_number, step);
                }
                let (Some(before), Some(end)) = (before, own.times[to]) else { continue };
                let (time, whole) = (end.saturating_sub(before), own.times[known[known.len() - 1]]);
                // More tokens take longer.
                let share = by_load(part) as f64 / whole.unwrap_or(0).max(1) as f64;
                let time = time.saturating_sub((time as f64 * share) as i64);
                column.push(StretchTime { time, part: part_number, step });
                self.samples += 1;
            }
            from = Some(to);
        }
    }

    /// The number of a step in the job.
    pub(super) fn number_of(&self, step: u32) -> i64 {
        self.steps.get(step as usize).copied().unwrap_or(i64::MIN)
    }

    /// By how many nanoseconds a rank takes longer in a step than its equals: of each stretch, the time without which it would
    /// as often be among the short ones as they are. `part` is the index of the rank.
    pub(super) fn find_shift(&self, part: usize) -> i64 {
        self.measure(part).0
    }

    /// Number of the steps of a rank of which all own time is known.
    pub(super) fn count_steps(&self, part: usize) -> usize {
        self.measure(part).1
    }

    fn measure(&self, part: usize) -> (i64, usize) {
        let shift = || {
            let (mut sum, mut steps) = (0.0, BTreeSet::new());
            let begin = u32::try_from(part).ok().and_then(|part| self.begins.get(&part));
            for column in self.columns.values() {
                let own: Vec<StretchTime> =
                    column.iter().filter(|stretch| stretch.part as usize == part).copied().collect();
                if !own.is_empty() && own.len() < column.len() {
                    // A step of which all is known has all stretches.
                    let whole = own.iter().map(|stretch| stretch.step).filter(|step| Some(step) != begin);
                    let whole: Vec<u32> = whole.collect();
                    sum += shift_of(&own, column) * whole.len() as f64;
                    steps.extend(whole);
                }
            }
            ((sum / steps.len().max(1) as f64) as i64, steps.len())
        };
        self.shifts.get(part).map_or((0, 0), |known| *known.get_or_init(shift))
    }
}

/// The time by which a rank's own stretches are longer than the others of a column; both are sorted. It is the estimate that
/// belongs to the test of [`super::order_test`] (Hodges and Lehmann, 1963): without it, the mean of their scores is that of
/// equal ones.
fn shift_of(own: &[StretchTime], column: &[StretchTime]) -> f64 {
    let count = column.len() - own.len();
    let expected = mean_score(count);
    let (low, high) = (column[0].time as f64, column[column.len() - 1].time as f64);
    let (mut least, mut most) = (low - high, high - low);
    let below =
        |sorted: &[StretchTime], time: f64| sorted.partition_point(|other| (other.time as f64) < time);
    let until = |sorted: &[StretchTime], time: f64| sorted.partition_point(|other| other.time as f64 <= time);
    for _ in 0..HALVINGS {
        let middle = least / 2.0 + most / 2.0;
        let scores = own.iter().map(|stretch| {
            let time = stretch.time as f64 - middle;
            let shorter = below(column, time) - below(own, time);
            let alike = until(column, time) - until(own, time) - shorter;
            score(shorter as f64, alike as f64, count)
        });
        let is_short = scores.sum::<f64>() / own.len() as f64 > expected;
        *(if is_short { &mut most } else { &mut least }) = middle;
    }
    least / 2.0 + most / 2.0
}

/// How short a value is beside `count` others, of which so many are `below` it, and so many `alike`: minus the logarithm of the
/// share that is shorter. Of values of one distribution, it is distributed exponentially, with a mean of about 1: a value that
/// is long costs a sum of them little, and one that is not short makes it small.
pub(super) fn score(below: f64, alike: f64, count: usize) -> f64 {
    -((below + alike / 2.0 + 1.0) / (count as f64 + 1.0)).ln()
}

/// The mean of [`score`] over all places among others.
fn mean_score(count: usize) -> f64 {
    let all = count as f64 + 1.0;
    (1..=count + 1).map(|place| -(place as f64 / all).ln()).sum::<f64>() / all
}

/// The median of the times of a sorted column, in nanoseconds.
pub(super) fn usual_time(column: &[StretchTime]) -> i64 {
    column.get(column.len() / 2).map_or(0, |stretch| stretch.time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(times: &[i64], part: u32) -> Vec<StretchTime> {
        let mut out: Vec<StretchTime> =
            (0..).zip(times).map(|(step, time)| StretchTime { time: *time, part, step }).collect();
        out.sort_unstable_by_key(|stretch| stretch.time);
        out
    }

    #[test]
    fn a_shift_is_measured_where_one_time_is_many_times_as_long() {
        let own = sorted(&[1041, 1052, 1043, 1060, 99_000, 1049], 0);
        let others = sorted(&[1001, 1012, 1003, 1020, 1008, 1009, 50_000, 1015, 1002, 1030, 1005, 1011], 1);
        let mut column = [own.clone(), others].concat();
        column.sort_unstable_by_key(|stretch| stretch.time);
        let shift = shift_of(&own, &column);
        assert!((shift - 40.0).abs() < 8.0, "{shift}");
    }

    #[test]
    fn equal_values_have_the_mean_score() {
        let scores = (0..8).map(|below| score(f64::from(below), 0.0, 7));
        assert!((scores.sum::<f64>() / 8.0 - mean_score(7)).abs() < 1e-12);
        // Of many others, that of an exponential distribution.
        assert!((mean_score(100_000) - 1.0).abs() < 1e-3);
    }

    /// Two ranks, three calls in each of three steps; the second takes 300 longer before the second call.
    #[test]
    fn stretches_end_at_calls_that_all_have_entered() {
        let own = |times: &[Option<i64>], is_first| OwnArrivals { times: times.to_vec(), is_first };
        let mut stretches = Stretches { shifts: vec![OnceCell::new(); 2], ..Stretches::default() };
        for step in 0..3 {
            let is_first = step == 0;
            let a = own(&[Some(100), Some(600), Some(1000)], is_first);
            let b = own(&[Some(100), Some(900), Some(1300)], is_first);
            stretches.add_equals((0, 3), &[(0, &a), (1, &b)], 1, |_| 0);
            stretches.steps.push(step);
        }
        let ends: Vec<(Option<usize>, usize, usize)> =
            stretches.columns.iter().map(|((.., from, to), column)| (*from, *to, column.len())).collect();
        assert_eq!(ends, [(None, 0, 4), (Some(0), 1, 6), (Some(1), 2, 6)]);
        stretches.columns.values_mut().for_each(|column| column.sort_unstable_by_key(|s| s.time));
        assert!((stretches.find_shift(1) - 300).abs() <= 1, "{}", stretches.find_shift(1));
        // Where one has waited in a queue, the next call ends the stretch; of many, only some do.
        let mut stretches = Stretches::default();
        let (a, b) = (own(&[Some(1), None, Some(9)], false), own(&[Some(1), Some(5), Some(9)], false));
        stretches.add_equals((0, 3), &[(0, &a), (1, &b)], 1, |_| 0);
        stretches.add_equals((1, 3), &[(2, &b), (3, &b)], 2, |_| 0);
        let ends: Vec<(usize, Option<usize>, usize)> =
            stretches.columns.keys().map(|(class, _, from, to)| (*class, *from, *to)).collect();
        assert_eq!(ends, [(0, None, 0), (0, Some(0), 2), (1, None, 0), (1, Some(0), 2)]);
    }
}

//! The step times of an Ascend timeline, from the lanes that its exporter computed, by the rules of its
//! `step_trace_time.csv`.
//!
//! A piece of a lane belongs to the step in which it starts, with its whole duration. A step's range is that of
//! the device: from the first work that its first launching operator caused, to the end of what the last one
//! caused or of the step on the host, whichever is later.

use std::collections::BTreeMap;
use std::io;

use super::records::{Lane, NO_NUMBER, Piece};
use super::resolve::Resolved;
use crate::split::Split;
use crate::spool::{Spool, SpoolRecord};
use crate::steps::Step;

/// The lanes over one stretch of time on one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverlapLanes {
    sums: [i64; 5],
    extent: Option<(i64, i64)>,
    /// First start of computation or communication.
    first_work: Option<i64>,
    pub(crate) pieces: u64,
}

impl OverlapLanes {
    fn add(&mut self, piece: &Piece) {
        self.pieces += 1;
        let sum = &mut self.sums[piece.lane as usize];
        *sum = sum.saturating_add(piece.end - piece.start);
        let (first, last) = self.extent.unwrap_or((piece.start, piece.end));
        self.extent = Some((first.min(piece.start), last.max(piece.end)));
        if matches!(piece.lane, Lane::Computing | Lane::Communication) {
            self.first_work = Some(self.first_work.map_or(piece.start, |f| f.min(piece.start)));
        }
    }

    fn sum(&self, lane: Lane) -> i64 {
        self.sums[lane as usize]
    }

    /// The lanes as a split. They have no copies: those run while the lane Free does, so they are given by themselves.
    pub(crate) fn split(&self, memcpy: i64) -> Split {
        let (compute, exposed) = (self.sum(Lane::Computing), self.sum(Lane::NotOverlapped));
        Split {
            total: compute.saturating_add(exposed).saturating_add(self.sum(Lane::Free)),
            compute,
            communication: self.sum(Lane::Communication),
            exposed_communication: exposed,
            memcpy,
            ..Split::default()
        }
    }

    /// Time in receives.
    pub fn bubble(&self) -> i64 {
        self.sum(Lane::Receive)
    }

    /// From the first start to the last end, less the bubble.
    pub fn stage(&self) -> i64 {
        self.extent.map_or(0, |(first, last)| last - first).saturating_sub(self.bubble())
    }

    /// Exposed communication without receives.
    pub fn excluding_receive(&self) -> i64 {
        self.sum(Lane::NotOverlapped).saturating_sub(self.bubble()).max(0)
    }

    /// From a moment on the host to the first work.
    pub fn preparing(&self, since: i64) -> Option<i64> {
        self.first_work.map(|first| first - since)
    }
}

/// The lanes of a timeline by scope and device: over everything, and by step.
#[derive(Debug, Default)]
pub(crate) struct DividedLanes {
    pub(crate) whole: BTreeMap<(u32, i64), OverlapLanes>,
    pub(crate) steps: BTreeMap<(u32, i64, usize), OverlapLanes>,
    /// Pieces outside all steps.
    pub(crate) outside: u64,
    /// By scope: start, end and index of every step, on the device, by start.
    ranges: Vec<Vec<(i64, i64, usize)>>,
    /// A device with a lane whose pieces run beside each other, and how many do.
    pub(crate) doubled: Option<(i64, u64)>,
}

impl DividedLanes {
    /// The step that work on the device belongs to, by its start.
    pub(crate) fn step_at(&self, scope: u32, moment: i64) -> Option<usize> {
        find_range(self.ranges.get(scope as usize)?, moment)
    }
}

/// Counts the pieces of a lane that begin before the one before has ended. The exporter joins what runs side by side, so
/// it writes none.
#[derive(Default)]
struct LaneOrder {
    lane: Option<(u32, i64, Lane)>,
    end: i64,
    pieces: u64,
    early: u64,
    found: Option<(i64, u64)>,
}

impl LaneOrder {
    /// Takes the next piece, by lane and start.
    fn add(&mut self, piece: &Piece) {
        let lane = (piece.scope, piece.device, piece.lane);
        if self.lane != Some(lane) {
            self.finish();
            (self.lane, self.end, self.pieces, self.early) = (Some(lane), i64::MIN, 0, 0);
        }
        self.pieces += 1;
        self.early += u64::from(piece.start < self.end && piece.end > piece.start);
        self.end = self.end.max(piece.end);
    }

    /// Ends a lane: a few pieces may be rounded.
    fn finish(&mut self) {
        const FEW: u64 = 20;
        if let Some((_, device, lane)) = self.lane {
            if lane != Lane::Receive && self.early > 1 && self.early.saturating_mul(FEW) > self.pieces {
                self.found = self.found.or(Some((device, self.early)));
            }
        }
    }
}

/// Divides the lanes between the steps.
///
/// # Errors
/// An I/O error of a spool.
pub(crate) fn divide_lanes(resolved: &mut Resolved) -> io::Result<DividedLanes> {
    let ranges = find_device_ranges(resolved)?;
    let mut out = DividedLanes::default();
    let mut order = LaneOrder::default();
    let pieces = std::mem::replace(&mut resolved.pieces, Spool::new(resolved.memory));
    let mut pieces = pieces.into_sorted(|p| (p.scope, p.device, p.lane, p.start, p.end))?;
    while let Some(piece) = pieces.next_record()? {
        order.add(&piece);
        let (scope, device) = (piece.scope, piece.device);
        out.whole.entry((scope, device)).or_default().add(&piece);
        match find_range(&ranges[scope as usize], piece.start) {
            Some(step) => out.steps.entry((scope, device, step)).or_default().add(&piece),
            None if resolved.steps[scope as usize].all().is_empty() => {}
            None => out.outside += 1,
        }
    }
    order.finish();
    (out.ranges, out.doubled) = (ranges, order.found);
    Ok(out)
}

/// The range whose start is the latest at or before the moment, if it holds it.
fn find_range(ranges: &[(i64, i64, usize)], moment: i64) -> Option<usize> {
    let after = ranges.partition_point(|(start, ..)| *start <= moment);
    let (_, end, step) = *ranges.get(after.checked_sub(1)?)?;
    (moment < end).then_some(step)
}

/// The device end of an arrow: when the work at it starts and ends.
#[derive(Clone, Copy, Debug)]
struct ArrowHead {
    id: i64,
    start: i64,
    end: i64,
}

impl SpoolRecord<3> for ArrowHead {
    fn to_words(self) -> [i64; 3] {
        [self.id, self.start, self.end]
    }

    fn from_words([id, start, end]: [i64; 3]) -> Self {
        Self { id, start, end }
    }
}

/// The work that an operator launched, if the trace has it: when that starts and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OperatorLaunch {
    scope: u32,
    at: i64,
    start: i64,
    end: i64,
}

impl SpoolRecord<4> for OperatorLaunch {
    fn to_words(self) -> [i64; 4] {
        [i64::from(self.scope), self.at, self.start, self.end]
    }

    fn from_words([scope, at, start, end]: [i64; 4]) -> Self {
        Self { scope: scope as u32, at, start, end }
    }
}

/// The heads of arrows with the work at which they point: that of the same thread and start.
fn find_heads(resolved: &mut Resolved) -> io::Result<Spool<ArrowHead, 3>> {
    let memory = resolved.memory;
    let heads = std::mem::replace(&mut resolved.heads, Spool::new(memory));
    let tasks = std::mem::replace(&mut resolved.tasks, Spool::new(memory));
    let mut out = Spool::new(memory);
    let mut heads = heads.into_sorted(|h| (h.thread, h.at))?;
    // Of tasks that start together, the one that ends last.
    let mut tasks = tasks.into_sorted(|t| (t.thread, t.start, std::cmp::Reverse(t.end)))?;
    let mut task = tasks.next_record()?;
    while let Some(head) = heads.next_record()? {
        while task.is_some_and(|t| (t.thread, t.start) < (head.thread, head.at)) {
            task = tasks.next_record()?;
        }
        let end = task.filter(|t| (t.thread, t.start) == (head.thread, head.at)).map_or(head.at, |t| t.end);
        out.push(ArrowHead { id: head.id, start: head.at, end })?;
    }
    Ok(out)
}

/// Finds the work that each launching operator caused on the device, by scope and time.
fn find_launched_work(resolved: &mut Resolved) -> io::Result<Spool<OperatorLaunch, 4>> {
    let memory = resolved.memory;
    let mut heads = find_heads(resolved)?.into_sorted(|h| (h.id, h.start))?;
    let tails = std::mem::replace(&mut resolved.tails, Spool::new(memory));
    let mut tails = tails.into_sorted(|t| t.id)?;
    let mut out = Spool::new(memory);
    let mut head = heads.next_record()?;
    while let Some(tail) = tails.next_record()? {
        while head.is_some_and(|h| h.id < tail.id) {
            head = heads.next_record()?;
        }
        let (start, end) =
            head.filter(|h| h.id == tail.id).map_or((NO_NUMBER, NO_NUMBER), |h| (h.start, h.end));
        out.push(OperatorLaunch { scope: resolved.scope_of(tail.thread), at: tail.at, start, end })?;
    }
    Ok(out)
}

/// First start and last end of what a step launched, by its first and its last launching operator.
#[derive(Clone, Copy, Default)]
struct StepLaunches {
    first: Option<OperatorLaunch>,
    last: Option<OperatorLaunch>,
}

/// By scope: start, end and index of every step, on the device, by start.
fn find_device_ranges(resolved: &mut Resolved) -> io::Result<Vec<Vec<(i64, i64, usize)>>> {
    let mut launched = find_launched_work(resolved)?.into_sorted(|l| (l.scope, l.at))?;
    let mut found: Vec<Vec<StepLaunches>> =
        resolved.steps.iter().map(|s| vec![StepLaunches::default(); s.all().len()]).collect();
    while let Some(work) = launched.next_record()? {
        let scope = work.scope as usize;
        let steps = resolved.steps[scope].all();
        for i in resolved.steps[scope].all_at(work.at) {
            debug_assert!(i < steps.len());
            let StepLaunches { first, last } = &mut found[scope][i];
            first.get_or_insert(work).join_start(work);
            let same = last.is_some_and(|l| l.at == work.at);
            match last {
                Some(last) if same => last.end = last.end.max(work.end),
                _ => *last = Some(work),
            }
        }
    }
    let range = |(i, (step, launches)): (usize, (&Step, &StepLaunches))| {
        let known = |n: i64| (n != NO_NUMBER).then_some(n);
        let start = launches.first.and_then(|l| known(l.start)).unwrap_or(step.start);
        let end = launches.last.and_then(|l| known(l.end)).unwrap_or(step.end).max(step.end);
        (start, end, i)
    };
    let of_scope = |(steps, launches): (&crate::steps::Steps, &Vec<StepLaunches>)| {
        let mut ranges: Vec<_> = steps.all().iter().zip(launches).enumerate().map(range).collect();
        ranges.sort_unstable();
        ranges
    };
    Ok(resolved.steps.iter().zip(&found).map(of_scope).collect())
}

impl OperatorLaunch {
    /// Of operators at the same moment, the earliest start counts.
    fn join_start(&mut self, other: Self) {
        if other.at == self.at
            && other.start != NO_NUMBER
            && (self.start == NO_NUMBER || other.start < self.start)
        {
            self.start = other.start;
        }
    }
}

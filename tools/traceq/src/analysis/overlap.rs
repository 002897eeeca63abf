//! The step times of an Ascend timeline, from the lanes that its exporter computed, by the rules of its
//! `step_trace_time.csv`.
//!
//! A piece of a lane belongs to the step in which it starts, with its whole duration. A step's range is that of
//! the device: from the first work that its first launching operator caused, to the end of what the last one
//! caused or of the step on the host, whichever is later.

use std::collections::{BTreeMap, HashMap};

use super::collect::{Arrow, Collected, Lane, Piece};
use super::split::Split;
use super::steps::Step;

/// What the lanes say of one stretch of time on one device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OverlapLanes {
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

    /// The lanes as a split; they have no copies of their own.
    pub(crate) fn split(&self) -> Split {
        let (compute, exposed) = (self.sum(Lane::Computing), self.sum(Lane::NotOverlapped));
        Split {
            total: compute.saturating_add(exposed).saturating_add(self.sum(Lane::Free)),
            compute,
            communication: self.sum(Lane::Communication),
            exposed_communication: exposed,
            ..Split::default()
        }
    }

    /// Time in receives.
    pub(crate) fn bubble(&self) -> i64 {
        self.sum(Lane::Receive)
    }

    /// From the first start to the last end, less the bubble.
    pub(crate) fn stage(&self) -> i64 {
        self.extent.map_or(0, |(first, last)| last - first).saturating_sub(self.bubble())
    }

    /// Exposed communication without receives.
    pub(crate) fn excluding_receive(&self) -> i64 {
        self.sum(Lane::NotOverlapped).saturating_sub(self.bubble()).max(0)
    }

    /// From a moment on the host to the first work.
    pub(crate) fn preparing(&self, since: i64) -> Option<i64> {
        self.first_work.map(|first| first - since)
    }
}

/// The lanes of a timeline by device: over everything, and by step.
#[derive(Debug, Default)]
pub(crate) struct DividedLanes {
    pub(crate) whole: BTreeMap<i64, OverlapLanes>,
    pub(crate) steps: BTreeMap<(i64, usize), OverlapLanes>,
    /// Pieces outside all steps.
    pub(crate) outside: u64,
}

/// Divides the lanes between the steps.
pub(crate) fn divide_lanes(collected: &Collected, steps: &[Step]) -> DividedLanes {
    let ranges = device_ranges(collected, steps);
    let mut out = DividedLanes::default();
    for piece in &collected.pieces {
        out.whole.entry(piece.device).or_default().add(piece);
        match find_range(&ranges, piece.start) {
            Some(step) => out.steps.entry((piece.device, step)).or_default().add(piece),
            None => out.outside += 1,
        }
    }
    out
}

/// The range whose start is the latest at or before the moment, if it holds it.
fn find_range(ranges: &[(i64, i64, usize)], moment: i64) -> Option<usize> {
    let after = ranges.partition_point(|(start, ..)| *start <= moment);
    let (_, end, step) = *ranges.get(after.checked_sub(1)?)?;
    (moment < end).then_some(step)
}

/// What one launching operator caused on the device: first start and last end.
struct LaunchedWork {
    at: i64,
    start: Option<i64>,
    end: Option<i64>,
}

/// Launching operators by time.
fn launching_operators(collected: &Collected) -> Vec<LaunchedWork> {
    let heads: HashMap<i64, (i64, u32)> = collected.heads.iter().map(|h| (h.id, (h.at, h.lane))).collect();
    let mut ends: HashMap<(u32, i64), i64> = HashMap::new();
    for &(lane, start, end) in &collected.tasks {
        let known = ends.entry((lane, start)).or_insert(end);
        *known = (*known).max(end);
    }
    let mut tails = collected.tails.clone();
    tails.sort_unstable_by_key(|t| t.at);
    let caused = |group: &[Arrow]| {
        let heads = group.iter().filter_map(|t| heads.get(&t.id)).copied();
        LaunchedWork {
            at: group[0].at,
            start: heads.clone().map(|(at, _)| at).min(),
            end: heads.map(|(at, lane)| ends.get(&(lane, at)).copied().unwrap_or(at)).max(),
        }
    };
    tails.chunk_by(|a, b| a.at == b.at).map(caused).collect()
}

/// Start, end and index of every step, on the device, by start.
fn device_ranges(collected: &Collected, steps: &[Step]) -> Vec<(i64, i64, usize)> {
    let launches = launching_operators(collected);
    let range = |(i, step): (usize, &Step)| {
        let from = launches.partition_point(|l| l.at < step.start);
        let to = launches.partition_point(|l| l.at < step.end);
        let inside = launches.get(from..to).unwrap_or(&[]);
        let start = inside.first().and_then(|l| l.start).unwrap_or(step.start);
        let end = inside.last().and_then(|l| l.end).unwrap_or(step.end).max(step.end);
        (start, end, i)
    };
    let mut ranges: Vec<_> = steps.iter().enumerate().map(range).collect();
    ranges.sort_unstable();
    ranges
}

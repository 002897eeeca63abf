//! Slices opened and closed in the order of time, so that they nest on every lane.
//!
//! Spans of one thread may overlap without one being in the other. Such a slice goes to a further lane of its track;
//! on a lane, every slice is within the one that is open below it.

use std::cmp::Reverse;
use std::io;

use trace::spool::{Sorted, Spool};

use super::{TimedEvent, TimedKind};

/// The next action on a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SweepStep {
    /// A slice begins on a lane.
    Open { event: TimedEvent, lane: usize },
    /// The slice that is innermost on its lane ends.
    Close { event: TimedEvent, lane: usize },
    /// Anything else, beside the slices that are open on this lane.
    Point { event: TimedEvent, lane: usize },
}

type SortKey = (u32, i64, bool, Reverse<i64>, u64);

/// At one moment: slices before other things, the longer slice before the shorter, else the order of the file.
fn sort_key(event: &TimedEvent) -> SortKey {
    let point = event.kind != TimedKind::Slice;
    (event.track, event.start, point, Reverse(event.end), event.index)
}

/// The events of a trace in the order of tracks and time.
pub(crate) struct SortedEvents(Sorted<TimedEvent, SortKey, fn(&TimedEvent) -> SortKey, 7>);

impl SortedEvents {
    pub(super) fn of(events: Spool<TimedEvent, 7>) -> io::Result<Self> {
        let key: fn(&TimedEvent) -> SortKey = sort_key;
        Ok(Self(events.into_sorted(key)?))
    }

    /// Calls `each` with everything that happens.
    ///
    /// # Errors
    /// A temporary file cannot be read; what `each` says.
    pub(crate) fn sweep(
        mut self,
        mut each: impl FnMut(SweepStep) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut lanes = Lanes::default();
        let mut track = None;
        while let Some(event) = self.0.next_record()? {
            if track.replace(event.track) != Some(event.track) {
                lanes.close_until(i64::MAX, true, &mut each)?;
                lanes.open.clear();
            }
            if event.kind == TimedKind::Slice {
                lanes.close_until(event.start, true, &mut each)?;
                let lane = lanes.lane_for(event.end);
                lanes.open[lane].push(event);
                each(SweepStep::Open { event, lane })?;
            } else {
                lanes.close_until(event.start, false, &mut each)?;
                each(SweepStep::Point { event, lane: lanes.innermost() })?;
            }
        }
        lanes.close_until(i64::MAX, true, &mut each)
    }
}

/// The open slices of a track, lane by lane, innermost last.
#[derive(Default)]
struct Lanes {
    open: Vec<Vec<TimedEvent>>,
}

impl Lanes {
    /// Closes what ends before a moment, or at it.
    fn close_until(
        &mut self,
        moment: i64,
        inclusive: bool,
        each: &mut impl FnMut(SweepStep) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for (lane, open) in self.open.iter_mut().enumerate() {
            while let Some(&event) = open.last() {
                if event.end > moment || !inclusive && event.end == moment {
                    break;
                }
                open.pop();
                each(SweepStep::Close { event, lane })?;
            }
        }
        Ok(())
    }

    /// The first lane on which a slice with this end is within the one that is open.
    fn lane_for(&mut self, end: i64) -> usize {
        let fits = |open: &Vec<TimedEvent>| open.last().is_none_or(|outer| end <= outer.end);
        self.open.iter().position(fits).unwrap_or_else(|| {
            self.open.push(Vec::new());
            self.open.len() - 1
        })
    }

    /// The lane whose innermost slice began last.
    fn innermost(&self) -> usize {
        let start = |lane: &usize| self.open[*lane].last().map(|e| e.start);
        (0..self.open.len()).rev().max_by_key(start).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::Timeline;
    use trace::model::{Event, EventId};
    use trace::spool::MemoryLimit;

    /// Sweeps events, given as phase, name, start and duration, and writes what happens.
    fn steps(events: &[(u8, &'static str, i64, i64)]) -> String {
        let mut timeline = Timeline::new(MemoryLimit::default());
        for (index, &(phase, name, start, dur)) in (0..).zip(events) {
            let (start, dur) = (Some(start), (phase == b'X').then_some(dur));
            let (pid, tid) = (EventId::Number(1), EventId::Number(2));
            let event = Event { index, phase, name: name.into(), pid, tid, start, dur, ..Event::default() };
            timeline.take_event(&event, b"").unwrap();
        }
        let mut out = Vec::new();
        let sorted = timeline.sort().unwrap();
        let names = &timeline.names;
        sorted
            .sweep(|step| {
                out.push(match step {
                    SweepStep::Open { event, lane } => format!("{}{lane}(", names.name(event.name)),
                    SweepStep::Close { event, lane } => format!("){lane}@{}", event.end),
                    SweepStep::Point { event, lane } => format!("{}{lane}", names.name(event.name)),
                });
                Ok(())
            })
            .unwrap();
        out.join(" ")
    }

    #[test]
    fn slices_nest_whatever_the_order_of_the_file() {
        let events = [(b'X', "b", 10, 10), (b'X', "a", 0, 20), (b'X', "c", 20, 5), (b'X', "d", 2, 3)];
        assert_eq!(steps(&events), "a0( d0( )0@5 b0( )0@20 )0@20 c0( )0@25");
    }

    #[test]
    fn overlapping_slices_get_a_lane() {
        let events = [(b'X', "a", 0, 10), (b'X', "b", 5, 10), (b'X', "c", 12, 1)];
        assert_eq!(steps(&events), "a0( b1( )0@10 c0( )0@13 )1@15");
    }

    #[test]
    fn moments_are_beside_the_slice_that_holds_them() {
        let events = [(b'i', "at-end", 10, 0), (b's', "in", 10, 0), (b'X', "a", 0, 10), (b'X', "b", 10, 0)];
        assert_eq!(steps(&events), "a0( )0@10 b0( at-end0 in0 )0@10");
        assert_eq!(steps(&[(b'X', "a", 0, 10), (b'i', "m", 10, 0)]), "a0( m0 )0@10");
    }

    #[test]
    fn begins_are_paired_with_their_ends() {
        let events = [
            (b'B', "a", 0, 0),
            (b'B', "b", 1, 0),
            (b'E', "b", 3, 0),
            (b'E', "", 4, 0),
            (b'E', "x", 5, 0),
            (b'B', "open", 6, 0),
            (b'i', "m", 9, 0),
        ];
        assert_eq!(steps(&events), "a0( b0( )0@3 )0@4 open0( m0 )0@9");
    }
}

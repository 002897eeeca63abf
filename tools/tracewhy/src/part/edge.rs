//! The edges that a sweep over the time of one rank goes through: begins and ends of work, and of steps.

use trace::spool::SpoolRecord;

use super::host::{HOST_WORKS, HostWork};

/// The kind of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    Compute,
    Communication,
    Copy,
    Host(HostWork),
}

/// How many there are.
pub(super) const ACTIVITIES: usize = 3 + HOST_WORKS;

impl Activity {
    pub(super) fn index(self) -> usize {
        match self {
            Self::Compute => 0,
            Self::Communication => 1,
            Self::Copy => 2,
            Self::Host(work) => 3 + work as usize,
        }
    }

    fn of_index(index: usize) -> Self {
        match index {
            0 => Self::Compute,
            1 => Self::Communication,
            2 => Self::Copy,
            n => Self::Host(HostWork::ALL[(n - 3) % HOST_WORKS]),
        }
    }
}

/// The kind of edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EdgeKind {
    End(Activity),
    /// The step of this index begins, and the one before ends.
    Step(u32),
    /// The last step ends.
    LastStepEnd,
    Begin(Activity),
}

/// No call, no launch.
pub(super) const NONE: i64 = trace::launch::NO_CORRELATION;

/// One moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TimeEdge {
    pub(super) at: i64,
    pub(super) kind: EdgeKind,
    /// When it was launched.
    pub(super) launch: i64,
    /// The index of the call that it is, or [`NONE`].
    pub(super) call: i64,
}

impl TimeEdge {
    /// Ends come before begins of the same moment, so that what touches does not overlap.
    pub(super) fn key(&self) -> (i64, u8) {
        let rank = match self.kind {
            EdgeKind::End(_) => 0,
            EdgeKind::LastStepEnd => 1,
            EdgeKind::Step(_) => 2,
            EdgeKind::Begin(_) => 3,
        };
        (self.at, rank)
    }
}

impl SpoolRecord<4> for TimeEdge {
    fn to_words(self) -> [i64; 4] {
        let kind = match self.kind {
            EdgeKind::End(activity) => activity.index() as i64,
            EdgeKind::Begin(activity) => 1 << 8 | activity.index() as i64,
            EdgeKind::Step(index) => 2 << 8 | i64::from(index) << 16,
            EdgeKind::LastStepEnd => 3 << 8,
        };
        [self.at, kind, self.launch, self.call]
    }

    fn from_words([at, kind, launch, call]: [i64; 4]) -> Self {
        let activity = Activity::of_index((kind & 0xff) as usize);
        let kind = match kind >> 8 & 0xff {
            0 => EdgeKind::End(activity),
            1 => EdgeKind::Begin(activity),
            2 => EdgeKind::Step((kind >> 16) as u32),
            _ => EdgeKind::LastStepEnd,
        };
        Self { at, kind, launch, call }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_survive_the_file() {
        let kinds = [
            EdgeKind::Begin(Activity::Compute),
            EdgeKind::End(Activity::Copy),
            EdgeKind::Begin(Activity::Host(HostWork::Synchronization)),
            EdgeKind::Step(70_000),
            EdgeKind::LastStepEnd,
        ];
        for kind in kinds {
            let edge = TimeEdge { at: -5, kind, launch: NONE, call: 1 << 40 };
            assert_eq!(TimeEdge::from_words(edge.to_words()), edge);
        }
    }
}

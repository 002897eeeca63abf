//! When a recording starts and stops. The schedule has neither a thread nor a clock: the job calls it.
//!
//! A recording by steps starts and stops between two steps. A recording by time starts and stops at the next call, which
//! happens between the phases of a step and while the job waits for the next step.

use std::fmt;
use std::time::{Duration, Instant};

/// The first step of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FirstStep {
    /// The next one.
    Next,
    /// This one, or the next one if it has passed.
    At(u64),
    /// The next one whose number is a multiple of this.
    RoundUp(u64),
}

impl FirstStep {
    /// Returns the number of the first step if step `next` is the next one.
    fn resolve_step(self, next: u64) -> u64 {
        match self {
            Self::Next => next,
            Self::At(n) => n.max(next),
            Self::RoundUp(n) => next.checked_next_multiple_of(n.max(1)).unwrap_or(next),
        }
    }
}

/// The part of the training to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordingWindow {
    Steps { first: FirstStep, count: u64 },
    Time { start: Instant, length: Duration },
}

impl fmt::Display for RecordingWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps { first: FirstStep::Next, count } => write!(f, "{count} steps from the next step"),
            Self::Steps { first: FirstStep::At(n), count } => write!(f, "{count} steps from step {n}"),
            Self::Steps { first: FirstStep::RoundUp(n), count } => {
                write!(f, "{count} steps from the next multiple of {n}")
            }
            Self::Time { start, length } => {
                let ahead = start.saturating_duration_since(Instant::now());
                write!(f, "{} ms, starting in {} ms", length.as_millis(), ahead.as_millis())
            }
        }
    }
}

/// The action that the job must take now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScheduleAction {
    Continue,
    /// Report that the recording will cover the steps from the first number until before the second one.
    Ready(u64, u64),
    Start,
    Stop,
}

/// The state of the schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum RecordingSchedule {
    #[default]
    Idle,
    /// A recording by steps whose first step is not determined yet.
    Requested {
        first: FirstStep,
        count: u64,
    },
    WaitingForStep {
        first: u64,
        stop: u64,
    },
    RecordingSteps {
        stop: u64,
    },
    WaitingForTime {
        start: Instant,
        length: Duration,
    },
    RecordingTime {
        end: Instant,
    },
}

impl RecordingSchedule {
    /// Schedules a recording. The caller ensures that no other one is scheduled.
    pub(crate) fn set_window(&mut self, window: RecordingWindow) {
        *self = match window {
            RecordingWindow::Steps { first, count } => Self::Requested { first, count },
            RecordingWindow::Time { start, length } => Self::WaitingForTime { start, length },
        };
    }

    /// Returns what to do before step `next` starts. Must be called again until it returns
    /// [`ScheduleAction::Continue`].
    pub(crate) fn advance_to_step(&mut self, next: u64, now: Instant) -> ScheduleAction {
        match *self {
            Self::Requested { first, count } => {
                let first = first.resolve_step(next);
                let stop = first.saturating_add(count);
                *self = Self::WaitingForStep { first, stop };
                ScheduleAction::Ready(first, stop)
            }
            Self::WaitingForStep { first, stop } if next >= first => {
                *self = Self::RecordingSteps { stop };
                ScheduleAction::Start
            }
            Self::RecordingSteps { stop } if next >= stop => {
                *self = Self::Idle;
                ScheduleAction::Stop
            }
            _ => self.check_time(now),
        }
    }

    /// Returns what to do within a step.
    pub(crate) fn check_time(&mut self, now: Instant) -> ScheduleAction {
        match *self {
            Self::WaitingForTime { start, length } if now >= start => {
                // The duration is counted from the actual start.
                *self = Self::RecordingTime { end: now + length };
                ScheduleAction::Start
            }
            Self::RecordingTime { end } if now >= end => {
                *self = Self::Idle;
                ScheduleAction::Stop
            }
            _ => ScheduleAction::Continue,
        }
    }

    /// Returns when to call again at the latest, if a recording by time is scheduled.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        match *self {
            Self::WaitingForTime { start, .. } => Some(start),
            Self::RecordingTime { end } => Some(end),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the steps that a recording covers if it is scheduled before step `from`.
    fn covered(window: RecordingWindow, from: u64) -> Vec<u64> {
        let (mut schedule, now) = (RecordingSchedule::default(), Instant::now());
        schedule.set_window(window);
        let (mut on, mut steps) = (false, Vec::new());
        for n in from..from + 30 {
            loop {
                match schedule.advance_to_step(n, now) {
                    ScheduleAction::Continue => break,
                    ScheduleAction::Start => on = true,
                    ScheduleAction::Stop => on = false,
                    ScheduleAction::Ready(..) => {}
                }
            }
            steps.extend(on.then_some(n));
        }
        assert_eq!(schedule, RecordingSchedule::Idle);
        steps
    }

    #[test]
    fn recordings_by_steps_cover_whole_steps() {
        let steps = |first, count| RecordingWindow::Steps { first, count };
        assert_eq!(covered(steps(FirstStep::Next, 2), 7), [7, 8]);
        assert_eq!(covered(steps(FirstStep::RoundUp(10), 3), 7), [10, 11, 12]);
        assert_eq!(covered(steps(FirstStep::RoundUp(7), 1), 7), [7]);
        assert_eq!(covered(steps(FirstStep::At(12), 2), 7), [12, 13]);
        assert_eq!(covered(steps(FirstStep::At(3), 2), 7), [7, 8]);
    }

    #[test]
    fn a_recording_by_time_waits_for_its_start_and_lasts_its_length() {
        let (t0, ms) = (Instant::now(), Duration::from_millis);
        let mut schedule = RecordingSchedule::default();
        schedule.set_window(RecordingWindow::Time { start: t0 + ms(10), length: ms(20) });
        assert_eq!(schedule.next_deadline(), Some(t0 + ms(10)));
        assert_eq!(schedule.advance_to_step(3, t0), ScheduleAction::Continue);
        assert_eq!(schedule.check_time(t0 + ms(12)), ScheduleAction::Start);
        assert_eq!(schedule.next_deadline(), Some(t0 + ms(32)));
        assert_eq!(schedule.advance_to_step(4, t0 + ms(31)), ScheduleAction::Continue);
        assert_eq!(schedule.check_time(t0 + ms(32)), ScheduleAction::Stop);
        assert_eq!(schedule.next_deadline(), None);
    }
}

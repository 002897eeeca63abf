//! When a recording begins and ends: the rules alone, without a thread or a clock of their own.
//!
//! A recording by steps begins and ends between two steps. One by time begins and ends wherever the job
//! looks at the gate, which it does between the phases of a step and while it waits for its pace.

use std::fmt;
use std::time::{Duration, Instant};

/// The first step of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// The next one.
    Next,
    /// This one, or the next if it has passed.
    At(u64),
    /// The next one whose number is a multiple of this.
    RoundUp(u64),
}

impl First {
    /// The step's number, when step `next` is about to begin.
    fn resolve(self, next: u64) -> u64 {
        match self {
            Self::Next => next,
            Self::At(n) => n.max(next),
            Self::RoundUp(n) => next.checked_next_multiple_of(n.max(1)).unwrap_or(next),
        }
    }
}

/// What to record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    Steps { first: First, count: u64 },
    Time { start: Instant, length: Duration },
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steps { first: First::Next, count } => write!(f, "{count} steps from the next one on"),
            Self::Steps { first: First::At(n), count } => write!(f, "{count} steps from step {n} on"),
            Self::Steps { first: First::RoundUp(n), count } => {
                write!(f, "{count} steps from the next multiple of {n} on")
            }
            Self::Time { start, length } => {
                let ahead = start.saturating_duration_since(Instant::now());
                write!(f, "{} ms, in {} ms", length.as_millis(), ahead.as_millis())
            }
        }
    }
}

/// What the job has to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Nothing,
    /// The recording will cover these steps, the second one not included.
    Ready(u64, u64),
    Start,
    Stop,
}

/// The state of the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Gate {
    #[default]
    Shut,
    /// An order whose first step is not settled yet.
    Ordered {
        first: First,
        count: u64,
    },
    ReadySteps {
        first: u64,
        stop: u64,
    },
    OpenSteps {
        stop: u64,
    },
    ReadyTime {
        start: Instant,
        length: Duration,
    },
    OpenTime {
        end: Instant,
    },
}

impl Gate {
    /// Takes an order. There is one at a time: the giver sees to that.
    pub(crate) fn order(&mut self, window: Window) {
        *self = match window {
            Window::Steps { first, count } => Self::Ordered { first, count },
            Window::Time { start, length } => Self::ReadyTime { start, length },
        };
    }

    /// Asks before step `next` begins. After [`Action::Ready`] it is asked again.
    pub(crate) fn at_step(&mut self, next: u64, now: Instant) -> Action {
        match *self {
            Self::Ordered { first, count } => {
                let first = first.resolve(next);
                let stop = first.saturating_add(count);
                *self = Self::ReadySteps { first, stop };
                Action::Ready(first, stop)
            }
            Self::ReadySteps { first, stop } if next >= first => {
                *self = Self::OpenSteps { stop };
                Action::Start
            }
            Self::OpenSteps { stop } if next >= stop => {
                *self = Self::Shut;
                Action::Stop
            }
            _ => self.within_step(now),
        }
    }

    /// Asks within a step.
    pub(crate) fn within_step(&mut self, now: Instant) -> Action {
        match *self {
            Self::ReadyTime { start, length } if now >= start => {
                // The length counts from the true beginning.
                *self = Self::OpenTime { end: now + length };
                Action::Start
            }
            Self::OpenTime { end } if now >= end => {
                *self = Self::Shut;
                Action::Stop
            }
            _ => Action::Nothing,
        }
    }

    /// When to ask again at the latest, if time decides.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match *self {
            Self::ReadyTime { start, .. } => Some(start),
            Self::OpenTime { end } => Some(end),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps that a recording covers when the order comes before step `from`.
    fn covered(window: Window, from: u64) -> Vec<u64> {
        let (mut gate, now) = (Gate::default(), Instant::now());
        gate.order(window);
        let (mut on, mut steps) = (false, Vec::new());
        for n in from..from + 30 {
            loop {
                match gate.at_step(n, now) {
                    Action::Nothing => break,
                    Action::Start => on = true,
                    Action::Stop => on = false,
                    Action::Ready(..) => {}
                }
            }
            steps.extend(on.then_some(n));
        }
        assert_eq!(gate, Gate::Shut);
        steps
    }

    #[test]
    fn recordings_by_steps_cover_whole_steps() {
        let steps = |first, count| Window::Steps { first, count };
        assert_eq!(covered(steps(First::Next, 2), 7), [7, 8]);
        assert_eq!(covered(steps(First::RoundUp(10), 3), 7), [10, 11, 12]);
        assert_eq!(covered(steps(First::RoundUp(7), 1), 7), [7]);
        assert_eq!(covered(steps(First::At(12), 2), 7), [12, 13]);
        assert_eq!(covered(steps(First::At(3), 2), 7), [7, 8]);
    }

    #[test]
    fn a_recording_by_time_waits_for_its_start_and_lasts_its_length() {
        let (t0, ms) = (Instant::now(), Duration::from_millis);
        let mut gate = Gate::default();
        gate.order(Window::Time { start: t0 + ms(10), length: ms(20) });
        assert_eq!(gate.deadline(), Some(t0 + ms(10)));
        assert_eq!(gate.at_step(3, t0), Action::Nothing);
        assert_eq!(gate.within_step(t0 + ms(12)), Action::Start);
        assert_eq!(gate.deadline(), Some(t0 + ms(32)));
        assert_eq!(gate.at_step(4, t0 + ms(31)), Action::Nothing);
        assert_eq!(gate.within_step(t0 + ms(32)), Action::Stop);
        assert_eq!(gate.deadline(), None);
    }
}

//! One pass over the time of a rank: how each step divides, what its device waits for, how much of each collective is
//! exposed.

use super::edge::{ACTIVITIES, Activity, EdgeKind, NONE, TimeEdge};
use super::host::HostWork;
use super::{IdleCause, LAUNCH_LATENCY, StepPart};

/// A call of a collective, as the sweep sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SweptCall {
    /// Time of it in which nothing was computed.
    pub(super) exposed: i64,
    /// Index of the step in which it began.
    pub(super) step: Option<u32>,
}

/// A stretch in which nothing ran, and what the host did.
#[derive(Clone, Copy, Debug)]
struct IdleStretch {
    start: i64,
    end: i64,
    host: Option<HostWork>,
}

/// The state of a sweep.
#[derive(Debug)]
pub(super) struct Sweep {
    at: i64,
    running: [i64; ACTIVITIES],
    /// Work has begun: before that nothing is idle.
    begun: bool,
    /// Time so far in which nothing was computed.
    uncovered: i64,
    gap: Vec<IdleStretch>,
    step: Option<u32>,
    pub(super) steps: Vec<StepPart>,
    pub(super) calls: Vec<SweptCall>,
}

/// A gap keeps so many stretches; what comes after them is one.
const MOST_STRETCHES: usize = 1 << 16;

impl Sweep {
    /// For steps of these numbers, and so many calls.
    pub(super) fn new(steps: &[i64], calls: usize) -> Self {
        let steps = steps.iter().map(|&number| StepPart { number, ..StepPart::default() }).collect();
        Self {
            at: i64::MIN,
            running: [0; ACTIVITIES],
            begun: false,
            uncovered: 0,
            gap: Vec::new(),
            step: None,
            steps,
            calls: vec![SweptCall::default(); calls],
        }
    }

    /// Takes the next edge, in the order of [`TimeEdge::key`].
    pub(super) fn take(&mut self, edge: &TimeEdge) {
        self.advance(edge.at);
        match edge.kind {
            EdgeKind::Begin(activity) => {
                if !matches!(activity, Activity::Host(_)) {
                    if !self.works() {
                        self.close_gap(edge);
                    }
                    self.begun = true;
                    if let (Activity::Compute, Some(step)) = (activity, self.current()) {
                        step.kernels += 1;
                    }
                }
                self.running[activity.index()] += 1;
                let (uncovered, step) = (self.uncovered, self.step);
                if let Some(call) = self.call(edge.call) {
                    call.exposed -= uncovered;
                    call.step = step;
                }
            }
            EdgeKind::End(activity) => {
                self.running[activity.index()] -= 1;
                let uncovered = self.uncovered;
                if let Some(call) = self.call(edge.call) {
                    call.exposed += uncovered;
                }
            }
            EdgeKind::Step(index) => self.step = Some(index),
            EdgeKind::LastStepEnd => {
                self.step = None;
                // What comes after the last step is no idle time of it.
                self.begun = false;
                self.gap.clear();
            }
        }
    }

    fn works(&self) -> bool {
        self.running[..3].iter().any(|n| *n > 0)
    }

    fn current(&mut self) -> Option<&mut StepPart> {
        self.step.and_then(|i| self.steps.get_mut(i as usize))
    }

    fn call(&mut self, index: i64) -> Option<&mut SweptCall> {
        (index != NONE).then_some(index).and_then(|i| self.calls.get_mut(usize::try_from(i).ok()?))
    }

    /// Counts the time up to a moment.
    fn advance(&mut self, to: i64) {
        let (from, time) = (self.at, to.saturating_sub(self.at));
        self.at = to;
        if from == i64::MIN || time <= 0 {
            return;
        }
        let [computes, communicates, copies] =
            [Activity::Compute, Activity::Communication, Activity::Copy].map(|a| self.running[a.index()] > 0);
        if !computes {
            self.uncovered += time;
        }
        if !(computes || communicates || copies) {
            return self.extend_gap(from, to);
        }
        let Some(StepPart { times, .. }) = self.current() else { return };
        if communicates {
            times.communication += time;
        }
        if computes {
            times.compute += time;
        } else if communicates {
            times.exposed_communication += time;
        } else {
            times.exposed_copy += time;
        }
    }

    fn extend_gap(&mut self, start: i64, end: i64) {
        if !self.begun {
            return;
        }
        let host = HostWork::ALL.into_iter().find(|work| self.running[Activity::Host(*work).index()] > 0);
        let many = self.gap.len() >= MOST_STRETCHES;
        match self.gap.last_mut() {
            Some(last) if last.host == host || many => last.end = end,
            _ => self.gap.push(IdleStretch { start, end, host }),
        }
    }

    /// Counts a gap that ends with this work, in the step that the work belongs to.
    fn close_gap(&mut self, work: &TimeEdge) {
        let gap = std::mem::take(&mut self.gap);
        let Some(begin) = gap.first().map(|stretch| stretch.start) else { return };
        let launch = if work.launch == NONE { None } else { Some(work.launch.clamp(begin, work.at)) };
        let waits = work.at - launch.unwrap_or(begin);
        let latency = if waits <= LAUNCH_LATENCY { IdleCause::Launch } else { IdleCause::NotKnown };
        let Some(StepPart { times, .. }) = self.current() else { return };
        for IdleStretch { start, end, host } in gap {
            // Before the launch, it is for the host to say why; without one, where the host says it clearly.
            let until =
                launch.unwrap_or(if host.is_some_and(|h| h != HostWork::Operators) { end } else { start });
            let before = until.clamp(start, end) - start;
            times.idle[cause_of_host(host) as usize] += before;
            times.idle[latency as usize] += end - start - before;
        }
    }
}

fn cause_of_host(host: Option<HostWork>) -> IdleCause {
    match host {
        Some(HostWork::Garbage) => IdleCause::Garbage,
        Some(HostWork::Input) => IdleCause::Input,
        Some(HostWork::Allocation) => IdleCause::Allocation,
        Some(HostWork::Synchronization) => IdleCause::Synchronization,
        Some(HostWork::Operators) | None => IdleCause::HostLate,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Activity::{Communication, Compute, Copy, Host};

    /// `(what, start, end, launch)`; the calls are the communications, in this order.
    fn sweep(steps: &[(i64, i64)], spans: &[(Activity, i64, i64, i64)]) -> Sweep {
        let edge = |at, kind, launch, call| TimeEdge { at, kind, launch, call };
        let mut edges = Vec::new();
        let mut calls = 0;
        for &(activity, start, end, launch) in spans {
            let call = if activity == Communication { calls } else { NONE };
            calls += i64::from(activity == Communication);
            edges.push(edge(start, EdgeKind::Begin(activity), launch, call));
            edges.push(edge(end, EdgeKind::End(activity), launch, call));
        }
        for (i, (_, at)) in (0..).zip(steps) {
            edges.push(edge(*at, EdgeKind::Step(i), NONE, NONE));
        }
        edges.sort_by_key(TimeEdge::key);
        let numbers: Vec<i64> = steps.iter().map(|(number, _)| *number).collect();
        let mut out = Sweep::new(&numbers, calls as usize);
        edges.iter().for_each(|e| out.take(e));
        out
    }

    #[test]
    fn the_parts_of_a_step_are_its_whole() {
        let out = sweep(
            &[(7, 0), (8, 100_000)],
            &[
                (Compute, 0, 40_000, 0),
                (Communication, 30_000, 60_000, 0),
                (Copy, 55_000, 70_000, 0),
                (Compute, 100_000, 110_000, 95_000),
                (Host(HostWork::Input), 72_000, 80_000, NONE),
                (Compute, 110_000, 110_000, NONE),
            ],
        );
        let (first, second) = (&out.steps[0], &out.steps[1]);
        assert_eq!((first.number, first.times.compute, first.times.communication), (7, 40_000, 30_000));
        assert_eq!((first.times.exposed_communication, first.times.exposed_copy), (20_000, 10_000));
        assert_eq!((first.times.idle(), first.times.span()), (0, 70_000));
        // The gap belongs to the work that ends it: 8 µs of data, 17 until its launch, 5 until it begins.
        let of = |cause| second.times.idle_for(cause);
        assert_eq!(
            [IdleCause::Input, IdleCause::HostLate, IdleCause::Launch].map(of),
            [8_000, 17_000, 5_000]
        );
        assert_eq!((second.times.span(), second.kernels), (40_000, 2));
        assert_eq!(out.calls, [SweptCall { exposed: 20_000, step: Some(0) }]);
    }

    #[test]
    fn work_that_was_launched_long_ago_waits_for_something_unknown() {
        let out = sweep(&[(0, 0)], &[(Compute, 0, 10, NONE), (Compute, 90_010, 90_020, 5)]);
        assert_eq!(out.steps[0].times.idle_for(IdleCause::NotKnown), 90_000);
        let out = sweep(
            &[(0, 0)],
            &[
                (Compute, 0, 10, NONE),
                (Compute, 90_010, 90_020, NONE),
                (Host(HostWork::Garbage), 5, 60_010, NONE),
            ],
        );
        let of = |cause| out.steps[0].times.idle_for(cause);
        assert_eq!([IdleCause::Garbage, IdleCause::NotKnown].map(of), [60_000, 30_000]);
    }
}

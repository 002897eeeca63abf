//! One pass over the time of a rank: how each step divides, what its device waits for, how much of each collective is
//! exposed.

use std::collections::BTreeSet;

use super::edge::{ACTIVITIES, Activity, EdgeKind, NONE, TimeEdge};
use super::host::HostWork;
use super::{IdleCause, LAUNCH_LATENCY, StepPart};

/// A call of a collective, as the sweep sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SweptCall {
    /// Time of it in which nothing was computed.
    pub(super) exposed: i64,
    /// The part of that in which it was the next call to end: what was computed next waited for no other.
    pub(super) awaited: i64,
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
    /// No work of the step has begun yet: a gap that ends now lies before it.
    fresh: bool,
    pub(super) steps: Vec<StepPart>,
    pub(super) calls: Vec<SweptCall>,
    /// When each of the calls ends.
    ends: Vec<i64>,
    /// The calls that run: when they end, and their indices.
    open: BTreeSet<(i64, i64)>,
}

/// While an operator stalls, no operator computes: it may be within others.
const STALL: Activity = Activity::Host(HostWork::Stall);

/// Maximum number of stretches of a gap; the last holds the rest.
const MOST_STRETCHES: usize = 1 << 16;

impl Sweep {
    /// For steps of these numbers, and calls that end at these moments.
    pub(super) fn new(steps: &[i64], ends: Vec<i64>) -> Self {
        let steps = steps.iter().map(|&number| StepPart { number, ..StepPart::default() }).collect();
        Self {
            at: i64::MIN,
            running: [0; ACTIVITIES],
            begun: false,
            uncovered: 0,
            gap: Vec::new(),
            step: None,
            fresh: false,
            steps,
            calls: vec![SweptCall::default(); ends.len()],
            ends,
            open: BTreeSet::new(),
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
                    (self.begun, self.fresh) = (true, false);
                    if let (Activity::Compute, Some(step)) = (activity, self.current()) {
                        step.kernels += 1;
                    }
                }
                self.running[activity.index()] += 1;
                let (uncovered, step) = (self.uncovered, self.step);
                if let Some(call) = self.call(edge.call) {
                    call.exposed -= uncovered;
                    call.step = step;
                    let end = self.end_of(edge.call);
                    if end > edge.at {
                        self.open.insert((end, edge.call));
                    }
                }
            }
            EdgeKind::End(activity) => {
                self.running[activity.index()] -= 1;
                let uncovered = self.uncovered;
                if let Some(call) = self.call(edge.call) {
                    call.exposed += uncovered;
                    self.open.remove(&(edge.at, edge.call));
                }
                // What an operator within others did not compute ends here.
                if activity == STALL && self.works() {
                    self.close_gap(edge);
                }
            }
            EdgeKind::Step(index) => (self.step, self.fresh) = (Some(index), true),
            EdgeKind::LastStepEnd => {
                self.step = None;
                // What comes after the last step is no idle time of it.
                self.begun = false;
                self.gap.clear();
            }
        }
    }

    fn works(&self) -> bool {
        let is_running = |activity: Activity| self.running[activity.index()] > 0;
        self.computes() || is_running(Activity::Communication) || is_running(Activity::Copy)
    }

    fn computes(&self) -> bool {
        self.running[Activity::Compute.index()] > 0 && self.running[STALL.index()] == 0
    }

    fn current(&mut self) -> Option<&mut StepPart> {
        self.step.and_then(|i| self.steps.get_mut(i as usize))
    }

    fn call(&mut self, index: i64) -> Option<&mut SweptCall> {
        (index != NONE).then_some(index).and_then(|i| self.calls.get_mut(usize::try_from(i).ok()?))
    }

    fn end_of(&self, call: i64) -> i64 {
        usize::try_from(call).ok().and_then(|i| self.ends.get(i)).copied().unwrap_or(i64::MAX)
    }

    /// Counts the time up to a moment.
    fn advance(&mut self, to: i64) {
        let (from, time) = (self.at, to.saturating_sub(self.at));
        self.at = to;
        if from == i64::MIN || time <= 0 {
            return;
        }
        let [communicates, copies] =
            [Activity::Communication, Activity::Copy].map(|a| self.running[a.index()] > 0);
        let computes = self.computes();
        if !computes {
            self.uncovered += time;
            let next = self.open.first().map(|(_, call)| *call);
            if let Some(call) = next.and_then(|call| self.call(call)) {
                call.awaited += time;
            }
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
        let is_before = self.fresh;
        let Some(StepPart { times, .. }) = self.current() else { return };
        for IdleStretch { start, end, host } in gap {
            // Before the launch, it is for the host to say why; without one, where the host says it clearly.
            let until =
                launch.unwrap_or(if host.is_some_and(|h| h != HostWork::Operators) { end } else { start });
            let before = until.clamp(start, end) - start;
            times.before += if is_before { end - start } else { 0 };
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
        Some(HostWork::Stall | HostWork::Operators) | None => IdleCause::HostLate,
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
        let mut ends = Vec::new();
        for &(activity, start, end, launch) in spans {
            let call = if activity == Communication { ends.len() as i64 } else { NONE };
            ends.extend((activity == Communication).then_some(end));
            edges.push(edge(start, EdgeKind::Begin(activity), launch, call));
            edges.push(edge(end, EdgeKind::End(activity), launch, call));
        }
        for (i, (_, at)) in (0..).zip(steps) {
            edges.push(edge(*at, EdgeKind::Step(i), NONE, NONE));
        }
        edges.sort_by_key(TimeEdge::key);
        let numbers: Vec<i64> = steps.iter().map(|(number, _)| *number).collect();
        let mut out = Sweep::new(&numbers, ends);
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
        // All of it lies before the first work of the second step, which lasts for 10 µs.
        assert_eq!((first.times.before, second.times.before, second.times.extent()), (0, 30_000, 10_000));
        assert_eq!(out.calls, [SweptCall { exposed: 20_000, awaited: 20_000, step: Some(0) }]);
    }

    #[test]
    fn operators_around_one_that_stalls_compute_nothing_meanwhile() {
        let stall = Host(HostWork::Stall);
        let out = sweep(
            &[(0, 0)],
            &[
                (Compute, 0, 100_000, 0),
                (Compute, 20_000, 90_000, 20_000),
                (stall, 30_000, 90_000, NONE),
                // At the end of the outer one, too.
                (Compute, 110_000, 200_000, 110_000),
                (stall, 120_000, 200_000, NONE),
                (Compute, 210_000, 220_000, 210_000),
            ],
        );
        let times = &out.steps[0].times;
        let idle = 60_000 + 10_000 + 80_000 + 10_000;
        assert_eq!((times.compute, times.idle_for(IdleCause::HostLate)), (60_000, idle));
        assert_eq!(times.span(), 220_000);
    }

    #[test]
    fn of_calls_beside_each_other_the_next_to_end_is_awaited() {
        // The long one runs beside two short ones and a computation, and alone for 40.
        let out = sweep(
            &[(0, 0)],
            &[
                (Communication, 0, 200, 0),
                (Communication, 10, 60, 0),
                (Compute, 60, 140, 0),
                (Communication, 130, 160, 0),
            ],
        );
        let of = |call: &SweptCall| (call.exposed, call.awaited);
        assert_eq!(out.calls.iter().map(of).collect::<Vec<_>>(), [(120, 50), (50, 50), (20, 20)]);
        assert_eq!(out.steps[0].times.exposed_communication, 120);
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

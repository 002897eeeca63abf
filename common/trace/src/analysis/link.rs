//! Ties device work to the launches that caused it, and so to steps.

use std::io;

use super::records::{Launch, LaunchKind, NO_DEVICE, NO_NUMBER, Work};
use super::resolve::Resolved;
use crate::model::{Category, FastMap};
use crate::spool::{Spool, SpoolRecord};

/// A piece of work with what is known from its launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkedWork {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) device: i64,
    pub(crate) scope: u32,
    /// Index of the step that launched it.
    pub(crate) step: Option<u32>,
    pub(crate) thread: u32,
    pub(crate) name: u32,
    pub(crate) category: Category,
    /// An operator or a launch in the trace caused it.
    pub(crate) linked: bool,
    /// Its launch is in the trace.
    pub(crate) launched: bool,
    /// A stretch of an operation that has been counted: it adds time, and no event.
    pub(crate) stretch: bool,
}

impl SpoolRecord<6> for LinkedWork {
    fn to_words(self) -> [i64; 6] {
        let bits = [self.linked, self.launched, self.stretch].map(i64::from);
        let flags = self.category as i64 | bits[0] << 8 | bits[1] << 9 | bits[2] << 10;
        let step = self.step.map_or(u32::MAX, |s| s);
        let pair = |a: u32, b: u32| (u64::from(a) << 32 | u64::from(b)) as i64;
        [self.start, self.end, self.device, pair(self.scope, step), pair(self.thread, self.name), flags]
    }

    fn from_words([start, end, device, place, ids, flags]: [i64; 6]) -> Self {
        let (step, name) = (place as u32, ids as u32);
        Self {
            start,
            end,
            device,
            scope: (place as u64 >> 32) as u32,
            step: (step != u32::MAX).then_some(step),
            thread: (ids as u64 >> 32) as u32,
            name,
            category: Category::ALL[(flags & 0xff) as usize % Category::ALL.len()],
            linked: flags & 1 << 8 != 0,
            launched: flags & 1 << 9 != 0,
            stretch: flags & 1 << 10 != 0,
        }
    }
}

impl LinkedWork {
    /// Work of which only its start says which step it belongs to.
    pub(crate) fn without_launch(work: &Work, scope: u32, step: Option<u32>) -> Self {
        let Work { start, end, device, thread, name, category, stretch, .. } = *work;
        Self {
            start,
            end,
            device,
            scope,
            step,
            thread,
            name,
            category,
            linked: false,
            launched: false,
            stretch,
        }
    }
}

/// The counts that linking makes of a trace.
#[derive(Clone, Debug, Default)]
pub struct LinkCounts {
    /// Launches.
    pub(crate) launches: u64,
    /// Launches that must have put something on a device that is not there.
    pub without_event: u64,
    /// Those of them that launch kernels. Some fills of cuBLAS never have an event.
    pub(crate) kernels_missing: u64,
    /// Launches of copies, and those of them without an event: some come to nothing.
    pub(crate) copies: u64,
    pub(crate) copies_missing: u64,
    /// Correlation numbers that launched twice, and have device work twice.
    pub(crate) doubled: u64,
    /// Launches without an event by scope and step.
    pub(crate) missing: std::collections::BTreeMap<(u32, usize), u64>,
    /// Device events that a launch or an operator caused, and those that nothing in the trace did.
    pub(crate) linked: u64,
    pub(crate) unlinked: u64,
    /// Sums of their durations.
    pub(crate) linked_ns: i64,
    pub(crate) unlinked_ns: i64,
    /// Launches of graphs, and the device events that they caused.
    pub(crate) graphs: u64,
    pub(crate) graph_events: u64,
    /// Device events that start before their launch does, by more than clocks that agree can differ.
    pub(crate) before_launch: u64,
    /// Device events with a launch.
    pub(crate) launched: u64,
    /// Most by which one starts before its launch.
    pub(crate) earliest_ns: i64,
    /// Two processes of one scope that launched by the same number, and how often.
    pub(crate) shared_numbers: Option<(u32, u32, u64)>,
    /// By device, how much work each host process launched on it.
    launchers: FastMap<(u32, i64), Vec<(u32, u64)>>,
}

impl LinkCounts {
    /// What shows that the trace is of several ranks: two processes launch by the same numbers, or on the same device, or
    /// one launches twice by the same numbers. Profilers record one process each, so their traces were merged. A few chance
    /// matches are none.
    pub(crate) fn find_merge(&self) -> Option<MergeSign> {
        const FEW: u64 = 20;
        if let Some((a, b, count)) =
            self.shared_numbers.filter(|(.., n)| n.saturating_mul(FEW) > self.launches)
        {
            return Some(MergeSign::Numbers(a, b, count));
        }
        if self.doubled.saturating_mul(FEW) > self.launches {
            return Some(MergeSign::Doubled(self.doubled));
        }
        let mut devices: Vec<_> = self.launchers.iter().collect();
        devices.sort_unstable_by_key(|(key, _)| **key);
        devices.into_iter().find_map(|((_, device), list)| {
            let all: u64 = list.iter().map(|(_, n)| n).sum();
            let mut main = list.iter().filter(|(_, n)| n.saturating_mul(FEW) > all).map(|(p, _)| *p);
            Some(MergeSign::Device(main.next()?, main.next()?, *device))
        })
    }
}

/// The evidence that two processes are of different ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MergeSign {
    /// Two processes launch by equal correlation numbers; how many.
    Numbers(u32, u32, u64),
    /// Two processes launch on the same device.
    Device(u32, u32, i64),
    /// The number of correlation numbers that launch twice, each time with work of its own.
    Doubled(u64),
    /// Two processes hold the work of the same device.
    SameDevice(u32, u32, i64),
    /// A device, and how many pieces of one of its lanes begin before the one before has ended, though they should follow each other.
    Lanes(i64, u64),
}

/// The time by which clocks of host and device may differ after they have been aligned.
const CLOCK_SLACK: i64 = 10_000;

/// Ties work to launches of the same rank and number.
///
/// # Errors
/// An I/O error of a spool.
pub(crate) fn link_work(resolved: &mut Resolved) -> io::Result<(Spool<LinkedWork, 6>, LinkCounts)> {
    let memory = resolved.memory;
    let work = std::mem::replace(&mut resolved.work, Spool::new(memory));
    let launches = std::mem::replace(&mut resolved.launches, Spool::new(memory));
    let mut linker = Linker { resolved, out: Spool::new(memory), counts: LinkCounts::default() };
    let mut launches =
        launches.into_sorted(|l| (linker.resolved.scope_of(l.thread), l.correlation, l.at, l.thread))?;
    let mut work = work.into_sorted(|w| (linker.resolved.scope_of(w.thread), w.correlation))?;
    let mut next_launch = launches.next_record()?;
    let mut next_work = work.next_record()?;
    // One correlation of one scope after the other.
    loop {
        let key_of_launch = next_launch.map(|l| (linker.resolved.scope_of(l.thread), l.correlation));
        let key_of_work = next_work.map(|w| (linker.resolved.scope_of(w.thread), w.correlation));
        let Some(key) = [key_of_launch, key_of_work].into_iter().flatten().min() else { break };
        let mut launch: Option<Launch> = None;
        let mut calls = 0;
        while let Some(l) = next_launch.filter(|l| (linker.resolved.scope_of(l.thread), l.correlation) == key)
        {
            linker.note_shared_number(launch, l);
            // Of several, the first: the others repeat it in another layer.
            launch = launch.or(Some(l));
            linker.counts.launches += 1;
            calls += 1;
            next_launch = launches.next_record()?;
        }
        let mut events = 0;
        while let Some(w) = next_work.filter(|w| (linker.resolved.scope_of(w.thread), w.correlation) == key) {
            events += u64::from(!w.stretch);
            linker.push_work(&w, launch)?;
            next_work = work.next_record()?;
        }
        linker.count_launch(launch, calls, events);
    }
    Ok((linker.out, linker.counts))
}

struct Linker<'a> {
    resolved: &'a Resolved,
    out: Spool<LinkedWork, 6>,
    counts: LinkCounts,
}

impl Linker<'_> {
    fn note_shared_number(&mut self, before: Option<Launch>, launch: Launch) {
        let process = |l: Launch| self.resolved.classifier.processes.process_of(l.thread);
        // A device may have calls of its own, of the same numbers (MTIA).
        let is_host = |l: Launch| !self.resolved.uses[process(l) as usize].works;
        let before = before.filter(|b| process(*b) != process(launch) && is_host(*b) && is_host(launch));
        if let Some(before) = before {
            let (.., count) = self.counts.shared_numbers.get_or_insert((process(before), process(launch), 0));
            *count += 1;
        }
    }

    fn push_work(&mut self, work: &Work, launch: Option<Launch>) -> io::Result<()> {
        let scope = self.resolved.scope_of(work.thread);
        let launch = launch.filter(|_| work.correlation != NO_NUMBER);
        let step = launch.and_then(|l| self.resolved.steps[scope as usize].at(l.at));
        let linked = work.external || launch.is_some();
        let counts = &mut self.counts;
        let (events, time) = if linked {
            (&mut counts.linked, &mut counts.linked_ns)
        } else {
            (&mut counts.unlinked, &mut counts.unlinked_ns)
        };
        *events += u64::from(!work.stretch);
        *time = time.saturating_add(work.end - work.start);
        if let Some(launch) = launch.filter(|_| !work.stretch) {
            let process = self.resolved.classifier.processes.process_of(launch.thread);
            let list = counts.launchers.entry((scope, work.device)).or_default();
            match list.iter_mut().find(|(p, _)| *p == process) {
                Some((_, n)) => *n += 1,
                None => list.push((process, 1)),
            }
            counts.launched += 1;
            let early = launch.at - work.start;
            counts.before_launch += u64::from(early > CLOCK_SLACK);
            counts.earliest_ns = counts.earliest_ns.max(early);
        }
        self.out.push(LinkedWork {
            start: work.start,
            end: work.end,
            device: work.device,
            scope,
            step: step.and_then(|i| u32::try_from(i).ok()),
            thread: work.thread,
            name: work.name,
            category: work.category,
            linked,
            launched: launch.is_some(),
            stretch: work.stretch,
        })
    }

    /// Counts a launch by the number of its calls, in one layer or several, and of its events.
    fn count_launch(&mut self, launch: Option<Launch>, calls: u64, events: u64) {
        let Some(launch) = launch else { return };
        self.counts.copies += u64::from(launch.kind == LaunchKind::Copy);
        // A call of the driver repeats that of the runtime, and both have one event.
        let one_event = matches!(launch.kind, LaunchKind::Kernel | LaunchKind::Copy | LaunchKind::Fill);
        self.counts.doubled += u64::from(one_event && calls > 1 && events > 1);
        match launch.kind {
            LaunchKind::Graph => {
                self.counts.graphs += 1;
                self.counts.graph_events += events;
            }
            LaunchKind::Kernel | LaunchKind::Copy | LaunchKind::Fill if events == 0 => {
                self.counts.without_event += 1;
                self.counts.kernels_missing += u64::from(launch.kind == LaunchKind::Kernel);
                self.counts.copies_missing += u64::from(launch.kind == LaunchKind::Copy);
                let scope = self.resolved.scope_of(launch.thread);
                if let Some(step) = self.resolved.steps[scope as usize].at(launch.at) {
                    *self.counts.missing.entry((scope, step)).or_default() += 1;
                }
            }
            LaunchKind::Any | LaunchKind::Kernel | LaunchKind::Copy | LaunchKind::Fill => {}
        }
    }
}

/// The device that a number stands for.
pub(crate) fn known_device(device: i64) -> Option<i64> {
    (device != NO_DEVICE).then_some(device)
}

//! The time split of every step and device of a trace, and of the whole.
//!
//! Device work belongs to the step in which it was launched. Work that nothing in the trace launched is left over from
//! before the recording; it is left out, and counted. If it is most of the device time, or all, the trace does not link
//! its work: then it counts, in the step in which it starts.

use std::collections::{BTreeMap, HashSet};
use std::io;

use super::clusters::RecordedTime;
use super::device::{DeviceDone, DeviceFacts, DeviceSweep, WorkCounts};
use super::host::CoveredTime;
use super::link::{LinkCounts, LinkedWork, MergeSign, known_device, link_work};
use super::overlap::{self, OverlapLanes};
use super::records::Lane;
use super::resolve::Resolved;
use super::scopes::Scopes;
use super::untimed::UntimedWork;
use crate::model::{EventId, ProcessTable};
use crate::split::Split;
use crate::spool::Spool;
use crate::steps::{MarkKind, Step};
use common::error::HintExt;

/// One step on one device, or on none.
#[derive(Clone, Debug)]
pub struct StepRow {
    /// Number of its rank in the file.
    pub scope: u32,
    /// The device.
    pub device: Option<i64>,
    /// Its place among the steps of its scope.
    pub index: usize,
    /// The step.
    pub step: Step,
    /// The name of its mark.
    pub mark: Option<String>,
    /// It follows from calls of an optimizer.
    pub derived: bool,
    /// How its time divides.
    pub split: Option<Split>,
    /// The sums of the lanes of an Ascend timeline.
    pub lanes: Option<OverlapLanes>,
    /// Host time in operators.
    pub host_op: i64,
    /// Device events that count.
    pub device_events: u64,
    /// Launches in it whose device event is missing.
    pub launches_without_event: u64,
}

/// One device, or the host if there is none, over everything.
#[derive(Clone, Debug, Default)]
pub struct TotalRow {
    /// Number of its rank in the file.
    pub scope: u32,
    /// The device.
    pub device: Option<i64>,
    /// How its time divides.
    pub split: Option<Split>,
    /// The sums of the lanes of an Ascend timeline.
    pub lanes: Option<OverlapLanes>,
    /// Its events by kind.
    pub counts: WorkCounts,
}

/// The sums of a trace.
#[derive(Debug)]
pub struct Sums {
    /// The ranks of the file.
    pub scopes: Scopes,
    /// Its steps, by device.
    pub steps: Vec<StepRow>,
    /// Its devices.
    pub totals: Vec<TotalRow>,
    /// The number of events that were left out, by cause.
    pub excluded: BTreeMap<String, u64>,
    /// From the first start to the last end of anything.
    pub span: i64,
    /// By scope: host time, steps, and those of them that are partial.
    pub host: Vec<HostTotals>,
    /// The steps were derived from the optimizer.
    pub derived_steps: bool,
    /// Work that nothing launched was counted, since it is most of the device time; how many events.
    pub unlinked_counted: u64,
    /// Steps hold the work that starts in them, since the trace does not say what launched it.
    pub steps_by_start: bool,
    /// The counts of launches and of linked work.
    pub links: LinkCounts,
    /// When it was recorded.
    pub recorded: RecordedTime,
    /// Device work that counts for nothing, since its time or duration is missing or cannot be used.
    pub untimed: UntimedWork,
    /// The user named the steps, and nothing has such a name.
    pub step_names_unused: bool,
    /// The processes of the trace.
    processes: ProcessTable,
    /// Anomalies of devices, for checks.
    pub(crate) facts: Vec<DeviceFacts>,
}

/// Host time and steps of one rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostTotals {
    /// Time in operators.
    pub host_op: i64,
    /// Steps.
    pub steps: u64,
    /// Those that the trace may have only a part of.
    pub partial_steps: u64,
}

/// A file that holds the traces of several ranks which cannot be distinguished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedRanks {
    sign: MergeSign,
    /// The processes that the sign is about.
    pids: (String, String),
}

impl MergedRanks {
    fn new(sign: MergeSign, processes: &ProcessTable) -> Self {
        let pids = match sign {
            MergeSign::Numbers(a, b, _) | MergeSign::Device(a, b, _) | MergeSign::SameDevice(a, b, _) => {
                (processes.process_id(a), processes.process_id(b))
            }
            MergeSign::Doubled(_) | MergeSign::Lanes(..) => Default::default(),
        };
        Self { sign, pids }
    }
}

impl std::fmt::Display for MergedRanks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (a, b) = &self.pids;
        write!(f, "traces of several ranks were merged and cannot be distinguished: ")?;
        match self.sign {
            MergeSign::Numbers(_, _, 1) => {
                write!(f, "processes {a} and {b} launch by the same correlation number")
            }
            MergeSign::Numbers(_, _, n) => {
                write!(f, "processes {a} and {b} launch by the same {n} correlation numbers")
            }
            MergeSign::Device(_, _, device) => match known_device(device) {
                Some(device) => write!(f, "processes {a} and {b} launch on the same device {device}"),
                None => write!(f, "processes {a} and {b} launch on the same device"),
            },
            MergeSign::Doubled(1) => write!(f, "one correlation number launches twice"),
            MergeSign::Doubled(n) => write!(f, "{n} correlation numbers launch twice"),
            MergeSign::SameDevice(_, _, device) => {
                write!(f, "processes {a} and {b} both hold the work of device {device}")
            }
            MergeSign::Lanes(device, n) => {
                let of = known_device(device).map_or(String::new(), |device| format!(" of device {device}"));
                write!(f, "a lane{of} has {n} pieces that begin before the one before has ended")
            }
        }
    }
}

impl std::error::Error for MergedRanks {}

/// Sums up. With `include_unlinked`, work that nothing in the trace launched counts, too.
///
/// # Errors
/// A temporary file cannot be used; [`MergedRanks`].
pub fn sum_trace(mut resolved: Resolved, include_unlinked: bool) -> anyhow::Result<Sums> {
    let host = sum_host(&mut resolved)?;
    let mut sums = Sums {
        scopes: resolved.scopes.clone(),
        steps: Vec::new(),
        totals: Vec::new(),
        excluded: BTreeMap::new(),
        span: resolved.recorded.extent.map_or(0, |(a, b)| b - a),
        host: Vec::new(),
        derived_steps: resolved.steps.iter().any(crate::steps::Steps::are_derived),
        unlinked_counted: 0,
        steps_by_start: false,
        links: LinkCounts::default(),
        recorded: resolved.recorded.clone(),
        untimed: std::mem::take(&mut resolved.untimed),
        step_names_unused: resolved.step_names_unused,
        processes: ProcessTable::default(),
        facts: Vec::new(),
    };
    for (steps, covered) in resolved.steps.iter().zip(&host) {
        sums.host.push(HostTotals {
            host_op: covered.total,
            steps: steps.all().len() as u64,
            partial_steps: steps.all().iter().filter(|s| s.partial).count() as u64,
        });
    }
    sums.exclude("repeated_step_mark", resolved.steps.iter().map(|s| s.repeated).sum());
    sums.exclude("begin_without_end", resolved.unmatched.unclosed);
    sums.exclude("end_without_begin", resolved.unmatched.unopened);
    sums.exclude("async_span", resolved.async_spans);
    sums.exclude("impossible_time", sums.recorded.impossible.iter().map(|c| c.count).sum());
    sums.exclude("untimed", sums.untimed.count);
    if let Some((a, b, device)) = find_same_device(&resolved) {
        return reject_merged(&resolved, MergeSign::SameDevice(a, b, device));
    }
    let mut has_lanes = false;
    resolved.pieces.for_each(|p| {
        has_lanes |= p.lane != Lane::Receive;
        Ok(())
    })?;
    if has_lanes {
        sum_by_lanes(&mut sums, &mut resolved)?
    } else {
        sum_by_work(&mut sums, &mut resolved, include_unlinked)?
    }
    add_idle_steps(&mut sums, &resolved);
    for row in &mut sums.steps {
        let until = &host[row.scope as usize].until;
        row.host_op = until[2 * row.index + 1].saturating_sub(until[2 * row.index]);
    }
    sums.processes = resolved.classifier.processes;
    Ok(sums)
}

impl Sums {
    /// The number of the rank that a process belongs to.
    pub fn scope_of_process(&self, id: EventId<'_>) -> u32 {
        self.processes.number_of(id).map_or(0, |process| self.scopes.of_process(process))
    }

    /// The numbers of the ranks: those that have a name, and what else has work on a device.
    pub fn ranks_in_use(&self) -> Vec<u32> {
        let works = |number: u32| self.totals.iter().any(|t| t.scope == number && t.split.is_some());
        let several = self.scopes.are_several();
        let in_use = (0u32..).zip(&self.scopes.scopes);
        in_use.filter(|(n, scope)| !several || scope.label.is_some() || works(*n)).map(|(n, _)| n).collect()
    }

    fn exclude(&mut self, cause: &str, count: u64) {
        if count > 0 {
            *self.excluded.entry(cause.to_owned()).or_default() += count;
        }
    }
}

/// Host time of each scope, up to the start and the end of each of its steps.
fn sum_host(resolved: &mut Resolved) -> io::Result<Vec<CoveredTime>> {
    let memory = resolved.memory;
    let host = std::mem::replace(&mut resolved.host, super::host::BusyTime::new(memory));
    let moments: Vec<Vec<i64>> =
        resolved.steps.iter().map(|s| s.all().iter().flat_map(|s| [s.start, s.end]).collect()).collect();
    host.sum_until(
        memory,
        &moments,
        |start| resolved.recorded.can_start_at(start),
        |thread| resolved.scope_of(thread) as usize,
    )
}

fn step_row(resolved: &Resolved, scope: u32, device: Option<i64>, index: usize) -> StepRow {
    let steps = &resolved.steps[scope as usize];
    let step = steps.all()[index];
    let named = !matches!(steps.kind, None | Some(MarkKind::Profiler | MarkKind::Line));
    let mark = step.name.filter(|_| named).map(|n| resolved.classifier.names.name(n).to_owned());
    StepRow {
        scope,
        device,
        index,
        step,
        mark,
        derived: steps.are_derived(),
        split: None,
        lanes: None,
        host_op: 0,
        device_events: 0,
        launches_without_event: 0,
    }
}

fn reject_merged<T>(resolved: &Resolved, sign: MergeSign) -> anyhow::Result<T> {
    Err(MergedRanks::new(sign, &resolved.classifier.processes)).hint("analyze the ranks' own files")
}

/// Two processes of one scope with work of the same device: a profiler writes one for each device.
fn find_same_device(resolved: &Resolved) -> Option<(u32, u32, i64)> {
    let processes = &resolved.classifier.processes;
    let mut seen: BTreeMap<_, u32> = BTreeMap::new();
    for (process, used) in (0u32..).zip(&resolved.uses) {
        let Some(plane) = processes.device_plane(process).filter(|_| used.works) else { continue };
        let device = plane.device;
        if let Some(before) = seen.insert((resolved.scopes.of_process(process), plane), process) {
            return Some((before, process, device));
        }
    }
    None
}

/// Lanes give the times, and work what they do not have: copies, how many events of each kind there are, and what is odd.
fn sum_by_lanes(sums: &mut Sums, resolved: &mut Resolved) -> anyhow::Result<()> {
    let divided = overlap::divide_lanes(resolved)?;
    if let Some((device, count)) = divided.doubled {
        return reject_merged(resolved, MergeSign::Lanes(device, count));
    }
    sums.exclude("outside_steps", divided.outside);
    let mut by_device = sweep_lane_work(resolved, &divided)?;
    let mut steps: BTreeMap<(u32, i64, usize), (OverlapLanes, i64, u64)> =
        divided.steps.iter().map(|(key, lanes)| (*key, (*lanes, 0, 0))).collect();
    for (&(scope, id), lanes) in &divided.whole {
        let done = by_device.remove(&(scope, id));
        let copies = done.as_ref().and_then(|done| done.total).map_or(0, |total| total.memcpy);
        for &(step, split, events) in done.iter().flat_map(|done| &done.steps) {
            let (_, memcpy, count) = steps.entry((scope, id, step)).or_default();
            (*memcpy, *count) = (split.memcpy, events);
        }
        sums.totals.push(TotalRow {
            scope,
            device: known_device(id),
            split: Some(lanes.split(copies)),
            lanes: Some(*lanes),
            counts: done.as_ref().map(|done| done.counts).unwrap_or_default(),
        });
        sums.facts.extend(done.map(|done| done.facts));
    }
    for ((scope, id, i), (lanes, memcpy, device_events)) in steps {
        if lanes.pieces == 0 && memcpy == 0 {
            continue;
        }
        let row = step_row(resolved, scope, known_device(id), i);
        let split = Some(lanes.split(memcpy));
        sums.steps.push(StepRow { split, lanes: Some(lanes), device_events, ..row });
    }
    Ok(())
}

/// Sweeps over the work of a timeline with lanes, by scope and device. Like a piece of a lane, work belongs to the step in
/// which it starts on the device, or else on the host.
fn sweep_lane_work(
    resolved: &mut Resolved,
    divided: &overlap::DividedLanes,
) -> io::Result<BTreeMap<(u32, i64), DeviceDone>> {
    let work = std::mem::replace(&mut resolved.work, Spool::new(resolved.memory));
    let mut done = BTreeMap::new();
    let mut sweep: Option<DeviceSweep> = None;
    let finish = |sweep: DeviceSweep| ((sweep.scope, sweep.device), sweep.finish(&resolved.classifier));
    let mut sorted =
        work.into_sorted(|w| (resolved.scope_of(w.thread), w.device, w.start, w.end, w.thread))?;
    while let Some(w) = sorted.next_record()? {
        let scope = resolved.scope_of(w.thread);
        // Copies may run before the first kernel of their step does.
        let step = divided.step_at(scope, w.start).or_else(|| resolved.steps[scope as usize].at(w.start));
        let step = step.and_then(|i| u32::try_from(i).ok());
        if sweep.as_ref().is_none_or(|s| (s.scope, s.device) != (scope, w.device)) {
            done.extend(sweep.replace(DeviceSweep::new(scope, w.device)).map(finish));
        }
        if let Some(sweep) = &mut sweep {
            sweep.add(&LinkedWork::without_launch(&w, scope, step));
        }
    }
    done.extend(sweep.map(finish));
    Ok(done)
}

fn sum_by_work(sums: &mut Sums, resolved: &mut Resolved, include_unlinked: bool) -> anyhow::Result<()> {
    let (work, links) = link_work(resolved)?;
    if let Some(sign) = links.find_merge() {
        return reject_merged(resolved, sign);
    }
    let nothing_linked = links.linked == 0;
    let mostly_unlinked = links.unlinked_ns > links.linked_ns;
    let count_all = include_unlinked || nothing_linked || mostly_unlinked;
    sums.steps_by_start = !include_unlinked && (nothing_linked || mostly_unlinked) && links.unlinked > 0;
    if count_all {
        sums.unlinked_counted = if nothing_linked || include_unlinked { 0 } else { links.unlinked };
    } else {
        sums.exclude("unlinked", links.unlinked);
    }
    let mut sorted = work.into_sorted(|w| (w.scope, w.device, w.start, w.end, w.thread))?;
    let mut sweep: Option<DeviceSweep> = None;
    let mut in_no_step = InNoStep::default();
    while let Some(mut w) = sorted.next_record()? {
        if !w.linked && !count_all {
            continue;
        }
        let steps = &resolved.steps[w.scope as usize];
        let events = u64::from(!w.stretch);
        if !w.launched && !w.linked && sums.steps_by_start {
            w.step = steps.at(w.start).map(|i| i as u32);
            in_no_step.outside += if w.step.is_none() && !steps.all().is_empty() { events } else { 0 };
        } else if !steps.all().is_empty() {
            match (w.launched, w.step) {
                (false, _) => in_no_step.without_launch += events,
                (true, None) => in_no_step.outside += events,
                (true, Some(_)) => {}
            }
        }
        if sweep.as_ref().is_none_or(|s| (s.scope, s.device) != (w.scope, w.device)) {
            let next = DeviceSweep::new(w.scope, w.device);
            if let Some(done) = sweep.replace(next) {
                add_device(sums, resolved, &links, done);
            }
        }
        if let Some(sweep) = &mut sweep {
            sweep.add(&w);
        }
    }
    if let Some(done) = sweep {
        add_device(sums, resolved, &links, done);
    }
    if sums.totals.is_empty() {
        // Of the host only: of each rank, or of the whole.
        let ranks = (0u32..).zip(&sums.scopes.scopes).filter(|(_, scope)| scope.label.is_some());
        sums.totals.extend(ranks.map(|(scope, _)| TotalRow { scope, ..TotalRow::default() }));
    }
    if sums.totals.is_empty() {
        sums.totals.push(TotalRow::default());
    }
    sums.exclude("launch_not_recorded", in_no_step.without_launch);
    sums.exclude("outside_steps", in_no_step.outside);
    sums.links = links;
    Ok(())
}

/// Work that belongs to no step.
#[derive(Default)]
struct InNoStep {
    without_launch: u64,
    outside: u64,
}

fn add_device(sums: &mut Sums, resolved: &Resolved, links: &LinkCounts, sweep: DeviceSweep) {
    let (scope, device) = (sweep.scope, known_device(sweep.device));
    let done = sweep.finish(&resolved.classifier);
    for (i, split, events) in done.steps {
        let launches_without_event = links.missing.get(&(scope, i)).copied().unwrap_or(0);
        let row = step_row(resolved, scope, device, i);
        sums.steps.push(StepRow { split: Some(split), device_events: events, launches_without_event, ..row });
    }
    sums.totals.push(TotalRow { scope, device, split: done.total, lanes: None, counts: done.counts });
    sums.facts.push(done.facts);
}

/// Steps without work on any device have a row too.
fn add_idle_steps(sums: &mut Sums, resolved: &Resolved) {
    let seen: HashSet<(u32, usize)> = sums.steps.iter().map(|r| (r.scope, r.index)).collect();
    for (scope, steps) in (0u32..).zip(&resolved.steps) {
        for i in 0..steps.all().len() {
            if !seen.contains(&(scope, i)) {
                let missing = sums.links.missing.get(&(scope, i)).copied().unwrap_or(0);
                let row = step_row(resolved, scope, None, i);
                sums.steps.push(StepRow { launches_without_event: missing, ..row });
            }
        }
    }
    sums.steps.sort_by_key(|r| (r.scope, r.step.start, r.index, r.device));
}

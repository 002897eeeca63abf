//! The time split of every step and device of a trace, and of the whole.
//!
//! Device work belongs to the step in which it was launched. Work that nothing in the trace launched is left over from
//! before the recording; it is left out, and counted. If it is most of the device time, or all, the trace does not link
//! its work: then it counts, in the step in which it starts.

use std::collections::{BTreeMap, HashSet};
use std::io;

use super::clusters::RecordedTime;
use super::device::{DeviceFacts, DeviceSweep, WorkCounts};
use super::host::CoveredTime;
use super::link::{LinkCounts, MergeSign, known_device, link_work};
use super::overlap::{self, OverlapLanes};
use super::records::{Lane, Work};
use super::resolve::Resolved;
use super::scopes::Scopes;
use common::error::HintExt;
use trace::model::Category;
use trace::split::{Split, SplitSweep};
use trace::spool::Spool;
use trace::steps::{MarkKind, Step};

/// One step on one device, or on none.
#[derive(Clone, Debug)]
pub(crate) struct StepRow {
    pub(crate) scope: u32,
    pub(crate) device: Option<i64>,
    /// Its place among the steps of its scope.
    pub(crate) index: usize,
    pub(crate) step: Step,
    /// The name of its mark.
    pub(crate) mark: Option<String>,
    pub(crate) derived: bool,
    pub(crate) split: Option<Split>,
    pub(crate) lanes: Option<OverlapLanes>,
    pub(crate) host_op: i64,
    pub(crate) device_events: u64,
    pub(crate) launches_without_event: u64,
}

/// One device, or the host if there is none, over everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct TotalRow {
    pub(crate) scope: u32,
    pub(crate) device: Option<i64>,
    pub(crate) split: Option<Split>,
    pub(crate) lanes: Option<OverlapLanes>,
    pub(crate) counts: WorkCounts,
}

/// What a trace adds up to.
#[derive(Debug)]
pub(crate) struct Sums {
    pub(crate) scopes: Scopes,
    pub(crate) steps: Vec<StepRow>,
    pub(crate) totals: Vec<TotalRow>,
    pub(crate) excluded: BTreeMap<String, u64>,
    pub(crate) span: i64,
    /// By scope: host time, steps, and those of them that are partial.
    pub(crate) host: Vec<HostTotals>,
    /// The steps were told from the optimizer.
    pub(crate) derived_steps: bool,
    /// Work that nothing launched was counted, since it is most of the device time; how many events.
    pub(crate) unlinked_counted: u64,
    /// Steps hold the work that starts in them, since the trace does not say what launched it.
    pub(crate) steps_by_start: bool,
    pub(crate) links: LinkCounts,
    pub(crate) recorded: RecordedTime,
    /// What is odd about devices, for checks.
    pub(crate) facts: Vec<DeviceFacts>,
}

/// Host time and steps of one rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostTotals {
    pub(crate) host_op: i64,
    pub(crate) steps: u64,
    pub(crate) partial_steps: u64,
}

/// A file that holds the traces of several ranks which cannot be told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MergedRanks {
    pids: (String, String),
    sign: MergeSign,
}

impl std::fmt::Display for MergedRanks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (a, b) = &self.pids;
        write!(
            f,
            "traces of several ranks were merged and cannot be told apart: processes {a} and {b} launch "
        )?;
        match self.sign {
            MergeSign::Numbers(1) => write!(f, "by the same correlation number"),
            MergeSign::Numbers(n) => write!(f, "by the same {n} correlation numbers"),
            MergeSign::Device(device) => match known_device(device) {
                Some(device) => write!(f, "on the same device {device}"),
                None => write!(f, "on the same device"),
            },
        }
    }
}

impl std::error::Error for MergedRanks {}

/// Sums up. With `include_unlinked`, work that nothing in the trace launched counts, too.
///
/// # Errors
/// A temporary file cannot be used; [`MergedRanks`].
pub(crate) fn sum_trace(mut resolved: Resolved, include_unlinked: bool) -> anyhow::Result<Sums> {
    let host = sum_host(&mut resolved)?;
    let mut sums = Sums {
        scopes: resolved.scopes.clone(),
        steps: Vec::new(),
        totals: Vec::new(),
        excluded: BTreeMap::new(),
        span: resolved.recorded.extent.map_or(0, |(a, b)| b - a),
        host: Vec::new(),
        derived_steps: resolved.steps.iter().any(trace::steps::Steps::are_derived),
        unlinked_counted: 0,
        steps_by_start: false,
        links: LinkCounts::default(),
        recorded: resolved.recorded.clone(),
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
    Ok(sums)
}

impl Sums {
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

fn sum_by_lanes(sums: &mut Sums, resolved: &mut Resolved) -> io::Result<()> {
    let divided = overlap::divide_lanes(resolved)?;
    sums.exclude("outside_steps", divided.outside);
    let work = std::mem::replace(&mut resolved.work, Spool::new(resolved.memory));
    let (copies, counts) = sum_copies(resolved, work)?;
    for (&(scope, id, i), lanes) in &divided.steps {
        let row = step_row(resolved, scope, known_device(id), i);
        let (split, device_events) = (Some(lanes.split(0)), lanes.pieces);
        sums.steps.push(StepRow { split, lanes: Some(*lanes), device_events, ..row });
    }
    for (&(scope, id), lanes) in &divided.whole {
        let key = (scope, id);
        sums.totals.push(TotalRow {
            scope,
            device: known_device(id),
            split: Some(lanes.split(copies.get(&key).copied().unwrap_or(0))),
            lanes: Some(*lanes),
            counts: counts.get(&key).copied().unwrap_or_default(),
        });
    }
    Ok(())
}

type ByDevice<T> = BTreeMap<(u32, i64), T>;

/// How long copies run on each device, and how much work there is of each kind.
fn sum_copies(
    resolved: &Resolved,
    work: Spool<Work, 6>,
) -> io::Result<(ByDevice<i64>, ByDevice<WorkCounts>)> {
    let mut sweeps: ByDevice<SplitSweep> = BTreeMap::new();
    let mut counts: ByDevice<WorkCounts> = BTreeMap::new();
    let mut sorted = work.into_sorted(|w| w.start)?;
    while let Some(w) = sorted.next_record()? {
        let key = (resolved.scope_of(w.thread), w.device);
        counts.entry(key).or_default().add(w.category);
        if w.category == Category::Memcpy {
            sweeps.entry(key).or_default().add(w.start, w.end, w.category);
        }
    }
    let length = |(key, sweep): ((u32, i64), SplitSweep)| (key, sweep.finish().map_or(0, |s| s.memcpy));
    Ok((sweeps.into_iter().map(length).collect(), counts))
}

fn sum_by_work(sums: &mut Sums, resolved: &mut Resolved, include_unlinked: bool) -> anyhow::Result<()> {
    let (work, links) = link_work(resolved)?;
    if let Some((a, b, sign)) = links.merged_processes() {
        let processes = &resolved.classifier.processes;
        let pids = (processes.process_id(a), processes.process_id(b));
        return Err(MergedRanks { pids, sign }).hint("analyze the ranks' own files");
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

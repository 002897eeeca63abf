//! The time split of every step and device of a trace, and of the whole.
//!
//! Device work belongs to the step in which it was launched. Work that nothing in the trace launched is left
//! over from before the recording; it is left out, and counted, unless the trace links nothing at all.

use std::collections::BTreeMap;

use super::collect::{Collected, Launch, NO_DEVICE, Work};
use super::coverage::Coverage;
use super::overlap::{self, OverlapLanes};
use super::split::Split;
use super::steps::{Step, Steps};
use trace::interval::IntervalSet;
use trace::model::{Category, Dialect};

/// One step on one device, or on none.
#[derive(Clone, Debug)]
pub(crate) struct StepRow {
    pub(crate) device: Option<i64>,
    pub(crate) step: Step,
    pub(crate) split: Option<Split>,
    pub(crate) lanes: Option<OverlapLanes>,
    pub(crate) host_op: i64,
    pub(crate) device_events: u64,
    pub(crate) launches_without_event: u64,
}

/// One device, or the host if there is none, over everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct TotalRow {
    pub(crate) device: Option<i64>,
    pub(crate) split: Option<Split>,
    pub(crate) lanes: Option<OverlapLanes>,
    pub(crate) device_events: u64,
    pub(crate) kernels: u64,
    pub(crate) collectives: u64,
    pub(crate) memcpys: u64,
    pub(crate) memsets: u64,
}

/// What a trace adds up to.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(crate) steps: Vec<StepRow>,
    pub(crate) totals: Vec<TotalRow>,
    pub(crate) excluded: BTreeMap<String, u64>,
    pub(crate) span: i64,
    pub(crate) host_op: i64,
    pub(crate) step_count: u64,
    pub(crate) partial_steps: u64,
    /// The steps were told from the optimizer.
    pub(crate) derived_steps: bool,
}

/// How to sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    /// Count work that nothing in the trace launched, too.
    pub(crate) include_unlinked: bool,
    /// The trace was cut: no step is known to be whole.
    pub(crate) cut: bool,
}

/// Sums up.
pub(crate) fn sum_trace(mut collected: Collected, dialect: Dialect, options: Options) -> Sums {
    collected.close_open_spans();
    let steps = collected.take_steps(options.cut);
    let coverage = host_time(&mut collected, dialect);
    let mut sums = Sums {
        span: collected.census.extent.map_or(0, |(a, b)| b - a),
        host_op: coverage.total_covered(),
        step_count: steps.all().len() as u64,
        partial_steps: steps.all().iter().filter(|s| s.partial).count() as u64,
        derived_steps: steps.derived,
        ..Sums::default()
    };
    sums.exclude("repeated_step_mark", steps.repeated);
    sums.exclude("begin_without_end", collected.unclosed);
    sums.exclude("end_without_begin", collected.unopened);
    if collected.pieces.iter().any(|p| p.lane != super::collect::Lane::Receive) {
        sum_by_lanes(&mut sums, &collected, &steps, &coverage);
    } else {
        sum_by_work(&mut sums, collected, &steps, &coverage, options);
    }
    sums
}

impl Sums {
    fn exclude(&mut self, cause: &str, count: u64) {
        if count > 0 {
            *self.excluded.entry(cause.to_owned()).or_default() += count;
        }
    }
}

/// Operators count as host time; where a trace knows none, everything with a duration does.
fn host_time(collected: &mut Collected, dialect: Dialect) -> Coverage {
    let others = std::mem::take(&mut collected.others);
    let mut threads = std::mem::take(&mut collected.operators);
    if dialect == Dialect::Chrome && threads.is_empty() {
        threads = others;
    }
    let sets: Vec<IntervalSet> = threads.into_values().map(trace::interval::UnionBuilder::finish).collect();
    Coverage::new(&sets)
}

fn host_op_time(coverage: &Coverage, step: &Step) -> i64 {
    coverage.covered_until(step.end).saturating_sub(coverage.covered_until(step.start))
}

fn known_device(device: i64) -> Option<i64> {
    (device != NO_DEVICE).then_some(device)
}

fn sum_by_lanes(sums: &mut Sums, collected: &Collected, steps: &Steps, coverage: &Coverage) {
    let analysed = overlap::divide_lanes(collected, steps.all());
    if !steps.all().is_empty() {
        sums.exclude("outside_steps", analysed.outside);
    }
    for (&(id, i), lanes) in &analysed.steps {
        let step = steps.all()[i];
        sums.steps.push(StepRow {
            device: known_device(id),
            step,
            split: Some(lanes.split()),
            lanes: Some(*lanes),
            host_op: host_op_time(coverage, &step),
            device_events: lanes.pieces,
            launches_without_event: 0,
        });
    }
    add_idle_steps(sums, steps, coverage, &BTreeMap::new());
    for (&id, lanes) in &analysed.whole {
        let mut row = total_of_device(id, collected.work.iter().filter(|w| w.device == id));
        row.split = Some(lanes.split());
        row.lanes = Some(*lanes);
        sums.totals.push(row);
    }
}

fn sum_by_work(sums: &mut Sums, collected: Collected, steps: &Steps, coverage: &Coverage, options: Options) {
    let Collected { mut work, mut launches, .. } = collected;
    launches.sort_unstable();
    launches.dedup_by_key(|l| l.correlation);
    leave_out_unlinked(sums, &mut work, &launches, options);
    let missing = missing_events(&work, &launches, steps);
    let mut keyed = assign_to_steps(sums, work, &launches, steps);
    keyed.sort_unstable_by_key(|(step, w)| (w.device, *step));
    for group in keyed.chunk_by(|a, b| (a.1.device, a.0) == (b.1.device, b.0)) {
        let (Some(i), first) = (group[0].0, &group[0].1) else { continue };
        let step = steps.all()[i];
        sums.steps.push(StepRow {
            device: known_device(first.device),
            step,
            split: Split::of(group.iter().map(|(_, w)| (w.start, w.end, w.category))),
            lanes: None,
            host_op: host_op_time(coverage, &step),
            device_events: group.len() as u64,
            launches_without_event: missing.get(&i).copied().unwrap_or(0),
        });
    }
    add_idle_steps(sums, steps, coverage, &missing);
    for group in keyed.chunk_by(|a, b| a.1.device == b.1.device) {
        let works = group.iter().map(|(_, w)| w);
        let mut row = total_of_device(group[0].1.device, works.clone());
        row.split = Split::of(works.map(|w| (w.start, w.end, w.category)));
        sums.totals.push(row);
    }
    if sums.totals.is_empty() {
        sums.totals.push(TotalRow::default());
    }
}

/// Steps without work on any device have a row too.
fn add_idle_steps(sums: &mut Sums, steps: &Steps, coverage: &Coverage, missing: &BTreeMap<usize, u64>) {
    let seen: std::collections::HashSet<(i64, i64)> =
        sums.steps.iter().map(|r| (r.step.start, r.step.number)).collect();
    let idle = steps.all().iter().enumerate().filter(|(_, s)| !seen.contains(&(s.start, s.number)));
    let rows = idle.map(|(i, &step)| StepRow {
        device: None,
        step,
        split: None,
        lanes: None,
        host_op: host_op_time(coverage, &step),
        device_events: 0,
        launches_without_event: missing.get(&i).copied().unwrap_or(0),
    });
    sums.steps.extend(rows.collect::<Vec<_>>());
    sums.steps.sort_by_key(|r| (r.step.start, r.device));
}

fn total_of_device<'a>(id: i64, work: impl Iterator<Item = &'a Work>) -> TotalRow {
    let mut row = TotalRow { device: known_device(id), ..TotalRow::default() };
    for w in work {
        row.device_events += 1;
        match w.category {
            Category::Collective => row.collectives += 1,
            Category::Memcpy => row.memcpys += 1,
            Category::Memset => row.memsets += 1,
            _ => row.kernels += 1,
        }
    }
    row
}

fn launch_of<'a>(work: &Work, launches: &'a [Launch]) -> Option<&'a Launch> {
    let correlation = work.correlation?;
    let i = launches.binary_search_by_key(&correlation, |l| l.correlation).ok()?;
    Some(&launches[i])
}

fn leave_out_unlinked(sums: &mut Sums, work: &mut Vec<Work>, launches: &[Launch], options: Options) {
    let linked = |w: &Work| w.external || launch_of(w, launches).is_some();
    if options.include_unlinked || !work.iter().any(linked) {
        return;
    }
    let before = work.len();
    work.retain(linked);
    sums.exclude("unlinked", (before - work.len()) as u64);
}

/// Tells of each piece of work in which step it was launched.
fn assign_to_steps(
    sums: &mut Sums,
    work: Vec<Work>,
    launches: &[Launch],
    steps: &Steps,
) -> Vec<(Option<usize>, Work)> {
    let (mut without_launch, mut outside) = (0, 0);
    let keyed = work.into_iter().map(|w| {
        let launch = launch_of(&w, launches);
        let step = launch.and_then(|l| steps.at(l.at));
        without_launch += u64::from(launch.is_none());
        outside += u64::from(launch.is_some() && step.is_none());
        (step, w)
    });
    let keyed = keyed.collect();
    if !steps.all().is_empty() {
        sums.exclude("launch_not_recorded", without_launch);
        sums.exclude("outside_steps", outside);
    }
    keyed
}

/// By step, launches that must have put something on a device that is not there.
fn missing_events(work: &[Work], launches: &[Launch], steps: &Steps) -> BTreeMap<usize, u64> {
    let mut seen: Vec<i64> = work.iter().filter_map(|w| w.correlation).collect();
    seen.sort_unstable();
    let mut missing = BTreeMap::new();
    for launch in launches.iter().filter(|l| l.expects && seen.binary_search(&l.correlation).is_err()) {
        if let Some(step) = steps.at(launch.at) {
            *missing.entry(step).or_default() += 1;
        }
    }
    missing
}

//! Reads one rank: keeps its work, launches and calls in bounded memory, and sweeps over them when all is known.

use std::collections::BTreeMap;
use std::io;

use trace::analysis::collect::CollectOptions;
use trace::launch::{HostThreads, LaunchSpools, WorkOrigin, number_of_work};
use trace::model::{Category, Event, EventSink, FastMap, NameTable, TraceMeta, is_collective_call};
use trace::program::{ProgramSpools, ProgramSums};
use trace::spool::{MemoryLimit, Spool};
use trace::steps::{MarkKind, StepMark, StepNames, Steps, Update, is_host_annotation};

use super::call::{CallDescription, CallPlace, FamilyTable};
use super::edge::{Activity, EdgeKind, NONE, TimeEdge};
use super::host::HostWork;
use super::kept::{Arrival, COMMUNICATION, COMPUTE, COPY, Call, HostSpan, Work};
use super::longest::{LongestKernels, MOST_NAMES};
use super::named::{ItemKind, NamedSums};
use super::number::number_or_place;
use super::stalls::UsualTimes;
use super::sweep::{Sweep, SweptCall};
use super::{RankPart, StepPart};

/// Where calls of collectives were seen, the surest first.
const SOURCES: usize = 3;
/// Kernels of a communication library.
const DEVICE: usize = 0;
/// Ranges that a backend marks around the work (`gloo:all_reduce`).
const RANGE: usize = 1;
/// Operators that call them, which may return before the work is done.
const OPERATOR: usize = 2;

/// Instead of the number of a name.
const NO_NAME: u32 = u32::MAX;

/// The facts about a name of the host.
#[derive(Clone, Copy, Debug)]
struct NameFacts {
    work: Option<HostWork>,
    mark: Option<(MarkKind, Option<i64>)>,
    collective: bool,
    update: bool,
}

/// The details that are kept of a rank besides its steps and calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WantedDetail {
    #[default]
    None,
    /// The time of modules, annotations and phases.
    Program,
    /// That, and what each of them and single kernels, operators and collectives take in each step.
    All,
}

impl WantedDetail {
    /// Names are wanted.
    pub(crate) fn has_names(self) -> bool {
        self == Self::All
    }

    fn has_program(self) -> bool {
        matches!(self, Self::Program | Self::All)
    }
}

/// Collects one rank.
pub(crate) struct PartSink<'a> {
    families: &'a mut FamilyTable,
    memory: MemoryLimit,
    names: NameTable,
    facts: FastMap<(u32, Category), NameFacts>,
    step_names: StepNames,
    work: Spool<Work, 5>,
    launches: LaunchSpools,
    host: Spool<HostSpan, 3>,
    calls: [Vec<Call>; SOURCES],
    marks: Vec<StepMark>,
    updates: Vec<Update>,
    begin: Option<i64>,
    wanted: WantedDetail,
    threads: HostThreads,
    program: ProgramSpools,
    named: NamedSums,
    longest: LongestKernels,
}

impl<'a> PartSink<'a> {
    /// An empty one; families of calls are those of the whole job.
    pub(crate) fn new(families: &'a mut FamilyTable, options: &CollectOptions) -> Self {
        let memory = options.memory;
        Self {
            families,
            memory,
            names: NameTable::default(),
            facts: FastMap::default(),
            step_names: options.steps.clone(),
            work: Spool::new(memory),
            launches: LaunchSpools::new(memory),
            host: Spool::new(memory),
            calls: Default::default(),
            marks: Vec::new(),
            updates: Vec::new(),
            begin: None,
            wanted: WantedDetail::None,
            threads: HostThreads::default(),
            program: ProgramSpools::new(memory),
            named: NamedSums::default(),
            longest: LongestKernels::default(),
        }
    }

    /// Keeps this as well.
    pub(crate) fn with_detail(mut self, wanted: WantedDetail) -> Self {
        self.wanted = wanted;
        self
    }

    fn facts_of(&mut self, event: &Event<'_>) -> (u32, NameFacts) {
        let number = self.names.intern(event.name);
        let (names, step_names) = (&self.names, &self.step_names);
        let facts = *self.facts.entry((number, event.category)).or_insert_with(|| {
            let name = names.name(number);
            NameFacts {
                work: HostWork::of_name(event.category, name),
                mark: step_names.mark_of_name(name).filter(|_| step_names.may_mark(event)),
                collective: is_collective_call(name),
                update: name.starts_with("Optimizer.step#"),
            }
        });
        (number, facts)
    }

    fn take_device_work(&mut self, event: &Event<'_>, (start, end): (i64, i64)) -> io::Result<()> {
        let (activity, call) = match event.category {
            Category::Collective => (COMMUNICATION, self.take_call(event, DEVICE, (start, end))),
            Category::Memcpy => (COPY, NONE),
            _ => (COMPUTE, NONE),
        };
        let correlation = number_of_work(event);
        let is_wanted = activity == COMPUTE && self.names.count_names() < MOST_NAMES;
        let name = if is_wanted || self.wanted.has_names() { self.names.intern(event.name) } else { NO_NAME };
        self.work.push(Work { start, end, correlation, activity, name, call })
    }

    /// Keeps a call, and returns its index.
    fn take_call(&mut self, event: &Event<'_>, source: usize, (start, end): (i64, i64)) -> i64 {
        let number = self.names.intern(event.name);
        let CallDescription { family, sequence } = CallDescription::of_event(event, self.names.name(number));
        let matching = self.families.intern_match(&family);
        let family = self.families.intern(&family);
        self.calls[source].push(Call { start, end, family, matching, sequence });
        self.calls[source].len() as i64 - 1
    }

    fn take_host_event(&mut self, event: &Event<'_>, (start, end): (i64, i64)) -> anyhow::Result<()> {
        if !is_host_annotation(event.cat.raw) {
            return Ok(());
        }
        let (name, facts) = self.facts_of(event);
        let thread = self.threads.number_of(event);
        if self.wanted.has_program() {
            self.program.take_range(event, (thread, name), self.names.name(name), (start, end))?;
        }
        if facts.update {
            self.updates.push(Update { name, thread, start, end });
        }
        let by_number = event.step_number.filter(|_| event.category != Category::CpuOp);
        if let Some((kind, number)) = self.step_names.with_number(facts.mark, by_number) {
            self.marks.push(StepMark { kind, number, name, thread, start, end, partial: false });
        }
        if facts.collective && matches!(event.category, Category::CpuOp | Category::Marker) {
            match event.category {
                Category::Marker => {
                    self.take_call(event, RANGE, (start, end));
                }
                _ if event.name.raw == b"record_param_comms" => {
                    self.take_call(event, OPERATOR, (start, end));
                }
                _ => {}
            }
            return Ok(());
        }
        if let Some(work) = facts.work {
            let computes = event.category == Category::CpuOp && work == HostWork::Operators;
            self.host.push(HostSpan { start, end, work, computes, name })?;
        }
        Ok(())
    }
}

impl EventSink for PartSink<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if self.launches.take_arrow(event, |event| self.threads.number_of(event))? {
            return Ok(());
        }
        let Some((start, end)) = event.plausible_span() else {
            return Ok(());
        };
        match event.category {
            category if category.is_on_device() => self.take_device_work(event, (start, end))?,
            Category::Memory | Category::Counter | Category::Flow => return Ok(()),
            _ => {
                self.launches.take_call(event, start, |event| self.threads.number_of(event))?;
                self.take_host_event(event, (start, end))?;
            }
        }
        self.begin = Some(self.begin.map_or(start, |begin| begin.min(start)));
        Ok(())
    }
}

/// Work and steps, ready for the sweep.
struct RankTimeline {
    edges: Spool<TimeEdge, 4>,
    calls: Vec<Call>,
    /// First and last moment of the work of each step.
    windows: BTreeMap<usize, (i64, i64)>,
}

impl RankTimeline {
    fn push(&mut self, span: (i64, i64), activity: Activity, launch: i64, call: i64) -> io::Result<()> {
        let (start, end) = span;
        self.edges.push(TimeEdge { at: start, kind: EdgeKind::Begin(activity), launch, call })?;
        self.edges.push(TimeEdge { at: end.max(start), kind: EdgeKind::End(activity), launch: NONE, call })
    }

    fn widen(&mut self, step: Option<usize>, (start, end): (i64, i64)) {
        let Some(step) = step else { return };
        let window = self.windows.entry(step).or_insert((start, end));
        *window = (window.0.min(start), window.1.max(end));
    }
}

impl PartSink<'_> {
    /// Returns the part of the rank; `each` gets its arrivals at collectives. `part` is its index in the job.
    ///
    /// # Errors
    /// A temporary file cannot be used; what `each` says.
    pub(crate) fn finish(
        mut self,
        path: String,
        meta: &TraceMeta,
        part: u32,
        mut each: impl FnMut(&FamilyTable, Arrival, &CallPlace) -> io::Result<()>,
    ) -> io::Result<RankPart> {
        let begin = self.begin.unwrap_or(0);
        let marked = Steps::from_marks(std::mem::take(&mut self.marks));
        let mut steps = if marked.all().is_empty() {
            Steps::from_optimizer(std::mem::take(&mut self.updates), begin)
        } else {
            marked
        };
        let has_steps = !steps.all().is_empty();
        let mut on_device = false;
        self.work.for_each(|_| {
            on_device = true;
            Ok(())
        })?;
        let source = (0..SOURCES).find(|source| !self.calls[*source].is_empty()).unwrap_or(DEVICE);
        if !has_steps {
            steps = divide_into_steps(&self.calls[source]);
        }
        let calls = std::mem::take(&mut self.calls[source]);
        let mut timeline = RankTimeline { edges: Spool::new(self.memory), calls, windows: BTreeMap::new() };
        if on_device {
            self.add_device_work(&mut timeline, &steps, has_steps)?;
        } else {
            add_host_calls(&mut timeline)?;
        }
        self.add_host_work(&mut timeline, &steps, on_device)?;
        add_steps(&mut timeline, &steps, on_device)?;
        let numbers: Vec<i64> = steps.all().iter().map(|step| step.number).collect();
        let mut sweep = Sweep::new(&numbers, timeline.calls.iter().map(|call| call.end).collect());
        let mut sorted = timeline.edges.into_sorted(TimeEdge::key)?;
        while let Some(edge) = sorted.next_record()? {
            sweep.take(&edge);
        }
        let program = self.attribute_program()?;
        self.add_call_names(&timeline.calls, &sweep.calls);
        let is_numbered = has_steps && steps.kind.is_some_and(|kind| !matches!(kind, MarkKind::Serving(_)));
        let base = meta.epoch_offset(begin).unwrap_or(0);
        let calls = timeline.calls;
        for (arrival, place) in arrivals(&calls, &sweep.calls, &sweep.steps, is_numbered) {
            let (start, end) = (arrival.start.saturating_add(base), arrival.end.saturating_add(base));
            each(self.families, Arrival { start, end, part, ..arrival }, &place)?;
        }
        let keep = |step: &StepPart| step.times.span() > 0;
        Ok(RankPart {
            path,
            rank: number_or_place(meta.rank, part as usize),
            world_size: meta.world_size,
            on_device,
            has_steps,
            is_cut: false,
            long_kernels: self.longest.find_unusual(&self.names, &sweep.steps),
            steps: sweep.steps.into_iter().filter(keep).collect(),
            calls: calls.len() as u64,
            program: program.times,
            paths: program.paths,
            begin: meta.epoch_offset(begin).and_then(|offset| begin.checked_add(offset)),
            other_names: self.named.other_names(),
            named: self.named.name_all(&self.names, &numbers),
        })
    }

    fn attribute_program(&mut self) -> io::Result<ProgramSums> {
        let (with_names, named) = (self.wanted.has_names(), &mut self.named);
        match self.wanted.has_program() {
            true => self.program.attribute(&self.names, &mut |work| {
                if with_names {
                    named.add_program(work);
                }
            }),
            false => Ok(ProgramSums::default()),
        }
    }

    fn add_call_names(&mut self, calls: &[Call], swept: &[SweptCall]) {
        if !self.wanted.has_names() {
            return;
        }
        for (call, swept) in calls.iter().zip(swept) {
            let name = self.names.intern(self.families.get(call.family).kind.name().into());
            let step = swept.step.map(|index| index as usize);
            self.named.add(ItemKind::Collective, name, step, call.end - call.start);
        }
    }

    /// Ties work to its launches, and to steps: by its launch where those are of the host, or else by its start.
    fn add_device_work(
        &mut self,
        timeline: &mut RankTimeline,
        steps: &Steps,
        by_launch: bool,
    ) -> io::Result<()> {
        let memory = self.memory;
        let work = std::mem::replace(&mut self.work, Spool::new(memory));
        let launches = std::mem::replace(&mut self.launches, LaunchSpools::new(memory));
        launches.link(
            work,
            |w| (w.correlation, w.start),
            |w, WorkOrigin { launch, request }| {
                let activity = match w.activity {
                    COMPUTE => Activity::Compute,
                    COMMUNICATION => Activity::Communication,
                    _ => Activity::Copy,
                };
                let at = launch.map(|l| l.at);
                timeline.push((w.start, w.end), activity, at.unwrap_or(NONE), w.call)?;
                // A queue may launch it when the host is in the next step.
                let moment = request.map(|l| l.at).filter(|_| by_launch).unwrap_or(w.start);
                let step = steps.at(moment);
                timeline.widen(step, (w.start, w.end));
                if self.wanted.has_program() {
                    let request = request.map(|l| (l.thread, l.at));
                    self.program.add_work(request, step, w.end - w.start, w.activity == COMMUNICATION)?;
                }
                if w.activity == COMPUTE && w.name != NO_NAME {
                    self.longest.add(w.name, step, w.end - w.start);
                }
                if self.wanted.has_names() {
                    self.named.add(ItemKind::Kernel, w.name, step, w.end - w.start);
                }
                Ok(())
            },
        )
    }

    fn add_host_work(
        &mut self,
        timeline: &mut RankTimeline,
        steps: &Steps,
        on_device: bool,
    ) -> io::Result<()> {
        let host = std::mem::replace(&mut self.host, Spool::new(self.memory));
        let usual = match on_device {
            true => UsualTimes::default(),
            false => UsualTimes::of_operators(&host, &self.names, steps)?,
        };
        let (with_names, named) = (self.wanted.has_names(), &mut self.named);
        host.for_each(|span| {
            let times = (span.start, span.end);
            if with_names && span.computes {
                named.add(ItemKind::Operator, span.name, steps.at(span.start), span.end - span.start);
            }
            if on_device || !span.computes {
                // Without a device nothing is launched, and operators are no reason to do nothing.
                return timeline.push(times, Activity::Host(span.work), NONE, NONE);
            }
            if let Some(stall) = usual.stall_of(&span) {
                timeline.push(stall, Activity::Host(HostWork::Stall), NONE, NONE)?;
            }
            timeline.push(times, Activity::Compute, span.start, NONE)
        })
    }
}

fn add_host_calls(timeline: &mut RankTimeline) -> io::Result<()> {
    for i in 0..timeline.calls.len() {
        let Call { start, end, .. } = timeline.calls[i];
        timeline.push((start, end), Activity::Communication, start, i as i64)?;
    }
    Ok(())
}

/// Steps of a device begin with the first work that they launched; those of a host where they are marked.
fn add_steps(timeline: &mut RankTimeline, steps: &Steps, on_device: bool) -> io::Result<()> {
    let mut last_end = i64::MIN;
    let mut begin = i64::MIN;
    for (index, step) in steps.all().iter().enumerate() {
        let window =
            if on_device { timeline.windows.get(&index).copied() } else { Some((step.start, step.end)) };
        let Some((start, end)) = window else { continue };
        // Work of a step may begin before the last of the step before has.
        begin = begin.max(start);
        last_end = last_end.max(end);
        let kind = EdgeKind::Step(u32::try_from(index).unwrap_or(u32::MAX));
        timeline.edges.push(TimeEdge { at: begin, kind, launch: NONE, call: NONE })?;
    }
    if last_end > i64::MIN {
        let at = last_end.max(begin);
        timeline.edges.push(TimeEdge { at, kind: EdgeKind::LastStepEnd, launch: NONE, call: NONE })?;
    }
    Ok(())
}

/// A trace without steps is divided into parts of as many calls each: those of one number belong together on all ranks.
/// Without calls it is one step.
fn divide_into_steps(calls: &[Call]) -> Steps {
    const PARTS: usize = 10;
    let mut times: Vec<(i64, i64)> = calls.iter().map(|call| (call.start, call.end)).collect();
    times.sort_unstable();
    let parts = PARTS.min(times.len());
    let mut start = i64::MIN / 2;
    let mut marks = Vec::new();
    for part in 0..parts {
        let Some(&(_, end)) = times.get((part + 1) * times.len() / parts - 1) else { continue };
        let number = Some(part as i64);
        let kind = MarkKind::StepNumber;
        if end > start {
            marks.push(StepMark { kind, number, name: 0, thread: 0, start, end, partial: false });
        }
        start = end.max(start);
    }
    if marks.is_empty() {
        let (number, kind, end) = (Some(0), MarkKind::StepNumber, i64::MAX / 4);
        marks.push(StepMark { kind, number, name: 0, thread: 0, start, end, partial: false });
    }
    Steps::from_marks(marks)
}

/// The calls with the keys by which ranks find each other: the number that the trace gives, or else the place in the step
/// or in the trace.
fn arrivals(
    calls: &[Call],
    swept: &[SweptCall],
    steps: &[StepPart],
    is_numbered: bool,
) -> Vec<(Arrival, CallPlace)> {
    let mut order: Vec<usize> = (0..calls.len()).collect();
    order.sort_by_key(|&i| (calls[i].start, calls[i].end, i));
    let mut seen: FastMap<(u32, i64), u64> = FastMap::default();
    let mut out = Vec::with_capacity(calls.len());
    for i in order {
        let Call { start, end, family, matching, sequence } = calls[i];
        let step = swept.get(i).and_then(|c| c.step).and_then(|i| steps.get(i as usize)).map(|s| s.number);
        let place = sequence.or(step.filter(|_| is_numbered)).unwrap_or(i64::MIN);
        let count = seen.entry((matching, place)).or_default();
        *count += 1;
        let place = CallPlace { matching, place, count: *count, numbered: sequence.is_some() };
        let (exposed, awaited) = swept.get(i).map_or((0, 0), |call| (call.exposed, call.awaited));
        let step = step.unwrap_or(i64::MIN);
        out.push((Arrival { key: place.key(), start, end, exposed, awaited, part: 0, family, step }, place));
    }
    out
}

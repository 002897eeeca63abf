//! One rank, for the critical path: stretches of its host threads, work of its devices, and its steps.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::BuildHasher;
use std::io;

use anyhow::ensure;
use trace::analysis::collect::CollectOptions;
use trace::launch::{LaunchSpools, LaunchTime, WorkOrigin, link_launches, number_of_work};
use trace::model::{Category, Event, EventSink, FastMap, FastState, NameTable};
use trace::read::{RawValue, find_argument};
use trace::spool::{MemoryLimit, Spool, SpoolRecord};
use trace::steps::{StepMark, StepNames, Steps, Update, is_host_annotation};

use crate::part::call::{CallDescription, CollectiveKind};
use crate::part::host::HostWork;
use crate::part::host_stack::{FrameKind, HostMoment, HostRange, HostRanges, StackVisitor, sweep_host};

/// The label of the innermost range of a stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HostLabel {
    /// The name of the innermost operator, if one is open; or else that of the range.
    pub(crate) name: u32,
    /// An operator is open.
    pub(crate) in_operator: bool,
    /// The kind of the innermost range.
    pub(crate) kind: FrameKind,
    /// The work of the host there, by its name.
    pub(crate) work: Option<HostWork>,
}

impl HostLabel {
    /// An operator or a call runs, rather than a program that may wait for another thread.
    pub(crate) fn is_busy(self) -> bool {
        self.in_operator || self.kind == FrameKind::Call
    }
}

/// A stretch of time in which one range of a thread was the innermost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostStretch {
    pub(crate) from: i64,
    pub(crate) to: i64,
    /// Index of its label.
    pub(crate) label: u32,
}

/// Work on a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceWork {
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Number of its launch.
    pub(crate) correlation: i64,
    /// Number of its device and stream.
    pub(crate) stream: u32,
    /// Its own name, and that of the operator that launched it.
    pub(crate) name: u32,
    pub(crate) operator: Option<u32>,
    pub(crate) category: Category,
    /// Index of the call that it is.
    pub(crate) call: Option<u32>,
    /// Thread and moment of its launch.
    pub(crate) launch: Option<(u32, i64)>,
    /// The same of where the program asked for it.
    request: Option<(u32, i64)>,
}

/// A stream that waits for what another had when an event was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventWait {
    /// The stream that waits, and the number of the call that makes it.
    pub(crate) stream: u32,
    pub(crate) correlation: i64,
    /// The stream that is waited for, and the number of the call that recorded the event.
    pub(crate) source: u32,
    pub(crate) recorded: i64,
}

/// A call of a collective.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathCall {
    pub(crate) kind: CollectiveKind,
    /// The key that is the same on all ranks that take part.
    pub(crate) key: u64,
    /// Ranks in the group.
    pub(crate) group_size: Option<u64>,
}

/// One rank.
pub(crate) struct PathRank {
    pub(crate) rank: i64,
    pub(crate) names: NameTable,
    pub(crate) labels: Vec<HostLabel>,
    /// By thread, in the order of time.
    pub(crate) threads: BTreeMap<u32, Vec<HostStretch>>,
    /// The thread of the program, and those of backward passes.
    pub(crate) main: u32,
    pub(crate) backward: BTreeSet<u32>,
    /// In the order of their starts.
    pub(crate) work: Vec<DeviceWork>,
    pub(crate) waits: Vec<EventWait>,
    pub(crate) calls: Vec<PathCall>,
    /// By thread and timestamp of taking work from a queue: the thread that had put it there, and when.
    pub(crate) handovers: BTreeMap<(u32, i64), (u32, i64)>,
    /// Device of each stream.
    pub(crate) streams: Vec<i64>,
    pub(crate) steps: Steps,
}

/// Work while the trace is read.
#[derive(Clone, Copy, Debug)]
struct KeptWork {
    start: i64,
    end: i64,
    correlation: i64,
    stream: u32,
    name: u32,
    category: Category,
    call: u32,
}

/// No call.
const NO_CALL: u32 = u32::MAX;

impl SpoolRecord<5> for KeptWork {
    fn to_words(self) -> [i64; 5] {
        let ids = (u64::from(self.stream) << 32 | u64::from(self.name)) as i64;
        let place = Category::ALL.iter().position(|c| *c == self.category).unwrap_or(0) as u64;
        [self.start, self.end, self.correlation, ids, (u64::from(self.call) << 8 | place) as i64]
    }

    fn from_words([start, end, correlation, ids, what]: [i64; 5]) -> Self {
        let (stream, name) = ((ids as u64 >> 32) as u32, ids as u32);
        let category = Category::ALL[(what & 0xff) as usize % Category::ALL.len()];
        Self { start, end, correlation, stream, name, category, call: (what as u64 >> 8) as u32 }
    }
}

/// Collects one rank.
pub(crate) struct PathSink {
    memory: MemoryLimit,
    host: HostRanges,
    step_names: StepNames,
    work: Spool<KeptWork, 5>,
    launches: LaunchSpools,
    /// What was put into the queue of a thread that launches, and what was taken from it, by number.
    queued: Spool<LaunchTime, 3>,
    taken: Spool<LaunchTime, 3>,
    streams: FastMap<(i64, i64), u32>,
    devices: Vec<i64>,
    waits: Vec<EventWait>,
    calls: Vec<PathCall>,
    marks: Vec<StepMark>,
    updates: Vec<Update>,
    begin: i64,
    /// Times that calls of a family and number were seen.
    seen: FastMap<u64, u64>,
}

impl PathSink {
    /// Without events yet.
    pub(crate) fn new(options: &CollectOptions) -> Self {
        let memory = options.memory;
        Self {
            memory,
            host: HostRanges::new(memory),
            step_names: options.steps.clone(),
            work: Spool::new(memory),
            launches: LaunchSpools::new(memory),
            queued: Spool::new(memory),
            taken: Spool::new(memory),
            streams: FastMap::default(),
            devices: Vec::new(),
            waits: Vec::new(),
            calls: Vec::new(),
            marks: Vec::new(),
            updates: Vec::new(),
            begin: i64::MAX,
            seen: FastMap::default(),
        }
    }

    fn stream_of(&mut self, device: i64, stream: i64) -> u32 {
        let next = u32::try_from(self.devices.len()).unwrap_or(u32::MAX);
        let number = *self.streams.entry((device, stream)).or_insert(next);
        if number == next {
            self.devices.push(device);
        }
        number
    }

    fn take_work(&mut self, event: &Event<'_>, (start, end): (i64, i64)) -> io::Result<()> {
        let stream = self.stream_of(event.device.unwrap_or(-1), event.stream.unwrap_or(-1));
        let name = self.host.names.intern(event.name);
        let call = if event.category == Category::Collective { self.take_call(event, name) } else { NO_CALL };
        let correlation = number_of_work(event);
        self.work.push(KeptWork { start, end, correlation, stream, name, category: event.category, call })
    }

    /// Keeps a call. Those of one family and number, or else of one place in the trace, are one on all ranks.
    fn take_call(&mut self, event: &Event<'_>, name: u32) -> u32 {
        let CallDescription { family, sequence } =
            CallDescription::of_event(event, self.host.names.name(name));
        let state = FastState::default();
        let same = (family.kind, &family.group, &family.members, family.pair, sequence);
        let family_key = state.hash_one(same);
        let count = self.seen.entry(family_key).or_default();
        *count += 1;
        let key = state.hash_one((family_key, *count));
        let number = u32::try_from(self.calls.len()).unwrap_or(NO_CALL);
        self.calls.push(PathCall { kind: family.kind, key, group_size: family.group_size });
        number
    }

    /// Takes a row about synchronization (`cuda_sync` of libkineto): which stream waits for an event of another.
    fn take_sync(&mut self, event: &Event<'_>) {
        let number = |name: &str| match find_argument(event.args, name)? {
            RawValue::Number(digits) => std::str::from_utf8(digits).ok()?.parse::<i64>().ok(),
            _ => None,
        };
        let device = number("device").or(event.device).unwrap_or(-1);
        let Some(correlation) = event.correlation else { return };
        let source = number("wait_on_stream").filter(|stream| *stream >= 0 && *stream < i64::from(u32::MAX));
        let own = number("stream").filter(|stream| *stream >= 0 && *stream < i64::from(u32::MAX));
        let recorded = number("wait_on_cuda_event_record_corr_id").filter(|number| *number >= 0);
        if let (b"Stream Wait Event", Some(stream), Some(source), Some(recorded)) =
            (event.name.raw, own, source, recorded)
        {
            let (stream, source) = (self.stream_of(device, stream), self.stream_of(device, source));
            self.waits.push(EventWait { stream, correlation, source, recorded });
        }
    }

    /// Takes a row of the task queue of torch_npu: the thread of an operator puts work there, another launches it.
    fn take_queue_row(&mut self, event: &Event<'_>, (start, end): (i64, i64)) -> io::Result<()> {
        let Some(correlation) = event.correlation else { return Ok(()) };
        let (rows, at) = match event.cat.raw {
            b"enqueue" => (&mut self.queued, end),
            b"dequeue" => (&mut self.taken, start),
            _ => return Ok(()),
        };
        rows.push(LaunchTime { correlation, at, thread: self.host.thread_of(event) })
    }

    fn take_mark(&mut self, event: &Event<'_>, (start, end): (i64, i64)) {
        if !self.step_names.may_mark(event) {
            return;
        }
        let (name, thread) = (self.host.names.intern(event.name), self.host.thread_of(event));
        let text = self.host.names.name(name);
        if text.starts_with("Optimizer.step#") {
            self.updates.push(Update { name, thread, start, end });
        }
        let by_name = self.step_names.mark_of_name(text);
        if let Some((kind, number)) = self.step_names.with_number(by_name, event.step_number) {
            self.marks.push(StepMark { kind, number, name, thread, start, end, partial: false });
        }
    }

    /// The rank; what it takes is taken from the budget of the job.
    ///
    /// # Errors
    /// [`BudgetSpent`]; a temporary file cannot be used.
    pub(crate) fn finish(self, rank: i64, budget: &mut PathBudget) -> anyhow::Result<PathRank> {
        let Self { memory, mut host, work, launches, queued, taken, .. } = self;
        let marked = Steps::from_marks(self.marks.clone());
        let steps = match marked.all() {
            [] => Steps::from_optimizer(self.updates, self.begin),
            _ => marked,
        };
        let mark_thread = steps.all().first().and_then(|step| {
            self.marks.iter().find(|m| m.start == step.start && m.end == step.end).map(|m| m.thread)
        });
        let most = budget.events_left();
        let mut linked: Vec<DeviceWork> = Vec::new();
        let mut too_many = false;
        launches.link(
            work,
            |w| (w.correlation, w.start),
            |w, origin| {
                too_many |= linked.len() >= most;
                if !too_many {
                    linked.push(w.link(origin));
                }
                Ok(())
            },
        )?;
        ensure!(!too_many, BudgetSpent);
        let ranges = std::mem::replace(&mut host.ranges, Spool::new(memory));
        let mut moments = Spool::new(memory);
        for (index, work) in (0_i64..).zip(&linked) {
            if let Some((thread, at)) = work.request {
                moments.push(HostMoment { thread, at, what: [index, 0] })?;
            }
        }
        let left = most.saturating_sub(linked.len());
        let mut stretches = Stretches::new(&host.names, &mut linked, left);
        sweep_host(ranges, moments, &mut stretches)?;
        let Stretches { labels, threads, backward, full, left, .. } = stretches;
        ensure!(!full, BudgetSpent);
        budget.spend(most - left);
        let mut handovers = BTreeMap::new();
        link_launches(
            taken,
            |t| t.correlation,
            queued,
            |taken, queued| {
                // Each is a stretch of its thread, which is counted.
                if let Some(queued) = queued.filter(|q| q.thread != taken.thread) {
                    handovers.insert((taken.thread, taken.at), (queued.thread, queued.at));
                }
                Ok(())
            },
        )?;
        linked.sort_by_key(|w| (w.start, w.end, w.correlation));
        let longest = threads.iter().max_by_key(|(_, list)| list.len()).map(|(thread, _)| *thread);
        Ok(PathRank {
            rank,
            names: host.names,
            labels,
            main: mark_thread.or(longest).unwrap_or(0),
            threads,
            backward,
            work: linked,
            waits: self.waits,
            calls: self.calls,
            handovers,
            streams: self.devices,
            steps,
        })
    }
}

/// Bytes that a stretch of a host or a piece of work takes with its node of the graph, what that waits for, and the orders in
/// which nodes are replayed. Measured: a generated Kineto trace of 4.8 MB, which has 16,000 to 22,000 of them, adds 3.6 MB
/// to the peak of a job of 20 ranks.
const BYTES_OF_EVENT: u64 = 256;

/// How many stretches and pieces of work of all ranks together fit into the memory of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathBudget {
    events: usize,
}

impl PathBudget {
    /// Of this much memory.
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        Self { events: usize::try_from(memory.bytes / BYTES_OF_EVENT).unwrap_or(usize::MAX) }
    }

    fn events_left(&self) -> usize {
        self.events
    }

    fn spend(&mut self, events: usize) {
        self.events = self.events.saturating_sub(events);
    }
}

/// A rank does not fit into what others have left of the memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BudgetSpent;

impl std::fmt::Display for BudgetSpent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("has more events than --max-memory allows for a critical path: cut it to some steps")
    }
}

impl std::error::Error for BudgetSpent {}

impl KeptWork {
    fn link(&self, origin: WorkOrigin) -> DeviceWork {
        let Self { start, end, correlation, stream, name, category, call } = *self;
        DeviceWork {
            start,
            end,
            correlation,
            stream,
            name,
            operator: None,
            category,
            call: (call != NO_CALL).then_some(call),
            launch: origin.launch.map(|l| (l.thread, l.at)),
            request: origin.request.map(|l| (l.thread, l.at)),
        }
    }
}

impl EventSink for PathSink {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if self.launches.take_arrow(event, |event| self.host.thread_of(event))? {
            return Ok(());
        }
        let Some((start, end)) = event.plausible_span() else { return Ok(()) };
        if event.category.is_on_device() {
            return Ok(self.take_work(event, (start, end))?);
        }
        if event.cat.raw == b"cuda_sync" {
            self.take_sync(event);
            return Ok(());
        }
        if !is_host_annotation(event.cat.raw) {
            return Ok(());
        }
        self.begin = self.begin.min(start);
        self.launches.take_call(event, start, |event| self.host.thread_of(event))?;
        self.take_queue_row(event, (start, end))?;
        self.take_mark(event, (start, end));
        Ok(self.host.take(event, (start, end), |_| true)?)
    }
}

/// Makes stretches of ranges.
struct Stretches<'a> {
    names: &'a NameTable,
    work: &'a mut [DeviceWork],
    labels: Vec<HostLabel>,
    numbers: FastMap<HostLabel, u32>,
    threads: BTreeMap<u32, Vec<HostStretch>>,
    backward: BTreeSet<u32>,
    current: u32,
    left: usize,
    full: bool,
}

/// Nothing is open.
const NOTHING: u32 = u32::MAX;

impl<'a> Stretches<'a> {
    fn new(names: &'a NameTable, work: &'a mut [DeviceWork], most: usize) -> Self {
        Self {
            names,
            work,
            labels: Vec::new(),
            numbers: FastMap::default(),
            threads: BTreeMap::new(),
            backward: BTreeSet::new(),
            current: 0,
            left: most,
            full: false,
        }
    }
}

impl StackVisitor<HostMoment> for Stretches<'_> {
    fn begin_thread(&mut self, thread: u32) -> u32 {
        self.current = thread;
        NOTHING
    }

    fn open(&mut self, range: &HostRange, parent: u32) -> u32 {
        let outer = self.labels.get(parent as usize).filter(|outer| outer.in_operator);
        let name = self.names.name(range.name);
        if range.kind == FrameKind::Operator && name.starts_with("autograd::engine::evaluate_function") {
            self.backward.insert(self.current);
        }
        let category = match range.kind {
            FrameKind::Step => Category::Step,
            FrameKind::Annotation => Category::Marker,
            FrameKind::Module | FrameKind::Python => Category::Python,
            FrameKind::Operator => Category::CpuOp,
            FrameKind::Call => Category::Runtime,
        };
        let label = HostLabel {
            name: match (range.kind, outer) {
                (FrameKind::Call, Some(outer)) => outer.name,
                _ => range.name,
            },
            in_operator: range.kind == FrameKind::Operator
                || range.kind == FrameKind::Call && outer.is_some(),
            kind: range.kind,
            work: HostWork::of_name(category, name),
        };
        let next = u32::try_from(self.labels.len()).unwrap_or(NOTHING);
        let number = *self.numbers.entry(label).or_insert(next);
        if number == next {
            self.labels.push(label);
        }
        number
    }

    fn own_time(&mut self, node: u32, from: i64, to: i64) {
        match self.left.checked_sub(1) {
            Some(left) => self.left = left,
            None => self.full = true,
        }
        if !self.full {
            self.threads.entry(self.current).or_default().push(HostStretch { from, to, label: node });
        }
    }

    fn moment(&mut self, moment: &HostMoment, node: u32) -> io::Result<()> {
        let label = self.labels.get(node as usize).filter(|label| label.in_operator);
        if let Some(work) = usize::try_from(moment.what[0]).ok().and_then(|i| self.work.get_mut(i)) {
            work.operator = label.map(|label| label.name);
        }
        Ok(())
    }
}

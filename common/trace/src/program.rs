//! The module, annotation and phase of the program that device time belongs to.
//!
//! Work belongs to the innermost range that was open on the launching thread at its launch. What an automatic backward pass
//! launches belongs to the module of the forward operator with the same sequence number.

use std::collections::BTreeMap;
use std::io;

use crate::model::{AutogradLink, Category, Event, FastMap, NameTable};
use crate::read::ArgumentFinder;
use crate::spool::{MemoryLimit, Spool, SpoolRecord};

pub use paths::PathTime;
use paths::{OUTSIDE, PathTable};

mod paths;

/// The range that encloses a launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum RangeKind {
    /// `nn.Module: Linear_3`.
    Module,
    /// A range that the user or the framework marked.
    Annotation,
    /// An operator of the backward pass, with the number of its forward operator.
    Backward,
    /// An operator with a sequence number.
    Forward,
}

const KINDS: [RangeKind; 4] =
    [RangeKind::Module, RangeKind::Annotation, RangeKind::Backward, RangeKind::Forward];

/// No sequence number.
const NO_SEQUENCE: i64 = -1;

/// A range on a thread of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProgramRange {
    thread: u32,
    start: i64,
    end: i64,
    kind: RangeKind,
    name: u32,
    sequence: i64,
    /// Once it is open: the modules and annotations around its inside.
    path: u32,
}

impl SpoolRecord<5> for ProgramRange {
    fn to_words(self) -> [i64; 5] {
        let ids = (u64::from(self.thread) << 32 | u64::from(self.name)) as i64;
        [ids, self.start, self.end, self.kind as i64, self.sequence]
    }

    fn from_words([ids, start, end, kind, sequence]: [i64; 5]) -> Self {
        let (thread, name) = ((ids as u64 >> 32) as u32, ids as u32);
        let kind = KINDS[kind as usize % KINDS.len()];
        Self { thread, start, end, kind, name, sequence, path: OUTSIDE }
    }
}

/// A launch of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct LaunchedWork {
    thread: u32,
    at: i64,
    time: i64,
    communicates: bool,
    /// Index of its step; [`NO_STEP`] if it is in none.
    step: u32,
}

/// No step: 30 bits of a word hold the index of a step.
const NO_STEP: u32 = (1 << 30) - 1;

impl SpoolRecord<3> for LaunchedWork {
    fn to_words(self) -> [i64; 3] {
        let flags = i64::from(self.thread) << 1 | i64::from(self.communicates);
        [i64::from(self.step & NO_STEP) << 33 | flags, self.at, self.time]
    }

    fn from_words([flags, at, time]: [i64; 3]) -> Self {
        let (thread, step) = ((flags >> 1) as u32, (flags >> 33) as u32 & NO_STEP);
        Self { thread, at, time, communicates: flags & 1 != 0, step }
    }
}

/// The name of a part of the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProgramPart {
    /// Forward, backward, optimizer and the like.
    Phase,
    /// An `nn.Module`.
    Module,
    /// A range that the program or its framework marked.
    Annotation,
}

impl ProgramPart {
    /// Parses the name in records.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Phase, Self::Module, Self::Annotation].into_iter().find(|part| part.name() == name)
    }

    /// The name in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Phase => "phase",
            Self::Module => "module",
            Self::Annotation => "annotation",
        }
    }
}

/// Device time of a part of the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PartTime {
    /// Work whose innermost part it is.
    pub own: i64,
    /// That, and work of what is within it.
    pub total: i64,
    /// Pieces of own work.
    pub count: u64,
}

/// Device time by part of the program and name; without a name, what belongs to none.
pub type PartTimes = BTreeMap<(ProgramPart, String), PartTime>;

/// The phase, module or annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PartName {
    /// A phase.
    Phase(&'static str),
    /// A range, by the caller's number of its name.
    Range(u32),
    /// None: work outside of all.
    None,
}

/// Work of one step, and the innermost phase, module or annotation that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepWork {
    /// The kind of part that divides.
    pub part: ProgramPart,
    /// Its name.
    pub name: PartName,
    /// Index of the step.
    pub step: u32,
    /// Nanoseconds on the device.
    pub time: i64,
    /// Pieces of work.
    pub count: u64,
}

/// The sums of the program of a rank.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramSums {
    /// Device time by part and name.
    pub times: PartTimes,
    /// Device time by path of ranges.
    pub paths: Vec<PathTime>,
}

/// The phases of a training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Communication,
    Optimizer,
    Data,
    Recompute,
    Backward,
    Forward,
    Other,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Communication => "communication",
            Self::Optimizer => "optimizer",
            Self::Data => "data",
            Self::Recompute => "recompute",
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::Other => "other",
        }
    }
}

/// Attributes the work of one rank.
struct Attribution<'a> {
    /// The name of a number.
    name_of: &'a dyn Fn(u32) -> String,
    /// Open ranges, the innermost last; some may have ended.
    open: Vec<ProgramRange>,
    /// The module and the path of each forward operator.
    forward: FastMap<i64, (Option<u32>, u32)>,
    /// Backward work without a module of its own, by sequence number, phase and step.
    waiting: BTreeMap<(i64, Phase, u32), (i64, u64)>,
    /// Gets what is of a step.
    each: &'a mut dyn FnMut(StepWork),
    paths: PathTable,
    path_times: BTreeMap<(Phase, u32), (i64, u64)>,
    modules: BTreeMap<Option<u32>, PartTime>,
    annotations: BTreeMap<Option<u32>, PartTime>,
    phases: BTreeMap<Phase, PartTime>,
    /// The phase of each name of an annotation.
    phases_of_names: FastMap<u32, Option<Phase>>,
}

impl<'a> Attribution<'a> {
    fn new(name_of: &'a dyn Fn(u32) -> String, each: &'a mut dyn FnMut(StepWork)) -> Self {
        Self {
            name_of,
            each,
            open: Vec::new(),
            forward: FastMap::default(),
            waiting: BTreeMap::new(),
            paths: PathTable::default(),
            path_times: BTreeMap::new(),
            modules: BTreeMap::new(),
            annotations: BTreeMap::new(),
            phases: BTreeMap::new(),
            phases_of_names: FastMap::default(),
        }
    }

    /// Goes through ranges and launches, thread by thread; `unlaunched` is the time of work without a launch, and its count,
    /// by step.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    fn run(
        mut self,
        ranges: Spool<ProgramRange, 5>,
        work: Spool<LaunchedWork, 3>,
        unlaunched: BTreeMap<u32, (i64, u64)>,
    ) -> io::Result<ProgramSums> {
        self.walk(ranges, work, |attribution, piece| attribution.take(piece))?;
        Ok(self.finish(unlaunched))
    }

    /// Calls `each` with every launch while the ranges around it are open.
    fn walk(
        &mut self,
        ranges: Spool<ProgramRange, 5>,
        work: Spool<LaunchedWork, 3>,
        mut each: impl FnMut(&mut Self, &LaunchedWork),
    ) -> io::Result<()> {
        let mut ranges = ranges.into_sorted(|r| (r.thread, r.start, std::cmp::Reverse(r.end), r.kind))?;
        let mut work = work.into_sorted(|w| (w.thread, w.at))?;
        let mut next = ranges.next_record()?;
        while let Some(piece) = work.next_record()? {
            while let Some(range) = next.filter(|r| (r.thread, r.start) <= (piece.thread, piece.at)) {
                self.open_range(range);
                next = ranges.next_record()?;
            }
            each(self, &piece);
        }
        while let Some(range) = next {
            self.open_range(range);
            next = ranges.next_record()?;
        }
        Ok(())
    }

    fn open_range(&mut self, mut range: ProgramRange) {
        while self.open.last().is_some_and(|last| last.thread != range.thread || last.end <= range.start) {
            self.open.pop();
        }
        let around = self.path_at(range.thread, range.start);
        if range.kind == RangeKind::Forward {
            // Of operators of one number, the first and outermost.
            let module = self.innermost(RangeKind::Module, range.thread, range.start).map(|r| r.name);
            self.forward.entry(range.sequence).or_insert((module, around));
            return;
        }
        range.path = match range.kind {
            RangeKind::Module | RangeKind::Annotation => self.paths.enter(around, range.name),
            RangeKind::Backward | RangeKind::Forward => around,
        };
        self.open.push(range);
    }

    /// The modules and annotations that are open on a thread.
    fn path_at(&self, thread: u32, at: i64) -> u32 {
        let open = self.open.iter().rev().find(|r| r.thread == thread && r.end > at);
        open.map_or(OUTSIDE, |range| range.path)
    }

    fn add_path(&mut self, phase: Phase, path: u32, (time, count): (i64, u64)) {
        let (sum, pieces) = self.path_times.entry((phase, path)).or_default();
        *sum = sum.saturating_add(time);
        *pieces += count;
    }

    fn innermost(&self, kind: RangeKind, thread: u32, at: i64) -> Option<&ProgramRange> {
        self.open.iter().rev().find(|r| r.kind == kind && r.thread == thread && r.end > at)
    }

    fn emit_part(&mut self, part: ProgramPart, name: PartName, step: u32, (time, count): (i64, u64)) {
        if step != NO_STEP {
            (self.each)(StepWork { part, name, step, time, count });
        }
    }

    fn add_phase(&mut self, phase: Phase, step: u32, (time, count): (i64, u64)) {
        add(&mut self.phases, phase, time, count);
        self.emit_part(ProgramPart::Phase, PartName::Phase(phase.name()), step, (time, count));
    }

    /// Adds work to the module or annotation that it belongs to.
    fn add_range(&mut self, part: ProgramPart, name: Option<u32>, step: u32, (time, count): (i64, u64)) {
        let times = if part == ProgramPart::Module { &mut self.modules } else { &mut self.annotations };
        add(times, name, time, count);
        self.emit_part(part, name.map_or(PartName::None, PartName::Range), step, (time, count));
    }

    fn take(&mut self, piece: &LaunchedWork) {
        let LaunchedWork { thread, at, time, step, .. } = *piece;
        let phase = self.phase_of(piece);
        self.add_phase(phase, step, (time, 1));
        let annotation = self.innermost(RangeKind::Annotation, thread, at).map(|r| r.name);
        self.add_range(ProgramPart::Annotation, annotation, step, (time, 1));
        self.add_enclosing(piece, RangeKind::Annotation, annotation);
        let module = self.innermost(RangeKind::Module, thread, at).map(|r| r.name);
        let sequence = self.innermost(RangeKind::Backward, thread, at).map(|r| r.sequence);
        match (module, sequence) {
            (None, Some(sequence)) if sequence != NO_SEQUENCE => {
                let (sum, count) = self.waiting.entry((sequence, phase, step)).or_default();
                *sum = sum.saturating_add(time);
                *count += 1;
            }
            _ => {
                self.add_path(phase, self.path_at(thread, at), (time, 1));
                self.add_range(ProgramPart::Module, module, step, (time, 1));
                self.add_enclosing(piece, RangeKind::Module, module);
            }
        }
    }

    /// Adds work to the ranges around its innermost.
    fn add_enclosing(&mut self, piece: &LaunchedWork, kind: RangeKind, innermost: Option<u32>) {
        let mut names: Vec<u32> = self
            .open
            .iter()
            .filter(|r| r.kind == kind && r.thread == piece.thread && r.end > piece.at)
            .map(|r| r.name)
            .filter(|name| Some(*name) != innermost)
            .collect();
        names.sort_unstable();
        names.dedup();
        let times = if kind == RangeKind::Module { &mut self.modules } else { &mut self.annotations };
        for name in names {
            let part = times.entry(Some(name)).or_default();
            part.total = part.total.saturating_add(piece.time);
        }
    }

    fn phase_of(&mut self, piece: &LaunchedWork) -> Phase {
        if piece.communicates {
            return Phase::Communication;
        }
        let mut seen_module = false;
        for i in (0..self.open.len()).rev() {
            let range = self.open[i];
            if range.thread != piece.thread || range.end <= piece.at {
                continue;
            }
            match range.kind {
                RangeKind::Module => seen_module = true,
                RangeKind::Backward if seen_module => return Phase::Recompute,
                RangeKind::Backward => return Phase::Backward,
                RangeKind::Annotation => {
                    let name_of = self.name_of;
                    let of_name = || phase_of_annotation(&name_of(range.name));
                    if let Some(phase) = *self.phases_of_names.entry(range.name).or_insert_with(of_name) {
                        return phase;
                    }
                }
                RangeKind::Forward => {}
            }
        }
        if seen_module { Phase::Forward } else { Phase::Other }
    }

    fn finish(mut self, unlaunched: BTreeMap<u32, (i64, u64)>) -> ProgramSums {
        for ((sequence, phase, step), sum) in std::mem::take(&mut self.waiting) {
            let (module, path) = self.forward.get(&sequence).copied().unwrap_or((None, OUTSIDE));
            self.add_range(ProgramPart::Module, module, step, sum);
            self.add_path(phase, path, sum);
        }
        for (step, sum) in unlaunched {
            self.add_range(ProgramPart::Module, None, step, sum);
            self.add_range(ProgramPart::Annotation, None, step, sum);
            self.add_phase(Phase::Other, step, sum);
            self.add_path(Phase::Other, OUTSIDE, sum);
        }
        let paths = self.path_times.iter().map(|(&(phase, path), &(time, count))| {
            let ranges = self.paths.names_of(path).into_iter().map(|name| (self.name_of)(name));
            PathTime { path: std::iter::once(phase.name().to_owned()).chain(ranges).collect(), time, count }
        });
        let paths = paths.collect();
        let mut out = PartTimes::new();
        for (part, times) in
            [(ProgramPart::Module, self.modules), (ProgramPart::Annotation, self.annotations)]
        {
            for (name, time) in times {
                out.insert((part, name.map(|name| (self.name_of)(name)).unwrap_or_default()), time);
            }
        }
        out.extend(
            self.phases.into_iter().map(|(p, time)| ((ProgramPart::Phase, p.name().to_owned()), time)),
        );
        ProgramSums { times: out, paths }
    }
}

fn add<K: Ord>(times: &mut BTreeMap<K, PartTime>, key: K, time: i64, count: u64) {
    let part = times.entry(key).or_default();
    part.own = part.own.saturating_add(time);
    part.total = part.total.saturating_add(time);
    part.count += count;
}

/// Recognizes a phase by the name of an annotation (PyTorch; Megatron-LM and most training loops use these words).
fn phase_of_annotation(name: &str) -> Option<Phase> {
    let lower = name.to_ascii_lowercase();
    const WORDS: [(&str, Phase); 5] = [
        ("optimizer", Phase::Optimizer),
        ("dataloader", Phase::Data),
        ("recompute", Phase::Recompute),
        ("backward", Phase::Backward),
        ("forward", Phase::Forward),
    ];
    WORDS.iter().find(|(word, _)| lower.contains(word)).map(|(_, phase)| *phase)
}

/// Recognizes an annotation that PyTorch makes by itself (`torch/optim/optimizer.py`, `torch/utils/data/dataloader.py`).
fn is_annotation_of_profiler(name: &str) -> bool {
    ["Optimizer.", "enumerate(DataLoader)#"].iter().any(|start| name.starts_with(start)) && name.contains('#')
}

/// The ranges and the work of one rank, while it is read.
#[derive(Debug)]
pub struct ProgramSpools {
    memory: MemoryLimit,
    ranges: Spool<ProgramRange, 5>,
    work: Spool<LaunchedWork, 3>,
    /// Time and number of pieces of work without a launch, by step.
    unlaunched: BTreeMap<u32, (i64, u64)>,
    /// Some range is a module.
    has_modules: bool,
    /// Finds the sequence number and the forward thread of operators.
    numbers: ArgumentFinder<2>,
}

impl ProgramSpools {
    /// Without any yet.
    pub fn new(memory: MemoryLimit) -> Self {
        let (ranges, work) = (Spool::new(memory), Spool::new(memory));
        let numbers = ArgumentFinder::new(["Sequence number", "Fwd thread id"]);
        Self { memory, ranges, work, unlaunched: BTreeMap::new(), has_modules: false, numbers }
    }

    /// Keeps an event of the host, if it is a range that may enclose launches. `thread` and `name` are numbers of the
    /// caller's, `text` is the name.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub fn take_range(
        &mut self,
        event: &Event<'_>,
        (thread, name): (u32, u32),
        text: &str,
        (start, end): (i64, i64),
    ) -> io::Result<()> {
        let (kind, sequence) = match event.category {
            Category::Python if text.starts_with("nn.Module: ") => (RangeKind::Module, NO_SEQUENCE),
            Category::Marker => (RangeKind::Annotation, NO_SEQUENCE),
            // The Ascend profiler writes the annotations of PyTorch among its operators.
            Category::CpuOp if is_annotation_of_profiler(text) => (RangeKind::Annotation, NO_SEQUENCE),
            Category::CpuOp => {
                let (sequence, forward_thread) = match event.autograd {
                    AutogradLink::Read { sequence, forward_thread } => (sequence, forward_thread),
                    AutogradLink::InArguments => self.numbers.find_numbers(event.args).into(),
                };
                let sequence = sequence.unwrap_or(NO_SEQUENCE);
                let is_backward = text.starts_with("autograd::engine::evaluate_function")
                    || forward_thread.is_some_and(|id| id > 0);
                match is_backward {
                    true => (RangeKind::Backward, sequence),
                    false if sequence > 0 => (RangeKind::Forward, sequence),
                    false => return Ok(()),
                }
            }
            _ => return Ok(()),
        };
        self.has_modules |= kind == RangeKind::Module;
        self.ranges.push(ProgramRange { thread, start, end, kind, name, sequence, path: OUTSIDE })
    }

    /// Adds work that lasted for a time, with the thread and the moment of its launch, if the trace has one, and the index
    /// of its step.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub fn add_work(
        &mut self,
        launch: Option<(u32, i64)>,
        step: Option<usize>,
        time: i64,
        communicates: bool,
    ) -> io::Result<()> {
        let step = step.and_then(|index| u32::try_from(index).ok()).map_or(NO_STEP, |step| step.min(NO_STEP));
        let Some((thread, at)) = launch else {
            let (sum, count) = self.unlaunched.entry(step).or_default();
            *sum = sum.saturating_add(time);
            *count += 1;
            return Ok(());
        };
        self.work.push(LaunchedWork { thread, at, time, communicates, step })
    }

    /// Adds a launch for [`Self::find_modules`].
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub fn add_launch(&mut self, correlation: i64, (thread, at): (u32, i64)) -> io::Result<()> {
        // What is asked of a launch is not how long its work lasted: its number is in that place.
        self.work.push(LaunchedWork { thread, at, time: correlation, communicates: false, step: NO_STEP })
    }

    /// The number of the name of the module that each launch belongs to, by correlation; launches that belong to none are
    /// left out. Of several launches of one number the first that has a module counts: the others repeat it in another layer.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub fn find_modules(&mut self) -> io::Result<FastMap<i64, u32>> {
        let Self { ranges, work, has_modules, .. } = std::mem::replace(self, Self::new(self.memory));
        if !has_modules {
            return Ok(FastMap::default());
        }
        let no_names = |_: u32| String::new();
        let mut ignore = |_: StepWork| ();
        let mut attribution = Attribution::new(&no_names, &mut ignore);
        let (mut found, mut waiting) = (FastMap::<i64, (i64, u32)>::default(), Vec::new());
        let keep = |found: &mut FastMap<i64, (i64, u32)>, correlation, at, module| {
            let first = found.entry(correlation).or_insert((at, module));
            if at < first.0 {
                *first = (at, module);
            }
        };
        attribution.walk(ranges, work, |attribution, piece| {
            let LaunchedWork { thread, at, time: correlation, .. } = *piece;
            if let Some(module) = attribution.innermost(RangeKind::Module, thread, at) {
                return keep(&mut found, correlation, at, module.name);
            }
            let backward = attribution.innermost(RangeKind::Backward, thread, at);
            if let Some(range) = backward.filter(|range| range.sequence != NO_SEQUENCE) {
                waiting.push((correlation, at, range.sequence));
            }
        })?;
        for (correlation, at, sequence) in waiting {
            if let Some((Some(module), _)) = attribution.forward.get(&sequence) {
                keep(&mut found, correlation, at, *module);
            }
        }
        Ok(found.into_iter().map(|(correlation, (_, module))| (correlation, module)).collect())
    }

    /// Says what part of the program each piece of work belongs to; `names` are those of the ranges. `each` gets the work of
    /// steps.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub fn attribute(
        &mut self,
        names: &NameTable,
        each: &mut dyn FnMut(StepWork),
    ) -> io::Result<ProgramSums> {
        let Self { ranges, work, unlaunched, .. } = std::mem::replace(self, Self::new(self.memory));
        Attribution::new(&|number| names.name(number).to_owned(), each).run(ranges, work, unlaunched)
    }
}

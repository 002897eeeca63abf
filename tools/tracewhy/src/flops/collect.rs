//! The operators of one rank with known work, and the kernels that they launch.

use std::collections::BTreeMap;
use std::io;

use trace::analysis::collect::CollectOptions;
use trace::launch::{LaunchSpools, LaunchTime, number_of_work};
use trace::model::{Category, Event, EventSink, FastMap};
use trace::spool::{MemoryLimit, Spool, SpoolRecord};
use trace::steps::{StepMark, StepNames, Steps};

use super::formula::{NumberType, OperatorWork, find_work, is_known};
use crate::part::host_stack::{FrameKind, HostMoment, HostRange, HostRanges, StackVisitor, sweep_host};

/// A kernel.
#[derive(Clone, Copy, Debug)]
struct KernelTime {
    start: i64,
    end: i64,
    correlation: i64,
    /// It computes with numbers of 19 bits, as its name says.
    tf32: bool,
}

impl SpoolRecord<4> for KernelTime {
    fn to_words(self) -> [i64; 4] {
        [self.start, self.end, self.correlation, self.tf32.into()]
    }

    fn from_words([start, end, correlation, tf32]: [i64; 4]) -> Self {
        Self { start, end, correlation, tf32: tf32 != 0 }
    }
}

/// Operators of one name, with inputs of the same shapes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OperatorTime {
    pub(crate) name: String,
    pub(crate) work: OperatorWork,
    /// Calls that launched kernels.
    pub(crate) calls: u64,
    /// Sum of the durations of those.
    pub(crate) time: i64,
}

/// The sums of the operators of one rank.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RankFlops {
    pub(crate) operators: Vec<OperatorTime>,
    /// Sum of the durations of all kernels.
    pub(crate) kernels: i64,
    /// Operations by type of number, of calls that began in a step, or of all where no steps are marked.
    pub(crate) by_number: BTreeMap<NumberType, f64>,
    /// Length of those steps together, or from the first work to the last.
    pub(crate) wall: i64,
    /// Device of most of the kernels.
    pub(crate) device: Option<i64>,
    /// Operators with shapes were there.
    pub(crate) has_shapes: bool,
}

/// Collects one rank.
pub(crate) struct FlopsSink {
    memory: MemoryLimit,
    host: HostRanges,
    step_names: StepNames,
    marks: Vec<StepMark>,
    launches: LaunchSpools,
    kernels: Spool<KernelTime, 4>,
    devices: BTreeMap<i64, u64>,
    /// Kinds of calls: name and arguments, by number.
    kinds: Vec<(u32, OperatorWork)>,
    numbers: FastMap<(u32, Vec<u8>), u32>,
    kind_bytes: u64,
    has_shapes: bool,
    extent: Option<(i64, i64)>,
}

impl FlopsSink {
    /// Without events yet.
    pub(crate) fn new(options: &CollectOptions) -> Self {
        let memory = options.memory;
        Self {
            memory,
            host: HostRanges::new(memory),
            step_names: options.steps.clone(),
            marks: Vec::new(),
            launches: LaunchSpools::new(memory),
            kernels: Spool::new(memory),
            devices: BTreeMap::new(),
            kinds: Vec::new(),
            numbers: FastMap::default(),
            kind_bytes: 0,
            has_shapes: false,
            extent: None,
        }
    }

    /// The number of a call's kind, from 1; 0 if its work is not known.
    fn kind_of(&mut self, event: &Event<'_>) -> u32 {
        self.has_shapes = self.has_shapes || contains(event.args, b"\"Input Dims\"");
        let recorded = contains(event.args, b"\"flops\"");
        if !recorded && !event.name.raw.starts_with(b"aten::") {
            return 0;
        }
        let name = self.host.names.intern(event.name);
        if !recorded && !is_known(self.host.names.name(name)) {
            return 0;
        }
        let text = self.host.names.name(name);
        let Some(work) = find_work(text, event.args) else { return 0 };
        let key = (name, format!("{} {} {:?}", work.shapes, work.flops, work.number).into_bytes());
        if let Some(&number) = self.numbers.get(&key) {
            return number;
        }
        // As many shapes as memory holds; more are not known.
        self.kind_bytes += 2 * key.1.len() as u64 + 256;
        if self.kind_bytes > self.memory.of_tables() {
            return 0;
        }
        self.kinds.push((name, work));
        let number = u32::try_from(self.kinds.len()).unwrap_or(0);
        self.numbers.insert(key, number);
        number
    }

    fn take_mark(&mut self, event: &Event<'_>, (start, end): (i64, i64)) {
        if !self.step_names.may_mark(event) {
            return;
        }
        let (name, thread) = (self.host.names.intern(event.name), self.host.thread_of(event));
        let by_name = self.step_names.mark_of_name(self.host.names.name(name));
        if let Some((kind, number)) = self.step_names.with_number(by_name, event.step_number) {
            self.marks.push(StepMark { kind, number, name, thread, start, end, partial: false });
        }
    }

    /// Returns the sums of the rank.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn finish(self) -> io::Result<RankFlops> {
        let Self { memory, mut host, launches, kernels, kinds, .. } = self;
        let steps = Steps::from_marks(self.marks);
        let ranges = std::mem::replace(&mut host.ranges, Spool::new(memory));
        let mut moments = Spool::new(memory);
        let mut all = 0_i64;
        launches.link(
            kernels,
            |k| (k.correlation, k.start),
            |kernel, origin| {
                let time = kernel.end - kernel.start;
                all = all.saturating_add(time);
                match origin.request {
                    Some(LaunchTime { at, thread, .. }) => {
                        moments.push(HostMoment { thread, at, what: [time, kernel.tf32.into()] })
                    }
                    None => Ok(()),
                }
            },
        )?;
        let mut adder = CallAdder { kinds: &kinds, steps: &steps, calls: Vec::new(), sums: BTreeMap::new() };
        sweep_host(ranges, moments, &mut adder)?;
        let (by_number, operators) = adder.finish();
        let length = |total: i64, step: &trace::steps::Step| total.saturating_add(step.end - step.start);
        let wall = match steps.all() {
            [] => self.extent.map_or(0, |(first, last)| last - first),
            all => all.iter().fold(0, length),
        };
        let named = |(kind, number, calls, time): (u32, NumberType, u64, i64)| {
            let (name, work) = kinds.get(kind as usize)?.clone();
            let work = OperatorWork { number, ..work };
            Some(OperatorTime { name: host.names.name(name).to_owned(), work, calls, time })
        };
        Ok(RankFlops {
            operators: operators.into_iter().filter_map(named).collect(),
            kernels: all,
            by_number,
            wall,
            device: self.devices.into_iter().max_by_key(|(_, count)| *count).map(|(device, _)| device),
            has_shapes: self.has_shapes,
        })
    }
}

/// Whether a kernel computes in TF32 if its numbers are of 32 bits: by the names of cuBLAS, and of CUTLASS, whose tensor cores
/// know no other (NVIDIA/cutlass `python/cutlass_library/gemm_operation.py`: `s1688gemm` in `cutlass_80_tensorop_…`).
fn may_use_tf32(name: &[u8]) -> bool {
    [b"tf32".as_slice(), b"tensorop", b"s1688"].iter().any(|part| contains(name, part))
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    !text.is_empty() && text.windows(part.len()).any(|window| window == part)
}

impl EventSink for FlopsSink {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if self.launches.take_arrow(event, |event| self.host.thread_of(event))? {
            return Ok(());
        }
        let Some((start, end)) = event.plausible_span() else { return Ok(()) };
        if event.category.is_on_device() {
            let (first, last) = self.extent.unwrap_or((start, end));
            self.extent = Some((first.min(start), last.max(end)));
            if event.category == Category::Kernel {
                *self.devices.entry(event.device.unwrap_or(0)).or_default() += 1;
                let correlation = number_of_work(event);
                let tf32 = may_use_tf32(event.name.raw);
                self.kernels.push(KernelTime { start, end, correlation, tf32 })?;
            }
            return Ok(());
        }
        if !trace::steps::is_host_annotation(event.cat.raw) {
            return Ok(());
        }
        self.launches.take_call(event, start, |event| self.host.thread_of(event))?;
        self.take_mark(event, (start, end));
        if event.category == Category::CpuOp {
            let kind = self.kind_of(event);
            let wants = |frame| kind > 0 && frame == FrameKind::Operator;
            self.host.take_with(event, (start, end), wants, |_| kind)?;
        }
        Ok(())
    }
}

/// One call of an operator.
struct OperatorCall {
    /// Index of its kind.
    kind: u32,
    start: i64,
    time: i64,
    tf32: bool,
    launches: u64,
}

/// Adds kernels to the outermost operator of known work. Nodes are numbers of calls, from 1.
struct CallAdder<'a> {
    kinds: &'a [(u32, OperatorWork)],
    steps: &'a Steps,
    /// Calls of the thread that are not added up yet.
    calls: Vec<OperatorCall>,
    /// Calls and time by kind and type of number, and how many of them began in a step.
    sums: BTreeMap<(u32, NumberType), (u64, i64, u64)>,
}

impl CallAdder<'_> {
    fn add_calls(&mut self) {
        for call in std::mem::take(&mut self.calls).into_iter().filter(|call| call.launches > 0) {
            let Some((_, work)) = self.kinds.get(call.kind as usize) else { continue };
            let number = match work.number {
                NumberType::F32 if call.tf32 => NumberType::Tf32,
                number => number,
            };
            let sum = self.sums.entry((call.kind, number)).or_default();
            sum.0 += 1;
            sum.1 = sum.1.saturating_add(call.time);
            sum.2 += u64::from(self.steps.all().is_empty() || self.steps.at(call.start).is_some());
        }
    }

    /// Operations by type of number, and calls and times by kind and type.
    #[allow(clippy::type_complexity, reason = "two lists that are destructured at once")]
    fn finish(mut self) -> (BTreeMap<NumberType, f64>, Vec<(u32, NumberType, u64, i64)>) {
        self.add_calls();
        let mut by_number: BTreeMap<NumberType, f64> = BTreeMap::new();
        for ((kind, number), (_, _, in_steps)) in &self.sums {
            if let Some((_, work)) = self.kinds.get(*kind as usize) {
                *by_number.entry(*number).or_default() += work.flops * *in_steps as f64;
            }
        }
        let list =
            self.sums.into_iter().map(|((kind, number), (calls, time, _))| (kind, number, calls, time));
        (by_number, list.collect())
    }
}

impl StackVisitor<HostMoment> for CallAdder<'_> {
    fn begin_thread(&mut self, _: u32) -> u32 {
        self.add_calls();
        0
    }

    fn open(&mut self, range: &HostRange, parent: u32) -> u32 {
        if parent != 0 {
            return parent;
        }
        let Some(kind) = range.detail.checked_sub(1) else { return 0 };
        self.calls.push(OperatorCall { kind, start: range.start, time: 0, tf32: false, launches: 0 });
        u32::try_from(self.calls.len()).unwrap_or(0)
    }

    fn own_time(&mut self, _: u32, _: i64, _: i64) {}

    fn moment(&mut self, moment: &HostMoment, node: u32) -> io::Result<()> {
        let call = (node as usize).checked_sub(1).and_then(|index| self.calls.get_mut(index));
        if let Some(call) = call {
            call.time = call.time.saturating_add(moment.what[0]);
            call.tf32 |= moment.what[1] != 0;
            call.launches += 1;
        }
        Ok(())
    }
}

//! The roles of processes and threads of a trace, and the meaning of rows that carry no category.
//!
//! Ascend, JAX, TensorFlow and the first profiler of PyTorch mark device work by the process and thread that it stands
//! in. Their names may come behind the rows, so rows are classified when the whole trace has been read: until then a
//! thread's number and a few [`RowTraits`] are all that need be kept of a row.

use super::{Category, Event, EventId, FastMap, KernelClass};

mod names;

pub(crate) use names::is_ascend_process;
pub use names::{decides_rows, is_lane_name, rank_in_text, split_merge_label, thread_decides_rows};
use names::{device_in_name, npu_of_label, role_of_name, role_of_text_id, thread_role, without_rank};

/// The role of a process, where the process decides and not the event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProcessRole {
    /// Nothing known.
    #[default]
    None,
    /// Ascend: tasks on a device.
    Hardware,
    /// Ascend: collective operations and their parts.
    Communication,
    /// Ascend: the exporter's own lanes: Computing, Communication, Communication(Not Overlapped), Free.
    Overlap,
    /// Ascend: driver and runtime calls.
    Cann,
    /// XLA, TensorFlow and old PyTorch: a device; its threads are streams, or have names that say more.
    Device,
    /// The host of such a trace.
    Host,
}

/// The content of a thread of a [`ProcessRole::Device`] (openxla/xla `xla/tsl/profiler/utils/xplane_schema.cc`, openxla/xprof
/// `docs/trace_viewer.md`: only streams of a GPU and `XLA Ops` of a TPU are measured).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ThreadRole {
    /// Not named.
    #[default]
    None,
    /// A stream of a device.
    Stream,
    /// The operations of a TPU, which nest.
    Operations,
    /// One span for each step.
    Steps,
    /// Derived from other rows: groups, names, counters.
    Derived,
}

/// The kind of an Ascend device task, by its `Task Type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TaskKind {
    /// None is given.
    #[default]
    None,
    /// Computation.
    Compute,
    /// A copy.
    Copy,
    /// Waits, records, and the parts of a collective.
    Other,
}

/// The meaning of the name of a row without category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum NameHint {
    /// Nothing in particular.
    #[default]
    None,
    /// An operation of HCCL, `hcom_…`.
    Hcom,
    /// Communication, by the table of collectives.
    Communication,
    /// A copy.
    Copy,
    /// A fill.
    Fill,
    /// Allocates or releases device memory.
    Allocation,
    /// A Python function of JAX's tracer, `$file.py:12 name`.
    Python,
}

/// The traits of a row without category that decide its meaning, besides its thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RowTraits {
    /// The kind of Ascend task.
    pub task: TaskKind,
    /// The meaning of its name.
    pub hint: NameHint,
}

impl RowTraits {
    /// The traits of an event, whose name is of this class.
    pub fn of_event(event: &Event<'_>, class: KernelClass) -> Self {
        Self { task: task_kind(event.task_type.raw, event.name.raw), hint: name_hint(event.name.raw, class) }
    }

    /// As one byte, for storage.
    pub fn to_byte(self) -> u8 {
        self.task as u8 | (self.hint as u8) << 4
    }

    /// The reverse of [`Self::to_byte`].
    pub fn from_byte(byte: u8) -> Self {
        const TASKS: [TaskKind; 4] = [TaskKind::None, TaskKind::Compute, TaskKind::Copy, TaskKind::Other];
        const HINTS: [NameHint; 7] = [
            NameHint::None,
            NameHint::Hcom,
            NameHint::Communication,
            NameHint::Copy,
            NameHint::Fill,
            NameHint::Allocation,
            NameHint::Python,
        ];
        Self {
            task: TASKS[usize::from(byte & 3)],
            hint: HINTS.get(usize::from(byte >> 4)).copied().unwrap_or_default(),
        }
    }
}

/// The kind of a device task by its `Task Type` (torch_npu 2.14 `trace_view.json`, Ascend/msprof `task_type` names). A
/// copy that the program asked for has the name `MEMCPY_ASYNC`, over PCIe or within the device; tasks that are named
/// `SDMA` are the parts of a collective, which stands in a process of its own.
fn task_kind(task_type: &[u8], name: &[u8]) -> TaskKind {
    const COMPUTE: [&[u8]; 7] = [b"KERNEL_", b"AI_", b"AIV", b"MIX_", b"FFTS_PLUS", b"DSA_SQE", b"DVPP"];
    const COPY: [&[u8]; 2] = [b"MEMCPY", b"PCIE_DMA"];
    if task_type.is_empty() {
        TaskKind::None
    } else if COMPUTE.iter().any(|p| task_type.starts_with(p)) {
        TaskKind::Compute
    } else if COPY.iter().any(|p| task_type.starts_with(p)) || starts_with_ignoring_case(name, b"memcpy") {
        TaskKind::Copy
    } else {
        TaskKind::Other
    }
}

/// Returns whether tasks of a kind compute, where nothing else decides.
pub(crate) fn is_compute_task(kind: &[u8]) -> bool {
    task_kind(kind, b"") == TaskKind::Compute
}

fn name_hint(name: &[u8], class: KernelClass) -> NameHint {
    if starts_with_ignoring_case(name, b"hcom_") {
        return NameHint::Hcom;
    }
    match class {
        KernelClass::Communication => return NameHint::Communication,
        KernelClass::Copy => return NameHint::Copy,
        KernelClass::Computation => {}
    }
    // xla/backends/profiler/gpu/cupti_collector.cc and rocm_collector.cc name copies and allocations like this.
    match name {
        [b'$', ..] => NameHint::Python,
        _ if starts_with_ignoring_case(name, b"memcpy")
            || starts_with_ignoring_case(name, b"hipmemcpy")
            || name.starts_with(b"CopyDeviceTo")
            || name.starts_with(b"CopyHostTo") =>
        {
            NameHint::Copy
        }
        _ if starts_with_ignoring_case(name, b"memset") => NameHint::Fill,
        _ if name.starts_with(b"MemoryAlloc") || name.starts_with(b"MemoryFree") => NameHint::Allocation,
        _ => NameHint::None,
    }
}

fn starts_with_ignoring_case(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|n| n.eq_ignore_ascii_case(prefix))
}

/// The meaning of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowMeaning {
    /// The normalized category.
    pub category: Category,
    /// The role of its process.
    pub role: ProcessRole,
    /// The device, for rows of one.
    pub device: Option<i64>,
    /// The stream, for rows of one.
    pub stream: Option<i64>,
    /// Rows of this thread nest: what is not within a smaller one counts for the larger.
    pub nests: bool,
    /// The process or thread decided, not the event.
    pub of_process: bool,
}

impl RowMeaning {
    /// Calls `take` with the event that has this category, device and stream: mostly it does already.
    #[inline]
    pub fn give_event<T>(&self, event: &Event<'_>, take: impl FnOnce(&Event<'_>) -> T) -> T {
        let is_same = (self.category, self.of_process) == (event.category, event.of_process)
            && self.device.is_none_or(|device| Some(device) == event.device)
            && self.stream.is_none_or(|stream| Some(stream) == event.stream);
        let changed;
        let event = if is_same {
            event
        } else {
            changed = self.apply_to(event);
            &changed
        };
        take(event)
    }

    /// The event with this category, device and stream.
    #[must_use]
    pub fn apply_to<'a>(&self, event: &Event<'a>) -> Event<'a> {
        Event {
            category: self.category,
            device: self.device.or(event.device),
            stream: self.stream.or(event.stream),
            of_process: self.of_process,
            ..*event
        }
    }
}

/// A process id that outlives its event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum IdKey {
    None,
    Number(i64),
    Text(Box<[u8]>),
}

impl From<EventId<'_>> for IdKey {
    fn from(id: EventId<'_>) -> Self {
        match id {
            EventId::None => Self::None,
            EventId::Number(n) => Self::Number(n),
            EventId::Text(t) => Self::Text(t.raw.into()),
        }
    }
}

#[derive(Debug)]
struct Process {
    id: IdKey,
    role: ProcessRole,
    device: Option<i64>,
    /// A `stream:N` of a TensorFlow device, which `stream:all` repeats.
    single_stream: bool,
    all_streams: bool,
    /// Some thread of it is a stream or holds operations.
    has_measured_threads: bool,
    /// A TPU: its `XLA Ops` are measured.
    tpu: bool,
    /// The rank that its name or label gives.
    named_rank: Option<i64>,
    /// The trace that it came from, by what `tracecv merge` put before its name.
    merged: Option<String>,
    /// Its name, if that says what it is for.
    name: Option<Box<str>>,
}

/// Device work that stands in one process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DevicePlane {
    /// The device.
    pub device: i64,
    name: Box<str>,
}

#[derive(Debug)]
struct Thread {
    process: u32,
    id: IdKey,
    role: ThreadRole,
    stream: Option<i64>,
}

/// The processes and threads of a trace, by number.
#[derive(Debug, Default)]
pub struct ProcessTable {
    processes: Vec<Process>,
    threads: Vec<Thread>,
    by_pid: FastMap<IdKey, u32>,
    by_ids: FastMap<(u32, IdKey), u32>,
    /// The threads of recent events, by a few bits of their ids.
    recent: Vec<((i64, i64), u32)>,
}

const RECENT: usize = 64;

impl ProcessTable {
    /// The number of an event's thread.
    #[inline]
    pub fn thread_of(&mut self, event: &Event<'_>) -> u32 {
        let (EventId::Number(pid), EventId::Number(tid)) = (event.pid, event.tid) else {
            return self.find_thread(event.pid, event.tid);
        };
        let slot = (pid ^ tid.wrapping_mul(0x9e37)) as usize % RECENT;
        if let Some((_, thread)) = self.recent.get(slot).filter(|(ids, _)| *ids == (pid, tid)) {
            return *thread;
        }
        let thread = self.find_thread(event.pid, event.tid);
        if self.recent.is_empty() {
            self.recent = vec![((i64::MIN, i64::MIN), 0); RECENT];
        }
        self.recent[slot] = ((pid, tid), thread);
        thread
    }

    fn find_thread(&mut self, pid: EventId<'_>, tid: EventId<'_>) -> u32 {
        let process = self.find_process(pid);
        let key = (process, IdKey::from(tid));
        if let Some(&thread) = self.by_ids.get(&key) {
            return thread;
        }
        let next = u32::try_from(self.threads.len()).unwrap_or(u32::MAX);
        let stream = match tid {
            EventId::Number(n) => Some(n),
            _ => None,
        };
        self.threads.push(Thread { process, id: key.1.clone(), role: ThreadRole::None, stream });
        self.by_ids.insert(key, next);
        next
    }

    fn find_process(&mut self, pid: EventId<'_>) -> u32 {
        let key = IdKey::from(pid);
        if let Some(&process) = self.by_pid.get(&key) {
            return process;
        }
        let next = u32::try_from(self.processes.len()).unwrap_or(u32::MAX);
        // torch.autograd.profiler before Kineto (pytorch 1.7 `torch/autograd/profiler.py`, `export_chrome_trace`)
        // numbers devices by the thread of this process.
        let role = match &key {
            IdKey::Text(t) => role_of_text_id(split_merge_label(&String::from_utf8_lossy(t)).1),
            _ => ProcessRole::None,
        };
        self.processes.push(Process {
            id: key.clone(),
            role,
            device: None,
            single_stream: false,
            all_streams: false,
            has_measured_threads: false,
            tpu: false,
            named_rank: None,
            merged: None,
            name: None,
        });
        self.by_pid.insert(key, next);
        next
    }

    /// The number of a process that has been seen.
    pub fn number_of(&self, pid: EventId<'_>) -> Option<u32> {
        self.by_pid.get(&IdKey::from(pid)).copied()
    }

    /// Learns from a metadata event; others are ignored.
    pub fn learn(&mut self, event: &Event<'_>) {
        if event.phase != b'M' {
            return;
        }
        match event.name.raw {
            b"process_name" => self.name_process(event.pid, &event.label.decode()),
            b"process_labels" => {
                let label = event.label.decode();
                let process = self.find_process(event.pid);
                let process = &mut self.processes[process as usize];
                process.device = npu_of_label(&label).or(process.device);
                process.named_rank = rank_in_text(&label).or(process.named_rank);
            }
            b"thread_name" => self.name_thread(event, &event.label.decode()),
            _ => {}
        }
    }

    fn name_process(&mut self, pid: EventId<'_>, name: &str) {
        let number = self.find_process(pid);
        let process = &mut self.processes[number as usize];
        process.named_rank = rank_in_text(name).or(process.named_rank);
        let (label, own_name) = split_merge_label(name);
        process.merged = label.map(str::to_owned).or(process.merged.take());
        let role = role_of_name(without_rank(own_name));
        if role == ProcessRole::None {
            return;
        }
        process.role = role;
        process.name = Some(name.into());
        if role == ProcessRole::Device {
            process.device = device_in_name(name);
            process.tpu = name.contains("TPU:");
            process.all_streams = name.contains("/stream:all");
            process.single_stream = name.contains("/stream:") && !process.all_streams;
        }
    }

    fn name_thread(&mut self, event: &Event<'_>, name: &str) {
        let number = self.find_thread(event.pid, event.tid);
        let thread = &mut self.threads[number as usize];
        let (role, stream) = thread_role(name);
        thread.role = role;
        thread.stream = stream.or(thread.stream);
        if matches!(role, ThreadRole::Stream | ThreadRole::Operations) {
            self.processes[thread.process as usize].has_measured_threads = true;
        }
    }

    /// How many threads there are.
    pub fn count_threads(&self) -> usize {
        self.threads.len()
    }

    /// How many processes there are.
    pub fn count_processes(&self) -> usize {
        self.processes.len()
    }

    /// Returns whether there is a process of an exporter of Ascend.
    pub(crate) fn has_ascend(&self) -> bool {
        let roles = [ProcessRole::Hardware, ProcessRole::Overlap, ProcessRole::Cann];
        self.processes.iter().any(|process| roles.contains(&process.role))
    }

    /// The process that a thread belongs to.
    pub fn process_of(&self, thread: u32) -> u32 {
        self.threads.get(thread as usize).map_or(0, |t| t.process)
    }

    /// The id of a process, as text.
    pub fn process_id(&self, process: u32) -> String {
        self.processes.get(process as usize).map_or(String::new(), |p| id_text(&p.id))
    }

    /// The id of a process if it is a text of the file.
    pub fn text_process_id(&self, process: u32) -> Option<String> {
        let process = self.processes.get(process as usize)?;
        matches!(process.id, IdKey::Text(_)).then(|| id_text(&process.id))
    }

    /// The rank that the name or label of a process gives.
    pub fn named_rank(&self, process: u32) -> Option<i64> {
        self.processes.get(process as usize)?.named_rank
    }

    /// The trace that a process came from, `rank 3` or `trace 1`, if `tracecv merge` put it before its name.
    pub fn merged_trace(&self, process: u32) -> Option<&str> {
        self.processes.get(process as usize)?.merged.as_deref()
    }

    /// The host that stands before the plane in the name of a process of XLA, such as `host1 /device:GPU:0`.
    pub fn named_host(&self, process: u32) -> Option<&str> {
        let name = self.processes.get(process as usize)?.name.as_deref()?;
        let (host, _) = ["/device:", "/host:"].iter().find_map(|plane| name.split_once(plane))?;
        let host = host.trim_end_matches([' ', ':']);
        (!host.is_empty() && !host.contains('/')).then_some(host)
    }

    /// The device work that a process holds, if profilers write one process of that name for each device.
    pub fn device_plane(&self, process: u32) -> Option<DevicePlane> {
        let process = self.processes.get(process as usize)?;
        let one = matches!(process.role, ProcessRole::Hardware | ProcessRole::Device);
        Some(DevicePlane { device: process.device.filter(|_| one)?, name: process.name.clone()? })
    }

    /// The stream of a thread, or its id.
    pub fn stream_name(&self, thread: u32) -> String {
        let Some(thread) = self.threads.get(thread as usize) else { return String::new() };
        thread.stream.map_or_else(|| id_text(&thread.id), |s| s.to_string())
    }

    /// Classifies a row without a clear category. Right only once the whole trace has been read.
    pub fn classify_row(&self, thread: u32, traits: RowTraits) -> RowMeaning {
        let Some(thread) = self.threads.get(thread as usize) else { return RowMeaning::default() };
        let process = &self.processes[thread.process as usize];
        let mut row = RowMeaning { role: process.role, of_process: true, ..RowMeaning::default() };
        row.category = match process.role {
            ProcessRole::Hardware => match traits.task {
                TaskKind::Compute => Category::Kernel,
                TaskKind::Copy => Category::Memcpy,
                TaskKind::None | TaskKind::Other => Category::Other,
            },
            // The parts of an operation (Notify_Wait, Memcpy, ...) stand in the same process: not counted again.
            ProcessRole::Communication if traits.hint == NameHint::Hcom => Category::Collective,
            ProcessRole::Overlap => Category::Marker,
            ProcessRole::Cann => Category::Api,
            ProcessRole::Device => self.classify_device_row(process, thread, traits),
            ProcessRole::Host if traits.hint == NameHint::Python => Category::Python,
            ProcessRole::Host if matches!(process.id, IdKey::Text(_)) => Category::CpuOp,
            ProcessRole::Communication | ProcessRole::Host | ProcessRole::None => Category::Other,
        };
        match process.role {
            ProcessRole::Hardware => (row.device, row.stream) = (process.device, thread.stream),
            ProcessRole::Communication | ProcessRole::Overlap => row.device = process.device,
            ProcessRole::Device => {
                row.nests = thread.role == ThreadRole::Operations;
                (row.device, row.stream) = match &process.id {
                    IdKey::Text(_) => (thread.stream, None),
                    _ => (process.device, thread.stream),
                };
            }
            ProcessRole::Cann | ProcessRole::Host | ProcessRole::None => {}
        }
        row
    }

    fn classify_device_row(&self, process: &Process, thread: &Thread, traits: RowTraits) -> Category {
        let measured = match thread.role {
            ThreadRole::Stream => true,
            ThreadRole::Operations => process.tpu,
            ThreadRole::Steps => return Category::Step,
            ThreadRole::Derived => false,
            ThreadRole::None => !process.has_measured_threads,
        };
        let repeated = process.single_stream && self.has_all_streams(process.device);
        if !measured || repeated || traits.hint == NameHint::Allocation {
            return Category::Marker;
        }
        match traits.hint {
            NameHint::Communication | NameHint::Hcom => Category::Collective,
            NameHint::Copy => Category::Memcpy,
            NameHint::Fill => Category::Memset,
            _ => Category::Kernel,
        }
    }

    /// TensorFlow 1 repeats the rows of each stream in `stream:all` (tensorflow `core/common_runtime/gpu/gpu_tracer.cc`,
    /// `core/platform/default/device_tracer.cc`).
    fn has_all_streams(&self, device: Option<i64>) -> bool {
        self.processes.iter().any(|p| p.all_streams && p.device == device)
    }
}

fn id_text(id: &IdKey) -> String {
    match id {
        IdKey::None => String::new(),
        IdKey::Number(n) => n.to_string(),
        IdKey::Text(t) => String::from_utf8_lossy(t).into_owned(),
    }
}

#[cfg(test)]
mod tests;

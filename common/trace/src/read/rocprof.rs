//! The JSON of rocprofv3 (ROCm/rocm-systems `projects/rocprofiler-sdk/source/lib/output/generateJSON.cpp`): one object,
//! with names first and records behind them. It is read from the beginning to the end; records are kept only if a program
//! has put their members in another order.

use std::fmt;
use std::io::{self, Read};
use std::rc::Rc;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::database::TimeCell;
use super::emit::{Emitter, plain, rejected};
use super::error::{InputPosition, ReadError, ReadFault, ReadStop};
use super::window::InputWindow;
use super::{ReadOptions, ReadOutcome};
use crate::model::{Category, Dialect, Event, EventId, EventSink, FastMap};

pub(super) const FIRST_DEVICE_PROCESS: i64 = 1 << 41;

/// The most that names may take in memory, in bytes.
const MOST_BYTES: usize = 512 * 1024 * 1024;

/// The most records that may wait for names that stand behind them.
const MOST_WAITING: usize = 1 << 20;

/// Recognizes the format by the name of its one member.
pub(super) fn recognize(head: &[u8]) -> bool {
    let inside = head.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    inside.is_some_and(|rest| rest.starts_with(b"\"rocprofiler-sdk-tool\""))
}

/// Reads a file.
pub(super) fn read(
    window: InputWindow,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Rocprof;
    let mut reader = RocprofReader { emit: Emitter::new(sink, options, out), stop: None, index: 0 };
    let mut source = WindowReader(window);
    let result = read_json(&mut source, Root(&mut reader));
    let (stop, bytes) = (reader.stop.take(), source.0.passed().bytes);
    out.bytes = bytes;
    match (stop, result) {
        (Some(stop), _) => Err(stop),
        (None, Err(e)) => Err(json_fault(&mut source.0, &e)),
        (None, Ok(())) => {
            out.complete = true;
            Ok(())
        }
    }
}

/// Reads a document, and nothing behind it.
pub(super) fn read_json<'de, S: DeserializeSeed<'de>>(
    source: impl Read,
    seed: S,
) -> serde_json::Result<S::Value> {
    let mut json = serde_json::Deserializer::from_reader(source);
    let value = seed.deserialize(&mut json)?;
    json.end()?;
    Ok(value)
}

/// The fault of a document that is not what it should be.
pub(super) fn json_fault(window: &mut InputWindow, e: &serde_json::Error) -> ReadStop {
    let fault = match window.fault.take() {
        Some(fault) => fault,
        None if e.is_eof() => ReadFault::Truncated("an object"),
        None => {
            let text = e.to_string();
            let what = text.split(" at line ").next().unwrap_or_default();
            ReadFault::Damaged(format!("the file is damaged: {what}"))
        }
    };
    let at =
        InputPosition { line: e.line() as u64, column: e.column() as u64, offset: window.passed().bytes };
    ReadError::new(at, fault).into()
}

/// The rest of an input, as a stream.
pub(super) struct WindowReader(pub(super) InputWindow);

impl Read for WindowReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.fill_to(1);
        let n = self.0.rest().len().min(buf.len());
        buf[..n].copy_from_slice(&self.0.rest()[..n]);
        self.0.consume(n);
        Ok(n)
    }
}

struct RocprofReader<'s> {
    emit: Emitter<'s>,
    /// Why the sink cannot go on, or the file is not one of rocprofv3.
    stop: Option<ReadStop>,
    /// The number of the process in the file.
    index: i64,
}

/// The head of a process before its records.
#[derive(Default)]
struct Names {
    pid: i64,
    /// GPUs by handle; processors are agents, too.
    agents: FastMap<u64, Option<i64>>,
    kinds: Vec<Kind>,
    kernels: FastMap<u64, String>,
    /// Texts of marks and ranges, by the number of their call.
    marks: FastMap<i64, String>,
    bytes: usize,
}

impl Names {
    fn take_strings(&mut self, strings: Strings) {
        self.kinds = strings.buffer_records;
        if let MarkTexts::List(texts) = strings.marker_api {
            self.marks = texts.into_iter().map(|text| (text.key, text.value)).collect();
        }
    }

    /// The name of a record without that of a kernel.
    fn name_of(&self, group: &str, record: &Record) -> Option<&str> {
        let mark = self.marks.get(&record.correlation_id.internal).filter(|_| group == "marker_api");
        let operation = || self.kinds.get(record.kind)?.operations.get(record.operation);
        mark.or_else(operation).map(String::as_str)
    }
}

#[derive(Default, Deserialize)]
struct Kind {
    #[serde(default)]
    operations: Vec<String>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    pid: i64,
    #[serde(default)]
    node: Node,
}

#[derive(Default, Deserialize)]
struct Node {
    #[serde(default)]
    hostname: String,
}

#[derive(Clone, Copy, Default, Deserialize)]
struct Handle {
    handle: u64,
}

#[derive(Deserialize)]
struct Agent {
    id: Handle,
    /// 1 is a processor, 2 a GPU.
    #[serde(rename = "type")]
    kind: u32,
    #[serde(default)]
    name: String,
    #[serde(default)]
    product_name: String,
    logical_node_type_id: Option<i64>,
    gpu_index: Option<i64>,
}

#[derive(Deserialize)]
struct Strings {
    #[serde(default)]
    buffer_records: Vec<Kind>,
    #[serde(default)]
    marker_api: MarkTexts,
}

/// A map as cereal writes it.
#[derive(Deserialize)]
#[serde(untagged)]
enum MarkTexts {
    List(Vec<MarkText>),
    Other(IgnoredAny),
}

impl Default for MarkTexts {
    fn default() -> Self {
        Self::List(Vec::new())
    }
}

#[derive(Deserialize)]
struct MarkText {
    key: i64,
    value: String,
}

#[derive(Deserialize)]
struct Symbol {
    kernel_id: u64,
    #[serde(default)]
    kernel_name: String,
    #[serde(default)]
    formatted_kernel_name: String,
    #[serde(default)]
    demangled_kernel_name: String,
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    kind: usize,
    #[serde(default)]
    operation: usize,
    #[serde(default)]
    thread_id: i64,
    #[serde(default)]
    correlation_id: Correlation,
    start_timestamp: i64,
    end_timestamp: i64,
    dispatch_info: Option<Dispatch>,
    stream_id: Option<Handle>,
    dst_agent_id: Option<Handle>,
    src_agent_id: Option<Handle>,
    bytes: Option<i64>,
}

#[derive(Default, Deserialize)]
struct Correlation {
    #[serde(default)]
    internal: i64,
}

#[derive(Deserialize)]
struct Dispatch {
    agent_id: Handle,
    queue_id: Option<Handle>,
    kernel_id: u64,
    workgroup_size: Option<Extent>,
    grid_size: Option<Extent>,
}

#[derive(Deserialize)]
struct Extent {
    x: i64,
    y: i64,
    z: i64,
}

impl RocprofReader<'_> {
    /// Reads the records of one kind as they come.
    fn send_record(&mut self, group: &str, names: &Names, record: Record) -> Result<(), ReadStop> {
        let number = record.correlation_id.internal;
        // Numbers are unique within a process only.
        let correlation = (number != 0).then(|| number.wrapping_add(self.index << 40));
        let gpu = |handle: Option<Handle>| names.agents.get(&handle?.handle).copied().flatten();
        let (start, end) = (record.start_timestamp, record.end_timestamp);
        let times = self.emit.check_span(TimeCell::of_nanos(start), TimeCell::of_nanos(end), (0, 0))?;
        let (mut device, mut stream) = (None, record.stream_id.map(|s| s.handle as i64));
        let name = match &record.dispatch_info {
            Some(dispatch) => names.kernels.get(&dispatch.kernel_id).map(String::as_str),
            None => names.name_of(group, &record),
        };
        self.emit.count_missing_names(u64::from(name.is_none()))?;
        let (cat, category) = match group {
            "kernel_dispatch" => ("kernel", Category::Other),
            "memory_copy" => ("gpu_memcpy", Category::Other),
            "hip_api" | "hsa_api" | "rccl_api" | "rocdecode_api" | "rocjpeg_api" => {
                (group, Category::Runtime)
            }
            "marker_api" => ("user_annotation", Category::Other),
            _ => (group, Category::Memory),
        };
        let args = &mut self.emit.args;
        if let Some(dispatch) = &record.dispatch_info {
            device = gpu(Some(dispatch.agent_id));
            stream = stream.or(dispatch.queue_id.map(|q| q.handle as i64));
            args.some_integer("queue", dispatch.queue_id.map(|q| q.handle as i64));
            for (key, extent) in [("workgroup", &dispatch.workgroup_size), ("grid", &dispatch.grid_size)] {
                if let Some(Extent { x, y, z }) = extent {
                    args.json(key.as_bytes(), &format!("[{x},{y},{z}]"));
                }
            }
        } else if cat == "gpu_memcpy" {
            device = gpu(record.dst_agent_id).or_else(|| gpu(record.src_agent_id));
            args.some_integer("bytes", record.bytes);
        }
        let on_device = matches!(cat, "kernel" | "gpu_memcpy");
        args.some_integer("device", device).some_integer("stream", stream.filter(|_| on_device));
        args.some_integer("correlation", correlation);
        let (pid, tid) = if on_device {
            (FIRST_DEVICE_PROCESS + device.unwrap_or(-1), stream.unwrap_or(0))
        } else {
            (names.pid, record.thread_id)
        };
        self.emit.send(Event {
            phase: b'X',
            category,
            cat: cat.into(),
            name: plain(name.unwrap_or("unknown").as_bytes()),
            pid: EventId::Number(pid),
            tid: EventId::Number(tid),
            start: times.start,
            dur: times.dur,
            untimed: times.untimed,
            device,
            stream: stream.filter(|_| on_device),
            correlation: correlation.filter(|_| cat != "user_annotation"),
            ..Event::default()
        })
    }

    fn name_agents(&mut self, agents: Vec<Agent>, names: &mut Names) -> Result<(), ReadStop> {
        for agent in agents {
            let is_gpu = agent.kind == 2;
            let gpu = agent.gpu_index.filter(|n| *n >= 0).or(agent.logical_node_type_id).filter(|_| is_gpu);
            names.agents.insert(agent.id.handle, gpu);
            if let Some(gpu) = gpu {
                let name = if agent.product_name.is_empty() { agent.name } else { agent.product_name };
                self.emit.out.meta.devices.insert(gpu, name);
                self.emit.name_process(FIRST_DEVICE_PROCESS + gpu, format!("GPU {gpu}").as_bytes())?;
            }
        }
        Ok(())
    }
}

/// An error that ends the document; the real one is kept by the reader.
fn stopped<E: serde::de::Error>(reader: &mut RocprofReader<'_>, stop: ReadStop) -> E {
    reader.stop = Some(stop);
    E::custom("stopped")
}

/// The object around everything.
struct Root<'r, 's>(&'r mut RocprofReader<'s>);

impl<'de> DeserializeSeed<'de> for Root<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Root<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the object of rocprofv3")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            if key == "rocprofiler-sdk-tool" {
                map.next_value_seed(Processes(self.0))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

/// The list of processes.
struct Processes<'r, 's>(&'r mut RocprofReader<'s>);

impl<'de> DeserializeSeed<'de> for Processes<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Processes<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of processes")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Process(self.0))?.is_some() {
            self.0.index += 1;
        }
        Ok(())
    }
}

/// One process: names, then records.
struct Process<'r, 's>(&'r mut RocprofReader<'s>);

impl<'de> DeserializeSeed<'de> for Process<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Process<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a process")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let (reader, mut names, mut waiting) = (self.0, Names::default(), Vec::new());
        let mut named = false;
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "metadata" => {
                    let metadata: Metadata = map.next_value()?;
                    names.pid = metadata.pid;
                    let host = Some(metadata.node.hostname).filter(|h| !h.is_empty());
                    reader.emit.out.meta.host = host.or(reader.emit.out.meta.host.take());
                }
                "agents" => {
                    let agents: Vec<Agent> = map.next_value()?;
                    if let Err(stop) = reader.name_agents(agents, &mut names) {
                        return Err(stopped(reader, stop));
                    }
                }
                "strings" => names.take_strings(map.next_value()?),
                "kernel_symbols" => {
                    map.next_value_seed(Symbols(&mut names))?;
                    named = true;
                }
                "buffer_records" => {
                    let waiting = (!named).then_some(&mut waiting);
                    map.next_value_seed(Groups { reader, names: &names, waiting })?;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        for (group, record) in waiting {
            if let Err(stop) = reader.send_record(&group, &names, record) {
                return Err(stopped(reader, stop));
            }
        }
        Ok(())
    }
}

/// The kernels by number.
struct Symbols<'n>(&'n mut Names);

impl<'de> DeserializeSeed<'de> for Symbols<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Symbols<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of kernels")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(symbol) = list.next_element::<Symbol>()? {
            let all = [symbol.formatted_kernel_name, symbol.demangled_kernel_name, symbol.kernel_name];
            let name = all.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
            self.0.bytes += name.len() + 64;
            if self.0.bytes > MOST_BYTES {
                return Err(serde::de::Error::custom("the names of its kernels need more than 512 MiB"));
            }
            self.0.kernels.insert(symbol.kernel_id, name);
        }
        Ok(())
    }
}

/// The records, a list for each group.
struct Groups<'r, 's, 'n> {
    reader: &'r mut RocprofReader<'s>,
    names: &'n Names,
    /// The records that wait, with their groups, if names stand behind them.
    waiting: Option<&'n mut Vec<(Rc<str>, Record)>>,
}

impl<'de> DeserializeSeed<'de> for Groups<'_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Groups<'_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("lists of records")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<String>()? {
            // Samples have other members; scratch memory is part of kernels.
            if key.starts_with("pc_sample") || key == "scratch_memory" {
                let records = map.next_value::<Vec<IgnoredAny>>()?;
                let unread = &mut self.reader.emit.out.unread_members;
                if !records.is_empty() && !unread.contains(&key) {
                    unread.push(key);
                }
            } else {
                map.next_value_seed(Records(&mut self, key.into()))?;
            }
        }
        Ok(())
    }
}

/// The records of one group.
struct Records<'g, 'r, 's, 'n>(&'g mut Groups<'r, 's, 'n>, Rc<str>);

impl<'de> DeserializeSeed<'de> for Records<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Records<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of records")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self(Groups { reader, names, waiting }, group) = self;
        while let Some(record) = list.next_element::<Record>()? {
            match waiting {
                Some(waiting) if waiting.len() < MOST_WAITING => waiting.push((group.clone(), record)),
                Some(_) => {
                    let what = "more than a million records stand before `kernel_symbols`, which names them";
                    return Err(stopped(reader, rejected(what)));
                }
                None => {
                    if let Err(stop) = reader.send_record(&group, names, record) {
                        return Err(stopped(reader, stop));
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

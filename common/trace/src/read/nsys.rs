//! SQLite exports of Nsight Systems (NVIDIA Nsight Systems Analysis Guide, "SQLite Schema Reference"). Tables and columns
//! are there only if there is something in them.

use super::database::{Database, TimeCell};
use super::emit::{Emitter, plain, rejected};
use super::error::ReadStop;
use super::string_table::StringTable;
use super::{ReadOptions, ReadOutcome};
use crate::model::{Category, Dialect, Event, EventId, EventSink, FastMap};

/// Rows of devices stand in processes of their own, with numbers that no process has.
const FIRST_DEVICE_PROCESS: i64 = 1 << 41;

/// Recognizes an export by its table of names.
pub(super) fn recognize(database: &Database) -> bool {
    let tables =
        ["META_DATA_EXPORT", "TARGET_INFO_SESSION_START_TIME", "NVTX_EVENTS", "CUPTI_ACTIVITY_KIND_RUNTIME"];
    database.has("StringIds") && tables.iter().any(|table| database.has(table))
}

/// Recognizes a profile of nvprof, whose tables have similar names.
pub(super) fn recognize_nvprof(database: &Database) -> bool {
    database.has("StringTable") && database.tables().any(|name| name.starts_with("cupti_activity_kind_"))
}

/// Rejects a profile of nvprof.
pub(super) fn reject_nvprof(
    _: &Database,
    _: &ReadOptions,
    _: &mut dyn EventSink,
    _: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    Err(rejected("is not a trace that is read: it is a database of nvprof (record it with Nsight Systems)"))
}

/// Reads an export.
pub(super) fn read(
    database: &Database,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Nsight;
    let strings = StringTable::load(database, "StringIds", "value")?;
    let mut emit = Emitter::new(sink, options, out).with_wanted_arguments();
    let tables = WORK.map(|work| work.table);
    emit.count_unused_tables(database.count_unused(&tables) + database.count_unused(&HOST_TABLES))?;
    let mut reader = NsightReader {
        database,
        strings,
        emit,
        processes: Vec::new(),
        gpus: FastMap::default(),
        named: Vec::new(),
        domains: FastMap::default(),
    };
    reader.read_metadata()?;
    reader.name_processes()?;
    reader.read_calls()?;
    reader.read_ranges()?;
    reader.read_work()?;
    reader.emit.count_missing_names(reader.strings.unknown())?;
    reader.emit.out.complete = true;
    Ok(())
}

struct NsightReader<'a> {
    database: &'a Database,
    strings: StringTable,
    emit: Emitter<'a>,
    /// Processes in the order in which they are met: numbers of calls are unique within one only.
    processes: Vec<i64>,
    /// The GPU for the number that a process gives it.
    gpus: FastMap<(i64, i64), i64>,
    /// Devices that have been named.
    named: Vec<i64>,
    /// Names of NVTX domains by process and number.
    domains: FastMap<(i64, i64), Vec<u8>>,
}

/// Process and thread of a packed id: bits 24 to 47, and 0 to 23.
fn split_id(global: i64) -> (i64, i64) {
    ((global >> 24) & 0xff_ffff, global & 0xff_ffff)
}

/// Tables of calls, ranges and names.
const HOST_TABLES: [&str; 3] = ["CUPTI_ACTIVITY_KIND_RUNTIME", "NVTX_EVENTS", "StringIds"];

/// A kind of work on a device.
struct WorkTable {
    table: &'static str,
    /// As libkineto spells it.
    cat: &'static str,
    /// The columns that name it: none, or a column of names.
    names: &'static [&'static str],
    numbers: &'static [(&'static str, &'static str)],
}

const WORK: [WorkTable; 5] = [
    WorkTable {
        table: "CUPTI_ACTIVITY_KIND_KERNEL",
        cat: "kernel",
        names: &["demangledName", "shortName"],
        numbers: &[
            ("gridX", "grid x"),
            ("gridY", "grid y"),
            ("gridZ", "grid z"),
            ("blockX", "block x"),
            ("blockY", "block y"),
            ("blockZ", "block z"),
            ("registersPerThread", "registers per thread"),
            ("staticSharedMemory", "static shared memory"),
            ("dynamicSharedMemory", "dynamic shared memory"),
        ],
    },
    WorkTable {
        table: "CUPTI_ACTIVITY_KIND_MEMCPY",
        cat: "gpu_memcpy",
        names: &[],
        numbers: &[("bytes", "bytes")],
    },
    WorkTable {
        table: "CUPTI_ACTIVITY_KIND_MEMSET",
        cat: "gpu_memset",
        names: &[],
        numbers: &[("bytes", "bytes")],
    },
    WorkTable {
        table: "CUPTI_ACTIVITY_KIND_GRAPH_TRACE",
        cat: "kernel",
        names: &[],
        numbers: &[("graphExecId", "graph exec id")],
    },
    WorkTable {
        table: "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION",
        cat: "cuda_sync",
        names: &[],
        numbers: &[("eventId", "event id")],
    },
];

/// Directions of copies (`ENUM_CUDA_MEMCPY_OPER`).
const COPIES: [&str; 14] = [
    "Memcpy",
    "Memcpy HtoD",
    "Memcpy DtoH",
    "Memcpy HtoA",
    "Memcpy AtoH",
    "Memcpy AtoA",
    "Memcpy AtoD",
    "Memcpy DtoA",
    "Memcpy DtoD",
    "Memcpy HtoH",
    "Memcpy PtoP",
    "Memcpy Unified HtoD",
    "Memcpy Unified DtoH",
    "Memcpy Unified DtoD",
];

/// The kinds of waits (`ENUM_CUPTI_SYNC_TYPE`).
const WAITS: [&str; 5] = ["Sync", "Event Sync", "Stream Wait Event", "Stream Sync", "Context Sync"];

impl NsightReader<'_> {
    fn read_metadata(&mut self) -> Result<(), ReadStop> {
        let (database, meta) = (self.database, &mut self.emit.out.meta);
        if database.has_column("TARGET_INFO_SESSION_START_TIME", "utcEpochNs") {
            database.each_row("SELECT utcEpochNs FROM TARGET_INFO_SESSION_START_TIME LIMIT 1", |row| {
                meta.base_ns = row.integer(0);
                Ok(())
            })?;
        }
        if database.has_column("META_DATA_EXPORT", "value") {
            let query = "SELECT name, value FROM META_DATA_EXPORT WHERE name IN \
                         ('EXPORT_PRODUCT_VERSION', 'EXPORT_SCHEMA_VERSION') LIMIT 4";
            database.each_row(query, |row| {
                let what = if row.text(0).ends_with(b"SCHEMA_VERSION") { "schema" } else { "Nsight Systems" };
                meta.hints.push(format!("{what} {}", String::from_utf8_lossy(row.text(1))));
                Ok(())
            })?;
        }
        if database.has_column("TARGET_INFO_GPU", "name") && database.has_column("TARGET_INFO_GPU", "id") {
            database.each_row("SELECT id, name FROM TARGET_INFO_GPU LIMIT 1024", |row| {
                if let Some(id) = row.integer(0) {
                    meta.devices.insert(id, String::from_utf8_lossy(row.text(1)).into_owned());
                }
                Ok(())
            })?;
        }
        let mut ranks = Vec::new();
        if database.has_column("MPI_RANKS", "rank") {
            database.each_row("SELECT DISTINCT rank FROM MPI_RANKS LIMIT 2", |row| {
                ranks.extend(row.integer(0));
                Ok(())
            })?;
        }
        if let [rank] = ranks[..] {
            meta.rank = Some(rank);
        }
        let columns = ["pid", "cudaId", "gpuId"];
        if columns.iter().all(|c| database.has_column("TARGET_INFO_CUDA_DEVICE", c)) {
            database.each_row(
                "SELECT pid, cudaId, gpuId FROM TARGET_INFO_CUDA_DEVICE LIMIT 65536",
                |row| {
                    if let (Some(pid), Some(cuda), Some(gpu)) =
                        (row.integer(0), row.integer(1), row.integer(2))
                    {
                        self.gpus.insert((pid & 0xff_ffff, cuda), gpu);
                    }
                    Ok(())
                },
            )?;
        }
        Ok(())
    }

    fn name_processes(&mut self) -> Result<(), ReadStop> {
        let database = self.database;
        if database.has_column("PROCESSES", "globalPid") && database.has_column("PROCESSES", "name") {
            database.each_row("SELECT globalPid, name FROM PROCESSES", |row| {
                let Some(id) = row.integer(0) else { return Ok(()) };
                self.emit.name_process(split_id(id).0, row.text(1))
            })?;
        }
        if database.has_column("ThreadNames", "nameId") && database.has_column("ThreadNames", "globalTid") {
            database.each_row("SELECT globalTid, nameId FROM ThreadNames", |row| {
                let (pid, tid) = split_id(row.integer(0).unwrap_or(0));
                let name = self.strings.get(row.integer(1).unwrap_or(-1));
                self.emit.name_thread(pid, tid, name)
            })?;
        }
        Ok(())
    }

    /// The number of a call, made unique over the processes of the file.
    fn correlation(&mut self, process: i64, number: Option<i64>) -> Option<i64> {
        const MOST: usize = 4096;
        let number = number.filter(|n| *n != 0)?;
        let known = self.processes.iter().position(|p| *p == process);
        let index = known.unwrap_or(self.processes.len());
        if known.is_none() && index < MOST {
            self.processes.push(process);
        }
        Some(number.wrapping_add((index as i64) << 40))
    }

    /// Calls on the host: CUDA's runtime and driver, the operating system, MPI.
    fn read_calls(&mut self) -> Result<(), ReadStop> {
        let tables = [
            ("CUPTI_ACTIVITY_KIND_RUNTIME", "cuda_runtime", "nameId"),
            ("OSRT_API", "os_runtime", "nameId"),
            ("CUDNN_EVENTS", "cudnn", "nameId"),
            ("CUBLAS_EVENTS", "cublas", "nameId"),
            ("MPI_COLLECTIVES_EVENTS", "mpi", "textId"),
            ("MPI_P2P_EVENTS", "mpi", "textId"),
            ("MPI_START_WAIT_EVENTS", "mpi", "textId"),
            ("MPI_OTHER_EVENTS", "mpi", "textId"),
        ];
        for (table, cat, name) in tables {
            if !(self.database.has_column(table, "start") && self.database.has_column(table, "globalTid")) {
                continue;
            }
            let wanted = ["start", "end", "globalTid", name, "eventClass", "correlationId", "size"];
            let query = format!("SELECT {} FROM \"{table}\" r", self.database.columns(table, "r", &wanted));
            self.database.each_row(&query, |row| {
                let times = self.emit.read_span(row, 0, 1)?;
                let (pid, tid) = split_id(row.integer(2).unwrap_or(0));
                let number = row.integer(5).filter(|_| cat == "cuda_runtime");
                let correlation = self.correlation(pid, number);
                if self.emit.args.are_wanted() {
                    self.emit.args.some_integer("correlation", number).some_integer("size", row.integer(6));
                }
                // Calls of the driver have a class of their own.
                let driver = cat == "cuda_runtime" && row.integer(4) == Some(1);
                self.emit.send(Event {
                    phase: b'X',
                    cat: if driver { "cuda_driver" } else { cat }.into(),
                    name: plain(without_version(self.strings.get(row.integer(3).unwrap_or(-1)))),
                    pid: EventId::Number(pid),
                    tid: EventId::Number(tid),
                    start: times.start,
                    dur: times.dur,
                    untimed: times.untimed,
                    correlation,
                    ..Event::default()
                })
            })?;
        }
        Ok(())
    }

    /// NVTX: ranges, marks, domains.
    fn read_ranges(&mut self) -> Result<(), ReadStop> {
        const DOMAIN: i64 = 75;
        let database = self.database;
        let has = |column| database.has_column("NVTX_EVENTS", column);
        if !(has("start") && has("eventType") && has("globalTid")) {
            return Ok(());
        }
        let wanted = ["start", "end", "eventType", "globalTid", "domainId", "textId", "text"];
        let columns = database.columns("NVTX_EVENTS", "n", &wanted);
        if has("domainId") {
            let query =
                format!("SELECT {columns} FROM NVTX_EVENTS n WHERE n.eventType = {DOMAIN} LIMIT 65536");
            database.each_row(&query, |row| {
                let (pid, _) = split_id(row.integer(3).unwrap_or(0));
                let name = range_text(row.text(6), &self.strings, row.integer(5)).to_vec();
                self.domains.insert((pid, row.integer(4).unwrap_or(0)), name);
                Ok(())
            })?;
        }
        let query = format!("SELECT {columns} FROM NVTX_EVENTS n WHERE n.eventType IN (34, 59, 60)");
        database.each_row(&query, |row| {
            let (pid, tid) = split_id(row.integer(3).unwrap_or(0));
            let phase = match (row.integer(2), row.time(1)) {
                (Some(34), _) => b'i',
                // Still open when recording ended.
                (_, TimeCell::Missing) => b'B',
                _ => b'X',
            };
            let times = match phase {
                b'X' => self.emit.read_span(row, 0, 1)?,
                _ => self.emit.read_start(row, 0)?,
            };
            let text = match row.text(6) {
                b"" => range_text(b"", &self.strings, row.integer(5)),
                text => text,
            };
            if self.emit.args.are_wanted() {
                if let Some(domain) = row.integer(4).and_then(|id| self.domains.get(&(pid, id))) {
                    self.emit.args.some_text("domain", domain);
                }
            }
            self.emit.send(Event {
                phase,
                cat: "user_annotation".into(),
                name: plain(text),
                pid: EventId::Number(pid),
                tid: EventId::Number(tid),
                start: times.start,
                dur: times.dur,
                untimed: times.untimed,
                ..Event::default()
            })
        })
    }

    /// Kernels, copies, fills, graphs and waits.
    fn read_work(&mut self) -> Result<(), ReadStop> {
        let mut graph_kernels = false;
        if self.database.has_column("CUPTI_ACTIVITY_KIND_KERNEL", "graphNodeId") {
            let query = "SELECT 1 FROM CUPTI_ACTIVITY_KIND_KERNEL WHERE graphNodeId > 0 LIMIT 1";
            self.database.each_row(query, |_| {
                graph_kernels = true;
                Ok(())
            })?;
        }
        for work in &WORK {
            if self.database.has_column(work.table, "start") {
                self.read_work_table(work, graph_kernels)?;
            }
        }
        Ok(())
    }

    fn read_work_table(&mut self, work: &WorkTable, graph_kernels: bool) -> Result<(), ReadStop> {
        let is_graph = work.table.ends_with("GRAPH_TRACE");
        if is_graph {
            let what =
                if graph_kernels { "their kernels count" } else { "kernels within them were not recorded" };
            self.emit.out.meta.hints.push(format!("launches of CUDA graphs; {what}"));
        }
        let mut wanted = vec![
            "start",
            "end",
            "deviceId",
            "streamId",
            "correlationId",
            // The older name stands in exports of 2019 and 2020.
            "globalPid|processId",
            "copyKind",
            "syncType",
            "graphId",
            "graphNodeId",
            work.names.first().copied().unwrap_or("start"),
            work.names.get(1).copied().unwrap_or("start"),
        ];
        let first_number = wanted.len();
        let with_arguments = self.emit.args.are_wanted();
        if with_arguments {
            wanted.extend(work.numbers.iter().map(|(column, _)| *column));
        }
        let query =
            format!("SELECT {} FROM \"{}\" k", self.database.columns(work.table, "k", &wanted), work.table);
        self.database.each_row(&query, |row| {
            let times = self.emit.read_span(row, 0, 1)?;
            let process = match (row.integer(5), &self.processes[..]) {
                (Some(id), _) => split_id(id).0,
                // No column says it, and only one process has made calls.
                (None, [process]) => *process,
                (None, _) => 0,
            };
            let own = row.integer(2).unwrap_or(0);
            let device = self.gpus.get(&(process, own)).copied().unwrap_or(own);
            let pid = self.name_device(device)?;
            let (stream, number) = (row.integer(3), row.integer(4));
            let correlation = self.correlation(process, number);
            let mut of_graph = Vec::new();
            let name: &[u8] = match work.cat {
                _ if is_graph => {
                    of_graph
                        .extend_from_slice(format!("CUDA graph {}", row.integer(8).unwrap_or(0)).as_bytes());
                    &of_graph
                }
                "kernel" => match self.strings.some(row.integer(10)) {
                    b"" => self.strings.get(row.integer(11).unwrap_or(-1)),
                    name => name,
                },
                "gpu_memcpy" => name_in(&COPIES, row.integer(6)),
                "cuda_sync" => name_in(&WAITS, row.integer(7)),
                _ => b"Memset",
            };
            if with_arguments {
                let args = &mut self.emit.args;
                args.integer("device", device).some_integer("stream", stream);
                args.some_integer("correlation", number).some_integer("graph node id", row.integer(9));
                for (i, (_, key)) in work.numbers.iter().enumerate() {
                    args.some_integer(key, row.integer(first_number + i));
                }
            }
            self.emit.send(Event {
                phase: b'X',
                // Of a graph whose kernels are there as well, the span counts for nothing.
                category: if is_graph && graph_kernels { Category::Marker } else { Category::Other },
                cat: work.cat.into(),
                name: plain(name),
                pid: EventId::Number(pid),
                tid: EventId::Number(stream.unwrap_or(0)),
                start: times.start,
                dur: times.dur,
                untimed: times.untimed,
                device: Some(device),
                stream,
                correlation,
                ..Event::default()
            })
        })
    }

    fn name_device(&mut self, device: i64) -> Result<i64, ReadStop> {
        const MOST: usize = 4096;
        let pid = FIRST_DEVICE_PROCESS.wrapping_add(device);
        if self.named.len() < MOST && !self.named.contains(&device) {
            self.named.push(device);
            let args = std::mem::take(&mut self.emit.args);
            self.emit.name_process(pid, format!("GPU {device}").as_bytes())?;
            self.emit.args = args;
        }
        Ok(pid)
    }
}

/// A range has its text by itself or by number.
fn range_text<'a>(text: &'a [u8], strings: &'a StringTable, id: Option<i64>) -> &'a [u8] {
    if text.is_empty() { id.map_or(b"", |id| strings.get(id)) } else { text }
}

fn name_in(names: &[&'static str], number: Option<i64>) -> &'static [u8] {
    let number = number.and_then(|n| usize::try_from(n).ok());
    number.and_then(|n| names.get(n)).unwrap_or(&names[0]).as_bytes()
}

/// `cudaLaunchKernel_v7000` is `cudaLaunchKernel`.
fn without_version(name: &[u8]) -> &[u8] {
    let digits = name.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    match name[..name.len() - digits].strip_suffix(b"_v") {
        Some(base) if digits > 0 => base,
        _ => name,
    }
}

#[cfg(test)]
mod tests;

//! The tables of Ascend's profilers, for MindStudio Insight and msprof-analyze (Ascend/msprof
//! `docs/en/user_guide/profile_data_file_references_db.md`; torch_npu `prof_common_func/_constant.py`).
//!
//! Work on devices are tasks; operators and Python functions are `PYTORCH_API`, calls of a runtime `CANN_API`, ranges
//! `MSTX_EVENTS`, steps `STEP_TIME`. Texts stand in `STRING_IDS` and are referred to by number.

use std::io::Write;

use rusqlite::params;
use trace::model::{Category, Event, EventId, EventSink, NameTable, TraceMeta};
use trace::read::{RawValue, find_argument, for_each_member, kineto};
use trace::rows::RawMembers;

use super::Database;
use crate::arguments::integer_argument;
use crate::losses::Losses;
use crate::write::TraceWriter;

const SCHEMA: &str = "
CREATE TABLE STRING_IDS (id INTEGER PRIMARY KEY, value TEXT);
CREATE TABLE META_DATA (name TEXT, value TEXT);
CREATE TABLE SESSION_TIME_INFO (startTimeNs INTEGER, endTimeNs INTEGER);
CREATE TABLE NPU_INFO (id INTEGER, name TEXT);
CREATE TABLE HOST_INFO (hostUid TEXT, hostName TEXT);
CREATE TABLE RANK_DEVICE_MAP (rankId INTEGER, deviceId INTEGER);
CREATE TABLE TASK (startNs INTEGER, endNs INTEGER, deviceId INTEGER, connectionId INTEGER, globalTaskId INTEGER,
  globalPid INTEGER, taskType INTEGER, contextId INTEGER, streamId INTEGER, taskId INTEGER, modelId INTEGER);
CREATE TABLE COMPUTE_TASK_INFO (name INTEGER, globalTaskId INTEGER PRIMARY KEY, blockNum INTEGER, mixBlockNum INTEGER,
  taskType INTEGER, opType INTEGER, inputFormats INTEGER, inputDataTypes INTEGER, inputShapes INTEGER,
  outputFormats INTEGER, outputDataTypes INTEGER, outputShapes INTEGER, attrInfo INTEGER, opState INTEGER,
  hf32Eligible INTEGER);
CREATE TABLE COMMUNICATION_OP (opName INTEGER, startNs INTEGER, endNs INTEGER, connectionId INTEGER, groupName INTEGER,
  opId INTEGER PRIMARY KEY, relay INTEGER, retry INTEGER, dataType INTEGER, algType INTEGER, count NUMERIC,
  opType INTEGER, deviceId INTEGER);
CREATE TABLE MEMCPY_INFO (globalTaskId INTEGER, size INTEGER, memcpyOperation INTEGER);
CREATE TABLE CANN_API (startNs INTEGER, endNs INTEGER, type INTEGER, globalTid INTEGER, connectionId INTEGER, name INTEGER);
CREATE TABLE PYTORCH_API (startNs INTEGER, endNs INTEGER, globalTid INTEGER, connectionId INTEGER, name INTEGER,
  sequenceNumber INTEGER, fwdThreadId INTEGER, inputDtypes INTEGER, inputShapes INTEGER, callchainId INTEGER, type INTEGER);
CREATE TABLE CONNECTION_IDS (id INTEGER, connectionId INTEGER);
CREATE TABLE STEP_TIME (id INTEGER, startNs INTEGER, endNs INTEGER);
CREATE TABLE MSTX_EVENTS (startNs INTEGER, endNs INTEGER, eventType INTEGER, rangeId INTEGER, category INTEGER,
  message INTEGER, globalTid INTEGER, endGlobalTid INTEGER, domainId INTEGER, connectionId INTEGER);
CREATE TABLE ENUM_API_TYPE (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE ENUM_MSTX_EVENT_TYPE (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE ENUM_HCCL_DATA_TYPE (id INTEGER PRIMARY KEY, name TEXT);
CREATE TABLE ENUM_MEMCPY_OPERATION (id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO META_DATA VALUES ('SCHEMA_VERSION','1.2.0'),('SCHEMA_VERSION_MAJOR','1'),('SCHEMA_VERSION_MINOR','2'),
  ('SCHEMA_VERSION_MICRO','0');
INSERT INTO ENUM_API_TYPE VALUES (5000,'runtime'),(5500,'communication'),(10000,'node'),(15000,'model'),(20000,'acl'),
  (50001,'op'),(50002,'queue'),(50003,'trace'),(50004,'mstx');
INSERT INTO ENUM_MSTX_EVENT_TYPE VALUES (0,'marker'),(1,'push/pop'),(2,'start/end'),(3,'marker_ex');
INSERT INTO ENUM_HCCL_DATA_TYPE VALUES (0,'INT8'),(1,'INT16'),(2,'INT32'),(3,'FP16'),(4,'FP32'),(5,'INT64'),(6,'UINT64'),
  (7,'UINT8'),(8,'UINT16'),(9,'UINT32'),(10,'FP64'),(11,'BFP16'),(65534,'N/A'),(65535,'INVALID_TYPE');
INSERT INTO ENUM_MEMCPY_OPERATION VALUES (0,'host to host'),(1,'host to device'),(2,'device to host'),
  (3,'device to device'),(65535,'other');
";

/// In the place of a number that does not apply.
const NOT_APPLICABLE: i64 = u32::MAX as i64;

/// Tables whose times are moved to the Unix epoch when that is known, with the names of their columns.
const TIMED_TABLES: [&str; 6] =
    ["TASK", "COMMUNICATION_OP", "CANN_API", "PYTORCH_API", "STEP_TIME", "MSTX_EVENTS"];

/// Writes one trace.
pub(crate) struct AscendWriter<'w> {
    to: &'w mut dyn Write,
    database: Database,
    strings: NameTable,
    tasks: i64,
    collectives: i64,
    ranges: i64,
    /// First and last moment.
    extent: Option<(i64, i64)>,
    devices: std::collections::BTreeSet<i64>,
    losses: Losses,
}

impl<'w> AscendWriter<'w> {
    pub(crate) fn new(to: &'w mut dyn Write) -> anyhow::Result<Self> {
        Ok(Self {
            to,
            database: Database::create(SCHEMA)?,
            strings: NameTable::default(),
            tasks: 0,
            collectives: 0,
            ranges: 0,
            extent: None,
            devices: std::collections::BTreeSet::new(),
            losses: Losses::default(),
        })
    }

    /// Counts the arguments that are in none of these columns.
    fn lose_arguments(&mut self, event: &Event<'_>, held: &[&str]) {
        let members = Event { text: event.args, args: b"", repaired: event.repaired, ..Event::default() };
        let mut lost = 0;
        for_each_member(&members, |name, _| {
            let name = name.unescape();
            lost += u64::from(!held.iter().any(|held| held.as_bytes() == &*name));
        });
        self.losses.add("arguments without a column", lost);
    }

    /// Process and thread of an event as one number, of a process whose id has `bits` bits of something else at its end.
    fn global_thread(&mut self, event: &Event<'_>, bits: u32) -> i64 {
        let [(pid, pid_fits), (tid, tid_fits)] = [number_of_id(event.pid, bits), number_of_id(event.tid, 0)];
        self.losses.add("ids that are no numbers of 32 bits", u64::from(!pid_fits || !tid_fits));
        pid << 32 | tid
    }

    fn string(&mut self, text: &str) -> i64 {
        i64::from(self.strings.intern(text.into()))
    }

    /// The text of an argument as a number of `STRING_IDS`; that of `N/A` if there is none.
    fn argument(&mut self, event: &Event<'_>, key: &str) -> i64 {
        match find_argument(event.args, key) {
            Some(RawValue::Text(text)) => self.string(&text.decode()),
            Some(RawValue::Number(raw) | RawValue::Nested(raw)) => self.string(&String::from_utf8_lossy(raw)),
            _ => self.string("N/A"),
        }
    }

    fn take_task(&mut self, event: &Event<'_>, (start, end): (i64, i64)) -> anyhow::Result<()> {
        let id = self.tasks;
        self.tasks += 1;
        let device = event.device.unwrap_or(0);
        self.losses
            .add("devices that are not known (0 is in their place)", u64::from(event.device.is_none()));
        self.lose_arguments(event, held_of_task(event.category));
        self.devices.insert(device);
        let kind = match event.category {
            Category::Memcpy => "MEMCPY_ASYNC",
            Category::Memset => "MEMSET",
            Category::Collective => "COMMUNICATION",
            _ if event.task_type.is_empty() => "KERNEL",
            _ => &event.task_type.decode(),
        };
        let kind = self.string(kind);
        let connection = event.correlation.unwrap_or(NOT_APPLICABLE);
        let pid = event.pid.as_number().unwrap_or(0);
        let stream = event.stream.unwrap_or(NOT_APPLICABLE);
        let mut insert = self
            .database
            .connection
            .prepare_cached("INSERT INTO TASK VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?8,?8)")?;
        insert.execute(params![start, end, device, connection, id, pid, kind, NOT_APPLICABLE, stream])?;
        drop(insert);
        let name = self.string(&event.name.decode());
        match event.category {
            Category::Collective => self.take_collective(event, name, device, connection, (start, end)),
            Category::Memcpy | Category::Memset => {
                let size = integer_argument(event, "bytes");
                let insert = "INSERT INTO MEMCPY_INFO VALUES (?1,?2,?3)";
                let operation = memcpy_operation(&event.name.decode());
                self.database.connection.prepare_cached(insert)?.execute(params![id, size, operation])?;
                // What has a row among the computations counts as one, and only those have names.
                self.losses.add("names of copies", 1);
                let fills = u64::from(event.category == Category::Memset);
                self.losses.add("fills of memory as work of a device (these tables have none)", fills);
                Ok(())
            }
            _ => self.take_compute(name, id, kind),
        }
    }

    fn take_compute(&mut self, name: i64, task: i64, kind: i64) -> anyhow::Result<()> {
        let missing = self.string("N/A");
        let insert = "INSERT INTO COMPUTE_TASK_INFO VALUES (?1,?2,?3,?3,?4,?5,?5,?5,?5,?5,?5,?5,?5,?5,?5)";
        let mut insert = self.database.connection.prepare_cached(insert)?;
        insert.execute(params![name, task, NOT_APPLICABLE, kind, missing])?;
        Ok(())
    }

    fn take_collective(
        &mut self,
        event: &Event<'_>,
        name: i64,
        device: i64,
        connection: i64,
        (start, end): (i64, i64),
    ) -> anyhow::Result<()> {
        let id = self.collectives;
        self.collectives += 1;
        let group = self.argument(event, "Process Group Name");
        let kind = self.argument(event, "Collective name");
        let missing = self.string("N/A");
        let count = integer_argument(event, "In msg nelems");
        let data_type = match find_argument(event.args, "dtype") {
            Some(RawValue::Text(text)) => data_type(&text.decode()),
            _ => 65534,
        };
        let insert = "INSERT INTO COMMUNICATION_OP VALUES (?1,?2,?3,?4,?5,?6,0,0,?7,?8,?9,?10,?11)";
        let mut insert = self.database.connection.prepare_cached(insert)?;
        insert.execute(params![
            name, start, end, connection, group, id, data_type, missing, count, kind, device
        ])?;
        Ok(())
    }

    fn take_operator(
        &mut self,
        event: &Event<'_>,
        (start, end): (i64, i64),
        kind: i64,
    ) -> anyhow::Result<()> {
        self.lose_arguments(event, &OPERATOR_ARGUMENTS);
        let thread = self.global_thread(event, 0);
        let name = self.string(&event.name.decode());
        let (types, shapes) = (self.argument(event, "Input type"), self.argument(event, "Input Dims"));
        let [sequence, forward] =
            ["Sequence number", "Fwd thread id"].map(|key| integer_argument(event, key));
        let insert = "INSERT INTO PYTORCH_API VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,NULL,?10)";
        let mut insert = self.database.connection.prepare_cached(insert)?;
        insert.execute(params![
            start,
            end,
            thread,
            event.external,
            name,
            sequence,
            forward,
            types,
            shapes,
            kind
        ])?;
        Ok(())
    }

    fn take_call(&mut self, event: &Event<'_>, (start, end): (i64, i64), kind: i64) -> anyhow::Result<()> {
        let full_name = event.name.decode();
        let (kind, name, thread) = match split_layer(&full_name) {
            // The process of a timeline has the layer in its number.
            Some((kind, name)) => (kind, name, self.global_thread(event, 10)),
            None => (kind, &*full_name, self.global_thread(event, 0)),
        };
        self.lose_arguments(event, &CALL_ARGUMENTS);
        let name = self.string(name);
        let connection = event.correlation.unwrap_or(NOT_APPLICABLE);
        let insert = "INSERT INTO CANN_API VALUES (?1,?2,?3,?4,?5,?6)";
        let mut insert = self.database.connection.prepare_cached(insert)?;
        insert.execute(params![start, end, kind, thread, connection, name])?;
        if let (Some(external), Some(correlation)) = (event.external, event.correlation) {
            let insert = "INSERT INTO CONNECTION_IDS VALUES (?1,?2)";
            self.database.connection.prepare_cached(insert)?.execute(params![external, correlation])?;
        }
        Ok(())
    }

    fn take_range(&mut self, event: &Event<'_>, (start, end): (i64, i64), kind: i64) -> anyhow::Result<()> {
        /// As msMonitor numbers them, so that they never meet the ids of calls.
        const FIRST_CONNECTION: i64 = 4_000_000_000;
        let (message, domain) = (self.string(&event.name.decode()), self.string(&event.cat.decode()));
        self.ranges += 1;
        self.lose_arguments(event, &[]);
        let thread = self.global_thread(event, 0);
        let insert = "INSERT INTO MSTX_EVENTS VALUES (?1,?2,?3,?4,?4,?5,?6,?6,?7,?8)";
        let mut insert = self.database.connection.prepare_cached(insert)?;
        let connection = FIRST_CONNECTION + self.ranges;
        insert.execute(params![start, end, kind, NOT_APPLICABLE, message, thread, domain, connection])?;
        Ok(())
    }

    fn take_step(&mut self, event: &Event<'_>, (start, end): (i64, i64)) -> anyhow::Result<()> {
        let number = kineto::step_number(event.name.raw).or(event.step_number);
        let insert = "INSERT INTO STEP_TIME VALUES (?1,?2,?3)";
        self.database.connection.prepare_cached(insert)?.execute(params![number, start, end])?;
        Ok(())
    }
}

impl EventSink for AscendWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if event.phase == b'M' {
            self.losses.add("names and order of processes and threads", 1);
            return Ok(());
        }
        self.losses.add("other members of events", u64::from(!RawMembers::of(event).other.is_empty()));
        let span = match (event.phase, event.start, event.span()) {
            (b'X', _, Some(span)) => span,
            (b'i' | b'I', Some(at), _) => (at, at),
            (b's' | b't' | b'f', ..) => {
                self.losses.add("flows (connectionId ties launches to tasks)", 1);
                return Ok(());
            }
            _ => {
                self.losses.add("events that are neither complete nor moments", 1);
                return Ok(());
            }
        };
        let (from, to) = self.extent.unwrap_or(span);
        self.extent = Some((from.min(span.0), to.max(span.1)));
        match (event.phase, event.category) {
            (b'X', category) if category.is_on_device() => self.take_task(event, span),
            (b'X', Category::Runtime) => self.take_call(event, span, 5000),
            // The task queue of the framework.
            (b'X', Category::Api) if matches!(event.cat.raw, b"enqueue" | b"dequeue") => {
                self.take_operator(event, span, 50002)
            }
            (b'X', Category::Api) => self.take_call(event, span, 20000),
            (b'X', Category::CpuOp) => self.take_operator(event, span, 50001),
            (b'X', Category::Python) => self.take_operator(event, span, 50003),
            (b'X', Category::Step) => {
                self.take_step(event, span)?;
                self.take_range(event, span, 2)
            }
            (b'X', _) => self.take_range(event, span, 2),
            _ => self.take_range(event, span, 0),
        }
    }
}

impl TraceWriter for AscendWriter<'_> {
    fn begin_trace(&mut self, _: &str) -> anyhow::Result<()> {
        Ok(())
    }

    fn takes_spans(&self) -> bool {
        true
    }

    fn note_unpaired(&mut self, count: u64) {
        self.losses.add("begins and ends without the other half", count);
    }

    fn end_trace(&mut self, meta: &TraceMeta) -> anyhow::Result<()> {
        let connection = &self.database.connection;
        let (from, to) = self.extent.unwrap_or_default();
        let base = meta.epoch_offset(from).unwrap_or(0);
        if base != 0 {
            for table in TIMED_TABLES {
                connection.execute(
                    &format!("UPDATE {table} SET startNs = startNs + ?1, endNs = endNs + ?1"),
                    [base],
                )?;
            }
        }
        let moments = params![from.saturating_add(base), to.saturating_add(base)];
        connection.execute("INSERT INTO SESSION_TIME_INFO VALUES (?1,?2)", moments)?;
        if let Some(host) = &meta.host {
            connection.execute("INSERT INTO HOST_INFO VALUES ('',?1)", [host])?;
        }
        for &device in &self.devices {
            let name = meta.devices.get(&device).map_or("UNKNOWN", String::as_str);
            connection.execute("INSERT INTO NPU_INFO VALUES (?1,?2)", params![device, name])?;
            let rank = meta.rank.unwrap_or(-1);
            connection.execute("INSERT INTO RANK_DEVICE_MAP VALUES (?1,?2)", params![rank, device])?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> anyhow::Result<Losses> {
        let mut insert = self.database.connection.prepare("INSERT INTO STRING_IDS VALUES (?1,?2)")?;
        for number in 0..self.strings.count_names() {
            insert.execute(params![number, self.strings.name(number)])?;
        }
        drop(insert);
        self.database.finish(self.to)?;
        Ok(self.losses)
    }
}

/// The id of a process or thread in 32 bits, without `bits` bits of something else at its end, and whether it is one: a text
/// gets a number of its own (FNV-1a).
fn number_of_id(id: EventId<'_>, bits: u32) -> (i64, bool) {
    match id {
        EventId::None => (0, true),
        EventId::Number(n) => ((n >> bits) & NOT_APPLICABLE, (0..=NOT_APPLICABLE).contains(&(n >> bits))),
        EventId::Text(text) => {
            let hash = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
            (i64::from(text.decode().bytes().fold(0x811c_9dc5, hash) >> 1), false)
        }
    }
}

/// The arguments that columns hold, of operators and of calls.
const OPERATOR_ARGUMENTS: [&str; 5] =
    ["External id", "Input type", "Input Dims", "Sequence number", "Fwd thread id"];
const CALL_ARGUMENTS: [&str; 4] = ["External id", "correlation", "correlation_id", "connection_id"];

/// Those of work on a device.
fn held_of_task(category: Category) -> &'static [&'static str] {
    const TASK: [&str; 11] = [
        "device",
        "stream",
        "correlation",
        "External id",
        "Task Type",
        "connection_id",
        "bytes",
        "Process Group Name",
        "Collective name",
        "In msg nelems",
        "dtype",
    ];
    match category {
        Category::Collective => &TASK,
        Category::Memcpy | Category::Memset => &TASK[..7],
        _ => &TASK[..6],
    }
}

/// The layer (`ENUM_API_TYPE`) that a timeline writes before the name of a call, and the name.
fn split_layer(name: &str) -> Option<(i64, &str)> {
    let (layer, call) = name.split_once('@')?;
    let kind = match layer {
        "AscendCL" => 20000,
        "Model" => 15000,
        "Node" => 10000,
        "Communication" | "HCCL" => 5500,
        "Runtime" => 5000,
        _ => return None,
    };
    Some((kind, call))
}

/// The kind of a copy by its name, `Memcpy HtoD (Pageable -> Device)`.
fn memcpy_operation(name: &str) -> i64 {
    const OPERATIONS: [(&str, i64); 4] = [("HtoH", 0), ("HtoD", 1), ("DtoH", 2), ("DtoD", 3)];
    OPERATIONS.iter().find(|(kind, _)| name.contains(kind)).map_or(65535, |(_, id)| *id)
}

/// The number of a type of PyTorch's (c10/core/ScalarType.h) among those of HCCL.
fn data_type(name: &str) -> i64 {
    match name {
        "Char" => 0,
        "Short" => 1,
        "Int" => 2,
        "Half" => 3,
        "Float" => 4,
        "Long" => 5,
        "Byte" | "Bool" => 7,
        "Double" => 10,
        "BFloat16" => 11,
        _ => 65534,
    }
}

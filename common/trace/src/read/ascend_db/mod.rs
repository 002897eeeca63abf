//! The databases of Ascend: `ascend_pytorch_profiler*.db`, `ascend_mindspore_profiler*.db`, `msprof_*.db` and the ones of
//! msMonitor (torch_npu 2.14 `profiler/analysis/prof_common_func/_constant.py`, Ascend/msprof
//! `docs/en/user_guide/profile_data_file_references_db.md`, Ascend/msmonitor `plugin/ipc_monitor/db`).
//!
//! A recording gives the same events as its `trace_view.json`: the same processes by name, the same categories and names.
//! The rule for computation follows the exporter's own sums: a task with a row in `COMPUTE_TASK_INFO`.

mod connections;
mod counters;
mod device;
mod host;
mod lanes;
mod parts;
#[cfg(test)]
mod tests;

use connections::Connections;
use lanes::LanePieces;
use parts::Parts;

use super::ascend::{AscendLayer as Layer, layer_process};
use super::database::Database;
use super::emit::{Emitter, rejected};
use super::error::{InputPosition, ReadError, ReadFault, ReadStop};
use super::string_table::{NO_NUMBER, StringTable};
use super::{ReadOptions, ReadOutcome};
use crate::model::{Dialect, EventSink, TraceMeta};

/// The tables that hold events; one of them is enough.
const EVENT_TABLES: [&str; 5] = ["TASK", "COMMUNICATION_OP", "CANN_API", "PYTORCH_API", "MSTX_EVENTS"];

/// Tables that say more about events.
const OTHER_TABLES: [&str; 5] =
    ["COMPUTE_TASK_INFO", "MEMCPY_INFO", "CONNECTION_IDS", "STEP_TIME", "COMMUNICATION_TASK_INFO"];

/// The most devices of a file: a machine has 16.
const MOST_DEVICES: i64 = 4096;

/// Recognizes a database of Ascend by its tables.
pub(super) fn recognize(database: &Database) -> bool {
    let has_events = EVENT_TABLES.iter().any(|table| database.has_column(table, "startNs"));
    has_events && (database.has("STRING_IDS") || database.has("META_DATA") || database.has("TASK"))
}

/// Recognizes the databases with sums and no events: `analysis.db`, `communication_analyzer.db`, `cluster_analysis.db`.
pub(super) fn recognize_sums(database: &Database) -> bool {
    let tables = ["StepTraceTime", "CommAnalyzerTime", "CommAnalyzerBandwidth", "ClusterStepTraceTime"];
    tables.iter().any(|table| database.has(table))
}

/// Rejects a database with sums.
pub(super) fn reject_sums(
    _: &Database,
    _: &ReadOptions,
    _: &mut dyn EventSink,
    _: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    Err(rejected(
        "is not a trace: it is a database of Ascend's analysis, with sums and no events \
         (the events are in ascend_pytorch_profiler*.db beside it)",
    ))
}

/// Reads a database with events.
pub(super) fn read(
    database: &Database,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Ascend;
    read_metadata(database, &mut out.meta)?;
    let strings = StringTable::load(database, "STRING_IDS", "value")?;
    let mut emit = Emitter::new(sink, options, out).with_wanted_arguments();
    emit.names_are_utf8 = strings.is_utf8();
    emit.count_unused_tables(database.count_unused(&EVENT_TABLES) + database.count_unused(&OTHER_TABLES))?;
    let mut reader = AscendReader {
        database,
        strings,
        emit,
        host: None,
        devices: Vec::new(),
        connections: Connections::default(),
        parts: Parts::default(),
        pieces: LanePieces::default(),
    };
    reader.host = reader.find_host()?;
    reader.devices = reader.list_devices()?;
    reader.name_devices()?;
    reader.load_connections()?;
    reader.load_parts()?;
    reader.read_calls()?;
    reader.read_operators()?;
    reader.read_marks()?;
    reader.read_tasks()?;
    reader.read_collectives()?;
    reader.derive_lanes()?;
    reader.read_counters()?;
    if reader.strings.is_missing() {
        let why =
            "the database has no STRING_IDS, so its names are unknown: it was copied while it was written";
        return Err(ReadError::new(InputPosition::default(), ReadFault::Damaged(why.to_owned())).into());
    }
    reader.emit.count_missing_names(reader.strings.unknown())?;
    reader.emit.out.complete = true;
    Ok(())
}

struct AscendReader<'a> {
    database: &'a Database,
    strings: StringTable,
    emit: Emitter<'a>,
    /// The process that was profiled, if the file says.
    host: Option<i64>,
    devices: Vec<i64>,
    connections: Connections,
    parts: Parts,
    /// What the lanes of devices are derived from.
    pieces: LanePieces,
}

impl AscendReader<'_> {
    /// The process of the rows of a device.
    fn layer_pid(&self, layer: Layer, device: i64) -> i64 {
        layer_process(self.host.unwrap_or(0), layer, device)
    }

    /// The process of the calls on the host, which all say who it was.
    fn find_host(&self) -> Result<Option<i64>, ReadStop> {
        for (table, column, shift) in [
            ("PYTORCH_API", "globalTid", 32),
            ("CANN_API", "globalTid", 32),
            ("MSTX_EVENTS", "globalTid", 32),
            ("TASK", "globalPid", 0),
        ] {
            let mut found = None;
            if self.database.has_column(table, column) {
                let query = format!("SELECT \"{column}\" FROM \"{table}\" WHERE \"{column}\" > 0 LIMIT 1");
                self.database.each_row(&query, |row| {
                    found = row.integer(0).map(|n| n >> shift);
                    Ok(())
                })?;
            }
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn list_devices(&self) -> Result<Vec<i64>, ReadStop> {
        let mut devices = Vec::new();
        for table in ["TASK", "COMMUNICATION_OP"] {
            if self.database.has_column(table, "deviceId") {
                let query = format!("SELECT DISTINCT deviceId FROM \"{table}\" LIMIT {MOST_DEVICES}");
                self.database.each_row(&query, |row| {
                    devices.extend(row.integer(0).filter(|d| (0..MOST_DEVICES).contains(d)));
                    Ok(())
                })?;
            }
        }
        devices.sort_unstable();
        devices.dedup();
        Ok(devices)
    }

    fn name_devices(&mut self) -> Result<(), ReadStop> {
        for device in self.devices.clone() {
            let layers = [(Layer::Hardware, "Ascend Hardware"), (Layer::Communication, "Communication")];
            for (layer, name) in layers {
                let pid = self.layer_pid(layer, device);
                self.emit.name_process(pid, name.as_bytes())?;
                self.emit.label_process(pid, format!("NPU {device}").as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Reads the metadata of the file.
fn read_metadata(database: &Database, meta: &mut TraceMeta) -> Result<(), ReadStop> {
    const MOST: usize = 1024;
    let mut ranks = Vec::new();
    if database.has_column("RANK_DEVICE_MAP", "rankId") {
        database.each_row("SELECT DISTINCT rankId FROM RANK_DEVICE_MAP LIMIT 2", |row| {
            ranks.extend(row.integer(0).filter(|rank| *rank >= 0));
            Ok(())
        })?;
    }
    if let [rank] = ranks[..] {
        meta.rank = Some(rank);
    }
    if database.has_column("NPU_INFO", "name") && database.has_column("NPU_INFO", "id") {
        database.each_row(&format!("SELECT id, name FROM NPU_INFO LIMIT {MOST}"), |row| {
            if let Some(id) = row.integer(0).filter(|id| *id >= 0) {
                let name = String::from_utf8_lossy(row.text(1));
                meta.devices.insert(id, if name == "UNKNOWN" { String::new() } else { name.into_owned() });
            }
            Ok(())
        })?;
    }
    if database.has_column("HOST_INFO", "hostName") {
        database.each_row("SELECT hostName FROM HOST_INFO LIMIT 1", |row| {
            meta.host = Some(String::from_utf8_lossy(row.text(0)).into_owned()).filter(|h| !h.is_empty());
            Ok(())
        })?;
    }
    read_settings(database, meta)
}

/// Named values: the version of the schema, the place of the process in its job.
fn read_settings(database: &Database, meta: &mut TraceMeta) -> Result<(), ReadStop> {
    if !(database.has_column("META_DATA", "name") && database.has_column("META_DATA", "value")) {
        return Ok(());
    }
    let (mut args, mut groups) = (None, None);
    let query = "SELECT name, value FROM META_DATA \
                 WHERE name IN ('SCHEMA_VERSION', 'distributed_args', 'parallel_group_info') LIMIT 8";
    database.each_row(query, |row| {
        let value = || serde_json::from_slice::<serde_json::Value>(row.text(1)).ok();
        match row.text(0) {
            b"distributed_args" => args = value(),
            b"parallel_group_info" => groups = value(),
            _ => meta.hints.push(format!("database schema {}", String::from_utf8_lossy(row.text(1)))),
        }
        Ok(())
    })?;
    meta.world_size = super::ascend::world_size_of_settings(args.as_ref(), groups.as_ref());
    Ok(())
}

/// The process and thread of a `globalTid`.
fn split_tid(global: i64) -> (i64, i64) {
    (((global as u64) >> 32) as i64, global & 0xffff_ffff)
}

//! Metrics as rows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use common::record::profd::Metric;
use rusqlite::{Connection, Transaction, params};

use super::schema::{NO_DATA_TYPE, UNKNOWN};
use crate::sink::metric::DecodedMetric;

/// Maximum length of a text in characters.
const MAX_TEXT: usize = 1024;
/// Maximum number of markers of the host whose counterpart on the device has not come.
const MAX_OPEN_MARKERS: usize = 10_000;
/// The first connection id of markers.
const FIRST_MARKER: i64 = 4_000_000_000;
/// The type of a task that is the range of a marker on a device.
const MARKER_TASK: &str = "MsTx";
/// The value of a text that is not known.
const NO_TEXT: &str = "N/A";
/// `ENUM_MSTX_EVENT_TYPE`: a range.
const START_END: i64 = 2;
/// Of a process whose rank is not known, as msMonitor writes it.
const NO_RANK: i64 = -1;

/// Writes rows, and knows what the database has of texts and numbers.
pub(super) struct MetricRowWriter {
    strings: HashMap<String, i64>,
    devices: BTreeSet<i64>,
    /// The connection ids of markers of the host by process, domain and text.
    open_markers: HashMap<(i32, i64, i64), i64>,
    next_task: i64,
    next_operation: i64,
    next_marker: i64,
    /// The first and the last moment, in ns since 1970.
    span: Option<(i64, i64)>,
}

/// A metric as an event.
struct EventRow<'a> {
    metric: &'a Metric,
    start: i64,
    end: i64,
}

impl MetricRowWriter {
    /// # Errors
    /// The row of the session cannot be written.
    pub(super) fn new(connection: &Connection) -> rusqlite::Result<Self> {
        connection.execute("INSERT INTO SESSION_TIME_INFO VALUES (0, 0)", [])?;
        Ok(Self {
            strings: HashMap::new(),
            devices: BTreeSet::new(),
            open_markers: HashMap::new(),
            next_task: 0,
            next_operation: 0,
            next_marker: FIRST_MARKER,
            span: None,
        })
    }

    pub(super) fn count_strings(&self) -> usize {
        self.strings.len()
    }

    /// Writes a row or two for each metric.
    pub(super) fn write_all(
        &mut self,
        to: &Transaction<'_>,
        metrics: &[Arc<DecodedMetric>],
    ) -> rusqlite::Result<()> {
        for metric in metrics {
            let row = EventRow::new(&metric.record);
            let (start, end) = self.span.unwrap_or((row.start, row.end));
            self.span = Some((start.min(row.start), end.max(row.end)));
            self.note_device(to, row.metric.device_id)?;
            match (row.metric.kind.as_str(), row.metric.device_id) {
                ("Marker", ..0) => drop(self.write_marker(to, &row)?),
                ("Marker", _) => self.write_device_marker(to, &row)?,
                ("Kernel", 0..) => self.write_kernel(to, &row)?,
                ("Hccl" | "Communication", _) => self.write_operation(to, &row)?,
                ("API" | "AclAPI" | "NodeAPI" | "RuntimeAPI", _) | (_, ..0) => self.write_call(to, &row)?,
                (kind, _) => drop(self.write_task(to, &row, kind, UNKNOWN)?),
            }
        }
        let (start, end) = self.span.unwrap_or_default();
        to.prepare_cached("UPDATE SESSION_TIME_INFO SET startTimeNs = ?, endTimeNs = ?")?
            .execute([start, end])?;
        Ok(())
    }

    fn note_device(&mut self, to: &Transaction<'_>, device: i64) -> rusqlite::Result<()> {
        if device >= 0 && self.devices.insert(device) {
            to.execute("INSERT INTO RANK_DEVICE_MAP VALUES (?, ?)", [NO_RANK, device])?;
            to.execute("INSERT INTO NPU_INFO VALUES (?, 'UNKNOWN')", [device])?;
        }
        Ok(())
    }

    fn write_call(&mut self, to: &Transaction<'_>, row: &EventRow<'_>) -> rusqlite::Result<()> {
        let level = match row.metric.kind.as_str() {
            "AclAPI" => 20000,
            "RuntimeAPI" => 5000,
            _ => 10000,
        };
        let name = self.find_string(to, &row.name())?;
        let mut insert = to.prepare_cached("INSERT INTO CANN_API VALUES (?, ?, ?, ?, ?, ?)")?;
        insert.execute(params![row.start, row.end, level, row.global_tid(), UNKNOWN, name])?;
        Ok(())
    }

    fn write_kernel(&mut self, to: &Transaction<'_>, row: &EventRow<'_>) -> rusqlite::Result<()> {
        let task = self.write_task(to, row, NO_TEXT, UNKNOWN)?;
        let (name, none) = (self.find_string(to, &row.name())?, self.find_string(to, NO_TEXT)?);
        let mut insert = to.prepare_cached(
            "INSERT INTO COMPUTE_TASK_INFO VALUES (?1, ?2, ?3, ?3, ?4, ?4, ?4, ?4, ?4, ?4, ?4, ?4, ?4, ?4, ?4)",
        )?;
        insert.execute([name, task, UNKNOWN, none])?;
        Ok(())
    }

    /// Writes a task and returns its id.
    fn write_task(
        &mut self,
        to: &Transaction<'_>,
        row: &EventRow<'_>,
        kind: &str,
        connection: i64,
    ) -> rusqlite::Result<i64> {
        let (task, kind) = (self.next_task, self.find_string(to, kind)?);
        self.next_task += 1;
        let mut insert =
            to.prepare_cached("INSERT INTO TASK VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 0, ?8, ?8)")?;
        let pid = i64::from(row.metric.host_pid);
        let device = row.metric.device_id;
        insert.execute([row.start, row.end, device, connection, task, pid, kind, UNKNOWN])?;
        Ok(task)
    }

    fn write_operation(&mut self, to: &Transaction<'_>, row: &EventRow<'_>) -> rusqlite::Result<()> {
        let (name, none) = (self.find_string(to, &row.name())?, self.find_string(to, NO_TEXT)?);
        let operation = self.next_operation;
        self.next_operation += 1;
        let mut insert = to.prepare_cached(
            "INSERT INTO COMMUNICATION_OP VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, ?5, 0, ?1, ?8)",
        )?;
        let device = row.metric.device_id;
        insert.execute([name, row.start, row.end, UNKNOWN, none, operation, NO_DATA_TYPE, device])?;
        Ok(())
    }

    /// Writes the range of a marker on the host, and returns its connection id.
    fn write_marker(&mut self, to: &Transaction<'_>, row: &EventRow<'_>) -> rusqlite::Result<i64> {
        let (key, connection) = (self.marker_key(to, row)?, self.next_marker);
        self.next_marker += 1;
        let mut insert =
            to.prepare_cached("INSERT INTO MSTX_EVENTS VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")?;
        let (_, domain, text) = key;
        let tid = row.global_tid();
        insert
            .execute([row.start, row.end, START_END, UNKNOWN, UNKNOWN, text, tid, tid, domain, connection])?;
        if self.open_markers.len() >= MAX_OPEN_MARKERS {
            self.open_markers.clear();
        }
        self.open_markers.insert(key, connection);
        Ok(connection)
    }

    /// Writes the range of a marker on a device: a task that has the connection id of the range on the host. Both sides
    /// are sent one after the other, the host first.
    fn write_device_marker(&mut self, to: &Transaction<'_>, row: &EventRow<'_>) -> rusqlite::Result<()> {
        let key = self.marker_key(to, row)?;
        let connection = match self.open_markers.remove(&key) {
            Some(connection) => connection,
            None => {
                let connection = self.write_marker(to, row)?;
                self.open_markers.remove(&key);
                connection
            }
        };
        self.write_task(to, row, MARKER_TASK, connection).map(drop)
    }

    fn marker_key(&mut self, to: &Transaction<'_>, row: &EventRow<'_>) -> rusqlite::Result<(i32, i64, i64)> {
        let domain = self.find_string(to, row.metric.domain.as_deref().unwrap_or("default"))?;
        let text = self.find_string(to, row.metric.name.as_deref().unwrap_or_default())?;
        Ok((row.metric.host_pid, domain, text))
    }

    /// Returns the id of a text, which is added if the database does not have it.
    fn find_string(&mut self, to: &Transaction<'_>, text: &str) -> rusqlite::Result<i64> {
        let text = text.char_indices().nth(MAX_TEXT).map_or(text, |(at, _)| &text[..at]);
        if let Some(id) = self.strings.get(text) {
            return Ok(*id);
        }
        let id = i64::try_from(self.strings.len()).unwrap_or(i64::MAX);
        to.prepare_cached("INSERT INTO STRING_IDS VALUES (?, ?)")?.execute(params![id, text])?;
        self.strings.insert(text.to_owned(), id);
        Ok(id)
    }
}

impl<'a> EventRow<'a> {
    fn new(metric: &'a Metric) -> Self {
        let clamp = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let (at, length) = (clamp(metric.timestamp_ns), clamp(metric.dur_ns));
        // The timestamp of a marker is its start, that of a sum the moment of its aggregation.
        let (start, end) = if metric.kind == "Marker" {
            (at, at.saturating_add(length))
        } else {
            (at.saturating_sub(length), at)
        };
        Self { metric, start, end }
    }

    fn name(&self) -> String {
        format!("{} (sum)", self.metric.kind)
    }

    /// The process; its thread is not known.
    fn global_tid(&self) -> i64 {
        i64::from(self.metric.host_pid) << 32
    }
}

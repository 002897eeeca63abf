//! Databases of rocprofv3, its default since 2025 (ROCm/rocm-systems
//! `projects/rocprofiler-sdk/source/share/rocprofiler-sdk-rocpd/*.sql`). Base tables end with the id of a session, which
//! may be several in one file; the views that join them are not used. Numbers of processes, threads and agents are rows
//! of tables.

use super::database::{Cells, Database};
use super::emit::{Emitter, plain};
use super::error::ReadStop;
use super::string_table::StringTable;
use super::{ReadOptions, ReadOutcome};
use crate::model::{Category, Dialect, Event, EventId, EventSink, FastMap};

/// Rows of devices stand in processes of their own, with numbers that no process has.
const FIRST_DEVICE_PROCESS: i64 = 1 << 41;

/// Recognizes a database by its table of metadata, or of strings.
pub(super) fn recognize(database: &Database) -> bool {
    !sessions(database).is_empty()
}

/// The suffix of the tables of each session.
fn sessions(database: &Database) -> Vec<String> {
    const MOST: usize = 256;
    database
        .tables()
        .filter_map(|name| Some(name.strip_prefix("rocpd_string")?.to_owned()))
        .take(MOST)
        .collect()
}

/// Reads a database.
pub(super) fn read(
    database: &Database,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    out.meta.dialect = Dialect::Rocprof;
    let mut emit = Emitter::new(sink, options, out).with_wanted_arguments();
    for (index, session) in sessions(database).into_iter().enumerate() {
        let strings = StringTable::load(database, &format!("rocpd_string{session}"), "string")?;
        let mut reader = RocpdReader {
            database,
            session,
            index: index as i64,
            strings,
            emit: &mut emit,
            processes: FastMap::default(),
            threads: FastMap::default(),
            agents: FastMap::default(),
        };
        reader.read_numbers()?;
        reader.read_regions()?;
        reader.read_work()?;
        let unknown = reader.strings.unknown();
        emit.count_missing_names(unknown)?;
    }
    emit.out.complete = true;
    Ok(())
}

struct RocpdReader<'a, 's> {
    database: &'a Database,
    session: String,
    /// Numbers of calls are unique within a session only.
    index: i64,
    strings: StringTable,
    emit: &'a mut Emitter<'s>,
    /// Rows of the tables: process ids, thread ids, and GPUs by their number among GPUs.
    processes: FastMap<i64, i64>,
    threads: FastMap<i64, i64>,
    agents: FastMap<i64, Option<i64>>,
}

impl RocpdReader<'_, '_> {
    fn table(&self, name: &str) -> String {
        format!("rocpd_{name}{}", self.session)
    }

    fn read_numbers(&mut self) -> Result<(), ReadStop> {
        let database = self.database;
        let table = self.table("info_node");
        if database.has_column(&table, "hostname") {
            let meta = &mut self.emit.out.meta;
            database.each_row(&format!("SELECT hostname FROM \"{table}\" LIMIT 1"), |row| {
                meta.host = Some(String::from_utf8_lossy(row.text(0)).into_owned()).filter(|h| !h.is_empty());
                Ok(())
            })?;
        }
        let table = self.table("info_process");
        if database.has_column(&table, "pid") {
            let query = format!(
                "SELECT {} FROM \"{table}\" p",
                database.columns(&table, "p", &["id", "pid", "command"])
            );
            database.each_row(&query, |row| {
                let (Some(id), Some(pid)) = (row.integer(0), row.integer(1)) else { return Ok(()) };
                self.processes.insert(id, pid);
                if row.text(2).is_empty() { Ok(()) } else { self.emit.name_process(pid, row.text(2)) }
            })?;
        }
        let table = self.table("info_thread");
        if database.has_column(&table, "tid") {
            let query = format!(
                "SELECT {} FROM \"{table}\" t",
                database.columns(&table, "t", &["id", "tid", "name", "pid"])
            );
            database.each_row(&query, |row| {
                let (Some(id), Some(tid)) = (row.integer(0), row.integer(1)) else { return Ok(()) };
                self.threads.insert(id, tid);
                let pid = row.integer(3).and_then(|p| self.processes.get(&p)).copied();
                match pid {
                    Some(pid) if !row.text(2).is_empty() => self.emit.name_thread(pid, tid, row.text(2)),
                    _ => Ok(()),
                }
            })?;
        }
        self.read_agents()
    }

    /// GPUs have numbers of their own; to the library, processors are agents as well.
    fn read_agents(&mut self) -> Result<(), ReadStop> {
        let database = self.database;
        let table = self.table("info_agent");
        if !database.has_column(&table, "type") {
            return Ok(());
        }
        let wanted = ["id", "type", "type_index|logical_index|absolute_index", "product_name|name"];
        let query = format!("SELECT {} FROM \"{table}\" a", database.columns(&table, "a", &wanted));
        database.each_row(&query, |row| {
            let Some(id) = row.integer(0) else { return Ok(()) };
            let gpu = row.integer(2).filter(|_| row.text(1).eq_ignore_ascii_case(b"GPU"));
            self.agents.insert(id, gpu);
            if let Some(gpu) = gpu {
                let name = String::from_utf8_lossy(row.text(3)).into_owned();
                self.emit.out.meta.devices.insert(gpu, name);
                self.emit.name_process(FIRST_DEVICE_PROCESS + gpu, format!("GPU {gpu}").as_bytes())?;
            }
            Ok(())
        })
    }

    /// The columns of an event, and what joins its table: the numbers that tie calls and work together.
    fn event_columns(&self, table: &str) -> (String, String) {
        let events = self.table("event");
        if !self.database.has_column(table, "event_id") {
            return ("NULL, NULL, NULL".to_owned(), String::new());
        }
        let join = self.database.join(&events, "e", "id", "r.event_id");
        if join.is_empty() {
            return ("NULL, NULL, NULL".to_owned(), join);
        }
        (self.database.columns(&events, "e", &["stack_id", "correlation_id", "category_id"]), join)
    }

    /// The number that a call and its work share: that of the call's own place in the stack, or else the correlation.
    fn link(&self, row: Cells<'_>, first: usize) -> Option<i64> {
        let number = row.integer(first).filter(|n| *n != 0).or(row.integer(first + 1).filter(|n| *n != 0))?;
        Some(number.wrapping_add(self.index << 40))
    }

    fn place(&self, pid: Option<i64>, tid: Option<i64>) -> (EventId<'static>, EventId<'static>) {
        let of = |map: &FastMap<i64, i64>, id: Option<i64>| id.map(|id| map.get(&id).copied().unwrap_or(id));
        let id = |n: Option<i64>| n.map_or(EventId::None, EventId::Number);
        (id(of(&self.processes, pid)), id(of(&self.threads, tid)))
    }

    /// Calls and marks.
    fn read_regions(&mut self) -> Result<(), ReadStop> {
        let (database, table) = (self.database, self.table("region"));
        if !(database.has_column(&table, "start") && database.has_column(&table, "end")) {
            return Ok(());
        }
        let (event, join) = self.event_columns(&table);
        let own = database.columns(&table, "r", &["start", "end", "pid", "tid", "name_id"]);
        database.each_row(&format!("SELECT {own}, {event} FROM \"{table}\" r{join}"), |row| {
            let times = self.emit.read_span(row, 0, 1)?;
            let (pid, tid) = self.place(row.integer(2), row.integer(3));
            let domain = self.strings.some(row.integer(7));
            let marker = domain.starts_with(b"MARKER");
            let correlation = self.link(row, 5);
            self.emit
                .args
                .some_text("domain", domain)
                .some_integer("correlation", correlation.filter(|_| !marker));
            self.emit.send(Event {
                phase: b'X',
                category: if marker { Category::Other } else { Category::Runtime },
                cat: if marker { "user_annotation" } else { "hip_api" }.into(),
                name: plain(self.strings.get(row.integer(4).unwrap_or(-1))),
                pid,
                tid,
                start: times.start,
                dur: times.dur,
                untimed: times.untimed,
                correlation: correlation.filter(|_| !marker),
                ..Event::default()
            })
        })
    }

    /// Kernels and copies.
    fn read_work(&mut self) -> Result<(), ReadStop> {
        let symbols = self.table("info_kernel_symbol");
        for (name, cat, agent, named) in [
            ("kernel_dispatch", "kernel", "agent_id", "kernel_id"),
            ("memory_copy", "gpu_memcpy", "dst_agent_id", "name_id"),
        ] {
            let (database, table) = (self.database, self.table(name));
            if !(database.has_column(&table, "start") && database.has_column(&table, "end")) {
                continue;
            }
            let (event, join) = self.event_columns(&table);
            let is_kernel = cat == "kernel";
            let symbol =
                if is_kernel { database.join(&symbols, "s", "id", "r.kernel_id") } else { String::new() };
            let text = match symbol.is_empty() {
                true => "NULL".to_owned(),
                false => database.columns(&symbols, "s", &["display_name|kernel_name"]),
            };
            let wanted = ["start", "end", agent, "stream_id|queue_id", named, "src_agent_id", "size", "pid"];
            let own = database.columns(&table, "r", &wanted);
            let query = format!("SELECT {own}, {event}, {text} FROM \"{table}\" r{join}{symbol}");
            database.each_row(&query, |row| {
                let times = self.emit.read_span(row, 0, 1)?;
                let gpu = |column| row.integer(column).and_then(|id| self.agents.get(&id).copied().flatten());
                // A copy to the host belongs to the device that it comes from.
                let device = gpu(2).or_else(|| gpu(5));
                let name: &[u8] = match (row.text(11), is_kernel) {
                    (b"", true) => b"unknown",
                    (b"", false) => self.strings.get(row.integer(4).unwrap_or(-1)),
                    (text, _) => text,
                };
                let correlation = self.link(row, 8);
                self.emit.args.some_integer("device", device).some_integer("stream", row.integer(3));
                self.emit.args.some_integer("correlation", correlation).some_integer("bytes", row.integer(6));
                self.emit.send(Event {
                    phase: b'X',
                    cat: cat.into(),
                    name: plain(name),
                    pid: EventId::Number(FIRST_DEVICE_PROCESS + device.unwrap_or(-1)),
                    tid: row.integer(3).map_or(EventId::None, EventId::Number),
                    start: times.start,
                    dur: times.dur,
                    untimed: times.untimed,
                    device,
                    stream: row.integer(3),
                    correlation,
                    ..Event::default()
                })
            })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

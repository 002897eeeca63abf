//! A plain database: the tables `traces` and `events`, and the view `slices` with names of traces and ends.

use std::io::Write;

use rusqlite::params;
use trace::model::{Event, EventId, EventSink, TraceMeta};
use trace::rows::RawMembers;

use super::Database;
use crate::losses::Losses;
use crate::write::{TraceWriter, describe_devices};

const SCHEMA: &str = "
CREATE TABLE traces (id INTEGER PRIMARY KEY, path TEXT NOT NULL, rank INTEGER, world_size INTEGER, base_ns INTEGER,
  backend TEXT, trace_id TEXT, trace_name TEXT, host TEXT, events INTEGER, devices TEXT);
CREATE TABLE events (trace INTEGER NOT NULL, idx INTEGER NOT NULL, ph TEXT NOT NULL, category TEXT NOT NULL, cat TEXT,
  name TEXT NOT NULL, pid, tid, device INTEGER, stream INTEGER, start_ns INTEGER, dur_ns INTEGER, correlation INTEGER,
  external_id INTEGER, id, args TEXT, other TEXT);
CREATE VIEW slices AS SELECT t.rank, t.path, e.*, e.start_ns + e.dur_ns AS end_ns
  FROM events e JOIN traces t ON t.id = e.trace WHERE e.ph = 'X';
";

const INSERT: &str = "INSERT INTO events VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,?15,?16,?17)";

/// Writes any number of traces.
pub(crate) struct PlainWriter<'w> {
    to: &'w mut dyn Write,
    database: Database,
    /// The number of the trace that is being read.
    trace: i64,
    label: String,
    events: i64,
    scratch: Vec<u8>,
}

impl<'w> PlainWriter<'w> {
    pub(crate) fn new(to: &'w mut dyn Write) -> anyhow::Result<Self> {
        let database = Database::create(SCHEMA)?;
        Ok(Self { to, database, trace: 0, label: String::new(), events: 0, scratch: Vec::new() })
    }
}

/// An id as a value of its own type.
fn id_value(id: EventId<'_>) -> rusqlite::types::Value {
    match id {
        EventId::None => rusqlite::types::Value::Null,
        EventId::Number(n) => rusqlite::types::Value::Integer(n),
        EventId::Text(text) => rusqlite::types::Value::Text(text.decode().into_owned()),
    }
}

impl EventSink for PlainWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.events += 1;
        self.scratch.clear();
        if !event.args.is_empty() {
            trace::read::write_compact(event.args, event.repaired, &mut self.scratch);
        }
        let args = (!self.scratch.is_empty()).then(|| String::from_utf8_lossy(&self.scratch));
        let other = RawMembers::of(event).other;
        let other = (!other.is_empty()).then(|| format!("{{{}}}", String::from_utf8_lossy(&other)));
        let cat = (!event.cat.is_empty()).then(|| event.cat.decode());
        let phase = [event.phase];
        let mut insert = self.database.connection.prepare_cached(INSERT)?;
        insert.execute(params![
            self.trace,
            event.index as i64,
            String::from_utf8_lossy(&phase),
            event.category.name(),
            cat,
            event.name.decode(),
            id_value(event.pid),
            id_value(event.tid),
            event.device,
            event.stream,
            event.start,
            event.dur,
            event.correlation,
            event.external,
            id_value(event.id),
            args,
            other,
        ])?;
        Ok(())
    }
}

impl TraceWriter for PlainWriter<'_> {
    fn begin_trace(&mut self, label: &str) -> anyhow::Result<()> {
        self.trace += 1;
        self.events = 0;
        label.clone_into(&mut self.label);
        Ok(())
    }

    fn end_trace(&mut self, meta: &TraceMeta) -> anyhow::Result<()> {
        self.database.connection.execute(
            "INSERT INTO traces VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11)",
            params![
                self.trace,
                self.label,
                meta.rank,
                meta.world_size,
                meta.base_ns,
                meta.backend,
                meta.trace_id,
                meta.trace_name,
                meta.host,
                self.events,
                describe_devices(meta),
            ],
        )?;
        Ok(())
    }

    fn finish(self: Box<Self>) -> anyhow::Result<Losses> {
        self.database.connection.execute_batch("CREATE INDEX events_by_time ON events (trace, start_ns)")?;
        self.database.finish(self.to)?;
        Ok(Losses::default())
    }
}

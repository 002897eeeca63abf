//! A data set of Parquet files for many ranks: `run=R/table=T/part-I-of-N.parquet`, and a manifest of each part.
//!
//! DuckDB, Spark, Trino, Polars and pyarrow read it as one table each, with `run` and `table` from the path. Times are
//! integer nanoseconds since the Unix epoch, as far as a trace says how its clock relates to that. A row group is sorted
//! by rank, step and start, so that readers skip the pages of other ranks and steps.

mod arguments;
mod chunk;
mod fuzz;
mod group;
mod manifest;
mod memory;
mod page;
mod row_builder;
mod rows;
mod table;
mod values;
mod worker;

use std::path::{Path, PathBuf};

use trace::analysis::sum::StepRow;
use trace::classifier::ClassRules;
use trace::model::{Category, Event, EventId, EventSink, EventWorker, PreparedEvents, is_collective_call};
use trace::rows::write_number;

use common::record::tracecv::PartTraceRecord;

use crate::modules::module_key;
use crate::survey::TraceSurvey;
use crate::write::shard::Shard;
use crate::write::spelling::spell_cat;
use crate::write::{MadeDirectories, describe_devices};
use arguments::{COLUMNS as ARGUMENT_COLUMNS, EventArguments};
pub(crate) use fuzz::write_and_read as fuzz;
use manifest::PartManifest;
pub(crate) use manifest::TraceList;
use memory::{MEMORY, push_memory};
use row_builder::RowBuilder;
use rows::RowGroup;
use table::{EndedTrace, TableWriter};
use values::{Column, ColumnKind};
use worker::RowWorkers;

const fn int(name: &'static str) -> Column {
    Column { name, kind: ColumnKind::Int }
}

const fn text(name: &'static str) -> Column {
    Column { name, kind: ColumnKind::Text }
}

/// Columns of every table of events, in this order, which is that of sorting.
const EVENT: [Column; 10] = [
    int("rank"),
    int("step"),
    int("start_ns"),
    int("dur_ns"),
    text("category"),
    text("name"),
    int("device"),
    int("stream"),
    int("correlation"),
    int("index"),
];

/// Columns that only the table of all events has.
const DETAILS: [Column; 8] = [
    text("cat"),
    text("ph"),
    text("pid"),
    text("tid"),
    text("id"),
    int("external_id"),
    text("args"),
    text("other"),
];

/// The last column of every table: the place of the trace in the list, from 1. Two traces may be of one rank, or of none
/// that is known.
const TRACE: Column = int("trace_number");

/// The columns of the table of all events, but for the last.
fn event_columns() -> Vec<Column> {
    EVENT.iter().chain(&ARGUMENT_COLUMNS).chain(&DETAILS).copied().collect()
}

/// A row for each device that a step put work on, with how `traceq sum` divides its time.
const STEPS: [Column; 15] = [
    int("rank"),
    int("step"),
    int("start_ns"),
    int("dur_ns"),
    text("name"),
    int("partial"),
    int("device"),
    int("device_events"),
    int("total_ns"),
    int("compute_ns"),
    int("communication_ns"),
    int("exposed_communication_ns"),
    int("memcpy_ns"),
    int("exposed_memcpy_ns"),
    int("idle_ns"),
];

/// A row for each trace, also of those that cannot be read.
const RANKS: [Column; 18] = [
    int("rank"),
    int("start_ns"),
    int("dur_ns"),
    int("events"),
    int("complete"),
    int("base_ns"),
    int("world_size"),
    text("backend"),
    text("host"),
    text("trace"),
    text("trace_id"),
    text("trace_name"),
    text("devices"),
    text("status"),
    text("error"),
    int("size_bytes"),
    int("repairs"),
    int("losses"),
];

/// The status of a trace that was read to its end.
pub(crate) const COMPLETE: &str = "complete";

/// Writes one part of each table. The rows of a trace are made in its first reading, if memory is left for those that wait for its
/// end; otherwise in a second one.
pub(crate) struct DatasetWriter {
    events: TableWriter,
    kernels: TableWriter,
    collectives: TableWriter,
    steps: TableWriter,
    memory: TableWriter,
    ranks: TableWriter,
    manifest: PartManifest,
    /// The number of the trace that is being written.
    trace: i64,
    /// Bytes of rows of all events that may wait for the end of their trace; of kernels and of collectives, a quarter.
    most_waiting: usize,
    /// Of the trace that is being written: its events, and its spans, that have rows.
    events_taken: TakenEvents,
    spans_taken: TakenEvents,
    /// Dropped last: files without names may still be in them.
    directories: MadeDirectories,
}

/// Bytes of rows of all events that may wait for the end of their trace: those of 100 MB of JSON.
pub(crate) const MOST_WAITING: usize = 48 << 20;

/// The events that rows have been made of in the first reading of a trace: all, or the first ones, until there was no room
/// for more.
#[derive(Clone, Copy, Default)]
struct TakenEvents {
    count: u64,
    is_full: bool,
}

impl TakenEvents {
    /// Counts events of the first reading. Returns `false` if the memory for rows is used up.
    #[inline]
    fn take(&mut self, count: u32, has_room: bool) -> bool {
        self.is_full |= !has_room;
        self.count += if self.is_full { 0 } else { u64::from(count) };
        !self.is_full
    }
}

impl DatasetWriter {
    /// Begins the files of a shard below `dir`; they appear when all are complete.
    ///
    /// # Errors
    /// A directory cannot be made, or a file not written; the run has parts of another list or number.
    pub(crate) fn create(dir: &Path, run: &str, shard: Shard, list: &TraceList) -> anyhow::Result<Self> {
        let part = format!("part-{:05}-of-{:05}", shard.index, shard.count);
        let dir: PathBuf = dir.join(format!("run={run}"));
        let file = format!("{part}.parquet");
        let mut directories =
            if shard.count > 1 { MadeDirectories::shared() } else { MadeDirectories::default() };
        let manifest = PartManifest::create(&dir, shard, list, &mut directories)?;
        let mut table = |name: &str, columns: Vec<Column>, sorted: usize| {
            let columns = columns.into_iter().chain([TRACE]).collect();
            let dir = dir.join(format!("table={name}"));
            directories.create(&dir)?;
            TableWriter::create(&dir, &file, columns, sorted)
        };
        let with_arguments = || EVENT.iter().chain(&ARGUMENT_COLUMNS).copied().collect::<Vec<Column>>();
        Ok(Self {
            events: table("events", event_columns(), 3)?,
            kernels: table("kernels", EVENT.into_iter().chain([text("module")]).collect(), 3)?,
            collectives: table("collectives", with_arguments(), 3)?,
            steps: table("steps", STEPS.to_vec(), 2)?,
            memory: table("memory", MEMORY.to_vec(), 3)?,
            ranks: table("ranks", RANKS.to_vec(), 1)?,
            manifest,
            trace: 0,
            most_waiting: MOST_WAITING,
            events_taken: TakenEvents::default(),
            spans_taken: TakenEvents::default(),
            directories,
        })
    }

    /// Lets this many bytes of rows of all events wait for the end of their trace.
    #[must_use]
    pub(crate) fn with_most_waiting(self, most_waiting: usize) -> Self {
        Self { most_waiting, ..self }
    }

    /// The tables whose rows lack something until the end of their trace.
    fn event_tables(&mut self) -> [&mut TableWriter; 4] {
        [&mut self.events, &mut self.kernels, &mut self.collectives, &mut self.memory]
    }

    /// Begins the trace of this number in the list, from 1.
    pub(crate) fn begin_trace(&mut self, number: u64) {
        self.trace = i64::try_from(number).unwrap_or(i64::MAX);
        self.event_tables().into_iter().for_each(TableWriter::begin_trace);
        (self.events_taken, self.spans_taken) = Default::default();
    }

    /// Discards the rows of the trace.
    pub(crate) fn discard_rows(&mut self) {
        self.event_tables().into_iter().for_each(TableWriter::discard_trace);
        (self.events_taken, self.spans_taken) = Default::default();
    }

    /// Adds to the rows of the first reading of a trace what was found out until its end. Returns whether they are all that
    /// it has; otherwise it has to be read once more, for the others.
    ///
    /// # Errors
    /// The files cannot be written.
    pub(crate) fn settle_rows(&mut self, survey: &TraceSurvey) -> anyhow::Result<bool> {
        let trace = self.trace;
        self.event_tables().into_iter().try_for_each(|table| table.settle((survey, trace)))?;
        Ok(!self.events_taken.is_full && !self.spans_taken.is_full)
    }

    /// Sinks for the events of a trace: for each as it stands there, and for spans, to which begins and ends were brought
    /// together. In the first reading there is no survey yet, and rows wait; in a second one, they are made of the events
    /// that had none in the first.
    pub(crate) fn sinks<'a>(
        &'a mut self,
        survey: Option<&'a TraceSurvey>,
        classes: &ClassRules,
    ) -> (EventRows<'a>, SpanRows<'a>) {
        let ended = survey.map(|survey| (survey, self.trace));
        let turn = |taken, most_waiting| EventTurn { ended, most_waiting, taken, seen: 0 };
        // Spans have fewer rows than events, and those have fewer columns.
        let events = turn(&mut self.events_taken, self.most_waiting);
        let spans = turn(&mut self.spans_taken, self.most_waiting / 4);
        let events = EventRows {
            events: &mut self.events,
            memory: &mut self.memory,
            arguments: EventArguments::default(),
            turn: events,
            workers: RowWorkers::new(classes),
            prepared: 0,
        };
        let spans = SpanRows {
            kernels: &mut self.kernels,
            collectives: &mut self.collectives,
            arguments: EventArguments::default(),
            turn: spans,
        };
        (events, spans)
    }

    /// Ends a trace whose events were taken, and which has these steps.
    ///
    /// # Errors
    /// The files cannot be written.
    pub(crate) fn end_trace<'a>(
        &mut self,
        about: PartTraceRecord,
        survey: &TraceSurvey,
        steps: impl Iterator<Item = &'a StepRow>,
    ) -> anyhow::Result<()> {
        self.settle_rows(survey)?;
        for row in steps {
            self.push_step(row, survey)?;
        }
        let meta = &survey.meta;
        let ranks = &mut self.ranks.row;
        ranks.int(meta.rank);
        ranks.int(survey.extent.map(|(from, _)| survey.wall_clock(from)));
        ranks.int(survey.extent.map(|(from, to)| to.saturating_sub(from)));
        ranks.int(i64::try_from(about.events).ok());
        ranks.int(Some(i64::from(about.status == COMPLETE)));
        ranks.int(meta.base_ns);
        ranks.int(meta.world_size);
        for text in
            [&meta.backend, &meta.host, &Some(about.path.path.clone()), &meta.trace_id, &meta.trace_name]
        {
            ranks.text(text.as_deref().map(str::as_bytes));
        }
        ranks.text(describe_devices(meta).as_deref().map(str::as_bytes));
        self.end_rank(about)
    }

    /// Notes a trace that cannot be read.
    ///
    /// # Errors
    /// The files cannot be written.
    pub(crate) fn note_unreadable(&mut self, about: PartTraceRecord) -> anyhow::Result<()> {
        for number in [about.rank, None, None, Some(0), Some(0), None, None] {
            self.ranks.row.int(number);
        }
        for text in [None, None, Some(about.path.path.as_bytes()), None, None, None] {
            self.ranks.row.text(text);
        }
        self.end_rank(about)
    }

    /// Adds what became of a trace to its row and to the manifest.
    fn end_rank(&mut self, about: PartTraceRecord) -> anyhow::Result<()> {
        self.ranks.row.text(Some(about.status.as_bytes()));
        self.ranks.row.text(about.error.as_deref().map(str::as_bytes));
        for number in [about.size_bytes, Some(about.repairs), Some(about.losses)] {
            self.ranks.row.int(number.and_then(|n| i64::try_from(n).ok()));
        }
        self.ranks.row.int(Some(self.trace));
        self.ranks.end_row()?;
        self.manifest.take_trace(&about)
    }

    fn push_step(&mut self, row: &StepRow, survey: &TraceSurvey) -> anyhow::Result<()> {
        let (steps, step, split) = (&mut self.steps.row, &row.step, row.split.as_ref());
        let marked = survey.steps.all().get(row.index).filter(|marked| marked.start == step.start);
        let name = marked.and_then(|marked| marked.name).map(|name| survey.names.name(name));
        steps.int(survey.meta.rank);
        steps.int(Some(step.number));
        steps.int(Some(survey.wall_clock(step.start)));
        steps.int(Some(step.end.saturating_sub(step.start)));
        steps.text(name.or(row.mark.as_deref()).map(str::as_bytes));
        steps.int(Some(i64::from(step.partial)));
        steps.int(row.device);
        steps.int(split.and_then(|_| i64::try_from(row.device_events).ok()));
        steps.int(split.map(|split| split.total));
        steps.int(split.map(|split| split.compute));
        steps.int(split.map(|split| split.communication));
        steps.int(split.map(|split| split.exposed_communication));
        steps.int(split.map(|split| split.memcpy));
        steps.int(split.map(|split| split.exposed_memcpy));
        steps.int(split.map(trace::split::Split::idle));
        steps.int(Some(self.trace));
        self.steps.end_row()
    }

    /// Ends the files, and lets them appear; the manifest last, so that a part with one is whole.
    ///
    /// # Errors
    /// The files cannot be written.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let mut tables = [
            ("events", self.events),
            ("kernels", self.kernels),
            ("collectives", self.collectives),
            ("steps", self.steps),
            ("memory", self.memory),
            ("ranks", self.ranks),
        ];
        // Those without a thread are written while others write theirs.
        tables.iter_mut().try_for_each(|(_, table)| table.end_rows())?;
        let mut manifest = self.manifest;
        let complete = tables.into_iter().map(|(name, table)| {
            let table = table.finish()?;
            manifest.take_table(name, &table.about)?;
            anyhow::Ok(table)
        });
        let complete = complete.collect::<Result<Vec<_>, _>>()?;
        manifest.begin_replacement()?;
        complete.into_iter().try_for_each(group::CompleteTable::commit)?;
        manifest.commit()?;
        self.directories.keep();
        Ok(())
    }
}

/// Which events of a reading have their turn.
struct EventTurn<'a> {
    /// The trace, if this is the second reading.
    ended: Option<EndedTrace<'a>>,
    most_waiting: usize,
    taken: &'a mut TakenEvents,
    /// Events of the second reading so far that have their rows.
    seen: u64,
}

impl EventTurn<'_> {
    /// Returns whether rows are to be made of the next event; `waiting` is how many bytes of rows wait.
    #[inline]
    fn is_next(&mut self, waiting: usize) -> bool {
        if self.ended.is_none() {
            return self.taken.take(1, waiting < self.most_waiting);
        }
        let has_rows = self.seen < self.taken.count;
        self.seen += u64::from(has_rows);
        !has_rows
    }

    /// Returns whether the rows of all of the next events have their turn. Otherwise each of these is asked about.
    fn are_next(&mut self, waiting: usize, count: u32) -> bool {
        match self.ended {
            None => self.taken.take(count, waiting < self.most_waiting),
            Some(_) => self.seen == self.taken.count,
        }
    }
}

/// Takes the events of a trace as they stand there.
pub(crate) struct EventRows<'a> {
    events: &'a mut TableWriter,
    memory: &'a mut TableWriter,
    arguments: EventArguments,
    turn: EventTurn<'a>,
    workers: RowWorkers,
    /// Of the next events, how many have rows that a worker has made.
    prepared: u32,
}

impl EventRows<'_> {
    /// Bytes of rows that wait.
    fn waiting_bytes(&self) -> usize {
        self.events.waiting_bytes().max(self.memory.waiting_bytes())
    }
}

impl EventSink for EventRows<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if self.prepared > 0 {
            self.prepared -= 1;
        } else if self.turn.is_next(self.waiting_bytes()) {
            push_event_row(&mut self.events.row, event, &mut self.arguments);
            self.events.end_row_of(self.turn.ended)?;
        } else {
            return Ok(());
        }
        if event.category == Category::Memory {
            push_memory(self.memory, event, self.turn.ended)?;
        }
        Ok(())
    }

    fn make_worker(&self) -> Option<Box<dyn EventWorker>> {
        Some(self.workers.make_worker())
    }

    fn take_prepared(&mut self, prepared: PreparedEvents) -> anyhow::Result<()> {
        let rows = prepared.beside.and_then(|rows| rows.downcast::<RowGroup>().ok());
        if let Some(rows) = rows {
            if self.turn.are_next(self.waiting_bytes(), rows.rows) {
                self.events.append(&rows, prepared.first_index, self.turn.ended)?;
                self.prepared = rows.rows;
            } else if self.turn.ended.is_none() {
                self.workers.stop();
            }
            self.workers.take_back(*rows);
        }
        Ok(())
    }
}

/// Appends the row of an event to the table of all events, but for its last column.
fn push_event_row(row: &mut RowBuilder, event: &Event<'_>, arguments: &mut EventArguments) {
    arguments.read(event);
    push_event(row, event);
    arguments.push(row);
    push_details(row, event, arguments);
}

/// Takes the spans of a trace that are work on devices, or collectives.
pub(crate) struct SpanRows<'a> {
    kernels: &'a mut TableWriter,
    collectives: &'a mut TableWriter,
    arguments: EventArguments,
    turn: EventTurn<'a>,
}

impl EventSink for SpanRows<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let is_work = event.category.is_on_device() && event.phase == b'X';
        let is_call = event.category == Category::CpuOp && is_collective_call(&event.name.decode());
        let is_collective = event.category == Category::Collective || is_call;
        if !is_work && !is_collective {
            return Ok(());
        }
        if !self.turn.is_next(self.kernels.waiting_bytes().max(self.collectives.waiting_bytes())) {
            return Ok(());
        }
        if is_work {
            push_event(&mut self.kernels.row, event);
            self.kernels.row.pending_module(module_key(event));
            self.kernels.end_row_of(self.turn.ended)?;
        }
        if is_collective {
            self.arguments.read(event);
            push_event(&mut self.collectives.row, event);
            self.arguments.push(&mut self.collectives.row);
            self.collectives.end_row_of(self.turn.ended)?;
        }
        Ok(())
    }
}

fn push_event(table: &mut RowBuilder, event: &Event<'_>) {
    table.pending(event);
    table.int(event.dur);
    push_static(table, event.category as i64, event.category.name().as_bytes());
    table.text(Some(&event.name.unescape()));
    for number in [event.device, event.stream, event.correlation] {
        table.int(number);
    }
    table.int(i64::try_from(event.index).ok());
}

/// Appends the columns of [`DETAILS`].
fn push_details(table: &mut RowBuilder, event: &Event<'_>, arguments: &EventArguments) {
    table.text(Some(&spell_cat(event).unescape()).filter(|cat| !cat.is_empty()).map(|cat| &**cat));
    push_static(table, i64::from(event.phase), &[event.phase]);
    for id in [event.pid, event.tid, event.id] {
        match id {
            EventId::None => table.text(None),
            EventId::Number(n) => table.text_of_key(n, |digits| write_number(digits, n)),
            EventId::Text(text) => table.text(Some(&text.unescape())),
        }
    }
    table.int(event.external);
    table.text(Some(arguments.rest()).filter(|rest| !rest.is_empty()));
    table.text(Some(arguments.other()).filter(|other| !other.is_empty()));
}

/// Appends one of a few texts, which has this number among them.
fn push_static(table: &mut RowBuilder, number: i64, text: &[u8]) {
    table.text_of_key(number, |to| to.extend_from_slice(text));
}

//! A data set of Parquet files for many ranks: `run=R/table=T/part-I-of-N.parquet`.
//!
//! DuckDB, Spark, Trino, Polars and pyarrow read it as one table each, with `run` and `table` from the path. Times are
//! integer nanoseconds since the Unix epoch, as far as a trace says how its clock relates to that. A row group is sorted
//! by rank, step and start, so that readers skip the pages of other ranks and steps.

mod arguments;
mod sums;
mod table;

use std::path::{Path, PathBuf};

use trace::model::{Category, Event, EventId, is_collective_call};
use trace::spool::MemoryLimit;

use crate::survey::TraceSurvey;
use crate::write::shard::Shard;
use arguments::{COLUMNS as ARGUMENT_COLUMNS, EventArguments};
use sums::StepSums;
use table::{Column, ColumnKind, TableWriter};

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
    Column { name: "args", kind: ColumnKind::LongText },
    Column { name: "other", kind: ColumnKind::LongText },
];

/// A row for each device that a step put work on, with how its time divides.
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

const RANKS: [Column; 12] = [
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
];

/// Writes one part of each table.
pub(crate) struct DatasetWriter {
    events: TableWriter,
    kernels: TableWriter,
    collectives: TableWriter,
    steps: TableWriter,
    ranks: TableWriter,
    arguments: EventArguments,
    sums: StepSums,
}

impl DatasetWriter {
    /// Begins the files of a shard below `dir`; they appear when all are complete.
    ///
    /// # Errors
    /// A directory cannot be made, or a file not written.
    pub(crate) fn create(dir: &Path, run: &str, shard: Shard, memory: MemoryLimit) -> anyhow::Result<Self> {
        let part = format!("part-{:05}-of-{:05}.parquet", shard.index, shard.count);
        let table = |name: &str, columns: Vec<Column>, sorted: usize| {
            let dir: PathBuf = dir.join(format!("run={run}")).join(format!("table={name}"));
            TableWriter::create(&dir, &part, columns, sorted)
        };
        let with_arguments = || EVENT.iter().chain(&ARGUMENT_COLUMNS).copied().collect::<Vec<Column>>();
        let all = with_arguments().into_iter().chain(DETAILS).collect();
        Ok(Self {
            events: table("events", all, 3)?,
            kernels: table("kernels", EVENT.to_vec(), 3)?,
            collectives: table("collectives", with_arguments(), 3)?,
            steps: table("steps", STEPS.to_vec(), 2)?,
            ranks: table("ranks", RANKS.to_vec(), 1)?,
            arguments: EventArguments::default(),
            sums: StepSums::new(memory),
        })
    }

    /// Takes an event of the trace that `survey` is of.
    ///
    /// # Errors
    /// The files cannot be written.
    pub(crate) fn take_event(&mut self, event: &Event<'_>, survey: &TraceSurvey) -> anyhow::Result<()> {
        let step = survey.step_of(event).map(|step| step.number);
        self.arguments.read(event);
        push_event(&mut self.events, event, survey, step);
        self.arguments.push(&mut self.events);
        push_details(&mut self.events, event, &self.arguments);
        self.events.end_row()?;
        if event.category.is_on_device() && event.phase == b'X' {
            push_event(&mut self.kernels, event, survey, step);
            self.kernels.end_row()?;
            self.sums.take_event(event, survey)?;
        }
        let called = event.category == Category::CpuOp && is_collective_call(&event.name.decode());
        if event.category == Category::Collective || called {
            push_event(&mut self.collectives, event, survey, step);
            self.arguments.push(&mut self.collectives);
            self.collectives.end_row()?;
        }
        Ok(())
    }

    /// Ends a trace.
    ///
    /// # Errors
    /// The files cannot be written.
    pub(crate) fn end_trace(
        &mut self,
        label: &str,
        survey: &TraceSurvey,
        (events, complete): (u64, bool),
    ) -> anyhow::Result<()> {
        let meta = &survey.meta;
        let steps = &mut self.steps;
        self.sums.take_rows(survey.steps.all().len(), |step, work| {
            let step = &survey.steps.all()[step];
            steps.int(meta.rank);
            steps.int(Some(step.number));
            steps.int(Some(survey.wall_clock(step.start)));
            steps.int(Some(step.end.saturating_sub(step.start)));
            steps.text(step.name.map(|name| survey.names.name(name).as_bytes()));
            steps.int(Some(i64::from(step.partial)));
            steps.int(work.and_then(|work| work.device));
            steps.int(work.map(|work| work.events));
            let split = work.map(|work| work.split);
            steps.int(split.map(|split| split.total));
            steps.int(split.map(|split| split.compute));
            steps.int(split.map(|split| split.communication));
            steps.int(split.map(|split| split.exposed_communication));
            steps.int(split.map(|split| split.memcpy));
            steps.int(split.map(|split| split.exposed_memcpy));
            steps.int(split.map(|split| split.idle()));
            steps.end_row()
        })?;
        self.ranks.int(meta.rank);
        self.ranks.int(survey.extent.map(|(from, _)| survey.wall_clock(from)));
        self.ranks.int(survey.extent.map(|(from, to)| to.saturating_sub(from)));
        self.ranks.int(i64::try_from(events).ok());
        self.ranks.int(Some(i64::from(complete)));
        self.ranks.int(meta.base_ns);
        self.ranks.int(meta.world_size);
        for text in [&meta.backend, &meta.host, &Some(label.to_owned()), &meta.trace_id, &meta.trace_name] {
            self.ranks.text(text.as_deref().map(str::as_bytes));
        }
        self.ranks.end_row()
    }

    /// Ends the files, and lets them appear.
    ///
    /// # Errors
    /// The files cannot be written.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        let tables = [self.events, self.kernels, self.collectives, self.steps, self.ranks];
        let complete = tables.into_iter().map(TableWriter::finish).collect::<Result<Vec<_>, _>>()?;
        complete.into_iter().try_for_each(table::CompleteTable::commit)
    }
}

fn push_event(table: &mut TableWriter, event: &Event<'_>, survey: &TraceSurvey, step: Option<i64>) {
    table.int(survey.meta.rank);
    table.int(step);
    table.int(event.start.map(|start| survey.wall_clock(start)));
    table.int(event.dur);
    table.text(Some(event.category.name().as_bytes()));
    table.text(Some(&event.name.unescape()));
    for number in [event.device, event.stream, event.correlation] {
        table.int(number);
    }
    table.int(i64::try_from(event.index).ok());
}

fn push_details(table: &mut TableWriter, event: &Event<'_>, arguments: &EventArguments) {
    table.text(Some(&event.cat.unescape()).filter(|cat| !cat.is_empty()).map(|cat| &**cat));
    table.text(Some(&[event.phase]));
    for id in [event.pid, event.tid, event.id] {
        match id {
            EventId::None => table.text(None),
            EventId::Number(n) => table.text(Some(n.to_string().as_bytes())),
            EventId::Text(text) => table.text(Some(&text.unescape())),
        }
    }
    table.int(event.external);
    table.text(Some(arguments.rest()).filter(|rest| !rest.is_empty()));
    table.text(Some(arguments.other()).filter(|other| !other.is_empty()));
}

//! Events as JSON lines and as rows of CSV: what `traceq cat` writes.

use std::io::Write;

use common::record::{self, tracecv::TraceDescription};
use trace::model::{Event, EventSink, TraceMeta};
use trace::rows;

use super::{Buffered, TraceWriter};
use crate::losses::Losses;

/// How a row is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RowForm {
    Json,
    Csv,
}

/// Writes the events of any number of traces.
pub(crate) struct RowWriter<'w> {
    out: Buffered<'w>,
    form: RowForm,
    /// Rows name their trace.
    several: bool,
    label: String,
    losses: Losses,
}

impl<'w> RowWriter<'w> {
    /// JSON lines.
    pub(crate) fn json(to: &'w mut dyn Write, several: bool) -> Self {
        let losses = Losses::default();
        Self { out: Buffered::new(to), form: RowForm::Json, several, label: String::new(), losses }
    }

    /// CSV with a header.
    pub(crate) fn csv(to: &'w mut dyn Write, several: bool) -> Self {
        let mut writer = Self { form: RowForm::Csv, ..Self::json(to, several) };
        writer.out.bytes.extend_from_slice(rows::COLUMNS.join(",").as_bytes());
        writer.out.bytes.push(b'\n');
        writer
    }
}

impl EventSink for RowWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let path = self.several.then_some(self.label.as_str());
        match self.form {
            RowForm::Json => rows::write_record(&mut self.out.bytes, event, path, true),
            RowForm::Csv => rows::write_csv_row(&mut self.out.bytes, event, path.unwrap_or(""), true),
        }
        Ok(self.out.pass_enough()?)
    }
}

impl TraceWriter for RowWriter<'_> {
    fn begin_trace(&mut self, label: &str) -> anyhow::Result<()> {
        label.clone_into(&mut self.label);
        Ok(())
    }

    fn end_trace(&mut self, meta: &TraceMeta) -> anyhow::Result<()> {
        let description = describe_trace(meta, &self.label);
        match self.form {
            RowForm::Json => record::write(&mut self.out.bytes, &description)?,
            RowForm::Csv => {
                let producer = description.producer;
                let rest = TraceDescription { producer: Vec::new(), ..description };
                if rest != (TraceDescription { path: self.label.clone(), ..Default::default() }) {
                    self.losses.add("base time, rank and devices of a trace", 1);
                } else if !producer.is_empty() {
                    self.losses.add("producer of a trace", 1);
                }
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<Losses> {
        self.out.pass_all()?;
        Ok(self.losses)
    }
}

/// Returns the metadata of a trace, as a record.
fn describe_trace(meta: &TraceMeta, label: &str) -> TraceDescription {
    TraceDescription {
        path: label.to_owned(),
        base_ns: meta.base_ns,
        rank: meta.rank,
        world_size: meta.world_size,
        backend: meta.backend.clone(),
        trace_id: meta.trace_id.clone(),
        trace_name: meta.trace_name.clone(),
        host: meta.host.clone(),
        devices: meta.devices.iter().map(|(id, name)| (id.to_string(), name.clone())).collect(),
        producer: meta.hints.clone(),
    }
}

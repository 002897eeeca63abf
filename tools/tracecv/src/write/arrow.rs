//! Arrow's IPC file format (arrow.apache.org `docs/format/Columnar.html`, "IPC File Format"): a table of events, and what
//! the traces say about themselves in the metadata of the file, under `traces`.

use std::io::Write;
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, StringBuilder};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use serde_json::{Value, json};
use trace::model::{Event, EventId, EventSink, TraceMeta};
use trace::read::write_compact;
use trace::rows::RawMembers;

use super::TraceWriter;
use crate::losses::Losses;

/// Rows of a batch: what memory holds at a time.
const BATCH_ROWS: usize = 64 * 1024;
/// Bytes of texts of a batch, fewer than its offsets of 32 bits can address.
const BATCH_BYTES: usize = 128 << 20;

/// The columns; true for texts.
const COLUMNS: [(&str, bool); 17] = [
    ("trace", true),
    ("index", false),
    ("ph", true),
    ("category", true),
    ("cat", true),
    ("name", true),
    ("pid", true),
    ("tid", true),
    ("device", false),
    ("stream", false),
    ("start_ns", false),
    ("dur_ns", false),
    ("correlation", false),
    ("external_id", false),
    ("id", true),
    ("args", true),
    ("other", true),
];

/// The values of a column in the rows that wait.
enum BatchValues {
    Int(Int64Builder),
    Text(StringBuilder),
}

/// Writes the events of any number of traces.
pub(crate) struct ArrowWriter<'w> {
    file: FileWriter<&'w mut dyn Write>,
    schema: SchemaRef,
    values: Vec<BatchValues>,
    /// The column that the next value is for.
    next: usize,
    rows: usize,
    text_bytes: usize,
    label: String,
    events: u64,
    traces: Vec<Value>,
    scratch: Vec<u8>,
}

impl<'w> ArrowWriter<'w> {
    pub(crate) fn new(to: &'w mut dyn Write) -> anyhow::Result<Self> {
        let field = |(name, text): (&str, bool)| {
            Field::new(name, if text { DataType::Utf8 } else { DataType::Int64 }, true)
        };
        let schema = Arc::new(Schema::new(COLUMNS.map(field).to_vec()));
        let values = COLUMNS.iter().map(|(_, text)| match text {
            true => BatchValues::Text(StringBuilder::new()),
            false => BatchValues::Int(Int64Builder::new()),
        });
        Ok(Self {
            file: FileWriter::try_new(to, &schema)?,
            schema,
            values: values.collect(),
            next: 0,
            rows: 0,
            text_bytes: 0,
            label: String::new(),
            events: 0,
            traces: Vec::new(),
            scratch: Vec::new(),
        })
    }

    fn int(&mut self, value: Option<i64>) {
        if let Some(BatchValues::Int(column)) = self.values.get_mut(self.next) {
            column.append_option(value);
        }
        self.next += 1;
    }

    fn text(&mut self, value: Option<&[u8]>) {
        if let Some(BatchValues::Text(column)) = self.values.get_mut(self.next) {
            column.append_option(value.map(String::from_utf8_lossy));
        }
        self.text_bytes += value.map_or(0, <[u8]>::len);
        self.next += 1;
    }

    fn id(&mut self, id: EventId<'_>) {
        match id {
            EventId::None => self.text(None),
            EventId::Number(n) => self.text(Some(n.to_string().as_bytes())),
            EventId::Text(text) => self.text(Some(&text.unescape())),
        }
    }

    fn write_batch(&mut self) -> anyhow::Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        let finish = |values: &mut BatchValues| -> ArrayRef {
            match values {
                BatchValues::Int(column) => Arc::new(column.finish()),
                BatchValues::Text(column) => Arc::new(column.finish()),
            }
        };
        let columns = self.values.iter_mut().map(finish).collect();
        self.file.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?;
        (self.rows, self.text_bytes) = (0, 0);
        Ok(())
    }
}

impl EventSink for ArrowWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.next = 0;
        self.events += 1;
        let label = std::mem::take(&mut self.label);
        self.text(Some(label.as_bytes()));
        self.label = label;
        self.int(i64::try_from(event.index).ok());
        self.text(Some(&[event.phase]));
        self.text(Some(event.category.name().as_bytes()));
        self.text(Some(&*event.cat.unescape()).filter(|cat| !cat.is_empty()));
        self.text(Some(&event.name.unescape()));
        self.id(event.pid);
        self.id(event.tid);
        for number in [event.device, event.stream, event.start, event.dur, event.correlation, event.external]
        {
            self.int(number);
        }
        self.id(event.id);
        let mut args = std::mem::take(&mut self.scratch);
        args.clear();
        if !event.args.is_empty() {
            write_compact(event.args, event.repaired, &mut args);
        }
        self.text(Some(&args[..]).filter(|args| !args.is_empty()));
        self.scratch = args;
        let other = RawMembers::of(event).other;
        let other = (!other.is_empty()).then(|| [b"{", &other[..], b"}"].concat());
        self.text(other.as_deref());
        debug_assert_eq!(self.next, COLUMNS.len());
        self.rows += 1;
        if self.rows >= BATCH_ROWS || self.text_bytes >= BATCH_BYTES { self.write_batch() } else { Ok(()) }
    }
}

impl TraceWriter for ArrowWriter<'_> {
    fn begin_trace(&mut self, label: &str) -> anyhow::Result<()> {
        label.clone_into(&mut self.label);
        self.events = 0;
        Ok(())
    }

    fn end_trace(&mut self, meta: &TraceMeta) -> anyhow::Result<()> {
        self.traces.push(json!({
            "trace": self.label,
            "rank": meta.rank,
            "world_size": meta.world_size,
            "base_ns": meta.base_ns,
            "backend": meta.backend,
            "host": meta.host,
            "trace_id": meta.trace_id,
            "trace_name": meta.trace_name,
            "devices": meta.devices,
            "events": self.events,
        }));
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<Losses> {
        self.write_batch()?;
        self.file.write_metadata("traces", Value::from(std::mem::take(&mut self.traces)).to_string());
        self.file.finish()?;
        Ok(Losses::default())
    }
}

/// Returns an error of the output as it is; Arrow's says it twice.
pub(super) fn name_failure(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<ArrowError>() {
        Ok(ArrowError::IoError(_, error)) => error.into(),
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

//! The Trace Event Format, as an object with `traceEvents` and what the trace says about itself.

use std::io::Write;

use serde_json::{Map, Value, json};
use trace::model::{Event, EventSink, RootMember, TraceMeta};

use super::event_text::write_event;
use super::{Buffered, TraceWriter};
use crate::losses::Losses;

/// Writes one trace.
pub(crate) struct ChromeWriter<'w> {
    out: Buffered<'w>,
    /// Events written.
    events: u64,
    /// Those of them that are metadata.
    metadata: u64,
}

impl<'w> ChromeWriter<'w> {
    pub(crate) fn new(to: &'w mut dyn Write) -> Self {
        Self { out: Buffered::new(to), events: 0, metadata: 0 }
    }

    /// Events written, without metadata.
    pub(crate) fn count_events(&self) -> u64 {
        self.events - self.metadata
    }

    /// Writes an event that is text already.
    pub(crate) fn write_text(&mut self, event: &[u8]) -> anyhow::Result<()> {
        self.separate();
        self.out.bytes.extend_from_slice(event);
        Ok(self.out.pass_enough()?)
    }

    /// Writes a metadata event that is text already.
    pub(crate) fn write_metadata(&mut self, event: &[u8]) -> anyhow::Result<()> {
        self.metadata += 1;
        self.write_text(event)
    }

    /// Ends the list of events, and adds what is known of the trace: members as they stand in its file, and others.
    pub(crate) fn write_description(
        &mut self,
        kept: &[RootMember],
        members: &Map<String, Value>,
    ) -> anyhow::Result<()> {
        self.out.bytes.extend_from_slice(b"\n]");
        for RootMember { name, value } in kept {
            self.write_key(name)?;
            self.out.bytes.extend_from_slice(value);
        }
        let is_kept =
            |key: &str| kept.iter().any(|kept| kept.name == key || Some(key) == renamed(&kept.name));
        for (key, value) in members.iter().filter(|(key, _)| !is_kept(key)) {
            self.write_key(key)?;
            serde_json::to_writer(&mut self.out.bytes, value)?;
        }
        self.out.bytes.extend_from_slice(b"}\n");
        Ok(())
    }

    fn write_key(&mut self, key: &str) -> anyhow::Result<()> {
        self.out.bytes.extend_from_slice(b",\n");
        serde_json::to_writer(&mut self.out.bytes, key)?;
        self.out.bytes.push(b':');
        Ok(())
    }

    fn separate(&mut self) {
        if self.events > 0 {
            self.out.bytes.extend_from_slice(b",\n");
        }
        self.events += 1;
    }
}

impl EventSink for ChromeWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.separate();
        self.metadata += u64::from(event.phase == b'M');
        write_event(&mut self.out.bytes, event);
        Ok(self.out.pass_enough()?)
    }
}

impl TraceWriter for ChromeWriter<'_> {
    fn begin_trace(&mut self, _: &str) -> anyhow::Result<()> {
        self.out.bytes.extend_from_slice(b"{\"traceEvents\":[\n");
        Ok(())
    }

    fn end_trace(&mut self, meta: &TraceMeta) -> anyhow::Result<()> {
        self.write_description(&meta.members, &describe_trace(meta))
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<Losses> {
        self.out.pass_all()?;
        Ok(Losses::default())
    }
}

/// What newer versions of libkineto call a member.
fn renamed(name: &str) -> Option<&'static str> {
    match name {
        "computeProperties" => Some("deviceProperties"),
        "baseTimeNanosecond" => Some("baseTimeNanoseconds"),
        _ => None,
    }
}

/// What a trace says about itself, under the keys that libkineto writes (pytorch/kineto `libkineto/src/output_json.cpp`).
pub(crate) fn describe_trace(meta: &TraceMeta) -> Map<String, Value> {
    let mut members = Map::new();
    // Some hints are members of the file: `schema 1`, `cuda_runtime_version 12040`.
    for (key, value) in meta.hints.iter().filter_map(|hint| hint.split_once(' ')) {
        let key = if key == "schema" { "schemaVersion" } else { key };
        let number = value.parse::<i64>().map(Value::from);
        members.insert(key.to_owned(), number.unwrap_or_else(|_| value.into()));
    }
    let distributed = [
        ("backend", meta.backend.clone().map(Value::from)),
        ("rank", meta.rank.map(Value::from)),
        ("world_size", meta.world_size.map(Value::from)),
    ];
    let distributed: Map<String, Value> =
        distributed.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect();
    if !distributed.is_empty() {
        members.insert("distributedInfo".to_owned(), distributed.into());
    }
    if !meta.devices.is_empty() {
        let devices: Vec<Value> =
            meta.devices.iter().map(|(id, name)| json!({"id": id, "name": name})).collect();
        members.insert("deviceProperties".to_owned(), devices.into());
    }
    let texts = [("trace_id", &meta.trace_id), ("traceName", &meta.trace_name), ("host_name", &meta.host)];
    for (key, text) in texts {
        if let Some(text) = text {
            members.insert(key.to_owned(), text.as_str().into());
        }
    }
    if let Some(base) = meta.base_ns {
        members.insert("baseTimeNanoseconds".to_owned(), base.into());
    }
    members
}

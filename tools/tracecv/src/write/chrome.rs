//! The Trace Event Format, as an object with `traceEvents` and what the trace says about itself.
//!
//! Most readers hold times as doubles of microseconds, which are a quarter of a microsecond apart where the Unix epoch is
//! 0. So times that count from there are written relative to a base, with what libkineto calls `baseTimeNanoseconds`. What
//! a Chrome trace says is left as it stands.

use std::io::Write;

use serde_json::{Map, Value, json};
use trace::model::{Event, EventSink, RootMember, TraceMeta, is_epoch_time};
use trace::read::write_compact;

use super::event_text::{write_changed_event, write_event, write_exact_event, write_fields};
use super::{Buffered, TraceWriter};
use crate::losses::Losses;

/// Writes one trace.
pub(crate) struct ChromeWriter<'w> {
    out: Buffered<'w>,
    /// Events written.
    events: u64,
    /// Those of them that are metadata.
    metadata: u64,
    /// The number that is subtracted from every time; absent before the first.
    base: Option<i64>,
    /// Times are written anew in any case, also those of Chrome traces.
    rewrites: bool,
}

/// Bases are whole multiples of this, as those of libkineto (pytorch/kineto `libkineto/src/output_json.h`, class
/// `ChromeTraceBaseTime`: three months, so that a double holds every nanosecond since): the ranks of a job have one base.
const BASE_STEP_NS: i64 = 7_889_238 * 1_000_000_000;

impl<'w> ChromeWriter<'w> {
    pub(crate) fn new(to: &'w mut dyn Write) -> Self {
        Self { out: Buffered::new(to), events: 0, metadata: 0, base: None, rewrites: false }
    }

    /// For events of which all times are written anew.
    pub(crate) fn rewriting(to: &'w mut dyn Write) -> Self {
        Self { rewrites: true, ..Self::new(to) }
    }

    /// Events written, without metadata.
    pub(crate) fn count_events(&self) -> u64 {
        self.events - self.metadata
    }

    /// Writes a metadata event that is text already.
    pub(crate) fn write_metadata(&mut self, event: &[u8]) -> anyhow::Result<()> {
        self.separate(b'M');
        self.out.bytes.extend_from_slice(event);
        Ok(self.out.pass_enough()?)
    }

    /// Writes `wanted`, which was made of `event`.
    pub(crate) fn write_changed(&mut self, event: &Event<'_>, wanted: &Event<'_>) -> anyhow::Result<()> {
        self.separate(wanted.phase);
        let wanted = self.place(wanted);
        write_changed_event(&mut self.out.bytes, event, &wanted);
        Ok(self.out.pass_enough()?)
    }

    /// Writes an event with its times in whole nanoseconds, as they were understood.
    pub(crate) fn write_exact(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.separate(event.phase);
        let wanted = self.place(event);
        write_exact_event(&mut self.out.bytes, event, &wanted);
        Ok(self.out.pass_enough()?)
    }

    /// Writes an event as its fields say.
    pub(crate) fn write_fields(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.separate(event.phase);
        let wanted = self.place(event);
        write_fields(&mut self.out.bytes, &wanted);
        Ok(self.out.pass_enough()?)
    }

    /// The event with its time on the clock of the output.
    fn place<'e>(&mut self, event: &Event<'e>) -> Event<'e> {
        let base = self.base_for(event);
        Event { start: event.start.map(|start| start.saturating_sub(base)), ..*event }
    }

    /// The number that is subtracted from the time of an event. The first event that has one decides for all; that of metadata says nothing,
    /// as many programs write 0 there.
    #[inline]
    fn base_for(&mut self, event: &Event<'_>) -> i64 {
        let Some(start) = event.start else { return 0 };
        let is_metadata = event.phase == b'M';
        if self.base.is_none() && (!is_metadata || is_epoch_time(start)) {
            let may_move = self.rewrites || event.text.is_empty() || event.made;
            let moves = may_move && is_epoch_time(start);
            self.base = Some(if moves { start - start % BASE_STEP_NS } else { 0 });
        }
        self.base.filter(|_| !is_metadata || is_epoch_time(start)).unwrap_or(0)
    }

    /// Ends the list of events, and adds what is known of the trace: members as they stand in its file, and others.
    pub(crate) fn write_description(
        &mut self,
        kept: &[RootMember],
        members: &Map<String, Value>,
    ) -> anyhow::Result<()> {
        self.out.bytes.extend_from_slice(b"\n]");
        let base = self.base.filter(|base| *base != 0);
        let is_base = |name: &str| name == BASE_KEY || renamed(name) == Some(BASE_KEY);
        let kept = || kept.iter().filter(|member| base.is_none() || !is_base(&member.name));
        for RootMember { name, value } in kept() {
            self.write_key(name)?;
            // It is JSON, but for what a text of it may have raw.
            write_compact(value, false, &mut self.out.bytes);
        }
        let is_kept = |key: &str| kept().any(|kept| kept.name == key || Some(key) == renamed(&kept.name));
        let own_base = |key: &str| base.is_some() && key == BASE_KEY;
        for (key, value) in members.iter().filter(|(key, _)| !is_kept(key) && !own_base(key)) {
            self.write_key(key)?;
            serde_json::to_writer(&mut self.out.bytes, value)?;
        }
        if let Some(base) = base {
            let told = members.get(BASE_KEY).and_then(Value::as_i64).unwrap_or(0);
            self.write_key(BASE_KEY)?;
            serde_json::to_writer(&mut self.out.bytes, &base.saturating_add(told))?;
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

    /// Begins a further event of this phase.
    fn separate(&mut self, phase: u8) {
        if self.events > 0 {
            self.out.bytes.extend_from_slice(b",\n");
        }
        self.events += 1;
        self.metadata += u64::from(phase == b'M');
    }
}

impl EventSink for ChromeWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.separate(event.phase);
        if self.base_for(event) == 0 {
            write_event(&mut self.out.bytes, event);
        } else {
            let wanted = self.place(event);
            write_changed_event(&mut self.out.bytes, event, &wanted);
        }
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

/// The member with the moment that is 0 in the trace, in nanoseconds after the Unix epoch.
const BASE_KEY: &str = "baseTimeNanoseconds";

/// Returns the name of a member in newer versions of libkineto.
fn renamed(name: &str) -> Option<&'static str> {
    match name {
        "computeProperties" => Some("deviceProperties"),
        "baseTimeNanosecond" => Some(BASE_KEY),
        _ => None,
    }
}

/// Returns the metadata of a trace, under the keys that libkineto writes (pytorch/kineto `libkineto/src/output_json.cpp`).
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
        members.insert(BASE_KEY.to_owned(), base.into());
    }
    members
}

//! OTLP traces in JSON (open-telemetry/opentelemetry-proto `trace/v1/trace.proto`; OpenTelemetry specification, "OTLP",
//! "JSON Protobuf Encoding"): slices as spans, nested as they are in time, threads as scopes.
//!
//! Numbers of 64 bits are texts, ids are hexadecimal digits. A trace of a profiler is one trace of OpenTelemetry.

use std::hash::BuildHasher;
use std::io::Write;

use serde_json::{Map, Value, json};
use trace::model::{Event, EventSink, TraceMeta};
use trace::read::parse_arguments;
use trace::rows::RawMembers;
use trace::spool::MemoryLimit;

use super::{Buffered, TraceWriter};
use crate::losses::Losses;
use crate::timeline::sweep::SweepStep;
use crate::timeline::{TimedEvent, TimedKind, Timeline};

/// Writes one trace.
pub(crate) struct OtlpWriter<'w> {
    out: Buffered<'w>,
    timeline: Timeline,
    label: String,
    losses: Losses,
}

impl<'w> OtlpWriter<'w> {
    pub(crate) fn new(to: &'w mut dyn Write, memory: MemoryLimit) -> Self {
        let (timeline, losses) = (Timeline::new(memory), Losses::default());
        Self { out: Buffered::new(to), timeline, label: String::new(), losses }
    }
}

impl EventSink for OtlpWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let mut attributes = Vec::new();
        if event.phase != b'M' && event.phase != b'C' {
            // That of a slice in two halves is the first's.
            if !matches!(event.phase, b'E' | b'e' | b'F') {
                attributes.push(attribute("category", event.category.name().into()));
            }
            if let Some(Value::Object(members)) = parse_arguments(event.args) {
                attributes.extend(members.into_iter().map(|(key, value)| attribute(&key, value)));
            }
            let other = RawMembers::of(event).other;
            if let Some(members) =
                parse_arguments(&[b"{", &other[..], b"}"].concat()).filter(|_| !other.is_empty())
            {
                attributes.push(attribute("other", members));
            }
        }
        let payload = if attributes.is_empty() { Vec::new() } else { serde_json::to_vec(&attributes)? };
        self.timeline.take_event(event, &payload)
    }
}

impl TraceWriter for OtlpWriter<'_> {
    fn begin_trace(&mut self, label: &str) -> anyhow::Result<()> {
        label.clone_into(&mut self.label);
        Ok(())
    }

    fn end_trace(&mut self, meta: &TraceMeta) -> anyhow::Result<()> {
        let sorted = self.timeline.sort()?;
        let begin = self.timeline.begin.unwrap_or(0);
        let base = meta.epoch_offset(begin).unwrap_or(0);
        self.losses.add(
            "wall-clock time (the trace does not say it)",
            u64::from(meta.epoch_offset(begin).is_none()),
        );
        let is_before = self.timeline.begin.is_some() && begin.saturating_add(base) < 0;
        self.losses.add("times before the Unix epoch (they count as 0)", u64::from(is_before));
        let resource = json!({ "attributes": describe_resource(meta, &self.label) });
        self.out.bytes.extend_from_slice(b"{\"resourceSpans\":[{\"resource\":");
        serde_json::to_writer(&mut self.out.bytes, &resource)?;
        self.out.bytes.extend_from_slice(b",\"scopeSpans\":[");
        let mut spans = Spans {
            out: &mut self.out,
            timeline: &mut self.timeline,
            trace_id: trace_id(meta, &self.label),
            base,
            track: None,
            lanes: Vec::new(),
            written: 0,
        };
        let (mut moments, mut flows) = (0, 0);
        sorted.sweep(|step| match step {
            SweepStep::Open { event, lane } => {
                spans.open(&event, lane);
                Ok(())
            }
            SweepStep::Close { event, lane } => spans.close(&event, lane),
            SweepStep::Point { event, .. } => {
                *(if event.kind > TimedKind::Value { &mut flows } else { &mut moments }) += 1;
                Ok(())
            }
        })?;
        spans.end_track();
        self.out.bytes.extend_from_slice(b"]}]}\n");
        self.losses.merge(&self.timeline.losses);
        self.losses.add("moments", moments);
        self.losses.add("flows", flows);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> anyhow::Result<Losses> {
        self.out.pass_all()?;
        Ok(self.losses)
    }
}

/// Describes the resource of a trace.
fn describe_resource(meta: &TraceMeta, label: &str) -> Vec<Value> {
    let mut attributes =
        vec![attribute("service.name", "profiler".into()), attribute("trace.file", label.into())];
    let numbers = [("rank", meta.rank), ("world_size", meta.world_size)];
    attributes.extend(numbers.into_iter().filter_map(|(key, n)| Some(attribute(key, n?.into()))));
    attributes.extend(meta.host.iter().map(|host| attribute("host.name", host.as_str().into())));
    attributes
}

/// The id of the request that the trace answers, or one made of its name: the same for the same trace.
fn trace_id(meta: &TraceMeta, label: &str) -> String {
    let given =
        meta.trace_id.as_deref().filter(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
    given.map_or_else(
        || {
            let state = std::hash::BuildHasherDefault::<std::hash::DefaultHasher>::default();
            let half = |salt: u8| state.hash_one((salt, label, meta.rank));
            format!("{:016x}{:016x}", half(1) | 1, half(2))
        },
        str::to_ascii_lowercase,
    )
}

/// An attribute, with its value in the form of the format.
fn attribute(key: &str, value: Value) -> Value {
    json!({"key": key, "value": any_value(value)})
}

fn any_value(value: Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(b) => json!({"boolValue": b}),
        Value::String(text) => json!({"stringValue": text}),
        Value::Number(number) if number.is_i64() => json!({"intValue": number.to_string()}),
        Value::Number(number) if number.is_u64() => json!({"stringValue": number.to_string()}),
        Value::Number(number) => json!({"doubleValue": number}),
        Value::Array(items) => {
            json!({"arrayValue": {"values": items.into_iter().map(any_value).collect::<Vec<_>>()}})
        }
        Value::Object(members) => {
            let values: Vec<Value> = members.into_iter().map(|(key, value)| attribute(&key, value)).collect();
            json!({"kvlistValue": {"values": values}})
        }
    }
}

/// Writes span after span.
struct Spans<'a, 'w> {
    out: &'a mut Buffered<'w>,
    timeline: &'a mut Timeline,
    trace_id: String,
    base: i64,
    /// The track whose scope is open.
    track: Option<u32>,
    /// The spans that are open, lane by lane, innermost last.
    lanes: Vec<Vec<u64>>,
    /// Spans in the scope.
    written: u64,
}

impl Spans<'_, '_> {
    fn open(&mut self, event: &TimedEvent, lane: usize) {
        if self.track != Some(event.track) {
            let first = self.track.is_none();
            self.end_track();
            self.begin_track(event.track, first);
        }
        if self.lanes.len() <= lane {
            self.lanes.resize(lane + 1, Vec::new());
        }
        self.lanes[lane].push(event.index + 1);
    }

    fn close(&mut self, event: &TimedEvent, lane: usize) -> anyhow::Result<()> {
        let Some(open) = self.lanes.get_mut(lane) else { return Ok(()) };
        let id = open.pop().unwrap_or(event.index + 1);
        let parent = open.last().copied();
        let at = |moment: i64| moment.saturating_add(self.base).max(0).to_string();
        let mut span = Map::new();
        span.insert("traceId".to_owned(), self.trace_id.as_str().into());
        span.insert("spanId".to_owned(), format!("{id:016x}").into());
        if let Some(parent) = parent {
            span.insert("parentSpanId".to_owned(), format!("{parent:016x}").into());
        }
        span.insert("name".to_owned(), self.timeline.names.name(event.name).into());
        span.insert("kind".to_owned(), 1.into());
        span.insert("startTimeUnixNano".to_owned(), at(event.start).into());
        span.insert("endTimeUnixNano".to_owned(), at(event.end).into());
        if self.written > 0 {
            self.out.bytes.push(b',');
        }
        self.written += 1;
        self.out.bytes.push(b'\n');
        serde_json::to_writer(&mut self.out.bytes, &span)?;
        let mut attributes = self.timeline.payloads.get(event.payload)?.to_vec();
        let of_end = self.timeline.payloads.get(event.end_payload)?;
        if attributes.is_empty() {
            attributes.extend_from_slice(of_end);
        } else if let [b'[', rest @ ..] = of_end {
            // One list of both.
            attributes.pop();
            attributes.push(b',');
            attributes.extend_from_slice(rest);
        }
        if !attributes.is_empty() {
            // Into the object that has just been closed.
            self.out.bytes.pop();
            self.out.bytes.extend_from_slice(b",\"attributes\":");
            self.out.bytes.extend_from_slice(&attributes);
            self.out.bytes.push(b'}');
        }
        Ok(self.out.pass_enough()?)
    }

    fn begin_track(&mut self, number: u32, first: bool) {
        let track = &self.timeline.tracks.tracks[number as usize];
        let process = &self.timeline.tracks.processes[track.process as usize];
        let scope = json!({"name": format!("{} {}", process.describe(), track.describe())});
        let comma = if first { "" } else { "," };
        self.out.bytes.extend_from_slice(format!("{comma}\n{{\"scope\":{scope},\"spans\":[").as_bytes());
        (self.track, self.written) = (Some(number), 0);
        self.lanes.clear();
    }

    fn end_track(&mut self) {
        if self.track.is_some() {
            self.out.bytes.extend_from_slice(b"]}");
        }
    }
}

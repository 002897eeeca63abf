//! OTLP traces in JSON (open-telemetry/opentelemetry-proto `trace/v1/trace.proto`; OpenTelemetry specification, "OTLP",
//! "JSON Protobuf Encoding"): slices as spans, nested as they are in time, threads as scopes.
//!
//! Numbers of 64 bits are texts, ids are hexadecimal digits. A trace of a profiler is one trace of OpenTelemetry.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::BuildHasher;
use std::io::Write;

use serde_json::{Value, json};
use trace::model::{Event, EventSink, RawText, TraceMeta};
use trace::read::{OrderedMembers, OrderedValue, parse_members, write_number, write_text};
use trace::rows::RawMembers;
use trace::spool::MemoryLimit;

use super::{Buffered, TraceWriter, digits};
use crate::losses::Losses;
use crate::timeline::sweep::SweepStep;
use crate::timeline::{TimedEvent, TimedKind, Timeline};

/// Writes one trace.
pub(crate) struct OtlpWriter<'w> {
    out: Buffered<'w>,
    timeline: Timeline,
    label: String,
    losses: Losses,
    /// The attributes of the event that is being taken.
    payload: Vec<u8>,
}

impl<'w> OtlpWriter<'w> {
    pub(crate) fn new(to: &'w mut dyn Write, memory: MemoryLimit) -> Self {
        let (timeline, losses) = (Timeline::new(memory), Losses::default());
        Self { out: Buffered::new(to), timeline, label: String::new(), losses, payload: Vec::new() }
    }
}

impl EventSink for OtlpWriter<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let other;
        let mut attributes = OrderedMembers::new();
        if event.phase != b'M' && event.phase != b'C' {
            // That of a slice in two halves is the first's.
            if !matches!(event.phase, b'E' | b'e' | b'F') {
                let category = OrderedValue::Text(event.category.name().into());
                attributes.push(("category".into(), category));
            }
            let mut read = true;
            if !event.args.is_empty() {
                match parse_members(event.args) {
                    Some(members) => attributes.extend(members),
                    None => read = false,
                }
            }
            let rest = RawMembers::of(event).other;
            if !rest.is_empty() {
                other = [b"{", &rest[..], b"}"].concat();
                match parse_members(&other) {
                    Some(members) => attributes.push(("other".into(), OrderedValue::Members(members))),
                    None => read = false,
                }
            }
            self.losses.add("arguments of events that cannot be read", u64::from(!read));
            self.losses.add(digits::LOST, digits::count_rounded(event.args));
        }
        let mut repeated = 0;
        self.payload.clear();
        if !attributes.is_empty() {
            write_attributes(&mut self.payload, &attributes, &mut repeated);
        }
        self.losses.add(REPEATED_NAMES, repeated);
        self.timeline.take_event(event, &self.payload)
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
            repeated: 0,
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
        let repeated = spans.repeated;
        self.out.bytes.extend_from_slice(b"]}]}\n");
        self.losses.merge(&self.timeline.losses);
        self.losses.add(REPEATED_NAMES, repeated);
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
    let text = |key: &str, text: &str| attribute(key, json!({"stringValue": text}));
    let mut attributes = vec![text("service.name", "profiler"), text("trace.file", label)];
    let numbers = [("rank", meta.rank), ("world_size", meta.world_size)];
    let number = |key: &str, n: i64| attribute(key, json!({"intValue": n.to_string()}));
    attributes.extend(numbers.into_iter().filter_map(|(key, n)| Some(number(key, n?))));
    attributes.extend(meta.host.iter().map(|host| text("host.name", host)));
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
    json!({"key": key, "value": value})
}

/// The kind of loss of what has the name of something behind it: names of attributes are unique (OpenTelemetry
/// specification, "Attribute Collections").
const REPEATED_NAMES: &str = "arguments with the name of a later one";

/// A member of an object, with its name.
type Member<'a> = (Cow<'a, str>, OrderedValue<'a>);

/// Appends a list of attributes. Of those that have one name, the last is in it, and the others are counted.
fn write_attributes(to: &mut Vec<u8>, members: &[Member<'_>], repeated: &mut u64) {
    to.push(b'[');
    let mut first = true;
    for (is_last, (name, value)) in last_of_names(members).into_iter().zip(members) {
        if !is_last {
            *repeated += 1;
            continue;
        }
        to.extend_from_slice(if first { b"{\"key\":" } else { b",{\"key\":" });
        first = false;
        write_string(to, name);
        to.extend_from_slice(b",\"value\":");
        write_any_value(to, value, repeated);
        to.push(b'}');
    }
    to.push(b']');
}

/// Of each member, whether it is the last with its name.
fn last_of_names(members: &[Member<'_>]) -> Vec<bool> {
    /// So few are compared faster than hashed.
    const FEW: usize = 32;
    if members.len() <= FEW {
        let name = |i: usize| &members[i].0;
        return (0..members.len()).map(|i| (i + 1..members.len()).all(|j| name(i) != name(j))).collect();
    }
    let mut names = HashSet::new();
    let mut is_last: Vec<bool> = members.iter().rev().map(|(name, _)| names.insert(name)).collect();
    is_last.reverse();
    is_last
}

/// Appends an `AnyValue`.
fn write_any_value(to: &mut Vec<u8>, value: &OrderedValue<'_>, repeated: &mut u64) {
    match value {
        OrderedValue::Null => return to.extend_from_slice(b"{}"),
        OrderedValue::Bool(true) => to.extend_from_slice(b"{\"boolValue\":true"),
        OrderedValue::Bool(false) => to.extend_from_slice(b"{\"boolValue\":false"),
        OrderedValue::Text(text) => {
            to.extend_from_slice(b"{\"stringValue\":");
            write_string(to, text);
        }
        OrderedValue::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => {
                to.extend_from_slice(b"{\"intValue\":\"");
                write_number(to, whole);
                to.push(b'"');
            }
            (None, Some(large)) => to.extend_from_slice(format!("{{\"stringValue\":\"{large}\"").as_bytes()),
            (None, None) => to.extend_from_slice(format!("{{\"doubleValue\":{number}").as_bytes()),
        },
        OrderedValue::List(items) => {
            to.extend_from_slice(b"{\"arrayValue\":{\"values\":[");
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    to.push(b',');
                }
                write_any_value(to, item, repeated);
            }
            to.extend_from_slice(b"]}");
        }
        OrderedValue::Members(members) => {
            to.extend_from_slice(b"{\"kvlistValue\":{\"values\":");
            write_attributes(to, members, repeated);
            to.push(b'}');
        }
    }
    to.push(b'}');
}

/// Appends a string.
fn write_string(to: &mut Vec<u8>, text: &str) {
    write_text(RawText::from(text), to);
}

/// The attributes of a slice in two halves as one list: of those that have one name, that of its end. Returns how many
/// names were on both.
fn join_attributes(of_begin: &[u8], of_end: &[u8]) -> anyhow::Result<(Vec<u8>, u64)> {
    let (mut all, end): (Vec<Value>, Vec<Value>) =
        (serde_json::from_slice(of_begin)?, serde_json::from_slice(of_end)?);
    let names: HashSet<&str> = end.iter().filter_map(|attribute| attribute["key"].as_str()).collect();
    let before = all.len();
    all.retain(|attribute| attribute["key"].as_str().is_none_or(|key| !names.contains(key)));
    let repeated = (before - all.len()) as u64;
    all.extend(end);
    Ok((serde_json::to_vec(&all)?, repeated))
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
    /// Attributes of begins whose ends have one of the same name.
    repeated: u64,
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
        let base = self.base;
        let at = |moment: i64| moment.saturating_add(base).max(0);
        let mut attributes = self.timeline.payloads.get(event.payload)?.to_vec();
        let of_end = self.timeline.payloads.get(event.end_payload)?;
        if attributes.is_empty() {
            attributes.extend_from_slice(of_end);
        } else if !of_end.is_empty() {
            let (all, repeated) = join_attributes(&attributes, of_end)?;
            attributes = all;
            self.repeated += repeated;
        }
        let to = &mut self.out.bytes;
        to.extend_from_slice(if self.written > 0 { b",\n{" } else { b"\n{" });
        self.written += 1;
        to.extend_from_slice(b"\"endTimeUnixNano\":\"");
        write_number(to, at(event.end));
        to.extend_from_slice(b"\",\"kind\":1,\"name\":");
        write_string(to, self.timeline.names.name(event.name));
        if let Some(parent) = parent {
            to.extend_from_slice(format!(",\"parentSpanId\":\"{parent:016x}\"").as_bytes());
        }
        to.extend_from_slice(format!(",\"spanId\":\"{id:016x}\",\"startTimeUnixNano\":\"").as_bytes());
        write_number(to, at(event.start));
        to.extend_from_slice(b"\",\"traceId\":\"");
        to.extend_from_slice(self.trace_id.as_bytes());
        to.push(b'"');
        if !attributes.is_empty() {
            to.extend_from_slice(b",\"attributes\":");
            to.extend_from_slice(&attributes);
        }
        to.push(b'}');
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

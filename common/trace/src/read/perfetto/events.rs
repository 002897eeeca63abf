//! Events on tracks (`protos/perfetto/trace/track_event/track_event.proto`).

use super::super::emit::{Arguments, plain};
use super::super::error::ReadStop;
use super::super::wire::each_field;
use super::messages::{Annotation, LegacyEvent, NestedValue, TrackEvent};
use super::sequences::{Sequence, text_of};
use super::slices::SliceLine;
use super::tracks::{Place, TrackId};
use super::{PerfettoReader, number_in};
use crate::model::{Category, Defect, Event, EventId};

/// Kinds of events (`TrackEvent.Type`).
const BEGIN: u32 = 1;
const END: u32 = 2;
const INSTANT: u32 = 3;
const COUNTER: u32 = 4;

/// Flows that are remembered as begun.
const MOST_FLOWS: usize = 1 << 22;

impl PerfettoReader<'_> {
    pub(super) fn read_track_event(
        &mut self,
        event: &TrackEvent,
        bytes: &[u8],
        sequence_id: Option<u32>,
        packet_time: i64,
        at: u64,
    ) -> Result<(), ReadStop> {
        let time = self.event_time(event, sequence_id, packet_time);
        self.emit.count_several(Defect::UnreadArgument, count_unread_fields(bytes), at)?;
        if event.kind == Some(COUNTER) {
            self.read_counter(event, sequence_id, time, at)?;
            return self.read_extra_counters(event, sequence_id, time, at);
        }
        let legacy = event.legacy.as_ref();
        let phase = match event.kind {
            Some(BEGIN) => b'B',
            Some(END) => b'E',
            Some(INSTANT) => b'i',
            _ => legacy.and_then(|l| u8::try_from(l.phase?).ok()).filter(u8::is_ascii_graphic).unwrap_or(0),
        };
        if phase == 0 {
            return self.emit.count(Defect::NoPhase, at);
        }
        let place = self.place_of(event, sequence_id)?;
        let sequence = self.sequences.get(sequence_id);
        let mut shown = Event {
            phase,
            name: plain(event.name.as_deref().unwrap_or_else(|| {
                let old = legacy.and_then(|legacy| legacy.name_id);
                text_of(&sequence.names, event.name_id.or(old))
            })),
            pid: place.0.as_id(),
            tid: place.1.as_id(),
            start: Some(time),
            ..Event::default()
        };
        let categories = join_categories(event, sequence);
        shown.cat = plain(&categories);
        if let Some(legacy) = legacy {
            fill_from_legacy(&mut shown, legacy);
        }
        let mut links = Links::default();
        for annotation in &event.annotations {
            let key = key_of(annotation, sequence);
            links.take(key, annotation, sequence);
            write_annotation(&mut self.emit.args, key, annotation, sequence, 0);
        }
        shown.category = category_of_rocprof(&categories);
        links.fill(&mut shown);
        // Without a number of its own, the first stage that it submitted is what ties it to the GPU.
        let submitted = event.gpu.as_ref().and_then(|g| i64::try_from(*g.submitted.first()?).ok());
        shown.correlation = shown.correlation.or(submitted);
        let track = event.track.or(sequence.defaults.event.as_ref().and_then(|d| d.track));
        let moved = legacy.is_some_and(|l| l.pid.is_some() || l.tid.is_some());
        match (phase, self.tracks.async_id(track.unwrap_or(0))) {
            (b'B' | b'E' | b'i', Some(id)) => {
                shown.phase = if phase == b'i' { b'n' } else { phase.to_ascii_lowercase() };
                // It stands on no thread, but may say which one it came from.
                if legacy.is_none_or(|legacy| legacy.tid.is_none()) {
                    shown.tid = EventId::None;
                }
                shown.id = id.as_id();
                self.emit.send(shown)?;
            }
            (b'B' | b'E', None) => {
                let line = match track.or((sequence.thread.is_none()).then_some(0)).filter(|_| !moved) {
                    Some(track) => SliceLine::Track(track),
                    None => SliceLine::Thread(TrackId::of_event(shown.pid), TrackId::of_event(shown.tid)),
                };
                self.slices.take(line, &shown, time, &mut self.emit)?;
            }
            _ => self.emit.send(shown)?,
        }
        self.send_flows(event, &place, time)?;
        self.send_bound_flow(event, &place, time, at)?;
        self.read_extra_counters(event, sequence_id, time, at)
    }

    /// Old events have times of their own.
    fn event_time(&mut self, event: &TrackEvent, sequence: Option<u32>, packet_time: i64) -> i64 {
        if let Some(us) = event.absolute_us {
            return us.wrapping_mul(1000);
        }
        match (event.delta_us, self.sequences.get_mut(sequence)) {
            (Some(us), Ok(sequence)) => {
                sequence.reference = sequence.reference.wrapping_add(us.wrapping_mul(1000));
                sequence.reference
            }
            _ => packet_time,
        }
    }

    fn place_of(&mut self, event: &TrackEvent, sequence: Option<u32>) -> Result<Place, ReadStop> {
        let sequence = self.sequences.get(sequence);
        let default = sequence.defaults.event.as_ref().and_then(|d| d.track);
        match (event.track.or(default), sequence.thread) {
            (None, Some((pid, tid))) => Ok((TrackId::Number(pid), TrackId::Number(tid))),
            (track, _) => self.tracks.place(track.unwrap_or(0), &mut self.emit),
        }
    }

    fn read_counter(
        &mut self,
        event: &TrackEvent,
        sequence: Option<u32>,
        time: i64,
        at: u64,
    ) -> Result<(), ReadStop> {
        let default = self.sequences.get(sequence).defaults.event.as_ref().and_then(|d| d.track);
        let Some(uuid) = event.track.or(default) else {
            return self.emit.count(Defect::CounterWithoutTrack, at);
        };
        match (event.counter, event.double_counter) {
            (Some(n), _) => {
                let value = self.tracks.count(uuid, n);
                self.emit.args.integer("value", value);
            }
            (None, x) => {
                let value = x.unwrap_or(0.0) * self.tracks.multiplier(uuid);
                self.emit.args.real(b"value", value);
            }
        }
        self.send_counter(uuid, time)
    }

    fn send_counter(&mut self, uuid: u64, at: i64) -> Result<(), ReadStop> {
        // The name of the track comes with its place, so its place is asked for without the arguments.
        let args = std::mem::take(&mut self.emit.args);
        let (pid, tid) = self.tracks.place(uuid, &mut self.emit)?;
        self.emit.args = args;
        self.emit.send(Event {
            phase: b'C',
            category: Category::Counter,
            name: plain(self.tracks.name(uuid)),
            pid: pid.as_id(),
            tid: tid.as_id(),
            start: Some(at),
            ..Event::default()
        })
    }

    /// Values of other tracks that an event brings along.
    fn read_extra_counters(
        &mut self,
        event: &TrackEvent,
        sequence: Option<u32>,
        time: i64,
        at: u64,
    ) -> Result<(), ReadStop> {
        if event.extra_values.is_empty() && event.extra_double_values.is_empty() {
            return Ok(());
        }
        let defaults = self.sequences.get(sequence).defaults.event.clone().unwrap_or_default();
        let tracks = if event.extra.is_empty() { &defaults.extra } else { &event.extra };
        let mut without_track = event.extra_values.len().saturating_sub(tracks.len());
        for (uuid, value) in tracks.iter().zip(&event.extra_values) {
            let value = self.tracks.count(*uuid, *value);
            self.emit.args.integer("value", value);
            self.send_counter(*uuid, time)?;
        }
        let tracks = if event.extra_double.is_empty() { &defaults.extra_double } else { &event.extra_double };
        without_track += event.extra_double_values.len().saturating_sub(tracks.len());
        for (uuid, value) in tracks.iter().zip(&event.extra_double_values) {
            let value = value * self.tracks.multiplier(*uuid);
            self.emit.args.real(b"value", value);
            self.send_counter(*uuid, time)?;
        }
        self.emit.count_several(Defect::CounterWithoutTrack, without_track as u64, at)
    }

    /// The arrows that begin, pass or end at an event.
    fn send_flows(&mut self, event: &TrackEvent, place: &Place, time: i64) -> Result<(), ReadStop> {
        let passing = event.flows.iter().chain(&event.old_flows).map(|id| (*id, false));
        let last = event.last_flows.iter().chain(&event.old_last_flows).map(|id| (*id, true));
        for (id, ends) in passing.chain(last) {
            let begun = !self.begin_flow(id);
            let phase = match (begun, ends) {
                (_, true) => b'f',
                (false, false) => b's',
                (true, false) => b't',
            };
            self.send_flow(id, phase, place, time)?;
        }
        Ok(())
    }

    /// The arrow of the old form that begins, passes or ends at an event: one id and its direction
    /// (`src/trace_processor/importers/proto/track_event_event_importer.h`, `ParseFlowEventV2`).
    fn send_bound_flow(
        &mut self,
        event: &TrackEvent,
        place: &Place,
        time: i64,
        at: u64,
    ) -> Result<(), ReadStop> {
        let Some(legacy) = &event.legacy else { return Ok(()) };
        let Some(id) = legacy.bind_id else { return Ok(()) };
        // `LegacyEvent.FlowDirection`: into the event, out of it, both.
        let phase = match legacy.flow_direction {
            Some(1) => b'f',
            Some(2) => b's',
            Some(3) => b't',
            // It leads nowhere.
            _ => return self.emit.count(Defect::UnreadArgument, at),
        };
        self.begin_flow(id);
        self.send_flow(id, phase, place, time)
    }

    /// Remembers a flow. Returns whether it is known to be new.
    fn begin_flow(&mut self, id: u64) -> bool {
        self.flows.len() < MOST_FLOWS && self.flows.insert(id, ()).is_none()
    }

    fn send_flow(&mut self, id: u64, phase: u8, place: &Place, time: i64) -> Result<(), ReadStop> {
        self.emit.send(Event {
            phase,
            category: Category::Flow,
            cat: "flow".into(),
            name: "flow".into(),
            pid: place.0.as_id(),
            tid: place.1.as_id(),
            start: Some(time),
            id: EventId::Number(id as i64),
            ..Event::default()
        })
    }
}

/// Counts the fields of an event that say more about it and are not read: typed arguments, places in a source, call stacks,
/// times of threads.
fn count_unread_fields(event: &[u8]) -> u64 {
    // The last two are the links to render stages, and the library that made them.
    let is_read = |number: u64| matches!(number, 1 | 3 | 4 | 6 | 9..=12 | 16 | 22 | 23 | 30 | 31 | 36 | 42 | 44..=48 | 3000 | 3001);
    each_field(event).filter(|(field, _)| !is_read(field.number)).count() as u64
}

/// Numbers among the annotations that tie events together.
#[derive(Default)]
struct Links {
    correlation: Option<i64>,
    external: Option<i64>,
    device: Option<i64>,
    stream: Option<i64>,
    sequence: Option<i64>,
    step: Option<i64>,
    /// The kind of an Ascend task.
    task_type: Vec<u8>,
}

impl Links {
    fn take(&mut self, key: &[u8], annotation: &Annotation, sequence: &Sequence) {
        let number = || match annotation {
            Annotation { signed: Some(n), .. } => Some(*n),
            // A whole number that the trace before this one spelled with a point.
            Annotation { double: Some(x), .. } if x.fract() == 0.0 && x.abs() < 1e15 => Some(*x as i64),
            Annotation { unsigned: Some(n), .. } => i64::try_from(*n).ok(),
            other => number_in(text_in(other, sequence)?),
        };
        match key {
            // rocprofv3: `corr_id`, `stream_ID`, `agent`.
            b"correlation" | b"correlation_id" | b"corr_id" => self.correlation = number(),
            b"External id" | b"external id" => self.external = number().filter(|id| *id != 0),
            b"device" | b"device id" | b"agent" => self.device = number(),
            b"stream" | b"stream_id" | b"stream id" | b"stream_ID" => self.stream = number(),
            b"Ev Idx" => self.sequence = number(),
            b"step_num" => self.step = number(),
            b"Task Type" => self.task_type = text_in(annotation, sequence).unwrap_or_default().to_vec(),
            _ => {}
        }
    }

    fn fill<'e>(&'e self, event: &mut Event<'e>) {
        (event.correlation, event.external) = (self.correlation, self.external);
        (event.device, event.stream) = (self.device, self.stream);
        (event.sequence, event.step_number) = (self.sequence, self.step);
        event.task_type = plain(&self.task_type);
    }
}

fn text_in<'a>(annotation: &'a Annotation, sequence: &'a Sequence) -> Option<&'a [u8]> {
    match (&annotation.text, annotation.text_id) {
        (Some(text), _) => Some(text),
        (None, Some(id)) => Some(text_of(&sequence.texts, Some(id))),
        (None, None) => None,
    }
}

fn key_of<'a>(annotation: &'a Annotation, sequence: &'a Sequence) -> &'a [u8] {
    match &annotation.name {
        Some(name) => name,
        None => text_of(&sequence.annotation_names, annotation.name_id),
    }
}

/// Writes an annotation as an argument.
fn write_annotation(args: &mut Arguments, key: &[u8], a: &Annotation, sequence: &Sequence, depth: u32) {
    args.begin_member(key);
    write_value(args, a, sequence, depth);
}

/// Writes the value of an annotation.
fn write_value(args: &mut Arguments, a: &Annotation, sequence: &Sequence, depth: u32) {
    // Deeper messages are not decoded (prost's limit).
    const DEEPEST: u32 = 100;
    if let Some(text) = text_in(a, sequence) {
        return args.value_text(text);
    }
    if depth < DEEPEST && !a.members.is_empty() {
        args.value_json(b"{");
        for member in &a.members {
            write_annotation(args, key_of(member, sequence), member, sequence, depth + 1);
        }
        return args.value_json(b"}");
    }
    if depth < DEEPEST && !a.items.is_empty() {
        for (i, item) in a.items.iter().enumerate() {
            args.value_json(if i == 0 { b"[" } else { b"," });
            write_value(args, item, sequence, depth + 1);
        }
        return args.value_json(b"]");
    }
    let value = match a {
        Annotation { truth: Some(truth), .. } => truth.to_string(),
        Annotation { unsigned: Some(n), .. } | Annotation { pointer: Some(n), .. } => n.to_string(),
        Annotation { signed: Some(n), .. } => n.to_string(),
        Annotation { double: Some(x), .. } => return args.value_real(*x),
        Annotation { nested: Some(nested), .. } => return write_nested(args, nested),
        // JSON text of another writer: what is not JSON is passed on as a text.
        Annotation { json: Some(json), .. } => match serde_json::from_slice::<serde_json::Value>(json) {
            Ok(_) => return args.value_compact(json),
            Err(_) => return args.value_text(json),
        },
        _ => {
            args.note_unread(u64::from(a.proto.is_some()));
            "null".to_owned()
        }
    };
    args.value_json(value.as_bytes());
}

/// Writes a value of the old form; prost limits its depth.
fn write_nested(args: &mut Arguments, value: &NestedValue) {
    if !value.keys.is_empty() {
        args.value_json(b"{");
        for (key, member) in value.keys.iter().zip(&value.members) {
            args.begin_member(key);
            write_nested(args, member);
        }
        return args.value_json(b"}");
    }
    if !value.items.is_empty() {
        for (i, item) in value.items.iter().enumerate() {
            args.value_json(if i == 0 { b"[" } else { b"," });
            write_nested(args, item);
        }
        return args.value_json(b"]");
    }
    let json = match value {
        NestedValue { text: Some(text), .. } => return args.value_text(text),
        NestedValue { whole: Some(n), .. } => n.to_string(),
        NestedValue { double: Some(x), .. } => return args.value_real(*x),
        NestedValue { truth: Some(truth), .. } => truth.to_string(),
        _ => "null".to_owned(),
    };
    args.value_json(json.as_bytes());
}

fn join_categories(event: &TrackEvent, sequence: &Sequence) -> Vec<u8> {
    let named = event.categories.iter().map(Vec::as_slice);
    let numbered = event.category_ids.iter().map(|id| text_of(&sequence.categories, Some(*id)));
    let all: Vec<&[u8]> = named.chain(numbered).filter(|c| !c.is_empty()).collect();
    all.join(&b","[..])
}

/// The categories of rocprofv3 (ROCm/rocm-systems `projects/rocprofiler-sdk/source/lib/output/generatePerfetto.cpp`).
fn category_of_rocprof(cat: &[u8]) -> Category {
    match cat {
        b"kernel_dispatch" => Category::Kernel,
        b"memory_copy" => Category::Memcpy,
        b"hip_api" | b"hsa_api" | b"rccl_api" => Category::Runtime,
        b"marker_api" => Category::Marker,
        b"memory_allocation" | b"scratch_memory" => Category::Memory,
        _ => Category::Other,
    }
}

/// Fills in the fields that an event keeps which was translated from a trace in JSON.
fn fill_from_legacy<'e>(event: &mut Event<'e>, legacy: &'e LegacyEvent) {
    if let Some(pid) = legacy.pid {
        event.pid = EventId::Number(i64::from(pid));
    }
    if let Some(tid) = legacy.tid {
        event.tid = EventId::Number(i64::from(tid));
    }
    event.dur = legacy.dur_us.filter(|_| event.phase == b'X').map(|us| us.saturating_mul(1000).max(0));
    event.scope = plain(legacy.scope.as_deref().unwrap_or_default());
    event.local_id = legacy.local_id.is_some();
    if let Some(id) = legacy.local_id.or(legacy.id).or(legacy.global_id) {
        event.id = EventId::Number(id as i64);
    }
}

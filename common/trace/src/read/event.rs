//! One event: its members as the file has them, and what they mean.

use super::decimal::{nanos_from_micros, parse_integer};
use super::error::ReadError;
use super::json::{JsonScalar, JsonScanner, TextSpan};
use super::process::ProcessTable;
use super::{ascend, kineto};
use crate::model::{Category, Event, EventId, ProcessRole, RawText};

/// A longer event is an error of the producer's clock.
const LONGEST_NS: i64 = 7 * 24 * 3600 * 1_000_000_000;

/// The members of an event that anybody looks at, as they stand in the file.
#[derive(Default)]
pub(super) struct EventFields {
    phase: Option<JsonScalar>,
    cat: Option<JsonScalar>,
    name: Option<JsonScalar>,
    pid: Option<JsonScalar>,
    tid: Option<JsonScalar>,
    ts: Option<JsonScalar>,
    dur: Option<JsonScalar>,
    id: Option<JsonScalar>,
    args: Option<TextSpan>,
    correlation: Option<JsonScalar>,
    external: Option<JsonScalar>,
    stream: Option<JsonScalar>,
    device: Option<JsonScalar>,
    task_type: Option<JsonScalar>,
    /// `name` or `labels` of a metadata event.
    label: Option<JsonScalar>,
}

impl EventFields {
    /// Reads the object that is next. Of a member that comes twice, the last counts.
    pub(super) fn read_fields(scan: &mut JsonScanner<'_>) -> Result<Self, ReadError> {
        let mut fields = Self::default();
        let mut more = scan.open_bracket(b'}')?;
        while more {
            let key = scan.scan_key()?;
            match unescaped_key(&scan.text_of(key)) {
                Some(b"args") => fields.read_arguments(scan)?,
                Some(key) => read_into_slot(scan, fields.member_slot(key))?,
                None => {
                    let key = scan.text_of(key).decode().into_owned();
                    read_into_slot(scan, fields.member_slot(key.as_bytes()))?;
                }
            }
            more = scan.next_element(b'}')?;
        }
        Ok(fields)
    }

    fn member_slot(&mut self, key: &[u8]) -> Option<&mut Option<JsonScalar>> {
        Some(match key {
            b"ph" => &mut self.phase,
            b"cat" => &mut self.cat,
            b"name" => &mut self.name,
            b"pid" => &mut self.pid,
            b"tid" => &mut self.tid,
            b"ts" => &mut self.ts,
            b"dur" => &mut self.dur,
            b"id" => &mut self.id,
            _ => return None,
        })
    }

    fn read_arguments(&mut self, scan: &mut JsonScanner<'_>) -> Result<(), ReadError> {
        if scan.expect_byte("an event")? != b'{' {
            return scan.skip_value();
        }
        let start = scan.buffer.offset();
        let mut more = scan.open_bracket(b'}')?;
        while more {
            let key = scan.scan_key()?;
            let slot = unescaped_key(&scan.text_of(key)).and_then(|key| self.argument_slot(key));
            read_into_slot(scan, slot)?;
            more = scan.next_element(b'}')?;
        }
        self.args = Some(scan.span_since(start));
        Ok(())
    }

    fn argument_slot(&mut self, key: &[u8]) -> Option<&mut Option<JsonScalar>> {
        Some(match key {
            b"correlation" => &mut self.correlation,
            b"External id" | b"external id" => &mut self.external,
            b"stream" | b"stream_id" => &mut self.stream,
            b"device" => &mut self.device,
            b"Task Type" => &mut self.task_type,
            b"name" | b"labels" => &mut self.label,
            _ => return None,
        })
    }
}

/// A key as it is; `None` if it has to be decoded first, which no known producer's keys have to be.
#[inline]
fn unescaped_key<'a>(key: &RawText<'a>) -> Option<&'a [u8]> {
    (!key.escaped).then_some(key.raw)
}

/// Puts the value that is next into its slot, or skips it.
#[inline]
fn read_into_slot(
    scan: &mut JsonScanner<'_>,
    slot: Option<&mut Option<JsonScalar>>,
) -> Result<(), ReadError> {
    match slot {
        Some(slot) => *slot = Some(scan.scan_scalar()?),
        None => scan.skip_value()?,
    }
    Ok(())
}

/// What the events so far tell about the producer.
#[derive(Clone, Copy, Default)]
pub(super) struct DialectSigns {
    pub(super) kineto: bool,
    pub(super) ascend: bool,
}

/// Gives events their meaning; remembers what processes are for.
#[derive(Default)]
pub(super) struct EventDecoder {
    processes: ProcessTable,
    pub(super) signs: DialectSigns,
    /// What was wrong with the last event.
    pub(super) faults: Vec<&'static str>,
}

impl EventDecoder {
    /// The event that the fields make. `None` if it has no phase.
    pub(super) fn decode_event<'a>(
        &mut self,
        scan: &'a JsonScanner<'_>,
        fields: &EventFields,
    ) -> Option<Event<'a>> {
        let phase = *text_of(scan, fields.phase).raw.first()?;
        let mut event = Event {
            phase,
            name: text_of(scan, fields.name),
            cat: text_of(scan, fields.cat),
            pid: id_of(scan, fields.pid),
            tid: id_of(scan, fields.tid),
            flow: id_of(scan, fields.id),
            start: self.decode_time(scan, fields.ts, "bad_ts"),
            dur: self.decode_time(scan, fields.dur, "bad_dur"),
            device: integer_of(scan, fields.device),
            stream: integer_of(scan, fields.stream),
            correlation: integer_of(scan, fields.correlation),
            // Old writers put 0 where there is no link.
            external: integer_of(scan, fields.external).filter(|&id| id != 0),
            args: fields.args.map_or(&[][..], |span| scan.text_of(span).raw),
            ..Event::default()
        };
        self.check_times(&mut event, fields);
        if phase == b'M' {
            self.learn_process(&event, text_of(scan, fields.label));
        } else {
            event.category = self.classify_event(&mut event, text_of(scan, fields.task_type).raw);
        }
        Some(event)
    }

    fn decode_time(
        &mut self,
        scan: &JsonScanner<'_>,
        value: Option<JsonScalar>,
        fault: &'static str,
    ) -> Option<i64> {
        let nanos = match value? {
            JsonScalar::Number(s) => nanos_from_micros(scan.text_of(s).raw),
            // Some writers end the text with an escaped tab.
            JsonScalar::String(s) => nanos_from_micros(scan.text_of(s).decode().as_bytes()),
            _ => None,
        };
        if nanos.is_none() {
            self.faults.push(fault);
        }
        nanos
    }

    fn check_times(&mut self, event: &mut Event<'_>, fields: &EventFields) {
        if fields.ts.is_none() && event.phase != b'M' {
            self.faults.push("no_ts");
        }
        match event.dur {
            None if event.phase == b'X' && fields.dur.is_none() => self.faults.push("no_dur"),
            Some(dur) if dur < 0 => {
                self.faults.push("negative_dur");
                event.dur = Some(0);
            }
            Some(dur) if dur > LONGEST_NS => {
                self.faults.push("longer_than_7_days");
                event.dur = None;
            }
            _ => {}
        }
    }

    fn learn_process(&mut self, event: &Event<'_>, label: RawText<'_>) {
        match event.name.raw {
            b"process_name" => {
                let role = ascend::role_of_process_name(&label.decode());
                self.signs.ascend |= role != ProcessRole::None && role != ProcessRole::Communication;
                if self.processes.set_role(event.pid, role) {
                    self.faults.push("process_named_late");
                }
            }
            b"process_labels" => {
                self.processes.set_device(event.pid, ascend::device_of_label(&label.decode()))
            }
            _ => {}
        }
    }

    fn classify_event(&mut self, event: &mut Event<'_>, task_type: &[u8]) -> Category {
        match event.phase {
            b'X' | b'B' | b'E' | b'b' | b'e' => {}
            b'C' => return Category::Counter,
            b's' | b't' | b'f' => return self.classify_flow(event),
            b'i' | b'I' | b'n' if event.name.raw == b"[memory]" => return Category::Memory,
            b'i' | b'I' | b'n' | b'R' => return Category::Marker,
            _ => return Category::Other,
        }
        if event.cat.is_empty() {
            return self.classify_by_process(event, task_type);
        }
        if let Some(category) = kineto::classify_category(event.cat.raw, event.name.raw) {
            self.signs.kineto = true;
            if category.is_on_device() {
                event.device = event.device.or(id_as_number(event.pid));
                event.stream = event.stream.or(id_as_number(event.tid));
            }
            return category;
        }
        let framework = ascend::classify_framework_event(event.cat.raw);
        self.signs.ascend |= framework.is_some();
        framework.unwrap_or(Category::Other)
    }

    fn classify_flow(&mut self, event: &mut Event<'_>) -> Category {
        self.signs.ascend |= matches!(event.cat.raw, b"async_npu" | b"async_task_queue" | b"HostToDevice");
        Category::Flow
    }

    fn classify_by_process(&mut self, event: &mut Event<'_>, task_type: &[u8]) -> Category {
        let (role, device) = self.processes.role_and_device(event.pid);
        event.role = role;
        if matches!(role, ProcessRole::Hardware | ProcessRole::Communication | ProcessRole::Overlap) {
            event.device = device;
            event.stream = if role == ProcessRole::Hardware { id_as_number(event.tid) } else { None };
        }
        ascend::classify_row(role, event.name.raw, task_type)
    }
}

fn text_of<'a>(scan: &'a JsonScanner<'_>, value: Option<JsonScalar>) -> RawText<'a> {
    match value {
        Some(JsonScalar::String(s) | JsonScalar::Number(s)) => scan.text_of(s),
        _ => RawText::default(),
    }
}

fn integer_of(scan: &JsonScanner<'_>, value: Option<JsonScalar>) -> Option<i64> {
    match value? {
        JsonScalar::Number(s) | JsonScalar::String(s) => parse_integer(scan.text_of(s).raw),
        _ => None,
    }
}

fn id_of<'a>(scan: &'a JsonScanner<'_>, value: Option<JsonScalar>) -> EventId<'a> {
    match value {
        Some(JsonScalar::Number(s)) => {
            parse_integer(scan.text_of(s).raw).map_or(EventId::Text(scan.text_of(s)), EventId::Number)
        }
        Some(JsonScalar::String(s)) => EventId::Text(scan.text_of(s)),
        _ => EventId::None,
    }
}

fn id_as_number(id: EventId<'_>) -> Option<i64> {
    match id {
        EventId::Number(n) => Some(n),
        _ => None,
    }
}

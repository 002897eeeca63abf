//! One event: its members as the file has them, and what they mean.

use super::decimal::{integer, nanos_from_micros};
use super::error::ReadError;
use super::json::{Scalar, Scanner, Span};
use super::process::Processes;
use super::{ascend, kineto};
use crate::model::{Category, Event, Id, Role, Text};

/// A longer event is an error of the producer's clock.
const LONGEST_NS: i64 = 7 * 24 * 3600 * 1_000_000_000;

/// The members of an event that anybody looks at, as they stand in the file.
#[derive(Default)]
pub(super) struct Fields {
    phase: Option<Scalar>,
    cat: Option<Scalar>,
    name: Option<Scalar>,
    pid: Option<Scalar>,
    tid: Option<Scalar>,
    ts: Option<Scalar>,
    dur: Option<Scalar>,
    id: Option<Scalar>,
    args: Option<Span>,
    correlation: Option<Scalar>,
    external: Option<Scalar>,
    stream: Option<Scalar>,
    device: Option<Scalar>,
    task_type: Option<Scalar>,
    /// `name` or `labels` of a metadata event.
    label: Option<Scalar>,
}

impl Fields {
    /// Reads the object that is next. Of a member that comes twice, the last counts.
    pub(super) fn read(scan: &mut Scanner<'_>) -> Result<Self, ReadError> {
        let mut fields = Self::default();
        let mut more = scan.open(b'}')?;
        while more {
            let key = scan.key()?;
            match plain(&scan.text(key)) {
                Some(b"args") => fields.arguments(scan)?,
                Some(key) => put(scan, fields.member(key))?,
                None => {
                    let key = scan.text(key).decode().into_owned();
                    put(scan, fields.member(key.as_bytes()))?;
                }
            }
            more = scan.next(b'}')?;
        }
        Ok(fields)
    }

    fn member(&mut self, key: &[u8]) -> Option<&mut Option<Scalar>> {
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

    fn arguments(&mut self, scan: &mut Scanner<'_>) -> Result<(), ReadError> {
        if scan.token("an event")? != b'{' {
            return scan.skip();
        }
        let start = scan.buffer.offset();
        let mut more = scan.open(b'}')?;
        while more {
            let key = scan.key()?;
            let slot = plain(&scan.text(key)).and_then(|key| self.argument(key));
            put(scan, slot)?;
            more = scan.next(b'}')?;
        }
        self.args = Some(scan.since(start));
        Ok(())
    }

    fn argument(&mut self, key: &[u8]) -> Option<&mut Option<Scalar>> {
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
fn plain<'a>(key: &Text<'a>) -> Option<&'a [u8]> {
    (!key.escaped).then_some(key.raw)
}

/// Puts the value that is next into its slot, or skips it.
#[inline]
fn put(scan: &mut Scanner<'_>, slot: Option<&mut Option<Scalar>>) -> Result<(), ReadError> {
    match slot {
        Some(slot) => *slot = Some(scan.scalar()?),
        None => scan.skip()?,
    }
    Ok(())
}

/// What the events so far tell about the producer.
#[derive(Clone, Copy, Default)]
pub(super) struct Signs {
    pub(super) kineto: bool,
    pub(super) ascend: bool,
}

/// Gives events their meaning; remembers what processes are for.
#[derive(Default)]
pub(super) struct Meaning {
    processes: Processes,
    pub(super) signs: Signs,
    /// What was wrong with the last event.
    pub(super) faults: Vec<&'static str>,
}

impl Meaning {
    /// The event that the fields make. `None` if it has no phase.
    pub(super) fn event<'a>(&mut self, scan: &'a Scanner<'_>, fields: &Fields) -> Option<Event<'a>> {
        let phase = *text(scan, fields.phase).raw.first()?;
        let mut event = Event {
            phase,
            name: text(scan, fields.name),
            cat: text(scan, fields.cat),
            pid: id(scan, fields.pid),
            tid: id(scan, fields.tid),
            flow: id(scan, fields.id),
            start: self.time(scan, fields.ts, "bad_ts"),
            dur: self.time(scan, fields.dur, "bad_dur"),
            device: number(scan, fields.device),
            stream: number(scan, fields.stream),
            correlation: number(scan, fields.correlation),
            // Old writers put 0 where there is no link.
            external: number(scan, fields.external).filter(|&id| id != 0),
            args: fields.args.map_or(&[][..], |span| scan.text(span).raw),
            ..Event::default()
        };
        self.check(&mut event, fields);
        if phase == b'M' {
            self.learn(&event, text(scan, fields.label));
        } else {
            event.category = self.classify(&mut event, text(scan, fields.task_type).raw);
        }
        Some(event)
    }

    fn time(&mut self, scan: &Scanner<'_>, value: Option<Scalar>, fault: &'static str) -> Option<i64> {
        let nanos = match value? {
            Scalar::Number(s) => nanos_from_micros(scan.text(s).raw),
            // Some writers end the text with an escaped tab.
            Scalar::String(s) => nanos_from_micros(scan.text(s).decode().as_bytes()),
            _ => None,
        };
        if nanos.is_none() {
            self.faults.push(fault);
        }
        nanos
    }

    fn check(&mut self, event: &mut Event<'_>, fields: &Fields) {
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

    fn learn(&mut self, event: &Event<'_>, label: Text<'_>) {
        match event.name.raw {
            b"process_name" => {
                let role = ascend::role(&label.decode());
                self.signs.ascend |= role != Role::None && role != Role::Communication;
                if self.processes.name(event.pid, role) {
                    self.faults.push("process_named_late");
                }
            }
            b"process_labels" => self.processes.label(event.pid, ascend::device(&label.decode())),
            _ => {}
        }
    }

    fn classify(&mut self, event: &mut Event<'_>, task_type: &[u8]) -> Category {
        match event.phase {
            b'X' | b'B' | b'E' | b'b' | b'e' => {}
            b'C' => return Category::Counter,
            b's' | b't' | b'f' => return self.flow(event),
            b'i' | b'I' | b'n' if event.name.raw == b"[memory]" => return Category::Memory,
            b'i' | b'I' | b'n' | b'R' => return Category::Marker,
            _ => return Category::Other,
        }
        if event.cat.is_empty() {
            return self.by_process(event, task_type);
        }
        if let Some(category) = kineto::category(event.cat.raw, event.name.raw) {
            self.signs.kineto = true;
            if category.on_device() {
                event.device = event.device.or(as_number(event.pid));
                event.stream = event.stream.or(as_number(event.tid));
            }
            return category;
        }
        let framework = ascend::framework(event.cat.raw);
        self.signs.ascend |= framework.is_some();
        framework.unwrap_or(Category::Other)
    }

    fn flow(&mut self, event: &mut Event<'_>) -> Category {
        self.signs.ascend |= matches!(event.cat.raw, b"async_npu" | b"async_task_queue" | b"HostToDevice");
        Category::Flow
    }

    fn by_process(&mut self, event: &mut Event<'_>, task_type: &[u8]) -> Category {
        let (role, device) = self.processes.of(event.pid);
        event.role = role;
        if matches!(role, Role::Hardware | Role::Communication | Role::Overlap) {
            event.device = device;
            event.stream = if role == Role::Hardware { as_number(event.tid) } else { None };
        }
        ascend::category(role, event.name.raw, task_type)
    }
}

fn text<'a>(scan: &'a Scanner<'_>, value: Option<Scalar>) -> Text<'a> {
    match value {
        Some(Scalar::String(s) | Scalar::Number(s)) => scan.text(s),
        _ => Text::default(),
    }
}

fn number(scan: &Scanner<'_>, value: Option<Scalar>) -> Option<i64> {
    match value? {
        Scalar::Number(s) | Scalar::String(s) => integer(scan.text(s).raw),
        _ => None,
    }
}

fn id<'a>(scan: &'a Scanner<'_>, value: Option<Scalar>) -> Id<'a> {
    match value {
        Some(Scalar::Number(s)) => integer(scan.text(s).raw).map_or(Id::Text(scan.text(s)), Id::Number),
        Some(Scalar::String(s)) => Id::Text(scan.text(s)),
        _ => Id::None,
    }
}

fn as_number(id: Id<'_>) -> Option<i64> {
    match id {
        Id::Number(n) => Some(n),
        _ => None,
    }
}

//! Events as objects of the Trace Event Format.
//!
//! The text of the file is copied as it stands, with every member; only what was changed, or what another format says,
//! is written from the fields of the event.

use trace::model::{Event, EventId, RawText};
use trace::read::{for_each_member, write_compact, write_text};

use super::spelling::{complete_numbers, spell_cat};

/// Appends an event as it stands in the file, or as its fields say if its format is another.
pub(crate) fn write_event(to: &mut Vec<u8>, event: &Event<'_>) {
    if event.text.is_empty() {
        write_fields(to, event);
    } else {
        write_compact(event.text, event.repaired, to);
    }
}

/// Appends an event as its fields say.
pub(crate) fn write_fields(to: &mut Vec<u8>, event: &Event<'_>) {
    to.extend_from_slice(b"{\"ph\":");
    write_text(RawText { raw: &[event.phase], escaped: false }, to);
    for (key, text) in [("cat", spell_cat(event)), ("name", event.name), ("scope", event.scope)] {
        if !text.is_empty() {
            write_key(to, key);
            write_text(text, to);
        }
    }
    for (key, id) in [("pid", event.pid), ("tid", event.tid)] {
        write_id(to, key, id);
    }
    if event.local_id {
        write_key(to, "id2");
        to.extend_from_slice(b"{\"local\":");
        write_id_value(to, event.id);
        to.push(b'}');
    } else {
        write_id(to, "id", event.id);
    }
    for (key, time) in [("ts", event.start), ("dur", event.dur)] {
        if let Some(nanos) = time {
            write_key(to, key);
            write_micros(to, nanos);
        }
    }
    // The end of an arrow is at the slice around it, as all profilers mean it.
    if event.phase == b'f' {
        to.extend_from_slice(b",\"bp\":\"e\"");
    }
    write_arguments(to, event);
    to.push(b'}');
}

/// Appends the arguments, and with them what readers of the format look for there.
fn write_arguments(to: &mut Vec<u8>, event: &Event<'_>) {
    // A trace in JSON says it as its readers take it.
    let added = if event.text.is_empty() { complete_numbers(event) } else { None };
    if let Some(args) = added {
        write_key(to, "args");
        to.extend_from_slice(&args);
    } else if !event.args.is_empty() {
        write_key(to, "args");
        write_compact(event.args, event.repaired, to);
    }
}

/// Appends `wanted`, which was made of `event`: members whose field was changed are written anew, all others as they
/// stand in the file.
pub(crate) fn write_changed_event(to: &mut Vec<u8>, event: &Event<'_>, wanted: &Event<'_>) {
    if event.text.is_empty() {
        return write_fields(to, wanted);
    }
    write_members(to, event, wanted, &ChangedMembers::between(event, wanted), &[]);
}

/// `repeated` are members of which only the last is written.
fn write_members(
    to: &mut Vec<u8>,
    event: &Event<'_>,
    wanted: &Event<'_>,
    changed: &ChangedMembers,
    repeated: &[(Vec<u8>, usize)],
) {
    to.push(b'{');
    let before = to.len();
    let mut number = 0;
    for_each_member(event, |key, value| {
        let name = key.unescape();
        number += 1;
        let is_earlier = repeated.iter().any(|(other, last)| **other == *name && *last != number);
        if changed.has(&name) || is_earlier {
            return;
        }
        if to.len() > before {
            to.push(b',');
        }
        write_text(key, to);
        to.push(b':');
        write_compact(value, event.repaired, to);
    });
    let mut rest = Vec::new();
    changed.write_into(&mut rest, wanted);
    if !wanted.args.is_empty() {
        write_key(&mut rest, "args");
        write_compact(wanted.args, wanted.repaired, &mut rest);
    }
    // Each of these begins with a comma.
    let skip = usize::from(to.len() == before && !rest.is_empty());
    to.extend_from_slice(&rest[skip..]);
    to.push(b'}');
}

/// The members that an event has more than once, each with the place of the last.
fn repeated_members(event: &Event<'_>) -> Vec<(Vec<u8>, usize)> {
    let mut places: Vec<(Vec<u8>, usize, usize)> = Vec::new();
    let mut number = 0;
    for_each_member(event, |key, _| {
        let name = key.unescape();
        number += 1;
        match places.iter_mut().find(|(other, ..)| **other == *name) {
            Some((_, count, last)) => (*count, *last) = (*count + 1, number),
            None => places.push((name.into_owned(), 1, number)),
        }
    });
    places.into_iter().filter(|(_, count, _)| *count > 1).map(|(name, _, last)| (name, last)).collect()
}

/// As [`write_changed_event`], with the times in whole nanoseconds, as they were understood, and each member once.
pub(crate) fn write_exact_event(to: &mut Vec<u8>, event: &Event<'_>, wanted: &Event<'_>) {
    if event.text.is_empty() {
        return write_fields(to, wanted);
    }
    let times = ChangedMembers { start: true, dur: true, ..ChangedMembers::between(event, wanted) };
    write_members(to, event, wanted, &times, &repeated_members(event));
}

/// The members that are written anew.
struct ChangedMembers {
    phase: bool,
    name: bool,
    pid: bool,
    tid: bool,
    id: bool,
    start: bool,
    dur: bool,
}

impl ChangedMembers {
    fn between(event: &Event<'_>, wanted: &Event<'_>) -> Self {
        Self {
            phase: event.phase != wanted.phase,
            name: event.name != wanted.name,
            pid: event.pid != wanted.pid,
            tid: event.tid != wanted.tid,
            id: event.id != wanted.id,
            start: event.start != wanted.start,
            dur: event.dur != wanted.dur,
        }
    }

    fn has(&self, key: &[u8]) -> bool {
        match key {
            b"ph" => self.phase,
            b"name" => self.name,
            b"pid" => self.pid,
            b"tid" => self.tid,
            b"id" | b"id2" => self.id,
            b"ts" => self.start,
            b"dur" => self.dur,
            _ => false,
        }
    }

    fn write_into(&self, to: &mut Vec<u8>, wanted: &Event<'_>) {
        if self.phase {
            write_key(to, "ph");
            write_text(RawText { raw: &[wanted.phase], escaped: false }, to);
        }
        if self.name {
            write_key(to, "name");
            write_text(wanted.name, to);
        }
        for (changed, key, id) in [(self.pid, "pid", wanted.pid), (self.tid, "tid", wanted.tid)] {
            if changed {
                write_id(to, key, id);
            }
        }
        if self.id && wanted.local_id {
            write_key(to, "id2");
            to.extend_from_slice(b"{\"local\":");
            write_id_value(to, wanted.id);
            to.push(b'}');
        } else if self.id {
            write_id(to, "id", wanted.id);
        }
        for (changed, key, time) in [(self.start, "ts", wanted.start), (self.dur, "dur", wanted.dur)] {
            if let (true, Some(nanos)) = (changed, time) {
                write_key(to, key);
                write_micros(to, nanos);
            }
        }
    }
}

fn write_key(to: &mut Vec<u8>, key: &str) {
    to.extend_from_slice(b",\"");
    to.extend_from_slice(key.as_bytes());
    to.extend_from_slice(b"\":");
}

fn write_id(to: &mut Vec<u8>, key: &str, id: EventId<'_>) {
    if id != EventId::None {
        write_key(to, key);
        write_id_value(to, id);
    }
}

fn write_id_value(to: &mut Vec<u8>, id: EventId<'_>) {
    match id {
        EventId::None => to.extend_from_slice(b"null"),
        EventId::Number(n) => to.extend_from_slice(n.to_string().as_bytes()),
        EventId::Text(text) => write_text(text, to),
    }
}

/// Appends nanoseconds as microseconds with three decimals: exact, as the format's times are microseconds.
pub(crate) fn write_micros(to: &mut Vec<u8>, nanos: i64) {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    to.extend_from_slice(format!("{sign}{}.{:03}", n / 1000, n % 1000).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace::model::{Category, EventSink};
    use trace::read::{ReadOptions, read_trace};

    #[test]
    fn times_are_exact() {
        let text = |n| {
            let mut out = Vec::new();
            write_micros(&mut out, n);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(1), "0.001");
        assert_eq!(text(-1_500), "-1.500");
        assert_eq!(text(i64::MAX), "9223372036854775.807");
        assert_eq!(text(i64::MIN), "-9223372036854775.808");
    }

    /// Moves every event, and gives it another process.
    struct Moved(Vec<String>);

    impl EventSink for Moved {
        fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
            let pid = EventId::Number(9);
            let wanted = Event { start: event.start.map(|s| s + 5), pid, ..*event };
            let mut out = Vec::new();
            write_changed_event(&mut out, event, &wanted);
            self.0.push(String::from_utf8(out)?);
            Ok(())
        }
    }

    #[test]
    fn only_what_changed_is_written_anew() {
        let text = r#"[{"ph": "X", "name": "a\n", "pid": 1, "ts": 1.5, "cname": "red", "args": {"x": 1.50}}, {"pid": 1, "ph": "M"}]"#;
        let mut moved = Moved(Vec::new());
        read_trace(Box::new(text.as_bytes()), &ReadOptions::default(), &mut moved).unwrap();
        assert_eq!(
            moved.0,
            [
                r#"{"ph":"X","name":"a\n","cname":"red","pid":9,"ts":1.505,"args":{"x":1.50}}"#,
                r#"{"ph":"M","pid":9}"#
            ]
        );
    }

    #[test]
    fn events_of_other_formats_are_written_from_their_fields() {
        let event = Event {
            phase: b'X',
            category: Category::Kernel,
            name: "gemm".into(),
            pid: EventId::Number(0),
            tid: EventId::Text("stream 7".into()),
            start: Some(1_234_567),
            dur: Some(1),
            correlation: Some(4),
            device: Some(0),
            args: br#"{"correlation": 4}"#,
            ..Event::default()
        };
        let mut out = Vec::new();
        write_event(&mut out, &event);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"ph":"X","cat":"kernel","name":"gemm","pid":0,"tid":"stream 7","ts":1234.567,"dur":0.001,"args":{"correlation":4,"device":0}}"#
        );
    }
}

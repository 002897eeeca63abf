//! Events one by one: as records, as CSV rows, as lines for people.
//!
//! Written into a buffer of bytes, because a trace has millions of them. Members and numbers are copied as they
//! stand in the file; [`record::Event`] describes the records that come of it, and a test reads them with it.

use common::record::{Record, traceq as record};

use crate::model::{Event, EventId, RawText};
pub use crate::read::write_number;
use crate::read::{KnownKeys, for_each_member, write_compact, write_text};

/// The columns of the CSV form.
pub const COLUMNS: [&str; 15] = [
    "path",
    "category",
    "cat",
    "ph",
    "name",
    "pid",
    "tid",
    "device",
    "stream",
    "start_ns",
    "dur_ns",
    "correlation",
    "id",
    "args",
    "other",
];

/// The members of an event as they stand in the file.
#[derive(Default)]
pub struct RawMembers<'a> {
    pid: Option<&'a [u8]>,
    tid: Option<&'a [u8]>,
    id: Option<&'a [u8]>,
    /// All that nothing else in a record holds, as the inside of an object of JSON.
    pub other: Vec<u8>,
}

impl<'a> RawMembers<'a> {
    /// The members of an event; none where its format is another, or its fields hold them all.
    pub fn of(event: &Event<'a>) -> Self {
        let mut raw = Self::default();
        if event.text.is_empty() {
            raw.other = describe_scope(event);
        }
        if event.plain && !event.repaired {
            return raw;
        }
        for_each_member(event, |key, value| {
            let kind = MemberKind::of(&key.unescape());
            match kind {
                _ if !kind.is_held(event, value) => {
                    if !raw.other.is_empty() {
                        raw.other.push(b',');
                    }
                    write_text(key, &mut raw.other);
                    raw.other.push(b':');
                    write_compact(value, event.repaired, &mut raw.other);
                }
                MemberKind::Pid => raw.pid = Some(value),
                MemberKind::Tid => raw.tid = Some(value),
                MemberKind::Id => raw.id = Some(value),
                _ => {}
            }
        });
        raw
    }
}

/// The field of an event that holds a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MemberKind {
    /// The phase, the category or the name.
    Text,
    Start,
    Duration,
    Pid,
    Tid,
    Id,
    /// The arguments, if they are an object.
    Arguments,
    Other,
}

impl MemberKind {
    /// Of a key.
    fn of(key: &[u8]) -> Self {
        match key {
            b"ph" | b"cat" | b"name" => Self::Text,
            b"ts" => Self::Start,
            b"dur" => Self::Duration,
            b"pid" => Self::Pid,
            b"tid" => Self::Tid,
            b"id" => Self::Id,
            b"args" => Self::Arguments,
            _ => Self::Other,
        }
    }

    /// Returns whether the field holds this value.
    fn is_held(self, event: &Event<'_>, value: &[u8]) -> bool {
        match self {
            Self::Text => value.first() == Some(&b'"'),
            Self::Start => event.start.is_some() && is_exact_in_nanos(value),
            Self::Duration => value == b"0" || event.dur.is_some_and(|d| d > 0) && is_exact_in_nanos(value),
            Self::Pid | Self::Tid | Self::Id => is_id(value),
            Self::Arguments => value.first() == Some(&b'{'),
            Self::Other => false,
        }
    }
}

/// Finds the members of events that no field holds, as [`RawMembers::of`] does. The keys of events without arguments, such as
/// flows, come again and again: they are looked at once.
#[derive(Default)]
pub struct OtherMembers {
    keys: KnownKeys,
    /// By number of a key its kind, and how it is written before a value.
    kinds: Vec<Option<(MemberKind, Vec<u8>)>>,
}

impl OtherMembers {
    /// Appends them as the inside of an object of JSON.
    pub fn write(&mut self, event: &Event<'_>, to: &mut Vec<u8>) {
        let is_known = event.plain && !event.text.is_empty() && !event.repaired;
        if !is_known && !self.write_known(event, to) {
            to.extend_from_slice(&RawMembers::of(event).other);
        }
    }

    /// `false`, and nothing was appended, where something is unusual about the event.
    fn write_known(&mut self, event: &Event<'_>, to: &mut Vec<u8>) -> bool {
        if event.text.is_empty() || event.repaired || !event.args.is_empty() {
            return false;
        }
        let Self { keys, kinds } = self;
        let start = to.len();
        let known = keys.for_each_member(event.text, |number, key, value| {
            if kinds.len() <= number {
                kinds.resize(number + 1, None);
            }
            let (kind, head) = kinds[number].get_or_insert_with(|| (MemberKind::of(key), head_of(key)));
            if !kind.is_held(event, value) {
                if to.len() > start {
                    to.push(b',');
                }
                to.extend_from_slice(head);
                write_compact(value, false, to);
            }
        });
        if !known {
            to.truncate(start);
        }
        known
    }
}

/// A key without escapes, and the colon behind it.
pub fn head_of(key: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    write_text(RawText { raw: key, escaped: false }, &mut head);
    head.push(b':');
    head
}

/// The scope of an id, of an event whose format is not JSON.
fn describe_scope(event: &Event<'_>) -> Vec<u8> {
    let mut other = Vec::new();
    if !event.scope.is_empty() {
        other.extend_from_slice(b"\"scope\":");
        write_text(event.scope, &mut other);
    }
    if event.local_id && event.id != EventId::None {
        other.extend_from_slice(if other.is_empty() { b"\"id2\":{" } else { b",\"id2\":{" });
        write_id(&mut other, "\"local\":", None, event.id, false);
        other.push(b'}');
    }
    other
}

/// Returns whether a value is a number or a text: others are no ids.
fn is_id(value: &[u8]) -> bool {
    matches!(value, [b'"' | b'-' | b'0'..=b'9', ..])
}

/// Returns whether a time in microseconds has no more digits than nanoseconds hold.
fn is_exact_in_nanos(value: &[u8]) -> bool {
    let digits = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
    let fraction = digits.iter().position(|b| *b == b'.').map_or(0, |point| digits.len() - point - 1);
    fraction <= 3 && digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'-'))
}

/// Appends an event as a record, a line of JSON.
pub fn write_record(to: &mut Vec<u8>, event: &Event<'_>, path: Option<&str>, with_args: bool) {
    let raw = RawMembers::of(event);
    to.extend_from_slice(b"{\"type\":\"");
    to.extend_from_slice(record::Event::TYPE.as_bytes());
    to.extend_from_slice(b"\",\"v\":");
    write_number(to, i64::from(record::Event::V));
    if let Some(path) = path {
        to.extend_from_slice(b",\"path\":");
        write_text(RawText { raw: path.as_bytes(), escaped: false }, to);
    }
    to.extend_from_slice(b",\"category\":\"");
    to.extend_from_slice(event.category.name().as_bytes());
    to.push(b'"');
    if !event.cat.is_empty() {
        to.extend_from_slice(b",\"cat\":");
        write_text(event.cat, to);
    }
    to.extend_from_slice(b",\"ph\":");
    write_text(RawText { raw: &[event.phase], escaped: false }, to);
    to.extend_from_slice(b",\"name\":");
    write_text(event.name, to);
    write_id(to, ",\"pid\":", raw.pid, event.pid, event.repaired);
    write_id(to, ",\"tid\":", raw.tid, event.tid, event.repaired);
    let numbers = [
        (",\"device\":", event.device),
        (",\"stream\":", event.stream),
        (",\"start_ns\":", event.start),
        (",\"dur_ns\":", event.dur),
        (",\"correlation\":", event.correlation),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            to.extend_from_slice(key.as_bytes());
            write_number(to, number);
        }
    }
    write_id(to, ",\"id\":", raw.id, event.id, event.repaired);
    if with_args && !event.args.is_empty() {
        to.extend_from_slice(b",\"args\":");
        write_compact(event.args, event.repaired, to);
    }
    if !raw.other.is_empty() {
        to.extend_from_slice(b",\"other\":{");
        to.extend_from_slice(&raw.other);
        to.push(b'}');
    }
    to.extend_from_slice(b"}\n");
}

/// Appends an id: as it stands in the file, where it has a value of its own there.
fn write_id(to: &mut Vec<u8>, key: &str, raw: Option<&[u8]>, id: EventId<'_>, repaired: bool) {
    if id == EventId::None {
        return;
    }
    to.extend_from_slice(key.as_bytes());
    match (raw, id) {
        (Some(raw), _) => write_compact(raw, repaired, to),
        (None, EventId::Number(n)) => write_number(to, n),
        (None, EventId::Text(text)) => write_text(text, to),
        (None, EventId::None) => {}
    }
}

/// Appends an event as a row of [`COLUMNS`].
pub fn write_csv_row(to: &mut Vec<u8>, event: &Event<'_>, path: &str, with_args: bool) {
    let raw = RawMembers::of(event);
    write_csv_cell(to, path.as_bytes());
    to.push(b',');
    to.extend_from_slice(event.category.name().as_bytes());
    for text in [event.cat, RawText { raw: &[event.phase], escaped: false }, event.name] {
        to.push(b',');
        write_text_cell(to, text);
    }
    for (raw, id) in [(raw.pid, event.pid), (raw.tid, event.tid)] {
        to.push(b',');
        write_id_cell(to, raw, id);
    }
    for number in [event.device, event.stream, event.start, event.dur, event.correlation] {
        to.push(b',');
        if let Some(number) = number {
            write_number(to, number);
        }
    }
    to.push(b',');
    write_id_cell(to, raw.id, event.id);
    to.push(b',');
    if with_args && !event.args.is_empty() {
        if event.text.is_empty() && !event.repaired {
            // Put together by a reader, without white space.
            write_quoted_cell(to, event.args);
        } else {
            let mut args = Vec::with_capacity(event.args.len());
            write_compact(event.args, event.repaired, &mut args);
            write_csv_cell(to, &args);
        }
    }
    to.push(b',');
    if !raw.other.is_empty() {
        write_csv_cell(to, &[b"{", &raw.other[..], b"}"].concat());
    }
    to.push(b'\n');
}

fn write_text_cell(to: &mut Vec<u8>, text: RawText<'_>) {
    if text.escaped || !text.raw.is_ascii() {
        write_csv_cell(to, text.decode().as_bytes());
    } else {
        write_csv_cell(to, text.raw);
    }
}

fn write_id_cell(to: &mut Vec<u8>, raw: Option<&[u8]>, id: EventId<'_>) {
    match (raw, id) {
        (_, EventId::Text(text)) => write_text_cell(to, text),
        (Some(raw), EventId::Number(_)) if raw.first() != Some(&b'"') => write_csv_cell(to, raw),
        (_, EventId::Number(n)) => write_number(to, n),
        (_, EventId::None) => {}
    }
}

/// Appends a cell, quoted where RFC 4180, section 2, wants it.
pub fn write_csv_cell(to: &mut Vec<u8>, cell: &[u8]) {
    let wants_quotes = |b: &u8| (*b == b',') | (*b == b'"') | (*b == b'\n') | (*b == b'\r');
    // Without a way out inside, so that it is done for many bytes at a time.
    if !cell.chunks(64).any(|part| part.iter().fold(false, |found, b| found | wants_quotes(b))) {
        return to.extend_from_slice(cell);
    }
    write_quoted_cell(to, cell);
}

/// Appends a cell in quotes.
fn write_quoted_cell(to: &mut Vec<u8>, cell: &[u8]) {
    to.reserve(cell.len() + cell.len() / 4);
    to.push(b'"');
    let mut from = 0;
    // Each quote is copied with what stands before it, and once more with what follows.
    for at in memchr::memchr_iter(b'"', cell) {
        to.extend_from_slice(&cell[from..=at]);
        from = at;
    }
    to.extend_from_slice(&cell[from..]);
    to.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::EventSink;
    use crate::read::{ReadOptions, read_trace};

    /// The rows and records of all events of a trace.
    #[derive(Default)]
    struct Written(Vec<u8>, Vec<u8>, OtherMembers);

    impl EventSink for Written {
        fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
            let mut other = Vec::new();
            self.2.write(event, &mut other);
            assert_eq!(
                String::from_utf8_lossy(&other),
                String::from_utf8_lossy(&RawMembers::of(event).other)
            );
            write_record(&mut self.0, event, None, true);
            write_csv_row(&mut self.1, event, "a,b", true);
            Ok(())
        }
    }

    fn write(text: &'static str) -> (String, String) {
        let mut written = Written::default();
        read_trace(Box::new(text.as_bytes()), &ReadOptions::default(), &mut written).unwrap();
        (String::from_utf8(written.0).unwrap(), String::from_utf8(written.1).unwrap())
    }

    #[test]
    fn members_and_numbers_are_written_as_they_stand() {
        let (json, csv) = write(
            r#"[{"ph": "X", "cat": "kernel", "name": "a \"b\", c", "pid": "7", "tid": 1.0, "ts": 1.0005, "dur": 0.250,
                "args": {"x": 1.50, "correlation": 12, "bw": inf}, "cname": "red", "id": "0x1F", "sf": [ 1, 2 ]},
               {"ph": "e", "id2": {"local": "0x1"}, "scope": "s", "ts": "9.5", "dur": -1}]"#,
        );
        let expected = [
            r#"{"type":"traceq.event","v":1,"category":"kernel","cat":"kernel","ph":"X","name":"a \"b\", c","pid":"7","tid":1.0,"device":7,"stream":1,"start_ns":1001,"dur_ns":250,"correlation":12,"id":"0x1F","args":{"x":1.50,"correlation":12,"bw":null},"other":{"ts":1.0005,"cname":"red","sf":[1,2]}}"#,
            r#"{"type":"traceq.event","v":1,"category":"other","ph":"e","name":"","start_ns":9500,"dur_ns":0,"id":"0x1","other":{"id2":{"local":"0x1"},"scope":"s","dur":-1}}"#,
        ];
        assert_eq!(json.lines().collect::<Vec<_>>(), expected);
        for line in json.lines() {
            let value: record::Event = serde_json::from_str(line).unwrap();
            assert_eq!(value.category.len(), if value.ph == "X" { 6 } else { 5 });
        }
        assert_eq!(
            csv.lines().next().unwrap(),
            r#""a,b",kernel,kernel,X,"a ""b"", c",7,1.0,7,1,1001,250,12,0x1F,"{""x"":1.50,""correlation"":12,""bw"":null}","{""ts"":1.0005,""cname"":""red"",""sf"":[1,2]}""#
        );
    }

    #[test]
    fn other_members_are_the_same_by_known_keys() {
        let flow = |more: &str| {
            format!(r#"{{"ph": "f", "id": 1, "pid": 2, "tid": 3, "ts": 4.5, "cat": "ac2g"{more}}}"#)
        };
        let flows = [
            "",
            r#", "bp": "e""#,
            r#", "bp":"e" , "x": [1, 2]"#,
            r#", "dur": "x", "bp": "e""#,
            r#", "b\u0070": 1"#,
            r#", "args": 7"#,
        ];
        let text = format!("[{}]", [flows.map(flow).join(","), flows.map(flow).join(",\n")].join(","));
        let (json, _) = write(text.leak());
        assert_eq!(json.matches(r#""other":{"bp":"e"}"#).count(), 2);
        assert_eq!(json.matches(r#""other":{"args":7}"#).count(), 2);
    }

    #[test]
    fn what_was_repaired_is_written_as_json() {
        let (json, _) = write(r#"[{"ph":"X","name":"C:\new\x","ts":1,"dur":1,"args":{"a":"say "hi"",}}]"#);
        let value: record::Event = serde_json::from_str(json.trim()).unwrap();
        assert_eq!(
            (value.name.as_str(), value.args),
            ("C:\\new\\x", Some(serde_json::json!({"a": "say \"hi\""})))
        );
    }

    #[test]
    fn numbers_have_their_digits() {
        for n in [0, 7, -1, 1234567890, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            write_number(&mut out, n);
            assert_eq!(String::from_utf8(out).unwrap(), n.to_string());
        }
    }
}

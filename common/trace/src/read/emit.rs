//! Events of formats that are not JSON: put together field by field, delivered like those of a JSON file.

use super::database::{Cells, TimeCell};
use super::decode::LONGEST_NS;
use super::error::{InputPosition, ReadError, ReadFault, ReadStop};
use super::{ReadOptions, ReadOutcome, ascend, kineto, write_compact, write_number, write_text};
use crate::model::{Category, Defect, Event, EventId, EventSink, RawText};

/// A text that stands for itself.
pub(super) fn plain(text: &[u8]) -> RawText<'_> {
    RawText { raw: text, escaped: false }
}

/// The arguments of an event, put together as an object of JSON.
#[derive(Debug, Default)]
pub(super) struct Arguments {
    json: Vec<u8>,
    /// A text of them is not UTF-8.
    not_utf8: bool,
    /// One of them is NaN or an infinity, written as null.
    missing_number: bool,
    /// How many values of them are of a type that is not read, written as null or left out.
    unread: u64,
    /// Nobody looks at them: they stay empty.
    unwanted: bool,
}

impl Arguments {
    fn key(&mut self, key: &[u8]) {
        match self.json.last() {
            None => self.json.push(b'{'),
            // The object has just been opened.
            Some(b'{') => {}
            Some(_) => self.json.push(b','),
        }
        self.write_text(key);
        self.json.push(b':');
    }

    fn write_text(&mut self, text: &[u8]) {
        self.not_utf8 |= !is_utf8(text);
        write_text(plain(text), &mut self.json);
    }

    /// Returns whether anybody looks at them.
    pub(super) fn are_wanted(&self) -> bool {
        !self.unwanted
    }

    /// How long they are, in bytes.
    pub(super) fn len(&self) -> usize {
        self.json.len()
    }

    /// Begins a member, whose value is written next, in one or several parts.
    pub(super) fn begin_member(&mut self, key: &[u8]) {
        self.key(key);
    }

    /// Writes a text as a value, or as an item of a list.
    pub(super) fn value_text(&mut self, text: &[u8]) {
        self.write_text(text);
    }

    /// Writes JSON that is a value, or part of one: a bracket, a comma between items.
    pub(super) fn value_json(&mut self, json: &[u8]) {
        self.json.extend_from_slice(json);
    }

    /// Writes a value that is JSON of another writer.
    pub(super) fn value_compact(&mut self, json: &[u8]) {
        write_compact(json, false, &mut self.json);
    }

    /// Adds a value that is JSON already.
    pub(super) fn json(&mut self, key: &[u8], value: &str) -> &mut Self {
        if self.unwanted {
            return self;
        }
        self.key(key);
        self.json.extend_from_slice(value.as_bytes());
        self
    }

    /// Adds a whole number.
    pub(super) fn integer(&mut self, key: &str, value: impl Into<i128>) -> &mut Self {
        if self.unwanted {
            return self;
        }
        let value: i128 = value.into();
        self.key(key.as_bytes());
        match i64::try_from(value) {
            Ok(number) => write_number(&mut self.json, number),
            Err(_) => self.json.extend_from_slice(value.to_string().as_bytes()),
        }
        self
    }

    /// Adds a number; NaN and infinities become null.
    pub(super) fn real(&mut self, key: &[u8], value: f64) -> &mut Self {
        self.missing_number |= !value.is_finite();
        if value.is_finite() { self.json(key, &value.to_string()) } else { self.json(key, "null") }
    }

    /// Writes a number as a value; NaN and infinities become null.
    pub(super) fn value_real(&mut self, value: f64) {
        let number = serde_json::Number::from_f64(value);
        self.missing_number |= number.is_none();
        let text = number.map_or("null".to_owned(), |number| number.to_string());
        self.value_json(text.as_bytes());
    }

    /// Counts values of a type that is not read.
    pub(super) fn note_unread(&mut self, count: u64) {
        self.unread += count;
    }

    /// Adds a text.
    pub(super) fn text(&mut self, key: &[u8], value: &[u8]) -> &mut Self {
        if self.unwanted {
            return self;
        }
        self.key(key);
        self.write_text(value);
        self
    }

    /// Adds a text that is not empty.
    pub(super) fn some_text(&mut self, key: &str, value: &[u8]) -> &mut Self {
        if value.is_empty() { self } else { self.text(key.as_bytes(), value) }
    }

    /// Adds a number that is there.
    pub(super) fn some_integer(&mut self, key: &str, value: Option<i64>) -> &mut Self {
        match value {
            Some(n) => self.integer(key, n),
            None => self,
        }
    }
}

fn is_utf8(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok()
}

/// When a row of a database was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RowTimes {
    /// Its start, in nanoseconds.
    pub(super) start: Option<i64>,
    /// Its duration, in nanoseconds.
    pub(super) dur: Option<i64>,
    /// One of them is there and cannot be used, see [`Event::untimed`].
    pub(super) untimed: bool,
}

/// The way of such events to the sink.
pub(super) struct Emitter<'s> {
    sink: &'s mut dyn EventSink,
    pub(super) out: &'s mut ReadOutcome,
    strict: bool,
    /// The names of events, and their `cat`, are known to be UTF-8: they come from a table that was checked.
    pub(super) names_are_utf8: bool,
    /// The arguments of the next event.
    pub(super) args: Arguments,
}

impl<'s> Emitter<'s> {
    pub(super) fn new(sink: &'s mut dyn EventSink, options: &ReadOptions, out: &'s mut ReadOutcome) -> Self {
        let (strict, args) = (options.strict, Arguments::default());
        Self { sink, out, strict, names_are_utf8: false, args }
    }

    /// Leaves out arguments if the sink looks at none: of formats whose events do not depend on how many there are.
    #[must_use]
    pub(super) fn with_wanted_arguments(mut self) -> Self {
        self.args.unwanted = !self.sink.wants_arguments();
        self
    }

    /// Another one for the same sink and outcome.
    pub(super) fn again(&mut self) -> Emitter<'_> {
        let args = Arguments { unwanted: self.args.unwanted, ..Arguments::default() };
        let names_are_utf8 = self.names_are_utf8;
        Emitter { sink: &mut *self.sink, out: &mut *self.out, strict: self.strict, names_are_utf8, args }
    }

    /// Delivers an event with the arguments that were put together for it. Its category is determined as that of an event
    /// in JSON, unless it is known.
    pub(super) fn send(&mut self, event: Event<'_>) -> Result<(), ReadStop> {
        let names_are_utf8 = self.names_are_utf8 || is_utf8(event.name.raw) && is_utf8(event.cat.raw);
        if self.args.not_utf8 || !names_are_utf8 {
            self.args.not_utf8 = false;
            self.count(Defect::InvalidUtf8, 0)?;
        }
        if std::mem::take(&mut self.args.missing_number) {
            self.count(Defect::MissingNumber, 0)?;
        }
        if self.args.unread > 0 {
            let unread = std::mem::take(&mut self.args.unread);
            self.count_several(Defect::UnreadArgument, unread, 0)?;
        }
        let mut event = event;
        if !self.args.json.is_empty() {
            self.args.json.push(b'}');
            event.args = &self.args.json;
        }
        event.index = self.out.events;
        event.plain = true;
        if event.category == Category::Other {
            event.category = category_in_json(&event);
        }
        self.out.events += 1;
        let result = self.sink.event(&event);
        self.args.json.clear();
        result.map_err(ReadStop::Sink)
    }

    /// Names a process.
    pub(super) fn name_process(&mut self, pid: i64, name: &[u8]) -> Result<(), ReadStop> {
        self.emit_metadata("process_name", "name", EventId::Number(pid), EventId::None, name)
    }

    /// Says what a process runs on, such as `NPU 3`.
    pub(super) fn label_process(&mut self, pid: i64, label: &[u8]) -> Result<(), ReadStop> {
        self.emit_metadata("process_labels", "labels", EventId::Number(pid), EventId::None, label)
    }

    /// Names a thread.
    pub(super) fn name_thread(&mut self, pid: i64, tid: i64, name: &[u8]) -> Result<(), ReadStop> {
        self.emit_metadata("thread_name", "name", EventId::Number(pid), EventId::Number(tid), name)
    }

    /// Sends a metadata event about a process or thread: `what` with the argument `key`.
    pub(super) fn emit_metadata(
        &mut self,
        what: &str,
        key: &str,
        pid: EventId<'_>,
        tid: EventId<'_>,
        label: &[u8],
    ) -> Result<(), ReadStop> {
        self.args.text(key.as_bytes(), label);
        self.send(Event { phase: b'M', name: what.into(), pid, tid, label: plain(label), ..Event::default() })
    }

    /// The timestamp in a column of a row. An unusable one is counted, as in JSON.
    pub(super) fn read_start(&mut self, row: Cells<'_>, column: usize) -> Result<RowTimes, ReadStop> {
        self.check_start(row.time(column), (0, 0))
    }

    /// Start and duration of a row, from the columns of its start and its end.
    pub(super) fn read_span(
        &mut self,
        row: Cells<'_>,
        start: usize,
        end: usize,
    ) -> Result<RowTimes, ReadStop> {
        self.check_span(row.time(start), row.time(end), (0, 0))
    }

    fn check_start(&mut self, start: TimeCell, (line, offset): (u64, u64)) -> Result<RowTimes, ReadStop> {
        let (start, defect) = match start {
            TimeCell::At(start) => (Some(start), None),
            TimeCell::Missing => (None, Some(Defect::NoTime)),
            TimeCell::Unreadable => (None, Some(Defect::BadTime)),
            TimeCell::OutOfRange => (None, Some(Defect::TimeOutOfRange)),
        };
        if let Some(defect) = defect {
            self.count_line(defect, line, offset)?;
        }
        Ok(RowTimes { start, dur: None, untimed: defect.is_some() })
    }

    /// Start and duration of something that lasted from `start` to `end`. What cannot be used is counted, as in JSON, at a
    /// line and a byte of the file.
    pub(super) fn check_span(
        &mut self,
        start: TimeCell,
        end: TimeCell,
        place: (u64, u64),
    ) -> Result<RowTimes, ReadStop> {
        let mut times = self.check_start(start, place)?;
        let defect = match (end, times.start) {
            (TimeCell::Missing, _) => Defect::NoDuration,
            (TimeCell::Unreadable, _) => Defect::BadDuration,
            (TimeCell::OutOfRange, _) => Defect::DurationOutOfRange,
            (TimeCell::At(_), None) => return Ok(times),
            (TimeCell::At(end), Some(start)) => match end - start {
                ..0 => {
                    times.dur = Some(0);
                    Defect::NegativeDuration
                }
                0..=LONGEST_NS => {
                    times.dur = Some(end - start);
                    return Ok(times);
                }
                _ => Defect::LongerThan7Days,
            },
        };
        times.untimed = true;
        self.count_line(defect, place.0, place.1)?;
        Ok(times)
    }

    /// Counts names that the file gives by a number, and does not have.
    pub(super) fn count_missing_names(&mut self, count: u64) -> Result<(), ReadStop> {
        self.count_several(Defect::MissingName, count, 0)
    }

    /// Counts tables of a database that are none.
    pub(super) fn count_unused_tables(&mut self, count: u64) -> Result<(), ReadStop> {
        self.count_several(Defect::NotATable, count, 0)
    }

    /// Counts a defect as often as it was met, if it was, as [`Self::count`].
    pub(super) fn count_several(&mut self, defect: Defect, count: u64, offset: u64) -> Result<(), ReadStop> {
        if let Some(more) = count.checked_sub(1) {
            self.count(defect, offset)?;
            self.out.defects.add(defect, more, || (0, offset));
        }
        Ok(())
    }

    /// Counts a defect at a byte of the file, 0 if that says nothing; strict reading stops at the first that is a
    /// fault.
    pub(super) fn count(&mut self, defect: Defect, offset: u64) -> Result<(), ReadStop> {
        self.count_line(defect, 0, offset)
    }

    /// Counts a defect at a line and a byte.
    pub(super) fn count_line(&mut self, defect: Defect, line: u64, offset: u64) -> Result<(), ReadStop> {
        let first = self.out.defects.count_of(defect) == 0;
        self.out.defects.add(defect, 1, || (line, offset));
        if first && self.strict && defect.is_fault() {
            let at = InputPosition { line, column: line.min(1), offset };
            return Err(ReadError::new(at, ReadFault::Rejected(defect)).into());
        }
        Ok(())
    }
}

/// The category that an event would have in JSON, by its phase, `cat` and name.
pub fn category_in_json(event: &Event<'_>) -> Category {
    match event.phase {
        b'X' | b'B' | b'E' | b'b' | b'e' => {
            category_of_cat(event.cat.raw, event.name.raw).unwrap_or_default()
        }
        b'C' => Category::Counter,
        b's' | b't' | b'f' => Category::Flow,
        b'i' | b'I' | b'n' if event.name.raw == b"[memory]" => Category::Memory,
        b'i' | b'I' | b'n' => Category::Marker,
        _ => Category::Other,
    }
}

/// The category of an event with a duration by its `cat`; `None` if its process decides.
fn category_of_cat(cat: &[u8], name: &[u8]) -> Option<Category> {
    kineto::classify_category(cat, name).or_else(|| ascend::classify_framework_event(cat))
}

/// Returns whether columns that every event has hold these arguments of an event: `correlation`, `External id`, `device`,
/// `stream`. They do where its `cat` gives the category; the numbers of other events follow from their process, or from
/// the other event of a pair.
pub fn columns_hold_numbers(phase: u8, cat: &[u8], name: &[u8]) -> bool {
    phase == b'X' && category_of_cat(cat, name).is_some()
}

/// A reading that stops here, for a damaged file.
pub(super) fn damaged_at(offset: u64, what: impl Into<String>) -> ReadStop {
    ReadError::new(InputPosition { line: 0, column: 0, offset }, ReadFault::Damaged(what.into())).into()
}

/// A file that is no trace, or one that cannot be read as one.
pub(super) fn rejected(what: impl Into<String>) -> ReadStop {
    ReadError::new(InputPosition::default(), ReadFault::NotATrace(what.into())).into()
}

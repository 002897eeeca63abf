//! One event: what its members mean.
//!
//! Nothing here depends on other events, so that blocks of a file are decoded in any order, on any thread.

use super::decimal::{is_number, nanos_from_micros, parse_integer, usual_nanos_from_micros};
use super::event::EventFields;
use super::row::{Row, RowId};
use super::slots::{Argument, Member};
use super::span::{JsonScalar, JsonValue, TextSpan};
use super::words::parse_digits;
use super::{ascend, kineto};
use crate::model::{Category, Defect, RawText};

/// A longer event is an error of the producer's clock.
pub(super) const LONGEST_NS: i64 = 7 * 24 * 3600 * 1_000_000_000;

/// The marks of their producer that events show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DialectSigns {
    pub(super) kineto: bool,
    pub(super) ascend: bool,
}

impl DialectSigns {
    pub(super) fn add(&mut self, other: Self) {
        self.kineto |= other.kineto;
        self.ascend |= other.ascend;
    }
}

/// The results of decoding an event besides the event.
pub(super) struct Remarks<'a> {
    pub(super) signs: &'a mut DialectSigns,
    pub(super) defects: &'a mut Vec<Defect>,
}

impl EventFields {
    /// The phase: what makes an object an event.
    #[inline]
    pub(super) fn phase_in(&self, text: &[u8]) -> Option<u8> {
        match self.member(Member::Phase).get() {
            JsonScalar::String(span) => span.text_in(text).unescape().first().copied(),
            _ => None,
        }
    }

    /// The event that the fields make; `place` is where in the text it stands.
    #[inline]
    pub(super) fn decode(&self, text: &[u8], phase: u8, place: TextSpan, remarks: &mut Remarks<'_>) -> Row {
        let integer = |argument| integer_of(text, self.argument(argument));
        // Whether ids and times are spelled as the row would be.
        let mut exact = true;
        let mut id = |member| {
            let (id, same) = id_of(text, self.member(member));
            exact &= same;
            id
        };
        let (pid, tid, id) = (id(Member::Pid), id(Member::Tid), id(Member::Id));
        let mut time = |member, defects| {
            let (nanos, same) = decode_time(text, self.member(member), defects, remarks);
            exact &= same;
            nanos
        };
        let start = time(Member::Ts, [Defect::BadTime, Defect::TimeOutOfRange]);
        let dur = time(Member::Dur, [Defect::BadDuration, Defect::DurationOutOfRange]);
        let mut row = Row {
            phase,
            category: Category::Other,
            local_id: false,
            repaired: false,
            untimed: false,
            plain: false,
            respelled: false,
            text: place,
            name: self.member(Member::Name).span(),
            cat: self.member(Member::Cat).span(),
            scope: self.member(Member::Scope).span(),
            label: self.argument(Argument::Label).span(),
            task_type: self.argument(Argument::TaskType).span(),
            args: self.args,
            pid,
            tid,
            id,
            start,
            dur,
            device: integer(Argument::Device),
            stream: integer(Argument::Stream),
            correlation: integer(Argument::Correlation).or_else(|| integer(Argument::CorrelationId)),
            // Old writers put 0 where there is no link.
            external: integer(Argument::External).filter(|&id| id != 0),
            sequence: integer(Argument::Sequence),
            step_number: integer(Argument::StepNumber),
            autograd_sequence: number_of(text, self.argument(Argument::AutogradSequence)),
            forward_thread: number_of(text, self.argument(Argument::ForwardThread)),
        };
        if row.id == RowId::None {
            row.local_id = self.local_id != JsonValue::MISSING;
            row.id = id_of(text, if row.local_id { self.local_id } else { self.global_id }).0;
        }
        row.plain =
            exact && self.has_usual_members() && row.dur.is_none_or(|dur| (0..=LONGEST_NS).contains(&dur));
        row.respelled = row.is_respelled(text);
        self.check_times(&mut row, remarks);
        let placed = self.argument(Argument::Device) != JsonValue::MISSING;
        classify(text, &mut row, placed, remarks.signs);
        row
    }

    /// Returns whether there are only members that a row has fields for, of the kinds that it has them for.
    #[inline]
    fn has_usual_members(&self) -> bool {
        let is_text =
            |member| matches!(self.member(member).get(), JsonScalar::String(_) | JsonScalar::Missing);
        let unusual = [
            self.member(Member::Scope),
            self.member(Member::Id2),
            self.member(Member::Args),
            self.local_id,
            self.global_id,
        ];
        !self.others
            && is_text(Member::Phase)
            && is_text(Member::Cat)
            && is_text(Member::Name)
            && unusual.iter().all(|value| *value == JsonValue::MISSING)
    }

    #[inline]
    fn check_times(&self, row: &mut Row, remarks: &mut Remarks<'_>) {
        let without =
            |member, value: Option<i64>| value.is_none() && self.member(member) != JsonValue::MISSING;
        row.untimed = without(Member::Ts, row.start)
            || without(Member::Dur, row.dur)
            || row.dur.is_some_and(|dur| !(0..=LONGEST_NS).contains(&dur));
        if self.repeated {
            remarks.defects.push(Defect::RepeatedMember);
        }
        if !self.has_time() && row.phase != b'M' {
            remarks.defects.push(Defect::NoTime);
        }
        match row.dur {
            None if row.phase == b'X' && self.member(Member::Dur) == JsonValue::MISSING => {
                remarks.defects.push(Defect::NoDuration);
            }
            Some(dur) if dur < 0 => {
                remarks.defects.push(Defect::NegativeDuration);
                row.dur = Some(0);
            }
            Some(dur) if dur > LONGEST_NS => {
                remarks.defects.push(Defect::LongerThan7Days);
                row.dur = None;
            }
            _ => {}
        }
    }
}

impl Row {
    /// Returns whether a text that others compare is spelled with escapes. Names are, often and for good reasons; those
    /// without a needless one are unlike all that they are compared with.
    #[inline]
    fn is_respelled(&self, text: &[u8]) -> bool {
        let is_escaped_id = |id| matches!(id, RowId::Text(span) if span.is_escaped());
        let spans = [self.cat, self.scope, self.label, self.task_type];
        spans.iter().any(|span| span.is_escaped())
            || self.name.is_escaped() && self.name.text_in(text).has_needless_escape()
            || is_escaped_id(self.pid)
            || is_escaped_id(self.tid)
            || is_escaped_id(self.id)
    }
}

/// Determines the category by phase, `cat` and name. `placed` work says on which device it ran, or that nobody knows: `null`.
#[inline]
fn classify(text: &[u8], row: &mut Row, placed: bool, signs: &mut DialectSigns) {
    let name = &*row.name.text_in(text).unescape();
    match row.phase {
        b'X' | b'B' | b'E' | b'b' | b'e' => {}
        b'C' => return row.category = Category::Counter,
        b's' | b't' | b'f' => {
            let cat = &*row.cat.text_in(text).unescape();
            signs.ascend |= matches!(cat, b"async_npu" | b"async_task_queue" | b"HostToDevice");
            return row.category = Category::Flow;
        }
        b'i' | b'I' | b'n' if name == b"[memory]" => return row.category = Category::Memory,
        b'i' | b'I' | b'n' | b'R' => return row.category = Category::Marker,
        _ => return,
    }
    let cat = &*row.cat.text_in(text).unescape();
    if let Some(category) = kineto::classify_category(cat, name) {
        signs.kineto = true;
        row.category = category;
        if category.is_on_device() {
            row.device = row.device.or(row.pid.as_number().filter(|_| !placed));
            row.stream = row.stream.or(row.tid.as_number());
        }
        return;
    }
    if let Some(category) = ascend::classify_framework_event(cat) {
        signs.ascend = true;
        row.category = category;
    }
}

/// A time, and whether it is spelled in nanoseconds exactly. What is no number, or one out of range, is remarked as
/// the first or the second of the defects.
#[inline]
fn decode_time(
    text: &[u8],
    value: JsonValue,
    [no_number, out_of_range]: [Defect; 2],
    remarks: &mut Remarks<'_>,
) -> (Option<i64>, bool) {
    let mut defect = no_number;
    let nanos = match value.get() {
        JsonScalar::Missing => return (None, true),
        JsonScalar::Number(span) | JsonScalar::String(span) => {
            let (start, end) = span.bounds();
            match usual_nanos_from_micros(text, start, end) {
                Some(nanos) => return (Some(nanos), true),
                // Some writers end the text with an escaped tab.
                None => {
                    let digits = span.text_in(text).unescape();
                    if is_number(&digits) {
                        defect = out_of_range;
                    }
                    nanos_from_micros(&digits)
                }
            }
        }
        _ => None,
    };
    if nanos.is_none() {
        remarks.defects.push(defect);
    }
    (nanos, false)
}

#[inline(always)]
fn integer_of(text: &[u8], value: JsonValue) -> Option<i64> {
    // Most events have few of the arguments.
    if value == JsonValue::MISSING { None } else { parse_value(text, value) }
}

fn parse_value(text: &[u8], value: JsonValue) -> Option<i64> {
    match value.get() {
        JsonScalar::Number(span) | JsonScalar::String(span) => {
            let (start, end) = span.bounds();
            match parse_digits(text, start, end) {
                Some(value) => Some(value as i64),
                None => parse_integer(&span.text_in(text).unescape()),
            }
        }
        _ => None,
    }
}

/// A whole number of 64 bits, if the value is one.
#[inline(always)]
fn number_of(text: &[u8], value: JsonValue) -> Option<i64> {
    let JsonScalar::Number(span) = value.get() else { return None };
    let (start, end) = span.bounds();
    match parse_digits(text, start, end) {
        Some(value) => Some(value as i64),
        None => std::str::from_utf8(span.text_in(text).raw).ok()?.parse().ok(),
    }
}

/// An id, and whether it would be written as it is spelled.
#[inline(always)]
fn id_of(text: &[u8], value: JsonValue) -> (RowId, bool) {
    if value == JsonValue::MISSING { (RowId::None, true) } else { id_of_value(text, value) }
}

fn id_of_value(text: &[u8], value: JsonValue) -> (RowId, bool) {
    match value.get() {
        JsonScalar::Missing => (RowId::None, true),
        JsonScalar::Number(span) => {
            let (start, end) = span.bounds();
            if let Some(n) = parse_digits(text, start, end) {
                return (RowId::Number(n as i64), true);
            }
            match parse_integer(span.text_in(text).raw) {
                Some(n) => (RowId::Number(n), is_plain_integer(span.text_in(text))),
                None => (RowId::Text(span), false),
            }
        }
        // Writers differ in the spelling of one and the same id: a text of plain digits is the number.
        JsonScalar::String(span) => match plain_integer(span.text_in(text)) {
            Some(n) => (RowId::Number(n), false),
            None => (RowId::Text(span), true),
        },
        _ => (RowId::None, false),
    }
}

/// Returns whether a number of JSON is what an integer prints as.
#[inline]
fn is_plain_integer(text: RawText<'_>) -> bool {
    text.raw != b"-0" && text.raw.iter().all(|b| matches!(b, b'0'..=b'9' | b'-'))
}

/// A text that is exactly what a number prints as.
fn plain_integer(text: RawText<'_>) -> Option<i64> {
    let text = &*text.unescape();
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = digits.iter().all(u8::is_ascii_digit)
        && matches!(digits, [b'1'..=b'9', ..] | [b'0'])
        && text != b"-0";
    if plain { parse_integer(text) } else { None }
}

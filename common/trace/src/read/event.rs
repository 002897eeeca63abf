//! One event: its members as the file has them, and what they mean.
//!
//! Nothing here depends on other events, so that blocks of a file are decoded in any order, on any thread.

use super::decimal::{nanos_from_micros, parse_integer};
use super::mend::{LenientScanner, QuoteGuess};
use super::row::{Row, RowId};
use super::scan::{JsonScalar, JsonScan, JsonValue, ScanFault, StrictScanner, TextSpan};
use super::{ascend, kineto};
use crate::model::{Category, Defect, RawText};

/// A longer event is an error of the producer's clock.
const LONGEST_NS: i64 = 7 * 24 * 3600 * 1_000_000_000;

/// The members of an event that anybody looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Member {
    Phase,
    Cat,
    Name,
    Pid,
    Tid,
    Ts,
    Dur,
    Id,
    Scope,
    Args,
    Id2,
}

impl Member {
    const COUNT: usize = 11;

    #[inline(always)]
    fn of_key(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"ph" => Self::Phase,
            b"cat" => Self::Cat,
            b"name" => Self::Name,
            b"pid" => Self::Pid,
            b"tid" => Self::Tid,
            b"ts" => Self::Ts,
            b"dur" => Self::Dur,
            b"id" => Self::Id,
            b"scope" => Self::Scope,
            b"args" => Self::Args,
            b"id2" => Self::Id2,
            _ => return None,
        })
    }
}

/// The arguments that anybody looks at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Argument {
    Correlation,
    CorrelationId,
    External,
    Stream,
    Device,
    Sequence,
    StepNumber,
    TaskType,
    /// `name` or `labels` of a metadata event.
    Label,
}

impl Argument {
    const COUNT: usize = 9;

    #[inline(always)]
    fn of_key(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"correlation" => Self::Correlation,
            b"correlation_id" => Self::CorrelationId,
            b"External id" | b"external id" => Self::External,
            b"stream" | b"stream_id" => Self::Stream,
            b"device" => Self::Device,
            b"Ev Idx" => Self::Sequence,
            b"step_num" => Self::StepNumber,
            b"Task Type" => Self::TaskType,
            b"name" | b"labels" => Self::Label,
            _ => return None,
        })
    }
}

/// Members and arguments as they stand in the file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EventFields {
    members: [JsonValue; Member::COUNT],
    arguments: [JsonValue; Argument::COUNT],
    local_id: JsonValue,
    global_id: JsonValue,
    args: TextSpan,
    /// It has no members at all.
    pub(super) empty: bool,
}

impl EventFields {
    /// Reads the object that is next. Of a member that comes twice, the last counts; `lenient` reading refuses two
    /// phases, because two events may have run into each other.
    #[inline]
    pub(super) fn read<S: JsonScan>(scan: &mut S, lenient: bool) -> Result<Self, ScanFault> {
        let mut fields = Self::default();
        let mut more = scan.open_bracket(b'}')?;
        fields.empty = !more;
        while more {
            let key = scan.scan_key()?.text_in(scan.text());
            // No known producer's keys have to be decoded.
            let member =
                if key.escaped { Member::of_key(key.decode().as_bytes()) } else { Member::of_key(key.raw) };
            match member {
                None => _ = scan.scan_value()?,
                Some(Member::Args) if scan.peek_byte()? == b'{' => fields.read_arguments(scan)?,
                Some(Member::Id2) if scan.peek_byte()? == b'{' => fields.read_id2(scan)?,
                Some(member) => {
                    if lenient && member == Member::Phase && fields.member(member) != JsonValue::MISSING {
                        return Err(ScanFault::TwoInOne);
                    }
                    fields.members[member as usize] = scan.scan_value()?;
                }
            }
            more = scan.next_element(b'}')?;
        }
        Ok(fields)
    }

    #[inline]
    fn read_arguments<S: JsonScan>(&mut self, scan: &mut S) -> Result<(), ScanFault> {
        let start = scan.pos();
        let mut more = scan.open_bracket(b'}')?;
        while more {
            let argument = Argument::of_key(scan.scan_key()?.text_in(scan.text()).raw);
            let value = scan.scan_value()?;
            if let Some(argument) = argument {
                self.arguments[argument as usize] = value;
            }
            more = scan.next_element(b'}')?;
        }
        self.args = TextSpan::new(start, scan.pos(), false);
        Ok(())
    }

    fn read_id2<S: JsonScan>(&mut self, scan: &mut S) -> Result<(), ScanFault> {
        let mut more = scan.open_bracket(b'}')?;
        while more {
            let key = scan.scan_key()?.text_in(scan.text()).raw;
            let (local, global) = (key == b"local", key == b"global");
            let value = scan.scan_value()?;
            if local {
                self.local_id = value;
            } else if global {
                self.global_id = value;
            }
            more = scan.next_element(b'}')?;
        }
        Ok(())
    }

    #[inline]
    fn member(&self, member: Member) -> JsonValue {
        self.members[member as usize]
    }

    #[inline]
    fn argument(&self, argument: Argument) -> JsonValue {
        self.arguments[argument as usize]
    }

    /// Tells whether it has a time.
    pub(super) fn has_time(&self) -> bool {
        self.member(Member::Ts) != JsonValue::MISSING
    }
}

/// What the strict scanner takes of a text, the one that repairs takes alike. For fuzzing.
pub(super) fn assert_scanners_agree(text: &[u8]) {
    let starts = memchr::memchr_iter(b'{', text).take(64);
    for start in starts {
        let mut strict = StrictScanner::new(text, start);
        let Ok(fields) = EventFields::read(&mut strict, false) else { continue };
        // A raw zero is refused by the one and looked for elsewhere by the other.
        if memchr::memchr(0, &text[start..strict.pos()]).is_some() {
            continue;
        }
        let mut lenient = LenientScanner::new(text, start, QuoteGuess::OfText, true);
        match EventFields::read(&mut lenient, true) {
            Ok(others) => {
                assert!(lenient.defects.is_empty(), "{:?}", lenient.defects);
                assert_eq!((fields, strict.pos()), (others, lenient.pos()));
            }
            Err(fault) => assert_eq!(fault, ScanFault::TwoInOne),
        }
    }
}

/// What the events tell about their producer.
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

/// What decoding an event tells besides the event.
pub(super) struct Remarks<'a> {
    pub(super) signs: &'a mut DialectSigns,
    pub(super) defects: &'a mut Vec<Defect>,
}

impl EventFields {
    /// The phase: what makes an object an event.
    #[inline]
    pub(super) fn phase_in(&self, text: &[u8]) -> Option<u8> {
        match self.member(Member::Phase).get() {
            JsonScalar::String(span) => span.text_in(text).raw.first().copied(),
            _ => None,
        }
    }

    /// The event that the fields make; `place` is where in the text it stands.
    #[inline]
    pub(super) fn decode(&self, text: &[u8], phase: u8, place: TextSpan, remarks: &mut Remarks<'_>) -> Row {
        let integer = |argument| integer_of(text, self.argument(argument));
        let id = |member| id_of(text, self.member(member));
        let mut row = Row {
            phase,
            category: Category::Other,
            local_id: false,
            repaired: false,
            text: place,
            name: self.member(Member::Name).span(),
            cat: self.member(Member::Cat).span(),
            scope: self.member(Member::Scope).span(),
            label: self.argument(Argument::Label).span(),
            task_type: self.argument(Argument::TaskType).span(),
            args: self.args,
            pid: id(Member::Pid),
            tid: id(Member::Tid),
            id: id(Member::Id),
            start: decode_time(text, self.member(Member::Ts), Defect::BadTime, remarks),
            dur: decode_time(text, self.member(Member::Dur), Defect::BadDuration, remarks),
            device: integer(Argument::Device),
            stream: integer(Argument::Stream),
            correlation: integer(Argument::Correlation).or_else(|| integer(Argument::CorrelationId)),
            // Old writers put 0 where there is no link.
            external: integer(Argument::External).filter(|&id| id != 0),
            sequence: integer(Argument::Sequence),
            step_number: integer(Argument::StepNumber),
        };
        if row.id == RowId::None {
            row.local_id = self.local_id != JsonValue::MISSING;
            row.id = id_of(text, if row.local_id { self.local_id } else { self.global_id });
        }
        self.check_times(&mut row, remarks);
        classify(text, &mut row, remarks.signs);
        row
    }

    #[inline]
    fn check_times(&self, row: &mut Row, remarks: &mut Remarks<'_>) {
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

/// Tells the category by phase, `cat` and name.
#[inline]
fn classify(text: &[u8], row: &mut Row, signs: &mut DialectSigns) {
    let name = row.name.text_in(text).raw;
    match row.phase {
        b'X' | b'B' | b'E' | b'b' | b'e' => {}
        b'C' => return row.category = Category::Counter,
        b's' | b't' | b'f' => {
            let cat = row.cat.text_in(text).raw;
            signs.ascend |= matches!(cat, b"async_npu" | b"async_task_queue" | b"HostToDevice");
            return row.category = Category::Flow;
        }
        b'i' | b'I' | b'n' if name == b"[memory]" => return row.category = Category::Memory,
        b'i' | b'I' | b'n' | b'R' => return row.category = Category::Marker,
        _ => return,
    }
    let cat = row.cat.text_in(text).raw;
    if let Some(category) = kineto::classify_category(cat, name) {
        signs.kineto = true;
        row.category = category;
        if category.is_on_device() {
            row.device = row.device.or(row.pid.as_number());
            row.stream = row.stream.or(row.tid.as_number());
        }
        return;
    }
    if let Some(category) = ascend::classify_framework_event(cat) {
        signs.ascend = true;
        row.category = category;
    }
}

fn decode_time(text: &[u8], value: JsonValue, defect: Defect, remarks: &mut Remarks<'_>) -> Option<i64> {
    let nanos = match value.get() {
        JsonScalar::Missing => return None,
        JsonScalar::Number(span) => nanos_from_micros(span.text_in(text).raw),
        // Some writers end the text with an escaped tab.
        JsonScalar::String(span) => match span.text_in(text) {
            RawText { raw, escaped: false } => nanos_from_micros(raw),
            escaped => nanos_from_micros(escaped.decode().as_bytes()),
        },
        _ => None,
    };
    if nanos.is_none() {
        remarks.defects.push(defect);
    }
    nanos
}

#[inline]
fn integer_of(text: &[u8], value: JsonValue) -> Option<i64> {
    match value.get() {
        JsonScalar::Number(span) | JsonScalar::String(span) => parse_integer(span.text_in(text).raw),
        _ => None,
    }
}

#[inline]
fn id_of(text: &[u8], value: JsonValue) -> RowId {
    match value.get() {
        JsonScalar::Number(span) => match parse_integer(span.text_in(text).raw) {
            Some(n) => RowId::Number(n),
            None => RowId::Text(span),
        },
        // Writers differ in the spelling of one and the same id: a text of plain digits is the number.
        JsonScalar::String(span) => match plain_integer(span.text_in(text)) {
            Some(n) => RowId::Number(n),
            None => RowId::Text(span),
        },
        _ => RowId::None,
    }
}

/// A text that is exactly what a number prints as.
fn plain_integer(text: RawText<'_>) -> Option<i64> {
    let digits = text.raw.strip_prefix(b"-").unwrap_or(text.raw);
    let plain = !text.escaped
        && digits.iter().all(u8::is_ascii_digit)
        && matches!(digits, [b'1'..=b'9', ..] | [b'0'])
        && text.raw != b"-0";
    if plain { parse_integer(text.raw) } else { None }
}

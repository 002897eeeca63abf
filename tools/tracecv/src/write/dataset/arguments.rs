//! Common arguments of events as columns, and the others as JSON.

use memchr::memmem;
use trace::argument_columns::{ARGUMENT_COLUMNS, NO_ARGUMENTS, NUMBER_KEYS, spellings_of_number};
use trace::model::{Event, RawText};
use trace::read::{
    KnownKeys, columns_hold_numbers, find_argument, for_each_member, write_compact, write_text,
};
use trace::rows::{OtherMembers, head_of};

use crate::write::spelling::{complete_numbers, spell_cat};

use super::row_builder::RowBuilder;
use super::values::{Column, ColumnKind};

const COUNT: usize = ARGUMENT_COLUMNS.len();

/// The columns, in the order in which [`EventArguments::push`] fills them.
pub(super) const COLUMNS: [Column; COUNT] = {
    let mut columns = [Column { name: "", kind: ColumnKind::Int }; COUNT];
    let mut i = 0;
    while i < COUNT {
        let kind = if ARGUMENT_COLUMNS[i].whole_number { ColumnKind::Int } else { ColumnKind::Text };
        columns[i] = Column { name: ARGUMENT_COLUMNS[i].column, kind };
        i += 1;
    }
    columns
};

/// One argument of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ArgumentValue {
    Int(i64),
    /// A part of the texts.
    Text(usize, usize),
}

/// The arguments of one event.
#[derive(Default)]
pub(super) struct EventArguments {
    keys: KnownKeys,
    /// How the arguments of a key are written, by its number.
    uses: Vec<Option<KeyUse>>,
    others: OtherMembers,
    members: ArgumentMembers,
}

/// How an argument is written.
#[derive(Clone)]
struct KeyUse {
    /// The key and its colon, as they stand before a value that has no column.
    head: Vec<u8>,
    /// The column that it has.
    column: Option<usize>,
    /// The place of the number that it spells, and whether it is the spelling of the column.
    number: Option<(usize, bool)>,
    /// Looking at the members of an object leaves it out.
    is_left_out: bool,
    last: LastNested,
}

/// The object or array that was the last value of a key, and how it is written: shapes and grids come again and again.
#[derive(Clone, Default)]
struct LastNested {
    value: Vec<u8>,
    written: Vec<u8>,
}

impl LastNested {
    /// Longer ones are not kept.
    const LONGEST: usize = 256;

    /// Appends a value that was read without a repair, as [`write_compact`] does.
    #[inline]
    fn write_compact(&mut self, value: &[u8], to: &mut Vec<u8>) {
        if !matches!(value, [b'[' | b'{', ..]) || value.len() > Self::LONGEST {
            return write_compact(value, false, to);
        }
        if self.value != value {
            self.value.clear();
            self.value.extend_from_slice(value);
            self.written.clear();
            write_compact(value, false, &mut self.written);
        }
        to.extend_from_slice(&self.written);
    }
}

impl KeyUse {
    /// Of a key without escapes.
    fn of(key: &[u8]) -> Self {
        let (column, number, is_left_out) = (column_of(key), number_of_key(key), key == b"args");
        Self { head: head_of(key), column, number, is_left_out, last: LastNested::default() }
    }
}

/// The arguments and the other members of an event, as columns of a row.
struct ArgumentMembers {
    /// The values of those that have a column, where a bit of `present` says that they have one.
    values: [ArgumentValue; COUNT],
    present: u32,
    texts: Vec<u8>,
    rest: Vec<u8>,
    other: Vec<u8>,
    numbers: [NumberSpellings; NUMBER_KEYS.len()],
}

/// The spellings of a number with a column that the arguments of an event have.
#[derive(Clone, Copy, Default)]
struct NumberSpellings {
    /// It is only in its column.
    in_column: bool,
    /// It is among the other arguments, by a name that one may have for it.
    in_rest: bool,
}

impl EventArguments {
    /// Reads those of an event.
    pub(super) fn read(&mut self, event: &Event<'_>) {
        let added = if event.text.is_empty() { complete_numbers(event) } else { None };
        match &added {
            Some(args) => self.read_complete(&Event { args, ..*event }),
            None => self.read_complete(event),
        }
    }

    fn read_complete(&mut self, event: &Event<'_>) {
        self.members.clear();
        let other = &mut self.members.other;
        self.others.write(event, other);
        if !other.is_empty() {
            other.insert(0, b'{');
            other.push(b'}');
        }
        let numbers = numbers_of(event);
        let has_numbers = numbers.iter().any(Option::is_some);
        if event.args.is_empty() && other.is_empty() && !has_numbers {
            return;
        }
        let held = (has_numbers || !other.is_empty())
            && columns_hold_numbers(event.phase, &spell_cat(event).unescape(), &event.name.unescape());
        let numbers = held.then_some(numbers);
        if !self.read_known(event, numbers) {
            self.members.present = 0;
            self.members.numbers = Default::default();
            self.members.texts.clear();
            self.members.rest.clear();
            if !self.members.read_unknown(event, numbers) {
                return;
            }
        }
        if let Some(numbers) = numbers {
            self.members.settle_numbers(numbers);
        }
        if !self.members.rest.is_empty() {
            self.members.rest.push(b'}');
        }
    }

    /// Reads arguments whose keys are known, or will be. `false` where something about them is unusual.
    fn read_known(&mut self, event: &Event<'_>, numbers: Option<EventNumbers>) -> bool {
        let Self { keys, uses, members, .. } = self;
        if event.args.is_empty() {
            return true;
        }
        if event.repaired {
            return false;
        }
        let mut usual = true;
        let known = keys.for_each_member(event.args, |number, key, value| {
            if uses.len() <= number {
                uses.resize(number + 1, None);
            }
            let KeyUse { head, column, number, is_left_out, last } =
                uses[number].get_or_insert_with(|| KeyUse::of(key));
            usual &= !*is_left_out;
            let taken = match (number, numbers) {
                (Some(spelling), Some(numbers)) => members.take_number(*spelling, value, numbers),
                _ => false,
            };
            let mut take = |i| members.take(i, value, false, |value, to| last.write_compact(value, to));
            if !taken && !column.is_some_and(&mut take) {
                members.rest.push(if members.rest.is_empty() { b'{' } else { b',' });
                members.rest.extend_from_slice(head);
                last.write_compact(value, &mut members.rest);
            }
        });
        known && usual
    }

    /// Appends the columns.
    pub(super) fn push(&self, table: &mut RowBuilder) {
        let ArgumentMembers { values, texts, .. } = &self.members;
        let (mut next, mut rest) = (0, self.members.present);
        while rest != 0 {
            let i = rest.trailing_zeros() as usize;
            table.skip(i - next);
            match values[i] {
                ArgumentValue::Int(n) => table.int(Some(n)),
                ArgumentValue::Text(from, to) => table.text(Some(&texts[from..to])),
            }
            next = i + 1;
            rest &= rest - 1;
        }
        table.skip(COUNT - next);
    }

    /// The arguments without a column, as JSON; empty if there are none.
    pub(super) fn rest(&self) -> &[u8] {
        &self.members.rest
    }

    /// The members of the event that no column holds, as JSON; empty if there are none.
    pub(super) fn other(&self) -> &[u8] {
        &self.members.other
    }
}

impl Default for ArgumentMembers {
    fn default() -> Self {
        let values = [ArgumentValue::Int(0); COUNT];
        let (texts, rest, other) = Default::default();
        Self { values, present: 0, texts, rest, other, numbers: Default::default() }
    }
}

impl ArgumentMembers {
    fn clear(&mut self) {
        self.present = 0;
        self.numbers = Default::default();
        self.texts.clear();
        self.rest.clear();
        self.other.clear();
    }

    /// Reads arguments of any kind. `false` if all of them are kept as they stand there.
    fn read_unknown(&mut self, event: &Event<'_>, numbers: Option<EventNumbers>) -> bool {
        // An argument `args` is one that looking at the members of an object would leave out.
        if memmem::find(event.args, b"\"args\"").is_some() {
            write_compact(event.args, event.repaired, &mut self.rest);
            return false;
        }
        let arguments = Event { text: event.args, args: b"", repaired: event.repaired, ..Event::default() };
        for_each_member(&arguments, |key, value| {
            let name = key.unescape();
            let number = match (number_of_key(&name), numbers) {
                (Some(spelling), Some(numbers)) => self.take_number(spelling, value, numbers),
                _ => false,
            };
            let compact = |value: &[u8], to: &mut Vec<u8>| write_compact(value, event.repaired, to);
            if number || column_of(&name).is_some_and(|i| self.take(i, value, event.repaired, compact)) {
                return;
            }
            self.push_rest(key, value, event.repaired);
        });
        true
    }

    fn push_rest(&mut self, key: RawText<'_>, value: &[u8], repaired: bool) {
        self.rest.push(if self.rest.is_empty() { b'{' } else { b',' });
        write_text(key, &mut self.rest);
        self.rest.push(b':');
        write_compact(value, repaired, &mut self.rest);
    }

    /// Takes an argument whose column holds it as it stands there. Notes all spellings of numbers with a column.
    fn take_number(&mut self, (i, is_own): (usize, bool), value: &[u8], numbers: EventNumbers) -> bool {
        let same = is_own && numbers[i].is_some_and(|number| is_spelling_of(value, number));
        let spellings = &mut self.numbers[i];
        spellings.in_column |= same;
        spellings.in_rest |= !same;
        same
    }

    /// Says what the columns of numbers do not: that an argument has two spellings, or none.
    fn settle_numbers(&mut self, numbers: EventNumbers) {
        let mut absent = Vec::new();
        for ((key, number), spellings) in NUMBER_KEYS.iter().zip(numbers).zip(self.numbers) {
            match (number, spellings) {
                (Some(number), NumberSpellings { in_column: true, in_rest: true }) => {
                    self.push_rest((*key).into(), number.to_string().as_bytes(), false);
                }
                (Some(_), NumberSpellings { in_column: false, in_rest: false }) => absent.push(*key),
                _ => {}
            }
        }
        let is_there = find_argument(&self.other, NO_ARGUMENTS).is_some();
        if !absent.is_empty() || is_there {
            self.other.pop();
            self.other.push(if self.other.is_empty() { b'{' } else { b',' });
            write_text(NO_ARGUMENTS.into(), &mut self.other);
            self.other.extend_from_slice(format!(":{}}}", serde_json::json!(absent)).as_bytes());
        }
    }

    fn put(&mut self, i: usize, value: ArgumentValue) {
        self.values[i] = value;
        self.present |= 1 << i;
    }

    /// Takes an argument that has a column; `compact` writes lists. `false` if its value is of another kind.
    fn take(
        &mut self,
        i: usize,
        value: &[u8],
        repaired: bool,
        compact: impl FnOnce(&[u8], &mut Vec<u8>),
    ) -> bool {
        if ARGUMENT_COLUMNS[i].whole_number {
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            if let Some(number) = number {
                self.put(i, ArgumentValue::Int(number));
            }
            return number.is_some();
        }
        let start = self.texts.len();
        match value {
            [b'"', inner @ .., b'"'] if !repaired => {
                let text = RawText { raw: inner, escaped: inner.contains(&b'\\') };
                self.texts.extend_from_slice(&text.unescape());
                // What is read from the column would be a list.
                if self.texts[start..].starts_with(b"[") {
                    self.put(i, ArgumentValue::Text(start, self.texts.len()));
                    return false;
                }
            }
            // Shapes and types are lists: as JSON.
            [b'[', ..] => compact(value, &mut self.texts),
            _ => return false,
        }
        self.put(i, ArgumentValue::Text(start, self.texts.len()));
        true
    }
}

/// Those in the columns of [`NUMBER_KEYS`].
type EventNumbers = [Option<i64>; NUMBER_KEYS.len()];

/// The numbers of an event.
fn numbers_of(event: &Event<'_>) -> EventNumbers {
    [event.correlation, event.external, event.device, event.stream]
}

/// The place of the number that an argument of this key spells, and whether it is the spelling of the column.
fn number_of_key(name: &[u8]) -> Option<(usize, bool)> {
    let is_spelling = |key: &&str| spellings_of_number(key).iter().any(|other| other.as_bytes() == name);
    let i = NUMBER_KEYS.iter().position(is_spelling)?;
    Some((i, NUMBER_KEYS[i].as_bytes() == name))
}

/// The column of an argument that has one.
fn column_of(name: &[u8]) -> Option<usize> {
    ARGUMENT_COLUMNS.iter().position(|argument| argument.key.as_bytes() == name)
}

/// Returns whether a text is the usual spelling of a number.
fn is_spelling_of(text: &[u8], number: i64) -> bool {
    let digits = match (text, number < 0) {
        ([b'-', digits @ ..], true) => digits,
        (digits, false) => digits,
        _ => return false,
    };
    let [first, ..] = digits else { return false };
    let spelled = digits.iter().try_fold(0_u64, |spelled, digit| {
        let digit = digit.wrapping_sub(b'0');
        spelled.checked_mul(10)?.checked_add(u64::from(digit)).filter(|_| digit < 10)
    });
    spelled == Some(number.unsigned_abs()) && (digits.len() == 1 || *first != b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_spelling_of_a_number_is_known() {
        for number in [0, 7, 10, -1, -10, 1_234_567_890, i64::MAX, i64::MIN] {
            let usual = number.to_string();
            assert!(is_spelling_of(usual.as_bytes(), number), "{usual}");
            for other in ["", "-", "0", "-0", "00", "+7", "07", "7.0", "1", " 7"] {
                assert_eq!(is_spelling_of(other.as_bytes(), number), usual == other, "{number} {other:?}");
            }
        }
    }

    #[test]
    fn every_argument_with_a_column_is_found() {
        for (i, argument) in ARGUMENT_COLUMNS.iter().enumerate() {
            assert_eq!(column_of(argument.key.as_bytes()), Some(i), "{}", argument.key);
        }
        assert_eq!(["", "seq", "Input Dimz", &"x".repeat(70)].map(|n| column_of(n.as_bytes())), [None; 4]);
    }
}

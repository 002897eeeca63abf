//! Common arguments of events as columns, and the others as JSON.

use memchr::memmem;
use trace::argument_columns::{ARGUMENT_COLUMNS, NO_ARGUMENTS, NUMBER_KEYS, spellings_of_number};
use trace::model::{Event, RawText};
use trace::read::{columns_hold_numbers, find_argument, for_each_member, write_compact, write_text};
use trace::rows::RawMembers;

use crate::write::spelling::{complete_numbers, spell_cat};

use super::table::{Column, ColumnKind, TableWriter};

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ArgumentValue {
    #[default]
    Missing,
    Int(i64),
    /// A part of the texts.
    Text(usize, usize),
}

/// The arguments of one event.
pub(super) struct EventArguments {
    /// An argument `args` is one that looking at the members of an object would leave out.
    nested: memmem::Finder<'static>,
    values: [ArgumentValue; COUNT],
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

impl Default for EventArguments {
    fn default() -> Self {
        Self {
            nested: memmem::Finder::new(b"\"args\""),
            values: [ArgumentValue::Missing; COUNT],
            texts: Vec::new(),
            rest: Vec::new(),
            other: Vec::new(),
            numbers: Default::default(),
        }
    }
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
        self.values = [ArgumentValue::Missing; COUNT];
        self.texts.clear();
        self.rest.clear();
        self.other = RawMembers::of(event).other;
        if !self.other.is_empty() {
            self.other.insert(0, b'{');
            self.other.push(b'}');
        }
        self.numbers = Default::default();
        let has_numbers = numbers_of(event).iter().any(Option::is_some);
        if event.args.is_empty() && self.other.is_empty() && !has_numbers {
            return;
        }
        // An argument `args` is one that looking at the members of an object would leave out.
        if self.nested.find(event.args).is_some() {
            return write_compact(event.args, event.repaired, &mut self.rest);
        }
        let arguments = Event { text: event.args, args: b"", repaired: event.repaired, ..Event::default() };
        let held = (has_numbers || !self.other.is_empty())
            && columns_hold_numbers(event.phase, &spell_cat(event).unescape(), &event.name.unescape());
        for_each_member(&arguments, |key, value| {
            let name = key.unescape();
            let known = column_of(&name);
            let number = held && self.take_number(&name, value, event);
            if number || known.is_some_and(|i| self.take(i, value, event.repaired)) {
                return;
            }
            self.push_rest(key, value, event.repaired);
        });
        if held {
            self.settle_numbers(event);
        }
        if !self.rest.is_empty() {
            self.rest.push(b'}');
        }
    }

    fn push_rest(&mut self, key: RawText<'_>, value: &[u8], repaired: bool) {
        self.rest.push(if self.rest.is_empty() { b'{' } else { b',' });
        write_text(key, &mut self.rest);
        self.rest.push(b':');
        write_compact(value, repaired, &mut self.rest);
    }

    /// Takes an argument whose column holds it as it stands there. Notes all spellings of numbers with a column.
    fn take_number(&mut self, name: &[u8], value: &[u8], event: &Event<'_>) -> bool {
        let is_spelling = |key: &&str| spellings_of_number(key).iter().any(|other| other.as_bytes() == name);
        let Some(i) = NUMBER_KEYS.iter().position(is_spelling) else { return false };
        let same = NUMBER_KEYS[i].as_bytes() == name
            && numbers_of(event)[i].is_some_and(|number| is_spelling_of(value, number));
        let spellings = &mut self.numbers[i];
        spellings.in_column |= same;
        spellings.in_rest |= !same;
        same
    }

    /// Says what the columns of numbers do not: that an argument has two spellings, or none.
    fn settle_numbers(&mut self, event: &Event<'_>) {
        let mut absent = Vec::new();
        for ((key, number), spellings) in NUMBER_KEYS.iter().zip(numbers_of(event)).zip(self.numbers) {
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

    /// Takes an argument that has a column. `false` if its value is of another kind.
    fn take(&mut self, i: usize, value: &[u8], repaired: bool) -> bool {
        if ARGUMENT_COLUMNS[i].whole_number {
            let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            if let Some(number) = number {
                self.values[i] = ArgumentValue::Int(number);
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
                    self.values[i] = ArgumentValue::Text(start, self.texts.len());
                    return false;
                }
            }
            // Shapes and types are lists: as JSON.
            [b'[', ..] => write_compact(value, repaired, &mut self.texts),
            _ => return false,
        }
        self.values[i] = ArgumentValue::Text(start, self.texts.len());
        true
    }

    /// Appends the columns.
    pub(super) fn push(&self, table: &mut TableWriter) {
        for (value, column) in self.values.iter().zip(&COLUMNS) {
            match (value, column.kind) {
                (ArgumentValue::Int(n), _) => table.int(Some(*n)),
                (ArgumentValue::Text(from, to), _) => table.text(Some(&self.texts[*from..*to])),
                (ArgumentValue::Missing, ColumnKind::Int) => table.int(None),
                (ArgumentValue::Missing, _) => table.text(None),
            }
        }
    }

    /// The arguments without a column, as JSON; empty if there are none.
    pub(super) fn rest(&self) -> &[u8] {
        &self.rest
    }

    /// The members of the event that no column holds, as JSON; empty if there are none.
    pub(super) fn other(&self) -> &[u8] {
        &self.other
    }
}

/// The numbers of an event in the columns of [`NUMBER_KEYS`].
fn numbers_of(event: &Event<'_>) -> [Option<i64>; NUMBER_KEYS.len()] {
    [event.correlation, event.external, event.device, event.stream]
}

/// The column of an argument that has one.
fn column_of(name: &[u8]) -> Option<usize> {
    /// A bit for each length of a name: most arguments have another.
    const LENGTHS: u64 = {
        let (mut lengths, mut i) = (0, 0);
        while i < COUNT {
            lengths |= 1 << ARGUMENT_COLUMNS[i].key.len();
            i += 1;
        }
        lengths
    };
    if name.len() >= 64 || LENGTHS >> name.len() & 1 == 0 {
        return None;
    }
    ARGUMENT_COLUMNS.iter().position(|argument| argument.key.as_bytes() == name)
}

/// Returns whether a text is the usual spelling of a number.
fn is_spelling_of(text: &[u8], number: i64) -> bool {
    let digits = match (text, number < 0) {
        ([b'-', digits @ ..], true) => digits,
        (digits, false) => digits,
        _ => return false,
    };
    let mut rest = number.unsigned_abs();
    let same = digits.iter().rev().all(|digit| {
        let expected = b'0' + (rest % 10) as u8;
        rest /= 10;
        *digit == expected
    });
    same && rest == 0 && (digits.len() == 1 || digits.first().is_some_and(|first| *first != b'0'))
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

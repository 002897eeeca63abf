//! Common arguments of events as columns, and the others as JSON.

use memchr::memmem;
use trace::argument_columns::ARGUMENT_COLUMNS;
use trace::model::Event;
use trace::read::columns_hold_numbers;
use trace::read::{for_each_member, write_compact, write_text};
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
}

impl Default for EventArguments {
    fn default() -> Self {
        Self {
            nested: memmem::Finder::new(b"\"args\""),
            values: [ArgumentValue::Missing; COUNT],
            texts: Vec::new(),
            rest: Vec::new(),
            other: Vec::new(),
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
        if event.args.is_empty() {
            return;
        }
        if self.nested.find(event.args).is_some() {
            return write_compact(event.args, event.repaired, &mut self.rest);
        }
        let arguments = Event { text: event.args, args: b"", repaired: event.repaired, ..Event::default() };
        let mut held = None;
        let mut hold_numbers = || {
            *held.get_or_insert_with(|| {
                columns_hold_numbers(event.phase, &spell_cat(event).unescape(), &event.name.unescape())
            })
        };
        for_each_member(&arguments, |key, value| {
            let name = key.unescape();
            if column_of(&name).is_some_and(|i| self.take(i, value, event.repaired))
                || is_in_columns(&name, value, event) && hold_numbers()
            {
                return;
            }
            self.rest.push(if self.rest.is_empty() { b'{' } else { b',' });
            write_text(key, &mut self.rest);
            self.rest.push(b':');
            write_compact(value, event.repaired, &mut self.rest);
        });
        if !self.rest.is_empty() {
            self.rest.push(b'}');
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
                let text = trace::model::RawText { raw: inner, escaped: inner.contains(&b'\\') };
                self.texts.extend_from_slice(&text.unescape());
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

/// Returns whether the column of an argument holds it as it stands there.
fn is_in_columns(name: &[u8], value: &[u8], event: &Event<'_>) -> bool {
    let column = match name {
        b"correlation" => event.correlation,
        b"External id" => event.external,
        b"device" => event.device,
        b"stream" => event.stream,
        _ => None,
    };
    column.is_some_and(|number| is_spelling_of(value, number))
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

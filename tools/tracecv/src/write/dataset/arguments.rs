//! Common arguments of events as columns, and the others as JSON.

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
#[derive(Default)]
pub(super) struct EventArguments {
    values: [ArgumentValue; COUNT],
    texts: Vec<u8>,
    rest: Vec<u8>,
    other: Vec<u8>,
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
        // An argument `args` is one that looking at the members of an object would leave out.
        if memchr::memmem::find(event.args, b"\"args\"").is_some() {
            return write_compact(event.args, event.repaired, &mut self.rest);
        }
        let arguments = Event { text: event.args, args: b"", repaired: event.repaired, ..Event::default() };
        let held = columns_hold_numbers(event.phase, &spell_cat(event).unescape(), &event.name.unescape());
        for_each_member(&arguments, |key, value| {
            let name = key.unescape();
            let known = ARGUMENT_COLUMNS.iter().position(|argument| argument.key.as_bytes() == &*name);
            let number = held && is_in_columns(&name, value, event);
            if known.is_some_and(|i| self.take(i, value, event.repaired)) || number {
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

/// Returns whether the column of an argument holds it as it stands there.
fn is_in_columns(name: &[u8], value: &[u8], event: &Event<'_>) -> bool {
    let column = match name {
        b"correlation" => event.correlation,
        b"External id" => event.external,
        b"device" => event.device,
        b"stream" => event.stream,
        _ => None,
    };
    column.is_some_and(|number| number.to_string().as_bytes() == value)
}

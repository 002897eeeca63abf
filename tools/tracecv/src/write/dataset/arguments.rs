//! Common arguments of events as columns, and the others as JSON.

use trace::model::Event;
use trace::read::{for_each_member, write_compact, write_text};
use trace::rows::RawMembers;

use super::table::{Column, ColumnKind, TableWriter};

/// An argument that has a column of its own, by its spelling in libkineto's traces (pytorch/kineto
/// `libkineto/src/output_json.cpp`, pytorch `torch/csrc/profiler`).
struct Argument {
    key: &'static [u8],
    column: Column,
}

const fn int(key: &'static str, name: &'static str) -> Argument {
    Argument { key: key.as_bytes(), column: Column { name, kind: ColumnKind::Int } }
}

const fn text(key: &'static str, name: &'static str) -> Argument {
    Argument { key: key.as_bytes(), column: Column { name, kind: ColumnKind::Text } }
}

const COUNT: usize = 16;

const ARGUMENTS: [Argument; COUNT] = [
    text("Collective name", "collective"),
    text("Process Group Name", "group_name"),
    text("Process Group Ranks", "group_ranks"),
    int("Group size", "group_size"),
    int("Seq", "sequence"),
    int("In msg nelems", "in_elements"),
    int("Out msg nelems", "out_elements"),
    text("dtype", "dtype"),
    int("bytes", "bytes"),
    int("Sequence number", "autograd_sequence"),
    int("Fwd thread id", "forward_thread"),
    int("Python id", "python_id"),
    int("Python parent id", "python_parent_id"),
    text("Input Dims", "input_dims"),
    text("Input type", "input_types"),
    text("Call stack", "call_stack"),
];

/// The columns, in the order in which [`EventArguments::push`] fills them.
pub(super) const COLUMNS: [Column; COUNT] = {
    let mut columns = [Column { name: "", kind: ColumnKind::Int }; COUNT];
    let mut i = 0;
    while i < COUNT {
        columns[i] = ARGUMENTS[i].column;
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
        for_each_member(&arguments, |key, value| {
            let name = key.unescape();
            let known = ARGUMENTS.iter().position(|argument| argument.key == &*name);
            if known.is_some_and(|i| self.take(i, value, event.repaired)) || is_in_columns(&name, event) {
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
        if ARGUMENTS[i].column.kind == ColumnKind::Int {
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
        for (value, argument) in self.values.iter().zip(&ARGUMENTS) {
            match (value, argument.column.kind) {
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

/// Tells arguments that columns of every event hold.
fn is_in_columns(name: &[u8], event: &Event<'_>) -> bool {
    match name {
        b"correlation" => event.correlation.is_some(),
        b"External id" => event.external.is_some(),
        b"device" => event.device.is_some(),
        b"stream" => event.stream.is_some() && event.category.is_on_device(),
        _ => false,
    }
}

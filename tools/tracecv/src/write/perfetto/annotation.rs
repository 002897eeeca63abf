//! Arguments of events as `DebugAnnotation`.

use trace::model::NameTable;
use trace::read::{OrderedValue, parse_members};

use super::super::protobuf::Message;
use super::track_event;

/// Fields of `DebugAnnotation`.
const NAME_IID: u32 = 1;
const BOOL: u32 = 2;
const UINT: u32 = 3;
const INT: u32 = 4;
const DOUBLE: u32 = 5;
const STRING: u32 = 6;
const LEGACY_JSON: u32 = 9;
const NAME: u32 = 10;
const DICT_ENTRIES: u32 = 11;
const ARRAY_VALUES: u32 = 12;

/// Adds an annotation for each argument: also for those that have one name. `false` if they cannot be read.
pub(super) fn add_arguments(to: &mut Message, args: &[u8], names: &mut NameTable) -> bool {
    let Some(members) = parse_members(args) else { return false };
    for (name, value) in &members {
        add_annotation(to, name, value, names);
    }
    true
}

/// Adds the members of an event that nothing else holds, as the one annotation `other`.
pub(super) fn add_other(to: &mut Message, members: &[u8], names: &mut NameTable) -> bool {
    let object = [b"{", members, b"}"].concat();
    let Some(members) = parse_members(&object) else { return false };
    add_annotation(to, "other", &OrderedValue::Members(members), names);
    true
}

fn add_annotation(to: &mut Message, name: &str, value: &OrderedValue<'_>, names: &mut NameTable) {
    let number = u64::from(names.intern(name.into())) + 1;
    to.nested(track_event::DEBUG_ANNOTATIONS, |annotation| {
        annotation.number(NAME_IID, number);
        add_value(annotation, value, 0);
    });
}

/// Messages inside each other: libraries take no more than 100 (protobuf.dev, "Limits").
const DEEPEST: u32 = 24;

fn add_value(to: &mut Message, value: &OrderedValue<'_>, depth: u32) {
    match value {
        OrderedValue::List(_) | OrderedValue::Members(_) if depth == DEEPEST => {
            _ = to.text(LEGACY_JSON, &value.to_string())
        }
        OrderedValue::Bool(b) => _ = to.number(BOOL, u64::from(*b)),
        OrderedValue::Text(text) => _ = to.text(STRING, text),
        OrderedValue::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), ..) => _ = to.signed(INT, n),
            (None, Some(n), _) => _ = to.number(UINT, n),
            (None, None, n) => _ = to.double(DOUBLE, n.unwrap_or(f64::NAN)),
        },
        OrderedValue::Null => _ = to.text(LEGACY_JSON, "null"),
        OrderedValue::List(items) if items.is_empty() => _ = to.text(LEGACY_JSON, "[]"),
        OrderedValue::Members(members) if members.is_empty() => _ = to.text(LEGACY_JSON, "{}"),
        OrderedValue::List(items) => {
            for item in items {
                to.nested(ARRAY_VALUES, |entry| add_value(entry, item, depth + 1));
            }
        }
        OrderedValue::Members(members) => {
            for (name, value) in members {
                to.nested(DICT_ENTRIES, |entry| {
                    entry.text(NAME, name);
                    add_value(entry, value, depth + 1);
                });
            }
        }
    }
}

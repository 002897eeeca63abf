//! Arguments of events as `DebugAnnotation`.

use serde_json::Value;
use trace::model::NameTable;
use trace::read::parse_arguments;

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

/// Adds an annotation for each argument.
pub(super) fn add_arguments(to: &mut Message, args: &[u8], names: &mut NameTable) {
    let Some(Value::Object(members)) = parse_arguments(args) else { return };
    for (name, value) in &members {
        let mut annotation = Message::default();
        annotation.number(NAME_IID, u64::from(names.intern(name.as_str().into())) + 1);
        add_value(&mut annotation, value, 0);
        to.message(track_event::DEBUG_ANNOTATIONS, &annotation);
    }
}

/// Adds the members of an event that nothing else holds, as the one annotation `other`.
pub(super) fn add_other(to: &mut Message, members: &[u8], names: &mut NameTable) {
    let text = [b"{", members, b"}"].concat();
    let Some(value) = parse_arguments(&text) else { return };
    let mut annotation = Message::default();
    annotation.number(NAME_IID, u64::from(names.intern("other".into())) + 1);
    add_value(&mut annotation, &value, 0);
    to.message(track_event::DEBUG_ANNOTATIONS, &annotation);
}

/// Messages inside each other: libraries take no more than 100 (protobuf.dev, "Limits").
const DEEPEST: u32 = 24;

fn add_value(to: &mut Message, value: &Value, depth: u32) {
    match value {
        Value::Array(_) | Value::Object(_) if depth == DEEPEST => {
            _ = to.text(LEGACY_JSON, &value.to_string())
        }
        Value::Bool(b) => _ = to.number(BOOL, u64::from(*b)),
        Value::String(text) => _ = to.text(STRING, text),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(n), ..) => _ = to.signed(INT, n),
            (None, Some(n), _) => _ = to.number(UINT, n),
            (None, None, n) => _ = to.double(DOUBLE, n.unwrap_or(f64::NAN)),
        },
        Value::Null => _ = to.text(LEGACY_JSON, "null"),
        Value::Array(items) if items.is_empty() => _ = to.text(LEGACY_JSON, "[]"),
        Value::Object(members) if members.is_empty() => _ = to.text(LEGACY_JSON, "{}"),
        Value::Array(items) => {
            for item in items {
                let mut entry = Message::default();
                add_value(&mut entry, item, depth + 1);
                to.message(ARRAY_VALUES, &entry);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                let mut entry = Message::default();
                entry.text(NAME, name);
                add_value(&mut entry, value, depth + 1);
                to.message(DICT_ENTRIES, &entry);
            }
        }
    }
}

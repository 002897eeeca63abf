//! Runs `tracecv` inside the test: parsed like a command line, with its output caught.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "this is test code, though no test itself")]

use std::ffi::OsString;

use testkit::ToolRun;

/// Runs with these arguments.
pub(crate) fn run<S: Into<OsString>>(args: impl IntoIterator<Item = S>) -> ToolRun {
    testkit::run_tool_to_end::<tracecv::Cli>(args)
}

/// A field of a message of protocol buffers (protobuf.dev "Encoding").
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field {
    Number(u64),
    Fixed(u64),
    Data(Vec<u8>),
}

/// The fields of a message, by number.
pub(crate) type Fields = Vec<(u64, Field)>;

/// Decodes a message.
pub(crate) fn decode(mut bytes: &[u8]) -> Fields {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = bytes[0];
            *bytes = &bytes[1..];
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let field = match tag & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => {
                let (value, rest) = bytes.split_at(8);
                bytes = rest;
                Field::Fixed(u64::from_le_bytes(value.try_into().unwrap()))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (value, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Data(value.to_vec())
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, field));
    }
    fields
}

/// The number in a field, if the message has it.
pub(crate) fn number(message: &[(u64, Field)], field: u64) -> Option<u64> {
    message.iter().find(|(f, _)| *f == field).map(|(_, value)| match value {
        Field::Number(n) | Field::Fixed(n) => *n,
        Field::Data(_) => panic!("field {field} is no number"),
    })
}

/// The data in every field of this number.
pub(crate) fn data(message: &[(u64, Field)], field: u64) -> Vec<Vec<u8>> {
    let of_field = message.iter().filter(|(f, _)| *f == field);
    of_field
        .map(|(_, value)| match value {
            Field::Data(bytes) => bytes.clone(),
            _ => panic!("field {field} is no data"),
        })
        .collect()
}

/// The text in a field.
pub(crate) fn text(message: &[(u64, Field)], field: u64) -> Option<String> {
    data(message, field).first().map(|bytes| String::from_utf8(bytes.clone()).unwrap())
}

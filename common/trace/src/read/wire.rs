//! Protobuf messages one after the other, out of a window of the input.
//!
//! Messages are decoded by `prost` from structs with the numbers of their fields: what a struct does not name is
//! skipped. This is only what stands around them (protobuf.dev `programming-guides/encoding`).

use super::emit::damaged_at;
use super::error::{InputPosition, ReadError, ReadFault, ReadStop};
use super::window::InputWindow;

/// A number of the encoding, and how many bytes it has. `None` if it does not end, or has more than 64 bits.
pub(super) fn read_varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return (i < 9 || *byte < 2).then_some((value, i + 1));
        }
    }
    None
}

/// Recognizes text: a line end and a bracket look like a field and its length.
pub(super) fn is_text(head: &[u8]) -> bool {
    const ENOUGH: usize = 32;
    let is_letter = |b: &u8| matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    head.len() >= ENOUGH && head[..ENOUGH].iter().all(is_letter)
}

/// A field of a message: its number, and how long it is together with its key. The value of a field that has a length
/// begins `head` bytes after its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WireField {
    pub(super) number: u64,
    pub(super) wire: u8,
    pub(super) head: usize,
    /// How long the value is.
    pub(super) length: u64,
}

/// The field that is next. `None` if it is cut off, or none.
pub(super) fn read_field(bytes: &[u8]) -> Option<WireField> {
    let (key, key_length) = read_varint(bytes)?;
    let rest = &bytes[key_length..];
    let (number, wire) = (key >> 3, (key & 7) as u8);
    let (head, length) = match wire {
        0 => (key_length, read_varint(rest)?.1 as u64),
        1 => (key_length, 8),
        2 => {
            let (length, n) = read_varint(rest)?;
            (key_length + n, length)
        }
        5 => (key_length, 4),
        _ => return None,
    };
    (number > 0).then_some(WireField { number, wire, head, length })
}

/// The fields of a message in their order, each with its value, until one is cut off.
pub(super) fn each_field(message: &[u8]) -> impl Iterator<Item = (WireField, &[u8])> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let field = read_field(rest)?;
        let end = usize::try_from(field.length).ok()?.checked_add(field.head)?;
        let value = rest.get(field.head..end)?;
        rest = &rest[end..];
        Some((field, value))
    })
}

/// Calls `each` for every message in field 1 of the file, whole, with its place. Other fields are skipped.
///
/// # Errors
/// The file ends inside a message, or is no protobuf; what `each` says.
pub(super) fn each_message(
    window: &mut InputWindow,
    longest: u64,
    what: &'static str,
    mut each: impl FnMut(&[u8], u64) -> Result<(), ReadStop>,
) -> Result<(), ReadStop> {
    /// A key and a length.
    const HEAD: usize = 20;
    loop {
        window.fill_to(HEAD);
        if window.rest().is_empty() {
            break;
        }
        let at = window.passed().bytes;
        let Some(field) = read_field(window.rest()) else {
            return Err(if window.is_done() && window.rest().len() < HEAD {
                truncated(window, what)
            } else {
                damaged_at(at, format!("{what} cannot be read: what follows is no field of protobuf"))
            });
        };
        let wanted = field.number == 1 && field.wire == 2;
        if wanted && field.length > longest {
            return Err(damaged_at(at, format!("{what} of more than {} MiB", longest >> 20)));
        }
        if !wanted {
            skip(window, field.head as u64 + field.length, what)?;
            continue;
        }
        let whole = field.head + field.length as usize;
        window.fill_to(whole);
        if window.rest().len() < whole {
            return Err(truncated(window, what));
        }
        each(&window.rest()[field.head..whole], at)?;
        window.consume(whole);
    }
    match window.fault.take() {
        Some(fault) => Err(ReadError::new(place(window), fault).into()),
        None => Ok(()),
    }
}

fn skip(window: &mut InputWindow, mut length: u64, what: &'static str) -> Result<(), ReadStop> {
    while length > 0 {
        window.fill_to(1);
        let now = length.min(window.rest().len() as u64);
        if now == 0 {
            return Err(truncated(window, what));
        }
        window.consume(now as usize);
        length -= now;
    }
    Ok(())
}

fn place(window: &InputWindow) -> InputPosition {
    InputPosition { line: 0, column: 0, offset: window.passed().bytes + window.rest().len() as u64 }
}

fn truncated(window: &mut InputWindow, what: &'static str) -> ReadStop {
    let fault = window.fault.take().unwrap_or(ReadFault::Truncated(what));
    ReadError::new(place(window), fault).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::testing::DripReader;

    #[test]
    fn numbers_end() {
        assert_eq!(read_varint(&[0x96, 0x01, 7]), Some((150, 2)));
        assert_eq!(read_varint(&[0xff; 9]), None);
        let most = [&[0xff; 9][..], &[1]].concat();
        assert_eq!(
            (read_varint(&most), read_varint(&[&[0xff; 9][..], &[2]].concat())),
            (Some((u64::MAX, 10)), None)
        );
        assert_eq!(read_field(&[0x0a, 2, 1]), Some(WireField { number: 1, wire: 2, head: 2, length: 2 }));
        assert_eq!((read_field(&[0x03]), read_field(&[0x02, 0])), (None, None));
    }

    #[test]
    fn messages_come_whole_and_other_fields_are_skipped() {
        let file =
            [&[0x0a, 3][..], b"abc", &[0x12, 2], b"xx", &[0x18, 0x80, 1], &[0x0a, 0], &[0x0a, 1], b"d"]
                .concat();
        for step in 1..6 {
            let mut window = InputWindow::new(Box::new(DripReader::new(&file, step)), 64);
            let mut seen = Vec::new();
            let result = each_message(&mut window, 100, "a message", |bytes, at| {
                seen.push((String::from_utf8(bytes.to_vec()).unwrap(), at));
                Ok(())
            });
            assert!(result.is_ok());
            assert_eq!(seen, [("abc".into(), 0), (String::new(), 12), ("d".into(), 14)]);
            for cut in [1, 3, 6, 16] {
                let mut window = InputWindow::new(Box::new(DripReader::new(&file[..cut], step)), 64);
                let Err(ReadStop::Read(e)) = each_message(&mut window, 100, "a message", |_, _| Ok(()))
                else {
                    panic!("{cut}")
                };
                assert_eq!(e.to_string(), format!("the file ends inside a message (byte {cut})"));
            }
        }
    }
}

//! Text in UTF-16, as some editors and shells save it, turned into UTF-8.

use std::io::{self, Read};

/// The byte order of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ByteOrder {
    LittleEndian,
    BigEndian,
}

impl ByteOrder {
    /// The order of a text in UTF-16, by its byte order mark, or by an opening bracket without one.
    pub(super) fn of_text(head: &[u8]) -> Option<Self> {
        match head {
            [0xff, 0xfe, ..] | [b'{' | b'[', 0, 1..=255, 0, ..] => Some(Self::LittleEndian),
            [0xfe, 0xff, ..] | [0, b'{' | b'[', 0, 1..=255, ..] => Some(Self::BigEndian),
            _ => None,
        }
    }
}

/// Recognizes text in UTF-32, by its byte order mark, or by an opening bracket without one.
pub(super) fn is_utf32(head: &[u8]) -> bool {
    matches!(
        head,
        [0xff, 0xfe, 0, 0, ..]
            | [0, 0, 0xfe, 0xff, ..]
            | [b'{' | b'[', 0, 0, 0, ..]
            | [0, 0, 0, b'{' | b'[', ..]
    )
}

/// The UTF-8 of a text in UTF-16. Lone surrogates, and a last odd byte, become U+FFFD; byte order marks are left out.
pub(super) struct Utf16Decoder<R> {
    source: R,
    order: ByteOrder,
    /// Bytes that were read and are not decoded.
    raw: Vec<u8>,
    decoded: Vec<u8>,
    given: usize,
    ended: bool,
}

impl<R: Read> Utf16Decoder<R> {
    pub(super) fn new(source: R, order: ByteOrder) -> Self {
        Self { source, order, raw: Vec::new(), decoded: Vec::new(), given: 0, ended: false }
    }

    fn decode_more(&mut self) -> io::Result<()> {
        const BLOCK: usize = 64 * 1024;
        let kept = self.raw.len();
        self.raw.resize(kept + BLOCK, 0);
        let result = self.source.read(&mut self.raw[kept..]);
        self.raw.truncate(kept + *result.as_ref().unwrap_or(&0));
        self.ended = matches!(result, Ok(0));
        if let Err(e) = result {
            return if e.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(e) };
        }
        let unit = |pair: &[u8]| match self.order {
            ByteOrder::LittleEndian => u16::from_le_bytes([pair[0], pair[1]]),
            ByteOrder::BigEndian => u16::from_be_bytes([pair[0], pair[1]]),
        };
        let mut units: Vec<u16> = self.raw.chunks_exact(2).map(unit).collect();
        // The first half of a pair waits for the other.
        if !self.ended && units.last().is_some_and(|u| (0xd800..0xdc00).contains(u)) {
            units.pop();
        }
        let used = units.len() * 2;
        self.decoded.clear();
        self.given = 0;
        for c in char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)) {
            if c != '\u{feff}' {
                self.decoded.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        self.raw.drain(..used);
        if self.ended && !self.raw.is_empty() {
            self.decoded.extend_from_slice("\u{fffd}".as_bytes());
            self.raw.clear();
        }
        Ok(())
    }
}

impl<R: Read> Read for Utf16Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.given == self.decoded.len() {
            if self.ended {
                return Ok(0);
            }
            self.decode_more()?;
        }
        let rest = &self.decoded[self.given..];
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        self.given += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::testing::DripReader;

    #[test]
    fn both_orders_come_out_as_utf8() {
        let text = "\u{feff}[{\"name\": \"é😀\"}]";
        for step in [1, 2, 3, 7, 1000] {
            for (order, bytes) in [
                (ByteOrder::LittleEndian, text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
                (ByteOrder::BigEndian, text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
            ] {
                for head in [&bytes[..4], &bytes[2..6]] {
                    assert_eq!(ByteOrder::of_text(head), Some(order));
                }
                let mut out = String::new();
                let odd = [&bytes[..], b"x"].concat();
                Utf16Decoder::new(DripReader::new(&odd, step), order).read_to_string(&mut out).unwrap();
                assert_eq!(out, format!("{}\u{fffd}", &text[3..]), "{order:?} by {step}");
            }
        }
        assert_eq!(ByteOrder::of_text(b"{\"a\""), None);
    }
}

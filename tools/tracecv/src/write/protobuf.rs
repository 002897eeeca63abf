//! Messages of protocol buffers, encoded (protobuf.dev "Encoding").

/// A message that is being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    /// The bytes that have been written so far.
    pub(crate) bytes: Vec<u8>,
}

impl Message {
    /// A whole number, which may be an enumeration or a truth value.
    pub(crate) fn number(&mut self, field: u32, value: u64) -> &mut Self {
        self.varint(u64::from(field) << 3);
        self.varint(value);
        self
    }

    /// A signed number of 64 bits.
    pub(crate) fn signed(&mut self, field: u32, value: i64) -> &mut Self {
        self.number(field, value as u64)
    }

    /// A `fixed64`.
    pub(crate) fn fixed(&mut self, field: u32, value: u64) -> &mut Self {
        self.varint(u64::from(field) << 3 | 1);
        self.bytes.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// A `double`.
    pub(crate) fn double(&mut self, field: u32, value: f64) -> &mut Self {
        self.fixed(field, value.to_bits())
    }

    /// Bytes, a text, or a message that is complete.
    pub(crate) fn data(&mut self, field: u32, value: &[u8]) -> &mut Self {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }

    /// A text.
    pub(crate) fn text(&mut self, field: u32, value: &str) -> &mut Self {
        self.data(field, value.as_bytes())
    }

    /// A message.
    pub(crate) fn message(&mut self, field: u32, value: &Self) -> &mut Self {
        self.data(field, &value.bytes)
    }

    /// A message that is written in its place.
    pub(crate) fn nested(&mut self, field: u32, write: impl FnOnce(&mut Self)) -> &mut Self {
        self.varint(u64::from(field) << 3 | 2);
        // Most lengths take one byte; the content makes room for more.
        let at = self.bytes.len();
        self.bytes.push(0);
        write(self);
        let length = self.bytes.len() - at - 1;
        if length < 0x80 {
            self.bytes[at] = length as u8;
        } else {
            let mut digits = Self::default();
            digits.varint(length as u64);
            self.bytes.splice(at..=at, digits.bytes);
        }
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_those_of_the_specification() {
        let mut inner = Message::default();
        inner.number(1, 150);
        let mut outer = Message::default();
        outer.message(3, &inner).text(2, "testing").signed(4, -2).fixed(5, 1);
        // The first two are the examples of protobuf.dev "Encoding".
        let expected: &[&[u8]] = &[
            b"\x1a\x03\x08\x96\x01",
            b"\x12\x07testing",
            b"\x20\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x29\x01\0\0\0\0\0\0\0",
        ];
        assert_eq!(outer.bytes, expected.concat());
        // In its place it is the same, however long it is.
        for length in [0, 1, 126, 127, 128, 16_383, 16_384] {
            let text = "x".repeat(length);
            let mut in_place = Message::default();
            in_place.nested(3, |inner| _ = inner.text(2, &text));
            let mut inner = Message::default();
            inner.text(2, &text);
            assert_eq!(in_place.bytes, Message::default().message(3, &inner).bytes);
        }
    }
}

//! Text as it stands in the file, decoded only where it is needed.

use std::borrow::Cow;

/// The inside of a JSON string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct RawText<'a> {
    /// Between the quotes.
    pub raw: &'a [u8],
    /// Whether it holds a backslash.
    pub escaped: bool,
}

impl<'a> RawText<'a> {
    /// The text without its escapes; bytes that are not UTF-8 and lone surrogates become U+FFFD.
    pub fn decode(self) -> Cow<'a, str> {
        if self.escaped {
            return Cow::Owned(unescape(self.raw));
        }
        // Checking the whole text is several times as fast as looking for parts of it that are valid.
        std::str::from_utf8(self.raw).map_or_else(|_| String::from_utf8_lossy(self.raw), Cow::Borrowed)
    }

    /// The text's bytes without its escapes. Nothing is checked or copied where it has none.
    pub fn unescape(self) -> Cow<'a, [u8]> {
        if self.escaped { Cow::Owned(unescape(self.raw).into_bytes()) } else { Cow::Borrowed(self.raw) }
    }

    /// Returns whether a character of ASCII is spelled with an escape that it does not need: `\u0061` is `a`.
    pub(crate) fn has_needless_escape(self) -> bool {
        self.escaped && memchr::memmem::find(self.raw, br"\u00").is_some()
    }

    /// Returns whether there is no text.
    pub fn is_empty(self) -> bool {
        self.raw.is_empty()
    }
}

impl<'a> From<&'a str> for RawText<'a> {
    /// Text without escapes.
    fn from(s: &'a str) -> Self {
        Self { raw: s.as_bytes(), escaped: false }
    }
}

fn unescape(raw: &[u8]) -> String {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(i) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..i]);
        let used = match rest.get(i + 1) {
            Some(b'u') => {
                let (c, used) = decode_unicode_escape(&rest[i..]);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                used
            }
            Some(c) => {
                out.push(unescape_letter(*c));
                2
            }
            None => 1,
        };
        rest = &rest[(i + used).min(rest.len())..];
    }
    out.extend_from_slice(rest);
    match String::from_utf8(out) {
        Ok(s) => s,
        Err(e) => String::from_utf8_lossy(e.as_bytes()).into_owned(),
    }
}

fn unescape_letter(c: u8) -> u8 {
    match c {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        c => c,
    }
}

/// The character of a `\uXXXX`, or of a surrogate pair of them, and how many bytes it took.
fn decode_unicode_escape(text: &[u8]) -> (char, usize) {
    let high = parse_hex_unit(text);
    let low = text.get(6..).map_or(0, parse_hex_unit);
    if (0xd800..0xdc00).contains(&high) && (0xdc00..0xe000).contains(&low) {
        let c = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return (char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER), 12);
    }
    (char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER), 6)
}

/// The four hexadecimal digits of a `\uXXXX`; 0 if they are invalid.
fn parse_hex_unit(text: &[u8]) -> u32 {
    match text {
        [b'\\', b'u', digits @ ..] if digits.len() >= 4 => {
            std::str::from_utf8(&digits[..4]).ok().and_then(|d| u32::from_str_radix(d, 16).ok()).unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_decode() {
        let decode = |s: &str| RawText { raw: s.as_bytes(), escaped: true }.decode().into_owned();
        assert_eq!(decode(r#"a\"b\\c\/\n\u00e9\ud83d\ude00\ud800x"#), "a\"b\\c/\n\u{e9}\u{1f600}\u{fffd}x");
        assert_eq!(RawText { raw: b"\xff", escaped: false }.decode(), "\u{fffd}");
    }
}

//! A pull scanner for JSON text of any length.
//!
//! It hands out the next string, number or bracket and skips whole values without building them. Strict about
//! structure, as RFC 8259 has it, and lenient where real traces need it: raw control characters inside strings
//! and the words that profilers write for missing numbers (`NaN`, `inf`, `N/A`) are accepted. What the values
//! mean is left to the readers.

use memchr::memchr2;

use super::buffer::InputBuffer;
use super::error::{ReadError, ReadFault};
use crate::model::RawText;

/// How deep brackets may nest.
pub(crate) const DEPTH_LIMIT: u32 = 128;

/// A string's text between its quotes, or a number's text, by offsets from the buffer's mark. Small, because
/// every event has dozens; offsets fit because kept text is limited ([`super::buffer::KEEP_LIMIT`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct TextSpan {
    start: u32,
    /// The end, and whether there is a backslash inside in the topmost bit.
    end: u32,
}

const ESCAPED: u32 = 1 << 31;

impl TextSpan {
    /// Without a mark offsets may be too large for a span; they mean nothing then, and are not used.
    #[inline]
    fn new(start: usize, end: usize, escaped: bool) -> Self {
        Self { start: start as u32, end: end as u32 & !ESCAPED | if escaped { ESCAPED } else { 0 } }
    }

    fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A value without structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JsonScalar {
    String(TextSpan),
    Number(TextSpan),
    True,
    False,
    Null,
    /// `NaN`, `inf`, `N/A` and the like.
    NotANumber,
    /// An object or array, skipped.
    Nested(TextSpan),
}

/// The scanner.
pub(crate) struct JsonScanner<'r> {
    pub(super) buffer: InputBuffer<'r>,
}

type Result<T> = std::result::Result<T, ReadError>;

impl<'r> JsonScanner<'r> {
    /// Scans what the buffer gives.
    pub(crate) fn new(buffer: InputBuffer<'r>) -> Self {
        Self { buffer }
    }

    /// Skips white space and shows the next byte. `None` at the end of the input.
    #[inline]
    pub(crate) fn peek_byte(&mut self) -> Result<Option<u8>> {
        loop {
            let rest = self.buffer.rest();
            if let Some(i) = rest.iter().position(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t')) {
                let byte = rest[i];
                self.buffer.pos += i;
                return Ok(Some(byte));
            }
            self.buffer.pos += rest.len();
            if !self.buffer.fill_more()? {
                return Ok(None);
            }
        }
    }

    /// [`Self::peek_byte`] inside something that must not end here.
    #[inline]
    pub(crate) fn expect_byte(&mut self, inside: &'static str) -> Result<u8> {
        match self.peek_byte()? {
            Some(byte) => Ok(byte),
            None => Err(self.buffer.error_here(ReadFault::Truncated(inside))),
        }
    }

    /// Steps over the byte that was shown.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.buffer.pos += 1;
    }

    /// An error here.
    #[cold]
    pub(crate) fn syntax_error(&self, what: impl Into<String>) -> ReadError {
        self.buffer.error_here(ReadFault::Syntax(what.into()))
    }

    #[cold]
    fn unexpected_byte(&self, byte: u8, wanted: &str) -> ReadError {
        let shown =
            if byte.is_ascii_graphic() { format!("`{}`", byte as char) } else { format!("byte {byte:#04x}") };
        self.syntax_error(format!("expected {wanted}, found {shown}"))
    }

    /// The string whose quote is next.
    #[inline]
    pub(crate) fn scan_string(&mut self) -> Result<TextSpan> {
        self.buffer.pos += 1;
        let start = self.buffer.offset();
        let mut escaped = false;
        loop {
            let rest = self.buffer.rest();
            match find_quote(rest) {
                Some(i) if rest[i] == b'"' => {
                    self.buffer.pos += i;
                    let end = self.buffer.offset();
                    self.buffer.pos += 1;
                    return Ok(TextSpan::new(start, end, escaped));
                }
                Some(i) => {
                    self.buffer.pos += i + 1;
                    self.scan_escape()?;
                    escaped = true;
                }
                None => {
                    self.buffer.pos += rest.len();
                    if !self.buffer.fill_more()? {
                        return Err(self.buffer.error_here(ReadFault::Truncated("a string")));
                    }
                }
            }
        }
    }

    /// What follows a backslash.
    fn scan_escape(&mut self) -> Result<()> {
        match self.next_byte("a string")? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => (0..4).try_for_each(|_| match self.next_byte("a string")? {
                b if b.is_ascii_hexdigit() => Ok(()),
                b => Err(self.unexpected_byte(b, "four hexadecimal digits after `\\u`")),
            }),
            b => Err(self.unexpected_byte(b, "an escape character after `\\`")),
        }
    }

    /// The next byte, white space or not.
    fn next_byte(&mut self, inside: &'static str) -> Result<u8> {
        if self.buffer.rest().is_empty() && !self.buffer.fill_more()? {
            return Err(self.buffer.error_here(ReadFault::Truncated(inside)));
        }
        let byte = self.buffer.rest()[0];
        self.buffer.pos += 1;
        Ok(byte)
    }

    /// A member's key and the colon behind it. The key's quote, or what is there instead, is next.
    #[inline]
    pub(crate) fn scan_key(&mut self) -> Result<TextSpan> {
        match self.expect_byte("an object")? {
            b'"' => {}
            b => return Err(self.unexpected_byte(b, "a quoted key")),
        }
        let key = self.scan_string()?;
        match self.expect_byte("an object")? {
            b':' => self.advance(),
            b => return Err(self.unexpected_byte(b, "`:` after the key")),
        }
        Ok(key)
    }

    /// Opens an object whose brace is next. `true` if it has a first member.
    pub(crate) fn open_bracket(&mut self, close: u8) -> Result<bool> {
        self.advance();
        let empty = self.expect_byte("an object or array")? == close;
        if empty {
            self.advance();
        }
        Ok(!empty)
    }

    /// Steps over the comma behind a member or element (`true`), or over the closing bracket (`false`).
    #[inline]
    pub(crate) fn next_element(&mut self, close: u8) -> Result<bool> {
        match self.expect_byte("an object or array")? {
            b',' => {
                self.advance();
                Ok(true)
            }
            b if b == close => {
                self.advance();
                Ok(false)
            }
            b if close == b'}' => Err(self.unexpected_byte(b, "`,` or `}`")),
            b => Err(self.unexpected_byte(b, "`,` or `]`")),
        }
    }

    /// A number whose first character is next.
    #[inline]
    pub(crate) fn scan_number(&mut self) -> Result<TextSpan> {
        let start = self.buffer.offset();
        if let Some(length) = plain_number_length(self.buffer.rest()) {
            self.buffer.pos += length;
            return Ok(self.span_since(start));
        }
        let mut grammar = NumberState::Start;
        loop {
            let rest = self.buffer.rest();
            let mut used = 0;
            for &b in rest {
                match grammar.step(b) {
                    Some(next) => grammar = next,
                    None => break,
                }
                used += 1;
            }
            let ended = used < rest.len();
            self.buffer.pos += used;
            if ended || !self.buffer.fill_more()? {
                break;
            }
        }
        if grammar == NumberState::Minus && self.buffer.rest().first().is_some_and(u8::is_ascii_alphabetic) {
            return match self.scan_word()? {
                JsonScalar::NotANumber => Ok(TextSpan::new(start, start, false)),
                _ => Err(self.syntax_error("expected a digit after `-`")),
            };
        }
        if !grammar.is_complete() {
            return Err(match self.buffer.rest().first() {
                Some(&b) => self.unexpected_byte(b, "a digit"),
                None => self.buffer.error_here(ReadFault::Truncated("a number")),
            });
        }
        Ok(self.span_since(start))
    }

    /// `true`, `false`, `null`, or a word that stands for a missing number.
    fn scan_word(&mut self) -> Result<JsonScalar> {
        let at = self.buffer.position();
        let mut word = [0u8; 9];
        let mut len = 0;
        loop {
            if self.buffer.rest().is_empty() && !self.buffer.fill_more()? {
                break;
            }
            let b = self.buffer.rest()[0];
            if !(b.is_ascii_alphabetic() || b == b'/') {
                break;
            }
            if len < word.len() {
                word[len] = b;
            }
            len += 1;
            self.buffer.pos += 1;
        }
        match &word[..len.min(word.len())] {
            _ if len > word.len() => {}
            b"true" => return Ok(JsonScalar::True),
            b"false" => return Ok(JsonScalar::False),
            b"null" => return Ok(JsonScalar::Null),
            w if is_missing_number(w) => return Ok(JsonScalar::NotANumber),
            [] => {
                let b = self.next_byte("a value")?;
                self.buffer.pos -= 1;
                return Err(self.unexpected_byte(b, "a value"));
            }
            w if self.buffer.rest().is_empty()
                && [&b"true"[..], b"false", b"null"].iter().any(|l| l.starts_with(w)) =>
            {
                return Err(self.buffer.error_here(ReadFault::Truncated("a word")));
            }
            _ => {}
        }
        let shown = String::from_utf8_lossy(&word[..len.min(word.len())]).into_owned();
        Err(ReadError::new(at, ReadFault::Syntax(format!("expected a value, found `{shown}`"))))
    }

    /// Any value. Objects and arrays are skipped, their text kept if there is a mark.
    #[inline]
    pub(crate) fn scan_scalar(&mut self) -> Result<JsonScalar> {
        match self.expect_byte("a value")? {
            b'"' => self.scan_string().map(JsonScalar::String),
            b'-' | b'0'..=b'9' => self.scan_number().map(number_or_missing),
            b'{' | b'[' => {
                let start = self.buffer.offset();
                self.skip_value()?;
                Ok(JsonScalar::Nested(self.span_since(start)))
            }
            _ => self.scan_word(),
        }
    }

    /// Skips any value, checking its structure.
    pub(crate) fn skip_value(&mut self) -> Result<()> {
        let mut nesting = BracketStack::default();
        loop {
            match self.expect_byte("a value")? {
                b'"' => _ = self.scan_string()?,
                b'-' | b'0'..=b'9' => _ = self.scan_number()?,
                b'{' => {
                    self.check_depth(&nesting)?;
                    if self.open_bracket(b'}')? {
                        nesting.push(true);
                        self.scan_key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.check_depth(&nesting)?;
                    if self.open_bracket(b']')? {
                        nesting.push(false);
                        continue;
                    }
                }
                _ => _ = self.scan_word()?,
            }
            while let Some(object) = nesting.top() {
                if self.next_element(if object { b'}' } else { b']' })? {
                    if object {
                        self.scan_key()?;
                    }
                    break;
                }
                nesting.pop();
            }
            if nesting.top().is_none() {
                return Ok(());
            }
        }
    }

    /// Tells whether one more bracket may open.
    #[inline]
    fn check_depth(&self, nesting: &BracketStack) -> Result<()> {
        if nesting.depth < DEPTH_LIMIT {
            Ok(())
        } else {
            Err(self.buffer.error_here(ReadFault::TooDeep(DEPTH_LIMIT as usize)))
        }
    }

    /// Everything from an offset to here.
    pub(super) fn span_since(&self, start: usize) -> TextSpan {
        TextSpan::new(start, self.buffer.offset(), false)
    }

    /// The text of a span; the mark must be the one it was scanned under.
    #[inline]
    pub(crate) fn text_of(&self, span: TextSpan) -> RawText<'_> {
        let end = span.end & !ESCAPED;
        RawText { raw: self.buffer.kept_text(span.start as usize, end as usize), escaped: span.end != end }
    }
}

/// A number, or the sign of a missing one.
fn number_or_missing(span: TextSpan) -> JsonScalar {
    if span.is_empty() { JsonScalar::NotANumber } else { JsonScalar::Number(span) }
}

/// The length of a number without an exponent that ends before the bytes do; what most numbers are.
#[inline]
fn plain_number_length(rest: &[u8]) -> Option<usize> {
    let digits = |from: usize| from + rest[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let first = usize::from(rest[0] == b'-');
    let whole = digits(first);
    if whole == first || (rest[first] == b'0' && whole > first + 1) {
        return None;
    }
    let end = match rest.get(whole) {
        Some(b'.') => Some(digits(whole + 1)).filter(|end| *end > whole + 1)?,
        _ => whole,
    };
    matches!(rest.get(end), Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')).then_some(end)
}

/// The first quote or backslash. Most strings in traces are short: look at the first bytes before calling in
/// the vector search.
#[inline]
fn find_quote(rest: &[u8]) -> Option<usize> {
    let near = rest.len().min(16);
    match rest[..near].iter().position(|&b| b == b'"' || b == b'\\') {
        Some(i) => Some(i),
        None => memchr2(b'"', b'\\', &rest[near..]).map(|i| i + near),
    }
}

/// Tells the words that profilers write where a number is missing.
pub(crate) fn is_missing_number(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 5] = [b"nan", b"inf", b"infinity", b"n/a", b"none"];
    WORDS.iter().any(|w| w.eq_ignore_ascii_case(word))
}

/// Which brackets are open: one bit each.
#[derive(Default)]
struct BracketStack {
    objects: u128,
    depth: u32,
}

impl BracketStack {
    fn push(&mut self, object: bool) {
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    fn top(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.objects & 1 == 1)
    }
}

/// Where in a number's grammar we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NumberState {
    Start,
    Minus,
    Zero,
    Integer,
    Point,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
}

impl NumberState {
    #[inline]
    fn step(self, b: u8) -> Option<Self> {
        match (self, b) {
            (Self::Integer, b'0'..=b'9') => Some(Self::Integer),
            (Self::Fraction | Self::Point, b'0'..=b'9') => Some(Self::Fraction),
            (Self::Start, b'-') => Some(Self::Minus),
            (Self::Start | Self::Minus, b'0') => Some(Self::Zero),
            (Self::Start | Self::Minus, b'1'..=b'9') => Some(Self::Integer),
            (Self::Zero | Self::Integer, b'.') => Some(Self::Point),
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Some(Self::Exponent),
            (Self::Exponent, b'+' | b'-') => Some(Self::ExponentSign),
            (Self::Exponent | Self::ExponentSign | Self::ExponentDigits, b'0'..=b'9') => {
                Some(Self::ExponentDigits)
            }
            _ => None,
        }
    }

    fn is_complete(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits)
    }
}

#[cfg(test)]
mod tests;

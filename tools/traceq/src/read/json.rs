//! A pull scanner for JSON text of any length.
//!
//! It hands out the next string, number or bracket and skips whole values without building them. Strict about
//! structure, as RFC 8259 has it, and lenient where real traces need it: raw control characters inside strings
//! and the words that profilers write for missing numbers (`NaN`, `inf`, `N/A`) are accepted. What the values
//! mean is left to the readers.

use memchr::memchr2;

use super::buffer::Buffer;
use super::error::{Fault, ReadError};
use crate::model::Text;

/// How deep brackets may nest.
pub(crate) const DEPTH_LIMIT: u32 = 128;

/// A string's text between its quotes, or a number's text, by offsets from the buffer's mark. Small, because
/// every event has dozens; offsets fit because kept text is limited ([`super::buffer::KEEP_LIMIT`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    /// The end, and whether there is a backslash inside in the topmost bit.
    end: u32,
}

const ESCAPED: u32 = 1 << 31;

impl Span {
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
pub(crate) enum Scalar {
    String(Span),
    Number(Span),
    True,
    False,
    Null,
    /// `NaN`, `inf`, `N/A` and the like.
    NotANumber,
    /// An object or array, skipped.
    Nested(Span),
}

/// The scanner.
pub(crate) struct Scanner<'r> {
    pub(super) buffer: Buffer<'r>,
}

type Result<T> = std::result::Result<T, ReadError>;

impl<'r> Scanner<'r> {
    /// Scans what the buffer gives.
    pub(crate) fn new(buffer: Buffer<'r>) -> Self {
        Self { buffer }
    }

    /// Skips white space and shows the next byte. `None` at the end of the input.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<Option<u8>> {
        loop {
            let rest = self.buffer.rest();
            if let Some(i) = rest.iter().position(|b| !matches!(b, b' ' | b'\n' | b'\r' | b'\t')) {
                let byte = rest[i];
                self.buffer.pos += i;
                return Ok(Some(byte));
            }
            self.buffer.pos += rest.len();
            if !self.buffer.more()? {
                return Ok(None);
            }
        }
    }

    /// [`Self::peek`] inside something that must not end here.
    #[inline]
    pub(crate) fn token(&mut self, inside: &'static str) -> Result<u8> {
        match self.peek()? {
            Some(byte) => Ok(byte),
            None => Err(self.buffer.error(Fault::Truncated(inside))),
        }
    }

    /// Steps over the byte that was shown.
    #[inline]
    pub(crate) fn advance(&mut self) {
        self.buffer.pos += 1;
    }

    /// An error here.
    #[cold]
    pub(crate) fn syntax(&self, what: impl Into<String>) -> ReadError {
        self.buffer.error(Fault::Syntax(what.into()))
    }

    #[cold]
    fn unexpected(&self, byte: u8, wanted: &str) -> ReadError {
        let shown =
            if byte.is_ascii_graphic() { format!("`{}`", byte as char) } else { format!("byte {byte:#04x}") };
        self.syntax(format!("expected {wanted}, found {shown}"))
    }

    /// The string whose quote is next.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Span> {
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
                    return Ok(Span::new(start, end, escaped));
                }
                Some(i) => {
                    self.buffer.pos += i + 1;
                    self.escape()?;
                    escaped = true;
                }
                None => {
                    self.buffer.pos += rest.len();
                    if !self.buffer.more()? {
                        return Err(self.buffer.error(Fault::Truncated("a string")));
                    }
                }
            }
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<()> {
        match self.byte("a string")? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => (0..4).try_for_each(|_| match self.byte("a string")? {
                b if b.is_ascii_hexdigit() => Ok(()),
                b => Err(self.unexpected(b, "four hexadecimal digits after `\\u`")),
            }),
            b => Err(self.unexpected(b, "an escape character after `\\`")),
        }
    }

    /// The next byte, white space or not.
    fn byte(&mut self, inside: &'static str) -> Result<u8> {
        if self.buffer.rest().is_empty() && !self.buffer.more()? {
            return Err(self.buffer.error(Fault::Truncated(inside)));
        }
        let byte = self.buffer.rest()[0];
        self.buffer.pos += 1;
        Ok(byte)
    }

    /// A member's key and the colon behind it. The key's quote, or what is there instead, is next.
    #[inline]
    pub(crate) fn key(&mut self) -> Result<Span> {
        match self.token("an object")? {
            b'"' => {}
            b => return Err(self.unexpected(b, "a quoted key")),
        }
        let key = self.string()?;
        match self.token("an object")? {
            b':' => self.advance(),
            b => return Err(self.unexpected(b, "`:` after the key")),
        }
        Ok(key)
    }

    /// Opens an object whose brace is next. `true` if it has a first member.
    pub(crate) fn open(&mut self, close: u8) -> Result<bool> {
        self.advance();
        let empty = self.token("an object or array")? == close;
        if empty {
            self.advance();
        }
        Ok(!empty)
    }

    /// Steps over the comma behind a member or element (`true`), or over the closing bracket (`false`).
    #[inline]
    pub(crate) fn next(&mut self, close: u8) -> Result<bool> {
        match self.token("an object or array")? {
            b',' => {
                self.advance();
                Ok(true)
            }
            b if b == close => {
                self.advance();
                Ok(false)
            }
            b if close == b'}' => Err(self.unexpected(b, "`,` or `}`")),
            b => Err(self.unexpected(b, "`,` or `]`")),
        }
    }

    /// A number whose first character is next.
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Span> {
        let start = self.buffer.offset();
        if let Some(length) = plain_number(self.buffer.rest()) {
            self.buffer.pos += length;
            return Ok(self.since(start));
        }
        let mut grammar = Number::Start;
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
            if ended || !self.buffer.more()? {
                break;
            }
        }
        if grammar == Number::Minus && self.buffer.rest().first().is_some_and(u8::is_ascii_alphabetic) {
            return match self.word()? {
                Scalar::NotANumber => Ok(Span::new(start, start, false)),
                _ => Err(self.syntax("expected a digit after `-`")),
            };
        }
        if !grammar.complete() {
            return Err(match self.buffer.rest().first() {
                Some(&b) => self.unexpected(b, "a digit"),
                None => self.buffer.error(Fault::Truncated("a number")),
            });
        }
        Ok(self.since(start))
    }

    /// `true`, `false`, `null`, or a word that stands for a missing number.
    fn word(&mut self) -> Result<Scalar> {
        let at = self.buffer.position();
        let mut word = [0u8; 9];
        let mut len = 0;
        loop {
            if self.buffer.rest().is_empty() && !self.buffer.more()? {
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
            b"true" => return Ok(Scalar::True),
            b"false" => return Ok(Scalar::False),
            b"null" => return Ok(Scalar::Null),
            w if is_missing_number(w) => return Ok(Scalar::NotANumber),
            [] => {
                let b = self.byte("a value")?;
                self.buffer.pos -= 1;
                return Err(self.unexpected(b, "a value"));
            }
            w if self.buffer.rest().is_empty()
                && [&b"true"[..], b"false", b"null"].iter().any(|l| l.starts_with(w)) =>
            {
                return Err(self.buffer.error(Fault::Truncated("a word")));
            }
            _ => {}
        }
        let shown = String::from_utf8_lossy(&word[..len.min(word.len())]).into_owned();
        Err(ReadError::new(at, Fault::Syntax(format!("expected a value, found `{shown}`"))))
    }

    /// Any value. Objects and arrays are skipped, their text kept if there is a mark.
    #[inline]
    pub(crate) fn scalar(&mut self) -> Result<Scalar> {
        match self.token("a value")? {
            b'"' => self.string().map(Scalar::String),
            b'-' | b'0'..=b'9' => self.number().map(number_or_missing),
            b'{' | b'[' => {
                let start = self.buffer.offset();
                self.skip()?;
                Ok(Scalar::Nested(self.since(start)))
            }
            _ => self.word(),
        }
    }

    /// Skips any value, checking its structure.
    pub(crate) fn skip(&mut self) -> Result<()> {
        let mut nesting = Nesting::default();
        loop {
            match self.token("a value")? {
                b'"' => _ = self.string()?,
                b'-' | b'0'..=b'9' => _ = self.number()?,
                b'{' => {
                    self.check_depth(&nesting)?;
                    if self.open(b'}')? {
                        nesting.push(true);
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.check_depth(&nesting)?;
                    if self.open(b']')? {
                        nesting.push(false);
                        continue;
                    }
                }
                _ => _ = self.word()?,
            }
            while let Some(object) = nesting.top() {
                if self.next(if object { b'}' } else { b']' })? {
                    if object {
                        self.key()?;
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
    fn check_depth(&self, nesting: &Nesting) -> Result<()> {
        if nesting.depth < DEPTH_LIMIT {
            Ok(())
        } else {
            Err(self.buffer.error(Fault::TooDeep(DEPTH_LIMIT as usize)))
        }
    }

    /// Everything from an offset to here.
    pub(super) fn since(&self, start: usize) -> Span {
        Span::new(start, self.buffer.offset(), false)
    }

    /// The text of a span; the mark must be the one it was scanned under.
    #[inline]
    pub(crate) fn text(&self, span: Span) -> Text<'_> {
        let end = span.end & !ESCAPED;
        Text { raw: self.buffer.kept(span.start as usize, end as usize), escaped: span.end != end }
    }
}

/// A number, or the sign of a missing one.
fn number_or_missing(span: Span) -> Scalar {
    if span.is_empty() { Scalar::NotANumber } else { Scalar::Number(span) }
}

/// The length of a number without an exponent that ends before the bytes do; what most numbers are.
#[inline]
fn plain_number(rest: &[u8]) -> Option<usize> {
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
struct Nesting {
    objects: u128,
    depth: u32,
}

impl Nesting {
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
enum Number {
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

impl Number {
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

    fn complete(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::ExponentDigits)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::read::testing::Drip;

    fn scanner(text: &[u8], step: usize) -> Scanner<'_> {
        let mut buffer = Buffer::new(Box::new(Drip::new(text, step)));
        buffer.mark();
        Scanner::new(buffer)
    }

    /// A whole document, built; nothing may follow it.
    fn build(text: &[u8], step: usize) -> Result<Value> {
        let mut scan = scanner(text, step);
        let value = scan.value()?;
        end(&mut scan).map(|()| value)
    }

    /// A whole document, skipped.
    fn skip(text: &[u8], step: usize) -> Result<()> {
        let mut scan = scanner(text, step);
        scan.skip()?;
        end(&mut scan)
    }

    fn end(scan: &mut Scanner<'_>) -> Result<()> {
        match scan.peek()? {
            None => Ok(()),
            Some(_) => Err(scan.syntax("something follows")),
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            prop::num::f64::NORMAL.prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[a-z\"\\\\\n\u{1f600}]{0,40}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 60, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-z\\\\ ]{0,20}", inner, 0..6)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    /// Equal, but for the last bit of floats, which serde_json rounds for speed.
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(x), Value::Number(y)) if x.is_f64() => {
                let (x, y) = (x.as_f64().unwrap(), y.as_f64().unwrap_or(f64::NAN));
                (x - y).abs() <= x.abs() * 1e-14
            }
            (Value::Array(x), Value::Array(y)) => {
                x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
            }
            (Value::Object(x), Value::Object(y)) => {
                x.len() == y.len() && x.iter().all(|(k, x)| y.get(k).is_some_and(|y| same(x, y)))
            }
            _ => a == b,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(value in values(), pretty in any::<bool>(), step in 1usize..50) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) };
            let text = text.unwrap();
            let built = build(text.as_bytes(), step);
            prop_assert!(built.as_ref().is_ok_and(|b| same(b, &value)), "{text}: {built:?}");
            prop_assert!(skip(text.as_bytes(), step).is_ok());
        }

        /// Whatever serde_json takes we take, with the same value; what we refuse it refuses. Building and
        /// skipping agree with each other, and nothing panics.
        #[test]
        fn agrees_on_damaged_text(
            value in values(),
            edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..4), 1..5),
            step in 1usize..50,
        ) {
            let mut text = serde_json::to_vec(&value).unwrap();
            for (at, byte, how) in edits {
                if text.is_empty() { break }
                let at = at.index(text.len());
                match how {
                    0 => text[at] = byte,
                    1 => _ = text.remove(at),
                    2 => text.insert(at, b"\"\\{}[],:0-.eE tfn"[byte as usize % 17]),
                    _ => text.truncate(at),
                }
            }
            let (built, skipped) = (build(&text, step), skip(&text, step));
            prop_assert_eq!(built.is_ok(), skipped.is_ok());
            if serde_json::from_slice::<serde::de::IgnoredAny>(&text).is_ok() {
                prop_assert!(built.is_ok(), "{:?}: {:?}", String::from_utf8_lossy(&text), built);
            }
            if let (Ok(theirs), Ok(ours)) = (serde_json::from_slice::<Value>(&text), &built) {
                prop_assert!(same(&theirs, ours), "{theirs} {ours}");
            }
        }
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let cases = [
            "",
            "{",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "[1 2]",
            "01",
            "-",
            "1.",
            "1e",
            "+1",
            "tru",
            "truex",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "[}",
            "{]",
            "nul",
            "-true",
            "1}",
            "[,]",
            "{,}",
        ];
        for text in cases {
            assert!(skip(text.as_bytes(), 1).is_err(), "{text}");
            assert!(build(text.as_bytes(), 1).is_err(), "{text}");
        }
    }

    #[test]
    fn words_for_missing_numbers_are_null() {
        for text in ["NaN", "nan", "Infinity", "-Infinity", "inf", "-inf", "N/A", "None"] {
            for step in [1, 3, 20] {
                assert_eq!(
                    build(format!("[{text}]").as_bytes(), step).unwrap(),
                    serde_json::json!([null]),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn depth_has_a_limit() {
        let deep = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(skip(deep(128).as_bytes(), 9).is_ok());
        let e = skip(deep(129).as_bytes(), 9).unwrap_err();
        assert!(matches!(e.fault, Fault::TooDeep(_)));
        assert!(matches!(build(deep(200_000).as_bytes(), 99).unwrap_err().fault, Fault::TooDeep(_)));
    }

    #[test]
    fn errors_say_where() {
        let e = skip(b"{\n  \"a\": 1,\n  \"b\" 2}", 2).unwrap_err();
        assert_eq!((e.at.line, e.at.column, e.at.offset), (3, 7, 18));
        assert_eq!(e.to_string(), "expected `:` after the key, found `2` (byte 18)");
    }
}

//! JSON as it should be, scanned over a slice: the fast path.
//!
//! The questions to a scanner are the trait [`JsonScan`]: the next key, value or bracket. [`StrictScanner`] takes only
//! what RFC 8259 has (and strings with [`StringFaults`], which it notes), looks at eight bytes at a time
//! ([`super::words`]), and stops at everything else without a reason: [`super::repair`] then reads the same text again,
//! repairs what it can, and says what was wrong. Whole values are skipped, not built. What the values mean is left to
//! [`super::event`].

use super::span::{JsonValue, TextSpan};
use super::words::{
    find_quote, find_quote_or_control, first_other_than_digit, skip_digits, skip_white_space, word_at,
};
use crate::model::Defect;

/// How deep brackets may nest.
pub(super) const DEPTH_LIMIT: u32 = 128;

/// Why a scanner stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScanFault {
    /// The text ends before the value does.
    End,
    TooDeep,
    WantKey,
    WantColon,
    WantComma,
    WantValue,
    BadNumber,
    BadEscape,
    /// A byte of zero inside a string: what stands around it may belong to two strings.
    NulInString,
    /// A raw quote that may as well be the end of the string.
    UnclearQuote,
    /// A key that must not come twice did: two events have run into each other.
    TwoInOne,
}

/// What is wrong with strings whose end is clear all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StringFaults {
    /// A control character stands in one as it is (RFC 8259, section 7).
    pub(super) control: bool,
    /// The escape of half a character (RFC 8259, section 8.2).
    pub(super) surrogate: bool,
}

impl StringFaults {
    /// The defects that they are.
    pub(super) fn defects(self) -> impl Iterator<Item = Defect> {
        let control = self.control.then_some(Defect::RawControl);
        control.into_iter().chain(self.surrogate.then_some(Defect::LoneSurrogate))
    }
}

/// The scanner that events and metadata are read from.
pub(super) trait JsonScan {
    /// The whole slice, which spans are offsets into.
    fn text(&self) -> &[u8];
    /// The next byte to look at.
    fn pos(&self) -> usize;
    /// Goes on elsewhere.
    fn go_to(&mut self, pos: usize);
    /// Skips white space and shows the next byte.
    fn peek_byte(&mut self) -> Result<u8, ScanFault>;
    /// Steps over an opening bracket, which is next. `true` if it has a first element.
    fn open_bracket(&mut self, close: u8) -> Result<bool, ScanFault>;
    /// A member's key and the colon behind it.
    fn scan_key(&mut self) -> Result<TextSpan, ScanFault>;
    /// Steps over the comma behind a member or element (`true`), or over the closing bracket (`false`).
    fn next_element(&mut self, close: u8) -> Result<bool, ScanFault>;
    /// A value without structure, which is next.
    fn scan_flat(&mut self, first: u8) -> Result<JsonValue, ScanFault>;
    /// What was wrong with the strings so far, if this scanner does not list defects itself.
    fn string_faults(&self) -> StringFaults;

    /// Any value. Objects and arrays are skipped.
    #[inline(always)]
    fn scan_value(&mut self) -> Result<JsonValue, ScanFault> {
        match self.peek_byte()? {
            b'{' | b'[' => self.scan_nested(),
            first => self.scan_flat(first),
        }
    }

    /// An object or array, which is next, skipped.
    fn scan_nested(&mut self) -> Result<JsonValue, ScanFault> {
        let start = self.pos();
        self.skip_nested()?;
        Ok(JsonValue::nested(TextSpan::new(start, self.pos(), false)))
    }

    /// Skips an object or array, checking its structure.
    fn skip_nested(&mut self) -> Result<(), ScanFault> {
        let mut open = BracketStack::default();
        loop {
            let first = self.peek_byte()?;
            if matches!(first, b'{' | b'[') {
                if open.depth == DEPTH_LIMIT {
                    return Err(ScanFault::TooDeep);
                }
                let object = first == b'{';
                if self.open_bracket(first + 2)? {
                    open.push(object);
                    if object {
                        self.scan_key()?;
                    }
                    continue;
                }
            } else {
                self.scan_flat(first)?;
            }
            while let Some(object) = open.top() {
                if self.next_element(if object { b'}' } else { b']' })? {
                    if object {
                        self.scan_key()?;
                    }
                    break;
                }
                open.pop();
            }
            if open.depth == 0 {
                return Ok(());
            }
        }
    }
}

/// The brackets that are open: one bit each.
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

/// The scanner of the fast path.
pub(super) struct StrictScanner<'a> {
    text: &'a [u8],
    pos: usize,
    faults: StringFaults,
}

impl<'a> StrictScanner<'a> {
    pub(super) fn new(text: &'a [u8], pos: usize) -> Self {
        Self { text, pos, faults: StringFaults::default() }
    }

    #[inline(always)]
    fn skip_space(&mut self) -> Result<u8, ScanFault> {
        match self.text.get(self.pos) {
            Some(&byte) if byte > b' ' => Ok(byte),
            Some(_) => {
                self.pos = skip_white_space(self.text, self.pos);
                self.text.get(self.pos).copied().ok_or(ScanFault::End)
            }
            None => Err(ScanFault::End),
        }
    }

    #[inline(always)]
    fn scan_string(&mut self) -> Result<TextSpan, ScanFault> {
        let start = self.pos + 1;
        match find_quote_or_control(self.text, start) {
            Some(end) if self.text[end] == b'"' => {
                self.pos = end + 1;
                Ok(TextSpan::new(start, end, false))
            }
            Some(at) => self.scan_other_string(start, at),
            None => Err(ScanFault::End),
        }
    }

    /// A string with a backslash or a control character at `at`.
    fn scan_other_string(&mut self, start: usize, mut at: usize) -> Result<TextSpan, ScanFault> {
        let mut escaped = false;
        loop {
            let length = match self.text[at] {
                b'"' => {
                    self.pos = at + 1;
                    return Ok(TextSpan::new(start, at, escaped));
                }
                b'\\' => {
                    escaped = true;
                    let (length, whole) = character_length(&self.text[at..])?;
                    self.faults.surrogate |= !whole;
                    length
                }
                _ => {
                    self.faults.control = true;
                    1
                }
            };
            // Once is enough, also of a text of many lines.
            let find = if self.faults.control { find_quote } else { find_quote_or_control };
            at = find(self.text, at + length).ok_or(ScanFault::End)?;
        }
    }
}

impl JsonScan for StrictScanner<'_> {
    fn text(&self) -> &[u8] {
        self.text
    }

    #[inline(always)]
    fn pos(&self) -> usize {
        self.pos
    }

    fn go_to(&mut self, pos: usize) {
        self.pos = pos;
    }

    #[inline(always)]
    fn peek_byte(&mut self) -> Result<u8, ScanFault> {
        self.skip_space()
    }

    #[inline(always)]
    fn open_bracket(&mut self, close: u8) -> Result<bool, ScanFault> {
        self.pos += 1;
        let empty = self.skip_space()? == close;
        self.pos += usize::from(empty);
        Ok(!empty)
    }

    #[inline(always)]
    fn scan_key(&mut self) -> Result<TextSpan, ScanFault> {
        if self.skip_space()? != b'"' {
            return Err(ScanFault::WantKey);
        }
        let key = self.scan_string()?;
        if self.skip_space()? != b':' {
            return Err(ScanFault::WantColon);
        }
        self.pos += 1;
        Ok(key)
    }

    #[inline(always)]
    fn next_element(&mut self, close: u8) -> Result<bool, ScanFault> {
        let byte = self.skip_space()?;
        if byte != b',' && byte != close {
            return Err(ScanFault::WantComma);
        }
        self.pos += 1;
        Ok(byte == b',')
    }

    #[inline(always)]
    fn scan_flat(&mut self, first: u8) -> Result<JsonValue, ScanFault> {
        match first {
            b'"' => self.scan_string().map(JsonValue::string),
            b'-' | b'0'..=b'9' => {
                let length = number_length(&self.text[self.pos..])?;
                let span = TextSpan::new(self.pos, self.pos + length, false);
                self.pos += length;
                Ok(JsonValue::number(span))
            }
            _ => self.scan_word(),
        }
    }

    #[inline(always)]
    fn string_faults(&self) -> StringFaults {
        self.faults
    }
}

impl StrictScanner<'_> {
    fn scan_word(&mut self) -> Result<JsonValue, ScanFault> {
        const WORDS: [(&[u8], JsonValue); 3] =
            [(b"true", JsonValue::TRUE), (b"false", JsonValue::FALSE), (b"null", JsonValue::NULL)];
        let rest = &self.text[self.pos..];
        for (word, value) in WORDS {
            if rest.starts_with(word) {
                self.pos += word.len();
                return Ok(value);
            }
            if word.starts_with(rest) {
                return Err(ScanFault::End);
            }
        }
        Err(ScanFault::WantValue)
    }
}

/// The length of the escape that a text begins with.
pub(super) fn escape_length(text: &[u8]) -> Result<usize, ScanFault> {
    match text.get(1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(2),
        Some(b'u') => {
            let digits = &text[2..text.len().min(6)];
            match digits.iter().all(u8::is_ascii_hexdigit) {
                true if digits.len() == 4 => Ok(6),
                true => Err(ScanFault::End),
                false => Err(ScanFault::BadEscape),
            }
        }
        Some(_) => Err(ScanFault::BadEscape),
        None => Err(ScanFault::End),
    }
}

/// The length of the escape that a text begins with, or of the two that make one character, and whether it is more than
/// half of one.
fn character_length(text: &[u8]) -> Result<(usize, bool), ScanFault> {
    let length = escape_length(text)?;
    if length < 6 || !matches!(text[2..4], [b'd' | b'D', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F']) {
        return Ok((length, true));
    }
    let is_first = matches!(text[3], b'8' | b'9' | b'a' | b'b' | b'A' | b'B');
    let rest = &text[length..];
    let has_second = matches!(rest, [b'\\', b'u', b'd' | b'D', b'c'..=b'f' | b'C'..=b'F', ..])
        && escape_length(rest).is_ok();
    Ok(if is_first && has_second { (2 * length, true) } else { (length, false) })
}

/// Returns whether a text, all of whose backslashes begin escapes, has the escape of half a character.
pub(super) fn has_lone_surrogate(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &text[at..]) {
        match character_length(&text[at + found..]) {
            Ok((length, true)) => at += found + length,
            Ok((_, false)) => return true,
            Err(_) => return false,
        }
    }
    false
}

/// The length of the number that a text begins with. What follows must end it: a digit more might yet come.
#[inline(always)]
pub(super) fn number_length(text: &[u8]) -> Result<usize, ScanFault> {
    match usual_number_length(text) {
        Some(length) => Ok(length),
        None => long_number_length(text),
    }
}

/// [`number_length`] of what most numbers are: up to 15 digits, perhaps a point and up to 7 more.
#[inline(always)]
fn usual_number_length(text: &[u8]) -> Option<usize> {
    let word = word_at(text, 0)?;
    let mut length = first_other_than_digit(word);
    if length == 8 {
        length += first_other_than_digit(word_at(text, 8)?);
    }
    let zero_first = word as u8 == b'0';
    if length == 0 || length == 16 || zero_first && length > 1 {
        return None;
    }
    let mut behind = *text.get(length)?;
    if behind == b'.' {
        let fraction = first_other_than_digit(word_at(text, length + 1)?);
        if fraction == 0 {
            return None;
        }
        length += 1 + fraction;
        behind = *text.get(length)?;
    }
    ends_number(behind).then_some(length)
}

/// Returns whether a byte may stand behind a number.
#[inline(always)]
fn ends_number(byte: u8) -> bool {
    matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')
}

fn long_number_length(text: &[u8]) -> Result<usize, ScanFault> {
    let digits = |at: usize| skip_digits(text, at);
    let first = usize::from(text.first() == Some(&b'-'));
    let whole = digits(first);
    let mut end = whole;
    let mut good = whole > first && (whole == first + 1 || text[first] != b'0');
    if text.get(end) == Some(&b'.') {
        end = digits(whole + 1);
        good &= end > whole + 1;
    }
    if matches!(text.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(end + 1), Some(b'+' | b'-')));
        let from = end + 1 + sign;
        end = digits(from);
        good &= end > from;
    }
    match text.get(end) {
        None => Err(ScanFault::End),
        Some(&byte) if good && ends_number(byte) => Ok(end),
        Some(_) => Err(ScanFault::BadNumber),
    }
}

#[cfg(test)]
mod tests;

//! JSON as it sometimes is: the scanner that repairs.
//!
//! It reads what [`super::scan::StrictScanner`] reads, with the same result, and beyond it what profilers and those who
//! pass their files on are known to write: raw backslashes and quotes in names, commas too many or too few, words for
//! missing numbers, bytes of zero. Every repair is counted. It rejects what may be two events run into each other:
//! a lost event is better than one that never was.

use memchr::memchr;

use super::scan::{JsonScan, ScanFault, StringFaults, escape_length, has_lone_surrogate, number_length};
use super::slots::Member;
use super::span::{JsonValue, TextSpan};
use super::words::{find_quote, has_control};
use crate::model::Defect;

/// A longer word is text, and no value.
const LONGEST_WORD: usize = 32;

/// The scanner that repairs.
pub(super) struct LenientScanner<'a> {
    text: &'a [u8],
    pos: usize,
    /// The defects that were repaired.
    pub(super) defects: Vec<Defect>,
    /// The brackets around the elements that are scanned; they decide what may follow a string.
    place: Place,
    guess: QuoteGuess,
    /// Nothing comes behind the text.
    whole: bool,
}

/// The meaning that a quote behind a backslash gets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum QuoteGuess {
    /// A quote of the text, as JSON has it.
    OfText,
    /// The end of the text, if it goes on as behind an end: `"C:\dir\"`.
    MayEnd,
}

/// Where a string stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Key,
    Member,
    Element,
}

type Result<T> = std::result::Result<T, ScanFault>;

impl<'a> LenientScanner<'a> {
    pub(super) fn new(text: &'a [u8], pos: usize, guess: QuoteGuess, whole: bool) -> Self {
        Self { text, pos, defects: Vec::new(), place: Place::Member, guess, whole }
    }

    fn note_repair(&mut self, defect: Defect) {
        self.defects.push(defect);
    }

    /// Notes what is counted once for each event.
    fn note_once(&mut self, defect: Defect) {
        if !self.defects.contains(&defect) {
            self.note_repair(defect);
        }
    }

    /// The first byte from a place on that is neither white space nor a control character.
    fn byte_behind(&self, mut at: usize) -> Result<(usize, u8)> {
        while let Some(&byte) = self.text.get(at) {
            if byte > b' ' {
                return Ok((at, byte));
            }
            at += 1;
        }
        Err(ScanFault::End)
    }

    /// [`Self::byte_behind`] to decide what a quote is; zero where there is nothing and nothing comes.
    fn look_behind(&self, at: usize) -> Result<(usize, u8)> {
        match self.byte_behind(at) {
            Err(ScanFault::End) if self.whole => Ok((self.text.len(), 0)),
            found => found,
        }
    }

    /// The string whose quote is next.
    fn scan_string(&mut self, place: Place) -> Result<TextSpan> {
        let start = self.pos + 1;
        let (mut at, mut escaped, mut raw_backslash, mut raw_quote) = (start, false, false, false);
        let end = loop {
            let found = find_quote(self.text, at).ok_or(ScanFault::End)?;
            if self.text[found] == b'"' {
                if self.ends_string(found + 1, place)? {
                    break found;
                }
                raw_quote = true;
                at = found + 1;
                continue;
            }
            match escape_length(&self.text[found..]) {
                Ok(2)
                    if self.guess == QuoteGuess::MayEnd
                        && self.text[found + 1] == b'"'
                        && self.ends_string(found + 2, place)? =>
                {
                    raw_backslash = true;
                    break found + 1;
                }
                Ok(length) => {
                    escaped = true;
                    at = found + length;
                }
                Err(ScanFault::BadEscape) => {
                    raw_backslash = true;
                    at = found + 1;
                }
                Err(fault) => return Err(fault),
            }
        };
        if raw_quote && place == Place::Key {
            return Err(ScanFault::UnclearQuote);
        }
        self.check_text(start, end, raw_quote)?;
        if raw_backslash {
            self.note_repair(Defect::InvalidEscape);
        }
        if raw_quote {
            self.note_repair(Defect::RawQuote);
        }
        // Where one backslash begins no escape, none of the text does.
        let escaped = escaped && !raw_backslash;
        let text = &self.text[start..end];
        let control = text.iter().any(|b| *b < b' ');
        let faults = StringFaults { control, surrogate: escaped && has_lone_surrogate(text) };
        faults.defects().for_each(|defect| self.note_once(defect));
        self.pos = end + 1;
        Ok(TextSpan::new(start, end, escaped))
    }

    /// Rejects text that may have been two strings.
    fn check_text(&self, start: usize, end: usize, raw_quote: bool) -> Result<()> {
        let text = &self.text[start..end];
        if memchr(0, text).is_some() {
            return Err(ScanFault::NulInString);
        }
        let quotes = memchr::memchr_iter(b'"', text).map(|i| start + i + 1);
        if raw_quote
            && (memchr(b'\n', text).is_some()
                || quotes.clone().any(|behind| matches!(self.look_behind(behind), Ok((_, b':'))))
                || quotes.clone().any(|behind| names_member(&self.text[behind..])))
        {
            return Err(ScanFault::UnclearQuote);
        }
        Ok(())
    }

    /// Returns whether a quote, by what stands behind it, ends its string.
    fn ends_string(&self, behind: usize, place: Place) -> Result<bool> {
        match place {
            Place::Key => Ok(self.look_behind(behind)?.1 == b':'),
            Place::Element => Ok(matches!(self.look_behind(behind)?.1, b',' | b']')),
            Place::Member => self.ends_member(behind),
        }
    }

    /// Returns whether the value of a member may have ended before a place: what follows is the end of the object, or
    /// the next key.
    fn ends_member(&self, behind: usize) -> Result<bool> {
        let (mut at, mut byte) = self.look_behind(behind)?;
        while byte == b',' {
            (at, byte) = self.look_behind(at + 1)?;
        }
        match byte {
            b'}' => Ok(true),
            b'"' => self.is_key(at),
            _ => Ok(false),
        }
    }

    /// Returns whether the quote at a place begins a key.
    fn is_key(&self, quote: usize) -> Result<bool> {
        let mut at = quote + 1;
        loop {
            let Some(found) = find_quote(self.text, at) else {
                return if self.whole { Ok(false) } else { Err(ScanFault::End) };
            };
            if self.text[found] == b'"' {
                return Ok(self.look_behind(found + 1)?.1 == b':');
            }
            at = found + 2;
        }
    }

    /// A word, or something that stands where a value should.
    fn scan_word(&mut self) -> Result<JsonValue> {
        let rest = &self.text[self.pos..];
        let ends = |b: &u8| matches!(b, b',' | b'}' | b']' | b'{' | b'[' | b'"' | b'\n' | b'\r' | b':');
        let Some(length) = rest.iter().position(ends) else {
            return Err(if rest.len() > LONGEST_WORD { ScanFault::WantValue } else { ScanFault::End });
        };
        if length > LONGEST_WORD || matches!(rest[length], b'{' | b'[' | b'"' | b':') {
            return Err(ScanFault::WantValue);
        }
        let word = rest[..length].trim_ascii();
        self.pos += length;
        Ok(match word {
            b"true" => JsonValue::TRUE,
            b"false" => JsonValue::FALSE,
            b"null" => JsonValue::NULL,
            _ if is_missing_number(word) => {
                self.note_once(Defect::MissingNumber);
                JsonValue::NOT_A_NUMBER
            }
            _ => {
                self.note_repair(Defect::BadValue);
                JsonValue::NOT_A_NUMBER
            }
        })
    }
}

/// Returns whether a member of an event begins here that is not spelled as JSON has it, such as `, name: ` or `; "cat"= `:
/// then the quote before it ends a string.
fn names_member(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let Some((b',' | b';', rest)) = text.split_first() else { return false };
    let rest = rest.trim_ascii_start();
    let (quote, rest) = match rest.split_first() {
        Some((quote @ (b'"' | b'\''), rest)) => (Some(*quote), rest),
        _ => (None, rest),
    };
    let length = rest.iter().take_while(|b| b.is_ascii_alphanumeric()).count();
    let (word, mut rest) = rest.split_at(length);
    if let (Some(quote), Some((next, behind))) = (quote, rest.split_first()) {
        if *next != quote {
            return false;
        }
        rest = behind;
    }
    Member::of_key(word).is_some() && matches!(rest.trim_ascii_start().first(), Some(b':' | b'='))
}

/// Recognizes the words that profilers write where a number is missing.
fn is_missing_number(word: &[u8]) -> bool {
    const WORDS: [&[u8]; 5] = [b"nan", b"inf", b"infinity", b"n/a", b"none"];
    let word = word.strip_prefix(b"-").unwrap_or(word);
    WORDS.iter().any(|w| w.eq_ignore_ascii_case(word))
}

impl JsonScan for LenientScanner<'_> {
    fn text(&self) -> &[u8] {
        self.text
    }

    fn pos(&self) -> usize {
        self.pos
    }

    fn go_to(&mut self, pos: usize) {
        self.pos = pos;
    }

    fn peek_byte(&mut self) -> Result<u8> {
        let (at, byte) = self.byte_behind(self.pos)?;
        if has_control(&self.text[self.pos..at]) {
            self.note_repair(Defect::NulBytes);
        }
        self.pos = at;
        Ok(byte)
    }

    fn open_bracket(&mut self, close: u8) -> Result<bool> {
        self.pos += 1;
        self.skip_extra_commas()?;
        self.place = if close == b'}' { Place::Member } else { Place::Element };
        let empty = self.peek_byte()? == close;
        self.pos += usize::from(empty);
        Ok(!empty)
    }

    fn scan_key(&mut self) -> Result<TextSpan> {
        self.place = Place::Member;
        if self.peek_byte()? != b'"' {
            return Err(ScanFault::WantKey);
        }
        let key = self.scan_string(Place::Key)?;
        if self.peek_byte()? != b':' {
            return Err(ScanFault::WantColon);
        }
        self.pos += 1;
        Ok(key)
    }

    fn next_element(&mut self, close: u8) -> Result<bool> {
        self.place = if close == b'}' { Place::Member } else { Place::Element };
        match self.peek_byte()? {
            b',' => {
                self.pos += 1;
                self.skip_extra_commas()?;
                if self.peek_byte()? == close {
                    self.note_repair(Defect::CommaInEvent);
                    self.pos += 1;
                    return Ok(false);
                }
                Ok(true)
            }
            b if b == close => {
                self.pos += 1;
                Ok(false)
            }
            b'"' if close == b'}' && self.is_key(self.pos)? => {
                self.note_repair(Defect::MissingMemberComma);
                Ok(true)
            }
            _ => Err(ScanFault::WantComma),
        }
    }

    fn scan_flat(&mut self, first: u8) -> Result<JsonValue> {
        match first {
            b'"' => self.scan_string(self.place).map(JsonValue::string),
            b',' | b'}' | b']' => {
                self.note_repair(Defect::BadValue);
                Ok(JsonValue::NOT_A_NUMBER)
            }
            b'-' | b'0'..=b'9' => match number_length(&self.text[self.pos..]) {
                Ok(length) => {
                    let span = TextSpan::new(self.pos, self.pos + length, false);
                    self.pos += length;
                    Ok(JsonValue::number(span))
                }
                Err(ScanFault::BadNumber) => self.scan_number_before_zeros(),
                Err(fault) => Err(fault),
            },
            b':' => Err(ScanFault::WantValue),
            _ => self.scan_word(),
        }
    }

    fn string_faults(&self) -> StringFaults {
        StringFaults::default()
    }
}

impl LenientScanner<'_> {
    /// A number that bytes of zero follow, or else what stands in the place of one.
    fn scan_number_before_zeros(&mut self) -> Result<JsonValue> {
        let rest = &self.text[self.pos..];
        let length = rest.iter().take(LONGEST_WORD).position(|b| *b == 0).unwrap_or(0);
        if number_length(&[&rest[..length], b" "].concat()) == Ok(length) {
            let span = TextSpan::new(self.pos, self.pos + length, false);
            self.pos += length;
            return Ok(JsonValue::number(span));
        }
        self.scan_word()
    }

    fn skip_extra_commas(&mut self) -> Result<()> {
        while self.peek_byte()? == b',' {
            self.pos += 1;
            self.note_repair(Defect::CommaInEvent);
        }
        Ok(())
    }
}

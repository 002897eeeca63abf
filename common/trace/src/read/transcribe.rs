//! JSON of a file written again: compact, on one line, and otherwise as it stands.
//!
//! Numbers keep their digits and texts their escapes. What a repair was needed to read is written as the JSON that it was
//! read as: a missing number becomes null, raw control characters and quotes are escaped.

use super::repair::{LenientScanner, QuoteGuess};
use super::scan::{JsonScan, ScanFault, StrictScanner, escape_length};
use super::span::JsonScalar;
use super::words::{find_space_or_quote, find_special, is_plain, skip_white_space};
use crate::model::{Event, RawText};

/// Appends a value of JSON that a reader has read, without the white space around its parts. `repaired` is what the
/// event says that it belongs to.
pub fn write_compact(value: &[u8], repaired: bool, out: &mut Vec<u8>) {
    let before = out.len();
    // A number that has been found in its event.
    if let ([b'0'..=b'9' | b'-', .., b'0'..=b'9'] | [b'0'..=b'9'], false) = (value, repaired) {
        return out.extend_from_slice(value);
    }
    if !repaired && copy_compact(value, out).is_some() {
        return;
    }
    out.truncate(before);
    // A text that has been found in its event is all between the outer quotation marks: looked at by itself, a raw one
    // inside would end it.
    if let [b'"', text @ .., b'"'] = value {
        return write_text(RawText { raw: text, escaped: has_escapes_only(text) }, out);
    }
    for guess in [QuoteGuess::OfText, QuoteGuess::MayEnd] {
        // What follows shows where a value ends.
        let text = [b"[", value, b"]"].concat();
        let mut scan = LenientScanner::new(&text, 0, guess, true);
        if scan.open_bracket(b']').is_ok_and(|more| more) && write_value(&mut scan, out).is_ok() {
            return;
        }
        out.truncate(before);
    }
    out.extend_from_slice(b"null");
}

/// Returns whether every backslash of a text begins an escape: where one does not, none of the text does.
fn has_escapes_only(text: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &text[at..]) {
        match escape_length(&text[at + found..]) {
            Ok(length) => at += found + length,
            Err(_) => return false,
        }
    }
    at > 0
}

/// Appends a number.
pub fn write_number(to: &mut Vec<u8>, number: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        to.push(b'-');
    }
    to.extend_from_slice(&digits[at..]);
}

/// Appends a text as a string of JSON.
pub fn write_text(text: RawText<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    let plain = if text.escaped { is_plain_escaped(text.raw) } else { is_plain(text.raw) };
    if plain {
        out.extend_from_slice(text.raw);
    } else {
        escape_text(&text.decode(), out);
    }
    out.push(b'"');
}

/// Returns whether a text with escapes is ASCII that can be written as it stands: there is nothing raw in it that wants
/// an escape, and no escape in hexadecimal, which may be half of a pair.
fn is_plain_escaped(raw: &[u8]) -> bool {
    let mut at = 0;
    loop {
        at = find_special(raw, at);
        match (raw.get(at), raw.get(at + 1)) {
            (None, _) => return raw.is_ascii(),
            (Some(b'\\'), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => at += 2,
            _ => return false,
        }
    }
}

fn escape_text(text: &str, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\0'..='\x1f' => out.extend_from_slice(format!("\\u{:04x}", c as u32).as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// Copies everything but the white space between tokens of a value that the strict scanner has read. `None` if a
/// string is not quite JSON.
fn copy_compact(value: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (mut from, mut at) = (0, 0);
    loop {
        at = find_space_or_quote(value, at);
        match value.get(at) {
            None => {
                out.extend_from_slice(&value[from..]);
                return Some(());
            }
            Some(b'"') => at = string_end(value, at + 1)?,
            Some(_) => {
                append_piece(out, value, from, at);
                at = skip_white_space(value, at);
                from = at;
            }
        }
    }
}

/// Appends a piece of a text. Most are short: copying 32 bytes and forgetting the rest is faster than a call.
#[inline(always)]
fn append_piece(out: &mut Vec<u8>, text: &[u8], from: usize, to: usize) {
    match text.get(from..).and_then(|rest| rest.first_chunk::<32>()) {
        Some(chunk) if to - from <= 32 => {
            let end = out.len() + to - from;
            out.extend_from_slice(chunk);
            out.truncate(end);
        }
        _ => out.extend_from_slice(&text[from..to]),
    }
}

/// The place behind the closing quote. `None` if a raw control character or a doubtful escape stands before it.
fn string_end(value: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        at = find_special(value, at);
        match value.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' if value.get(at + 1) != Some(&b'u') => at += 2,
            _ => return None,
        }
    }
}

/// Writes the value that is next, token by token.
fn write_value<S: JsonScan>(scan: &mut S, out: &mut Vec<u8>) -> Result<(), ScanFault> {
    let first = scan.peek_byte()?;
    if !matches!(first, b'{' | b'[') {
        write_scalar(scan, first, out)?;
        return Ok(());
    }
    // Which brackets are open: the readers have limited their depth already.
    let mut open = vec![first];
    out.push(first);
    let mut more = scan.open_bracket(first + 2)?;
    loop {
        let Some(&bracket) = open.last() else { return Ok(()) };
        if !more {
            out.push(bracket + 2);
            open.pop();
            let Some(outer) = open.last() else { return Ok(()) };
            more = scan.next_element(outer + 2)?;
            if more {
                out.push(b',');
            }
            continue;
        }
        if bracket == b'{' {
            let key = scan.scan_key()?;
            write_text(key.text_in(scan.text()), out);
            out.push(b':');
        }
        let first = scan.peek_byte()?;
        if matches!(first, b'{' | b'[') {
            open.push(first);
            out.push(first);
            more = scan.open_bracket(first + 2)?;
            continue;
        }
        write_scalar(scan, first, out)?;
        more = scan.next_element(bracket + 2)?;
        if more {
            out.push(b',');
        }
    }
}

fn write_scalar<S: JsonScan>(scan: &mut S, first: u8, out: &mut Vec<u8>) -> Result<(), ScanFault> {
    match scan.scan_flat(first)?.get() {
        JsonScalar::String(span) => write_text(span.text_in(scan.text()), out),
        JsonScalar::Number(span) => out.extend_from_slice(span.text_in(scan.text()).raw),
        JsonScalar::True => out.extend_from_slice(b"true"),
        JsonScalar::False => out.extend_from_slice(b"false"),
        _ => out.extend_from_slice(b"null"),
    }
    Ok(())
}

/// Calls `each` with the key and value of every member of an event, as they stand in the file; the arguments are
/// left out, if they are an object. Does nothing for events of formats that are not JSON.
pub fn for_each_member<'a>(event: &Event<'a>, mut each: impl FnMut(RawText<'a>, &'a [u8])) {
    if event.text.is_empty() {
        return;
    }
    let text = event.text;
    // The arguments need not be looked at again: their place is known.
    let args = (event.args.as_ptr() as usize).wrapping_sub(text.as_ptr() as usize);
    let args = args.checked_add(event.args.len()).filter(|end| *end < text.len()).map(|end| (args, end));
    if event.repaired {
        for guess in [QuoteGuess::OfText, QuoteGuess::MayEnd] {
            let mut members = Vec::new();
            let mut scan = LenientScanner::new(text, 0, guess, true);
            if scan_members(&mut scan, text, None, |key, value| members.push((key, value))).is_ok() {
                return members.into_iter().for_each(|(key, value)| each(key, value));
            }
        }
        return;
    }
    // A reader has seen this text: it is what the strict scanner takes.
    let _ = scan_members(&mut StrictScanner::new(text, 0), text, args, each);
}

fn scan_members<'a, S: JsonScan>(
    scan: &mut S,
    text: &'a [u8],
    args: Option<(usize, usize)>,
    mut each: impl FnMut(RawText<'a>, &'a [u8]),
) -> Result<(), ScanFault> {
    let mut more = scan.open_bracket(b'}')?;
    while more {
        let key = scan.scan_key()?.text_in(text);
        scan.peek_byte()?;
        let start = scan.pos();
        match args {
            Some((from, to)) if from == start => scan.go_to(to),
            _ => _ = scan.scan_value()?,
        }
        if text[start] != b'{' || &*key.unescape() != b"args" {
            each(key, &text[start..scan.pos()]);
        }
        more = scan.next_element(b'}')?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compact(text: &str) -> String {
        let mut out = Vec::new();
        let strict = serde_json::from_str::<serde_json::Value>(text).is_ok();
        write_compact(text.as_bytes(), !strict, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_written_as_they_stand_but_compact() {
        for (text, expected) in [
            (
                "{\n  \"a b\": [1.50, -0, 1e-05, 12345678901234567890.10],\t\"c\": {}\n}",
                r#"{"a b":[1.50,-0,1e-05,12345678901234567890.10],"c":{}}"#,
            ),
            (r#""a \" b""#, r#""a \" b""#),
            ("\"a\tb\"", r#""a\tb""#),
            (
                r#"{"bw": inf, "x": [N/A, {"y": NaN}], "n": 1.10}"#,
                r#"{"bw":null,"x":[null,{"y":null}],"n":1.10}"#,
            ),
            (r#"{"a": "\ud83d\ude00 \ud800", "b": "é"}"#, "{\"a\":\"\u{1f600} \u{fffd}\",\"b\":\"é\"}"),
            ("{\"a\": \"1.5\\t\"\"}", r#"{"a":"1.5\t\""}"#),
            (r#"{"a": "C:\x", "b": "say "hi"",}"#, r#"{"a":"C:\\x","b":"say \"hi\""}"#),
            // The whole of a text, whatever stands in it.
            (r#""say "hi", x""#, r#""say \"hi\", x""#),
            (r#""f<"q","r">""#, r#""f<\"q\",\"r\">""#),
            (r#""C:\dir "a", b\x""#, r#""C:\\dir \"a\", b\\x""#),
            ("[ ]", "[]"),
            ("7.0 ", "7.0"),
        ] {
            assert_eq!(compact(text), expected, "{text}");
        }
    }
}

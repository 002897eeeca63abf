//! Bytes looked for eight at a time, in plain integers: a library call would take longer than most texts here are long.

use memchr::memchr2;

/// Eight bytes at a place, if there are as many.
#[inline(always)]
pub(super) fn word_at(text: &[u8], at: usize) -> Option<u64> {
    text.get(at..)?.first_chunk::<8>().map(|word| u64::from_le_bytes(*word))
}

const ONES: u64 = 0x0101_0101_0101_0101;

/// The first byte behind a run of white space: a line end and its indentation are one step. All control characters
/// count as white space here; see [`has_control`].
#[inline(always)]
pub(super) fn skip_white_space(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = word_at(text, at) {
        let other = (((word & (ONES * 0x7f)) + ONES * (0x7f - 0x20)) | word) & (ONES << 7);
        if other != 0 {
            return at + other.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    at + text[at..].iter().take_while(|b| **b <= b' ').count()
}

/// Returns whether a text has control characters besides tabs and line ends: JSON knows none of them outside of
/// strings, and the strict scanner does not look for them.
pub(super) fn has_control(text: &[u8]) -> bool {
    let is_control = |b: &u8| (*b < b' ') & (*b != b'\t') & (*b != b'\n') & (*b != b'\r');
    // Without a way out, so that it is done for many bytes at a time.
    text.chunks(4096).any(|part| part.iter().fold(0, |found, b| found | u8::from(is_control(b))) != 0)
}

/// Returns whether a text has such control characters, and whether it has bytes beyond ASCII.
pub(super) fn has_control_or_beyond_ascii(text: &[u8]) -> (bool, bool) {
    let (mut control, mut all) = (0, 0);
    for byte in text {
        // Line feeds are in most files, tabs and carriage returns in few.
        control |= u8::from((*byte < b' ') & (*byte != b'\n'));
        all |= *byte;
    }
    (control != 0 && has_control(text), all >= 0x80)
}

/// The first byte of a word that is no digit; 8 if all are.
#[inline(always)]
pub(super) fn first_other_than_digit(word: u64) -> usize {
    let values = word ^ (ONES * u64::from(b'0'));
    // Of what is no digit, the topmost bit is set; a carry reaches only what stands behind it.
    let other = (values.wrapping_add(ONES * (0x80 - 10)) | values) & (ONES << 7);
    other.trailing_zeros() as usize / 8
}

/// The first byte behind a run of digits.
#[inline(always)]
pub(super) fn skip_digits(text: &[u8], mut at: usize) -> usize {
    while let Some(word) = word_at(text, at) {
        let length = first_other_than_digit(word);
        at += length;
        if length < 8 {
            return at;
        }
    }
    at + text[at.min(text.len())..].iter().take_while(|b| b.is_ascii_digit()).count()
}

/// The number that 1 to 16 digits make, which are all of `text[start..end]`. Eight digits at a time: the values of
/// neighbors are brought together as 10 a + b, then pairs of those, then pairs of these.
#[inline(always)]
pub(super) fn parse_digits(text: &[u8], start: usize, end: usize) -> Option<u64> {
    let length = end.checked_sub(start)?;
    match length {
        1..=8 => parse_last_digits(text, end, length),
        9..=16 => {
            let high = parse_last_digits(text, end - 8, length - 8)?;
            Some(high * 100_000_000 + parse_last_digits(text, end, 8)?)
        }
        _ => None,
    }
}

/// The number that the last 1 to 8 digits before a place make.
#[inline(always)]
fn parse_last_digits(text: &[u8], end: usize, length: usize) -> Option<u64> {
    let word = match end.checked_sub(8).and_then(|at| word_at(text, at)) {
        Some(word) => word,
        // At the very beginning of the text.
        None => text.get(end - length..end)?.iter().fold(0, |word, b| word >> 8 | u64::from(*b) << 56),
    };
    // What stands before the digits becomes zeros.
    let values = (word ^ (ONES * u64::from(b'0'))) & (u64::MAX << (64 - 8 * length));
    if (values.wrapping_add(ONES * (0x80 - 10)) | values) & (ONES << 7) != 0 {
        return None;
    }
    let pairs = values.wrapping_mul(10).wrapping_add(values >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    Some(low.wrapping_add(high) >> 32)
}

/// Marks the bytes of a word that are this one: the topmost bit of the lowest such byte is set, and none below it.
#[inline(always)]
fn mark_byte(word: u64, byte: u8) -> u64 {
    let other = word ^ (ONES * u64::from(byte));
    other.wrapping_sub(ONES) & !other & (ONES << 7)
}

/// Marks the bytes of a word that are a quote or a control character, as [`mark_byte`] does: with one bit turned, these are
/// all below 0x21, and no others are. So it takes no longer than to look for the quote.
#[inline(always)]
fn mark_quote_or_control(word: u64) -> u64 {
    let turned = word ^ (ONES * 0x02);
    turned.wrapping_sub(ONES * 0x21) & !turned & (ONES << 7)
}

/// The first quote or backslash. Most strings in traces are short: the vector search is called for what is not.
#[inline(always)]
pub(super) fn find_quote(text: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..4 {
        let Some(word) = word_at(text, at) else { break };
        let found = mark_byte(word, b'"') | mark_byte(word, b'\\');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    memchr2(b'"', b'\\', text.get(at..)?).map(|i| i + at)
}

/// The first quote, backslash or control character; as [`find_quote`], with a search that also stops there.
#[inline(always)]
pub(super) fn find_quote_or_control(text: &[u8], mut at: usize) -> Option<usize> {
    for _ in 0..4 {
        let Some(word) = word_at(text, at) else { break };
        let found = mark_quote_or_control(word) | mark_byte(word, b'\\');
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += 8;
    }
    let rest = text.get(at..)?;
    let end = memchr2(b'"', b'\\', rest)?;
    // Without a way out, so that it is done for many bytes at a time.
    let has_control = rest[..end].iter().fold(false, |found, b| found | (*b < b' '));
    let control = if has_control { rest.iter().position(|b| *b < b' ') } else { None };
    Some(at + control.unwrap_or(end))
}

/// Marks the bytes of a word that are control characters, as [`mark_byte`] does.
#[inline(always)]
fn mark_control(word: u64) -> u64 {
    !(((word & (ONES * 0x7f)) + ONES * (0x80 - 0x20)) | word) & (ONES << 7)
}

/// The first byte that `mark` marks in a word, or that `is` in the last bytes; the end if there is none.
#[inline(always)]
fn find_marked(text: &[u8], mut at: usize, mark: impl Fn(u64) -> u64, is: impl Fn(u8) -> bool) -> usize {
    while let Some(word) = word_at(text, at) {
        let found = mark(word);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().position(|b| is(*b)).unwrap_or(rest.len())
}

/// The first white space, control character or quote from a place on, or the end.
#[inline(always)]
pub(super) fn find_space_or_quote(text: &[u8], at: usize) -> usize {
    let mark = |word| mark_byte(word, b' ') | mark_control(word) | mark_byte(word, b'"');
    find_marked(text, at, mark, |b| b <= b' ' || b == b'"')
}

/// The first quote, backslash or control character from a place on, or the end.
#[inline(always)]
pub(super) fn find_special(text: &[u8], at: usize) -> usize {
    let mark = |word| mark_byte(word, b'"') | mark_byte(word, b'\\') | mark_control(word);
    find_marked(text, at, mark, |b| b < b' ' || matches!(b, b'"' | b'\\'))
}

/// Returns whether a text is ASCII that stands for itself in a string of JSON.
#[inline(always)]
pub(super) fn is_plain(text: &[u8]) -> bool {
    find_special(text, 0) == text.len() && text.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_quotes_and_control_characters_is_found() {
        for length in 0..80 {
            for odd in 0..=length {
                for byte in [b'\0', b'\t', 0x1f, b'\\', b'"', b' ', b'!', b'#', 0x7f, 0x80, 0xff] {
                    let mut text = vec![b'a'; length + 2];
                    (text[odd], text[length + 1]) = (byte, b'"');
                    let is_odd = byte < b' ' || matches!(byte, b'"' | b'\\');
                    let found = if is_odd { odd } else { length + 1 };
                    assert_eq!(find_quote_or_control(&text, 0), Some(found), "{byte} at {odd} of {length}");
                }
            }
        }
        assert_eq!(find_quote_or_control(&[b'a'; 60], 0), None);
    }

    #[test]
    fn words_of_eight_bytes_find_what_bytes_find() {
        let text: Vec<u8> = (0..200_u32).map(|i| b"ab \x01\x22\x5c\xdc\xa2"[(i * i % 8) as usize]).collect();
        for at in 0..text.len() {
            let found = text[at..].iter().position(|b| matches!(b, b'"' | b'\\')).map(|i| i + at);
            assert_eq!(find_quote(&text, at), found, "{at}");
            let of = |is: fn(&u8) -> bool| text[at..].iter().position(is).map_or(text.len(), |i| i + at);
            assert_eq!(find_special(&text, at), of(|b| *b < b' ' || matches!(b, b'"' | b'\\')), "{at}");
            assert_eq!(find_space_or_quote(&text, at), of(|b| *b <= b' ' || *b == b'"'), "{at}");
        }
        let spaces = [b"x".as_slice(), &[b' '; 21], b"\n\t\r y", &[b' '; 3]].concat();
        assert_eq!((skip_white_space(&spaces, 1), skip_white_space(&spaces, 27)), (26, 30));
        assert!(has_control(&[&[b'a'; 9000][..], &[1]].concat()) && !has_control(b"a\tb\r\n\xff"));
        for (text, found) in
            [(&b"a\n"[..], (false, false)), (b"\r\t\x80", (false, true)), (b"\x0b", (true, false))]
        {
            assert_eq!(has_control_or_beyond_ascii(text), found);
        }
        for length in 1..18 {
            for (before, digits) in
                [(0, "12345678901234567890"), (3, "09876543210987654321"), (9, "0000000000000000007")]
            {
                let text = format!("{:x<before$}{}{}", "", &digits[..length], ".5 xxxxx");
                let value = digits[..length].parse().ok().filter(|_| length <= 16);
                assert_eq!(parse_digits(text.as_bytes(), before, before + length), value, "{text}");
                assert_eq!(parse_digits(text.as_bytes(), before, before + length + 1), None, "{text}");
            }
        }
        for length in 0..20 {
            for behind in [b'.', b'/', b':', b'e', b'\xb0', b' '] {
                let number = [&vec![b'7'; length][..], &[behind; 9]].concat();
                assert_eq!((skip_digits(&number, 0), skip_digits(&number[..length], 0)), (length, length));
            }
        }
    }
}

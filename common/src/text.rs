//! Makes untrusted text safe to show on a terminal.

use std::fmt::{self, Display, Write};

/// Shows text with every control character, escape sequence and bidirectional override written as an escape
/// (`\n`, `\x1b`, `\u{202e}`), so that a file name or a peer's message cannot forge a line or drive a terminal.
pub struct Safe<'a>(pub &'a str);

impl Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\n' => f.write_str("\\n"),
            '\t' => f.write_str("\\t"),
            '\r' => f.write_str("\\r"),
            c if c.is_control() && c.is_ascii() => write!(f, "\\x{:02x}", c as u32),
            c if is_invisible(c) => write!(f, "\\u{{{:x}}}", c as u32),
            c => f.write_char(c),
        })
    }
}

/// [`Safe`] as an owned string.
#[must_use]
pub fn safe(text: &str) -> String {
    Safe(text).to_string()
}

/// Formats a number with its noun: `1 config`, `2 configs`, `3 processes`, `4 directories`.
#[must_use]
pub fn count_noun(n: u64, noun: &str) -> String {
    let ies = noun.strip_suffix('y').filter(|stem| !stem.ends_with(['a', 'e', 'i', 'o', 'u']));
    match (n, ies) {
        (1, _) => format!("{n} {noun}"),
        (_, Some(stem)) => format!("{n} {stem}ies"),
        (_, None) if noun.ends_with('s') => format!("{n} {noun}es"),
        (_, None) => format!("{n} {noun}s"),
    }
}

/// Tells control characters, and the invisible ones that reorder or join what a terminal shows.
#[must_use]
pub(crate) fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// A message without the error numbers that the standard library appends to the system's texts: ` (os error 28)`
/// (`std::io::Error`'s `Display`).
#[must_use]
pub fn without_error_numbers(message: &str) -> String {
    const BEGIN: &str = " (os error ";
    let mut rest = message;
    let mut out = String::with_capacity(message.len());
    while let Some((before, after)) = rest.split_once(BEGIN) {
        out.push_str(before);
        match after.split_once(')') {
            Some((number, tail)) if number.bytes().all(|b| b.is_ascii_digit()) => rest = tail,
            _ => {
                out.push_str(BEGIN);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_noun_has_the_number_before_it() {
        let all = [count_noun(0, "config"), count_noun(1, "process"), count_noun(2, "process")];
        assert_eq!(all, ["0 configs", "1 process", "2 processes"]);
        let all = [count_noun(1, "directory"), count_noun(2, "directory"), count_noun(2, "day")];
        assert_eq!(all, ["1 directory", "2 directories", "2 days"]);
    }

    #[test]
    fn escapes_are_shown_not_sent() {
        assert_eq!(safe("a\x1b[31m\nb\u{9b}\u{202e}é"), "a\\x1b[31m\\nb\\u{9b}\\u{202e}é");
    }

    #[test]
    fn the_systems_numbers_are_left_out() {
        let error = std::io::Error::from(rustix::io::Errno::NOSPC);
        assert_eq!(
            without_error_numbers(&format!("a: {error}; b: {error}")),
            "a: No space left on device; b: No space left on device"
        );
        assert_eq!(without_error_numbers("x (os error y)"), "x (os error y)");
    }
}

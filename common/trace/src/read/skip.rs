//! Skips a value that is too long to be kept together: nothing but brackets and quotes is looked at.

use memchr::memchr2;

/// Where inside a value we are; fed piece by piece.
#[derive(Debug, Default)]
pub(super) struct ValueSkipper {
    begun: bool,
    depth: u64,
    in_string: bool,
    /// The last byte was a backslash.
    escaped: bool,
}

impl ValueSkipper {
    /// Takes the next piece. Returns how much of it belongs to the value, if that ends in it.
    pub(super) fn feed(&mut self, text: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = text.get(at) {
            if self.in_string {
                at = self.skip_string(text, at)?;
                if self.depth == 0 {
                    return Some(at);
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' if self.depth > 1 => self.depth -= 1,
                b'}' | b']' if self.depth == 1 => return Some(at + 1),
                b',' | b'}' | b']' if self.depth == 0 && self.begun => return Some(at),
                _ => {}
            }
            self.begun |= !byte.is_ascii_whitespace();
            at += 1;
        }
        None
    }

    /// The place behind a string's closing quote.
    fn skip_string(&mut self, text: &[u8], mut at: usize) -> Option<usize> {
        if std::mem::take(&mut self.escaped) {
            at += 1;
        }
        loop {
            at += memchr2(b'"', b'\\', text.get(at..)?)?;
            if text[at] == b'"' {
                self.in_string = false;
                return Some(at + 1);
            }
            self.escaped = at + 1 == text.len();
            at += 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_end_where_they_end() {
        for value in [r#"{"a": ["]}\"", {}]}"#, "[[1], 2]", r#""a\\\"b""#, "12.5", "null", r#"{"x\\": 1}"#] {
            let text = format!("{value}, \"next\": 1");
            for step in 1..text.len() {
                let mut skipper = ValueSkipper::default();
                let mut seen = 0;
                let end = text.as_bytes().chunks(step).find_map(|piece| {
                    let end = skipper.feed(piece).map(|n| seen + n);
                    seen += piece.len();
                    end
                });
                assert_eq!(end, Some(value.len()), "{value} by {step}");
            }
        }
    }
}

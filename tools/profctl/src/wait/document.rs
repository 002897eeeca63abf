//! Whether a file holds one whole JSON document, and which `trace_id` stands at its top.
//!
//! One pass in constant memory. It follows brackets and strings only: whether the values between them are right
//! is for those who read the trace.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// The most of a file's end that is looked at for its last character.
const TAIL: u64 = 4096;
/// Longer keys and ids than any that matter.
const MAX_TOKEN: usize = 64;

/// What a file holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Document {
    /// One document and nothing after it.
    Whole { trace_id: Option<String> },
    /// The beginning of one.
    Unfinished,
    /// Something else.
    NotJson,
}

/// Reads a file to its end.
///
/// # Errors
/// What the system says.
pub(crate) fn examine(file: &mut File) -> io::Result<Document> {
    if !ends_closed(file)? {
        return Ok(Document::Unfinished);
    }
    file.seek(SeekFrom::Start(0))?;
    let mut scan = Scan::default();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => scan.feed(&buffer[..n]),
        }
        if scan.broken {
            return Ok(Document::NotJson);
        }
    }
    Ok(match scan.closed {
        true => Document::Whole { trace_id: scan.trace_id },
        false => Document::Unfinished,
    })
}

/// Whether the last character that is not white space closes something: cheap, and true of no file that is in the
/// middle of being written except by chance.
fn ends_closed(file: &mut File) -> io::Result<bool> {
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail)?;
    Ok(matches!(tail.trim_ascii_end().last(), Some(b'}' | b']')))
}

/// Where a pass through a document is.
#[derive(Default)]
struct Scan {
    depth: u64,
    in_string: bool,
    escaped: bool,
    /// The root was opened and closed.
    closed: bool,
    broken: bool,
    /// The last string or bare word directly below the root.
    token: Vec<u8>,
    /// The key before it is `trace_id`.
    is_trace_id: bool,
    trace_id: Option<String>,
}

impl Scan {
    fn feed(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.in_string && !self.escaped && self.depth > 1 {
                // Most of a trace is inside of strings below the root, where only two characters matter.
                let skip = bytes.iter().position(|b| matches!(b, b'"' | b'\\')).unwrap_or(bytes.len());
                if skip > 0 {
                    bytes = &bytes[skip..];
                    continue;
                }
            }
            self.byte(byte);
            bytes = rest;
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            if self.in_string {
                self.collect(byte);
            }
            return;
        }
        match byte {
            b'{' | b'[' => {
                self.broken |= self.closed;
                self.depth += 1;
            }
            b'}' | b']' => self.close(),
            b' ' | b'\t' | b'\n' | b'\r' => {}
            // Outside of the root there is only white space.
            _ if self.depth == 0 => self.broken = true,
            b'"' => self.in_string = true,
            b':' => {
                self.is_trace_id = self.depth == 1 && self.token == b"trace_id";
                self.token.clear();
            }
            b',' => self.end_of_value(),
            other => self.collect(other),
        }
    }

    fn close(&mut self) {
        self.end_of_value();
        match self.depth {
            0 => self.broken = true,
            1 => (self.depth, self.closed) = (0, true),
            _ => self.depth -= 1,
        }
    }

    fn end_of_value(&mut self) {
        if self.depth == 1 {
            if std::mem::take(&mut self.is_trace_id) {
                self.trace_id = Some(String::from_utf8_lossy(&self.token).into_owned());
            }
            self.token.clear();
        }
    }

    fn collect(&mut self, byte: u8) {
        if self.depth == 1 && self.token.len() < MAX_TOKEN {
            self.token.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn document(text: &str) -> Document {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        examine(&mut file).unwrap()
    }

    fn whole(id: Option<&str>) -> Document {
        Document::Whole { trace_id: id.map(str::to_owned) }
    }

    #[test]
    fn whole_documents_are_told_from_cut_ones() {
        let text =
            r#"{"traceEvents":[{"name":"a}\"]","args":{"trace_id":"no"}},{"x":[1,{}]}],"trace_id": "77"}"#;
        assert_eq!(document(text), whole(Some("77")));
        for end in 0..text.len() {
            assert_eq!(document(&text[..end]), Document::Unfinished, "{}", &text[..end]);
        }
        assert_eq!(document(&format!("\n{text} \n\n")), whole(Some("77")));
    }

    #[test]
    fn a_number_is_an_id_too() {
        assert_eq!(document(r#"{"trace_id":77,"a":[]}"#), whole(Some("77")));
        assert_eq!(document(r#"{"a":{"trace_id":1},"b":"trace_id"}"#), whole(None));
        assert_eq!(document("[{\"trace_id\":\"5\"}]"), whole(None));
    }

    #[test]
    fn what_is_not_a_document_is_said() {
        assert_eq!(document("{} {}"), Document::NotJson);
        assert_eq!(document("x {}"), Document::NotJson);
        assert_eq!(document("}"), Document::NotJson);
        assert_eq!(document("hello"), Document::Unfinished);
        assert_eq!(document(""), Document::Unfinished);
        assert_eq!(document(&" ".repeat(10_000)), Document::Unfinished);
    }

    #[test]
    fn strings_and_escapes_may_cross_any_boundary() {
        let long =
            format!(r#"{{"a":["{}\\","{}\""],"trace_id":"9"}}"#, "x".repeat(65_525), "y".repeat(65_536));
        assert_eq!(document(&long), whole(Some("9")));
    }
}

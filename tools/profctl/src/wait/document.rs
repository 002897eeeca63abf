//! Checks whether a file holds one complete JSON document, and extracts its top-level `trace_id`.
//!
//! One pass in constant memory, which follows brackets and strings only. Values are not validated: that is left to the
//! readers of the trace.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

/// Maximum length of the tail that is searched for the last character, in bytes.
const TAIL_BYTES: u64 = 4096;
/// Maximum length of a key or an id, in bytes; longer than any that matters here.
const MAX_TOKEN: usize = 64;

/// The content of a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum JsonDocument {
    /// One complete document, and nothing after it.
    Complete { trace_id: Option<String> },
    /// A truncated document.
    Truncated,
    /// Not a JSON document.
    NotJson,
}

/// Reads a file to its end.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn scan_document(file: &mut File) -> io::Result<JsonDocument> {
    if !ends_with_bracket(file)? {
        return Ok(JsonDocument::Truncated);
    }
    file.seek(SeekFrom::Start(0))?;
    let mut scan = DocumentScan::default();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => scan.scan_bytes(&buffer[..n]),
        }
        if scan.broken {
            return Ok(JsonDocument::NotJson);
        }
    }
    Ok(match scan.closed {
        true => JsonDocument::Complete { trace_id: scan.trace_id },
        false => JsonDocument::Truncated,
    })
}

/// Whether the last character, white space aside, is a closing bracket. Cheap, and rarely true of a file that is still
/// being written.
fn ends_with_bracket(file: &mut File) -> io::Result<bool> {
    let size = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(size.saturating_sub(TAIL_BYTES)))?;
    let mut tail = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut tail)?;
    Ok(matches!(tail.trim_ascii_end().last(), Some(b'}' | b']')))
}

/// The state of a pass through a document.
#[derive(Default)]
struct DocumentScan {
    depth: u64,
    in_string: bool,
    escaped: bool,
    /// The root has been closed.
    closed: bool,
    broken: bool,
    /// The last string or literal directly below the root.
    token: Vec<u8>,
    /// The key before the token is `trace_id`.
    is_trace_id: bool,
    trace_id: Option<String>,
}

impl DocumentScan {
    fn scan_bytes(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.in_string && !self.escaped && self.depth > 1 {
                // Most of a trace is in strings below the root, where only `"` and `\` matter: skip to the next one.
                let skip = bytes.iter().position(|b| matches!(b, b'"' | b'\\')).unwrap_or(bytes.len());
                if skip > 0 {
                    bytes = &bytes[skip..];
                    continue;
                }
            }
            self.scan_byte(byte);
            bytes = rest;
        }
    }

    fn scan_byte(&mut self, byte: u8) {
        if self.in_string {
            self.in_string = self.escaped || byte != b'"';
            self.escaped = !self.escaped && byte == b'\\';
            if self.in_string {
                self.collect_token(byte);
            }
            return;
        }
        match byte {
            b'{' | b'[' => {
                self.broken |= self.closed;
                self.depth += 1;
            }
            b'}' | b']' => self.close_bracket(),
            b' ' | b'\t' | b'\n' | b'\r' => {}
            // Outside the root only white space is valid.
            _ if self.depth == 0 => self.broken = true,
            b'"' => self.in_string = true,
            b':' => {
                self.is_trace_id = self.depth == 1 && self.token == b"trace_id";
                self.token.clear();
            }
            b',' => self.finish_value(),
            other => self.collect_token(other),
        }
    }

    fn close_bracket(&mut self) {
        self.finish_value();
        match self.depth {
            0 => self.broken = true,
            1 => (self.depth, self.closed) = (0, true),
            _ => self.depth -= 1,
        }
    }

    fn finish_value(&mut self) {
        if self.depth == 1 {
            if std::mem::take(&mut self.is_trace_id) {
                self.trace_id = Some(String::from_utf8_lossy(&self.token).into_owned());
            }
            self.token.clear();
        }
    }

    fn collect_token(&mut self, byte: u8) {
        if self.depth == 1 && self.token.len() < MAX_TOKEN {
            self.token.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn document(text: &str) -> JsonDocument {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        scan_document(&mut file).unwrap()
    }

    fn complete(id: Option<&str>) -> JsonDocument {
        JsonDocument::Complete { trace_id: id.map(str::to_owned) }
    }

    #[test]
    fn complete_documents_are_distinguished_from_truncated_ones() {
        let text =
            r#"{"traceEvents":[{"name":"a}\"]","args":{"trace_id":"no"}},{"x":[1,{}]}],"trace_id": "77"}"#;
        assert_eq!(document(text), complete(Some("77")));
        for end in 0..text.len() {
            assert_eq!(document(&text[..end]), JsonDocument::Truncated, "{}", &text[..end]);
        }
        assert_eq!(document(&format!("\n{text} \n\n")), complete(Some("77")));
    }

    #[test]
    fn a_number_is_an_id_too() {
        assert_eq!(document(r#"{"trace_id":77,"a":[]}"#), complete(Some("77")));
        assert_eq!(document(r#"{"a":{"trace_id":1},"b":"trace_id"}"#), complete(None));
        assert_eq!(document("[{\"trace_id\":\"5\"}]"), complete(None));
    }

    #[test]
    fn other_content_is_recognized() {
        assert_eq!(document("{} {}"), JsonDocument::NotJson);
        assert_eq!(document("x {}"), JsonDocument::NotJson);
        assert_eq!(document("}"), JsonDocument::NotJson);
        assert_eq!(document("hello"), JsonDocument::Truncated);
        assert_eq!(document(""), JsonDocument::Truncated);
        assert_eq!(document(&" ".repeat(10_000)), JsonDocument::Truncated);
    }

    #[test]
    fn strings_and_escapes_may_cross_any_boundary() {
        let long =
            format!(r#"{{"a":["{}\\","{}\""],"trace_id":"9"}}"#, "x".repeat(65_525), "y".repeat(65_536));
        assert_eq!(document(&long), complete(Some("9")));
    }
}

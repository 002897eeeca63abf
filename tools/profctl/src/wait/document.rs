//! Checks whether a file holds one complete JSON document, and extracts its top-level `trace_id`.
//!
//! One pass in constant memory, which follows brackets and strings only. Values are not validated: that is left to the
//! readers of the trace.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::time::Instant;

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

/// A file that is read in parts, so that a file of any size holds nothing up.
#[derive(Debug)]
pub(crate) struct DocumentReader {
    file: File,
    scan: DocumentScan,
    /// The last character has been looked at.
    has_begun: bool,
    read_bytes: u64,
}

impl DocumentReader {
    pub(crate) fn new(file: File) -> Self {
        Self { file, scan: DocumentScan::default(), has_begun: false, read_bytes: 0 }
    }

    /// Reads on, at least a block. Returns `None` if there is more to read after `stop`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read_on(&mut self, stop: Instant) -> io::Result<Option<JsonDocument>> {
        if !self.has_begun {
            if !ends_with_bracket(&mut self.file)? {
                return Ok(Some(JsonDocument::Truncated));
            }
            self.file.seek(SeekFrom::Start(0))?;
            self.has_begun = true;
        }
        let mut buffer = vec![0; 1 << 16];
        loop {
            match self.file.read(&mut buffer)? {
                0 => break,
                n => {
                    self.read_bytes += n as u64;
                    self.scan.scan_bytes(&buffer[..n]);
                }
            }
            if self.scan.broken {
                return Ok(Some(JsonDocument::NotJson));
            }
            if Instant::now() >= stop {
                return Ok(None);
            }
        }
        Ok(Some(match self.scan.closed {
            true => JsonDocument::Complete { trace_id: self.scan.trace_id.take() },
            false => JsonDocument::Truncated,
        }))
    }

    /// Returns the number of bytes that have been read.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.read_bytes
    }

    /// Returns the file.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }
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
#[derive(Debug, Default)]
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
            if self.broken {
                return;
            }
            if self.in_string && !self.escaped && self.depth > 1 {
                // Most of a trace is in strings below the root, where only `"` and `\` matter: skip to the next one. A
                // NUL is in no document (RFC 8259, section 7), but in the holes of a sparse file.
                let skip = bytes.iter().position(|b| matches!(b, b'"' | b'\\' | 0)).unwrap_or(bytes.len());
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
        if byte == 0 {
            self.broken = true;
            return;
        }
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
        read_to_end(file)
    }

    fn read_to_end(file: File) -> JsonDocument {
        let later = Instant::now() + std::time::Duration::from_secs(60);
        DocumentReader::new(file).read_on(later).unwrap().unwrap()
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

    #[test]
    fn a_document_is_read_in_parts() {
        let mut file = tempfile::tempfile().unwrap();
        let text = format!("{{\"a\":\"{}\",\"trace_id\":\"7\"}}", "x".repeat(1 << 20));
        file.write_all(text.as_bytes()).unwrap();
        let mut reader = DocumentReader::new(file);
        let mut parts = 1;
        let document = loop {
            match reader.read_on(Instant::now()).unwrap() {
                Some(document) => break document,
                None => parts += 1,
            }
        };
        assert_eq!(document, complete(Some("7")));
        assert!(parts > 10 && reader.read_bytes() == text.len() as u64, "{parts}");
    }

    /// 200 GiB that take no place: read to its end, it would take minutes.
    #[test]
    fn a_sparse_file_is_recognized_at_once() {
        for (begin, end) in [("{\"a\":\"", "\"}"), ("{", "}"), ("", "}"), ("{\"a\":[[\"", "\"]]}")] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(begin.as_bytes()).unwrap();
            file.seek(SeekFrom::Start(200 << 30)).unwrap();
            file.write_all(end.as_bytes()).unwrap();
            let start = Instant::now();
            assert_eq!(read_to_end(file), JsonDocument::NotJson, "{begin}");
            assert!(start.elapsed() < std::time::Duration::from_secs(5));
        }
    }
}

//! Helpers of the readers' tests.

use std::io::{self, Read};

use super::{ReadOptions, ReadOutcome, TraceSource, read_trace};
use crate::model::{Event, EventSink};

/// A source that gives a few bytes at a time, so that everything is cut everywhere.
pub(crate) struct DripReader {
    rest: Vec<u8>,
    step: usize,
    given: usize,
}

impl DripReader {
    pub(crate) fn new(bytes: &[u8], step: usize) -> Self {
        Self { rest: bytes.to_vec(), step, given: 0 }
    }
}

impl Read for DripReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = &self.rest[self.given..];
        let n = self.step.min(rest.len()).min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        self.given += n;
        Ok(n)
    }
}

/// Events as lines: phase, process and thread, name, start and duration.
#[derive(Default)]
pub(crate) struct Lines(pub(crate) Vec<String>);

impl EventSink for Lines {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let args: serde_json::Value = match event.args {
            b"" => serde_json::Value::Null,
            args => serde_json::from_slice(args)?,
        };
        let number = |n: Option<i64>| n.map_or("-".to_owned(), |n| n.to_string());
        let id = |id: crate::model::EventId<'_>| number(id.as_number());
        self.0.push(format!(
            "{} {} {}/{} {} {}+{} {args}",
            char::from(event.phase),
            event.category.name(),
            id(event.pid),
            id(event.tid),
            event.name.decode(),
            number(event.start),
            number(event.dur),
        ));
        Ok(())
    }
}

/// Reads a file into lines.
pub(crate) fn read_file(path: &std::path::Path, options: &ReadOptions) -> (Vec<String>, ReadOutcome) {
    let mut lines = Lines::default();
    let bytes = Box::new(std::fs::File::open(path).unwrap());
    let source = TraceSource::of_file(bytes, path.to_owned());
    let outcome = read_trace(source, options, &mut lines).unwrap();
    (lines.0, outcome)
}

/// A database made of statements.
pub(crate) fn database(sql: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    rusqlite::Connection::open(file.path()).unwrap().execute_batch(sql).unwrap();
    file
}

/// Reads bytes into lines.
pub(crate) fn read_bytes(bytes: &[u8]) -> (Vec<String>, ReadOutcome) {
    let mut lines = Lines::default();
    let source = Box::new(io::Cursor::new(bytes.to_vec()));
    let outcome = read_trace(source, &ReadOptions::default(), &mut lines).unwrap();
    (lines.0, outcome)
}

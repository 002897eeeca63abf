//! Readers: bytes in, events of the model out. One file per format; [`FORMATS`] lists them.
//!
//! A reader streams: it holds one event at a time, whatever the input's size. What it had to repair or drop it
//! counts; where it had to stop it says, and what came before stands.

mod ahead;
pub mod ascend;
mod buffer;
mod chrome;
mod decimal;
mod error;
mod event;
mod json;
pub mod kineto;
mod process;
mod source;
#[cfg(test)]
mod testing;
mod value;

use std::io::Read;

use crate::model::{EventSink, RepairCounts, TraceMeta};
use buffer::InputBuffer;
use json::JsonScanner;

pub use error::{InputPosition, ReadError, ReadFault};
pub use source::open_trace_file;
pub use value::parse_arguments;

/// A format that can be read.
pub struct TraceFormat {
    /// The name in records and messages.
    pub name: &'static str,
    /// Tells the format by the first bytes.
    recognise: fn(&[u8]) -> bool,
    /// Reads a document.
    read: fn(JsonScanner<'_>, &mut dyn EventSink, &mut ReadOutcome) -> Result<(), chrome::ReadStop>,
}

/// Every format, the surest signs first.
pub const FORMATS: &[TraceFormat] = &[TraceFormat {
    name: "Chrome trace (JSON)",
    recognise: |head| matches!(head.trim_ascii_start().first(), Some(b'{' | b'[') | None),
    read: chrome::read_document,
}];

/// Files that are often handed over by mistake, by their first bytes.
const OTHERS: [(&[u8], &str); 6] = [
    (b"SQLite format 3\0", "an SQLite database"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\xfd7zXZ\0", "compressed with xz"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd"),
    (b"BZh", "compressed with bzip2"),
    (b"\x7fELF", "a program"),
];

/// What came of reading one input, besides the events.
#[derive(Debug, Default)]
pub struct ReadOutcome {
    /// What the trace says about itself.
    pub meta: TraceMeta,
    /// What had to be repaired or dropped.
    pub repairs: RepairCounts,
    /// Events handed to the sink.
    pub events: u64,
    /// Bytes read, after decompression.
    pub bytes: u64,
    /// The input was compressed.
    pub gzip: bool,
    /// The document was read to its end.
    pub complete: bool,
    /// Why it was not.
    pub error: Option<ReadError>,
    /// Objects among the events that are none.
    without_phase: u64,
}

/// Reads everything that `source` has to give, compressed or not, into `sink`.
///
/// # Errors
/// Only what the sink says. Faults of the input are in the outcome, with what could be read before them.
pub fn read_trace(source: Box<dyn Read + Send>, sink: &mut dyn EventSink) -> anyhow::Result<ReadOutcome> {
    let mut out = ReadOutcome::default();
    let (source, gzip) = match source::decompress_input(source) {
        Ok(opened) => opened,
        Err(fault) => {
            out.error = Some(ReadError::new(InputPosition::default(), fault));
            return Ok(out);
        }
    };
    out.gzip = gzip;
    match parse_document(source, sink, &mut out) {
        Ok(()) => {}
        Err(chrome::ReadStop::Read(e)) => out.error = Some(e),
        Err(chrome::ReadStop::EventSink(e)) => return Err(e),
    }
    Ok(out)
}

fn parse_document(
    source: Box<dyn Read>,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), chrome::ReadStop> {
    let mut buffer = InputBuffer::new(source);
    // A source may give a byte at a time; the longest sign is looked for in this many.
    const HEAD: usize = 512;
    while buffer.rest().len() < HEAD && buffer.fill_more()? {}
    if buffer.rest().starts_with(b"\xef\xbb\xbf") {
        buffer.pos += 3;
    }
    let head = buffer.rest();
    match FORMATS.iter().find(|f| (f.recognise)(&head[..head.len().min(HEAD)])) {
        Some(format) => (format.read)(JsonScanner::new(buffer), sink, out),
        None => {
            let fault = ReadFault::NotATrace(describe_unrecognised(head));
            Err(ReadError::new(InputPosition::default(), fault).into())
        }
    }
}

fn describe_unrecognised(head: &[u8]) -> String {
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return format!("is not a trace: it is {what}");
    }
    let binary = head.iter().take(64).any(|b| matches!(b, 0..=8 | 14..=31));
    let what = if binary { "it is binary" } else { "it begins with neither `{` nor `[`" };
    let names: Vec<_> = FORMATS.iter().map(|f| f.name).collect();
    format!("is not a trace: {what} (readable: {})", names.join(", "))
}

//! Readers: bytes in, events of the model out. One file per format; [`FORMATS`] lists them.
//!
//! A reader streams: it holds one event at a time, whatever the input's size. What it had to repair or drop it
//! counts; where it had to stop it says, and what came before stands.

mod ahead;
pub(crate) mod ascend;
mod buffer;
mod chrome;
mod decimal;
mod error;
mod event;
mod json;
pub(crate) mod kineto;
mod process;
mod source;
#[cfg(test)]
mod testing;
mod value;

use std::io::Read;

use crate::model::{Meta, Repairs, Sink};
use buffer::Buffer;
use json::Scanner;

pub(crate) use error::{Fault, Position, ReadError};
pub(crate) use source::open;
pub(crate) use value::arguments;

/// A format that can be read.
pub(crate) struct Format {
    /// The name in records and messages.
    pub(crate) name: &'static str,
    /// Tells the format by the first bytes.
    recognise: fn(&[u8]) -> bool,
    /// Reads a document.
    read: fn(Scanner<'_>, &mut dyn Sink, &mut Outcome) -> Result<(), chrome::Stop>,
}

/// Every format, the surest signs first.
pub(crate) const FORMATS: &[Format] = &[Format {
    name: "Chrome trace (JSON)",
    recognise: |head| matches!(head.trim_ascii_start().first(), Some(b'{' | b'[') | None),
    read: chrome::read,
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
pub(crate) struct Outcome {
    pub(crate) meta: Meta,
    pub(crate) repairs: Repairs,
    /// Events handed to the sink.
    pub(crate) events: u64,
    /// Bytes read, after decompression.
    pub(crate) bytes: u64,
    /// The input was compressed.
    pub(crate) gzip: bool,
    /// The document was read to its end.
    pub(crate) complete: bool,
    /// Why it was not.
    pub(crate) error: Option<ReadError>,
    /// Objects among the events that are none.
    without_phase: u64,
}

/// Reads everything that `source` has to give, compressed or not, into `sink`.
///
/// # Errors
/// Only what the sink says. Faults of the input are in the outcome, with what could be read before them.
pub(crate) fn read(source: Box<dyn Read + Send>, sink: &mut dyn Sink) -> anyhow::Result<Outcome> {
    let mut out = Outcome::default();
    let (source, gzip) = match source::decompress(source) {
        Ok(opened) => opened,
        Err(fault) => {
            out.error = Some(ReadError::new(Position::default(), fault));
            return Ok(out);
        }
    };
    out.gzip = gzip;
    match parse(source, sink, &mut out) {
        Ok(()) => {}
        Err(chrome::Stop::Read(e)) => out.error = Some(e),
        Err(chrome::Stop::Sink(e)) => return Err(e),
    }
    Ok(out)
}

fn parse(source: Box<dyn Read>, sink: &mut dyn Sink, out: &mut Outcome) -> Result<(), chrome::Stop> {
    let mut buffer = Buffer::new(source);
    // A source may give a byte at a time; the longest sign is looked for in this many.
    const HEAD: usize = 512;
    while buffer.rest().len() < HEAD && buffer.more()? {}
    if buffer.rest().starts_with(b"\xef\xbb\xbf") {
        buffer.pos += 3;
    }
    let head = buffer.rest();
    match FORMATS.iter().find(|f| (f.recognise)(&head[..head.len().min(HEAD)])) {
        Some(format) => (format.read)(Scanner::new(buffer), sink, out),
        None => {
            let fault = Fault::NotATrace(unrecognised(head));
            Err(ReadError::new(Position::default(), fault).into())
        }
    }
}

fn unrecognised(head: &[u8]) -> String {
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return format!("is not a trace: it is {what}");
    }
    let binary = head.iter().take(64).any(|b| matches!(b, 0..=8 | 14..=31));
    let what = if binary { "it is binary" } else { "it begins with neither `{` nor `[`" };
    let names: Vec<_> = FORMATS.iter().map(|f| f.name).collect();
    format!("is not a trace: {what} (readable: {})", names.join(", "))
}

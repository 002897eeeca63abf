//! Readers: bytes in, events of the model out. One file per format; [`FORMATS`] lists them.
//!
//! A reader streams: it holds a few blocks at a time, whatever the input's size. What it had to repair or could not
//! read it counts by cause, and goes on; where it had to stop it says, and what came before stands.
//!
//! | module | what it does |
//! |---|---|
//! | `source`, `gzip`, `ahead`, `utf16` | opens files; takes compression and UTF-16 off |
//! | `window` | the input with the position of every byte; blocks for threads |
//! | `chrome` | what stands around the events: root objects, lists, metadata |
//! | `pipeline`, `deliver` | lists decoded by several threads, delivered in order by one |
//! | `block`, `boundary` | the events of a block; where to go on behind damage |
//! | `scan`, `repair`, `skip` | JSON: the fast scanner, the one that repairs, the one that only skips |
//! | `span`, `words` | values in one word each; bytes looked for eight at a time |
//! | `event`, `shape`, `habits`, `decode`, `row` | one event: its members, how events look alike, what they mean |
//! | `kineto`, `ascend` | what is particular to a producer |
//! | `value`, `decimal`, `transcribe` | small values built whole; exact numbers; JSON written as it stands |

mod ahead;
pub mod ascend;
mod block;
mod boundary;
mod chrome;
mod decimal;
mod decode;
mod deliver;
mod error;
mod event;
mod gzip;
mod habits;
pub mod kineto;
mod pipeline;
mod repair;
mod row;
mod scan;
mod shape;
mod skip;
mod source;
mod span;
#[cfg(test)]
mod testing;
mod transcribe;
mod utf16;
mod value;
mod window;
mod words;

use std::io::Read;

use crate::model::{Defect, DefectCounts, EventSink, TraceMeta};
use error::ReadStop;
use window::InputWindow;

pub use error::{InputPosition, ReadError, ReadFault};
pub use source::open_trace_file;
pub use transcribe::{for_each_member, write_compact, write_text};
pub use value::{RawValue, find_argument, parse_arguments};

/// A format that can be read.
pub struct TraceFormat {
    /// The name in records and messages.
    pub name: &'static str,
    /// Tells the format by the first bytes.
    recognize: fn(&[u8]) -> bool,
    /// Reads a document.
    read: ReadDocument,
}

type ReadDocument =
    fn(InputWindow, &ReadOptions, &mut dyn EventSink, &mut ReadOutcome) -> Result<(), ReadStop>;

/// Every format, the surest signs first.
pub const FORMATS: &[TraceFormat] = &[TraceFormat {
    name: "Chrome trace (JSON)",
    // Something else may stand before the first bracket: a line of a log.
    recognize: |head| {
        let word = |word: &[u8]| memchr::memmem::find(head, word).is_some();
        matches!(head.trim_ascii_start().first(), Some(b'{' | b'[') | None)
            || word(b"\"traceEvents\"")
            || word(b"\"ph\"")
    },
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

/// How to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// Stop at the first thing that has to be repaired.
    pub strict: bool,
    /// How many threads decode; `None` is as many as there are processors for this process.
    pub threads: Option<usize>,
    /// How many bytes a thread gets at a time, for tests: what is read does not depend on it.
    #[doc(hidden)]
    pub block: Option<usize>,
}

impl ReadOptions {
    /// One thread hands all events over, so that more than some to decode them are of no use.
    fn thread_count(&self) -> usize {
        const MOST: usize = 8;
        let available = || std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.unwrap_or_else(available).clamp(1, MOST)
    }
}

/// What came of reading one input, besides the events.
#[derive(Debug, Default)]
pub struct ReadOutcome {
    /// What the trace says about itself.
    pub meta: TraceMeta,
    /// What had to be repaired, and what was lost.
    pub defects: DefectCounts,
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
}

/// Reads everything that `source` has to give, compressed or not, into `sink`.
///
/// # Errors
/// Only what the sink says. Faults of the input are in the outcome, with what could be read before them.
pub fn read_trace(
    source: Box<dyn Read + Send>,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
) -> anyhow::Result<ReadOutcome> {
    let mut out = ReadOutcome::default();
    let opened = match source::open_text(source) {
        Ok(opened) => opened,
        Err(fault) => {
            out.error = Some(ReadError::new(InputPosition::default(), fault));
            return Ok(out);
        }
    };
    out.gzip = opened.gzip;
    if opened.utf16 {
        out.defects.add(Defect::Utf16, 1, || (1, 0));
        if options.strict {
            let at = InputPosition { line: 1, column: 1, offset: 0 };
            out.error = Some(ReadError::new(at, ReadFault::Refused(Defect::Utf16)));
            return Ok(out);
        }
    }
    match read_text(opened.text, options, sink, &mut out) {
        Ok(()) => {}
        Err(ReadStop::Read(e)) => out.error = Some(e),
        Err(ReadStop::Sink(e)) => return Err(e),
    }
    Ok(out)
}

fn read_text(
    text: Box<dyn Read + Send>,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    let mut window = InputWindow::new(text, options.block.unwrap_or(window::BLOCK).max(64));
    // A source may give a byte at a time; signs are looked for in this many.
    const HEAD: usize = 64 * 1024;
    window.fill_to(HEAD);
    if window.rest().starts_with(b"\xef\xbb\xbf") {
        window.consume(3);
    }
    let head = &window.rest()[..window.rest().len().min(HEAD)];
    if let Some(format) = FORMATS.iter().find(|f| (f.recognize)(head)) {
        return (format.read)(window, options, sink, out);
    }
    let reason = describe_unrecognized(head);
    let fault = window.fault.take().unwrap_or(ReadFault::NotATrace(reason));
    Err(ReadError::new(InputPosition::default(), fault).into())
}

fn describe_unrecognized(head: &[u8]) -> String {
    if let Some((_, what)) = OTHERS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return format!("is not a trace: it is {what}");
    }
    let binary = head.iter().take(64).any(|b| matches!(b, 0..=8 | 14..=31));
    let what = if binary { "it is binary" } else { "it begins with neither `{` nor `[`" };
    let names: Vec<_> = FORMATS.iter().map(|f| f.name).collect();
    format!("is not a trace: {what} (readable: {})", names.join(", "))
}

/// Reads any bytes as events with the strict scanner and the one that repairs: what the first takes, the second takes
/// alike. Reads them as a trace with one thread and with three: they agree. For fuzzing.
#[doc(hidden)]
pub fn fuzz_agreement(bytes: &[u8]) {
    event::assert_scanners_agree(bytes);
    let read = |threads, block| {
        let mut events = pipeline::EventDigest::default();
        let options = ReadOptions { threads: Some(threads), block, ..ReadOptions::default() };
        let source = Box::new(std::io::Cursor::new(bytes.to_vec()));
        let out = read_trace(source, &options, &mut events).expect("this sink takes everything");
        (events, out.events, out.complete, out.defects.repairs(), out.defects.losses())
    };
    assert_eq!(read(1, None), read(3, Some(256)), "threads and blocks change nothing");
}

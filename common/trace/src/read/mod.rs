//! Readers: bytes in, events of the model out. One file per format; [`FORMATS`] lists them.
//!
//! A reader streams: it holds a few blocks at a time, whatever the input's size. What it had to repair or could not
//! read it counts by cause, and goes on; where it had to stop it says, and what came before stands.
//!
//! | module | what it does |
//! |---|---|
//! | `source`, `gzip`, `bgzf`, `ahead`, `utf16` | opens files; takes compression and UTF-16 off |
//! | `window` | the input with the position of every byte; blocks for threads |
//! | `chrome` | what stands around the events: root objects, lists, metadata |
//! | `pipeline`, `deliver` | lists decoded by several threads, delivered in order by one |
//! | `block`, `boundary` | the events of a block; where to go on behind damage |
//! | `scan`, `repair`, `skip` | JSON: the fast scanner, the one that repairs, the one that only skips |
//! | `span`, `words` | values in one word each; bytes looked for eight at a time |
//! | `event`, `shape`, `habits`, `decode`, `row` | one event: its members, how events look alike, what they mean |
//! | `kineto`, `ascend` | what is particular to a producer |
//! | `packed` | zstd and zip decompressed |
//! | `database` | SQLite files as hostile input |
//! | `emit` | events of formats that are not JSON |
//! | `ascend_db` | the databases of Ascend and msMonitor |
//! | `ascend_text`, `allocation` | tables and summaries of Ascend's profilers; allocations, also of their databases |
//! | `wire`, `perfetto`, `xplane` | messages of protobuf; Perfetto's traces, XLA's profiles |
//! | `nsys`, `rocpd`, `string_table` | databases of Nsight Systems and rocprofv3 |
//! | `parquet_rows` | the table of events of a data set |
//! | `tree`, `slices` | directories of traces; a timeline in several files |
//! | `rocprof`, `msmonitor`, `profd`, `stacks` | JSON and text of other kinds |
//! | `table_rows`, `lines` | tables in CSV; text of a record in each line |
//! | `value`, `decimal`, `transcribe` | small values built whole; exact numbers; JSON written as it stands |

mod ahead;
mod allocation;
pub mod ascend;
mod ascend_db;
mod ascend_text;
mod bgzf;
mod block;
mod boundary;
mod chrome;
mod database;
mod decimal;
mod decode;
mod deliver;
mod emit;
mod error;
mod event;
mod gzip;
mod habits;
mod keys;
pub mod kineto;
mod lines;
mod members;
mod msmonitor;
mod nsys;
mod packed;
#[cfg(feature = "parquet")]
mod parquet_rows;
mod perfetto;
mod pipeline;
mod profd;
mod repair;
mod rocpd;
mod rocprof;
mod rocprof_csv;
mod row;
mod scan;
mod shape;
mod skip;
mod slices;
mod slots;
mod source;
mod span;
mod stacks;
mod string_table;
mod table_rows;
mod tar;
#[cfg(test)]
mod testing;
mod transcribe;
mod tree;
mod utf16;
mod value;
mod window;
mod wire;
mod words;
mod xplane;

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::model::{Defect, DefectCounts, EventSink, TraceMeta};
use database::Database;
use error::ReadStop;
use window::InputWindow;

pub use chrome::list_members;
pub use emit::category_in_json;
pub use emit::columns_hold_numbers;
pub use error::{InputPosition, ReadError, ReadFault};
pub(crate) use keys::ArgumentFinder;
pub use keys::KnownKeys;
pub use slices::open_slices;
pub use source::open_trace_file;
pub use transcribe::{for_each_member, write_compact, write_number, write_text};
pub use tree::{count_other_json, expand_pattern, find_traces};
pub use value::{
    OrderedMembers, OrderedValue, RawValue, find_argument, find_arguments, is_json, parse_arguments,
    parse_members,
};

/// A format that can be read, or that is known by name.
pub struct TraceFormat {
    /// The name in messages and documents.
    pub name: &'static str,
    reader: FormatReader,
}

/// How a format is recognized, and read.
enum FormatReader {
    /// Read from the beginning to the end, and recognized by the first bytes.
    Stream(fn(&[u8]) -> bool, ReadDocument),
    /// An SQLite file, recognized by its tables.
    Tables(fn(&Database) -> bool, ReadDatabase),
    /// Known by the first bytes, but not read: it holds no events. The function says why.
    Sums(fn(&[u8]) -> Option<String>),
    /// Known by the first bytes, but not read.
    Rejected(&'static [u8]),
}

type ReadDocument =
    fn(InputWindow, &ReadOptions, &mut dyn EventSink, &mut ReadOutcome) -> Result<(), ReadStop>;

type ReadDatabase = fn(&Database, &ReadOptions, &mut dyn EventSink, &mut ReadOutcome) -> Result<(), ReadStop>;

const fn stream(name: &'static str, is: fn(&[u8]) -> bool, read: ReadDocument) -> TraceFormat {
    TraceFormat { name, reader: FormatReader::Stream(is, read) }
}

const fn tables(name: &'static str, is: fn(&Database) -> bool, read: ReadDatabase) -> TraceFormat {
    TraceFormat { name, reader: FormatReader::Tables(is, read) }
}

const fn other(name: &'static str, magic: &'static [u8]) -> TraceFormat {
    TraceFormat { name, reader: FormatReader::Rejected(magic) }
}

/// Every format, the surest signs first.
pub const FORMATS: &[TraceFormat] = &[
    tables("Ascend database", ascend_db::recognize, ascend_db::read),
    tables("database of Ascend's analysis", ascend_db::recognize_sums, ascend_db::reject_sums),
    tables("Nsight Systems export (SQLite)", nsys::recognize, nsys::read),
    tables("nvprof's database", nsys::recognize_nvprof, nsys::reject_nvprof),
    tables("rocpd database", rocpd::recognize, rocpd::read),
    TraceFormat { name: "records of this suite", reader: FormatReader::Sums(describe_own_records) },
    stream("rocprofv3 (JSON)", rocprof::recognize, rocprof::read),
    stream("rocprofv3's tables (CSV)", rocprof_csv::recognize, rocprof_csv::read),
    TraceFormat { name: "sums of rocprofv3", reader: FormatReader::Sums(rocprof_csv::describe_sums) },
    stream("msMonitor (JSON lines)", msmonitor::recognize, msmonitor::read),
    stream(
        "Ascend's communication.json",
        ascend_text::recognize_communication,
        ascend_text::read_communication,
    ),
    stream("Ascend's tables (CSV)", ascend_text::recognize, ascend_text::read),
    TraceFormat {
        name: "sums of Ascend's profilers",
        reader: FormatReader::Sums(ascend_text::describe_sums),
    },
    stream("metrics of profd (JSON lines)", profd::recognize, profd::read),
    stream("speedscope (JSON)", stacks::recognize_speedscope, stacks::read_speedscope),
    stream("xplane.pb", xplane::recognize, xplane::read),
    stream("Perfetto trace (.pftrace)", perfetto::recognize, perfetto::read),
    stream("Chrome trace (JSON)", looks_like_chrome, chrome::read_document),
    stream("folded stacks", stacks::recognize_folded, stacks::read_folded),
    other("compressed with xz (unpack it: `xz -d`)", b"\xfd7zXZ\0"),
    other("compressed with bzip2 (unpack it: `bzip2 -d`)", b"BZh"),
    other("compressed with lz4 (unpack it: `lz4 -d`)", b"\x04\x22\x4d\x18"),
    other("a program", b"\x7fELF"),
    other("a recording of Nsight Systems (export it: `nsys export --type sqlite`)", b"\x7fQDS"),
    other("a trace of Fuchsia, as magic-trace writes it", b"\x10\0\x04FxT\x16\0"),
    #[cfg(not(feature = "parquet"))]
    other("a Parquet file", b"PAR1"),
    other("an Arrow file", b"ARROW1"),
    other("an HDF5 file", b"\x89HDF\r\n"),
];

/// Something else may stand before the first bracket: a line of a log.
fn looks_like_chrome(head: &[u8]) -> bool {
    let word = |word: &[u8]| memchr::memmem::find(head, word).is_some();
    matches!(head.trim_ascii_start().first(), Some(b'{' | b'[') | None) && !stacks::begins_with_bracket(head)
        || word(b"\"traceEvents\"")
        || word(b"\"ph\"")
}

/// The source of a trace: bytes, and the file that holds them, for formats that are not read from the beginning to the end.
pub struct TraceSource {
    bytes: Box<dyn Read + Send>,
    path: Option<PathBuf>,
}

impl TraceSource {
    /// The bytes of a file.
    pub fn of_file(bytes: Box<dyn Read + Send>, path: PathBuf) -> Self {
        Self { bytes, path: Some(path) }
    }
}

impl From<Box<dyn Read + Send>> for TraceSource {
    fn from(bytes: Box<dyn Read + Send>) -> Self {
        Self { bytes, path: None }
    }
}

impl<R: Read + Send + 'static> From<Box<R>> for TraceSource {
    fn from(bytes: Box<R>) -> Self {
        Self { bytes, path: None }
    }
}

/// How to read.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReadOptions {
    /// Stop at the first thing that has to be repaired.
    pub strict: bool,
    /// Keep the members of a Chrome trace beside its events, see [`TraceMeta::members`].
    pub keep_members: bool,
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

/// The outcome of reading one input, besides the events.
#[derive(Debug, Default)]
pub struct ReadOutcome {
    /// The metadata of the trace.
    pub meta: TraceMeta,
    /// The number of repairs and losses, by defect.
    pub defects: DefectCounts,
    /// Members of a Chrome trace beside the events that the model has no place for and that were not kept, at most a few.
    pub unread_members: Vec<String>,
    /// Events handed to the sink.
    pub events: u64,
    /// Bytes read, after decompression.
    pub bytes: u64,
    /// The format is known: of a file that breaks off before it shows, there is nothing to say.
    pub recognized: bool,
    /// The compression of the file: `gzip`, `zstd` or `zip`, or `tar`; absent if it has none.
    pub compression: Option<&'static str>,
    /// The document was read to its end.
    pub complete: bool,
    /// Why it was not.
    pub error: Option<ReadError>,
}

impl ReadOutcome {
    /// Returns whether there is no result: the input is not a trace, it ended before its format showed, or reading is
    /// strict and rejected it.
    pub fn has_no_result(&self) -> bool {
        match self.error.as_ref().map(|e| &e.fault) {
            Some(ReadFault::NotATrace(_) | ReadFault::Rejected(_)) => true,
            Some(_) => !self.recognized,
            None => false,
        }
    }
}

/// Reads everything that `source` has to give, compressed or not, into `sink`.
///
/// # Errors
/// Only what the sink says. Faults of the input are in the outcome, with what could be read before them.
pub fn read_trace(
    source: impl Into<TraceSource>,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
) -> anyhow::Result<ReadOutcome> {
    let TraceSource { bytes, path } = source.into();
    let mut out = ReadOutcome::default();
    let opened = match source::open_text(bytes) {
        Ok(opened) => opened,
        Err(fault) => {
            out.error = Some(ReadError::new(InputPosition::default(), fault));
            return Ok(out);
        }
    };
    out.compression = opened.compression;
    if opened.utf16 {
        out.defects.add(Defect::Utf16, 1, || (1, 0));
        if options.strict {
            let at = InputPosition { line: 1, column: 1, offset: 0 };
            out.error = Some(ReadError::new(at, ReadFault::Rejected(Defect::Utf16)));
            return Ok(out);
        }
    }
    let path = path.filter(|_| out.compression.is_none());
    match read_text(opened.text, path.as_deref(), options, sink, &mut out) {
        Ok(()) => {}
        Err(ReadStop::Read(e)) => out.error = Some(e),
        Err(ReadStop::Sink(e)) => return Err(e),
    }
    Ok(out)
}

fn read_text(
    text: Box<dyn Read + Send>,
    path: Option<&Path>,
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
    // Of an empty text, every format would be as good.
    if window.rest().trim_ascii_start().is_empty() {
        if let Some(fault) = window.fault.take() {
            return Err(ReadError::new(InputPosition::default(), fault).into());
        }
    }
    let head = &window.rest()[..window.rest().len().min(HEAD)];
    if head.starts_with(database::MAGIC) {
        return read_database(window, path, options, sink, out);
    }
    #[cfg(feature = "parquet")]
    if head.starts_with(parquet_rows::MAGIC) {
        let mut copy = None;
        let path = file_of(window, path, &mut copy)?;
        return parquet_rows::read(path, options, sink, out);
    }
    let found = FORMATS.iter().find_map(|format| match format.reader {
        FormatReader::Stream(is, read) if is(head) => Some(Ok(read)),
        FormatReader::Sums(describe) => describe(head).map(Err),
        _ => None,
    });
    let reason = match found {
        Some(Ok(read)) => {
            out.recognized = true;
            return read(window, options, sink, out);
        }
        Some(Err(reason)) => reason,
        None => describe_unrecognized(head),
    };
    let fault = window.fault.take().unwrap_or(ReadFault::NotATrace(reason));
    Err(ReadError::new(InputPosition::default(), fault).into())
}

/// The file that an input lies in, or a copy of one that lies nowhere.
fn file_of<'p>(
    window: InputWindow,
    path: Option<&'p Path>,
    copy: &'p mut Option<tempfile::NamedTempFile>,
) -> Result<&'p Path, ReadStop> {
    match path {
        Some(path) => Ok(path),
        None => {
            let spooled = database::spool(window);
            let at_start = |fault| ReadStop::from(ReadError::new(InputPosition::default(), fault));
            Ok(copy.insert(spooled.map_err(at_start)?).path())
        }
    }
}

/// Reads an SQLite file.
fn read_database(
    window: InputWindow,
    path: Option<&Path>,
    options: &ReadOptions,
    sink: &mut dyn EventSink,
    out: &mut ReadOutcome,
) -> Result<(), ReadStop> {
    let mut copy = None;
    let path = file_of(window, path, &mut copy)?;
    out.bytes = path.metadata().map_or(0, |meta| meta.len());
    if let Some(log) = database::find_log(path) {
        let name = log.file_name().unwrap_or_default().to_string_lossy().into_owned();
        out.meta.hints.push(format!("changes in {name} left out"));
        emit::Emitter::new(sink, options, out).count(Defect::ChangesLeftOut, 0)?;
    }
    let database = Database::open(path).map_err(database::damaged)?;
    let found = FORMATS.iter().find_map(|format| match format.reader {
        FormatReader::Tables(is, read) if is(&database) => Some(read),
        _ => None,
    });
    match found {
        Some(read) => {
            out.recognized = true;
            sink.note_names_first();
            read(&database, options, sink, out)
        }
        None => Err(emit::rejected(database::describe_unknown(&database))),
    }
}

/// Why the records of these tools cannot be read as a trace: their events have other members than those of a trace.
fn describe_own_records(head: &[u8]) -> Option<String> {
    const TOOLS: [&str; 4] = ["traceq", "tracecv", "tracewhy", "profctl"];
    let line = head.split(|b| *b == b'\n').next()?.trim_ascii();
    let line = line.strip_prefix(b"{")?.trim_ascii_start().strip_prefix(b"\"type\"")?;
    let value = line.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
    let kind = std::str::from_utf8(value.split(|b| *b == b'"').next()?).ok()?;
    let (tool, _) = kind.split_once('.').filter(|(tool, _)| TOOLS.contains(tool))?;
    let kind = common::text::safe(kind);
    Some(format!(
        "is not a trace: it holds records of {tool} (`{kind}`): name the trace that they were made from"
    ))
}

fn describe_unrecognized(head: &[u8]) -> String {
    let known = FORMATS.iter().find(|format| match format.reader {
        FormatReader::Rejected(magic) => head.starts_with(magic),
        _ => false,
    });
    if let Some(format) = known {
        return format!("is not a trace that is read: it is {}", format.name);
    }
    if let Some(columns) = find_columns(head) {
        return format!("is not a trace: it is a table (CSV) with the columns {columns}");
    }
    if let [0x80, 2..=5, ..] = head {
        return "is not a trace: it is a pickle; `tracewhy mem` reads one of a memory snapshot of PyTorch from a file"
            .to_owned();
    }
    let binary = head.iter().take(64).any(|b| matches!(b, 0..=8 | 14..=31));
    let what = if binary { "it is binary" } else { "it begins with neither `{` nor `[`" };
    format!("is not a trace: {what} (`traceq info --help` lists the formats that are read)")
}

/// The first columns of a table in CSV, as Ascend's exporters write many beside the trace.
fn find_columns(head: &[u8]) -> Option<String> {
    const SHOWN: usize = 4;
    let line = std::str::from_utf8(head.split(|b| *b == b'\n').next()?).ok()?;
    let columns: Vec<&str> = line.trim_end().split(',').collect();
    let is_name = |c: &&str| c.len() < 80 && c.starts_with(|c: char| c.is_ascii_alphabetic());
    if columns.len() < 2 || !columns.iter().all(is_name) {
        return None;
    }
    let more = if columns.len() > SHOWN { ", …" } else { "" };
    Some(columns.into_iter().take(SHOWN).collect::<Vec<_>>().join(", ") + more)
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Fuzzing begins with an input of every format that is read.
    #[test]
    fn every_format_has_a_seed() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
        let mut seen = BTreeSet::new();
        for target in ["trace_formats", "trace_reader"] {
            for entry in std::fs::read_dir(seeds.join(target)).unwrap() {
                let path = entry.unwrap().path();
                let head = std::fs::read(&path).unwrap();
                let database = head.starts_with(database::MAGIC).then(|| Database::open(&path).unwrap());
                let format = FORMATS.iter().find(|format| match format.reader {
                    FormatReader::Stream(is, _) => database.is_none() && is(&head),
                    FormatReader::Tables(is, _) => database.as_ref().is_some_and(is),
                    FormatReader::Sums(describe) => database.is_none() && describe(&head).is_some(),
                    FormatReader::Rejected(_) => false,
                });
                seen.extend(format.map(|format| format.name));
            }
        }
        let is_read = |format: &&TraceFormat| {
            matches!(format.reader, FormatReader::Stream(..) | FormatReader::Tables(..))
        };
        let names = FORMATS.iter().filter(is_read).map(|format| format.name);
        let missing: Vec<&str> = names.filter(|name| !seen.contains(name)).collect();
        // These have no events, and are rejected.
        assert_eq!(missing, ["database of Ascend's analysis", "nvprof's database"]);
    }
}

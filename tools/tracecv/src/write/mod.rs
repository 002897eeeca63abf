//! Writers: events in, a file of another format out. One file per format; [`TargetFormat`] lists them.

#[cfg(feature = "arrow")]
mod arrow;
pub(crate) mod chrome;
#[cfg(feature = "parquet")]
pub(crate) mod dataset;
mod digits;
pub(crate) mod event_text;
mod folded;
mod otlp;
mod perfetto;
mod protobuf;
mod row;
pub(crate) mod shard;
mod speedscope;
pub(crate) mod spelling;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
#[cfg(feature = "parquet")]
use std::path::PathBuf;

use anyhow::Context;
use clap::ValueEnum;
use trace::model::{Event, EventSink, TraceMeta};
use trace::rows::RawMembers;
use trace::spool::MemoryLimit;

use crate::losses::Losses;

/// Mode of new directories: those of the group may read what is in them.
const DIRECTORY_MODE: u32 = 0o750;

/// Creates the directory of an output, with those above it, if it does not exist.
///
/// # Errors
/// An I/O error, with the directory.
pub(crate) fn create_directories(dir: &Path) -> anyhow::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(DIRECTORY_MODE).create(dir).with_context(|| dir.display().to_string())
}

/// The directories that a run makes for its output. When this is dropped, those that are empty are removed again, unless
/// they are kept.
#[cfg(feature = "parquet")]
#[derive(Debug, Default)]
pub(crate) struct MadeDirectories {
    made: Vec<PathBuf>,
    /// Others may be about to write to them.
    are_shared: bool,
}

#[cfg(feature = "parquet")]
impl MadeDirectories {
    /// Without any yet, that other processes write to as well: they are kept.
    pub(crate) fn shared() -> Self {
        Self { made: Vec::new(), are_shared: true }
    }

    /// Creates a directory, with those above it, if it does not exist.
    ///
    /// # Errors
    /// As [`create_directories`].
    pub(crate) fn create(&mut self, dir: &Path) -> anyhow::Result<()> {
        let missing = dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists());
        let missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        if !self.are_shared {
            self.made.extend(missing.into_iter().rev());
        }
        create_directories(dir)
    }

    /// Keeps all of them.
    pub(crate) fn keep(&mut self) {
        self.made.clear();
    }
}

#[cfg(feature = "parquet")]
impl Drop for MadeDirectories {
    fn drop(&mut self) {
        // Those with something in them stay: the system does not remove them.
        self.made.iter().rev().for_each(|dir| _ = std::fs::remove_dir(dir));
    }
}

/// A format that traces are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TargetFormat {
    /// Chrome trace (JSON), for chrome://tracing, Perfetto, TensorBoard and every analysis of PyTorch traces
    Chrome,
    /// JSON lines: one `traceq.event` record for each event, as of `traceq cat --format json`
    Jsonl,
    /// Comma-separated values with a header, as of `traceq cat --format csv`
    Csv,
    /// Perfetto trace (protobuf), for ui.perfetto.dev and trace_processor
    Perfetto,
    /// Folded stacks with their own time in nanoseconds, for flamegraph.pl, inferno and speedscope
    Folded,
    /// The JSON format of speedscope
    Speedscope,
    /// OpenTelemetry traces (OTLP in JSON): slices as spans
    Otlp,
    /// SQLite database with a table of events, for sqlite3 and everything that reads such
    #[cfg(feature = "sqlite")]
    Sqlite,
    /// SQLite database with the tables of Ascend's profilers and msMonitor, for MindStudio Insight
    #[cfg(feature = "sqlite")]
    AscendDb,
    /// Arrow's IPC file format (Feather version 2), for pyarrow, Polars, pandas and whatever maps columns into memory
    #[cfg(feature = "arrow")]
    Arrow,
    /// A data set of Parquet files for any number of traces, in a directory: for DuckDB, Spark, Polars, pandas
    #[cfg(feature = "parquet")]
    Parquet,
}

impl TargetFormat {
    /// Returns the extension of a file's name.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Chrome => "json",
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Otlp => "otlp.json",
            Self::Perfetto => "pftrace",
            Self::Folded => "folded",
            Self::Speedscope => "speedscope.json",
            #[cfg(feature = "sqlite")]
            Self::Sqlite | Self::AscendDb => "db",
            #[cfg(feature = "arrow")]
            Self::Arrow => "arrow",
            #[cfg(feature = "parquet")]
            Self::Parquet => "parquet",
        }
    }

    /// Whether one file holds several traces.
    pub(crate) fn holds_several(self) -> bool {
        #[cfg(feature = "sqlite")]
        if self == Self::Sqlite {
            return true;
        }
        #[cfg(feature = "arrow")]
        if self == Self::Arrow {
            return true;
        }
        #[cfg(feature = "parquet")]
        if self == Self::Parquet {
            return true;
        }
        matches!(self, Self::Jsonl | Self::Csv | Self::Folded)
    }

    /// Whether it is of no use on a terminal.
    pub(crate) fn is_binary(self) -> bool {
        #[cfg(feature = "sqlite")]
        if matches!(self, Self::Sqlite | Self::AscendDb) {
            return true;
        }
        #[cfg(feature = "arrow")]
        if self == Self::Arrow {
            return true;
        }
        self == Self::Perfetto
    }

    /// Whether it has tables, and is written by a library.
    fn has_tables(self) -> bool {
        self.is_binary() && self != Self::Perfetto
    }

    /// A writer to `to`, for traces of a run with `several`. `None` for what is no file.
    ///
    /// # Errors
    /// A temporary file cannot be made.
    pub(crate) fn writer<'w>(
        self,
        to: &'w mut dyn Write,
        several: bool,
        memory: MemoryLimit,
    ) -> anyhow::Result<Option<Box<dyn TraceWriter + 'w>>> {
        Ok(Some(match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => Box::new(sqlite::PlainWriter::new(to)?),
            #[cfg(feature = "sqlite")]
            Self::AscendDb => Box::new(sqlite::AscendWriter::new(to)?),
            #[cfg(feature = "arrow")]
            Self::Arrow => Box::new(arrow::ArrowWriter::new(to)?),
            Self::Chrome => Box::new(chrome::ChromeWriter::new(to)),
            Self::Jsonl => Box::new(row::RowWriter::json(to, several)),
            Self::Csv => Box::new(row::RowWriter::csv(to, several)),
            Self::Otlp => Box::new(otlp::OtlpWriter::new(to, memory)),
            Self::Perfetto => Box::new(perfetto::PerfettoWriter::new(to, memory)),
            Self::Folded => Box::new(folded::FoldedWriter::new(to, several, memory)),
            #[cfg(feature = "parquet")]
            Self::Parquet => return Ok(None),
            Self::Speedscope => Box::new(speedscope::SpeedscopeWriter::new(to, memory)),
        }))
    }
}

/// Writes the events of traces, one trace after the other. Takes events with their category, device and stream.
pub(crate) trait TraceWriter: EventSink {
    /// Begins a trace; `label` is its path.
    ///
    /// # Errors
    /// The output cannot be written.
    fn begin_trace(&mut self, label: &str) -> anyhow::Result<()>;

    /// Whether it takes begins and ends brought together, as spans.
    fn takes_spans(&self) -> bool {
        false
    }

    /// Notes begins and ends that have no other half.
    fn note_unpaired(&mut self, _count: u64) {}

    /// Ends a trace, of which all is known now.
    ///
    /// # Errors
    /// The output, or a temporary file, cannot be written.
    fn end_trace(&mut self, meta: &TraceMeta) -> anyhow::Result<()>;

    /// Ends the output. Returns what the format could not hold.
    ///
    /// # Errors
    /// As [`Self::end_trace`].
    fn finish(self: Box<Self>) -> anyhow::Result<Losses>;
}

/// Says what could not be written where a library does not: the temporary file of a database, or the output.
pub(crate) fn name_failure(error: anyhow::Error) -> anyhow::Error {
    #[cfg(feature = "sqlite")]
    let error = sqlite::name_failure(error);
    #[cfg(feature = "arrow")]
    let error = arrow::name_failure(error);
    error
}

/// Counts what an event has besides name, time and place, for formats of stacks.
pub(crate) fn count_details(event: &Event<'_>, losses: &mut Losses) {
    if event.phase != b'M' {
        losses.add("arguments of events", u64::from(!event.args.is_empty()));
        losses.add("other members of events", u64::from(!RawMembers::of(event).other.is_empty()));
    }
}

/// The names of the devices of a trace by number, as an object of JSON; `None` if it lists none.
pub(crate) fn describe_devices(meta: &TraceMeta) -> Option<String> {
    (!meta.devices.is_empty()).then(|| serde_json::json!(meta.devices).to_string())
}

/// Bytes that are passed on many at a time.
pub(crate) struct Buffered<'w> {
    to: &'w mut dyn Write,
    /// The bytes that wait to be written.
    pub(crate) bytes: Vec<u8>,
}

impl<'w> Buffered<'w> {
    /// More than any buffer behind it holds, so that nothing is copied twice.
    const ENOUGH: usize = 256 * 1024;

    pub(crate) fn new(to: &'w mut dyn Write) -> Self {
        Self { to, bytes: Vec::with_capacity(Self::ENOUGH + 4096) }
    }

    /// Passes on what waits, if it is enough.
    ///
    /// # Errors
    /// An I/O error of the output.
    #[inline]
    pub(crate) fn pass_enough(&mut self) -> io::Result<()> {
        if self.bytes.len() >= Self::ENOUGH { self.pass_all() } else { Ok(()) }
    }

    /// As [`Self::pass_enough`], but keeps the last byte, which decides what has to come next.
    ///
    /// # Errors
    /// An I/O error of the output.
    pub(crate) fn pass_enough_but_last(&mut self) -> io::Result<()> {
        if self.bytes.len() >= Self::ENOUGH {
            let last = self.bytes.len() - 1;
            self.to.write_all(&self.bytes[..last])?;
            self.bytes.drain(..last);
        }
        Ok(())
    }

    /// Passes on all that waits.
    ///
    /// # Errors
    /// An I/O error of the output.
    pub(crate) fn pass_all(&mut self) -> io::Result<()> {
        self.to.write_all(&self.bytes)?;
        self.bytes.clear();
        Ok(())
    }
}

/// Writes a trace of any bytes in every format that has tables, or in every one that has none.
pub(crate) fn fuzz_writers(bytes: &[u8], tables: bool) {
    use trace::classifier::ClassRules;
    use trace::inputs::TraceInput;
    use trace::meaning::{MeaningLookup, ResolvedSink};
    use trace::read::{ReadOptions, is_json, read_trace};
    for format in TargetFormat::value_variants().iter().filter(|format| format.has_tables() == tables) {
        let mut to = Vec::new();
        let Ok(Some(mut writer)) = format.writer(&mut to, false, MemoryLimit { bytes: 1 << 20 }) else {
            continue;
        };
        if writer.begin_trace("-").is_err() {
            continue;
        }
        let lookup = MeaningLookup::new(&TraceInput::Stdin, ClassRules::default());
        let mut sink = ResolvedSink { lookup, sink: &mut *writer };
        let source = Box::new(io::Cursor::new(bytes.to_vec()));
        let options = ReadOptions { keep_members: true, ..ReadOptions::default() };
        let Ok(outcome) = read_trace(source, &options, &mut sink) else { continue };
        let ended = writer.end_trace(&outcome.meta).and_then(|()| writer.finish());
        if ended.is_err() {
            continue;
        }
        match format {
            TargetFormat::Chrome | TargetFormat::Otlp | TargetFormat::Speedscope => {
                assert!(is_json(&to), "{format:?} writes JSON");
            }
            TargetFormat::Jsonl => {
                let lines = to.split(|b| *b == b'\n').filter(|line| !line.is_empty());
                lines.for_each(|line| assert!(is_json(line), "{format:?} writes JSON"));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    /// What is read, in spite of what is wrong with it, is written as JSON.
    #[test]
    fn damaged_texts_are_written_as_json() {
        let deep = "[".repeat(128) + &"]".repeat(128);
        for value in [
            "\"a\tb\nc\u{1}\"",
            "1e999",
            "-1E+99999",
            "123456789012345678901234567890.5e-400",
            r#""\ud800""#,
            r#""\udc00\ud800 \u0000""#,
            r#""C:\dir""#,
            "\"say \"hi\"\"",
            "inf",
            "1.#INF",
            "{\"x\":1,\"x\":[2,],\"\t\":{}}",
            &deep,
        ] {
            let event = format!(
                "{{\"ph\":\"X\",\"name\":{value},\"cat\":{value},\"pid\":{value},\"tid\":1,\"ts\":1,\"dur\":2,\"x\":{value},\"args\":{{\"a\":{value}}}}}"
            );
            let text = format!("{{\"traceEvents\":[{event},{event}],\"traceName\":{value},\"x\":{value}}}");
            super::fuzz_writers(text.as_bytes(), false);
            super::fuzz_writers(text.replace("\"ts\":1", "\"ts\":1700000000000000").as_bytes(), false);
            let invalid = [text.as_bytes(), b"\n{\"ph\":\"B\",\"name\":\"\xff\",\"ts\":1}"].concat();
            super::fuzz_writers(&invalid, false);
        }
    }
}

//! A trace divided by time into pieces of about one size.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::fsat::AtomicFile;
use common::out::Out;
use common::policy::Mode;
use common::record::tracecv::WrittenTrace;
use flate2::Compression;
use flate2::write::GzEncoder;
use trace::inputs::TraceInput;
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::model::{Event, EventSink};
use trace::spool::{MemoryLimit, Spool, SpoolRecord};

use super::selection::Selection;
use super::{STRAY_ENDS, TraceReader, piece_path, report_losses, write_closed};
use crate::losses::Losses;
use crate::write::chrome::ChromeWriter;
use crate::write::{TraceWriter, create_directories};

/// Most pieces: all files are open at a time.
const MOST_PIECES: usize = 500;

/// When an event starts, and how long its text is.
#[derive(Clone, Copy, Debug)]
struct EventSize {
    start: i64,
    bytes: i64,
}

impl SpoolRecord<2> for EventSize {
    fn to_words(self) -> [i64; 2] {
        [self.start, self.bytes]
    }

    fn from_words([start, bytes]: [i64; 2]) -> Self {
        Self { start, bytes }
    }
}

/// Measures the events of a selection.
struct Sizes<'a> {
    selection: &'a Selection<'a>,
    events: Spool<EventSize, 2>,
}

impl EventSink for Sizes<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if event.phase != b'M' && self.selection.has_event(event) {
            if let Some((start, _)) = self.selection.links.span_of(event) {
                let bytes = event.text.len().max(event.args.len() + event.name.raw.len() + 100) as i64;
                self.events.push(EventSize { start, bytes })?;
            }
        }
        Ok(())
    }
}

/// The first moment of each piece but the first.
fn find_bounds(events: Spool<EventSize, 2>, size: u64) -> anyhow::Result<Vec<i64>> {
    let mut bounds = Vec::new();
    let mut filled = 0;
    let mut last = i64::MIN;
    let mut sorted = events.into_sorted(|e| e.start)?;
    while let Some(event) = sorted.next_record()? {
        // What starts at one moment stays together.
        if filled >= size && event.start > last {
            bounds.push(event.start);
            filled = 0;
        }
        filled += event.bytes.unsigned_abs();
        last = event.start;
    }
    anyhow::ensure!(
        bounds.len() < MOST_PIECES,
        "usage: --max-size would make {} pieces, of at most {MOST_PIECES}",
        bounds.len() + 1
    );
    Ok(bounds)
}

/// A file of a piece.
enum PieceFile {
    Plain(BufWriter<AtomicFile>),
    Compressed(Box<GzEncoder<BufWriter<AtomicFile>>>),
}

impl PieceFile {
    fn create(path: &Path) -> io::Result<Self> {
        let file = BufWriter::new(AtomicFile::create(path, Mode(0o640))?);
        let compressed = path.extension().is_some_and(|e| e == "gz");
        Ok(if compressed {
            Self::Compressed(Box::new(GzEncoder::new(file, Compression::new(3))))
        } else {
            Self::Plain(file)
        })
    }

    /// Writes out what is buffered; the file has no name yet.
    fn finish(self) -> io::Result<AtomicFile> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Compressed(encoder) => encoder.finish()?,
        };
        file.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// A piece whose errors say which one it is.
struct NamedPiece<'a> {
    path: &'a Path,
    file: PieceFile,
}

impl<'a> NamedPiece<'a> {
    fn create(path: &'a Path) -> anyhow::Result<Self> {
        let file = PieceFile::create(path).with_context(|| path.display().to_string())?;
        Ok(Self { path, file })
    }

    fn name_error<T>(path: &Path, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))
    }
}

impl Write for NamedPiece<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.file {
            PieceFile::Plain(file) => file.write(bytes),
            PieceFile::Compressed(encoder) => encoder.write(bytes),
        };
        Self::name_error(self.path, written)
    }

    fn flush(&mut self) -> io::Result<()> {
        let flushed = match &mut self.file {
            PieceFile::Plain(file) => file.flush(),
            PieceFile::Compressed(encoder) => encoder.flush(),
        };
        Self::name_error(self.path, flushed)
    }
}

/// Hands each event to its piece, and metadata to all.
struct Pieces<'a, 'w> {
    selection: &'a Selection<'a>,
    bounds: &'a [i64],
    writers: Vec<ChromeWriter<'w>>,
    losses: Vec<Losses>,
}

impl EventSink for Pieces<'_, '_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if event.phase == b'M' {
            return self.writers.iter_mut().try_for_each(|writer| writer.event(event));
        }
        // What has no time is in the first piece.
        let start = self.selection.links.span_of(event).map_or(i64::MIN, |(start, _)| start);
        let piece = self.bounds.partition_point(|bound| *bound <= start);
        if !self.selection.has_event(event) {
            self.losses[piece].add(STRAY_ENDS, u64::from(self.selection.leaves_out(event)));
            return Ok(());
        }
        write_closed(&mut self.writers[piece], event, self.selection.links)
    }
}

/// Divides a trace into the files of a directory, which appear when all are complete.
pub(super) fn write(
    reader: &mut TraceReader,
    out: &Out,
    input: &TraceInput,
    dir: &Path,
    size: u64,
    selection: &Selection<'_>,
) -> anyhow::Result<Vec<WrittenTrace>> {
    let mut sizes = Sizes { selection, events: Spool::new(MemoryLimit::default()) };
    let lookup = MeaningLookup::new(input, selection.survey.classes.clone());
    reader.read_again(out, input, &mut ResolvedSink { lookup, sink: &mut sizes })?;
    let bounds = find_bounds(sizes.events, size)?;
    create_directories(dir)?;
    let paths: Vec<PathBuf> = (1..=bounds.len() + 1).map(|n| piece_path(dir, input, n)).collect();
    let mut files = paths.iter().map(|path| NamedPiece::create(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut writers: Vec<ChromeWriter<'_>> = files.iter_mut().map(|file| ChromeWriter::new(file)).collect();
    writers.iter_mut().try_for_each(|writer| writer.begin_trace(""))?;
    let losses = vec![Losses::default(); paths.len()];
    let mut pieces = Pieces { selection, bounds: &bounds, writers, losses };
    let lookup = MeaningLookup::new(input, selection.survey.classes.clone());
    let outcome = reader.read_again(out, input, &mut ResolvedSink { lookup, sink: &mut pieces })?;
    let meta = outcome.unwrap_or_default().meta;
    let mut counts = Vec::new();
    let Pieces { writers, losses, .. } = pieces;
    for mut writer in writers {
        writer.end_trace(&meta)?;
        counts.push(writer.count_events());
        Box::new(writer).finish()?;
    }
    // None appears before all are on the disk.
    let finish = |piece: NamedPiece<'_>| {
        let file = piece.file.finish();
        file.with_context(|| piece.path.display().to_string())
    };
    let files = files.into_iter().map(finish).collect::<anyhow::Result<Vec<_>>>()?;
    let mut written = Vec::new();
    for (((file, path), events), losses) in files.into_iter().zip(&paths).zip(counts).zip(&losses) {
        file.commit().with_context(|| path.display().to_string())?;
        let path = path.to_string_lossy().into_owned();
        report_losses(out, &path, losses);
        let not_held = losses.counts();
        written.push(WrittenTrace { path, format: "chrome".to_owned(), traces: 1, events, not_held });
    }
    Ok(written)
}

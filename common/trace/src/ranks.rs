//! The ranks of a trace, one after the other: of a file that several were merged into each by itself, and of each only
//! what was recorded when the rest was. For tools that keep no more than their own sums of a trace.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use common::out::Out;

use crate::analysis::collect::{CollectOptions, Collected};
use crate::analysis::resolve::resolve;
use crate::analysis::sum::{Sums, sum_trace};
use crate::check::DoubtfulTraces;
use crate::inputs::{OpenedTrace, TraceInput};
use crate::meaning::{MeaningLookup, ResolvedSink};
use crate::model::{Event, EventSink, EventWorker, PreparedEvents};
use crate::pairs::PairSink;
use crate::read::{self, ReadOptions, ReadOutcome, TraceSource};
use crate::report::report_faults;

/// Hands the events of one rank on, without those at impossible times.
pub struct RankFilter<'a, S: ?Sized> {
    sums: &'a Sums,
    scope: u32,
    any_time: bool,
    sink: &'a mut S,
    /// How many were handed on.
    pub events: u64,
}

impl<'a, S: EventSink + ?Sized> RankFilter<'a, S> {
    /// Of the rank of this number in its file.
    pub fn new(sums: &'a Sums, scope: u32, sink: &'a mut S) -> Self {
        Self { sums, scope, any_time: false, sink, events: 0 }
    }

    /// Hands events at impossible times on as well.
    #[must_use]
    pub fn keeping_all_times(self) -> Self {
        Self { any_time: true, ..self }
    }
}

impl<S: EventSink + ?Sized> EventSink for RankFilter<'_, S> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let any_time = self.any_time || event.phase == b'M';
        if !any_time && event.start.is_some_and(|start| !self.sums.recorded.can_start_at(start)) {
            return Ok(());
        }
        if self.sums.scopes.are_several() && self.sums.scope_of_process(event.pid) != self.scope {
            return Ok(());
        }
        self.events += 1;
        self.sink.event(event)
    }

    /// Where all events are handed on.
    fn make_worker(&self) -> Option<Box<dyn EventWorker>> {
        let hands_on_all = self.any_time && !self.sums.scopes.are_several();
        hands_on_all.then(|| self.sink.make_worker()).flatten()
    }

    fn take_prepared(&mut self, prepared: PreparedEvents) -> anyhow::Result<()> {
        self.sink.take_prepared(prepared)
    }
}

/// One rank that was read.
pub struct RankRead {
    /// The outcome of reading; its rank is that of this one.
    pub outcome: ReadOutcome,
    /// Events of it.
    pub events: u64,
}

/// Reads the ranks of one trace, each into a sink of its own.
pub struct RankReader<'a> {
    input: &'a TraceInput,
    opened: OpenedTrace,
    options: ReadOptions,
    collect: &'a CollectOptions,
    doubtful: &'a DoubtfulTraces,
    again: SecondReading,
    state: ReaderState,
}

enum ReaderState {
    Unread(Box<dyn Read + Send>),
    /// The trace has to be read again, for ranks of these numbers, the last first.
    Apart(Box<Sums>, Vec<u32>),
    Done,
}

impl<'a> RankReader<'a> {
    /// Of an input that is open. What is wrong with it, `doubtful` says.
    pub fn new(
        input: &'a TraceInput,
        opened: OpenedTrace,
        bytes: Box<dyn Read + Send>,
        options: ReadOptions,
        collect: &'a CollectOptions,
        doubtful: &'a DoubtfulTraces,
    ) -> Self {
        let (again, bytes) = SecondReading::of_input(input, bytes);
        Self { input, opened, options, collect, doubtful, again, state: ReaderState::Unread(bytes) }
    }

    /// Whether all ranks have been read.
    pub fn is_done(&self) -> bool {
        matches!(self.state, ReaderState::Done)
    }

    /// Reads the next rank into `sink`. `None` if there is nothing in the sink that counts: the trace has to be read
    /// another way, or cannot be, which has been reported.
    pub fn read_next<S: EventSink>(&mut self, out: &Out, sink: &mut S) -> Option<RankRead> {
        let label = self.input.label();
        let read = match std::mem::replace(&mut self.state, ReaderState::Done) {
            ReaderState::Unread(bytes) => self.read_whole(out, bytes, sink),
            ReaderState::Apart(sums, ranks) => self.read_apart(sums, ranks, sink),
            ReaderState::Done => return None,
        };
        read.unwrap_or_else(|e| {
            self.state = ReaderState::Done;
            out.failed(label, &e);
            None
        })
    }

    fn read_whole<S: EventSink>(
        &mut self,
        out: &Out,
        bytes: Box<dyn Read + Send>,
        sink: &mut S,
    ) -> anyhow::Result<Option<RankRead>> {
        let mut collected = self.collect.collector();
        let source = self.opened.source_of(bytes);
        let outcome = self.read_source(source, sink, Some(&mut collected))?;
        report_faults(out, &self.input.label(), &outcome);
        if outcome.has_no_result() {
            return Ok(None);
        }
        let sums = sum_for_check(collected, &outcome)?;
        self.doubtful.warn(out, Path::new(&self.input.label()), &outcome, &sums);
        let ranks = sums.ranks_in_use();
        if sums.scopes.are_several() || !sums.recorded.impossible.is_empty() {
            self.state = ReaderState::Apart(Box::new(sums), ranks.into_iter().rev().collect());
            return Ok(None);
        }
        let events = outcome.events;
        Ok(Some(RankRead { outcome, events }))
    }

    fn read_apart<S: EventSink>(
        &mut self,
        sums: Box<Sums>,
        mut ranks: Vec<u32>,
        sink: &mut S,
    ) -> anyhow::Result<Option<RankRead>> {
        let Some(rank) = ranks.pop() else { return Ok(None) };
        let source = self.again.open(self.input)?;
        let mut filter = RankFilter::new(&sums, rank, sink);
        let mut outcome = self.read_source(source, &mut filter, None)?;
        let events = filter.events;
        if sums.scopes.are_several() {
            outcome.meta.rank = sums.scopes.scopes.get(rank as usize).and_then(|scope| scope.rank);
        }
        if !ranks.is_empty() {
            self.state = ReaderState::Apart(sums, ranks);
        }
        Ok(Some(RankRead { outcome, events }))
    }

    /// Reads a source into a sink that gets spans with their meaning, and into one that gets all as it stands there.
    fn read_source<S: EventSink>(
        &self,
        source: TraceSource,
        sink: &mut S,
        collected: Option<&mut Collected>,
    ) -> anyhow::Result<ReadOutcome> {
        let lookup = MeaningLookup::new(self.input, self.collect.classes.clone());
        let mut pairs = PairSink::new(sink);
        let mut resolved = ResolvedSink { lookup, sink: &mut pairs };
        let mut outcome = match collected {
            Some(collected) => read::read_trace(source, &self.options, &mut (collected, &mut resolved))?,
            None => read::read_trace(source, &self.options, &mut resolved)?,
        };
        self.opened.complete(&mut outcome.meta);
        Ok(outcome)
    }
}

/// The sums of a trace, for readers of its ranks, its times and its faults.
///
/// # Errors
/// A temporary file cannot be used; ranks were merged and cannot be distinguished.
pub fn sum_for_check(collected: Collected, outcome: &ReadOutcome) -> anyhow::Result<Sums> {
    resolve(collected, outcome.meta.dialect, !outcome.complete)
        .and_then(|resolved| sum_trace(resolved, false))
}

/// An input that can be read a second time: a file, or what came through a pipe, of which a copy is kept.
struct SecondReading {
    copy: Option<Arc<Mutex<Option<File>>>>,
}

impl SecondReading {
    /// With the bytes to read the first time.
    fn of_input(input: &TraceInput, bytes: Box<dyn Read + Send>) -> (Self, Box<dyn Read + Send>) {
        if !input.is_read_once() {
            return (Self { copy: None }, bytes);
        }
        let copy = Arc::new(Mutex::new(tempfile::tempfile().ok()));
        (Self { copy: Some(Arc::clone(&copy)) }, Box::new(CopyingReader { bytes, copy }))
    }

    /// The bytes once more.
    fn open(&self, input: &TraceInput) -> anyhow::Result<TraceSource> {
        let Some(copy) = &self.copy else {
            let (opened, bytes) = input.open()?;
            return Ok(opened.source_of(bytes));
        };
        let copy = copy.lock().unwrap_or_else(PoisonError::into_inner);
        let file = copy.as_ref().context(
            "has to be read twice, comes through a pipe, and no copy fits into TMPDIR: name a file",
        )?;
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(0))?;
        Ok(Box::new(file).into())
    }
}

/// Copies what it reads to a file, as long as that can be written.
struct CopyingReader {
    bytes: Box<dyn Read + Send>,
    copy: Arc<Mutex<Option<File>>>,
}

impl Read for CopyingReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.bytes.read(buf)?;
        let mut copy = self.copy.lock().unwrap_or_else(PoisonError::into_inner);
        if copy.as_mut().is_some_and(|file| file.write_all(&buf[..n]).is_err()) {
            *copy = None;
        }
        Ok(n)
    }
}

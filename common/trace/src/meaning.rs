//! The meaning of each event, for those who pass events on and keep none.

use anyhow::Context;

use crate::classifier::{ClassRules, EventClassifier};
use crate::inputs::TraceInput;
use crate::model::{Event, EventSink, EventWorker, PreparedEvents, RowMeaning};
use crate::read::{self, ReadOptions};

/// Finds the category, device and stream of events while their trace is being read.
pub struct MeaningLookup<'a> {
    input: &'a TraceInput,
    classifier: EventClassifier,
    /// The names of all processes and threads are known, or never will be.
    named: bool,
}

impl<'a> MeaningLookup<'a> {
    /// For the events of `input`, with the user's classes of device work.
    pub fn new(input: &'a TraceInput, classes: ClassRules) -> Self {
        Self { input, classifier: EventClassifier::new(classes), named: false }
    }

    /// Takes notice of [`EventSink::note_names_first`]: the trace need not be read for its names alone.
    pub fn note_names_first(&mut self) {
        self.named = true;
    }

    /// The event with its category, device and stream.
    ///
    /// # Errors
    /// The trace cannot be read a second time.
    pub fn resolve<'e>(&mut self, event: &Event<'e>) -> anyhow::Result<Event<'e>> {
        Ok(self.meaning_of(event)?.apply_to(event))
    }

    fn meaning_of(&mut self, event: &Event<'_>) -> anyhow::Result<RowMeaning> {
        if !self.named && event.cat.is_empty() && matches!(event.phase, b'X' | b'B' | b'E' | b'b' | b'e') {
            self.learn_names()?;
        }
        Ok(self.classifier.meaning_so_far(event))
    }

    /// Learns how processes and threads are named in all of the trace, once: what rows without a category are, their
    /// names say, and those may stand behind them. What comes through a pipe can be read only once, so there the
    /// names count from where they stand.
    fn learn_names(&mut self) -> anyhow::Result<()> {
        self.named = true;
        if !self.input.is_read_once() {
            let (opened, bytes) = self.input.open().with_context(|| self.input.label())?;
            read::read_trace(
                opened.source_of(bytes),
                &ReadOptions::default(),
                &mut ProcessNames(&mut self.classifier),
            )?;
        }
        Ok(())
    }
}

/// Hands events on with their category, device and stream.
pub struct ResolvedSink<'a, S: ?Sized> {
    /// Finds them.
    pub lookup: MeaningLookup<'a>,
    /// Where events go.
    pub sink: &'a mut S,
}

impl<S: EventSink + ?Sized> EventSink for ResolvedSink<'_, S> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let meaning = self.lookup.meaning_of(event)?;
        meaning.give_event(event, |event| self.sink.event(event))
    }

    fn note_names_first(&mut self) {
        self.lookup.note_names_first();
    }

    /// It has to find out by itself what events mean.
    fn make_worker(&self) -> Option<Box<dyn EventWorker>> {
        self.sink.make_worker()
    }

    fn take_prepared(&mut self, prepared: PreparedEvents) -> anyhow::Result<()> {
        self.sink.take_prepared(prepared)
    }
}

/// Learns names, and nothing else.
struct ProcessNames<'a>(&'a mut EventClassifier);

impl EventSink for ProcessNames<'_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if event.phase == b'M' {
            self.0.processes.learn(event);
        }
        Ok(())
    }

    fn wants_arguments(&self) -> bool {
        false
    }
}

//! Hands decoded events to the sink in the file's order, and keeps the accounts.

use super::block::Batch;
use super::decode::DialectSigns;
use super::row::{Row, SpelledTexts};
use super::window::Passed;
use super::{ReadOptions, ReadOutcome, ReadStop};
use crate::model::{Defect, Dialect, Event, EventSink, EventWorker, PreparedEvents, is_ascend_process};
use crate::read::error::{InputPosition, ReadError, ReadFault};

/// The way to the sink.
pub(super) struct Delivery<'s> {
    sink: &'s mut dyn EventSink,
    pub(super) out: &'s mut ReadOutcome,
    strict: bool,
    signs: DialectSigns,
}

impl<'s> Delivery<'s> {
    pub(super) fn new(sink: &'s mut dyn EventSink, options: &ReadOptions, out: &'s mut ReadOutcome) -> Self {
        Self { sink, out, strict: options.strict, signs: DialectSigns::default() }
    }

    /// A worker that does part of the sink's work on another thread.
    pub(super) fn make_worker(&self) -> Option<Box<dyn EventWorker>> {
        self.sink.make_worker()
    }

    /// [`Self::deliver`], where a worker has done part of the work.
    pub(super) fn deliver_prepared(
        &mut self,
        text: &[u8],
        batch: &Batch,
        passed: Passed,
        prepared: Option<PreparedEvents>,
    ) -> Result<(), ReadStop> {
        let Some(prepared) = prepared else { return self.deliver(text, batch, passed) };
        self.take_notes(text, batch, passed)?;
        let (is_beside, first_index) = (prepared.beside.is_some(), self.out.events);
        self.sink.take_prepared(PreparedEvents { first_index, ..prepared }).map_err(ReadStop::Sink)?;
        if is_beside {
            return self.deliver_events(text, batch);
        }
        self.out.events += batch.rows.len() as u64;
        Ok(())
    }

    /// Delivers what a text holds; `passed` is what came before the text.
    pub(super) fn deliver(&mut self, text: &[u8], batch: &Batch, passed: Passed) -> Result<(), ReadStop> {
        self.take_notes(text, batch, passed)?;
        self.deliver_events(text, batch)
    }

    fn deliver_events(&mut self, text: &[u8], batch: &Batch) -> Result<(), ReadStop> {
        for row in &batch.rows {
            self.deliver_event(text, row).map_err(ReadStop::Sink)?;
        }
        Ok(())
    }

    /// Takes what a text holds besides its events.
    fn take_notes(&mut self, text: &[u8], batch: &Batch, passed: Passed) -> Result<(), ReadStop> {
        for &(defect, count, at) in &batch.defects {
            self.count(defect, count, || passed.position_behind(&text[..at]))?;
        }
        self.signs.add(batch.signs);
        Ok(())
    }

    #[inline]
    fn deliver_event(&mut self, text: &[u8], row: &Row) -> anyhow::Result<()> {
        with_event(row, text, self.out.events, |event| self.pass_event(event))
    }

    #[inline]
    fn pass_event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.out.events += 1;
        if event.phase == b'M' {
            self.learn_dialect(event);
        }
        self.sink.event(event)
    }

    /// Only an exporter of Ascend names processes like this.
    fn learn_dialect(&mut self, event: &Event<'_>) {
        self.signs.ascend |= event.name.raw == b"process_name" && is_ascend_process(&event.label.decode());
    }

    /// Counts a defect; strict reading stops at the first that is a fault.
    pub(super) fn count(
        &mut self,
        defect: Defect,
        count: u64,
        place: impl FnOnce() -> InputPosition,
    ) -> Result<(), ReadStop> {
        let mut found = None;
        self.out.defects.add(defect, count, || {
            let at = place();
            found = Some(at);
            (at.line, at.offset)
        });
        match found {
            Some(at) if self.strict && defect.is_fault() => {
                Err(ReadStop::Read(ReadError::new(at, ReadFault::Rejected(defect))))
            }
            _ => Ok(()),
        }
    }

    /// The producer of the trace, by what was read so far.
    pub(super) fn decide_dialect(&self, told_by_metadata: bool) -> Dialect {
        match self.signs {
            DialectSigns { ascend: true, .. } => Dialect::Ascend,
            DialectSigns { kineto: true, .. } => Dialect::Kineto,
            _ if told_by_metadata => Dialect::Kineto,
            _ => Dialect::Chrome,
        }
    }
}

/// Calls `take` with the event that a row is.
#[inline]
fn with_event<T>(row: &Row, text: &[u8], index: u64, take: impl FnOnce(&Event<'_>) -> T) -> T {
    let event = row.event_in(text, index);
    if row.respelled {
        let texts = SpelledTexts::of(&event);
        return take(&texts.put_into(&event));
    }
    take(&event)
}

/// The output of a worker for the events of a text. `None` if the sink has to take one of them itself; metadata it always has
/// to.
pub(super) fn prepare_events(
    text: &[u8],
    batch: &Batch,
    worker: &mut dyn EventWorker,
) -> Option<PreparedEvents> {
    if batch.rows.iter().any(|row| row.phase == b'M') {
        return None;
    }
    let mut prepared = PreparedEvents::default();
    let prepare = |row| with_event(row, text, 0, |event| worker.prepare(event, &mut prepared));
    let all = batch.rows.iter().all(prepare);
    worker.end_batch(&mut prepared);
    all.then_some(prepared)
}

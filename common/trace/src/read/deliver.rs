//! Hands decoded events to the sink in the file's order, and keeps the accounts.

use super::block::Batch;
use super::decode::DialectSigns;
use super::row::{Row, SpelledTexts};
use super::window::Passed;
use super::{ReadOptions, ReadOutcome, ReadStop};
use crate::model::{Defect, Dialect, Event, EventSink, Severity};
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

    /// Delivers what a text holds; `passed` is what came before the text.
    pub(super) fn deliver(&mut self, text: &[u8], batch: &Batch, passed: Passed) -> Result<(), ReadStop> {
        for &(defect, count, at) in &batch.defects {
            self.count(defect, count, || passed.position_behind(&text[..at]))?;
        }
        self.signs.add(batch.signs);
        for row in &batch.rows {
            self.deliver_event(text, row).map_err(ReadStop::Sink)?;
        }
        Ok(())
    }

    #[inline]
    fn deliver_event(&mut self, text: &[u8], row: &Row) -> anyhow::Result<()> {
        let event = row.event_in(text, self.out.events);
        if row.respelled {
            let texts = SpelledTexts::of(&event);
            return self.pass_event(&texts.put_into(&event));
        }
        self.pass_event(&event)
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
        let ascend = || matches!(&*event.label.decode(), "Ascend Hardware" | "Overlap Analysis" | "CANN");
        self.signs.ascend |= event.name.raw == b"process_name" && ascend();
    }

    /// Counts a defect; strict reading stops at the first that is not allowed.
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
            Some(at) if self.strict && defect.severity() > Severity::Allowed => {
                Err(ReadStop::Read(ReadError::new(at, ReadFault::Refused(defect))))
            }
            _ => Ok(()),
        }
    }

    /// Whose trace it is, by what was read so far.
    pub(super) fn decide_dialect(&self, told_by_metadata: bool) -> Dialect {
        match self.signs {
            DialectSigns { ascend: true, .. } => Dialect::Ascend,
            DialectSigns { kineto: true, .. } => Dialect::Kineto,
            _ if told_by_metadata => Dialect::Kineto,
            _ => Dialect::Chrome,
        }
    }
}

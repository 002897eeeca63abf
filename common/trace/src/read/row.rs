//! A decoded event without its text: what passes from the threads that decode to the one that delivers.

use std::borrow::Cow;

use super::span::TextSpan;
use crate::model::{AutogradLink, Category, Event, EventId, RawText};

/// An event by offsets into its block.
pub(super) struct Row {
    pub(super) phase: u8,
    pub(super) category: Category,
    pub(super) local_id: bool,
    pub(super) repaired: bool,
    pub(super) untimed: bool,
    pub(super) plain: bool,
    /// Texts that are compared have escapes: see [`SpelledTexts`].
    pub(super) respelled: bool,
    pub(super) text: TextSpan,
    pub(super) name: TextSpan,
    pub(super) cat: TextSpan,
    pub(super) scope: TextSpan,
    pub(super) label: TextSpan,
    pub(super) task_type: TextSpan,
    pub(super) args: TextSpan,
    pub(super) pid: RowId,
    pub(super) tid: RowId,
    pub(super) id: RowId,
    pub(super) start: Option<i64>,
    pub(super) dur: Option<i64>,
    pub(super) device: Option<i64>,
    pub(super) stream: Option<i64>,
    pub(super) correlation: Option<i64>,
    pub(super) external: Option<i64>,
    pub(super) sequence: Option<i64>,
    pub(super) step_number: Option<i64>,
    pub(super) autograd_sequence: Option<i64>,
    pub(super) forward_thread: Option<i64>,
}

/// An id by offsets into its block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RowId {
    #[default]
    None,
    Number(i64),
    Text(TextSpan),
}

impl RowId {
    pub(super) fn as_number(self) -> Option<i64> {
        match self {
            Self::Number(n) => Some(n),
            _ => None,
        }
    }

    fn in_text(self, text: &[u8]) -> EventId<'_> {
        match self {
            Self::None => EventId::None,
            Self::Number(n) => EventId::Number(n),
            Self::Text(span) => EventId::Text(span.text_in(text)),
        }
    }
}

/// The texts of an event that are compared byte by byte, without their escapes: JSON has many spellings of one text.
/// Hardly any event needs this.
pub(super) struct SpelledTexts<'a>([Cow<'a, [u8]>; TEXTS]);

const TEXTS: usize = 8;

impl<'a> SpelledTexts<'a> {
    /// The texts of an event.
    pub(super) fn of(event: &Event<'a>) -> Self {
        let id_text = |id| match id {
            EventId::Text(text) => text,
            _ => RawText::default(),
        };
        Self(
            [
                event.cat,
                event.name,
                event.scope,
                event.label,
                event.task_type,
                id_text(event.pid),
                id_text(event.tid),
                id_text(event.id),
            ]
            .map(RawText::unescape),
        )
    }

    /// The event with these texts.
    pub(super) fn put_into<'b>(&'b self, event: &Event<'b>) -> Event<'b> {
        let [cat, name, scope, label, task_type, pid, tid, id] =
            self.0.each_ref().map(|text| RawText { raw: text, escaped: false });
        let put_id = |text, old| match old {
            EventId::Text(_) => EventId::Text(text),
            other => other,
        };
        let (pid, tid, id) = (put_id(pid, event.pid), put_id(tid, event.tid), put_id(id, event.id));
        Event { cat, name, scope, label, task_type, pid, tid, id, ..*event }
    }
}

impl Row {
    /// The event, borrowed from the block that it was decoded from.
    #[inline]
    pub(super) fn event_in<'a>(&self, text: &'a [u8], index: u64) -> Event<'a> {
        Event {
            index,
            phase: self.phase,
            category: self.category,
            cat: self.cat.text_in(text),
            name: self.name.text_in(text),
            pid: self.pid.in_text(text),
            tid: self.tid.in_text(text),
            start: self.start,
            dur: self.dur,
            device: self.device,
            stream: self.stream,
            correlation: self.correlation,
            external: self.external,
            id: self.id.in_text(text),
            local_id: self.local_id,
            scope: self.scope.text_in(text),
            label: self.label.text_in(text),
            task_type: self.task_type.text_in(text),
            sequence: self.sequence,
            step_number: self.step_number,
            args: self.args.text_in(text).raw,
            text: self.text.text_in(text).raw,
            repaired: self.repaired,
            of_process: false,
            made: false,
            untimed: self.untimed,
            plain: self.plain,
            autograd: match self.repaired {
                true => AutogradLink::InArguments,
                false => AutogradLink::Read {
                    sequence: self.autograd_sequence,
                    forward_thread: self.forward_thread,
                },
            },
        }
    }
}

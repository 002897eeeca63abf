//! Rows while they are built, one column after the other.

use trace::model::Event;

use super::rows::{RowGroup, START};
use super::values::{Column, TextPool};
use crate::survey::WorkPlace;

/// Builds rows of a table.
pub(super) struct RowBuilder {
    pub(super) group: RowGroup,
    /// The column that the next value is for.
    next: usize,
    /// How many columns a row has.
    columns: usize,
    /// Bytes in texts of the rows.
    pub(super) text_bytes: usize,
}

impl RowBuilder {
    /// Without rows yet.
    pub(super) fn new(columns: &[Column]) -> Self {
        Self::on(RowGroup::new(columns))
    }

    /// In a group without rows, whose memory is used again.
    pub(super) fn on(group: RowGroup) -> Self {
        Self { next: 0, columns: group.values.len(), text_bytes: 0, group }
    }

    /// Sets the first columns of the row of an event, when the end of its trace has been read.
    #[inline]
    pub(super) fn pending(&mut self, event: &Event<'_>) {
        self.group.push_pending(event.start, WorkPlace::of(event));
        self.next = START + 1;
    }

    /// Sets the next column of the row to the module of this key, when the end of its trace has been read.
    #[inline]
    pub(super) fn pending_module(&mut self, key: Option<i64>) {
        self.group.push_module(key);
        self.next += 1;
    }

    /// Sets the next column of the row, which holds numbers.
    #[inline]
    pub(super) fn int(&mut self, value: Option<i64>) {
        if let Some(value) = value {
            self.group.values[self.next].push_int(self.group.rows, value);
        }
        self.next += 1;
    }

    /// Leaves out the next columns of the row.
    #[inline]
    pub(super) fn skip(&mut self, columns: usize) {
        self.next += columns;
    }

    /// Sets the next column of the row, which holds texts.
    #[inline]
    pub(super) fn text(&mut self, value: Option<&[u8]>) {
        match value {
            Some(text) => self.push_text(|texts| texts.number_of(text)),
            None => self.next += 1,
        }
    }

    /// Sets the next column of the row to the text that follows from `key`.
    #[inline]
    pub(super) fn text_of_key(&mut self, key: i64, text: impl FnOnce(&mut Vec<u8>)) {
        self.push_text(|texts| texts.number_of_key(key, text));
    }

    #[inline]
    fn push_text(&mut self, number_in: impl FnOnce(&mut TextPool) -> u32) {
        self.text_bytes += self.group.values[self.next].push_text(self.group.rows, number_in);
        self.next += 1;
    }

    /// Ends the row.
    #[inline]
    pub(super) fn end_row(&mut self) {
        debug_assert_eq!(self.next, self.columns, "columns of a row");
        self.next = 0;
        self.group.rows += 1;
    }

    /// Gives up the row that has not ended.
    pub(super) fn discard_row(&mut self) {
        self.next = 0;
    }
}

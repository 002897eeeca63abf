//! Results for people: a line that says the most important thing, tables, notes; as text or as Markdown.

use std::io::{self, Write};

use common::text::safe;
use trace::table::{Align, Table};

/// So many rows of a table are shown; records have them all.
pub(crate) const MOST_ROWS: usize = 20;

/// Texts stand on the left, numbers on the right.
pub(crate) const LEFT: Align = Align::Left;
/// See [`LEFT`].
pub(crate) const RIGHT: Align = Align::Right;

/// A result.
pub(crate) struct Report {
    headline: String,
    tables: Vec<(String, Table)>,
    notes: Vec<String>,
}

impl Report {
    /// With the line that says the most important thing.
    pub(crate) fn new(headline: String) -> Self {
        Self { headline, tables: Vec::new(), notes: Vec::new() }
    }

    /// Adds a table under a line that says what it shows. The first [`MOST_ROWS`] of `rows` are shown.
    pub(crate) fn add_table(
        &mut self,
        title: impl Into<String>,
        columns: &[(&'static str, Align)],
        rows: Vec<Vec<String>>,
    ) {
        let mut table = Table::new(columns);
        let left_out = rows.len().saturating_sub(MOST_ROWS);
        rows.into_iter().take(MOST_ROWS).for_each(|row| table.add_row(row));
        let mut title = title.into();
        if left_out > 0 {
            title += &format!("; the first {MOST_ROWS}, {left_out} more with --format json");
        }
        self.tables.push((title, table));
    }

    /// Adds a sentence below the tables.
    pub(crate) fn add_note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Writes it as text.
    ///
    /// # Errors
    /// What the stream says.
    pub(crate) fn write_text(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to, "{}", safe(&self.headline))?;
        for (title, table) in &self.tables {
            writeln!(to, "  {}", safe(title))?;
            table.write(to)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(to, "{}", safe(note)))
    }

    /// Writes it as Markdown.
    ///
    /// # Errors
    /// What the stream says.
    pub(crate) fn write_markdown(&self, to: &mut dyn Write) -> io::Result<()> {
        writeln!(to, "**{}**", safe(&self.headline))?;
        for (title, table) in &self.tables {
            writeln!(to, "\n{}:\n", safe(title))?;
            table.write_markdown(to)?;
        }
        if !self.notes.is_empty() {
            writeln!(to)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(to, "- {}", safe(note)))
    }
}

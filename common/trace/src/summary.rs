//! Results for people: a line that says the most important thing, tables, notes; as text, or as Markdown of bounded length.

use std::io::{self, Write};

use common::text::safe;

use crate::markdown::escape_sentence;
use crate::shorten::cut_to_width;
use crate::table::{Align, Table, output_width};

/// Maximum number of rows of a table; records have all of them.
const MOST_ROWS: usize = 20;

/// Texts stand on the left, numbers on the right.
pub const LEFT: Align = Align::Left;
/// See [`LEFT`].
pub const RIGHT: Align = Align::Right;

/// Approximate maximum size of Markdown, in bytes: a comment on GitHub may have 65,536, a message of Slack 40,000, and
/// assistants read all of it.
const MOST_MARKDOWN: usize = 16_000;
/// Maximum length of a sentence, in characters.
const MOST_SENTENCE: usize = 400;

/// A result.
pub struct Report {
    headline: String,
    tables: Vec<(String, Table)>,
    notes: Vec<String>,
}

impl Report {
    /// With the line that says the most important thing.
    pub fn new(headline: String) -> Self {
        Self { headline, tables: Vec::new(), notes: Vec::new() }
    }

    /// Adds a table under a line that says what it shows. The first `MOST_ROWS` of `rows` are shown.
    pub fn add_table(
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

    /// Whether it has neither tables nor notes yet.
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.notes.is_empty()
    }

    /// Adds a sentence below the tables.
    pub fn add_note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// Writes it as text: names are shortened to the width of what shows the output.
    ///
    /// # Errors
    /// An I/O error of the stream.
    pub fn write_text(&self, to: &mut dyn Write) -> io::Result<()> {
        let sentence = |text: &str| cut_to_width(&safe(text), MOST_SENTENCE);
        writeln!(to, "{}", sentence(&self.headline))?;
        let width = output_width();
        for (title, table) in &self.tables {
            writeln!(to, "  {}", sentence(title))?;
            table.fitted(Some(width)).write(to)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(to, "{}", sentence(note)))
    }

    /// Writes it as Markdown of bounded length. Texts of traces are neither markup nor links nor mentions in it.
    ///
    /// # Errors
    /// An I/O error of the stream.
    pub fn write_markdown(&self, to: &mut dyn Write) -> io::Result<()> {
        let sentence = |text: &str| escape_sentence(&cut_to_width(&safe(text), MOST_SENTENCE));
        let mut text = format!("**{}**\n", sentence(&self.headline));
        let mut notes = String::new();
        for note in self.notes.iter().map(|note| format!("- {}\n", sentence(note))) {
            if notes.len() + note.len() <= MOST_MARKDOWN / 4 {
                notes += &note;
            }
        }
        let mut tables_left_out = 0;
        for (title, table) in &self.tables {
            let block = format!("\n{}:\n\n", sentence(title));
            let room = MOST_MARKDOWN.saturating_sub(text.len() + notes.len() + block.len());
            let Some((rows, left_out)) = table.fitted(None).to_markdown(room) else {
                tables_left_out += 1;
                continue;
            };
            text += &(block + &rows);
            if left_out > 0 {
                text += &format!("\n{left_out} more rows are left out.\n");
            }
        }
        if tables_left_out > 0 {
            text += &format!("\n{tables_left_out} more tables are left out.\n");
        }
        if !notes.is_empty() {
            text += &format!("\n{notes}");
        }
        to.write_all(text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn markdown(report: &Report) -> String {
        let mut out = Vec::new();
        report.write_markdown(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn markdown_is_bounded_whatever_the_result() {
        let mut report = Report::new("x".repeat(100_000));
        for i in 0..50 {
            let rows = (0..1000).map(|row| vec![row.to_string(), "n<a>".repeat(10_000)]).collect();
            report.add_table(format!("table {i}"), &[("n", RIGHT), ("name", LEFT)], rows);
            report.add_note("y".repeat(100_000));
        }
        let text = markdown(&report);
        assert!(text.len() < MOST_MARKDOWN + 1000, "{}", text.len());
        assert!(text.contains("; the first 20, 980 more with --format json:"), "{text}");
        assert!(text.contains("more tables are left out."), "{text}");
    }

    #[test]
    fn a_result_reads_well_in_markdown() {
        let mut report = Report::new("rank 1 is slow".to_owned());
        report.add_table("by rank", &[("late", RIGHT), ("", LEFT)], vec![vec!["1.5".into(), "a_b".into()]]);
        report.add_note("not decided: x");
        let expected =
            "**rank 1 is slow**\n\nby rank:\n\n| late |  |\n|--:|---|\n| 1.5 | `a_b` |\n\n- not decided: x\n";
        assert_eq!(markdown(&report), expected);
    }
}

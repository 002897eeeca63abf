//! Aligned tables for people.

use std::io::{self, IsTerminal, Write};

use common::text::safe;

use crate::markdown::{MOST_CELL, escape_cell};
use crate::shorten::shorten_names;

/// The alignment of a cell in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// A table; the last column is not padded.
#[derive(Clone)]
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row of as many cells as there are columns. Cells are made safe for terminals.
    pub fn add_row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|c| safe(c)).collect());
    }

    /// Shortens the last column, whose names differ, to what is left of a width. They still differ.
    pub fn fit_last_column(&mut self, width: usize) {
        let last = self.columns.len().saturating_sub(1);
        let others: usize = (0..last).map(|i| self.width_of_column(i) + 2).sum();
        self.shorten_column(last, width.saturating_sub(others + 2).max(LEAST_NAME));
    }

    /// The same in a width, with texts before the last column of at most [`MOST_TEXT`] characters; without a width, texts
    /// have at most [`MOST_CELL`].
    pub(crate) fn fitted(&self, width: Option<usize>) -> Self {
        let mut table = self.clone();
        let last = self.columns.len().saturating_sub(1);
        let is_text = |i: &usize| self.columns[*i].1 == Align::Left;
        let most = if width.is_some() { MOST_TEXT } else { MOST_CELL };
        (0..last).filter(is_text).for_each(|i| table.shorten_column(i, most));
        match width {
            _ if self.columns.get(last).is_none_or(|(_, align)| *align == Align::Right) => {}
            Some(width) => table.fit_last_column(width),
            None => table.shorten_column(last, MOST_CELL),
        }
        table
    }

    fn shorten_column(&mut self, column: usize, width: usize) {
        let names: Vec<String> = self.rows.iter().map(|r| r[column].clone()).collect();
        for (row, short) in self.rows.iter_mut().zip(shorten_names(&names, width)) {
            row[column] = short;
        }
    }

    fn width_of_column(&self, i: usize) -> usize {
        let cells = self.rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count());
        cells.max().unwrap_or(0).max(self.columns[i].0.len())
    }

    /// Writes it, indented by two.
    ///
    /// # Errors
    /// An I/O error of the stream.
    pub fn write(&self, to: &mut dyn Write) -> io::Result<()> {
        let widths: Vec<usize> = (0..self.columns.len()).map(|i| self.width_of_column(i)).collect();
        let titles = self.columns.iter().map(|(title, _)| (*title).to_owned()).collect();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (before, after) =
                    if *align == Align::Right { (pad.as_str(), "") } else { ("", pad.as_str()) };
                line.extend(["  ", before, cell, after]);
            }
            writeln!(to, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// It as a table of Markdown of at most `most` bytes, and the number of rows that do not fit; `None` if none does.
    pub(crate) fn to_markdown(&self, most: usize) -> Option<(String, usize)> {
        let titles: Vec<&str> = self.columns.iter().map(|(title, _)| *title).collect();
        let rules = self.columns.iter().map(|(_, align)| if *align == Align::Right { "--:" } else { "---" });
        let mut out = format!("| {} |\n|{}|\n", titles.join(" | "), rules.collect::<Vec<_>>().join("|"));
        for (number, row) in self.rows.iter().enumerate() {
            let cells: Vec<String> = row.iter().map(|cell| escape_cell(cell)).collect();
            let line = format!("| {} |\n", cells.join(" | "));
            if out.len() + line.len() > most {
                return (number > 0).then(|| (out, self.rows.len() - number));
            }
            out += &line;
        }
        Some((out, 0))
    }
}

/// A name is not cut to less, however narrow the terminal.
const LEAST_NAME: usize = 20;
/// Maximum length of a text in front of other columns, in characters.
const MOST_TEXT: usize = 40;

/// The columns of what shows the output: of the terminal, or else a hundred.
pub fn output_width() -> usize {
    const USUAL: usize = 100;
    let set = std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok()).filter(|c| *c > 0);
    let stdout = io::stdout();
    let terminal = || {
        let size = rustix::termios::tcgetwinsize(&stdout).ok().filter(|_| stdout.is_terminal())?;
        Some(usize::from(size.ws_col)).filter(|c| *c > 0)
    };
    set.or_else(terminal).unwrap_or(USUAL)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shorten::cut_to_width;

    #[test]
    fn numbers_stand_on_the_right() {
        let mut table = Table::new(&[("n", Align::Right), ("name", Align::Left)]);
        table.add_row(vec!["7".into(), "a\nb".into()]);
        table.add_row(vec!["123".into(), "é".into()]);
        let mut text = Vec::new();
        table.write(&mut text).unwrap();
        assert_eq!(String::from_utf8(text).unwrap(), "    n  name\n    7  a\\nb\n  123  é\n");
        table.add_row(vec!["4".into(), "a|b".into()]);
        let markdown =
            "| n | name |\n|--:|---|\n| 7 | `a\\nb` |\n| 123 | `é` |\n| 4 | `a\\|b` |\n".to_owned();
        assert_eq!(table.to_markdown(1000), Some((markdown.clone(), 0)));
        assert_eq!(table.to_markdown(markdown.len() - 1).map(|(_, left_out)| left_out), Some(1));
        assert_eq!(table.to_markdown(30), None);
        assert_eq!(
            (cut_to_width("abcdef", 4), cut_to_width("abcd", 4)),
            ("abc…".to_owned(), "abcd".to_owned())
        );
    }
}

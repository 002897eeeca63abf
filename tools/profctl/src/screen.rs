//! A table that fills a terminal and is redrawn at each refresh.
//!
//! The sequences are those of ECMA-48 and, for the alternate screen, of xterm (ctlseqs, "The Alternate Screen Buffer"),
//! which every terminal of today has.

use std::io::{self, IsTerminal, Write};

use common::text::{count_noun, safe};

/// Switches to the alternate screen, and hides the cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Shows the cursor, and switches back.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// A terminal that shows a table. When it is dropped, the terminal is as it was.
pub(crate) struct TableScreen {
    terminal: Box<dyn Write + Send>,
}

impl TableScreen {
    /// Takes standard output, if that is a terminal that can move the cursor.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn open() -> io::Result<Option<Self>> {
        let can_move = std::env::var_os("TERM").is_some_and(|term| term != "dumb" && !term.is_empty());
        if !io::stdout().is_terminal() || !can_move {
            return Ok(None);
        }
        Self::on(Box::new(io::stdout())).map(Some)
    }

    fn on(mut terminal: Box<dyn Write + Send>) -> io::Result<Self> {
        terminal.write_all(ENTER.as_bytes())?;
        terminal.flush()?;
        Ok(Self { terminal })
    }

    /// Draws lines from the top, as many and as much of each as there is room for.
    ///
    /// # Errors
    /// The terminal cannot be written.
    pub(crate) fn draw(&mut self, lines: &[String]) -> io::Result<()> {
        let (width, height) = terminal_size();
        self.terminal.write_all(frame(lines, width, height).as_bytes())?;
        self.terminal.flush()
    }
}

impl Drop for TableScreen {
    fn drop(&mut self) {
        let _ = self.terminal.write_all(LEAVE.as_bytes());
        let _ = self.terminal.flush();
    }
}

/// Returns columns and lines of the terminal.
fn terminal_size() -> (usize, usize) {
    match rustix::termios::tcgetwinsize(io::stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col.into(), size.ws_row.into()),
        _ => (80, 24),
    }
}

/// Makes what draws the lines. What does not fit is counted in the last line.
fn frame(lines: &[String], width: usize, height: usize) -> String {
    let mut drawn = String::from("\x1b[H");
    let fits = lines.len() <= height;
    let shown = if fits { lines.len() } else { height.saturating_sub(1) };
    let more = format!("and {}", count_noun((lines.len() - shown) as u64, "more line"));
    let rest = (!fits).then_some(&more);
    for (n, line) in lines.iter().take(shown).chain(rest).enumerate() {
        let newline = if n == 0 { "" } else { "\r\n" };
        let text: String = safe(line).chars().take(width).collect();
        // To the end of the line nothing is left of the frame before.
        drawn.push_str(&format!("{newline}{text}\x1b[K"));
    }
    drawn.push_str("\x1b[J");
    drawn
}

/// Lays out rows in columns, numbers and texts alike at the left. The first row is the heading.
pub(crate) fn align_columns(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width_of = |n: usize| rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|n| width_of(n).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct FakeTerminal(Arc<Mutex<Vec<u8>>>);

    impl Write for FakeTerminal {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn the_terminal_is_restored_also_after_an_error() {
        let terminal = FakeTerminal::default();
        let mut screen = TableScreen::on(Box::new(terminal.clone())).unwrap();
        screen.draw(&["x".to_owned()]).unwrap();
        drop(screen);
        let written = String::from_utf8(terminal.0.lock().unwrap().clone()).unwrap();
        assert!(written.starts_with(ENTER) && written.ends_with(LEAVE), "{written:?}");
    }

    #[test]
    fn what_does_not_fit_is_counted() {
        let lines: Vec<String> = (0..10).map(|n| format!("line {n}")).collect();
        assert_eq!(frame(&lines[..2], 80, 3), "\x1b[Hline 0\x1b[K\r\nline 1\x1b[K\x1b[J");
        assert_eq!(frame(&lines, 4, 3), "\x1b[Hline\x1b[K\r\nline\x1b[K\r\nand \x1b[K\x1b[J");
        assert!(frame(&lines, 80, 3).contains("and 8 more lines"));
        let hostile = frame(&["a\x1b[2Jb\nc".to_owned()], 80, 3);
        assert_eq!(hostile, "\x1b[Ha\\x1b[2Jb\\nc\x1b[K\x1b[J");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let rows = [row(&["HOST", "PID", "X"]), row(&["node1", "7", ""]), row(&["é"])];
        assert_eq!(align_columns(&rows), ["HOST   PID  X", "node1  7", "é"]);
    }
}

//! Text of one record in each line.

use super::error::ReadStop;
use super::window::{InputWindow, TEXT_LIMIT};

/// A line, and where it stands.
pub(super) struct TextLine<'a> {
    /// Without the white space around it; never empty. Only the beginning of one that is longer than 16 MiB.
    pub(super) text: &'a [u8],
    /// Its number, counted from one.
    pub(super) number: u64,
    /// Bytes before it.
    pub(super) offset: u64,
}

/// Calls `each` for every line that is not empty.
///
/// # Errors
/// The error of `each`.
pub(super) fn each_line(
    window: &mut InputWindow,
    mut each: impl FnMut(TextLine<'_>) -> Result<(), ReadStop>,
) -> Result<(), ReadStop> {
    let mut size = 64 * 1024;
    loop {
        window.fill_to(size);
        let rest = window.rest();
        let end = memchr::memchr(b'\n', rest);
        if end.is_none() && !window.is_done() && rest.len() < TEXT_LIMIT {
            size = rest.len() * 2;
            continue;
        }
        let length = end.unwrap_or(rest.len());
        if length == 0 && end.is_none() {
            return Ok(());
        }
        let text = rest[..length].trim_ascii();
        if !text.is_empty() {
            each(TextLine { text, number: window.passed().lines + 1, offset: window.passed().bytes })?;
        }
        let step = (length + 1).min(window.rest().len());
        window.consume(step);
    }
}

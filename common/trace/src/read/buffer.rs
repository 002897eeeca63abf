//! A refillable block of input, with the position of every byte in it.
//!
//! The scanner looks at [`InputBuffer::rest`] and asks for [`InputBuffer::more`] when it runs out. Bytes from the mark on
//! are kept together across refills, so that one event's text can be borrowed whole; everything before is
//! forgotten, apart from how many lines and bytes it was. What the bytes mean is left to [`super::json`].

use std::io::{self, Read};

use super::error::{InputPosition, ReadError, ReadFault};

/// How much is asked for at a time.
const BLOCK: usize = 256 * 1024;

/// The longest text that is kept together: one event, or one metadata value.
pub(crate) const KEEP_LIMIT: usize = 64 * 1024 * 1024;

/// A window into the input.
pub(crate) struct InputBuffer<'r> {
    source: Box<dyn Read + 'r>,
    bytes: Vec<u8>,
    /// The next byte to look at.
    pub(super) pos: usize,
    end: usize,
    mark: Option<usize>,
    /// How many bytes came before the window.
    dropped: u64,
    /// How many line ends came before the window, and where the last of them was left behind.
    lines: u64,
    line_start: u64,
    done: bool,
}

impl<'r> InputBuffer<'r> {
    /// A window at the beginning of `source`.
    pub(crate) fn new(source: Box<dyn Read + 'r>) -> Self {
        Self {
            source,
            bytes: Vec::new(),
            pos: 0,
            end: 0,
            mark: None,
            dropped: 0,
            lines: 0,
            line_start: 0,
            done: false,
        }
    }

    /// What has been read and not yet looked at.
    #[inline]
    pub(crate) fn rest(&self) -> &[u8] {
        &self.bytes[self.pos..self.end]
    }

    /// Keeps everything from here on until [`Self::unmark`].
    pub(super) fn mark(&mut self) {
        self.mark = Some(self.pos);
    }

    /// Lets go of what was kept.
    pub(super) fn unmark(&mut self) {
        self.mark = None;
    }

    /// Distance from the mark; what [`Self::kept`] takes. Without a mark it means nothing and is not used.
    #[inline]
    pub(super) fn offset(&self) -> usize {
        self.pos - self.mark.unwrap_or(0).min(self.pos)
    }

    /// Text kept since the mark, by offsets from it.
    #[inline]
    pub(super) fn kept_text(&self, start: usize, end: usize) -> &[u8] {
        let mark = self.mark.unwrap_or(0);
        &self.bytes[mark + start..mark + end]
    }

    /// Reads more input behind what is there. `false` at its end.
    ///
    /// # Errors
    /// What the source says, or the kept text grew beyond [`KEEP_LIMIT`].
    #[cold]
    pub(super) fn fill_more(&mut self) -> Result<bool, ReadError> {
        if self.done {
            return Ok(false);
        }
        self.drop_consumed();
        if self.end >= KEEP_LIMIT {
            return Err(self.error_here(ReadFault::TooLong(KEEP_LIMIT)));
        }
        let room = BLOCK.max(self.end).min(KEEP_LIMIT - self.end);
        if self.bytes.len() < self.end + room {
            self.bytes.resize(self.end + room, 0);
        }
        loop {
            match self.source.read(&mut self.bytes[self.end..]) {
                Ok(0) => {
                    self.done = true;
                    return Ok(false);
                }
                Ok(n) => {
                    self.end += n;
                    return Ok(true);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.done = true;
                    return Err(self.error_here(ReadFault::from(e)));
                }
            }
        }
    }

    /// Drops what lies before the mark, or before the position.
    fn drop_consumed(&mut self) {
        let keep = self.mark.unwrap_or(self.pos);
        let gone = &self.bytes[..keep];
        if let Some(last) = memchr::memrchr(b'\n', gone) {
            self.lines += memchr::memchr_iter(b'\n', gone).count() as u64;
            self.line_start = self.dropped + last as u64 + 1;
        }
        self.dropped += keep as u64;
        self.bytes.copy_within(keep..self.end, 0);
        self.end -= keep;
        self.pos -= keep;
        self.mark = self.mark.map(|_| 0);
    }

    /// How many bytes lie before the position.
    pub(crate) fn bytes_consumed(&self) -> u64 {
        self.dropped + self.pos as u64
    }

    /// Where the position is, as people count.
    pub(crate) fn position(&self) -> InputPosition {
        let seen = &self.bytes[..self.pos];
        let line_start =
            memchr::memrchr(b'\n', seen).map_or(self.line_start, |i| self.dropped + i as u64 + 1);
        InputPosition {
            line: self.lines + memchr::memchr_iter(b'\n', seen).count() as u64 + 1,
            column: self.bytes_consumed() - line_start + 1,
            offset: self.bytes_consumed(),
        }
    }

    /// An error at the position.
    #[cold]
    pub(super) fn error_here(&self, fault: ReadFault) -> ReadError {
        ReadError::new(self.position(), fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::testing::DripReader;

    #[test]
    fn positions_and_kept_text_survive_refills() {
        let text = "ab\ncd\n\nefgh";
        let mut b = InputBuffer::new(Box::new(DripReader::new(text.as_bytes(), 2)));
        for (i, c) in text.bytes().enumerate() {
            if b.rest().is_empty() {
                assert!(b.fill_more().unwrap());
            }
            if i == 4 {
                b.mark();
            }
            let before = &text[..i];
            let at = b.position();
            assert_eq!(at.line as usize, before.matches('\n').count() + 1);
            assert_eq!(at.column as usize, before.len() - before.rfind('\n').map_or(0, |n| n + 1) + 1);
            assert_eq!((at.offset as usize, b.rest()[0]), (i, c));
            b.pos += 1;
        }
        assert_eq!(b.kept_text(0, 4), b"d\n\ne");
        assert!(!b.fill_more().unwrap());
        assert!(!b.fill_more().unwrap());
    }
}

//! The input between what has been read of it and what has not, with the position of every byte.
//!
//! The reader looks at [`InputWindow::rest`] and asks for more when it runs out; what it has consumed is forgotten,
//! apart from how many lines and bytes it was. Blocks for other threads are taken out of the window whole.

use std::io::{self, Read};

use memchr::{memchr_iter, memrchr};

use super::block::ListState;
use super::boundary;
use super::error::{InputPosition, ReadFault};

/// How much is asked for at a time, and how large a block for a thread is about, unless a test wants it smaller.
pub(super) const BLOCK: usize = 1024 * 1024;

/// The longest text that is kept together: one event, or one metadata value.
pub(super) const TEXT_LIMIT: usize = 16 * 1024 * 1024;

/// The facts about the input before a place.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Passed {
    /// How many bytes.
    pub(super) bytes: u64,
    /// How many line ends, and how many bytes until behind the last of them.
    pub(super) lines: u64,
    pub(super) line_start: u64,
}

impl Passed {
    /// Passes a text.
    pub(super) fn pass(&mut self, text: &[u8]) {
        if let Some(last) = memrchr(b'\n', text) {
            self.lines += memchr_iter(b'\n', text).count() as u64;
            self.line_start = self.bytes + last as u64 + 1;
        }
        self.bytes += text.len() as u64;
    }

    /// Passes what another has passed.
    pub(super) fn append(&mut self, later: Self) {
        if later.lines > 0 {
            self.lines += later.lines;
            self.line_start = self.bytes + later.line_start;
        }
        self.bytes += later.bytes;
    }

    /// The position behind a text.
    pub(super) fn position_behind(mut self, text: &[u8]) -> InputPosition {
        self.pass(text);
        InputPosition { line: self.lines + 1, column: self.bytes - self.line_start + 1, offset: self.bytes }
    }
}

/// A piece of the input for a thread.
pub(super) struct Block {
    pub(super) text: Vec<u8>,
    /// The state that probably stands before it; `None` if it begins anywhere.
    pub(super) after: Option<ListState>,
    /// Nothing comes behind it.
    pub(super) last: bool,
}

/// The window.
pub(super) struct InputWindow {
    source: Box<dyn Read + Send>,
    /// [`BLOCK`], or what a test wants.
    block: usize,
    bytes: Vec<u8>,
    /// The number of bytes that have been consumed.
    pos: usize,
    /// The facts about the input before the position.
    passed: Passed,
    done: bool,
    /// Why the input ended too early.
    pub(super) fault: Option<ReadFault>,
    /// The state behind which the next block probably begins.
    after: Option<ListState>,
    /// Memory for blocks that is free again.
    spare: Vec<Vec<u8>>,
}

impl InputWindow {
    /// A window at the beginning of `source`.
    pub(super) fn new(source: Box<dyn Read + Send>, block: usize) -> Self {
        Self {
            source,
            block,
            bytes: Vec::new(),
            pos: 0,
            passed: Passed::default(),
            done: false,
            fault: None,
            after: None,
            spare: Vec::new(),
        }
    }

    /// The bytes that have been read and not yet consumed.
    pub(super) fn rest(&self) -> &[u8] {
        &self.bytes[self.pos..]
    }

    /// How large a block is about.
    pub(super) fn block(&self) -> usize {
        self.block
    }

    /// Returns whether nothing comes behind [`Self::rest`].
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The facts about the input before [`Self::rest`].
    pub(super) fn passed(&self) -> Passed {
        self.passed
    }

    /// Consumes the next `length` bytes.
    pub(super) fn consume(&mut self, length: usize) {
        let end = self.pos + length;
        self.passed.pass(&self.bytes[self.pos..end]);
        self.pos = end;
    }

    /// Reads until at least `length` bytes are in the window, or everything that there is.
    pub(super) fn fill_to(&mut self, length: usize) {
        if self.done || self.rest().len() >= length {
            return;
        }
        self.bytes.drain(..self.pos);
        self.pos = 0;
        let wanted = length.max(self.bytes.len() + self.block) - self.bytes.len();
        self.bytes.reserve(wanted);
        let mut limited = self.source.by_ref().take(wanted as u64);
        let before = self.bytes.len();
        let result = loop {
            match limited.read_to_end(&mut self.bytes) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        self.done = self.bytes.len() - before < wanted;
        if let Err(e) = result {
            self.done = true;
            self.fault = Some(ReadFault::from(e));
        }
    }

    /// Skips white space and shows the next byte. `None` at the end of the input.
    pub(super) fn peek_byte(&mut self) -> Option<u8> {
        loop {
            let space = self.rest().iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.consume(space);
            if let Some(byte) = self.rest().first() {
                return Some(*byte);
            }
            if self.done {
                return None;
            }
            self.fill_to(1);
        }
    }

    /// Takes about a block of bytes out of the window, up to where an event is likely to begin. The last block may be
    /// empty.
    pub(super) fn take_block(&mut self) -> Block {
        self.fill_to(self.block);
        self.bytes.drain(..self.pos);
        self.pos = 0;
        let mut block = Block { text: std::mem::take(&mut self.bytes), after: self.after, last: self.done };
        if !self.done {
            let cut = boundary::find_cut(&block.text);
            self.after = cut.map(|(_, comma)| if comma { ListState::Comma } else { ListState::Event });
            let rest = cut.map_or(&[][..], |(at, _)| &block.text[at..]);
            self.bytes = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(rest.len() + self.block));
            self.bytes.extend_from_slice(rest);
            block.text.truncate(block.text.len() - self.bytes.len());
        }
        block
    }

    /// Takes back the memory of a block that is done.
    pub(super) fn reuse(&mut self, mut text: Vec<u8>) {
        text.clear();
        self.spare.push(text);
    }

    /// Puts back what was taken out and not consumed: the texts in their order, and what came before them. Later blocks
    /// begin anywhere.
    pub(super) fn put_back(&mut self, texts: Vec<Vec<u8>>, passed: Passed) {
        let mut bytes = texts.concat();
        bytes.extend_from_slice(self.rest());
        (self.bytes, self.pos, self.passed, self.after) = (bytes, 0, passed, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::testing::DripReader;

    #[test]
    fn positions_survive_refills() {
        let text = "ab\ncd\n\nefgh";
        for step in 1..5 {
            let mut window = InputWindow::new(Box::new(DripReader::new(text.as_bytes(), step)), BLOCK);
            for (i, c) in text.bytes().enumerate() {
                window.fill_to(1);
                let before = &text[..i];
                let at = window.passed().position_behind(b"");
                assert_eq!(at.line as usize, before.matches('\n').count() + 1);
                assert_eq!(at.column as usize, before.len() - before.rfind('\n').map_or(0, |n| n + 1) + 1);
                assert_eq!((at.offset as usize, window.rest()[0]), (i, c));
                window.consume(1);
            }
            assert_eq!(window.peek_byte(), None);
        }
    }

    #[test]
    fn blocks_are_the_input() {
        let event = r#"{"ph": "X", "name": "a", "ts": 1}"#;
        let text = vec![event; 100_000].join(",\n");
        let mut window = InputWindow::new(Box::new(std::io::Cursor::new(text.clone().into_bytes())), BLOCK);
        let mut blocks = Vec::new();
        loop {
            let block = window.take_block();
            assert!(block.text.starts_with(b"{\"ph"));
            assert_eq!(block.after, (!blocks.is_empty()).then_some(ListState::Comma));
            blocks.push(block.text);
            if block.last {
                break;
            }
        }
        assert!(blocks.len() > 2 && blocks.concat() == text.as_bytes());
        window.put_back(blocks, Passed::default());
        assert!(window.rest() == text.as_bytes());
    }
}

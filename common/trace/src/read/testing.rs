//! What the readers' tests share.

use std::io::{self, Read};

/// A source that gives a few bytes at a time, so that everything is cut everywhere.
pub(crate) struct Drip<'a> {
    rest: &'a [u8],
    step: usize,
}

impl<'a> Drip<'a> {
    pub(crate) fn new(bytes: &'a [u8], step: usize) -> Self {
        Drip { rest: bytes, step }
    }
}

impl Read for Drip<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.step.min(self.rest.len()).min(buf.len());
        buf[..n].copy_from_slice(&self.rest[..n]);
        self.rest = &self.rest[n..];
        Ok(n)
    }
}

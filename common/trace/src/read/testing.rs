//! What the readers' tests share.

use std::io::{self, Read};

/// A source that gives a few bytes at a time, so that everything is cut everywhere.
pub(crate) struct DripReader<'a> {
    rest: &'a [u8],
    step: usize,
}

impl<'a> DripReader<'a> {
    pub(crate) fn new(bytes: &'a [u8], step: usize) -> Self {
        DripReader { rest: bytes, step }
    }
}

impl Read for DripReader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.step.min(self.rest.len()).min(buf.len());
        buf[..n].copy_from_slice(&self.rest[..n]);
        self.rest = &self.rest[n..];
        Ok(n)
    }
}

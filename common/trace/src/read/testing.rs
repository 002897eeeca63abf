//! What the readers' tests share.

use std::io::{self, Read};

/// A source that gives a few bytes at a time, so that everything is cut everywhere.
pub(crate) struct DripReader {
    rest: Vec<u8>,
    step: usize,
    given: usize,
}

impl DripReader {
    pub(crate) fn new(bytes: &[u8], step: usize) -> Self {
        Self { rest: bytes.to_vec(), step, given: 0 }
    }
}

impl Read for DripReader {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let rest = &self.rest[self.given..];
        let n = self.step.min(rest.len()).min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        self.given += n;
        Ok(n)
    }
}

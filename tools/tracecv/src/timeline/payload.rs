//! Bytes that a writer makes of each event and wants back later: in memory, and in an unlinked file beyond that.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use trace::spool::MemoryLimit;

/// Where the bytes of an event are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PayloadSpan {
    offset: u64,
    length: u32,
}

/// The longest that is kept, by the bits of a word that hold lengths: longer arguments of an event are left out.
pub(super) const LONGEST: usize = (1 << 22) - 1;

impl PayloadSpan {
    /// As one word, for storage.
    pub(crate) fn to_word(self) -> i64 {
        (self.offset << 22 | u64::from(self.length)) as i64
    }

    /// The reverse of [`Self::to_word`].
    pub(crate) fn from_word(word: i64) -> Self {
        let word = word as u64;
        Self { offset: word >> 22, length: (word & LONGEST as u64) as u32 }
    }
}

/// The bytes of all events.
pub(crate) struct PayloadStore {
    tail: Vec<u8>,
    /// How many bytes stay in memory.
    most: usize,
    /// The file of the bytes that did not fit in memory, and its length.
    file: Option<File>,
    written: u64,
    scratch: Vec<u8>,
}

impl PayloadStore {
    pub(crate) fn new(memory: MemoryLimit) -> Self {
        let most = usize::try_from(memory.bytes / 4).unwrap_or(usize::MAX).max(1 << 16);
        Self { tail: Vec::new(), most, file: None, written: 0, scratch: Vec::new() }
    }

    /// Keeps bytes. More than 4 MiB of one event are not kept.
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<PayloadSpan> {
        if bytes.is_empty() || bytes.len() > LONGEST {
            return Ok(PayloadSpan::default());
        }
        if self.tail.len() + bytes.len() > self.most {
            self.spill()?;
        }
        let offset = self.written + self.tail.len() as u64;
        self.tail.extend_from_slice(bytes);
        Ok(PayloadSpan { offset, length: bytes.len() as u32 })
    }

    #[cold]
    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(tempfile::tempfile()?),
        };
        file.write_all_at(&self.tail, self.written)?;
        self.written += self.tail.len() as u64;
        self.tail.clear();
        Ok(())
    }

    /// The bytes at a place.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub(crate) fn get(&mut self, span: PayloadSpan) -> io::Result<&[u8]> {
        let length = span.length as usize;
        if let Some(start) = span.offset.checked_sub(self.written) {
            let start = start as usize;
            return Ok(self.tail.get(start..start + length).unwrap_or_default());
        }
        let Some(file) = &self.file else { return Ok(&[]) };
        self.scratch.resize(length, 0);
        file.read_exact_at(&mut self.scratch, span.offset)?;
        Ok(&self.scratch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_from_memory_and_file() {
        let mut store = PayloadStore::new(MemoryLimit { bytes: 1 });
        let text = |i: usize| format!("{i}").repeat(i % 50);
        let spans: Vec<_> = (0..20_000).map(|i| store.push(text(i).as_bytes()).unwrap()).collect();
        assert!(store.file.is_some() && !store.tail.is_empty());
        for (i, span) in spans.into_iter().enumerate() {
            let span = PayloadSpan::from_word(span.to_word());
            assert_eq!(store.get(span).unwrap(), text(i).as_bytes());
        }
        assert_eq!(store.push(&vec![0; LONGEST + 1]).unwrap(), PayloadSpan::default());
    }
}

//! Records by the million in bounded memory: what does not fit goes to an unlinked file, and comes back in order.
//!
//! A spool is filled, then read once in the order of a key: chunks of it are sorted in memory and merged from the
//! file. As long as everything fits, there is no file.

use std::collections::BinaryHeap;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// A record of `N` words.
pub trait SpoolRecord<const N: usize>: Copy {
    /// The record as words.
    fn to_words(self) -> [i64; N];

    /// The reverse of [`Self::to_words`].
    fn from_words(words: [i64; N]) -> Self;
}

/// How much of it may stay in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryLimit {
    /// Bytes for all of an analysis.
    pub bytes: u64,
}

impl Default for MemoryLimit {
    fn default() -> Self {
        Self { bytes: 1 << 30 }
    }
}

/// Maximum number of spools of an analysis that are full at the same time.
const SPOOLS: u64 = 8;

impl MemoryLimit {
    /// The number of bytes that one spool may keep in memory.
    fn of_spool(self) -> usize {
        usize::try_from((self.bytes / SPOOLS).max(1 << 16)).unwrap_or(usize::MAX)
    }

    /// The number of bytes that small tables (names, marks of steps, streams) may take together.
    pub fn of_tables(self) -> u64 {
        self.bytes / 4
    }
}

/// Records that wait to be read in order.
#[derive(Debug)]
pub struct Spool<T, const N: usize> {
    buffer: Vec<T>,
    /// Records that fit in memory.
    most: usize,
    file: Option<File>,
    /// Offset in the file and number of records of each chunk.
    chunks: Vec<(u64, usize)>,
}

impl<T: SpoolRecord<N>, const N: usize> Spool<T, N> {
    /// An empty one.
    pub fn new(limit: MemoryLimit) -> Self {
        let most = (limit.of_spool() / size_of::<T>().max(1)).max(16);
        Self { buffer: Vec::new(), most, file: None, chunks: Vec::new() }
    }

    /// Adds a record.
    ///
    /// # Errors
    /// The file for what does not fit cannot be written.
    #[inline]
    pub fn push(&mut self, record: T) -> io::Result<()> {
        if self.buffer.len() >= self.most {
            self.spill()?;
        }
        self.buffer.push(record);
        Ok(())
    }

    #[cold]
    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            empty => empty.insert(tempfile::tempfile().map_err(name_temporary_file)?),
        };
        let offset = self.chunks.iter().map(|(_, n)| (n * N * 8) as u64).sum();
        write_records(file, offset, &self.buffer).map_err(name_temporary_file)?;
        self.chunks.push((offset, self.buffer.len()));
        self.buffer.clear();
        Ok(())
    }

    /// Calls `each` with every record, in the order in which they came.
    ///
    /// # Errors
    /// An I/O error of the file; the error of `each`.
    pub fn for_each(&self, mut each: impl FnMut(T) -> io::Result<()>) -> io::Result<()> {
        if let Some(file) = &self.file {
            for &(offset, count) in &self.chunks {
                let mut chunk = ChunkReader::new(offset, count);
                while let Some(record) = chunk.next_record(file)? {
                    each(record)?;
                }
            }
        }
        self.buffer.iter().try_for_each(|r| each(*r))
    }

    /// The records in the order of a key; of equal keys, in any.
    ///
    /// # Errors
    /// An I/O error of the file.
    pub fn into_sorted<K: Ord, F: Fn(&T) -> K>(mut self, key: F) -> io::Result<Sorted<T, K, F, N>> {
        // Records come in few runs that are in order, which this sort joins.
        self.buffer.sort_by_key(&key);
        let Some(file) = self.file.take() else {
            return Ok(Sorted { memory: self.buffer.into_iter(), merge: None, key });
        };
        let mut heap = BinaryHeap::new();
        let mut chunks = Vec::new();
        let mut sorted = std::mem::take(&mut self.buffer);
        let tail: Vec<T> = sorted.clone();
        for (i, &(offset, count)) in self.chunks.iter().enumerate() {
            sorted.clear();
            let mut chunk = ChunkReader::new(offset, count);
            while let Some(record) = chunk.next_record(&file)? {
                sorted.push(record);
            }
            sorted.sort_unstable_by_key(&key);
            write_records(&file, offset, &sorted)?;
            let mut chunk = ChunkReader::new(offset, count);
            if let Some(first) = chunk.next_record(&file)? {
                heap.push(HeapEntry { key: key(&first), record: first, chunk: i });
            }
            chunks.push(chunk);
        }
        drop(sorted);
        let mut memory = tail.into_iter();
        if let Some(first) = memory.next() {
            heap.push(HeapEntry { key: key(&first), record: first, chunk: usize::MAX });
        }
        Ok(Sorted { memory, merge: Some(Merge { file, chunks, heap }), key })
    }
}

/// Says which file could not be written: it has no name of its own.
fn name_temporary_file(error: io::Error) -> io::Error {
    let place = std::env::temp_dir();
    let reason = common::error::io_reason(&error);
    io::Error::new(error.kind(), format!("temporary file in {}: {reason}", place.display()))
}

/// Writes records at an offset.
fn write_records<T: SpoolRecord<N>, const N: usize>(
    file: &File,
    offset: u64,
    records: &[T],
) -> io::Result<()> {
    struct At<'a>(&'a File, u64);
    impl Write for At<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let n = self.0.write_at(bytes, self.1)?;
            self.1 += n as u64;
            Ok(n)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut to = io::BufWriter::with_capacity(1 << 18, At(file, offset));
    for record in records {
        for word in record.to_words() {
            to.write_all(&word.to_ne_bytes())?;
        }
    }
    to.flush()
}

/// Reads the records of one chunk, a block at a time.
#[derive(Debug)]
struct ChunkReader {
    offset: u64,
    left: usize,
    block: Vec<u8>,
    at: usize,
}

impl ChunkReader {
    const BLOCK: usize = 1 << 16;

    fn new(offset: u64, count: usize) -> Self {
        Self { offset, left: count, block: Vec::new(), at: 0 }
    }

    fn next_record<T: SpoolRecord<N>, const N: usize>(&mut self, file: &File) -> io::Result<Option<T>> {
        if self.at == self.block.len() {
            if self.left == 0 {
                return Ok(None);
            }
            let records = (Self::BLOCK / (N * 8)).max(1).min(self.left);
            self.block.resize(records * N * 8, 0);
            file.read_exact_at(&mut self.block, self.offset)?;
            self.offset += self.block.len() as u64;
            self.left -= records;
            self.at = 0;
        }
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(self.block[self.at..].chunks_exact(8)) {
            *word = i64::from_ne_bytes(bytes.try_into().unwrap_or_default());
        }
        self.at += N * 8;
        Ok(Some(T::from_words(words)))
    }
}

#[derive(Debug)]
struct HeapEntry<T, K> {
    key: K,
    record: T,
    chunk: usize,
}

impl<T, K: Ord> PartialEq for HeapEntry<T, K> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T, K: Ord> Eq for HeapEntry<T, K> {}

impl<T, K: Ord> PartialOrd for HeapEntry<T, K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The smallest key first.
impl<T, K: Ord> Ord for HeapEntry<T, K> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.key.cmp(&self.key)
    }
}

#[derive(Debug)]
struct Merge<T, K> {
    file: File,
    chunks: Vec<ChunkReader>,
    heap: BinaryHeap<HeapEntry<T, K>>,
}

/// Records in order.
#[derive(Debug)]
pub struct Sorted<T, K, F, const N: usize> {
    /// All of them, or those that were never written.
    memory: std::vec::IntoIter<T>,
    merge: Option<Merge<T, K>>,
    key: F,
}

impl<T: SpoolRecord<N>, K: Ord, F: Fn(&T) -> K, const N: usize> Sorted<T, K, F, N> {
    /// The next one.
    ///
    /// # Errors
    /// An I/O error of the file.
    #[inline]
    pub fn next_record(&mut self) -> io::Result<Option<T>> {
        let Some(merge) = &mut self.merge else { return Ok(self.memory.next()) };
        let Some(HeapEntry { record, chunk, .. }) = merge.heap.pop() else { return Ok(None) };
        let next = match merge.chunks.get_mut(chunk) {
            Some(reader) => reader.next_record(&merge.file)?,
            None => self.memory.next(),
        };
        if let Some(next) = next {
            merge.heap.push(HeapEntry { key: (self.key)(&next), record: next, chunk });
        }
        Ok(Some(record))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Pair(i64, i64);

    impl SpoolRecord<2> for Pair {
        fn to_words(self) -> [i64; 2] {
            [self.0, self.1]
        }
        fn from_words([a, b]: [i64; 2]) -> Self {
            Self(a, b)
        }
    }

    fn filled(bytes: u64, n: i64) -> Spool<Pair, 2> {
        let mut spool = Spool::new(MemoryLimit { bytes });
        // A fixed shuffle: 7919 is prime.
        (0..n).for_each(|i| spool.push(Pair((i * 7919) % n, i)).unwrap());
        spool
    }

    #[test]
    fn records_come_back_in_order_from_memory_and_file() {
        for (bytes, n) in
            [(1 << 30, 50_000), (1 << 16, 50_000), (1 << 16, 4096), (1 << 16, 4097), (1 << 16, 0)]
        {
            let spool = filled(bytes, n);
            assert_eq!(spool.file.is_some(), bytes == 1 << 16 && n > 4096, "{n}");
            let mut order = Vec::new();
            let keep = |p: Pair| {
                order.push(p.1);
                Ok(())
            };
            spool.for_each(keep).unwrap();
            assert_eq!(order, (0..n).collect::<Vec<_>>());
            let mut sorted = spool.into_sorted(|p| p.0).unwrap();
            let mut keys = Vec::new();
            while let Some(p) = sorted.next_record().unwrap() {
                keys.push(p.0);
            }
            assert_eq!(keys, (0..n).collect::<Vec<_>>());
        }
    }
}

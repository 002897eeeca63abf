//! Hashes files on several threads, and returns the digests in the order of the files.
//!
//! Threads take small files in batches: passing each by itself costs more than hashing it. The distance by which threads
//! may run ahead of the slowest is bounded, and with it the memory.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;

use super::lister::ListedFile;
use super::partial::KnownDigests;
use super::{BLOCK, HashError, HashedFile, hash_file};

/// A batch ends with this many files, or this many bytes.
const BATCH_FILES: usize = 64;
const BATCH_BYTES: u64 = 1 << 20;

/// Maximum number of finished batches that wait for an earlier one.
const MAX_WAITING_BATCHES: usize = 256;

/// The result for a file.
pub(crate) struct FileResult {
    pub(crate) path: PathBuf,
    pub(crate) result: Result<HashedFile, HashError>,
    /// Whether it was read; false if its digest was known.
    pub(crate) fresh: bool,
}

/// Hashes every file and calls `each` in the order of the files. The first error of `each` ends it.
pub(crate) fn hash_all<F: Iterator<Item = ListedFile> + Send>(
    files: &mut F,
    threads: usize,
    known: &KnownDigests,
    bar: &ProgressBar,
    mut each: impl FnMut(FileResult) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let pool = HashPool {
        feed: Mutex::new(BatchQueue { files, batches: 0, turn: 0, stopped: false }),
        wake: Condvar::new(),
    };
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            let (send, pool) = (send.clone(), &pool);
            scope.spawn(move || {
                let _stop = StopHashingOnDrop { pool, always: false };
                let mut buffer = vec![0; BLOCK];
                while let Some((n, batch)) = pool.take_batch() {
                    let done: Vec<FileResult> =
                        batch.into_iter().map(|f| hash_one(f, known, &mut buffer, bar)).collect();
                    // The receiver has stopped.
                    if send.send((n, done)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let _stop = StopHashingOnDrop { pool: &pool, always: true };
        let mut waiting = BTreeMap::new();
        let mut turn = 0;
        for (n, done) in receive {
            waiting.insert(n, done);
            while let Some(done) = waiting.remove(&turn) {
                turn += 1;
                pool.advance_turn(turn);
                done.into_iter().try_for_each(&mut each)?;
            }
        }
        Ok(())
    })
}

fn hash_one(file: ListedFile, known: &KnownDigests, buffer: &mut [u8], bar: &ProgressBar) -> FileResult {
    if let Some(digest) = known.unchanged_digest(&file) {
        bar.inc(digest.stamp.size);
        return FileResult { path: file.path, result: Ok(digest), fresh: false };
    }
    let result = hash_file(&file, buffer, bar);
    FileResult { path: file.path, result, fresh: true }
}

struct HashPool<'a, F> {
    feed: Mutex<BatchQueue<'a, F>>,
    wake: Condvar,
}

struct BatchQueue<'a, F> {
    files: &'a mut F,
    /// Number of batches taken.
    batches: usize,
    /// Number of the batch that is passed on next.
    turn: usize,
    stopped: bool,
}

impl<'a, F: Iterator<Item = ListedFile>> HashPool<'a, F> {
    fn take_batch(&self) -> Option<(usize, Vec<ListedFile>)> {
        let mut feed = self.lock_queue();
        while feed.batches >= feed.turn + MAX_WAITING_BATCHES && !feed.stopped {
            feed = self.wake.wait(feed).unwrap_or_else(PoisonError::into_inner);
        }
        if feed.stopped {
            return None;
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while batch.len() < BATCH_FILES && bytes < BATCH_BYTES {
            let Some(file) = feed.files.next() else { break };
            bytes += file.size;
            batch.push(file);
        }
        feed.batches += 1;
        (!batch.is_empty()).then(|| (feed.batches - 1, batch))
    }

    fn advance_turn(&self, turn: usize) {
        self.lock_queue().turn = turn;
        self.wake.notify_all();
    }
}

impl<'a, F> HashPool<'a, F> {
    fn lock_queue(&self) -> MutexGuard<'_, BatchQueue<'a, F>> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stops all workers when it is dropped: by the receiver always, by a worker only on a panic.
struct StopHashingOnDrop<'p, 'a, F> {
    pool: &'p HashPool<'a, F>,
    always: bool,
}

impl<F> Drop for StopHashingOnDrop<'_, '_, F> {
    fn drop(&mut self) {
        if self.always || std::thread::panicking() {
            self.pool.lock_queue().stopped = true;
            self.pool.wake.notify_all();
        }
    }
}

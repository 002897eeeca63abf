//! SHA-256 of files, on all cores, in the order in which they were asked for.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use aws_lc_rs::digest;
use indicatif::ProgressBar;

pub(crate) mod list;
pub(crate) mod partial;
pub(crate) mod sign;
pub(crate) mod text;

/// Bytes read at once: large enough for a disk's bandwidth, small enough to stay in the cache while it is hashed.
const BLOCK: usize = 256 << 10;

/// A SHA-256 digest.
pub(crate) type Sha256 = [u8; 32];

/// What identifies one state of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) size: u64,
    pub(crate) inode: u64,
    /// Modification and change time, seconds and nanoseconds.
    pub(crate) times: [i64; 4],
}

impl Stamp {
    pub(crate) fn of(meta: &std::fs::Metadata) -> Self {
        let times = [meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()];
        Self { size: meta.size(), inode: meta.ino(), times }
    }
}

/// A file's digest, and the state that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) sha256: Sha256,
    pub(crate) stamp: Stamp,
}

/// Why there is no digest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("changed while it was read")]
    Unstable,
    #[error("{}", crate::io_reason(.0))]
    Io(#[from] io::Error),
}

/// Hashes a regular file; what it grows or loses in between is an error.
pub(crate) fn hash(path: &Path, buffer: &mut [u8], bar: &ProgressBar) -> Result<Digest, Failure> {
    let (mut file, meta) = common::fsat::open_regular(path)?;
    let before = Stamp::of(&meta);
    let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
    let sha256 = stream(&mut file, buffer, bar)?;
    let after = Stamp::of(&file.metadata()?);
    // The name may lead to another file by now, too.
    let named = std::fs::symlink_metadata(path).map(|m| Stamp::of(&m));
    if before != after || named.is_ok_and(|n| n.inode != after.inode) {
        return Err(Failure::Unstable);
    }
    Ok(Digest { sha256, stamp: after })
}

fn stream(file: &mut File, buffer: &mut [u8], bar: &ProgressBar) -> io::Result<Sha256> {
    let mut context = digest::Context::new(&digest::SHA256);
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(n) => {
                context.update(&buffer[..n]);
                bar.inc(n as u64);
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(context.finish().as_ref());
    Ok(sha256)
}

/// Hashes files on several threads; `each` hears of them in their order, with their number.
pub(crate) fn hash_all(
    files: &[PathBuf],
    threads: usize,
    bar: &ProgressBar,
    mut each: impl FnMut(usize, Result<Digest, Failure>) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let next = AtomicUsize::new(0);
    let (send, receive) = mpsc::sync_channel(1024);
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, files.len().max(1)) {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                let mut buffer = vec![0; BLOCK];
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    let Some(path) = files.get(i) else { break };
                    // Whoever listens gave up: so do we.
                    if send.send((i, hash(path, &mut buffer, bar))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        // Out of order only by as many as there are threads, but for one very large file.
        let mut waiting = std::collections::BTreeMap::new();
        let mut turn = 0;
        for (i, result) in receive {
            waiting.insert(i, result);
            while let Some(result) = waiting.remove(&turn) {
                each(turn, result)?;
                turn += 1;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests;

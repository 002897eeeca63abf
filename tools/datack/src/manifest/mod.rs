//! Computes the SHA-256 digests of files on all cores, in the order of the files.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;

use aws_lc_rs::digest;
use indicatif::ProgressBar;
use rustix::fs::{self as rfs, AtFlags, FileType, OFlags, Stat};

pub(crate) mod lister;
pub(crate) mod partial;
mod pool;
pub(crate) mod sign;
pub(crate) mod text;

use lister::ListedFile;
pub(crate) use pool::{FileResult, hash_all};

/// Bytes read at once: large enough for a disk's bandwidth, small enough to stay in the cache while it is hashed.
const BLOCK: usize = 256 << 10;

/// A SHA-256 digest.
pub(crate) type Sha256 = [u8; 32];

/// Identifies the state of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HashedFileStamp {
    pub(crate) size: u64,
    pub(crate) inode: u64,
    /// Modification and change time, seconds and nanoseconds.
    pub(crate) times: [i64; 4],
}

impl HashedFileStamp {
    /// Times and sizes have other types on other systems.
    #[allow(
        clippy::unnecessary_cast,
        clippy::cast_lossless,
        reason = "their types differ between architectures"
    )]
    pub(crate) fn of(st: &Stat) -> Self {
        let times =
            [st.st_mtime as i64, st.st_mtime_nsec as i64, st.st_ctime as i64, st.st_ctime_nsec as i64];
        Self { size: st.st_size as u64, inode: st.st_ino as u64, times }
    }
}

/// A file's digest, and the state that it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HashedFile {
    pub(crate) sha256: Sha256,
    pub(crate) stamp: HashedFileStamp,
}

/// The reason why there is no digest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    #[error("changed while it was read")]
    Unstable,
    #[error("{}", common::error::io_reason(.0))]
    Io(#[from] io::Error),
}

/// Hashes a regular file. It is an error if the file changes while it is read.
pub(crate) fn hash_file(
    listed: &ListedFile,
    buffer: &mut [u8],
    bar: &ProgressBar,
) -> Result<HashedFile, HashError> {
    let (mut file, before) = open_regular(listed)?;
    if before.size > BLOCK as u64 {
        let _ = rfs::fadvise(&file, 0, None, rfs::Advice::Sequential);
    }
    let sha256 = hash_stream(&mut file, before.size, buffer, bar)?;
    let after = stamp_file(&file)?;
    // The name may lead to another file by now, too.
    let inode = rfs::statat(&listed.dir, &listed.name, symlink_flags(listed.follow))
        .map(|st| HashedFileStamp::of(&st).inode);
    if before != after || inode.is_ok_and(|inode| inode != after.inode) {
        return Err(HashError::Unstable);
    }
    Ok(HashedFile { sha256, stamp: after })
}

/// Flags that follow symbolic links where the file may be one.
fn symlink_flags(follow: bool) -> AtFlags {
    if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW }
}

/// Opens a file and takes its stamp. Never waits for a FIFO, and never reads from one.
fn open_regular(listed: &ListedFile) -> io::Result<(File, HashedFileStamp)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let flags = if listed.follow { flags } else { flags | OFlags::NOFOLLOW };
    let fd: OwnedFd = rfs::openat(&listed.dir, &listed.name, flags, rfs::Mode::empty())?;
    let st = rfs::fstat(&fd)?;
    let mode = st.st_mode;
    if FileType::from_raw_mode(mode) != FileType::RegularFile {
        let kind = common::fsat::kind(mode);
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("is {kind}, not a regular file")));
    }
    Ok((fd.into(), HashedFileStamp::of(&st)))
}

fn stamp_file(file: &File) -> io::Result<HashedFileStamp> {
    Ok(HashedFileStamp::of(&rfs::fstat(file)?))
}

/// Reads to the end. Where that is known by the size, nothing more is asked for: who grows the file meanwhile is
/// found out by its size afterwards.
fn hash_stream(file: &mut File, size: u64, buffer: &mut [u8], bar: &ProgressBar) -> io::Result<Sha256> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut read = 0;
    loop {
        match file.read(buffer) {
            Ok(0) => break,
            Ok(n) => {
                context.update(&buffer[..n]);
                read += n as u64;
                bar.inc(n as u64);
                if read == size {
                    break;
                }
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    let mut sha256 = [0; 32];
    sha256.copy_from_slice(context.finish().as_ref());
    Ok(sha256)
}

#[cfg(test)]
mod tests;

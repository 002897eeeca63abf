//! Files written atomically with their final mode, and inputs opened with care.
//!
//! | module | holds |
//! |---|---|
//! | `atomic` | files that appear whole, with their final mode and owner |
//! | `network` | file systems that other hosts may have mounted |
//! | `output` | reports to a destination that the user chose: a regular file, a pipe or a device |

mod atomic;
mod network;
mod output;

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{self as rfs, CWD, Mode as RMode, OFlags};
use zeroize::Zeroizing;

use crate::policy::Mode;

pub use atomic::{AtomicFile, own_like, replace, replace_owned_like, write};
pub use network::is_on_network_file_system;
pub(crate) use output::NamedWriter;
pub use output::{Output, write_report};

/// Creates a directory with its final mode. An existing one is an error.
///
/// # Errors
/// An I/O error.
pub fn create_dir(path: &Path, mode: Mode) -> io::Result<()> {
    // Created tighter than asked for or equal, then set to the letter through the descriptor.
    rfs::mkdir(path, RMode::from_raw_mode(mode.0 & 0o700))?;
    let dir = rfs::open(path, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, RMode::empty())?;
    rfs::fchmod(&dir, RMode::from_raw_mode(mode.0))?;
    Ok(())
}

/// Opens a file for appending, created with `mode` when it is new; never through a symbolic link, never
/// anything but a regular file.
///
/// # Errors
/// An I/O error; `ELOOP` for a symlink.
pub fn open_append(path: &Path, mode: Mode) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::APPEND | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // A FIFO without a reader must not hold us up.
    let fd = rfs::open(path, flags | OFlags::NONBLOCK, RMode::from_raw_mode(mode.0))?;
    let file = File::from(fd);
    require_regular(&file)?;
    Ok(file)
}

/// A copy of a descriptor that our caller left open, at the place where it is. Opening its name in /proc again would
/// begin at the beginning.
///
/// # Errors
/// It is not open.
pub fn descriptor(fd: u32) -> io::Result<File> {
    use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
    let number = i32::try_from(fd).map_err(|_| io::Error::from(rustix::io::Errno::BADF))?;
    let own = pidfd_open(getpid(), PidfdFlags::empty());
    match own.and_then(|own| pidfd_getfd(own, number, PidfdGetfdFlags::empty())) {
        Ok(copy) => Ok(copy.into()),
        Err(rustix::io::Errno::BADF) => Err(rustix::io::Errno::BADF.into()),
        // Kernels before 5.6, and sandboxes.
        Err(_) => {
            let path = format!("/proc/self/fd/{fd}");
            File::options().read(true).append(true).open(&path).or_else(|_| File::open(&path))
        }
    }
}

/// Opens a regular file for reading without following a link in its last component and without blocking on
/// a FIFO or device.
///
/// # Errors
/// An I/O error; `InvalidInput` for anything but a regular file.
pub fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    open_regular_at(CWD, path)
}

/// [`open_regular`] below an open directory: what is read then is what that directory held, whatever happens to
/// its name.
///
/// # Errors
/// As [`open_regular`].
pub fn open_regular_at(dir: impl AsFd, path: &Path) -> io::Result<(File, Metadata)> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rfs::openat(dir, path, flags, RMode::empty()) {
        Err(rustix::io::Errno::LOOP) => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "is a symbolic link"));
        }
        other => File::from(other?),
    };
    let meta = require_regular(&file)?;
    Ok((file, meta))
}

/// The metadata of a file that is open, if it is a regular one.
///
/// # Errors
/// `InvalidInput` for anything but a regular file.
pub fn require_regular(file: &File) -> io::Result<Metadata> {
    let meta = file.metadata()?;
    if meta.is_file() {
        return Ok(meta);
    }
    Err(not_regular(meta.mode()))
}

fn not_regular(st_mode: u32) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("is {}, not a regular file", kind(st_mode)))
}

/// The type of a file in words, from its `st_mode`.
#[must_use]
pub fn kind(st_mode: u32) -> &'static str {
    match rfs::FileType::from_raw_mode(st_mode) {
        rfs::FileType::RegularFile => "a regular file",
        rfs::FileType::Directory => "a directory",
        rfs::FileType::Symlink => "a symbolic link",
        rfs::FileType::Fifo => "a FIFO",
        rfs::FileType::Socket => "a socket",
        rfs::FileType::CharacterDevice => "a character device",
        rfs::FileType::BlockDevice => "a block device",
        _ => "of unknown type",
    }
}

/// Refuses an input that others could have written: its owner must be the user who runs the tool, or root, and only the
/// owner may write it.
///
/// # Errors
/// The owner or the mode that is wrong.
pub fn require_trusted(meta: &Metadata) -> anyhow::Result<()> {
    let me = rustix::process::geteuid().as_raw();
    anyhow::ensure!(
        meta.uid() == me || meta.uid() == 0,
        "owned by uid {}, expected {me} or root",
        meta.uid()
    );
    let mode = Mode::of(meta.mode());
    anyhow::ensure!(mode.0 & 0o022 == 0, "mode {mode} lets others write to it");
    Ok(())
}

/// Reads a whole regular file of at most `limit` bytes that may hold a secret: room for all of it is taken at once,
/// so that no outgrown buffer keeps a part, and it is wiped when dropped.
///
/// # Errors
/// An I/O error; `FileTooLarge` beyond the limit, or when it grew while it was read.
pub fn read_secret(file: File, meta: &Metadata, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let too_large = |text| io::Error::new(io::ErrorKind::FileTooLarge, text);
    let room = meta.len();
    if room > limit {
        return Err(too_large(format!("is larger than {limit} bytes")));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(room as usize + 1));
    file.take(room + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > room { Err(too_large("grew while it was read".to_owned())) } else { Ok(bytes) }
}

/// Reads at most `limit` bytes; a longer input is an error and is not read further.
///
/// # Errors
/// An I/O error of the reader; `FileTooLarge` beyond the limit.
pub fn read_bounded(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("is larger than {limit} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        assert_eq!(open_regular(&link).unwrap_err().to_string(), "is a symbolic link");
        assert!(open_append(&link, Mode(0o600)).is_err());
        let fifo = dir.path().join("fifo");
        rfs::mknodat(CWD, &fifo, rfs::FileType::Fifo, RMode::RUSR, 0).unwrap();
        assert_eq!(open_regular(&fifo).unwrap_err().to_string(), "is a FIFO, not a regular file");
    }

    #[test]
    fn directories_get_their_mode_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d");
        create_dir(&path, Mode(0o750)).unwrap();
        assert_eq!(std::fs::symlink_metadata(&path).unwrap().mode() & 0o7777, 0o750);
        assert!(create_dir(&path, Mode(0o750)).is_err());
    }
}

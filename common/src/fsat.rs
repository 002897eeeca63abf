//! Files written atomically with their final mode, and inputs opened with care.
//!
//! Writing goes through an unnamed file in the target's directory: it gets its mode when it is created,
//! whatever the umask, is synced, and takes the target's name in one rename. Whoever is killed in between
//! leaves nothing behind.

use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use rustix::fs::{self as rfs, AtFlags, CWD, Mode as RMode, OFlags};

use crate::policy::Mode;

/// A file that replaces its target when it is [committed](Self::commit), and vanishes when it is dropped.
#[derive(Debug)]
pub struct AtomicFile {
    file: File,
    dir: OwnedFd,
    path: PathBuf,
    /// The temporary name, on file systems that have no unnamed files.
    temporary: Option<String>,
}

impl AtomicFile {
    /// Starts a replacement of `path` with the given mode.
    ///
    /// # Errors
    /// The directory cannot be opened or written.
    pub fn create(path: &Path, mode: Mode) -> io::Result<Self> {
        let parent = match path.parent() {
            Some(p) if !p.as_os_str().is_empty() => p,
            _ => Path::new("."),
        };
        let dir = rfs::open(parent, OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC, RMode::empty())?;
        Self::create_at(dir, path, mode)
    }

    /// [`Self::create`] in an open directory: the file appears in that one, whatever happens to its name.
    /// Only the last component of `path` counts.
    ///
    /// # Errors
    /// `path` has no file name, or the directory cannot be written.
    pub fn create_at(dir: OwnedFd, path: &Path, mode: Mode) -> io::Result<Self> {
        let Some(name) = path.file_name() else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file name"));
        };
        // A rename would put a file in the place of a device or FIFO. A link is replaced, not written through.
        if let Ok(stat) = rfs::statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            match rfs::FileType::from_raw_mode(stat.st_mode) {
                rfs::FileType::RegularFile | rfs::FileType::Symlink => {}
                _ => return Err(not_regular(stat.st_mode)),
            }
        }
        let (file, temporary) = unnamed(&dir, mode).or_else(|e| match e {
            rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::NOENT => {
                named(&dir, mode)
            }
            e => Err(e),
        })?;
        let new = Self { file: file.into(), dir, path: path.to_owned(), temporary };
        // The mode given to open is cut by the umask; this sets it to the letter before there is a name.
        rfs::fchmod(&new.file, RMode::from_raw_mode(mode.0))?;
        Ok(new)
    }

    /// Gives the file the owner and group of what it will replace or stand beside.
    ///
    /// # Errors
    /// Only root may give files away. A group that may not be given is not asked for: no mode here depends on it.
    pub fn owned_like(self, like: &Metadata) -> io::Result<Self> {
        own_like(&self.file, like)?;
        Ok(self)
    }

    /// Syncs the content and gives it the target's name.
    ///
    /// # Errors
    /// Writing back or renaming failed; the target is as it was.
    pub fn commit(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        let name = self.path.file_name().unwrap_or(OsStr::new("")).to_owned();
        if self.temporary.is_none() {
            self.temporary = Some(self.link()?);
        }
        if let Some(temporary) = &self.temporary {
            rfs::renameat(&self.dir, temporary.as_str(), &self.dir, name.as_os_str())?;
            self.temporary = None;
        }
        rfs::fsync(&self.dir)?;
        Ok(())
    }

    /// Gives the unnamed file a temporary name: a link cannot replace an existing file, a rename can.
    fn link(&self) -> io::Result<String> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        loop {
            let name = temporary_name()?;
            match rfs::linkat(CWD, own.as_str(), &self.dir, name.as_str(), AtFlags::SYMLINK_FOLLOW) {
                Ok(()) => return Ok(name),
                Err(rustix::io::Errno::EXIST) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = rfs::unlinkat(&self.dir, temporary.as_str(), AtFlags::empty());
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.file.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn unnamed(dir: &OwnedFd, mode: Mode) -> rustix::io::Result<(OwnedFd, Option<String>)> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    rfs::openat(dir, ".", flags, RMode::from_raw_mode(mode.0)).map(|fd| (fd, None))
}

fn named(dir: &OwnedFd, mode: Mode) -> rustix::io::Result<(OwnedFd, Option<String>)> {
    loop {
        let name = temporary_name()?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
        match rfs::openat(dir, name.as_str(), flags, RMode::from_raw_mode(mode.0)) {
            Err(rustix::io::Errno::EXIST) => {}
            other => return other.map(|fd| (fd, Some(name))),
        }
    }
}

fn temporary_name() -> rustix::io::Result<String> {
    let mut bytes = [0; 12];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!(".{}.tmp", crate::finding::hex(&bytes)))
}

/// Writes a whole file atomically.
///
/// # Errors
/// As [`AtomicFile`]; the target is as it was.
pub fn write(path: &Path, mode: Mode, content: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path, mode)?;
    file.write_all(content)?;
    file.commit()
}

/// Writes a whole file atomically, with the owner and group of the file before; a new one has those of its
/// directory. What root replaces for a daemon, the daemon can read.
///
/// # Errors
/// As [`AtomicFile`]; the target is as it was.
pub fn replace(path: &Path, mode: Mode, content: &[u8]) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let like = match path.symlink_metadata() {
        Ok(meta) if meta.is_file() => meta,
        _ => parent.metadata()?,
    };
    let mut file = AtomicFile::create(path, mode)?.owned_like(&like)?;
    file.write_all(content)?;
    file.commit()
}

/// Gives an open file or directory the owner and group of another.
///
/// # Errors
/// Only root may give files away. A group that may not be given is not asked for.
pub fn own_like(file: &File, like: &Metadata) -> io::Result<()> {
    let meta = file.metadata()?;
    let uid = (meta.uid() != like.uid()).then(|| rustix::fs::Uid::from_raw(like.uid()));
    let gid = (meta.gid() != like.gid()).then(|| rustix::fs::Gid::from_raw(like.gid()));
    match rfs::fchown(file, uid, gid) {
        Err(rustix::io::Errno::PERM) if uid.is_none() => Ok(()),
        Err(rustix::io::Errno::PERM) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("belongs to uid {}, and only that user or root may replace it", like.uid()),
        )),
        other => Ok(other?),
    }
}

/// Where a report goes that a user gave a name for.
///
/// A file is replaced in one step, and keeps the group and mode that it had, less what would let others write:
/// who made it readable for a collector meant it. What is no file is written to: a terminal, a FIFO, `/dev/null`,
/// `/dev/stdout`; and `-` is standard output.
#[derive(Debug)]
pub struct Output(Kind);

#[derive(Debug)]
enum Kind {
    Replaced(AtomicFile),
    Written(File),
}

impl Output {
    /// Opens it; `mode` is for a file that is new.
    ///
    /// # Errors
    /// It is a link to a file, a directory or a socket, or what the system says.
    pub fn create(path: &Path, mode: Mode) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self(Kind::Written(io::stdout().as_fd().try_clone_to_owned()?.into())));
        }
        // Links below these lead to open descriptors, which are written to whatever they are.
        if path.starts_with("/dev") || path.starts_with("/proc") {
            return through(path);
        }
        match path.symlink_metadata() {
            Ok(meta) if meta.is_file() => {
                let file = AtomicFile::create(path, Mode(meta.mode() & 0o755))?;
                // Who may not give the file this group keeps their own.
                let _ = rfs::fchown(&file.file, None, Some(rustix::fs::Gid::from_raw(meta.gid())));
                Ok(Self(Kind::Replaced(file)))
            }
            Ok(meta) if meta.is_symlink() => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "is a symbolic link: name the file that it leads to",
            )),
            Ok(_) => through(path),
            Err(_) => AtomicFile::create(path, mode).map(|file| Self(Kind::Replaced(file))),
        }
    }

    /// Whether it is a file, which is replaced, and not something that is written to.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(self.0, Kind::Replaced(_))
    }

    /// What the system knows of the file that is being written: whoever walks its directory meanwhile must not take
    /// it for another.
    ///
    /// # Errors
    /// What the system says.
    pub fn metadata(&self) -> io::Result<Metadata> {
        match &self.0 {
            Kind::Replaced(file) => file.file.metadata(),
            Kind::Written(file) => file.metadata(),
        }
    }

    /// Ends the report.
    ///
    /// # Errors
    /// As [`AtomicFile::commit`].
    pub fn commit(self) -> io::Result<()> {
        match self.0 {
            Kind::Replaced(file) => file.commit(),
            Kind::Written(mut file) => file.flush(),
        }
    }
}

/// Opens what is no regular file for writing. A FIFO that nobody reads is an error, not a wait.
fn through(path: &Path) -> io::Result<Output> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rfs::open(path, flags, RMode::empty()) {
        Err(rustix::io::Errno::NXIO) => return Err(io::Error::other("nobody reads it")),
        other => File::from(other?),
    };
    rfs::fcntl_setfl(&file, rfs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(Output(Kind::Written(file)))
}

impl Write for Output {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Replaced(file) => file.write(buf),
            Kind::Written(file) => file.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Replaced(file) => file.flush(),
            Kind::Written(file) => file.flush(),
        }
    }
}

/// Creates a directory with its final mode. An existing one is an error.
///
/// # Errors
/// What the system says.
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
/// What the system says; `ELOOP` for a link.
pub fn open_append(path: &Path, mode: Mode) -> io::Result<File> {
    let flags = OFlags::CREATE | OFlags::APPEND | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // A FIFO without a reader must not hold us up.
    let fd = rfs::open(path, flags | OFlags::NONBLOCK, RMode::from_raw_mode(mode.0))?;
    let file = File::from(fd);
    regular(&file)?;
    Ok(file)
}

/// Opens a regular file for reading without following a link in its last component and without blocking on
/// a FIFO or device.
///
/// # Errors
/// What the system says; `InvalidInput` for anything but a regular file.
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
    let meta = regular(&file)?;
    Ok((file, meta))
}

fn regular(file: &File) -> io::Result<Metadata> {
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

/// Reads a whole regular file of at most `limit` bytes that may hold a secret: room for all of it is taken at once,
/// so that no outgrown buffer keeps a part, and it is wiped when dropped.
///
/// # Errors
/// What the system says; `FileTooLarge` beyond the limit, or when it grew while it was read.
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
/// What the reader says; `FileTooLarge` beyond the limit.
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

    fn mode_of(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn a_file_appears_whole_with_its_final_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write(&path, Mode(0o600), b"one").unwrap();
        write(&path, Mode(0o666), b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(mode_of(&path), 0o666);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_abandoned_file_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "old").unwrap();
        let mut file = AtomicFile::create(&path, Mode(0o600)).unwrap();
        file.write_all(b"new").unwrap();
        drop(file);
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn replacing_a_link_does_not_write_through_it() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, link) = (dir.path().join("victim"), dir.path().join("link"));
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        write(&link, Mode(0o600), b"x").unwrap();
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
        assert!(open_append(&link, Mode(0o600)).is_ok());
    }

    #[test]
    fn a_report_never_takes_the_place_of_what_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let put = |path: &Path| {
            let mut output = Output::create(path, Mode(0o640))?;
            output.write_all(b"report")?;
            output.commit()
        };
        // A FIFO without a reader is refused at once; with one, it is written to.
        rfs::mknodat(CWD, path("fifo"), rfs::FileType::Fifo, RMode::RUSR | RMode::WUSR, 0).unwrap();
        assert_eq!(put(&path("fifo")).unwrap_err().to_string(), "nobody reads it");
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let mut reader = File::from(rfs::open(path("fifo"), flags, RMode::empty()).unwrap());
        put(&path("fifo")).unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "report");
        assert!(AtomicFile::create(&path("fifo"), Mode(0o640)).is_err());
        // A link to a file is neither replaced nor followed.
        std::fs::write(path("file"), "precious").unwrap();
        std::os::unix::fs::symlink(path("file"), path("link")).unwrap();
        assert!(put(&path("link")).unwrap_err().to_string().contains("symbolic link"));
        assert_eq!(std::fs::read(path("file")).unwrap(), b"precious");
        put(Path::new("/dev/null")).unwrap();
        assert!(put(dir.path()).is_err());
    }

    #[test]
    fn a_report_keeps_the_mode_that_was_given_to_it_but_nobody_else_may_write() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.prom");
        for (before, after) in
            [(None, 0o640), (Some(0o644), 0o644), (Some(0o666), 0o644), (Some(0o600), 0o600)]
        {
            if let Some(mode) = before {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            }
            let mut output = Output::create(&path, Mode(0o640)).unwrap();
            output.write_all(b"x").unwrap();
            output.commit().unwrap();
            assert_eq!(mode_of(&path), after);
        }
    }

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
        assert_eq!(mode_of(&path), 0o750);
        assert!(create_dir(&path, Mode(0o750)).is_err());
    }
}

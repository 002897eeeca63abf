//! Reports to a destination that the user chose.

use std::fs::{File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::Context;
use rustix::fs::{self as rfs, Mode as RMode, OFlags};

use super::{AtomicFile, descriptor};
use crate::error::OutputError;
use crate::policy::Mode;

/// Where a report goes that a user gave a name for.
///
/// A file is replaced in one step, and keeps the group and mode that it had, less what would let others write:
/// who made it readable for a collector meant it. Anything but a regular file is written to directly: a terminal, a FIFO, `/dev/null`,
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
    /// It is a symlink to a file, a directory or a socket; an I/O error.
    pub fn create(path: &Path, mode: Mode) -> io::Result<Self> {
        if let Some(number) = descriptor_of(path) {
            return Ok(Self(Kind::Written(descriptor(number)?)));
        }
        match path.symlink_metadata() {
            Ok(meta) if meta.is_file() => {
                let file = AtomicFile::create(path, Mode(meta.mode() & 0o755))?;
                // Who may not give the file this group keeps their own.
                let _ = rfs::fchown(file.file(), None, Some(rustix::fs::Gid::from_raw(meta.gid())));
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

    /// The metadata of the file that is being written: a walk of its directory in the meantime must not take
    /// it for another.
    ///
    /// # Errors
    /// An I/O error.
    pub fn metadata(&self) -> io::Result<Metadata> {
        match &self.0 {
            Kind::Replaced(file) => file.file().metadata(),
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

/// Writes a report to the place that a user named: what `fill` writes is there when `fill` succeeds, and the file is
/// as it was when it fails.
///
/// # Errors
/// As `fill` does, and each error of the file with its name.
pub fn write_report<T>(
    path: &Path,
    mode: Mode,
    fill: impl FnOnce(&mut (dyn Write + Send)) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let name =
        || if path.as_os_str() == "-" { "standard output".to_owned() } else { path.display().to_string() };
    let output = Output::create(path, mode).with_context(name)?;
    let mut to = NamedWriter { to: BufWriter::new(output), name: name() };
    let filled = fill(&mut to)?;
    let output = to.to.into_inner().map_err(io::IntoInnerError::into_error).with_context(name)?;
    output.commit().with_context(name)?;
    Ok(filled)
}

/// A writer whose errors say what it writes to: `standard output: no space left on device`.
pub(crate) struct NamedWriter<W> {
    pub(crate) to: W,
    pub(crate) name: String,
}

impl<W> NamedWriter<W> {
    fn name_error(&self, error: io::Error) -> io::Error {
        io::Error::new(error.kind(), OutputError { name: self.name.clone(), error })
    }
}

impl<W: Write> Write for NamedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.to.write(bytes) {
            // The one error that writers handle themselves.
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(e),
            other => other.map_err(|e| self.name_error(e)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush().map_err(|e| self.name_error(e))
    }
}

/// The open descriptor that a name stands for. Such are written to where they stand, whatever they are.
fn descriptor_of(path: &Path) -> Option<u32> {
    match path.to_str()? {
        "-" | "/dev/stdout" => Some(1),
        "/dev/stderr" => Some(2),
        text => text.strip_prefix("/dev/fd/").or_else(|| text.strip_prefix("/proc/self/fd/"))?.parse().ok(),
    }
}

/// Opens a terminal, device or FIFO for writing. A FIFO without a reader is an error, not a wait.
fn through(path: &Path) -> io::Result<Output> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = match rfs::open(path, flags, RMode::empty()) {
        Err(rustix::io::Errno::NXIO) => return Err(io::Error::other("it is a FIFO without a reader")),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    use rustix::fs::CWD;

    fn mode_of(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
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
        assert_eq!(put(&path("fifo")).unwrap_err().to_string(), "it is a FIFO without a reader");
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
        // What a descriptor stands for is written to where it stands.
        let mut log = File::options().create(true).append(true).read(true).open(path("log")).unwrap();
        log.write_all(b"before, ").unwrap();
        put(Path::new(&format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&log)))).unwrap();
        assert_eq!(std::fs::read(path("log")).unwrap(), b"before, report");
        // A file system below /dev has files like any other.
        if Path::new("/dev/shm").is_dir() {
            let shm = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
            std::fs::write(shm.path(), "much longer than the report").unwrap();
            put(shm.path()).unwrap();
            assert_eq!(std::fs::read(shm.path()).unwrap(), b"report");
        }
        assert!(put(dir.path()).is_err());
    }

    #[test]
    fn an_error_of_the_device_names_it_wherever_it_comes() {
        for bytes in [1, 1 << 20] {
            let full =
                write_report(Path::new("/dev/full"), Mode(0o640), |to| Ok(to.write_all(&vec![0; bytes])?));
            let text = format!("{:#}", full.unwrap_err());
            assert_eq!(text, "/dev/full: No space left on device (os error 28)");
        }
    }

    #[test]
    fn a_report_that_failed_leaves_the_former_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report");
        std::fs::write(&path, "former").unwrap();
        let failed = write_report(&path, Mode(0o640), |to| {
            to.write_all(b"half")?;
            anyhow::bail!("no more") as anyhow::Result<()>
        });
        assert_eq!(failed.unwrap_err().to_string(), "no more");
        assert_eq!(std::fs::read(&path).unwrap(), b"former");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
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
}

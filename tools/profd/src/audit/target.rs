//! Where the audit trail goes: a file, the systemd journal, or standard output.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::policy::Class;

use crate::plan::AuditTarget;

/// The socket of the journal (systemd, "Native Journal Protocol").
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";

/// How often the path is compared with the open file, so that a file that was moved away is replaced by a new one.
const ROTATION_INTERVAL: Duration = Duration::from_secs(1);

/// The open target.
#[derive(Debug)]
pub(super) enum AuditFile {
    File { path: PathBuf, file: File, compared: Instant },
    Journal(UnixDatagram),
    Stdout(File),
}

impl AuditFile {
    /// # Errors
    /// The file cannot be opened, or is not a regular file of this user that others cannot write; the journal has no socket.
    pub(super) fn open(target: &AuditTarget) -> io::Result<Self> {
        match target {
            AuditTarget::File(path) => {
                Ok(Self::File { path: path.clone(), file: open_file(path)?, compared: Instant::now() })
            }
            AuditTarget::Journal => connect_to_journal().map(Self::Journal),
            AuditTarget::Stdout => Ok(Self::Stdout(File::from(io::stdout().as_fd().try_clone_to_owned()?))),
        }
    }

    /// Opens the file again if its path names another one: it was moved away, as logrotate(8) does.
    ///
    /// # Errors
    /// The new file cannot be opened.
    pub(super) fn follow_rotation(&mut self) -> io::Result<()> {
        let Self::File { path, file, compared } = self else { return Ok(()) };
        if compared.elapsed() < ROTATION_INTERVAL {
            return Ok(());
        }
        let open = file.metadata()?;
        let is_same = path.symlink_metadata().is_ok_and(|m| (m.dev(), m.ino()) == (open.dev(), open.ino()));
        if !is_same {
            *file = open_file(path)?;
        }
        // Only now: a path that cannot be opened is tried again at once, and nothing is written to the former file meanwhile.
        *compared = Instant::now();
        Ok(())
    }

    /// Writes whole lines, some of them or all. Returns the number of bytes.
    ///
    /// # Errors
    /// As write(2) and sendto(2).
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        match self {
            Self::File { file, .. } | Self::Stdout(file) => file.write(lines),
            Self::Journal(socket) => {
                let line = lines.split_inclusive(|b| *b == b'\n').next().unwrap_or_default();
                let entry = [b"PRIORITY=5\nSYSLOG_IDENTIFIER=profd-audit\nMESSAGE=", line].concat();
                if let Err(e) = socket.send(&entry) {
                    // The journal was restarted.
                    if let Ok(again) = connect_to_journal() {
                        *socket = again;
                    }
                    return Err(e);
                }
                Ok(line.len())
            }
        }
    }
}

/// Checks that a target can be opened, and creates nothing.
///
/// # Errors
/// As [`AuditFile::open`]; also that its directory cannot be written.
pub(crate) fn check_target(target: &AuditTarget) -> io::Result<()> {
    match target {
        AuditTarget::File(path) => match path.symlink_metadata() {
            Ok(_) => check_file(&open_named(path, &open_options())?.metadata()?),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
                Ok(rustix::fs::access(dir, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?)
            }
            Err(e) => Err(e),
        },
        AuditTarget::Journal => connect_to_journal().map(drop),
        AuditTarget::Stdout => Ok(()),
    }
}

fn connect_to_journal() -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(JOURNAL_SOCKET)?;
    Ok(socket)
}

/// Opens the file to append to it. A line that was cut, for example by a loss of power, is ended first.
fn open_file(path: &Path) -> io::Result<File> {
    let mut options = open_options();
    let mut file = open_named(path, options.create(true).mode(Class::LogRecording.max().0))?;
    let meta = file.metadata()?;
    check_file(&meta)?;
    if meta.len() > 0 {
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Opens a path that must not be a link.
fn open_named(path: &Path, options: &OpenOptions) -> io::Result<File> {
    options.open(path).map_err(|e| match e.raw_os_error() {
        // open(2), O_NOFOLLOW.
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
            io::Error::new(io::ErrorKind::PermissionDenied, "is a symbolic link")
        }
        _ => e,
    })
}

fn open_options() -> OpenOptions {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let flags = i32::try_from(flags.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    options.append(true).read(true).custom_flags(flags);
    options
}

/// Checks that no other user can write the file or can have planted it.
fn check_file(meta: &Metadata) -> io::Result<()> {
    let reject = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    if !meta.is_file() {
        return reject("not a regular file");
    }
    if meta.nlink() != 1 {
        return reject("has several names (hard links)");
    }
    if meta.uid() != rustix::process::geteuid().as_raw() && meta.uid() != 0 {
        return reject("belongs to another user");
    }
    if meta.mode() & 0o022 != 0 {
        return reject("others than its owner may write it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn open(path: &Path) -> io::Result<AuditFile> {
        AuditFile::open(&AuditTarget::File(path.to_owned()))
    }

    #[test]
    fn a_file_is_appended_to_and_a_cut_line_is_ended() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        open(&path).unwrap().write(b"one\n").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o137, 0, "at most 0640");
        fs::write(&path, "one\ncu").unwrap();
        open(&path).unwrap().write(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ncu\ntwo\n");
    }

    #[test]
    fn a_file_that_was_moved_away_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let mut file = open(&path).unwrap();
        file.write(b"one\n").unwrap();
        fs::rename(&path, dir.path().join("audit.jsonl.1")).unwrap();
        if let AuditFile::File { compared, .. } = &mut file {
            *compared = compared.checked_sub(ROTATION_INTERVAL).unwrap();
        }
        file.follow_rotation().unwrap();
        file.write(b"two\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\n");
        fs::rename(&path, dir.path().join("audit.jsonl.2")).unwrap();
        std::os::unix::fs::symlink("elsewhere", &path).unwrap();
        if let AuditFile::File { compared, .. } = &mut file {
            *compared = compared.checked_sub(ROTATION_INTERVAL).unwrap();
        }
        for attempt in 0..3 {
            assert!(file.follow_rotation().is_err(), "attempt {attempt}");
        }
    }

    #[test]
    fn what_another_user_could_have_planted_is_rejected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        fs::write(dir.path().join("other"), "").unwrap();
        std::os::unix::fs::symlink(dir.path().join("other"), &path).unwrap();
        assert_eq!(open(&path).unwrap_err().to_string(), "is a symbolic link");
        fs::remove_file(&path).unwrap();
        fs::hard_link(dir.path().join("other"), &path).unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("hard links"));
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(open(&path).unwrap_err().to_string().contains("write"));
    }

    #[test]
    fn a_check_finds_what_opening_would_find_and_creates_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let check = |name: &str| check_target(&AuditTarget::File(dir.path().join(name)));
        assert!(check("new.jsonl").is_ok() && !dir.path().join("new.jsonl").exists());
        assert_eq!(check("none/new.jsonl").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(check_target(&AuditTarget::File(dir.path().to_owned())).is_err(), "a directory");
        fs::write(dir.path().join("cut.jsonl"), "cu").unwrap();
        assert!(check("cut.jsonl").is_ok());
        assert_eq!(fs::read(dir.path().join("cut.jsonl")).unwrap(), b"cu");
        fs::set_permissions(dir.path().join("cut.jsonl"), fs::Permissions::from_mode(0o666)).unwrap();
        assert!(check("cut.jsonl").unwrap_err().to_string().contains("write"));
    }
}

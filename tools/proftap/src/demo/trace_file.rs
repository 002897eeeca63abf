//! The paths to which a trace can be written. A path comes from a request, so it is untrusted.
//!
//! The path must be absolute, and no component may be `..` or a symbolic link. The directory is opened component by
//! component, and the trace is written through that descriptor, so the checked directory is the one written to. The
//! directory must not be writable by all users, unless it has the sticky bit. An existing file is replaced only if it is
//! a regular file of this user with one hard link.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use common::fsat::{self, AtomicFile};
use common::policy::Class;
use rustix::fs::{self as rfs, AtFlags, Mode, OFlags, Stat};
use thiserror::Error;

/// Why a path is rejected.
#[derive(Debug, Error)]
pub(crate) enum TracePathError {
    #[error("not an absolute path")]
    Relative,
    #[error("path has a `..` component, or ends with `/`")]
    NotPlain,
    #[error("{0}: symbolic link, or not a directory")]
    NotDirectory(PathBuf),
    #[error("directory is writable by all users and has no sticky bit")]
    WritableByAll,
    #[error("is {0}, not a regular file")]
    NotRegularFile(&'static str),
    #[error("belongs to uid {0}")]
    ForeignOwner(u32),
    #[error("has {0} hard links")]
    HardLinked(u64),
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// A file that can be written.
#[derive(Debug)]
pub(crate) struct TraceFileTarget {
    dir: OwnedFd,
    path: PathBuf,
}

impl TraceFileTarget {
    /// Checks a path, and opens its directory.
    pub(crate) fn check_path(path: &Path) -> Result<Self, TracePathError> {
        let (parent, name) = split_path(path)?;
        let dir = open_target_directory(&parent)?;
        match rfs::statat(&dir, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => {}
            Err(e) => return Err(TracePathError::Io(path.to_owned(), e.into())),
            Ok(stat) => check_replaceable(&stat, rustix::process::geteuid().as_raw())?,
        }
        Ok(Self { dir, path: parent.join(name) })
    }

    /// Returns the path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the file. It appears under its name when it is committed.
    pub(crate) fn create_file(self) -> io::Result<AtomicFile> {
        AtomicFile::create_at(self.dir, &self.path, Class::DataFile.max())
    }
}

/// Opens the directory of a trace.
///
/// # Errors
/// The path is rejected; see the module.
pub(crate) fn open_target_directory(path: &Path) -> Result<OwnedFd, TracePathError> {
    require_plain_path(path)?;
    let dir = open_without_symlinks(path)?;
    let stat = rfs::fstat(&dir).map_err(|e| TracePathError::Io(path.to_owned(), e.into()))?;
    // Without the sticky bit every user could replace the files of the others.
    if stat.st_mode & 0o1002 == 0o002 { Err(TracePathError::WritableByAll) } else { Ok(dir) }
}

/// Creates a directory with its final mode, and opens it. An existing one is an error.
pub(crate) fn create_directory(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(Class::DataDir.max().0);
    rfs::mkdirat(parent, name, mode & Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rfs::openat(parent, name, flags, Mode::empty())?;
    rfs::fchmod(&dir, mode)?;
    Ok(dir)
}

/// Splits a path into directory and name.
fn split_path(path: &Path) -> Result<(PathBuf, OsString), TracePathError> {
    require_plain_path(path)?;
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(TracePathError::NotPlain);
    }
    let parent = path.parent().ok_or(TracePathError::NotPlain)?;
    Ok((parent.to_owned(), path.file_name().ok_or(TracePathError::NotPlain)?.to_owned()))
}

fn require_plain_path(path: &Path) -> Result<(), TracePathError> {
    if !path.is_absolute() {
        return Err(TracePathError::Relative);
    }
    let odd = |c: Component<'_>| !matches!(c, Component::RootDir | Component::Normal(_));
    if path.components().any(odd) { Err(TracePathError::NotPlain) } else { Ok(()) }
}

/// Opens a directory component by component, without following symbolic links.
fn open_without_symlinks(path: &Path) -> Result<OwnedFd, TracePathError> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = PathBuf::from("/");
    let explain = |at: &Path, e| match e {
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => TracePathError::NotDirectory(at.to_owned()),
        e => TracePathError::Io(at.to_owned(), e.into()),
    };
    let mut dir = rfs::open("/", step, Mode::empty()).map_err(|e| explain(&at, e))?;
    for component in path.components() {
        if let Component::Normal(name) = component {
            at.push(name);
            dir = rfs::openat(&dir, name, step, Mode::empty()).map_err(|e| explain(&at, e))?;
        }
    }
    // fsync(2) does not work on an O_PATH descriptor (open(2)): open the same directory for reading.
    let read = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rfs::openat(&dir, ".", read, Mode::empty()).map_err(|e| explain(&at, e))
}

fn check_replaceable(stat: &Stat, me: u32) -> Result<(), TracePathError> {
    if rfs::FileType::from_raw_mode(stat.st_mode) != rfs::FileType::RegularFile {
        return Err(TracePathError::NotRegularFile(fsat::kind(stat.st_mode)));
    }
    if stat.st_uid != me {
        return Err(TracePathError::ForeignOwner(stat.st_uid));
    }
    if stat.st_nlink > 1 {
        return Err(TracePathError::HardLinked(stat.st_nlink));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn rejection(path: &Path) -> String {
        TraceFileTarget::check_path(path).unwrap_err().to_string()
    }

    #[test]
    fn only_absolute_paths_without_special_components() {
        assert_eq!(rejection(Path::new("t.json")), "not an absolute path");
        for odd in ["/tmp/../etc/x", "/", "/tmp/x/"] {
            assert_eq!(rejection(Path::new(odd)), "path has a `..` component, or ends with `/`", "{odd}");
        }
    }

    #[test]
    fn symlinks_other_file_types_and_hard_links_are_rejected() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        symlink("/etc/passwd", dir.join("link")).unwrap();
        assert_eq!(rejection(&dir.join("link")), "is a symbolic link, not a regular file");
        symlink(&dir, dir.join("dir")).unwrap();
        assert!(rejection(&dir.join("dir/t.json")).ends_with("dir: symbolic link, or not a directory"));
        fs::create_dir(dir.join("sub")).unwrap();
        assert_eq!(rejection(&dir.join("sub")), "is a directory, not a regular file");
        fs::write(dir.join("one"), "x").unwrap();
        assert!(TraceFileTarget::check_path(&dir.join("one")).is_ok());
        fs::hard_link(dir.join("one"), dir.join("two")).unwrap();
        assert_eq!(rejection(&dir.join("two")), "has 2 hard links");
        assert!(rejection(&dir.join("none/t.json")).contains("none: "));
    }

    #[test]
    fn a_directory_writable_by_all_needs_the_sticky_bit() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap().join("d");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(rejection(&dir.join("t")), "directory is writable by all users and has no sticky bit");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(TraceFileTarget::check_path(&dir.join("t")).is_ok());
    }

    #[test]
    fn a_file_of_another_user_is_not_replaced() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stat = rfs::stat(file.path()).unwrap();
        assert!(check_replaceable(&stat, stat.st_uid).is_ok());
        assert_eq!(
            check_replaceable(&stat, stat.st_uid + 1).unwrap_err().to_string(),
            format!("belongs to uid {}", stat.st_uid)
        );
    }

    #[test]
    fn a_trace_has_its_mode_and_its_path() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().canonicalize().unwrap().join("t.json");
        let mut file = TraceFileTarget::check_path(&path).unwrap().create_file().unwrap();
        io::Write::write_all(&mut file, b"{}").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    }
}

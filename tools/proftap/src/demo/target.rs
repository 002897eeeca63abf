//! Where a trace may be written. The path comes from a request, so it is another user's word.
//!
//! The path is absolute, and no component of it is a symbolic link or `..`; the directory is walked to by
//! descriptor, so what was checked is what is written to. Nobody else may be able to write there, unless the
//! sticky bit keeps them off our file. What has the name already must be a regular file of our own with no
//! other name.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use common::fsat::{self, AtomicFile};
use common::policy::Class;
use rustix::fs::{self as rfs, AtFlags, Mode, OFlags, Stat};
use thiserror::Error;

/// Why a path is refused.
#[derive(Debug, Error)]
pub(crate) enum TargetError {
    #[error("is not an absolute path")]
    Relative,
    #[error("has a component that is not a plain name")]
    Odd,
    #[error("{0}: is a symbolic link or not a directory")]
    Link(PathBuf),
    #[error("directory can be written by every user")]
    Open,
    #[error("is {0}, not a regular file")]
    Kind(&'static str),
    #[error("belongs to uid {0}")]
    Foreign(u32),
    #[error("has {0} names")]
    Names(u64),
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// A file that may be written.
#[derive(Debug)]
pub(crate) struct Target {
    dir: OwnedFd,
    path: PathBuf,
}

impl Target {
    /// Checks a path.
    pub(crate) fn check(path: &Path) -> Result<Self, TargetError> {
        let (parent, name) = split(path)?;
        let dir = directory(&parent)?;
        match rfs::statat(&dir, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => {}
            Err(e) => return Err(TargetError::Io(path.to_owned(), e.into())),
            Ok(stat) => replaceable(&stat, rustix::process::geteuid().as_raw())?,
        }
        Ok(Self { dir, path: parent.join(name) })
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins to write it.
    pub(crate) fn create(self) -> io::Result<AtomicFile> {
        AtomicFile::create_at(self.dir, &self.path, Class::DataFile.max())
    }
}

/// Opens a directory to write in, if it may be written to.
pub(crate) fn directory(path: &Path) -> Result<OwnedFd, TargetError> {
    plain(path)?;
    let dir = walk(path)?;
    let stat = rfs::fstat(&dir).map_err(|e| TargetError::Io(path.to_owned(), e.into()))?;
    // Writable by all, and nothing keeps them off each other's files.
    if stat.st_mode & 0o1002 == 0o002 { Err(TargetError::Open) } else { Ok(dir) }
}

/// Creates a directory in another one, with its final mode, and opens it. An existing one is an error.
pub(crate) fn make(parent: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let mode = Mode::from_raw_mode(Class::DataDir.max().0);
    rfs::mkdirat(parent, name, mode & Mode::RWXU)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let dir = rfs::openat(parent, name, flags, Mode::empty())?;
    rfs::fchmod(&dir, mode)?;
    Ok(dir)
}

/// The directory and the name of an absolute path without odd components.
fn split(path: &Path) -> Result<(PathBuf, OsString), TargetError> {
    plain(path)?;
    if path.as_os_str().as_encoded_bytes().ends_with(b"/") {
        return Err(TargetError::Odd);
    }
    let parent = path.parent().ok_or(TargetError::Odd)?;
    Ok((parent.to_owned(), path.file_name().ok_or(TargetError::Odd)?.to_owned()))
}

fn plain(path: &Path) -> Result<(), TargetError> {
    if !path.is_absolute() {
        return Err(TargetError::Relative);
    }
    let odd = |c: Component<'_>| !matches!(c, Component::RootDir | Component::Normal(_));
    if path.components().any(odd) { Err(TargetError::Odd) } else { Ok(()) }
}

/// Opens a directory component by component, following no link.
fn walk(path: &Path) -> Result<OwnedFd, TargetError> {
    let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut at = PathBuf::from("/");
    let explain = |at: &Path, e| match e {
        rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => TargetError::Link(at.to_owned()),
        e => TargetError::Io(at.to_owned(), e.into()),
    };
    let mut dir = rfs::open("/", step, Mode::empty()).map_err(|e| explain(&at, e))?;
    for component in path.components() {
        if let Component::Normal(name) = component {
            at.push(name);
            dir = rfs::openat(&dir, name, step, Mode::empty()).map_err(|e| explain(&at, e))?;
        }
    }
    // A path descriptor cannot be synced; the same directory, opened for reading, can.
    let read = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rfs::openat(&dir, ".", read, Mode::empty()).map_err(|e| explain(&at, e))
}

fn replaceable(stat: &Stat, me: u32) -> Result<(), TargetError> {
    if rfs::FileType::from_raw_mode(stat.st_mode) != rfs::FileType::RegularFile {
        return Err(TargetError::Kind(fsat::kind(stat.st_mode)));
    }
    if stat.st_uid != me {
        return Err(TargetError::Foreign(stat.st_uid));
    }
    if stat.st_nlink > 1 {
        return Err(TargetError::Names(stat.st_nlink));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn refused(path: &Path) -> String {
        Target::check(path).unwrap_err().to_string()
    }

    #[test]
    fn only_plain_absolute_paths() {
        assert_eq!(refused(Path::new("t.json")), "is not an absolute path");
        for odd in ["/tmp/../etc/x", "/", "/tmp/x/"] {
            assert_eq!(refused(Path::new(odd)), "has a component that is not a plain name", "{odd}");
        }
    }

    #[test]
    fn links_foreign_kinds_and_second_names_are_refused() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap();
        symlink("/etc/passwd", dir.join("link")).unwrap();
        assert_eq!(refused(&dir.join("link")), "is a symbolic link, not a regular file");
        symlink(&dir, dir.join("dir")).unwrap();
        assert!(refused(&dir.join("dir/t.json")).ends_with("dir: is a symbolic link or not a directory"));
        fs::create_dir(dir.join("sub")).unwrap();
        assert_eq!(refused(&dir.join("sub")), "is a directory, not a regular file");
        fs::write(dir.join("one"), "x").unwrap();
        assert!(Target::check(&dir.join("one")).is_ok());
        fs::hard_link(dir.join("one"), dir.join("two")).unwrap();
        assert_eq!(refused(&dir.join("two")), "has 2 names");
        assert!(refused(&dir.join("none/t.json")).contains("none: "));
    }

    #[test]
    fn a_directory_open_to_all_needs_its_sticky_bit() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().canonicalize().unwrap().join("d");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        assert_eq!(refused(&dir.join("t")), "directory can be written by every user");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(Target::check(&dir.join("t")).is_ok());
    }

    #[test]
    fn a_file_of_somebody_else_stays() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let stat = rfs::stat(file.path()).unwrap();
        assert!(replaceable(&stat, stat.st_uid).is_ok());
        assert_eq!(
            replaceable(&stat, stat.st_uid + 1).unwrap_err().to_string(),
            format!("belongs to uid {}", stat.st_uid)
        );
    }

    #[test]
    fn a_trace_has_its_mode_and_its_place() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().canonicalize().unwrap().join("t.json");
        let mut file = Target::check(&path).unwrap().create().unwrap();
        io::Write::write_all(&mut file, b"{}").unwrap();
        file.commit().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"{}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    }
}

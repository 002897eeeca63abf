//! Lists the regular files below paths one by one, sorted by path. Keeps only the names of the directories on the way in
//! memory.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::out::Diag;
use rustix::fs::{self as rfs, AtFlags, CWD, FileType, OFlags, RawDir, Statx, StatxFlags};
use rustix::io::Errno;

use common::file_id::FileId;
use common::walk::{self, file_type};

/// Size of the buffer for directory entries, in bytes.
const BUFFER: usize = 64 << 10;

/// A regular file, by its directory and name there.
#[derive(Clone, Debug)]
pub(crate) struct ListedFile {
    pub(crate) dir: Arc<OwnedFd>,
    pub(crate) name: CString,
    /// As it is shown and written to the manifest.
    pub(crate) path: PathBuf,
    pub(crate) size: u64,
    /// Whether the name may be a symbolic link.
    pub(crate) follow: bool,
    /// Whether it is a symbolic link that is not followed: see [`ListOptions::links`].
    pub(crate) link: bool,
}

/// The options of a listing.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOptions {
    /// Whether symbolic links below the paths are followed; the paths themselves always are.
    pub(crate) follow: bool,
    /// Whether symbolic links that are not followed are listed; otherwise they are counted.
    pub(crate) links: bool,
    /// Files to skip: the manifest itself.
    pub(crate) without: Vec<FileId>,
}

/// Iterates over the files. I/O errors are reported; symbolic links that are not followed are counted.
pub(crate) struct FileLister<'a> {
    base: Arc<OwnedFd>,
    options: ListOptions,
    diag: &'a Diag,
    /// The given paths, sorted, and whether each was already found below another one.
    roots: BTreeMap<PathBuf, bool>,
    levels: Vec<DirectoryLevel>,
    /// The path of the current directory.
    path: Vec<u8>,
    buffer: Vec<MaybeUninit<u8>>,
    /// Number of symbolic links that were not followed, and the first of them.
    pub(crate) links: u64,
    first: PathBuf,
}

/// A directory that is being listed.
struct DirectoryLevel {
    dir: Arc<OwnedFd>,
    id: FileId,
    /// Length of the path above it.
    above: usize,
    /// Its names, each with a NUL, and the offsets of those that are left, in reverse order.
    names: Vec<u8>,
    left: Vec<u32>,
}

impl<'a> FileLister<'a> {
    /// `base` is the directory to which relative paths are relative.
    pub(crate) fn list_below(
        base: &Arc<OwnedFd>,
        paths: &[PathBuf],
        options: ListOptions,
        diag: &'a Diag,
    ) -> Self {
        Self {
            base: Arc::clone(base),
            options,
            diag,
            roots: paths.iter().map(|p| (p.clone(), false)).collect(),
            levels: Vec::new(),
            path: Vec::new(),
            buffer: vec![MaybeUninit::uninit(); BUFFER],
            links: 0,
            first: PathBuf::new(),
        }
    }

    /// Warns of the symbolic links that were not followed, after the last file.
    pub(crate) fn warn_of_symlinks(&self) {
        if self.links > 0 {
            let first = self.first.display();
            match self.links {
                1 => self.diag.warn(&first, "is a symbolic link, not followed"),
                n => self
                    .diag
                    .warn(&first, format_args!("is one of {n} symbolic links that were not followed")),
            }
            self.diag.help("--follow includes their targets");
        }
    }

    fn report_error(&self, path: &Path, why: impl std::fmt::Display) {
        self.diag.error(path.display(), why);
    }

    /// Starts with a path that the user named.
    fn start_root(&mut self, path: &Path) -> Option<ListedFile> {
        let Ok(name) = CString::new(path.as_os_str().as_bytes()) else {
            self.report_error(path, "contains a NUL byte");
            return None;
        };
        self.path.clear();
        let base = Arc::clone(&self.base);
        self.path.extend_from_slice(path.as_os_str().as_bytes());
        match stat_at(&base, &name, true) {
            Ok(st) if file_type(&st) == FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                self.enter_directory(rfs::openat(&base, &name, flags, rfs::Mode::empty()), 0);
            }
            Ok(st) if file_type(&st) == FileType::RegularFile => {
                return self.list_file(base, name, path.to_owned(), &st, true);
            }
            Ok(st) => {
                let kind = common::fsat::kind(u32::from(st.stx_mode));
                self.report_error(path, format_args!("is {kind}, not a regular file"));
            }
            Err(e) => self.report_error(path, common::error::errno_reason(e)),
        }
        None
    }

    /// Inspects an entry of the current directory.
    fn inspect_entry(&mut self, dir: Arc<OwnedFd>, name: CString) -> Option<ListedFile> {
        let path = self.child_path(&name);
        // A path that the user named is followed also where it is found below another.
        let named = self.roots.contains_key(&path);
        if named {
            self.roots.insert(path.clone(), true);
        }
        let st = match stat_at(&dir, &name, false) {
            Ok(st) => st,
            // It is gone.
            Err(Errno::NOENT) => return None,
            Err(e) => {
                self.report_error(&path, common::error::errno_reason(e));
                return None;
            }
        };
        match file_type(&st) {
            FileType::RegularFile => self.list_file(dir, name, path, &st, false),
            FileType::Directory => {
                let options = walk::WalkOptions { threads: 1, cross_mounts: false };
                let opened = walk::open_directory(dir.as_fd(), &name, options);
                self.enter_child(&path, &name, opened);
                None
            }
            FileType::Symlink if named || self.options.follow => self.follow_symlink(dir, name, path),
            FileType::Symlink if self.options.links => {
                Some(ListedFile { dir, name, path, size: 0, follow: false, link: true })
            }
            FileType::Symlink => {
                if self.links == 0 {
                    self.first = path;
                }
                self.links += 1;
                None
            }
            _ => None,
        }
    }

    fn follow_symlink(&mut self, dir: Arc<OwnedFd>, name: CString, path: PathBuf) -> Option<ListedFile> {
        match stat_at(&dir, &name, true) {
            Ok(st) if file_type(&st) == FileType::RegularFile => self.list_file(dir, name, path, &st, true),
            Ok(st) if file_type(&st) == FileType::Directory => {
                let id = FileId::of_statx(&st);
                if self.levels.iter().any(|l| l.id == id) {
                    self.diag
                        .warn(path.display(), "is a symbolic link to a directory above it, not followed");
                } else {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    let opened = rfs::openat(&dir, &name, flags, rfs::Mode::empty());
                    self.enter_child(&path, &name, opened);
                }
                None
            }
            Ok(_) => None,
            Err(Errno::NOENT) => {
                self.report_error(&path, "is a symbolic link to a missing file");
                None
            }
            Err(e) => {
                self.report_error(&path, common::error::errno_reason(e));
                None
            }
        }
    }

    fn list_file(
        &self,
        dir: Arc<OwnedFd>,
        name: CString,
        path: PathBuf,
        st: &Statx,
        follow: bool,
    ) -> Option<ListedFile> {
        let own = self.options.without.contains(&FileId::of_statx(st));
        (!own).then_some(ListedFile { dir, name, path, size: st.stx_size, follow, link: false })
    }

    /// Goes into a directory below the one at hand.
    fn enter_child(&mut self, path: &Path, name: &CStr, opened: rustix::io::Result<OwnedFd>) {
        match opened {
            Err(Errno::XDEV) => self.diag.warn(path.display(), "is another file system, not entered"),
            // It is gone, or turned into something else.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            opened => {
                let above = self.path.len();
                push_separator(&mut self.path);
                self.path.extend_from_slice(name.to_bytes());
                self.enter_directory(opened, above);
            }
        }
    }

    /// Reads the directory whose path is at hand; `above` is the length of the path to go back to.
    fn enter_directory(&mut self, opened: rustix::io::Result<OwnedFd>, above: usize) {
        let level = opened.and_then(|dir| DirectoryLevel::read_names(dir, above, &mut self.buffer));
        match level {
            Ok(level) => self.levels.push(level),
            Err(e) => {
                self.report_error(
                    Path::new(std::ffi::OsStr::from_bytes(&self.path)),
                    common::error::errno_reason(e),
                );
                self.path.truncate(above);
            }
        }
    }

    fn child_path(&self, name: &CStr) -> PathBuf {
        let mut path = Vec::with_capacity(self.path.len() + name.to_bytes().len() + 1);
        path.extend_from_slice(&self.path);
        push_separator(&mut path);
        path.extend_from_slice(name.to_bytes());
        std::ffi::OsString::from_vec(path).into()
    }
}

impl Iterator for FileLister<'_> {
    type Item = ListedFile;

    fn next(&mut self) -> Option<ListedFile> {
        loop {
            let found = if let Some(level) = self.levels.last_mut() {
                let Some(at) = level.left.pop() else {
                    self.path.truncate(level.above);
                    self.levels.pop();
                    continue;
                };
                let name = CStr::from_bytes_until_nul(&level.names[at as usize..]).unwrap_or_default();
                let (dir, name) = (Arc::clone(&level.dir), name.to_owned());
                self.inspect_entry(dir, name)
            } else {
                let (path, met) = self.roots.pop_first()?;
                if met { None } else { self.start_root(&path) }
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

impl DirectoryLevel {
    fn read_names(dir: OwnedFd, above: usize, buffer: &mut [MaybeUninit<u8>]) -> rustix::io::Result<Self> {
        let st = walk::stat_open(&dir)?;
        let (mut names, mut left) = (Vec::new(), Vec::new());
        let mut raw = RawDir::new(&dir, buffer);
        while let Some(entry) = raw.next() {
            let entry = match entry {
                // It was removed while it is read.
                Err(Errno::NOENT) => break,
                entry => entry?,
            };
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                left.push(u32::try_from(names.len()).map_err(|_| Errno::NOMEM)?);
                names.extend_from_slice(entry.file_name().to_bytes_with_nul());
            }
        }
        let name = |at: &u32| CStr::from_bytes_until_nul(&names[*at as usize..]).unwrap_or_default();
        left.sort_unstable_by(|a, b| name(b).cmp(name(a)));
        Ok(Self { dir: dir.into(), id: FileId::of_statx(&st), above, names, left })
    }
}

fn push_separator(path: &mut Vec<u8>) {
    if path.last().is_some_and(|&b| b != b'/') {
        path.push(b'/');
    }
}

fn stat_at(dir: &OwnedFd, name: &CStr, follow: bool) -> rustix::io::Result<Statx> {
    let links = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
    rfs::statx(dir, name, links | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS)
}

/// Opens the directory to which relative paths are relative.
pub(crate) fn open_base(path: Option<&Path>) -> rustix::io::Result<Arc<OwnedFd>> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rfs::openat(CWD, path.unwrap_or(Path::new(".")), flags, rfs::Mode::empty()).map(Arc::new)
}

/// Finds a file by its name in a manifest; follows symbolic links, as sha256sum does.
pub(crate) fn find_named(base: &Arc<OwnedFd>, path: &Path) -> Option<ListedFile> {
    let name = CString::new(path.as_os_str().as_bytes()).ok()?;
    let size = stat_at(base, &name, true).map_or(0, |st| st.stx_size);
    Some(ListedFile { dir: Arc::clone(base), name, path: path.to_owned(), size, follow: true, link: false })
}

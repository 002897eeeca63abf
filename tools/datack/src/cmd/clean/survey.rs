//! Finds the files that may be deleted, and keeps little of each: a list of a million must fit in memory.

use std::collections::HashSet;
use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::Arc;

use common::out::Diag;
use rustix::fs::{self as rfs, FileType, OFlags, Statx};
use rustix::io::Errno;

use super::generated::{self, HEAD};
use common::glob::Glob;
use common::walk::{self, OpenDirectory, TreeNode, WalkOptions, WalkVisitor, device_of, file_type};

/// Which files may be deleted.
pub(super) enum Wanted {
    /// Those that match a pattern below their root.
    Match(Vec<Glob>),
    /// Generated traces and logs.
    Generated,
}

/// One file that may be deleted; its names are in the [`Survey`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    dir: u32,
    name: usize,
    pub(super) size: u64,
    /// What it takes on disk: a file with holes takes less than its size.
    pub(super) taken: u64,
    /// Whether it has other names: what it takes is taken until the last of them goes.
    pub(super) shared: bool,
    /// Modification time in seconds since the epoch.
    pub(super) mtime: i64,
    pub(super) inode: u64,
    /// Its own: on an overlay the files of one directory have several.
    pub(super) device: u64,
}

/// A directory that holds candidates.
struct Place {
    node: Arc<TreeNode>,
    device: u64,
    inode: u64,
}

/// Every candidate, oldest first.
#[derive(Default)]
pub(super) struct Survey {
    places: Vec<Place>,
    /// Names of files, each with its terminator.
    names: Vec<u8>,
    pub(super) files: Vec<Candidate>,
}

impl Survey {
    /// Walks the roots. What cannot be seen is reported.
    pub(super) fn of(roots: &[PathBuf], wanted: &Wanted, diag: &Diag) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        let new = || Surveyor { wanted, diag, found: Self::default(), path: Vec::new() };
        let options = WalkOptions { threads, cross_mounts: false };
        let (surveyors, errors) = walk::walk_trees(roots, options, new);
        errors.into_iter().for_each(|e| diag.error(e.path.display(), common::error::errno_reason(e.error)));
        let mut all = Self::default();
        surveyors.into_iter().for_each(|s| all.append(s.found));
        all.sort();
        // Paths that overlap name a file twice.
        if roots.len() > 1 {
            all.unique();
        }
        all
    }

    /// What all of them take on disk, those with several names once.
    pub(super) fn taken(&self) -> u64 {
        let mut seen = HashSet::new();
        self.files.iter().filter(|f| !f.shared || seen.insert((f.device, f.inode))).map(|f| f.taken).sum()
    }

    pub(super) fn name(&self, file: &Candidate) -> &CStr {
        CStr::from_bytes_until_nul(&self.names[file.name..]).unwrap_or_default()
    }

    /// Which of the roots it is below.
    pub(super) fn root(&self, file: &Candidate) -> usize {
        self.place(file).node.root
    }

    /// Its directory, below the root.
    pub(super) fn parent(&self, file: &Candidate) -> PathBuf {
        let mut below = Vec::new();
        self.place(file).node.relative(None, &mut below);
        std::ffi::OsString::from_vec(below).into()
    }

    pub(super) fn path(&self, file: &Candidate) -> PathBuf {
        self.place(file).node.path_of(self.name(file))
    }

    fn place(&self, file: &Candidate) -> &Place {
        &self.places[file.dir as usize]
    }

    fn append(&mut self, other: Self) {
        let (dirs, names) = (self.places.len() as u32, self.names.len());
        self.places.extend(other.places);
        self.names.extend_from_slice(&other.names);
        let moved = |f: Candidate| Candidate { dir: f.dir + dirs, name: f.name + names, ..f };
        self.files.extend(other.files.into_iter().map(moved));
    }

    /// Oldest first; those of the same second by directory and name, so that runs are alike.
    fn sort(&mut self) {
        let mut order: Vec<_> = self.places.iter().enumerate().map(|(i, p)| (p.node.path(), i)).collect();
        order.sort_unstable();
        let mut rank = vec![0_u32; self.places.len()];
        order.iter().enumerate().for_each(|(r, (_, i))| rank[*i] = r as u32);
        let mut files = std::mem::take(&mut self.files);
        files.sort_unstable_by(|a, b| {
            let key = |f: &Candidate| (f.mtime, rank[f.dir as usize]);
            key(a).cmp(&key(b)).then_with(|| self.name(a).cmp(self.name(b)))
        });
        self.files = files;
    }

    fn unique(&mut self) {
        let mut files = std::mem::take(&mut self.files);
        let mut seen = HashSet::new();
        files.retain(|f| {
            let place = self.place(f);
            seen.insert((place.device, place.inode, self.name(f)))
        });
        drop(seen);
        self.files = files;
    }
}

struct Surveyor<'a> {
    wanted: &'a Wanted,
    diag: &'a Diag,
    found: Survey,
    /// The path at hand, kept to save an allocation for each.
    path: Vec<u8>,
}

impl Surveyor<'_> {
    fn wants(&mut self, dir: &OpenDirectory, name: &CStr) -> bool {
        match self.wanted {
            Wanted::Match(globs) => {
                dir.node.relative(Some(name.to_bytes()), &mut self.path);
                globs.iter().any(|g| g.matches(&self.path))
            }
            Wanted::Generated => {
                let path = dir.node.path_of(name);
                let Some(kind) = generated::kind(path.as_os_str().as_bytes()) else { return false };
                if kind == generated::Kind::Certain {
                    return true;
                }
                match head(dir, name) {
                    Ok(head) => generated::confirms(kind, &head),
                    Err(e) => {
                        self.diag.error(path.display(), common::error::io_reason(&e));
                        false
                    }
                }
            }
        }
    }
}

/// The beginning of a file.
fn head(dir: &OpenDirectory, name: &CStr) -> std::io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rfs::openat(dir, name, flags, rfs::Mode::empty())?);
    let mut head = Vec::with_capacity(HEAD);
    file.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

impl WalkVisitor for Surveyor<'_> {
    /// The directory's number, once a file of it was found.
    type State = Option<u32>;

    fn file(&mut self, dir: &OpenDirectory, state: &mut Self::State, name: &CStr, st: &Statx) {
        if file_type(st) != FileType::RegularFile || !self.wants(dir, name) {
            return;
        }
        let found = &mut self.found;
        let number = *state.get_or_insert_with(|| {
            let place =
                Place { node: Arc::clone(&dir.node), device: device_of(&dir.st), inode: dir.st.stx_ino };
            found.places.push(place);
            found.places.len() as u32 - 1
        });
        let at = found.names.len();
        found.names.extend_from_slice(name.to_bytes_with_nul());
        let (size, mtime, inode, device) = (st.stx_size, st.stx_mtime.tv_sec, st.stx_ino, device_of(st));
        let (taken, shared) = (size.min(st.stx_blocks.saturating_mul(512)), st.stx_nlink > 1);
        found.files.push(Candidate { dir: number, name: at, size, taken, shared, mtime, inode, device });
    }

    fn dir(&mut self, _dir: &OpenDirectory, _state: Self::State) {}

    fn mount_point(&mut self, parent: &OpenDirectory, name: &CStr, _st: &Statx) {
        self.diag.warn(parent.node.path_of(name).display(), "another file system, not entered");
    }

    fn failed(&mut self, parent: &OpenDirectory, name: &CStr, _st: Option<&Statx>, error: Errno) {
        self.diag.error(parent.node.path_of(name).display(), common::error::errno_reason(error));
    }

    fn vanished(&mut self) {}
}

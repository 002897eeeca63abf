//! Walks trees with getdents64 and statx, on several threads, in memory that does not grow with the tree.
//!
//! Everything is reached through the descriptor of its directory, never by a path from the root, so a tree
//! that is renamed or replaced by links while it is being walked cannot lead the walk outside. A directory is
//! opened without following symbolic links and read through that descriptor: the directory that is checked is walked.
//! Entries are passed to a [`WalkVisitor`], one per thread.

mod listing;
mod pool;
mod reach;

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::{self as rfs, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Statx, StatxFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::file_id::FileId;

pub use pool::{WalkStart, walk_from, walk_trees};
pub use reach::Reach;

/// How to walk.
#[derive(Clone, Copy, Debug)]
pub struct WalkOptions {
    /// Worker threads, at least one.
    pub threads: usize,
    /// Whether to go below mount points.
    pub cross_mounts: bool,
}

/// Receives the entries of a walk. Each thread has its own; a directory is visited by one thread only.
pub trait WalkVisitor: Send {
    /// State that is collected about a directory while its entries are visited.
    type DirectoryState: Default + Send;

    /// An entry that is not a directory.
    fn visit_file(&mut self, dir: &OpenDirectory, state: &mut Self::DirectoryState, name: &CStr, st: &Statx);

    /// A directory, after all its entries that are not directories.
    fn visit_directory(&mut self, dir: &OpenDirectory, state: Self::DirectoryState);

    /// A directory that is not entered: another file system's root.
    fn visit_mount_point(&mut self, parent: &OpenDirectory, name: &CStr, st: &Statx);

    /// An entry that is not a directory and that is mounted over another one, where mounts are not crossed.
    fn visit_mounted_file(
        &mut self,
        dir: &OpenDirectory,
        state: &mut Self::DirectoryState,
        name: &CStr,
        st: &Statx,
    ) {
        self.visit_file(dir, state, name, st);
    }

    /// An I/O error about an entry; `st` where it is known.
    fn report_error(&mut self, parent: &OpenDirectory, name: &CStr, st: Option<&Statx>, error: Errno);

    /// An entry that was deleted or replaced after it was listed.
    fn count_vanished(&mut self);
}

/// The place of an entry in the tree: its name and its parents, without a descriptor.
#[derive(Debug)]
pub struct TreeNode {
    parent: Option<Arc<Self>>,
    name: Box<[u8]>,
    /// The number of the walked root that this is below.
    pub root: usize,
    /// 0 for a root.
    pub depth: u32,
    /// A root that is a file: the name is the file's whole path as it was given, also where that is a link.
    file: bool,
    /// The users who get to it, and those who get to its entries.
    reach: (Reach, Reach),
    /// Its owner; none for a root that the caller made.
    owner: Option<u32>,
}

impl TreeNode {
    /// A root by its path and its index among the roots, as if everybody could get to its entries.
    #[must_use]
    pub fn root(path: &[u8], root: usize) -> Arc<Self> {
        Self::new_root(path, root, <_>::default(), None)
    }

    fn new_root(path: &[u8], root: usize, reach: (Reach, Reach), owner: Option<u32>) -> Arc<Self> {
        Arc::new(Self { parent: None, name: path.into(), root, depth: 0, file: false, reach, owner })
    }

    /// The directory of a root that is a file.
    fn of_file(path: &[u8], root: usize, reach: Reach) -> Arc<Self> {
        Arc::new(Self {
            parent: None,
            name: path.into(),
            root,
            depth: 0,
            file: true,
            reach: (reach, reach),
            owner: None,
        })
    }

    fn new_child(self: &Arc<Self>, name: &[u8], fd: impl AsFd, st: &Statx) -> Arc<Self> {
        Arc::new(Self {
            parent: Some(Arc::clone(self)),
            name: name.into(),
            root: self.root,
            depth: self.depth + 1,
            file: false,
            reach: (self.reach.1, self.reach.1.through_open(fd, st)),
            owner: Some(st.stx_uid),
        })
    }

    /// The users who get to this directory through those above it, as [`WalkStart::reach`] and the walk found them.
    pub fn reach(&self) -> Reach {
        self.reach.0
    }

    /// The owner of the directory above this one, where that was walked.
    pub fn owner_above(&self) -> Option<u32> {
        self.parent.as_ref().and_then(|parent| parent.owner)
    }

    /// The users who get to the entries of this directory.
    pub fn reach_of_entries(&self) -> Reach {
        self.reach.1
    }

    /// The entry's own name; a root's whole path.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The path as the user would write it: the root as given, and the names below.
    pub fn path(&self) -> PathBuf {
        self.join_path(None)
    }

    /// The path of an entry of this directory.
    pub fn path_of(&self, name: &CStr) -> PathBuf {
        self.join_path((!self.file).then_some(name.to_bytes()))
    }

    /// Writes the path below the root into `into`, with `name` at its end.
    pub fn write_relative(&self, name: Option<&[u8]>, into: &mut Vec<u8>) {
        into.clear();
        self.push_names(into, false);
        if let Some(name) = name {
            push_separator(into);
            into.extend_from_slice(name);
        }
    }

    fn join_path(&self, name: Option<&[u8]>) -> PathBuf {
        let mut bytes = Vec::with_capacity(256);
        self.push_names(&mut bytes, true);
        if let Some(name) = name {
            push_separator(&mut bytes);
            bytes.extend_from_slice(name);
        }
        PathBuf::from(std::ffi::OsString::from_vec(bytes))
    }

    /// Iterative, because a hostile tree may be very deep.
    fn push_names(&self, into: &mut Vec<u8>, with_root: bool) {
        let mut chain = Vec::new();
        let mut node = Some(self);
        while let Some(n) = node {
            chain.push(n);
            node = n.parent.as_deref();
        }
        for n in chain.iter().rev() {
            if n.parent.is_some() || with_root {
                push_separator(into);
                into.extend_from_slice(&n.name);
            }
        }
    }
}

/// Drops long chains of parents without recursion.
impl Drop for TreeNode {
    fn drop(&mut self) {
        let mut next = self.parent.take();
        while let Some(mut node) = next.and_then(Arc::into_inner) {
            next = node.parent.take();
        }
    }
}

fn push_separator(path: &mut Vec<u8>) {
    if path.last().is_some_and(|&b| b != b'/') {
        path.push(b'/');
    }
}

/// An open directory.
#[derive(Debug)]
pub struct OpenDirectory {
    fd: Arc<OwnedFd>,
    /// Where it is.
    pub node: Arc<TreeNode>,
    /// Its own metadata, taken through the descriptor.
    pub st: Statx,
}

impl AsFd for OpenDirectory {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A root that cannot be walked.
#[derive(Debug)]
pub struct RootError {
    /// The root as given.
    pub path: PathBuf,
    /// Why.
    pub error: Errno,
}

/// Allows as many open files as the hard limit does: a deep tree takes one for each of its levels, and more for what
/// lies beside them. The former limit is enough for usual trees, so a failure is ignored.
pub fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// The metadata that is read of every entry: the creation time distinguishes files that reuse an inode number, the mount
/// id entries that are mounted here (statx(2)).
const WANTED: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

/// The metadata of an entry, links not followed, automounts not started.
pub fn stat_entry(dir: impl AsFd, name: &CStr) -> rustix::io::Result<Statx> {
    rfs::statx(dir, name, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, WANTED)
}

/// The metadata of a path without links.
pub fn stat_path(path: &std::path::Path) -> rustix::io::Result<Statx> {
    rfs::statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, WANTED)
}

/// The metadata of an open file.
pub fn stat_open(fd: impl AsFd) -> rustix::io::Result<Statx> {
    rfs::statx(fd, c"", AtFlags::EMPTY_PATH, WANTED)
}

/// The type of a file.
pub fn file_type(st: &Statx) -> FileType {
    FileType::from_raw_mode(u32::from(st.stx_mode))
}

/// Returns the mount of an entry: two entries with the same value are on the same mount. A bind mount has the device of
/// what it shows, and on an overlay the files of one directory have several; only kernels before 5.8 know no more
/// than devices.
pub fn mount_of(st: &Statx) -> (bool, u64) {
    let known = StatxFlags::from_bits_retain(st.stx_mask).contains(StatxFlags::MNT_ID);
    (known, if known { st.stx_mnt_id } else { FileId::of_statx(st).device })
}

/// Returns whether an entry is a mount point in its directory. Where the kernel does not report mounts, devices would
/// say so of every file of an overlay.
fn is_mounted(dir: &Statx, st: &Statx) -> bool {
    let ((known, there), (_, here)) = (mount_of(dir), mount_of(st));
    known && there != here
}

/// Opens a directory below `parent` for listing: no link, and no mount point unless asked for.
pub fn open_directory(
    parent: BorrowedFd<'_>,
    name: &CStr,
    options: WalkOptions,
) -> rustix::io::Result<OwnedFd> {
    open_entry(parent, name, OFlags::RDONLY | OFlags::DIRECTORY, options.cross_mounts)
}

/// Opens an entry of `parent`: never through a link, and nothing that is mounted there unless asked for.
pub fn open_entry(
    parent: BorrowedFd<'_>,
    name: &CStr,
    flags: OFlags,
    cross_mounts: bool,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = if cross_mounts { ResolveFlags::empty() } else { ResolveFlags::NO_XDEV };
    match rfs::openat2(parent, name, flags, Mode::empty(), resolve) {
        // Old kernels, and sandboxes that know no openat2.
        Err(Errno::NOSYS | Errno::PERM) => {}
        other => return other,
    }
    let fd = rfs::openat(parent, name, flags, Mode::empty())?;
    if !cross_mounts && mount_of(&stat_open(&fd)?) != mount_of(&stat_open(parent)?) {
        return Err(Errno::XDEV);
    }
    Ok(fd)
}

/// Opens a root; follows a symbolic link that the user named.
fn open_root(path: &std::path::Path) -> rustix::io::Result<OwnedFd> {
    rfs::openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

#[cfg(test)]
mod tests;

//! Collects the files that may be deleted. Keeps little of each: a list of a million must fit in memory.

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

use super::generated::{self, HEAD_SIZE};
use super::recordings::RecordingNumbers;
use common::file_id::FileId;
use common::glob::Glob;
use common::walk::{self, OpenDirectory, TreeNode, WalkOptions, WalkVisitor, file_type};

/// The files that may be deleted.
pub(super) enum FileSelection {
    /// Those that match a pattern below their root.
    Match(Vec<Glob>),
    /// Generated traces and logs.
    Generated,
}

/// One file that may be deleted; its names are in the [`CandidateList`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    dir: u32,
    name: usize,
    pub(super) size: u64,
    /// Bytes on disk: whole blocks, and none for holes.
    pub(super) taken: u64,
    /// Whether it has other hard links: its space is freed only with the last of them.
    pub(super) shared: bool,
    /// Modification time in seconds since the epoch.
    pub(super) mtime: i64,
    /// The number of the recording that it belongs to.
    pub(super) recording: u32,
    /// Modification time of the newest file of the recording.
    pub(super) newest: i64,
    /// With its own device: on an overlay the files of one directory have several.
    pub(super) id: FileId,
}

/// A directory that holds candidates.
struct CandidateDirectory {
    node: Arc<TreeNode>,
    id: FileId,
}

/// Every candidate, oldest first.
#[derive(Default)]
pub(super) struct CandidateList {
    directories: Vec<CandidateDirectory>,
    /// Names of files, each with its terminator.
    names: Vec<u8>,
    pub(super) files: Vec<Candidate>,
}

impl CandidateList {
    /// Walks the roots. I/O errors are reported.
    pub(super) fn collect(roots: &[PathBuf], wanted: &FileSelection, diag: &Diag) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        let new = || CandidateCollector { wanted, diag, found: Self::default(), path: Vec::new() };
        let options = WalkOptions { threads, cross_mounts: false };
        let (surveyors, errors) = walk::walk_trees(roots, options, new);
        errors.into_iter().for_each(|e| diag.error(e.path.display(), common::error::errno_reason(e.error)));
        let mut all = Self::default();
        surveyors.into_iter().for_each(|s| all.append_list(s.found));
        all.sort_by_age();
        // Overlapping paths contain a file twice.
        if roots.len() > 1 {
            all.remove_duplicates();
        }
        all.join_recordings();
        all
    }

    /// Returns the bytes that all of them take on disk; a file with several hard links counts once.
    pub(super) fn bytes_on_disk(&self) -> u64 {
        let mut seen = HashSet::new();
        self.files.iter().filter(|f| !f.shared || seen.insert(f.id)).map(|f| f.taken).sum()
    }

    pub(super) fn name(&self, file: &Candidate) -> &CStr {
        CStr::from_bytes_until_nul(&self.names[file.name..]).unwrap_or_default()
    }

    /// Returns the index of its root.
    pub(super) fn root_index(&self, file: &Candidate) -> usize {
        self.directory(file).node.root
    }

    /// Returns its directory, relative to the root.
    pub(super) fn directory_path(&self, file: &Candidate) -> PathBuf {
        let mut below = Vec::new();
        self.directory(file).node.write_relative(None, &mut below);
        std::ffi::OsString::from_vec(below).into()
    }

    pub(super) fn path(&self, file: &Candidate) -> PathBuf {
        self.directory(file).node.path_of(self.name(file))
    }

    fn directory(&self, file: &Candidate) -> &CandidateDirectory {
        &self.directories[file.dir as usize]
    }

    fn append_list(&mut self, other: Self) {
        let (dirs, names) = (self.directories.len() as u32, self.names.len());
        self.directories.extend(other.directories);
        self.names.extend_from_slice(&other.names);
        let moved = |f: Candidate| Candidate { dir: f.dir + dirs, name: f.name + names, ..f };
        self.files.extend(other.files.into_iter().map(moved));
    }

    /// Sorts by age, oldest first; files of the same second by directory and name, so that the order is stable.
    fn sort_by_age(&mut self) {
        let mut order: Vec<_> =
            self.directories.iter().enumerate().map(|(i, p)| (p.node.path(), i)).collect();
        order.sort_unstable();
        let mut rank = vec![0_u32; self.directories.len()];
        order.iter().enumerate().for_each(|(r, (_, i))| rank[*i] = r as u32);
        let mut files = std::mem::take(&mut self.files);
        files.sort_unstable_by(|a, b| {
            let key = |f: &Candidate| (f.mtime, rank[f.dir as usize]);
            key(a).cmp(&key(b)).then_with(|| self.name(a).cmp(self.name(b)))
        });
        self.files = files;
    }

    /// Puts the files of a recording together; it is as old as its newest file.
    fn join_recordings(&mut self) {
        let mut numbers = RecordingNumbers::default();
        let mut files = std::mem::take(&mut self.files);
        for file in &mut files {
            file.recording = numbers.add(self.path(file).as_os_str().as_bytes(), file.mtime);
        }
        files.iter_mut().for_each(|f| f.newest = numbers.newest[f.recording as usize]);
        files.sort_by_key(|f| (f.newest, f.recording));
        self.files = files;
    }

    /// Returns the files of each recording, oldest recording first.
    pub(super) fn recordings(&self) -> impl Iterator<Item = &[Candidate]> {
        self.files.chunk_by(|a, b| a.recording == b.recording)
    }

    fn remove_duplicates(&mut self) {
        let mut files = std::mem::take(&mut self.files);
        let mut seen = HashSet::new();
        files.retain(|f| {
            let place = self.directory(f);
            seen.insert((place.id, self.name(f)))
        });
        drop(seen);
        self.files = files;
    }
}

struct CandidateCollector<'a> {
    wanted: &'a FileSelection,
    diag: &'a Diag,
    found: CandidateList,
    /// Buffer for the path of the current file.
    path: Vec<u8>,
}

impl CandidateCollector<'_> {
    fn is_wanted(&mut self, dir: &OpenDirectory, name: &CStr) -> bool {
        match self.wanted {
            FileSelection::Match(globs) => {
                dir.node.write_relative(Some(name.to_bytes()), &mut self.path);
                globs.iter().any(|g| g.matches(&self.path))
            }
            FileSelection::Generated => {
                let path = dir.node.path_of(name);
                let Some(kind) = generated::classify_path(path.as_os_str().as_bytes()) else { return false };
                if kind == generated::GeneratedKind::Certain {
                    return true;
                }
                match read_head(dir, name) {
                    Ok(head) => generated::confirms_content(kind, &head),
                    Err(e) => {
                        self.diag.error(path.display(), common::error::io_reason(&e));
                        false
                    }
                }
            }
        }
    }
}

/// Reads the beginning of a file.
fn read_head(dir: &OpenDirectory, name: &CStr) -> std::io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rfs::openat(dir, name, flags, rfs::Mode::empty())?);
    let mut head = Vec::with_capacity(HEAD_SIZE);
    file.take(HEAD_SIZE as u64).read_to_end(&mut head)?;
    Ok(head)
}

impl WalkVisitor for CandidateCollector<'_> {
    /// The index of the directory, once a file in it was found.
    type DirectoryState = Option<u32>;

    fn visit_file(&mut self, dir: &OpenDirectory, state: &mut Self::DirectoryState, name: &CStr, st: &Statx) {
        if file_type(st) != FileType::RegularFile || !self.is_wanted(dir, name) {
            return;
        }
        let found = &mut self.found;
        let number = *state.get_or_insert_with(|| {
            let place = CandidateDirectory { node: Arc::clone(&dir.node), id: FileId::of_statx(&dir.st) };
            found.directories.push(place);
            found.directories.len() as u32 - 1
        });
        let at = found.names.len();
        found.names.extend_from_slice(name.to_bytes_with_nul());
        let (size, mtime, id) = (st.stx_size, st.stx_mtime.tv_sec, FileId::of_statx(st));
        let shared = st.stx_nlink > 1;
        // Some file systems keep small files without a block.
        let taken = if st.stx_blocks == 0 { size.min(512) } else { st.stx_blocks.saturating_mul(512) };
        let (recording, newest) = (0, mtime);
        found.files.push(Candidate {
            dir: number,
            name: at,
            size,
            taken,
            shared,
            mtime,
            recording,
            newest,
            id,
        });
    }

    fn visit_directory(&mut self, _dir: &OpenDirectory, _state: Self::DirectoryState) {}

    fn visit_mount_point(&mut self, parent: &OpenDirectory, name: &CStr, _st: &Statx) {
        self.diag.warn(parent.node.path_of(name).display(), "is another file system, not entered");
    }

    fn report_error(&mut self, parent: &OpenDirectory, name: &CStr, _st: Option<&Statx>, error: Errno) {
        self.diag.error(parent.node.path_of(name).display(), common::error::errno_reason(error));
    }

    fn count_vanished(&mut self) {}
}

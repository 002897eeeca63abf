//! The threads of a walk. Each walks depth first on its own; idle threads get directories of the others.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FileType, Statx};
use rustix::io::Errno;

use super::listing::{DirectoryListing, PendingDirectory};
use super::{
    OpenDirectory, Reach, RootError, TreeNode, WalkOptions, WalkVisitor, file_type, open_root, stat_entry,
    stat_open,
};
use crate::file_id::FileId;

/// Size of the buffer for directory entries, in bytes.
const BUFFER: usize = 64 << 10;

/// Where a walk begins.
#[derive(Clone, Copy, Debug)]
pub struct WalkStart<'a> {
    /// The path of the root.
    pub path: &'a Path,
    /// The file if the path was resolved before: it must still be the same.
    pub same: Option<FileId>,
    /// The users who get to it through the directories above it.
    pub reach: Reach,
}

/// Walks the trees below `roots` and returns the visitors. A root that cannot be opened is returned as an error, and the
/// others are walked.
pub fn walk_trees<V: WalkVisitor>(
    roots: &[PathBuf],
    options: WalkOptions,
    visitor: impl FnMut() -> V,
) -> (Vec<V>, Vec<RootError>) {
    let starts: Vec<_> =
        roots.iter().map(|path| WalkStart { path, same: None, reach: Reach::default() }).collect();
    walk_from(&starts, options, visitor)
}

/// Like [`walk_trees`], from paths that may have been resolved before.
pub fn walk_from<V: WalkVisitor>(
    starts: &[WalkStart<'_>],
    options: WalkOptions,
    mut visitor: impl FnMut() -> V,
) -> (Vec<V>, Vec<RootError>) {
    let (mut work, mut errors) = (Vec::new(), Vec::new());
    for (i, start) in starts.iter().enumerate() {
        match start_task(start, i) {
            Ok(found) => work.push(found),
            Err(error) => errors.push(RootError { path: start.path.to_owned(), error }),
        }
    }
    work.reverse();
    let threads = options.threads.max(1);
    let pool = WalkPool {
        queue: Mutex::new(TaskQueue { work, idle: 0, threads }),
        wake: Condvar::new(),
        idle_hint: AtomicUsize::new(0),
    };
    let mut visitors: Vec<V> = (0..threads).map(|_| visitor()).collect();
    std::thread::scope(|scope| {
        let mut workers = visitors.iter_mut();
        // This thread is one of the workers: a walk on one thread starts none.
        let own = workers.next();
        for v in workers {
            let pool = &pool;
            scope.spawn(move || work_on(pool, options, v));
        }
        if let Some(v) = own {
            work_on(&pool, options, v);
        }
    });
    (visitors, errors)
}

fn start_task(start: &WalkStart<'_>, i: usize) -> rustix::io::Result<WalkTask> {
    let path = start.path;
    let node = |fd: &OwnedFd, st: &Statx| {
        let reach = (start.reach, start.reach.through_open(fd, st));
        TreeNode::new_root(path.as_os_str().as_bytes(), i, reach, Some(st.stx_uid))
    };
    let opened = open_top(path, node).map(|dir| WalkTask::Root(dir.into()));
    let work = opened.or_else(|e| match e {
        Errno::NOTDIR => open_file_root(start, i),
        e => Err(e),
    })?;
    let st = match &work {
        WalkTask::File(file) => &file.2,
        WalkTask::Root(dir) => &dir.st,
        WalkTask::Below(_) => return Ok(work),
    };
    match start.same {
        // A symbolic link on the way has changed.
        Some(same) if same != FileId::of_statx(st) => Err(Errno::STALE),
        _ => Ok(work),
    }
}

/// Opens a directory at the top of a walk; `node` makes its place from its metadata.
fn open_top(
    path: &Path,
    node: impl Fn(&OwnedFd, &Statx) -> Arc<TreeNode>,
) -> rustix::io::Result<OpenDirectory> {
    let fd = open_root(path)?;
    let st = stat_open(&fd)?;
    let node = node(&fd, &st);
    Ok(OpenDirectory { fd: fd.into(), node, st })
}

/// Opens a root that is not a directory as an entry of its directory. A symbolic link is followed, because the user named
/// it, and shown as the user wrote it.
fn open_file_root(start: &WalkStart<'_>, root: usize) -> rustix::io::Result<WalkTask> {
    let path = start.path;
    let (dir, name, st) = stat_in_parent(path, start, root)?;
    if file_type(&st) != FileType::Symlink {
        return Ok(WalkTask::File(Box::new((dir, name, st))));
    }
    let real = path.canonicalize().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::INVAL))?;
    stat_in_parent(&real, start, root).map(|file| WalkTask::File(Box::new(file)))
}

fn stat_in_parent(
    path: &Path,
    start: &WalkStart<'_>,
    root: usize,
) -> rustix::io::Result<(OpenDirectory, CString, Statx)> {
    let name = path.file_name().and_then(|n| CString::new(n.as_bytes()).ok()).ok_or(Errno::INVAL)?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let dir =
        open_top(parent, |_, _| TreeNode::of_file(start.path.as_os_str().as_bytes(), root, start.reach))?;
    let st = stat_entry(&dir, &name)?;
    Ok((dir, name, st))
}

enum WalkTask {
    Root(Box<OpenDirectory>),
    File(Box<(OpenDirectory, CString, Statx)>),
    Below(PendingDirectory),
}

struct TaskQueue {
    work: Vec<WalkTask>,
    idle: usize,
    /// Workers that are running; the walk ends when all of them are idle.
    threads: usize,
}

struct WalkPool {
    queue: Mutex<TaskQueue>,
    wake: Condvar,
    /// Number of waiting threads without a queued task; read without the lock, so only a hint.
    idle_hint: AtomicUsize,
}

impl WalkPool {
    fn lock_queue(&self) -> MutexGuard<'_, TaskQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a task; returns `None` once every thread waits, which ends the walk.
    fn take_task(&self) -> Option<WalkTask> {
        let mut queue = self.lock_queue();
        queue.idle += 1;
        loop {
            if let Some(work) = queue.work.pop() {
                queue.idle -= 1;
                self.update_idle_hint(&queue);
                return Some(work);
            }
            if queue.idle >= queue.threads {
                self.wake.notify_all();
                return None;
            }
            self.update_idle_hint(&queue);
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_directory(&self, pending: PendingDirectory) {
        let mut queue = self.lock_queue();
        queue.work.push(WalkTask::Below(pending));
        self.update_idle_hint(&queue);
        self.wake.notify_one();
    }

    fn update_idle_hint(&self, queue: &TaskQueue) {
        self.idle_hint.store(queue.idle.saturating_sub(queue.work.len()), Ordering::Relaxed);
    }
}

/// Takes a worker that panics out of the count, or the others would wait for it forever.
struct WorkerGuard<'a>(&'a WalkPool);

impl Drop for WorkerGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock_queue().threads -= 1;
            self.0.wake.notify_all();
        }
    }
}

fn work_on<V: WalkVisitor>(pool: &WalkPool, options: WalkOptions, visitor: &mut V) {
    let _present = WorkerGuard(pool);
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
    while let Some(work) = pool.take_task() {
        let first = match work {
            WalkTask::Root(dir) => Some(DirectoryListing::new(*dir)),
            WalkTask::File(file) => {
                visitor.visit_file(&file.0, &mut V::DirectoryState::default(), &file.1, &file.2);
                None
            }
            WalkTask::Below(pending) => DirectoryListing::open(&pending, options, visitor),
        };
        walk_below(pool, options, visitor, &mut buffer, first);
    }
}

/// Walks one directory and everything below it, and passes directories to idle threads.
fn walk_below<V: WalkVisitor>(
    pool: &WalkPool,
    options: WalkOptions,
    visitor: &mut V,
    buffer: &mut [MaybeUninit<u8>],
    first: Option<DirectoryListing<V>>,
) {
    let mut stack: Vec<DirectoryListing<V>> = first.into_iter().collect();
    while let Some(top) = stack.last_mut() {
        let Some(pending) = top.next_directory(buffer, options, visitor) else {
            stack.pop();
            continue;
        };
        if pool.idle_hint.load(Ordering::Relaxed) > 0 {
            // The directory nearest to the root has the most below it.
            let sharing = stack.iter_mut().find(|l| l.can_share());
            if let Some(share) = sharing.and_then(|l| l.next_directory(buffer, options, visitor)) {
                pool.give_directory(share);
            }
        }
        // A directory without further subdirectories is closed before the next one is opened, so that a chain
        // of directories needs few descriptors.
        while stack.last().is_some_and(DirectoryListing::is_done) {
            stack.pop();
        }
        stack.extend(DirectoryListing::open(&pending, options, visitor));
    }
}

//! The threads of a walk. Each goes depth first on its own; whoever has nothing to do is given a directory.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FileType, Statx};
use rustix::io::Errno;

use super::listing::{Listing, Pending};
use super::{
    OpenDirectory, RootError, TreeNode, WalkOptions, WalkVisitor, device_of, file_type, open_root,
    stat_entry, stat_open,
};

/// Bytes of directory entries asked for at once.
const BUFFER: usize = 64 << 10;

/// Where a walk begins.
#[derive(Clone, Copy, Debug)]
pub struct WalkStart<'a> {
    /// The path of the root.
    pub path: &'a Path,
    /// Device and inode number, where the path was looked at before: what stands there now must be the same.
    pub same: Option<(u64, u64)>,
}

/// Walks the trees below `roots`, and hands back the visitors. A root that cannot be opened is reported, and the
/// others are walked.
pub fn walk_trees<V: WalkVisitor>(
    roots: &[PathBuf],
    options: WalkOptions,
    visitor: impl FnMut() -> V,
) -> (Vec<V>, Vec<RootError>) {
    let starts: Vec<_> = roots.iter().map(|path| WalkStart { path, same: None }).collect();
    walk_from(&starts, options, visitor)
}

/// [`walk`] from places that may have been looked at before.
pub fn walk_from<V: WalkVisitor>(
    starts: &[WalkStart<'_>],
    options: WalkOptions,
    mut visitor: impl FnMut() -> V,
) -> (Vec<V>, Vec<RootError>) {
    let (mut work, mut errors) = (Vec::new(), Vec::new());
    for (i, start) in starts.iter().enumerate() {
        match begin(start, i) {
            Ok(found) => work.push(found),
            Err(error) => errors.push(RootError { path: start.path.to_owned(), error }),
        }
    }
    work.reverse();
    let threads = options.threads.max(1);
    let pool = Pool {
        queue: Mutex::new(Queue { work, idle: 0, threads }),
        wake: Condvar::new(),
        hungry: AtomicUsize::new(0),
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

fn begin(start: &WalkStart<'_>, i: usize) -> rustix::io::Result<Work> {
    let path = start.path;
    let opened = open(path, TreeNode::root(path.as_os_str().as_bytes(), i)).map(|dir| Work::Root(dir.into()));
    let work = opened.or_else(|e| match e {
        Errno::NOTDIR => file(path, i),
        e => Err(e),
    })?;
    let st = match &work {
        Work::File(file) => &file.2,
        Work::Root(dir) => &dir.st,
        Work::Below(_) => return Ok(work),
    };
    match start.same {
        // A link on the way leads elsewhere now.
        Some(same) if same != (device_of(st), st.stx_ino) => Err(Errno::STALE),
        _ => Ok(work),
    }
}

/// Opens a directory that stands at the top of a walk, with the node that it gets.
fn open(path: &Path, node: Arc<TreeNode>) -> rustix::io::Result<OpenDirectory> {
    let fd = open_root(path)?;
    let st = stat_open(&fd)?;
    Ok(OpenDirectory { fd: fd.into(), node, st })
}

/// A root that is no directory is seen as an entry of its directory. A link was named by the user, and is followed
/// as one to a directory is; it is shown as it was named.
fn file(path: &Path, root: usize) -> rustix::io::Result<Work> {
    let (dir, name, st) = entry(path, path, root)?;
    if file_type(&st) != FileType::Symlink {
        return Ok(Work::File(Box::new((dir, name, st))));
    }
    let real = path.canonicalize().map_err(|e| Errno::from_io_error(&e).unwrap_or(Errno::INVAL))?;
    entry(&real, path, root).map(|file| Work::File(Box::new(file)))
}

fn entry(path: &Path, shown: &Path, root: usize) -> rustix::io::Result<(OpenDirectory, CString, Statx)> {
    let name = path.file_name().and_then(|n| CString::new(n.as_bytes()).ok()).ok_or(Errno::INVAL)?;
    let parent = path.parent().unwrap_or(Path::new("/"));
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let dir = open(parent, TreeNode::of_file(shown.as_os_str().as_bytes(), root))?;
    let st = stat_entry(&dir, &name)?;
    Ok((dir, name, st))
}

enum Work {
    Root(Box<OpenDirectory>),
    File(Box<(OpenDirectory, CString, Statx)>),
    Below(Pending),
}

struct Queue {
    work: Vec<Work>,
    idle: usize,
    /// Workers that still work; the walk ends when all of them are idle.
    threads: usize,
}

struct Pool {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// Threads that wait, less what is queued for them; read without the lock, so only a hint.
    hungry: AtomicUsize,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for work; `None` once every thread waits, which is the end.
    fn take(&self) -> Option<Work> {
        let mut queue = self.lock();
        queue.idle += 1;
        loop {
            if let Some(work) = queue.work.pop() {
                queue.idle -= 1;
                self.hint(&queue);
                return Some(work);
            }
            if queue.idle >= queue.threads {
                self.wake.notify_all();
                return None;
            }
            self.hint(&queue);
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give(&self, pending: Pending) {
        let mut queue = self.lock();
        queue.work.push(Work::Below(pending));
        self.hint(&queue);
        self.wake.notify_one();
    }

    fn hint(&self, queue: &Queue) {
        self.hungry.store(queue.idle.saturating_sub(queue.work.len()), Ordering::Relaxed);
    }
}

/// A worker that panics is missed by the others, who would wait for it for ever.
struct Present<'a>(&'a Pool);

impl Drop for Present<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().threads -= 1;
            self.0.wake.notify_all();
        }
    }
}

fn work_on<V: WalkVisitor>(pool: &Pool, options: WalkOptions, visitor: &mut V) {
    let _present = Present(pool);
    let mut buffer = vec![MaybeUninit::uninit(); BUFFER];
    while let Some(work) = pool.take() {
        let first = match work {
            Work::Root(dir) => Some(Listing::new(*dir)),
            Work::File(file) => {
                visitor.file(&file.0, &mut V::State::default(), &file.1, &file.2);
                None
            }
            Work::Below(pending) => Listing::open(&pending, options, visitor),
        };
        descend(pool, options, visitor, &mut buffer, first);
    }
}

/// Walks one directory and all below it, giving directories away while others have nothing to do.
fn descend<V: WalkVisitor>(
    pool: &Pool,
    options: WalkOptions,
    visitor: &mut V,
    buffer: &mut [MaybeUninit<u8>],
    first: Option<Listing<V>>,
) {
    let mut stack: Vec<Listing<V>> = first.into_iter().collect();
    while let Some(top) = stack.last_mut() {
        let Some(pending) = top.next(buffer, options, visitor) else {
            stack.pop();
            continue;
        };
        if pool.hungry.load(Ordering::Relaxed) > 0 {
            // The directory nearest to the root has the most below it.
            if let Some(listing) = stack.iter_mut().find(|l| l.can_share())
                && let Some(share) = listing.next(buffer, options, visitor)
            {
                pool.give(share);
            }
        }
        // A directory with nothing more to hand out is closed before the next one is opened, so that a chain
        // of directories needs few descriptors.
        while stack.last().is_some_and(Listing::is_done) {
            stack.pop();
        }
        stack.extend(Listing::open(&pending, options, visitor));
    }
}

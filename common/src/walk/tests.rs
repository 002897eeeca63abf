//! The walker against the standard library and find(1), and against trees that change under it.

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// Collects every path that it is told of.
#[derive(Default)]
struct Paths {
    paths: Vec<PathBuf>,
    failed: Vec<(PathBuf, Errno)>,
}

impl WalkVisitor for Paths {
    type DirectoryState = ();

    fn visit_file(&mut self, dir: &OpenDirectory, (): &mut (), name: &CStr, _: &Statx) {
        self.paths.push(dir.node.path_of(name));
    }

    fn visit_directory(&mut self, dir: &OpenDirectory, (): ()) {
        self.paths.push(dir.node.path());
    }

    fn visit_mount_point(&mut self, parent: &OpenDirectory, name: &CStr, _: &Statx) {
        self.paths.push(parent.node.path_of(name));
    }

    fn report_error(&mut self, parent: &OpenDirectory, name: &CStr, _: Option<&Statx>, error: Errno) {
        self.failed.push((parent.node.path_of(name), error));
    }

    fn count_vanished(&mut self) {}
}

fn walked(root: &Path, threads: usize) -> (Vec<PathBuf>, Vec<(PathBuf, Errno)>) {
    let options = WalkOptions { threads, cross_mounts: false };
    let (visitors, errors) = walk_trees(&[root.to_owned()], options, Paths::default);
    assert!(errors.is_empty(), "{errors:?}");
    let (mut paths, mut failed) = (Vec::new(), Vec::new());
    for v in visitors {
        paths.extend(v.paths);
        failed.extend(v.failed);
    }
    paths.sort();
    (paths, failed)
}

fn expected(root: &Path, into: &mut Vec<PathBuf>) {
    into.push(root.to_owned());
    for entry in std::fs::read_dir(root).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            expected(&entry.path(), into);
        } else {
            into.push(entry.path());
        }
    }
}

/// A tree of some thousand entries with names of every kind.
fn grow(root: &Path) {
    for a in 0..20 {
        for b in 0..20 {
            let dir = root.join(format!("d{a}/e{b}"));
            std::fs::create_dir_all(&dir).unwrap();
            for c in 0..8 {
                std::fs::write(dir.join(format!("f{c}")), "").unwrap();
            }
        }
    }
    for name in [&b"new\nline"[..], b"esc\x1b[31m", b"\xff\xfe", b" ", b"-rf", "\u{202e}x".as_bytes()] {
        let dir = root.join(OsStr::from_bytes(name));
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join(OsStr::from_bytes(name)), "").unwrap();
    }
    symlink("/etc", root.join("out")).unwrap();
    symlink("loop", root.join("loop")).unwrap();
    rfs::mknodat(CWD, root.join("fifo"), FileType::Fifo, Mode::RUSR, 0).unwrap();
}

#[test]
fn every_entry_is_seen_once_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path());
    let mut all = Vec::new();
    expected(dir.path(), &mut all);
    all.sort();
    for threads in [1, 2, 7] {
        let (paths, failed) = walked(dir.path(), threads);
        assert_eq!(paths, all, "{threads} threads");
        assert!(failed.is_empty());
    }
}

#[test]
fn find_sees_the_same() {
    let dir = tempfile::tempdir().unwrap();
    grow(dir.path());
    let args = [dir.path().as_os_str(), "-xdev".as_ref(), "-print0".as_ref()];
    let Some(found) = testkit::oracle("find", &args) else { return };
    let seen: BTreeSet<&[u8]> = found.split(|&b| b == 0).filter(|p| !p.is_empty()).collect();
    let (paths, _) = walked(dir.path(), 2);
    assert_eq!(paths.iter().map(|p| p.as_os_str().as_bytes()).collect::<BTreeSet<_>>(), seen);
}

/// Deeper than any path may be long, and deeper than the usual limit on open files.
#[test]
fn a_thousand_levels_are_walked() {
    let dir = tempfile::tempdir().unwrap();
    let mut fd = open_root(dir.path()).unwrap();
    let name = CString::new("d".repeat(100)).unwrap();
    for _ in 0..1200 {
        rfs::mkdirat(&fd, &name, Mode::RWXU).unwrap();
        fd = rfs::openat(&fd, &name, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    }
    rfs::mknodat(&fd, "end", FileType::RegularFile, Mode::RUSR, 0).unwrap();
    let (paths, failed) = walked(dir.path(), 2);
    assert_eq!((paths.len(), failed.len()), (1202, 0));
    assert!(paths.iter().any(|p| p.ends_with("end") && p.as_os_str().len() > 120_000));
}

#[test]
fn links_are_never_followed_below_the_root() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(other.path().join("secret"), "").unwrap();
    symlink(other.path(), dir.path().join("link")).unwrap();
    let (paths, _) = walked(dir.path(), 2);
    assert_eq!(paths, [dir.path().to_owned(), dir.path().join("link")]);
}

/// A directory that turns into a link while the tree is walked never leads outside, and the walk ends.
#[test]
fn a_tree_that_changes_under_the_walk_does_not_lead_outside() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::create_dir(other.path().join("sub")).unwrap();
    std::fs::write(other.path().join("sub/secret"), "").unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::create_dir_all(a.join("sub")).unwrap();
    symlink(other.path(), &b).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rfs::renameat_with(CWD, &a, CWD, &b, flags).unwrap();
            }
        });
        for _ in 0..500 {
            let (paths, _) = walked(dir.path(), 2);
            assert!(paths.iter().all(|p| !p.ends_with("secret")), "{paths:?}");
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_file_may_be_a_root_and_a_missing_root_does_not_stop_the_walk() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    std::fs::write(&file, "").unwrap();
    let roots = [dir.path().join("missing"), file.clone()];
    let (visitors, errors) =
        walk_trees(&roots, WalkOptions { threads: 1, cross_mounts: false }, Paths::default);
    assert_eq!(visitors[0].paths, [file]);
    assert_eq!((errors.len(), errors[0].error), (1, Errno::NOENT));
}

//! Fixing and undoing real trees: what is changed, what is refused, and that nothing outside is touched.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

use super::*;
use crate::tests::{chmod, clean_dir, oracle, permck, write};

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn fix(record: &Path, tree: &Path) -> (Exit, String) {
    permck(&[OsStr::new("fix"), "--record".as_ref(), record.as_ref(), tree.as_ref()])
}

/// Every mode, fixed: no bit outside the maximum is left, no bit is gained, and undo restores all of it.
#[test]
fn every_mode_is_tightened_and_put_back() {
    let (dir, place) = (clean_dir(), clean_dir());
    let record = place.path().join("changes");
    let files: Vec<_> = (0..0o10000).step_by(7).map(|m| (m, dir.path().join(format!("f{m:04o}")))).collect();
    for (mode, path) in &files {
        write(path, *mode, "");
    }
    // Setting setgid may have been refused silently for a group that we are not in.
    let before: Vec<_> = files.iter().map(|(_, path)| mode(path)).collect();
    assert_eq!(fix(&record, dir.path()).0, Exit::Ok);
    for ((_, path), before) in files.iter().zip(&before) {
        let max = if before & 0o111 != 0 { 0o550 } else { 0o640 };
        assert_eq!(mode(path), before & max, "{}", path.display());
    }
    assert_eq!(mode(&record), 0o600);
    // Twice is as good as once, and leaves no record of nothing.
    let again = place.path().join("again");
    assert_eq!(fix(&again, dir.path()), (Exit::Ok, String::new()));
    assert!(!again.exists());
    let (exit, _) = permck(&["undo".as_ref(), record.as_os_str()]);
    assert_eq!(exit, Exit::Ok);
    for ((_, path), before) in files.iter().zip(&before) {
        assert_eq!(mode(path), *before, "{}", path.display());
    }
    let (exit, text) = permck(&["undo".as_ref(), record.as_os_str()]);
    assert_eq!((exit, text.as_str()), (Exit::Ok, ""));
}

#[test]
fn a_dry_run_changes_nothing_and_says_what_it_would() {
    let dir = clean_dir();
    let path = dir.path().join("f");
    write(&path, 0o666, "x");
    let (exit, text) = permck(&[OsStr::new("fix"), "-n".as_ref(), dir.path().as_ref()]);
    assert_eq!((exit, mode(&path)), (Exit::No, 0o666));
    let shown =
        format!("would change {}: 0666 to 0640 [world-writable]\n", path.canonicalize().unwrap().display());
    assert_eq!(text, shown);
}

#[test]
fn what_has_other_names_or_is_a_link_is_left_alone() {
    let (dir, other) = (clean_dir(), clean_dir());
    let victim = other.path().join("victim");
    write(&victim, 0o666, "x");
    std::fs::hard_link(&victim, dir.path().join("hard")).unwrap();
    symlink(&victim, dir.path().join("soft")).unwrap();
    let (exit, text) = fix(&other.path().join("record"), dir.path());
    assert_eq!((exit, mode(&victim)), (Exit::No, 0o666));
    assert!(text.contains("it has 2 names"), "{text}");
}

#[test]
fn an_acl_is_removed_without_giving_the_group_its_mask_and_put_back() {
    let (dir, place) = (clean_dir(), clean_dir());
    let path = dir.path().join("f");
    write(&path, 0o600, "x");
    let acl = ["-m".as_ref(), OsStr::new("u:65534:rw,g::r,m::rw"), path.as_ref()];
    if oracle("setfacl", &acl).is_none() || mode(&path) != 0o660 {
        eprintln!("skipped: no ACLs here");
        return;
    }
    let show = || oracle("getfacl", &["-npE".as_ref(), path.as_ref()]).unwrap();
    let before = show();
    let record = place.path().join("r");
    assert_eq!(fix(&record, dir.path()).0, Exit::Ok);
    // The mode showed the mask, rw; the owning group had r.
    assert_eq!(mode(&path), 0o640);
    assert!(!String::from_utf8(show()).unwrap().contains("65534"));
    assert_eq!(permck(&["undo".as_ref(), record.as_os_str()]).0, Exit::Ok);
    assert_eq!(show(), before);
}

#[test]
fn undo_leaves_alone_what_is_no_longer_what_was_changed() {
    let (dir, place) = (clean_dir(), clean_dir());
    let (a, b, c) = (dir.path().join("a"), dir.path().join("b"), dir.path().join("c"));
    for path in [&a, &b, &c] {
        write(path, 0o666, "x");
    }
    let record = place.path().join("r");
    assert_eq!(fix(&record, dir.path()).0, Exit::Ok);
    chmod(&a, 0o400);
    std::fs::remove_file(&b).unwrap();
    let victim = place.path().join("victim");
    write(&victim, 0o640, "x");
    symlink(&victim, &b).unwrap();
    let (exit, text) = permck(&["undo".as_ref(), record.as_os_str()]);
    assert_eq!(exit, Exit::No, "{text}");
    assert_eq!((mode(&a), mode(&victim), mode(&c)), (0o400, 0o640, 0o666));
    assert!(text.contains("it was changed since: mode 0400, not 0640"), "{text}");
}

#[test]
fn a_record_that_others_could_have_written_is_refused() {
    let place = clean_dir();
    let record = place.path().join("r");
    write(&record, 0o666, "");
    assert_eq!(permck(&["undo".as_ref(), record.as_os_str()]).0, Exit::Failed);
    write(&record, 0o600, "not json\n");
    assert_eq!(permck(&["undo".as_ref(), record.as_os_str()]).0, Exit::Failed);
}

/// While the tree is fixed, names are swapped with a link to a file outside: its mode never changes.
#[test]
fn a_race_never_reaches_outside() {
    let (dir, other) = (clean_dir(), clean_dir());
    let victim = other.path().join("victim");
    write(&victim, 0o666, "x");
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    write(&a, 0o666, "x");
    symlink(&victim, &b).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &a, rustix::fs::CWD, &b, flags).unwrap();
            }
        });
        for i in 0..100 {
            fix(&other.path().join(format!("r{i}")), dir.path());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(mode(&victim), 0o666);
}

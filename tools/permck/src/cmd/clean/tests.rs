//! Retention on real trees: what goes, in which order, and what is never touched.

use std::ffi::OsStr;
use std::fs::FileTimes;
use std::os::unix::fs::symlink;

use super::*;
use crate::tests::{clean_dir, permck, write};

const HOUR: u64 = 3600;

fn aged(path: &Path, hours: u64, size: usize) {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).unwrap();
    }
    write(path, 0o640, vec![b'x'; size]);
    let then = SystemTime::now() - Duration::from_secs(hours * HOUR);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(then)).unwrap();
}

fn clean(dir: &Path, more: &[&str]) -> (Exit, String) {
    let mut args: Vec<&OsStr> = vec!["clean".as_ref()];
    args.extend(more.iter().map(OsStr::new));
    args.push(dir.as_ref());
    permck(&args)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = list(
        &[dir.to_owned()],
        Options { threads: 1, cross_mounts: false },
        &Diag::new("t", common::out::Verbosity::Quiet),
    )
    .into_iter()
    .map(|f| f.path.strip_prefix(dir).unwrap().display().to_string())
    .collect();
    names.sort();
    names
}

#[test]
fn old_files_go_and_then_the_oldest_until_the_rest_fits() {
    let dir = clean_dir();
    for (name, hours) in [("a.log", 500), ("b.log", 40), ("c.log", 30), ("d.log", 20), ("keep.txt", 900)] {
        aged(&dir.path().join(name), hours, 1000);
    }
    let (exit, text) = clean(dir.path(), &["--older-than", "14d", "--keep", "2000", "-n"]);
    assert_eq!((exit, text.lines().count(), names(dir.path()).len()), (Exit::Ok, 2, 5));
    assert!(
        text.starts_with(&format!("would delete {}/a.log (1000 bytes, age)\n", dir.path().display())),
        "{text}"
    );
    let (exit, text) = clean(dir.path(), &["--older-than", "14d", "--keep", "2000"]);
    assert_eq!(
        (exit, names(dir.path())),
        (Exit::Ok, ["c.log", "d.log", "keep.txt"].map(str::to_owned).to_vec())
    );
    assert!(text.contains("b.log (1000 bytes, size)"), "{text}");
    assert_eq!(clean(dir.path(), &["--older-than", "14d", "--keep", "2000"]), (Exit::Ok, String::new()));
}

#[test]
fn what_is_written_or_fresh_stays_and_the_status_says_that_it_does_not_fit() {
    let dir = clean_dir();
    let open = dir.path().join("open.log");
    aged(&open, 100, 1000);
    aged(&dir.path().join("fresh.log"), 0, 1000);
    let _writer = std::fs::File::options().append(true).open(&open).unwrap();
    let (exit, records) = clean(dir.path(), &["--keep", "0", "--format", "json"]);
    assert_eq!((exit, names(dir.path()).len()), (Exit::No, 2));
    assert!(records.contains("\"spared\":2"), "{records}");
}

#[test]
fn links_are_neither_followed_nor_deleted() {
    let (dir, other) = (clean_dir(), clean_dir());
    let victim = other.path().join("victim.log");
    aged(&victim, 1000, 10);
    symlink(&victim, dir.path().join("x.log")).unwrap();
    symlink(other.path(), dir.path().join("sub")).unwrap();
    assert_eq!(clean(dir.path(), &["--older-than", "1d", "--match", "**"]).0, Exit::Ok);
    assert!(victim.exists() && dir.path().join("x.log").is_symlink());
}

#[test]
fn a_directory_that_becomes_a_link_in_between_is_not_entered() {
    let (dir, other) = (clean_dir(), clean_dir());
    aged(&other.path().join("f.log"), 1000, 10);
    aged(&dir.path().join("sub/f.log"), 1000, 10);
    let found = candidates(
        &[dir.path().to_owned()],
        &[Glob::parse("**").unwrap()],
        &Diag::new("t", common::out::Verbosity::Quiet),
    );
    std::fs::remove_dir_all(dir.path().join("sub")).unwrap();
    symlink(other.path(), dir.path().join("sub")).unwrap();
    assert!(delete(dir.path(), &found[0].file, true).is_err());
    assert!(other.path().join("f.log").exists());
}

#[test]
fn emptied_directories_go_with_prune_and_the_root_stays() {
    let dir = clean_dir();
    aged(&dir.path().join("h_1_20260101000000000_ascend_pt/PROF_1/x.bin"), 1000, 10);
    aged(&dir.path().join("other/notes"), 1000, 10);
    assert_eq!(clean(dir.path(), &["--older-than", "1d", "--prune"]).0, Exit::Ok);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["other"]);
}

#[test]
fn ages_and_sizes_are_read() {
    assert_eq!((age("14d"), age("90s")), (Ok(Duration::from_secs(14 * 86400)), Ok(Duration::from_secs(90))));
    assert_eq!((size("50GiB"), size("10"), size("2 MB")), (Ok(50 << 30), Ok(10), Ok(2_000_000)));
    for bad in ["", "d", "-1d", "1y", "99999999999999999999d", "9223372036854775807w"] {
        assert!(age(bad).is_err(), "{bad}");
    }
}

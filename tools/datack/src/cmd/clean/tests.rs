//! Retention on real trees: what goes, in which order, and what is never touched.

use std::ffi::OsStr;
use std::fs::FileTimes;
use std::os::unix::fs::symlink;

use super::*;
use crate::tests::{clean_dir, datack, write};

const HOUR: u64 = 3600;

fn aged(path: &Path, hours: u64, size: usize) {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).unwrap();
    }
    write(path, 0o640, content(path, size));
    let then = SystemTime::now() - Duration::from_secs(hours * HOUR);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_times(FileTimes::new().set_modified(then)).unwrap();
}

/// A log begins with a time; anything else is as it comes.
fn content(path: &Path, size: usize) -> Vec<u8> {
    let mut content = vec![b'x'; size];
    if path.extension() == Some("log".as_ref()) {
        content.splice(..size.min(10), *b"2026-01-01").for_each(drop);
        content.truncate(size);
    }
    content
}

fn clean(dir: &Path, more: &[&str]) -> (Exit, String) {
    let mut args: Vec<&OsStr> = vec!["clean".as_ref()];
    args.extend(more.iter().map(OsStr::new));
    args.push(dir.as_ref());
    datack(&args)
}

fn names(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in std::fs::read_dir(next).unwrap().map(|e| e.unwrap()) {
            match entry.file_type().unwrap() {
                t if t.is_dir() => dirs.push(entry.path()),
                t if t.is_file() => names.push(entry.path().strip_prefix(dir).unwrap().display().to_string()),
                _ => {}
            }
        }
    }
    names.sort();
    names
}

#[test]
fn old_files_go_and_then_the_oldest_until_the_rest_fits() {
    let dir = clean_dir();
    for (name, hours) in [("a.log", 500), ("b.log", 40), ("c.log", 30), ("d.log", 20), ("keep.txt", 900)] {
        aged(&dir.path().join(name), hours, 1000);
    }
    let (exit, text) = clean(dir.path(), &["--older-than", "14d", "--keep", "8KiB", "-n"]);
    assert_eq!((exit, text.lines().count(), names(dir.path()).len()), (Exit::Ok, 3, 5));
    assert!(
        text.starts_with(&format!("would delete {}/a.log (4.0 KiB, age)\n", dir.path().display())),
        "{text}"
    );
    let (exit, text) = clean(dir.path(), &["--older-than", "14d", "--keep", "8KiB"]);
    assert_eq!(
        (exit, names(dir.path())),
        (Exit::Ok, ["c.log", "d.log", "keep.txt"].map(str::to_owned).to_vec())
    );
    assert!(text.contains("b.log (4.0 KiB, size)"), "{text}");
    assert_eq!(clean(dir.path(), &["--older-than", "14d", "--keep", "8KiB"]), (Exit::Ok, String::new()));
}

#[test]
fn files_in_use_and_recent_files_are_kept() {
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
    let wanted = FileSelection::Match(vec![Glob::parse("**").unwrap()]);
    let diag = Diag::new("t", common::out::Verbosity::Quiet);
    let candidates = CandidateList::collect(&[dir.path().to_owned()], &wanted, &diag);
    std::fs::remove_dir_all(dir.path().join("sub")).unwrap();
    symlink(other.path(), dir.path().join("sub")).unwrap();
    assert!(DeletionTarget::open(dir.path(), &candidates, &candidates.files[0]).is_err());
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

/// Takes so many bytes, and then is full or gone.
struct Broken(usize, std::io::ErrorKind);

impl std::io::Write for Broken {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(self.1)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn no_file_is_deleted_without_a_record() {
    use clap::Parser;
    use common::cli::Tool;
    for (room, gone) in [(0, 0), (300, 1)] {
        for (kind, format) in
            [(std::io::ErrorKind::BrokenPipe, "text"), (std::io::ErrorKind::StorageFull, "json")]
        {
            let dir = clean_dir();
            (0..20).for_each(|i| aged(&dir.path().join(format!("{i}.log")), 100 - i, 10));
            let cli = crate::Cli::try_parse_from([
                "datack",
                "clean",
                "--keep",
                "0",
                "--format",
                format,
                dir.path().to_str().unwrap(),
            ]);
            // Buffered as standard output is.
            let to = std::io::BufWriter::with_capacity(1 << 16, Broken(room, kind));
            let mut out = Out::to(Box::new(to), "datack", false, common::out::Verbosity::Quiet);
            let error = cli.unwrap().run(&mut out).unwrap_err();
            // main takes this for success.
            assert!(!common::error::is_broken_pipe(&error), "{error}");
            let left = names(dir.path()).len();
            assert!(if gone == 0 { left == 20 } else { (10..20).contains(&left) }, "{format} {room} {left}");
        }
    }
}

#[test]
fn only_generated_files_are_deleted_and_totals_are_printed() {
    let dir = clean_dir();
    for name in ["config_2.json", "notes.log.md", "000003.log.md", "model.db", "app.log.1"] {
        aged(&dir.path().join(name), 1000, 10);
    }
    let trace = dir.path().join("run_1.json");
    aged(&trace, 1000, 0);
    std::fs::write(&trace, "{\"traceEvents\":[]}").unwrap();
    let (exit, text) = clean(dir.path(), &["--keep", "0", "--idle", "0s"]);
    assert_eq!(exit, Exit::Ok, "{text}");
    assert!(text.ends_with("deleted 2 files, 8.0 KiB; 0 in use; 0 files, 0 bytes left\n"), "{text}");
    assert_eq!(names(dir.path()), ["000003.log.md", "config_2.json", "model.db", "notes.log.md"]);
}

#[test]
fn paths_that_overlap_name_a_file_once() {
    let dir = clean_dir();
    aged(&dir.path().join("sub/a.log"), 1000, 10);
    let sub = dir.path().join("sub");
    let (exit, text) = clean(dir.path(), &["--older-than", "1d", sub.to_str().unwrap()]);
    assert_eq!((exit, text.lines().count()), (Exit::Ok, 2), "{text}");
}

/// Not even looked at: a dry run of what is refused would promise what does not happen.
#[test]
fn directories_of_unrelated_trees_are_rejected() {
    let dir = clean_dir();
    aged(&dir.path().join("a.log"), 500, 10);
    symlink("/", dir.path().join("top")).unwrap();
    let top = dir.path().join("top");
    for path in ["/", "/tmp", "/var", "/home", "/root", "/etc/ssl", "/tmp/../tmp/.", top.to_str().unwrap()] {
        if !Path::new(path).exists() {
            continue;
        }
        let (exit, text) = clean(dir.path(), &["-n", "--older-than", "36500d", path]);
        assert_eq!((exit, text.as_str()), (Exit::Failed, ""), "{path}");
    }
    let (exit, text) = clean(dir.path(), &["--older-than", "14d", "/"]);
    assert_eq!(exit, Exit::Failed);
    assert!(text.starts_with("deleted ") && names(dir.path()).is_empty(), "{text}");
}

/// Takes records, and meets the files that they are about.
struct Meets<F>(F);

impl<F: FnMut(&str)> std::io::Write for Meets<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        (self.0)(std::str::from_utf8(bytes).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn clean_while(dir: &Path, meets: impl FnMut(&str) + Send + 'static) -> Exit {
    use clap::Parser;
    use common::cli::Tool;
    let args = ["datack", "clean", "--keep", "0", "--idle", "1h", dir.to_str().unwrap()];
    let mut out = Out::to(Box::new(Meets(meets)), "datack", false, common::out::Verbosity::Quiet);
    crate::Cli::try_parse_from(args).unwrap().run(&mut out).unwrap()
}

/// A writer that opens files once deletions have begun keeps them.
#[test]
fn a_file_that_is_opened_in_between_stays() {
    let dir = clean_dir();
    (0..2000).for_each(|i| aged(&dir.path().join(format!("{i:04}.log")), 100, 20));
    let (place, mut open) = (dir.path().to_owned(), Vec::new());
    let exit = clean_while(dir.path(), move |_| {
        if open.is_empty() {
            let late = (0..2000).step_by(10).map(|i| place.join(format!("{i:04}.log")));
            let late = late.filter_map(|p| std::fs::File::options().append(true).open(p).ok());
            open.extend(late);
        }
    });
    assert_eq!((exit, names(dir.path()).len()), (Exit::No, 200));
}

/// The record may take its time on the way: what lies there then is another file.
#[test]
fn a_file_that_is_replaced_while_its_record_is_written_stays() {
    let dir = clean_dir();
    let path = dir.path().join("a.log");
    aged(&path, 100, 20);
    let (new, old) = (dir.path().join("new"), path.clone());
    clean_while(dir.path(), move |_| {
        if !new.exists() {
            std::fs::write(&new, "precious").unwrap();
            std::fs::rename(&new, &old).unwrap();
        }
    });
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[test]
fn files_with_several_hard_links_are_not_deleted_for_space() {
    let dir = clean_dir();
    let hole = dir.path().join("hole.log");
    aged(&hole, 300, 20);
    std::fs::File::options().write(true).open(&hole).unwrap().set_len(1 << 30).unwrap();
    aged(&dir.path().join("twice.log"), 200, 1000);
    std::fs::hard_link(dir.path().join("twice.log"), dir.path().join("again.log")).unwrap();
    aged(&dir.path().join("once.log"), 100, 1000);
    assert_eq!(
        clean(dir.path(), &["--keep", "100KiB", "--idle", "0s", "--match", "*"]),
        (Exit::Ok, String::new())
    );
    assert_eq!(clean(dir.path(), &["--keep", "0", "--idle", "0s", "--match", "*"]).0, Exit::No);
    assert_eq!(names(dir.path()), ["again.log", "twice.log"]);
}

/// Raw data that is old, and an analysis of it that is new: all of it stays, and later all of it goes.
#[test]
fn a_profile_goes_whole_or_stays_whole() {
    let dir = clean_dir();
    let profile = "node1_77_20260101000000000_ascend_pt";
    let raw: Vec<_> = (0..46)
        .map(|i| format!("{profile}/PROF_000001_20260101000000000_AB/device_0/data/{i}.bin"))
        .collect();
    let new: Vec<_> = (0..30).map(|i| format!("{profile}/ASCEND_PROFILER_OUTPUT/{i}.csv")).collect();
    raw.iter().for_each(|name| aged(&dir.path().join(name), 15 * 24, 100));
    new.iter().for_each(|name| aged(&dir.path().join(name), 24, 100));
    aged(&dir.path().join(format!("{profile}/notes.txt")), 90 * 24, 10);
    let keep = ["--older-than", "14d"];
    assert_eq!(clean(dir.path(), &keep), (Exit::Ok, String::new()));
    // One file of it that is in use keeps all.
    new.iter().for_each(|name| aged(&dir.path().join(name), 15 * 24, 100));
    let open = std::fs::File::options().append(true).open(dir.path().join(&new[7])).unwrap();
    let (exit, text) = clean(dir.path(), &keep);
    assert_eq!((exit, names(dir.path()).len()), (Exit::Ok, 77), "{text}");
    drop(open);
    let (exit, records) = clean(dir.path(), &["--older-than", "14d", "--format", "json"]);
    assert_eq!((exit, names(dir.path())), (Exit::Ok, vec![format!("{profile}/notes.txt")]));
    assert!(records.contains("\"deleted\":76,") && records.contains("\"recordings\":1,"), "{records}");
}

/// Old and new parts of each kind of recording that is a directory or a set of files: all stays while one part is new, and
/// all goes with the last.
#[test]
fn recordings_of_every_kind_go_whole_or_stay_whole() {
    let cann = "PROF_000001_20260101000000000_ABCDEF";
    let recordings: [&[&str]; 6] = [
        // MindSpore, with the raw data of CANN in it.
        &[
            "n_1_20260101000000_ascend_ms/PROF_000001_20260101000000000_AB/device_0/data/a",
            "n_1_20260101000000_ascend_ms/FRAMEWORK/b",
            "n_1_20260101000000_ascend_ms/ASCEND_PROFILER_OUTPUT/c.csv",
        ],
        // CANN alone, analyzed later.
        &[
            &format!("{cann}/host/data/a"),
            &format!("{cann}/device_1/data/b"),
            &format!("{cann}/mindstudio_profiler_output/op_summary.csv"),
            &format!("{cann}/msprof_20260102000000.db"),
        ],
        // A database that is still written to by way of its journal.
        &[
            "msmonitor_7_20260101000000000_0.db",
            "msmonitor_7_20260101000000000_0.db-shm",
            "msmonitor_7_20260101000000000_0.db-wal",
        ],
        // The metric log of one run of profd.
        &[
            "metrics-20260301T120000Z-812-0001.jsonl",
            "metrics-20260301T120000Z-812-0002.jsonl",
            "metrics-20260301T120000Z-812-0003.jsonl",
        ],
        // Kineto, one file for each process.
        &["job_11.json", "job_12.json", "job_13.json"],
        &["n1_7.171.pt.trace.json", "n2_7.171.pt.trace.json", "n3_7.171.pt.trace.json"],
    ];
    for parts in recordings {
        let dir = clean_dir();
        let age = |name: &str, hours| {
            let path = dir.path().join(name);
            aged(&path, hours, 100);
            let content = match name {
                _ if name.ends_with(".db") => "SQLite format 3\0",
                _ if name.ends_with(".jsonl") => "{\"kind\":\"Kernel\"}\n",
                _ if name.ends_with(".json") => "{\"traceEvents\":[]}",
                _ => return,
            };
            std::fs::write(&path, content).unwrap();
            let then = SystemTime::now() - Duration::from_secs(hours * HOUR);
            std::fs::File::options().append(true).open(&path).unwrap().set_modified(then).unwrap();
        };
        parts.iter().for_each(|name| age(name, 20 * 24));
        // Traces that were written long after are of another request: only a lock keeps one of them.
        if !parts[0].ends_with(".json") {
            age(parts[parts.len() - 1], 24);
            assert_eq!(clean(dir.path(), &["--older-than", "14d"]), (Exit::Ok, String::new()), "{parts:?}");
            age(parts[parts.len() - 1], 20 * 24);
        }
        let locked = std::fs::File::open(dir.path().join(parts[1])).unwrap();
        rustix::fs::flock(&locked, rustix::fs::FlockOperation::LockExclusive).unwrap();
        let (_, text) = clean(dir.path(), &["--older-than", "14d", "--keep", "0"]);
        assert_eq!(names(dir.path()).len(), parts.len(), "locked: {text}");
        drop(locked);
        let (exit, text) = clean(dir.path(), &["--older-than", "14d"]);
        assert_eq!((exit, names(dir.path())), (Exit::Ok, vec![]), "{text}");
    }
}

/// For space, too: the trace of one process alone says nothing about a job.
#[test]
fn traces_of_one_request_go_together() {
    let dir = clean_dir();
    let trace = |name: &str, hours| {
        let path = dir.path().join(name);
        aged(&path, hours, 0);
        let times = std::fs::metadata(&path).unwrap().modified().unwrap();
        std::fs::write(&path, "{\"traceEvents\":[]}").unwrap();
        std::fs::File::options().append(true).open(&path).unwrap().set_modified(times).unwrap();
    };
    (1..=4).for_each(|pid| trace(&format!("t_{pid}.json"), 30));
    (1..=4).for_each(|pid| trace(&format!("u_{pid}.json"), 20));
    // 8 files of 4 KiB: one must go for this size, and its four go.
    assert_eq!(clean(dir.path(), &["--keep", "30KiB"]).0, Exit::Ok);
    assert_eq!(names(dir.path()), ["u_1.json", "u_2.json", "u_3.json", "u_4.json"]);
}

/// Whole blocks count: 500 small files take 2 MB.
#[test]
fn keep_counts_what_files_take_on_disk() {
    let dir = clean_dir();
    (0..500).for_each(|i| aged(&dir.path().join(format!("{i}.log")), 500 - i, 228));
    assert_eq!(clean(dir.path(), &["--keep", "1MB"]).0, Exit::Ok);
    assert_eq!(names(dir.path()).len(), 244);
}

#[test]
fn a_locked_file_stays() {
    let dir = clean_dir();
    for name in ["a.log", "b.log"] {
        aged(&dir.path().join(name), 100, 10);
    }
    // For reading: that it is open is no reason to keep it.
    let file = std::fs::File::open(dir.path().join("a.log")).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockShared).unwrap();
    assert_eq!(clean(dir.path(), &["--older-than", "1d"]).0, Exit::Ok);
    assert_eq!(names(dir.path()), ["a.log"]);
}

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::counters::{Counters, SinkKind};
use crate::log::DaemonLog;
use crate::sink::MetricSink;
use crate::sink::lines::tests::sample_metric;
use crate::sink::lines::{LineSink, MetricLineFormat};
use common::out::Verbosity;
use common::record::Record;
use common::record::profd::Metric;

/// Rotation by size only.
fn by_size(file_bytes: u64) -> RotationPlan {
    RotationPlan { file_bytes, ..RotationPlan::default() }
}

fn files_in(dir: &Path, rotation: RotationPlan) -> (RotatedFiles, Arc<Counters>, SinkAccount) {
    let counters: Arc<Counters> = Arc::default();
    let log = DaemonLog::start(Verbosity::Quiet, counters.clone()).unwrap();
    let account = SinkAccount::new(SinkKind::JsonLines, counters.clone(), log);
    let files = RotatedFiles::new(dir.to_owned(), FileNaming::numbered(".jsonl"), rotation, account.clone());
    (files, counters, account)
}

fn sink_of(files: RotatedFiles, account: SinkAccount) -> LineSink {
    let naming = FileNaming::samples(".jsonl");
    let samples = RotatedFiles::new(files.dir().to_owned(), naming, by_size(1 << 20), account.clone());
    LineSink::new(MetricLineFormat::JsonLines, files, samples, "node1".to_owned(), account)
}

fn list(dir: &Path) -> Vec<(String, u32)> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (fs::read_to_string(e.path()).unwrap(), e.metadata().unwrap().mode() & 0o777))
        .collect();
    files.sort();
    files
}

#[test]
fn a_file_is_0640_while_it_is_written_and_0440_after() {
    let dir = tempfile::tempdir().unwrap();
    let (files, counters, account) = files_in(dir.path(), by_size(1 << 20));
    let mut sink = sink_of(files, account);
    sink.write(&[sample_metric()]);
    assert_eq!(list(dir.path()), [(format!("{}\n", Metric::SAMPLE), 0o640)]);
    drop(sink);
    assert_eq!(list(dir.path())[0].1, 0o440);
    assert_eq!(counters.metrics_recorded.get(), 1);
}

#[test]
fn a_large_or_old_file_is_closed_and_the_next_one_created() {
    let dir = tempfile::tempdir().unwrap();
    let rotation = RotationPlan { file_age: Some(Duration::ZERO), ..by_size(1 << 20) };
    for rotation in [by_size(1), rotation] {
        let dir = tempfile::tempdir_in(dir.path()).unwrap();
        let (mut files, _, _) = files_in(dir.path(), rotation);
        for _ in 0..2 {
            files.append(b"{}\n", b"").unwrap();
            files.close_old_file();
        }
        assert_eq!(list(dir.path()), [("{}\n".to_owned(), 0o440), ("{}\n".to_owned(), 0o440)]);
    }
}

#[test]
fn many_metrics_at_once_do_not_make_a_file_larger_than_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let line = Metric::SAMPLE.len() + 1;
    let (files, counters, account) = files_in(dir.path(), by_size(3 * line as u64));
    let mut sink = sink_of(files, account);
    sink.write(&vec![sample_metric(); 8]);
    sink.write(&vec![sample_metric(); 2]);
    drop(sink);
    let mut lines: Vec<_> = list(dir.path()).iter().map(|(text, _)| text.lines().count()).collect();
    lines.sort_unstable();
    assert_eq!((lines, counters.metrics_recorded.get()), (vec![1, 3, 3, 3], 10));
}

#[test]
fn the_oldest_files_are_removed_by_number_and_by_total() {
    let by_number = RotationPlan { max_files: Some(3), ..by_size(1) };
    let by_total = RotationPlan { total_bytes: Some(27), ..by_size(9) };
    for rotation in [by_number, by_total] {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("metrics-notes.jsonl"), "mine\n").unwrap();
        let (mut files, _, _) = files_in(dir.path(), rotation);
        for n in 0..7 {
            files.append(format!("number {n}\n").as_bytes(), b"").unwrap();
            std::thread::sleep(Duration::from_millis(15));
        }
        let texts: Vec<String> = list(dir.path()).into_iter().map(|f| f.0).collect();
        let expected = ["mine\n", "number 4\n", "number 5\n", "number 6\n"];
        assert_eq!(texts, expected, "a file that others can write is not ours");
    }
}

#[test]
fn writing_stops_before_the_disk_is_full_and_resumes_after() {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, counters, account) =
        files_in(dir.path(), RotationPlan { reserve_bytes: 100, ..by_size(1 << 20) });
    files.free = |_| Ok(101);
    let mut sink = sink_of(files, account.clone());
    sink.write(&[sample_metric()]);
    assert_eq!((list(dir.path()), counters.metrics_not_written.get()), (vec![], 1));
    let (mut files, _, _) = files_in(dir.path(), RotationPlan { reserve_bytes: 100, ..by_size(1 << 20) });
    files.free = |_| Ok(1 << 30);
    sink_of(files, account).write(&[sample_metric()]);
    assert_eq!((list(dir.path()).len(), counters.metrics_recorded.get()), (1, 1));
}

#[test]
fn a_removed_directory_loses_metrics_only() {
    let dir = tempfile::tempdir().unwrap();
    let (files, counters, account) = files_in(&dir.path().join("gone"), by_size(1 << 20));
    sink_of(files, account).write(&[sample_metric(), sample_metric()]);
    assert_eq!(counters.snapshot()["metrics.sink.jsonl.dropped.not_written"], 2);
}

#[test]
fn written_metrics_count_even_if_the_file_cannot_be_archived() {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, counters, account) = files_in(dir.path(), by_size(1));
    files.archive = |_| Err(io::ErrorKind::PermissionDenied.into());
    sink_of(files, account).write(&[sample_metric()]);
    assert_eq!((counters.metrics_recorded.get(), counters.metrics_not_written.get()), (1, 0));
}

#[test]
fn an_existing_file_is_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, _, _) = files_in(dir.path(), by_size(1 << 20));
    let taken = dir.path().join(files.naming.name(1));
    fs::write(&taken, "an earlier daemon's\n").unwrap();
    files.append(b"{}\n", b"").unwrap();
    assert_eq!(fs::read_to_string(&taken).unwrap(), "an earlier daemon's\n");
    assert_eq!(list(dir.path()).len(), 2);
}

#[test]
fn event_files_go_on_behind_those_of_earlier_runs() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("tfevents.pb.000007"), "").unwrap();
    let (_, _, account) = files_in(dir.path(), by_size(1));
    let mut files = RotatedFiles::new(dir.path().to_owned(), FileNaming::Events, by_size(1), account);
    files.append(b"x", b"").unwrap();
    assert!(dir.path().join("tfevents.pb.000008").exists());
    assert!(FileNaming::Events.matches("tfevents.pb") && !FileNaming::Events.matches("tfevents.pbx"));
}

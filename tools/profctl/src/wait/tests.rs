//! Files that are written slowly, renamed, left by earlier runs, or carry another id.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;

use super::args::DEFAULT_TIMEOUT;
use super::ascend::AscendTraceFinder;
use super::collect::CollectArgs;
use super::inquiry::{RequestKey, RequestNews, RequestState, TraceVerdict};
use super::kineto::KinetoTraceFinder;
use super::*;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(700);

fn expected(pid: i64, trace_id: Option<&str>) -> ExpectedTrace {
    ExpectedTrace {
        host: "localhost".into(),
        pid,
        trace_id: trace_id.map(str::to_owned),
        ..ExpectedTrace::default()
    }
}

/// Waits; the complete traces in order, and what is missing.
fn wait(
    traces: &mut dyn TraceFinder,
    pending: Vec<ExpectedTrace>,
    timeout: Duration,
) -> (Vec<CompleteTrace>, Vec<(i64, String)>) {
    let (complete, missing) = wait_with_verdicts(traces, pending, timeout, Vec::new);
    (complete, missing.into_iter().map(|m| (m.expected.pid, m.reason)).collect())
}

/// As [`wait`], with what the daemons say.
fn wait_with_verdicts(
    traces: &mut dyn TraceFinder,
    pending: Vec<ExpectedTrace>,
    timeout: Duration,
    verdicts: impl FnMut() -> Vec<(RequestKey, RequestNews)>,
) -> (Vec<CompleteTrace>, Vec<MissingTrace>) {
    let mut complete = Vec::new();
    let needed = traces.needed_count(pending.len());
    let missing = poll_until_complete(traces, pending, needed, timeout, verdicts, |_, trace| {
        complete.push(trace);
        Ok(())
    });
    (complete, missing.unwrap())
}

/// A directory for traces and one to fall back to.
struct TestDirs(tempfile::TempDir);

impl TestDirs {
    fn new() -> Self {
        let dirs = Self(tempfile::tempdir().unwrap());
        fs::create_dir(dirs.0.path().join("traces")).unwrap();
        fs::create_dir(dirs.0.path().join("tmp")).unwrap();
        dirs
    }

    fn trace(&self, name: &str) -> PathBuf {
        self.0.path().join("traces").join(name)
    }

    fn fallback(&self) -> PathBuf {
        self.0.path().join("tmp")
    }

    fn kineto(&self) -> KinetoTraceFinder {
        KinetoTraceFinder::with_test_fallback(&self.trace("t.json"), &self.fallback())
    }

    fn ascend(&self, analyzed: bool, ranks: Option<usize>) -> AscendTraceFinder {
        AscendTraceFinder::new(self.0.path().join("traces").to_str().unwrap(), analyzed, ranks)
    }
}

fn document(id: &str) -> String {
    format!("{{\"schemaVersion\":1,\"traceEvents\":[{{\"ph\":\"X\"}}],\"trace_id\":\"{id}\"}}\n")
}

#[test]
fn a_file_written_in_place_and_slowly_is_waited_for() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    let path = dirs.trace("t_7.json");
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(50));
        let mut file = File::create(path).unwrap();
        // Each part but the last ends as a document might.
        for part in
            ["{\"traceEvents\":[{\"ph\":\"X\"}", ",{\"ph\":\"X\",\"args\":{}}", "]", ",\"trace_id\":\"5\"}"]
        {
            file.write_all(part.as_bytes()).unwrap();
            file.flush().unwrap();
            thread::sleep(Duration::from_millis(220));
        }
    });
    let (complete, missing) = wait(&mut traces, vec![expected(7, Some("5"))], LONG);
    writer.join().unwrap();
    assert_eq!(missing, []);
    assert_eq!(complete[0].path, dirs.trace("t_7.json"));
    assert_eq!(complete[0].trace_id.as_deref(), Some("5"));
    assert_eq!(complete[0].size_bytes, Some(fs::metadata(dirs.trace("t_7.json")).unwrap().len()));
}

#[test]
fn files_that_are_renamed_come_in_the_order_of_completion() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    let (tmp, b, a) = (dirs.trace("x.tmp"), dirs.trace("t_2.json"), dirs.trace("t_1.json"));
    let writer = thread::spawn(move || {
        for (path, id) in [(b, "22"), (a, "11")] {
            fs::write(&tmp, document(id)).unwrap();
            fs::rename(&tmp, path).unwrap();
            thread::sleep(Duration::from_millis(400));
        }
    });
    let (complete, missing) = wait(&mut traces, vec![expected(1, Some("11")), expected(2, None)], LONG);
    writer.join().unwrap();
    assert_eq!(missing, []);
    let paths: Vec<_> = complete.into_iter().map(|t| t.path).collect();
    assert_eq!(paths, [dirs.trace("t_2.json"), dirs.trace("t_1.json")]);
}

#[test]
fn what_is_no_trace_is_named_as_what_it_is() {
    let dirs = TestDirs::new();
    fs::create_dir(dirs.trace("t_7.json")).unwrap();
    let mut traces = dirs.kineto();
    let (_, missing) = wait(&mut traces, vec![expected(7, None)], SHORT);
    assert_eq!(missing, [(7, "what was there before the request is not a file".to_owned())]);
}

#[test]
fn a_file_of_an_earlier_run_is_not_the_new_one() {
    let dirs = TestDirs::new();
    fs::write(dirs.trace("t_7.json"), document("5")).unwrap();
    let mut traces = dirs.kineto();
    let (complete, missing) = wait(&mut traces, vec![expected(7, None)], SHORT);
    assert_eq!(complete, []);
    assert_eq!(missing, [(7, "only the file of an earlier request exists".to_owned())]);
    // Written anew, it is.
    fs::write(dirs.trace("t_7.json"), document("66")).unwrap();
    let (complete, _) = wait(&mut traces, vec![expected(7, None)], LONG);
    assert_eq!(complete.len(), 1);
}

#[test]
fn a_file_with_another_trace_id_is_not_ours() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    fs::write(dirs.trace("t_7.json"), document("666")).unwrap();
    let (complete, missing) = wait(&mut traces, vec![expected(7, Some("5"))], SHORT);
    assert_eq!(complete, []);
    assert_eq!(missing, [(7, "the trace of another request (trace_id 666)".to_owned())]);
    fs::write(dirs.trace("t_7.json"), document("5")).unwrap();
    assert_eq!(wait(&mut traces, vec![expected(7, Some("5"))], LONG).0.len(), 1);
}

#[test]
fn a_file_without_the_expected_trace_id_is_accepted_at_the_deadline() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    fs::write(dirs.trace("t_7.json"), "{}").unwrap();
    let start = Instant::now();
    let (complete, missing) = wait(&mut traces, vec![expected(7, Some("5"))], SHORT);
    assert!(start.elapsed() >= SHORT, "taken at the deadline only");
    assert_eq!((complete.len(), missing), (1, vec![]));
    assert_eq!(complete[0].trace_id, None);
    assert!(complete[0].remark.as_ref().unwrap().contains("has no trace_id"));
    // Where no id is due, there is nothing to wait for.
    let mut traces = dirs.kineto();
    fs::write(dirs.trace("t_7.json"), "{\"traceEvents\":[]}").unwrap();
    let (complete, _) = wait(&mut traces, vec![expected(7, None)], LONG);
    assert_eq!((complete.len(), complete[0].remark.as_ref()), (1, None));
}

#[test]
fn a_planted_file_is_not_taken_for_the_trace() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    let path = dirs.trace("t_7.json");
    fs::write(&path, "{}").unwrap();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(500));
        fs::write(&path, document("5")).unwrap();
    });
    let (complete, _) = wait(&mut traces, vec![expected(7, Some("5"))], LONG);
    writer.join().unwrap();
    assert_eq!((complete[0].trace_id.as_deref(), complete[0].remark.as_ref()), (Some("5"), None));
}

#[test]
fn processes_that_share_a_file_find_what_each_wrote() {
    let dirs = TestDirs::new();
    let path = dirs.trace("plain");
    let mut traces = KinetoTraceFinder::with_test_fallback(&path, &dirs.fallback());
    let writer = thread::spawn(move || {
        for id in ["22", "11"] {
            fs::write(&path, document(id)).unwrap();
            thread::sleep(Duration::from_millis(1500));
        }
    });
    let (complete, missing) = wait(&mut traces, vec![expected(1, Some("11")), expected(2, Some("22"))], LONG);
    writer.join().unwrap();
    let ids: Vec<_> = complete.iter().map(|t| t.trace_id.as_deref()).collect();
    assert_eq!((ids, missing), (vec![Some("22"), Some("11")], vec![]));
}

#[test]
fn a_planted_file_does_not_hide_the_trace_at_another_path() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    fs::write(dirs.trace("t_7.json"), "{}").unwrap();
    let own = dirs.fallback().join("libkineto_activities_7.json");
    fs::write(&own, document("5")).unwrap();
    let (complete, _) = wait(&mut traces, vec![expected(7, Some("5"))], LONG);
    assert_eq!(complete[0].path, own);
}

#[test]
fn truncated_and_absent_files_are_missing_with_reasons() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    fs::write(dirs.trace("t_1.json"), "{\"traceEvents\":[{}").unwrap();
    let (complete, missing) = wait(&mut traces, vec![expected(1, None), expected(2, None)], SHORT);
    assert_eq!(complete, []);
    assert_eq!(
        missing,
        [(1, "truncated JSON document of 18 bytes".to_owned()), (2, "no such file".to_owned())]
    );
}

#[test]
fn the_default_name_of_libkineto_is_found() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    let path = dirs.fallback().join("libkineto_activities_7.json");
    fs::write(&path, document("5")).unwrap();
    let (complete, _) = wait(&mut traces, vec![expected(7, Some("5"))], LONG);
    assert_eq!(complete[0].path, path);
    assert!(complete[0].remark.as_ref().unwrap().contains("does not write to"));
}

#[test]
fn symlinks_are_not_followed() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    fs::write(dirs.trace("real"), document("5")).unwrap();
    std::os::unix::fs::symlink(dirs.trace("real"), dirs.trace("t_7.json")).unwrap();
    let (complete, missing) = wait(&mut traces, vec![expected(7, None)], SHORT);
    assert_eq!(complete, []);
    assert_eq!(missing, [(7, "is a symbolic link".to_owned())]);
}

#[test]
fn a_directory_that_does_not_exist_yet_is_waited_for() {
    let dirs = TestDirs::new();
    let log_file = dirs.trace("deep/er/t.json");
    let mut traces = KinetoTraceFinder::with_test_fallback(&log_file, &dirs.fallback());
    let path = dirs.trace("deep/er/t_7.json");
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, document("5")).unwrap();
    });
    let (complete, _) = wait(&mut traces, vec![expected(7, None)], LONG);
    writer.join().unwrap();
    assert_eq!(complete.len(), 1);
}

fn create_trace_dir(dirs: &TestDirs, name: &str) -> PathBuf {
    let dir = dirs.trace(name);
    fs::create_dir(&dir).unwrap();
    dir
}

fn end_recording(dir: &Path) {
    fs::write(dir.join("profiler_info_0.json"), "{\"rank_id\":0}").unwrap();
}

#[test]
fn an_ascend_tree_is_complete_when_its_info_is_whole() {
    let dirs = TestDirs::new();
    end_recording(&create_trace_dir(&dirs, "h_7_20240102030405000_ascend_pt"));
    let mut traces = dirs.ascend(false, None);
    let (complete, missing) = wait(&mut traces, vec![expected(7, None)], SHORT);
    assert_eq!((complete, missing), (vec![], vec![(7, "no such directory".to_owned())]));
    let dir = create_trace_dir(&dirs, "h_7_20240102030405001_ascend_pt");
    create_trace_dir(&dirs, "h_77_20240102030405001_ascend_pt");
    let (_, missing) = wait(&mut traces, vec![expected(7, None)], SHORT);
    assert_eq!(missing[0].1, "recording has not ended: no profiler_info*.json yet");
    fs::write(dir.join("profiler_info_0.json"), "{\"rank_id\":").unwrap();
    assert_eq!(wait(&mut traces, vec![expected(7, None)], SHORT).0, []);
    end_recording(&dir);
    let (complete, _) = wait(&mut traces, vec![expected(7, None)], LONG);
    assert_eq!(complete[0].path, dir);
}

#[test]
fn a_worker_name_that_is_not_utf_8_is_found_and_reported_exactly() {
    let dirs = TestDirs::new();
    let mut traces = dirs.ascend(false, None);
    let dir = dirs.trace("").join(OsStr::from_bytes(b"h\xff_7_20240102030405001_ascend_pt"));
    fs::create_dir(&dir).unwrap();
    end_recording(&dir);
    let (complete, _) = wait(&mut traces, vec![expected(7, None)], LONG);
    assert_eq!(complete[0].path, dir);
}

#[test]
fn an_analyzed_ascend_tree_is_complete_when_the_analysis_says_so() {
    let dirs = TestDirs::new();
    let mut traces = dirs.ascend(true, None);
    let dir = create_trace_dir(&dirs, "h_7_20240102030405001_ascend_pt");
    end_recording(&dir);
    let (_, missing) = wait(&mut traces, vec![expected(7, None)], SHORT);
    assert_eq!(missing[0].1, "the analysis has not ended: no analyse.done yet");
    let writer = thread::spawn(move || {
        let results = dir.join("ASCEND_PROFILER_OUTPUT");
        fs::create_dir(&results).unwrap();
        thread::sleep(Duration::from_millis(100));
        File::create(results.join("analyse.done")).unwrap();
    });
    assert_eq!(wait(&mut traces, vec![expected(7, None)], LONG).0.len(), 1);
    writer.join().unwrap();
}

#[test]
fn only_as_many_trees_as_ranks_are_waited_for() {
    let dirs = TestDirs::new();
    let mut traces = dirs.ascend(false, Some(1));
    end_recording(&create_trace_dir(&dirs, "h_8_20240102030405001_ascend_pt"));
    let (complete, missing) = wait(&mut traces, vec![expected(7, None), expected(8, None)], LONG);
    assert_eq!((complete.len(), missing.len()), (1, 0));
}

#[test]
fn the_same_pid_on_two_hosts_needs_two_trees() {
    let dirs = TestDirs::new();
    let mut traces = dirs.ascend(false, None);
    end_recording(&create_trace_dir(&dirs, "a_7_20240102030405001_ascend_pt"));
    let two = || vec![expected(7, None), expected(7, None)];
    assert_eq!(wait(&mut traces, two(), SHORT).0.len(), 1);
    end_recording(&create_trace_dir(&dirs, "b_7_20240102030405002_ascend_pt"));
    assert_eq!(wait(&mut traces, vec![expected(7, None)], LONG).0.len(), 1);
}

#[test]
fn the_default_deadline_follows_the_recording() {
    let options = |wait, timeout| WaitArgs { wait, wait_timeout: timeout, collect: CollectArgs::default() };
    let plan = |o: WaitArgs, r| o.wait_plan(r).unwrap().map(|p| p.timeout);
    assert_eq!(plan(options(false, None), None), None);
    assert_eq!(plan(options(true, None), Some(Duration::from_secs(2))), Some(Duration::from_secs(62)));
    assert_eq!(plan(options(true, None), None), Some(DEFAULT_TIMEOUT));
    assert_eq!(plan(options(true, Some(SHORT)), None), Some(SHORT));
    assert_eq!(time_until_recording_ends(0, 500), Duration::from_millis(500));
    assert_eq!(time_until_recording_ends(1, 500), Duration::from_millis(500));
    assert!(options(false, Some(SHORT)).wait_plan(None).is_err(), "nothing to wait for");
    let soon = crate::wall_clock::time_since_epoch() + Duration::from_secs(100);
    let later = time_until_recording_ends(u64::try_from(soon.as_millis()).unwrap(), 500);
    assert!(later > Duration::from_secs(90) && later < Duration::from_secs(101));
}

/// A planted file of another kind: readable, endless, and under the expected name.
#[test]
fn the_deadline_holds_whatever_lies_in_the_directory() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    let plant = |pid: i64, begin: &str, fill: u8| {
        let mut file = File::create(dirs.trace(&format!("t_{pid}.json"))).unwrap();
        file.write_all(begin.as_bytes()).unwrap();
        // More than can be read in the time of this test, at several GiB/s.
        if fill == 0 {
            file.set_len(200 << 30).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, b"\"}", (200 << 30) - 2).unwrap();
        } else {
            let block = vec![fill; 64 << 20];
            file.write_all(&block).unwrap();
            file.write_all(b"\"}").unwrap();
        }
    };
    plant(1, "{\"a\":\"", 0);
    plant(2, "{\"a\":\"", b'x');
    let start = Instant::now();
    let (_, missing) = wait(&mut traces, vec![expected(1, Some("5")), expected(2, Some("6"))], SHORT);
    assert!(start.elapsed() < SHORT + Duration::from_secs(5), "{:?}", start.elapsed());
    assert!(missing.iter().any(|(pid, reason)| *pid == 1 && reason == "not a JSON document"), "{missing:?}");
}

#[test]
fn a_process_that_has_ended_ends_the_wait_with_the_reason() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    fs::write(dirs.trace("t_2.json"), document("22")).unwrap();
    let mut said = false;
    let verdicts = || {
        let verdict = |id: &str| {
            let verdict = TraceVerdict { reason: "the process ended".into(), grace: Duration::ZERO };
            ((0, id.to_owned()), RequestNews::Verdict(verdict))
        };
        if std::mem::replace(&mut said, true) { Vec::new() } else { vec![verdict("11"), verdict("22")] }
    };
    let start = Instant::now();
    let pending = vec![expected(1, Some("11")), expected(2, Some("22"))];
    let (complete, missing) = wait_with_verdicts(&mut traces, pending, LONG, verdicts);
    assert!(start.elapsed() < LONG / 2);
    assert_eq!(complete.len(), 1, "written before the process ended");
    assert_eq!((missing[0].expected.pid, missing[0].is_final), (1, true));
    assert_eq!(missing[0].reason, "the process ended");
}

#[test]
fn when_the_time_is_over_the_last_state_of_the_request_is_known() {
    let dirs = TestDirs::new();
    let mut traces = dirs.kineto();
    let state = |text: &str| RequestState { text: text.into(), is_pending: true };
    let mut said = vec![state("newer"), state("older")];
    let news =
        || said.pop().map(|state| ((0, "11".to_owned()), RequestNews::State(state))).into_iter().collect();
    let pending = vec![expected(1, Some("11")), expected(2, Some("22"))];
    let (_, missing) = wait_with_verdicts(&mut traces, pending, Duration::from_millis(1500), news);
    let states: Vec<_> = missing.iter().map(|m| (m.expected.pid, m.is_final, m.state.clone())).collect();
    assert_eq!(states, [(1, false, Some(state("newer"))), (2, false, None)]);
}

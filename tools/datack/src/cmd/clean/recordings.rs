//! The files of one recording: they are deleted together, or stay together.
//!
//! - A profile directory of Ascend, `…_ascend_pt`, `…_ascend_ms` or `PROF_…`, whatever it holds.
//! - A database and its journals.
//! - The metric log of one run of profd, `metrics-START-PID-NUMBER`: all of its files stay while the daemon writes to one.
//! - Traces of one request: `STEM_PID.json` of several processes, `…rankN….json` of several ranks, `WORKER.TIME.pt.trace.json`
//!   of several workers, in one directory and written within a minute of each other. A process writes one of them.

use std::collections::{HashMap, HashSet};

use super::generated::{is_cann_profile, is_torch_profile, metric_log_prefix};

/// Longest time in seconds between two traces of one request.
const LONGEST_GAP: i64 = 60;

/// The recording of a file, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecordingKey {
    /// All files with this prefix.
    Prefix(Vec<u8>),
    /// A trace of one process; which request it belongs to is decided by its time.
    Trace { set: Vec<u8>, process: Vec<u8> },
}

/// Returns the key of a file that is not alone.
pub(super) fn recording_key(path: &[u8]) -> Option<RecordingKey> {
    // The outermost profile: those of CANN lie in those of PyTorch.
    let mut start = 0;
    while let Some(end) = memchr::memchr(b'/', &path[start..]).map(|i| start + i) {
        let name = &path[start..end];
        if is_torch_profile(name) || is_cann_profile(name) {
            return Some(RecordingKey::Prefix(path[..=end].to_vec()));
        }
        start = end + 1;
    }
    let (dir, name) = path.split_at(start);
    let journals = [&b"-wal"[..], b"-shm", b"-journal"];
    let database = journals.iter().find_map(|end| name.strip_suffix(*end)).unwrap_or(name);
    if database.ends_with(b".db") {
        return Some(RecordingKey::Prefix([dir, database].concat()));
    }
    if let Some(log) = metric_log_prefix(name) {
        return Some(RecordingKey::Prefix([dir, log].concat()));
    }
    let name = name.strip_suffix(b".gz").unwrap_or(name);
    let trace = |stem: &[u8], process: &[u8]| RecordingKey::Trace {
        set: [dir, stem].concat(),
        process: process.to_vec(),
    };
    if let Some(stem) = name.strip_suffix(b".pt.trace.json") {
        let dot = memchr::memrchr(b'.', stem)?;
        return Some(trace(b"*.pt.trace.json", &stem[..dot]));
    }
    let stem = name.strip_suffix(b".json")?;
    let end = memchr::memrchr(b'_', stem).map_or(stem.len(), |at| at + 1);
    let (mut begin, pid) = stem.split_at(end);
    let has_pid = !pid.is_empty() && pid.iter().all(u8::is_ascii_digit);
    if !has_pid {
        begin = stem;
    }
    let (masked, ranks) = mask_ranks(begin);
    (has_pid || ranks).then(|| trace(&masked, stem))
}

/// A name without the numbers of ranks in it, `rank0`, `rank_12`, `RANK-3`, and whether there were any.
fn mask_ranks(name: &[u8]) -> (Vec<u8>, bool) {
    let (mut masked, mut at, mut found) = (Vec::with_capacity(name.len()), 0, false);
    while at < name.len() {
        let rest = &name[at..];
        if rest.len() > 4 && rest[..4].eq_ignore_ascii_case(b"rank") {
            let sign = usize::from(matches!(rest[4], b'_' | b'-'));
            let digits = rest[4 + sign..].iter().take_while(|b| b.is_ascii_digit()).count();
            if digits > 0 {
                masked.extend_from_slice(&rest[..4 + sign]);
                masked.push(b'*');
                at += 4 + sign + digits;
                found = true;
                continue;
            }
        }
        masked.push(name[at]);
        at += 1;
    }
    (masked, found)
}

/// Numbers recordings while files are added, oldest first.
#[derive(Default)]
pub(super) struct RecordingNumbers {
    known: HashMap<Vec<u8>, OpenRecording>,
    /// The newest modification time of each recording.
    pub(super) newest: Vec<i64>,
}

struct OpenRecording {
    number: usize,
    processes: HashSet<Vec<u8>>,
}

impl RecordingNumbers {
    /// Returns the number of the recording that a file belongs to.
    pub(super) fn add(&mut self, path: &[u8], mtime: i64) -> u32 {
        let number = match recording_key(path) {
            None => self.open(mtime),
            Some(RecordingKey::Prefix(prefix)) => {
                self.known.get(&prefix).map(|r| r.number).unwrap_or_else(|| {
                    let number = self.open(mtime);
                    self.known.insert(prefix, OpenRecording { number, processes: HashSet::new() });
                    number
                })
            }
            Some(RecordingKey::Trace { set, process }) => self.add_trace(set, process, mtime),
        };
        self.newest[number] = self.newest[number].max(mtime);
        number as u32
    }

    fn add_trace(&mut self, set: Vec<u8>, process: Vec<u8>, mtime: i64) -> usize {
        if let Some(open) = self.known.get_mut(&set) {
            let near = mtime.saturating_sub(self.newest[open.number]) <= LONGEST_GAP;
            if near && open.processes.insert(process.clone()) {
                return open.number;
            }
        }
        let number = self.open(mtime);
        self.known.insert(set, OpenRecording { number, processes: HashSet::from([process]) });
        number
    }

    fn open(&mut self, mtime: i64) -> usize {
        self.newest.push(mtime);
        self.newest.len() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(files: &[(&str, i64)]) -> Vec<u32> {
        let mut numbers = RecordingNumbers::default();
        files.iter().map(|(path, mtime)| numbers.add(path.as_bytes(), *mtime)).collect()
    }

    #[test]
    fn a_profile_is_one_recording_with_the_profiles_in_it() {
        let torch = "/t/h_1_20260101000000000_ascend_pt";
        let cann = "PROF_000001_20260101000000000_ABCDEF";
        let files = [
            (format!("{torch}/{cann}/device_0/data/x"), 10),
            (format!("/t/{cann}/host/y"), 20),
            (format!("{torch}/ASCEND_PROFILER_OUTPUT/k.csv"), 900_000),
            (format!("/t/{cann}/device_1/data/y"), 900_001),
            ("/t/other.log".to_owned(), 900_002),
        ];
        let files: Vec<_> = files.iter().map(|(path, mtime)| (path.as_str(), *mtime)).collect();
        assert_eq!(numbers(&files), [0, 1, 0, 1, 2]);
    }

    #[test]
    fn traces_of_one_request_are_one_recording_and_those_of_the_next_are_another() {
        assert_eq!(
            numbers(&[
                ("/t/a_1.json", 100),
                ("/t/a_2.json.gz", 130),
                ("/t/b_1.json", 130),
                ("/t/a_3.json", 191)
            ]),
            [0, 0, 1, 2]
        );
        // A process that writes again does so for the next request.
        assert_eq!(numbers(&[("/t/a_1.json", 1), ("/t/a_2.json", 2), ("/t/a_1.json.gz", 3)]), [0, 0, 1]);
        let torch =
            ["/t/n1_7.171.pt.trace.json", "/t/n2_7.175.pt.trace.json.gz", "/t/n1_7.199.pt.trace.json"];
        assert_eq!(numbers(&torch.map(|path| (path, 5))), [0, 0, 1]);
        assert_eq!(numbers(&[("/t/trace.json", 1), ("/u/a_1.json", 1), ("/t/a_1.json", 1)]), [0, 1, 2]);
    }

    /// profctl's `rank%r.json` becomes `rank0_4711.json` on every rank.
    #[test]
    fn traces_of_all_ranks_of_a_request_are_one_recording() {
        let ranks = ["/t/rank0_101.json", "/t/rank1_207.json.gz", "/t/rank12_9.json", "/t/job.RANK-3.json"];
        assert_eq!(numbers(&ranks.map(|path| (path, 7))), [0, 0, 0, 1]);
        let plain =
            ["/t/step5_rank_0.json", "/t/step5_rank_1.json", "/t/step6_rank_1.json", "/u/step5_rank_2.json"];
        assert_eq!(numbers(&plain.map(|path| (path, 7))), [0, 0, 1, 2]);
        // The same rank again is the next request; a name with the word alone is a trace by itself.
        assert_eq!(
            numbers(&[("/t/rank0_1.json", 1), ("/t/rank1_2.json", 2), ("/t/rank0_1.json.gz", 3)]),
            [0, 0, 1]
        );
        assert_eq!(
            numbers(&[("/t/ranking.json", 1), ("/t/rank.json", 1), ("/t/frank_x.json", 1)]),
            [0, 1, 2]
        );
    }

    #[test]
    fn a_metric_log_is_one_recording_and_that_of_another_run_is_another() {
        let log = |run: &str, number: u32| format!("/m/metrics-20260301T120000Z-{run}-{number:04}.jsonl");
        let files = [log("812", 1), log("812", 2), log("813", 1), log("812", 9_999), log("812", 10_000)];
        let files: Vec<_> = files.iter().zip(0..).map(|(path, i)| (path.as_str(), i * 86_400)).collect();
        assert_eq!(numbers(&files), [0, 0, 1, 0, 0]);
        let other = ["/m/metrics-20260301T120000Z-812.jsonl", "/m/metrics-notes-812-0001.jsonl"];
        assert_eq!(numbers(&other.map(|path| (path, 1))), [0, 1]);
    }

    #[test]
    fn a_database_has_its_journals_with_it() {
        assert_eq!(numbers(&[("/t/m.db", 1), ("/t/m.db-wal", 900), ("/t/n.db", 900)]), [0, 0, 1]);
    }
}

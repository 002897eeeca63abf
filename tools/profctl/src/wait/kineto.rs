//! Traces of libkineto: one JSON file per process.
//!
//! How a file is called is [`trace_path`]'s to know. libkineto writes only below one directory (`/tmp`, or `$KINETO_ONDEMAND_TRACE_DIR` of the process) and falls back to a name of its own
//! for any other path. A file may be written in place or renamed when it is whole.
//!
//! The directory is often `/tmp`, where every user can put a file of any name. So what has no `trace_id` where one is
//! due, or belongs to somebody else where the id proves nothing, is taken only when nothing better came in time; with
//! both, it is not taken at all. Another owner alone is no fault: training often runs as a user of its own.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::fsat::open_regular;
use common::rpc::config::trace_path;

use super::document::{Document, examine};
use super::{Expected, Look, SETTLE, Trace, Traces, stranger};

/// Where libkineto writes unless its environment names another place.
const ALLOWED: &str = "/tmp/";
/// What it calls a file whose path it does not allow, up to the pid.
const FALLBACK: &str = "libkineto_activities_";

/// What libkineto will not do with a path as the user expects.
pub(crate) fn trouble(log_file: &str) -> Option<&'static str> {
    if !log_file.contains(".json") {
        Some(
            "no `.json` in the path: libkineto finds no place for the pid, and all processes write the same file",
        )
    } else if log_file.contains("..") {
        Some("libkineto refuses `..` in a path, and writes /tmp/libkineto_activities_PID.json instead")
    } else if !log_file.starts_with(ALLOWED) {
        Some(
            "libkineto writes only below /tmp, unless the process has KINETO_ONDEMAND_TRACE_DIR, and else to \
             /tmp/libkineto_activities_PID.json",
        )
    } else {
        None
    }
}

/// One state of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

impl Identity {
    fn of(meta: &Metadata) -> Self {
        Self {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            changed: (meta.mtime(), meta.mtime_nsec()),
        }
    }
}

/// What is known of a file that was seen.
#[derive(Debug)]
struct Sighting {
    identity: Identity,
    since: Instant,
    /// What is in this state of it, or why it is no trace: read to its end once, for all who expect it.
    content: Option<Result<Content, String>>,
}

/// What a whole document says of its origin.
#[derive(Clone, Debug)]
struct Content {
    trace_id: Option<String>,
    owner: u32,
}

/// What a file is to somebody who expects a trace.
#[derive(Debug)]
enum Judged {
    /// The trace.
    Trace(Trace),
    /// Perhaps the trace.
    Doubtful(Trace),
    /// Not the trace, and why.
    Rejected(String),
}

/// Looks for the traces of one request.
pub(crate) struct Kineto {
    log_file: String,
    fallback_dir: PathBuf,
    /// The files that were there before the request.
    before: HashMap<PathBuf, Identity>,
    seen: HashMap<PathBuf, Sighting>,
}

impl Kineto {
    /// Takes note of the files that are there.
    pub(crate) fn new(log_file: String) -> Self {
        Self::with_fallback(log_file, PathBuf::from(ALLOWED))
    }

    fn with_fallback(log_file: String, fallback_dir: PathBuf) -> Self {
        let mut before = HashMap::new();
        let own = trace_path(&log_file, 0);
        for (directory, prefix) in [
            (Path::new(&own).parent().unwrap_or(Path::new("/")), stem(&log_file)),
            (&fallback_dir, FALLBACK.to_owned()),
        ] {
            for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(&prefix)
                    && let Ok(meta) = entry.metadata()
                {
                    before.insert(entry.path(), Identity::of(&meta));
                }
            }
        }
        Self { log_file, fallback_dir, before, seen: HashMap::new() }
    }

    /// The places where the trace of a process may be, the likeliest first.
    fn candidates(&self, pid: i64) -> Vec<PathBuf> {
        let mut places = vec![PathBuf::from(trace_path(&self.log_file, pid))];
        // Older versions know only `.json`; other writers put the pid before the last one.
        for at in [self.log_file.find(".json"), self.log_file.rfind(".json")].into_iter().flatten() {
            places.push(format!("{}_{pid}{}", &self.log_file[..at], &self.log_file[at..]).into());
        }
        places.push(self.fallback_dir.join(format!("{FALLBACK}{pid}.json")));
        places.dedup();
        places
    }

    fn fallback(&self, place: &Path) -> Option<String> {
        let own = place.parent() == Some(&self.fallback_dir)
            && place.file_name().is_some_and(|n| n.to_string_lossy().starts_with(FALLBACK));
        own.then(|| format!("the process does not write to {}, and used {}", self.log_file, place.display()))
    }

    /// Looks at one place: `None` when there is nothing, `Err` with the reason when it cannot be judged (yet).
    fn look_at(&mut self, place: &Path, expected: &Expected) -> Option<Result<Judged, Option<String>>> {
        let meta = std::fs::symlink_metadata(place).ok()?;
        let identity = Identity::of(&meta);
        if self.before.get(place) == Some(&identity) {
            return Some(Err(Some("there is only the file of an earlier request".to_owned())));
        }
        match self.seen.get(place) {
            Some(sighting) if sighting.identity == identity => {
                if let Some(content) = sighting.content.clone() {
                    return Some(Ok(self.judge(place, identity, content, expected)));
                }
                if sighting.since.elapsed() < SETTLE {
                    return Some(Err(None));
                }
            }
            _ => {
                let sighting = Sighting { identity, since: Instant::now(), content: None };
                self.seen.insert(place.to_owned(), sighting);
                return Some(Err(None));
            }
        }
        let content = match read(place, identity) {
            Ok(content) => content,
            Err(e) => return Some(Err(Some(e.to_string()))),
        };
        if let Some(sighting) = self.seen.get_mut(place) {
            sighting.content = Some(content.clone());
        }
        Some(Ok(self.judge(place, identity, content, expected)))
    }

    fn judge(
        &self,
        place: &Path,
        identity: Identity,
        content: Result<Content, String>,
        expected: &Expected,
    ) -> Judged {
        let Content { trace_id, owner } = match content {
            Ok(content) => content,
            Err(reason) => return Judged::Rejected(reason),
        };
        let (path, remark) = (place.to_owned(), self.fallback(place));
        weigh(Trace { path, size_bytes: Some(identity.size), trace_id, remark }, stranger(owner), expected)
    }
}

/// Reads a file that has stopped changing: its content, or why it is no trace.
fn read(place: &Path, identity: Identity) -> std::io::Result<Result<Content, String>> {
    let (mut file, _) = open_regular(place)?;
    let document = examine(&mut file)?;
    let now = file.metadata()?;
    Ok(match document {
        _ if Identity::of(&now) != identity => Err("still being written".to_owned()),
        Document::Unfinished => Err(format!("{} bytes, and not the end of the document", identity.size)),
        Document::NotJson => Err("not a JSON document".to_owned()),
        Document::Whole { trace_id } => {
            Ok(Content { trace_id: trace_id.filter(|id| !id.is_empty()), owner: now.uid() })
        }
    })
}

/// Decides whether a whole trace is the expected one. `stranger` says whose it is, if not ours or root's.
fn weigh(mut trace: Trace, stranger: Option<String>, expected: &Expected) -> Judged {
    let named = |what: &str| format!("{} {what}", trace.path.display());
    let (doubt, remark) = match (&expected.trace_id, &trace.trace_id, &stranger) {
        (Some(due), Some(id), _) if due != id => {
            return Judged::Rejected(format!("the trace of another request (trace_id {id})"));
        }
        (Some(_), None, Some(who)) => return Judged::Rejected(format!("has no trace_id, and {who}")),
        (Some(_), None, None) => (true, Some(named("has no trace_id, and may not be of this request"))),
        (None, _, Some(who)) => (true, Some(named(&format!("{who}, and may not be of this request")))),
        (Some(_), Some(_), Some(who)) => (false, Some(named(who))),
        (_, _, None) => (false, None),
    };
    trace.remark = match (trace.remark, remark) {
        (Some(one), Some(two)) => Some(format!("{one}; {two}")),
        (one, two) => one.or(two),
    };
    if doubt { Judged::Doubtful(trace) } else { Judged::Trace(trace) }
}

/// The beginning of the names of all traces of a log file.
fn stem(log_file: &str) -> String {
    let own = trace_path(log_file, 0);
    let name = Path::new(&own).file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    name.split(".json")
        .next()
        .unwrap_or_default()
        .trim_end_matches(".pt.trace")
        .trim_end_matches("_0")
        .to_owned()
}

impl Traces for Kineto {
    fn look(&mut self, expected: &Expected) -> Look {
        let mut best: Option<(PathBuf, Option<String>)> = None;
        let mut doubtful = None;
        let places = self.candidates(expected.pid);
        for place in &places {
            match self.look_at(place, expected) {
                None => {}
                Some(Ok(Judged::Trace(trace))) => return Look::Complete(trace),
                Some(Ok(Judged::Doubtful(trace))) => doubtful = doubtful.or(Some(trace)),
                Some(Err(None)) => best = Some((place.clone(), None)),
                Some(Ok(Judged::Rejected(reason)) | Err(Some(reason))) => {
                    best = best.or_else(|| Some((place.clone(), Some(reason))));
                }
            }
        }
        if let Some(trace) = doubtful {
            return Look::Doubtful(trace);
        }
        match best {
            Some((path, None)) => Look::Unsettled { path },
            Some((path, Some(reason))) => Look::Waiting { path, reason },
            None => Look::Waiting { path: places[0].clone(), reason: "no such file".to_owned() },
        }
    }

    fn directories(&self) -> Vec<PathBuf> {
        let own = trace_path(&self.log_file, 0);
        let mut directories: Vec<_> = Path::new(&own).parent().map(Path::to_owned).into_iter().collect();
        directories.push(self.fallback_dir.clone());
        directories
    }
}

#[cfg(test)]
impl Kineto {
    /// Falls back to a directory of the test's own.
    pub(crate) fn for_test(log_file: &Path, fallback_dir: &Path) -> Self {
        Self::with_fallback(log_file.to_str().unwrap().to_owned(), fallback_dir.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wrote_it_and_which_id_it_has_decide_together() {
        let judged = |due: Option<&str>, id: Option<&str>, uid: u32| {
            let owned = |id: Option<&str>| id.map(str::to_owned);
            let expected = Expected { host: "h".into(), pid: 7, trace_id: owned(due) };
            let trace = Trace { path: "/t".into(), size_bytes: None, trace_id: owned(id), remark: None };
            match weigh(trace, stranger(uid), &expected) {
                Judged::Trace(t) => ("trace", t.remark.unwrap_or_default()),
                Judged::Doubtful(t) => ("doubtful", t.remark.unwrap_or_default()),
                Judged::Rejected(reason) => ("rejected", reason),
            }
        };
        let me = rustix::process::geteuid().as_raw();
        let other = me + 4321;
        for known in [me, 0] {
            assert_eq!(judged(Some("5"), Some("5"), known), ("trace", String::new()));
            assert_eq!(judged(None, Some("5"), known), ("trace", String::new()));
            assert_eq!(judged(None, None, known), ("trace", String::new()));
            assert_eq!(judged(Some("5"), Some("6"), known).0, "rejected");
            assert_eq!(judged(Some("5"), None, known).0, "doubtful");
        }
        let whose = format!("/t belongs to uid {other}");
        assert_eq!(judged(Some("5"), Some("5"), other), ("trace", whose.clone()));
        assert_eq!(judged(Some("5"), Some("6"), other).0, "rejected");
        assert_eq!(
            judged(Some("5"), None, other),
            ("rejected", format!("has no trace_id, and belongs to uid {other}"))
        );
        for id in [None, Some("5")] {
            assert_eq!(
                judged(None, id, other),
                ("doubtful", format!("{whose}, and may not be of this request"))
            );
        }
    }

    #[test]
    fn stems_are_common_to_all_pids() {
        assert_eq!(stem("/tmp/t.json"), "t");
        assert_eq!(stem("/tmp/t.pt.trace.json"), "t");
        assert_eq!(stem("/tmp/plain"), "plain");
    }

    #[test]
    fn paths_that_libkineto_changes_are_pointed_out() {
        assert_eq!(trouble("/tmp/t.json"), None);
        assert!(trouble("/tmp/t").unwrap().contains("same file"));
        assert!(trouble("/tmp/../x.json").unwrap().contains(".."));
        assert!(trouble("/data/t.json").unwrap().contains("KINETO_ONDEMAND_TRACE_DIR"));
    }
}

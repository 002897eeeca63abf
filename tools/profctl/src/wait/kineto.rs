//! Traces of libkineto: one JSON file per process.
//!
//! How a file is called is [`trace_path`]'s to know. libkineto writes only below one directory (`/tmp`, or `$KINETO_ONDEMAND_TRACE_DIR` of the process) and falls back to a name of its own
//! for any other path. A file may be written in place or renamed when it is whole.

use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::fsat::open_regular;
use common::rpc::config::trace_path;

use super::document::{Document, examine};
use super::{Expected, Look, SETTLE, Trace, Traces};

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
    /// Why this state of it is not the trace.
    rejected: Option<String>,
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

    /// Looks at one place: `None` when there is nothing, `Err` with the reason when it is not the trace.
    fn look_at(&mut self, place: &Path, expected: &Expected) -> Option<Result<Trace, Option<String>>> {
        let meta = std::fs::symlink_metadata(place).ok()?;
        let identity = Identity::of(&meta);
        if self.before.get(place) == Some(&identity) {
            return Some(Err(Some("there is only the file of an earlier request".to_owned())));
        }
        match self.seen.get(place) {
            Some(sighting) if sighting.identity == identity => {
                if let Some(reason) = &sighting.rejected {
                    return Some(Err(Some(reason.clone())));
                }
                if sighting.since.elapsed() < SETTLE {
                    return Some(Err(None));
                }
            }
            _ => {
                let sighting = Sighting { identity, since: Instant::now(), rejected: None };
                self.seen.insert(place.to_owned(), sighting);
                return Some(Err(None));
            }
        }
        match self.judge(place, identity, expected) {
            Ok(Ok(trace)) => Some(Ok(trace)),
            Ok(Err(reason)) => {
                // Read to its end for nothing: not again until it changes.
                if let Some(sighting) = self.seen.get_mut(place) {
                    sighting.rejected = Some(reason.clone());
                }
                Some(Err(Some(reason)))
            }
            Err(e) => Some(Err(Some(e.to_string()))),
        }
    }

    /// Reads a file that has stopped changing.
    fn judge(
        &self,
        place: &Path,
        identity: Identity,
        expected: &Expected,
    ) -> std::io::Result<Result<Trace, String>> {
        let (mut file, _) = open_regular(place)?;
        let document = examine(&mut file)?;
        let now = file.metadata()?;
        Ok(match document {
            _ if Identity::of(&now) != identity => Err("still being written".to_owned()),
            Document::Unfinished => Err(format!("{} bytes, and not the end of the document", identity.size)),
            Document::NotJson => Err("not a JSON document".to_owned()),
            Document::Whole { trace_id: Some(id) }
                if expected.trace_id.as_ref().is_some_and(|e| *e != id) =>
            {
                Err(format!("the trace of another request (trace_id {id})"))
            }
            Document::Whole { .. } => Ok(Trace {
                path: place.to_owned(),
                size_bytes: Some(identity.size),
                remark: self.fallback(place),
            }),
        })
    }
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
        let places = self.candidates(expected.pid);
        for place in &places {
            match self.look_at(place, expected) {
                None => {}
                Some(Ok(trace)) => return Look::Complete(trace),
                Some(Err(None)) => best = Some((place.clone(), None)),
                Some(Err(reason)) => best = best.or_else(|| Some((place.clone(), reason))),
            }
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

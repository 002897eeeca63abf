//! Where the processes write their traces.

use std::path::{Path, PathBuf};

use common::fsat::is_on_network_file_system;
use common::rpc::config::{insert_into_trace_name, trace_path};

use super::ascend::trace_dir_pattern;
use super::plain_name::require_plain_name;

/// The traces that a request makes the processes write.
#[derive(Clone, Debug)]
pub(crate) enum TraceOutput {
    /// No traces.
    None,
    /// One file per process, by libkineto.
    Kineto { log_file: String },
    /// One directory per process, by the Ascend PyTorch or MindSpore profiler.
    Ascend {
        dir: String,
        /// The process also analyzes the trace.
        analyzed: bool,
        /// Number of ranks that record, if not all do.
        ranks: Option<usize>,
    },
}

impl TraceOutput {
    /// Returns the path of the trace of a process, if it is known in advance. `told` is the log file that the daemon has
    /// told it, if that is not the requested one.
    pub(crate) fn trace_path_of(&self, told: Option<&str>, pid: i64) -> Option<String> {
        match self {
            Self::Kineto { log_file } => Some(trace_path(told.unwrap_or(log_file), pid)),
            _ => None,
        }
    }

    /// Changes the path so that each run of a repeated command has its own, and returns it: a number before `.json`, or a
    /// directory.
    pub(crate) fn separate_run(&mut self, run: u64) -> Option<String> {
        match self {
            Self::None => None,
            Self::Kineto { log_file } => {
                *log_file = insert_into_trace_name(log_file, &format!("run{run}"));
                Some(log_file.clone())
            }
            Self::Ascend { dir, .. } => {
                *dir = format!("{}/run{run}", dir.trim_end_matches('/'));
                Some(dir.clone())
            }
        }
    }

    /// Returns the path of the trace of a process with `*` for its unknown parts, if they exist. `told` as in
    /// [`Self::trace_path_of`].
    pub(crate) fn trace_pattern_of(&self, told: Option<&str>, pid: i64) -> Option<String> {
        match self {
            Self::Ascend { dir, .. } => Some(trace_dir_pattern(told.unwrap_or(dir), pid)),
            _ => None,
        }
    }

    /// Returns the path or the pattern, for text output; of what writes no traces, the directory that it was told.
    pub(crate) fn displayed_path_of(&self, told: Option<&str>, pid: i64) -> Option<String> {
        match self {
            Self::None => told.map(str::to_owned),
            _ => self.trace_path_of(told, pid).or_else(|| self.trace_pattern_of(told, pid)),
        }
    }

    /// Checks that a copy of a trace can have its name, and unless it `is_shared` that all of its path can be given to other programs.
    ///
    /// # Errors
    /// A name is unsafe, whatever stands for the placeholders.
    pub(crate) fn check_collectable(&self, is_shared: bool) -> anyhow::Result<()> {
        let Self::Kineto { log_file } = self else { return Ok(()) };
        // The value of a placeholder is checked with the path of each process.
        let path = log_file.replace("%%", "\0").replace('%', "").replace('\0', "%");
        let parts = path.rsplit('/').filter(|part| !part.is_empty());
        let count = if is_shared { 1 } else { usize::MAX };
        parts.take(count).try_for_each(require_plain_name)
    }

    /// Returns whether other hosts may write to the directory of the traces.
    pub(crate) fn is_shared(&self) -> bool {
        let (Self::Kineto { log_file: path } | Self::Ascend { dir: path, .. }) = self else { return false };
        // The rest is known for each process only.
        let known = Path::new(path.split('%').next().unwrap_or_default());
        let existing = known.ancestors().find(|dir| dir.is_dir());
        existing.is_some_and(|dir| is_on_network_file_system(&dir.join("trace")))
    }

    /// Returns the directory of the traces if it does not exist and the processes do not create it.
    pub(crate) fn missing_directory(&self) -> Option<PathBuf> {
        let Self::Kineto { log_file } = self else { return None };
        let parent = Path::new(log_file).parent().filter(|p| !p.as_os_str().is_empty())?;
        let is_known = !parent.to_string_lossy().contains('%');
        (is_known && !parent.is_dir()).then(|| parent.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_have_paths_of_their_own() {
        let kineto = |path: &str| {
            let mut output = TraceOutput::Kineto { log_file: path.to_owned() };
            let path = output.separate_run(7).unwrap();
            assert_eq!(output.trace_path_of(None, 1), Some(trace_path(&path, 1)));
            path
        };
        assert_eq!(kineto("/tmp/t.json"), "/tmp/t_run7.json");
        assert_eq!(kineto("/tmp/t.pt.trace.json"), "/tmp/t_run7.pt.trace.json");
        assert_eq!(kineto("/tmp/t"), "/tmp/t_run7");
        let mut ascend = TraceOutput::Ascend { dir: "/data/".into(), analyzed: false, ranks: None };
        assert_eq!(ascend.separate_run(1).as_deref(), Some("/data/run1"));
        assert_eq!(TraceOutput::None.separate_run(1), None);
    }

    #[test]
    fn names_that_cannot_be_copied_are_known_before_the_request() {
        let check = |path: &str, is_shared| {
            TraceOutput::Kineto { log_file: path.to_owned() }.check_collectable(is_shared).is_ok()
        };
        for good in ["/data/prof/t.json", "/data/%h/%r.json", "/t.pt.trace.json"] {
            assert!(check(good, true) && check(good, false), "{good}");
        }
        for bad in ["/data/it's.json", "/data/a b.json", "/data/100%%.json", "/data/.hidden.json"] {
            assert!(!check(bad, true) && !check(bad, false), "{bad}");
        }
        assert!(check("/my data/t.json", true) && !check("/my data/t.json", false));
    }
}

//! The file that each process of one request writes: its own, whatever the pids are.
//!
//! libkineto puts its pid into the name. In containers many processes have the same pid, and two of them that write to one
//! directory destroy each other's trace. So a client may put placeholders into the path, and two processes that would write
//! the same file are told different ones.

use std::collections::BTreeSet;

use common::rpc::config::{Config, LOG_FILE, trace_path};

use super::process::ProcessKey;

/// What a path may contain, for clients that ask for it:
///
/// | placeholder | value |
/// |---|---|
/// | `%h` | name of the host |
/// | `%H` | pid on the host |
/// | `%p` | pid of the process, in its own pid namespace |
/// | `%j` | job id |
/// | `%r` | rank, or `unknown` |
/// | `%%` | `%` |
fn expand_placeholders(path: &str, host_name: &str, key: ProcessKey, pid: i32, rank: Option<i64>) -> String {
    let mut expanded = String::with_capacity(path.len());
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        if c != '%' {
            expanded.push(c);
            continue;
        }
        match chars.next() {
            Some('h') => expanded.push_str(host_name),
            Some('H') => expanded.push_str(&key.host_pid.to_string()),
            Some('p') => expanded.push_str(&pid.to_string()),
            Some('j') => expanded.push_str(&key.job_id.to_string()),
            Some('r') => match rank {
                Some(rank) => expanded.push_str(&rank.to_string()),
                None => expanded.push_str("unknown"),
            },
            Some('%') => expanded.push('%'),
            // Not reached: `common::rpc::config::check_placeholders` comes first.
            other => expanded.extend(['%'].into_iter().chain(other)),
        }
    }
    expanded
}

/// Returns the text of a config with another path.
fn replace_log_file(config: &Config, path: &str) -> String {
    let line =
        |(key, value): &(String, String)| format!("{key}={}", if key == LOG_FILE { path } else { value });
    config.pairs().iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The paths that the processes of one request are told.
#[derive(Debug)]
pub(super) struct TraceOutputs<'a> {
    config: &'a Config,
    /// The host name, if the client has asked for placeholders to be expanded.
    host_name: Option<&'a str>,
    /// The files that processes write, as far as they are known.
    used: BTreeSet<String>,
}

impl<'a> TraceOutputs<'a> {
    pub(super) fn new(config: &'a Config, host_name: Option<&'a str>) -> Self {
        Self { config, host_name, used: BTreeSet::new() }
    }

    /// Returns the text of the config for a process, and the path in it if that is not the one of the request.
    pub(super) fn config_for(
        &mut self,
        key: ProcessKey,
        pid: i32,
        rank: Option<i64>,
    ) -> (String, Option<String>) {
        let Some(requested) = self.config.get(LOG_FILE) else { return (self.config.to_string(), None) };
        let mut path = match self.host_name {
            Some(host_name) => expand_placeholders(requested, host_name, key, pid, rank),
            None => requested.to_owned(),
        };
        // Ascend's profilers make a directory of their own in the path, which carries host name, pid and time.
        if path.contains(".json") && !self.used.insert(trace_path(&path, pid.into())) {
            path = trace_path(&path, key.host_pid.into());
            self.used.insert(trace_path(&path, pid.into()));
        }
        if path == requested {
            return (self.config.to_string(), None);
        }
        (replace_log_file(self.config, &path), Some(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(host_pid: i32) -> ProcessKey {
        ProcessKey { job_id: 9, uid: 1000, host_pid }
    }

    #[test]
    fn processes_of_one_pid_are_told_different_files() {
        let config = Config::parse("ACTIVITIES_LOG_FILE=/tmp/t.json\nA=1").unwrap();
        let mut outputs = TraceOutputs::new(&config, None);
        assert_eq!(outputs.config_for(key(100), 1, None), (config.to_string(), None));
        let (text, path) = outputs.config_for(key(200), 1, None);
        assert_eq!(path.as_deref(), Some("/tmp/t_200.json"));
        assert_eq!(text, "ACTIVITIES_LOG_FILE=/tmp/t_200.json\nA=1");
        assert_eq!(outputs.config_for(key(300), 2, None).1, None);
        // A directory is not a file: its users do not collide there.
        let config = Config::parse("ACTIVITIES_LOG_FILE=/data/prof").unwrap();
        let mut outputs = TraceOutputs::new(&config, None);
        assert_eq!(
            (outputs.config_for(key(1), 1, None).1, outputs.config_for(key(2), 1, None).1),
            (None, None)
        );
    }

    #[test]
    fn placeholders_are_expanded_on_request_only() {
        let config = Config::parse("ACTIVITIES_LOG_FILE=/tmp/%h-%j-%H-%p-100%%.json").unwrap();
        let expanded = TraceOutputs::new(&config, Some("node7")).config_for(key(100), 1, None).1;
        assert_eq!(expanded.as_deref(), Some("/tmp/node7-9-100-1-100%.json"));
        assert_eq!(TraceOutputs::new(&config, None).config_for(key(100), 1, None).1, None);
        let config = Config::parse("ACTIVITIES_LOG_FILE=/tmp/rank%r.json").unwrap();
        let mut outputs = TraceOutputs::new(&config, Some("node7"));
        assert_eq!(outputs.config_for(key(100), 1, Some(12)).1.as_deref(), Some("/tmp/rank12.json"));
        assert_eq!(outputs.config_for(key(200), 2, None).1.as_deref(), Some("/tmp/rankunknown.json"));
    }
}

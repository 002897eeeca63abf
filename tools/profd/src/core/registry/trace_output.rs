//! The file that each process writes: its own, whatever the path and the pids are.
//!
//! libkineto puts its pid into a name with `.json`. In containers many processes have the same pid, and two of them that
//! write to one directory destroy each other's trace; without `.json` all processes do. So a client may put placeholders
//! into the path, and two processes that would write the same file get different ones, also from different requests.

use std::collections::BTreeMap;

use common::rpc::config::{Config, LOG_FILE, MONITOR_LOG_FILE, insert_into_trace_name, trace_path};

use super::process::ProcessKey;

/// The placeholders that a path may contain, for clients that ask for it:
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
fn replace_output(config: &Config, path: &str) -> String {
    let is_output = |key: &str, value: &str| {
        [LOG_FILE, MONITOR_LOG_FILE].contains(&key) && config.output() == Some(value)
    };
    let line = |(key, value): &(String, String)| {
        format!("{key}={}", if is_output(key, value) { path } else { value })
    };
    config.pairs().iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Inserts the pid on the host, and a number from 2 on, into the name of a file.
fn insert_host_pid(path: &str, host_pid: i32, number: u64) -> String {
    let number = if number > 1 { format!("_{number}") } else { String::new() };
    insert_into_trace_name(path, &format!("{host_pid}{number}"))
}

/// Keys of which only configs for the profilers of Ascend have one (msMonitor b942bf5, `nputrace`).
const DIRECTORY_KEYS: [&str; 4] =
    ["PROFILE_START_STEP", "PROFILE_ACTIVITIES", "PROFILE_ANALYSE", "PROFILE_PROFILER_LEVEL"];

/// The paths that the processes of one request are told.
#[derive(Debug)]
pub(super) struct TraceOutputs<'a> {
    config: &'a Config,
    /// The host name, if the client has asked for placeholders to be expanded.
    host_name: Option<&'a str>,
    /// The files that processes write, as far as they are known, and the host pid of each.
    used: BTreeMap<String, i32>,
}

/// The config of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProcessConfig {
    pub(super) text: String,
    /// The path in it, if that is not the one of the request.
    pub(super) log_file: Option<String>,
    /// The file that the process writes, if that is known.
    pub(super) file: Option<String>,
}

impl<'a> TraceOutputs<'a> {
    /// `used` returns the files that processes write for earlier requests, and the host pid of each.
    pub(super) fn new(
        config: &'a Config,
        host_name: Option<&'a str>,
        used: impl FnOnce() -> BTreeMap<String, i32>,
    ) -> Self {
        let used = if Self::names_files(config) { used() } else { BTreeMap::new() };
        Self { config, host_name, used }
    }

    /// Returns whether the path of the config is that of files. The profilers of Ascend make a directory of their own in it,
    /// which carries host name, pid and time.
    fn names_files(config: &Config) -> bool {
        config.get(LOG_FILE).is_some_and(|path| !path.is_empty())
            && DIRECTORY_KEYS.iter().all(|key| config.get(key).is_none())
    }

    /// Makes the config of a process.
    pub(super) fn config_for(&mut self, key: ProcessKey, pid: i32, rank: Option<i64>) -> ProcessConfig {
        let unchanged = |file| ProcessConfig { text: self.config.to_string(), log_file: None, file };
        let Some(requested) = self.config.output() else { return unchanged(None) };
        let expanded = match self.host_name {
            Some(host_name) => expand_placeholders(requested, host_name, key, pid, rank),
            None => requested.to_owned(),
        };
        let (mut path, mut file) = (expanded.clone(), None);
        if Self::names_files(self.config) {
            let mut written = trace_path(&path, pid.into());
            // A process may overwrite its own trace. Each round finds another file, of which there are finitely many.
            let mut number = 0;
            while self.used.get(&written).is_some_and(|host_pid| *host_pid != key.host_pid) {
                number += 1;
                path = insert_host_pid(&expanded, key.host_pid, number);
                written = trace_path(&path, pid.into());
            }
            self.used.insert(written.clone(), key.host_pid);
            file = Some(written);
        }
        if path == requested {
            return unchanged(file);
        }
        ProcessConfig { text: replace_output(self.config, &path), log_file: Some(path), file }
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
        let mut outputs = TraceOutputs::new(&config, None, BTreeMap::new);
        let first = outputs.config_for(key(100), 1, None);
        assert_eq!((first.text, first.log_file), (config.to_string(), None));
        let second = outputs.config_for(key(200), 1, None);
        assert_eq!(second.log_file.as_deref(), Some("/tmp/t_200.json"));
        assert_eq!(second.text, "ACTIVITIES_LOG_FILE=/tmp/t_200.json\nA=1");
        assert_eq!(outputs.config_for(key(300), 2, None).log_file, None);
        // A directory is not a file: its users do not collide there.
        let config = Config::parse("ACTIVITIES_LOG_FILE=/data/prof\nPROFILE_ANALYSE=false").unwrap();
        let mut outputs = TraceOutputs::new(&config, None, BTreeMap::new);
        let of = |host_pid, outputs: &mut TraceOutputs<'_>| outputs.config_for(key(host_pid), 1, None);
        assert_eq!((of(1, &mut outputs).log_file, of(2, &mut outputs).log_file), (None, None));
    }

    #[test]
    fn without_a_place_for_the_pid_the_files_differ_all_the_same() {
        let told = |path: &str| {
            let config = Config::parse(&format!("ACTIVITIES_LOG_FILE={path}")).unwrap();
            let mut outputs = TraceOutputs::new(&config, None, BTreeMap::new);
            // Each has a pid of its own.
            [outputs.config_for(key(100), 100, None), outputs.config_for(key(200), 200, None)]
                .map(|c| c.file.unwrap())
        };
        assert_eq!(told("/tmp/c.txt"), ["/tmp/c.txt", "/tmp/c_200.txt"]);
        assert_eq!(told("/tmp/v1.2/c"), ["/tmp/v1.2/c", "/tmp/v1.2/c_200"]);
        assert_eq!(told("/tmp/.c"), ["/tmp/.c", "/tmp/.c_200"]);
        assert_eq!(told("/tmp/c.json"), ["/tmp/c_100.json", "/tmp/c_200.json"]);
    }

    #[test]
    fn files_of_earlier_requests_are_taken_too() {
        let config = Config::parse("ACTIVITIES_LOG_FILE=/tmp/t.json").unwrap();
        let used = || [("/tmp/t_1.json".to_owned(), 100), ("/tmp/t_200_1.json".to_owned(), 300)].into();
        let mut outputs = TraceOutputs::new(&config, None, used);
        assert_eq!(outputs.config_for(key(100), 1, None).log_file, None, "its own");
        assert_eq!(outputs.config_for(key(200), 1, None).file.as_deref(), Some("/tmp/t_200_2_1.json"));
    }

    #[test]
    fn placeholders_are_expanded_on_request_only() {
        let config = Config::parse("ACTIVITIES_LOG_FILE=/tmp/%h-%j-%H-%p-100%%.json").unwrap();
        let expanded =
            TraceOutputs::new(&config, Some("node7"), BTreeMap::new).config_for(key(100), 1, None).log_file;
        assert_eq!(expanded.as_deref(), Some("/tmp/node7-9-100-1-100%.json"));
        assert_eq!(
            TraceOutputs::new(&config, None, BTreeMap::new).config_for(key(100), 1, None).log_file,
            None
        );
        // The directories of the profilers of Ascend, and of npu-monitor.
        for text in
            ["ACTIVITIES_LOG_FILE=/d/%h/%r\nPROFILE_ANALYSE=false", "A=1\nNPU_MONITOR_LOG_FILE=/d/%h/%r"]
        {
            let config = Config::parse(text).unwrap();
            let of = |host_name| {
                TraceOutputs::new(&config, host_name, BTreeMap::new).config_for(key(7), 7, Some(3))
            };
            let told = of(Some("node7"));
            assert_eq!(
                (told.text, told.log_file),
                (text.replace("%h/%r", "node7/3"), Some("/d/node7/3".into()))
            );
            assert_eq!((of(None).text.as_str(), of(None).log_file), (text, None));
        }
        let config = Config::parse("ACTIVITIES_LOG_FILE=/tmp/rank%r.json").unwrap();
        let mut outputs = TraceOutputs::new(&config, Some("node7"), BTreeMap::new);
        assert_eq!(outputs.config_for(key(100), 1, Some(12)).log_file.as_deref(), Some("/tmp/rank12.json"));
        assert_eq!(outputs.config_for(key(200), 2, None).log_file.as_deref(), Some("/tmp/rankunknown.json"));
    }
}

//! The account that the daemon runs under: its home directory and its limits.

use std::path::PathBuf;

use common::passwd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors needed beside those of connections and processes.
const SPARE_DESCRIPTORS: u64 = 64;

/// Returns the home directory of a user: that of the password file, where msMonitor's process side looks for the
/// sockets (b942bf5). `HOME` counts only for users of a directory service, who are not in that file.
pub(crate) fn find_home(uid: u32) -> Option<PathBuf> {
    passwd::of_user(uid)
        .or_else(|| std::env::var_os("HOME").map(PathBuf::from))
        .filter(|home| home.is_absolute() && home.is_dir())
}

/// Raises the soft limit on descriptors to the hard limit. Returns a warning if that is too low for the configured
/// numbers of connections and processes.
pub(crate) fn raise_descriptor_limit(connections: usize, processes: usize) -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let allowed = getrlimit(Resource::Nofile).current?;
    let needed = connections as u64 + processes as u64 + SPARE_DESCRIPTORS;
    (allowed < needed).then(|| {
        format!(
            "the limit of {allowed} descriptors is too low: {connections} connections and {processes} processes need {needed}"
        )
    })
}

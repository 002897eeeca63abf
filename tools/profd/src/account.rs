//! The account that the daemon runs under: its home, its limits.

use std::path::PathBuf;

use common::passwd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors beside those of connections and processes.
const SPARE: u64 = 64;

/// The home directory of a user. Processes look there for the sockets, whatever `HOME` says; that variable counts
/// only for users who are in a directory service instead of the password file.
pub(crate) fn home(uid: u32) -> Option<PathBuf> {
    passwd::of_user(uid)
        .or_else(|| std::env::var_os("HOME").map(PathBuf::from))
        .filter(|home| home.is_absolute() && home.is_dir())
}

/// Raises the descriptor limit as far as allowed, and says what does not fit below it.
pub(crate) fn raise_descriptors(connections: usize, processes: usize) -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let have = getrlimit(Resource::Nofile).current?;
    let need = connections as u64 + processes as u64 + SPARE;
    (have < need).then(|| {
        format!("{have} descriptors are allowed, and {connections} connections and {processes} processes need {need}")
    })
}

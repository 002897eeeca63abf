//! The account that the daemon runs under: its home directory and its limits.

use std::path::PathBuf;

use common::fsat;
use common::passwd;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::core::accounts::Accounts;

/// Maximum size of a file of accounts, in bytes.
const MAX_ACCOUNT_BYTES: u64 = 16 << 20;

/// Descriptors needed beside those of connections and processes.
pub(crate) const SPARE_DESCRIPTORS: usize = 64;

/// Returns the home directory of a user: that of the password file, where msMonitor's process side looks for the
/// sockets (b942bf5). `HOME` counts only for users of a directory service, who are not in that file.
pub(crate) fn find_home(uid: u32) -> Option<PathBuf> {
    passwd::of_user(uid)
        .or_else(|| std::env::var_os("HOME").map(PathBuf::from))
        .filter(|home| home.is_absolute() && home.is_dir())
}

/// Reads the names of users and groups, and the ranges of subordinate user ids. A missing file has none.
pub(crate) fn read_accounts() -> Accounts {
    let read = |path| {
        let file = std::fs::File::open(path).map(|file| fsat::read_bounded(file, MAX_ACCOUNT_BYTES));
        file.and_then(|bytes| bytes)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    };
    Accounts::parse(&read("/etc/passwd"), &read("/etc/subuid")).with_groups(&read("/etc/group"))
}

/// How many descriptors there are for each kind of peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DescriptorShares {
    /// For connections of clients.
    pub(crate) connections: usize,
    /// To watch processes with.
    pub(crate) pidfds: usize,
}

/// Shares the descriptors that the process may have. Connections get what they want, half of them at most.
pub(crate) fn share_descriptors(connections: usize) -> DescriptorShares {
    let allowed = getrlimit(Resource::Nofile).current.and_then(|n| usize::try_from(n).ok());
    share(allowed.unwrap_or(1 << 20), connections)
}

fn share(allowed: usize, connections: usize) -> DescriptorShares {
    let usable = allowed - SPARE_DESCRIPTORS.min(allowed / 2);
    let connections = connections.min(usable / 2);
    DescriptorShares { connections, pidfds: usable - connections }
}

/// Raises the soft limit on descriptors to the hard limit. Returns a warning if that is too low for the configured
/// numbers of connections and processes.
pub(crate) fn raise_descriptor_limit(connections: usize, processes: usize) -> Option<String> {
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let allowed = getrlimit(Resource::Nofile).current?;
    let needed = (connections + processes + SPARE_DESCRIPTORS) as u64;
    (allowed < needed).then(|| {
        let shares = share_descriptors(connections);
        format!(
            "the limit of {allowed} descriptors is too low: {connections} connections and {processes} processes need \
             {needed}; at most {} connections are served and {} processes watched (ulimit -n, LimitNOFILE=)",
            shares.connections, shares.pidfds
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_get_what_they_want_or_half_of_the_descriptors() {
        assert_eq!(share(20_000, 3000), DescriptorShares { connections: 3000, pidfds: 16_936 });
        assert_eq!(share(1024, 3000), DescriptorShares { connections: 480, pidfds: 480 });
        assert_eq!(share(64, 3000), DescriptorShares { connections: 16, pidfds: 16 });
    }
}

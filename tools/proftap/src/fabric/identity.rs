//! How the process identifies itself to the daemon, and which senders it trusts.

/// How the process identifies itself to the daemon.
#[derive(Clone, Debug)]
pub(crate) struct ProcessIdentity {
    pub(crate) job_id: i64,
    pub(crate) device: i32,
    /// The process itself, then its ancestors. Never empty.
    pub(crate) pids: Vec<i32>,
}

impl ProcessIdentity {
    /// Returns the pid of the process itself.
    pub(crate) fn pid(&self) -> i32 {
        self.pids[0]
    }
}

/// The users whose datagrams are accepted. Those of all other senders are dropped, because every local user can send to
/// an abstract socket (unix(7)).
#[derive(Clone, Debug)]
pub(crate) struct TrustedUids(Vec<u32>);

impl TrustedUids {
    /// Trusts the user of this process, root, and the user that a daemon runs as.
    pub(super) fn new(own: u32, daemon: Option<u32>) -> Self {
        Self([own, 0].into_iter().chain(daemon).collect())
    }

    /// Whether datagrams of a user are accepted.
    pub(super) fn contains(&self, uid: u32) -> bool {
        self.0.contains(&uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_user_root_and_the_given_user_are_trusted() {
        let trusted = TrustedUids::new(1000, None);
        assert!(trusted.contains(1000) && trusted.contains(0));
        assert!(!trusted.contains(1001) && !trusted.contains(65534));
        assert!(TrustedUids::new(1000, Some(990)).contains(990));
    }
}

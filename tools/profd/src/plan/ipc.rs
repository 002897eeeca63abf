//! The sockets for training processes, and the users whose processes are served there.

use std::path::PathBuf;
use std::time::Duration;

use common::ipc::address::{Address, CONTROL, DATA};

/// The abstract name that upstream and older msMonitor processes send to (`dynolog`).
pub(crate) const DEFAULT_ABSTRACT_NAME: &str = CONTROL;

/// How senders of datagrams are treated.
#[derive(Clone, Debug)]
pub(crate) struct IpcPlan {
    pub(crate) users: AllowedUsers,
    pub(crate) files: SocketFileAccess,
    /// Maximum number of senders that are watched.
    pub(crate) max_senders: usize,
    /// A sender that is not registered is removed after this long without a datagram.
    pub(crate) keep_alive: Duration,
    /// How long accepted configs may stay pending after the first signal to stop.
    pub(crate) drain: Duration,
}

/// The users whose datagrams are accepted.
#[derive(Clone, Debug)]
pub(crate) struct AllowedUsers {
    own: u32,
    others: Vec<u32>,
    groups: Vec<u32>,
}

impl AllowedUsers {
    /// The daemon's own user, those of `--allow-uid` and `--allow-user`, and the groups of `--allow-gid`.
    pub(crate) fn new(own: u32, others: Vec<u32>, groups: Vec<u32>) -> Self {
        Self { own, others, groups }
    }

    /// Returns whether a user with a group is served. A daemon of root serves every user.
    pub(crate) fn contains(&self, uid: u32, gid: u32) -> bool {
        self.contains_user(uid) || self.groups.contains(&gid)
    }

    /// Returns whether one of these groups is served, for any user in it.
    pub(crate) fn contains_group(&self, mut gids: impl Iterator<Item = u32>) -> bool {
        !self.groups.is_empty() && gids.any(|gid| self.groups.contains(&gid))
    }

    /// Returns whether processes of a user are served, some of them at least: those of an allowed group.
    pub(crate) fn may_contain(&self, uid: u32) -> bool {
        self.contains_user(uid) || !self.groups.is_empty()
    }

    fn contains_user(&self, uid: u32) -> bool {
        self.own == 0 || uid == self.own || self.others.contains(&uid)
    }

    /// Returns whether several users may be served, who then share the tables.
    pub(crate) fn are_several(&self) -> bool {
        self.own == 0 || !self.groups.is_empty() || self.others.iter().any(|uid| *uid != self.own)
    }
}

/// The users who may write to the socket files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SocketFileAccess {
    pub(crate) mode: u32,
    /// The owner of the files, if the daemon becomes another user.
    pub(crate) uid: Option<u32>,
    /// The group of the files, if it is not that of the daemon.
    pub(crate) gid: Option<u32>,
}

/// A pair of sockets to listen on: one for control messages, one for metrics.
///
/// Each generation of the process side sends to another address: libkineto and msMonitor 8.1 to 8.3 to abstract names,
/// current msMonitor (b942bf5) to files in the home directory, and libkineto to files in a directory when
/// `KINETO_IPC_SOCKET_DIR` is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SocketPlace {
    /// Abstract names. The name of the metric socket has `_data` appended.
    Abstract(String),
    /// Files in a home directory.
    Home(PathBuf),
    /// Files in the directory of `KINETO_IPC_SOCKET_DIR`.
    Dir(PathBuf),
}

/// A place to listen at, and whether an option asks for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedPlace {
    pub(crate) place: SocketPlace,
    /// A default that the host may lack: without it the daemon serves the processes that use the other places.
    pub(crate) is_default: bool,
}

impl SocketPlace {
    /// The word of `--ipc` for this kind of place.
    pub(crate) fn option_word(&self) -> &'static str {
        match self {
            Self::Abstract(_) => "abstract",
            Self::Home(_) => "home",
            Self::Dir(_) => "dir",
        }
    }

    /// The addresses of the control socket and of the metric socket.
    pub(crate) fn addresses(&self) -> (Address, Address) {
        match self {
            Self::Abstract(name) => {
                (Address::abstract_name(name), Address::abstract_name(&format!("{name}_data")))
            }
            Self::Home(home) => Address::in_home(home),
            Self::Dir(dir) => (Address::in_socket_dir(dir), Address::Path(dir.join(DATA))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_served_by_the_rule() {
        let root = AllowedUsers::new(0, vec![], vec![]);
        assert!(root.contains(1000, 1000) && root.are_several());
        let users = AllowedUsers::new(1000, vec![2000], vec![50]);
        assert!(users.contains(1000, 1) && users.contains(2000, 1) && users.contains(3000, 50));
        assert!(!users.contains(0, 0) && !users.contains(1001, 1) && !users.contains_user(3000));
        assert!(!AllowedUsers::new(1000, vec![1000], vec![]).are_several());
    }
}

//! Is a sender who it says? The kernel's word on pid and user, and `/proc` for the rest.
//!
//! A process in a container knows itself by another pid than we do. `/proc/<pid>/status` lists the pids of a
//! process in all its name spaces (`NSpid`): a claimed pid must be one of them, and a claimed ancestor one of
//! those of a real ancestor. Ancestors are looked up when a request names one, not when a process claims it: then it
//! is true of that moment, and processes that poll do not wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::core::registry::trace_request::Claim;

/// Deeper than any chain of processes; also the end of a chain that changes while it is read.
const MAX_DEPTH: usize = 128;

/// Whose datagrams are taken.
#[derive(Clone, Debug)]
pub(crate) struct Users {
    own: u32,
    allowed: Vec<u32>,
}

impl Users {
    /// The daemon's own user and those that the operator named.
    pub(crate) fn new(own: u32, allowed: Vec<u32>) -> Self {
        Self { own, allowed }
    }

    /// Root serves every user; anybody else serves itself and those it was told to.
    pub(crate) fn admit(&self, uid: u32) -> bool {
        self.own == 0 || uid == self.own || self.allowed.contains(&uid)
    }
}

/// A mounted `/proc`.
#[derive(Clone, Debug)]
pub(crate) struct Proc {
    root: PathBuf,
}

/// What `/proc/<pid>/status` says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Status {
    parent: i32,
    /// In our name space first, in its own last.
    pids: Vec<i32>,
}

impl Default for Proc {
    fn default() -> Self {
        Self { root: "/proc".into() }
    }
}

impl Proc {
    /// The pids of a process in every name space that it is in.
    pub(crate) fn pids(&self, host_pid: i32) -> io::Result<Vec<i32>> {
        self.status(host_pid).map(|s| s.pids)
    }

    /// Those of the claims that are true: whose pid belongs to a real ancestor. Each process of the chains is
    /// read once, however many share it.
    pub(crate) fn confirm(&self, claims: &[Claim]) -> BTreeSet<Claim> {
        let mut read = BTreeMap::new();
        let mut confirmed = BTreeSet::new();
        for claim in claims {
            let mut at = self.remembered(&mut read, claim.host_pid).map_or(0, |s| s.parent);
            for _ in 0..MAX_DEPTH {
                // An ancestor outside the mounted name space ends the chain.
                let Some(ancestor) = (at > 0).then(|| self.remembered(&mut read, at)).flatten() else {
                    break;
                };
                if ancestor.pids.contains(&claim.ancestor) {
                    confirmed.insert(*claim);
                    break;
                }
                at = ancestor.parent;
            }
        }
        confirmed
    }

    fn remembered<'a>(&self, read: &'a mut BTreeMap<i32, Option<Status>>, pid: i32) -> Option<&'a Status> {
        read.entry(pid).or_insert_with(|| self.status(pid).ok()).as_ref()
    }

    fn status(&self, host_pid: i32) -> io::Result<Status> {
        let text = fs::read(self.root.join(host_pid.to_string()).join("status"))?;
        let status = parse(&String::from_utf8_lossy(&text));
        // Kernels without pid name spaces have no NSpid.
        let pids = if status.pids.is_empty() { vec![host_pid] } else { status.pids };
        Ok(Status { pids, ..status })
    }
}

fn parse(text: &str) -> Status {
    let mut status = Status::default();
    for line in text.lines() {
        if let Some(parent) = line.strip_prefix("PPid:") {
            status.parent = parent.trim().parse().unwrap_or(0);
        } else if let Some(pids) = line.strip_prefix("NSpid:") {
            status.pids = pids.split_whitespace().filter_map(|p| p.parse().ok()).collect();
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/proc` of two containers: 100 -> 200 (inside: 1) -> 300 (inside: 7).
    fn fake() -> (tempfile::TempDir, Proc) {
        let dir = tempfile::tempdir().unwrap();
        for (pid, parent, all) in [(100, 1, "100"), (200, 100, "200\t1"), (300, 200, "300\t7")] {
            fs::create_dir(dir.path().join(pid.to_string())).unwrap();
            let text = format!("Name:\tx PPid: 9\nPid:\t{pid}\nPPid:\t{parent}\nNSpid:\t{all}\n");
            fs::write(dir.path().join(pid.to_string()).join("status"), text).unwrap();
        }
        let proc = Proc { root: dir.path().to_owned() };
        (dir, proc)
    }

    #[test]
    fn a_process_is_known_by_its_pid_in_every_name_space() {
        let (_dir, proc) = fake();
        assert_eq!(proc.pids(300).unwrap(), [300, 7]);
        assert!(proc.pids(301).is_err());
    }

    #[test]
    fn only_real_ancestors_are_kept() {
        let (_dir, proc) = fake();
        let true_of = |host_pid, claimed: &[i32]| {
            let claims: Vec<_> = claimed.iter().map(|a| Claim { host_pid, ancestor: *a }).collect();
            proc.confirm(&claims).iter().map(|c| c.ancestor).collect::<Vec<_>>()
        };
        assert_eq!(true_of(300, &[1, 200, 100, 4242, 0]), [1, 100, 200]);
        assert_eq!(true_of(300, &[7, 300]), [0; 0]);
        assert_eq!(true_of(999, &[1]), [0; 0]);
    }

    #[test]
    fn our_own_chain_is_real() {
        let own = i32::try_from(std::process::id()).unwrap();
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        let proc = Proc::default();
        assert!(proc.pids(own).unwrap().contains(&own));
        let (of_parent, of_self) =
            (Claim { host_pid: own, ancestor: parent }, Claim { host_pid: own, ancestor: own });
        assert_eq!(proc.confirm(&[of_parent, of_self]), [of_parent].into());
    }

    #[test]
    fn users_are_admitted_by_the_rule() {
        assert!(Users::new(0, vec![]).admit(1000));
        let users = Users::new(1000, vec![2000]);
        assert!(users.admit(1000) && users.admit(2000));
        assert!(!users.admit(0) && !users.admit(1001));
    }
}

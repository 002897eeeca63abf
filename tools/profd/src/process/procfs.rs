//! The pids and ancestors of a process, from `/proc`.
//!
//! A process in a container has another pid there than in the daemon's pid namespace. `/proc/<pid>/status` lists its
//! pids in all namespaces (proc_pid_status(5), `NSpid`): a claimed pid must be one of them, and a claimed ancestor one of
//! those of an actual ancestor. Ancestors are looked up when a request names one, not when a process claims it: the
//! result is of that moment, and processes that poll do not wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use crate::core::registry::trace_request::AncestryClaim;

/// Maximum number of ancestors that are read: a chain that changes while it is read may have no end.
const MAX_DEPTH: usize = 128;

/// A mounted `/proc`.
#[derive(Clone, Debug)]
pub(crate) struct Procfs {
    root: PathBuf,
}

/// The parts of `/proc/<pid>/status` that are used.
#[derive(Debug, Default, PartialEq, Eq)]
struct ProcStatus {
    parent: i32,
    /// In the daemon's namespace first, in its own last.
    pids: Vec<i32>,
}

impl Default for Procfs {
    fn default() -> Self {
        Self { root: "/proc".into() }
    }
}

impl Procfs {
    /// Returns the pids of a process in all namespaces that it is in.
    ///
    /// # Errors
    /// It has ended, or its entry cannot be read.
    pub(crate) fn read_pids(&self, host_pid: i32) -> io::Result<Vec<i32>> {
        self.read_status(host_pid).map(|s| s.pids)
    }

    /// Returns those claims whose pid belongs to an actual ancestor. Each process is read once, even if it is an ancestor
    /// of several others.
    pub(crate) fn confirm_ancestry(&self, claims: &[AncestryClaim]) -> BTreeSet<AncestryClaim> {
        let mut read = BTreeMap::new();
        let mut confirmed = BTreeSet::new();
        for claim in claims {
            let mut at = self.read_status_once(&mut read, claim.host_pid).map_or(0, |s| s.parent);
            for _ in 0..MAX_DEPTH {
                // A parent outside the namespace of the mounted /proc is shown as 0.
                let Some(ancestor) = (at > 0).then(|| self.read_status_once(&mut read, at)).flatten() else {
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

    fn read_status_once<'a>(
        &self,
        read: &'a mut BTreeMap<i32, Option<ProcStatus>>,
        pid: i32,
    ) -> Option<&'a ProcStatus> {
        read.entry(pid).or_insert_with(|| self.read_status(pid).ok()).as_ref()
    }

    fn read_status(&self, host_pid: i32) -> io::Result<ProcStatus> {
        let text = fs::read(self.root.join(host_pid.to_string()).join("status"))?;
        let status = parse_status(&String::from_utf8_lossy(&text));
        // Kernels before Linux 4.1 have no NSpid (proc_pid_status(5)).
        let pids = if status.pids.is_empty() { vec![host_pid] } else { status.pids };
        Ok(ProcStatus { pids, ..status })
    }
}

fn parse_status(text: &str) -> ProcStatus {
    let mut status = ProcStatus::default();
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
    fn fake_procfs() -> (tempfile::TempDir, Procfs) {
        let dir = tempfile::tempdir().unwrap();
        for (pid, parent, all) in [(100, 1, "100"), (200, 100, "200\t1"), (300, 200, "300\t7")] {
            fs::create_dir(dir.path().join(pid.to_string())).unwrap();
            let text = format!("Name:\tx PPid: 9\nPid:\t{pid}\nPPid:\t{parent}\nNSpid:\t{all}\n");
            fs::write(dir.path().join(pid.to_string()).join("status"), text).unwrap();
        }
        let procfs = Procfs { root: dir.path().to_owned() };
        (dir, procfs)
    }

    #[test]
    fn a_process_has_its_pid_of_every_namespace() {
        let (_dir, procfs) = fake_procfs();
        assert_eq!(procfs.read_pids(300).unwrap(), [300, 7]);
        assert!(procfs.read_pids(301).is_err());
    }

    #[test]
    fn only_actual_ancestors_are_confirmed() {
        let (_dir, procfs) = fake_procfs();
        let confirmed_of = |host_pid, claimed: &[i32]| {
            let claims: Vec<_> = claimed.iter().map(|a| AncestryClaim { host_pid, ancestor: *a }).collect();
            procfs.confirm_ancestry(&claims).iter().map(|c| c.ancestor).collect::<Vec<_>>()
        };
        assert_eq!(confirmed_of(300, &[1, 200, 100, 4242, 0]), [1, 100, 200]);
        assert_eq!(confirmed_of(300, &[7, 300]), [0; 0]);
        assert_eq!(confirmed_of(999, &[1]), [0; 0]);
    }

    #[test]
    fn the_parent_of_this_process_is_confirmed() {
        let own = i32::try_from(std::process::id()).unwrap();
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        let procfs = Procfs::default();
        assert!(procfs.read_pids(own).unwrap().contains(&own));
        let (of_parent, of_self) = (
            AncestryClaim { host_pid: own, ancestor: parent },
            AncestryClaim { host_pid: own, ancestor: own },
        );
        assert_eq!(procfs.confirm_ancestry(&[of_parent, of_self]), [of_parent].into());
    }
}

//! The pids and ancestors of a process, from `/proc`.
//!
//! A process in a container has another pid there than in the daemon's pid namespace. `/proc/<pid>/status` lists its
//! pids in all namespaces (proc_pid_status(5), `NSpid`): a claimed pid must be one of them, and a claimed ancestor one of
//! those of an actual ancestor. Ancestors are looked up when a request names one, not when a process claims it: the
//! result is of that moment, and processes that poll do not wait for it.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::environ::{EnvironmentReader, MAX_ENVIRONMENT};
use crate::core::registry::pid_match::{AncestryClaim, Claimant, PidFacts, PidScope};
use crate::core::registry::process_facts::{EnvMapping, ProcessFacts};
use crate::core::registry::process_role::ProcessRole;
use crate::core::registry::process_traits::find_name;

/// Maximum number of ancestors that are read: a chain that changes while it is read may have no end.
const MAX_DEPTH: usize = 128;

/// Maximum number of processes that are read for one request. What is beyond it is not confirmed.
const MAX_READ: usize = 20_000;

/// Maximum number of bytes of a command line that are read.
const MAX_COMMAND_LINE: u64 = 4096;

/// A mounted `/proc`.
#[derive(Clone, Debug)]
pub(crate) struct Procfs {
    root: PathBuf,
    /// For a daemon that may not look into other processes itself.
    environments: Option<EnvironmentReader>,
    /// The variables that facts have besides those that the daemon knows.
    mappings: Arc<[EnvMapping]>,
}

/// The parts of `/proc/<pid>/status` that are used.
#[derive(Debug, Default, PartialEq, Eq)]
struct ProcStatus {
    parent: i32,
    /// The real user id.
    uid: Option<u32>,
    /// The supplementary group ids.
    groups: Vec<u32>,
    /// Whether it has memory of its own; a kernel thread has none.
    has_memory: bool,
    /// In the daemon's namespace first, in its own last.
    pids: Vec<i32>,
}

/// The facts that distinguish a process that trains from its launcher.
#[derive(Debug)]
struct TrainerTraits {
    rank: Option<i64>,
    /// A hash of the command line.
    command_line: u64,
}

/// The processes that one has started, directly or through others.
#[derive(Debug, Default)]
struct StartedProcesses {
    /// One has the rank of the process itself.
    has_its_rank: bool,
    has_other_rank: bool,
    /// One has no rank, and was not forked only: it runs something else.
    has_other_program: bool,
}

impl StartedProcesses {
    fn note(&mut self, starter: &TrainerTraits, started: &TrainerTraits) {
        match started.rank {
            Some(_) if started.rank == starter.rank => self.has_its_rank = true,
            Some(_) => self.has_other_rank = true,
            None => self.has_other_program |= started.command_line != starter.command_line,
        }
    }

    /// Returns the role of the process that has started these, if it does not train. With a rank it trains, unless the rank is
    /// also that of one of several ranks that it has started (`srun` gives a launcher one).
    fn role_of_starter(&self, starter: &TrainerTraits) -> Option<ProcessRole> {
        match starter.rank {
            Some(_) => (self.has_its_rank && self.has_other_rank).then_some(ProcessRole::Launcher),
            None if self.has_other_rank => Some(ProcessRole::Launcher),
            None => self.has_other_program.then_some(ProcessRole::Starter),
        }
    }
}

impl Default for Procfs {
    fn default() -> Self {
        Self { root: "/proc".into(), environments: None, mappings: Arc::default() }
    }
}

impl Procfs {
    /// Returns one that reads environments by a thread of their own, and further variables in them.
    pub(crate) fn new(environments: Option<EnvironmentReader>, mappings: Arc<[EnvMapping]>) -> Self {
        Self { environments, mappings, ..Self::default() }
    }

    /// Returns the pids of a process in all namespaces that it is in.
    ///
    /// # Errors
    /// It has ended, or its entry cannot be read.
    pub(crate) fn read_pids(&self, host_pid: i32) -> io::Result<Vec<i32>> {
        self.read_status(host_pid).map(|s| s.pids)
    }

    /// Looks up what a request depends on: which claims of ancestry are true, and whose processes have the requested pids
    /// on the host. Each process is read once. Returns also the number of claims that are not true.
    ///
    /// `is_served` says whether processes of a user can be registered: those of others never match a request.
    pub(crate) fn look_up_pids(
        &self,
        claimants: &[Claimant],
        requested: &HashSet<i32>,
        is_served: impl Fn(u32) -> bool,
    ) -> (PidFacts, u64) {
        let mut read = BTreeMap::new();
        let (mut facts, mut false_claims) = (PidFacts::default(), 0);
        let mut in_namespace: Vec<i32> =
            claimants.iter().filter_map(|claimant| claimant.has_namespace_pid(requested)).collect();
        for claim in claimants.iter().flat_map(|claimant| claimant.claims(requested)) {
            match self.confirm_claim(&mut read, claim) {
                Some(scope) => {
                    in_namespace.extend((scope == PidScope::Namespace).then_some(claim.ancestor));
                    facts.confirmed.insert(claim, scope);
                }
                None => false_claims += 1,
            }
        }
        for pid in in_namespace {
            let status = self.read_status_once(&mut read, pid).filter(|status| status.has_memory);
            if let Some(uid) = status.and_then(|status| status.uid).filter(|uid| is_served(*uid)) {
                facts.host_owners.insert(pid, uid);
            }
        }
        (facts, false_claims)
    }

    /// Looks up the roles of the processes of a job, except of those that train; their ranks; and with `needs_names` the
    /// names of what they run.
    pub(crate) fn look_up_traits(&self, host_pids: &[i32], needs_names: bool, facts: &mut PidFacts) {
        let mut trainers = BTreeMap::new();
        for pid in host_pids.iter().take(MAX_READ) {
            let command_line = self.read_start_of(*pid, "cmdline", MAX_COMMAND_LINE);
            let found = ProcessFacts::read(&command_line, &self.read_environment(*pid), &[]);
            if found.role == ProcessRole::Trainer {
                let mut hasher = DefaultHasher::new();
                command_line.hash(&mut hasher);
                trainers.insert(*pid, TrainerTraits { rank: found.rank, command_line: hasher.finish() });
            } else {
                facts.roles.insert(*pid, found.role);
            }
            facts.ranks.extend(found.rank.map(|rank| (*pid, rank)));
            let name = if needs_names { find_name(&command_line) } else { None };
            facts.names.extend(name.map(|name| (*pid, name)));
        }
        facts.roles.extend(self.find_starters(&trainers));
    }

    /// Finds the processes that have started others of the same job, whatever their program is called: launchers of users' own.
    fn find_starters(&self, trainers: &BTreeMap<i32, TrainerTraits>) -> BTreeMap<i32, ProcessRole> {
        let mut started: BTreeMap<i32, StartedProcesses> = BTreeMap::new();
        let mut read = BTreeMap::new();
        for (pid, traits) in trainers.iter().filter(|_| trainers.len() > 1) {
            let mut at = self.read_status_once(&mut read, *pid).map_or(0, |status| status.parent);
            for _ in 0..MAX_DEPTH {
                if let Some(ancestor) = trainers.get(&at) {
                    started.entry(at).or_default().note(ancestor, traits);
                }
                let parent = if at > 1 { self.read_status_once(&mut read, at) } else { None };
                match parent {
                    Some(status) => at = status.parent,
                    None => break,
                }
            }
        }
        let role =
            |(pid, found): (i32, StartedProcesses)| Some((pid, found.role_of_starter(&trainers[&pid])?));
        started.into_iter().filter_map(role).collect()
    }

    /// Reads the environment of a process (proc_pid_environ(5)); empty if it cannot be read.
    fn read_environment(&self, pid: i32) -> Vec<u8> {
        match &self.environments {
            Some(reader) => reader.read(pid),
            None => self.read_start_of(pid, "environ", MAX_ENVIRONMENT),
        }
    }

    /// Returns the first bytes of a file of a process; none if it cannot be read.
    fn read_start_of(&self, pid: i32, file: &str, limit: u64) -> Vec<u8> {
        let path = self.root.join(pid.to_string()).join(file);
        let mut bytes = Vec::new();
        let _ = fs::File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes));
        bytes
    }

    /// Reads what a process is, as far as this daemon may: the environment of another user's process it may not.
    pub(crate) fn read_facts(&self, host_pid: i32) -> ProcessFacts {
        let command_line = self.read_start_of(host_pid, "cmdline", MAX_COMMAND_LINE);
        ProcessFacts::read(&command_line, &self.read_environment(host_pid), &self.mappings)
    }

    /// Returns the real user of a process, and when it started, in clock ticks since the host did: no two processes of one
    /// pid have the same (proc_pid_stat(5), field 22).
    ///
    /// # Errors
    /// It has ended, or its entry cannot be read.
    pub(crate) fn read_identity(&self, host_pid: i32) -> io::Result<(u32, u64)> {
        let uid = self.read_status(host_pid)?.uid.ok_or(io::ErrorKind::InvalidData)?;
        let stat = fs::read(self.root.join(host_pid.to_string()).join("stat"))?;
        let stat = String::from_utf8_lossy(&stat);
        // The second field is a name in parentheses, which may hold anything.
        let rest = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let started = rest.split_whitespace().nth(19).and_then(|field| field.parse().ok());
        Ok((uid, started.ok_or(io::ErrorKind::InvalidData)?))
    }

    /// Returns in which namespace an actual ancestor has the claimed pid; `None` if none has it.
    fn confirm_claim(
        &self,
        read: &mut BTreeMap<i32, Option<ProcStatus>>,
        claim: AncestryClaim,
    ) -> Option<PidScope> {
        let mut at = self.read_status_once(read, claim.host_pid)?.parent;
        let mut found = None;
        for _ in 0..MAX_DEPTH {
            // A parent outside the namespace of the mounted /proc is shown as 0.
            if at <= 0 {
                break;
            }
            if at == claim.ancestor {
                return Some(PidScope::Host);
            }
            let Some(ancestor) = self.read_status_once(read, at) else { break };
            if ancestor.pids.contains(&claim.ancestor) {
                found = Some(PidScope::Namespace);
            }
            at = ancestor.parent;
        }
        found
    }

    fn read_status_once<'a>(
        &self,
        read: &'a mut BTreeMap<i32, Option<ProcStatus>>,
        pid: i32,
    ) -> Option<&'a ProcStatus> {
        if read.len() >= MAX_READ && !read.contains_key(&pid) {
            return None;
        }
        read.entry(pid).or_insert_with(|| self.read_status(pid).ok()).as_ref()
    }

    /// Returns the real user of a process and its supplementary groups (proc_pid_status(5), `Uid` and `Groups`).
    ///
    /// # Errors
    /// There is no such process, or it is hidden.
    pub(crate) fn read_groups(&self, host_pid: i32) -> io::Result<(Option<u32>, Vec<u32>)> {
        self.read_status(host_pid).map(|status| (status.uid, status.groups))
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
        } else if let Some(uids) = line.strip_prefix("Uid:") {
            status.uid = uids.split_whitespace().next().and_then(|uid| uid.parse().ok());
        } else if let Some(groups) = line.strip_prefix("Groups:") {
            status.groups = groups.split_whitespace().filter_map(|gid| gid.parse().ok()).collect();
        } else if line.starts_with("VmSize:") {
            status.has_memory = true;
        } else if let Some(pids) = line.strip_prefix("NSpid:") {
            status.pids = pids.split_whitespace().filter_map(|p| p.parse().ok()).collect();
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A `/proc` of two containers: 100 -> 200 (inside: 1) -> 300 (inside: 7); another user's process 7, and a kernel
    /// thread 1.
    fn fake_procfs() -> (tempfile::TempDir, Procfs) {
        let dir = tempfile::tempdir().unwrap();
        let processes = [
            (100, 1, "100", "Uid:\t1000\t1000\t1000\t1000\nVmSize:\t5 kB\n"),
            (200, 100, "200\t1", "Uid:\t1000\nVmSize:\t5 kB\n"),
            (300, 200, "300\t7", "Uid:\t1000\nVmSize:\t5 kB\n"),
            (7, 0, "7", "Uid:\t2000\t2000\nVmSize:\t5 kB\n"),
            (1, 0, "1", "Uid:\t0\t0\n"),
        ];
        for (pid, parent, all, rest) in processes {
            fs::create_dir(dir.path().join(pid.to_string())).unwrap();
            let text = format!("Name:\tx PPid: 9\nPid:\t{pid}\nPPid:\t{parent}\nNSpid:\t{all}\n{rest}");
            fs::write(dir.path().join(pid.to_string()).join("status"), text).unwrap();
        }
        let procfs = Procfs { root: dir.path().to_owned(), ..Procfs::default() };
        (dir, procfs)
    }

    fn look_up(procfs: &Procfs, claimant: &Claimant, requested: &[i32]) -> (PidFacts, u64) {
        procfs.look_up_pids(std::slice::from_ref(claimant), &requested.iter().copied().collect(), |uid| {
            uid != 3000
        })
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
        let claimed = [1, 200, 100, 4242, 0, 7, 300];
        let (facts, false_claims) = look_up(&procfs, &Claimant::new(300, 300, &claimed), &claimed);
        let confirmed: Vec<_> = facts.confirmed.iter().map(|(c, scope)| (c.ancestor, *scope)).collect();
        // 1 is the parent's pid inside, and no process with memory of its own has it on the host.
        let expected = [(1, PidScope::Host), (100, PidScope::Host), (200, PidScope::Host)];
        assert_eq!((confirmed, false_claims), (expected.to_vec(), 4));
        let (facts, _) = look_up(&procfs, &Claimant::new(999, 999, &[1]), &[1]);
        assert_eq!(facts, PidFacts::default());
    }

    #[test]
    fn the_user_of_a_pid_on_the_host_is_known() {
        let (_dir, procfs) = fake_procfs();
        let inside = Claimant::new(300, 7, &[1]);
        let (facts, _) = look_up(&procfs, &inside, &[7]);
        assert_eq!(facts.host_owners, [(7, 2000)].into());
        let nobody = procfs.look_up_pids(std::slice::from_ref(&inside), &[7].into(), |uid| uid != 2000).0;
        assert_eq!(nobody.host_owners, BTreeMap::new(), "a user who is not served has no processes here");
        assert_eq!(look_up(&procfs, &inside, &[8]).0, PidFacts::default());
    }

    #[test]
    fn this_process_has_a_start_and_facts() {
        let own = i32::try_from(std::process::id()).unwrap();
        let procfs = Procfs::default();
        let (uid, started) = procfs.read_identity(own).unwrap();
        assert_eq!(uid, rustix::process::getuid().as_raw());
        let child =
            std::process::Command::new("sleep").arg("60").env("RANK", "3").env("LOCAL_RANK", "1").spawn();
        let mut child = child.unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut facts = ProcessFacts::default();
        // The kernel sets them up a moment after the process has begun.
        while (facts.rank.is_none() || facts.command.is_none()) && child.try_wait().unwrap().is_none() {
            facts = procfs.read_facts(pid);
        }
        assert!(procfs.read_identity(pid).unwrap().1 >= started);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            (facts.rank, facts.local_rank, facts.command.as_deref()),
            (Some(3), Some(1), Some("sleep"))
        );
        assert!(procfs.read_identity(pid).is_err());
    }

    #[test]
    fn ranks_and_names_come_from_the_environment_and_the_command_line() {
        let (dir, procfs) = fake_procfs();
        let write = |pid: &str, file: &str, text: &str| {
            fs::write(dir.path().join(pid).join(file), text.replace(' ', "\0")).unwrap();
        };
        write("200", "cmdline", "python /usr/bin/torchrun train.py");
        write("300", "cmdline", "python /job/train.py");
        write("300", "environ", "HOME=/ RANK=12");
        let mut facts = PidFacts::default();
        procfs.look_up_traits(&[200, 300, 999], true, &mut facts);
        assert_eq!((facts.ranks, facts.roles), ([(300, 12)].into(), [(200, ProcessRole::Launcher)].into()));
        assert_eq!(facts.names, [(200, "torchrun".to_owned()), (300, "train.py".to_owned())].into());
        let mut facts = PidFacts::default();
        procfs.look_up_traits(&[300], false, &mut facts);
        assert!(facts.names.is_empty());
    }

    #[test]
    fn an_ancestor_of_ranks_is_a_launcher_whatever_it_is_called() {
        let (dir, procfs) = fake_procfs();
        // Each is (command line, environment) of 100, the parent of 200, and of 200, the parent of 300.
        let roles = |processes: [(&str, &str); 3]| {
            for (pid, (command_line, environment)) in ["100", "200", "300"].into_iter().zip(processes) {
                let dir = dir.path().join(pid);
                fs::write(dir.join("cmdline"), command_line.replace(' ', "\0")).unwrap();
                fs::write(dir.join("environ"), environment.replace(' ', "\0")).unwrap();
            }
            let mut facts = PidFacts::default();
            procfs.look_up_traits(&[300, 200, 100], false, &mut facts);
            facts.roles.into_iter().collect::<Vec<_>>()
        };
        let (start, train) = ("python start.py", "python train.py");
        let launcher = [(100, ProcessRole::Launcher)];
        assert_eq!(roles([(start, ""), (train, "RANK=0"), (train, "RANK=1")]), launcher, "200 is rank 0");
        assert_eq!(roles([(start, "RANK=0"), (train, "RANK=0"), (train, "RANK=1")]), launcher);
        let forked = [(start, ""), (train, ""), (train, "")];
        assert_eq!(roles(forked), [(100, ProcessRole::Starter)], "200 has forked itself");
        let helps = [(train, "RANK=2"), ("python eval.py", "RANK=2"), ("python log.py", "")];
        assert_eq!(roles(helps), [], "a process with the rank of its parent helps it");
        let loader = ("python -c spawn_main --multiprocessing-fork", "");
        let helpers = [(200, ProcessRole::Helper), (300, ProcessRole::Helper)];
        assert_eq!(roles([(train, ""), loader, loader]), helpers);
    }

    #[test]
    fn the_parent_of_this_process_is_confirmed() {
        let own = i32::try_from(std::process::id()).unwrap();
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        let procfs = Procfs::default();
        assert!(procfs.read_pids(own).unwrap().contains(&own));
        let (facts, false_claims) =
            look_up(&procfs, &Claimant::new(own, own, &[parent, own]), &[parent, own]);
        let of_parent = AncestryClaim { host_pid: own, ancestor: parent };
        assert_eq!((facts.confirmed, false_claims), ([(of_parent, PidScope::Host)].into(), 1));
    }
}

//! The identity of this process: its pid and ancestors, its threads, its host, its batch job.

use std::fs;

use rustix::process::getpid;

/// Maximum number of pids that are listed.
const MAX_ANCESTORS: usize = 64;

/// Returns the pid of this process.
pub(crate) fn own_pid() -> i32 {
    getpid().as_raw_pid()
}

/// Lists the pids of this process and of its ancestors, in this order, from proc_pid_stat(5). The list ends at the first
/// process of the pid namespace (pid_namespaces(7)).
pub(crate) fn list_own_and_ancestor_pids() -> Vec<i32> {
    let mut pids = vec![own_pid()];
    while pids.len() < MAX_ANCESTORS {
        let leaf = pids[pids.len() - 1];
        match read_parent_pid(leaf) {
            Some(p) if p > 0 && !pids.contains(&p) => pids.push(p),
            _ => break,
        }
    }
    pids
}

fn read_parent_pid(pid: i32) -> Option<i32> {
    parse_parent_pid(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Parses the parent pid, the fourth field of `/proc/PID/stat`. The second field is the command in parentheses, and can
/// contain parentheses and spaces.
fn parse_parent_pid(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Returns the kernel's id of the calling thread, or the pid if /proc is not mounted.
pub(crate) fn current_thread_id() -> i32 {
    fs::read_link("/proc/thread-self")
        .ok()
        .and_then(|link| link.file_name()?.to_str()?.parse().ok())
        .unwrap_or_else(own_pid)
}

/// Returns the host name, with characters that are not safe in a file name replaced by `-`.
pub(crate) fn file_safe_host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '-' };
    name.chars().take(64).map(plain).collect()
}

/// Returns the job id as libkineto does: `$SLURM_JOB_ID`, else 0 (pytorch/kineto 114171d,
/// `libkineto/src/IpcFabricConfigClient.cpp`, `getJobId`).
pub(crate) fn slurm_job_id() -> i64 {
    std::env::var("SLURM_JOB_ID").ok().and_then(|id| id.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_does_not_shift_the_fields() {
        assert_eq!(parse_parent_pid("42 (a) R 7 (b)) S 17 42 0"), Some(17));
        assert_eq!(parse_parent_pid("42 sh S 17"), None);
    }

    #[test]
    fn the_list_starts_with_this_process_and_its_parent() {
        let pids = list_own_and_ancestor_pids();
        assert_eq!(pids[0], i32::try_from(std::process::id()).unwrap());
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        assert_eq!(pids.get(1).copied().unwrap_or(0), parent);
        assert!(pids.iter().all(|p| *p > 0));
    }

    #[test]
    fn threads_have_different_ids() {
        let other = std::thread::spawn(current_thread_id).join().unwrap();
        assert_ne!(other, current_thread_id());
    }
}

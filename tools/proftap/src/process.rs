//! Who this process is: its ancestors, its threads, its host, its batch job.

use std::fs;

use rustix::process::getpid;

/// More ancestors than any real process has; the daemon takes a few times as many.
const MAX_ANCESTORS: usize = 64;

/// This process's id.
pub(crate) fn pid() -> i32 {
    getpid().as_raw_pid()
}

/// This process and its ancestors, leaf first, as /proc tells. Ends where a parent is out of sight: at the
/// first process, or at the edge of the pid name space.
pub(crate) fn lineage() -> Vec<i32> {
    let mut pids = vec![pid()];
    while pids.len() < MAX_ANCESTORS {
        let leaf = pids[pids.len() - 1];
        match parent(leaf) {
            Some(p) if p > 0 && !pids.contains(&p) => pids.push(p),
            _ => break,
        }
    }
    pids
}

fn parent(pid: i32) -> Option<i32> {
    parent_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fourth field of a stat line. The second is the command in brackets, and may hold brackets and blanks.
fn parent_in(stat: &str) -> Option<i32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The calling thread's id as the kernel counts, or the process's where /proc does not tell.
pub(crate) fn thread_id() -> i32 {
    fs::read_link("/proc/thread-self")
        .ok()
        .and_then(|link| link.file_name()?.to_str()?.parse().ok())
        .unwrap_or_else(pid)
}

/// The host's name, reduced to what can stand in a file name.
pub(crate) fn host() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-.".contains(c) { c } else { '-' };
    name.chars().take(64).map(plain).collect()
}

/// The job id that libkineto would report: that of Slurm, else 0.
pub(crate) fn batch_job() -> i64 {
    std::env::var("SLURM_JOB_ID").ok().and_then(|id| id.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_brackets_does_not_shift_the_fields() {
        assert_eq!(parent_in("42 (a) R 7 (b)) S 17 42 0"), Some(17));
        assert_eq!(parent_in("42 sh S 17"), None);
    }

    #[test]
    fn the_lineage_starts_here_and_climbs() {
        let pids = lineage();
        assert_eq!(pids[0], i32::try_from(std::process::id()).unwrap());
        let parent = i32::try_from(std::os::unix::process::parent_id()).unwrap();
        assert_eq!(pids.get(1).copied().unwrap_or(0), parent);
        assert!(pids.iter().all(|p| *p > 0));
    }

    #[test]
    fn threads_are_told_apart() {
        let other = std::thread::spawn(thread_id).join().unwrap();
        assert_ne!(other, thread_id());
    }
}

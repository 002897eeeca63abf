//! The process's end of the IPC fabric: which daemon, which socket of our own, and the conversation.
//!
//! | module | holds |
//! |---|---|
//! | `daemon` | where daemons of every vintage listen, and where we bind |
//! | `link` | register, poll, read replies: the conversation and its clock |
//! | `outbox` | messages on their way to the daemon, bounded |
//! | `report` | what the conversation brings, as records and diagnostics |
//!
//! The effects of a config are the caller's.

mod daemon;
mod link;
mod outbox;
mod report;

use std::path::PathBuf;
use std::time::Duration;

pub(crate) use daemon::{Daemon, Own};
pub(crate) use link::{Event, Link};
pub(crate) use outbox::Outbox;
pub(crate) use report::Reporter;

use crate::process;

/// The daemon forgets a process that has not asked for 60 s.
const LONGEST_INTERVAL_S: f64 = 50.0;

/// The options of every subcommand that talks to a daemon.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Daemon options")]
pub(crate) struct Options {
    /// Job id under which requests find this process [default: $SLURM_JOB_ID, else 0]
    #[arg(long, value_name = "ID", allow_negative_numbers = true)]
    job: Option<i64>,
    /// Index of the device that this process uses
    #[arg(long, value_name = "INDEX", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..))]
    device: i32,
    /// The daemon's socket: `abstract`, a socket file, or a directory with the socket `dynolog` in it
    ///
    /// Without it: the directory named by $KINETO_IPC_SOCKET_DIR where that is set; else the abstract socket
    /// `dynolog`, else `dynolog.sock` in this user's home directory, whichever answers.
    #[arg(long, value_name = "WHERE")]
    socket: Option<PathBuf>,
    /// How often to ask the daemon for a request
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    poll_interval: Duration,
    /// Believe a daemon that runs as this user, besides this process's own user and root
    #[arg(long, value_name = "UID")]
    daemon_uid: Option<u32>,
}

/// The options, settled.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) who: Identity,
    pub(crate) daemons: Vec<Daemon>,
    pub(crate) own: Own,
    pub(crate) interval: Duration,
    pub(crate) trust: Trust,
}

/// How this process names itself to the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) job: i64,
    pub(crate) device: i32,
    /// Leaf first, then ancestors. Never empty.
    pub(crate) pids: Vec<i32>,
}

impl Identity {
    pub(crate) fn pid(&self) -> i32 {
        self.pids[0]
    }
}

/// Whose datagrams are believed. Everything on our socket that somebody else sent is dropped: an abstract
/// socket is open to every local user.
#[derive(Clone, Debug)]
pub(crate) struct Trust(Vec<u32>);

impl Trust {
    fn new(own: u32, daemon: Option<u32>) -> Self {
        Self([own, 0].into_iter().chain(daemon).collect())
    }

    pub(crate) fn believes(&self, uid: u32) -> bool {
        self.0.contains(&uid)
    }
}

impl Options {
    /// Settles what the options leave to the environment.
    pub(crate) fn plan(&self) -> Plan {
        let who = Identity {
            job: self.job.unwrap_or_else(process::batch_job),
            device: self.device,
            pids: process::lineage(),
        };
        let me = rustix::process::geteuid().as_raw();
        let (daemons, own) = daemon::choose(self.socket.as_deref(), me);
        Plan { who, daemons, own, interval: self.poll_interval, trust: Trust::new(me, self.daemon_uid) }
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.01..=LONGEST_INTERVAL_S).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(format!("not between 0.01 and {LONGEST_INTERVAL_S}: a daemon forgets who is silent for 60 s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_user_root_and_who_was_named_are_believed() {
        let trust = Trust::new(1000, None);
        assert!(trust.believes(1000) && trust.believes(0));
        assert!(!trust.believes(1001) && !trust.believes(65534));
        assert!(Trust::new(1000, Some(990)).believes(990));
    }

    #[test]
    fn intervals_beyond_what_the_daemon_remembers_are_refused() {
        assert_eq!(interval("0.25"), Ok(Duration::from_millis(250)));
        for bad in ["0", "-1", "61", "nan", "inf", "x", ""] {
            assert!(interval(bad).is_err(), "{bad}");
        }
    }
}

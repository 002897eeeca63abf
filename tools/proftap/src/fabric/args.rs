//! The options of every subcommand that communicates with a daemon.

use std::time::Duration;

use common::duration::parse_duration;

use super::identity::{ProcessIdentity, TrustedUids};
use super::sockets::{self, ClientSocketKind, DaemonSockets, SocketChoice};
use crate::process;

/// The shortest poll interval.
const MIN_POLL_INTERVAL: Duration = Duration::from_millis(10);
/// The longest poll interval. Existing daemons (dynolog c3a231a, msMonitor b942bf5) drop a process that has not polled
/// for 60 s.
const MAX_POLL_INTERVAL: Duration = Duration::from_secs(50);

/// The options of every subcommand that communicates with a daemon.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Daemon options")]
pub(crate) struct FabricArgs {
    /// Job id that this process registers with [default: $SLURM_JOB_ID, else 0]
    #[arg(long, alias = "job", value_name = "ID", allow_negative_numbers = true)]
    job_id: Option<i64>,
    /// Index of the device that this process uses
    #[arg(long, value_name = "INDEX", default_value_t = 0, value_parser = clap::value_parser!(i32).range(0..))]
    device: i32,
    /// Socket of the daemon: `abstract`, a socket file, or a directory that contains the socket `dynolog`
    ///
    /// By default the directory $KINETO_IPC_SOCKET_DIR if that variable is set; otherwise the first that replies of the
    /// abstract socket `dynolog` and the file `dynolog.sock` in the home directory of the user.
    #[arg(long, value_name = "SOCKET", value_hint = clap::ValueHint::AnyPath)]
    socket: Option<SocketChoice>,
    /// Interval between polls for requests, 10ms to 50s
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_poll_interval)]
    poll_interval: Duration,
    /// Also trust a daemon that runs as this user [default: the user of this process, and root]
    #[arg(long, value_name = "UID")]
    daemon_uid: Option<u32>,
}

/// The validated options, with what they leave to the environment.
#[derive(Debug)]
pub(crate) struct FabricClientPlan {
    pub(crate) identity: ProcessIdentity,
    /// The daemons to try, in this order.
    pub(crate) daemons: Vec<DaemonSockets>,
    pub(crate) client_socket: ClientSocketKind,
    pub(crate) interval: Duration,
    pub(crate) trusted_uids: TrustedUids,
}

impl FabricArgs {
    /// Completes the options from the environment.
    pub(crate) fn resolve_plan(&self) -> FabricClientPlan {
        let identity = ProcessIdentity {
            job_id: self.job_id.unwrap_or_else(process::slurm_job_id),
            device: self.device,
            pids: process::list_own_and_ancestor_pids(),
        };
        let uid = rustix::process::geteuid().as_raw();
        let (daemons, client_socket) = sockets::choose_sockets(self.socket.as_ref(), uid);
        let trusted_uids = TrustedUids::new(uid, self.daemon_uid);
        FabricClientPlan { identity, daemons, client_socket, interval: self.poll_interval, trusted_uids }
    }
}

fn parse_poll_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text)?;
    if (MIN_POLL_INTERVAL..=MAX_POLL_INTERVAL).contains(&interval) {
        return Ok(interval);
    }
    Err("must be between 10ms and 50s: daemons drop a process that has not polled for 60 s".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn poll_intervals_outside_the_limits_are_rejected() {
        assert_eq!(parse_poll_interval("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_poll_interval("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_poll_interval("50s"), Ok(Duration::from_secs(50)));
        for bad in ["0", "9ms", "-1", "51s", "1m", "nan", "inf", "x", ""] {
            assert!(parse_poll_interval(bad).is_err(), "{bad}");
        }
    }
}

//! The options as typed. [`crate::plan`] turns them into a plan; after that nobody looks at flags again.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use common::duration::duration;
use common::pki::MinVersion;

/// The word that stands for a certificate directory when there shall be none.
pub(crate) const NO_CERTS: &str = "NO_CERTS";

/// Options of the daemon, in the order of the manual page.
#[derive(Args, Clone, Debug)]
pub(crate) struct DaemonFlags {
    /// Port for requests; 0 takes a free one and tells it
    #[arg(long, value_name = "PORT", default_value_t = common::rpc::DEFAULT_PORT, overrides_with = "port")]
    pub(crate) port: u16,

    /// Address to listen on; may be given again [default: 127.0.0.1, and ::1 where there is one]
    ///
    /// `0.0.0.0` and `::` listen everywhere; `::` does not take IPv4 connections, so give both.
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Vec<IpAddr>,

    /// Certificate directory of the server (see certck(1)), or NO_CERTS for plain TCP on loopback
    ///
    /// The directory is judged by the rules of `certck check` before anything listens. With NO_CERTS, anybody
    /// who reaches the port may trace every registered process, so it needs loopback addresses or
    /// --insecure-listen.
    #[arg(long, value_name = "DIR", required = true, overrides_with = "certs_dir")]
    pub(crate) certs_dir: PathBuf,

    /// Lowest TLS version; 1.2 is for old clients
    #[arg(long, value_enum, value_name = "VERSION", default_value_t)]
    pub(crate) tls_min: MinVersion,

    /// File with the passphrase of an encrypted server.key; its last line end is not part of it
    #[arg(long, value_name = "FILE")]
    pub(crate) key_passphrase_file: Option<PathBuf>,

    /// Let NO_CERTS listen on addresses that other hosts reach
    #[arg(long)]
    pub(crate) insecure_listen: bool,

    /// Serve training processes; without it, there is nothing to trace
    #[arg(long, overrides_with = "enable_ipc_monitor")]
    pub(crate) enable_ipc_monitor: bool,

    /// Where processes find the daemon: abstract[=NAME], home[=DIR], dir=DIR [default: all that exist]
    ///
    /// `abstract` is for PyTorch and older msMonitor processes, `home` for current msMonitor ones, `dir` for those
    /// that were started with KINETO_IPC_SOCKET_DIR. By default all are served at once, `dir` when that variable
    /// is set for the daemon too. A socket that cannot be had is an error.
    #[arg(long, value_name = "PLACE", value_delimiter = ',', requires = "enable_ipc_monitor")]
    pub(crate) ipc: Vec<IpcChoice>,

    /// Serve processes of this user too, by number; may be given again [default: the daemon's own user]
    ///
    /// A daemon of root serves every user. Other users reach only the abstract sockets: socket files are for the
    /// daemon's own user.
    #[arg(long, value_name = "UID")]
    pub(crate) allow_uid: Vec<u32>,

    /// Refuse configs that write outside this directory; may be given again [default: any path]
    ///
    /// The path is compared as text: links below the directory are the business of whoever may create them.
    #[arg(long, value_name = "DIR")]
    pub(crate) output_root: Vec<PathBuf>,

    /// Record metrics of the processes as JSON lines in this directory
    #[arg(long, value_name = "DIR", overrides_with = "metric_log_dir")]
    pub(crate) metric_log_dir: Option<PathBuf>,

    /// Without --metric-log-dir, write metrics to standard output
    #[arg(long, overrides_with = "use_json")]
    pub(crate) use_json: bool,

    #[command(flatten)]
    pub(crate) limits: DaemonLimitFlags,

    /// Write a newline to this descriptor when ready
    ///
    /// NOTIFY_SOCKET is honoured as well.
    #[arg(long, value_name = "FD")]
    pub(crate) ready_fd: Option<u32>,

    /// Options of existing daemons, found by the rewriting of the command line.
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) foreign_flag: Vec<String>,
}

/// Limits, each with an answer when it is reached.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct DaemonLimitFlags {
    /// Maximum number of established connections
    ///
    /// A connection is established once its client certificate is verified or, over plain TCP, its first request is
    /// complete. When the limit is reached, the connection that has been idle longest is closed for the new one; if
    /// none is idle, the new client gets the error `busy`.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = at_least_one)]
    pub(crate) max_connections: usize,
    /// Maximum number of established connections from one address (IPv6: from one /64)
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = at_least_one)]
    pub(crate) max_connections_per_peer: usize,
    /// Maximum number of pending connections: those that are not established yet
    ///
    /// When the limit is reached, the oldest silent connection of the address that has most of them is closed for
    /// the new one, so silent peers do not shut out clients.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = at_least_one)]
    pub(crate) max_pending_connections: usize,
    /// Maximum number of pending connections from one address (IPv6: from one /64)
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = at_least_one)]
    pub(crate) max_pending_connections_per_peer: usize,
    /// Longest request
    #[arg(long, value_name = "SIZE", default_value = "64K", value_parser = size)]
    pub(crate) max_request: u64,
    /// Time for a TLS handshake
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) handshake_timeout: Duration,
    /// Time for a whole request
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) read_timeout: Duration,
    /// Time for a client to take its reply
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) write_timeout: Duration,
    /// Time that a client may stay silent between requests
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub(crate) idle_timeout: Duration,
    /// Time for requests in progress after the signal to stop; a second signal cuts it short
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub(crate) drain_timeout: Duration,
    /// Most registered processes; further ones are not served
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = at_least_one)]
    pub(crate) max_processes: usize,
    /// Time after which a silent process is forgotten; one that ends is forgotten at once
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) keep_alive: Duration,
    /// Time after which a config that its process did not fetch is forgotten
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub(crate) config_expiry: Duration,
    /// Most metrics that wait to be recorded; further ones are dropped and counted
    #[arg(long, value_name = "N", default_value_t = 8192, value_parser = at_least_one)]
    pub(crate) metric_queue: usize,
    /// Size at which a metric file is closed and the next one begun
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size)]
    pub(crate) metric_file_size: u64,
    /// Free disk space that recording leaves alone
    #[arg(long, value_name = "SIZE", default_value = "1G", value_parser = size)]
    pub(crate) metric_disk_reserve: u64,
}

/// One place of `--ipc`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum IpcChoice {
    Abstract(Option<String>),
    Home(Option<PathBuf>),
    Dir(PathBuf),
}

impl FromStr for IpcChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (place, value) = match text.split_once('=') {
            Some((_, "")) => return Err("nothing after `=`".to_owned()),
            Some((place, value)) => (place, Some(value)),
            None => (text, None),
        };
        match (place, value) {
            ("abstract", name) => Ok(Self::Abstract(name.map(str::to_owned))),
            ("home", dir) => Ok(Self::Home(dir.map(PathBuf::from))),
            ("dir", Some(dir)) => Ok(Self::Dir(dir.into())),
            _ => Err("expected abstract[=NAME], home[=DIR] or dir=DIR".to_owned()),
        }
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|n| *n > 0).ok_or_else(|| "expected a whole number from 1".to_owned())
}

/// `100`, `64K`, `64M`, `1G`, in powers of 1024.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => return Err("expected a size such as 4096, 64K, 64M or 1G".to_owned()),
    };
    let n: Option<u64> = digits.parse().ok().and_then(|n: u64| n.checked_mul(1 << shift));
    n.ok_or_else(|| "expected a size such as 4096, 64K, 64M or 1G".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(size("64K"), Ok(65536));
        assert_eq!(size("0"), Ok(0));
        assert!(size("1X").is_err() && size("99999999999G").is_err());
    }

    #[test]
    fn places_are_read() {
        assert_eq!("abstract".parse(), Ok(IpcChoice::Abstract(None)));
        assert_eq!("home=/h".parse(), Ok(IpcChoice::Home(Some("/h".into()))));
        assert_eq!("dir=/d".parse(), Ok(IpcChoice::Dir("/d".into())));
        assert!("dir".parse::<IpcChoice>().is_err() && "dir=".parse::<IpcChoice>().is_err());
    }
}

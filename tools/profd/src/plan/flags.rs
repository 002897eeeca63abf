//! The options as typed. [`crate::plan`] turns them into a plan, and nothing reads them after that.

use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use common::duration::parse_duration;
use common::pki::MinVersion;
use common::size::parse_size;

use super::devices::DeviceFlags;
use super::limits::parse_positive;
use super::metrics::MetricFlags;
use crate::log::LogFormat;

/// The value of `--certs-dir` for plain TCP.
pub(crate) const NO_CERTS: &str = "NO_CERTS";

/// Options of the daemon, in the order of the manual page.
#[derive(Args, Clone, Debug)]
pub(crate) struct DaemonFlags {
    /// Read options from a TOML file; see profd-config(5)
    ///
    /// Its keys are the options without their dashes. The command line takes precedence. The file must belong to root or to
    /// the user who starts the daemon, and must not be writable by others.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// TCP port to listen on; 0 chooses a free port and reports it
    #[arg(long, value_name = "PORT", default_value_t = common::rpc::DEFAULT_PORT, overrides_with = "port")]
    pub(crate) port: u16,

    /// Address to listen on; may be repeated [default: 127.0.0.1, and ::1 if the host has it]
    ///
    /// `0.0.0.0` stands for every IPv4 address and `::` for every IPv6 address. `::` does not accept IPv4 connections:
    /// to listen on both, give both.
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Vec<IpAddr>,

    /// Certificate directory of the server (see certck(1)), or NO_CERTS for plain TCP on loopback
    ///
    /// A service of systemd that gets ca.crt, server.crt and server.key as credentials (`LoadCredential=`) needs no option;
    /// the credential `passphrase` is that of the key.
    ///
    /// The directory must pass `certck check`; otherwise the daemon does not start. With NO_CERTS every client that
    /// reaches the port can trace every registered process, so only loopback addresses are allowed, unless
    /// --insecure-listen is given.
    #[arg(long, value_name = "DIR", required = true, overrides_with = "certs_dir")]
    pub(crate) certs_dir: PathBuf,

    /// Minimum TLS version; 1.2 is for old clients
    #[arg(long, value_enum, value_name = "VERSION", default_value_t)]
    pub(crate) tls_min: MinVersion,

    /// Read the passphrase of the private key from the first line of FILE
    ///
    /// The line ending (LF or CRLF) is not part of it. The file must have mode 0600 or stricter.
    #[arg(long, alias = "key-passphrase-file", value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,

    /// With NO_CERTS, allow addresses that other hosts can reach
    #[arg(long)]
    pub(crate) insecure_listen: bool,

    /// Serve training processes; without this option no process can be traced
    #[arg(long, overrides_with = "enable_ipc_monitor")]
    pub(crate) enable_ipc_monitor: bool,

    /// Sockets for processes: abstract[=NAME], home[=DIR], dir=DIR [default: all of them]
    ///
    /// `abstract` is for PyTorch and for msMonitor up to 8.3, `home` for current msMonitor, `dir` for processes that were
    /// started with KINETO_IPC_SOCKET_DIR. By default the daemon listens on all of them, on `dir` if that variable is
    /// set for the daemon. A socket that is asked for and cannot be bound is an error; of the default ones, one is enough.
    #[arg(long, value_name = "PLACE", value_delimiter = ',', requires = "enable_ipc_monitor")]
    pub(crate) ipc: Vec<IpcChoice>,

    /// Also serve processes of this user id; may be repeated [default: the daemon's own user only]
    ///
    /// A daemon that runs as root serves every user. Other users can reach the abstract sockets; socket files only with
    /// --ipc-mode.
    #[arg(long, value_name = "UID")]
    pub(crate) allow_uid: Vec<u32>,

    /// Also serve processes of this user, by name; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_user: Vec<String>,

    /// Also serve processes of this group, by name or number; may be repeated
    ///
    /// Their own group, one of their supplementary groups, or one that their user is a member of by the host's group file.
    /// With --ipc-mode the first one is the group of the socket files.
    #[arg(long, value_name = "GROUP")]
    pub(crate) allow_gid: Vec<String>,

    /// Mode of the socket files in octal: 0600, 0660 or 0666
    ///
    /// A user who may write to a socket can send to the daemon, which rejects the users that it does not serve.
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = parse_socket_mode)]
    pub(crate) ipc_mode: u32,

    /// Reject configs that write outside this directory; may be repeated, `/` for any path
    ///
    /// By default `/tmp` or, if the daemon's environment has KINETO_ONDEMAND_TRACE_DIR, that directory: PyTorch's
    /// processes write nowhere else. Paths are compared as text, and symlinks below the directory are not resolved: let
    /// only trusted users create files there.
    #[arg(long, value_name = "DIR")]
    pub(crate) output_root: Vec<PathBuf>,

    /// File with the rules that say which clients may do what; see profd-rules(5) [default: all of them everything]
    ///
    /// The file is read again when it changes. One that is invalid does not replace the rules in use.
    #[arg(long, value_name = "FILE")]
    pub(crate) rules: Option<PathBuf>,

    /// Append one JSON line for each request and each rejected client to a file; `journal` or `-` (standard output)
    ///
    /// A client gets its reply when its line is written, so none is lost. While the trail cannot be written, requests are
    /// rejected; of their lines there is one for each client later, with the number. Requests over HTTP with TLS have a line,
    /// too. A file that was moved away is replaced by a new one. `profctl audit` reads the lines. Without this option the log
    /// has the lines that change something, as text.
    #[arg(long, value_name = "DEST")]
    pub(crate) audit_log: Option<PathBuf>,

    /// Become this user after everything is bound; the daemon must be started as root
    ///
    /// Certificates, rules and the audit trail are opened as this user, who must be able to read or write them. The
    /// processes of this user are served; add the training users with --allow-user or --allow-gid.
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,

    /// Do not confine the daemon with Landlock and seccomp
    #[arg(long)]
    pub(crate) no_sandbox: bool,

    /// Check the options, directories, certificates and rules, and exit
    #[arg(long)]
    pub(crate) check_config: bool,

    /// Directory for what a restart must not lose [default: that of STATE_DIRECTORY, which systemd sets]
    ///
    /// The daemon keeps there which processes are registered, what they have reported, and the configs that they have not
    /// fetched. The next daemon takes them over, unless the file is another user's, from before the last boot, or older than
    /// --keep-alive. Without a directory those configs are lost.
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    /// Form of the log
    #[arg(long, value_enum, value_name = "FORM", default_value_t)]
    pub(crate) log_format: LogFormat,

    /// Accept a new trust root when the certificates are reloaded, instead of at a restart only
    ///
    /// A user who can write the certificate directory could otherwise let in clients of their own. Either way the log
    /// shows the fingerprints.
    #[arg(long)]
    pub(crate) accept_new_roots: bool,

    #[command(flatten)]
    pub(crate) crl_limit: common::pki::CrlLimitArgs,

    #[command(flatten)]
    pub(crate) metrics: MetricFlags,

    #[command(flatten)]
    pub(crate) devices: DeviceFlags,

    #[command(flatten)]
    pub(crate) limits: DaemonLimitFlags,

    /// Write a newline to this file descriptor when the daemon is ready, for example for s6
    ///
    /// Readiness is also sent to the socket of NOTIFY_SOCKET, for systemd units with Type=notify.
    #[arg(long, value_name = "FD")]
    pub(crate) ready_fd: Option<u32>,

    /// An option of the existing daemons, inserted when the command line is rewritten.
    #[arg(long, hide = true, value_name = "NAME")]
    pub(crate) foreign_flag: Vec<String>,

    /// A warning about the command line, inserted when it is rewritten.
    #[arg(long, hide = true, value_name = "TEXT")]
    pub(crate) option_warning: Vec<String>,
}

/// Limits. Each has a counter, and a reply or a log line when it is reached.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Limits")]
pub(crate) struct DaemonLimitFlags {
    /// Maximum number of established connections
    ///
    /// A connection is established once its client certificate is verified or, over plain TCP, its first reply is sent.
    /// When the limit is reached, the client that has most connections loses the one that has been idle longest, if the new
    /// client has fewer; else the new client loses one of its own. A client is a certificate or, over plain TCP, an address.
    /// If none of them is idle, the new client gets the error `busy`, over plain TCP after its first reply.
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = parse_positive)]
    pub(crate) max_connections: usize,
    /// Maximum number of established connections with one certificate from one address (IPv6: from one /64); over plain TCP,
    /// of one address
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = parse_positive)]
    pub(crate) max_connections_per_peer: usize,
    /// Maximum number of pending connections: those that are not established yet
    ///
    /// When the limit is reached, the oldest silent connection of the address that has most of them is closed for
    /// the new one, so silent peers do not shut out clients.
    #[arg(long, value_name = "N", default_value_t = 2048, value_parser = parse_positive)]
    pub(crate) max_pending_connections: usize,
    /// Maximum number of pending connections from one address (IPv6: from one /64)
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = parse_positive)]
    pub(crate) max_pending_connections_per_peer: usize,
    /// Maximum number of TLS handshakes in a second of clients from addresses without a recent success
    ///
    /// Clients beyond it wait. Addresses from which a client was served in the last minutes do not count.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = parse_positive)]
    pub(crate) max_handshake_rate: usize,
    /// Maximum age of a connection; it is then closed between two requests, and the client connects anew
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub(crate) max_connection_age: Duration,
    /// Number of threads that serve clients, at most one less than there are processors
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = parse_positive)]
    pub(crate) worker_threads: usize,
    /// Niceness of those threads: how far they stand back behind the training processes
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(i32).range(0..=19))]
    pub(crate) nice: i32,
    /// Maximum length of a request, from 64 bytes to 16MiB
    #[arg(long, value_name = "SIZE", default_value = "64KiB", value_parser = parse_size)]
    pub(crate) max_request: u64,
    /// Timeout of a TLS handshake
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) handshake_timeout: Duration,
    /// Timeout of a request, from its first byte to its last
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) read_timeout: Duration,
    /// Timeout of sending a reply
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) write_timeout: Duration,
    /// Time after which a connection without a request is closed
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) idle_timeout: Duration,
    /// Time for requests in progress after SIGTERM; a second signal stops the daemon at once
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) drain_timeout: Duration,
    /// Maximum number of registered processes; further ones are not served
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = parse_positive)]
    pub(crate) max_processes: usize,
    /// Time without a message after which a process expires; one that ends is removed at once
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub(crate) keep_alive: Duration,
    /// Time after which a config that its process has not fetched expires
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse_duration)]
    pub(crate) config_expiry: Duration,
}

/// One value of `--ipc`.
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
            Some((_, "")) => return Err("missing value after `=`".to_owned()),
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

fn parse_socket_mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode @ (0o600 | 0o660 | 0o666)) => Ok(mode),
        _ => Err("expected 0600, 0660 or 0666".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_parsed() {
        assert_eq!("abstract".parse(), Ok(IpcChoice::Abstract(None)));
        assert_eq!("home=/h".parse(), Ok(IpcChoice::Home(Some("/h".into()))));
        assert_eq!("dir=/d".parse(), Ok(IpcChoice::Dir("/d".into())));
        assert!("dir".parse::<IpcChoice>().is_err() && "dir=".parse::<IpcChoice>().is_err());
    }
}

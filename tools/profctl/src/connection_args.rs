//! The options that every subcommand shares: which daemons to query, and how to connect to them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use common::duration::parse_duration;
use common::pki::MinVersion;
use common::rpc::DEFAULT_PORT;
use common::size::parse_size;

use crate::option_value::{PodAddress, parse_slurm_job};

/// The value of `--certs-dir` that stands for plain TCP; the same in msMonitor's client (`dyno`, b942bf5).
const NO_CERTS: &str = "NO_CERTS";

/// The value of `--certs-dir`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CertsChoice {
    /// `NO_CERTS`: plain TCP.
    PlainTcp,
    /// Mutual TLS with the certificates in a directory.
    Directory(PathBuf),
}

impl From<OsString> for CertsChoice {
    fn from(text: OsString) -> Self {
        if text == NO_CERTS { Self::PlainTcp } else { Self::Directory(text.into()) }
    }
}

/// The daemons to query, and how to connect to them.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionArgs {
    /// Host of the daemon: a name or an address, optionally followed by `:PORT`
    #[arg(long, global = true, default_value = "localhost", value_name = "HOST")]
    pub(crate) hostname: String,
    /// Hosts of several daemons, separated by commas; `@FILE` reads a file, `@-` standard input
    ///
    /// `node[001-128,200]` stands for 129 hosts. In a file, hosts are separated by newlines, spaces or commas, and `#`
    /// starts a comment. Each host is queried once and gets one record, also when it fails. Example: --hosts
    /// node1,node2:1779,rack[1-4]node[01-16],@spare-hosts
    #[arg(long, global = true, value_name = "LIST", conflicts_with = "hostname")]
    pub(crate) hosts: Vec<String>,
    /// Hosts of a Slurm job, from `squeue` and `scontrol`; gputrace then traces the processes of this job
    ///
    /// The programs may take 30 s together, or as long as --deadline says if that is shorter.
    #[arg(long, global = true, value_name = "JOB", value_parser = parse_slurm_job, conflicts_with_all = ["hostname", "hosts"])]
    pub(crate) slurm: Option<String>,
    /// Nodes of the running pods that a label selector selects, from `kubectl`
    ///
    /// The daemon's certificate is verified against the name of the node. `kubectl` may take 30 s, or as long as --deadline
    /// says if that is shorter. Example: --k8s app=train,user=alice
    #[arg(long, global = true, value_name = "SELECTOR", conflicts_with_all = ["hostname", "hosts", "slurm"])]
    pub(crate) k8s: Option<String>,
    /// Namespace of the pods [default: that of the current context of kubectl]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) k8s_namespace: Option<String>,
    /// Where the daemon of a pod runs: on its node, or in the pod
    #[arg(long, global = true, value_enum, default_value_t, value_name = "PLACE")]
    pub(crate) k8s_address: PodAddress,
    /// Query every address of a host name, as a daemon of its own
    ///
    /// By default the addresses of a name belong to one daemon, and the first one that accepts a connection is used. With
    /// this, the name of a headless service or of a round-robin record stands for all its hosts.
    #[arg(long, global = true)]
    pub(crate) all_addresses: bool,
    /// TCP port of the daemon, for hosts without `:PORT`
    #[arg(long, global = true, default_value_t = DEFAULT_PORT, value_name = "PORT")]
    pub(crate) port: u16,
    /// Directory with ca.crt, client.crt, client.key and optionally ca.crl, or NO_CERTS for plain TCP
    ///
    /// By default the first that exists of `$XDG_CONFIG_HOME/profguard/client_certs` (without that variable
    /// `~/.config/profguard/client_certs`) and `/etc/profguard/client_certs`. Plain TCP is never the default.
    #[arg(long, global = true, value_name = "DIR", value_hint = ValueHint::AnyPath)]
    pub(crate) certs_dir: Option<CertsChoice>,
    /// Read the passphrase of the private key from the first line of FILE
    ///
    /// The line ending (LF or CRLF) is not part of it. The file must have mode 0600 or stricter.
    #[arg(long, alias = "key-passphrase-file", global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Maximum size of a file of CRLs, such as 64MiB; a bare number is bytes. A million entries take some 50 MiB
    #[arg(long, global = true, value_name = "SIZE", default_value = "128MiB", value_parser = parse_size)]
    pub(crate) max_crl_bytes: u64,
    /// Name to verify the daemon's certificate against [default: the host]
    ///
    /// For a daemon that is reached through a tunnel or a forwarded port.
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) server_name: Option<String>,
    /// Minimum TLS version; 1.2 is for daemons without TLS 1.3
    #[arg(long, global = true, value_enum, default_value_t, value_name = "VERSION")]
    pub(crate) tls_min: MinVersion,
    /// Time limit for each exchange with a server, such as 500ms, 5s or 2m; a bare number is seconds
    ///
    /// It includes the resolution of the name and the TLS handshake.
    #[arg(long, global = true, default_value = "10s", value_parser = parse_duration, value_name = "TIME")]
    pub(crate) timeout: Duration,
    /// Maximum number of daemons to query at the same time
    #[arg(long, alias = "width", global = true, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096), value_name = "N")]
    pub(crate) parallel: u16,
    /// Number of times to try again to connect to a daemon that cannot be reached or is busy
    ///
    /// A request that has been sent is not sent again: the daemon may have carried it out.
    #[arg(long, global = true, default_value_t = 0, value_parser = clap::value_parser!(u8).range(..=20), value_name = "N")]
    pub(crate) retries: u8,
    /// Time limit for the requests to all daemons together [default: none]
    ///
    /// A daemon that has not answered by then has failed. The programs of --slurm and --k8s count, too.
    #[arg(long, global = true, value_parser = parse_duration, value_name = "TIME")]
    pub(crate) deadline: Option<Duration>,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::CertsChoice;
    use crate::Cli;

    #[test]
    fn only_the_exact_name_stands_for_plain_tcp() {
        let choice =
            |text: &str| Cli::try_parse_from(["profctl", "--certs-dir", text, "version"]).unwrap().connection;
        assert_eq!(choice("NO_CERTS").certs_dir, Some(CertsChoice::PlainTcp));
        for dir in ["no_certs", "./NO_CERTS", "certs"] {
            assert_eq!(choice(dir).certs_dir, Some(CertsChoice::Directory(dir.into())));
        }
    }

    #[test]
    fn the_passphrase_file_keeps_its_former_name() {
        for option in ["--passphrase-file", "--key-passphrase-file"] {
            for args in [["profctl", option, "f", "version"], ["profctl", "version", option, "f"]] {
                let cli = Cli::try_parse_from(args).unwrap();
                assert_eq!(
                    cli.connection.passphrase_file.as_deref().unwrap().to_str(),
                    Some("f"),
                    "{args:?}"
                );
            }
        }
    }

    #[test]
    fn the_number_of_parallel_queries_is_limited() {
        let parallel = |n: &str| {
            Cli::try_parse_from(["profctl", "--parallel", n, "version"]).map(|c| c.connection.parallel)
        };
        assert_eq!(parallel("4096").unwrap(), 4096);
        assert!(parallel("0").is_err() && parallel("4097").is_err());
        assert_eq!(
            Cli::try_parse_from(["profctl", "version", "--width", "3"]).unwrap().connection.parallel,
            3
        );
    }
}

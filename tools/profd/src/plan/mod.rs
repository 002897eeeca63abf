//! The options and the environment, validated and turned into a plan before anything is opened or bound.

pub(crate) mod flags;
pub(crate) mod gflags;
pub(crate) mod ipc;
pub(crate) mod limits;

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use common::error::HintExt;
use common::ipc::address::SOCKET_DIR_VAR;
use common::pki::MinVersion;

use crate::core::output_roots::OutputRoots;
use crate::core::registry::RegistryLimits;
use flags::{DaemonFlags, DaemonLimitFlags, IpcChoice, NO_CERTS};
use ipc::{AllowedUsers, DEFAULT_ABSTRACT_NAME, IpcPlan, SocketPlace};
use limits::{ConnectionLimits, PoolLimits, RequestLimits, ServerLimits};

/// Maximum number of jobs of one process: its profilers may name different ones.
const JOBS_PER_PROCESS: usize = 4;

/// The facts about the host that the plan depends on.
#[derive(Clone, Debug)]
pub(crate) struct HostEnvironment {
    pub(crate) uid: u32,
    /// The home directory of the user.
    pub(crate) home: Option<PathBuf>,
    /// The value of [`SOCKET_DIR_VAR`].
    pub(crate) socket_dir: Option<OsString>,
}

/// The validated plan of the daemon.
#[derive(Debug)]
pub(crate) struct DaemonPlan {
    /// Addresses to listen on, all with the same port.
    pub(crate) listen: Vec<ListenAddress>,
    pub(crate) port: u16,
    /// `None` for plain TCP.
    pub(crate) tls: Option<TlsPlan>,
    /// Empty without `--enable-ipc-monitor`.
    pub(crate) places: Vec<SocketPlace>,
    pub(crate) ipc: IpcPlan,
    pub(crate) registry: RegistryLimits,
    pub(crate) server: ServerLimits,
    pub(crate) metrics: Option<MetricTarget>,
    /// Maximum number of metrics that wait to be recorded.
    pub(crate) metric_queue_length: usize,
    pub(crate) output_roots: OutputRoots,
    pub(crate) ready_fd: Option<u32>,
    /// Subject and text of each warning that is printed at the start.
    pub(crate) warnings: Vec<(&'static str, String)>,
}

/// Where to record metrics, and how much.
#[derive(Clone, Debug)]
pub(crate) struct MetricFilePlan {
    pub(crate) dir: PathBuf,
    /// A file that has reached this size in bytes is closed.
    pub(crate) file_bytes: u64,
    /// Free disk space in bytes that recording does not use.
    pub(crate) reserve_bytes: u64,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenAddress {
    pub(crate) address: IpAddr,
    /// Whether the host may lack it, because no option names it.
    pub(crate) optional: bool,
}

/// How mutual TLS is set up.
#[derive(Clone, Debug)]
pub(crate) struct TlsPlan {
    pub(crate) dir: PathBuf,
    pub(crate) min: MinVersion,
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// Where metrics are written.
#[derive(Clone, Debug)]
pub(crate) enum MetricTarget {
    Files(MetricFilePlan),
    Stdout,
}

impl DaemonPlan {
    /// Validates the options and makes a plan of them.
    ///
    /// # Errors
    /// An option is invalid, or options contradict each other.
    pub(crate) fn new(flags: DaemonFlags, environment: &HostEnvironment) -> anyhow::Result<Self> {
        let mut warnings = Vec::new();
        for flag in &flags.foreign_flag {
            warnings.push(("options", gflags::check_foreign_flag(flag)?));
        }
        let tls = plan_tls(&flags)?;
        let listen = plan_listeners(&flags);
        if tls.is_none() {
            warnings.push(("rpc", warn_about_plain_tcp(&flags, &listen)?));
        }
        if environment.uid == 0 {
            let text = "running as root: use an account that owns only the training jobs";
            warnings.push(("account", text.to_owned()));
        }
        let places = if flags.enable_ipc_monitor {
            plan_places(&flags, environment, &mut warnings)?
        } else {
            Vec::new()
        };
        if places.is_empty() {
            let text = "disabled, so no process can be traced (--enable-ipc-monitor)";
            warnings.push(("ipc", text.to_owned()));
        }
        let DaemonLimitFlags { keep_alive, max_processes, .. } = flags.limits;
        Ok(Self {
            listen,
            port: flags.port,
            tls,
            places,
            ipc: IpcPlan {
                users: AllowedUsers::new(environment.uid, flags.allow_uid.clone()),
                max_senders: max_processes,
                keep_alive,
                drain: flags.limits.drain_timeout,
            },
            registry: RegistryLimits {
                max_processes,
                jobs_per_process: JOBS_PER_PROCESS,
                keep_alive,
                config_expiry: flags.limits.config_expiry,
            },
            server: plan_server_limits(&flags.limits)?,
            metrics: plan_metrics(&flags),
            metric_queue_length: flags.limits.metric_queue,
            output_roots: OutputRoots::new(flags.output_root)?,
            ready_fd: flags.ready_fd,
            warnings,
        })
    }
}

fn plan_tls(flags: &DaemonFlags) -> anyhow::Result<Option<TlsPlan>> {
    if flags.certs_dir.as_os_str() == NO_CERTS {
        ensure!(flags.passphrase_file.is_none(), "--passphrase-file: NO_CERTS uses no key");
        return Ok(None);
    }
    ensure!(!flags.insecure_listen, "--insecure-listen: needed with NO_CERTS only");
    Ok(Some(TlsPlan {
        dir: flags.certs_dir.clone(),
        min: flags.tls_min,
        passphrase_file: flags.passphrase_file.clone(),
    }))
}

fn plan_listeners(flags: &DaemonFlags) -> Vec<ListenAddress> {
    if !flags.bind.is_empty() {
        return flags
            .bind
            .iter()
            .map(|address| ListenAddress { address: *address, optional: false })
            .collect();
    }
    vec![
        ListenAddress { address: Ipv4Addr::LOCALHOST.into(), optional: false },
        ListenAddress { address: Ipv6Addr::LOCALHOST.into(), optional: true },
    ]
}

/// Returns the warning about plain TCP.
///
/// # Errors
/// An address can be reached from other hosts, and `--insecure-listen` is not given.
fn warn_about_plain_tcp(flags: &DaemonFlags, listen: &[ListenAddress]) -> anyhow::Result<String> {
    let reachable = listen.iter().find(|l| !l.address.to_canonical().is_loopback());
    match reachable {
        Some(l) if !flags.insecure_listen => {
            Err(anyhow::anyhow!("--bind {}: with plain TCP, every host that reaches this address can trace processes", l.address))
                .hint("use certificates (--certs-dir; `certck mint` makes them), or allow it with --insecure-listen on a private network")
        }
        Some(_) => Ok("plain TCP on addresses that other hosts can reach: all of them can trace processes".to_owned()),
        None => Ok("plain TCP: every user of this host can trace processes".to_owned()),
    }
}

/// Returns the sockets of `--ipc`, or all that the host has.
fn plan_places(
    flags: &DaemonFlags,
    environment: &HostEnvironment,
    warnings: &mut Vec<(&'static str, String)>,
) -> anyhow::Result<Vec<SocketPlace>> {
    if !flags.ipc.is_empty() {
        let mut places = Vec::new();
        for choice in &flags.ipc {
            let place = plan_place(choice, environment)?;
            ensure!(!places.contains(&place), "--ipc: {} is given twice", place.option_word());
            places.push(place);
        }
        return Ok(places);
    }
    let mut places = vec![SocketPlace::Abstract(DEFAULT_ABSTRACT_NAME.to_owned())];
    match &environment.home {
        Some(home) => places.push(SocketPlace::Home(home.clone())),
        None => warnings.push((
            "ipc",
            format!(
                "user {} has no home directory: no sockets for current msMonitor processes",
                environment.uid
            ),
        )),
    }
    if let Some(dir) = &environment.socket_dir {
        places.push(plan_place(&IpcChoice::Dir(dir.into()), environment).context(SOCKET_DIR_VAR)?);
    }
    Ok(places)
}

fn plan_place(choice: &IpcChoice, environment: &HostEnvironment) -> anyhow::Result<SocketPlace> {
    Ok(match choice {
        IpcChoice::Abstract(name) => {
            SocketPlace::Abstract(name.clone().unwrap_or_else(|| DEFAULT_ABSTRACT_NAME.to_owned()))
        }
        IpcChoice::Home(Some(dir)) => SocketPlace::Home(require_absolute(dir)?),
        IpcChoice::Home(None) => match &environment.home {
            Some(home) => SocketPlace::Home(home.clone()),
            None => bail!("--ipc home: user {} has no home directory", environment.uid),
        },
        IpcChoice::Dir(dir) => SocketPlace::Dir(require_absolute(dir)?),
    })
}

/// Rejects a relative directory: processes would resolve it from their own working directories.
fn require_absolute(dir: &Path) -> anyhow::Result<PathBuf> {
    ensure!(dir.is_absolute(), "{}: not an absolute path", dir.display());
    Ok(dir.to_owned())
}

fn plan_server_limits(flags: &DaemonLimitFlags) -> anyhow::Result<ServerLimits> {
    let request = usize::try_from(flags.max_request).ok().filter(|n| (64..=1 << 24).contains(n));
    Ok(ServerLimits {
        connections: ConnectionLimits {
            pending: PoolLimits {
                total: flags.max_pending_connections,
                per_peer: flags.max_pending_connections_per_peer,
            },
            established: PoolLimits {
                total: flags.max_connections,
                per_peer: flags.max_connections_per_peer,
            },
        },
        requests: RequestLimits {
            handshake_timeout: flags.handshake_timeout,
            read_timeout: flags.read_timeout,
            write_timeout: flags.write_timeout,
            idle_timeout: flags.idle_timeout,
            max_bytes: request.context("--max-request: expected 64 bytes to 16M")?,
        },
        drain: flags.drain_timeout,
    })
}

fn plan_metrics(flags: &DaemonFlags) -> Option<MetricTarget> {
    match &flags.metric_log_dir {
        Some(dir) => Some(MetricTarget::Files(MetricFilePlan {
            dir: dir.clone(),
            file_bytes: flags.limits.metric_file_size.max(4096),
            reserve_bytes: flags.limits.metric_disk_reserve,
        })),
        None => flags.use_json.then_some(MetricTarget::Stdout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Test {
        #[command(flatten)]
        flags: DaemonFlags,
    }

    fn plan(args: &[&str]) -> Result<DaemonPlan, String> {
        let args = std::iter::once("profd").chain(args.iter().copied());
        let flags = Test::try_parse_from(args).map_err(|e| e.to_string())?.flags;
        let environment = HostEnvironment { uid: 1000, home: Some("/home/ai".into()), socket_dir: None };
        DaemonPlan::new(flags, &environment).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn fault_12_loopback_is_the_default_and_plain_tcp_stays_there() {
        let p = plan(&["--certs-dir", "NO_CERTS"]).unwrap();
        assert!(p.listen.iter().all(|l| l.address.is_loopback()));
        assert_eq!(p.port, 1778);
        let e = plan(&["--certs-dir=NO_CERTS", "--bind=0.0.0.0"]).unwrap_err();
        assert!(e.starts_with("--bind 0.0.0.0: with plain TCP"), "{e}");
        assert!(plan(&["--certs-dir=NO_CERTS", "--bind=0.0.0.0", "--insecure-listen"]).is_ok());
        assert!(plan(&["--certs-dir=/c", "--bind=0.0.0.0"]).unwrap().tls.is_some());
        assert!(plan(&[]).is_err(), "the operator must decide whether to use certificates");
    }

    #[test]
    fn every_kind_of_process_is_served_by_default() {
        let p = plan(&["--certs-dir=NO_CERTS", "--enable-ipc-monitor"]).unwrap();
        assert_eq!(p.places, [SocketPlace::Abstract("dynolog".into()), SocketPlace::Home("/home/ai".into())]);
        let p = plan(&["--certs-dir=NO_CERTS", "--enable-ipc-monitor", "--ipc=abstract=x,dir=/d"]).unwrap();
        assert_eq!(p.places, [SocketPlace::Abstract("x".into()), SocketPlace::Dir("/d".into())]);
        assert!(plan(&["--certs-dir=NO_CERTS"]).unwrap().places.is_empty());
        assert!(plan(&["--certs-dir=NO_CERTS", "--enable-ipc-monitor", "--ipc=home,home"]).is_err());
    }
}

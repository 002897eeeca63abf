//! The options and the environment, validated and turned into a plan before anything is opened or bound.

mod argument;
pub(crate) mod arguments;
pub(crate) mod attribution;
pub(crate) mod collector;
pub(crate) mod config_file;
pub(crate) mod devices;
pub(crate) mod directory_check;
mod flag_file;
pub(crate) mod flags;
mod foreign;
mod gflags;
pub(crate) mod ipc;
pub(crate) mod limits;
pub(crate) mod metrics;
pub(crate) mod rules;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use common::error::HintExt;
use common::ipc::address::SOCKET_DIR_VAR;
use common::pki::MinVersion;
use common::size::format_size;

use crate::core::accounts::Accounts;
use crate::core::output_roots::OutputRoots;
use crate::core::registry::RegistryLimits;
use crate::log::LogFormat;
use collector::CollectorEnvironment;
use devices::DevicePlan;
use flags::{DaemonFlags, DaemonLimitFlags, IpcChoice, NO_CERTS};
use ipc::{AllowedUsers, DEFAULT_ABSTRACT_NAME, IpcPlan, PlannedPlace, SocketFileAccess, SocketPlace};
use limits::{ConnectionLimits, PoolLimits, RequestLimits, ServerLimits};
use metrics::MetricPlan;

/// Maximum number of jobs of one process: its profilers may name different ones.
const JOBS_PER_PROCESS: usize = 4;

/// Where libkineto (PyTorch 2.15) writes on-demand traces, unless [`TRACE_DIR_VAR`] is set for it.
const DEFAULT_OUTPUT_ROOT: &str = "/tmp";

/// The variable that lets libkineto write elsewhere.
pub(crate) const TRACE_DIR_VAR: &str = "KINETO_ONDEMAND_TRACE_DIR";

/// The state directories of a service, separated by colons (systemd.exec(5)).
pub(crate) const STATE_DIR_VAR: &str = "STATE_DIRECTORY";

/// The facts about the host that the plan depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct HostEnvironment {
    pub(crate) uid: u32,
    pub(crate) accounts: Accounts,
    /// The number of processors.
    pub(crate) processors: usize,
    /// The user of `--user`, if the process has to become it. [`Self::uid`] is that user's then.
    pub(crate) run_as: Option<RunAs>,
    /// The value of [`TRACE_DIR_VAR`].
    pub(crate) trace_dir: Option<OsString>,
    /// The home directory of the user.
    pub(crate) home: Option<PathBuf>,
    /// The value of [`SOCKET_DIR_VAR`].
    pub(crate) socket_dir: Option<OsString>,
    /// The value of [`STATE_DIR_VAR`].
    pub(crate) state_dir: Option<OsString>,
    /// The environment's settings of a collector of metrics.
    pub(crate) collector: CollectorEnvironment,
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
    pub(crate) places: Vec<PlannedPlace>,
    pub(crate) ipc: IpcPlan,
    pub(crate) registry: RegistryLimits,
    pub(crate) server: ServerLimits,
    pub(crate) metrics: MetricPlan,
    pub(crate) devices: DevicePlan,
    pub(crate) output_roots: OutputRoots,
    /// The rules file; without it every client may do everything.
    pub(crate) rules: Option<PathBuf>,
    /// `None` for lines of text in the log.
    pub(crate) audit: Option<AuditTarget>,
    pub(crate) workers: WorkerPlan,
    /// The user that the daemon becomes.
    pub(crate) run_as: Option<RunAs>,
    /// Whether to confine the daemon.
    pub(crate) sandbox: bool,
    /// Check everything and exit.
    pub(crate) check_only: bool,
    /// Where to keep what a restart must not lose.
    pub(crate) state_dir: Option<StateDirPlan>,
    pub(crate) log_format: LogFormat,
    /// The user that the daemon runs as.
    pub(crate) uid: u32,
    /// Whether addresses that other hosts can reach are allowed with plain TCP.
    pub(crate) insecure_listen: bool,
    pub(crate) ready_fd: Option<u32>,
    /// Subject and text of each warning that is printed at the start.
    pub(crate) warnings: Vec<(&'static str, String)>,
}

/// The directory for what a restart must not lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StateDirPlan {
    pub(crate) dir: PathBuf,
    /// Whether an option names it: otherwise the daemon starts without it where it cannot be used.
    pub(crate) is_given: bool,
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
    /// Whether a reload may bring a new trust root.
    pub(crate) accept_new_roots: bool,
    /// The largest CRL file that is read, in bytes.
    pub(crate) max_crl_bytes: u64,
}

/// Where the audit trail is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum AuditTarget {
    File(PathBuf),
    Journal,
    Stdout,
}

impl AuditTarget {
    /// Returns the path of the file, if it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Journal | Self::Stdout => None,
        }
    }
}

impl fmt::Display for AuditTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Journal => f.write_str("journal"),
            Self::Stdout => f.write_str("standard output"),
        }
    }
}

/// The user that a daemon of root becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RunAs {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

impl RunAs {
    /// Finds the user of `--user` for a process of `own` uid. Returns `None` if that is the user already.
    ///
    /// # Errors
    /// The user does not exist, or the process may not change its user.
    pub(crate) fn find(name: &str, own: u32, accounts: &Accounts) -> anyhow::Result<Option<Self>> {
        let uid =
            accounts.find_uid(name).with_context(|| format!("--user {name}: no such user in /etc/passwd"))?;
        if uid == own {
            return Ok(None);
        }
        ensure!(own == 0, "--user {name}: only a daemon that is started as root can become another user");
        let gid = accounts.primary_group(uid);
        let gid = gid.with_context(|| format!("--user {name}: the user has no group in /etc/passwd"))?;
        Ok(Some(Self { uid, gid, groups: accounts.groups_of(uid) }))
    }
}

/// The threads that serve clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WorkerPlan {
    pub(crate) threads: usize,
    pub(crate) nice: i32,
}

impl DaemonPlan {
    /// Validates the options and makes a plan of them.
    ///
    /// # Errors
    /// An option is invalid, or options contradict each other.
    pub(crate) fn new(flags: DaemonFlags, environment: &HostEnvironment) -> anyhow::Result<Self> {
        let mut warnings = Vec::new();
        for flag in &flags.foreign_flag {
            warnings.push(("options", foreign::explain_foreign_flag(flag)));
        }
        warnings.extend(flags.option_warning.iter().map(|text| ("options", text.clone())));
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
        let metrics = MetricPlan::new(flags.metrics.clone(), &environment.collector)?;
        let devices = DevicePlan::new(&flags.devices)?;
        if !devices.sources.is_empty() && metrics.http.is_none() {
            let text = "their metrics are shown nowhere without --http-listen";
            warnings.push(("devices", text.to_owned()));
        }
        let DaemonLimitFlags { keep_alive, max_processes, .. } = flags.limits;
        ensure!(
            tls.is_some() || !metrics.http.is_some_and(|http| http.tls),
            "--http-tls: NO_CERTS has no certificates"
        );
        warnings.extend(metrics.warnings.iter().map(|warning| ("metrics", warning.clone())));
        let users = plan_users(&flags, environment)?;
        let is_shared = users.are_several();
        Ok(Self {
            listen,
            port: flags.port,
            tls,
            places,
            ipc: IpcPlan {
                users,
                files: plan_socket_files(&flags, environment)?,
                max_senders: max_processes,
                keep_alive,
                drain: flags.limits.drain_timeout,
            },
            registry: RegistryLimits {
                max_processes,
                is_shared,
                jobs_per_process: JOBS_PER_PROCESS,
                keep_alive,
                config_expiry: flags.limits.config_expiry,
            },
            server: plan_server_limits(&flags.limits)?,
            metrics,
            devices,
            output_roots: plan_output_roots(flags.output_root, environment)?,
            rules: flags.rules,
            audit: plan_audit(flags.audit_log, flags.metrics.use_json)?,
            workers: WorkerPlan {
                threads: flags.limits.worker_threads.min(environment.processors.saturating_sub(1)).max(1),
                nice: flags.limits.nice,
            },
            run_as: environment.run_as.clone(),
            sandbox: !flags.no_sandbox,
            check_only: flags.check_config,
            state_dir: plan_state_dir(flags.state_dir, environment),
            log_format: flags.log_format,
            uid: environment.uid,
            insecure_listen: flags.insecure_listen,
            ready_fd: flags.ready_fd,
            warnings,
        })
    }
}

fn plan_state_dir(given: Option<PathBuf>, environment: &HostEnvironment) -> Option<StateDirPlan> {
    if let Some(dir) = given {
        return Some(StateDirPlan { dir, is_given: true });
    }
    let dirs = environment.state_dir.as_ref()?;
    let dir = dirs.as_bytes().split(|b| *b == b':').find(|dir| !dir.is_empty())?;
    Some(StateDirPlan { dir: PathBuf::from(OsStr::from_bytes(dir)), is_given: false })
}

fn plan_users(flags: &DaemonFlags, environment: &HostEnvironment) -> anyhow::Result<AllowedUsers> {
    let mut uids = flags.allow_uid.clone();
    for name in &flags.allow_user {
        let uid = environment.accounts.find_uid(name);
        uids.push(uid.with_context(|| format!("--allow-user {name}: no such user in /etc/passwd"))?);
    }
    Ok(AllowedUsers::new(environment.uid, uids, find_groups(flags, environment)?))
}

fn find_groups(flags: &DaemonFlags, environment: &HostEnvironment) -> anyhow::Result<Vec<u32>> {
    let find = |name: &String| {
        let gid = environment.accounts.find_gid(name);
        gid.with_context(|| format!("--allow-gid {name}: no such group in /etc/group"))
    };
    flags.allow_gid.iter().map(find).collect()
}

fn plan_socket_files(flags: &DaemonFlags, environment: &HostEnvironment) -> anyhow::Result<SocketFileAccess> {
    let gid = find_groups(flags, environment)?.first().copied();
    let gid = gid.filter(|_| flags.ipc_mode & 0o060 != 0);
    let account = environment.run_as.as_ref();
    Ok(SocketFileAccess {
        mode: flags.ipc_mode,
        uid: account.map(|account| account.uid),
        gid: gid.or(account.map(|account| account.gid)),
    })
}

fn plan_output_roots(given: Vec<PathBuf>, environment: &HostEnvironment) -> anyhow::Result<OutputRoots> {
    if !given.is_empty() {
        return OutputRoots::new(given, "--output-root");
    }
    match &environment.trace_dir {
        Some(dir) => OutputRoots::new(vec![dir.into()], TRACE_DIR_VAR),
        None => OutputRoots::new(vec![DEFAULT_OUTPUT_ROOT.into()], "--output-root"),
    }
}

fn plan_audit(given: Option<PathBuf>, use_json: bool) -> anyhow::Result<Option<AuditTarget>> {
    Ok(match given {
        None => None,
        Some(dest) if dest.as_os_str() == "journal" => Some(AuditTarget::Journal),
        Some(dest) if dest.as_os_str() == "-" => {
            ensure!(!use_json, "--audit-log -: standard output has the metrics (--use-json)");
            Some(AuditTarget::Stdout)
        }
        Some(dest) => Some(AuditTarget::File(dest)),
    })
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
        accept_new_roots: flags.accept_new_roots,
        max_crl_bytes: flags.crl_limit.max_crl_bytes,
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
) -> anyhow::Result<Vec<PlannedPlace>> {
    if !flags.ipc.is_empty() {
        let mut places: Vec<PlannedPlace> = Vec::new();
        for choice in &flags.ipc {
            let place = plan_place(choice, environment)?;
            ensure!(places.iter().all(|p| p.place != place), "--ipc: {} is given twice", place.option_word());
            places.push(PlannedPlace { place, is_default: false });
        }
        return Ok(places);
    }
    let default = |place| PlannedPlace { place, is_default: true };
    let mut places = vec![default(SocketPlace::Abstract(DEFAULT_ABSTRACT_NAME.to_owned()))];
    match &environment.home {
        Some(home) => places.push(default(SocketPlace::Home(home.clone()))),
        None => warnings.push((
            "ipc",
            format!(
                "user {} has no home directory: no sockets for current msMonitor processes",
                environment.uid
            ),
        )),
    }
    if let Some(dir) = &environment.socket_dir {
        let place = plan_place(&IpcChoice::Dir(dir.into()), environment).context(SOCKET_DIR_VAR)?;
        places.push(PlannedPlace { place, is_default: false });
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
    let max_bytes = request.with_context(|| {
        format!("--max-request: {}: expected 64 bytes to 16 MiB", format_size(flags.max_request))
    })?;
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
            max_age: flags.max_connection_age,
            max_bytes,
        },
        handshakes_per_second: flags.max_handshake_rate,
        drain: flags.drain_timeout,
    })
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
        let accounts = Accounts::parse("ann:x:1001:1::/:", "").with_groups("staff:x:50:");
        let environment = HostEnvironment {
            uid: 1000,
            accounts,
            processors: 8,
            home: Some("/home/ai".into()),
            ..HostEnvironment::default()
        };
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
    fn traces_go_to_the_place_of_libkineto_by_default() {
        use common::rpc::config::Config;
        let check = |p: &DaemonPlan, path: &str| {
            p.output_roots.check_config(&Config::parse(&format!("ACTIVITIES_LOG_FILE={path}")).unwrap())
        };
        let p = plan(&["--certs-dir=NO_CERTS"]).unwrap();
        assert!(check(&p, "/tmp/t.json").is_ok());
        assert!(check(&p, "/data/t.json").unwrap_err().contains("--output-root"));
        let p = plan(&["--certs-dir=NO_CERTS", "--output-root=/"]).unwrap();
        assert!(check(&p, "/data/t.json").is_ok());
        let environment = HostEnvironment { trace_dir: Some("/data".into()), ..HostEnvironment::default() };
        let roots = plan_output_roots(Vec::new(), &environment).unwrap();
        assert!(roots.check_config(&Config::parse("ACTIVITIES_LOG_FILE=/data/t.json").unwrap()).is_ok());
        assert!(roots.check_config(&Config::parse("ACTIVITIES_LOG_FILE=/tmp/t.json").unwrap()).is_err());
    }

    #[test]
    fn users_and_groups_are_given_by_name() {
        let p = plan(&["--certs-dir=NO_CERTS", "--allow-user=ann", "--allow-gid=staff", "--ipc-mode=0660"])
            .unwrap();
        assert!(p.ipc.users.contains(1001, 9) && p.ipc.users.contains(7, 50) && !p.ipc.users.contains(7, 9));
        assert_eq!(p.ipc.files, SocketFileAccess { mode: 0o660, uid: None, gid: Some(50) });
        assert!(p.registry.is_shared);
        let own = plan(&["--certs-dir=NO_CERTS"]).unwrap();
        assert_eq!((own.registry.is_shared, own.ipc.files.mode, own.workers.threads), (false, 0o600, 2));
        assert!(
            plan(&["--certs-dir=NO_CERTS", "--allow-user=nobody-here"]).unwrap_err().contains("--allow-user")
        );
        assert!(plan(&["--certs-dir=NO_CERTS", "--ipc-mode=0777"]).is_err());
    }

    #[test]
    fn only_root_becomes_another_user() {
        let accounts = Accounts::parse("ann:x:1001:1::/:", "").with_groups("staff:x:50:ann");
        let ann = RunAs { uid: 1001, gid: 1, groups: vec![1, 50] };
        assert_eq!(RunAs::find("ann", 0, &accounts).unwrap(), Some(ann));
        assert_eq!(RunAs::find("ann", 1001, &accounts).unwrap(), None);
        assert!(RunAs::find("ann", 1002, &accounts).is_err() && RunAs::find("bob", 0, &accounts).is_err());
    }

    #[test]
    fn every_kind_of_process_is_served_by_default() {
        let p = plan(&["--certs-dir=NO_CERTS", "--enable-ipc-monitor"]).unwrap();
        let places =
            |p: &DaemonPlan| p.places.iter().map(|p| (p.place.clone(), p.is_default)).collect::<Vec<_>>();
        let defaults = [SocketPlace::Abstract("dynolog".into()), SocketPlace::Home("/home/ai".into())];
        assert_eq!(places(&p), defaults.map(|place| (place, true)));
        let p = plan(&["--certs-dir=NO_CERTS", "--enable-ipc-monitor", "--ipc=abstract=x,dir=/d"]).unwrap();
        let given = [SocketPlace::Abstract("x".into()), SocketPlace::Dir("/d".into())];
        assert_eq!(places(&p), given.map(|place| (place, false)));
        assert!(plan(&["--certs-dir=NO_CERTS"]).unwrap().places.is_empty());
        assert!(plan(&["--certs-dir=NO_CERTS", "--enable-ipc-monitor", "--ipc=home,home"]).is_err());
    }
}

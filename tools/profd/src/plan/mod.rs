//! What the daemon is going to do: flags and environment turned into a plan, without touching anything yet.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use common::error::HintExt;
use common::ipc::address::SOCKET_DIR_VAR;
use common::pki::MinVersion;
use common::rpc::config::{Config, LOG_FILE};

pub(crate) mod flags;
pub(crate) mod gflags;

use crate::core::registry;
use crate::ipc::FabricPlan;
use crate::ipc::sockets::{ABSTRACT, Place};
use crate::plan::flags::{Flags, IpcChoice, LimitFlags, NO_CERTS};
use crate::process::procfs::Users;
use crate::rpc::connection;
use crate::rpc::connection_table::{ConnectionLimits, PoolLimits};
use crate::rpc::server::ServerLimits;
use crate::sink::jsonl::JsonLinesPlan;

/// Most jobs under which one process may appear: two profilers may name different ones.
const JOBS_PER_PROCESS: usize = 4;

/// Where the surroundings matter.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) uid: u32,
    /// The home directory of the user, as the password file has it.
    pub(crate) home: Option<PathBuf>,
    /// The value of [`SOCKET_DIR_VAR`].
    pub(crate) socket_dir: Option<OsString>,
}

/// The plan.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) listen: Vec<Listen>,
    pub(crate) port: u16,
    pub(crate) tls: Option<Tls>,
    pub(crate) places: Vec<Place>,
    pub(crate) fabric: FabricPlan,
    pub(crate) registry: registry::Limits,
    pub(crate) server: ServerLimits,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) metric_queue: usize,
    pub(crate) output_roots: OutputRoots,
    pub(crate) ready_fd: Option<u32>,
    /// Said at start-up.
    pub(crate) warnings: Vec<(&'static str, String)>,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listen {
    pub(crate) address: IpAddr,
    /// Not asked for, so it may be missing on this host.
    pub(crate) optional: bool,
}

/// Mutual TLS.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    pub(crate) dir: PathBuf,
    pub(crate) min: MinVersion,
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// Where metrics go.
#[derive(Clone, Debug)]
pub(crate) enum Metrics {
    Files(JsonLinesPlan),
    Stdout,
}

impl Plan {
    /// Makes a plan of the flags.
    ///
    /// # Errors
    /// What does not go together.
    pub(crate) fn new(flags: Flags, around: &Surroundings) -> anyhow::Result<Self> {
        let mut warnings = Vec::new();
        for flag in &flags.foreign_flag {
            warnings.push(("options", crate::plan::gflags::judge(flag)?));
        }
        let tls = tls(&flags)?;
        let listen = listen(&flags);
        if tls.is_none() {
            warnings.push(("rpc", plain_warning(&flags, &listen)?));
        }
        if around.uid == 0 {
            let text = "runs as root: use an account that owns nothing but the training jobs";
            warnings.push(("account", text.to_owned()));
        }
        let places =
            if flags.enable_ipc_monitor { places(&flags, around, &mut warnings)? } else { Vec::new() };
        if places.is_empty() {
            let text = "off, so no process can be traced (--enable-ipc-monitor)";
            warnings.push(("ipc", text.to_owned()));
        }
        let LimitFlags { keep_alive, max_processes, .. } = flags.limits;
        Ok(Self {
            listen,
            port: flags.port,
            tls,
            places,
            fabric: FabricPlan {
                users: Users::new(around.uid, flags.allow_uid.clone()),
                senders: max_processes,
                keep_alive,
                drain: flags.limits.drain_timeout,
            },
            registry: registry::Limits {
                processes: max_processes,
                jobs_per_process: JOBS_PER_PROCESS,
                keep_alive,
                config_expiry: flags.limits.config_expiry,
            },
            server: server_limits(&flags.limits)?,
            metrics: metrics(&flags),
            metric_queue: flags.limits.metric_queue,
            output_roots: OutputRoots::new(flags.output_root)?,
            ready_fd: flags.ready_fd,
            warnings,
        })
    }
}

fn tls(flags: &Flags) -> anyhow::Result<Option<Tls>> {
    if flags.certs_dir.as_os_str() == NO_CERTS {
        ensure!(flags.key_passphrase_file.is_none(), "--key-passphrase-file: there is no key with NO_CERTS");
        return Ok(None);
    }
    ensure!(!flags.insecure_listen, "--insecure-listen: only NO_CERTS needs it");
    Ok(Some(Tls {
        dir: flags.certs_dir.clone(),
        min: flags.tls_min,
        passphrase_file: flags.key_passphrase_file.clone(),
    }))
}

fn listen(flags: &Flags) -> Vec<Listen> {
    if !flags.bind.is_empty() {
        return flags.bind.iter().map(|address| Listen { address: *address, optional: false }).collect();
    }
    vec![
        Listen { address: Ipv4Addr::LOCALHOST.into(), optional: false },
        Listen { address: Ipv6Addr::LOCALHOST.into(), optional: true },
    ]
}

fn plain_warning(flags: &Flags, listen: &[Listen]) -> anyhow::Result<String> {
    let open = listen.iter().find(|l| !l.address.to_canonical().is_loopback());
    match open {
        Some(l) if !flags.insecure_listen => {
            Err(anyhow::anyhow!("--bind {}: plain TCP there lets every host that reaches it trace processes", l.address))
                .hint("give --certs-dir a directory made by `certck mint`, or --insecure-listen if the network is yours alone")
        }
        Some(_) => Ok("plain TCP on addresses that other hosts reach: whoever reaches them may trace".to_owned()),
        None => Ok("plain TCP: every user of this host may trace".to_owned()),
    }
}

fn places(
    flags: &Flags,
    around: &Surroundings,
    warnings: &mut Vec<(&'static str, String)>,
) -> anyhow::Result<Vec<Place>> {
    if !flags.ipc.is_empty() {
        let mut places = Vec::new();
        for choice in &flags.ipc {
            let place = place(choice, around)?;
            ensure!(!places.contains(&place), "--ipc: {} is given twice", place.option());
            places.push(place);
        }
        return Ok(places);
    }
    let mut places = vec![Place::Abstract(ABSTRACT.to_owned())];
    match &around.home {
        Some(home) => places.push(Place::Home(home.clone())),
        None => {
            warnings.push(("ipc", format!("user {} has no home directory, so no sockets there", around.uid)))
        }
    }
    if let Some(dir) = &around.socket_dir {
        places.push(place(&IpcChoice::Dir(dir.into()), around).context(SOCKET_DIR_VAR)?);
    }
    Ok(places)
}

fn place(choice: &IpcChoice, around: &Surroundings) -> anyhow::Result<Place> {
    Ok(match choice {
        IpcChoice::Abstract(name) => Place::Abstract(name.clone().unwrap_or_else(|| ABSTRACT.to_owned())),
        IpcChoice::Home(Some(dir)) => Place::Home(absolute(dir)?),
        IpcChoice::Home(None) => match &around.home {
            Some(home) => Place::Home(home.clone()),
            None => bail!("--ipc home: user {} has no home directory", around.uid),
        },
        IpcChoice::Dir(dir) => Place::Dir(absolute(dir)?),
    })
}

/// Processes look for a socket from their own working directory.
fn absolute(dir: &Path) -> anyhow::Result<PathBuf> {
    ensure!(dir.is_absolute(), "{}: not an absolute path", dir.display());
    Ok(dir.to_owned())
}

fn server_limits(flags: &LimitFlags) -> anyhow::Result<ServerLimits> {
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
        connection: connection::Limits {
            handshake: flags.handshake_timeout,
            read: flags.read_timeout,
            write: flags.write_timeout,
            idle: flags.idle_timeout,
            request: request.context("--max-request: expected 64 bytes to 16M")?,
        },
        drain: flags.drain_timeout,
    })
}

fn metrics(flags: &Flags) -> Option<Metrics> {
    match &flags.metric_log_dir {
        Some(dir) => Some(Metrics::Files(JsonLinesPlan {
            dir: dir.clone(),
            file_bytes: flags.limits.metric_file_size.max(4096),
            reserve_bytes: flags.limits.metric_disk_reserve,
        })),
        None => flags.use_json.then_some(Metrics::Stdout),
    }
}

/// The directories that configs may write to; none means any.
#[derive(Clone, Debug, Default)]
pub(crate) struct OutputRoots(Vec<PathBuf>);

impl OutputRoots {
    fn new(roots: Vec<PathBuf>) -> anyhow::Result<Self> {
        for root in &roots {
            ensure!(is_plain(root), "--output-root {}: not an absolute path without `..`", root.display());
        }
        Ok(Self(roots))
    }

    /// Whether a config writes only below the roots.
    ///
    /// # Errors
    /// Why not, for the client.
    pub(crate) fn check(&self, config: &Config) -> Result<(), String> {
        if self.0.is_empty() {
            return Ok(());
        }
        if !config.is_monitor() && config.get(LOG_FILE).is_none_or(str::is_empty) {
            return Err(format!("config has no {LOG_FILE}, and this daemon allows only certain directories"));
        }
        // Every key that names a file or address to write to, those of other profilers included.
        let is_output = |key: &str| key.ends_with("LOG_FILE") || key.ends_with("LOG_URL");
        let outputs = config.pairs().iter().filter(|(k, v)| is_output(k) && !v.is_empty());
        for (key, value) in outputs {
            if !self.hold(Path::new(value)) {
                return Err(format!(
                    "config key {key} names a path outside the directories that this daemon allows"
                ));
            }
        }
        Ok(())
    }

    fn hold(&self, path: &Path) -> bool {
        is_plain(path) && self.0.iter().any(|root| path.starts_with(root))
    }
}

/// Absolute, and without steps back: what it says is where it leads, links aside.
fn is_plain(path: &Path) -> bool {
    path.is_absolute() && !path.components().any(|c| c == Component::ParentDir)
}

/// How long the metric thread may take to write out what it holds when the daemon ends.
pub(crate) const FLUSH: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Test {
        #[command(flatten)]
        flags: Flags,
    }

    fn plan(args: &[&str]) -> Result<Plan, String> {
        let args = std::iter::once("profd").chain(args.iter().copied());
        let flags = Test::try_parse_from(args).map_err(|e| e.to_string())?.flags;
        let around = Surroundings { uid: 1000, home: Some("/home/ai".into()), socket_dir: None };
        Plan::new(flags, &around).map_err(|e| format!("{e:#}"))
    }

    #[test]
    fn fault_12_loopback_is_the_default_and_plain_tcp_stays_there() {
        let p = plan(&["--certs-dir", "NO_CERTS"]).unwrap();
        assert!(p.listen.iter().all(|l| l.address.is_loopback()));
        assert_eq!(p.port, 1778);
        let e = plan(&["--certs-dir=NO_CERTS", "--bind=0.0.0.0"]).unwrap_err();
        assert!(e.starts_with("--bind 0.0.0.0: plain TCP"), "{e}");
        assert!(plan(&["--certs-dir=NO_CERTS", "--bind=0.0.0.0", "--insecure-listen"]).is_ok());
        assert!(plan(&["--certs-dir=/c", "--bind=0.0.0.0"]).unwrap().tls.is_some());
        assert!(plan(&[]).is_err(), "whether to use certificates is for the operator to say");
    }

    #[test]
    fn every_vintage_of_process_is_served_by_default() {
        let p = plan(&["--certs-dir=NO_CERTS", "--enable-ipc-monitor"]).unwrap();
        assert_eq!(p.places, [Place::Abstract("dynolog".into()), Place::Home("/home/ai".into())]);
        let p = plan(&["--certs-dir=NO_CERTS", "--enable-ipc-monitor", "--ipc=abstract=x,dir=/d"]).unwrap();
        assert_eq!(p.places, [Place::Abstract("x".into()), Place::Dir("/d".into())]);
        assert!(plan(&["--certs-dir=NO_CERTS"]).unwrap().places.is_empty());
        assert!(plan(&["--certs-dir=NO_CERTS", "--enable-ipc-monitor", "--ipc=home,home"]).is_err());
    }

    #[test]
    fn outputs_stay_below_the_roots() {
        let roots = OutputRoots::new(vec!["/data/prof".into()]).unwrap();
        let check = |text: &str| roots.check(&Config::parse(text).unwrap());
        assert!(check("ACTIVITIES_LOG_FILE=/data/prof/a/b.json").is_ok());
        assert!(check("ACTIVITIES_LOG_FILE=/data/./prof//b.json").is_ok());
        assert!(check("NPU_MONITOR_START=true\nNPU_MONITOR_LOG_FILE=").is_ok());
        for bad in [
            "ACTIVITIES_LOG_FILE=/data/prof/../x.json",
            "ACTIVITIES_LOG_FILE=/data/profile/x.json",
            "ACTIVITIES_LOG_FILE=data/prof/x.json",
            "ACTIVITIES_LOG_FILE=/data/prof/x.json\nEVENTS_LOG_FILE=/etc/x",
            "ACTIVITIES_LOG_FILE=",
            "ACTIVITIES_ITERATIONS=5",
            "NPU_MONITOR_START=true\nNPU_MONITOR_LOG_FILE=/etc",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        assert!(OutputRoots::new(vec!["rel".into()]).is_err());
        assert!(OutputRoots::default().check(&Config::parse("A=/x").unwrap()).is_ok());
    }
}

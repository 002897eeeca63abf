//! The life of the daemon: check, bind, report readiness, serve, drain, report the end.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use common::exit::Exit;
use common::fsat;
use common::out::{Format, Out};
use common::pki::Role;
use common::policy::Mode;
use common::record::profd::Ready;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::runtime::Runtime;

use crate::access::AccessControl;
use crate::account::{raise_descriptor_limit, read_accounts};
use crate::activation::PassedSockets;
use crate::certs::ServerCertificates;
use crate::daemon::{BoundDaemon, DaemonEnd, RunningDaemon, create_metric_dir};
use crate::devices::monitor::{DeviceWorker, start_workers};
use crate::notify::ReadyNotifier;
use crate::plan::ipc::SocketPlace;
use crate::plan::{AuditTarget, DaemonPlan};
use crate::privileges::{UsedFiles, become_user, confine_process};
use crate::process::environ::EnvironmentReader;
use crate::shutdown::DaemonPhase;
use crate::signals::{DaemonSignals, DefaultAction};
use crate::startup_check::{check_directories, explain_unusable, print_findings};
use crate::watchdog::notify_watchdog;

/// Maximum number of threads for lookups about processes and for reloads of certificates. Further ones wait.
const BLOCKING_THREADS: usize = 4;
/// How long the reader of the records may take until it can get the last one.
const LAST_RECORD_TIMEOUT: Duration = Duration::from_secs(1);
/// How long tasks that are not waited for may take to end.
const RUNTIME_TIMEOUT: Duration = Duration::from_millis(100);

/// The life of the daemon. Each state holds what exists in it; an error in any of them ends the daemon with status 2.
enum DaemonLife {
    /// The options are valid. Nothing is opened or bound.
    Planned,
    /// The directories and certificates have passed. From here on signals are caught, so that sockets are removed.
    Checked(StartedRuntime, CheckedParts),
    /// Everything is bound and served.
    Serving(StartedRuntime, RunningDaemon),
    /// A signal to stop has come: requests in progress are finished and accepted configs fetched.
    Draining(StartedRuntime, RunningDaemon),
    /// Every part has ended. A signal terminates the process again.
    Stopped(DaemonEnd),
}

/// The parts that the checks have opened.
struct CheckedParts {
    certs: Option<Arc<ServerCertificates>>,
    access: Arc<AccessControl>,
    /// The sockets that were bound as root, if the daemon has become another user.
    bound: Option<BoundDaemon>,
    /// The sockets that a service manager has bound.
    passed: PassedSockets,
    environments: Option<EnvironmentReader>,
    /// The processes that ask drivers.
    workers: Vec<DeviceWorker>,
}

/// The runtime and the signals, from the end of the checks to the end of the drain.
struct StartedRuntime {
    runtime: Runtime,
    signals: DaemonSignals,
    default_action: DefaultAction,
    notifier: ReadyNotifier,
}

/// Runs the daemon from its plan to its end.
///
/// # Errors
/// It cannot start: a socket that cannot be bound, or a system resource that is missing.
pub(crate) fn run_daemon(plan: &DaemonPlan, uid: u32, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
    let mut life = DaemonLife::Planned;
    loop {
        life = match life {
            DaemonLife::Planned => match check_plan(plan, uid, out)? {
                Some(checked) => checked,
                None => return Ok(Exit::Failed),
            },
            DaemonLife::Checked(..) if plan.check_only => {
                out.diag().notice("configuration", "valid");
                return Ok(Exit::Ok);
            }
            DaemonLife::Checked(started, parts) => start_serving(plan, started, parts, format, out)?,
            DaemonLife::Serving(started, daemon) => wait_for_signal(started, daemon),
            DaemonLife::Draining(started, daemon) => drain_daemon(started, daemon),
            DaemonLife::Stopped(end) => {
                report_end(&end, format, out)?;
                return Ok(Exit::Ok);
            }
        };
    }
}

/// Checks everything that can be checked before anything is bound. Returns `None` after it has printed errors.
fn check_plan(plan: &DaemonPlan, uid: u32, out: &mut Out) -> anyhow::Result<Option<DaemonLife>> {
    let notifier = ReadyNotifier::open(plan.ready_fd, std::env::var_os("NOTIFY_SOCKET").as_deref())?;
    for (subject, warning) in &plan.warnings {
        out.warn(subject, warning);
    }
    let mut passed = Some(PassedSockets::take()?);
    let bound = match &plan.run_as {
        None => None,
        Some(account) => {
            // Root may bind where the user may not.
            let passed = passed.take().unwrap_or_default();
            let bound = if plan.check_only { None } else { Some(BoundDaemon::adopt(plan, passed)?) };
            become_user(account).context("--user")?;
            bound
        }
    };
    if plan.check_only {
        warn_about_defaults(plan, out);
    }
    if print_findings(&check_directories(plan, uid), out) == Exit::Failed {
        return Ok(None);
    }
    let certs = match plan.tls.as_ref().map(|tls| ServerCertificates::load(tls, out)).transpose()? {
        Some(None) => return Ok(None),
        Some(certs) => certs,
        None => None,
    };
    let (mut environments, mut workers) = (None, Vec::new());
    let access = Arc::new(
        AccessControl::load(plan.rules.as_deref(), &read_accounts(), plan.tls.is_some())
            .context("--rules")?,
    );
    if let Some(shortage) =
        raise_descriptor_limit(plan.server.connections.total(), plan.registry.max_processes)
    {
        out.warn("descriptors", shortage);
    }
    if !plan.check_only {
        create_metric_dir(plan)?;
        create_state_dir(plan);
        // Before it may start no programs any more, and after it has become another user.
        workers = start_workers(&plan.devices, plan.sandbox);
        if plan.sandbox {
            // Before this thread is confined, and after it has become another user.
            environments = EnvironmentReader::start().ok();
            for missing in confine_process(&list_used_files(plan)) {
                out.diag().notice("sandbox", missing);
            }
        }
    }
    let nice = plan.workers.nice;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(plan.workers.threads)
        // Of this thread only (setpriority(2), "C library/kernel differences"): the thread for processes has a deadline.
        .on_thread_start(move || {
            let _ = rustix::process::setpriority_process(None, nice);
        })
        .thread_name("profd-rpc")
        .max_blocking_threads(BLOCKING_THREADS)
        .build()?;
    let signals = runtime.block_on(async { DaemonSignals::catch() })?;
    let default_action = signals.default_action();
    Ok(Some(DaemonLife::Checked(
        StartedRuntime { runtime, signals, default_action, notifier },
        CheckedParts { certs, access, bound, passed: passed.unwrap_or_default(), environments, workers },
    )))
}

/// Warns about default sockets that a start would do without.
fn warn_about_defaults(plan: &DaemonPlan, out: &Out) {
    for planned in plan.places.iter().filter(|planned| planned.is_default) {
        if let Some(reason) = explain_unusable(&planned.place, plan.uid) {
            out.warn("ipc", format_args!("{reason}; the daemon starts without its sockets"));
        }
    }
}

/// Creates the state directory while the daemon is not confined yet. If that fails, opening it says why.
fn create_state_dir(plan: &DaemonPlan) {
    if let Some(state) = plan.state_dir.as_ref().filter(|state| !state.dir.exists()) {
        let _ = fsat::create_dir(&state.dir, Mode(0o700));
    }
}

/// Lists the files that the daemon uses once it runs.
fn list_used_files(plan: &DaemonPlan) -> UsedFiles {
    let parent = |path: &Path| {
        path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
    };
    let mut files = UsedFiles {
        // Accounts, the processes of the host, and whether there is a terminal.
        read: ["/etc", "/proc", "/dev/tty"].map(PathBuf::from).into(),
        ..UsedFiles::default()
    };
    if let Some(tls) = &plan.tls {
        // The directory may be replaced as a whole, and its files may be links.
        files.read.extend([parent(&tls.dir), tls.dir.clone()]);
        let layout = Role::Server.layout_of(|name| tls.dir.join(name).symlink_metadata().is_ok());
        let names = layout.file_names();
        let targets = names.iter().filter_map(|name| tls.dir.join(name).canonicalize().ok());
        files.read.extend(targets.map(|target| parent(&target)));
        files.read.extend(tls.passphrase_file.as_deref().map(parent));
    }
    files.written.extend(plan.state_dir.iter().map(|state| state.dir.clone()));
    // The rules file may be a link.
    let rules = plan.rules.iter().flat_map(|rules| [Some(rules.clone()), rules.canonicalize().ok()]);
    files.read.extend(rules.flatten().map(|rules| parent(&rules)));
    if let Some(AuditTarget::File(path)) = &plan.audit {
        files.written.push(parent(path));
    }
    files.written.extend(plan.metrics.files.as_ref().map(|metrics| metrics.dir.clone()));
    if let Some(otlp) = &plan.metrics.otlp {
        let (certificate, key) = otlp.identity.as_ref().map(|(cert, key)| (cert, key)).unzip();
        let named = [otlp.ca.as_ref(), otlp.header_file.as_ref(), certificate, key];
        files.read.extend(named.into_iter().flatten().map(|path| parent(path)));
        // The system's trust anchors, and what /etc/resolv.conf of systemd-resolved leads to.
        files.read.extend(["/usr/share/ca-certificates", "/run/systemd/resolve"].map(PathBuf::from));
        files.connected_ports.push(otlp.port);
    }
    for planned in &plan.places {
        if let SocketPlace::Home(dir) | SocketPlace::Dir(dir) = &planned.place {
            files.sockets.push(dir.clone());
        }
    }
    files
}

/// Binds everything, serves it, and reports readiness.
fn start_serving(
    plan: &DaemonPlan,
    mut started: StartedRuntime,
    CheckedParts { certs, access, bound, passed, environments, workers }: CheckedParts,
    format: Format,
    out: &mut Out,
) -> anyhow::Result<DaemonLife> {
    let mut bound = bound.map_or_else(|| BoundDaemon::adopt(plan, passed), Ok)?;
    bound.environments = environments;
    bound.workers = workers;
    let ready = bound.ready_record(plan)?;
    let verbosity = out.diag().verbosity();
    let daemon = RunningDaemon::start(plan, bound, certs.clone(), access, &started.runtime, verbosity)?;
    if let Some(certs) = certs {
        let (log, shutdown) = (daemon.state.log.clone(), daemon.shutdown.clone());
        let reload_signal = started.signals.take_reload_signal();
        started.runtime.spawn(certs.watch_directory(reload_signal, log, shutdown));
    }
    // Only now: a client that acts on readiness must be served.
    report_ready(&ready, format, out)?;
    let watchdog = started
        .notifier
        .watchdog(std::env::var_os("WATCHDOG_USEC").as_deref(), std::env::var_os("WATCHDOG_PID").as_deref());
    if let Some(watchdog) = watchdog {
        started.runtime.spawn(notify_watchdog(watchdog, daemon.state.clone(), !ready.sockets.is_empty()));
    }
    started.notifier.send_ready(&format!("listening on {}", ready.addresses.join(", ")));
    Ok(DaemonLife::Serving(started, daemon))
}

/// Waits for the first signal to stop, and begins the drain.
fn wait_for_signal(mut started: StartedRuntime, daemon: RunningDaemon) -> DaemonLife {
    let name = started.runtime.block_on(started.signals.next());
    started.notifier.send_stopping();
    daemon
        .state
        .log
        .notice(name, "stopping; requests in progress are finished, new connections are not accepted");
    daemon.trigger.advance(DaemonPhase::Draining);
    DaemonLife::Draining(started, daemon)
}

/// Waits until everything has ended, or less long when a second signal comes.
fn drain_daemon(started: StartedRuntime, daemon: RunningDaemon) -> DaemonLife {
    let StartedRuntime { runtime, mut signals, default_action, .. } = started;
    let (trigger, second) = (daemon.trigger.clone(), default_action.clone());
    runtime.spawn(async move {
        signals.next().await;
        // Should even that hang, a third signal terminates the process.
        second.restore();
        trigger.advance(DaemonPhase::Stopping);
    });
    let end = daemon.finish(&runtime);
    // Nothing is left to release, and no task waits for signals any more.
    default_action.restore();
    runtime.shutdown_timeout(RUNTIME_TIMEOUT);
    DaemonLife::Stopped(end)
}

fn report_ready(ready: &Ready, format: Format, out: &mut Out) -> anyhow::Result<()> {
    let transport = if ready.tls { "listening, mutual TLS" } else { "listening, plain TCP" };
    for address in &ready.addresses {
        out.diag().notice(address, transport);
    }
    for address in &ready.http_addresses {
        out.diag().notice(address, "listening, HTTP for metrics and health");
    }
    for socket in &ready.sockets {
        out.diag().debug(socket, "listening");
    }
    if format == Format::Json {
        out.flush_each_record();
        out.record(ready)?;
    }
    Ok(())
}

/// Writes the last record. When the reader stalls it is left out, so that the reader can see that the output is cut.
fn report_end(end: &DaemonEnd, format: Format, out: &mut Out) -> anyhow::Result<()> {
    if format == Format::Json {
        if !end.stdout_stalls && is_writable(std::io::stdout().as_fd(), LAST_RECORD_TIMEOUT) {
            out.record(&end.summary)?;
        } else {
            out.error("standard output", "timeout: the last record was not written");
        }
    }
    Ok(())
}

/// Returns whether a stream accepts a line within the timeout. A closed one does: writing to it is the error.
fn is_writable(stream: impl AsFd, timeout: Duration) -> bool {
    let Ok(timeout) = Timespec::try_from(timeout) else { return false };
    let mut fds = [PollFd::new(&stream, PollFlags::OUT)];
    // A signal to stop has its default action by now, so what interrupts the call is another signal.
    !matches!(rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout))), Ok(0))
}

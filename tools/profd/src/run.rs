//! The life of the daemon: check, bind, report readiness, serve, drain, report the end.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use common::exit::Exit;
use common::out::{Format, Out};
use common::record::profd::Ready;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::runtime::Runtime;

use crate::account::raise_descriptor_limit;
use crate::certs::ServerCertificates;
use crate::daemon::{BoundDaemon, DaemonEnd, RunningDaemon};
use crate::notify::ReadyNotifier;
use crate::plan::DaemonPlan;
use crate::shutdown::DaemonPhase;
use crate::signals::{DefaultAction, StopSignals};
use crate::startup_check::{check_directories, print_findings};

/// Maximum number of threads for lookups about processes and for reloads of certificates. Further ones wait.
const BLOCKING_THREADS: usize = 16;
/// How long the reader of the records may take until it can get the last one.
const LAST_RECORD_TIMEOUT: Duration = Duration::from_secs(1);
/// How long tasks that are not waited for may take to end.
const RUNTIME_TIMEOUT: Duration = Duration::from_millis(100);

/// The life of the daemon. Each state holds what exists in it; an error in any of them ends the daemon with status 2.
enum DaemonLife {
    /// The options are valid. Nothing is opened or bound.
    Planned,
    /// The directories and certificates have passed. From here on signals are caught, so that sockets are removed.
    Checked(StartedRuntime, Option<Arc<ServerCertificates>>),
    /// Everything is bound and served.
    Serving(StartedRuntime, RunningDaemon),
    /// A signal to stop has come: requests in progress are finished and accepted configs fetched.
    Draining(StartedRuntime, RunningDaemon),
    /// Every part has ended. A signal terminates the process again.
    Stopped(DaemonEnd),
}

/// The runtime and the signals, from the end of the checks to the end of the drain.
struct StartedRuntime {
    runtime: Runtime,
    signals: StopSignals,
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
            DaemonLife::Checked(started, certs) => start_serving(plan, started, certs, format, out)?,
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
    if print_findings(&check_directories(plan, uid), out) == Exit::Failed {
        return Ok(None);
    }
    let certs = match plan.tls.as_ref().map(|tls| ServerCertificates::load(tls, out)).transpose()? {
        Some(None) => return Ok(None),
        Some(certs) => certs,
        None => None,
    };
    let limits = plan.server.connections;
    let connections = limits.pending.total + limits.established.total;
    if let Some(shortage) = raise_descriptor_limit(connections, plan.registry.max_processes) {
        out.warn("descriptors", shortage);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("profd-rpc")
        .max_blocking_threads(BLOCKING_THREADS)
        .build()?;
    let signals = runtime.block_on(async { StopSignals::catch() })?;
    let default_action = signals.default_action();
    Ok(Some(DaemonLife::Checked(StartedRuntime { runtime, signals, default_action, notifier }, certs)))
}

/// Binds everything, serves it, and reports readiness.
fn start_serving(
    plan: &DaemonPlan,
    mut started: StartedRuntime,
    certs: Option<Arc<ServerCertificates>>,
    format: Format,
    out: &mut Out,
) -> anyhow::Result<DaemonLife> {
    let bound = BoundDaemon::bind(plan, &started.runtime)?;
    let ready = bound.ready_record(plan)?;
    let daemon = RunningDaemon::start(plan, bound, certs.clone(), &started.runtime, out.diag().verbosity())?;
    if let Some(certs) = certs {
        let (log, shutdown) = (daemon.state.log.clone(), daemon.shutdown.clone());
        let reload_signal = started.signals.take_reload_signal();
        started.runtime.spawn(certs.watch_directory(reload_signal, log, shutdown));
    }
    // Only now: a client that acts on readiness must be served.
    report_ready(&ready, format, out)?;
    started.notifier.send_ready();
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
        if end.sinks_finished && is_writable(std::io::stdout().as_fd(), LAST_RECORD_TIMEOUT) {
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

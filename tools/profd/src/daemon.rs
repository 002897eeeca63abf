//! The running daemon: its sockets, and the threads and tasks that serve them.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::fsat;
use common::out::Verbosity;
use common::policy::Class;
use common::record::profd::{Ready, Summary};
use common::text::count_noun;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::access::AccessControl;
use crate::account::{DescriptorShares, share_descriptors};
use crate::activation::PassedSockets;
use crate::audit::{AuditThread, AuditTrail};
use crate::certs::ServerCertificates;
use crate::core::registry::Registry;
use crate::counters::{Counters, SinkKind};
use crate::devices::DeviceBoard;
use crate::devices::monitor::{DeviceMonitors, DeviceWorker};
use crate::handover::{Handover, RestoredCounts};
use crate::host::sampler::sample_host;
use crate::http::{HttpContext, HttpTls, run_http};
use crate::ipc::sockets::BoundSockets;
use crate::ipc::start_ipc;
use crate::log::{DaemonLog, LogStyle};
use crate::plan::ipc::IpcPlan;
use crate::plan::limits::ServerLimits;
use crate::plan::metrics::MetricPlan;
use crate::plan::{DaemonPlan, ListenAddress, StateDirPlan};
use crate::process::environ::EnvironmentReader;
use crate::process::procfs::Procfs;
use crate::process::watch::WatchLimits;
use crate::rpc::context::RpcContext;
use crate::rpc::listen::bind_listeners;
use crate::rpc::server::run_server;
use crate::shutdown::{DaemonPhase, ShutdownTrigger, ShutdownWatch, shutdown_channel};
use crate::sink::SinkThreads;
use crate::sink::recent::RecentMetrics;
use crate::sink::start::start_sinks;
use crate::sink::{MetricQueue, ReportUse};
use crate::state::DaemonState;

/// The part of the drain timeout that is left for writing what metrics, the audit trail and the log hold, and its share.
const FLUSH_RESERVE: (Duration, u32) = (Duration::from_millis(500), 10);
/// How long each of them may take at least, however short the drain timeout is.
const MIN_FLUSH_TIMEOUT: Duration = Duration::from_millis(250);
/// How long it may take after the second signal to stop.
const SHORT_FLUSH_TIMEOUT: Duration = Duration::from_millis(250);
/// How long the log may take to write its last lines.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_millis(250);

/// Everything that is bound, before anything is served.
pub(crate) struct BoundDaemon {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) sockets: BoundSockets,
    pub(crate) http: Option<TcpListener>,
    /// Reads what a confined daemon cannot; `None` for one that is not confined.
    pub(crate) environments: Option<EnvironmentReader>,
    /// The processes that ask drivers.
    pub(crate) workers: Vec<DeviceWorker>,
}

impl BoundDaemon {
    /// Binds all listeners and sockets.
    ///
    /// # Errors
    /// The first one that cannot be bound. Those bound before are released again.
    #[cfg(test)]
    pub(crate) fn bind(plan: &DaemonPlan) -> anyhow::Result<Self> {
        Self::adopt(plan, PassedSockets::default())
    }

    /// Takes the sockets that a service manager has passed, and binds the rest: no listeners for clients beside passed ones,
    /// no default sockets for processes beside passed ones.
    ///
    /// # Errors
    /// The first one that cannot be bound, or that must not be used.
    pub(crate) fn adopt(plan: &DaemonPlan, passed: PassedSockets) -> anyhow::Result<Self> {
        let listeners = match passed.listeners.is_empty() {
            true => bind_listeners(&plan.listen, plan.port)?,
            false => passed.listeners,
        };
        if plan.tls.is_none() && !plan.insecure_listen {
            for listener in &listeners {
                let address = listener.local_addr()?;
                let is_loopback = address.ip().to_canonical().is_loopback();
                ensure!(
                    is_loopback,
                    "{address}: with plain TCP, every host that reaches this address can trace processes"
                );
            }
        }
        let http = plan.metrics.http.map(|http| bind_http(http.address)).transpose()?;
        let has_passed = !passed.sockets.is_empty();
        ensure!(
            !has_passed || !plan.places.is_empty(),
            "LISTEN_FDS: sockets for processes were passed, but --enable-ipc-monitor is not given"
        );
        let places: Vec<_> = plan.places.iter().filter(|p| !(has_passed && p.is_default)).cloned().collect();
        let sockets = BoundSockets::adopt(passed.sockets).bind(&places, plan.ipc.files, plan.uid)?;
        Ok(Self { listeners, sockets, http, environments: None, workers: Vec::new() })
    }

    /// Makes the record that says where the daemon listens.
    pub(crate) fn ready_record(&self, plan: &DaemonPlan) -> anyhow::Result<Ready> {
        let address = |l: &TcpListener| l.local_addr().map(|a| a.to_string());
        Ok(Ready {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            addresses: self.listeners.iter().map(address).collect::<Result<_, _>>()?,
            tls: plan.tls.is_some(),
            sockets: self.sockets.sockets.iter().map(|s| s.name.clone()).collect(),
            metric_log_dir: plan.metrics.files.as_ref().map(|files| files.dir.display().to_string()),
            http_addresses: self.http.iter().map(address).collect::<Result<_, _>>()?,
        })
    }
}

/// Creates the metric directory, if it is missing.
///
/// # Errors
/// It cannot be created.
pub(crate) fn create_metric_dir(plan: &DaemonPlan) -> anyhow::Result<()> {
    if let Some(files) = &plan.metrics.files {
        if !files.dir.exists() {
            let dir = &files.dir;
            fsat::create_dir(dir, Class::LogDir.max()).with_context(|| dir.display().to_string())?;
        }
    }
    Ok(())
}

/// The running daemon.
pub(crate) struct RunningDaemon {
    pub(crate) state: Arc<DaemonState>,
    pub(crate) trigger: Arc<ShutdownTrigger>,
    pub(crate) shutdown: ShutdownWatch,
    rpc: JoinHandle<()>,
    ipc: Option<std::thread::JoinHandle<()>>,
    sinks: Option<SinkThreads>,
    audit_thread: Option<AuditThread>,
    handover: Option<Arc<Handover>>,
    /// Ends the processes that ask drivers when it is dropped.
    _devices: DeviceMonitors,
    /// How long the daemon may take from the signal to its end.
    drain: Duration,
}

/// The end of the daemon.
#[derive(Debug)]
pub(crate) struct DaemonEnd {
    pub(crate) summary: Summary,
    /// The sink that writes to standard output has not ended: nothing more should be written there.
    pub(crate) stdout_stalls: bool,
}

impl RunningDaemon {
    /// Serves everything that is bound, until [`Self::trigger`] is advanced.
    ///
    /// # Errors
    /// A thread cannot be started, or the system is out of descriptors.
    pub(crate) fn start(
        plan: &DaemonPlan,
        bound: BoundDaemon,
        certs: Option<Arc<ServerCertificates>>,
        access: Arc<AccessControl>,
        runtime: &Runtime,
        verbosity: Verbosity,
    ) -> anyhow::Result<Self> {
        let counters: Arc<Counters> = Arc::default();
        let style = LogStyle { verbosity, format: plan.log_format };
        let log = DaemonLog::start(style, counters.clone())?;
        let is_shared = plan.ipc.users.are_several();
        let registry = Registry::new(plan.registry);
        let (trigger, shutdown) = shutdown_channel();
        let (audit, audit_thread) =
            AuditTrail::start(plan.audit.as_ref(), &counters, &log).with_context(|| {
                let target = plan.audit.as_ref().map(ToString::to_string);
                format!("--audit-log: {}", target.unwrap_or_default())
            })?;
        let descriptors = share_descriptors(plan.server.connections.total());
        let connections = plan.server.connections.fit_descriptors(descriptors.connections);
        let watch = watch_limits(plan, descriptors);
        let procfs = Procfs::new(bound.environments, plan.metrics.attribution.mappings.clone());
        let state = Arc::new(DaemonState::new(registry, watch, counters, log, procfs, shutdown.clone())?);
        let recent = RecentMetrics::new(is_shared);
        let sinks = start_sinks(&plan.metrics, is_shared, recent.clone(), &state)?;
        runtime.spawn(sample_host_into(sinks.queue.clone(), &plan.metrics, shutdown.clone()));
        note_missing_sockets(&state, &bound.sockets);
        let handover = start_handover(plan, &state, runtime, &shutdown)?;
        let board: Arc<DeviceBoard> = Arc::default();
        let devices = DeviceMonitors::start(bound.workers, &plan.devices, &board, &state)?;
        let serves_processes = !bound.sockets.sockets.is_empty();
        runtime.spawn(access.clone().watch_file(state.clone(), shutdown.clone()));
        let audit = Arc::new(audit);
        if let (Some(http), Some(listener)) = (plan.metrics.http, bound.http) {
            let rate = plan.server.handshakes_per_second;
            let tls = certs.clone().filter(|_| http.tls);
            let context = HttpContext {
                state: state.clone(),
                certs: certs.clone(),
                audit: audit.condition(),
                recent: recent.clone(),
                shows_dynolog: http.shows_dynolog,
                tls: tls.map(|certs| HttpTls::new(certs, access.clone(), &audit, rate)),
                devices: board,
                has_sockets: serves_processes,
                shutdown: shutdown.clone(),
            };
            runtime.spawn(run_http(listener, context));
        }
        let ipc = if bound.sockets.sockets.is_empty() {
            None
        } else {
            let ipc = IpcPlan { drain: without_reserve(plan.ipc.drain), ..plan.ipc.clone() };
            Some(start_ipc(bound.sockets.sockets, ipc, sinks.queue, state.clone(), shutdown.clone())?)
        };
        let context = RpcContext {
            state: state.clone(),
            certs,
            access,
            audit,
            handover: handover.clone(),
            recent,
            serves_processes,
            users: plan.ipc.users.clone(),
            output_roots: plan.output_roots.clone(),
            limits: ServerLimits { connections, drain: without_reserve(plan.server.drain), ..plan.server },
            shutdown: shutdown.clone(),
        };
        let guard = runtime.enter();
        let listeners = bound.listeners.into_iter().map(tokio::net::TcpListener::from_std);
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        drop(guard);
        let rpc = runtime.spawn(run_server(listeners, context));
        let (trigger, drain) = (Arc::new(trigger), plan.server.drain);
        let sinks = Some(sinks.threads);
        Ok(Self {
            state,
            trigger,
            shutdown,
            rpc,
            ipc,
            sinks,
            audit_thread,
            handover,
            _devices: devices,
            drain,
        })
    }

    /// Waits until every part has ended, and sums up. The phase must be past [`DaemonPhase::Serving`].
    pub(crate) fn finish(mut self, runtime: &Runtime) -> DaemonEnd {
        let log = self.state.log.clone();
        let deadline = Instant::now() + self.drain;
        runtime.block_on(async {
            let _ = self.rpc.await;
        });
        // The process side goes on until accepted configs are fetched, and removes its socket files at its end.
        self.trigger.advance(DaemonPhase::Answered);
        if let Some(ipc) = self.ipc.take() {
            let _ = ipc.join();
        }
        let pending = self.state.registry().count_pending(self.state.uptime());
        if let Some(handover) = &self.handover {
            handover.write(&self.state);
        }
        report_pending(&log, pending, self.handover.as_deref());
        let flush_timeout = deadline.saturating_duration_since(Instant::now()).max(MIN_FLUSH_TIMEOUT);
        // The sinks end when their last queue is dropped, which the process side held.
        let mut unfinished = Vec::new();
        if let Some(sinks) = self.sinks.take() {
            let finished = sinks.finished(&mut unfinished);
            runtime.block_on(wait_for_thread(finished, flush_timeout, self.shutdown.clone()));
        }
        // It ends when the last connection is gone, with every line that a client has waited for.
        if let Some(thread) = self.audit_thread.take() {
            let finished = async { drop(thread.done.await) };
            let flush_timeout = deadline.saturating_duration_since(Instant::now()).max(MIN_FLUSH_TIMEOUT);
            if !runtime.block_on(wait_for_thread(finished, flush_timeout, self.shutdown.clone())) {
                log.error("audit", "timeout: some lines of the audit trail were not written");
            }
        }
        for kind in &unfinished {
            log.error("metrics", format_args!("timeout: {} has not written some metrics", kind.name()));
        }
        let summary = summarize(&self.state.counters);
        let (requests, delivered) = (
            count_noun(summary.requests, "request"),
            count_noun(summary.configs_delivered, "delivered config"),
        );
        log.notice("rpc", format_args!("stopped after {requests} and {delivered}"));
        log.flush(LOG_FLUSH_TIMEOUT);
        DaemonEnd { summary, stdout_stalls: unfinished.contains(&SinkKind::Stdout) }
    }
}

/// Returns the part of the drain timeout in which requests and configs are waited for.
pub(crate) fn without_reserve(drain: Duration) -> Duration {
    drain - FLUSH_RESERVE.0.min(drain / FLUSH_RESERVE.1)
}

/// Logs which default sockets could not be had, and keeps the reasons for clients that ask.
fn note_missing_sockets(state: &DaemonState, sockets: &BoundSockets) {
    let reasons: Vec<String> = sockets.missing.iter().map(|m| format!("{}: {}", m.name, m.reason)).collect();
    for missing in &sockets.missing {
        let reason = format!("not available, the daemon goes on without it: {}", missing.reason);
        state.log.warning(&missing.name, reason);
    }
    let _ = state.missing_sockets.set(reasons);
}

/// Says what becomes of the configs that were not fetched. `handover` is there if there is a state
/// directory.
fn report_pending(log: &DaemonLog, pending: usize, handover: Option<&Handover>) {
    if pending == 0 {
        return;
    }
    let were = if pending == 1 { "was" } else { "were" };
    let not_fetched = format!("{} {were} not fetched", count_noun(pending as u64, "config"));
    match handover.map(Handover::last_error) {
        Some(None) => log.notice("ipc", format_args!("{not_fetched}, left to the next daemon")),
        Some(Some(reason)) => {
            log.error(
                "ipc",
                format_args!("{not_fetched}, dropped: the state directory cannot be written: {reason}"),
            );
        }
        None => log.warning(
            "ipc",
            format_args!("{not_fetched}, dropped: there is no state directory (--state-dir)"),
        ),
    }
}

/// Opens the state directory, and takes over what the former daemon has left there.
///
/// # Errors
/// The directory is given by an option and cannot be used.
fn start_handover(
    plan: &DaemonPlan,
    state: &Arc<DaemonState>,
    runtime: &Runtime,
    shutdown: &ShutdownWatch,
) -> anyhow::Result<Option<Arc<Handover>>> {
    let Some(StateDirPlan { dir, is_given }) = &plan.state_dir else { return Ok(None) };
    let handover = match Handover::open(dir, &state.host_name) {
        Ok(handover) => Arc::new(handover),
        Err(e) if *is_given => return Err(e.context(format!("--state-dir {}", dir.display()))),
        Err(e) => {
            let reason = format!("not used, a restart loses configs that are not fetched: {e:#}");
            state.log.warning(dir.display(), reason);
            return Ok(None);
        }
    };
    let max_age = plan.registry.keep_alive.max(plan.registry.config_expiry);
    match handover.restore(state, &plan.ipc.users, max_age) {
        Ok(RestoredCounts { processes: 0, lost_configs: 0, .. }) => {}
        Ok(RestoredCounts { processes, configs, lost_configs }) => {
            let lost = match lost_configs {
                0 => String::new(),
                _ => format!(
                    "; {} lost, whose processes are not taken over",
                    count_noun(lost_configs, "config")
                ),
            };
            let (processes, configs) = (count_noun(processes, "process"), count_noun(configs, "config"));
            state.log.notice(
                dir.display(),
                format_args!("took over {processes} and {configs} from the former daemon{lost}"),
            );
        }
        Err(e) => state.log.notice(dir.display(), format_args!("nothing is taken over: {e:#}")),
    }
    runtime.spawn(handover.clone().follow_changes(state.clone(), shutdown.clone()));
    Ok(Some(handover))
}

/// Returns the limits of the table of senders.
fn watch_limits(plan: &DaemonPlan, descriptors: DescriptorShares) -> WatchLimits {
    WatchLimits {
        max_senders: plan.ipc.max_senders,
        is_shared: plan.ipc.users.are_several(),
        max_pidfds: descriptors.pidfds,
    }
}

fn summarize(counters: &Counters) -> Summary {
    Summary {
        requests: counters.rpc_requests.get(),
        configs_delivered: counters.configs_delivered.get(),
        metrics_recorded: counters.metrics_recorded.get(),
        metrics_dropped: counters.count_dropped_metrics(),
        errors: counters.log_errors.get(),
    }
}

/// Returns whether a thread ended within the timeout, which is short after the second signal to stop.
async fn wait_for_thread(
    finished: impl Future<Output = ()>,
    flush_timeout: Duration,
    mut shutdown: ShutdownWatch,
) -> bool {
    let short_timeout = async {
        shutdown.reached(DaemonPhase::Stopping).await;
        sleep(SHORT_FLUSH_TIMEOUT).await;
    };
    tokio::select! {
        biased;
        () = finished => true,
        () = sleep(flush_timeout) => false,
        () = short_timeout => false,
    }
}

/// Binds the address of `--http-listen`.
fn bind_http(address: SocketAddr) -> anyhow::Result<TcpListener> {
    let listen = ListenAddress { address: address.ip(), optional: false };
    let mut listeners = bind_listeners(&[listen], address.port()).context("--http-listen")?;
    listeners.pop().context("--http-listen: no address")
}

/// Samples the host until the daemon stops. The queue is closed then as far as this is concerned.
fn sample_host_into(
    queue: MetricQueue,
    plan: &MetricPlan,
    shutdown: ShutdownWatch,
) -> impl Future<Output = ()> + use<> {
    let report_use = if plan.records_host { ReportUse::Recorded } else { ReportUse::Shown };
    sample_host(plan.host_interval, move |report| queue.push_report(report, report_use), shutdown)
}

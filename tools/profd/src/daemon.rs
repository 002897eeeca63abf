//! The running daemon: its sockets, and the threads and tasks that serve them.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use common::fsat;
use common::out::Verbosity;
use common::policy::Class;
use common::record::profd::{Ready, Summary};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::access::AccessControl;
use crate::account::{DescriptorShares, share_descriptors};
use crate::audit::{AuditThread, AuditTrail};
use crate::certs::ServerCertificates;
use crate::core::registry::Registry;
use crate::counters::{Counters, SinkKind};
use crate::http::{HttpContext, run_http};
use crate::ipc::sockets::{BoundSocket, bind_sockets};
use crate::ipc::start_ipc;
use crate::log::DaemonLog;
use crate::plan::limits::ServerLimits;
use crate::plan::{DaemonPlan, ListenAddress};
use crate::process::watch::WatchLimits;
use crate::rpc::context::RpcContext;
use crate::rpc::listen::bind_listeners;
use crate::rpc::server::run_server;
use crate::shutdown::{DaemonPhase, ShutdownTrigger, ShutdownWatch, shutdown_channel};
use crate::sink::SinkThreads;
use crate::sink::series::SeriesTable;
use crate::sink::start::start_sinks;
use crate::state::{DaemonState, find_host_name};

/// How long the metric thread may take to write what it holds when the daemon stops, unless the drain timeout is longer.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take after the second signal to stop.
const SHORT_FLUSH_TIMEOUT: Duration = Duration::from_millis(250);
/// How long the log may take to write its last lines.
const LOG_FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Everything that is bound, before anything is served.
pub(crate) struct BoundDaemon {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) sockets: Vec<BoundSocket>,
    pub(crate) http: Option<TcpListener>,
}

impl BoundDaemon {
    /// Binds all listeners and sockets.
    ///
    /// # Errors
    /// The first one that cannot be bound. Those bound before are released again.
    pub(crate) fn bind(plan: &DaemonPlan) -> anyhow::Result<Self> {
        let listeners = bind_listeners(&plan.listen, plan.port)?;
        let http = plan.metrics.http.map(|http| bind_http(http.address)).transpose()?;
        let sockets = bind_sockets(&plan.places, plan.ipc.files)?;
        Ok(Self { listeners, sockets, http })
    }

    /// Makes the record that says where the daemon listens.
    pub(crate) fn ready_record(&self, plan: &DaemonPlan) -> anyhow::Result<Ready> {
        let address = |l: &TcpListener| l.local_addr().map(|a| a.to_string());
        Ok(Ready {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            addresses: self.listeners.iter().map(address).collect::<Result<_, _>>()?,
            tls: plan.tls.is_some(),
            sockets: self.sockets.iter().map(|s| s.name.clone()).collect(),
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
    flush_timeout: Duration,
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
        let log = DaemonLog::start(verbosity, counters.clone())?;
        let is_shared = plan.ipc.users.are_several();
        let series = plan.metrics.http.map(|_| Arc::new(Mutex::new(SeriesTable::new(is_shared))));
        let host_name = find_host_name();
        let sinks = start_sinks(&plan.metrics, is_shared, &host_name, series.clone(), &counters, &log)?;
        let (metrics, sinks) = sinks.map(|started| (started.queue, started.threads)).unzip();
        let registry = Registry::new(plan.registry);
        let (trigger, shutdown) = shutdown_channel();
        let (audit, audit_thread) =
            AuditTrail::start(plan.audit.as_ref(), &counters, &log).context("--audit-log")?;
        let descriptors = share_descriptors(plan.server.connections.total());
        let connections = plan.server.connections.fit_descriptors(descriptors.connections);
        let watch = watch_limits(plan, descriptors);
        let state = Arc::new(DaemonState::new(registry, watch, counters, log, shutdown.clone())?);
        runtime.spawn(access.clone().watch_file(state.clone(), shutdown.clone()));
        if let (Some(plan), Some(listener), Some(series)) = (plan.metrics.http, bound.http, series) {
            let context = HttpContext {
                state: state.clone(),
                certs: certs.clone(),
                audit_fails: audit.failing_flag(),
                series,
                samples: plan.dynolog_interval.map(|_| Arc::default()),
                has_sockets: !bound.sockets.is_empty(),
                shutdown: shutdown.clone(),
            };
            start_http(runtime, listener, context, plan.dynolog_interval);
        }
        let ipc = if bound.sockets.is_empty() {
            None
        } else {
            Some(start_ipc(bound.sockets, plan.ipc.clone(), metrics, state.clone(), shutdown.clone())?)
        };
        let context = RpcContext {
            state: state.clone(),
            certs,
            access,
            audit,
            users: plan.ipc.users.clone(),
            output_roots: plan.output_roots.clone(),
            limits: ServerLimits { connections, ..plan.server },
            shutdown: shutdown.clone(),
        };
        let guard = runtime.enter();
        let listeners = bound.listeners.into_iter().map(tokio::net::TcpListener::from_std);
        let listeners = listeners.collect::<Result<Vec<_>, _>>()?;
        drop(guard);
        let rpc = runtime.spawn(run_server(listeners, context));
        let flush_timeout = FLUSH_TIMEOUT.max(plan.server.drain);
        Ok(Self { state, trigger: Arc::new(trigger), shutdown, rpc, ipc, sinks, audit_thread, flush_timeout })
    }

    /// Waits until every part has ended, and sums up. The phase must be past [`DaemonPhase::Serving`].
    pub(crate) fn finish(mut self, runtime: &Runtime) -> DaemonEnd {
        let log = self.state.log.clone();
        runtime.block_on(async {
            let _ = self.rpc.await;
        });
        // The process side goes on until accepted configs are fetched, and removes its socket files at its end.
        self.trigger.advance(DaemonPhase::Answered);
        if let Some(ipc) = self.ipc.take() {
            let _ = ipc.join();
        }
        let pending = self.state.registry().count_pending(self.state.uptime());
        if pending > 0 {
            log.warning("ipc", format_args!("{pending} configs were not fetched and are dropped"));
        }
        // The sinks end when their last queue is dropped, which the process side held.
        let mut unfinished = Vec::new();
        if let Some(sinks) = self.sinks.take() {
            let finished = sinks.finished(&mut unfinished);
            runtime.block_on(wait_for_thread(finished, self.flush_timeout, self.shutdown.clone()));
        }
        // It ends when the last connection is gone, with every line that a client has waited for.
        if let Some(thread) = self.audit_thread.take() {
            let finished = async { drop(thread.done.await) };
            if !runtime.block_on(wait_for_thread(finished, self.flush_timeout, self.shutdown.clone())) {
                log.error("audit", "timeout: some lines of the audit trail were not written");
            }
        }
        for kind in &unfinished {
            log.error("metrics", format_args!("timeout: {} has not written some metrics", kind.name()));
        }
        let summary = summarize(&self.state.counters);
        let (requests, delivered) = (summary.requests, summary.configs_delivered);
        log.notice(
            "rpc",
            format_args!("stopped after {requests} requests and {delivered} delivered configs"),
        );
        log.flush(LOG_FLUSH_TIMEOUT);
        DaemonEnd { summary, stdout_stalls: unfinished.contains(&SinkKind::Stdout) }
    }
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

fn start_http(runtime: &Runtime, listener: TcpListener, context: HttpContext, sampled: Option<Duration>) {
    if let (Some(sampler), Some(every)) = (&context.samples, sampled) {
        runtime.spawn(sampler.clone().run(every, context.shutdown.clone()));
    }
    runtime.spawn(run_http(listener, context));
}

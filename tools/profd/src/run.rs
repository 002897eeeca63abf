//! The daemon's life: check, bind, say ready, serve, drain.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::fsat;
use common::out::{Out, Verbosity};
use common::policy::Class;
use common::record::profd::{Ready, Summary};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::time::sleep;

use crate::certs::Certs;
use crate::core::registry::Registry;
use crate::counters::Counters;
use crate::ipc::sockets::{self, Bound};
use crate::log::Log;
use crate::notify::Notify;
use crate::plan::{FLUSH, Metrics, Plan};
use crate::rpc::{listen, server};
use crate::shutdown::{self, Phase, Shutdown, Signals};
use crate::sink::{self, Queue, Sink, Sinks, jsonl::JsonLines, stream::Stream};
use crate::state::Shared;
use crate::{account, ipc, startup_check};

/// How long the reader of the records may take before it gets the last one.
const LAST_RECORD: Duration = Duration::from_secs(1);
/// How long a flush may take after the second signal.
const HURRY: Duration = Duration::from_millis(250);

/// Whether results are records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Records {
    Yes,
    No,
}

/// Runs the daemon to its end.
pub(crate) fn run(plan: &Plan, uid: u32, records: Records, out: &mut Out) -> anyhow::Result<Exit> {
    let mut notify = Notify::open(plan.ready_fd, std::env::var_os("NOTIFY_SOCKET").as_deref())?;
    for (subject, warning) in &plan.warnings {
        out.warn(subject, warning);
    }
    if report(&startup_check::directories(plan, uid), out) == Exit::Failed {
        return Ok(Exit::Failed);
    }
    let tls = match plan.tls.as_ref().map(|tls| Certs::load(tls, out)).transpose()? {
        Some(None) => return Ok(Exit::Failed),
        Some(tls) => tls,
        None => None,
    };
    let limits = plan.server.connections;
    let (connections, processes) = (limits.pending.total + limits.established.total, plan.registry.processes);
    if let Some(shortage) = account::raise_descriptors(connections, processes) {
        out.warn("descriptors", shortage);
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().thread_name("profd-rpc").build()?;
    // From here on a signal no longer kills: what is bound will be released.
    let mut signals = runtime.block_on(async { Signals::listen() })?;
    let deadly = signals.deadly();
    let bound = Binding::new(plan, &runtime)?;
    let ready = bound.ready(plan, tls.is_some())?;
    let certs = tls.clone();
    let daemon = Daemon::start(plan, bound, tls, &runtime, out.diag().verbosity())?;
    if let Some(certs) = certs {
        runtime.spawn(certs.keep(signals.hangups(), daemon.shared.log.clone(), daemon.shutdown.clone()));
    }
    say_ready(&ready, records, out)?;
    notify.ready();

    let log = daemon.shared.log.clone();
    let name = runtime.block_on(signals.next());
    notify.stopping();
    log.notice(name, "stops: no new connections, requests in progress are finished");
    daemon.trigger.advance(Phase::Draining);
    let trigger = daemon.trigger.clone();
    let third = deadly.clone();
    runtime.spawn(async move {
        signals.next().await;
        third.arm();
        trigger.advance(Phase::Stopping);
    });
    let Ended { summary, sinks_finished } = daemon.finish(&runtime);
    // Nothing is left to release, and nobody listens for signals any more.
    deadly.arm();
    runtime.shutdown_timeout(Duration::from_millis(100));
    if records == Records::Yes {
        // A reader that stalled gets no last record, and so knows that what it has is cut.
        if sinks_finished && takes_more(std::io::stdout().as_fd(), LAST_RECORD) {
            out.record(&summary)?;
        } else {
            out.error("standard output", "the last record is left out: the reader takes nothing");
        }
    }
    Ok(Exit::Ok)
}

/// Whether a stream takes a line now, or within the limit. One that is closed says so when it is written to.
fn takes_more(stream: impl AsFd, limit: Duration) -> bool {
    let Ok(limit) = Timespec::try_from(limit) else { return false };
    let mut fds = [PollFd::new(&stream, PollFlags::OUT)];
    // An interruption is a signal, which has ended the process by now if it was meant to.
    !matches!(rustix::io::retry_on_intr(|| poll(&mut fds, Some(&limit))), Ok(0))
}

/// What listens, before anything serves.
pub(crate) struct Binding {
    pub(crate) listeners: Vec<TcpListener>,
    pub(crate) sockets: Vec<Bound>,
}

impl Binding {
    /// Binds everything or nothing.
    pub(crate) fn new(plan: &Plan, runtime: &Runtime) -> anyhow::Result<Self> {
        let guard = runtime.enter();
        let listeners = listen::bind(&plan.listen, plan.port)?;
        drop(guard);
        let sockets = sockets::bind(&plan.places)?;
        if let Some(Metrics::Files(files)) = &plan.metrics
            && !files.dir.exists()
        {
            let dir = &files.dir;
            fsat::create_dir(dir, Class::LogDir.max()).with_context(|| dir.display().to_string())?;
        }
        Ok(Self { listeners, sockets })
    }

    fn ready(&self, plan: &Plan, tls: bool) -> anyhow::Result<Ready> {
        let address = |l: &TcpListener| l.local_addr().map(|a| a.to_string());
        Ok(Ready {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: rustix::process::getpid().as_raw_nonzero().get(),
            addresses: self.listeners.iter().map(address).collect::<Result<_, _>>()?,
            tls,
            sockets: self.sockets.iter().map(|s| s.name.clone()).collect(),
            metric_log_dir: match &plan.metrics {
                Some(Metrics::Files(files)) => Some(files.dir.display().to_string()),
                _ => None,
            },
        })
    }
}

/// The running daemon.
pub(crate) struct Daemon {
    pub(crate) shared: Arc<Shared>,
    pub(crate) trigger: Arc<shutdown::Trigger>,
    shutdown: Shutdown,
    rpc: tokio::task::JoinHandle<()>,
    ipc: Option<std::thread::JoinHandle<()>>,
    sinks: Option<Sinks>,
    drain: Duration,
}

impl Daemon {
    /// Serves on what is bound, until [`Self::trigger`] is moved on.
    pub(crate) fn start(
        plan: &Plan,
        bound: Binding,
        tls: Option<Arc<Certs>>,
        runtime: &Runtime,
        verbosity: Verbosity,
    ) -> anyhow::Result<Self> {
        let counters: Arc<Counters> = Arc::default();
        let log = Log::start(verbosity, counters.clone())?;
        let (queue, sinks) = start_sinks(plan, &counters, &log)?.unzip();
        let registry = Registry::new(plan.registry);
        let (trigger, shutdown) = shutdown::channel();
        let roots = plan.output_roots.clone();
        let shared = Arc::new(Shared::new(registry, roots, tls, counters, log, shutdown.clone())?);
        let ipc = if bound.sockets.is_empty() {
            None
        } else {
            let plan = plan.fabric.clone();
            Some(ipc::start(bound.sockets, plan, queue, shared.clone(), shutdown.clone())?)
        };
        let rpc = server::run(bound.listeners, plan.server, shared.clone(), shutdown.clone());
        let rpc = runtime.spawn(rpc);
        let drain = plan.server.drain;
        Ok(Self { shared, trigger: Arc::new(trigger), shutdown, rpc, ipc, sinks, drain })
    }

    /// Waits until everything has ended, and says what it came to. The phase must have been moved on.
    pub(crate) fn finish(mut self, runtime: &Runtime) -> Ended {
        runtime.block_on(async {
            let _ = self.rpc.await;
        });
        // The fabric goes on until what was accepted is fetched; its sockets' files go with it.
        self.trigger.advance(Phase::Answered);
        if let Some(ipc) = self.ipc.take() {
            let _ = ipc.join();
        }
        let waiting = self.shared.registry().waiting(self.shared.now());
        if waiting > 0 {
            self.shared.log.notice("ipc", format_args!("{waiting} configs were not fetched and are dropped"));
        }
        let sinks_finished = self.sinks.take().is_none_or(|sinks| {
            let patience = FLUSH.max(self.drain);
            runtime.block_on(finished(sinks, patience, self.shutdown.clone()))
        });
        if !sinks_finished {
            self.shared.log.error("metrics", "not everything could be written in time");
        }
        let c = &self.shared.counters;
        let summary = Summary {
            requests: c.rpc_requests.get(),
            configs_delivered: c.configs_delivered.get(),
            metrics_recorded: c.metrics_recorded.get(),
            metrics_dropped: c.metrics_received.get().saturating_sub(c.metrics_recorded.get()),
            errors: 0,
        };
        let (requests, delivered) = (summary.requests, summary.configs_delivered);
        let text = format_args!("stopped after {requests} requests and {delivered} configs handed out");
        self.shared.log.notice("rpc", text);
        self.shared.log.flush(Duration::from_secs(1));
        Ended { summary, sinks_finished }
    }
}

/// How it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) summary: Summary,
    /// False where a sink stalls; what it writes to is best left alone.
    pub(crate) sinks_finished: bool,
}

/// Waits for the sinks: with patience, and hardly any after the second signal.
async fn finished(sinks: Sinks, patience: Duration, mut shutdown: Shutdown) -> bool {
    let hurry = async {
        shutdown.reached(Phase::Stopping).await;
        sleep(HURRY).await;
    };
    tokio::select! {
        biased;
        () = sinks.finished() => true,
        () = sleep(patience) => false,
        () = hurry => false,
    }
}

fn start_sinks(plan: &Plan, counters: &Arc<Counters>, log: &Log) -> anyhow::Result<Option<(Queue, Sinks)>> {
    let sink: Box<dyn Sink> = match &plan.metrics {
        None => return Ok(None),
        Some(Metrics::Files(files)) => Box::new(JsonLines::new(files.clone(), counters.clone(), log.clone())),
        Some(Metrics::Stdout) => Box::new(Stream::stdout(counters.clone(), log.clone())?),
    };
    Ok(Some(sink::start(vec![sink], plan.metric_queue, counters.clone(), log.clone())?))
}

/// One line for each finding. Failed if one of them is an error.
pub(crate) fn report(findings: &[Finding], out: &Out) -> Exit {
    let mut exit = Exit::Ok;
    for finding in findings {
        if finding.severity == Severity::Error {
            out.error(&finding.path, finding.reason());
            out.diag().help(&finding.fix);
            exit = Exit::Failed;
        } else {
            out.warn(&finding.path, finding.reason());
        }
    }
    exit
}

fn say_ready(ready: &Ready, records: Records, out: &mut Out) -> anyhow::Result<()> {
    let how = if ready.tls { "listening, mutual TLS" } else { "listening, plain TCP" };
    for address in &ready.addresses {
        out.warn(address, how);
    }
    for socket in &ready.sockets {
        out.diag().info(socket, "listening");
    }
    if records == Records::Yes {
        out.flush_each_record();
        out.record(ready)?;
    }
    Ok(())
}

//! The thread that serves the sockets, from the start of the daemon to the end of its drain.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use common::ipc::socket::buffer;
use tokio::sync::watch as close_channel;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::datagram::{DatagramHandler, ReceivingSocket};
use super::readiness::watch_readable;
use super::senders::CLEANUP_INTERVAL;
use super::sockets::BoundSocket;
use crate::plan::ipc::IpcPlan;
use crate::shutdown::{DaemonPhase, ShutdownWatch};
use crate::sink::MetricQueue;
use crate::state::DaemonState;

/// How long a socket rests after an error of receiving.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// How often this thread shows that it is alive.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

struct IpcServer {
    handler: DatagramHandler,
    state: Arc<DaemonState>,
    drain: Duration,
}

/// Serves the sockets on a thread of its own until the daemon stops. The socket files are removed at its end.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn start_ipc(
    sockets: Vec<BoundSocket>,
    plan: IpcPlan,
    metrics: MetricQueue,
    state: Arc<DaemonState>,
    shutdown: ShutdownWatch,
) -> io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let drain = plan.drain;
    let server =
        Arc::new(IpcServer { handler: DatagramHandler::new(plan, state.clone(), metrics), state, drain });
    std::thread::Builder::new()
        .name("profd-ipc".into())
        .spawn(move || runtime.block_on(server.serve_sockets(sockets, shutdown)))
}

impl IpcServer {
    async fn serve_sockets(self: Arc<Self>, sockets: Vec<BoundSocket>, mut shutdown: ShutdownWatch) {
        let mut tasks = JoinSet::new();
        let (close, closed) = close_channel::channel(());
        for bound in sockets {
            tasks.spawn(self.clone().serve_socket(bound, closed.clone()));
        }
        let mut tick = interval(CLEANUP_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heartbeat = interval(HEARTBEAT_INTERVAL);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut drained = std::pin::pin!(self.wait_for_drain(shutdown.clone()));
        loop {
            tokio::select! {
                biased;
                () = shutdown.reached(DaemonPhase::Stopping) => break,
                () = &mut drained => break,
                _ = tick.tick() => self.handler.remove_expired(),
                _ = heartbeat.tick() => self.state.note_ipc_alive(),
            }
        }
        drop(close);
        while tasks.join_next().await.is_some() {}
    }

    /// Waits until the daemon drains and no config is pending, but not longer than the drain timeout. Clients were told
    /// that those configs are on their way.
    async fn wait_for_drain(&self, mut shutdown: ShutdownWatch) {
        shutdown.reached(DaemonPhase::Draining).await;
        let all_fetched = async {
            // Until the last request is answered, more configs may become pending.
            shutdown.reached(DaemonPhase::Answered).await;
            self.state.reap_dead_processes();
            while self.state.registry().count_pending(self.state.uptime()) > 0 {
                self.state.config_removed.notified().await;
            }
        };
        let _ = timeout(self.drain, all_fetched).await;
    }

    /// Serves one socket until it is closed. What has arrived by then is still handled.
    async fn serve_socket(self: Arc<Self>, bound: BoundSocket, mut closed: close_channel::Receiver<()>) {
        let BoundSocket { socket, name, replies_to_registration } = bound;
        let socket = match watch_readable(socket) {
            Ok(socket) => socket,
            Err(e) => return self.state.log.error(&name, format_args!("cannot listen: {e}")),
        };
        let mut buffer = buffer();
        loop {
            let mut ready = tokio::select! {
                biased;
                _ = closed.changed() => break,
                Ok(ready) = socket.readable() => ready,
            };
            let at = ReceivingSocket { socket: ready.get_inner(), name: &name, replies_to_registration };
            match self.handler.receive_batch(&at, &mut buffer) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready.clear_ready(),
                Err(e) => {
                    self.state.counters.ipc_receive_errors.increment();
                    self.state.log.limited("ipc receive", &name, format_args!("cannot receive: {e}"));
                    sleep(ERROR_PAUSE).await;
                }
            }
            // The other sockets get their turn after each batch.
            tokio::task::yield_now().await;
        }
        let at = ReceivingSocket { socket: socket.get_ref(), name: &name, replies_to_registration };
        let _ = self.handler.receive_batch(&at, &mut buffer);
    }
}

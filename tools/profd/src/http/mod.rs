//! HTTP on loopback: `/metrics` for Prometheus, `/healthz` and `/readyz` for supervisors.

mod answer;
mod daemon_page;
mod dynolog_page;
mod exposition;
mod health;
mod host_page;
mod request;
mod server;

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::certs::ServerCertificates;
use crate::host::read_host;
use crate::shutdown::{DaemonPhase, ShutdownWatch};
use crate::sink::series::SeriesTable;
use crate::state::DaemonState;
use dynolog_page::SamplePair;
pub(crate) use server::run_http;

/// What answers are made of.
pub(crate) struct HttpContext {
    pub(crate) state: Arc<DaemonState>,
    /// `None` with plain TCP.
    pub(crate) certs: Option<Arc<ServerCertificates>>,
    /// Whether the audit trail cannot be written.
    pub(crate) audit_fails: Arc<AtomicBool>,
    /// What processes have sent.
    pub(crate) series: Arc<Mutex<SeriesTable>>,
    /// The samples for the names of dynolog, if they are shown.
    pub(crate) samples: Option<Arc<HostSampler>>,
    /// Whether processes are served.
    pub(crate) has_sockets: bool,
    pub(crate) shutdown: ShutdownWatch,
}

/// Samples the host in intervals.
#[derive(Debug, Default)]
pub(crate) struct HostSampler(Mutex<SamplePair>);

impl HostSampler {
    /// Takes samples until the daemon stops.
    pub(crate) async fn run(self: Arc<Self>, every: Duration, mut shutdown: ShutdownWatch) {
        let mut tick = interval(every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.reached(DaemonPhase::Draining) => return,
                _ = tick.tick() => {}
            }
            if let Ok(sample) = tokio::task::spawn_blocking(|| read_host(Path::new("/proc"))).await {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).take_sample(sample);
            }
        }
    }

    fn samples(&self) -> SamplePair {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

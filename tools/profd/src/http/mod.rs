//! HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz` for supervisors. In plain text on loopback, with mutual TLS and
//! the access rules on any address.

mod answer;
mod daemon_page;
mod device_page;
mod dynolog_page;
mod exchange;
mod exposition;
mod health;
mod host_page;
mod request;
mod server;
mod tls;

use std::sync::Arc;

use crate::audit::TrailCondition;
use crate::certs::ServerCertificates;
use crate::devices::DeviceBoard;
use crate::shutdown::ShutdownWatch;
use crate::sink::recent::RecentMetrics;
use crate::state::DaemonState;
pub(crate) use server::run_http;
pub(crate) use tls::HttpTls;

/// The state that replies are made from.
pub(crate) struct HttpContext {
    pub(crate) state: Arc<DaemonState>,
    /// `None` with plain TCP.
    pub(crate) certs: Option<Arc<ServerCertificates>>,
    /// Whether the audit trail cannot be written.
    pub(crate) audit: Arc<TrailCondition>,
    /// The metrics of processes, and the last samples of the host.
    pub(crate) recent: RecentMetrics,
    /// Whether the names of dynolog are shown.
    pub(crate) shows_dynolog: bool,
    /// `None` for plain text on loopback.
    pub(crate) tls: Option<HttpTls>,
    /// The measurements of accelerators and the processor.
    pub(crate) devices: Arc<DeviceBoard>,
    /// Whether processes are served.
    pub(crate) has_sockets: bool,
    pub(crate) shutdown: ShutdownWatch,
}

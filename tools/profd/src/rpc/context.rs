//! The parts of the daemon that every connection of the RPC server uses.

use std::sync::Arc;

use crate::access::AccessControl;
use crate::audit::AuditTrail;
use crate::certs::ServerCertificates;
use crate::core::output_roots::OutputRoots;
use crate::handover::Handover;
use crate::plan::ipc::AllowedUsers;
use crate::plan::limits::ServerLimits;
use crate::shutdown::ShutdownWatch;
use crate::sink::recent::RecentMetrics;
use crate::state::DaemonState;

/// The parts of the daemon that connections use, and their limits.
#[derive(Debug)]
pub(crate) struct RpcContext {
    pub(crate) state: Arc<DaemonState>,
    /// The certificates for TLS connections; `None` with plain TCP.
    pub(crate) certs: Option<Arc<ServerCertificates>>,
    pub(crate) access: Arc<AccessControl>,
    pub(crate) audit: Arc<AuditTrail>,
    /// `None` without a state directory.
    pub(crate) handover: Option<Arc<Handover>>,
    /// The latest metrics of processes, and the last samples of the host.
    pub(crate) recent: RecentMetrics,
    /// Whether there are sockets for processes.
    pub(crate) serves_processes: bool,
    /// The users whose processes are served.
    pub(crate) users: AllowedUsers,
    pub(crate) output_roots: OutputRoots,
    pub(crate) limits: ServerLimits,
    pub(crate) shutdown: ShutdownWatch,
}

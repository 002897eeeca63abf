//! `getStatus`.

use std::collections::BTreeMap;

use common::rpc::message::{CertificateStatus, StatusDetail};

use crate::core::outcome::{Effect, HandlerOutcome, RpcReply};
use crate::core::registry::{Registry, Uptime};

/// Maximum number of processes in a detailed reply, so that it stays below the longest reply that clients accept.
const MAX_LISTED_PROCESSES: usize = 4096;

/// The facts for a detailed reply, which are not in the registry.
#[derive(Debug)]
pub(crate) struct StatusFacts {
    pub(crate) counters: BTreeMap<String, u64>,
    /// `None` with plain TCP.
    pub(crate) certificates: Option<CertificateStatus>,
}

/// Returns the aggregate status of all processes, and with `facts` also the status of each.
pub(crate) fn handle_status(registry: &Registry, now: Uptime, facts: Option<StatusFacts>) -> HandlerOutcome {
    let mut reply = registry.aggregate_status(now);
    if let Some(StatusFacts { counters, certificates }) = facts {
        let (processes, processes_omitted) = registry.list_processes(now, MAX_LISTED_PROCESSES);
        let uptime_s = now.as_secs();
        reply.detail = Some(StatusDetail { processes, processes_omitted, counters, uptime_s, certificates });
    }
    HandlerOutcome { reply: RpcReply::Status(Box::new(reply)), effects: vec![Effect::LogDebug("getStatus")] }
}

//! `getStatus`.

use std::collections::BTreeMap;

use common::rpc::message::{CertificateStatus, StatusDetail};

use super::processes::{MAX_LISTED_PROCESSES, ProcessListFacts, add_facts};
use crate::core::audit::AuditDetail;
use crate::core::health::{HealthFacts, assess_health};
use crate::core::outcome::{HandlerOutcome, RpcReply};
use crate::core::process_scope::ProcessScope;
use crate::core::registry::{Registry, Uptime};

/// The facts for a detailed reply, which are not in the registry.
#[derive(Debug)]
pub(crate) struct StatusFacts<'a> {
    pub(crate) counters: BTreeMap<String, u64>,
    /// `None` with plain TCP.
    pub(crate) certificates: Option<CertificateStatus>,
    pub(crate) list: ProcessListFacts<'a>,
    pub(crate) health: HealthFacts,
}

/// Returns the aggregate status of the processes in `scope`, and with `facts` also the status of each.
pub(crate) fn handle_status(
    registry: &Registry,
    now: Uptime,
    scope: &ProcessScope,
    facts: Option<StatusFacts<'_>>,
) -> HandlerOutcome {
    let mut reply = registry.aggregate_status(now, scope);
    if let Some(StatusFacts { counters, certificates, list, health }) = facts {
        let accounts = list.accounts;
        let (mut processes, processes_omitted) =
            registry.list_processes(now, scope, accounts, MAX_LISTED_PROCESSES);
        add_facts(&mut processes, list.processes);
        let rejected = registry.list_rejections(now, accounts, scope);
        reply.detail = Some(StatusDetail {
            processes,
            processes_omitted,
            counters,
            uptime_s: list.uptime.as_secs(),
            rejected,
            certificates,
            health: Some(assess_health(health)),
        });
    }
    HandlerOutcome {
        reply: RpcReply::Status(Box::new(reply)),
        audit: AuditDetail { function: "getStatus", ..AuditDetail::default() },
        effects: Vec::new(),
    }
}

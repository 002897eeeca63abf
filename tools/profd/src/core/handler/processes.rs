//! `listProcesses`: the registered processes, page by page.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::rpc::message::{ListPage, ProcessListReply, ProcessStatus};

use crate::core::accounts::Accounts;
use crate::core::audit::AuditDetail;
use crate::core::outcome::{HandlerOutcome, RpcReply};
use crate::core::process_scope::ProcessScope;
use crate::core::registry::process_facts::ProcessFacts;
use crate::core::registry::{Registry, Uptime};

/// Maximum number of processes in a reply, so that it stays below the longest reply that clients accept.
pub(super) const MAX_LISTED_PROCESSES: usize = 4096;

/// The facts about processes, by host pid.
pub(crate) type FactsByPid = BTreeMap<i32, Arc<ProcessFacts>>;

/// The facts for the status of processes, which are not in the registry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessListFacts<'a> {
    pub(crate) accounts: &'a Accounts,
    pub(crate) processes: &'a FactsByPid,
    /// Time since the daemon started.
    pub(crate) uptime: Uptime,
}

/// Adds what is known about each process.
pub(super) fn add_facts(processes: &mut [ProcessStatus], facts: &FactsByPid) {
    for status in processes {
        if let Some(facts) = facts.get(&status.host_pid.unwrap_or(status.pid)) {
            facts.add_to(status);
        }
    }
}

/// Returns one page of the processes in `scope`.
pub(crate) fn handle_process_list(
    registry: &Registry,
    now: Uptime,
    scope: &ProcessScope,
    page: ListPage,
    facts: ProcessListFacts<'_>,
) -> HandlerOutcome {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX).min(MAX_LISTED_PROCESSES);
    let offset = usize::try_from(page.offset).unwrap_or(usize::MAX);
    let (mut processes, total) = registry.list_page(now, scope, facts.accounts, offset, limit);
    add_facts(&mut processes, facts.processes);
    HandlerOutcome {
        reply: RpcReply::Processes(Box::new(ProcessListReply {
            processes,
            offset: page.offset,
            total,
            uptime_s: facts.uptime.as_secs(),
        })),
        audit: AuditDetail { function: "listProcesses", ..AuditDetail::default() },
        effects: Vec::new(),
    }
}

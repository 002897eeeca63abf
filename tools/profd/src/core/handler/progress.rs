//! `getConfigStates` and `getClock`, for clients that wait for traces or start several hosts at one time.

use common::rpc::progress::{ClockReply, ConfigStatesReply};

use crate::core::audit::AuditDetail;
use crate::core::outcome::{HandlerOutcome, RpcReply};
use crate::core::process_scope::ProcessScope;
use crate::core::registry::{Registry, Uptime};

/// Returns what became of the configs with these ids.
pub(crate) fn handle_config_states(
    registry: &Registry,
    now: Uptime,
    scope: &ProcessScope,
    trace_ids: &[u64],
) -> HandlerOutcome {
    let configs = registry.list_config_states(now, scope, trace_ids);
    HandlerOutcome {
        reply: RpcReply::ConfigStates(ConfigStatesReply { configs }),
        audit: AuditDetail { function: "getConfigStates", ..AuditDetail::default() },
        effects: Vec::new(),
    }
}

/// Returns the time that the clock of the host shows.
pub(crate) fn handle_clock(unix_ns: i64) -> HandlerOutcome {
    HandlerOutcome {
        reply: RpcReply::Clock(ClockReply { unix_ns }),
        audit: AuditDetail { function: "getClock", ..AuditDetail::default() },
        effects: Vec::new(),
    }
}

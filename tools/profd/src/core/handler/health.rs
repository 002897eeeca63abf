//! `getHealth`.

use crate::core::audit::AuditDetail;
use crate::core::health::{HealthFacts, assess_health};
use crate::core::outcome::{HandlerOutcome, RpcReply};

/// Returns the health of the daemon, with the reasons if it is not well.
pub(crate) fn handle_health(facts: HealthFacts) -> HandlerOutcome {
    HandlerOutcome {
        reply: RpcReply::Health(Box::new(assess_health(facts))),
        audit: AuditDetail { function: "getHealth", ..AuditDetail::default() },
        effects: Vec::new(),
    }
}

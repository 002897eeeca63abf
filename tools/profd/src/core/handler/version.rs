//! `getVersion`.

use common::rpc::message::VersionReply;

use crate::core::audit::AuditDetail;
use crate::core::outcome::{HandlerOutcome, RpcReply};

/// Returns the version of the daemon.
pub(crate) fn handle_version() -> HandlerOutcome {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    HandlerOutcome {
        reply: RpcReply::Version(VersionReply { version }),
        audit: AuditDetail { function: "getVersion", ..AuditDetail::default() },
        effects: Vec::new(),
    }
}

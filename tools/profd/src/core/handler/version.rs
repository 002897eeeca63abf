//! `getVersion`.

use common::rpc::message::VersionReply;

use crate::core::outcome::{Effect, HandlerOutcome, RpcReply};

/// Returns the version of the daemon.
pub(crate) fn handle_version() -> HandlerOutcome {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    HandlerOutcome {
        reply: RpcReply::Version(VersionReply { version }),
        effects: vec![Effect::LogDebug("getVersion")],
    }
}

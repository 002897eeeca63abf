//! `getVersion`.

use common::rpc::message::VersionReply;

use crate::core::answer::{Answer, Effect, RpcReply};

/// Returns the version of the daemon.
pub(crate) fn answer_version() -> Answer {
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Answer {
        reply: RpcReply::Version(VersionReply { version }),
        effects: vec![Effect::LogDebug("getVersion")],
    }
}

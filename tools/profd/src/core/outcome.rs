//! The result of a handler: a reply and its effects.

use common::rpc::message::{DcgmReply, Failure, OnDemandReply, StatusReply, VersionReply};
use serde::Serialize;

/// The result of a handler.
#[derive(Debug)]
pub(crate) struct HandlerOutcome {
    pub(crate) reply: RpcReply,
    pub(crate) effects: Vec<Effect>,
}

/// The reply to a request.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum RpcReply {
    Version(VersionReply),
    Status(Box<StatusReply>),
    OnDemand(Box<OnDemandReply>),
    Dcgm(DcgmReply),
    Failure(Failure),
}

/// Something that the caller of a handler must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Log the audit line of the request, with the name of its client. It is shown at the default verbosity.
    LogAudit(String),
    /// Log a line for debugging, with the name of the client.
    LogDebug(&'static str),
    /// Count configs that were made pending.
    CountAcceptedConfigs(u64),
    /// Count claims of ancestry that were not confirmed.
    CountFalseAncestors(u64),
}

impl RpcReply {
    /// Encodes the reply as the body of a frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Serialization to memory fails only for maps with keys that are not text; no reply has one.
        serde_json::to_vec(self).unwrap_or_else(|_| br#"{"status":"failed"}"#.to_vec())
    }
}

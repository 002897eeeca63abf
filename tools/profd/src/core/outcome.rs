//! The result of a handler: a reply, what the audit trail says about it, and its effects.

use common::rpc::message::{
    DcgmReply, ErrorCode, Failure, HealthReply, MetricListReply, OnDemandReply, ProcessListReply,
    StatusReply, VersionReply,
};
use common::rpc::progress::{ClockReply, ConfigStatesReply};
use serde::Serialize;

use super::audit::{AuditDetail, RequestTarget};

/// The result of a handler.
#[derive(Debug)]
pub(crate) struct HandlerOutcome {
    pub(crate) reply: RpcReply,
    pub(crate) audit: AuditDetail,
    pub(crate) effects: Vec<Effect>,
}

/// The reply to a request.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum RpcReply {
    Version(VersionReply),
    Status(Box<StatusReply>),
    Processes(Box<ProcessListReply>),
    Health(Box<HealthReply>),
    Metrics(Box<MetricListReply>),
    OnDemand(Box<OnDemandReply>),
    ConfigStates(ConfigStatesReply),
    Clock(ClockReply),
    Dcgm(DcgmReply),
    Failure(Failure),
}

/// Something that the caller of a handler must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Count configs that were made pending.
    CountAcceptedConfigs(u64),
    /// Count claims of ancestry that were not confirmed.
    CountFalseAncestors(u64),
}

impl HandlerOutcome {
    /// Rejects a request.
    pub(crate) fn rejected(
        function: &'static str,
        target: Option<RequestTarget>,
        code: ErrorCode,
        reason: impl Into<String>,
    ) -> Self {
        let reason = reason.into();
        Self {
            reply: RpcReply::Failure(Failure::new(code, &reason)),
            audit: AuditDetail::rejected(function, target, code, reason),
            effects: Vec::new(),
        }
    }
}

impl RpcReply {
    /// Encodes the reply as the body of a frame.
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Serialization to memory fails only for maps with keys that are not text; no reply has one.
        serde_json::to_vec(self).unwrap_or_else(|_| br#"{"status":"failed"}"#.to_vec())
    }
}

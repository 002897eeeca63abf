//! `dcgmProfPause` and `dcgmProfResume`: this daemon only reads counters of DCGM and does not control its host engine, so the
//! reply says that it was not done.

use common::rpc::message::DcgmReply;

use crate::core::audit::{AuditAnswer, AuditDetail};
use crate::core::outcome::{HandlerOutcome, RpcReply};

/// Declines a request to pause or resume DCGM profiling. `function` is the name of the request.
pub(crate) fn handle_dcgm(function: &'static str) -> HandlerOutcome {
    let audit = AuditDetail {
        function,
        answer: AuditAnswer::Declined,
        reason: Some("this daemon does not control DCGM".to_owned()),
        ..AuditDetail::default()
    };
    HandlerOutcome { reply: RpcReply::Dcgm(DcgmReply { status: false }), audit, effects: Vec::new() }
}

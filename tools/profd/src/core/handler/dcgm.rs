//! `dcgmProfPause` and `dcgmProfResume`: this daemon does not use DCGM, so the reply says that it was not done.

use common::rpc::message::DcgmReply;

use crate::core::outcome::{Effect, HandlerOutcome, RpcReply};

/// Declines a request to pause or resume DCGM profiling. `function` is the name of the request, for the audit line.
pub(crate) fn handle_dcgm(function: &str) -> HandlerOutcome {
    let line = format!("{function}: declined, this daemon does not use DCGM");
    HandlerOutcome {
        reply: RpcReply::Dcgm(DcgmReply { status: false }),
        effects: vec![Effect::LogAudit(line)],
    }
}

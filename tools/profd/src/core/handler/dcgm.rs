//! `dcgmProfPause` and `dcgmProfResume`: this daemon does not use DCGM, so the reply says that it was not done.

use common::rpc::message::DcgmReply;

use crate::core::answer::{Answer, Effect, RpcReply};

/// Declines a request to pause or resume DCGM profiling. `function` is the name of the request, for the audit line.
pub(crate) fn decline_dcgm(function: &str) -> Answer {
    let line = format!("{function}: declined, this daemon does not use DCGM");
    Answer { reply: RpcReply::Dcgm(DcgmReply { status: false }), effects: vec![Effect::LogAudit(line)] }
}

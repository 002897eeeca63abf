//! Writes what happened to a client to the audit trail and the log.

use common::rpc::message::ErrorCode;

use crate::audit::make_record;
use crate::core::audit::AuditDetail;
use crate::rpc::context::RpcContext;
use crate::rpc::peer::RpcPeer;

/// The client was refused in its TLS handshake.
pub(crate) const HANDSHAKE: &str = "handshake";
/// The client was refused, or its connection closed, apart from a request.
pub(crate) const CONNECTION: &str = "connection";

/// Records a request and its answer. Returns when the line is written.
pub(crate) async fn record_request(
    context: &RpcContext,
    peer: &RpcPeer,
    rule: Option<&str>,
    function: &str,
    detail: &AuditDetail,
) {
    let log = &context.state.log;
    if context.audit.is_enabled() {
        let mut record = make_record(context.audit.next_request_id(), function, detail);
        peer.describe_in(&mut record);
        record.rule = rule.map(str::to_owned);
        if detail.code == Some(ErrorCode::Audit) {
            // The client's reply says at once that the trail cannot be written; this line is written when it can.
            context.audit.enqueue(&record).await;
        } else {
            context.audit.write(&record).await;
        }
    }
    // Without a trail the log is all there is.
    match (detail.is_read(), context.audit.is_enabled()) {
        (true, _) => log.debug(peer, detail),
        (false, true) => log.notice(peer, detail),
        (false, false) => log.notice_without_loss(peer, detail).await,
    }
}

/// Records that a client was refused before it sent a request that can be carried out. The log has had its own line about
/// it.
pub(crate) async fn record_refusal(
    context: &RpcContext,
    peer: &RpcPeer,
    function: &'static str,
    code: ErrorCode,
    reason: String,
) {
    if context.audit.is_enabled() {
        let detail = AuditDetail::rejected(function, None, code, reason);
        let mut record = make_record(context.audit.next_request_id(), function, &detail);
        peer.describe_in(&mut record);
        context.audit.write(&record).await;
    }
}

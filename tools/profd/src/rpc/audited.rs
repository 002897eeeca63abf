//! Writes what happened to a client to the audit trail and the log.

use std::time::Duration;

use common::record::profd::Audit;
use common::rpc::message::ErrorCode;
use tokio::time::{sleep, timeout};

use crate::audit::{AuditTrail, CountedRejections, RejectionLine, make_record};
use crate::core::audit::{AuditAnswer, AuditDetail};
use crate::rpc::context::RpcContext;
use crate::rpc::peer::RpcPeer;

/// How often it is looked whether the minute of counting is over.
const COUNT_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum time that a client waits for its line while the trail cannot be written. Clients wait longer: `profctl` ten seconds.
const TRAIL_PATIENCE: Duration = Duration::from_secs(3);

/// The client was rejected in its TLS handshake.
pub(crate) const HANDSHAKE: &str = "handshake";
/// The client was rejected, or its connection closed, apart from a request.
pub(crate) const CONNECTION: &str = "connection";

/// Records a request and its answer. Returns whether the line of a request that was carried out is written: it waits until
/// it is, unless the trail cannot be written for [`TRAIL_PATIENCE`]; the line is written later then. A request that only
/// reads stands in the log with `--verbose` only, unless it was rejected.
pub(crate) async fn record_request(
    context: &RpcContext,
    peer: &RpcPeer,
    rule: Option<&str>,
    only_reads: bool,
    detail: &AuditDetail,
) -> bool {
    let log = &context.state.log;
    let is_rejected = detail.answer == AuditAnswer::Rejected;
    let mut is_written = true;
    if context.audit.is_enabled() {
        let mut record = make_record(context.audit.next_request_id(), detail.function, detail);
        peer.describe_in(&mut record);
        record.rule = rule.map(str::to_owned);
        if is_rejected {
            write_or_count(&context.audit, peer, record).await;
        } else {
            is_written = write_without_loss(&context.audit, &record).await;
        }
    }
    match (is_rejected, context.audit.is_enabled()) {
        // The trail has each of them.
        (true, true) => log.limited(rejection_cause(detail.code), peer, detail),
        (false, _) if only_reads => log.debug(peer, detail),
        (false, true) => log.notice(peer, detail),
        // Without a trail the log is all there is.
        (_, false) => log.notice_without_loss(peer, detail).await,
    }
    is_written
}

/// Returns the cause of a rejected request for the log.
fn rejection_cause(code: Option<ErrorCode>) -> &'static str {
    match code {
        Some(ErrorCode::Rate) => "request rate",
        Some(ErrorCode::Forbidden) => "request forbidden",
        Some(ErrorCode::Config) => "request config",
        Some(ErrorCode::OutputPath) => "request output",
        Some(ErrorCode::Audit) => "request audit",
        Some(ErrorCode::Stopping) => "request stopping",
        _ => "request rejected",
    }
}

/// Writes the line of a request that was carried out. Returns false if the trail cannot be written for [`TRAIL_PATIENCE`].
async fn write_without_loss(audit: &AuditTrail, record: &Audit) -> bool {
    let Some(mut written) = audit.enqueue_without_loss(record) else { return true };
    loop {
        match timeout(TRAIL_PATIENCE, &mut written).await {
            Ok(_) => return true,
            Err(_) if audit.is_failing() => return false,
            // A slow disk is waited for.
            Err(_) => {}
        }
    }
}

/// Writes the line of a request that changed nothing, and waits until it is written; while the trail cannot be written, it
/// does not wait. A line that finds no place in the queue is counted.
pub(crate) async fn write_or_count(audit: &AuditTrail, peer: &RpcPeer, record: Audit) {
    write_within(audit, peer, record, TRAIL_PATIENCE).await;
}

async fn write_within(audit: &AuditTrail, peer: &RpcPeer, record: Audit, patience: Duration) {
    let patience = if audit.is_failing() { Duration::ZERO } else { patience };
    match timeout(patience, audit.enqueue(&record)).await {
        Ok(written) => {
            let written = async {
                if let Some(written) = written {
                    drop(written.await)
                }
            };
            let _ = timeout(patience, written).await;
        }
        Err(_) => audit.count_unwritten(peer.address().ip(), record),
    }
}

/// Records that a client was rejected before it sent a request that can be carried out. The log has had its own line about
/// it. Of unauthenticated peers, whose handshake failed, most are counted only.
pub(crate) async fn record_rejection(
    audit: &AuditTrail,
    peer: &RpcPeer,
    function: &'static str,
    code: ErrorCode,
    reason: String,
) {
    record_within(audit, peer, function, (code, reason), TRAIL_PATIENCE).await;
}

/// As [`record_rejection`], without waiting until the line is written.
pub(crate) async fn note_rejection(
    audit: &AuditTrail,
    peer: &RpcPeer,
    function: &'static str,
    code: ErrorCode,
    reason: String,
) {
    record_within(audit, peer, function, (code, reason), Duration::ZERO).await;
}

async fn record_within(
    audit: &AuditTrail,
    peer: &RpcPeer,
    function: &'static str,
    (code, reason): (ErrorCode, String),
    patience: Duration,
) {
    if !audit.is_enabled() {
        return;
    }
    let detail = AuditDetail::rejected(function, None, code, reason);
    let reason = detail.reason.as_deref().unwrap_or_default();
    if function == HANDSHAKE && audit.note_rejection(peer.address().ip(), reason) == RejectionLine::Counted {
        return;
    }
    let mut record = make_record(audit.next_request_id(), function, &detail);
    peer.describe_in(&mut record);
    write_within(audit, peer, record, patience).await;
}

/// Writes a line for the handshakes that were counted in each minute, until the daemon ends; and for those lines that were
/// counted because the trail could not be written.
pub(crate) async fn record_counted_rejections(audit: &AuditTrail) {
    loop {
        sleep(COUNT_INTERVAL).await;
        if !audit.is_failing() {
            write_counted_rejections(audit, false);
        }
    }
}

/// Writes a line for each address whose handshakes were counted, if the minute is over, or at once with `is_end`.
pub(crate) fn write_counted_rejections(audit: &AuditTrail, is_end: bool) {
    for mut record in audit.take_unwritten() {
        if record.count.is_some() {
            record.request_id = audit.next_request_id();
        }
        audit.enqueue_without_loss(&record);
    }
    for CountedRejections { source, count, last_reason } in audit.take_counted_rejections(is_end) {
        let reason = format!("{count} more handshakes failed, the last one: {last_reason}");
        let detail = AuditDetail::rejected(HANDSHAKE, None, ErrorCode::Certificate, reason);
        let mut record = make_record(audit.next_request_id(), HANDSHAKE, &detail);
        record.address = source.map_or_else(|| "several".to_owned(), |address| address.to_string());
        record.count = Some(count);
        audit.enqueue_without_loss(&record);
    }
}

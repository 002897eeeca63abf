//! HTTP with mutual TLS: the certificates of the RPC server, its access rules, and limits by address like its own.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Instant;

use common::rpc::message::ErrorCode;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::HttpContext;
use super::exchange::{AnswerPlaces, READ_TIMEOUT, answer_client, read_request};
use super::request::{HttpRejection, HttpRequest};
use crate::access::AccessControl;
use crate::audit::{AuditTrail, make_record};
use crate::certs::ServerCertificates;
use crate::core::access::Permission;
use crate::core::audit::AuditDetail;
use crate::core::process_scope::ProcessScope;
use crate::plan::limits::{ConnectionLimits, PoolLimits};
use crate::rpc::audited::{HANDSHAKE, record_rejection, write_or_count};
use crate::rpc::client_hello::read_client_hello;
use crate::rpc::connection_table::{ConnectionPlace, ConnectionTable};
use crate::rpc::handshake_fault::HandshakeFault;
use crate::rpc::peer::RpcPeer;
use crate::rpc::random_share;

/// The name of a request over HTTP in the audit trail.
const HTTP: &str = "http";

/// Maximum number of connections: a few servers ask, each from time to time.
const LIMITS: ConnectionLimits = ConnectionLimits {
    pending: PoolLimits { total: 256, per_peer: 64 },
    established: PoolLimits { total: 128, per_peer: 32 },
};

/// The parts of the daemon that accept a TLS connection: certificates, access rules, limits.
pub(crate) struct HttpTls {
    certs: Arc<ServerCertificates>,
    access: Arc<AccessControl>,
    /// Weak: the trail ends when the RPC server has answered its last request.
    audit: Weak<AuditTrail>,
    table: ConnectionTable,
}

impl HttpTls {
    /// `handshakes_per_second` is the limit for addresses without a recent success.
    pub(crate) fn new(
        certs: Arc<ServerCertificates>,
        access: Arc<AccessControl>,
        audit: &Arc<AuditTrail>,
        handshakes_per_second: usize,
    ) -> Self {
        let table = ConnectionTable::new(LIMITS, handshakes_per_second);
        Self { certs, access, audit: Arc::downgrade(audit), table }
    }

    /// Returns the processes that a client may see, and the name of the rule that says so.
    ///
    /// # Errors
    /// It may see nothing, or not so often.
    fn check_access(
        &self,
        peer: &RpcPeer,
    ) -> Result<(ProcessScope, Option<String>), (ErrorCode, HttpRejection, String)> {
        let rules = self.access.rules();
        let forbid = |reason| (ErrorCode::Forbidden, HttpRejection::Forbidden, reason);
        let access = rules.find(peer.identity()).map_err(forbid)?;
        access.check(&[Permission::Read]).map_err(forbid)?;
        if let Some(per_minute) = access.requests_per_minute() {
            let taken = self.access.take_request(&peer.rate_key(), per_minute, Instant::now());
            taken.map_err(|wait| {
                let reason = format!("access rule allows {per_minute} requests a minute");
                let retry_after_s = wait.as_secs() + 1;
                (ErrorCode::Rate, HttpRejection::TooManyRequests { per_minute, retry_after_s }, reason)
            })?;
        }
        Ok((access.scope(), access.rule_name().map(str::to_owned)))
    }

    /// Records a request that is answered. It changes nothing, so it is answered as well while the trail cannot be written,
    /// which is when the metrics are needed; its line is counted then.
    async fn record_served(&self, peer: &RpcPeer, rule: Option<String>) {
        if let Some(audit) = self.audit.upgrade().filter(|audit| audit.is_enabled()) {
            let detail = AuditDetail { function: HTTP, ..AuditDetail::default() };
            let mut record = make_record(audit.next_request_id(), HTTP, &detail);
            peer.describe_in(&mut record);
            record.rule = rule;
            write_or_count(&audit, peer, record).await;
        }
    }

    async fn record(&self, peer: &RpcPeer, function: &'static str, code: ErrorCode, reason: String) {
        if let Some(audit) = self.audit.upgrade() {
            record_rejection(&audit, peer, function, code, reason).await;
        }
    }
}

/// Serves a connection in a task of its own, if there is room for one.
pub(super) fn serve_tls(
    context: Arc<HttpContext>,
    places: Arc<AnswerPlaces>,
    stream: TcpStream,
    address: SocketAddr,
) {
    let Some(tls) = &context.tls else { return };
    let Ok(place) = tls.table.admit(address.ip(), random_share) else {
        return context.state.counters.http_closed_pending.increment();
    };
    tokio::spawn(async move {
        let closing = place.closing();
        tokio::select! {
            () = serve_client(&context, &places, stream, address, &place) => {}
            () = closing.notified() => context.state.counters.http_closed_pending.increment(),
        }
    });
}

async fn serve_client(
    context: &Arc<HttpContext>,
    places: &AnswerPlaces,
    stream: TcpStream,
    address: SocketAddr,
    place: &ConnectionPlace,
) {
    let (counters, Some(tls)) = (&context.state.counters, &context.tls) else { return };
    let begun = async {
        let (mut stream, peer) = accept(context, tls, stream, address, place).await?;
        place.establish(peer.certificate_digest()).ok()?;
        let request = read_request(&mut stream).await.ok()?;
        Some((stream, peer, request))
    };
    let (mut stream, peer, request) = match timeout(READ_TIMEOUT, begun).await {
        Ok(Some(begun)) => begun,
        // The reason has been logged.
        Ok(None) => return,
        Err(_) => {
            place.note_failure();
            return counters.http_timeout.increment();
        }
    };
    place.begin_request();
    let request = match request {
        Ok(request) => allow(context, tls, &peer, request).await,
        Err(rejection) => Err(rejection),
    };
    answer_client(&mut stream, context, places, request).await;
}

async fn allow(
    context: &HttpContext,
    tls: &HttpTls,
    peer: &RpcPeer,
    request: HttpRequest,
) -> Result<(HttpRequest, ProcessScope), HttpRejection> {
    match tls.check_access(peer) {
        Ok((scope, rule)) => {
            tls.record_served(peer, rule).await;
            Ok((request, scope))
        }
        Err((code, rejection, reason)) => {
            context.state.counters.rpc_forbidden.add(u64::from(code == ErrorCode::Forbidden));
            let cause = if code == ErrorCode::Rate { "http rate" } else { "http forbidden" };
            context.state.log.limited(cause, peer, format_args!("HTTP: {reason}"));
            tls.record(peer, HTTP, code, reason).await;
            Err(rejection)
        }
    }
}

/// Accepts a TLS connection. A failure is counted and logged, and recorded if a client was rejected.
async fn accept(
    context: &HttpContext,
    tls: &HttpTls,
    stream: TcpStream,
    address: SocketAddr,
    place: &ConnectionPlace,
) -> Option<(TlsStream<TcpStream>, RpcPeer)> {
    let log = &context.state.log;
    let fail = |peer: &RpcPeer, reason: &str| {
        place.note_failure();
        context.state.counters.http_handshake_failed.increment();
        let cause = HandshakeFault::of_reason(reason).http_cause();
        log.limited(cause, peer, format_args!("HTTP: TLS handshake failed: {reason}"));
    };
    let hello = match read_client_hello(&mut Some(stream)).await {
        Ok(hello) => hello,
        Err(e) => {
            fail(&RpcPeer::plain(address), &e.to_string());
            return None;
        }
    };
    let Some(delay) = place.delay_handshake() else {
        fail(&RpcPeer::plain(address), "too many handshakes (--max-handshake-rate)");
        return None;
    };
    sleep(delay).await;
    place.begin_handshake();
    let (config, presented) = match tls.certs.tls_server().for_connection() {
        Ok(config) => config,
        Err(e) => {
            fail(&RpcPeer::plain(address), &format!("{e:#}"));
            return None;
        }
    };
    match hello.into_stream(Arc::new(config)).await {
        Ok(stream) => Some((stream, RpcPeer::with_chain(address, presented.chain()))),
        Err(e) => {
            let peer = RpcPeer::with_chain(address, presented.chain());
            let reason = presented.rejection().unwrap_or_else(|| e.to_string());
            fail(&peer, &reason);
            if e.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                tls.record(&peer, HANDSHAKE, ErrorCode::Certificate, reason).await;
            }
            None
        }
    }
}

//! One connection: frames in, frames out, each with a deadline. Generic over the stream: plain TCP or TLS.

use std::time::Duration;

use common::rpc::frame::{self, FrameError, PREFIX};
use common::rpc::message::{ErrorCode, Failure, Request, RequestError};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout};

use crate::rpc::audited::{CONNECTION, note_rejection, record_rejection};
use crate::rpc::connection_pool::ConnectionLimit;
use crate::rpc::connection_table::{ConnectionPlace, NotEstablished};
use crate::rpc::context::RpcContext;
use crate::rpc::dispatch::{answer_request, wait_for_final_state};
use crate::rpc::peer::RpcPeer;
use crate::shutdown::DaemonPhase;

/// After an error was sent, how long and how many bytes are still read, so that the client receives the error: a socket
/// that is closed with unread bytes sends a reset, which discards it (RFC 1122, section 4.2.2.13).
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 256 * 1024;

/// How long sending the reason may take to a connection that is closed for another one.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(100);

/// Why a connection ends.
enum ConnectionEnd {
    /// The client closed it, or the daemon is stopping and no request is in progress.
    Done,
    /// The client was too slow.
    Timeout(&'static str),
    /// The transport failed.
    Broken(std::io::Error),
    BadFrame(FrameError),
    BadRequest(RequestError),
    /// The first reply is sent, and the table of open connections is full.
    NotKept(ConnectionLimit),
    /// Another connection has got the place.
    Displaced {
        had_reply: bool,
    },
    /// The certificate of the client is not valid any more.
    CertificateInvalid(String),
    /// It has reached its maximum age.
    Aged,
}

/// Serves one client until its connection ends.
///
/// A TLS connection must be established already; a plain one becomes established with its first reply. `changes` are those
/// of the certificates since before its client was verified; `None` over plain TCP.
pub(crate) async fn serve_connection<S>(
    context: &RpcContext,
    stream: S,
    peer: &RpcPeer,
    place: &ConnectionPlace,
    changes: Option<watch::Receiver<u64>>,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::with_capacity(4096, stream);
    let closing = place.closing();
    let end = serve_requests(context, &mut stream, peer, place, &closing, changes).await;
    end_connection(context, &mut stream, peer, place, end, &closing).await;
}

/// Counts and logs why a connection ends, and sends the reason where the client can expect a reply.
async fn end_connection<S>(
    context: &RpcContext,
    stream: &mut S,
    peer: &RpcPeer,
    place: &ConnectionPlace,
    end: ConnectionEnd,
    closing: &Notify,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (counters, log) = (&context.state.counters, &context.state.log);
    let write_timeout = context.limits.requests.write_timeout;
    match end {
        // A plain connection ends when it is closed.
        ConnectionEnd::Done if context.certs.is_none() => {}
        ConnectionEnd::Done => {
            let _ = timeout(write_timeout, stream.shutdown()).await;
        }
        ConnectionEnd::Timeout(reason) => {
            counters.rpc_timeout.increment();
            place.note_failure();
            log.limited("rpc timeout", peer, reason);
        }
        ConnectionEnd::Broken(e) => {
            counters.rpc_io_errors.increment();
            log.limited("rpc broken", peer, e);
        }
        ConnectionEnd::BadFrame(e) => {
            counters.rpc_bad_frame.increment();
            place.note_failure();
            log.limited("rpc frame", peer, format_args!("rejected: {e}"));
            reject_client(context, stream, peer, (ErrorCode::Frame, e.to_string()), closing).await;
        }
        ConnectionEnd::BadRequest(e) => {
            counters.rpc_bad_request.increment();
            log.limited("rpc request", peer, format_args!("rejected: {e}"));
            let code = match e {
                RequestError::UnknownFunction => ErrorCode::Function,
                _ => ErrorCode::Request,
            };
            reject_client(context, stream, peer, (code, e.to_string()), closing).await;
        }
        ConnectionEnd::CertificateInvalid(e) => {
            counters.rpc_closed_certificate.increment();
            let reason = format!("the certificate of this connection is not accepted any more: {e}");
            log.limited("rpc certificate", peer, format_args!("closed: {reason}"));
            reject_client(context, stream, peer, (ErrorCode::Certificate, reason), closing).await;
        }
        // A client that has got its reply takes what is sent now for the reply to its next request, which is true: that
        // request is not carried out.
        ConnectionEnd::NotKept(limit) => {
            counters.rpc_closed_idle.increment();
            let reason = describe_limit(limit, "established connections");
            reject_client(context, stream, peer, (ErrorCode::Busy, reason), closing).await;
        }
        ConnectionEnd::Aged => {
            counters.rpc_closed_age.increment();
            let reason = "the connection has reached its maximum age: connect again (--max-connection-age)";
            send_error(stream, (ErrorCode::Age, reason), write_timeout, closing).await;
        }
        ConnectionEnd::Displaced { had_reply } => {
            let (counter, reason) = match had_reply {
                true => (
                    &counters.rpc_closed_idle,
                    "busy: closed for a newer connection, after the longest silence",
                ),
                false => (
                    &counters.rpc_closed_pending,
                    "busy: closed for a newer connection, because no request came",
                ),
            };
            counter.increment();
            // Silent peers that nothing is known of could fill a disk with lines.
            let is_recorded = had_reply || peer.identity().is_some();
            close_displaced(context, stream, peer, reason, is_recorded).await;
        }
    }
}

/// Sends an error to a client that is rejected, and records that.
async fn reject_client<S>(
    context: &RpcContext,
    stream: &mut S,
    peer: &RpcPeer,
    (code, reason): (ErrorCode, String),
    closing: &Notify,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    record_rejection(&context.audit, peer, CONNECTION, code, reason.clone()).await;
    send_error(stream, (code, &reason), context.limits.requests.write_timeout, closing).await;
}

/// Sends `busy` to a client with a verified certificate: a limit on established connections is reached.
pub(crate) async fn decline_client<S>(
    context: &RpcContext,
    stream: &mut S,
    peer: &RpcPeer,
    limit: ConnectionLimit,
    closing: &Notify,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (counters, log) = (&context.state.counters, &context.state.log);
    let reason = match limit {
        ConnectionLimit::Total(n) => {
            counters.rpc_declined_total.increment();
            format!("busy: the limit of {n} connections is reached, and none can be closed for this one")
        }
        ConnectionLimit::PerPeer(n) => {
            counters.rpc_declined_peer.increment();
            format!(
                "busy: the limit of {n} connections of one client from one address is reached, and each has a request in \
                 progress"
            )
        }
    };
    log.limited("rpc full", peer, &reason);
    reject_client(context, stream, peer, (ErrorCode::Busy, reason), closing).await;
}

/// Closes the connection of a client with a verified certificate whose place another connection got during the handshake.
pub(crate) async fn decline_displaced<S>(context: &RpcContext, stream: &mut S, peer: &RpcPeer)
where
    S: AsyncWrite + Unpin,
{
    context.state.counters.rpc_closed_pending.increment();
    let reason = "busy: closed for a newer connection, because the handshake took too long";
    close_displaced(context, stream, peer, reason, true).await;
}

/// Sends the reason to a client whose place another connection has got, and records that without waiting for the trail: a
/// connection without a place must not linger.
async fn close_displaced<S: AsyncWrite + Unpin>(
    context: &RpcContext,
    stream: &mut S,
    peer: &RpcPeer,
    reason: &str,
    is_recorded: bool,
) {
    // The reason fits into the socket's buffer.
    let _ = timeout(CLOSE_TIMEOUT, write_failure(stream, ErrorCode::Busy, reason)).await;
    if is_recorded {
        context.state.log.limited("rpc displaced", peer, reason);
        note_rejection(&context.audit, peer, CONNECTION, ErrorCode::Busy, reason.to_owned()).await;
    }
}

/// Formats the limit that is reached. `counted` names what it counts.
pub(crate) fn describe_limit(limit: ConnectionLimit, counted: &str) -> String {
    match limit {
        ConnectionLimit::Total(n) => format!("busy: the limit of {n} {counted} is reached"),
        ConnectionLimit::PerPeer(n) => {
            format!("busy: the limit of {n} {counted} from one address is reached")
        }
    }
}

/// Sends an error, and reads on for a moment so that the client receives it, unless another connection needs the place.
async fn send_error<S>(
    stream: &mut S,
    (code, reason): (ErrorCode, &str),
    write_timeout: Duration,
    closing: &Notify,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let send_and_linger = async {
        if matches!(timeout(write_timeout, write_failure(stream, code, reason)).await, Ok(Ok(()))) {
            let mut rest = stream.take(LINGER_BYTES);
            let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
        }
    };
    tokio::select! {
        () = send_and_linger => {}
        () = closing.notified() => {}
    }
}

async fn write_failure<S: AsyncWrite + Unpin>(
    stream: &mut S,
    code: ErrorCode,
    reason: &str,
) -> std::io::Result<()> {
    let body = serde_json::to_vec(&Failure::new(code, reason)).map_err(std::io::Error::other)?;
    let frame = frame::encode(&body).map_err(std::io::Error::other)?;
    stream.write_all(&frame).await?;
    stream.shutdown().await
}

/// Answers requests until the connection ends.
async fn serve_requests<S>(
    context: &RpcContext,
    stream: &mut BufReader<S>,
    peer: &RpcPeer,
    place: &ConnectionPlace,
    closing: &Notify,
    mut changes: Option<watch::Receiver<u64>>,
) -> ConnectionEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (state, limits) = (&context.state, &context.limits.requests);
    let mut shutdown = context.shutdown.clone();
    let mut had_reply = false;
    let oldest = Instant::now() + limits.max_age;
    loop {
        // Between two requests, and only there, a shutdown ends the connection. A client that has got a reply may stay
        // silent for longer, and may leave at any time.
        let silence_limit = if had_reply { limits.idle_timeout } else { limits.read_timeout };
        let has_bytes = tokio::select! {
            biased;
            filled = timeout(silence_limit, stream.fill_buf()) => filled.map(|r| r.map(|b| !b.is_empty())),
            () = closing.notified() => return ConnectionEnd::Displaced { had_reply },
            () = shutdown.reached(DaemonPhase::Draining) => return ConnectionEnd::Done,
            () = wait_for_change(&mut changes) => {
                match verify_again(context, peer) {
                    Ok(()) => continue,
                    Err(e) => return ConnectionEnd::CertificateInvalid(e),
                }
            }
        };
        match has_bytes {
            Err(_) if had_reply => return ConnectionEnd::Done,
            Err(_) => return ConnectionEnd::Timeout("timeout: no request was sent"),
            Ok(Ok(false)) => return ConnectionEnd::Done,
            Ok(Ok(true)) => state.counters.rpc_begun.increment(),
            // A TLS client closed without close_notify (RFC 8446, section 6.1); no request is cut off by it here.
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => return ConnectionEnd::Done,
            Ok(Err(e)) => return ConnectionEnd::Broken(e),
        }
        let body = tokio::select! {
            biased;
            body = timeout(limits.read_timeout, read_frame(stream, limits.max_bytes)) => body,
            () = closing.notified() => return ConnectionEnd::Displaced { had_reply },
        };
        let body = match body {
            Err(_) => return ConnectionEnd::Timeout("timeout: the request is incomplete"),
            Ok(Err(end)) => return end,
            Ok(Ok(body)) => body,
        };
        let request = match Request::decode(&body) {
            Ok(request) => request,
            Err(e) => return ConnectionEnd::BadRequest(e),
        };
        // A question that is held back is no request in progress: it gives way to other connections, and to a shutdown.
        tokio::select! {
            biased;
            () = wait_for_final_state(context, peer, &request) => {}
            () = closing.notified() => return ConnectionEnd::Displaced { had_reply },
            () = shutdown.reached(DaemonPhase::Draining) => {}
        }
        // Also of a client that asks without a pause.
        if changes.as_mut().is_some_and(|changes| changes.has_changed().unwrap_or(false)) {
            if let Some(changes) = &mut changes {
                changes.mark_unchanged();
            }
            if let Err(e) = verify_again(context, peer) {
                return ConnectionEnd::CertificateInvalid(e);
            }
        }
        // Another connection may have got the place while the request came in; then the request is not carried out.
        if !place.begin_request() {
            return ConnectionEnd::Displaced { had_reply };
        }
        state.counters.rpc_requests.increment();
        let reply = answer_request(context, peer, request).await;
        place.begin_reply();
        let written = tokio::select! {
            biased;
            written = timeout(limits.write_timeout, write_frame(stream, &reply)) => written,
            () = closing.notified() => {
                return ConnectionEnd::Timeout("the client did not read its reply, and another needs its place");
            }
        };
        match written {
            Err(_) => return ConnectionEnd::Timeout("timeout: the client did not read its reply"),
            Ok(Err(e)) => return ConnectionEnd::Broken(e),
            Ok(Ok(())) => {}
        }
        // Over plain TCP there is no certificate, so a complete request distinguishes a client from a silent connection.
        if !had_reply && context.certs.is_none() {
            match place.establish(None) {
                Ok(()) => {}
                Err(NotEstablished::LimitReached(limit)) => return ConnectionEnd::NotKept(limit),
                Err(NotEstablished::Displaced) => return ConnectionEnd::Displaced { had_reply: true },
            }
        } else {
            place.end_request();
        }
        had_reply = true;
        if Instant::now() >= oldest {
            return ConnectionEnd::Aged;
        }
        // A client that sends requests without a pause must not keep others from their turn.
        tokio::task::yield_now().await;
        if state.is_stopping() {
            return ConnectionEnd::Done;
        }
    }
}

/// Waits until clients must be verified again.
async fn wait_for_change(changes: &mut Option<watch::Receiver<u64>>) {
    let changed = match changes {
        Some(changes) => changes.changed().await.is_ok(),
        None => false,
    };
    if !changed {
        std::future::pending().await
    }
}

fn verify_again(context: &RpcContext, peer: &RpcPeer) -> Result<(), String> {
    context.certs.as_ref().map_or(Ok(()), |certs| certs.verify_again(peer.chain()))
}

async fn read_frame<S: AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    max_bytes: usize,
) -> Result<Vec<u8>, ConnectionEnd> {
    let mut prefix = [0; PREFIX];
    stream.read_exact(&mut prefix).await.map_err(ConnectionEnd::Broken)?;
    let length = frame::length(prefix, max_bytes).map_err(ConnectionEnd::BadFrame)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(ConnectionEnd::Broken)?;
    Ok(body)
}

async fn write_frame<S: AsyncWrite + Unpin>(stream: &mut S, body: &[u8]) -> std::io::Result<()> {
    let frame = frame::encode(body).map_err(std::io::Error::other)?;
    stream.write_all(&frame).await?;
    stream.flush().await
}

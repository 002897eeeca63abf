//! One connection: frames in, frames out, each with a deadline. Generic over the stream: plain TCP or TLS.

use std::time::Duration;

use common::rpc::frame::{self, FrameError, PREFIX};
use common::rpc::message::{Failure, Request, RequestError};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::rpc::connection_table::{ConnectionLimit, ConnectionPlace, NotEstablished};
use crate::rpc::context::RpcContext;
use crate::rpc::dispatch::answer_request;
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
    /// The first request is complete, and a limit on established connections is reached.
    LimitReached(ConnectionLimit),
    /// Another connection has got the place.
    Displaced {
        had_reply: bool,
    },
}

/// Serves one client until its connection ends.
///
/// A TLS connection must be established already; a plain one becomes established with its first request.
pub(crate) async fn serve_connection<S>(
    context: &RpcContext,
    stream: S,
    peer: &RpcPeer,
    place: &ConnectionPlace,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::with_capacity(4096, stream);
    let closing = place.closing();
    let end = serve_requests(context, &mut stream, peer, place, &closing).await;
    end_connection(context, &mut stream, peer, end, &closing).await;
}

/// Counts and logs why a connection ends, and sends the reason where the client can expect a reply.
async fn end_connection<S>(
    context: &RpcContext,
    stream: &mut S,
    peer: &RpcPeer,
    end: ConnectionEnd,
    closing: &Notify,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (counters, log) = (&context.state.counters, &context.state.log);
    let write_timeout = context.limits.requests.write_timeout;
    match end {
        ConnectionEnd::Done => {
            let _ = timeout(write_timeout, stream.shutdown()).await;
        }
        ConnectionEnd::Timeout(reason) => {
            counters.rpc_timeout.increment();
            log.limited("rpc timeout", peer, reason);
        }
        ConnectionEnd::Broken(e) => {
            counters.rpc_io_errors.increment();
            log.limited("rpc broken", peer, e);
        }
        ConnectionEnd::BadFrame(e) => {
            counters.rpc_bad_frame.increment();
            log.limited("rpc frame", peer, format_args!("rejected: {e}"));
            send_error(stream, &e.to_string(), write_timeout, closing).await;
        }
        ConnectionEnd::BadRequest(e) => {
            counters.rpc_bad_request.increment();
            log.limited("rpc request", peer, format_args!("rejected: {e}"));
            send_error(stream, &e.to_string(), write_timeout, closing).await;
        }
        ConnectionEnd::LimitReached(limit) => decline_client(context, stream, peer, limit, closing).await,
        // A client that has got a reply could take anything sent now for the reply to its next request.
        ConnectionEnd::Displaced { had_reply: true } => counters.rpc_closed_idle.increment(),
        ConnectionEnd::Displaced { had_reply: false } => {
            counters.rpc_closed_pending.increment();
            // Nothing was sent before, so the reason fits into the socket's buffer; the place is taken, so the
            // connection must not linger.
            let reason = "busy: closed for a newer connection, because no request came";
            let _ = timeout(CLOSE_TIMEOUT, write_failure(stream, reason)).await;
        }
    }
}

/// Sends `busy` to a client with a verified certificate or a complete request: a limit on established connections is
/// reached.
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
    match limit {
        ConnectionLimit::Total(_) => counters.rpc_declined_total.increment(),
        ConnectionLimit::PerPeer(_) => counters.rpc_declined_peer.increment(),
    }
    let reason = describe_limit(limit, "connections with a request in progress");
    log.limited("rpc full", peer, &reason);
    send_error(stream, &reason, context.limits.requests.write_timeout, closing).await;
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
async fn send_error<S>(stream: &mut S, reason: &str, write_timeout: Duration, closing: &Notify)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let send_and_linger = async {
        if matches!(timeout(write_timeout, write_failure(stream, reason)).await, Ok(Ok(()))) {
            let mut rest = stream.take(LINGER_BYTES);
            let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
        }
    };
    tokio::select! {
        () = send_and_linger => {}
        () = closing.notified() => {}
    }
}

async fn write_failure<S: AsyncWrite + Unpin>(stream: &mut S, reason: &str) -> std::io::Result<()> {
    let body = serde_json::to_vec(&Failure::new(reason)).map_err(std::io::Error::other)?;
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
) -> ConnectionEnd
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (state, limits) = (&context.state, &context.limits.requests);
    let mut shutdown = context.shutdown.clone();
    let mut had_reply = false;
    loop {
        // Between two requests, and only there, a shutdown ends the connection. A client that has got a reply may stay
        // silent for longer, and may leave at any time.
        let silence_limit = if had_reply { limits.idle_timeout } else { limits.read_timeout };
        let has_bytes = tokio::select! {
            biased;
            filled = timeout(silence_limit, stream.fill_buf()) => filled.map(|r| r.map(|b| !b.is_empty())),
            () = closing.notified() => return ConnectionEnd::Displaced { had_reply },
            () = shutdown.reached(DaemonPhase::Draining) => return ConnectionEnd::Done,
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
        // Over plain TCP there is no certificate, so a complete request distinguishes a client from a silent connection.
        if !had_reply && context.certs.is_none() {
            match place.establish() {
                Ok(()) => {}
                Err(NotEstablished::LimitReached(limit)) => return ConnectionEnd::LimitReached(limit),
                Err(NotEstablished::Displaced) => return ConnectionEnd::Displaced { had_reply },
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
        place.end_request();
        had_reply = true;
        // A client that sends requests without a pause must not keep others from their turn.
        tokio::task::yield_now().await;
        if state.is_stopping() {
            return ConnectionEnd::Done;
        }
    }
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

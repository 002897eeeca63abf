//! One client: frames in, frames out, each with a deadline. Generic over the stream, so plain and TLS are alike.

use std::time::Duration;

use common::rpc::frame::{self, FrameError, PREFIX};
use common::rpc::message::{Failure, Request, RequestError};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::rpc::connection_table::{ConnectionPlace, Full};
use crate::rpc::peer::Peer;
use crate::shutdown::{Phase, Shutdown};
use crate::state::Shared;

/// How long a client may take, and how much it may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From the connection to the end of the TLS handshake.
    pub(crate) handshake: Duration,
    /// For a whole request, from its first byte; the first request from the connection.
    pub(crate) read: Duration,
    /// For a whole reply.
    pub(crate) write: Duration,
    /// Between requests.
    pub(crate) idle: Duration,
    /// Bytes of a request.
    pub(crate) request: usize,
}

/// After a refusal, how long and how much is read on, so that the peer gets to read why: closing a socket with
/// unread bytes resets the connection.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 256 * 1024;

/// How long a connection that must go may take to be told so.
const CLOSE_LIMIT: Duration = Duration::from_millis(100);

/// Why a connection ended other than by the client's leave.
enum End {
    /// The peer closed, or we are shutting down between requests.
    Done,
    /// The peer was too slow.
    Timeout(&'static str),
    /// The transport failed.
    Broken(std::io::Error),
    BadFrame(FrameError),
    BadRequest(RequestError),
    /// The first request is complete, and there is no place for its client.
    Full(Full),
    /// The place is another connection's now.
    Closed {
        served: bool,
    },
}

/// Serves one client to its end.
///
/// Over TLS its place is an established one; over plain TCP it becomes one with the first request.
pub(crate) async fn serve<S>(
    stream: S,
    peer: &Peer,
    shared: &Shared,
    limits: &Limits,
    place: &ConnectionPlace,
    shutdown: Shutdown,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::with_capacity(4096, stream);
    let closing = place.closing();
    let end = requests(&mut stream, peer, shared, limits, place, &closing, shutdown).await;
    let counters = &shared.counters;
    let reason = match end {
        End::Done => {
            let _ = timeout(limits.write, stream.shutdown()).await;
            return;
        }
        End::Timeout(what) => {
            counters.rpc_timeout.bump();
            shared.log.limited("rpc timeout", peer, what);
            return;
        }
        End::Broken(e) => {
            counters.rpc_broken.bump();
            shared.log.limited("rpc broken", peer, e);
            return;
        }
        End::BadFrame(e) => {
            counters.rpc_bad_frame.bump();
            shared.log.limited("rpc frame", peer, format_args!("refused: {e}"));
            e.to_string()
        }
        End::BadRequest(e) => {
            counters.rpc_bad_request.bump();
            shared.log.limited("rpc request", peer, format_args!("refused: {e}"));
            e.to_string()
        }
        End::Full(full) => return turn_away(&mut stream, peer, full, shared, limits).await,
        End::Closed { served: true } => {
            counters.rpc_closed_idle.bump();
            return;
        }
        End::Closed { served: false } => {
            counters.rpc_closed_pending.bump();
            // There is room for it in the socket, since nothing was sent before; there is no waiting for more.
            let reason = "busy: closed for a newer connection, because no request came";
            let _ = timeout(CLOSE_LIMIT, send_failure(&mut stream, reason)).await;
            return;
        }
    };
    refuse(&mut stream, &reason, limits.write).await;
}

/// Tells a client that has proved itself that the daemon has no place for it.
pub(crate) async fn turn_away<S>(stream: &mut S, peer: &Peer, full: Full, shared: &Shared, limits: &Limits)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let counters = &shared.counters;
    match full {
        Full::Total(_) => counters.rpc_refused_total.bump(),
        Full::PerPeer(_) => counters.rpc_refused_peer.bump(),
    }
    let reason = busy(full, "connections with a request in progress");
    shared.log.limited("rpc full", peer, &reason);
    refuse(stream, &reason, limits.write).await;
}

/// Why there is no place, in words.
pub(crate) fn busy(full: Full, counted: &str) -> String {
    match full {
        Full::Total(n) => format!("busy: the limit of {n} {counted} is reached"),
        Full::PerPeer(n) => format!("busy: the limit of {n} {counted} from one address is reached"),
    }
}

/// Says why, and gives the peer the time to read it.
pub(crate) async fn refuse<S>(stream: &mut S, reason: &str, limit: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if matches!(timeout(limit, send_failure(stream, reason)).await, Ok(Ok(()))) {
        let mut rest = stream.take(LINGER_BYTES);
        let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

async fn send_failure<S: AsyncWrite + Unpin>(stream: &mut S, reason: &str) -> std::io::Result<()> {
    let body = serde_json::to_vec(&Failure::new(reason)).map_err(std::io::Error::other)?;
    let frame = frame::encode(&body).map_err(std::io::Error::other)?;
    stream.write_all(&frame).await?;
    stream.shutdown().await
}

async fn requests<S>(
    stream: &mut BufReader<S>,
    peer: &Peer,
    shared: &Shared,
    limits: &Limits,
    place: &ConnectionPlace,
    closing: &Notify,
    mut shutdown: Shutdown,
) -> End
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // A client that has been served may stay a while, and leaving it then is no fault of its.
    let mut served = false;
    loop {
        // Between requests, and only there, a shutdown ends the connection.
        let more = tokio::select! {
            biased;
            more = timeout(if served { limits.idle } else { limits.read }, stream.fill_buf()) => more.map(|r| r.map(|b| !b.is_empty())),
            () = closing.notified() => return End::Closed { served },
            () = shutdown.reached(Phase::Draining) => return End::Done,
        };
        match more {
            Err(_) if served => return End::Done,
            Err(_) => return End::Timeout("sent no request in time"),
            Ok(Ok(false)) => return End::Done,
            Ok(Ok(true)) => shared.counters.rpc_begun.bump(),
            // A TLS client that closes without saying so has still got all it asked for.
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => return End::Done,
            Ok(Err(e)) => return End::Broken(e),
        }
        let body = tokio::select! {
            biased;
            body = timeout(limits.read, read_frame(stream, limits.request)) => body,
            () = closing.notified() => return End::Closed { served },
        };
        let body = match body {
            Err(_) => return End::Timeout("request not complete in time"),
            Ok(Err(end)) => return end,
            Ok(Ok(body)) => body,
        };
        let request = match Request::decode(&body) {
            Ok(request) => request,
            Err(e) => return End::BadRequest(e),
        };
        if !served
            && shared.certs.is_none()
            && let Err(full) = place.establish()
        {
            return End::Full(full);
        }
        // Another connection may have got the place while the request came in: then nothing is done for it.
        if !place.begin_request() {
            return End::Closed { served };
        }
        shared.counters.rpc_requests.bump();
        let reply = crate::core::handler::answer(shared, peer, &request);
        match timeout(limits.write, write_frame(stream, &reply)).await {
            Err(_) => return End::Timeout("reply not taken in time"),
            Ok(Err(e)) => return End::Broken(e),
            Ok(Ok(())) => {}
        }
        place.end_request();
        served = true;
        if shared.is_stopping() {
            return End::Done;
        }
    }
}

async fn read_frame<S: AsyncRead + Unpin>(stream: &mut BufReader<S>, limit: usize) -> Result<Vec<u8>, End> {
    let mut prefix = [0; PREFIX];
    stream.read_exact(&mut prefix).await.map_err(End::Broken)?;
    let length = frame::length(prefix, limit).map_err(End::BadFrame)?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.map_err(End::Broken)?;
    Ok(body)
}

async fn write_frame<S: AsyncWrite + Unpin>(stream: &mut S, body: &[u8]) -> std::io::Result<()> {
    let frame = frame::encode(body).map_err(std::io::Error::other)?;
    stream.write_all(&frame).await?;
    stream.flush().await
}

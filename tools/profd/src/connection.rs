//! One client: frames in, frames out, each with a deadline. Generic over the stream, so plain and TLS are alike.

use std::time::Duration;

use common::rpc::frame::{self, FrameError, PREFIX};
use common::rpc::message::{Failure, Request, RequestError};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::time::timeout;

use crate::peer::Peer;
use crate::shared::Shared;
use crate::shutdown::{Phase, Shutdown};

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
}

/// Serves one client to its end.
pub(crate) async fn serve<S>(stream: S, peer: &Peer, shared: &Shared, limits: &Limits, shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut stream = BufReader::with_capacity(4096, stream);
    let end = requests(&mut stream, peer, shared, limits, shutdown).await;
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
    };
    refuse(&mut stream, &reason, limits.write).await;
}

/// Says why, and gives the peer the time to read it.
pub(crate) async fn refuse<S>(stream: &mut S, reason: &str, limit: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Ok(body) = serde_json::to_vec(&Failure::new(reason)) else { return };
    let Ok(frame) = frame::encode(&body) else { return };
    let said = async {
        stream.write_all(&frame).await?;
        stream.shutdown().await
    };
    if matches!(timeout(limit, said).await, Ok(Ok(()))) {
        let mut rest = stream.take(LINGER_BYTES);
        let _ = timeout(LINGER, tokio::io::copy(&mut rest, &mut tokio::io::sink())).await;
    }
}

async fn requests<S>(
    stream: &mut BufReader<S>,
    peer: &Peer,
    shared: &Shared,
    limits: &Limits,
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
        let body = match timeout(limits.read, read_frame(stream, limits.request)).await {
            Err(_) => return End::Timeout("request not complete in time"),
            Ok(Err(end)) => return end,
            Ok(Ok(body)) => body,
        };
        let request = match Request::decode(&body) {
            Ok(request) => request,
            Err(e) => return End::BadRequest(e),
        };
        shared.counters.rpc_requests.bump();
        let reply = crate::handler::answer(shared, peer, &request);
        match timeout(limits.write, write_frame(stream, &reply)).await {
            Err(_) => return End::Timeout("reply not taken in time"),
            Ok(Err(e)) => return End::Broken(e),
            Ok(Ok(())) => {}
        }
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

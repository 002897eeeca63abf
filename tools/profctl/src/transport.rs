//! The exchange with one daemon: resolve its name, connect, TLS handshake, send a frame, receive a frame. One deadline
//! covers all stages.
//!
//! The content of the frames is not interpreted here. No peer can make an exchange panic, outlast its deadline, or
//! allocate more memory than the peer has sent bytes.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::rpc::frame::{self, MAX_REPLY, PREFIX};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::counted_stream::CountedStream;
use crate::daemon_address::DaemonAddress;
use crate::exchange_error::{ExchangeError, ExchangeStage};

/// Maximum time to close the connection after the reply has arrived.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(200);

/// How to connect to daemons.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) security: ConnectionSecurity,
    /// From name resolution to the last byte of the reply.
    pub(crate) timeout: Duration,
}

/// How connections are protected.
#[derive(Clone)]
pub(crate) enum ConnectionSecurity {
    /// Plain TCP (`--certs-dir NO_CERTS`).
    Plain,
    /// Mutual TLS.
    Tls {
        connector: TlsConnector,
        /// The name to verify the daemon's certificate against; by default the host.
        server_name: Option<ServerName<'static>>,
    },
}

/// The reply of a daemon, and the address that sent it.
#[derive(Debug)]
pub(crate) struct DaemonReply {
    pub(crate) address: SocketAddr,
    pub(crate) body: Vec<u8>,
}

/// A connection, with or without TLS.
pub(crate) trait DaemonStream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> DaemonStream for T {}

/// An open connection to a daemon.
pub(crate) struct DaemonConnection {
    stream: Box<dyn DaemonStream>,
    address: SocketAddr,
    deadline: ExchangeDeadline,
    is_tls: bool,
}

impl Transport {
    /// Sends a request in one frame, and returns the body of the frame that the daemon replies with.
    ///
    /// # Errors
    /// See [`ExchangeError`].
    pub(crate) async fn send_request(
        &self,
        daemon: &DaemonAddress,
        body: &[u8],
    ) -> Result<DaemonReply, ExchangeError> {
        let mut connection = self.connect(daemon).await?;
        let body = connection.exchange(body).await?;
        connection.close().await;
        Ok(DaemonReply { address: connection.address, body })
    }

    /// Connects to a daemon. The time limit holds for the connection and everything that is exchanged on it.
    ///
    /// # Errors
    /// See [`ExchangeError`].
    pub(crate) async fn connect(&self, daemon: &DaemonAddress) -> Result<DaemonConnection, ExchangeError> {
        let deadline = ExchangeDeadline { at: Instant::now() + self.timeout, timeout: self.timeout };
        let stream = connect_to_daemon(daemon, &deadline).await?;
        let address = stream.peer_addr().map_err(|e| ExchangeError::Io(ExchangeStage::Connect, e))?;
        let (stream, is_tls): (Box<dyn DaemonStream>, bool) = match &self.security {
            ConnectionSecurity::Plain => (Box::new(stream), false),
            ConnectionSecurity::Tls { connector, server_name } => {
                let name = match server_name {
                    Some(name) => name.clone(),
                    None => ServerName::try_from(daemon.host.clone())
                        .map_err(|_| ExchangeError::InvalidServerName)?,
                };
                let stream = CountedStream::new(stream);
                let received = stream.received();
                let handshake = deadline.run_stage(ExchangeStage::Handshake, connector.connect(name, stream));
                let closed = |e: ExchangeError| e.explain_closed_handshake(received.load(Ordering::Relaxed));
                (Box::new(handshake.await.map_err(closed)?), true)
            }
        };
        Ok(DaemonConnection { stream, address, deadline, is_tls })
    }
}

impl DaemonConnection {
    /// Sends the body of a request, and returns that of the reply. Existing daemons answer one request and close.
    ///
    /// # Errors
    /// See [`ExchangeError`].
    pub(crate) async fn exchange(&mut self, body: &[u8]) -> Result<Vec<u8>, ExchangeError> {
        let request = frame::encode(body).map_err(ExchangeError::Frame)?;
        exchange_frames(&mut self.stream, &request, &self.deadline, self.is_tls).await
    }

    /// Closes the connection, and waits a short time until that has been sent.
    pub(crate) async fn close(&mut self) {
        let _ = timeout(SHUTDOWN_TIMEOUT, self.stream.shutdown()).await;
    }
}

/// The deadline of an exchange.
struct ExchangeDeadline {
    at: Instant,
    timeout: Duration,
}

impl ExchangeDeadline {
    /// Runs one stage of the exchange until the deadline.
    async fn run_stage<T>(
        &self,
        stage: ExchangeStage,
        io: impl Future<Output = std::io::Result<T>>,
    ) -> Result<T, ExchangeError> {
        match timeout_at(self.at, io).await {
            Ok(result) => result.map_err(|e| ExchangeError::from_io_error(stage, e)),
            Err(_) => Err(ExchangeError::Timeout(stage, self.timeout)),
        }
    }
}

/// Connects to the first address of the host that accepts. The remaining time is divided evenly among the remaining
/// addresses, so an unreachable one does not use up the time of the others.
async fn connect_to_daemon(
    daemon: &DaemonAddress,
    deadline: &ExchangeDeadline,
) -> Result<TcpStream, ExchangeError> {
    let addresses = match daemon.ip {
        Some(ip) => vec![SocketAddr::new(ip, daemon.port)],
        None => {
            let lookup = tokio::net::lookup_host((daemon.host.as_str(), daemon.port));
            let found = deadline.run_stage(ExchangeStage::Resolve, lookup).await?;
            let mut addresses: Vec<SocketAddr> = found.collect();
            addresses.dedup();
            addresses
        }
    };
    let mut failure = ExchangeError::NoAddress;
    for (i, address) in addresses.iter().enumerate() {
        let left = deadline.at.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - i).unwrap_or(1);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // The request is one small segment: Nagle's algorithm (tcp(7), TCP_NODELAY) would only delay it.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(e)) => failure = ExchangeError::Io(ExchangeStage::Connect, e),
            Err(_) => failure = ExchangeError::Timeout(ExchangeStage::Connect, deadline.timeout),
        }
    }
    Err(failure)
}

/// Sends the request frame, and receives the reply frame.
async fn exchange_frames<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
    deadline: &ExchangeDeadline,
    tls: bool,
) -> Result<Vec<u8>, ExchangeError> {
    let write = async {
        stream.write_all(request).await?;
        stream.flush().await
    };
    // A daemon can reply with an error before it has read the whole request: read even when sending failed.
    let written = deadline.run_stage(ExchangeStage::Write, write).await;
    match (read_frame(stream, deadline, tls).await, written) {
        (Ok(reply), _) => Ok(reply),
        // In TLS 1.3 the server verifies the client certificate after the client has completed its handshake (RFC 8446,
        // section 2): its alert arrives here, and explains more than the broken pipe.
        (Err(e @ ExchangeError::Tls(_)), _) | (Err(e), Ok(())) | (Err(_), Err(e)) => Err(e),
    }
}

/// Receives one frame. The buffer grows with the bytes received, not with the length in the prefix.
async fn read_frame<S: AsyncRead + Unpin>(
    stream: &mut S,
    deadline: &ExchangeDeadline,
    tls: bool,
) -> Result<Vec<u8>, ExchangeError> {
    let mut prefix = Vec::with_capacity(PREFIX);
    read_up_to(stream, &mut prefix, PREFIX, deadline).await?;
    let prefix: [u8; PREFIX] = match prefix.try_into() {
        Ok(prefix) => prefix,
        Err(short) if short.is_empty() => return Err(ExchangeError::NoReply { tls }),
        Err(short) => return Err(ExchangeError::TruncatedPrefix(short.len())),
    };
    // A TLS alert record (RFC 8446, section 5.1): the daemon took the request for an invalid ClientHello.
    if !tls && prefix[..2] == [0x15, 0x03] {
        return Err(ExchangeError::TlsExpected);
    }
    let length = frame::length(prefix, MAX_REPLY).map_err(ExchangeError::Frame)?;
    let mut body = Vec::with_capacity(length.min(1 << 16));
    read_up_to(stream, &mut body, length, deadline).await?;
    if body.len() < length {
        return Err(ExchangeError::TruncatedReply { got: body.len(), of: length });
    }
    Ok(body)
}

/// Reads `length` bytes, or fewer when the daemon closes or resets the connection.
async fn read_up_to<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    length: usize,
    deadline: &ExchangeDeadline,
) -> Result<(), ExchangeError> {
    match deadline.run_stage(ExchangeStage::Read, stream.take(length as u64).read_to_end(buffer)).await {
        Err(e) if !e.is_closed_by_peer() => Err(e),
        _ => Ok(()),
    }
}

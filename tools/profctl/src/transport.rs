//! One request to one daemon: resolve, connect, handshake, write a frame, read a frame, each before one deadline.
//!
//! What the bytes mean is for others. Nothing that a peer does makes this panic, wait beyond the deadline or
//! take more memory than the reply has bytes.

use std::net::SocketAddr;
use std::time::Duration;

use common::rpc::frame::{self, MAX_REPLY, PREFIX};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::failure::{Failure, Stage};
use crate::target::Target;

/// How long a peer may take to hear that we are leaving, once its reply is here.
const FAREWELL: Duration = Duration::from_millis(200);

/// How daemons are talked to.
#[derive(Clone)]
pub(crate) struct Transport {
    pub(crate) security: Security,
    /// For everything from the name look-up to the last byte of the reply.
    pub(crate) timeout: Duration,
}

/// What protects the connection.
#[derive(Clone)]
pub(crate) enum Security {
    /// Nothing: `NO_CERTS`.
    Plain,
    /// Mutual TLS.
    Tls {
        connector: TlsConnector,
        /// The name that the daemon's certificate must be good for, where it is not the host.
        server_name: Option<ServerName<'static>>,
    },
}

/// What a daemon sent back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) address: SocketAddr,
    pub(crate) body: Vec<u8>,
}

impl Transport {
    /// Sends one frame and reads one.
    ///
    /// # Errors
    /// See [`Failure`].
    pub(crate) async fn exchange(&self, target: &Target, body: &[u8]) -> Result<Reply, Failure> {
        let deadline = Deadline { at: Instant::now() + self.timeout, whole: self.timeout };
        let request = frame::encode(body).map_err(Failure::Frame)?;
        let stream = dial(target, &deadline).await?;
        let address = stream.peer_addr().map_err(|e| Failure::Io(Stage::Connect, e))?;
        let body = match &self.security {
            Security::Plain => talk(stream, &request, &deadline, false).await?,
            Security::Tls { connector, server_name } => {
                let name = match server_name {
                    Some(name) => name.clone(),
                    None => ServerName::try_from(target.host.clone()).map_err(|_| Failure::Name)?,
                };
                let stream = deadline.of(Stage::Handshake, connector.connect(name, stream)).await?;
                talk(stream, &request, &deadline, true).await?
            }
        };
        Ok(Reply { address, body })
    }
}

/// The one deadline of an exchange.
struct Deadline {
    at: Instant,
    whole: Duration,
}

impl Deadline {
    async fn of<T>(&self, stage: Stage, io: impl Future<Output = std::io::Result<T>>) -> Result<T, Failure> {
        match timeout_at(self.at, io).await {
            Ok(result) => result.map_err(|e| Failure::of(stage, e)),
            Err(_) => Err(Failure::Timeout(stage, self.whole)),
        }
    }
}

/// Connects to the first address of the host that answers. No address may use up the time of those after it.
async fn dial(target: &Target, deadline: &Deadline) -> Result<TcpStream, Failure> {
    let look_up = tokio::net::lookup_host((target.host.as_str(), target.port));
    let mut addresses: Vec<SocketAddr> = deadline.of(Stage::Resolve, look_up).await?.collect();
    addresses.dedup();
    let mut failure = Failure::NoAddress;
    for (i, address) in addresses.iter().enumerate() {
        let left = deadline.at.saturating_duration_since(Instant::now());
        let share = left / u32::try_from(addresses.len() - i).unwrap_or(1);
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // One small request: waiting to fill a segment only costs time.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(e)) => failure = Failure::Io(Stage::Connect, e),
            Err(_) => failure = Failure::Timeout(Stage::Connect, deadline.whole),
        }
    }
    Err(failure)
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    request: &[u8],
    deadline: &Deadline,
    tls: bool,
) -> Result<Vec<u8>, Failure> {
    let write = async {
        stream.write_all(request).await?;
        stream.flush().await
    };
    // A daemon that refuses may say so before it has read everything: look for its answer before giving up.
    let written = deadline.of(Stage::Write, write).await;
    let reply = match (read(&mut stream, deadline, tls).await, written) {
        (Ok(reply), _) => reply,
        // The verdict on our certificate arrives after the handshake, and says more than a broken pipe.
        (Err(e @ Failure::Tls(_)), _) | (Err(e), Ok(())) | (Err(_), Err(e)) => return Err(e),
    };
    let _ = timeout(FAREWELL, stream.shutdown()).await;
    Ok(reply)
}

/// Reads one frame. The buffer grows with what arrives, not with what the prefix claims.
async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    deadline: &Deadline,
    tls: bool,
) -> Result<Vec<u8>, Failure> {
    let mut prefix = Vec::with_capacity(PREFIX);
    fill(stream, &mut prefix, PREFIX, deadline).await?;
    let prefix: [u8; PREFIX] = match prefix.try_into() {
        Ok(prefix) => prefix,
        Err(short) if short.is_empty() => return Err(Failure::NoReply { tls }),
        Err(short) => return Err(Failure::CutPrefix(short.len())),
    };
    // An alert record: the peer took our plain request for a broken TLS greeting.
    if !tls && prefix[..2] == [0x15, 0x03] {
        return Err(Failure::SpeaksTls);
    }
    let length = frame::length(prefix, MAX_REPLY).map_err(Failure::Frame)?;
    let mut body = Vec::with_capacity(length.min(1 << 16));
    fill(stream, &mut body, length, deadline).await?;
    if body.len() < length {
        return Err(Failure::Cut { got: body.len(), of: length });
    }
    Ok(body)
}

/// Reads so many bytes, or fewer when the other end hangs up, however it does that.
async fn fill<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    length: usize,
    deadline: &Deadline,
) -> Result<(), Failure> {
    match deadline.of(Stage::Read, stream.take(length as u64).read_to_end(buffer)).await {
        Err(e) if !e.is_closed() => Err(e),
        _ => Ok(()),
    }
}

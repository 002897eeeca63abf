//! Rejects connections beyond the limits, and says so: with an error over plain TCP, with an alert over TLS.

use std::sync::Arc;
use std::time::Duration;

use common::rpc::frame;
use common::rpc::message::{ErrorCode, Failure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Maximum number of rejected connections that are read from until their clients have got the reason. Further ones are
/// closed at once.
const MAX_LINGERING: usize = 64;

/// How long one of them may take, and how many bytes are read: a socket that is closed with unread bytes sends a reset,
/// which discards the reason (RFC 1122, section 4.2.2.13).
const LINGER: Duration = Duration::from_millis(250);
const LINGER_BYTES: u64 = 64 * 1024;

/// A TLS record with the fatal alert internal_error, in the clear: valid until the ServerHello is sent (RFC 8446, sections
/// 5.1 and 6). It is "unrelated to the peer or the correctness of the protocol", and nothing else here sends it, so a
/// client can take it for a limit.
const BUSY_ALERT: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 80];

/// Rejects connections.
#[derive(Debug)]
pub(super) struct Rejecter {
    is_tls: bool,
    lingering: Arc<Semaphore>,
}

impl Rejecter {
    pub(super) fn new(is_tls: bool) -> Self {
        Self { is_tls, lingering: Arc::new(Semaphore::new(MAX_LINGERING)) }
    }

    /// Sends the reason and closes the connection, without waiting for either.
    pub(super) fn reject(&self, mut stream: TcpStream, reason: String) {
        let message = if self.is_tls { BUSY_ALERT.to_vec() } else { encode_failure(&reason) };
        // The buffer of a new socket is empty: this does not block.
        if stream.try_write(&message).is_err() {
            return;
        }
        let Ok(permit) = self.lingering.clone().try_acquire_owned() else { return };
        tokio::spawn(async move {
            let read = async {
                let _ = stream.shutdown().await;
                let _ = tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await;
            };
            let _ = timeout(LINGER, read).await;
            drop(permit);
        });
    }
}

fn encode_failure(reason: &str) -> Vec<u8> {
    let body = serde_json::to_vec(&Failure::new(ErrorCode::Busy, reason)).unwrap_or_default();
    frame::encode(&body).unwrap_or_default()
}

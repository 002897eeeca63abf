//! Limits of the RPC side, as validated.

use std::time::Duration;

/// Limits on connections and on what each of them may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerLimits {
    pub(crate) connections: ConnectionLimits,
    pub(crate) requests: RequestLimits,
    /// Of clients from addresses without a recent success.
    pub(crate) handshakes_per_second: usize,
    /// How long requests in progress may take after the first signal to stop.
    pub(crate) drain: Duration,
}

/// How many connections there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    pub(crate) pending: PoolLimits,
    pub(crate) established: PoolLimits,
}

/// How many connections of one kind there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PoolLimits {
    /// From all addresses.
    pub(crate) total: usize,
    /// From one address (IPv6: from one /64).
    pub(crate) per_peer: usize,
}

/// How long a client may take, and how much it may send.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLimits {
    /// From the connection to the end of the TLS handshake.
    pub(crate) handshake_timeout: Duration,
    /// For a whole request, from its first byte; the first request of a connection: from the start of the connection.
    pub(crate) read_timeout: Duration,
    /// For a whole reply.
    pub(crate) write_timeout: Duration,
    /// Between two requests of one connection.
    pub(crate) idle_timeout: Duration,
    /// After which a connection is closed between two requests.
    pub(crate) max_age: Duration,
    /// Length of a request in bytes.
    pub(crate) max_bytes: usize,
}

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

impl ConnectionLimits {
    /// Returns the maximum number of connections of both kinds.
    pub(crate) fn total(&self) -> usize {
        self.pending.total + self.established.total
    }

    /// Lowers all limits in proportion, so that the connections need no more than this number of descriptors. A daemon
    /// that is out of descriptors could not accept the connection for which another one is to be closed.
    pub(crate) fn fit_descriptors(self, descriptors: usize) -> Self {
        let wanted = self.total();
        if wanted <= descriptors {
            return self;
        }
        let lower = |limit: usize| (limit.saturating_mul(descriptors) / wanted).max(1);
        let lower_pool =
            |pool: PoolLimits| PoolLimits { total: lower(pool.total), per_peer: lower(pool.per_peer) };
        Self { pending: lower_pool(self.pending), established: lower_pool(self.established) }
    }
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

/// The largest number of things that an option may ask for: more than any host has.
const MOST: usize = 100_000_000;

/// Parses a limit that 0 would make useless.
pub(super) fn parse_positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| (1..=MOST).contains(n));
    number.ok_or_else(|| format!("expected a whole number from 1 to {MOST}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_fit_the_descriptors() {
        let pool = |total, per_peer| PoolLimits { total, per_peer };
        let limits = ConnectionLimits { pending: pool(2000, 1000), established: pool(1000, 250) };
        let totals = |l: ConnectionLimits| {
            [l.pending.total, l.pending.per_peer, l.established.total, l.established.per_peer]
        };
        assert_eq!(totals(limits.fit_descriptors(3000)), [2000, 1000, 1000, 250]);
        assert_eq!(totals(limits.fit_descriptors(30)), [20, 10, 10, 2]);
        assert_eq!(totals(limits.fit_descriptors(2)), [1, 1, 1, 1]);
    }
}

//! The addresses that connections come from: which have been served lately, and which have failed.
//!
//! Like sshd (sshd_config(5), `MaxStartups`, `PerSourcePenalties`), with one difference: a connection is rejected only when
//! a limit is near, never for the past of its address alone, because clients and unauthenticated peers may share an address.
//!
//! - An address from which a client was served in the last minutes is known. Its handshakes are not delayed, and its
//!   connections are not dropped early.
//! - A connection that is closed without a request, or whose handshake fails, is a penalty for its address, which decays.
//!   An address with penalties may have fewer pending connections: down to a quarter.
//! - When three quarters of all pending connections are used, new ones of other addresses are dropped at random, the
//!   more the fuller the table is, so that those in progress can finish.
//! - Handshakes of addresses that are not known take from a common budget, and wait for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How long an address stays known after a client was served.
const KNOWN_FOR: Duration = Duration::from_secs(600);

/// The time in which a penalty decays to a half.
const HALF_LIFE: Duration = Duration::from_secs(30);

/// Penalties at which the limit on pending connections of an address is halved; at three times as many it is a quarter.
const PENALTY_STEP: f64 = 100.0;

/// How long a handshake waits for the budget. More would let a flood take tokens far into the future.
const MAX_HANDSHAKE_DELAY: Duration = Duration::from_secs(2);

/// The share of new connections that are dropped when the table is full. The others displace silent ones.
const MAX_EARLY_DROP: f64 = 0.9;

/// Maximum number of addresses. When it is reached, those that are not known are removed.
const MAX_SOURCES: usize = 65_536;

/// The addresses, by [`super::connection_table::peer_address`].
#[derive(Debug)]
pub(super) struct Sources {
    by_address: HashMap<IpAddr, Source>,
    handshakes: HandshakeBudget,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    penalty: f64,
    penalized: Instant,
    last_served: Option<Instant>,
}

/// A token bucket whose tokens may be taken in advance: the handshake then waits until its token exists.
#[derive(Clone, Copy, Debug)]
struct HandshakeBudget {
    interval: Duration,
    /// When the next token exists.
    next: Instant,
}

impl Sources {
    /// `handshakes_per_second` is the budget of addresses that are not known.
    pub(super) fn new(handshakes_per_second: usize, now: Instant) -> Self {
        let per_second = u32::try_from(handshakes_per_second.max(1)).unwrap_or(u32::MAX);
        let interval = Duration::from_secs(1) / per_second;
        Self { by_address: HashMap::new(), handshakes: HandshakeBudget { interval, next: now } }
    }

    /// Notes that a client of an address was served.
    pub(super) fn note_served(&mut self, address: IpAddr, now: Instant) {
        self.entry(address, now).last_served = Some(now);
    }

    /// Notes that a connection of an address failed before it was served.
    pub(super) fn note_failure(&mut self, address: IpAddr, now: Instant) {
        let source = self.entry(address, now);
        source.penalty = source.penalty_at(now) + 1.0;
        source.penalized = now;
    }

    /// Returns whether a client of an address was served lately.
    pub(super) fn is_known(&self, address: IpAddr, now: Instant) -> bool {
        self.by_address.get(&address).is_some_and(|source| source.is_known(now))
    }

    /// Returns the maximum number of pending connections of an address, of `limit` without penalties.
    pub(super) fn pending_limit(&self, address: IpAddr, limit: usize, now: Instant) -> usize {
        let penalty = self.by_address.get(&address).map_or(0.0, |source| source.penalty_at(now));
        match penalty {
            p if p >= 3.0 * PENALTY_STEP => limit.div_ceil(4),
            p if p >= PENALTY_STEP => limit.div_ceil(2),
            _ => limit,
        }
    }

    /// Returns whether a new connection is dropped because the table of pending connections is nearly full. `random` makes
    /// a number that is evenly distributed in 0 to 1.
    pub(super) fn drops_early(
        &self,
        address: IpAddr,
        pending: usize,
        limit: usize,
        random: impl FnOnce() -> f64,
        now: Instant,
    ) -> bool {
        let start = limit - limit / 4;
        if pending < start || self.is_known(address, now) {
            return false;
        }
        #[expect(clippy::cast_precision_loss, reason = "numbers of connections")]
        let share = (pending.min(limit) - start + 1) as f64 / (limit - start + 1) as f64;
        random() < share * MAX_EARLY_DROP
    }

    /// Returns how long a handshake of an address must wait; `None` if it would be too long.
    pub(super) fn delay_handshake(&mut self, address: IpAddr, now: Instant) -> Option<Duration> {
        if self.is_known(address, now) {
            return Some(Duration::ZERO);
        }
        let budget = &mut self.handshakes;
        // A second's worth may be taken at once.
        let earliest = now.checked_sub(Duration::from_secs(1)).unwrap_or(now);
        let token = budget.next.max(earliest);
        let delay = token.saturating_duration_since(now);
        if delay > MAX_HANDSHAKE_DELAY {
            return None;
        }
        budget.next = token + budget.interval;
        Some(delay)
    }

    fn entry(&mut self, address: IpAddr, now: Instant) -> &mut Source {
        if self.by_address.len() >= MAX_SOURCES && !self.by_address.contains_key(&address) {
            self.by_address.retain(|_, source| source.is_known(now));
            // Even clients of that many addresses must not make it grow.
            if self.by_address.len() >= MAX_SOURCES {
                self.by_address.clear();
            }
        }
        self.by_address.entry(address).or_insert(Source { penalty: 0.0, penalized: now, last_served: None })
    }
}

impl Source {
    fn is_known(&self, now: Instant) -> bool {
        self.last_served.is_some_and(|at| now.saturating_duration_since(at) < KNOWN_FOR)
    }

    fn penalty_at(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.penalized);
        self.penalty * 0.5_f64.powf(age.as_secs_f64() / HALF_LIFE.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    #[test]
    fn penalties_lower_the_limit_and_decay() {
        let start = Instant::now();
        let mut sources = Sources::new(10, start);
        for _ in 0..400 {
            sources.note_failure(host(1), start);
        }
        let limit = |seconds| sources.pending_limit(host(1), 1000, start + Duration::from_secs(seconds));
        assert_eq!([limit(0), limit(30), limit(90)], [250, 500, 1000]);
        assert_eq!(sources.pending_limit(host(2), 1000, start), 1000);
    }

    #[test]
    fn new_addresses_are_dropped_early_and_known_ones_are_not() {
        let now = Instant::now();
        let mut sources = Sources::new(10, now);
        sources.note_served(host(1), now);
        assert!(!sources.drops_early(host(2), 74, 100, || 0.0, now));
        assert!(
            sources.drops_early(host(2), 75, 100, || 0.01, now)
                && !sources.drops_early(host(2), 75, 100, || 0.5, now)
        );
        assert!(
            sources.drops_early(host(2), 99, 100, || 0.8, now)
                && !sources.drops_early(host(2), 100, 100, || 0.91, now)
        );
        assert!(!sources.drops_early(host(1), 99, 100, || 0.0, now));
        assert!(sources.drops_early(host(1), 99, 100, || 0.0, now + KNOWN_FOR));
    }

    #[test]
    fn handshakes_of_unauthenticated_peers_wait_for_their_budget() {
        let start = Instant::now();
        let mut sources = Sources::new(10, start);
        let later = start + Duration::from_secs(5);
        let delays: Vec<_> = (0..13).map(|_| sources.delay_handshake(host(1), later).unwrap()).collect();
        assert!(delays[..11].iter().all(Duration::is_zero), "{delays:?}");
        assert_eq!(delays[12], Duration::from_millis(200));
        sources.note_served(host(2), later);
        assert_eq!(sources.delay_handshake(host(2), later), Some(Duration::ZERO));
        assert_eq!((0..30).filter_map(|_| sources.delay_handshake(host(1), later)).count(), 18);
        assert_eq!(sources.delay_handshake(host(1), later), None, "it does not wait longer than two seconds");
    }

    #[test]
    fn the_table_of_addresses_is_bounded() {
        let now = Instant::now();
        let mut sources = Sources::new(10, now);
        sources.note_served(host(1), now);
        for n in 0..u32::try_from(2 * MAX_SOURCES).unwrap() {
            sources.note_failure(IpAddr::from(n.to_be_bytes()), now);
        }
        assert!(sources.by_address.len() <= MAX_SOURCES && sources.is_known(host(1), now));
    }
}

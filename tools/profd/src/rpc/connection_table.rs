//! The table of connections: how many there may be, and which one is closed when another needs its place.
//!
//! Strangers and clients are counted apart. A connection is pending until its client has proved itself, by the TLS
//! handshake or over plain TCP by a whole request; after that it is established. A full pending table closes a
//! connection that has sent nothing useful, the oldest one of the address that holds most places: so silent
//! connections only take places from each other. A full established table closes the one that has been idle longest.
//! A connection whose request is being answered is never closed for another's sake.
//!
//! OpenSSH limits unauthenticated connections in the same way, but drops newcomers at random
//! (sshd_config(5), `MaxStartups` and `PerSourceMaxStartups`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::plan::limits::{ConnectionLimits, PoolLimits};

/// A handshake in progress is not closed for a newcomer before it has had this long.
const HANDSHAKE_GRACE: Duration = Duration::from_millis(500);

/// The limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionLimit {
    Total(usize),
    PerPeer(usize),
}

/// See the module. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTable(Arc<Mutex<ConnectionPools>>);

#[derive(Debug)]
struct ConnectionPools {
    next_id: u64,
    pending: ConnectionPool,
    established: ConnectionPool,
}

/// The place of one connection in the table; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    table: ConnectionTable,
    id: u64,
    peer: IpAddr,
    closing: Arc<Notify>,
}

/// What a connection is doing, in the order in which connections are closed for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ConnectionStage {
    /// It has sent nothing yet, or nothing that is complete; or it waits between two requests.
    Waiting,
    /// Its TLS handshake is in progress.
    Handshake,
    /// Its request is being answered.
    Busy,
}

#[derive(Debug)]
struct ConnectionEntry {
    peer: IpAddr,
    stage: ConnectionStage,
    since: Instant,
    closing: Arc<Notify>,
}

#[derive(Debug)]
struct ConnectionPool {
    limits: PoolLimits,
    entries: HashMap<u64, ConnectionEntry>,
    by_peer: HashMap<IpAddr, usize>,
}

impl ConnectionTable {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        let pools = ConnectionPools {
            next_id: 0,
            pending: ConnectionPool::new(limits.pending),
            established: ConnectionPool::new(limits.established),
        };
        Self(Arc::new(Mutex::new(pools)))
    }

    /// Gives a new connection a place among the pending ones.
    ///
    /// # Errors
    /// All pending connections are in a handshake that has just begun.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<ConnectionPlace, ConnectionLimit> {
        let mut pools = self.lock();
        let peer = peer_of(address);
        pools.pending.make_room(peer, Instant::now())?;
        pools.next_id += 1;
        let id = pools.next_id;
        let closing = Arc::new(Notify::new());
        pools.pending.insert(id, ConnectionEntry::new(peer, ConnectionStage::Waiting, closing.clone()));
        Ok(ConnectionPlace { table: self.clone(), id, peer, closing })
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionPools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPlace {
    /// Resolves when the connection must be closed, because another one gets its place.
    pub(crate) fn closing(&self) -> Arc<Notify> {
        self.closing.clone()
    }

    /// The client's first TLS message is complete.
    pub(crate) fn begin_handshake(&self) {
        self.table.lock().pending.set_stage(self.id, ConnectionStage::Handshake);
    }

    /// Moves the connection to the established ones: its certificate was verified, or its first request is complete.
    ///
    /// # Errors
    /// The limit that is reached, while none of the connections that it counts is idle.
    pub(crate) fn establish(&self) -> Result<(), ConnectionLimit> {
        let mut pools = self.table.lock();
        pools.established.make_room(self.peer, Instant::now())?;
        pools.pending.remove(self.id);
        pools
            .established
            .insert(self.id, ConnectionEntry::new(self.peer, ConnectionStage::Waiting, self.closing.clone()));
        Ok(())
    }

    /// A request is going to be answered. False if the place was taken away before: then it must not be.
    pub(crate) fn begin_request(&self) -> bool {
        self.table.lock().established.set_stage(self.id, ConnectionStage::Busy)
    }

    /// The reply was sent.
    pub(crate) fn end_request(&self) {
        self.table.lock().established.set_stage(self.id, ConnectionStage::Waiting);
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut pools = self.table.lock();
        pools.pending.remove(self.id);
        pools.established.remove(self.id);
    }
}

impl ConnectionEntry {
    fn new(peer: IpAddr, stage: ConnectionStage, closing: Arc<Notify>) -> Self {
        Self { peer, stage, since: Instant::now(), closing }
    }

    /// Whether it may be closed for another connection.
    fn may_close(&self, now: Instant) -> bool {
        match self.stage {
            ConnectionStage::Waiting => true,
            ConnectionStage::Handshake => now.saturating_duration_since(self.since) >= HANDSHAKE_GRACE,
            ConnectionStage::Busy => false,
        }
    }
}

impl ConnectionPool {
    fn new(limits: PoolLimits) -> Self {
        Self { limits, entries: HashMap::new(), by_peer: HashMap::new() }
    }

    fn held_by(&self, peer: IpAddr) -> usize {
        self.by_peer.get(&peer).copied().unwrap_or_default()
    }

    /// Makes room for one connection of a peer, if need be by closing another.
    fn make_room(&mut self, peer: IpAddr, now: Instant) -> Result<(), ConnectionLimit> {
        let full = if self.held_by(peer) >= self.limits.per_peer {
            ConnectionLimit::PerPeer(self.limits.per_peer)
        } else if self.entries.len() >= self.limits.total {
            ConnectionLimit::Total(self.limits.total)
        } else {
            return Ok(());
        };
        let counts = |entry: &ConnectionEntry| match full {
            ConnectionLimit::PerPeer(_) => entry.peer == peer,
            ConnectionLimit::Total(_) => true,
        };
        let candidates = self.entries.iter().filter(|(_, e)| counts(e) && e.may_close(now));
        // The address that holds most places gives one up: its oldest one that has least to show.
        let rank =
            |(id, e): &(&u64, &ConnectionEntry)| (usize::MAX - self.held_by(e.peer), e.stage, e.since, **id);
        let id = *candidates.min_by_key(rank).ok_or(full)?.0;
        if let Some(entry) = self.remove(id) {
            entry.closing.notify_one();
        }
        Ok(())
    }

    fn insert(&mut self, id: u64, entry: ConnectionEntry) {
        *self.by_peer.entry(entry.peer).or_default() += 1;
        self.entries.insert(id, entry);
    }

    fn remove(&mut self, id: u64) -> Option<ConnectionEntry> {
        let entry = self.entries.remove(&id)?;
        if let Some(n) = self.by_peer.get_mut(&entry.peer) {
            *n -= 1;
            if *n == 0 {
                self.by_peer.remove(&entry.peer);
            }
        }
        Some(entry)
    }

    /// False if the connection has no place any more.
    fn set_stage(&mut self, id: u64, stage: ConnectionStage) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        (entry.stage, entry.since) = (stage, Instant::now());
        true
    }
}

/// The address that stands for a peer: one host may use a whole IPv6 /64 (RFC 4291, section 2.5.4).
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) if v6.is_loopback() => v6.into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: ConnectionLimits = ConnectionLimits {
        pending: PoolLimits { total: 4, per_peer: 3 },
        established: PoolLimits { total: 3, per_peer: 2 },
    };

    fn host(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn is_closing(place: &ConnectionPlace) -> bool {
        let closing = place.closing();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(closing.notified()).as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn a_newcomer_takes_the_place_of_the_oldest_silent_connection_of_its_address() {
        let table = ConnectionTable::new(LIMITS);
        let silent: Vec<_> = (0..3).map(|_| table.admit(host(1)).unwrap()).collect();
        let other = table.admit(host(2)).unwrap();
        let _newcomer = table.admit(host(1)).unwrap();
        let closing: Vec<bool> = silent.iter().map(is_closing).collect();
        assert_eq!(closing, [true, false, false]);
        assert!(!is_closing(&other));
    }

    #[test]
    fn when_all_are_full_the_address_with_most_places_gives_one_up() {
        let table = ConnectionTable::new(LIMITS);
        let first = table.admit(host(1)).unwrap();
        let many: Vec<_> = (0..3).map(|_| table.admit(host(2)).unwrap()).collect();
        let _newcomer = table.admit(host(3)).unwrap();
        assert!(!is_closing(&first), "it is the oldest, but its address holds one place only");
        assert!(is_closing(&many[0]));
    }

    #[test]
    fn a_handshake_outlives_silent_connections_and_has_its_grace() {
        let table = ConnectionTable::new(LIMITS);
        let places: Vec<_> = (0..3).map(|_| table.admit(host(1)).unwrap()).collect();
        places[0].begin_handshake();
        let newcomer = table.admit(host(1)).unwrap();
        assert!(!is_closing(&places[0]) && is_closing(&places[1]));
        places[2].begin_handshake();
        newcomer.begin_handshake();
        assert_eq!(table.admit(host(1)).unwrap_err(), ConnectionLimit::PerPeer(3));
        let later = Instant::now() + HANDSHAKE_GRACE;
        table.lock().pending.make_room(peer_of(host(1)), later).unwrap();
        assert!(is_closing(&places[0]));
    }

    #[test]
    fn established_connections_are_closed_only_while_idle() {
        let table = ConnectionTable::new(LIMITS);
        let places: Vec<_> = (0..3).map(|_| table.admit(host(1)).unwrap()).collect();
        for place in &places[..2] {
            place.establish().unwrap();
            assert!(place.begin_request());
        }
        assert_eq!(places[2].establish().unwrap_err(), ConnectionLimit::PerPeer(2));
        places[1].end_request();
        places[2].establish().unwrap();
        assert!(is_closing(&places[1]) && !is_closing(&places[0]));
        assert!(!places[1].begin_request(), "the place is another's by now");
    }

    #[test]
    fn places_are_free_again_when_their_connections_are_gone() {
        let table = ConnectionTable::new(LIMITS);
        for _ in 0..10 {
            let place = table.admit(host(1)).unwrap();
            place.establish().unwrap();
        }
        let pools = table.lock();
        assert!(pools.pending.entries.is_empty() && pools.established.entries.is_empty());
        assert!(pools.pending.by_peer.is_empty() && pools.established.by_peer.is_empty());
    }

    #[test]
    fn one_network_of_ipv6_is_one_peer() {
        let at = |s: &str| peer_of(s.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}

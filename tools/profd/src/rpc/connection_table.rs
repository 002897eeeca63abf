//! The table of connections: how many there may be, and which one is closed when another needs its place.
//!
//! A connection is pending until its TLS handshake is complete, or over plain TCP until its first request is complete;
//! after that it is established. The two kinds are counted apart. When the limit on pending connections is reached, the
//! address that has most of them loses the oldest one that has made no progress in time: one that has sent nothing
//! complete, or whose handshake has stalled. So connections that make no progress displace each other. When the limit
//! on established connections is reached, the one that has been idle longest is closed, or one that does not read its
//! reply. A connection with a request in progress is never closed for another one.
//!
//! OpenSSH limits unauthenticated connections in the same way, but drops newcomers at random
//! (sshd_config(5), `MaxStartups` and `PerSourceMaxStartups`).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::plan::limits::{ConnectionLimits, PoolLimits};

/// How long a new connection is spared, so that a client can send its first message.
const WAITING_GRACE: Duration = Duration::from_millis(250);

/// How long a handshake in progress, and a reply that its client does not read, are not closed for another connection.
const PROGRESS_GRACE: Duration = Duration::from_millis(500);

/// Why a connection does not become an established one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotEstablished {
    LimitReached(ConnectionLimit),
    /// Another connection has got its place meanwhile.
    Displaced,
}

/// A limit that is reached, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionLimit {
    Total(usize),
    PerPeer(usize),
}

/// The table. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTable(Arc<Mutex<ConnectionPools>>);

#[derive(Debug)]
struct ConnectionPools {
    next_id: u64,
    pending: ConnectionPool,
    established: ConnectionPool,
}

/// The place of one connection in the table. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    table: ConnectionTable,
    id: u64,
    peer: IpAddr,
    closing: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConnectionStage {
    /// It has sent nothing that is complete, or it is between two requests.
    Waiting,
    /// Its TLS handshake is in progress.
    Handshake,
    /// Its request is in progress.
    Busy,
    /// Its reply is being written.
    Replying,
}

/// Which connections are closed first for another one. Among equals, the oldest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ClosingOrder {
    /// It has had its time: to send a message, to complete a handshake, to read a reply.
    Overdue,
    /// It has just begun, and has sent nothing that is complete.
    New,
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

    /// Adds a new connection to the pending ones.
    ///
    /// # Errors
    /// The limit is reached, and every connection that it counts is in a handshake that began less than
    /// [`PROGRESS_GRACE`] ago.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<ConnectionPlace, ConnectionLimit> {
        let mut pools = self.lock_pools();
        let peer = peer_address(address);
        pools.pending.make_room(peer, Instant::now())?;
        pools.next_id += 1;
        let id = pools.next_id;
        let closing = Arc::new(Notify::new());
        pools.pending.insert(id, ConnectionEntry::new(peer, ConnectionStage::Waiting, closing.clone()));
        Ok(ConnectionPlace { table: self.clone(), id, peer, closing })
    }

    fn lock_pools(&self) -> MutexGuard<'_, ConnectionPools> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPlace {
    /// Returns what is notified when the connection must be closed because another one gets its place.
    pub(crate) fn closing(&self) -> Arc<Notify> {
        self.closing.clone()
    }

    /// Notes that the client's first TLS message is complete.
    pub(crate) fn begin_handshake(&self) {
        self.table.lock_pools().pending.set_stage(self.id, ConnectionStage::Handshake);
    }

    /// Moves the connection to the established ones, after its certificate was verified or its first request is complete.
    ///
    /// # Errors
    /// The limit is reached, and every connection that it counts has a request in progress; or the place was taken away
    /// meanwhile.
    pub(crate) fn establish(&self) -> Result<(), NotEstablished> {
        let mut pools = self.table.lock_pools();
        if !pools.pending.entries.contains_key(&self.id) {
            return Err(NotEstablished::Displaced);
        }
        pools.established.make_room(self.peer, Instant::now()).map_err(NotEstablished::LimitReached)?;
        pools.pending.remove(self.id);
        pools
            .established
            .insert(self.id, ConnectionEntry::new(self.peer, ConnectionStage::Waiting, self.closing.clone()));
        Ok(())
    }

    /// Notes that a request is in progress. Returns false if another connection has got the place: then the request must
    /// not be carried out.
    pub(crate) fn begin_request(&self) -> bool {
        self.table.lock_pools().established.set_stage(self.id, ConnectionStage::Busy)
    }

    /// Notes that the reply is being written: a client that does not read it must not hold its place.
    pub(crate) fn begin_reply(&self) {
        self.table.lock_pools().established.set_stage(self.id, ConnectionStage::Replying);
    }

    /// Notes that the reply was sent.
    pub(crate) fn end_request(&self) {
        self.table.lock_pools().established.set_stage(self.id, ConnectionStage::Waiting);
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut pools = self.table.lock_pools();
        pools.pending.remove(self.id);
        pools.established.remove(self.id);
    }
}

impl ConnectionEntry {
    fn new(peer: IpAddr, stage: ConnectionStage, closing: Arc<Notify>) -> Self {
        Self { peer, stage, since: Instant::now(), closing }
    }

    /// Returns when it is closed for another connection, or `None` while it must not be.
    fn closing_order(&self, now: Instant) -> Option<ClosingOrder> {
        let age = now.saturating_duration_since(self.since);
        match self.stage {
            ConnectionStage::Waiting if age < WAITING_GRACE => Some(ClosingOrder::New),
            ConnectionStage::Waiting => Some(ClosingOrder::Overdue),
            ConnectionStage::Handshake | ConnectionStage::Replying if age >= PROGRESS_GRACE => {
                Some(ClosingOrder::Overdue)
            }
            ConnectionStage::Handshake | ConnectionStage::Replying | ConnectionStage::Busy => None,
        }
    }
}

impl ConnectionPool {
    fn new(limits: PoolLimits) -> Self {
        Self { limits, entries: HashMap::new(), by_peer: HashMap::new() }
    }

    fn count_of_peer(&self, peer: IpAddr) -> usize {
        self.by_peer.get(&peer).copied().unwrap_or_default()
    }

    /// Makes room for one connection of a peer, by closing another one if a limit is reached.
    fn make_room(&mut self, peer: IpAddr, now: Instant) -> Result<(), ConnectionLimit> {
        let full = if self.count_of_peer(peer) >= self.limits.per_peer {
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
        // Of the address with most connections, the oldest one that is overdue is closed, else the oldest new one.
        let rank = |(id, e): (&u64, &ConnectionEntry)| {
            let order = e.closing_order(now).filter(|_| counts(e))?;
            Some((usize::MAX - self.count_of_peer(e.peer), order, e.since, *id))
        };
        let (.., id) = self.entries.iter().filter_map(rank).min().ok_or(full)?;
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

    /// Returns false if the connection has lost its place.
    fn set_stage(&mut self, id: u64, stage: ConnectionStage) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        (entry.stage, entry.since) = (stage, Instant::now());
        true
    }
}

/// Returns the address that a peer is counted by: of IPv6 the /64, which one host may use as a whole (RFC 4291,
/// section 2.5.4).
fn peer_address(address: IpAddr) -> IpAddr {
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
    fn a_new_connection_displaces_the_oldest_silent_one_of_its_address() {
        let table = ConnectionTable::new(LIMITS);
        let silent: Vec<_> = (0..3).map(|_| table.admit(host(1)).unwrap()).collect();
        let other = table.admit(host(2)).unwrap();
        let _newcomer = table.admit(host(1)).unwrap();
        let closing: Vec<bool> = silent.iter().map(is_closing).collect();
        assert_eq!(closing, [true, false, false]);
        assert!(!is_closing(&other));
    }

    #[test]
    fn at_the_total_limit_the_address_with_most_connections_loses_one() {
        let table = ConnectionTable::new(LIMITS);
        let first = table.admit(host(1)).unwrap();
        let many: Vec<_> = (0..3).map(|_| table.admit(host(2)).unwrap()).collect();
        let _newcomer = table.admit(host(3)).unwrap();
        assert!(!is_closing(&first), "the oldest, but the only one of its address");
        assert!(is_closing(&many[0]));
    }

    #[test]
    fn a_handshake_has_its_grace_and_is_then_closed_before_a_new_connection() {
        let table = ConnectionTable::new(LIMITS);
        let places: Vec<_> = (0..3).map(|_| table.admit(host(1)).unwrap()).collect();
        for place in &places {
            place.begin_handshake();
        }
        assert_eq!(table.admit(host(1)).unwrap_err(), ConnectionLimit::PerPeer(3));
        // Two stalled handshakes and one connection that has just been accepted.
        drop(places.into_iter().next_back());
        let table = ConnectionTable::new(LIMITS);
        let stalled: Vec<_> = (0..2).map(|_| table.admit(host(1)).unwrap()).collect();
        stalled.iter().for_each(ConnectionPlace::begin_handshake);
        let later = Instant::now() + PROGRESS_GRACE;
        let new = table.admit(host(1)).unwrap();
        table.lock_pools().pending.entries.get_mut(&new.id).unwrap().since = later;
        for expected in [[true, false], [true, true]] {
            table.lock_pools().pending.make_room(peer_address(host(1)), later).unwrap();
            let filler = table.admit(host(1)).unwrap();
            table.lock_pools().pending.entries.get_mut(&filler.id).unwrap().since = later;
            std::mem::forget(filler);
            let closed: Vec<bool> = stalled.iter().map(|p| !holds_place(&table, p)).collect();
            assert_eq!(closed, expected);
        }
        assert!(holds_place(&table, &new), "it is closed last");
    }

    fn holds_place(table: &ConnectionTable, place: &ConnectionPlace) -> bool {
        table.lock_pools().pending.entries.contains_key(&place.id)
    }

    #[test]
    fn a_connection_that_has_lost_its_place_is_not_established() {
        let table = ConnectionTable::new(LIMITS);
        let places: Vec<_> = (0..3).map(|_| table.admit(host(1)).unwrap()).collect();
        let _newcomer = table.admit(host(1)).unwrap();
        assert_eq!(places[0].establish(), Err(NotEstablished::Displaced));
        assert_eq!(places[1].establish(), Ok(()));
    }

    #[test]
    fn a_client_that_does_not_read_its_reply_loses_its_place_in_the_end() {
        let table = ConnectionTable::new(LIMITS);
        let places: Vec<_> = (0..2).map(|_| table.admit(host(1)).unwrap()).collect();
        for place in &places {
            place.establish().unwrap();
            assert!(place.begin_request());
        }
        places[1].begin_reply();
        let mut pools = table.lock_pools();
        let peer = peer_address(host(1));
        assert!(pools.established.make_room(peer, Instant::now()).is_err());
        pools.established.make_room(peer, Instant::now() + PROGRESS_GRACE).unwrap();
        assert!(!pools.established.entries.contains_key(&places[1].id));
    }

    #[test]
    fn established_connections_are_closed_only_while_idle() {
        let table = ConnectionTable::new(LIMITS);
        let places: Vec<_> = (0..3).map(|_| table.admit(host(1)).unwrap()).collect();
        for place in &places[..2] {
            place.establish().unwrap();
            assert!(place.begin_request());
        }
        assert_eq!(
            places[2].establish().unwrap_err(),
            NotEstablished::LimitReached(ConnectionLimit::PerPeer(2))
        );
        places[1].end_request();
        places[2].establish().unwrap();
        assert!(is_closing(&places[1]) && !is_closing(&places[0]));
        assert!(!places[1].begin_request(), "another connection has got the place");
    }

    #[test]
    fn places_are_freed_when_connections_end() {
        let table = ConnectionTable::new(LIMITS);
        for _ in 0..10 {
            let place = table.admit(host(1)).unwrap();
            place.establish().unwrap();
        }
        let pools = table.lock_pools();
        assert!(pools.pending.entries.is_empty() && pools.established.entries.is_empty());
        assert!(pools.pending.by_peer.is_empty() && pools.established.by_peer.is_empty());
    }

    #[test]
    fn one_network_of_ipv6_is_one_peer() {
        let at = |s: &str| peer_address(s.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}

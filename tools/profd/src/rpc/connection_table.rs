//! The table of connections: how many there may be, and which one is closed when another needs its place.
//!
//! A connection is pending until its TLS handshake is complete, or over plain TCP until its first reply is sent; after
//! that it is established. The two kinds are counted apart. When the limit on pending connections is reached, the
//! address that has most of them loses the oldest one that has made no progress in time: one that has sent nothing
//! complete, or whose handshake has stalled. So connections that make no progress displace each other. When the limit
//! on established connections is reached, the one that has been idle longest is closed, or one that does not read its
//! reply. A connection with a request in progress is never closed for another one.
//!
//! Established connections are counted by certificate and address, so that clients behind one address do not use up each
//! other's places; over plain TCP, and while they are pending, connections are counted by address.
//!
//! Over plain TCP the first request needs no place among the established connections: clients that keep their connections
//! cannot take the place of one that sends a single request, as the existing clients do.
//!
//! The past of an address counts as well: see [`super::sources`].

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::connection_pool::{
    CertificateDigest, ConnectionEntry, ConnectionLimit, ConnectionOwner, ConnectionPool, ConnectionStage,
    PoolOrder,
};
use super::sources::Sources;
use crate::plan::limits::ConnectionLimits;

/// Why a connection does not become an established one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotEstablished {
    LimitReached(ConnectionLimit),
    /// Another connection has got its place meanwhile.
    Displaced,
}

/// The table. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionTable(Arc<Mutex<ConnectionPools>>);

/// Why a new connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotAdmitted {
    LimitReached(ConnectionLimit),
    /// The limit is near, and the connection is one of those that are dropped at random.
    DroppedEarly,
}

#[derive(Debug)]
struct ConnectionPools {
    next_id: u64,
    sources: Sources,
    pending: ConnectionPool,
    established: ConnectionPool,
}

/// The place of one connection in the table. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct ConnectionPlace {
    table: ConnectionTable,
    id: u64,
    owner: ConnectionOwner,
    closing: Arc<Notify>,
}

impl ConnectionTable {
    /// `handshakes_per_second` is the limit for addresses without a recent success.
    pub(crate) fn new(limits: ConnectionLimits, handshakes_per_second: usize) -> Self {
        let pools = ConnectionPools {
            next_id: 0,
            sources: Sources::new(handshakes_per_second, Instant::now()),
            pending: ConnectionPool::new(limits.pending, PoolOrder::Oldest),
            established: ConnectionPool::new(limits.established, PoolOrder::LongestIdle),
        };
        Self(Arc::new(Mutex::new(pools)))
    }

    /// Adds a new connection to the pending ones. `random` makes a number that is evenly distributed in 0 to 1, if one is
    /// needed.
    ///
    /// # Errors
    /// The limit is reached, and every connection that it counts is in a handshake that began less than
    /// [`super::connection_pool::PROGRESS_GRACE`] ago; or it is near, and the connection is dropped at random.
    pub(crate) fn admit(
        &self,
        address: IpAddr,
        random: impl FnOnce() -> f64,
    ) -> Result<ConnectionPlace, NotAdmitted> {
        let mut pools = self.lock_pools();
        let (peer, now) = (peer_address(address), Instant::now());
        let owner = ConnectionOwner::of_address(peer);
        let ConnectionPools { pending, sources, .. } = &mut *pools;
        if sources.drops_early(peer, pending.entries.len(), pending.limits.total, random, now) {
            return Err(NotAdmitted::DroppedEarly);
        }
        let per_peer = sources.pending_limit(peer, pending.limits.per_peer, now);
        let closed = pending.make_room(owner, per_peer, now).map_err(NotAdmitted::LimitReached)?;
        if let Some(closed) = closed {
            sources.note_failure(closed.address, now);
        }
        pools.next_id += 1;
        let id = pools.next_id;
        let closing = Arc::new(Notify::new());
        pools.pending.insert(id, ConnectionEntry::new(owner, ConnectionStage::Waiting, closing.clone()));
        Ok(ConnectionPlace { table: self.clone(), id, owner, closing })
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

    /// Returns how long the handshake must wait: addresses that are not known share a budget. `None` if it would be too
    /// long.
    pub(crate) fn delay_handshake(&self) -> Option<Duration> {
        self.table.lock_pools().sources.delay_handshake(self.owner.address, Instant::now())
    }

    /// Notes that the client of this connection failed before it was served.
    pub(crate) fn note_failure(&self) {
        self.table.lock_pools().sources.note_failure(self.owner.address, Instant::now());
    }

    /// Moves the connection to the established ones, after its certificate was verified or its first reply was sent: its
    /// client is served.
    ///
    /// # Errors
    /// The limit is reached, and every connection that may be closed for this one has a request in progress; or the place
    /// was taken away meanwhile.
    pub(crate) fn establish(&self, certificate: Option<CertificateDigest>) -> Result<(), NotEstablished> {
        let mut pools = self.table.lock_pools();
        let now = Instant::now();
        let ConnectionPools { pending, established, sources, .. } = &mut *pools;
        sources.note_served(self.owner.address, now);
        if !pending.entries.contains_key(&self.id) {
            return Err(NotEstablished::Displaced);
        }
        let owner = self.owner.with_certificate(certificate);
        let room = established.make_room(owner, established.limits.per_peer, now);
        room.map_err(NotEstablished::LimitReached)?;
        pending.remove(self.id);
        established
            .insert(self.id, ConnectionEntry::new(owner, ConnectionStage::Waiting, self.closing.clone()));
        Ok(())
    }

    /// Notes that a request is in progress. Returns false if another connection has got the place: then the request must
    /// not be carried out.
    pub(crate) fn begin_request(&self) -> bool {
        self.set_stage(ConnectionStage::Busy)
    }

    /// Notes that the reply is being written: a client that does not read it must not hold its place.
    pub(crate) fn begin_reply(&self) {
        self.set_stage(ConnectionStage::Replying);
    }

    /// Notes that the reply was sent.
    pub(crate) fn end_request(&self) {
        self.set_stage(ConnectionStage::Waiting);
    }

    fn set_stage(&self, stage: ConnectionStage) -> bool {
        let mut pools = self.table.lock_pools();
        pools.established.set_stage(self.id, stage) || pools.pending.set_stage(self.id, stage)
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut pools = self.table.lock_pools();
        pools.pending.remove(self.id);
        pools.established.remove(self.id);
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
    use super::super::connection_pool::PROGRESS_GRACE;
    use super::*;
    use crate::plan::limits::PoolLimits;

    const LIMITS: ConnectionLimits = ConnectionLimits {
        pending: PoolLimits { total: 4, per_peer: 3 },
        established: PoolLimits { total: 3, per_peer: 2 },
    };

    fn host(n: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, n])
    }

    fn owner(n: u8) -> ConnectionOwner {
        ConnectionOwner::of_address(peer_address(host(n)))
    }

    fn admit(table: &ConnectionTable, n: u8) -> Result<ConnectionPlace, NotAdmitted> {
        table.admit(host(n), || 1.0)
    }

    fn is_closing(place: &ConnectionPlace) -> bool {
        let closing = place.closing();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        std::pin::pin!(closing.notified()).as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn a_new_connection_displaces_the_oldest_silent_one_of_its_address() {
        let table = ConnectionTable::new(LIMITS, 100);
        let silent: Vec<_> = (0..3).map(|_| admit(&table, 1).unwrap()).collect();
        let other = admit(&table, 2).unwrap();
        let _newcomer = admit(&table, 1).unwrap();
        let closing: Vec<bool> = silent.iter().map(is_closing).collect();
        assert_eq!(closing, [true, false, false]);
        assert!(!is_closing(&other));
    }

    #[test]
    fn at_the_total_limit_the_address_with_most_connections_loses_one() {
        let table = ConnectionTable::new(LIMITS, 100);
        let first = admit(&table, 1).unwrap();
        let many: Vec<_> = (0..3).map(|_| admit(&table, 2).unwrap()).collect();
        let _newcomer = admit(&table, 3).unwrap();
        assert!(!is_closing(&first), "the oldest, but the only one of its address");
        assert!(is_closing(&many[0]));
    }

    #[test]
    fn a_handshake_has_its_grace_and_is_then_closed_before_a_new_connection() {
        let table = ConnectionTable::new(LIMITS, 100);
        let places: Vec<_> = (0..3).map(|_| admit(&table, 1).unwrap()).collect();
        for place in &places {
            place.begin_handshake();
        }
        assert_eq!(admit(&table, 1).unwrap_err(), NotAdmitted::LimitReached(ConnectionLimit::PerPeer(3)));
        // Two stalled handshakes and one connection that has just been accepted.
        drop(places.into_iter().next_back());
        let table = ConnectionTable::new(LIMITS, 100);
        let stalled: Vec<_> = (0..2).map(|_| admit(&table, 1).unwrap()).collect();
        stalled.iter().for_each(ConnectionPlace::begin_handshake);
        let later = Instant::now() + PROGRESS_GRACE;
        let new = admit(&table, 1).unwrap();
        table.lock_pools().pending.entries.get_mut(&new.id).unwrap().since = later;
        for expected in [[true, false], [true, true]] {
            table.lock_pools().pending.make_room(owner(1), 3, later).unwrap();
            let filler = admit(&table, 1).unwrap();
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
        let table = ConnectionTable::new(LIMITS, 100);
        let places: Vec<_> = (0..3).map(|_| admit(&table, 1).unwrap()).collect();
        let _newcomer = admit(&table, 1).unwrap();
        assert_eq!(places[0].establish(None), Err(NotEstablished::Displaced));
        assert_eq!(places[1].establish(None), Ok(()));
    }

    #[test]
    fn a_client_that_does_not_read_its_reply_loses_its_place_in_the_end() {
        let table = ConnectionTable::new(LIMITS, 100);
        let places: Vec<_> = (0..2).map(|_| admit(&table, 1).unwrap()).collect();
        for place in &places {
            place.establish(None).unwrap();
            assert!(place.begin_request());
        }
        places[1].begin_reply();
        let mut pools = table.lock_pools();
        assert!(pools.established.make_room(owner(1), 2, Instant::now()).is_err());
        pools.established.make_room(owner(1), 2, Instant::now() + PROGRESS_GRACE).unwrap();
        assert!(!pools.established.entries.contains_key(&places[1].id));
    }

    #[test]
    fn established_connections_are_closed_only_while_idle() {
        let table = ConnectionTable::new(LIMITS, 100);
        let places: Vec<_> = (0..3).map(|_| admit(&table, 1).unwrap()).collect();
        for place in &places[..2] {
            place.establish(None).unwrap();
            assert!(place.begin_request());
        }
        assert_eq!(
            places[2].establish(None).unwrap_err(),
            NotEstablished::LimitReached(ConnectionLimit::PerPeer(2))
        );
        places[1].end_request();
        places[2].establish(None).unwrap();
        assert!(is_closing(&places[1]) && !is_closing(&places[0]));
        assert!(!places[1].begin_request(), "another connection has got the place");
    }

    /// A client with a certificate, of an address, whose connection is established.
    fn establish(table: &ConnectionTable, certificate: u8, n: u8) -> Result<ConnectionPlace, NotEstablished> {
        let place = admit(table, n).unwrap();
        place.establish(Some([certificate; 32]))?;
        Ok(place)
    }

    fn has_lost_its_place(table: &ConnectionTable, place: &ConnectionPlace) -> bool {
        !table.lock_pools().established.entries.contains_key(&place.id)
    }

    const MANY: ConnectionLimits = ConnectionLimits {
        pending: PoolLimits { total: 100, per_peer: 100 },
        established: PoolLimits { total: 8, per_peer: 4 },
    };

    #[test]
    fn certificates_behind_one_address_do_not_use_up_each_others_places() {
        let table = ConnectionTable::new(MANY, 100);
        let alice = establish(&table, 1, 1).unwrap();
        let bobs: Vec<_> = (0..6).map(|_| establish(&table, 2, 1).unwrap()).collect();
        let closed = bobs.iter().filter(|place| has_lost_its_place(&table, place)).count();
        assert!(closed == 2 && !has_lost_its_place(&table, &alice), "his own, beyond four");
        // Many clients with a connection each, as fan-outs of many users from one host.
        let others: Vec<_> = (10..13).map(|n| establish(&table, n, 1).unwrap()).collect();
        assert!(!others.iter().chain([&alice]).any(|place| has_lost_its_place(&table, place)));
        // All places are used now: the one who has most gives way to a newcomer.
        let carol = establish(&table, 3, 1).unwrap();
        let closed = bobs.iter().filter(|place| has_lost_its_place(&table, place)).count();
        assert!(closed == 3 && !has_lost_its_place(&table, &alice) && !has_lost_its_place(&table, &carol));
    }

    #[test]
    fn one_certificate_has_places_on_each_of_its_addresses() {
        let table = ConnectionTable::new(MANY, 100);
        let hosts: Vec<_> = (1..7).map(|n| establish(&table, 1, n).unwrap()).collect();
        let _second = establish(&table, 1, 1).unwrap();
        let _alice = establish(&table, 2, 1).unwrap();
        assert!(!hosts.iter().any(|place| has_lost_its_place(&table, place)), "more than from one address");
        let _newcomer = establish(&table, 3, 1).unwrap();
        let closed: Vec<bool> = hosts.iter().map(|place| has_lost_its_place(&table, place)).collect();
        assert_eq!(closed, [true, false, false, false, false, false], "where the certificate has most");
    }

    /// Whoever has most places, each with a request in progress, does not take the idle ones of the others.
    #[test]
    fn nobody_loses_a_place_to_a_client_that_has_more() {
        let table = ConnectionTable::new(MANY, 100);
        let alice = establish(&table, 1, 1).unwrap();
        let busy: Vec<_> = (0..7).map(|n| establish(&table, 2, 2 + n / 4).unwrap()).collect();
        assert!(busy.iter().all(ConnectionPlace::begin_request));
        let refused = establish(&table, 2, 3).unwrap_err();
        assert_eq!(refused, NotEstablished::LimitReached(ConnectionLimit::Total(8)));
        assert!(!has_lost_its_place(&table, &alice));
        busy[6].end_request();
        let _newcomer = establish(&table, 2, 3).unwrap();
        assert!(has_lost_its_place(&table, &busy[6]) && !has_lost_its_place(&table, &alice));
    }

    #[test]
    fn places_are_freed_when_connections_end() {
        let table = ConnectionTable::new(LIMITS, 100);
        for _ in 0..10 {
            let place = admit(&table, 1).unwrap();
            place.establish(None).unwrap();
        }
        let pools = table.lock_pools();
        assert!(pools.pending.entries.is_empty() && pools.established.entries.is_empty());
        assert!(pools.pending.by_client.is_empty() && pools.established.by_client.is_empty());
        assert!(pools.pending.by_count.is_empty() && pools.established.by_count.is_empty());
    }

    #[test]
    fn one_network_of_ipv6_is_one_peer() {
        let at = |s: &str| peer_address(s.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}

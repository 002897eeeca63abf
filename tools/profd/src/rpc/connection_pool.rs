//! The connections of one kind: how many each address has, and which one is closed when another needs its place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::plan::limits::PoolLimits;

/// How long a new connection is spared, so that a client can send its first message.
const WAITING_GRACE: Duration = Duration::from_millis(250);

/// How long a handshake in progress, and a reply that its client does not read, are not closed for another connection.
pub(super) const PROGRESS_GRACE: Duration = Duration::from_millis(500);

/// A limit that is reached, with its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConnectionLimit {
    Total(usize),
    PerPeer(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionStage {
    /// It has sent nothing that is complete, or it is between two requests.
    Waiting,
    /// Its TLS handshake is in progress.
    Handshake,
    /// Its request is in progress.
    Busy,
    /// Its reply is being written.
    Replying,
}

/// The order in which connections are closed for another one. Among equals, the oldest is first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum ClosingOrder {
    /// It has had its time: to send a message, to complete a handshake, to read a reply.
    Overdue,
    /// It has just begun, and has sent nothing that is complete.
    New,
}

#[derive(Debug)]
pub(super) struct ConnectionEntry {
    peer: IpAddr,
    stage: ConnectionStage,
    pub(super) since: Instant,
    closing: Arc<Notify>,
}

/// The connection of an address that is closed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolOrder {
    /// The oldest one. It is found without a look at all, because unauthenticated peers decide how often one is searched for.
    Oldest,
    /// The one that has been idle longest.
    LongestIdle,
}

#[derive(Debug)]
pub(super) struct ConnectionPool {
    pub(super) limits: PoolLimits,
    order: PoolOrder,
    /// By id, which is by age.
    pub(super) entries: BTreeMap<u64, ConnectionEntry>,
    pub(super) by_peer: HashMap<IpAddr, BTreeSet<u64>>,
    /// The addresses by their number of connections.
    pub(super) by_count: BTreeSet<(usize, IpAddr)>,
}

impl ConnectionEntry {
    pub(super) fn new(peer: IpAddr, stage: ConnectionStage, closing: Arc<Notify>) -> Self {
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
    pub(super) fn new(limits: PoolLimits, order: PoolOrder) -> Self {
        let (entries, by_peer, by_count) = (BTreeMap::new(), HashMap::new(), BTreeSet::new());
        Self { limits, order, entries, by_peer, by_count }
    }

    fn count_of_peer(&self, peer: IpAddr) -> usize {
        self.by_peer.get(&peer).map_or(0, BTreeSet::len)
    }

    /// Makes room for one connection of a peer, by closing another one if a limit is reached; returns the peer of that one.
    pub(super) fn make_room(
        &mut self,
        peer: IpAddr,
        per_peer: usize,
        now: Instant,
    ) -> Result<Option<IpAddr>, ConnectionLimit> {
        let (found, full) = if self.count_of_peer(peer) >= per_peer {
            (self.find_closable_of(peer, now), ConnectionLimit::PerPeer(per_peer))
        } else if self.entries.len() >= self.limits.total {
            (self.find_closable(now), ConnectionLimit::Total(self.limits.total))
        } else {
            return Ok(None);
        };
        let closed = self.remove(found.ok_or(full)?);
        if let Some(entry) = &closed {
            entry.closing.notify_one();
        }
        Ok(closed.map(|entry| entry.peer))
    }

    /// Finds the connection to close of the address that has most of them.
    fn find_closable(&self, now: Instant) -> Option<u64> {
        let most = self.by_count.last().map_or(0, |(count, _)| *count);
        if most <= 1 {
            return self.choose(self.entries.keys(), now);
        }
        self.by_count.iter().rev().find_map(|(_, peer)| self.find_closable_of(*peer, now))
    }

    fn find_closable_of(&self, peer: IpAddr, now: Instant) -> Option<u64> {
        self.choose(self.by_peer.get(&peer)?.iter(), now)
    }

    /// Chooses among connections, the oldest first: one that is overdue, else one that is new.
    fn choose<'a>(&self, ids: impl Iterator<Item = &'a u64>, now: Instant) -> Option<u64> {
        let mut best: Option<((ClosingOrder, Instant), u64)> = None;
        for id in ids {
            let Some(entry) = self.entries.get(id) else { continue };
            let Some(order) = entry.closing_order(now) else { continue };
            if self.order == PoolOrder::Oldest && order == ClosingOrder::Overdue {
                return Some(*id);
            }
            let rank = (order, entry.since);
            if best.is_none_or(|(other, _)| rank < other) {
                best = Some((rank, *id));
            }
        }
        best.map(|(_, id)| id)
    }

    pub(super) fn insert(&mut self, id: u64, entry: ConnectionEntry) {
        let peer = entry.peer;
        let ids = self.by_peer.entry(peer).or_default();
        self.by_count.remove(&(ids.len(), peer));
        ids.insert(id);
        self.by_count.insert((ids.len(), peer));
        self.entries.insert(id, entry);
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<ConnectionEntry> {
        let entry = self.entries.remove(&id)?;
        if let Some(ids) = self.by_peer.get_mut(&entry.peer) {
            self.by_count.remove(&(ids.len(), entry.peer));
            ids.remove(&id);
            if ids.is_empty() {
                self.by_peer.remove(&entry.peer);
            } else {
                self.by_count.insert((ids.len(), entry.peer));
            }
        }
        Some(entry)
    }

    /// Returns false if the connection has lost its place.
    pub(super) fn set_stage(&mut self, id: u64, stage: ConnectionStage) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else { return false };
        (entry.stage, entry.since) = (stage, Instant::now());
        true
    }
}

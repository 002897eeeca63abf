//! The connections of one kind: how many each client has, and which one is closed when another needs its place.
//!
//! Places are dealt fairly between clients: a certificate is one client on all its addresses, and without a certificate an
//! address is. When all places are used, a new connection gets one of the client that has most of them, if that one has
//! more than the client of the new connection; else one of its own client. So nobody loses a place to a client that has
//! more already, and many clients behind one address do not count as one.

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
    /// Of one client from one address.
    PerPeer(usize),
}

/// The SHA-256 of a certificate that was verified.
pub(crate) type CertificateDigest = [u8; 32];

/// What places are dealt between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum ConnectionClient {
    /// A client with this certificate, whatever its addresses.
    Certificate(CertificateDigest),
    /// All without a verified certificate from this address.
    Address(IpAddr),
}

/// Whose connection it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConnectionOwner {
    pub(super) client: ConnectionClient,
    /// See [`super::connection_table::peer_address`].
    pub(super) address: IpAddr,
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
    pub(super) owner: ConnectionOwner,
    stage: ConnectionStage,
    pub(super) since: Instant,
    closing: Arc<Notify>,
}

/// The connections of one client.
#[derive(Debug, Default)]
pub(super) struct ClientConnections {
    count: usize,
    by_address: BTreeMap<IpAddr, BTreeSet<u64>>,
}

/// Which of several connections is closed first.
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
    pub(super) by_client: HashMap<ConnectionClient, ClientConnections>,
    /// The clients by their number of connections.
    pub(super) by_count: BTreeSet<(usize, ConnectionClient)>,
}

impl ConnectionOwner {
    /// Of a client without a verified certificate.
    pub(super) fn of_address(address: IpAddr) -> Self {
        Self { client: ConnectionClient::Address(address), address }
    }

    /// Of the same address, with the certificate that was verified there, if one was.
    pub(super) fn with_certificate(self, certificate: Option<CertificateDigest>) -> Self {
        Self { client: certificate.map_or(self.client, ConnectionClient::Certificate), ..self }
    }
}

impl ConnectionEntry {
    pub(super) fn new(owner: ConnectionOwner, stage: ConnectionStage, closing: Arc<Notify>) -> Self {
        Self { owner, stage, since: Instant::now(), closing }
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
        let (entries, by_client, by_count) = (BTreeMap::new(), HashMap::new(), BTreeSet::new());
        Self { limits, order, entries, by_client, by_count }
    }

    /// Makes room for one connection of an owner, by closing another one if a limit is reached; returns the owner of that
    /// one.
    pub(super) fn make_room(
        &mut self,
        owner: ConnectionOwner,
        per_peer: usize,
        now: Instant,
    ) -> Result<Option<ConnectionOwner>, ConnectionLimit> {
        let of_client = self.by_client.get(&owner.client);
        let of_owner = of_client.and_then(|client| client.by_address.get(&owner.address));
        let (found, full) = match of_owner.filter(|ids| ids.len() >= per_peer) {
            Some(ids) => (self.choose(ids, now), ConnectionLimit::PerPeer(per_peer)),
            None if self.entries.len() >= self.limits.total => {
                (self.find_closable(owner.client, now), ConnectionLimit::Total(self.limits.total))
            }
            None => return Ok(None),
        };
        let closed = self.remove(found.ok_or(full)?);
        if let Some(entry) = &closed {
            entry.closing.notify_one();
        }
        Ok(closed.map(|entry| entry.owner))
    }

    /// Finds the connection to close for a new one of a client: of the one that has most of them and more than this one,
    /// else of this one.
    fn find_closable(&self, newcomer: ConnectionClient, now: Instant) -> Option<u64> {
        let own = self.by_client.get(&newcomer).map_or(0, |client| client.count);
        let most = self.by_count.last().map_or(0, |(count, _)| *count);
        if own == 0 && most <= 1 {
            return self.choose(self.entries.keys(), now);
        }
        let with_more = self.by_count.iter().rev().take_while(|(count, _)| *count > own);
        with_more.map(|(_, client)| *client).chain([newcomer]).find_map(|c| self.find_closable_of(c, now))
    }

    /// Finds the connection to close of a client: where it has most of them, if it has several addresses.
    fn find_closable_of(&self, client: ConnectionClient, now: Instant) -> Option<u64> {
        let by_address = &self.by_client.get(&client)?.by_address;
        let most = by_address.values().map(BTreeSet::len).max()?;
        let with = |least: usize| by_address.values().filter(move |ids| ids.len() >= least).flatten();
        self.choose(with(most), now).or_else(|| self.choose(with(1), now))
    }

    /// Chooses among connections, the oldest first: one that is overdue, else one that is new.
    fn choose<'a>(&self, ids: impl IntoIterator<Item = &'a u64>, now: Instant) -> Option<u64> {
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
        let ConnectionOwner { client, address } = entry.owner;
        let connections = self.by_client.entry(client).or_default();
        self.by_count.remove(&(connections.count, client));
        connections.count += 1;
        connections.by_address.entry(address).or_default().insert(id);
        self.by_count.insert((connections.count, client));
        self.entries.insert(id, entry);
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<ConnectionEntry> {
        let entry = self.entries.remove(&id)?;
        let ConnectionOwner { client, address } = entry.owner;
        if let Some(connections) = self.by_client.get_mut(&client) {
            self.by_count.remove(&(connections.count, client));
            connections.count -= 1;
            if let Some(ids) = connections.by_address.get_mut(&address) {
                ids.remove(&id);
                if ids.is_empty() {
                    connections.by_address.remove(&address);
                }
            }
            if connections.count == 0 {
                self.by_client.remove(&client);
            } else {
                self.by_count.insert((connections.count, client));
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

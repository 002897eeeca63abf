//! The RPC side: accepts, counts and bounds connections, and drains them in the end.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::certs::Certs;
use crate::connection::{self, Limits};
use crate::peer::Peer;
use crate::shared::Shared;
use crate::shutdown::{Phase, Shutdown};

/// Refused clients that are being told why; those beyond are only closed.
const REFUSALS: usize = 64;

/// How the server treats connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerLimits {
    /// Most connections.
    pub(crate) connections: usize,
    /// Most connections from one address (IPv6: from one /64).
    pub(crate) per_peer: usize,
    pub(crate) connection: Limits,
    /// How long requests in progress may take after the signal to stop.
    pub(crate) drain: Duration,
}

/// Everything that a connection needs.
struct Server {
    shared: Arc<Shared>,
    tls: Option<Arc<Certs>>,
    limits: ServerLimits,
    gate: Gate,
    refusals: Gate,
    shutdown: Shutdown,
}

/// Serves on listeners that are already bound until the shutdown, and then drains.
pub(crate) async fn run(
    listeners: Vec<TcpListener>,
    tls: Option<Arc<Certs>>,
    limits: ServerLimits,
    shared: Arc<Shared>,
    shutdown: Shutdown,
) {
    let server = Arc::new(Server {
        shared,
        tls,
        limits,
        gate: Gate::new(limits.connections, limits.per_peer),
        refusals: Gate::new(REFUSALS, REFUSALS),
        shutdown,
    });
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(accept_loop(server.clone(), listener));
    }
    while loops.join_next().await.is_some() {}
}

async fn accept_loop(server: Arc<Server>, listener: TcpListener) {
    let mut shutdown = server.shutdown.clone();
    let mut connections = JoinSet::new();
    let mut backoff = Duration::ZERO;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.reached(Phase::Draining) => break,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                backoff = Duration::ZERO;
                admit(&server, &mut connections, stream, address);
            }
            Err(e) => {
                // Out of descriptors, mostly: trying again at once would only burn the processor.
                server.shared.counters.rpc_accept_errors.bump();
                server.shared.log.limited("accept", "rpc", format_args!("cannot accept: {e}"));
                backoff = (backoff * 2).clamp(Duration::from_millis(10), Duration::from_secs(1));
                tokio::select! {
                    () = sleep(backoff) => {}
                    () = shutdown.reached(Phase::Draining) => break,
                }
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        _ = timeout(server.limits.drain, drained) => {}
        () = shutdown.reached(Phase::Stopping) => {}
    }
}

fn admit(server: &Arc<Server>, connections: &mut JoinSet<()>, stream: TcpStream, address: SocketAddr) {
    let counters = &server.shared.counters;
    // Replies are small and whole; without this the last one may wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let reason = match server.gate.enter(address.ip()) {
        Ok(permit) => {
            counters.rpc_accepted.bump();
            let server = server.clone();
            connections.spawn(async move { serve(&server, stream, address, permit).await });
            return;
        }
        Err(Full::Total) => {
            counters.rpc_refused_total.bump();
            format!("busy: the limit of {} connections is reached", server.limits.connections)
        }
        Err(Full::Peer) => {
            counters.rpc_refused_peer.bump();
            format!("busy: the limit of {} connections from one address is reached", server.limits.per_peer)
        }
    };
    server.shared.log.limited("rpc full", Peer::plain(address), &reason);
    // Telling a TLS client would cost a handshake; it sees the connection close.
    if server.tls.is_none()
        && let Ok(permit) = server.refusals.enter(address.ip())
    {
        let limit = server.limits.connection.write;
        connections.spawn(async move {
            let _permit = permit;
            let mut stream = stream;
            connection::refuse(&mut stream, &reason, limit).await;
        });
    }
}

async fn serve(server: &Server, stream: TcpStream, address: SocketAddr, _permit: Permit) {
    let (shared, limits) = (&*server.shared, &server.limits.connection);
    let mut shutdown = server.shutdown.clone();
    let Some(tls) = &server.tls else {
        return connection::serve(stream, &Peer::plain(address), shared, limits, shutdown).await;
    };
    let handshake = tokio::select! {
        h = timeout(limits.handshake, tls.acceptor().accept(stream)) => h,
        () = shutdown.reached(Phase::Draining) => return,
    };
    let failed = |reason: &dyn std::fmt::Display| {
        shared.counters.rpc_handshake_failed.bump();
        let message = format_args!("TLS handshake failed: {reason}");
        shared.log.limited("handshake", Peer::plain(address), message);
    };
    match handshake {
        Err(_) => failed(&"not complete in time"),
        Ok(Err(e)) => failed(&e),
        Ok(Ok(stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let peer = Peer::verified(address, certificates.and_then(<[_]>::first));
            connection::serve(stream, &peer, shared, limits, shutdown).await;
        }
    }
}

/// Counts connections in and out.
#[derive(Clone, Debug)]
struct Gate {
    total: usize,
    per_peer: usize,
    inside: Arc<Mutex<Inside>>,
}

#[derive(Debug, Default)]
struct Inside {
    total: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// Which limit is reached.
#[derive(Debug, PartialEq, Eq)]
enum Full {
    Total,
    Peer,
}

/// A place inside; leaving is dropping it.
#[derive(Debug)]
struct Permit {
    peer: IpAddr,
    inside: Arc<Mutex<Inside>>,
}

impl Gate {
    fn new(total: usize, per_peer: usize) -> Self {
        Self { total, per_peer, inside: Arc::default() }
    }

    fn enter(&self, address: IpAddr) -> Result<Permit, Full> {
        let peer = group(address);
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        if inside.total >= self.total {
            return Err(Full::Total);
        }
        let of_peer = inside.by_peer.entry(peer).or_default();
        if *of_peer >= self.per_peer {
            return Err(Full::Peer);
        }
        *of_peer += 1;
        inside.total += 1;
        Ok(Permit { peer, inside: self.inside.clone() })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.total -= 1;
        if let Some(n) = inside.by_peer.get_mut(&self.peer) {
            *n -= 1;
            if *n == 0 {
                inside.by_peer.remove(&self.peer);
            }
        }
    }
}

/// The address that stands for a peer: one host may use a whole IPv6 /64.
fn group(address: IpAddr) -> IpAddr {
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

    #[test]
    fn the_gate_counts_in_and_out() {
        let gate = Gate::new(2, 1);
        let (a, b, c) =
            (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]), IpAddr::from([10, 0, 0, 3]));
        let first = gate.enter(a).unwrap();
        assert_eq!(gate.enter(a).unwrap_err(), Full::Peer);
        let _second = gate.enter(b).unwrap();
        assert_eq!(gate.enter(c).unwrap_err(), Full::Total);
        drop(first);
        assert!(gate.enter(c).is_ok());
    }

    #[test]
    fn one_network_of_ipv6_is_one_peer() {
        let at = |s: &str| group(s.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:10.0.0.1"), at("10.0.0.1"));
    }
}

//! The RPC side: accepts connections, serves each on a task of its own, and drains them in the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certs::Certs;
use crate::rpc::connection::{self, Limits};
use crate::rpc::connection_table::{ConnectionLimits, ConnectionPlace, ConnectionTable};
use crate::rpc::peer::Peer;
use crate::shutdown::{Phase, Shutdown};
use crate::state::Shared;

/// How the server treats connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerLimits {
    pub(crate) connections: ConnectionLimits,
    pub(crate) connection: Limits,
    /// How long requests in progress may take after the signal to stop.
    pub(crate) drain: Duration,
}

/// Everything that a connection needs.
struct Server {
    shared: Arc<Shared>,
    limits: ServerLimits,
    table: ConnectionTable,
    shutdown: Shutdown,
}

/// Serves on listeners that are already bound until the shutdown, and then drains.
pub(crate) async fn run(
    listeners: Vec<TcpListener>,
    limits: ServerLimits,
    shared: Arc<Shared>,
    shutdown: Shutdown,
) {
    let table = ConnectionTable::new(limits.connections);
    let server = Arc::new(Server { shared, limits, table, shutdown });
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
                // What was accepted is read before more comes in: a client that speaks at once is then seen to.
                tokio::task::yield_now().await;
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
    match server.table.admit(address.ip()) {
        Ok(place) => {
            counters.rpc_accepted.bump();
            let server = server.clone();
            connections.spawn(async move { serve(&server, stream, address, place).await });
        }
        Err(full) => {
            counters.rpc_refused_pending.bump();
            let reason = connection::busy(full, "unfinished handshakes");
            server.shared.log.limited("rpc pending full", Peer::plain(address), reason);
        }
    }
}

async fn serve(server: &Server, stream: TcpStream, address: SocketAddr, place: ConnectionPlace) {
    let (shared, limits) = (&*server.shared, &server.limits.connection);
    let mut shutdown = server.shutdown.clone();
    let Some(certs) = &shared.certs else {
        let peer = Peer::plain(address);
        return connection::serve(stream, &peer, shared, limits, &place, shutdown).await;
    };
    let closing = place.closing();
    let handshake = tokio::select! {
        h = timeout(limits.handshake, accept_tls(stream, certs, &place)) => h,
        () = closing.notified() => {
            shared.counters.rpc_closed_pending.bump();
            return;
        }
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
        Ok(Ok(mut stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let peer = Peer::verified(address, certificates.and_then(<[_]>::first));
            match place.establish() {
                Ok(()) => connection::serve(stream, &peer, shared, limits, &place, shutdown).await,
                Err(full) => connection::turn_away(&mut stream, &peer, full, shared, limits).await,
            }
        }
    }
}

/// The TLS handshake. The client's first message is read to its end before anything is computed for it.
async fn accept_tls(
    stream: TcpStream,
    certs: &Certs,
    place: &ConnectionPlace,
) -> std::io::Result<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    place.begin_handshake();
    hello.into_stream(certs.config()).await
}

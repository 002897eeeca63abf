//! The RPC server: accepts connections, serves each one in a task of its own, and drains them at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::server::Acceptor;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certs::ServerCertificates;
use crate::rpc::connection::{decline_client, describe_limit, serve_connection};
use crate::rpc::connection_table::{ConnectionPlace, ConnectionTable, NotEstablished};
use crate::rpc::context::RpcContext;
use crate::rpc::peer::RpcPeer;
use crate::shutdown::DaemonPhase;

/// Connections that are accepted in a row before others get their turn. One at a time, a daemon with many busy
/// connections would leave new ones in the backlog for seconds.
const ACCEPT_BATCH: usize = 16;

/// Bytes that the kernel may hold for a client that does not read its replies; it doubles the value (socket(7),
/// SO_SNDBUF). Without a limit they grow to several MiB a connection.
const SEND_BUFFER: usize = 64 * 1024;

/// How long accepting pauses after an error, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

struct RpcServer {
    context: RpcContext,
    table: ConnectionTable,
}

/// Serves on bound listeners until the daemon stops, and then drains the connections.
pub(crate) async fn run_server(listeners: Vec<TcpListener>, context: RpcContext) {
    let table = ConnectionTable::new(context.limits.connections);
    let server = Arc::new(RpcServer { context, table });
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(accept_connections(server.clone(), listener));
    }
    while loops.join_next().await.is_some() {}
}

async fn accept_connections(server: Arc<RpcServer>, listener: TcpListener) {
    let state = &server.context.state;
    let mut shutdown = server.context.shutdown.clone();
    let mut connections = JoinSet::new();
    let mut backoff = Duration::ZERO;
    let mut accepted_in_a_row = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.reached(DaemonPhase::Draining) => break,
            _ = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                backoff = Duration::ZERO;
                admit_connection(&server, &mut connections, stream, address);
                // New connections are read before many more are accepted, so that a flood of connections does not close
                // one whose request has already arrived.
                accepted_in_a_row += 1;
                if accepted_in_a_row == ACCEPT_BATCH {
                    accepted_in_a_row = 0;
                    tokio::task::yield_now().await;
                }
            }
            Err(e) => {
                // Mostly EMFILE (accept(2)), which an immediate retry would only get again.
                state.counters.rpc_accept_errors.increment();
                state.log.limited("accept", "rpc", format_args!("cannot accept: {e}"));
                backoff = (backoff * 2).clamp(BACKOFF.0, BACKOFF.1);
                tokio::select! {
                    () = sleep(backoff) => {}
                    () = shutdown.reached(DaemonPhase::Draining) => break,
                }
            }
        }
    }
    // Closed before the drain: a new client gets an error at once, instead of waiting in the backlog.
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        _ = timeout(server.context.limits.drain, drained) => {}
        () = shutdown.reached(DaemonPhase::Stopping) => {}
    }
}

fn admit_connection(
    server: &Arc<RpcServer>,
    connections: &mut JoinSet<()>,
    stream: TcpStream,
    address: SocketAddr,
) {
    let state = &server.context.state;
    // A reply is written at once; with Nagle's algorithm its end may wait for an acknowledgement (tcp(7), TCP_NODELAY).
    let _ = stream.set_nodelay(true);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&stream, SEND_BUFFER);
    match server.table.admit(address.ip()) {
        Ok(place) => {
            state.counters.rpc_accepted.increment();
            let server = server.clone();
            connections.spawn(async move { serve_client(&server.context, stream, address, place).await });
        }
        Err(limit) => {
            state.counters.rpc_declined_pending.increment();
            let reason = describe_limit(limit, "unfinished handshakes");
            state.log.limited("rpc pending full", RpcPeer::plain(address), reason);
        }
    }
}

async fn serve_client(context: &RpcContext, stream: TcpStream, address: SocketAddr, place: ConnectionPlace) {
    let state = &context.state;
    let mut shutdown = context.shutdown.clone();
    let Some(certs) = &context.certs else {
        return serve_connection(context, stream, &RpcPeer::plain(address), &place).await;
    };
    let closing = place.closing();
    let handshake = tokio::select! {
        h = timeout(context.limits.requests.handshake_timeout, accept_tls(stream, certs, &place)) => h,
        () = closing.notified() => {
            state.counters.rpc_closed_pending.increment();
            return;
        }
        () = shutdown.reached(DaemonPhase::Draining) => return,
    };
    let log_failure = |reason: &dyn std::fmt::Display| {
        state.counters.rpc_handshake_failed.increment();
        let message = format_args!("TLS handshake failed: {reason}");
        state.log.limited("handshake", RpcPeer::plain(address), message);
    };
    match handshake {
        Err(_) => log_failure(&"timeout"),
        Ok(Err(e)) => log_failure(&e),
        Ok(Ok(mut stream)) => {
            let certificates = stream.get_ref().1.peer_certificates();
            let peer = RpcPeer::verified(address, certificates.and_then(<[_]>::first));
            match place.establish() {
                Ok(()) => serve_connection(context, stream, &peer, &place).await,
                Err(NotEstablished::LimitReached(limit)) => {
                    decline_client(context, &mut stream, &peer, limit, &closing).await;
                }
                Err(NotEstablished::Displaced) => state.counters.rpc_closed_pending.increment(),
            }
        }
    }
}

/// Accepts a TLS connection. The ClientHello is read to its end before anything is computed for it, so that a client
/// that sends half of it costs nothing but its place.
async fn accept_tls(
    stream: TcpStream,
    certs: &ServerCertificates,
    place: &ConnectionPlace,
) -> std::io::Result<TlsStream<TcpStream>> {
    let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
    place.begin_handshake();
    hello.into_stream(certs.tls_config()).await
}

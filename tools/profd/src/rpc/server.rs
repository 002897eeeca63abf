//! The RPC server: accepts connections, serves each one in a task of its own, and drains them at the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use common::pki::PresentedChain;
use common::rpc::message::ErrorCode;

use crate::certs::ServerCertificates;
use crate::rpc::audited::{HANDSHAKE, record_counted_rejections, record_rejection, write_counted_rejections};
use crate::rpc::client_hello::read_client_hello;
use crate::rpc::connection::{decline_client, decline_displaced, describe_limit, serve_connection};
use crate::rpc::connection_table::{ConnectionPlace, ConnectionTable, NotAdmitted, NotEstablished};
use crate::rpc::context::RpcContext;
use crate::rpc::handshake_fault::HandshakeFault;
use crate::rpc::peer::RpcPeer;
use crate::rpc::random_share;
use crate::rpc::rejection::Rejecter;
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
    rejecter: Rejecter,
}

/// Serves on bound listeners until the daemon stops, and then drains the connections.
pub(crate) async fn run_server(listeners: Vec<TcpListener>, context: RpcContext) {
    let table = ConnectionTable::new(context.limits.connections, context.limits.handshakes_per_second);
    let rejecter = Rejecter::new(context.certs.is_some());
    let server = Arc::new(RpcServer { context, table, rejecter });
    let mut loops = JoinSet::new();
    for listener in listeners {
        loops.spawn(accept_connections(server.clone(), listener));
    }
    let audit = server.context.audit.clone();
    let counting = tokio::spawn(async move { record_counted_rejections(&audit).await });
    while loops.join_next().await.is_some() {}
    counting.abort();
    let _ = counting.await;
    write_counted_rejections(&server.context.audit, true);
}

async fn accept_connections(server: Arc<RpcServer>, listener: TcpListener) {
    let state = &server.context.state;
    set_stream_options(&listener);
    let mut shutdown = server.context.shutdown.clone();
    let mut connections = JoinSet::new();
    let mut backoff = Duration::ZERO;
    let mut accepted_in_a_row = 0;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.reached(DaemonPhase::Draining) => break,
            accepted = listener.accept() => accepted,
        };
        // Those that have ended by now. Being woken for each of them would cost more than they do.
        while connections.try_join_next().is_some() {}
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

/// Sets the options of all connections of a listener: they begin as copies of its socket, also of its options (Linux
/// v6.12 `net/core/sock.c`, `sk_clone_lock`).
fn set_stream_options(listener: &TcpListener) {
    // A reply is written at once; with Nagle's algorithm its end may wait for an acknowledgement (tcp(7), TCP_NODELAY).
    let _ = rustix::net::sockopt::set_tcp_nodelay(listener, true);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(listener, SEND_BUFFER);
}

fn admit_connection(
    server: &Arc<RpcServer>,
    connections: &mut JoinSet<()>,
    stream: TcpStream,
    address: SocketAddr,
) {
    let state = &server.context.state;
    match server.table.admit(address.ip(), random_share) {
        Ok(place) => {
            state.counters.rpc_accepted.increment();
            let server = server.clone();
            connections.spawn(async move { serve_client(&server, stream, address, place).await });
        }
        Err(not_admitted) => {
            let reason = match not_admitted {
                NotAdmitted::LimitReached(limit) => {
                    state.counters.rpc_declined_pending.increment();
                    describe_limit(limit, "pending connections")
                }
                NotAdmitted::DroppedEarly => {
                    state.counters.rpc_declined_early.increment();
                    "busy: most pending connections are used (--max-pending-connections)".to_owned()
                }
            };
            state.log.limited("rpc pending full", RpcPeer::plain(address), &reason);
            server.rejecter.reject(stream, reason);
        }
    }
}

async fn serve_client(server: &RpcServer, stream: TcpStream, address: SocketAddr, place: ConnectionPlace) {
    let context = &server.context;
    let state = &context.state;
    let mut shutdown = context.shutdown.clone();
    let Some(certs) = &context.certs else {
        return serve_connection(context, stream, &RpcPeer::plain(address), &place, None).await;
    };
    let closing = place.closing();
    // Taken before the client is verified, so that no revocation is missed.
    let changes = certs.watch_changes();
    let mut stream = Some(stream);
    let handshake = tokio::select! {
        h = timeout(context.limits.requests.handshake_timeout, accept_tls(server, &mut stream, certs, &place)) => h,
        () = closing.notified() => {
            state.counters.rpc_closed_pending.increment();
            // Before the ServerHello an alert can still be read.
            if let Some(stream) = stream.take() {
                server.rejecter.reject(stream, "busy: closed for a newer connection".to_owned());
            }
            return;
        }
        () = shutdown.reached(DaemonPhase::Draining) => return,
    };
    match handshake {
        Err(_) => {
            let peer = RpcPeer::plain(address);
            reject_handshake(context, &peer, &place, "timeout".to_owned(), Recorded::No).await;
        }
        Ok(Err(FailedHandshake { reason, presented, recorded })) => {
            let chain = presented.as_ref().map(|p| p.chain()).unwrap_or_default();
            let rejection = presented.and_then(|presented| presented.rejection());
            let peer = RpcPeer::with_chain(address, chain);
            reject_handshake(context, &peer, &place, rejection.unwrap_or(reason), recorded).await;
        }
        Ok(Ok((mut stream, presented))) => {
            let peer = RpcPeer::with_chain(address, presented.chain());
            match place.establish(peer.certificate_digest()) {
                Ok(()) => serve_connection(context, stream, &peer, &place, Some(changes)).await,
                Err(NotEstablished::LimitReached(limit)) => {
                    decline_client(context, &mut stream, &peer, limit, &closing).await;
                }
                Err(NotEstablished::Displaced) => {
                    decline_displaced(context, &mut stream, &peer).await;
                }
            }
        }
    }
}

/// Counts and logs a handshake that failed, and records it if a client was rejected.
async fn reject_handshake(
    context: &RpcContext,
    peer: &RpcPeer,
    place: &ConnectionPlace,
    reason: String,
    recorded: Recorded,
) {
    place.note_failure();
    context.state.counters.rpc_handshake_failed.increment();
    let cause = HandshakeFault::of_reason(&reason).rpc_cause();
    context.state.log.limited(cause, peer, format_args!("TLS handshake failed: {reason}"));
    if recorded == Recorded::Yes {
        record_rejection(&context.audit, peer, HANDSHAKE, ErrorCode::Certificate, reason).await;
    }
}

/// Whether the audit trail has a line about a handshake that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recorded {
    /// A client was rejected: by its certificate, or because it has none.
    Yes,
    /// There was none: a connection that sent nothing, no TLS, or not all of it. Anybody could fill a disk with those.
    No,
}

/// Why a handshake failed, and what the client had presented by then.
struct FailedHandshake {
    reason: String,
    presented: Option<Arc<PresentedChain>>,
    recorded: Recorded,
}

impl FailedHandshake {
    fn before_certificates(reason: String) -> Self {
        Self { reason, presented: None, recorded: Recorded::No }
    }
}

/// Accepts a TLS connection. The ClientHello is read to its end before anything is computed for it, so that a client
/// that sends half of it costs nothing but its place.
async fn accept_tls(
    server: &RpcServer,
    stream: &mut Option<TcpStream>,
    certs: &ServerCertificates,
    place: &ConnectionPlace,
) -> Result<(TlsStream<TcpStream>, Arc<PresentedChain>), FailedHandshake> {
    let hello = read_client_hello(stream).await;
    let hello = hello.map_err(|e| FailedHandshake::before_certificates(e.to_string()))?;
    let counters = &server.context.state.counters;
    let Some(delay) = place.delay_handshake() else {
        counters.rpc_declined_early.increment();
        let reason = "busy: too many handshakes (--max-handshake-rate)".to_owned();
        server.rejecter.reject(hello.io, reason.clone());
        return Err(FailedHandshake::before_certificates(reason));
    };
    if !delay.is_zero() {
        counters.rpc_handshakes_delayed.increment();
        sleep(delay).await;
    }
    place.begin_handshake();
    let (config, presented) = certs
        .tls_server()
        .for_connection()
        .map_err(|e| FailedHandshake::before_certificates(format!("{e:#}")))?;
    match hello.into_stream(Arc::new(config)).await {
        Ok(stream) => Ok((stream, presented)),
        Err(e) => {
            let is_tls_error = e.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
            let recorded = if is_tls_error { Recorded::Yes } else { Recorded::No };
            Err(FailedHandshake { reason: e.to_string(), presented: Some(presented), recorded })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn connections_have_the_options_of_their_listener() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        set_stream_options(&listener);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        assert!(stream.nodelay().unwrap());
        // The kernel doubles the value (socket(7), SO_SNDBUF).
        let size = rustix::net::sockopt::socket_send_buffer_size(&stream).unwrap();
        assert_eq!(size, 2 * SEND_BUFFER);
    }
}

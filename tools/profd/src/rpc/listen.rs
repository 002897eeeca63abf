//! TCP listeners.

use std::io;
use std::net::{IpAddr, SocketAddr};

use anyhow::Context;
use common::error::HintExt;
use rustix::net::sockopt;
use tokio::net::{TcpListener, TcpSocket};

use crate::plan::ListenAddress;

/// Connections that the kernel holds for us; existing daemons have 50, and beyond that clients wait for seconds.
const BACKLOG: u32 = 1024;
/// Tries to find one port that is free on every address.
const TRIES: usize = 16;

/// Binds every address, on one port. Must run within the runtime.
///
/// # Errors
/// One that cannot be bound: a port that is taken is never shared or skipped.
pub(crate) fn bind_listeners(listen: &[ListenAddress], port: u16) -> anyhow::Result<Vec<TcpListener>> {
    for _ in 1..TRIES {
        match bind_all_once(listen, port) {
            // The port was free on one address and is not on the next.
            Err((_, e)) if port == 0 && e.kind() == io::ErrorKind::AddrInUse => {}
            other => return other.or_else(explain_bind_failure),
        }
    }
    bind_all_once(listen, port).or_else(explain_bind_failure)
}

type BindFailure = (SocketAddr, io::Error);

fn bind_all_once(listen: &[ListenAddress], port: u16) -> Result<Vec<TcpListener>, BindFailure> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut port = port;
    for l in listen {
        let address = SocketAddr::new(l.address, port);
        match bind_address(address) {
            Ok(listener) => {
                port = listener.local_addr().map_err(|e| (address, e))?.port();
                listeners.push(listener);
            }
            Err(e) if l.optional && is_missing_address(&e) => {}
            Err(e) => return Err((address, e)),
        }
    }
    Ok(listeners)
}

fn bind_address(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address.ip() {
        IpAddr::V4(_) => TcpSocket::new_v4()?,
        IpAddr::V6(_) => TcpSocket::new_v6()?,
    };
    if address.is_ipv6() {
        // Whatever the system's default: `::` alone does not open IPv4.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // Restarting must not wait for old connections to time out; a port that is listened on stays taken.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// The host has no such address, or no IPv6 at all.
fn is_missing_address(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::AddrNotAvailable
        || e.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn explain_bind_failure((address, e): BindFailure) -> anyhow::Result<Vec<TcpListener>> {
    let taken = e.kind() == io::ErrorKind::AddrInUse;
    let result = if taken {
        Err(anyhow::anyhow!("the port is in use: another process listens on it"))
    } else {
        Err(anyhow::Error::from(e))
    };
    let result = result.with_context(|| address.to_string());
    if taken { result.hint("stop the other daemon, or choose another --port") } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> ListenAddress {
        ListenAddress { address: address.parse().unwrap(), optional: false }
    }

    #[tokio::test]
    async fn fault_08_a_taken_port_is_an_error() {
        let first = bind_listeners(&[at("127.0.0.1")], 0).unwrap();
        let port = first[0].local_addr().unwrap().port();
        let e = format!("{:#}", bind_listeners(&[at("127.0.0.1")], port).unwrap_err());
        assert_eq!(e, format!("127.0.0.1:{port}: the port is in use: another process listens on it"));
    }

    /// Nobody accepts here; with the 50 places of existing daemons the 52nd client waits until it gives up.
    #[tokio::test]
    async fn fault_14_connections_beyond_fifty_do_not_wait() {
        let listeners = bind_listeners(&[at("127.0.0.1")], 0).unwrap();
        let address = listeners[0].local_addr().unwrap();
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
        let most = allowed.trim().parse().unwrap_or(200).min(200);
        let connect = |n| {
            std::net::TcpStream::connect_timeout(&address, std::time::Duration::from_secs(1))
                .unwrap_or_else(|e| panic!("client {n}: {e}"))
        };
        let clients: Vec<_> = (0..most).map(connect).collect();
        assert_eq!(clients.len(), most);
    }

    #[tokio::test]
    async fn all_addresses_share_a_free_port() {
        let listeners = bind_listeners(&[at("127.0.0.1"), at("127.0.0.2")], 0).unwrap();
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
        assert_eq!(ports[0], ports[1]);
        assert_ne!(ports[0], 0);
    }

    #[tokio::test]
    async fn a_missing_address_counts_only_if_it_was_asked_for() {
        let missing = ListenAddress { address: "192.0.2.1".parse().unwrap(), optional: true };
        assert_eq!(bind_listeners(&[missing, at("127.0.0.1")], 0).unwrap().len(), 1);
        assert!(bind_listeners(&[at("192.0.2.1")], 0).is_err());
    }
}

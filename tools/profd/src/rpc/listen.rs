//! TCP listeners.

use std::io;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context;
use common::error::HintExt;
use rustix::net::sockopt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, listen, socket_with};

use crate::plan::ListenAddress;

/// Connections that the kernel queues until they are accepted (listen(2)). The existing daemons (dynolog c3a231a,
/// msMonitor b942bf5) have 50, beyond which clients wait for seconds.
const BACKLOG: i32 = 1024;
/// How often a port that is free on every address is searched for.
const MAX_PORT_TRIES: usize = 16;

/// Binds every address on the same port.
///
/// # Errors
/// The first address that cannot be bound. A port in use is never shared or skipped.
pub(crate) fn bind_listeners(addresses: &[ListenAddress], port: u16) -> anyhow::Result<Vec<TcpListener>> {
    for _ in 1..MAX_PORT_TRIES {
        match bind_all_once(addresses, port) {
            // The port was free on one address and is in use on the next one.
            Err((_, e)) if port == 0 && e.kind() == io::ErrorKind::AddrInUse => {}
            other => return other.or_else(explain_bind_failure),
        }
    }
    bind_all_once(addresses, port).or_else(explain_bind_failure)
}

type BindFailure = (SocketAddr, io::Error);

fn bind_all_once(addresses: &[ListenAddress], port: u16) -> Result<Vec<TcpListener>, BindFailure> {
    let mut listeners: Vec<TcpListener> = Vec::new();
    let mut port = port;
    for l in addresses {
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
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    if address.is_ipv6() {
        // So that `::` does not accept IPv4 connections, whatever the system's default (ipv6(7), IPV6_V6ONLY).
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    // So that a restart does not wait for old connections in TIME_WAIT; a port with a listener stays in use (socket(7)).
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}

/// Returns whether the host has no such address, or no IPv6.
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

    #[test]
    fn fault_08_a_taken_port_is_an_error() {
        let first = bind_listeners(&[at("127.0.0.1")], 0).unwrap();
        let port = first[0].local_addr().unwrap().port();
        let e = format!("{:#}", bind_listeners(&[at("127.0.0.1")], port).unwrap_err());
        assert_eq!(e, format!("127.0.0.1:{port}: the port is in use: another process listens on it"));
    }

    /// No connection is accepted here; with a backlog of 50, the 52nd client waits until its timeout.
    #[test]
    fn fault_14_connections_beyond_fifty_do_not_wait() {
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

    #[test]
    fn all_addresses_share_a_free_port() {
        let listeners = bind_listeners(&[at("127.0.0.1"), at("127.0.0.2")], 0).unwrap();
        let ports: Vec<u16> = listeners.iter().map(|l| l.local_addr().unwrap().port()).collect();
        assert_eq!(ports[0], ports[1]);
        assert_ne!(ports[0], 0);
    }

    #[test]
    fn a_missing_address_is_an_error_only_if_an_option_names_it() {
        let missing = ListenAddress { address: "192.0.2.1".parse().unwrap(), optional: true };
        assert_eq!(bind_listeners(&[missing, at("127.0.0.1")], 0).unwrap().len(), 1);
        assert!(bind_listeners(&[at("192.0.2.1")], 0).is_err());
    }
}

//! Sockets that a service manager has bound and passes on: socket activation of systemd (sd_listen_fds(3)).

use std::net::TcpListener;

use anyhow::{Context, bail, ensure};
use common::ipc::socket::Socket;
use listenfd::ListenFd;

/// The sockets that were passed.
#[derive(Debug, Default)]
pub(crate) struct PassedSockets {
    /// For clients.
    pub(crate) listeners: Vec<TcpListener>,
    /// For processes.
    pub(crate) sockets: Vec<Socket>,
}

impl PassedSockets {
    /// Takes the sockets of `LISTEN_FDS`, once. None are passed to a process other than that of `LISTEN_PID`.
    ///
    /// # Errors
    /// One of them is neither a TCP listener nor a Unix datagram socket.
    pub(crate) fn take() -> anyhow::Result<Self> {
        let mut passed = Self::default();
        // Without it the descriptors may be for another process, and `listenfd` would take them.
        if std::env::var_os("LISTEN_PID").is_none() {
            return Ok(passed);
        }
        let mut descriptors = ListenFd::from_env();
        for index in 0..descriptors.len() {
            let number = index + 3;
            if let Ok(Some(listener)) = descriptors.take_tcp_listener(index) {
                listener.set_nonblocking(true)?;
                ensure!(
                    rustix::net::sockopt::socket_acceptconn(&listener)?,
                    "LISTEN_FDS: descriptor {number} does not listen"
                );
                passed.listeners.push(listener);
            } else if let Ok(Some(socket)) = descriptors.take_unix_datagram(index) {
                let socket = Socket::from_bound(socket.into());
                passed.sockets.push(socket.with_context(|| format!("LISTEN_FDS: descriptor {number}"))?);
            } else {
                bail!(
                    "LISTEN_FDS: descriptor {number} is neither a TCP listener (ListenStream) nor a Unix datagram socket \
                     (ListenDatagram)"
                );
            }
        }
        Ok(passed)
    }
}

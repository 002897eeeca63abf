//! Readiness for a service manager: a newline on a descriptor (s6, notifywhenup), a datagram (systemd, sd_notify(3)).

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::Context;

/// Where readiness is sent.
#[derive(Debug, Default)]
pub(crate) struct ReadyNotifier {
    descriptor: Option<File>,
    socket: Option<SocketAddr>,
}

impl ReadyNotifier {
    /// Opens the descriptor of `--ready-fd` and the socket of `NOTIFY_SOCKET`.
    ///
    /// # Errors
    /// The descriptor is not open for writing, or the address of the socket is invalid.
    pub(crate) fn open(descriptor: Option<u32>, socket: Option<&OsStr>) -> anyhow::Result<Self> {
        let descriptor = descriptor
            // Through /proc, because owning a descriptor by its number is unsafe in Rust (RFC 3128, I/O safety).
            .map(|fd| OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}")))
            .transpose()
            .context("--ready-fd")?;
        let socket =
            socket.filter(|s| !s.is_empty()).map(parse_address).transpose().context("NOTIFY_SOCKET")?;
        Ok(Self { descriptor, socket })
    }

    /// Sends readiness, once. Errors are ignored: the daemon serves without a service manager, too.
    pub(crate) fn send_ready(&mut self) {
        if let Some(mut descriptor) = self.descriptor.take() {
            let _ = descriptor.write_all(b"\n");
        }
        self.send_state(b"READY=1\n");
    }

    /// Sends that the daemon is stopping.
    pub(crate) fn send_stopping(&self) {
        self.send_state(b"STOPPING=1\n");
    }

    fn send_state(&self, state: &[u8]) {
        let Some(address) = &self.socket else { return };
        if let Ok(socket) = UnixDatagram::unbound() {
            let _ = socket.set_nonblocking(true);
            let _ = socket.send_to_addr(state, address);
        }
    }
}

fn parse_address(socket: &OsStr) -> io::Result<SocketAddr> {
    match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(socket),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    #[test]
    fn readiness_is_sent_once_on_both_ways() {
        let dir = tempfile::tempdir().unwrap();
        let said = dir.path().join("said");
        let writer = std::fs::File::create(&said).unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let fd = u32::try_from(writer.as_raw_fd()).unwrap();
        let mut notify = ReadyNotifier::open(Some(fd), Some(path.as_os_str())).unwrap();
        notify.send_ready();
        notify.send_stopping();
        drop((writer, notify));
        assert_eq!(std::fs::read_to_string(&said).unwrap(), "\n");
        let mut buf = [0; 64];
        let n = manager.recv(&mut buf).unwrap();
        assert_eq!(&buf[..n], b"READY=1\n");
        let n = manager.recv(&mut buf).unwrap();
        assert_eq!(&buf[..n], b"STOPPING=1\n");
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_an_error() {
        assert!(ReadyNotifier::open(Some(9999), None).is_err());
    }
}

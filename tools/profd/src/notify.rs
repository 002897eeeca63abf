//! Telling a service manager that we are ready: a newline on a descriptor (s6), a datagram (systemd).

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::Context;

/// Who waits for us to be ready.
#[derive(Debug, Default)]
pub(crate) struct ReadyNotifier {
    descriptor: Option<File>,
    socket: Option<SocketAddr>,
}

impl ReadyNotifier {
    /// Takes the descriptor and the environment's socket.
    ///
    /// # Errors
    /// They are not what they should be.
    pub(crate) fn open(descriptor: Option<u32>, socket: Option<&OsStr>) -> anyhow::Result<Self> {
        let descriptor = descriptor
            // Through /proc, because a bare number cannot be owned safely.
            .map(|fd| OpenOptions::new().write(true).open(format!("/proc/self/fd/{fd}")))
            .transpose()
            .context("--ready-fd")?;
        let socket =
            socket.filter(|s| !s.is_empty()).map(parse_address).transpose().context("NOTIFY_SOCKET")?;
        Ok(Self { descriptor, socket })
    }

    /// Says it, once. Nobody listening is no reason not to serve.
    pub(crate) fn send_ready(&mut self) {
        if let Some(mut descriptor) = self.descriptor.take() {
            let _ = descriptor.write_all(b"\n");
        }
        self.send_state(b"READY=1\n");
    }

    /// Says that we are about to end.
    pub(crate) fn send_stopping(&self) {
        self.send_state(b"STOPPING=1\n");
    }

    fn send_state(&self, state: &[u8]) {
        if let Some(address) = &self.socket
            && let Ok(socket) = UnixDatagram::unbound()
        {
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
    use std::io::Read;
    use std::os::fd::AsRawFd;

    #[test]
    fn both_ways_say_ready_once() {
        let (mut reader, writer) = io::pipe().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let fd = u32::try_from(writer.as_raw_fd()).unwrap();
        let mut notify = ReadyNotifier::open(Some(fd), Some(path.as_os_str())).unwrap();
        notify.send_ready();
        notify.send_stopping();
        drop((writer, notify));
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "\n");
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

//! Messages to a service manager: a newline on a descriptor (s6, notifywhenup), datagrams (systemd, sd_notify(3)).

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

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

    /// Sends readiness, once, with a line about what is served. Errors are ignored: the daemon serves without a service
    /// manager, too.
    pub(crate) fn send_ready(&mut self, status: &str) {
        if let Some(mut descriptor) = self.descriptor.take() {
            let _ = descriptor.write_all(b"\n");
        }
        let status = status.replace('\n', " ");
        send_state(self.socket.as_ref(), format!("READY=1\nSTATUS={status}\n").as_bytes());
    }

    /// Sends that the daemon is stopping.
    pub(crate) fn send_stopping(&self) {
        send_state(self.socket.as_ref(), b"STOPPING=1\nSTATUS=stopping\n");
    }

    /// Returns the notifier of the watchdog, if the service manager has one: `WATCHDOG_USEC`, for the process of
    /// `WATCHDOG_PID`.
    pub(crate) fn watchdog(&self, interval: Option<&OsStr>, pid: Option<&OsStr>) -> Option<WatchdogNotifier> {
        let is_own = pid.is_none_or(|pid| pid.to_str() == Some(&std::process::id().to_string()));
        let micros: u64 = interval?.to_str()?.parse().ok()?;
        // A nonsense interval would make it send all the time.
        let interval = Duration::from_micros(micros.max(MIN_WATCHDOG_MICROS));
        is_own.then(|| WatchdogNotifier { socket: self.socket.clone(), interval })
    }
}

/// The shortest interval of a watchdog that is kept to.
const MIN_WATCHDOG_MICROS: u64 = 100_000;

/// Notifies the watchdog of the service manager.
#[derive(Debug)]
pub(crate) struct WatchdogNotifier {
    socket: Option<SocketAddr>,
    /// The service manager restarts the daemon if it gets no notification for this long.
    pub(crate) interval: Duration,
}

impl WatchdogNotifier {
    pub(crate) fn send_alive(&self) {
        send_state(self.socket.as_ref(), b"WATCHDOG=1\n");
    }
}

fn send_state(address: Option<&SocketAddr>, state: &[u8]) {
    let Some(address) = address else { return };
    if let Ok(socket) = UnixDatagram::unbound() {
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to_addr(state, address);
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
        notify.send_ready("listening\non it");
        notify.send_stopping();
        drop((writer, notify));
        assert_eq!(std::fs::read_to_string(&said).unwrap(), "\n");
        let mut buf = [0; 64];
        let n = manager.recv(&mut buf).unwrap();
        assert_eq!(&buf[..n], b"READY=1\nSTATUS=listening on it\n");
        let n = manager.recv(&mut buf).unwrap();
        assert_eq!(&buf[..n], b"STOPPING=1\nSTATUS=stopping\n");
    }

    #[test]
    fn the_watchdog_is_notified_by_the_process_that_it_watches() {
        let notify = ReadyNotifier::default();
        let own = std::process::id().to_string();
        let watchdog = |interval: &str, pid: Option<&str>| {
            notify.watchdog(Some(OsStr::new(interval)), pid.map(OsStr::new)).map(|w| w.interval.as_micros())
        };
        assert_eq!(watchdog("2000000", Some(&own)), Some(2_000_000));
        assert_eq!(watchdog("2000000", None), Some(2_000_000));
        assert_eq!(watchdog("1", None), Some(100_000));
        assert_eq!((watchdog("2000000", Some("1")), watchdog("x", None)), (None, None));
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_an_error() {
        assert!(ReadyNotifier::open(Some(9999), None).is_err());
    }
}

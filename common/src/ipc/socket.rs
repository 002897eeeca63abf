//! A datagram socket that never blocks and reports the kernel's word on who sent each message.

use std::fs;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags,
    SocketAddrUnix, SocketFlags, SocketType, bind, recvmsg, sendto, socket_with, sockopt,
};

use super::address::Address;
use super::message::{HEADER, MAX_PAYLOAD};
use crate::file_id::FileId;
use crate::fsat::is_on_network_file_system;
use crate::policy::Mode;

/// The sender of a datagram, as the kernel says: in our own namespaces, not forgeable without privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Process id.
    pub pid: i32,
    /// Effective or real user id.
    pub uid: u32,
    /// Effective or real group id.
    pub gid: u32,
}

/// A datagram's envelope. The bytes are in the buffer that the caller gave.
#[derive(Debug)]
pub struct Received {
    /// Bytes received.
    pub len: usize,
    /// Where a reply goes; nowhere, if the sender has no name.
    pub from: Option<SocketAddrUnix>,
    /// The sender; absent only if the kernel did not say.
    pub credentials: Option<Credentials>,
    /// The datagram was longer than the buffer.
    pub truncated: bool,
}

/// A bound, non-blocking datagram socket. A socket file is removed when it is dropped, if it is still ours.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    file: Option<SocketFile>,
}

/// The file that a bind made: what to remove, and its identity, so that a successor's file is left alone.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    id: FileId,
}

/// A buffer that holds every message a process may send, and a byte more to notice longer ones.
#[must_use]
pub fn buffer() -> Vec<u8> {
    vec![0; HEADER + MAX_PAYLOAD + 1]
}

impl Socket {
    /// Binds an address. A socket file gets its mode in the same step; a stale one, which no process
    /// listens on any more, is replaced, and nothing else is. On a network file system none is: only the kernel of the
    /// host that made it knows whether it is in use.
    ///
    /// # Errors
    /// `AddrInUse` when another process listens there or something else has the name.
    pub fn bind(address: &Address, mode: Mode) -> io::Result<Self> {
        let fd = open()?;
        if let Address::Path(path) = address {
            remove_stale(path, is_on_network_file_system(path))?;
            // The file's mode is the socket inode's, less the umask: set before there is a file.
            rustix::fs::fchmod(&fd, rustix::fs::Mode::from_raw_mode(mode.0))?;
        }
        // Before there is a name to send to: a datagram that is queued earlier carries no credentials.
        sockopt::set_socket_passcred(&fd, true)?;
        bind(&fd, &address.to_kernel()?)?;
        let file = match address {
            Address::Abstract(_) => None,
            Address::Path(path) => {
                let meta = fs::symlink_metadata(path)?;
                Some(SocketFile { path: path.clone(), id: FileId::of_metadata(&meta) })
            }
        };
        Ok(Self { fd, file })
    }

    /// Takes a bound socket that another process made, such as a service manager. Its file is not removed.
    ///
    /// # Errors
    /// It is not a datagram socket of Unix.
    pub fn from_bound(fd: OwnedFd) -> io::Result<Self> {
        let is_unix = sockopt::socket_domain(&fd)? == AddressFamily::UNIX;
        if !is_unix || sockopt::socket_type(&fd)? != SocketType::DGRAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a Unix datagram socket"));
        }
        sockopt::set_socket_passcred(&fd, true)?;
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self { fd, file: None })
    }

    /// Returns the address that it is bound to.
    ///
    /// # Errors
    /// It has no name.
    pub fn local_address(&self) -> io::Result<Address> {
        let address = SocketAddrUnix::try_from(rustix::net::getsockname(&self.fd)?)?;
        Address::from_kernel(&address).ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
    }

    /// Receives one datagram.
    ///
    /// # Errors
    /// `WouldBlock` when there is none.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let message = recvmsg(&self.fd, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
        let credentials = control.drain().find_map(|m| match m {
            RecvAncillaryMessage::ScmCredentials(c) => {
                Some(Credentials { pid: c.pid.as_raw_pid(), uid: c.uid.as_raw(), gid: c.gid.as_raw() })
            }
            _ => None,
        });
        Ok(Received {
            len: message.bytes,
            from: message.address.and_then(|a| SocketAddrUnix::try_from(a).ok()).filter(is_named),
            credentials,
            truncated: message.flags.contains(ReturnFlags::TRUNC),
        })
    }

    /// Sends one datagram, whole or not at all.
    ///
    /// # Errors
    /// `WouldBlock` when the receiver's queue is full, `ConnectionRefused` or `NotFound` when nothing is bound there.
    pub fn send(&self, datagram: &[u8], to: &SocketAddrUnix) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        sendto(&self.fd, datagram, flags, to)?;
        Ok(())
    }

    /// Waits until a datagram can be received. False when the time ran out.
    ///
    /// # Errors
    /// An I/O error; `Interrupted` on a signal.
    pub fn wait(&self, limit: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        let limit = Timespec::try_from(limit).map_err(|_| io::ErrorKind::InvalidInput)?;
        Ok(poll(&mut fds, Some(&limit))? > 0)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let Some(file) = &self.file else { return };
        let same = |m: fs::Metadata| FileId::of_metadata(&m) == file.id;
        if fs::symlink_metadata(&file.path).is_ok_and(same) {
            let _ = fs::remove_file(&file.path);
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?)
}

/// Whether a reply can be sent there: an unbound sender has an address without a name.
fn is_named(address: &SocketAddrUnix) -> bool {
    !address.is_unnamed()
}

/// Why a socket file is not replaced although no process of this host listens on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("exists on a network file system, where a daemon of another host may have made it")]
pub struct OnNetworkFileSystem;

/// Removes a socket file on which no process listens.
fn remove_stale(path: &std::path::Path, is_shared: bool) -> io::Result<()> {
    let meta = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    if !meta.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "exists and is not a socket"));
    }
    let probe = open()?;
    match rustix::net::connect(&probe, &SocketAddrUnix::new(path)?) {
        Err(rustix::io::Errno::CONNREFUSED) if is_shared => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, OnNetworkFileSystem))
        }
        Err(rustix::io::Errno::CONNREFUSED) => fs::remove_file(path),
        Ok(()) | Err(rustix::io::Errno::PROTOTYPE) => {
            Err(io::Error::new(io::ErrorKind::AddrInUse, "another process listens on this socket"))
        }
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn in_dir(dir: &tempfile::TempDir, name: &str) -> Address {
        Address::Path(dir.path().join(name))
    }

    #[test]
    fn the_kernel_names_the_sender() {
        let dir = tempfile::tempdir().unwrap();
        let (here, there) = (in_dir(&dir, "a"), in_dir(&dir, "b"));
        let a = Socket::bind(&here, Mode(0o600)).unwrap();
        let b = Socket::bind(&there, Mode(0o600)).unwrap();
        b.send(b"hello", &here.to_kernel().unwrap()).unwrap();
        let mut buf = buffer();
        let got = a.receive(&mut buf).unwrap();
        assert_eq!(&buf[..got.len], b"hello");
        assert!(!got.truncated);
        let from = got.from.unwrap();
        assert_eq!(Address::from_kernel(&from), Some(there));
        assert_eq!(got.credentials.unwrap().pid, i32::try_from(std::process::id()).unwrap());
        assert_eq!(a.receive(&mut buf).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(!a.wait(Duration::from_millis(1)).unwrap());
    }

    #[test]
    fn a_socket_file_has_its_mode_from_the_start_and_goes_with_the_socket() {
        let dir = tempfile::tempdir().unwrap();
        let address = in_dir(&dir, "s");
        let socket = Socket::bind(&address, Mode(0o600)).unwrap();
        let path = dir.path().join("s");
        assert_eq!(fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o600);
        let taken = Socket::bind(&address, Mode(0o600)).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(std::os::unix::net::UnixDatagram::bind(&path).unwrap());
        drop(Socket::bind(&in_dir(&dir, "s"), Mode(0o600)).unwrap());
        fs::write(&path, "precious").unwrap();
        let e = Socket::bind(&in_dir(&dir, "s"), Mode(0o600)).unwrap_err();
        assert_eq!(e.to_string(), "exists and is not a socket");
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_socket_of_another_host_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        drop(std::os::unix::net::UnixDatagram::bind(&path).unwrap());
        let e = remove_stale(&path, true).unwrap_err();
        assert!(e.to_string().contains("another host") && path.exists(), "{e}");
        assert_eq!(e.kind(), io::ErrorKind::AddrInUse);
        remove_stale(&path, false).unwrap();
        assert!(!path.exists() && remove_stale(&path, true).is_ok());
    }

    #[test]
    fn a_socket_of_a_service_manager_is_taken_and_its_file_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let passed = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let socket = Socket::from_bound(passed.into()).unwrap();
        assert_eq!(socket.local_address().unwrap(), in_dir(&dir, "s"));
        let sender = Socket::bind(&in_dir(&dir, "t"), Mode(0o600)).unwrap();
        sender.send(b"x", &in_dir(&dir, "s").to_kernel().unwrap()).unwrap();
        assert!(socket.receive(&mut buffer()).unwrap().credentials.is_some());
        assert_eq!(socket.receive(&mut buffer()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(socket);
        assert!(path.exists());
        let stream = std::os::unix::net::UnixListener::bind(dir.path().join("l")).unwrap();
        assert!(Socket::from_bound(stream.into()).is_err());
    }

    #[test]
    fn an_unbound_sender_has_no_address() {
        let dir = tempfile::tempdir().unwrap();
        let a = Socket::bind(&in_dir(&dir, "a"), Mode(0o600)).unwrap();
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender.send_to(b"x", dir.path().join("a")).unwrap();
        let got = a.receive(&mut buffer()).unwrap();
        assert!(got.from.is_none() && got.credentials.is_some());
    }
}

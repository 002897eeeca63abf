//! Whether a reply may be sent to the address that a sender has.
//!
//! The address of a socket file is the text that its process bound: seen from the daemon, which may have another working
//! directory and other mounts, it can name somebody else's socket. A process must not get replies sent there.

use std::os::unix::fs::MetadataExt;

use common::ipc::address::Address;
use rustix::net::SocketAddrUnix;

/// Checks that an address is an abstract name, or the socket file of the sender's user.
///
/// # Errors
/// Why no reply is sent there.
pub(super) fn check_reply_address(address: &SocketAddrUnix, uid: u32) -> Result<(), &'static str> {
    let Some(Address::Path(path)) = Address::from_kernel(address) else { return Ok(()) };
    if !path.is_absolute() {
        return Err("its socket has a relative path");
    }
    match path.symlink_metadata() {
        Ok(meta) if meta.uid() == uid => Ok(()),
        Ok(_) => Err("the file at the path of its socket belongs to another user"),
        Err(_) => Err("the file of its socket does not exist"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_go_to_sockets_of_the_sender_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        let uid = path.symlink_metadata().unwrap().uid();
        let check = |address: Address, uid| check_reply_address(&address.to_kernel().unwrap(), uid);
        assert_eq!(check(Address::Path(path.clone()), uid), Ok(()));
        assert_eq!(check(Address::abstract_name("x"), uid), Ok(()));
        assert!(check(Address::Path(path), uid + 1).unwrap_err().contains("another user"));
        assert!(check(Address::Path("s".into()), uid).unwrap_err().contains("relative"));
        assert!(check(Address::Path(dir.path().join("none")), uid).is_err());
    }
}

//! Binds the sockets for training processes.

use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;
use common::error::HintExt;
use common::ipc::address::Address;
use common::ipc::socket::Socket;
use common::policy::{Class, Mode};

use crate::plan::ipc::{SocketFileAccess, SocketPlace};

/// A bound socket.
#[derive(Debug)]
pub(crate) struct BoundSocket {
    pub(crate) socket: Socket,
    pub(crate) name: String,
    /// Whether `ctxt` gets a reply here. Processes that use the socket in the home directory (msMonitor b942bf5) do not
    /// read that reply before they poll: they would take it for the reply to the first poll, and every config would
    /// arrive one poll late.
    pub(crate) replies_to_registration: bool,
}

/// Binds all sockets, or none.
///
/// # Errors
/// The first one that cannot be bound, so that no daemon runs that serves only some of its processes.
pub(crate) fn bind_sockets(
    places: &[SocketPlace],
    access: SocketFileAccess,
) -> anyhow::Result<Vec<BoundSocket>> {
    let mut bound = Vec::new();
    for place in places {
        let (control, data) = place.addresses();
        for address in [control, data] {
            // Who may write to the socket may send to the daemon, so it has the mode of a private key.
            let socket = Socket::bind(&address, Class::KeyFile.max()).map_err(explain_in_use);
            let hint = socket.as_ref().err().map(|e| suggest_remedy(e, place)).unwrap_or_default();
            let socket = socket.with_context(|| address.to_string()).hint(hint)?;
            if let Address::Path(path) = &address {
                open_to_others(path, access).with_context(|| address.to_string())?;
            }
            let replies_to_registration = !matches!(place, SocketPlace::Home(_));
            bound.push(BoundSocket { socket, name: address.to_string(), replies_to_registration });
        }
    }
    Ok(bound)
}

/// Gives a socket file its owner, its group and a mode that is wider than the one that it was bound with.
fn open_to_others(path: &Path, access: SocketFileAccess) -> io::Result<()> {
    let meta = std::fs::symlink_metadata(path)?;
    let (uid, gid) =
        (access.uid.filter(|uid| *uid != meta.uid()), access.gid.filter(|gid| *gid != meta.gid()));
    // A service may be forbidden to change owners at all.
    if uid.is_some() || gid.is_some() {
        std::os::unix::fs::lchown(path, uid, gid)?;
    }
    if Mode(access.mode) != Class::KeyFile.max() {
        std::fs::set_permissions(path, Permissions::from_mode(access.mode))?;
    }
    Ok(())
}

/// Suggests what to do about a socket that cannot be bound.
fn suggest_remedy(error: &io::Error, place: &SocketPlace) -> String {
    // The path of a socket has at most 107 bytes (unix(7), sun_path), and each part of it at most 255.
    let is_too_long = error.raw_os_error() == Some(rustix::io::Errno::NAMETOOLONG.raw_os_error());
    let first = match error.kind() {
        ErrorKind::AddrInUse => "stop the other daemon",
        kind if is_too_long || kind == ErrorKind::InvalidInput => "choose a directory with a shorter path",
        ErrorKind::PermissionDenied => "let this user write to the directory",
        ErrorKind::NotFound => "make the directory",
        _ => return format!("leave `{}` out of --ipc", place.option_word()),
    };
    format!("{first}, or leave `{}` out of --ipc", place.option_word())
}

/// Replaces the system's text for an abstract name that is in use, which does not name the cause.
fn explain_in_use(error: io::Error) -> io::Error {
    let bare = error.kind() == io::ErrorKind::AddrInUse && error.raw_os_error().is_some();
    if bare { io::Error::new(error.kind(), "another process listens on this socket") } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    const PRIVATE: SocketFileAccess = SocketFileAccess { mode: 0o600, uid: None, gid: None };

    #[test]
    fn socket_files_have_the_given_mode_and_group() {
        let dir = tempfile::tempdir().unwrap();
        let gid = std::fs::metadata(dir.path()).unwrap().gid();
        let access = SocketFileAccess { mode: 0o660, uid: None, gid: Some(gid) };
        let _bound = bind_sockets(&[SocketPlace::Dir(dir.path().to_owned())], access).unwrap();
        for name in ["dynolog", "dynolog_data"] {
            let meta = std::fs::symlink_metadata(dir.path().join(name)).unwrap();
            assert_eq!((meta.mode() & 0o777, meta.gid()), (0o660, gid));
        }
    }

    #[test]
    fn all_sockets_are_bound_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("b");
        std::fs::create_dir(&taken).unwrap();
        std::fs::write(taken.join("dynolog"), "precious").unwrap();
        let places = [SocketPlace::Home(dir.path().to_owned()), SocketPlace::Dir(taken.clone())];
        let e = bind_sockets(&places, PRIVATE).unwrap_err();
        assert!(format!("{e:#}").ends_with("b/dynolog: exists and is not a socket"), "{e:#}");
        assert!(!dir.path().join("dynolog.sock").exists());
        std::fs::remove_file(taken.join("dynolog")).unwrap();
        let bound = bind_sockets(&places, PRIVATE).unwrap();
        let quiet = bound.iter().filter(|b| !b.replies_to_registration).count();
        assert_eq!((bound.len(), quiet), (4, 2));
    }

    #[test]
    fn an_abstract_name_in_use_is_explained() {
        let place = [SocketPlace::Abstract(format!("profd-test-{}", std::process::id()))];
        let _first = bind_sockets(&place, PRIVATE).unwrap();
        let e = format!("{:#}", bind_sockets(&place, PRIVATE).unwrap_err());
        assert!(e.ends_with(": another process listens on this socket"), "{e}");
    }
    #[test]
    fn hints_fit_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let hint = |dir: PathBuf| {
            let e = bind_sockets(&[SocketPlace::Dir(dir)], PRIVATE).unwrap_err();
            common::error::hint_of(&e).unwrap().to_owned()
        };
        let long = dir.path().join("d".repeat(120));
        std::fs::create_dir(&long).unwrap();
        assert_eq!(hint(long), "choose a directory with a shorter path, or leave `dir` out of --ipc");
        assert_eq!(hint(dir.path().join("none")), "make the directory, or leave `dir` out of --ipc");
        let _first = bind_sockets(&[SocketPlace::Dir(dir.path().to_owned())], PRIVATE).unwrap();
        assert_eq!(hint(dir.path().to_owned()), "stop the other daemon, or leave `dir` out of --ipc");
    }
}

//! Binds the sockets for training processes.

use std::io::{self, ErrorKind};

use anyhow::Context;
use common::error::HintExt;
use common::ipc::socket::Socket;
use common::policy::Class;

use crate::plan::ipc::SocketPlace;

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
pub(crate) fn bind_sockets(places: &[SocketPlace]) -> anyhow::Result<Vec<BoundSocket>> {
    let mut bound = Vec::new();
    for place in places {
        let (control, data) = place.addresses();
        for address in [control, data] {
            // Who may write to the socket may send to the daemon, so it has the mode of a private key.
            let socket = Socket::bind(&address, Class::KeyFile.max()).map_err(explain_in_use);
            let hint = socket.as_ref().err().map(|e| suggest_remedy(e, place)).unwrap_or_default();
            let socket = socket.with_context(|| address.to_string()).hint(hint)?;
            let replies_to_registration = !matches!(place, SocketPlace::Home(_));
            bound.push(BoundSocket { socket, name: address.to_string(), replies_to_registration });
        }
    }
    Ok(bound)
}

/// Suggests what to do about a socket that cannot be bound.
fn suggest_remedy(error: &io::Error, place: &SocketPlace) -> String {
    let first = match error.kind() {
        ErrorKind::AddrInUse => "stop the other daemon",
        // The path of a socket has at most 107 bytes (unix(7), sun_path).
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => "choose a directory with a shorter path",
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

    #[test]
    fn all_sockets_are_bound_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("b");
        std::fs::create_dir(&taken).unwrap();
        std::fs::write(taken.join("dynolog"), "precious").unwrap();
        let places = [SocketPlace::Home(dir.path().to_owned()), SocketPlace::Dir(taken.clone())];
        let e = bind_sockets(&places).unwrap_err();
        assert!(format!("{e:#}").ends_with("b/dynolog: exists and is not a socket"), "{e:#}");
        assert!(!dir.path().join("dynolog.sock").exists());
        std::fs::remove_file(taken.join("dynolog")).unwrap();
        let bound = bind_sockets(&places).unwrap();
        let quiet = bound.iter().filter(|b| !b.replies_to_registration).count();
        assert_eq!((bound.len(), quiet), (4, 2));
    }

    #[test]
    fn an_abstract_name_in_use_is_explained() {
        let place = [SocketPlace::Abstract(format!("profd-test-{}", std::process::id()))];
        let _first = bind_sockets(&place).unwrap();
        let e = format!("{:#}", bind_sockets(&place).unwrap_err());
        assert!(e.ends_with(": another process listens on this socket"), "{e}");
    }
    #[test]
    fn hints_fit_the_error() {
        let dir = tempfile::tempdir().unwrap();
        let hint = |dir: PathBuf| {
            let e = bind_sockets(&[SocketPlace::Dir(dir)]).unwrap_err();
            common::error::hint_of(&e).unwrap().to_owned()
        };
        let long = dir.path().join("d".repeat(120));
        std::fs::create_dir(&long).unwrap();
        assert_eq!(hint(long), "choose a directory with a shorter path, or leave `dir` out of --ipc");
        assert_eq!(hint(dir.path().join("none")), "make the directory, or leave `dir` out of --ipc");
        let _first = bind_sockets(&[SocketPlace::Dir(dir.path().to_owned())]).unwrap();
        assert_eq!(hint(dir.path().to_owned()), "stop the other daemon, or leave `dir` out of --ipc");
    }
}

//! Which sockets the fabric listens on: every vintage of process looks for the daemon somewhere else.

use std::io::{self, ErrorKind};

use anyhow::Context;
use common::error::HintExt;
use common::ipc::socket::Socket;
use common::policy::Class;

use crate::plan::ipc::SocketPlace;

/// A socket that is bound.
#[derive(Debug)]
pub(crate) struct BoundSocket {
    pub(crate) socket: Socket,
    pub(crate) name: String,
    /// Whether `ctxt` is answered here. Processes that use the socket in the home directory never read that
    /// answer: it would be taken for the answer to their first poll, and every config would come a poll late.
    pub(crate) replies_to_registration: bool,
}

/// Binds all of them, or none: what was bound is released again.
///
/// # Errors
/// The first one that cannot be bound; a daemon that serves only some of its processes is worse than none.
pub(crate) fn bind_sockets(places: &[SocketPlace]) -> anyhow::Result<Vec<BoundSocket>> {
    let mut bound = Vec::new();
    for place in places {
        let (control, data) = place.addresses();
        for address in [control, data] {
            // Whoever may write to it speaks to the daemon: as private as a key.
            let socket = Socket::bind(&address, Class::KeyFile.max()).map_err(explain_in_use);
            let hint = socket.as_ref().err().map(|e| suggest_remedy(e, place)).unwrap_or_default();
            let socket = socket.with_context(|| address.to_string()).hint(hint)?;
            let replies_to_registration = !matches!(place, SocketPlace::Home(_));
            bound.push(BoundSocket { socket, name: address.to_string(), replies_to_registration });
        }
    }
    Ok(bound)
}

/// What the operator can do about a socket that cannot be bound.
fn suggest_remedy(error: &io::Error, place: &SocketPlace) -> String {
    let first = match error.kind() {
        ErrorKind::AddrInUse => "stop the other daemon",
        // The whole path of a socket has 107 bytes.
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => "choose a directory with a shorter path",
        ErrorKind::PermissionDenied => "let this user write to the directory",
        ErrorKind::NotFound => "make the directory",
        _ => return format!("leave `{}` out of --ipc", place.option_word()),
    };
    format!("{first}, or leave `{}` out of --ipc", place.option_word())
}

/// Says what a taken abstract name means; the system's words do not.
fn explain_in_use(error: io::Error) -> io::Error {
    let bare = error.kind() == io::ErrorKind::AddrInUse && error.raw_os_error().is_some();
    if bare { io::Error::new(error.kind(), "another process listens on this socket") } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn all_or_none() {
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
    fn a_taken_abstract_name_is_told_in_words() {
        let place = [SocketPlace::Abstract(format!("profd-test-{}", std::process::id()))];
        let _first = bind_sockets(&place).unwrap();
        let e = format!("{:#}", bind_sockets(&place).unwrap_err());
        assert!(e.ends_with(": another process listens on this socket"), "{e}");
    }
    #[test]
    fn hints_fit_what_went_wrong() {
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

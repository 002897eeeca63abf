//! Which sockets the fabric listens on: every vintage of process looks for the daemon somewhere else.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use anyhow::Context;
use common::error::HintExt;
use common::ipc::address::{Address, CONTROL, DATA};
use common::ipc::socket::Socket;
use common::policy::Class;

/// A pair of sockets to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Abstract names: upstream and older msMonitor. The name of the second has `_data` appended.
    Abstract(String),
    /// Files in a home directory: current msMonitor.
    Home(PathBuf),
    /// Files in a directory that processes are told of by `KINETO_IPC_SOCKET_DIR`.
    Dir(PathBuf),
}

/// A socket that is bound.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) socket: Socket,
    pub(crate) name: String,
    /// Whether `ctxt` is answered here. Processes that use the socket in the home directory never read that
    /// answer: it would be taken for the answer to their first poll, and every config would come a poll late.
    pub(crate) answers_registration: bool,
}

impl Place {
    /// The name that `--ipc` knows it by.
    pub(crate) fn option(&self) -> &'static str {
        match self {
            Self::Abstract(_) => "abstract",
            Self::Home(_) => "home",
            Self::Dir(_) => "dir",
        }
    }

    fn addresses(&self) -> (Address, Address) {
        match self {
            Self::Abstract(name) => {
                (Address::abstract_name(name), Address::abstract_name(&format!("{name}_data")))
            }
            Self::Home(home) => Address::in_home(home),
            Self::Dir(dir) => (Address::in_socket_dir(dir), Address::Path(dir.join(DATA))),
        }
    }
}

/// The abstract name that processes look for.
pub(crate) const ABSTRACT: &str = CONTROL;

/// Binds all of them, or none: what was bound is released again.
///
/// # Errors
/// The first one that cannot be bound; a daemon that serves only some of its processes is worse than none.
pub(crate) fn bind(places: &[Place]) -> anyhow::Result<Vec<Bound>> {
    let mut bound = Vec::new();
    for place in places {
        let (control, data) = place.addresses();
        for address in [control, data] {
            // Whoever may write to it speaks to the daemon: as private as a key.
            let socket = Socket::bind(&address, Class::KeyFile.max()).map_err(explain);
            let hint = socket.as_ref().err().map(|e| hint(e, place)).unwrap_or_default();
            let socket = socket.with_context(|| address.to_string()).hint(hint)?;
            let answers_registration = !matches!(place, Place::Home(_));
            bound.push(Bound { socket, name: address.to_string(), answers_registration });
        }
    }
    Ok(bound)
}

/// What the operator can do about a socket that cannot be bound.
fn hint(error: &io::Error, place: &Place) -> String {
    let first = match error.kind() {
        ErrorKind::AddrInUse => "stop the other daemon",
        // The whole path of a socket has 107 bytes.
        ErrorKind::InvalidInput | ErrorKind::InvalidFilename => "choose a directory with a shorter path",
        ErrorKind::PermissionDenied => "let this user write to the directory",
        ErrorKind::NotFound => "make the directory",
        _ => return format!("leave `{}` out of --ipc", place.option()),
    };
    format!("{first}, or leave `{}` out of --ipc", place.option())
}

/// Says what a taken abstract name means; the system's words do not.
fn explain(error: io::Error) -> io::Error {
    let bare = error.kind() == io::ErrorKind::AddrInUse && error.raw_os_error().is_some();
    if bare { io::Error::new(error.kind(), "another process listens on this socket") } else { error }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("b");
        std::fs::create_dir(&taken).unwrap();
        std::fs::write(taken.join("dynolog"), "precious").unwrap();
        let places = [Place::Home(dir.path().to_owned()), Place::Dir(taken.clone())];
        let e = bind(&places).unwrap_err();
        assert!(format!("{e:#}").ends_with("b/dynolog: exists and is not a socket"), "{e:#}");
        assert!(!dir.path().join("dynolog.sock").exists());
        std::fs::remove_file(taken.join("dynolog")).unwrap();
        let bound = bind(&places).unwrap();
        let quiet = bound.iter().filter(|b| !b.answers_registration).count();
        assert_eq!((bound.len(), quiet), (4, 2));
    }

    #[test]
    fn a_taken_abstract_name_is_told_in_words() {
        let place = [Place::Abstract(format!("profd-test-{}", std::process::id()))];
        let _first = bind(&place).unwrap();
        let e = format!("{:#}", bind(&place).unwrap_err());
        assert!(e.ends_with(": another process listens on this socket"), "{e}");
    }
    #[test]
    fn hints_fit_what_went_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let hint = |dir: PathBuf| {
            let e = bind(&[Place::Dir(dir)]).unwrap_err();
            common::error::hint_of(&e).unwrap().to_owned()
        };
        let long = dir.path().join("d".repeat(120));
        std::fs::create_dir(&long).unwrap();
        assert_eq!(hint(long), "choose a directory with a shorter path, or leave `dir` out of --ipc");
        assert_eq!(hint(dir.path().join("none")), "make the directory, or leave `dir` out of --ipc");
        let _first = bind(&[Place::Dir(dir.path().to_owned())]).unwrap();
        assert_eq!(hint(dir.path().to_owned()), "stop the other daemon, or leave `dir` out of --ipc");
    }
}

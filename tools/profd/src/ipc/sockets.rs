//! Binds the sockets for training processes.

use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::Context;
use common::error::HintExt;
use common::ipc::address::Address;
use common::ipc::socket::{OnNetworkFileSystem, Socket};
use common::policy::{Class, Mode};

use crate::plan::ipc::{PlannedPlace, SocketFileAccess, SocketPlace};
use crate::startup_check::explain_unusable;

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

/// The sockets for processes.
#[derive(Debug, Default)]
pub(crate) struct BoundSockets {
    pub(crate) sockets: Vec<BoundSocket>,
    /// Default places that the host does not have or allow, and why.
    pub(crate) missing: Vec<MissingPlace>,
}

/// A default place where the daemon does not listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MissingPlace {
    pub(crate) name: String,
    pub(crate) reason: String,
}

impl BoundSockets {
    /// Takes sockets that a service manager has bound.
    pub(crate) fn adopt(passed: Vec<Socket>) -> Self {
        let adopt = |socket: Socket| {
            let address = socket.local_address().ok();
            let name = address.as_ref().map_or_else(|| "a passed socket".to_owned(), ToString::to_string);
            let home_names = ["dynolog.sock", "dynolog_data.sock"];
            let replies_to_registration = !home_names.iter().any(|file| name.ends_with(&format!("/{file}")));
            BoundSocket { socket, name, replies_to_registration }
        };
        Self { sockets: passed.into_iter().map(adopt).collect(), missing: Vec::new() }
    }

    /// Binds all places that are asked for, and those of the default ones that can be had.
    ///
    /// # Errors
    /// One that is asked for cannot be bound, so that no daemon runs that serves only some of its processes; or none of the
    /// default ones can.
    pub(crate) fn bind(
        mut self,
        places: &[PlannedPlace],
        access: SocketFileAccess,
        uid: u32,
    ) -> anyhow::Result<Self> {
        let mut first_error = None;
        for PlannedPlace { place, is_default } in places {
            let (control, _) = place.addresses();
            if self.sockets.iter().any(|bound| bound.name == control.to_string()) {
                continue;
            }
            let unusable = if *is_default { explain_unusable(place, uid) } else { None };
            let bound = match unusable {
                Some(reason) => Err(anyhow::anyhow!(reason).context(control.to_string())),
                None => bind_place(place, access),
            };
            match bound {
                Ok(bound) => self.sockets.extend(bound),
                Err(e) if *is_default => {
                    self.missing
                        .push(MissingPlace { name: control.to_string(), reason: e.root_cause().to_string() });
                    first_error.get_or_insert(e);
                }
                Err(e) => return Err(e),
            }
        }
        match first_error {
            Some(e) if self.sockets.is_empty() => Err(e),
            _ => Ok(self),
        }
    }
}

/// Binds both sockets of a place, or none.
fn bind_place(place: &SocketPlace, access: SocketFileAccess) -> anyhow::Result<Vec<BoundSocket>> {
    let mut bound = Vec::new();
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
        ErrorKind::AddrInUse if error.get_ref().is_some_and(|inner| inner.is::<OnNetworkFileSystem>()) => {
            "remove the file if no daemon of another host uses it"
        }
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

    fn bind_sockets(places: &[SocketPlace], access: SocketFileAccess) -> anyhow::Result<Vec<BoundSocket>> {
        let planned: Vec<_> =
            places.iter().map(|place| PlannedPlace { place: place.clone(), is_default: false }).collect();
        Ok(BoundSockets::default().bind(&planned, access, own_uid())?.sockets)
    }

    fn own_uid() -> u32 {
        rustix::process::geteuid().as_raw()
    }

    #[test]
    fn a_default_socket_that_cannot_be_had_is_left_out_and_named() {
        let dir = tempfile::tempdir().unwrap();
        let (home, open) = (dir.path().join("h"), dir.path().join("open"));
        for sub in [&home, &open] {
            std::fs::create_dir(sub).unwrap();
        }
        std::fs::set_permissions(&open, Permissions::from_mode(0o777)).unwrap();
        std::fs::write(home.join("dynolog_data.sock"), "precious").unwrap();
        let default = |place| PlannedPlace { place, is_default: true };
        let name = format!("profd-test-default-{}", std::process::id());
        let mut places = vec![
            default(SocketPlace::Home(home.clone())),
            default(SocketPlace::Home(open)),
            default(SocketPlace::Home(dir.path().join("none"))),
        ];
        let bind = |places: &[PlannedPlace]| BoundSockets::default().bind(places, PRIVATE, own_uid());
        assert!(
            format!("{:#}", bind(&places).unwrap_err()).contains("exists and is not a socket"),
            "none is left"
        );
        places.push(default(SocketPlace::Abstract(name)));
        let bound = bind(&places).unwrap();
        let reasons: Vec<_> = bound.missing.iter().map(|m| m.reason.as_str()).collect();
        assert_eq!(bound.sockets.len(), 2);
        assert!(!home.join("dynolog.sock").exists(), "both sockets of a place or none");
        assert!(reasons[0].contains("not a socket") && reasons[1].contains("0777"), "{reasons:?}");
        assert!(bound.missing[2].name.ends_with("none/dynolog.sock"), "{:?}", bound.missing);
    }

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

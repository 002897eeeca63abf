//! Where daemons of every vintage listen, and what kind of socket of our own each can answer.

use std::fmt;
use std::path::{Path, PathBuf};

use common::ipc::address::{Address, CLIENT_PREFIX, CONTROL, DATA, SOCKET_DIR_VAR};
use common::passwd;

/// A place where a daemon may listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Daemon {
    pub(crate) control: Address,
    pub(crate) data: Address,
}

/// The kind of socket that this process binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// An abstract name: what every daemon can answer, and what every local user can write to.
    Abstract,
    /// A file in this directory, mode 0600.
    In(PathBuf),
}

/// Settles `--socket`, the environment and the defaults, in this order of precedence.
pub(super) fn choose(socket: Option<&Path>, uid: u32) -> (Vec<Daemon>, Own) {
    let variable = || std::env::var_os(SOCKET_DIR_VAR).filter(|v| !v.is_empty()).map(PathBuf::from);
    match socket {
        Some(word) if word.as_os_str() == "abstract" => (vec![abstract_names()], Own::Abstract),
        Some(path) if path.is_dir() => in_dir(path),
        Some(path) => at_file(path),
        None => match variable() {
            Some(dir) => in_dir(&dir),
            None => (anywhere(passwd::of_user(uid)), Own::Abstract),
        },
    }
}

/// The abstract names first: every daemon but the current msMonitor's has them.
fn anywhere(home: Option<PathBuf>) -> Vec<Daemon> {
    let in_home = home.map(|home| {
        let (control, data) = Address::in_home(&home);
        Daemon { control, data }
    });
    std::iter::once(abstract_names()).chain(in_home).collect()
}

fn abstract_names() -> Daemon {
    Daemon { control: Address::abstract_name(CONTROL), data: Address::abstract_name(DATA) }
}

fn in_dir(dir: &Path) -> (Vec<Daemon>, Own) {
    let daemon = Daemon { control: Address::in_socket_dir(dir), data: Address::Path(dir.join(DATA)) };
    (vec![daemon], Own::In(dir.to_owned()))
}

/// A socket file: the data socket's name follows from the control socket's. A daemon of msMonitor's kind,
/// known by the name of its file, never gets over a message from a sender that has a path, so
/// that kind is spoken to from an abstract socket.
fn at_file(path: &Path) -> (Vec<Daemon>, Own) {
    let msmonitor = path.extension().is_some_and(|e| e == "sock");
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let data = format!("{stem}_data{}", if msmonitor { ".sock" } else { "" });
    let daemon =
        Daemon { control: Address::Path(path.to_owned()), data: Address::Path(path.with_file_name(data)) };
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (vec![daemon], if msmonitor { Own::Abstract } else { Own::In(dir.to_owned()) })
}

impl Own {
    /// A name that nobody has used: the prefix that daemons expect, and a random UUID.
    pub(super) fn address(&self) -> std::io::Result<Address> {
        let name = format!("{CLIENT_PREFIX}{}", uuid4()?);
        Ok(match self {
            Self::Abstract => Address::abstract_name(&name),
            Self::In(dir) => Address::Path(dir.join(name)),
        })
    }
}

impl fmt::Display for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abstract => f.write_str("(abstract)"),
            Self::In(dir) => write!(f, "in {}", dir.display()),
        }
    }
}

/// A random UUID (RFC 9562, version 4).
fn uuid4() -> std::io::Result<String> {
    let mut bytes = [0_u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_of_msmonitor_is_spoken_to_from_an_abstract_one() {
        let (daemons, own) = choose(Some(Path::new("/home/a/dynolog.sock")), 0);
        assert_eq!(daemons[0].control.to_string(), "/home/a/dynolog.sock");
        assert_eq!(daemons[0].data.to_string(), "/home/a/dynolog_data.sock");
        assert_eq!(own, Own::Abstract);
    }

    #[test]
    fn a_directory_and_a_file_in_it_mean_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (by_dir, own) = choose(Some(dir.path()), 0);
        assert_eq!(own, Own::In(dir.path().to_owned()));
        assert_eq!(by_dir[0].control, Address::Path(dir.path().join("dynolog")));
        assert_eq!(choose(Some(&dir.path().join("dynolog")), 0), (by_dir, own));
    }

    #[test]
    fn abstract_first_then_home() {
        let all: Vec<_> = anywhere(Some("/home/a".into())).iter().map(|d| d.control.to_string()).collect();
        assert_eq!(all, ["@dynolog", "/home/a/dynolog.sock"]);
        assert_eq!(choose(Some(Path::new("abstract")), 0).0, [abstract_names()]);
    }

    #[test]
    fn names_are_unique_and_of_version_4() {
        let (a, b) = (uuid4().unwrap(), uuid4().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(&a[14..15], "4");
        assert!("89ab".contains(&a[19..20]));
    }
}

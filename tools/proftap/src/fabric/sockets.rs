//! The sockets on which daemons of all versions listen, and the kind of client socket that each can reply to.

use std::ffi::OsString;
use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::ipc::address::{Address, CLIENT_PREFIX, CONTROL, DATA, SOCKET_DIR_VAR};
use common::ipc::socket::Socket;
use common::passwd;
use common::policy::Mode;
use rustix::fs::{self as rfs, FileType, OFlags};

/// The two sockets of a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DaemonSockets {
    pub(crate) control: Address,
    pub(crate) data: Address,
}

/// The value of `--socket`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SocketChoice {
    /// `abstract`: the abstract sockets.
    Abstract,
    /// A socket file, or a directory that contains one.
    Path(PathBuf),
}

impl From<OsString> for SocketChoice {
    fn from(text: OsString) -> Self {
        if text == "abstract" { Self::Abstract } else { Self::Path(text.into()) }
    }
}

/// The kind of client socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientSocketKind {
    /// An abstract name (unix(7)): every daemon can reply to it, and every local user can send to it.
    Abstract,
    /// A file in this directory, with mode 0600.
    File(PathBuf),
}

/// Chooses the sockets from `--socket`, the environment and the defaults, in this order of precedence.
pub(super) fn choose_sockets(
    socket: Option<&SocketChoice>,
    uid: u32,
) -> (Vec<DaemonSockets>, ClientSocketKind) {
    let variable = || std::env::var_os(SOCKET_DIR_VAR).filter(|v| !v.is_empty()).map(PathBuf::from);
    match socket {
        Some(SocketChoice::Abstract) => (vec![abstract_sockets()], ClientSocketKind::Abstract),
        Some(SocketChoice::Path(path)) if path.is_dir() => sockets_in_dir(path),
        Some(SocketChoice::Path(path)) => sockets_at_file(path),
        None => match variable() {
            Some(dir) => sockets_in_dir(&dir),
            None => (default_sockets(passwd::of_user(uid)), ClientSocketKind::Abstract),
        },
    }
}

/// Returns the default sockets. The abstract ones come first: all daemons have them except that of the current msMonitor
/// (b942bf5), which listens on files in the home directory.
fn default_sockets(home: Option<PathBuf>) -> Vec<DaemonSockets> {
    let in_home = home.map(|home| {
        let (control, data) = Address::in_home(&home);
        DaemonSockets { control, data }
    });
    std::iter::once(abstract_sockets()).chain(in_home).collect()
}

fn abstract_sockets() -> DaemonSockets {
    DaemonSockets { control: Address::abstract_name(CONTROL), data: Address::abstract_name(DATA) }
}

fn sockets_in_dir(dir: &Path) -> (Vec<DaemonSockets>, ClientSocketKind) {
    let daemon = DaemonSockets { control: Address::in_socket_dir(dir), data: Address::Path(dir.join(DATA)) };
    (vec![daemon], ClientSocketKind::File(dir.to_owned()))
}

/// Derives the data socket from the path of the control socket. msMonitor's daemon (b942bf5), recognized by the name
/// `*.sock`, does not recover from a message of a client socket that is a file, so the client socket is abstract then.
fn sockets_at_file(path: &Path) -> (Vec<DaemonSockets>, ClientSocketKind) {
    let msmonitor = path.extension().is_some_and(|e| e == "sock");
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let data = format!("{stem}_data{}", if msmonitor { ".sock" } else { "" });
    let daemon = DaemonSockets {
        control: Address::Path(path.to_owned()),
        data: Address::Path(path.with_file_name(data)),
    };
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    (
        vec![daemon],
        if msmonitor { ClientSocketKind::Abstract } else { ClientSocketKind::File(dir.to_owned()) },
    )
}

impl ClientSocketKind {
    /// Returns a unique address: the prefix that daemons expect and a random UUID, as libkineto does (pytorch/kineto
    /// 114171d, `libkineto/src/IpcFabricConfigClient.cpp`).
    fn new_address(&self) -> io::Result<Address> {
        let name = format!("{CLIENT_PREFIX}{}", random_uuid()?);
        Ok(match self {
            Self::Abstract => Address::abstract_name(&name),
            Self::File(dir) => Address::Path(dir.join(name)),
        })
    }

    /// Binds a client socket to which a daemon of this user, of root, or of the file's group can reply.
    pub(super) fn bind_socket(&self) -> io::Result<Socket> {
        let address = self.new_address()?;
        let socket = Socket::bind(&address, Mode(0o600))?;
        if let Address::Path(path) = &address {
            open_to_group(path)?;
        }
        Ok(socket)
    }
}

/// Lets the group write to a socket file of this user; the umask has no say. A daemon with an account of its own replies by
/// that, in a directory whose group is its own, too. Who sends is checked by the credentials, not by this mode.
fn open_to_group(path: &Path) -> io::Result<()> {
    // What the name leads to by now may be something else in a directory where others can write.
    let file = rfs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, rfs::Mode::empty())?;
    let stat = rfs::fstat(&file)?;
    let is_own = stat.st_uid == rustix::process::geteuid().as_raw();
    if FileType::from_raw_mode(stat.st_mode) == FileType::Socket && is_own {
        // fchmod(2) does not take a descriptor of O_PATH (open(2)).
        std::fs::set_permissions(
            format!("/proc/self/fd/{}", file.as_raw_fd()),
            Permissions::from_mode(0o660),
        )?;
    }
    Ok(())
}

impl fmt::Display for ClientSocketKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abstract => f.write_str("(abstract)"),
            Self::File(dir) => write!(f, "in {}", dir.display()),
        }
    }
}

/// Returns a random UUID (RFC 9562, section 5.4).
fn random_uuid() -> std::io::Result<String> {
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

    fn choice(text: impl Into<OsString>) -> SocketChoice {
        text.into().into()
    }

    #[test]
    fn a_socket_of_msmonitor_needs_an_abstract_client_socket() {
        let (daemons, own) = choose_sockets(Some(&choice("/home/a/dynolog.sock")), 0);
        assert_eq!(daemons[0].control.to_string(), "/home/a/dynolog.sock");
        assert_eq!(daemons[0].data.to_string(), "/home/a/dynolog_data.sock");
        assert_eq!(own, ClientSocketKind::Abstract);
    }

    #[test]
    fn a_directory_and_a_file_in_it_mean_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (by_dir, own) = choose_sockets(Some(&choice(dir.path())), 0);
        assert_eq!(own, ClientSocketKind::File(dir.path().to_owned()));
        assert_eq!(by_dir[0].control, Address::Path(dir.path().join("dynolog")));
        assert_eq!(choose_sockets(Some(&choice(dir.path().join("dynolog"))), 0), (by_dir, own));
    }

    #[test]
    fn abstract_first_then_home() {
        let all: Vec<_> =
            default_sockets(Some("/home/a".into())).iter().map(|d| d.control.to_string()).collect();
        assert_eq!(all, ["@dynolog", "/home/a/dynolog.sock"]);
        assert_eq!(choose_sockets(Some(&choice("abstract")), 0).0, [abstract_sockets()]);
    }

    #[test]
    fn the_group_of_a_socket_file_may_write_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let _socket = ClientSocketKind::File(dir.path().to_owned()).bind_socket().unwrap();
        let file = std::fs::read_dir(dir.path()).unwrap().next().unwrap().unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o660);
        // Nothing happens to a file that has taken its name.
        let other = dir.path().join("other");
        std::fs::write(&other, "").unwrap();
        std::fs::set_permissions(&other, Permissions::from_mode(0o600)).unwrap();
        open_to_group(&other).unwrap();
        assert_eq!(other.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
    }

    #[test]
    fn names_are_unique_and_of_version_4() {
        let (a, b) = (random_uuid().unwrap(), random_uuid().unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 36);
        assert_eq!(&a[14..15], "4");
        assert!("89ab".contains(&a[19..20]));
    }
}

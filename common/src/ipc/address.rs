//! The addresses at which daemons of all versions listen: abstract names and socket files.
//!
//! Every known peer passes an abstract name to the kernel with a trailing NUL, which is part of the name; a
//! peer that leaves it out talks to a different socket.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::net::SocketAddrUnix;

/// The daemon's control socket, and the process's before its unique part.
pub const CONTROL: &str = "dynolog";
/// The daemon's socket for metrics.
pub const DATA: &str = "dynolog_data";
/// The prefix of the name of a process's own socket.
pub const CLIENT_PREFIX: &str = "dynoconfigclient";
/// Environment variable under which both ends use socket files of that directory instead of abstract names.
pub const SOCKET_DIR_VAR: &str = "KINETO_IPC_SOCKET_DIR";

/// A Unix socket's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An abstract name, without its leading and trailing NUL.
    Abstract(Vec<u8>),
    /// A socket file.
    Path(PathBuf),
}

impl Address {
    /// An abstract name.
    #[must_use]
    pub fn abstract_name(name: &str) -> Self {
        Self::Abstract(name.as_bytes().to_vec())
    }

    /// The socket files in a daemon user's home, as current msMonitor uses them: control and data.
    #[must_use]
    pub fn in_home(home: &Path) -> (Self, Self) {
        (Self::Path(home.join("dynolog.sock")), Self::Path(home.join("dynolog_data.sock")))
    }

    /// The socket file under [`SOCKET_DIR_VAR`]: control only, libkineto sends no metrics.
    #[must_use]
    pub fn in_socket_dir(dir: &Path) -> Self {
        Self::Path(dir.join(CONTROL))
    }

    /// As the kernel takes it.
    ///
    /// # Errors
    /// The name or path is too long for a Unix socket (107 bytes) or has a NUL inside.
    pub fn to_kernel(&self) -> std::io::Result<SocketAddrUnix> {
        match self {
            Self::Abstract(name) => {
                let mut name = name.clone();
                name.push(0);
                Ok(SocketAddrUnix::new_abstract_name(&name)?)
            }
            Self::Path(path) => Ok(SocketAddrUnix::new(path)?),
        }
    }

    /// Reads what the kernel says; unnamed sockets have no address.
    #[must_use]
    pub fn from_kernel(address: &SocketAddrUnix) -> Option<Self> {
        if let Some(name) = address.abstract_name() {
            return Some(Self::Abstract(name.strip_suffix(&[0]).unwrap_or(name).to_vec()));
        }
        let path = address.path()?;
        Some(Self::Path(PathBuf::from(OsStr::from_bytes(path.to_bytes()))))
    }
}

/// A path, or `@name` for an abstract one, as `ss` shows it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
            Self::Path(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abstract_names_carry_their_trailing_nul() {
        let kernel = Address::abstract_name(CONTROL).to_kernel().unwrap();
        assert_eq!(kernel.abstract_name(), Some(&b"dynolog\0"[..]));
        assert_eq!(Address::from_kernel(&kernel), Some(Address::abstract_name(CONTROL)));
    }

    #[test]
    fn addresses_that_the_kernel_cannot_take_are_errors() {
        assert!(Address::Path(PathBuf::from(format!("/{}", "x".repeat(108)))).to_kernel().is_err());
        assert!(Address::abstract_name(&"x".repeat(108)).to_kernel().is_err());
    }
}

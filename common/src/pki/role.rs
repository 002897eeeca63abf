//! The files of a server's and of a client's certificate directory.

use std::fmt;

/// The end of the connection that a directory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub enum Role {
    /// A server, that is a daemon: `server.crt` and `server.key`.
    Server,
    /// A client: `client.crt` and `client.key`.
    Client,
}

/// The file names of one role's directory.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// The role.
    pub role: Role,
    /// The trusted root.
    pub ca: &'static str,
    /// The leaf, then its intermediates.
    pub leaf: &'static str,
    /// The leaf's private key.
    pub key: &'static str,
    /// The CRL, the only file that may be absent.
    pub crl: &'static str,
}

/// The layouts, as every known peer names the files.
pub const LAYOUTS: [Layout; 2] = [
    Layout { role: Role::Server, ca: "ca.crt", leaf: "server.crt", key: "server.key", crl: "ca.crl" },
    Layout { role: Role::Client, ca: "ca.crt", leaf: "client.crt", key: "client.key", crl: "ca.crl" },
];

/// The layouts of a secret of Kubernetes (type kubernetes.io/tls), which cert-manager writes.
pub const SECRET_LAYOUTS: [Layout; 2] = [
    Layout { role: Role::Server, ca: "ca.crt", leaf: "tls.crt", key: "tls.key", crl: "ca.crl" },
    Layout { role: Role::Client, ca: "ca.crt", leaf: "tls.crt", key: "tls.key", crl: "ca.crl" },
];

impl Role {
    /// The role's file names.
    #[must_use]
    pub fn layout(self) -> &'static Layout {
        &LAYOUTS[self as usize]
    }

    /// The file names of a directory: those of a secret, if it has one of these and none of the usual ones.
    #[must_use]
    pub fn layout_of(self, has: impl Fn(&str) -> bool) -> &'static Layout {
        let (usual, secret) = (self.layout(), &SECRET_LAYOUTS[self as usize]);
        let holds = |layout: &Layout| has(layout.leaf) || has(layout.key);
        if !holds(usual) && holds(secret) { secret } else { usual }
    }

    /// `server` or `client`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Layout {
    /// All names that belong into the directory.
    #[must_use]
    pub fn file_names(&self) -> [&'static str; 4] {
        [self.ca, self.leaf, self.key, self.crl]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_stand_in_the_order_of_the_roles() {
        for role in [Role::Server, Role::Client] {
            assert_eq!(role.layout().role, role);
            assert!(role.layout().leaf.starts_with(role.name()));
            assert_eq!(SECRET_LAYOUTS[role as usize].role, role);
        }
    }

    #[test]
    fn a_secret_is_recognized_where_no_usual_file_is() {
        let leaf = |names: &[&str]| Role::Client.layout_of(|name| names.contains(&name)).leaf;
        assert_eq!(leaf(&["ca.crt", "tls.crt", "tls.key"]), "tls.crt");
        assert_eq!(leaf(&["client.key", "tls.crt", "tls.key"]), "client.crt");
        assert_eq!(leaf(&["ca.crt"]), "client.crt");
        assert_eq!(leaf(&["tls.crt", "server.crt"]), "tls.crt");
    }
}

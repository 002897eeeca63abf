//! Findings about a live daemon that speaks no TLS, or accepts a client that it must reject.

use std::path::Path;

use common::finding::Finding;

use crate::handshake::NotTls;
use crate::rules::{NO_TLS, WRONG_CLIENT_ACCEPTED};

/// The finding for a daemon that does not speak TLS.
pub(crate) fn no_tls(name: &Path, why: &NotTls) -> Finding {
    NO_TLS.at(name).found(why.to_string()).expected("a handshake").fix(
        "check that the port is the daemon's and that it was started with --certs-dir: without TLS, everyone who reaches \
         it may be served, unencrypted",
    )
}

/// The finding for a client that must be rejected and is accepted.
pub(crate) fn wrong_client(name: &Path, what: &str) -> Finding {
    let (found, fix) = match what {
        "unknown CA" => ("accepts a client of an unknown CA".to_owned(), "give the daemon the right ca.crt"),
        "expired" => (
            "accepts a client whose certificate has expired".to_owned(),
            "check the daemon's clock (`timedatectl`)",
        ),
        "not for clients" => {
            ("accepts a client whose certificate is for servers only".to_owned(), "replace the daemon")
        }
        "revoked" => (
            "accepts a client whose serial number the CA has revoked".to_owned(),
            "give the daemon the CA's present CRL",
        ),
        dir => (
            format!("accepts the client of {dir}"),
            "give the daemon a CRL that is in force: `certck crl fetch`",
        ),
    };
    WRONG_CLIENT_ACCEPTED.at(name).found(found).expected("a rejection").fix(fix)
}

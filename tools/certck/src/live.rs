//! Findings about a live daemon that speaks no TLS, or accepts a client that it must reject.

use std::path::Path;

use common::finding::Finding;

use crate::handshake::NotTls;
use crate::rules::{NO_TLS, WRONG_CLIENT_ACCEPTED};

/// One that speaks something else.
pub(crate) fn no_tls(name: &Path, why: &NotTls) -> Finding {
    NO_TLS.at(name).found(why.to_string()).expected("a handshake").fix(
        "see that the port is the daemon's and that it was started with --certs-dir: whoever reaches it may be \
         served, and all of it is in the clear",
    )
}

/// One that must be refused, and is not.
pub(crate) fn wrong_client(name: &Path, what: &str) -> Finding {
    let (found, fix) = match what {
        "unknown CA" => {
            ("serves a client whose CA it cannot know".to_owned(), "give the daemon the right ca.crt")
        }
        "expired" => {
            ("serves a client whose certificate has expired".to_owned(), "look at the daemon's clock")
        }
        "not for clients" => {
            ("serves a client whose certificate is for servers only".to_owned(), "replace the daemon")
        }
        "revoked" => (
            "serves a client whose serial number the CA has revoked".to_owned(),
            "give the daemon the CA's present CRL",
        ),
        dir => (format!("serves the client of {dir}"), "see that the daemon has a CRL that is in force"),
    };
    WRONG_CLIENT_ACCEPTED.at(name).found(found).expected("a refusal").fix(fix)
}

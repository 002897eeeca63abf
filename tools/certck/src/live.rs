//! The rules that only a live daemon can break, and what is said of one that breaks them.

use std::path::Path;

use common::finding::{Finding, Severity};
use common::pki::rule::Rule;

use crate::handshake::NoTls;

pub(crate) const NO_CLIENT_AUTH: Rule = Rule {
    id: "no-client-auth",
    severity: Severity::Error,
    what: "The daemon serves nobody without a client certificate.",
};
pub(crate) const WRONG_CLIENT_ACCEPTED: Rule = Rule {
    id: "wrong-client-accepted",
    severity: Severity::Error,
    what: "The daemon refuses client certificates that are by an unknown CA, expired, revoked or not for clients.",
};
pub(crate) const CLIENT_REFUSED: Rule = Rule {
    id: "client-refused",
    severity: Severity::Error,
    what: "The daemon takes a good client certificate.",
};
pub(crate) const OBSOLETE_TLS: Rule =
    Rule { id: "obsolete-tls", severity: Severity::Error, what: "The daemon speaks no TLS before 1.2." };
pub(crate) const NO_TLS: Rule =
    Rule { id: "no-tls", severity: Severity::Error, what: "The daemon speaks TLS." };
pub(crate) const OLD_TLS: Rule =
    Rule { id: "tls-1.2", severity: Severity::Note, what: "The daemon speaks TLS 1.3 only." };

/// The rules that only a live daemon can break.
pub(crate) static OWN: [Rule; 6] =
    [NO_TLS, NO_CLIENT_AUTH, WRONG_CLIENT_ACCEPTED, CLIENT_REFUSED, OBSOLETE_TLS, OLD_TLS];

/// One that speaks something else.
pub(crate) fn no_tls(name: &Path, why: &NoTls) -> Finding {
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

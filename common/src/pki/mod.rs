//! Certificate directories of a mutual-TLS deployment: read, checked, and turned into TLS configurations.
//!
//! All tools share one check: `certck check` prints what [`inspect_directory`] finds, and `profd` and `profctl` start from
//! [`MtlsDir::load`], which is the same inspection and fails on its errors. A directory that passes the check is one that
//! they start with. The clock, the passphrase and the names to be verified are values in [`LoadOptions`].
//!
//! | module | holds |
//! |---|---|
//! | [`role`] | which files a server's or a client's directory has |
//! | [`rule`] | every rule: id, severity, what it demands, why, how to fix it, where it comes from |
//! | [`key`], [`passphrase`], [`prompt`] | private keys, and what opens them |
//! | [`pem`], [`der`], [`oid`] | encodings parsed |
//! | [`cert`], [`extension`], [`name`], [`crl`], [`signature`] | certificates and CRLs, parsed |
//! | `crl_file`, `crl_limit`, `crl_update` | a file of CRLs; its limit; newer CRLs for a directory that is in use |
//! | [`path`] | path validation by RFC 5280 |
//! | `read` | files opened with care below an open directory |
//! | `directory_reader`, `inspect`, `checks`, `unexpected_files` | a directory read and checked |
//! | `client_verifier` | the checks of a client in the handshake |
//! | `peer` | the checks of a daemon in the handshake, beyond webpki |
//! | `tls` | rustls configurations; the only place that chooses the cryptography |

pub mod cert;
pub mod crl;
pub mod der;
pub mod extension;
pub mod key;
pub mod name;
pub mod oid;
mod oid_names;
pub mod passphrase;
pub mod path;
pub mod pem;
pub mod prompt;
pub mod role;
pub mod rule;
pub mod signature;

mod checks;
mod client_verifier;
mod crl_file;
mod crl_limit;
mod crl_update;
mod directory_reader;
mod inspect;
mod key_error;
mod load;
mod peer;
mod read;
mod tls;
mod trust_anchors;
mod unexpected_files;

pub use cert::Cert;
pub use checks::explain_no_host_address;
pub use client_verifier::{MAX_CHAIN, PresentedChain};
pub use crl::Crl;
pub use crl_file::CrlFile;
pub use crl_limit::CrlLimitArgs;
pub use crl_update::CrlUpdate;
pub use der::{Malformed, Time};
pub use inspect::{
    Expiry, Inspection, inspect_authority, inspect_certificates, inspect_crl, inspect_directory, inspect_peer,
};
pub use load::{LoadError, LoadOptions, MtlsDir, Owner, Profile};
pub use passphrase::{Passphrase, PassphraseArgs};
pub use path::is_dns_pattern;
pub use peer::describe_certificate_error;
pub use read::{MAX_CRL_BYTES, VOLUME_LINK};
pub use role::Role;
pub use tls::{MinVersion, TlsServer, crypto_provider, sha256};
pub use trust_anchors::read_trust_anchors;

/// `2026-11-23T10:00:00Z` from seconds since 1970.
#[must_use]
pub fn format_utc(unix: i64) -> String {
    let format = &time::format_description::well_known::Rfc3339;
    let at = time::OffsetDateTime::from_unix_timestamp(unix).ok();
    at.and_then(|at| at.format(format).ok()).unwrap_or_else(|| unix.to_string())
}

/// ` (key compromise)` and the like, from the number in RFC 5280, section 5.3.1; empty for no reason.
#[must_use]
pub fn revocation_reason(code: Option<u8>) -> String {
    let name = match code {
        Some(1) => "key compromise",
        Some(2) => "CA compromise",
        Some(3) => "affiliation changed",
        Some(4) => "superseded",
        Some(5) => "cessation of operation",
        Some(6) => "on hold",
        Some(8) => "removed from the CRL",
        Some(9) => "privilege withdrawn",
        Some(10) => "attribute authority compromise",
        _ => return String::new(),
    };
    format!(" ({name})")
}

/// The name or dotted numbers of an object identifier's bytes.
#[must_use]
pub fn oid_name(oid: &[u8]) -> String {
    oid::display_name(oid)
}

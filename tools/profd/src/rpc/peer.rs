//! The client of a connection, as the log and the audit trail name it.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use common::finding::hex;
use common::pki::{Cert, sha256};
use common::record::profd::Audit;
use rustls::pki_types::CertificateDer;

use crate::core::access::ClientIdentity;
use crate::core::audit::cut_subject;
use crate::rpc::connection_pool::CertificateDigest;

/// Number of hexadecimal digits of the fingerprint that a log line shows.
const SHOWN_FINGERPRINT_DIGITS: usize = 32;

/// A client: its address, and its certificates over TLS.
#[derive(Clone, Debug)]
pub(crate) struct RpcPeer {
    address: SocketAddr,
    client: Option<Arc<CertifiedClient>>,
}

/// The certificates that a client has presented.
#[derive(Debug)]
struct CertifiedClient {
    chain: Vec<CertificateDer<'static>>,
    identity: ClientIdentity,
    digest: CertificateDigest,
}

impl RpcPeer {
    /// A client on plain TCP, or one that has not presented a certificate.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self { address, client: None }
    }

    /// A client that has presented certificates in the handshake, its own first.
    pub(crate) fn with_chain(address: SocketAddr, chain: Vec<CertificateDer<'static>>) -> Self {
        let client = chain.first().map(|leaf| {
            let digest = sha256(leaf);
            (identify(leaf, hex(&digest)), digest.try_into().unwrap_or_default())
        });
        let client = client.map(|(identity, digest)| Arc::new(CertifiedClient { chain, identity, digest }));
        Self { address, client }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns who the client is by its certificate.
    pub(crate) fn identity(&self) -> Option<&ClientIdentity> {
        self.client.as_ref().map(|client| &client.identity)
    }

    /// Returns what the connections of the client are counted by; `None` on plain TCP.
    pub(crate) fn certificate_digest(&self) -> Option<CertificateDigest> {
        self.client.as_ref().map(|client| client.digest)
    }

    /// Returns the certificates of the client, its own first; none on plain TCP.
    pub(crate) fn chain(&self) -> &[CertificateDer<'static>] {
        self.client.as_ref().map(|client| client.chain.as_slice()).unwrap_or_default()
    }

    /// Returns what the rate of the client is counted by: its certificate, or its address on plain TCP.
    pub(crate) fn rate_key(&self) -> String {
        self.identity().map_or_else(|| self.address.ip().to_string(), |identity| identity.fingerprint.clone())
    }

    /// Writes the client into a record of the audit trail.
    pub(crate) fn describe_in(&self, audit: &mut Audit) {
        audit.address = self.address.to_string();
        audit.subject = self.identity().map(|identity| cut_subject(&identity.subject).into_owned());
        audit.fingerprint = self.identity().map(|identity| identity.fingerprint.clone());
    }
}

fn identify(leaf: &CertificateDer<'_>, fingerprint: String) -> ClientIdentity {
    match Cert::parse(leaf) {
        Ok(cert) => {
            let names =
                cert.extensions.subject_alt_name.as_ref().map(|e| e.value.as_slice()).unwrap_or_default();
            ClientIdentity {
                subject: cert.subject.to_string(),
                issuer: cert.issuer.to_string(),
                fingerprint,
                alternative_names: names.iter().map(ToString::to_string).collect(),
            }
        }
        Err(_) => ClientIdentity {
            subject: "unreadable subject".to_owned(),
            fingerprint,
            ..ClientIdentity::default()
        },
    }
}

impl fmt::Display for RpcPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.identity() {
            None => write!(f, "rpc {}", self.address),
            Some(ClientIdentity { subject, fingerprint, .. }) => {
                let shown = &fingerprint[..SHOWN_FINGERPRINT_DIGITS.min(fingerprint.len())];
                write!(f, "rpc {} ({}; sha256 {shown})", self.address, cut_subject(subject))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_without_a_certificate_is_its_address() {
        let peer = RpcPeer::plain(([127, 0, 0, 1], 9).into());
        assert_eq!(peer.to_string(), "rpc 127.0.0.1:9");
    }

    #[test]
    fn a_certificate_that_cannot_be_read_still_has_a_fingerprint() {
        let der = CertificateDer::from(b"abc".to_vec());
        let peer = RpcPeer::with_chain(([127, 0, 0, 1], 9).into(), vec![der]);
        let shown = "rpc 127.0.0.1:9 (unreadable subject; sha256 ba7816bf8f01cfea414140de5dae2223)";
        assert_eq!(peer.to_string(), shown);
    }

    /// Any client may ask for such a name; an authority may sign it.
    #[test]
    fn a_name_with_a_comma_cannot_be_read_as_two_names() {
        use clap::Parser;
        use common::cli::Tool;
        use common::out::{Out, Verbosity};
        use rustls::pki_types::pem::PemObject;
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let mut out = Out::to(Box::new(std::io::sink()), "certck", false, Verbosity::Quiet);
        let mut mint = |args: &[&str]| {
            certck::Cli::try_parse_from([&["certck", "mint"], args].concat()).unwrap().run(&mut out).unwrap()
        };
        mint(&[&path("pki")]);
        mint(&["leaf", "--role", "client", "--name", "alice, CN=admin", &path("pki"), &path("alice")]);
        let der = CertificateDer::from_pem_file(dir.path().join("alice/client.crt")).unwrap();
        let shown = RpcPeer::with_chain(([127, 0, 0, 1], 9).into(), vec![der]).to_string();
        assert!(shown.starts_with(r"rpc 127.0.0.1:9 (CN=alice\, CN=admin; sha256 "), "{shown}");
    }
}

//! Who is on the other end of a connection, as audit lines name them.

use std::fmt;
use std::net::SocketAddr;

use common::finding::hex;
use common::pki::sha256;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A client: its address, and its certificate where it showed one.
#[derive(Clone, Debug)]
pub(crate) struct RpcPeer {
    address: SocketAddr,
    certificate: Option<ClientCertificate>,
}

/// What a certificate says, and what tells it from any other.
#[derive(Clone, Debug)]
struct ClientCertificate {
    subject: String,
    /// The first 16 bytes of the SHA-256 of the certificate, in hex.
    fingerprint: String,
}

impl RpcPeer {
    /// A client on plain TCP.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self { address, certificate: None }
    }

    /// A client whose certificate was verified in the handshake.
    pub(crate) fn verified(address: SocketAddr, certificate: Option<&CertificateDer<'_>>) -> Self {
        Self { address, certificate: certificate.map(ClientCertificate::of) }
    }
}

impl ClientCertificate {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        let subject = match X509Certificate::from_der(certificate) {
            Ok((_, certificate)) => certificate.subject().to_string(),
            Err(_) => "unreadable subject".to_owned(),
        };
        Self { subject, fingerprint: hex(&sha256(certificate)[..16]) }
    }
}

impl fmt::Display for RpcPeer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.certificate {
            None => write!(f, "rpc {}", self.address),
            Some(ClientCertificate { subject, fingerprint }) => {
                write!(f, "rpc {} ({subject}; sha256 {fingerprint})", self.address)
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
        let peer = RpcPeer::verified(([127, 0, 0, 1], 9).into(), Some(&der));
        let shown = "rpc 127.0.0.1:9 (unreadable subject; sha256 ba7816bf8f01cfea414140de5dae2223)";
        assert_eq!(peer.to_string(), shown);
    }
}

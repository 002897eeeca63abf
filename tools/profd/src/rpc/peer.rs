//! The client of a connection, as log lines name it.

use std::fmt;
use std::net::SocketAddr;

use common::finding::hex;
use common::pki::{Cert, sha256};
use rustls::pki_types::CertificateDer;

/// Number of bytes of the fingerprint that a log line shows.
const SHOWN_FINGERPRINT_BYTES: usize = 16;

/// A client: its address, and its certificate over TLS.
#[derive(Clone, Debug)]
pub(crate) struct RpcPeer {
    address: SocketAddr,
    certificate: Option<ClientCertificate>,
}

#[derive(Clone, Debug)]
struct ClientCertificate {
    /// The distinguished name, with the escapes of RFC 4514, section 2.4.
    subject: String,
    /// The first bytes of the SHA-256 of the certificate, in hexadecimal.
    fingerprint: String,
}

impl RpcPeer {
    /// A client on plain TCP, or one whose handshake is not complete.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self { address, certificate: None }
    }

    /// A client whose certificate was verified in the handshake.
    pub(crate) fn verified(address: SocketAddr, certificate: Option<&CertificateDer<'_>>) -> Self {
        Self { address, certificate: certificate.map(ClientCertificate::new) }
    }
}

impl ClientCertificate {
    fn new(certificate: &CertificateDer<'_>) -> Self {
        let subject = match Cert::parse(certificate) {
            Ok(certificate) => certificate.subject.to_string(),
            Err(_) => "unreadable subject".to_owned(),
        };
        let digest = sha256(certificate);
        Self { subject, fingerprint: hex(&digest[..SHOWN_FINGERPRINT_BYTES]) }
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
        let shown = RpcPeer::verified(([127, 0, 0, 1], 9).into(), Some(&der)).to_string();
        assert!(shown.starts_with(r"rpc 127.0.0.1:9 (CN=alice\, CN=admin; sha256 "), "{shown}");
    }
}

//! The checks of a client's certificate in the handshake with a daemon.
//!
//! Path validation is our own (see [`super::path`]): it checks all that rustls-webpki 0.103 does and also what that leaves
//! out, above all the validity, path length and usages of a trust anchor. So it is done once, not by both. What does not
//! depend on the client is done when the directory is loaded: roots and CRLs are parsed, and the CRLs of roots verified.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::path::VerifiedCrls;
use super::peer::{ChainAnchors, ChainRejection, check_chain, other_error};
use super::{Cert, Crl};

/// The longest chain that a client may send. More certificates are rejected before any of them is parsed.
pub const MAX_CHAIN: usize = 8;

/// Verifies clients against the roots and CRLs of a directory.
#[derive(Debug)]
pub(super) struct ClientVerifier {
    pub(super) roots: Vec<Cert>,
    pub(super) crls: Vec<Crl>,
    pub(super) verified_crls: VerifiedCrls,
    pub(super) purpose: Vec<u8>,
    pub(super) root_names: Vec<DistinguishedName>,
    pub(super) provider: Arc<CryptoProvider>,
}

/// The certificates that the client of one connection has presented, whether they were accepted or not.
#[derive(Debug, Default)]
pub struct PresentedChain(Mutex<Presented>);

#[derive(Debug, Default)]
struct Presented {
    chain: Vec<CertificateDer<'static>>,
    rejection: Option<String>,
}

/// The verifier of one connection, which notes what is presented.
#[derive(Debug)]
pub(super) struct NotingVerifier {
    pub(super) shared: Arc<ClientVerifier>,
    pub(super) presented: Arc<PresentedChain>,
}

impl PresentedChain {
    /// The leaf and the other certificates, as the client sent them; at most [`MAX_CHAIN`]. Empty until then.
    #[must_use]
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.lock().chain.clone()
    }

    /// Why the chain was rejected, if it was.
    #[must_use]
    pub fn rejection(&self) -> Option<String> {
        self.lock().rejection.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Presented> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientVerifier {
    /// Verifies a chain: the leaf, then the other certificates in any order.
    pub(super) fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), ChainRejection> {
        if others.len() >= MAX_CHAIN {
            return Err(other_error(&format!("more than {MAX_CHAIN} certificates")).into());
        }
        let anchors = ChainAnchors {
            roots: &self.roots,
            crls: &self.crls,
            verified_crls: &self.verified_crls,
            purpose: &self.purpose,
        };
        check_chain(&anchors, leaf, others, now)
    }
}

impl ClientCertVerifier for NotingVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.shared.root_names
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.shared.verify_chain(leaf, others, now);
        let mut presented = self.presented.lock();
        let chain = std::iter::once(leaf).chain(others).take(MAX_CHAIN);
        presented.chain = chain.map(|cert| cert.clone().into_owned()).collect();
        presented.rejection = verified.as_ref().err().map(|rejection| rejection.reason.clone());
        verified.map(|()| ClientCertVerified::assertion()).map_err(|rejection| rejection.error)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.shared.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.shared.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.shared.provider.signature_verification_algorithms.supported_schemes()
    }
}

//! Checks of a daemon's certificate in the handshake beyond those of rustls-webpki.
//!
//! webpki does not check a trust anchor's validity, path length or usages (rustls-webpki 0.103, `TrustAnchor`), and has no
//! policy on key sizes. So a daemon must also pass the path validation and the key rule of `certck check`, with the clock of
//! the handshake.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};

use super::extension::KeyUsage;
use super::path::{MAX_DEPTH, ValidationRequest, VerifiedCrls, revocation, validate_path_with};
use super::{Cert, Crl, Malformed};

/// Wraps rustls's verifier of the other side.
#[derive(Debug)]
pub(super) struct PeerVerifier {
    pub(super) roots: Vec<Cert>,
    pub(super) crls: Vec<Crl>,
    pub(super) verified_crls: VerifiedCrls,
    pub(super) purpose: Vec<u8>,
    pub(super) inner: Arc<dyn ServerCertVerifier>,
}

impl PeerVerifier {
    fn check_peer(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let anchors = ChainAnchors {
            roots: &self.roots,
            crls: &self.crls,
            verified_crls: &self.verified_crls,
            purpose: &self.purpose,
        };
        // webpki checks the name.
        check_chain(&anchors, leaf, others, now).map_err(|rejection| match rejection.error {
            Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure) => {
                match rejection.crl_expired {
                    true => CertificateError::ExpiredRevocationList.into(),
                    false => other_error(&rejection.reason),
                }
            }
            error => error,
        })
    }
}

/// The trust anchors and CRLs that the chain of a peer is checked against.
pub(super) struct ChainAnchors<'a> {
    pub(super) roots: &'a [Cert],
    pub(super) crls: &'a [Crl],
    /// The CRLs whose signatures were verified when they were loaded.
    pub(super) verified_crls: &'a VerifiedCrls,
    /// The extended key usage that the leaf must allow, as the content of its object identifier.
    pub(super) purpose: &'a Vec<u8>,
}

/// Why the chain of a peer is rejected.
#[derive(Debug)]
pub(super) struct ChainRejection {
    /// As rustls reports it to the peer, by an alert.
    pub(super) error: Error,
    /// The reason in words, for the log.
    pub(super) reason: String,
    /// Whether the fault is a CRL of this side that has expired.
    pub(super) crl_expired: bool,
}

impl From<Error> for ChainRejection {
    fn from(error: Error) -> Self {
        let reason = match &error {
            Error::InvalidCertificate(why) => {
                format!("invalid peer certificate: {}", describe_certificate_error(why))
            }
            other => other.to_string(),
        };
        Self { reason, error, crl_expired: false }
    }
}

impl From<CertificateError> for ChainRejection {
    fn from(error: CertificateError) -> Self {
        Error::from(error).into()
    }
}

/// Checks a peer's chain, the leaf and the other certificates in any order, by the path validation and the key rule of
/// `certck check`.
///
/// # Errors
/// The leaf is malformed, expired or revoked, has no issuer among the anchors, a CRL of the anchors has expired, or
/// something else is wrong.
pub(super) fn check_chain(
    anchors: &ChainAnchors<'_>,
    leaf: &CertificateDer<'_>,
    others: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), ChainRejection> {
    let leaf = Cert::parse(leaf).map_err(|_| ChainRejection::from(CertificateError::BadEncoding))?;
    let at = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    // Certificates that are not part of the path are ignored, even malformed ones.
    let others: Vec<Cert> = others.iter().filter_map(|der| Cert::parse(der).ok()).collect();
    let question = ValidationRequest {
        leaf: &leaf,
        intermediates: &others,
        roots: anchors.roots,
        crls: anchors.crls,
        at,
        purposes: std::slice::from_ref(anchors.purpose),
        key_usage: KeyUsage::DIGITAL_SIGNATURE,
        names: &[],
        max_depth: MAX_DEPTH,
        conformance: false,
    };
    let path = validate_path_with(&question, anchors.verified_crls).map_err(|error| match error.code {
        "revoked" => CertificateError::Revoked.into(),
        "no-issuer" => CertificateError::UnknownIssuer.into(),
        "expired" if at > leaf.not_after.unix => CertificateError::Expired.into(),
        // The alert access_denied: the fault is here, not in the certificate (RFC 8446, section 6.2). With
        // ExpiredRevocationList rustls would send unknown_ca.
        revocation::EXPIRED => ChainRejection {
            error: CertificateError::ApplicationVerificationFailure.into(),
            reason: format!("no client of this CA can be verified: {error}"),
            crl_expired: true,
        },
        // The same alert: no CRL that is here covers the certificate.
        revocation::UNKNOWN => ChainRejection {
            error: CertificateError::ApplicationVerificationFailure.into(),
            reason: format!("the revocation status of the certificate cannot be determined: {error}"),
            crl_expired: false,
        },
        _ => other_error(&error.to_string()).into(),
    })?;
    match path.iter().find(|cert| !cert.key.kind.is_strong()) {
        Some(weak) => Err(other_error(&format!("{}: weak key: {}", weak.subject, weak.key.kind)).into()),
        None => Ok(()),
    }
}

/// Describes why a certificate is rejected, without the debug form of errors that rustls does not know.
#[must_use]
pub fn describe_certificate_error(error: &CertificateError) -> String {
    match error {
        CertificateError::Other(OtherError(inner)) => inner.to_string(),
        other => other.to_string(),
    }
}

pub(super) fn other_error(why: &str) -> Error {
    CertificateError::Other(OtherError(Arc::new(Malformed(why.to_owned())))).into()
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.inner.verify_server_cert(leaf, others, name, ocsp, now)?;
        self.check_peer(leaf, others, now).map(|()| verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

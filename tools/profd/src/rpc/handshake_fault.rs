//! Kinds of failed handshakes, so that a rare one is not counted with frequent ones of another kind in the log.

/// The cause of a failed handshake, as the log and its rate limits distinguish them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeFault {
    Timeout,
    Closed,
    Busy,
    NoCertificate,
    Revoked,
    /// The revocation of a client cannot be decided: a CRL is missing or has expired.
    Crl,
    Expired,
    UnknownIssuer,
    /// Another fault of the certificate.
    Certificate,
    /// The peer speaks no TLS, or another version or cipher.
    Protocol,
    Other,
}

/// What a reason has in it, in lower case; the first that fits counts. The words are those of rustls 0.23 and of
/// `common::pki`.
const WORDS: &[(&str, HandshakeFault)] = &[
    ("timeout", HandshakeFault::Timeout),
    ("too many handshakes", HandshakeFault::Busy),
    ("eof", HandshakeFault::Closed),
    ("connection reset", HandshakeFault::Closed),
    ("broken pipe", HandshakeFault::Closed),
    ("no certificates", HandshakeFault::NoCertificate),
    ("crl", HandshakeFault::Crl),
    ("revocation", HandshakeFault::Crl),
    ("revoked", HandshakeFault::Revoked),
    ("expired", HandshakeFault::Expired),
    ("unknownissuer", HandshakeFault::UnknownIssuer),
    ("unknown issuer", HandshakeFault::UnknownIssuer),
    ("unknownca", HandshakeFault::UnknownIssuer),
    ("certificate", HandshakeFault::Certificate),
    ("corrupt message", HandshakeFault::Protocol),
    ("clienthello", HandshakeFault::Protocol),
    ("incompatible", HandshakeFault::Protocol),
    ("unexpected", HandshakeFault::Protocol),
    ("alert", HandshakeFault::Protocol),
];

impl HandshakeFault {
    /// Classifies a reason as it stands in the log.
    pub(crate) fn of_reason(reason: &str) -> Self {
        let reason = reason.to_lowercase();
        WORDS.iter().find(|(word, _)| reason.contains(word)).map_or(Self::Other, |(_, fault)| *fault)
    }

    /// Returns the cause for the log, for connections of RPC.
    pub(crate) fn rpc_cause(self) -> &'static str {
        match self {
            Self::Timeout => "handshake timeout",
            Self::Closed => "handshake closed",
            Self::Busy => "handshake busy",
            Self::NoCertificate => "handshake no certificate",
            Self::Revoked => "handshake revoked",
            Self::Crl => "handshake CRL",
            Self::Expired => "handshake expired",
            Self::UnknownIssuer => "handshake unknown issuer",
            Self::Certificate => "handshake certificate",
            Self::Protocol => "handshake protocol",
            Self::Other => "handshake",
        }
    }

    /// Returns the cause for the log, for connections of HTTP.
    pub(crate) fn http_cause(self) -> &'static str {
        match self {
            Self::Timeout => "http handshake timeout",
            Self::Closed => "http handshake closed",
            Self::Busy => "http handshake busy",
            Self::NoCertificate => "http handshake no certificate",
            Self::Revoked => "http handshake revoked",
            Self::Crl => "http handshake CRL",
            Self::Expired => "http handshake expired",
            Self::UnknownIssuer => "http handshake unknown issuer",
            Self::Certificate => "http handshake certificate",
            Self::Protocol => "http handshake protocol",
            Self::Other => "http handshake",
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

    use super::*;

    #[test]
    fn faults_of_rustls_are_told_apart() {
        let of = |error: Error| HandshakeFault::of_reason(&error.to_string());
        assert_eq!(of(CertificateError::Revoked.into()), HandshakeFault::Revoked);
        assert_eq!(of(CertificateError::Expired.into()), HandshakeFault::Expired);
        assert_eq!(of(CertificateError::ExpiredRevocationList.into()), HandshakeFault::Crl);
        assert_eq!(of(CertificateError::UnknownRevocationStatus.into()), HandshakeFault::Crl);
        assert_eq!(of(CertificateError::UnknownIssuer.into()), HandshakeFault::UnknownIssuer);
        assert_eq!(of(CertificateError::BadSignature.into()), HandshakeFault::Certificate);
        assert_eq!(of(Error::NoCertificatesPresented), HandshakeFault::NoCertificate);
        assert_eq!(of(Error::AlertReceived(AlertDescription::UnknownCA)), HandshakeFault::UnknownIssuer);
        assert_eq!(of(InvalidMessage::InvalidContentType.into()), HandshakeFault::Protocol);
        assert_eq!(of(PeerIncompatible::Tls12NotOffered.into()), HandshakeFault::Protocol);
        assert_eq!(HandshakeFault::of_reason("timeout"), HandshakeFault::Timeout);
        assert_eq!(HandshakeFault::of_reason("tls handshake eof"), HandshakeFault::Closed);
        assert_eq!(
            HandshakeFault::of_reason("busy: too many handshakes (--max-handshake-rate)"),
            HandshakeFault::Busy
        );
        assert_eq!(HandshakeFault::of_reason("x"), HandshakeFault::Other);
    }
}

//! Why an exchange with a daemon failed, and what the user can do about it.

use std::io;
use std::time::Duration;

use common::pki::describe_certificate_error;
use common::rpc::frame::FrameError;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use thiserror::Error;

use crate::duration_text::format_duration;

/// The stage at which an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExchangeStage {
    Resolve,
    Connect,
    Handshake,
    Write,
    Read,
}

/// Why an exchange failed.
#[derive(Debug, Error)]
pub(crate) enum ExchangeError {
    #[error("host name has no address")]
    NoAddress,
    #[error("{} after {}", describe_timeout(*.0), format_duration(*.1))]
    Timeout(ExchangeStage, Duration),
    #[error("{}: {}", describe_failed_stage(*.0), describe_io_error(.1))]
    Io(ExchangeStage, io::Error),
    #[error("{}", describe_tls_error(.0))]
    Tls(TlsError),
    #[error("the daemon closed the connection during the TLS handshake")]
    ClosedInHandshake {
        /// Whether the daemon had sent a part of the handshake.
        spoke: bool,
    },
    #[error("host is not a valid TLS server name")]
    InvalidServerName,
    #[error("the daemon expects TLS, but the request was sent over plain TCP")]
    TlsExpected,
    #[error("the daemon closed the connection without a reply")]
    NoReply { tls: bool },
    #[error("the daemon closed the connection after {0} of the 4 bytes of the frame length")]
    TruncatedPrefix(usize),
    #[error("the daemon closed the connection after {got} of {of} bytes of the reply")]
    TruncatedReply { got: usize, of: usize },
    #[error("reply: {0}")]
    Frame(FrameError),
    #[error("no answer before --deadline ({})", format_duration(*.0))]
    Deadline(Duration),
}

impl ExchangeError {
    /// Converts an I/O error. tokio-rustls wraps TLS errors in `io::Error`: they are unwrapped.
    pub(crate) fn from_io_error(stage: ExchangeStage, error: io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<TlsError>()) {
            return Self::Tls(tls.clone());
        }
        Self::Io(stage, error)
    }

    /// Whether the daemon closed the connection while its reply was read.
    pub(crate) fn is_closed_by_peer(&self) -> bool {
        let closed =
            [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted];
        matches!(self, Self::Io(ExchangeStage::Read, e) if closed.contains(&e.kind()))
    }

    /// Names a handshake that the daemon ended by closing the connection. `received` is the number of bytes that it had
    /// sent.
    pub(crate) fn explain_closed_handshake(self, received: u64) -> Self {
        let closed =
            [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted];
        match self {
            Self::Io(ExchangeStage::Handshake, e) if closed.contains(&e.kind()) => {
                Self::ClosedInHandshake { spoke: received > 0 }
            }
            other => other,
        }
    }

    /// Whether another attempt may succeed and cannot carry out the request twice: the daemon was not reached, or it
    /// refused the connection because of a limit.
    pub(crate) fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Timeout(stage, _) | Self::Io(stage, _) => {
                matches!(stage, ExchangeStage::Resolve | ExchangeStage::Connect | ExchangeStage::Handshake)
            }
            Self::ClosedInHandshake { .. } => true,
            Self::Tls(error) => *error == TlsError::AlertReceived(AlertDescription::InternalError),
            _ => false,
        }
    }

    /// Whether the daemon was reached and did not want to answer: existing daemons close the connection when they do not know
    /// a function.
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self, Self::NoReply { .. } | Self::TlsExpected)
    }

    /// Suggests what the user can do.
    pub(crate) fn suggest_fix(&self) -> Option<String> {
        let hint = match self {
            Self::NoAddress
            | Self::Io(ExchangeStage::Resolve, _)
            | Self::Timeout(ExchangeStage::Resolve, _) => {
                "check the spelling of the host name, or give an address"
            }
            Self::Io(ExchangeStage::Connect, e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                "no daemon listens on this port: start profd, or check --hostname and --port; without --bind, \
                 profd listens on loopback only"
            }
            Self::Timeout(ExchangeStage::Connect, _) => {
                "a firewall may drop the connection; check --hostname and --port"
            }
            Self::ClosedInHandshake { spoke: true } => {
                "it may have reached a limit on connections, or be stopping: try again"
            }
            Self::ClosedInHandshake { spoke: false } => {
                "it may have reached a limit on connections: try again; dynolog, which has no TLS, closes them as well \
                 (see --certs-dir)"
            }
            Self::Timeout(ExchangeStage::Handshake, _) => {
                "the daemon may be busy (see --timeout), or not speak TLS (see --certs-dir)"
            }
            Self::Timeout(..) => "the daemon may be busy with another client; see --timeout",
            Self::TlsExpected => "give the directory with the client certificate with --certs-dir",
            // dynolog c3a231a and msMonitor b942bf5 close the connection instead of replying with an error.
            Self::NoReply { tls: false } => {
                "possible causes: the daemon does not support this function, it expects TLS (see --certs-dir), or \
                 the request is longer than the 8191 bytes that msMonitor's daemon accepts"
            }
            Self::NoReply { tls: true } => {
                "possible causes: the daemon does not support this function, or the request is longer than the \
                 8191 bytes that msMonitor's daemon accepts"
            }
            Self::Frame(_) | Self::TruncatedPrefix(_) => {
                "check --port: the peer does not answer like a profiling daemon"
            }
            Self::InvalidServerName => "give a name from the daemon's certificate with --server-name",
            Self::Tls(e) => return suggest_tls_fix(e).map(str::to_owned),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

fn describe_timeout(stage: ExchangeStage) -> &'static str {
    match stage {
        ExchangeStage::Resolve => "name resolution timed out",
        ExchangeStage::Connect => "connection timed out",
        ExchangeStage::Handshake => "TLS handshake timed out",
        ExchangeStage::Write => "sending the request timed out",
        ExchangeStage::Read => "no complete reply",
    }
}

fn describe_failed_stage(stage: ExchangeStage) -> &'static str {
    match stage {
        ExchangeStage::Resolve => "name resolution failed",
        ExchangeStage::Connect => "cannot connect",
        ExchangeStage::Handshake => "TLS handshake failed",
        ExchangeStage::Write => "cannot send the request",
        ExchangeStage::Read => "cannot read the reply",
    }
}

fn describe_io_error(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::ConnectionReset => "connection reset by the daemon".to_owned(),
        io::ErrorKind::UnexpectedEof => "the daemon closed the connection".to_owned(),
        io::ErrorKind::BrokenPipe => "the daemon closed the connection".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".to_owned(),
        io::ErrorKind::HostUnreachable => "host unreachable".to_owned(),
        _ => error.to_string(),
    }
}

fn describe_tls_error(error: &TlsError) -> String {
    use CertificateError as C;
    let daemon_certificate = |fault: &str| format!("the daemon's certificate {fault}");
    match error {
        TlsError::InvalidCertificate(e) => match e {
            C::Expired | C::ExpiredContext { .. } => daemon_certificate("has expired"),
            C::NotValidYet | C::NotValidYetContext { .. } => daemon_certificate("is not valid yet"),
            C::Revoked => daemon_certificate("is revoked"),
            C::UnknownIssuer | C::BadSignature => daemon_certificate("was not issued by a CA in ca.crt"),
            C::NotValidForName => daemon_certificate("is not valid for this name"),
            C::NotValidForNameContext { expected, presented } => daemon_certificate(&format!(
                "is not valid for {}, only for {}",
                expected.to_str(),
                format_certificate_names(presented)
            )),
            C::UnknownRevocationStatus => daemon_certificate("has an unknown revocation status"),
            C::ExpiredRevocationList | C::ExpiredRevocationListContext { .. } => {
                "ca.crl has expired (its nextUpdate has passed)".to_owned()
            }
            C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
                daemon_certificate("is not valid for server authentication (extended key usage)")
            }
            other => daemon_certificate(&format!("is invalid: {}", describe_certificate_error(other))),
        },
        TlsError::AlertReceived(AlertDescription::CertificateRevoked) => {
            "the daemon rejected the client certificate: it is revoked".to_owned()
        }
        TlsError::AlertReceived(AlertDescription::CertificateExpired) => {
            "the daemon rejected the client certificate: it has expired".to_owned()
        }
        TlsError::AlertReceived(AlertDescription::UnknownCA) => {
            "the daemon rejected the client certificate: unknown CA".to_owned()
        }
        TlsError::AlertReceived(AlertDescription::CertificateRequired) => {
            "the daemon requires a client certificate".to_owned()
        }
        TlsError::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown,
        ) => "the daemon rejected the client certificate".to_owned(),
        // profd sends it where its own CRL is the fault: the certificate was issued by a CA that it trusts.
        TlsError::AlertReceived(AlertDescription::AccessDenied) => {
            "the daemon cannot tell whether the client certificate is revoked: its CRL of this CA has expired or does not \
             cover the certificate (TLS alert access_denied)"
                .to_owned()
        }
        TlsError::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the daemon supports no TLS version that --tls-min allows".to_owned()
        }
        // profd sends it before the handshake, and for nothing else.
        TlsError::AlertReceived(AlertDescription::InternalError) => {
            "the daemon is busy: a limit on connections is reached (TLS alert internal_error)".to_owned()
        }
        TlsError::InvalidMessage(_) => "the daemon does not speak TLS".to_owned(),
        other => format!("TLS: {other}"),
    }
}

/// Formats the names of a certificate. rustls gives them in debug form, such as `DnsName("a")`; at most eight are
/// shown.
fn format_certificate_names(presented: &[String]) -> String {
    let bare = |n: &String| n.split('"').nth(1).unwrap_or(n).to_owned();
    let names: Vec<_> = presented.iter().take(8).map(bare).collect();
    if names.is_empty() { "no name at all".to_owned() } else { names.join(", ") }
}

fn suggest_tls_fix(error: &TlsError) -> Option<&'static str> {
    use CertificateError as C;
    match error {
        TlsError::InvalidMessage(_) => {
            Some("for a daemon without TLS use --certs-dir NO_CERTS; nothing protects that connection")
        }
        TlsError::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            Some("use a host name that the certificate contains, or give one with --server-name")
        }
        TlsError::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => Some(
            "ca.crt in the --certs-dir directory must contain the CA that issued the daemon's certificate",
        ),
        TlsError::InvalidCertificate(C::ExpiredRevocationList | C::ExpiredRevocationListContext { .. }) => {
            Some("replace ca.crl by a current one; see `certck crl fetch`")
        }
        TlsError::AlertReceived(AlertDescription::ProtocolVersion) | TlsError::PeerIncompatible(_) => {
            Some("for a daemon that supports only TLS 1.2 use --tls-min 1.2")
        }
        TlsError::AlertReceived(AlertDescription::InternalError) => Some(
            "try again; `profctl --format json status` counts what was declined (rpc.declined, rpc.closed.pending)",
        ),
        TlsError::AlertReceived(AlertDescription::AccessDenied) => Some(
            "look at `certck check` where the daemon runs, and fetch a newer CRL there: `certck crl fetch` for its \
                 certificate directory",
        ),
        TlsError::AlertReceived(AlertDescription::CertificateRevoked | AlertDescription::UnknownCA) => {
            Some("check the client certificate with `certck check`")
        }
        // No alert says "not valid yet".
        TlsError::AlertReceived(_) => {
            Some("check the client certificate with `certck check`, and the clock of the daemon's host")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_one_lower_case_line() {
        let errors = [
            ExchangeError::NoAddress,
            ExchangeError::Timeout(ExchangeStage::Connect, Duration::from_secs(5)),
            ExchangeError::Io(ExchangeStage::Connect, io::ErrorKind::ConnectionRefused.into()),
            ExchangeError::Tls(TlsError::InvalidCertificate(CertificateError::Revoked)),
            ExchangeError::NoReply { tls: false },
            ExchangeError::Frame(FrameError::NotPositive(-1)),
            ExchangeError::Deadline(Duration::from_secs(30)),
        ];
        for error in errors {
            let text = error.to_string();
            assert!(
                !text.contains('\n') && !text.ends_with('.') && text.starts_with(char::is_lowercase),
                "{text}"
            );
        }
        assert_eq!(
            ExchangeError::Timeout(ExchangeStage::Connect, Duration::from_secs(5)).to_string(),
            "connection timed out after 5 s"
        );
    }

    /// The text of an error that rustls does not know, without its debug form.
    #[test]
    fn other_certificate_errors_are_shown_in_words() {
        let why =
            rustls::OtherError(std::sync::Arc::new(common::pki::Malformed("CN=x: its CRL is old".into())));
        let error = ExchangeError::Tls(TlsError::InvalidCertificate(CertificateError::Other(why)));
        assert_eq!(error.to_string(), "the daemon's certificate is invalid: CN=x: its CRL is old");
    }

    #[test]
    fn rustls_errors_are_found_inside_io_errors() {
        let inner = TlsError::InvalidCertificate(CertificateError::Expired);
        let error = ExchangeError::from_io_error(
            ExchangeStage::Handshake,
            io::Error::new(io::ErrorKind::InvalidData, inner),
        );
        assert_eq!(error.to_string(), "the daemon's certificate has expired");
    }
}

//! Why there is no usable answer from a daemon, in words, and what the user can do about it.

use std::io;
use std::time::Duration;

use common::rpc::frame::FrameError;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use thiserror::Error;

/// How far an exchange had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Resolve,
    Connect,
    Handshake,
    Write,
    Read,
}

/// Why an exchange failed.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("the name has no address")]
    NoAddress,
    #[error("{} after {}", too_late(*.0), seconds(*.1))]
    Timeout(Stage, Duration),
    #[error("{}: {}", doing(*.0), io_reason(.1))]
    Io(Stage, io::Error),
    #[error("{}", tls_reason(.0))]
    Tls(TlsError),
    #[error("not a name that a certificate could be checked against")]
    Name,
    #[error("the daemon speaks TLS, and the request was sent without")]
    SpeaksTls,
    #[error("the daemon closed the connection without an answer")]
    NoReply { tls: bool },
    #[error("the daemon closed the connection after {0} of the 4 bytes of a length")]
    CutPrefix(usize),
    #[error("the daemon closed the connection after {got} of {of} bytes of its answer")]
    Cut { got: usize, of: usize },
    #[error("reply: {0}")]
    Frame(FrameError),
}

impl Failure {
    /// Sorts an I/O error by what is behind it: rustls hides its own in `io::Error`.
    pub(crate) fn of(stage: Stage, error: io::Error) -> Self {
        if let Some(tls) = error.get_ref().and_then(|e| e.downcast_ref::<TlsError>()) {
            return Self::Tls(tls.clone());
        }
        Self::Io(stage, error)
    }

    /// Whether the other end hung up.
    pub(crate) fn is_closed(&self) -> bool {
        let closed =
            [io::ErrorKind::UnexpectedEof, io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted];
        matches!(self, Self::Io(Stage::Read, e) if closed.contains(&e.kind()))
    }

    /// What the user can do.
    pub(crate) fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoAddress | Self::Io(Stage::Resolve, _) | Self::Timeout(Stage::Resolve, _) => {
                "check the spelling of the host, or give its address"
            }
            Self::Io(Stage::Connect, e) if e.kind() == io::ErrorKind::ConnectionRefused => {
                "no daemon listens there: start profd, or check --hostname and --port; profd listens on \
                 loopback unless told otherwise"
            }
            Self::Timeout(Stage::Connect, _) => {
                "a firewall may drop the connection; check --hostname and --port"
            }
            Self::Timeout(Stage::Handshake, _) | Self::Io(Stage::Handshake, _) => {
                "the daemon may speak plain TCP, or serve another client first; see --certs-dir and --timeout"
            }
            Self::Timeout(..) => "the daemon may be busy with another client; see --timeout",
            Self::SpeaksTls => "name the directory of the client's certificates with --certs-dir",
            Self::NoReply { tls: false } => {
                "daemons do so when they do not know the function, when they expect TLS (see --certs-dir), or, \
                 msMonitor's, when the request is longer than 8191 bytes"
            }
            Self::NoReply { tls: true } => {
                "daemons do so when they do not know the function, or, msMonitor's, when the request is longer \
                 than 8191 bytes"
            }
            Self::Frame(_) | Self::CutPrefix(_) => "is this the port of a profiling daemon? check --port",
            Self::Name => "give the name in the daemon's certificate with --server-name",
            Self::Tls(e) => return tls_hint(e).map(str::to_owned),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// A time as users gave it.
pub(crate) fn seconds(time: Duration) -> String {
    match time.as_millis() {
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms if ms < 1000 => format!("{ms} ms"),
        _ => format!("{:.1} s", time.as_secs_f64()),
    }
}

fn too_late(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolve => "name look-up timed out",
        Stage::Connect => "connection timed out",
        Stage::Handshake => "TLS handshake timed out",
        Stage::Write => "sending the request timed out",
        Stage::Read => "no complete answer",
    }
}

fn doing(stage: Stage) -> &'static str {
    match stage {
        Stage::Resolve => "name look-up failed",
        Stage::Connect => "cannot connect",
        Stage::Handshake => "TLS handshake failed",
        Stage::Write => "cannot send the request",
        Stage::Read => "cannot read the answer",
    }
}

fn io_reason(error: &io::Error) -> String {
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

fn tls_reason(error: &TlsError) -> String {
    use CertificateError as C;
    let theirs = |what: &str| format!("the daemon's certificate {what}");
    match error {
        TlsError::InvalidCertificate(e) => match e {
            C::Expired | C::ExpiredContext { .. } => theirs("has expired"),
            C::NotValidYet | C::NotValidYetContext { .. } => theirs("is not valid yet"),
            C::Revoked => theirs("is revoked"),
            C::UnknownIssuer | C::BadSignature => theirs("was not issued by our ca.crt"),
            C::NotValidForName => theirs("is not good for this name"),
            C::NotValidForNameContext { expected, presented } => {
                theirs(&format!("is not good for {}, only for {}", expected.to_str(), names(presented)))
            }
            C::UnknownRevocationStatus => theirs("has an unknown revocation status"),
            C::ExpiredRevocationList | C::ExpiredRevocationListContext { .. } => {
                "our ca.crl is past its nextUpdate".to_owned()
            }
            C::InvalidPurpose | C::InvalidPurposeContext { .. } => theirs("is not for servers"),
            other => theirs(&format!("is not accepted: {other}")),
        },
        TlsError::AlertReceived(AlertDescription::CertificateRevoked) => {
            "the daemon refused our certificate: it is revoked".to_owned()
        }
        TlsError::AlertReceived(AlertDescription::CertificateExpired) => {
            "the daemon refused our certificate: it has expired".to_owned()
        }
        TlsError::AlertReceived(AlertDescription::UnknownCA) => {
            "the daemon refused our certificate: another CA issued it".to_owned()
        }
        TlsError::AlertReceived(AlertDescription::CertificateRequired) => {
            "the daemon demands a client certificate".to_owned()
        }
        TlsError::AlertReceived(
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::AccessDenied,
        ) => "the daemon refused our certificate".to_owned(),
        TlsError::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the daemon does not speak a TLS version that we accept".to_owned()
        }
        TlsError::InvalidMessage(_) => "the daemon does not speak TLS".to_owned(),
        other => format!("TLS: {other}"),
    }
}

/// The names of a certificate, out of the form that rustls debugs them in: `DnsName("a")`.
fn names(presented: &[String]) -> String {
    let bare = |n: &String| n.split('"').nth(1).unwrap_or(n).to_owned();
    let names: Vec<_> = presented.iter().take(8).map(bare).collect();
    if names.is_empty() { "no name".to_owned() } else { names.join(", ") }
}

fn tls_hint(error: &TlsError) -> Option<&'static str> {
    use CertificateError as C;
    match error {
        TlsError::InvalidMessage(_) => {
            Some("a daemon without certificates is asked with --certs-dir NO_CERTS, which protects nothing")
        }
        TlsError::InvalidCertificate(C::NotValidForName | C::NotValidForNameContext { .. }) => {
            Some("ask it by a name that its certificate has, or give that name with --server-name")
        }
        TlsError::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => {
            Some("--certs-dir must hold the CA that issued the daemon's certificate")
        }
        TlsError::InvalidCertificate(C::ExpiredRevocationList | C::ExpiredRevocationListContext { .. }) => {
            Some("fetch a fresh ca.crl")
        }
        TlsError::AlertReceived(AlertDescription::ProtocolVersion) | TlsError::PeerIncompatible(_) => {
            Some("daemons that speak only TLS 1.2 are asked with --tls-min 1.2")
        }
        TlsError::AlertReceived(_) => Some("check the client's directory with `certck check`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_said_as_given() {
        assert_eq!(seconds(Duration::from_secs(5)), "5 s");
        assert_eq!(seconds(Duration::from_millis(250)), "250 ms");
        assert_eq!(seconds(Duration::from_millis(1500)), "1.5 s");
    }

    #[test]
    fn every_failure_is_one_lower_case_line() {
        let failures = [
            Failure::NoAddress,
            Failure::Timeout(Stage::Connect, Duration::from_secs(5)),
            Failure::Io(Stage::Connect, io::ErrorKind::ConnectionRefused.into()),
            Failure::Tls(TlsError::InvalidCertificate(CertificateError::Revoked)),
            Failure::NoReply { tls: false },
            Failure::Frame(FrameError::NotPositive(-1)),
        ];
        for f in failures {
            let text = f.to_string();
            assert!(
                !text.contains('\n') && !text.ends_with('.') && text.starts_with(char::is_lowercase),
                "{text}"
            );
        }
        assert_eq!(
            Failure::Timeout(Stage::Connect, Duration::from_secs(5)).to_string(),
            "connection timed out after 5 s"
        );
    }

    #[test]
    fn rustls_errors_are_found_inside_io_errors() {
        let inner = TlsError::InvalidCertificate(CertificateError::Expired);
        let failure = Failure::of(Stage::Handshake, io::Error::new(io::ErrorKind::InvalidData, inner));
        assert_eq!(failure.to_string(), "the daemon's certificate has expired");
    }
}

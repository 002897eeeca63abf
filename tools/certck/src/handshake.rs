//! One handshake with a live server, whose chain is recorded and checked later.
//!
//! A server rejects a client with an alert, or by closing after it has received the client's certificate. Any other
//! failure (connection refused, an early reset, a timeout) does not show what the server rejects, and is an error.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use common::pki::crypto_provider;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
};

/// The result of a handshake.
#[derive(Debug)]
pub(crate) struct HandshakeOutcome {
    pub(crate) protocol: String,
    pub(crate) suite: String,
    pub(crate) key_exchange: Option<String>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) asked: bool,
    /// Whether the server continued after it had received our certificate, or an empty one.
    pub(crate) accepted: bool,
    pub(crate) took: Duration,
}

/// The TLS versions and the certificate that the client offers.
pub(crate) struct ClientOffer {
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) certificate: Option<Arc<CertifiedKey>>,
}

pub(crate) const ANY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
pub(crate) const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// The server does not speak TLS.
#[derive(Debug)]
pub(crate) struct NotTls;

impl std::fmt::Display for NotTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("does not speak TLS")
    }
}

impl std::error::Error for NotTls {}

/// The handshake took longer than the timeout.
#[derive(Debug)]
pub(crate) struct HandshakeTimeout(Duration);

impl std::fmt::Display for HandshakeTimeout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "no handshake within {:?} (--timeout)", self.0)
    }
}

impl std::error::Error for HandshakeTimeout {}

/// The minimum time to wait for a rejection after the handshake: in TLS 1.3 the server verifies the client only after
/// the client's part is complete (RFC 8446, section 2). On slow connections, the time of three handshakes.
const MIN_REJECTION_WAIT: Duration = Duration::from_millis(500);

/// A TCP connection with a deadline for all reads and writes together.
pub(crate) struct TimedStream {
    tcp: TcpStream,
    deadline: Instant,
}

impl TimedStream {
    /// Connects to the first of the host's addresses that answers.
    pub(crate) fn connect(address: &str, timeout: Duration) -> anyhow::Result<Self> {
        let deadline = Instant::now() + timeout;
        let mut last = anyhow!("has no address");
        let sockets: Vec<_> = address.to_socket_addrs().context("cannot be resolved")?.collect();
        for (socket, others) in sockets.iter().zip((1..=sockets.len()).rev()) {
            // Each address gets a share of the time left, so that a silent one leaves some for the next.
            let left = deadline.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(others).unwrap_or(u32::MAX);
            if share.is_zero() {
                break;
            }
            match TcpStream::connect_timeout(socket, share) {
                Ok(tcp) => return Ok(Self { tcp, deadline }),
                Err(e) => last = e.into(),
            }
        }
        Err(last)
    }

    fn time_left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for TimedStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.tcp.set_read_timeout(Some(self.time_left()?))?;
        self.tcp.read(bytes)
    }
}

impl Write for TimedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.set_write_timeout(Some(self.time_left()?))?;
        self.tcp.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.tcp.flush()
    }
}

/// Performs one handshake.
///
/// # Errors
/// The handshake failed, but not because the server rejects our certificate; [`NotTls`] if it speaks
/// something else.
pub(crate) fn perform_handshake(
    address: &str,
    name: &ServerName<'static>,
    offer: &ClientOffer,
    timeout: Duration,
) -> anyhow::Result<HandshakeOutcome> {
    let (seen, asked) =
        (Arc::new(SeenChain::default()), Arc::new(AskedForCertificate::new(offer.certificate.clone())));
    let config = ClientConfig::builder_with_provider(crypto_provider())
        .with_protocol_versions(offer.versions)?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_client_cert_resolver(asked.clone());
    let begin = Instant::now();
    let mut tcp = TimedStream::connect(address, timeout)?;
    let mut tls = ClientConnection::new(Arc::new(config), name.clone())?;
    let finished = loop {
        if !tls.is_handshaking() {
            break Ok(());
        }
        if let Err(e) = tls.complete_io(&mut tcp) {
            break Err(e);
        }
    };
    let took = begin.elapsed();
    let accepted = match finished {
        // A server that asks for no certificate cannot reject ours.
        Ok(()) if !asked.was_asked() => true,
        Ok(()) => {
            tcp.deadline = tcp.deadline.min(Instant::now() + MIN_REJECTION_WAIT.max(took * 3));
            is_accepted(&mut tls, &mut tcp)?
        }
        Err(e) if asked.was_asked() && is_rejection(&e) => false,
        Err(e) if is_timeout(&e) => return Err(HandshakeTimeout(timeout).into()),
        Err(e) if tls.protocol_version().is_none() && is_not_tls(&e) => return Err(NotTls.into()),
        Err(e) => return Err(e).context("no handshake"),
    };
    let chain = seen.chain.lock().map(|c| c.clone()).unwrap_or_default();
    Ok(HandshakeOutcome {
        protocol: tls.protocol_version().map(|v| format!("{v:?}")).unwrap_or_default(),
        suite: tls.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite())).unwrap_or_default(),
        key_exchange: tls.negotiated_key_exchange_group().map(|g| format!("{:?}", g.name())),
        chain,
        asked: asked.was_asked(),
        accepted,
        took,
    })
}

/// Whether the server accepts the client: it rejects one with an alert or by closing.
fn is_accepted(tls: &mut ClientConnection, tcp: &mut TimedStream) -> anyhow::Result<bool> {
    let mut byte = [0];
    loop {
        // A session ticket is sent after the client's Finished was verified (RFC 8446, section 4.6.1).
        if tls.tls13_tickets_received() > 0 {
            return Ok(true);
        }
        match tls.reader().read(&mut byte) {
            Ok(n) => return Ok(n > 0),
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            // There is nothing to read yet.
            Err(_) => {}
        }
        match tls.complete_io(tcp) {
            Ok((0, 0)) => return Ok(false),
            Ok(_) => {}
            Err(e) if is_timeout(&e) => return Ok(true),
            Err(e) if is_rejection(&e) => return Ok(false),
            Err(e) => return Err(e).context("after the handshake"),
        }
    }
}

fn is_timeout(e: &io::Error) -> bool {
    matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Whether an error is an alert or the end of the connection. A close while our last records are in flight arrives as a
/// reset.
fn is_rejection(e: &io::Error) -> bool {
    let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let ended = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
    matches!(inner, Some(Error::AlertReceived(_))) || inner.is_none() && ended.contains(&e.kind())
}

/// Whether the bytes received are not a TLS record.
fn is_not_tls(e: &io::Error) -> bool {
    let inner = e.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(inner, Some(Error::InvalidMessage(_)))
}

/// Presents a certificate, and records that it was asked for.
#[derive(Debug)]
struct AskedForCertificate {
    certificate: Option<Arc<CertifiedKey>>,
    asked: Mutex<bool>,
}

impl AskedForCertificate {
    fn new(certificate: Option<Arc<CertifiedKey>>) -> Self {
        Self { certificate, asked: Mutex::new(false) }
    }

    fn was_asked(&self) -> bool {
        self.asked.lock().is_ok_and(|a| *a)
    }
}

impl ResolvesClientCert for AskedForCertificate {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        if let Ok(mut asked) = self.asked.lock() {
            *asked = true;
        }
        self.certificate.clone()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Accepts any certificate and records it; the signatures of the handshake are verified all the same.
#[derive(Debug, Default)]
struct SeenChain {
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for SeenChain {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Ok(mut chain) = self.chain.lock() {
            *chain = std::iter::once(leaf).chain(others).map(|c| c.clone().into_owned()).collect();
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &crypto_provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &crypto_provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        crypto_provider().signature_verification_algorithms.supported_schemes()
    }
}

//! One handshake with a live server, whose certificate is recorded instead of judged: judging comes after.

use std::io::{ErrorKind, Read};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use common::pki::provider;
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, SupportedProtocolVersion,
};

/// What happened.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) protocol: String,
    pub(crate) suite: String,
    pub(crate) key_exchange: Option<String>,
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) asked: bool,
    /// Whether the server went on after it had seen our certificate, or that there is none.
    pub(crate) accepted: bool,
    pub(crate) took: Duration,
}

/// What is offered.
pub(crate) struct Offer {
    pub(crate) versions: &'static [&'static SupportedProtocolVersion],
    pub(crate) certificate: Option<Arc<CertifiedKey>>,
}

pub(crate) const ANY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
pub(crate) const TLS12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];

/// How long a server that says nothing after the handshake is waited for: in TLS 1.3 it refuses a client only
/// after the client is done.
const SILENCE: Duration = Duration::from_millis(500);

/// Connects to the first of the host's addresses that answers.
fn connect(address: &str, timeout: Duration) -> anyhow::Result<TcpStream> {
    let mut last = anyhow!("has no address");
    for socket in address.to_socket_addrs().context("cannot be resolved")? {
        match TcpStream::connect_timeout(&socket, timeout) {
            Ok(stream) => {
                stream.set_read_timeout(Some(timeout))?;
                stream.set_write_timeout(Some(timeout))?;
                return Ok(stream);
            }
            Err(e) => last = e.into(),
        }
    }
    Err(last)
}

/// Shakes hands once.
pub(crate) fn shake(
    address: &str,
    name: &ServerName<'static>,
    offer: &Offer,
    timeout: Duration,
) -> anyhow::Result<Outcome> {
    let (seen, asked) = (Arc::new(Seen::default()), Arc::new(Asked::new(offer.certificate.clone())));
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(offer.versions)?
        .dangerous()
        .with_custom_certificate_verifier(seen.clone())
        .with_client_cert_resolver(asked.clone());
    let begin = Instant::now();
    let mut tcp = connect(address, timeout)?;
    let mut tls = ClientConnection::new(Arc::new(config), name.clone())?;
    let shaken = loop {
        if !tls.is_handshaking() {
            break Ok(());
        }
        if begin.elapsed() > timeout {
            bail!("no handshake within {} s", timeout.as_secs());
        }
        if let Err(e) = tls.complete_io(&mut tcp) {
            break Err(e);
        }
    };
    let took = begin.elapsed();
    let accepted = match shaken {
        Ok(()) => goes_on(&mut tls, &mut tcp),
        // A refusal of our certificate, where one was asked for, is an answer.
        Err(_) if asked.was() && tls.protocol_version().is_some() => false,
        Err(e) => return Err(e).context("no handshake"),
    };
    let chain = seen.chain.lock().map(|c| c.clone()).unwrap_or_default();
    Ok(Outcome {
        protocol: tls.protocol_version().map(|v| format!("{v:?}")).unwrap_or_default(),
        suite: tls.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite())).unwrap_or_default(),
        key_exchange: tls.negotiated_key_exchange_group().map(|g| format!("{:?}", g.name())),
        chain,
        asked: asked.was(),
        accepted,
        took,
    })
}

/// Whether the server stays: it refuses with an alert or by closing.
fn goes_on(tls: &mut ClientConnection, tcp: &mut TcpStream) -> bool {
    let _ = tcp.set_read_timeout(Some(SILENCE));
    let mut byte = [0];
    match rustls::Stream::new(tls, tcp).read(&mut byte) {
        Ok(n) => n > 0,
        Err(e) => matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}

/// Shows a certificate, and remembers that it was asked for.
#[derive(Debug)]
struct Asked {
    certificate: Option<Arc<CertifiedKey>>,
    asked: Mutex<bool>,
}

impl Asked {
    fn new(certificate: Option<Arc<CertifiedKey>>) -> Self {
        Self { certificate, asked: Mutex::new(false) }
    }

    fn was(&self) -> bool {
        self.asked.lock().is_ok_and(|a| *a)
    }
}

impl ResolvesClientCert for Asked {
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

/// Takes any certificate and keeps it; the signatures of the handshake are verified all the same.
#[derive(Debug, Default)]
struct Seen {
    chain: Mutex<Vec<CertificateDer<'static>>>,
}

impl ServerCertVerifier for Seen {
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
        verify_tls12_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

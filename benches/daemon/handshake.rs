//! What a handshake costs, beside rustls alone.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::rpc::frame;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{Stream, Target, load};
use crate::report::say;
use crate::server::{Daemon, processor_time, start_child};

/// The processor time of a mutual TLS handshake with one request, in the daemon and in a server that does nothing else:
/// rustls with its own verifier, the same certificates and the same CRL. Processor time, because wall time is that of client
/// and server together.
pub(crate) fn handshakes() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let daemon = Daemon::start(true)?;
    let dir = daemon.dir.path().join("pki/server_certs");
    let (alone, port) = start_child(&["--rustls-server".as_ref(), dir.as_os_str()])?;
    let alone_at = Target { port, tls: daemon.tls.clone() };
    let mut costs = Vec::new();
    for (name, pid, target) in
        [("rustls alone", alone.0.id(), alone_at), ("profd", daemon.child.id(), daemon.target())]
    {
        let before = processor_time(pid)?;
        let requests = runtime.block_on(load(&target, 16, false))?.len() as u64;
        let used = processor_time(pid)? - before;
        let us = u64::try_from(used.as_micros())? / requests.max(1);
        costs.push(us);
        say(
            &json!({"bench": "handshakes", "server": name, "requests": requests, "processor_us_per_request": us}),
        )?;
    }
    if let [alone, profd] = costs[..] {
        say(&json!({"bench": "handshakes", "profd_of_rustls_alone_percent": 100 * alone / profd.max(1)}))?;
    }
    Ok(())
}

/// The child of [`handshakes`]: prints its port, and serves until it is killed, for a minute at most.
pub(crate) fn serve_rustls_alone(dir: &Path) -> anyhow::Result<()> {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
    use tokio_rustls::rustls::server::WebPkiClientVerifier;
    use tokio_rustls::rustls::{RootCertStore, ServerConfig, version};
    let provider = common::pki::crypto_provider();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.join("ca.crt"))?)?;
    let crl = CertificateRevocationListDer::from_pem_file(dir.join("ca.crl"))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let verifier = verifier.with_crls([crl]).enforce_revocation_expiration().build()?;
    let chain = CertificateDer::pem_file_iter(dir.join("server.crt"))?.collect::<Result<Vec<_>, _>>()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(dir.join("server.key"))?)?;
    config.send_tls13_tickets = 0;
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
        writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
        let serve = async {
            loop {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut stream: Box<dyn Stream> = Box::new(acceptor.accept(stream).await?);
                    let mut prefix = [0; frame::PREFIX];
                    stream.read_exact(&mut prefix).await?;
                    stream.read_exact(&mut vec![0; frame::length(prefix, frame::MAX_REPLY)?]).await?;
                    stream.write_all(&frame::encode(br#"{"version":"0"}"#)?).await?;
                    stream.flush().await?;
                    // The client closes it.
                    let _ = stream.read_u8().await;
                    anyhow::Ok(())
                });
            }
        };
        let served: Result<anyhow::Result<()>, _> =
            tokio::time::timeout(Duration::from_secs(60), serve).await;
        served.unwrap_or(Ok(()))
    })
}

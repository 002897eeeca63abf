//! What a handshake costs, beside rustls alone.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::rpc::frame;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::SPAN;
use crate::client::{Stream, ask, connect_to};
use crate::report::say;
use crate::server::{Daemon, Reaped};

/// The processor time of a mutual TLS handshake with one request, in the daemon and in a server that does nothing else:
/// rustls with its own verifier, the same certificates and the same CRL. Processor time, because wall time is that of client
/// and server together.
pub(crate) fn handshakes() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let daemon = Arc::new(Daemon::start(true)?);
    let mut command = Command::new(std::env::current_exe()?);
    let dir = daemon.dir.path().join("pki/server_certs");
    let mut alone = Reaped(command.arg("--rustls-server").arg(&dir).stdout(Stdio::piped()).spawn()?);
    let stdout = alone.0.stdout.take().ok_or_else(|| anyhow::anyhow!("no standard output"))?;
    let mut port = String::new();
    BufReader::new(stdout).read_line(&mut port)?;
    let alone_at = Arc::new(Target { port: port.trim().parse()?, tls: daemon.tls.clone() });
    let daemon_at = Arc::new(Target { port: daemon.port, tls: daemon.tls.clone() });
    let mut costs = Vec::new();
    for (name, pid, target) in
        [("rustls alone", alone.0.id(), alone_at), ("profd", daemon.child.id(), daemon_at)]
    {
        let before = processor_time(pid)?;
        let requests = runtime.block_on(load_target(&target, 16))?;
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

/// A server to connect to.
struct Target {
    port: u16,
    tls: Option<TlsConnector>,
}

async fn load_target(target: &Arc<Target>, connections: usize) -> anyhow::Result<u64> {
    let end = Instant::now() + SPAN;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let target = target.clone();
        tasks.spawn(async move {
            let mut requests = 0;
            while Instant::now() < end {
                ask(&mut connect_to(target.port, target.tls.as_ref()).await?, br#"{"fn":"getVersion"}"#)
                    .await?;
                requests += 1;
            }
            anyhow::Ok(requests)
        });
    }
    let mut all = 0;
    while let Some(requests) = tasks.join_next().await {
        all += requests??;
    }
    Ok(all)
}

/// The processor time of all threads of a process (proc(5), schedstat: nanoseconds on a processor first).
fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let mut all = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = std::fs::read_to_string(task?.path().join("schedstat"))?;
        all += text.split_whitespace().next().unwrap_or_default().parse::<u64>()?;
    }
    Ok(Duration::from_nanos(all))
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

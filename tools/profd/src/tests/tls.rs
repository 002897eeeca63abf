//! Mutual TLS, with certificates minted by `certck mint`.

use std::path::PathBuf;
use std::sync::Arc;

use common::cli::Tool;
use common::exit::Exit;
use common::out::Out;
use common::pki::{LoadOptions, MinVersion, MtlsDir, Role};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, StreamOwned};
use serde_json::json;

use super::*;
use crate::certs::ServerCertificates;
use crate::plan::TlsPlan;

/// A minted authority with a directory for each end.
pub(super) struct MintedAuthority(tempfile::TempDir);

impl MintedAuthority {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("pki");
        let args = ["certck", "mint", root.to_str().unwrap()];
        let exit = certck::Cli::try_parse_from(args).unwrap().run(&mut silent()).unwrap();
        assert_eq!(exit, Exit::Ok);
        Self(dir)
    }

    fn plan(&self) -> TlsPlan {
        TlsPlan {
            dir: self.dir("server_certs"),
            min: MinVersion::Tls13,
            passphrase_file: None,
            accept_new_roots: false,
            max_crl_bytes: common::pki::MAX_CRL_BYTES,
        }
    }

    pub(super) fn dir(&self, name: &str) -> PathBuf {
        self.0.path().join("pki").join(name)
    }

    /// The issuer of its certificates, as rules name it.
    pub(super) fn issuer(&self) -> String {
        let der = CertificateDer::from_pem_file(self.dir("client_certs").join("client.crt")).unwrap();
        common::pki::Cert::parse(&der).unwrap().issuer.to_string()
    }

    pub(super) fn serve(&self, flags: &[&str]) -> TestDaemon {
        let tls = self.plan();
        let certs = ServerCertificates::load(&tls, &mut silent()).unwrap().expect("valid certificates");
        TestDaemon::start(tempfile::tempdir().unwrap(), flags, Some(certs))
    }

    pub(super) fn client(&self) -> Arc<rustls::ClientConfig> {
        let dir = MtlsDir::load(&self.dir("client_certs"), Role::Client, &LoadOptions::now()).unwrap();
        Arc::new(dir.client_config(MinVersion::Tls13).unwrap())
    }

    /// A client that trusts this authority and has its certificate from another one.
    pub(super) fn client_with_certificate_of(&self, other: &Self) -> Arc<rustls::ClientConfig> {
        self.client_with_junk(other, 0)
    }

    /// As [`Self::client_with_certificate_of`], with certificates after its own that have nothing to do with it.
    fn client_with_junk(&self, other: &Self, junk: usize) -> Arc<rustls::ClientConfig> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.dir("client_certs").join("ca.crt")).unwrap()).unwrap();
        let theirs = other.dir("client_certs");
        let own = CertificateDer::pem_file_iter(theirs.join("client.crt")).unwrap().map(Result::unwrap);
        let ca = CertificateDer::from_pem_file(theirs.join("ca.crt")).unwrap();
        let chain = own.chain(std::iter::repeat_n(ca, junk)).collect();
        let key = rustls::pki_types::PrivateKeyDer::from_pem_file(theirs.join("client.key")).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(common::pki::crypto_provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .unwrap();
        Arc::new(config)
    }
}

fn silent() -> Out {
    Out::to(Box::new(std::io::sink()), "profd", false, Verbosity::Quiet)
}

/// One request; an error of the handshake or of the daemon's closing.
pub(super) fn ask(daemon: &TestDaemon, config: Arc<rustls::ClientConfig>) -> std::io::Result<Value> {
    ask_over(TcpStream::connect(daemon.address)?, config)
}

/// [`ask`] over a connection that is open already.
pub(super) fn ask_over(tcp: TcpStream, config: Arc<rustls::ClientConfig>) -> std::io::Result<Value> {
    ask_on(&mut begin_tls(tcp, config)?)
}

fn begin_tls(tcp: TcpStream, config: Arc<rustls::ClientConfig>) -> std::io::Result<TlsClient> {
    let name = ServerName::try_from("localhost").unwrap();
    let connection = ClientConnection::new(config, name).unwrap();
    tcp.set_read_timeout(Some(PATIENCE))?;
    Ok(StreamOwned::new(connection, tcp))
}

pub(super) type TlsClient = StreamOwned<ClientConnection, TcpStream>;

/// A client that has sent its part of the handshake, and nothing more.
pub(super) fn handshake(daemon: &TestDaemon, config: Arc<rustls::ClientConfig>) -> TlsClient {
    let mut client = begin_tls(TcpStream::connect(daemon.address).unwrap(), config).unwrap();
    client.conn.complete_io(&mut client.sock).unwrap();
    client
}

/// One request on an open connection.
pub(super) fn ask_on(stream: &mut TlsClient) -> std::io::Result<Value> {
    stream.write_all(&frame::encode(br#"{"fn":"getVersion"}"#).unwrap())?;
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix)?;
    let mut body = vec![0; frame::length(prefix, frame::MAX_REPLY).unwrap()];
    stream.read_exact(&mut body)?;
    Ok(serde_json::from_slice(&body)?)
}

#[test]
fn fault_12_only_clients_with_a_certificate_are_served() {
    let minted = MintedAuthority::new();
    let daemon = minted.serve(&[]);
    assert_eq!(ask(&daemon, minted.client()).unwrap(), json!({"version": env!("CARGO_PKG_VERSION")}));

    let mut roots = rustls::RootCertStore::empty();
    let ca = minted.dir("client_certs").join("ca.crt");
    roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
    let anonymous = rustls::ClientConfig::builder_with_provider(common::pki::crypto_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let e = ask(&daemon, Arc::new(anonymous)).unwrap_err().to_string();
    assert!(e.contains("CertificateRequired"), "{e}");
    assert!(ask(&daemon, MintedAuthority::new().client()).is_err());
    daemon.wait_for_counter("rpc.handshake_failed", 2);
    assert_eq!(daemon.counter("rpc.requests"), 1);
}

#[test]
fn a_chain_of_too_many_certificates_is_refused_before_it_is_parsed() {
    let minted = MintedAuthority::new();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let daemon = minted.serve(&["--audit-log", path.to_str().unwrap()]);
    ask(&daemon, minted.client_with_junk(&minted, common::pki::MAX_CHAIN - 1)).unwrap();
    assert!(ask(&daemon, minted.client_with_junk(&minted, common::pki::MAX_CHAIN)).is_err());
    daemon.wait_for_counter("rpc.handshake_failed", 1);
    eventually("the refusal is recorded", || {
        std::fs::read_to_string(&path).unwrap().contains("more than 8 certificates")
    });
}

#[test]
fn plain_clients_and_incomplete_handshakes_do_not_delay_others() {
    let minted = MintedAuthority::new();
    let daemon = minted.serve(&["--handshake-timeout=100ms"]);
    let mut plain = daemon.connect();
    plain.send(br#"{"fn":"getVersion"}"#);
    let mut silent = daemon.connect();
    assert!(ask(&daemon, minted.client()).is_ok());
    // An alert may come before the close; a reply must not.
    let mut rest = Vec::new();
    let _ = plain.0.read_to_end(&mut rest);
    assert!(!String::from_utf8_lossy(&rest).contains("version"));
    assert!(silent.read_reply().is_none());
    daemon.wait_for_counter("rpc.handshake_failed", 2);
}

#[test]
fn certificates_that_fail_the_policy_are_rejected() {
    use std::os::unix::fs::PermissionsExt;
    let minted = MintedAuthority::new();
    let dir = minted.dir("server_certs");
    std::fs::set_permissions(dir.join("server.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let tls = minted.plan();
    let mut out = silent();
    assert!(ServerCertificates::load(&tls, &mut out).unwrap().is_none());
    assert_eq!(out.diag().exit(), Exit::Failed);
    assert!(out.diag().errors() >= 2, "each finding has its line");
}

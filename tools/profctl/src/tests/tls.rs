//! Mutual TLS against a server with the certificates that `certck mint` makes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use clap::Parser;
use common::cli::Tool;
use common::exit::Exit;
use common::out::{Out, Verbosity};
use common::pki::{LoadOptions, MinVersion, MtlsDir, Role};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::fake_daemon::{FakeDaemon, frame, wait_for_close};
use super::{RunResult, run, run_against};

/// A minted authority with its two directories.
struct MintedCerts(tempfile::TempDir);

impl MintedCerts {
    fn new(hosts: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("pki");
        let mut args = vec!["certck", "mint", root.to_str().unwrap()];
        hosts.iter().for_each(|h| args.extend(["--host", h]));
        let mut out = Out::to(Box::new(std::io::sink()), "certck", false, Verbosity::Quiet);
        let exit = certck::Cli::try_parse_from(args).unwrap().run(&mut out).unwrap();
        assert_eq!(exit, Exit::Ok);
        Self(dir)
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.0.path().join("pki").join(name)
    }

    /// A daemon that answers everything with its version; the port.
    fn serve(&self) -> u16 {
        let dir = MtlsDir::load(&self.dir("server_certs"), Role::Server, &LoadOptions::now()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(dir.server_config(MinVersion::Tls13).unwrap()));
        let (ready, port) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                ready.send(listener.local_addr().unwrap().port()).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                    let length = stream.read_i32_le().await.unwrap();
                    let mut body = vec![0; usize::try_from(length).unwrap()];
                    stream.read_exact(&mut body).await.unwrap();
                    stream.write_all(&frame(r#"{"version":"secret"}"#)).await.unwrap();
                    let _ = stream.shutdown().await;
                }
            });
        });
        port.recv().unwrap()
    }
}

fn version(certs: &Path, port: u16, more: &[&str]) -> RunResult {
    let port = port.to_string();
    let mut args = vec!["--certs-dir", certs.to_str().unwrap(), "--port", &port, "--format", "json"];
    args.extend(more);
    args.push("version");
    run(&args)
}

fn reason(ran: &RunResult) -> String {
    assert_eq!(ran.exit, Exit::Failed);
    ran.only_record("profctl.version")["reason"].as_str().unwrap().to_owned()
}

#[test]
fn both_ends_are_verified() {
    let minted = MintedCerts::new(&[]);
    let port = minted.serve();
    for host in ["localhost", "127.0.0.1"] {
        let ran = version(&minted.dir("client_certs"), port, &["--hostname", host]);
        assert_eq!(ran.exit, Exit::Ok);
        assert_eq!(ran.only_record("profctl.version")["version"], "secret");
    }
}

#[test]
fn another_ca_is_not_trusted() {
    let (ours, theirs) = (MintedCerts::new(&[]), MintedCerts::new(&[]));
    let ran = version(&ours.dir("client_certs"), theirs.serve(), &["--hostname", "127.0.0.1"]);
    assert_eq!(reason(&ran), "the daemon's certificate was not issued by a CA in ca.crt");
}

#[test]
fn the_name_must_match_unless_another_is_given() {
    let minted = MintedCerts::new(&["node17.example.org"]);
    let port = minted.serve();
    let certs = minted.dir("client_certs");
    let ran = version(&certs, port, &["--hostname", "127.0.0.1"]);
    assert_eq!(
        reason(&ran),
        "the daemon's certificate is not valid for 127.0.0.1, only for node17.example.org"
    );
    assert!(ran.only_record("profctl.version")["hints"][0].as_str().unwrap().contains("--server-name"));
    let named = version(&certs, port, &["--hostname", "127.0.0.1", "--server-name", "node17.example.org"]);
    assert_eq!(named.exit, Exit::Ok);
}

#[test]
fn plain_tcp_and_tls_are_distinguished() {
    let minted = MintedCerts::new(&[]);
    let plain = run_against(minted.serve(), &["version"]);
    assert_eq!(reason(&plain), "the daemon expects TLS, but the request was sent over plain TCP");
    let closing = FakeDaemon::listen_with(|stream| {
        let _ = std::io::Read::read(stream, &mut [0; 64]);
    });
    let certs = minted.dir("client_certs");
    let ran = version(&certs, closing, &["--hostname", "127.0.0.1"]);
    assert_eq!(reason(&ran), "the daemon closed the connection during the TLS handshake");
    let hint = ran.only_record("profctl.version")["hints"][0].as_str().unwrap().to_owned();
    assert!(hint.starts_with("it may have reached a limit"), "{hint}");
    // The alert with which profd refuses a connection for which it has no place.
    let busy = FakeDaemon::listen_with(|stream| {
        let _ = std::io::Write::write_all(stream, &[0x15, 3, 3, 0, 2, 2, 80]);
        wait_for_close(stream);
    });
    let ran = version(&certs, busy, &["--hostname", "127.0.0.1"]);
    assert!(reason(&ran).starts_with("the daemon is busy: a limit on connections"), "{}", reason(&ran));
    let chatty = FakeDaemon::listen_with(|stream| {
        let _ = std::io::Write::write_all(stream, b"hello, who are you?");
        wait_for_close(stream);
    });
    let ran = version(&certs, chatty, &["--hostname", "127.0.0.1"]);
    assert_eq!(reason(&ran), "the daemon does not speak TLS");
}

#[test]
fn a_handshake_that_never_ends_times_out() {
    let minted = MintedCerts::new(&[]);
    let silent = FakeDaemon::listen_with(wait_for_close);
    let ran =
        version(&minted.dir("client_certs"), silent, &["--hostname", "127.0.0.1", "--timeout", "300ms"]);
    assert_eq!(reason(&ran), "TLS handshake timed out after 300 ms");
}

#[test]
fn a_directory_that_violates_the_policy_is_rejected_before_anything_is_sent() {
    let minted = MintedCerts::new(&[]);
    let certs = minted.dir("client_certs");
    fs::set_permissions(certs.join("client.key"), fs::Permissions::from_mode(0o644)).unwrap();
    let ran = version(&certs, 1, &[]);
    assert_eq!(ran.exit, Exit::Failed);
    assert_eq!(ran.stdout, "");
    assert_eq!(ran.error, Some(format!("{}: client certificate validation failed", certs.display())));
}

//! `certck ocsp` against the responder of the `openssl` command. Skipped where there is none.

#![allow(clippy::unwrap_used, reason = "a test")]

mod command;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::exit::Exit;
use serde_json::Value;

/// Runs `certck ocsp --format json`; the exit status, and the lines.
fn ocsp(args: &[&str]) -> (Exit, Vec<Value>) {
    let (exit, text) = command::certck(&[&["--format", "json", "ocsp", "--timeout", "10"], args].concat());
    (exit, text.lines().map(|l| serde_json::from_str(l).unwrap()).collect())
}

#[track_caller]
fn openssl(dir: &Path, args: &[&str]) -> bool {
    let Some(openssl) = testkit::require("openssl") else { return false };
    let output = Command::new(openssl).args(args).current_dir(dir).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    true
}

/// A CA made by openssl, with a good, a revoked and an unknown leaf, and responders' certificates.
struct Pki(tempfile::TempDir);

impl Pki {
    fn make() -> Option<Self> {
        let pki = Self(tempfile::tempdir().unwrap());
        let ca = ["req", "-x509", "-newkey", "rsa:3072", "-nodes", "-keyout", "ca.key", "-out", "ca.pem"];
        let ca = [&ca[..], &["-days", "30", "-subj", "/CN=OCSP test CA"]].concat();
        if !openssl(pki.dir(), &ca) {
            return None;
        }
        pki.leaf("good", 1, "serverAuth");
        pki.leaf("revoked", 2, "serverAuth");
        pki.leaf("unknown", 3, "serverAuth");
        pki.leaf("delegate", 4, "OCSPSigning");
        let index = "V\t491231235959Z\t\t01\tunknown\t/CN=good\n\
                     R\t491231235959Z\t261101000000Z,keyCompromise\t02\tunknown\t/CN=revoked\n";
        std::fs::write(pki.path("index"), index).unwrap();
        Some(pki)
    }

    fn dir(&self) -> &Path {
        self.0.path()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    fn leaf(&self, name: &str, serial: u8, purpose: &str) {
        let file = |end: &str| format!("{name}.{end}");
        let subject = format!("/CN={name}");
        let request = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj"];
        let files = [&subject, "-keyout", &file("key"), "-out", &file("csr")];
        assert!(openssl(self.dir(), &[&request[..], &files].concat()));
        std::fs::write(self.path("ext"), format!("extendedKeyUsage={purpose}\n")).unwrap();
        let sign = ["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "20", "-extfile", "ext"];
        let serial = serial.to_string();
        let files = ["-set_serial", &serial, "-in", &file("csr"), "-out", &file("pem")];
        assert!(openssl(self.dir(), &[&sign[..], &files].concat()));
    }

    /// Asks about a leaf at a responder that runs for this one question.
    fn ask(&self, leaf: &str, signer: &str, more: &[&str]) -> (Exit, Vec<Value>) {
        let responder = Responder::start(self.dir(), signer, more);
        let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
        ocsp(&["--issuer", &path("ca.pem"), "--url", &responder.url, &path(&format!("{leaf}.pem"))])
    }
}

/// `openssl ocsp -port`, ended when dropped.
struct Responder {
    child: Child,
    url: String,
}

impl Responder {
    fn start(dir: &Path, signer: &str, more: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["ocsp", "-index", "index", "-CA", "ca.pem", "-port", "0", "-timeout", "20"])
            .args(["-rsigner", &format!("{signer}.pem"), "-rkey", &format!("{signer}.key"), "-nrequest", "1"])
            .args(more)
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // `ACCEPT [::]:PORT PID=…`
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.into_iter().find_map(|l| l.strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
        let port = line.split(' ').next().unwrap().rsplit(':').next().unwrap();
        let url = format!("http://localhost:{port}/");
        Self { child, url }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn finding(lines: &[Value]) -> Option<(&str, &str)> {
    let line = lines.iter().find(|l| l["type"] == "certck.finding")?;
    Some((line["rule"].as_str()?, line["found"].as_str()?))
}

#[test]
fn responses_of_openssl_are_accepted_from_authorized_responders_only() {
    let Some(pki) = Pki::make() else { return };
    for (leaf, status, exit, rule) in [
        ("good", "good", Exit::Ok, None),
        ("revoked", "revoked", Exit::No, Some("revoked")),
        ("unknown", "unknown", Exit::No, Some("ocsp-unknown")),
    ] {
        for signer in ["ca", "delegate"] {
            let (got, lines) = pki.ask(leaf, signer, &["-ndays", "1"]);
            assert_eq!((got, finding(&lines).map(|f| f.0)), (exit, rule), "{leaf} {signer} {lines:?}");
            let answer = lines.iter().find(|l| l["type"] == "certck.ocsp").unwrap();
            assert_eq!((&answer["status"], &answer["nonce"]), (&status.into(), &true.into()));
            assert_eq!(answer["reason"].as_u64(), (status == "revoked").then_some(1));
        }
    }
}

/// A directory with the names of a secret of Kubernetes, or of a server, that holds the good leaf; with a CRL or without.
fn leaf_directory(pki: &Pki, name: &str, leaf: &str, crl: Option<&str>) -> String {
    let dir = pki.path(name);
    std::fs::create_dir(&dir).unwrap();
    std::fs::copy(pki.path("good.pem"), dir.join(leaf)).unwrap();
    std::fs::copy(pki.path("ca.pem"), dir.join("ca.crt")).unwrap();
    if let Some(crl) = crl {
        std::fs::copy(pki.path(crl), dir.join("ca.crl")).unwrap();
    }
    dir.to_str().unwrap().to_owned()
}

/// A responder's certificate is revoked by a CRL that the CA has signed; one by another CA of the same name, in which the
/// serial number is somebody else's, says nothing.
#[test]
fn a_responder_is_revoked_by_a_verified_crl_only() {
    let Some(pki) = Pki::make() else { return };
    let other =
        ["req", "-x509", "-newkey", "rsa:3072", "-nodes", "-keyout", "other.key", "-out", "other.pem"];
    assert!(openssl(pki.dir(), &[&other[..], &["-days", "30", "-subj", "/CN=OCSP test CA"]].concat()));
    std::fs::write(pki.path("revoked"), "R\t491231235959Z\t261101000000Z\t04\tunknown\t/CN=delegate\n")
        .unwrap();
    let config = "[ca]\ndefault_ca=x\n[x]\ndatabase=revoked\ndefault_md=sha256\ndefault_crl_days=9\n";
    std::fs::write(pki.path("config"), config).unwrap();
    for ca in ["ca", "other"] {
        let (key, cert, crl) = (format!("{ca}.key"), format!("{ca}.pem"), format!("{ca}.crl"));
        let make = ["ca", "-gencrl", "-config", "config", "-keyfile", &key, "-cert", &cert, "-out", &crl];
        assert!(openssl(pki.dir(), &make));
    }
    for (leaf, crl, exit) in [
        ("tls.crt", None, Exit::Ok),
        ("tls.crt", Some("other.crl"), Exit::Ok),
        ("tls.crt", Some("ca.crl"), Exit::No),
        ("server.crt", Some("ca.crl"), Exit::No),
    ] {
        let dir = leaf_directory(&pki, &format!("{leaf}-{}", crl.unwrap_or("none")), leaf, crl);
        let responder = Responder::start(pki.dir(), "delegate", &["-ndays", "1"]);
        let (got, lines) = ocsp(&["--url", &responder.url, &dir]);
        assert_eq!(got, exit, "{leaf} {crl:?} {lines:?}");
        if exit == Exit::No {
            assert!(finding(&lines).unwrap().1.contains("its certificate is revoked"), "{lines:?}");
        }
    }
}

#[test]
fn a_responder_with_several_certificates_is_accepted_by_the_authorized_one() {
    let Some(pki) = Pki::make() else { return };
    std::fs::write(pki.path("ext"), "extendedKeyUsage=serverAuth\n").unwrap();
    std::fs::copy(pki.path("delegate.key"), pki.path("twin.key")).unwrap();
    let sign = ["x509", "-req", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "20", "-extfile", "ext"];
    let files = ["-set_serial", "5", "-in", "delegate.csr", "-out", "twin.pem"];
    assert!(openssl(pki.dir(), &[&sign[..], &files].concat()));
    assert_eq!(pki.ask("good", "twin", &["-ndays", "1"]).0, Exit::No);
    let (exit, lines) = pki.ask("good", "twin", &["-ndays", "1", "-rother", "delegate.pem"]);
    assert_eq!((exit, finding(&lines)), (Exit::Ok, None));
}

#[test]
fn ocsp_responses_without_a_valid_signature_are_rejected() {
    let Some(pki) = Pki::make() else { return };
    // A leaf of the same CA that is not for OCSP, and a signature that does not hold.
    let (exit, lines) = pki.ask("revoked", "good", &["-ndays", "1"]);
    assert_eq!(exit, Exit::No);
    assert!(finding(&lines).unwrap().1.contains("not for OCSPSigning"), "{lines:?}");
    let (exit, lines) = pki.ask("good", "ca", &["-ndays", "1", "-badsig"]);
    assert_eq!(exit, Exit::No);
    assert!(finding(&lines).unwrap().1.contains("not signed by the key"), "{lines:?}");
    // An answer to somebody else's question, played again: its nonce is not ours.
    let request = ["-issuer", "ca.pem", "-cert", "revoked.pem", "-reqout", "req", "-respout", "resp"];
    let index = ["-index", "index", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key", "-ndays", "1"];
    assert!(openssl(pki.dir(), &[&["ocsp"], &request[..], &index].concat()));
    let (exit, lines) = replay(&pki, &std::fs::read(pki.path("resp")).unwrap());
    assert_eq!(exit, Exit::No);
    assert!(finding(&lines).unwrap().1.contains("another request"), "{lines:?}");
    // Made in advance, without a nonce, but in force: RFC 5019.
    assert!(openssl(pki.dir(), &[&["ocsp", "-no_nonce"], &request[..], &index].concat()));
    let (exit, lines) = replay(&pki, &std::fs::read(pki.path("resp")).unwrap());
    assert_eq!((exit, finding(&lines).unwrap().0), (Exit::No, "revoked"));
    // Neither nonce nor end.
    assert!(openssl(pki.dir(), &[&["ocsp", "-no_nonce"], &request[..], &index[..8]].concat()));
    let (exit, lines) = replay(&pki, &std::fs::read(pki.path("resp")).unwrap());
    assert_eq!(exit, Exit::No);
    assert!(finding(&lines).unwrap().1.contains("neither nextUpdate"), "{lines:?}");
}

#[test]
fn malformed_ocsp_responses_are_never_good() {
    let Some(pki) = Pki::make() else { return };
    let try_later = [0x30, 3, 0x0a, 1, 3];
    assert_eq!(replay(&pki, &try_later).0, Exit::Failed);
    for garbage in [&b""[..], b"<html>", &[0x30, 3, 0x0a, 1, 0], &[0x30; 2000]] {
        let (exit, lines) = replay(&pki, garbage);
        assert_eq!((exit, finding(&lines).unwrap().0), (Exit::No, "ocsp-answer"), "{garbage:?}");
    }
    let path = |name: &str| pki.path(name).to_str().unwrap().to_owned();
    let (exit, lines) = ocsp(&["--issuer", &path("ca.pem"), &path("good.pem")]);
    assert_eq!((exit, finding(&lines)), (Exit::Failed, None));
}

#[test]
fn nagios_output_names_the_failure_without_the_password() {
    let Some(pki) = Pki::make() else { return };
    let path = |name: &str| pki.path(name).to_str().unwrap().to_owned();
    let nagios = |url: &str| {
        let args = ["--format", "nagios", "ocsp", "--timeout", "10", "--url", url, "--issuer"];
        command::certck(&[&args[..], &[&path("ca.pem"), &path("good.pem")]].concat())
    };
    // What cannot be believed is a verdict on one certificate.
    let server = answering(b"<html>");
    let (exit, text) = nagios(&server.replace("http://", "http://bob:hunter2@"));
    assert_eq!(exit, Exit::Failed, "critical: {text}");
    assert!(text.starts_with("CERTCK CRITICAL: ") && text.contains("in 1 certificate"), "{text}");
    // Who is not there says nothing.
    let (exit, text) = nagios("http://bob:hunter2@127.0.0.1:1/");
    assert_eq!(exit, Exit::Unknown);
    assert!(text.contains("good.pem: CN=good: http://***@127.0.0.1:1/: "), "{text}");
    let server = answering(b"<html>").replace("http://", "http://bob:hunter2@");
    let (_, lines) = ocsp(&["--issuer", &path("ca.pem"), "--url", &server, &path("good.pem")]);
    assert!(finding(&lines).unwrap().1.contains("***@") && !format!("{lines:?}").contains("hunter2"));
    let server = Responder::start(pki.dir(), "ca", &["-ndays", "1"]);
    let url = server.url.replace("http://", "http://bob:hunter2@");
    let (exit, lines) = ocsp(&["--issuer", &path("ca.pem"), "--url", &url, &path("good.pem")]);
    assert!(exit == Exit::Ok && !format!("{lines:?}").contains("hunter2"), "{lines:?}");
}

/// A server that answers one question with these bytes, whatever it is asked.
fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        request_of(&mut stream);
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
        let _ = stream.write_all(&[head.as_bytes(), answer].concat());
    });
    url
}

/// Asks about the revoked leaf at a server that answers with these bytes, whatever it is asked.
fn replay(pki: &Pki, answer: &[u8]) -> (Exit, Vec<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let answer = answer.to_vec();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        request_of(&mut stream);
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
        let _ = stream.write_all(&[head.as_bytes(), &answer].concat());
    });
    let path = |name: &str| pki.path(name).to_str().unwrap().to_owned();
    let result = ocsp(&["--issuer", &path("ca.pem"), "--url", &url, &path("revoked.pem")]);
    server.join().unwrap();
    result
}

/// Reads a request with a Content-Length to its end.
fn request_of(stream: &mut TcpStream) {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    assert_eq!(body.first(), Some(&0x30), "a request in DER");
}

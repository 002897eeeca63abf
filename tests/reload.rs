//! The daemon takes certificates and revocation lists that change while it runs, and nothing that must not serve.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

mod harness;

use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use common::pki::{LoadOptions, MinVersion, MtlsDir, Role};
use common::rpc::frame;
use harness::{Deployment, eventually, kill, run};
use rustix::process::Signal;
use tokio_rustls::rustls::{ClientConnection, StreamOwned};

fn certs(d: &Deployment, name: &str) -> PathBuf {
    d.dir.path().join("certs").join(name)
}

fn revoke_the_client(d: &Deployment) {
    let (ca, leaf) = (certs(d, "ca"), certs(d, "client_certs").join("client.crt"));
    let to = certs(d, "server_certs");
    run("certck", &["revoke".as_ref(), ca.as_os_str(), leaf.as_os_str(), "--to".as_ref(), to.as_os_str()])
        .expect(0);
}

#[test]
fn a_client_that_was_revoked_is_refused_without_a_restart() {
    let d = Deployment::with_tls();
    d.profctl(&["version"]).expect(0);
    revoke_the_client(&d);
    let refused = eventually("the list is taken", || {
        let done = d.profctl(&["version"]);
        (done.status != Some(0)).then_some(done)
    });
    assert_eq!(refused.status, Some(2), "{refused:?}");
    assert!(refused.stderr.to_lowercase().contains("revoked"), "{}", refused.stderr);
}

/// A connection that stays open, and asks again.
struct OpenConnection(StreamOwned<ClientConnection, TcpStream>);

impl OpenConnection {
    fn new(d: &Deployment) -> Self {
        let dir = MtlsDir::load(&certs(d, "client_certs"), Role::Client, &LoadOptions::now()).unwrap();
        let config = std::sync::Arc::new(dir.client_config(MinVersion::Tls13).unwrap());
        let connection = ClientConnection::new(config, "localhost".try_into().unwrap()).unwrap();
        let tcp = TcpStream::connect(("127.0.0.1", d.port)).unwrap();
        tcp.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        Self(StreamOwned::new(connection, tcp))
    }

    /// Sends a request, and reads the next frame: its reply, or why the connection is closed.
    fn ask(&mut self) -> Option<serde_json::Value> {
        let _ = self.0.write_all(&frame::encode(br#"{"fn":"getVersion"}"#).unwrap());
        self.read()
    }

    fn read(&mut self) -> Option<serde_json::Value> {
        let mut prefix = [0; frame::PREFIX];
        self.0.read_exact(&mut prefix).ok()?;
        let mut body = vec![0; frame::length(prefix, frame::MAX_REPLY).unwrap()];
        self.0.read_exact(&mut body).ok()?;
        serde_json::from_slice(&body).ok()
    }
}

#[test]
fn a_client_that_was_revoked_loses_its_open_connection() {
    let d = Deployment::with_tls();
    let (mut asking, mut idle) = (OpenConnection::new(&d), OpenConnection::new(&d));
    assert!(asking.ask().unwrap()["version"].is_string() && idle.ask().unwrap()["version"].is_string());
    revoke_the_client(&d);
    // One that says nothing is told why it is closed.
    let told = idle.read().expect("a reason");
    assert_eq!(told["error"]["code"], "certificate", "{told}");
    assert!(told["error"]["message"].as_str().unwrap().contains("Revoked"), "{told}");
    assert!(idle.read().is_none());
    let refused = eventually("the other one is closed as well", || match asking.ask() {
        Some(reply) if reply["version"].is_string() => None,
        other => Some(other),
    });
    assert!(refused.is_none_or(|reply| reply["error"]["code"] == "certificate"));
}

#[test]
fn an_open_connection_survives_a_reload_that_does_not_concern_it() {
    let d = Deployment::with_tls();
    let mut open = OpenConnection::new(&d);
    open.ask().unwrap();
    kill(d.daemon.pid(), Signal::HUP);
    for _ in 0..20 {
        assert!(open.ask().unwrap()["version"].is_string());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Who can write the directory, for example the training user, copies the files of an authority of his own into it.
#[test]
fn a_new_trust_root_is_not_taken_by_a_reload() {
    let d = Deployment::with_tls();
    let theirs = d.dir.path().join("theirs");
    run("certck", &["mint".as_ref(), theirs.as_os_str()]).expect(0);
    for name in ["ca.crl", "server.key", "server.crt", "ca.crt"] {
        let next = certs(&d, "server_certs").join(format!("{name}.new"));
        std::fs::copy(theirs.join("server_certs").join(name), &next).unwrap();
        std::fs::rename(&next, certs(&d, "server_certs").join(name)).unwrap();
    }
    let failed = eventually("the reload has failed", || {
        let status = d.profctl(&["--format", "json", "status"]);
        status.of_type("profctl.status")[0]["certificates"]["reload_error"]
            .as_str()
            .filter(|reason| reason.contains("new trust root"))
            .map(str::to_owned)
    });
    assert!(failed.contains("SHA-256") && failed.contains("--accept-new-roots"), "{failed}");
    let port = d.port.to_string();
    let stranger = theirs.join("client_certs");
    let args =
        ["--hostname", "127.0.0.1", "--port", &port, "--certs-dir", stranger.to_str().unwrap(), "version"];
    run("profctl", &args).expect(2);
}

#[test]
fn a_hangup_asks_for_it_at_once_where_there_is_no_terminal() {
    if std::fs::File::open("/dev/tty").is_ok() {
        return testkit::skip("this process has a terminal, whose hang-up ends the daemon");
    }
    let d = Deployment::with_tls();
    revoke_the_client(&d);
    kill(d.daemon.pid(), Signal::HUP);
    eventually("the list is taken", || (d.profctl(&["version"]).status == Some(2)).then_some(()));
}

#[test]
fn a_renewed_certificate_is_served_and_open_connections_stay() {
    let d = Deployment::with_tls();
    let chain = || {
        let args = ["--format", "json", "probe", "--certs-dir"].map(std::ffi::OsStr::new);
        let (dir, at) = (certs(&d, "client_certs"), format!("127.0.0.1:{}", d.port));
        let probe = run("certck", &[&args[..], &[dir.as_os_str(), at.as_ref()]].concat()).expect(0);
        probe.of_type("certck.probe")[0]["accepted"].clone()
    };
    assert_eq!(chain(), true);
    let before = std::fs::read(certs(&d, "server_certs").join("server.crt")).unwrap();
    run(
        "certck",
        &["mint".as_ref(), "renew".as_ref(), "--all".as_ref(), d.dir.path().join("certs").as_os_str()],
    )
    .expect(0);
    assert_ne!(std::fs::read(certs(&d, "server_certs").join("server.crt")).unwrap(), before);
    // The first list of a renewed authority has another number; the daemon and the client agree on either.
    d.profctl(&["version"]).expect(0);
    match testkit::find("openssl") {
        Ok(_) => drop(eventually("the new certificate is shown", || shown(&d).filter(|s| *s == serial(&d)))),
        Err(reason) => testkit::skip_part(reason),
    }
    assert_eq!(chain(), true);
}

/// Without its list, the daemon would serve again whom the list revokes.
#[test]
fn a_list_that_is_lost_brings_nobody_back() {
    let mut d = Deployment::with_tls();
    let before = std::fs::read(certs(&d, "server_certs").join("ca.crl")).unwrap();
    revoke_the_client(&d);
    eventually("the list is taken", || (d.profctl(&["version"]).status == Some(2)).then_some(()));
    let list = certs(&d, "server_certs").join("ca.crl");
    let log = d.log();
    std::fs::remove_file(&list).unwrap();
    log.says("is missing");
    assert_eq!(d.profctl(&["version"]).status, Some(2));
    // Nor does an older one.
    std::fs::write(&list, before).unwrap();
    std::fs::set_permissions(&list, Permissions::from_mode(0o600)).unwrap();
    log.says("is older");
    assert_eq!(d.profctl(&["version"]).status, Some(2));
}

/// The serial number in the certificate that the daemon shows, by `openssl s_client`.
fn shown(d: &Deployment) -> Option<String> {
    let script = format!(
        "openssl s_client -connect 127.0.0.1:{} </dev/null 2>/dev/null | openssl x509 -noout -serial",
        d.port
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn serial(d: &Deployment) -> String {
    let leaf = certs(d, "server_certs").join("server.crt");
    let show =
        run("certck", &["--format".as_ref(), "json".as_ref(), "show".as_ref(), leaf.as_os_str()]).expect(0);
    let serial = show.of_type("certck.certificate")[0]["serial"].as_str().unwrap().to_uppercase();
    format!("serial={}", serial.trim_start_matches("00"))
}

#[test]
fn what_must_not_serve_is_not_taken() {
    let mut d = Deployment::with_tls();
    let log = d.log();
    let key = certs(&d, "server_certs").join("server.key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o666)).unwrap();
    log.says("the former certificates stay in use");
    log.says("0666");
    d.profctl(&["version"]).expect(0);
    assert_eq!(d.daemon.terminate(), Some(0));
}

/// Something that is wrong in the daemon's directory, and the words by which it is reported.
type Fault = (&'static str, fn(&Deployment), &'static str);

/// Each keeps the directory from being loaded as a whole.
const FAULTS: [Fault; 10] = [
    (
        "a copy of the key",
        |d| {
            std::fs::copy(server(d, "server.key"), server(d, "server.key.bak")).unwrap();
        },
        "server.key.bak",
    ),
    ("a file that others can read", |d| chmod(&server(d, "server.crt"), 0o644), "0644"),
    ("a directory that others can enter", |d| chmod(&certs(d, "server_certs"), 0o755), "0755"),
    (
        "an old root that has expired",
        |d| {
            let old = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/expired-root.crt");
            append(&server(d, "ca.crt"), &std::fs::read_to_string(old).unwrap());
        },
        "expired at 2026-01-01",
    ),
    ("a key that is gone", |d| std::fs::remove_file(server(d, "server.key")).unwrap(), "server.key"),
    ("a leaf that is gone", |d| std::fs::remove_file(server(d, "server.crt")).unwrap(), "server.crt"),
    (
        "a leaf that is not a certificate",
        |d| std::fs::write(server(d, "server.crt"), "x").unwrap(),
        "server.crt",
    ),
    ("a root that is cut", |d| std::fs::write(server(d, "ca.crt"), "-----BEGIN CERT").unwrap(), "ca.crt"),
    (
        "a directory in it",
        |d| {
            std::fs::create_dir(server(d, "old")).unwrap();
            std::fs::copy(server(d, "server.key"), server(d, "old/server.key")).unwrap();
        },
        "old",
    ),
    (
        "a leaf that is revoked too",
        |d| {
            let (ca, leaf, to) = (certs(d, "ca"), server(d, "server.crt"), certs(d, "server_certs"));
            let done =
                run("certck", &[os("revoke"), ca.as_ref(), leaf.as_ref(), os("--to"), to.as_ref()]).expect(1);
            assert!(done.stdout.contains("revoked"), "{}", done.stdout);
        },
        "revoked",
    ),
];

fn os(text: &str) -> &std::ffi::OsStr {
    text.as_ref()
}

fn server(d: &Deployment, name: &str) -> PathBuf {
    certs(d, "server_certs").join(name)
}

fn chmod(path: &std::path::Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn append(path: &std::path::Path, text: &str) {
    let before = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, before + text).unwrap();
}

/// A second client, who is not revoked.
fn status_by_another(d: &Deployment) -> serde_json::Value {
    let (ca, dir) = (certs(d, "ca"), certs(d, "bob"));
    if !dir.exists() {
        run("certck", &[os("mint"), os("leaf"), ca.as_ref(), dir.as_ref(), os("--role"), os("client")])
            .expect(0);
    }
    let port = d.port.to_string();
    let at = ["--hostname", "127.0.0.1", "--port", &port, "--format", "json", "status"].map(os);
    let status = run("profctl", &[&[os("--certs-dir"), dir.as_ref()], &at[..]].concat());
    let certificates = status.of_type("profctl.status")[0]["certificates"].clone();
    let is_degraded =
        ["reload_error", "problems", "declined_crls"].iter().any(|key| !certificates[key].is_null());
    assert_eq!(status.status, Some(i32::from(is_degraded)), "{status:?}");
    certificates
}

#[test]
fn a_revocation_arrives_whatever_else_is_wrong_in_the_directory() {
    std::thread::scope(|scope| {
        for fault in &FAULTS {
            scope.spawn(|| a_revocation_arrives_despite(fault));
        }
    });
}

fn a_revocation_arrives_despite((what, make, words): &Fault) {
    let mut d = Deployment::with_tls();
    let log = d.log();
    let bob = status_by_another(&d);
    assert_eq!((&bob["crls"][0]["number"], &bob["reload_error"]), (&"01".into(), &serde_json::Value::Null));
    make(&d);
    log.says("reload failed, the former certificates stay in use");
    d.profctl(&["version"]).expect(0);

    let (ca, leaf, to) =
        (certs(&d, "ca"), certs(&d, "client_certs").join("client.crt"), certs(&d, "server_certs"));
    let revoke = run("certck", &[os("revoke"), ca.as_ref(), leaf.as_ref(), os("--to"), to.as_ref()]);
    let revoke = revoke.expect(1);
    assert!(revoke.stdout.contains(words), "{what}: {}", revoke.stdout);
    assert!(
        revoke.stdout.contains("a running profd takes the new CRL and nothing else"),
        "{}",
        revoke.stdout
    );
    let refused = eventually(what, || {
        let done = d.profctl(&["version"]);
        (done.status != Some(0)).then_some(done)
    });
    assert!(refused.stderr.to_lowercase().contains("revoked"), "{what}: {}", refused.stderr);
    if !words.contains("revoked") {
        let bob = status_by_another(&d);
        assert_eq!(
            (&bob["crls"][0]["number"], &bob["crls"][0]["revoked"]),
            (&"02".into(), &1.into()),
            "{what}"
        );
        assert!(bob["reload_error"].is_string(), "{what}: {bob}");
    }
}

/// What is made good without a file being changed, or in any order, is taken in the end.
#[test]
fn a_fault_that_is_fixed_ends_the_failure() {
    let mut d = Deployment::with_tls();
    let log = d.log();
    std::fs::copy(server(&d, "server.key"), server(&d, "server.key.bak")).unwrap();
    log.says("reload failed");
    assert!(status_by_another(&d)["reload_failed_at"].is_string());
    std::fs::remove_file(server(&d, "server.key.bak")).unwrap();
    log.says("certificates reloaded");
    assert!(status_by_another(&d)["reload_failed_at"].is_null());
}

/// A state of the daemon's directory, and the words by which the status tells it.
type State = (&'static str, fn(&Deployment), &'static str);

const STATES: [State; 8] = [
    ("a CRL that is gone", |d| std::fs::remove_file(server(d, "ca.crl")).unwrap(), "is missing"),
    ("a CRL that is cut", |d| halve(&server(d, "ca.crl")), "ca.crl"),
    ("a chain that is half written", |d| halve(&server(d, "server.crt")), "server.crt"),
    (
        "a key of another certificate",
        |d| copy(&certs(d, "client_certs/client.key"), &server(d, "server.key")),
        "key",
    ),
    (
        "a directory that is gone",
        |d| std::fs::rename(certs(d, "server_certs"), certs(d, "elsewhere")).unwrap(),
        "does not exist",
    ),
    (
        "a file in its place",
        |d| {
            std::fs::rename(certs(d, "server_certs"), certs(d, "elsewhere")).unwrap();
            std::fs::write(certs(d, "server_certs"), "x").unwrap();
        },
        "not a directory",
    ),
    (
        "a renewed certificate with an old CRL",
        |d| {
            let (old, pki) = (std::fs::read(server(d, "ca.crl")).unwrap(), certs(d, ""));
            run(
                "certck",
                &[os("crl"), os("new"), pki.as_ref(), os("--to"), certs(d, "server_certs").as_ref()],
            )
            .expect(0);
            status_until(d, |status| status["crls"][0]["number"] == "02");
            run(
                "certck",
                &[os("mint"), os("renew"), os("--all"), pki.as_ref(), certs(d, "server_certs").as_ref()],
            )
            .expect(0);
            std::fs::write(server(d, "ca.crl"), old).unwrap();
        },
        "is older",
    ),
    (
        "links that lead nowhere",
        |d| {
            std::fs::remove_file(server(d, "server.key")).unwrap();
            std::os::unix::fs::symlink("nowhere", server(d, "server.key")).unwrap();
        },
        "server.key",
    ),
];

fn halve(path: &std::path::Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::write(to, std::fs::read(from).unwrap()).unwrap();
}

fn status_until(d: &Deployment, is_met: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    eventually("the status", || Some(status_by_another(d)).filter(|status| is_met(status)))
}

/// Whatever becomes of the directory, its clients are served as before, the status says what is wrong, and it is over as
/// soon as the directory is good again.
#[test]
fn the_status_tells_every_state_of_the_directory() {
    std::thread::scope(|scope| {
        for (what, make, words) in &STATES {
            scope.spawn(move || {
                let d = Deployment::with_tls();
                status_by_another(&d);
                make(&d);
                let failed = status_until(&d, |status| status["reload_error"].is_string());
                let reason = failed["reload_error"].as_str().unwrap();
                assert!(reason.contains(words), "{what}: {reason}");
                d.profctl(&["version"]).expect(0);
                let human = d.profctl(&["status"]).expect(1);
                assert!(human.stdout.contains("certificates: reload failed"), "{what}: {}", human.stdout);
                // A good directory of the same authority in its place.
                let good = certs(&d, "good");
                let (ca, old) = (certs(&d, "ca"), certs(&d, "server_certs"));
                let args = ["mint", "leaf", "--role", "server", "--host", "localhost", "--host", "127.0.0.1"]
                    .map(os);
                run("certck", &[&args[..], &[ca.as_ref(), good.as_ref()]].concat()).expect(0);
                let _ = std::fs::rename(&old, certs(&d, "bad"));
                std::fs::rename(good, old).unwrap();
                status_until(&d, |status| status["reload_error"].is_null());
            });
        }
    });
}

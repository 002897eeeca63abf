//! The daemon takes certificates and revocation lists that change while it runs, and nothing that must not serve.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test program")]

mod harness;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use harness::{Deployment, eventually, kill, run};
use rustix::process::Signal;

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
    log.says("is lost");
    assert_eq!(d.profctl(&["version"]).status, Some(2));
    // Nor does an older one.
    std::fs::write(&list, before).unwrap();
    std::fs::set_permissions(&list, Permissions::from_mode(0o600)).unwrap();
    log.says("is an older one");
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
    log.says("the former certificates go on");
    log.says("0666");
    d.profctl(&["version"]).expect(0);
    assert_eq!(d.daemon.terminate(), Some(0));
}

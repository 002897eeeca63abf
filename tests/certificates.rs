//! Certificates over their life in a running deployment: a root replaced, a CRL that expires, volumes of Kubernetes, and
//! programs that ask `certck` line by line.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod harness;

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use harness::{Deployment, Done, bin, command, eventually, finish, run};
use serde_json::{Value, json};

fn certck(args: &[&str]) -> Done {
    run("certck", args)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The status of a daemon as `profctl status` tells it, and the exit status.
fn status(d: &Deployment) -> (Value, Option<i32>) {
    let done = d.profctl(&["--format", "json", "status"]);
    (done.of_type("profctl.status").first().map_or(Value::Null, |s| s["certificates"].clone()), done.status)
}

/// A root is replaced under a running daemon, and a good client is never refused.
#[test]
fn a_rollover_refuses_no_good_client() {
    let d = Deployment::start(true, &["--accept-new-roots"]);
    let pki = d.dir.path().join("certs");
    // Somebody else's directory, which is not renewed.
    let stale = d.dir.path().join("stale");
    certck(&["mint", "leaf", text(&pki), text(&stale), "--role", "client", "--name", "stale"]).expect(0);
    let (stop, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                d.profctl(&["version"]).expect(0);
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        let guard = StopOnDrop(&stop);
        let leaf = status(&d).0["leaf"]["serial"].clone();
        certck(&["mint", "rollover", "begin", text(&pki)]).expect(0);
        eventually("both roots are trusted", || {
            (status(&d).0["roots"].as_array().unwrap().len() == 2).then_some(())
        });
        // Run again, it changes nothing that is done.
        certck(&["mint", "rollover", "begin", text(&pki)]).expect(0);
        certck(&["mint", "rollover", "renew", text(&pki)]).expect(0);
        eventually("the new certificate is presented", || {
            (status(&d).0["leaf"]["serial"] != leaf).then_some(())
        });
        let left = certck(&["mint", "rollover", "finish", text(&pki)]).expect(2);
        assert!(left.stderr.contains("stale"), "{}", left.stderr);
        certck(&["mint", "rollover", "finish", text(&pki), "--force"]).expect(0);
        eventually("only the new root is trusted", || {
            let certificates = status(&d).0;
            let counts =
                [&certificates["roots"], &certificates["crls"]].map(|list| list.as_array().unwrap().len());
            (counts == [1, 1]).then_some(())
        });
        drop(guard);
        asking.join().unwrap();
    });
    assert!(asked.load(Ordering::Relaxed) > 3, "the client asked all the while");
    let args =
        ["--hostname", "127.0.0.1", "--port", &d.port.to_string(), "--certs-dir", text(&stale), "version"];
    run("profctl", &args).expect(2);
    // The new authority works like the old one.
    certck(&[
        "check",
        text(&pki.join("server_certs")),
        text(&pki.join("client_certs")),
        text(&pki.join("ca")),
    ])
    .expect(0);
    certck(&["mint", "renew", "--all", text(&pki)]).expect(0);
    assert_eq!(std::fs::read_dir(&pki).unwrap().filter(|e| is_old_ca(e.as_ref().unwrap())).count(), 1);
}

fn is_old_ca(entry: &std::fs::DirEntry) -> bool {
    entry.file_name().to_str().unwrap().starts_with("ca.old-")
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn the_steps_of_a_rollover_come_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    certck(&["mint", text(&pki)]).expect(0);
    for step in ["renew", "finish"] {
        let early = certck(&["mint", "rollover", step, text(&pki)]).expect(2);
        assert!(early.stderr.contains("run the step begin first"), "{}", early.stderr);
    }
    let late = dir.path().join("late");
    certck(&["mint", "leaf", text(&pki), text(&late), "--role", "client"]).expect(0);
    certck(&["mint", "rollover", "begin", text(&pki)]).expect(0);
    let (ca, next) = (pki.join("ca"), pki.join("ca.next"));
    let untold = certck(&["mint", "rollover", "renew", text(&pki), text(&late)]).expect(2);
    assert!(untold.stderr.contains("does not trust the new root"), "{}", untold.stderr);
    // Between the steps, both authorities revoke and renew.
    let client = pki.join("client_certs");
    certck(&["mint", "renew", "--all", text(&pki)]).expect(0);
    certck(&["crl", "new", text(&next), "--to", text(&client)]).expect(0);
    certck(&["revoke", text(&ca), text(&late.join("client.crt")), "--to", text(&client)]).expect(0);
    certck(&["check", text(&client), text(&pki.join("server_certs"))]).expect(0);
    let unfinished = certck(&["mint", "rollover", "finish", text(&pki)]).expect(2);
    assert!(unfinished.stderr.contains("by the old root"), "{}", unfinished.stderr);
    certck(&["mint", "rollover", "renew", text(&pki)]).expect(0);
    certck(&["mint", "rollover", "finish", text(&pki)]).expect(0);
    assert!(!next.exists());
    certck(&["check", text(&client), text(&ca)]).expect(0);
}

/// A CRL that ends while the daemon runs: its clients are refused, and both ends say why.
#[test]
fn a_crl_that_expires_is_named_as_the_cause() {
    let openssl = match testkit::find("openssl") {
        Ok(openssl) => openssl,
        Err(reason) => return testkit::skip(reason),
    };
    let mut d = Deployment::with_tls();
    let log = d.log();
    d.profctl(&["version"]).expect(0);
    let (ca, crl) = (d.dir.path().join("certs/ca"), d.dir.path().join("certs/server_certs/ca.crl"));
    let work = d.dir.path().join("openssl");
    std::fs::create_dir(&work).unwrap();
    let config = "[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\n";
    std::fs::write(work.join("ca.conf"), config).unwrap();
    std::fs::write(work.join("index.txt"), "").unwrap();
    std::fs::write(work.join("number"), "05\n").unwrap();
    let mut make = Command::new(openssl);
    make.args(["ca", "-config", "ca.conf", "-gencrl", "-crlsec", "3", "-crlexts", "x", "-out", "new.crl"]);
    make.args(["-keyfile", text(&ca.join("ca.key")), "-cert", text(&ca.join("ca.crt"))]).current_dir(&work);
    std::fs::write(work.join("ca.conf"), format!("{config}[x]\nauthorityKeyIdentifier=keyid\n")).unwrap();
    finish(make.stdin(Stdio::null())).expect(0);
    let new = std::fs::read(work.join("new.crl")).unwrap();
    std::fs::write(crl.with_extension("new"), new).unwrap();
    std::fs::set_permissions(crl.with_extension("new"), Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(crl.with_extension("new"), &crl).unwrap();
    log.says("CRL 05");
    let refused = eventually("the CRL expires", || {
        let done = d.profctl(&["version"]);
        (done.status != Some(0)).then_some(done)
    });
    assert_eq!(refused.status, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("its CRL has expired"), "{}", refused.stderr);
    assert!(refused.stderr.contains("certck crl fetch"), "{}", refused.stderr);
    log.says("clients of this CA are rejected until a newer one is there");
    log.says("no client of this CA can be verified");
}

/// Puts the files of a certificate directory into a volume as the kubelet does, and returns the volume.
fn volume(from: &Path, role: &str, at: &Path, version: &str) -> PathBuf {
    let data = at.join(version);
    std::fs::create_dir_all(&data).unwrap();
    let names = [
        ("ca.crt", "ca.crt".to_owned()),
        ("tls.crt", format!("{role}.crt")),
        ("tls.key", format!("{role}.key")),
    ];
    for (name, file) in &names {
        std::fs::copy(from.join(file), data.join(name)).unwrap();
        std::fs::set_permissions(data.join(name), Permissions::from_mode(0o400)).unwrap();
        let _ = symlink(Path::new("..data").join(name), at.join(name));
    }
    symlink(version, at.join("..data_tmp")).unwrap();
    std::fs::rename(at.join("..data_tmp"), at.join("..data")).unwrap();
    std::fs::set_permissions(at, Permissions::from_mode(0o700)).unwrap();
    at.to_owned()
}

#[test]
fn secrets_of_kubernetes_are_read_and_reloaded() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    certck(&["mint", text(&pki)]).expect(0);
    let server = volume(&pki.join("server_certs"), "server", &dir.path().join("server"), "..2026_01");
    let client = volume(&pki.join("client_certs"), "client", &dir.path().join("client"), "..2026_01");
    let checked = certck(&["check", text(&server), text(&client)]).expect(0);
    for words in ["server (server): valid", "client (client): valid"] {
        assert!(checked.stdout.contains(words), "{}", checked.stdout);
    }
    let below = certck(&["check", "-r", text(dir.path())]).expect(0);
    assert_eq!(below.stdout.matches(": valid").count(), 4, "{}", below.stdout);
    let mut daemon = command("profd");
    daemon.args(["--port", "0", "--bind", "127.0.0.1", "--format", "json", "--certs-dir", text(&server)]);
    let mut daemon = daemon.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let port = harness::port(&serde_json::from_str(&ready).unwrap()).to_string();
    let ask = || {
        let args = ["--hostname", "127.0.0.1", "--port", &port, "--certs-dir", text(&client)];
        let done = run("profctl", &[&args[..], &["--format", "json", "status"]].concat()).expect(0);
        done.of_type("profctl.status")[0]["certificates"]["leaf"]["serial"].clone()
    };
    let before = ask();
    // cert-manager renews the secret; the kubelet exchanges the link.
    certck(&["mint", "renew", "--all", text(&pki)]).expect(0);
    volume(&pki.join("server_certs"), "server", &server, "..2026_02");
    eventually("the renewed certificate is presented", || (ask() != before).then_some(()));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    // What others may read is said in the words of the pod.
    let key = client.join("..2026_01/tls.key");
    std::fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let open = certck(&["check", text(&client)]).expect(1);
    assert!(open.stdout.contains("defaultMode: 0400"), "{}", open.stdout);
}

/// A co-process gets each verdict before it writes the next case.
#[test]
fn verify_answers_line_by_line() {
    let mut child = Command::new(bin("certck"))
        .args(["verify", "--format", "json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut cases, mut verdicts) =
        (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
    for id in ["first", "second"] {
        let case =
            json!({"type": "certck.case", "v": 1, "id": id, "kind": "server", "peer": "none", "roots": []});
        writeln!(cases, "{case}").unwrap();
        cases.flush().unwrap();
        let mut line = String::new();
        verdicts.read_line(&mut line).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&line).unwrap()["id"], id);
    }
    drop(cases);
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

//! Certificates over their life in a running deployment: a root replaced, a CRL that expires, volumes of Kubernetes, and
//! programs that ask `certck` line by line.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod harness;

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
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

/// Without a CRL no client is rejected as revoked, so a CRL that the certificates name must not be missing in silence.
#[test]
fn a_missing_crl_that_the_certificates_name_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki");
    certck(&["mint", "--crl-url", "http://ca.example/ca.crl", text(&pki)]).expect(0);
    let server = pki.join("server_certs");
    let check = || run("profd", &["--certs-dir", text(&server), "--check-config"]).expect(0).stderr;
    let complete = check();
    assert!(!complete.contains("there is no ca.crl"), "{complete}");
    std::fs::remove_file(server.join("ca.crl")).unwrap();
    let warned = check();
    assert!(warned.contains("there is no ca.crl") && warned.contains("http://ca.example/ca.crl"), "{warned}");
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

/// Puts a CRL with the number 5 into the daemon's directory, valid for `seconds`, with more extensions.
fn install_crl(d: &Deployment, openssl: &Path, seconds: &str, extensions: &str) {
    let (ca, crl) = (d.dir.path().join("certs/ca"), d.dir.path().join("certs/server_certs/ca.crl"));
    let work = d.dir.path().join("openssl");
    std::fs::create_dir(&work).unwrap();
    let config = "[ca]\ndefault_ca=c\n[c]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\n";
    std::fs::write(work.join("ca.conf"), config).unwrap();
    std::fs::write(work.join("index.txt"), "").unwrap();
    std::fs::write(work.join("number"), "05\n").unwrap();
    let mut make = Command::new(openssl);
    make.args([
        "ca", "-config", "ca.conf", "-gencrl", "-crlsec", seconds, "-crlexts", "x", "-out", "new.crl",
    ]);
    make.args(["-keyfile", text(&ca.join("ca.key")), "-cert", text(&ca.join("ca.crt"))]).current_dir(&work);
    std::fs::write(work.join("ca.conf"), format!("{config}[x]\nauthorityKeyIdentifier=keyid\n{extensions}"))
        .unwrap();
    finish(make.stdin(Stdio::null())).expect(0);
    let new = std::fs::read(work.join("new.crl")).unwrap();
    std::fs::write(crl.with_extension("new"), new).unwrap();
    std::fs::set_permissions(crl.with_extension("new"), Permissions::from_mode(0o600)).unwrap();
    std::fs::rename(crl.with_extension("new"), &crl).unwrap();
}

/// A CRL that does not cover the client's certificate: both ends say that the CRL is the cause, and the state has it.
#[test]
fn a_crl_for_other_certificates_is_named_as_the_cause() {
    let openssl = match testkit::find("openssl") {
        Ok(openssl) => openssl,
        Err(reason) => return testkit::skip(reason),
    };
    let mut d = Deployment::with_tls();
    let log = d.log();
    d.profctl(&["version"]).expect(0);
    let point = "issuingDistributionPoint=critical,@idp\n[idp]\nfullname=URI:http://pki.example/other.crl\n";
    install_crl(&d, &openssl, "86400", point);
    log.says("CRL 05");
    let refused = d.profctl(&["version"]).expect(2);
    assert!(refused.stderr.contains("does not cover the certificate"), "{}", refused.stderr);
    log.says("revocation status of the certificate cannot be determined: CN=");
    log.says("does not cover the daemon's own certificate");
    assert_eq!(log.count("OtherError"), 0);
}

/// A CRL that expires while the daemon runs: its clients are rejected, and both ends say why.
#[test]
fn a_crl_that_expires_is_named_as_the_cause() {
    let openssl = match testkit::find("openssl") {
        Ok(openssl) => openssl,
        Err(reason) => return testkit::skip(reason),
    };
    let mut d = Deployment::with_tls();
    let log = d.log();
    d.profctl(&["version"]).expect(0);
    install_crl(&d, &openssl, "3", "");
    log.says("CRL 05");
    let refused = eventually("the CRL expires", || {
        let done = d.profctl(&["version"]);
        (done.status != Some(0)).then_some(done)
    });
    assert_eq!(refused.status, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("its CRL of this CA has expired"), "{}", refused.stderr);
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

/// A daemon with a certificate directory, ended when dropped.
struct ServingDaemon {
    child: Child,
    port: String,
}

impl ServingDaemon {
    fn start(certs_dir: &Path) -> Self {
        let mut daemon = command("profd");
        daemon.args(["--port", "0", "--bind", "127.0.0.1", "--format", "json"]);
        daemon.args(["--certs-dir", text(certs_dir)]).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = daemon.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let port = harness::port(&serde_json::from_str(&ready).unwrap()).to_string();
        Self { child, port }
    }

    /// Asks with a client that must be let in; the serial number of the daemon's certificate. Where the directory is half
    /// renewed, the daemon is degraded, and says so by an exit status of 1.
    fn ask_serial(&self, client: &Path) -> Value {
        let args = ["--hostname", "127.0.0.1", "--port", &self.port, "--certs-dir", text(client)];
        let done = run("profctl", &[&args[..], &["--format", "json", "status"]].concat());
        assert!(matches!(done.status, Some(0 | 1)), "{}", done.stderr);
        done.of_type("profctl.status")[0]["certificates"]["leaf"]["serial"].clone()
    }
}

impl Drop for ServingDaemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How a program that renews certificates brings new ones into the directory of a daemon; it calls `ask` in between, when
/// the directory is half renewed.
type BringRenewed = fn(from: &Path, to: &Path, ask: &dyn Fn());

/// The files that are renewed, in the order in which they are written.
const RENEWED: [&str; 2] = ["server.crt", "server.key"];

/// The kubelet exchanges the link of a volume (Kubernetes 1.31, pkg/volume/util/atomic_writer.go), for cert-manager.
fn exchange_link(from: &Path, to: &Path, _ask: &dyn Fn()) {
    volume(from, "server", to, "..2026_02");
}

/// The agent of Vault renames each file over the old one (hashicorp/consul-template, renderer/renderer.go, `AtomicWrite`).
fn rename_over(from: &Path, to: &Path, ask: &dyn Fn()) {
    for name in RENEWED {
        let new = to.join(format!("{name}.1234"));
        std::fs::copy(from.join(name), &new).unwrap();
        std::fs::rename(&new, to.join(name)).unwrap();
        ask();
    }
}

/// `step ca renew --force` truncates a file and writes it again (smallstep/cli, utils/write.go, `WriteFile`).
fn write_in_place(from: &Path, to: &Path, ask: &dyn Fn()) {
    for name in RENEWED {
        let content = std::fs::read(from.join(name)).unwrap();
        let mut file = std::fs::File::create(to.join(name)).unwrap();
        ask();
        file.write_all(&content[..content.len() / 2]).unwrap();
        ask();
        file.write_all(&content[content.len() / 2..]).unwrap();
        ask();
    }
}

/// A script removes the old files first, and copies the key last.
fn remove_and_copy(from: &Path, to: &Path, ask: &dyn Fn()) {
    RENEWED.iter().for_each(|name| std::fs::remove_file(to.join(name)).unwrap());
    ask();
    for name in RENEWED {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
        ask();
    }
}

/// However renewed certificates come, they are picked up, and no good client is refused meanwhile.
#[test]
fn renewed_certificates_are_picked_up_from_every_agent() {
    let rows: [(&str, bool, BringRenewed); 4] = [
        ("cert-manager, in a volume", true, exchange_link),
        ("the agent of Vault", false, rename_over),
        ("step ca renew", false, write_in_place),
        ("a script", false, remove_and_copy),
    ];
    for (agent, is_volume, bring) in rows {
        let dir = tempfile::tempdir().unwrap();
        let (pki, served) = (dir.path().join("pki"), dir.path().join("served"));
        certck(&["mint", text(&pki)]).expect(0);
        let (from, client) = (pki.join("server_certs"), pki.join("client_certs"));
        if is_volume {
            volume(&from, "server", &served, "..2026_01");
        } else {
            finish(Command::new("cp").arg("-rp").arg(&from).arg(&served)).expect(0);
        }
        let daemon = ServingDaemon::start(&served);
        let before = daemon.ask_serial(&client);
        certck(&["mint", "renew", "--all", text(&pki)]).expect(0);
        // Long enough for the daemon to look at the directory.
        let ask = || {
            for _ in 0..3 {
                daemon.ask_serial(&client);
                std::thread::sleep(std::time::Duration::from_millis(150));
            }
        };
        bring(&from, &served, &ask);
        eventually(&format!("{agent}: the renewed certificate is presented"), || {
            (daemon.ask_serial(&client) != before).then_some(())
        });
    }
}

#[test]
fn secrets_of_kubernetes_are_read() {
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
    let daemon = ServingDaemon::start(&server);
    daemon.ask_serial(&client);
    drop(daemon);
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

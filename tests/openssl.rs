//! The daemon and the client against OpenSSL: its handshakes, its certificates, its revocation lists.
//!
//! Skipped where the `openssl` command is not on PATH.
#![allow(clippy::unwrap_used, reason = "a test program")]

mod harness;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use harness::{Deployment, Done, command, finish, finish_child, run};

/// A request as the wire has it.
fn frame(json: &str) -> Vec<u8> {
    common::rpc::frame::encode(json.as_bytes()).unwrap()
}

/// Sends a frame through `openssl s_client`; what came back is in `stdout`, lossily.
fn s_client(d: &Deployment, certs: Option<&Path>, more: &[&str]) -> (bool, String, String) {
    let mut client = Command::new("openssl");
    client.args([
        "s_client",
        "-quiet",
        "-verify_quiet",
        "-verify_return_error",
        "-verify_hostname",
        "localhost",
    ]);
    client.args(["-connect", &format!("127.0.0.1:{}", d.port)]).args(more);
    client.arg("-CAfile").arg(d.dir.path().join("certs/client_certs/ca.crt"));
    if let Some(dir) = certs {
        client.arg("-cert").arg(dir.join("client.crt")).arg("-key").arg(dir.join("client.key"));
    }
    let mut child =
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Kept open until the answer has come: s_client ends with its input.
    let mut input = child.stdin.take().unwrap();
    let _ = input.write_all(&frame(r#"{"fn":"getVersion"}"#));
    let reader = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(700));
        drop(input);
    });
    let output = child.wait_with_output().unwrap();
    reader.join().unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (output.status.success(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn openssl_speaks_to_the_daemon() {
    if testkit::require("openssl").is_none() {
        return;
    }
    let d = Deployment::with_tls();
    let certs = d.dir.path().join("certs/client_certs");
    let (_, answer, said) = s_client(&d, Some(&certs), &["-tls1_3"]);
    assert!(answer.contains(r#"{"version":"#), "{answer} {said}");
}

#[test]
fn who_is_not_ours_gets_no_answer() {
    if testkit::require("openssl").is_none() {
        return;
    }
    let d = Deployment::with_tls();
    run("certck", &["mint", d.dir.path().join("other").to_str().unwrap()]).expect(0);
    let ours = d.dir.path().join("certs/client_certs");
    let theirs = d.dir.path().join("other/client_certs");
    let server = d.dir.path().join("certs/server_certs");
    // A server's certificate is no client's, whatever the files are called.
    let swapped = d.dir.path().join("swapped");
    std::fs::create_dir(&swapped).unwrap();
    for (from, to) in [("server.crt", "client.crt"), ("server.key", "client.key")] {
        std::fs::copy(server.join(from), swapped.join(to)).unwrap();
    }
    for (certs, more) in [
        (None, &[][..]),
        (Some(theirs.as_path()), &[]),
        (Some(swapped.as_path()), &[]),
        (Some(ours.as_path()), &["-tls1_2"]),
    ] {
        let (_, answer, said) = s_client(&d, certs, more);
        assert!(!answer.contains("version"), "{certs:?} {more:?}: {answer}");
        assert!(said.contains("alert"), "{certs:?} {more:?}: {said}");
    }
    d.profctl(&["version"]).expect(0);
}

#[test]
fn tls_1_2_by_option_only_and_without_static_rsa() {
    if testkit::require("openssl").is_none() {
        return;
    }
    let d = Deployment::start(true, &["--tls-min", "1.2"]);
    let certs = d.dir.path().join("certs/client_certs");
    let (_, answer, said) = s_client(&d, Some(&certs), &["-tls1_2"]);
    assert!(answer.contains("version"), "{answer} {said}");
    let (_, answer, _) =
        s_client(&d, Some(&certs), &["-tls1_2", "-cipher", "AES128-SHA:AES256-SHA:AES128-GCM-SHA256"]);
    assert!(!answer.contains("version"), "{answer}");
}

/// Runs a shell script in a directory; OpenSSL's own words go into the failure.
fn script(dir: &Path, text: &str) -> Done {
    let mut sh = Command::new("sh");
    sh.arg("-euc").arg(format!("umask 077; {text}")).current_dir(dir).stdin(Stdio::null());
    finish(&mut sh).expect(0)
}

/// An authority with both directories, made by OpenSSL alone: RSA with SHA-256, as operators of the existing
/// parts make them, with or without a revoked client.
fn made_by_openssl(dir: &Path, revoke_client: bool) -> PathBuf {
    let revoke = if revoke_client { "openssl ca -config ca.cnf -revoke client.crt 2>/dev/null" } else { ":" };
    let text = format!(
        r#"
mkdir pki && cd pki && mkdir server_certs client_certs
cat > ca.cnf <<'X'
[ca]
default_ca = d
[d]
database = index.txt
crlnumber = crlnumber
default_md = sha256
default_crl_days = 30
certificate = ca.crt
private_key = ca.key
X
touch index.txt; echo 01 > crlnumber
openssl req -x509 -newkey rsa:3072 -nodes -sha256 -days 90 -subj "/CN=Example CA" -keyout ca.key -out ca.crt \
  -addext "basicConstraints=critical,CA:TRUE" -addext "keyUsage=critical,keyCertSign,cRLSign" 2>/dev/null
leaf() {{
  openssl req -new -newkey rsa:3072 -nodes -sha256 -subj "/CN=$1" -keyout $1.key -out $1.csr 2>/dev/null
  printf '%s\n' "basicConstraints=critical,CA:FALSE" "keyUsage=critical,digitalSignature,keyEncipherment" \
    "extendedKeyUsage=$2" "subjectAltName=DNS:localhost,IP:127.0.0.1" > $1.ext
  openssl x509 -req -in $1.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 60 -sha256 -extfile $1.ext -out $1.crt 2>/dev/null
}}
leaf server serverAuth
leaf client clientAuth
{revoke}
openssl ca -config ca.cnf -gencrl -out ca.crl 2>/dev/null
for side in server client; do cp ca.crt ca.crl $side.crt $side.key ${{side}}_certs/; done
"#
    );
    script(dir, &text);
    dir.join("pki")
}

fn daemon_with(certs: &Path) -> (harness::Guard, u16) {
    let mut daemon = command("profd");
    daemon
        .args(["--port", "0", "--bind", "127.0.0.1", "--format", "json", "--certs-dir"])
        .arg(certs.join("server_certs"));
    let mut daemon = harness::Guard(daemon.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut ready = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(daemon.0.stdout.take().unwrap()), &mut ready)
        .unwrap();
    let Ok(ready) = serde_json::from_str(&ready) else { panic!("{}", daemon.stderr()) };
    (daemon, harness::port(&ready))
}

fn version(certs: &Path, port: u16) -> Done {
    let mut client = command("profctl");
    client.arg("--certs-dir").arg(certs.join("client_certs")).args([
        "--hostname",
        "localhost",
        "--port",
        &port.to_string(),
    ]);
    finish_child(client.arg("version").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

#[test]
fn certificates_made_by_openssl_serve() {
    if testkit::require("openssl").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let certs = made_by_openssl(dir.path(), false);
    for side in ["server_certs", "client_certs"] {
        run("certck", &["check", certs.join(side).to_str().unwrap()]).expect(0);
    }
    let (_daemon, port) = daemon_with(&certs);
    version(&certs, port).expect(0);
}

#[test]
fn a_client_that_openssl_revoked_is_refused_by_both_ends() {
    if testkit::require("openssl").is_none() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let certs = made_by_openssl(dir.path(), true);
    let client = certs.join("client_certs");
    let checked = run("certck", &["check", client.to_str().unwrap()]).expect(1);
    assert!(checked.stdout.contains("revoked"), "{}", checked.stdout);
    let (_daemon, port) = daemon_with(&certs);
    // Our client does not even start with a revoked certificate ...
    version(&certs, port).expect(2);
    // ... and without the list, it is the daemon that refuses it.
    std::fs::remove_file(client.join("ca.crl")).unwrap();
    let refused = version(&certs, port).expect(2);
    assert!(refused.stderr.to_lowercase().contains("revoked"), "{}", refused.stderr);
}

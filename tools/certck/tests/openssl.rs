//! What `certck mint` makes, shown to the `openssl` command. Skipped where there is none.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clap::Parser;
use common::cli::Tool;
use common::exit::Exit;
use common::out::{Out, Verbosity};

fn certck(args: &[&str]) -> Exit {
    let cli = certck::Cli::try_parse_from([&["certck"], args].concat()).unwrap();
    let mut out = Out::to(Box::new(std::io::sink()), "certck", false, Verbosity::Quiet);
    cli.run(&mut out).unwrap()
}

/// Runs openssl; `None`, and the test is reported as skipped, where it is not on PATH.
#[track_caller]
fn openssl(dir: &Path, args: &[&str]) -> Option<Output> {
    let openssl = testkit::require("openssl")?;
    Some(Command::new(openssl).args(args).current_dir(dir).stdin(Stdio::null()).output().unwrap())
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

const ALGORITHMS: [&str; 4] = ["ecdsa-p256", "ecdsa-p384", "ed25519", "rsa-3072"];

#[test]
fn openssl_verifies_what_is_minted() {
    for algo in ALGORITHMS {
        let dir = tempfile::tempdir().unwrap();
        let pki = dir.path().join("pki");
        assert_eq!(certck(&["mint", "--algo", algo, pki.to_str().unwrap()]), Exit::Ok);
        for (role, purpose) in [("server", "sslserver"), ("client", "sslclient")] {
            let place = pki.join(format!("{role}_certs"));
            assert_eq!(certck(&["check", "--profile", "strict", place.to_str().unwrap()]), Exit::Ok);
            let leaf = format!("{role}.crt");
            let args = [
                "verify",
                "-x509_strict",
                "-CAfile",
                "ca.crt",
                "-CRLfile",
                "ca.crl",
                "-crl_check_all",
                "-purpose",
                purpose,
                &leaf,
            ];
            let Some(output) = openssl(&place, &args) else { return };
            assert!(output.status.success(), "{algo} {role}: {}", text(&output));
            let key = format!("{role}.key");
            let output = openssl(&place, &["pkey", "-noout", "-in", &key]).unwrap();
            assert!(output.status.success(), "{algo} {role}: {}", text(&output));
        }
    }
}

#[test]
fn openssl_serves_and_connects_with_what_is_minted() {
    for algo in ALGORITHMS {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(certck(&["mint", "--algo", algo, dir.path().to_str().unwrap()]), Exit::Ok);
        if openssl(dir.path(), &["version"]).is_none() {
            return;
        }
        let mut server = Command::new("openssl")
            .args([
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-naccept",
                "1",
                "-Verify",
                "1",
                "-verify_return_error",
            ])
            .args(["-CAfile", "ca.crt", "-cert", "server.crt", "-key", "server.key"])
            .current_dir(dir.path().join("server_certs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let address =
            lines.map_while(Result::ok).find_map(|l| l.strip_prefix("ACCEPT ").map(str::to_owned)).unwrap();
        let mut client = Command::new("openssl")
            .args(["s_client", "-connect", &address, "-verify_return_error", "-verify_ip", "127.0.0.1"])
            .args(["-CAfile", "ca.crt", "-cert", "client.crt", "-key", "client.key"])
            .current_dir(dir.path().join("client_certs"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        client.stdin.take().unwrap().write_all(b"Q\n").unwrap();
        let output = client.wait_with_output().unwrap();
        drop(server.stdin.take());
        let _ = server.kill();
        server.wait().unwrap();
        assert!(text(&output).contains("Verify return code: 0 (ok)"), "{algo}: {}", text(&output));
    }
}

/// A key with explicit parameters is not supported, but it is the key of its certificate, and a CRL for another distribution
/// point has nothing to do with the order of a chain.
#[test]
fn faults_of_keys_and_crls_are_told_as_what_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("pki");
    assert_eq!(certck(&["mint", place.to_str().unwrap()]), Exit::Ok);
    let (server, ca) = (place.join("server_certs"), place.join("ca"));
    let run = |dir: &Path, line: &str| {
        let args: Vec<&str> = line.split(' ').collect();
        openssl(dir, &args).map(|output| assert!(output.status.success(), "{line}: {}", text(&output)))
    };
    let findings = || {
        let report = dir.path().join("report");
        let (report, server) = (report.to_str().unwrap(), server.to_str().unwrap());
        certck(&["check", "--format", "json", "-o", report, server]);
        let lines = std::fs::read_to_string(report).unwrap();
        let records = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        records.filter(|r| r["type"] == "certck.finding").collect::<Vec<_>>()
    };
    let whole = std::fs::read(server.join("ca.crl")).unwrap();
    let config = "[ca]\ndefault_ca=d\n[d]\ndatabase=idx\ncrlnumber=num\ndefault_md=sha256\ndefault_crl_days=30\n\
                  crl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\nissuingDistributionPoint=critical,@i\n\
                  [i]\nfullname=URI:http://elsewhere/ca.crl\n";
    for (name, content) in [("ca.cnf", config), ("idx", ""), ("num", "77\n")] {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    let crl = server.join("ca.crl").display().to_string();
    let (ca_key, ca_crt) = (ca.join("ca.key").display().to_string(), ca.join("ca.crt").display().to_string());
    let make = format!("ca -config ca.cnf -gencrl -keyfile {ca_key} -cert {ca_crt} -out {crl}");
    if run(dir.path(), &make).is_none() {
        return;
    }
    let found = findings();
    let chain = found.iter().find(|f| f["rule"] == "chain").unwrap();
    assert!(chain["found"].as_str().unwrap().contains("for another distribution point"), "{chain}");
    let fix = chain["fix"].as_str().unwrap();
    assert!(fix.contains("distribution point") && !fix.contains("intermediates"), "{fix}");
    std::fs::write(&crl, whole).unwrap();
    let extensions = "basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=serverAuth\n\
                      subjectAltName=DNS:localhost\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";
    std::fs::write(dir.path().join("ext"), extensions).unwrap();
    let key = server.join("server.key").display().to_string();
    let leaf = server.join("server.crt").display().to_string();
    for line in [
        format!(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -pkeyopt ec_param_enc:explicit -out {key}"
        ),
        format!("req -new -key {key} -subj /CN=x -out csr"),
        format!(
            "x509 -req -in csr -CA {ca_crt} -CAkey {ca_key} -days 30 -set_serial 77 -extfile ext -out {leaf}"
        ),
    ] {
        run(dir.path(), &line);
    }
    let errors: Vec<_> =
        findings().iter().filter(|f| f["severity"] == "error").map(|f| f["rule"].clone()).collect();
    assert_eq!(errors, ["weak-key"]);
}

#[test]
fn keys_encrypted_by_openssl_open_and_the_other_way_round() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (pki, pass) = (place("pki"), place("pass"));
    std::fs::write(&pass, "secret").unwrap();
    std::fs::set_permissions(&pass, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(certck(&["mint", "--encrypt", "--passphrase-file", &pass, &pki]), Exit::Ok);
    let server = dir.path().join("pki/server_certs");
    let from = ["pkcs8", "-passin", "pass:secret", "-in", "server.key", "-out", "plain.key"];
    let Some(output) = openssl(&server, &from) else { return };
    assert!(output.status.success(), "{}", text(&output));
    for form in
        [&["-v2", "aes-256-cbc"][..], &["-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"], &["-scrypt"]]
    {
        let to = ["pkcs8", "-topk8", "-passout", "pass:secret", "-in", "plain.key", "-out", "server.key"];
        let output = openssl(&server, &[&to[..], form].concat()).unwrap();
        assert!(output.status.success(), "{}", text(&output));
        std::fs::rename(server.join("plain.key"), place("plain.key")).unwrap();
        let check = ["check", "--passphrase-file", &pass, server.to_str().unwrap()];
        assert_eq!(certck(&check), Exit::Ok, "{form:?}");
        std::fs::rename(place("plain.key"), server.join("plain.key")).unwrap();
    }
}

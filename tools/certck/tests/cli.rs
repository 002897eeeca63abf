//! The commands as a user runs them, without a process: arguments in, output and exit status out.

#![allow(clippy::unwrap_used, reason = "a test")]

mod command;

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use command::{certck, minted, records};
use common::exit::Exit;
use serde_json::Value;

#[test]
fn mint_makes_directories_with_their_final_modes() {
    let (_dir, pki) = minted();
    let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for (dir, files) in [
        ("ca", &["ca.crt", "ca.key", "ca.crl", "issued.jsonl", "authority.toml"][..]),
        ("server_certs", &["ca.crt", "server.crt", "server.key", "ca.crl"]),
        ("client_certs", &["ca.crt", "client.crt", "client.key", "ca.crl"]),
    ] {
        assert_eq!(mode(&format!("{pki}/{dir}")), 0o700);
        assert_eq!(std::fs::read_dir(format!("{pki}/{dir}")).unwrap().count(), files.len());
        files.iter().for_each(|f| assert_eq!(mode(&format!("{pki}/{dir}/{f}")), 0o600, "{f}"));
    }
}

#[test]
fn check_reports_valid_and_invalid_directories() {
    let (_dir, pki) = minted();
    assert_eq!(certck(&["check", "-r", "--profile", "strict", &pki]).0, Exit::Ok);
    let server = format!("{pki}/server_certs");
    std::fs::set_permissions(format!("{server}/server.key"), PermissionsExt::from_mode(0o644)).unwrap();
    let (exit, text) = certck(&["check", "-r", "--format", "json", &pki]);
    assert_eq!(exit, Exit::No);
    let findings = records(&text, "certck.finding");
    assert_eq!(findings.len(), 1);
    assert_eq!((&findings[0]["rule"], &findings[0]["role"]), (&"key-readable".into(), &"server".into()));
    let summary = &records(&text, "certck.summary")[0];
    assert_eq!((summary["checked"].as_u64(), summary["failed"].as_u64()), (Some(2), Some(1)));
}

#[test]
fn a_missing_directory_fails_and_the_others_are_checked() {
    let (_dir, pki) = minted();
    let (exit, text) = certck(&["check", "--format", "json", "/nowhere/x", &format!("{pki}/client_certs")]);
    assert_eq!(exit, Exit::Failed);
    let summary = &records(&text, "certck.summary")[0];
    assert_eq!((summary["checked"].as_u64(), summary["errors"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn suppressed_findings_do_not_change_the_exit_status() {
    let (dir, pki) = minted();
    let server = format!("{pki}/server_certs");
    std::fs::remove_file(format!("{server}/ca.crl")).unwrap();
    let list = dir.path().join("list.toml");
    let entry = "[[suppress]]\nrule = \"no-crl\"\nreason = \"none yet\"\nuntil = \"2999-01-01\"\n";
    std::fs::write(&list, entry).unwrap();
    let args = ["check", "--profile", "strict", &server];
    assert_eq!(certck(&args).0, Exit::No);
    let (exit, text) = certck(&[&args[..], &["--suppress", list.to_str().unwrap()]].concat());
    assert_eq!(exit, Exit::Ok);
    assert!(text.contains("1 finding suppressed"), "{text}");
}

#[test]
fn every_report_format_is_complete() {
    let (_dir, pki) = minted();
    let server = format!("{pki}/server_certs");
    let run = |format| certck(&["check", "--format", format, "--host", "wrong.example", &server]);
    let (exit, sarif) = run("sarif");
    assert_eq!(exit, Exit::No);
    let log = &serde_json::from_str::<Value>(&sarif).unwrap()["runs"][0];
    assert_eq!(log["results"][0]["ruleId"], "host-mismatch");
    let rules = log["tool"]["driver"]["rules"].as_array().unwrap();
    let rule = |id: &str| rules.iter().find(|rule| rule["id"] == id).unwrap();
    let uri = "https://www.rfc-editor.org/rfc/rfc9525#section-6";
    assert_eq!(rule("host-mismatch")["helpUri"], uri);
    assert!(rules.iter().all(|rule| rule["help"]["text"].as_str().unwrap().contains("Reference: ")));
    // What is not an RFC has no address.
    assert!(rule("mode").get("helpUri").is_none());
    let finding = &records(&run("json").1, "certck.finding")[0];
    assert_eq!(finding["reference"], "RFC 9525, section 6");
    assert!(run("junit").1.trim_end().ends_with("</testsuites>"));
    assert!(run("prometheus").1.contains("certck_valid{dir="));
    // The plug-in convention: critical is 2.
    let (exit, nagios) = run("nagios");
    assert_eq!(exit, Exit::Failed);
    assert!(nagios.starts_with("CERTCK CRITICAL"), "{nagios}");
}

#[test]
fn show_describes_each_kind_of_file_without_secrets() {
    let (_dir, pki) = minted();
    let files = ["server.crt", "server.key", "ca.crl"].map(|f| format!("{pki}/server_certs/{f}"));
    let (exit, text) = certck(&["show", "--format", "json", &files[0], &files[1], &files[2]]);
    assert_eq!(exit, Exit::Ok);
    let (cert, key) = (&records(&text, "certck.certificate")[0], &records(&text, "certck.key")[0]);
    assert_eq!(cert["key_sha256"], key["key_sha256"]);
    assert_eq!(records(&text, "certck.crl")[0]["number"], "01");
    let secret = std::fs::read_to_string(Path::new(&files[1])).unwrap();
    let line = secret.lines().nth(1).unwrap();
    assert!(!text.contains(line));
}

#[test]
fn verify_writes_a_verdict_per_line() {
    let (dir, pki) = minted();
    let read = |f: &str| std::fs::read_to_string(format!("{pki}/server_certs/{f}")).unwrap();
    let case = |id: &str, host: &str| {
        serde_json::json!({"id": id, "peer": read("server.crt"), "roots": [read("ca.crt")], "crls": [read("ca.crl")],
            "kind": "server", "names": [{"kind": "dns", "value": host}]})
        .to_string()
    };
    let cases = dir.path().join("cases");
    let text = format!("{}\nnonsense\n\n{}\n", case("a", "localhost"), case("b", "example.com"));
    std::fs::write(&cases, text).unwrap();
    let (exit, text) = certck(&["verify", "--format", "json", cases.to_str().unwrap()]);
    assert_eq!(exit, Exit::Failed);
    let verdicts = records(&text, "certck.verdict");
    assert_eq!(
        (&verdicts[0]["verdict"], &verdicts[1]["reason"]),
        (&"accept".into(), &"name-mismatch".into())
    );
    assert_eq!(records(&text, "certck.summary")[0]["errors"], 1);
}

#[test]
fn revoked_certificates_are_rejected_everywhere_and_stay_revoked() {
    for algo in ["ecdsa-p256", "ed25519", "rsa-3072"] {
        let dir = tempfile::tempdir().unwrap();
        let pki = dir.path().join("pki").to_str().unwrap().to_owned();
        assert_eq!(certck(&["mint", "--algo", algo, &pki]).0, Exit::Ok);
        let [ca, server, client] = ["ca", "server_certs", "client_certs"].map(|d| format!("{pki}/{d}"));
        let leaf = format!("{client}/client.crt");
        let to = ["--to", &server, "--to", &client];
        let (exit, text) = certck(
            &[&["revoke", "--format", "json", "--reason", "key-compromise", &ca, &leaf][..], &to].concat(),
        );
        // The client's directory has the new list, and does not load any more.
        assert_eq!(exit, Exit::No);
        assert_eq!(records(&text, "certck.finding")[0]["rule"], "revoked");
        let written = records(&text, "certck.written");
        assert_eq!(written.len(), 3);
        assert_eq!((&written[0]["number"], &written[0]["revoked"]), (&"02".into(), &1.into()));
        let (exit, text) = certck(&["check", "--format", "json", &client]);
        assert_eq!(exit, Exit::No);
        let finding = &records(&text, "certck.finding")[0];
        assert_eq!(finding["rule"], "revoked");
        assert!(finding["found"].as_str().unwrap().contains("key compromise"));
        assert_eq!(certck(&["check", &server]).0, Exit::Ok);
        // A new list, and the same certificate once more: nothing is lost, nothing doubled.
        assert_eq!(certck(&[&["crl", "new", &ca][..], &to].concat()).0, Exit::No);
        assert_eq!(certck(&["revoke", &ca, &leaf]).0, Exit::Ok);
        let (_, text) = certck(&["show", "--format", "json", &format!("{ca}/ca.crl")]);
        let crl = &records(&text, "certck.crl")[0];
        assert_eq!((&crl["number"], crl["revoked"].as_array().unwrap().len()), (&"04".into(), 1));
    }
}

#[test]
fn an_authority_revokes_only_certificates_that_it_issued() {
    let ((_a, ours), (_b, theirs)) = (minted(), minted());
    let before = std::fs::read(format!("{ours}/ca/ca.crl")).unwrap();
    let foreign = format!("{theirs}/client_certs/client.crt");
    assert_eq!(certck(&["revoke", &format!("{ours}/ca"), &foreign]).0, Exit::Failed);
    assert_eq!(std::fs::read(format!("{ours}/ca/ca.crl")).unwrap(), before);
    let check = |crl: &str| certck(&["crl", "check", "--ca", &format!("{ours}/ca/ca.crt"), crl]).0;
    assert_eq!(check(&format!("{ours}/ca/ca.crl")), Exit::Ok);
    assert_eq!(check(&format!("{theirs}/ca/ca.crl")), Exit::No);
    assert_eq!(check("/nowhere.crl"), Exit::Failed);
}

/// Serves each document once, in turn, and says where.
fn serve(documents: Vec<Vec<u8>>) -> String {
    use std::io::Read;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for document in documents {
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let head =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", document.len());
            stream.write_all(&[head.as_bytes(), &document].concat()).unwrap();
        }
    });
    format!("http://{address}/ca.crl")
}

#[test]
fn a_fetched_crl_is_installed_only_if_valid_and_not_older() {
    let ((_a, pki), (_b, theirs)) = (minted(), minted());
    let [ca, server] = ["ca", "server_certs"].map(|d| format!("{pki}/{d}"));
    let crl = |dir: &str| std::fs::read(format!("{dir}/ca.crl")).unwrap();
    let old = crl(&ca);
    assert_eq!(certck(&["revoke", &ca, "--unlisted", "--serial", "11"]).0, Exit::Ok);
    let (new, foreign) = (crl(&ca), crl(&format!("{theirs}/ca")));
    let large = [&new[..], &vec![b'\n'; 5000]].concat();
    let url = serve(vec![foreign, b"<html>".to_vec(), large, new.clone(), new.clone(), old]);
    let fetch = |more: &[&str]| {
        certck(&[&["crl", "fetch", "--format", "json", "--url", &url, &server][..], more].concat())
    };
    let before = crl(&server);
    assert_eq!(fetch(&[]).0, Exit::No, "by another CA");
    assert_eq!(fetch(&[]).0, Exit::No, "no CRL at all");
    assert_eq!(fetch(&["--max-crl-bytes", "5000"]).0, Exit::Failed, "too large");
    assert_eq!(crl(&server), before);
    let (exit, text) = fetch(&[]);
    assert_eq!(exit, Exit::Ok);
    assert_eq!(records(&text, "certck.written")[0]["number"], "02");
    assert_eq!(certck(&["check", &server]).0, Exit::Ok);
    let (exit, text) = fetch(&[]);
    assert_eq!((exit, records(&text, "certck.written").len()), (Exit::Ok, 0), "unchanged");
    assert_eq!(fetch(&[]).0, Exit::No, "an older one");
    assert_eq!(certck(&["crl", "fetch", &server]).0, Exit::Failed, "no address is known");
    assert_eq!(certck(&["crl", "fetch", "--url", "file:///etc/passwd", &server]).0, Exit::Failed);
}

#[test]
fn renewal_replaces_only_what_expires_soon() {
    let dir = tempfile::tempdir().unwrap();
    let pki = dir.path().join("pki").to_str().unwrap().to_owned();
    let mint = [
        "mint",
        "--days",
        "20",
        "--ca-days",
        "1000",
        "--crl-days",
        "100",
        "--host",
        "node1.example.org",
        "--host",
        "10.0.0.1",
        &pki,
    ];
    assert_eq!(certck(&mint).0, Exit::Ok);
    let server = format!("{pki}/server_certs");
    let shown = |file: &str| {
        let (_, text) = certck(&["show", "--format", "json", file]);
        records(&text, "certck.certificate")[0].clone()
    };
    let leaf = format!("{server}/server.crt");
    let old = shown(&leaf);
    let (_, text) = certck(&["mint", "renew", "--format", "json", "--before", "10", &pki]);
    assert_eq!(records(&text, "certck.written").len(), 0);
    let (exit, text) = certck(&["mint", "renew", "--format", "json", "--before", "30", "-n", &pki]);
    assert_eq!((exit, records(&text, "certck.written").len()), (Exit::Ok, 2));
    assert_eq!(shown(&leaf)["serial"], old["serial"], "only said");
    assert_eq!(certck(&["mint", "renew", "--before", "30", &pki]).0, Exit::Ok);
    let new = shown(&leaf);
    assert_eq!((&new["names"], &new["issuer"]), (&old["names"], &old["issuer"]));
    assert_ne!(new["serial"], old["serial"]);
    assert_ne!(new["key_sha256"], old["key_sha256"]);
    assert_eq!(certck(&["check", "-r", "--profile", "strict", &pki]).0, Exit::Ok);
    assert_eq!(std::fs::read_dir(&pki).unwrap().count(), 3, "nothing is left behind");
    assert_eq!(std::fs::read_dir(&server).unwrap().count(), 4);
}

#[test]
fn encrypted_keys_open_with_the_passphrase_of_a_private_file() {
    let dir = tempfile::tempdir().unwrap();
    let [pki, right, wrong] =
        ["pki", "right", "wrong"].map(|f| dir.path().join(f).to_str().unwrap().to_owned());
    for (file, text) in [(&right, "correct horse"), (&wrong, "battery staple")] {
        std::fs::write(file, text).unwrap();
        std::fs::set_permissions(file, PermissionsExt::from_mode(0o600)).unwrap();
    }
    assert_eq!(
        certck(&["mint", "--algo", "ed25519", "--encrypt", "--passphrase-file", &right, &pki]).0,
        Exit::Ok
    );
    let server = format!("{pki}/server_certs");
    let key = std::fs::read_to_string(format!("{server}/server.key")).unwrap();
    assert!(key.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----"));
    let rule = |more: &[&str]| {
        let (exit, text) = certck(&[&["check", "--format", "json", &server][..], more].concat());
        let rules: Vec<_> = records(&text, "certck.finding").iter().map(|f| f["rule"].to_string()).collect();
        (exit, rules.join(" "))
    };
    assert_eq!(rule(&["--passphrase-file", &right]), (Exit::Ok, String::new()));
    assert_eq!(rule(&["--passphrase-file", &wrong]), (Exit::No, "\"key-encrypted\"".into()));
    assert_eq!(rule(&[]), (Exit::No, "\"key-encrypted\"".into()));
    let ca = format!("{pki}/ca");
    assert_eq!(certck(&["crl", "new", &ca]).0, Exit::Failed);
    assert_eq!(certck(&["crl", "new", "--passphrase-file", &right, &ca]).0, Exit::Ok);
    std::fs::set_permissions(&right, PermissionsExt::from_mode(0o644)).unwrap();
    assert_eq!(rule(&["--passphrase-file", &right]).0, Exit::Failed);
}

/// A daemon of sorts: shakes hands with whoever comes, reads until they go.
fn daemon(config: rustls::ServerConfig) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, config) = (stream.unwrap(), config.clone());
            std::thread::spawn(move || {
                let mut tls = rustls::ServerConnection::new(config).unwrap();
                while tls.complete_io(&mut stream).is_ok_and(|(r, w)| r + w > 0) {}
                let _ = tls.write_tls(&mut stream);
            });
        }
    });
    address.to_string()
}

#[test]
fn a_probe_finds_daemons_that_do_not_verify_clients() {
    use common::pki::{LoadOptions, MinVersion, MtlsDir, Role, crypto_provider};
    let ((_a, pki), (_b, theirs)) = (minted(), minted());
    let load = |pki: &str| {
        let dir = Path::new(pki).join("server_certs");
        MtlsDir::load(&dir, Role::Server, &LoadOptions::now()).unwrap()
    };
    let certs = format!("{pki}/client_certs");
    let probe = |address: &str, more: &[&str]| {
        let (exit, text) =
            certck(&[&["probe", address, "--certs-dir", &certs, "--format", "json"][..], more].concat());
        let rules: Vec<_> = records(&text, "certck.finding").iter().map(|f| f["rule"].to_string()).collect();
        (exit, records(&text, "certck.probe").pop(), rules.join(" "))
    };
    // As it should be.
    let good = daemon(load(&pki).server_config(MinVersion::Tls13).unwrap());
    let (exit, record, rules) = probe(&good, &[]);
    assert_eq!((exit, rules.as_str()), (Exit::Ok, ""));
    let record = record.unwrap();
    assert_eq!(
        (&record["protocol"], &record["chain"][0]),
        (&"TLSv1_3".into(), &"CN=profguard server".into())
    );
    assert_eq!((&record["asks_for_certificate"], &record["accepted"]), (&true.into(), &true.into()));
    assert_eq!(probe(&good, &["--host", "example.org"]).2, "\"host-mismatch\"");
    assert_eq!(probe(&good, &["--must-reject", &certs]).2, "\"wrong-client-accepted\"");
    assert_eq!(probe(&good, &["--must-reject", &format!("{theirs}/client_certs")]).0, Exit::Ok);
    // Old TLS as well.
    let old = daemon(load(&pki).server_config(MinVersion::Tls12).unwrap());
    assert_eq!(probe(&old, &[]).2, "\"tls-1.2\"");
    // Another CA's: neither side knows the other.
    let foreign = daemon(load(&theirs).server_config(MinVersion::Tls13).unwrap());
    let (exit, _, rules) = probe(&foreign, &[]);
    assert_eq!(exit, Exit::No);
    assert!(rules.contains("chain") && rules.contains("client-refused"), "{rules}");
    // Nobody is asked for anything.
    let open = rustls::ServerConfig::builder_with_provider(crypto_provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(
            load(&pki).certified_key().clone(),
        )));
    assert!(probe(&daemon(open), &[]).2.contains("no-client-auth"));
    // Nobody is there.
    assert_eq!(probe("127.0.0.1:1", &[]).0, Exit::Failed);
}

#[test]
fn watch_reports_changes_and_writes_metrics() {
    let (dir, pki) = minted();
    let (server, prom) = (format!("{pki}/server_certs"), dir.path().join("certck.prom"));
    let args = ["watch", "--format", "json", "--interval", "1", "--count", "5", &server, "--prometheus"];
    let args: Vec<String> = args.iter().chain(&[prom.to_str().unwrap()]).map(|s| (*s).to_owned()).collect();
    let watch = std::thread::spawn(move || certck(&args.iter().map(String::as_str).collect::<Vec<_>>()));
    let wait = |what: &str| {
        let begin = std::time::Instant::now();
        while !std::fs::read_to_string(&prom).is_ok_and(|text| text.contains(what)) {
            assert!(begin.elapsed().as_secs() < 60, "{what}");
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    };
    wait("certck_valid{");
    let key = format!("{server}/server.key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    wait("certck_findings{rule=\"key-readable\",severity=\"error\"} 1");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o600)).unwrap();
    let (exit, text) = watch.join().unwrap();
    assert_eq!(exit, Exit::Ok);
    let changes: Vec<_> = records(&text, "certck.change").iter().map(|c| c["change"].to_string()).collect();
    assert_eq!(changes, ["\"new\"", "\"gone\""]);
}

#[test]
fn options_of_mint_can_come_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let [pki, file] = ["pki", "pki.toml"].map(|f| dir.path().join(f).to_str().unwrap().to_owned());
    std::fs::write(&file, "hosts = [\"node1.example.org\"]\nalgo = \"ecdsa-p384\"\nname = \"Lab CA\"\n")
        .unwrap();
    let (exit, text) = certck(&["mint", "--format", "json", "--from", &file, "--days", "30", &pki]);
    assert_eq!(exit, Exit::Ok);
    let minted = records(&text, "certck.minted");
    assert_eq!((&minted[0]["subject"], &minted[1]["algorithm"]), (&"CN=Lab CA".into(), &"ecdsa-p384".into()));
    assert_eq!(minted[1]["hosts"], serde_json::json!(["node1.example.org"]));
    std::fs::write(&file, "days = 0").unwrap();
    let other = format!("{pki}2");
    assert_eq!(certck(&["mint", "--from", &file, &other]).0, Exit::Failed);
    assert!(!Path::new(&other).exists());
}

#[test]
fn the_rules_are_listed() {
    let (exit, text) = certck(&["rules", "--format", "json"]);
    assert_eq!((exit, records(&text, "certck.rule").len() > 50), (Exit::Ok, true));
    assert!(certck(&["rules", "expired"]).1.starts_with("expired "));
}

//! `certck show` and `certck crl check`: what single files say, and what is wrong with lists by themselves.

#![allow(clippy::unwrap_used, reason = "a test")]

mod command;
mod forge;

use std::path::Path;

use command::{certck, minted, put, records};
use common::exit::Exit;
use common::pki::pem::parse;
use forge::{CrlSpec, DAY, Key, Spec, pem};

fn show(args: &[&str]) -> (Exit, String) {
    certck(&[&["show", "--format", "json"], args].concat())
}

#[test]
fn symbolic_links_and_pipes_are_read() {
    let (dir, pki) = minted();
    let (leaf, link) = (format!("{pki}/server_certs/server.crt"), dir.path().join("link"));
    std::os::unix::fs::symlink(&leaf, &link).unwrap();
    let (exit, text) = show(&[link.to_str().unwrap()]);
    assert_eq!((exit, records(&text, "certck.certificate").len()), (Exit::Ok, 1));
    let critical = records(&text, "certck.certificate")[0]["critical_extensions"].clone();
    assert!(critical.as_array().unwrap().contains(&"keyUsage".into()), "{critical}");
    let (exit, text) = certck(&["show", "/nowhere/x", dir.path().to_str().unwrap(), &leaf]);
    assert_eq!((exit, text.contains(": certificate\n")), (Exit::Failed, true));
}

#[test]
fn a_file_of_no_known_kind_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let junk = pem("PRIVATE KEY", &[0x30, 1, 0]);
    for (name, content) in [("der", &b"\x30\x01\x00"[..]), ("text", b"hello"), ("key", junk.as_bytes())] {
        let (exit, text) = certck(&["show", &put(&at(name), 0o600, content)]);
        assert_eq!((exit, text.as_str()), (Exit::Failed, ""), "{name}");
    }
}

/// The first block is cut short, the third is a certificate with a flaw, and all the rest is shown.
#[test]
fn a_broken_block_hides_nothing() {
    let (dir, pki) = minted();
    let read = |name: &str| std::fs::read_to_string(format!("{pki}/{name}")).unwrap();
    let (leaf, crl) = (read("server_certs/server.crt"), read("server_certs/ca.crl"));
    let cut = leaf.split_inclusive('\n').take(3).collect::<String>();
    let not_base64 = leaf.replacen("MII", "M*I", 1);
    let mut der = parse(crl.as_bytes()).unwrap().remove(0).der.to_vec();
    // The last byte of the signed part, in the extensions: what comes before them can be read.
    let at = der.windows(3).position(|w| w == [0x55, 0x1d, 0x14]).unwrap();
    der[at - 2] = 0x07;
    let bundle = put(
        &dir.path().join("bundle"),
        0o600,
        [&cut, &leaf, &not_base64, &crl, &pem("X509 CRL", &der), &read("ca/ca.crt")]
            .map(String::as_str)
            .concat(),
    );
    let (exit, text) = show(&[&bundle]);
    assert_eq!(
        (exit, records(&text, "certck.certificate").len(), records(&text, "certck.crl").len()),
        (Exit::Failed, 2, 1),
        "{text}"
    );
    // The parts that can be read are a record, too.
    let parts = &records(&text, "certck.malformed")[0];
    assert_eq!((&parts["kind"], &parts["parts"][0]["name"]), (&"CRL".into(), &"issuer".into()), "{parts}");
    let (_, text) = certck(&["show", &bundle]);
    assert!(text.contains(": malformed CRL\n  issuer ") && text.contains("\n  expires "), "{text}");
}

#[test]
fn keys_of_every_form_are_recognized_and_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let pass = put(&at("pass"), 0o600, "correct horse");
    let pki = at("pki").to_str().unwrap().to_owned();
    assert_eq!(certck(&["mint", "--encrypt", "--passphrase-file", &pass, &pki]).0, Exit::Ok);
    let pem = std::fs::read_to_string(format!("{pki}/server_certs/server.key")).unwrap();
    let der = put(&at("der"), 0o600, &*parse(pem.as_bytes()).unwrap()[0].der);
    for file in [&format!("{pki}/server_certs/server.key"), &der] {
        let (exit, text) = show(&[file]);
        let key = &records(&text, "certck.key")[0];
        assert_eq!((exit, &key["form"]), (Exit::Ok, &"ENCRYPTED PRIVATE KEY".into()));
        let how = key["encryption"].as_str().unwrap();
        assert!(how.contains("PBKDF2") && how.contains("600000 rounds; AES-256-CBC"), "{how}");
    }
    // Unencrypted DER: PKCS#8.
    let key = Key::new();
    let der = put(&at("plain"), 0o600, key.0.serialize_der());
    let (exit, text) = show(&[&der]);
    assert_eq!((exit, &records(&text, "certck.key")[0]["form"]), (Exit::Ok, &"PRIVATE KEY".into()));
    assert!(!text.contains(&common::finding::hex(&key.0.serialize_der()[40..60])));
}

/// What text shows of a malformed certificate, JSON shows as well; and what is counted has a record.
#[test]
fn json_shows_as_much_as_text() {
    let (dir, pki) = minted();
    let leaf = std::fs::read_to_string(format!("{pki}/server_certs/server.crt")).unwrap();
    let mut der = parse(leaf.as_bytes()).unwrap().remove(0).der.to_vec();
    // The version: nobody knows X.509 version 10.
    let at = der.windows(5).position(|w| w == [0xa0, 3, 2, 1, 2]).unwrap();
    der[at + 4] = 9;
    let bad = put(&dir.path().join("bad"), 0o600, pem("CERTIFICATE", &der));
    let (exit, text) = certck(&["show", &bad]);
    let rows = text.lines().filter(|line| line.starts_with("  ")).count();
    assert!(exit == Exit::Failed && rows >= 5, "{text}");
    let (exit, json) = show(&[&bad]);
    let malformed = &records(&json, "certck.malformed")[0];
    assert_eq!((exit, &malformed["kind"]), (Exit::Failed, &"certificate".into()));
    assert_eq!(malformed["parts"].as_array().unwrap().len(), rows, "{malformed}");
    // The parameters that `openssl ecparam -genkey` writes: prime256v1 by name.
    let curve = [6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    let parameters = put(&dir.path().join("parameters"), 0o600, pem("EC PARAMETERS", &curve));
    let (exit, json) = show(&[&parameters]);
    let record = &records(&json, "certck.parameters")[0];
    assert!(exit == Exit::Ok && record["key"].as_str().unwrap().starts_with("EC on "), "{json}");
    assert_eq!(records(&json, "certck.summary")[0]["checked"], 1);
}

/// What few certificates have is shown by name, too, and every limit of policies with its number.
#[test]
fn rare_algorithms_extensions_and_policies_have_names() {
    let Some(openssl) = testkit::require("openssl") else { return };
    let dir = tempfile::tempdir().unwrap();
    let made = std::process::Command::new(openssl)
        .current_dir(dir.path())
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"])
        .args(["-sha3-256", "-nodes", "-keyout", "key", "-out", "crt", "-subj", "/CN=x/2.5.4.97=NTRDE-1"])
        .args(["-addext", "policyConstraints=critical,requireExplicitPolicy:0,inhibitPolicyMapping:1"])
        .args(["-addext", "policyMappings=1.2.3.4:1.2.3.5", "-addext", "inhibitAnyPolicy=critical,2"])
        .args(["-addext", "certificatePolicies=2.5.29.32.0,2.23.140.1.2.1"])
        .args(["-addext", "tlsfeature=status_request", "-addext", "issuerAltName=DNS:ca.example.org"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let crt = dir.path().join("crt").display().to_string();
    let (exit, text) = certck(&["show", &crt]);
    assert_eq!(exit, Exit::Ok);
    for row in [
        "subject          organizationIdentifier=NTRDE-1,CN=x",
        "key              EC on brainpoolP256r1",
        "signature        ECDSA with SHA3-256",
        "policies         anyPolicy, domain validated",
        "policy mappings  1.2.3.4 = 1.2.3.5",
        "policy limits    requireExplicitPolicy at once, inhibitPolicyMapping after 1 certificate, inhibitAnyPolicy \
         after 2 certificates",
        "other extensions TLS features (OCSP must-staple), issuer alternative name",
    ] {
        assert!(text.contains(&format!("\n  {row}\n")), "{row}\n{text}");
    }
    let (_, text) = show(&[&crt]);
    let record = &records(&text, "certck.certificate")[0];
    assert_eq!((&record["require_explicit_policy"], &record["inhibit_any_policy"]), (&0.into(), &2.into()));
}

/// A root and a list by it, written below a directory.
fn issue(dir: &Path, change: impl FnOnce(&mut Spec, &mut CrlSpec)) -> (String, String) {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let key = Key::new();
    let (mut root, mut crl) = (Spec::root("root", &key), CrlSpec::new("root", &key));
    (root.from, root.until) = (now - 9 * DAY, now + 90 * DAY);
    (crl.this, crl.next) = (now - DAY, Some(now + 60 * DAY));
    change(&mut root, &mut crl);
    let name = |kind: &str| dir.join(format!("{}.{kind}", std::fs::read_dir(dir).unwrap().count()));
    let root = put(&name("crt"), 0o600, pem("CERTIFICATE", &root.sign(&key)));
    (root, put(&name("crl"), 0o600, pem("X509 CRL", &crl.sign(&key))))
}

#[test]
fn each_crl_of_a_file_is_verified_with_its_own_issuer() {
    let dir = tempfile::tempdir().unwrap();
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    let (ca, crl) = issue(dir.path(), |_, _| {});
    let (other_ca, other_crl) = issue(dir.path(), |_, _| {});
    let both_cas = put(&dir.path().join("cas"), 0o600, read(&ca) + &read(&other_ca));
    let both_crls = put(&dir.path().join("crls"), 0o600, read(&crl) + &read(&other_crl));
    let check = |ca: &str, crl: &str| certck(&["crl", "check", "--ca", ca, crl]);
    assert_eq!(check(&both_cas, &other_crl).0, Exit::Ok);
    let (exit, text) = check(&both_cas, &both_crls);
    assert_eq!((exit, text.matches(": valid, 0 revoked\n").count()), (Exit::Ok, 2), "{text}");
    // The second list is another CA's, of the same name.
    let (exit, text) = check(&ca, &both_crls);
    assert_eq!(exit, Exit::No);
    assert!(
        text.contains("not signed by the key of its issuer") && text.contains("          fix: "),
        "{text}"
    );
}

#[test]
fn a_crl_by_an_invalid_issuer_is_invalid() {
    let dir = tempfile::tempdir().unwrap();
    let rules = |change: fn(&mut Spec, &mut CrlSpec)| {
        let (ca, crl) = issue(dir.path(), change);
        let (exit, text) = certck(&["crl", "check", "--format", "json", "--ca", &ca, &crl]);
        let rules = records(&text, "certck.finding").into_iter().map(|f| f["rule"].to_string());
        (exit, rules.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(rules(|root, _| root.until = root.from + DAY), (Exit::No, "\"expired\"".into()));
    assert_eq!(rules(|root, _| root.from = root.until - DAY), (Exit::No, "\"not-yet-valid\"".into()));
    assert_eq!(rules(|root, _| root.set(forge::bc(false, None))), (Exit::No, "\"not-a-ca\"".into()));
    assert_eq!(rules(|_, crl| crl.next = None).0, Exit::No);
}

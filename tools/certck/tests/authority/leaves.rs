//! Adding leaves: minted, or from a signing request.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use common::exit::Exit;

use crate::SERVER;
use crate::command::{json, run};
use crate::support::Place;

#[test]
fn mint_leaf_adds_servers_and_clients_to_an_authority() {
    let place = Place::minted(&["--algo", "ecdsa-p384"]);
    let (ca, node2, alice) = (place.at("pki/ca"), place.at("node2"), place.at("alice"));
    let leaf = |dest: &str, more: &[&str]| run(&[&["mint", "leaf", &ca, dest], more].concat());
    leaf(&node2, &["--role", "server", "--host", "node2.example", "--name", "node2", "--days", "30"]).ok();
    leaf(&alice, &["--role", "client", "--name", "alice", "--algo", "ed25519"]).ok();
    let (server, client) = (place.certificate("node2/server.crt"), place.certificate("alice/client.crt"));
    assert_eq!((&server["subject"], &server["key"]), (&"CN=node2".into(), &"EC on P-384".into()));
    assert_eq!((&client["subject"], &client["key"]), (&"CN=alice".into(), &"Ed25519".into()));
    for (dir, host) in [(&node2, Some("node2.example")), (&alice, None)] {
        let host = host.map(|h| vec!["--host", h]).unwrap_or_default();
        let checked = run(&[&["check", "--profile", "strict", dir][..], &host].concat());
        assert_eq!(checked.exit, Exit::Ok, "{}", checked.text);
        assert_eq!(std::fs::metadata(dir).unwrap().mode() & 0o777, 0o700);
    }
    // Nothing is replaced, nothing is half done.
    leaf(&alice, &["--role", "client"]).failed("already exists");
    leaf(&place.at("node3"), &["--role", "server"]).failed("--host");
    leaf(&place.at("a/b"), &["--role", "client"]).failed("does not exist");
    let pass = place.passphrase("pass", "x");
    leaf(&place.at("bob"), &["--role", "client", "--passphrase-file", &pass]).failed("--encrypt");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 4);
    // They are on the list, and are revoked and renewed like the others.
    let issued = place.text("pki/ca/issued.jsonl");
    assert_eq!(issued.lines().count(), 4);
    let line = issued.lines().find(|l| l.contains("\"CN=alice\"")).unwrap();
    let serial = client["serial"].as_str().unwrap();
    assert!(line.contains(serial), "{line}");
    assert_eq!(std::fs::metadata(place.at("pki/ca/issued.jsonl")).unwrap().mode() & 0o777, 0o600);
    run(&["revoke", &ca, "--serial", serial, "--to", &node2, "--to", &alice]).no("[revoked]");
    run(&["mint", "renew", "--revoked", &place.at("pki"), &node2, &alice]).ok();
    let renewed = place.certificate("alice/client.crt");
    assert_eq!(renewed["subject"], client["subject"]);
    assert_ne!(renewed["serial"], client["serial"]);
    assert_eq!(place.text("pki/ca/issued.jsonl").lines().count(), 5);
}

#[test]
fn a_signing_request_yields_a_certificate_without_its_key() {
    let place = Place::minted(&[]);
    let request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let names =
        ["-keyout", "key", "-out", "csr", "-subj", "/CN=root of all", "-addext", "subjectAltName=DNS:evil"];
    let Some((made, text)) = place.openssl(&[&request[..], &names].concat()) else { return };
    assert!(made, "{text}");
    let (ca, dest) = (place.at("pki/ca"), place.at("node2"));
    let csr = place.at("csr");
    let args = ["mint", "leaf", &ca, &dest, "--role", "server", "--host", "node2.example", "--csr", &csr];
    run(&args).ok();
    let leaf = place.certificate("node2/server.crt");
    assert_eq!(leaf["subject"], "CN=profguard server");
    assert_eq!(leaf["names"], serde_json::json!(["DNS:node2.example"]));
    assert!(!std::fs::exists(place.at("node2/server.key")).unwrap());
    std::fs::copy(place.at("key"), place.at("node2/server.key")).unwrap();
    std::fs::set_permissions(place.at("node2/server.key"), PermissionsExt::from_mode(0o600)).unwrap();
    assert_eq!(run(&["check", "--profile", "strict", &dest]).exit, Exit::Ok);
    std::fs::remove_file(place.at("node2/server.key")).unwrap();
    run(&["mint", "renew", "--all", &ca, &dest]).failed("--csr");
    // The certificate is for the key's own curve, whatever hash the request is signed with.
    let p384 = ["-pkeyopt", "ec_paramgen_curve:P-384", "-sha256", "-nodes", "-keyout", "k", "-out", "csr"];
    let request = [&["req", "-new", "-newkey", "ec", "-subj", "/CN=x"][..], &p384].concat();
    assert!(place.openssl(&request).unwrap().0);
    run(&["mint", "leaf", &ca, &place.at("p384"), "--role", "client", "--csr", &csr]).ok();
    assert_eq!(place.certificate("p384/client.crt")["key"], "EC on P-384");
    // What is weak, or was changed on the way, is not signed.
    let weak =
        ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", "csr", "-subj", "/CN=x"];
    assert!(place.openssl(&weak).unwrap().0);
    let other = place.at("node3");
    let again = ["mint", "leaf", &ca, &other, "--role", "client", "--csr", &csr];
    run(&again).failed("would be invalid");
    std::fs::write(&csr, "x").unwrap();
    run(&again).failed("csr");
    assert!(!std::fs::exists(&other).unwrap());
}

#[test]
fn an_authority_is_found_below_what_was_minted() {
    let place = Place::minted(&[]);
    let pki = place.at("pki");
    run(&["crl", "new", &pki]).ok();
    run(&["revoke", &pki, "--unlisted", "--serial", "11"]).ok();
    run(&["mint", "leaf", &pki, &place.at("x"), "--role", "client"]).ok();
    assert_eq!(place.crl("pki/ca/ca.crl"), ("03".into(), 1));
}

#[test]
fn leaves_inherit_validity_and_kind_of_key_from_their_authority() {
    let place = Place::minted(&["--days", "20", "--algo", "ed25519", "--crl-days", "40"]);
    let ca = place.at("pki/ca");
    let leaf = |name: &str, more: &[&str]| {
        run(&[&["mint", "leaf", &ca, &place.at(name), "--role", "client"], more].concat()).ok();
        let cert = place.certificate(&format!("{name}/client.crt"));
        let bytes = place.read(&format!("{name}/client.crt"));
        let cert_time = common::pki::Cert::parse(&common::pki::pem::parse(&bytes).unwrap()[0].der).unwrap();
        (
            (cert_time.not_after.unix - cert_time.not_before.unix) / 86_400,
            cert["key"].as_str().unwrap().to_owned(),
        )
    };
    assert_eq!(leaf("alice", &[]), (20, "Ed25519".to_owned()));
    assert_eq!(leaf("bob", &["--days", "5", "--algo", "ecdsa-p256"]), (5, "EC on P-256".to_owned()));
    let settings = place.at("pki/ca/authority.toml");
    std::fs::write(&settings, "days = 11\nalgo = \"ecdsa-p384\"\n").unwrap();
    assert_eq!(leaf("carol", &[]), (11, "EC on P-384".to_owned()));
    // Nothing set: a year, and a key like the authority's.
    std::fs::write(&settings, "").unwrap();
    assert_eq!(leaf("dave", &[]), (365, "Ed25519".to_owned()));
    std::fs::write(&settings, "days = 4000").unwrap();
    let args = ["mint", "leaf", &ca, &place.at("eve"), "--role", "client"];
    run(&args).failed("days: 4000 is not between 1 and 3650");
    assert!(!place.path().join("eve").exists());
}

#[test]
fn minted_directories_pass_the_strict_check() {
    // A day more than the limit by five minutes is more than the limit.
    let place = Place::minted(&["--days", "825"]);
    assert_eq!(run(&["check", "-r", "--profile", "strict", &place.at("pki")]).exit, Exit::Ok);
    let (other, pass) = (place.at("other"), place.passphrase("pass", "x"));
    for host in ["foo_bar.x", "*.com", "*.localdomain"] {
        assert_eq!(run(&["mint", &other, "--host", host]).exit, Exit::Failed, "{host}");
    }
    run(&["mint", &other, "--passphrase-file", &pass]).failed("--encrypt");
    assert!(!std::fs::exists(&other).unwrap());
    run(&["mint", &other, "--host", "node1."]).ok();
    let names = place.certificate("other/server_certs/server.crt")["names"].clone();
    assert_eq!(names, serde_json::json!(["DNS:node1"]));
}

#[test]
fn rsa_certificates_work_with_old_peers() {
    let place = Place::minted(&["--profile", "compat"]);
    let leaf = place.certificate(&format!("{SERVER}/server.crt"));
    assert_eq!((&leaf["key"], &leaf["signature"]), (&"RSA of 3072 bits".into(), &"RSA with SHA-256".into()));
}

/// The addresses that a certificate names: of CRLs, of OCSP responders.
fn addresses(place: &Place, name: &str) -> serde_json::Value {
    let shown = place.certificate(name);
    serde_json::json!([shown["crl_urls"], shown["ocsp_urls"]])
}

#[test]
fn leaves_name_the_addresses_of_their_authority_unless_options_name_others() {
    let (crl, ocsp) = ("http://pki.example/ca.crl", "http://ocsp.example/");
    let place = Place::minted(&["--crl-url", crl, "--ocsp-url", ocsp]);
    let ca = place.at("pki/ca");
    let leaf = |name: &str, more: &[&str]| {
        run(&[&["mint", "leaf", &ca, &place.at(name), "--role", "client"], more].concat())
    };
    leaf("alice", &[]).ok();
    assert_eq!(addresses(&place, "alice/client.crt"), serde_json::json!([[crl], [ocsp]]));
    assert_eq!(addresses(&place, "alice/client.crt"), addresses(&place, "pki/client_certs/client.crt"));
    let other = "http://other.example/ca.crl";
    leaf("bob", &["--crl-url", other]).ok();
    assert_eq!(addresses(&place, "bob/client.crt"), serde_json::json!([[other], [ocsp]]));
    // Renewal keeps what each has.
    run(&["mint", "renew", "--all", &place.at("pki"), &place.at("alice"), &place.at("bob")]).ok();
    assert_eq!(addresses(&place, "alice/client.crt"), serde_json::json!([[crl], [ocsp]]));
    assert_eq!(addresses(&place, "bob/client.crt"), serde_json::json!([[other], [ocsp]]));
    // The file belongs there, and only its owner may say what goes into certificates.
    assert_eq!(std::fs::metadata(place.at("pki/ca/authority.toml")).unwrap().mode() & 0o777, 0o600);
    run(&["check", &ca]).ok();
    let set = |mode| {
        std::fs::set_permissions(place.at("pki/ca/authority.toml"), PermissionsExt::from_mode(mode)).unwrap();
    };
    set(0o666);
    leaf("carol", &[]).failed("0666");
    assert_eq!(run(&["check", &ca]).exit, Exit::No);
    set(0o600);
    std::fs::write(place.at("pki/ca/authority.toml"), "crl_urls = [\"http://x/\\u0000\"]").unwrap();
    leaf("carol", &[]).failed("authority.toml: crl_urls");
    assert!(!place.path().join("carol").exists());
    // A key does not belong into it.
    std::fs::copy(place.at("pki/ca/ca.key"), place.at("pki/ca/authority.toml")).unwrap();
    let found = json(&["check", &ca]).records("certck.finding");
    assert_eq!(found.iter().map(|f| f["rule"].as_str().unwrap()).collect::<Vec<_>>(), ["stray-key"]);
    // An authority of an older version has no such file.
    std::fs::remove_file(place.at("pki/ca/authority.toml")).unwrap();
    leaf("carol", &[]).ok();
    assert_eq!(addresses(&place, "carol/client.crt"), serde_json::json!([null, null]));
}

#[test]
fn a_request_is_signed_with_the_addresses_of_the_authority() {
    let crl = "http://pki.example/ca.crl";
    let place = Place::minted(&["--crl-url", crl]);
    let request = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let Some((made, text)) =
        place.openssl(&[&request[..], &["-keyout", "key", "-out", "csr", "-subj", "/CN=x"]].concat())
    else {
        return;
    };
    assert!(made, "{text}");
    let args =
        ["mint", "leaf", &place.at("pki/ca"), &place.at("x"), "--role", "client", "--csr", &place.at("csr")];
    run(&args).ok();
    assert_eq!(place.certificate("x/client.crt")["crl_urls"], serde_json::json!([crl]));
}

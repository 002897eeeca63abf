//! Authorities over time: revoking, renewing, adding leaves, and all that must not be lost on the way.

#![allow(clippy::unwrap_used, reason = "a test")]

mod command;
mod support;

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use command::{certck, json, run};
use common::exit::Exit;
use support::Place;

const SERVER: &str = "pki/server_certs";
const CLIENT: &str = "pki/client_certs";

#[test]
fn a_missing_crl_of_an_authority_is_not_replaced_by_an_empty_one() {
    let place = Place::minted(&[]);
    let (ca, server) = (place.at("pki/ca"), place.at(SERVER));
    for serial in ["11", "12"] {
        run(&["revoke", &ca, "--unlisted", "--serial", serial, "--to", &server]).ok();
    }
    let list = place.at("pki/ca/ca.crl");
    std::fs::remove_file(&list).unwrap();
    for command in [&["crl", "new"][..], &["revoke", "--unlisted", "--serial", "13"], &["mint", "renew"]] {
        run(&[command, &[&ca]].concat()).failed("no CRL by this authority");
    }
    run(&["mint", "leaf", &ca, &place.at("x"), "--role", "client"]).failed("--first");
    assert!(!place.path().join("x").exists());
    // Even who insists does not get an older list over a newer one.
    run(&["crl", "new", "--first", &ca, "--to", &server]).failed("older CRL");
    assert!(!std::fs::exists(&list).unwrap());
    assert_eq!(place.crl(&format!("{SERVER}/ca.crl")), ("03".into(), 2));
    std::fs::copy(place.at(&format!("{SERVER}/ca.crl")), &list).unwrap();
    run(&["crl", "new", "--first", &ca]).failed("exists: omit --first");
    run(&["crl", "new", &ca, "--to", &server]).ok();
    assert_eq!(place.crl(&format!("{SERVER}/ca.crl")), ("04".into(), 2));
    // An empty file is no CRL either; a first one is made where it is asked for.
    std::fs::write(&list, "").unwrap();
    run(&["crl", "new", &ca]).failed("no CRL");
    run(&["crl", "new", &ca, "--first"]).ok();
    assert_eq!(place.crl("pki/ca/ca.crl"), ("01".into(), 0));
}

#[test]
fn a_crl_does_not_replace_one_that_revokes_more() {
    let place = Place::minted(&[]);
    let (ca, server) = (place.at("pki/ca"), place.at(SERVER));
    std::fs::copy(place.at("pki/ca/ca.crl"), place.at("old")).unwrap();
    run(&["revoke", &ca, "--unlisted", "--serial", "11", "--to", &server]).ok();
    std::fs::copy(place.at("old"), place.at("pki/ca/ca.crl")).unwrap();
    // The number would be the same, the serial number gone.
    run(&["crl", "new", &ca, "--to", &server]).failed("does not revoke 11");
    assert_eq!(place.crl("pki/ca/ca.crl"), ("01".into(), 0));
    assert_eq!(place.crl(&format!("{SERVER}/ca.crl")), ("02".into(), 1));
}

#[test]
fn crls_are_published_only_to_directories_that_trust_the_authority() {
    let (place, theirs) = (Place::minted(&[]), Place::minted(&[]));
    let (ca, server) = (place.at("pki/ca"), place.at(SERVER));
    std::fs::create_dir(place.at("empty")).unwrap();
    for (to, why) in [
        (theirs.at(SERVER), "not under"),
        (place.at("empty"), "not a certificate directory"),
        (place.at("pki/ca"), "not a certificate directory"),
    ] {
        run(&["revoke", &ca, "--unlisted", "--serial", "11", "--to", &server, "--to", &to]).failed(why);
        run(&["crl", "new", &ca, "--to", &server, "--to", &to]).failed(why);
    }
    assert_eq!((place.crl("pki/ca/ca.crl").1, place.crl(&format!("{SERVER}/ca.crl")).1), (0, 0));
    let both = [place.text(&format!("{SERVER}/ca.crl")), theirs.text("pki/ca/ca.crl")].concat();
    std::fs::write(place.at(&format!("{SERVER}/ca.crl")), both).unwrap();
    // The same directory twice, by whatever name, is one.
    let again = format!("{server}/.");
    let ran = json(&["revoke", &ca, "--unlisted", "--serial", "11", "--to", &server, "--to", &again]).ok();
    assert_eq!(ran.records("certck.written").len(), 2);
    let lists = json(&["show", &place.at(&format!("{SERVER}/ca.crl"))]).ok().records("certck.crl");
    let numbers: Vec<_> = lists.iter().map(|l| l["number"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["02", "01"]);
    assert_ne!(lists[0]["issuer"], lists[1]["issuer"], "default names differ");
}

/// A revocation reaches what it can, whatever is wrong with another directory; what it could not reach is an error.
#[test]
fn a_crl_reaches_the_other_directories_if_one_cannot_be_written() {
    let place = Place::minted(&[]);
    let (ca, server, client) = (place.at("pki/ca"), place.at(SERVER), place.at(CLIENT));
    let list = place.at(&format!("{CLIENT}/ca.crl"));
    std::fs::remove_file(&list).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, &*list, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for (serial, to) in [("11", place.at("nowhere")), ("12", client.clone())] {
        let (exit, _) =
            certck(&["revoke", &ca, "--unlisted", "--serial", serial, "--to", &to, "--to", &server]);
        assert_eq!(exit, Exit::Failed, "{to}");
    }
    assert_eq!((place.crl("pki/ca/ca.crl").1, place.crl(&format!("{SERVER}/ca.crl")).1), (2, 2));
    // A link is replaced by the file, and what it leads to stays.
    std::fs::remove_file(&list).unwrap();
    std::fs::copy(place.at("pki/ca/ca.crl"), place.at("elsewhere")).unwrap();
    std::os::unix::fs::symlink(place.at("elsewhere"), &list).unwrap();
    run(&["revoke", &ca, "--unlisted", "--serial", "13", "--to", &client]).ok();
    assert_eq!((place.crl(&format!("{CLIENT}/ca.crl")).1, place.crl("elsewhere").1), (3, 2));
}

#[test]
fn a_file_replaced_by_root_belongs_to_the_owner_of_the_key() {
    const DAEMON: u32 = 1000;
    if !testkit::require_root() {
        return;
    }
    let place = Place::minted(&[]);
    let (ca, server) = (place.at("pki/ca"), place.at(SERVER));
    for name in ["", "/ca.crt", "/server.crt", "/server.key"] {
        std::os::unix::fs::chown(format!("{server}{name}"), Some(DAEMON), Some(DAEMON)).unwrap();
    }
    // The CRL was copied by root.
    run(&["revoke", &ca, "--unlisted", "--serial", "11", "--to", &server]).ok();
    let meta = std::fs::metadata(format!("{server}/ca.crl")).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (DAEMON, 0o600));
    // A certificate that was copied by root is closed to the daemon, and that is said.
    std::os::unix::fs::chown(format!("{server}/server.crt"), Some(0), Some(0)).unwrap();
    run(&["revoke", &ca, "--unlisted", "--serial", "12", "--to", &server]).no("readable for uid 1000");
}

#[test]
fn a_file_replaced_by_root_keeps_its_owner() {
    const DAEMON: u32 = 1000;
    if !testkit::require_root() {
        return;
    }
    let place = Place::minted(&["--days", "20"]);
    let (ca, server) = (place.at("pki/ca"), place.at(SERVER));
    let files = ["ca.crt", "server.crt", "server.key", "ca.crl"].map(|f| format!("{server}/{f}"));
    for path in files.iter().chain([&server]) {
        std::os::unix::fs::chown(path, Some(DAEMON), Some(DAEMON)).unwrap();
    }
    let owners = || -> Vec<(u32, u32, u32)> {
        let meta = |p: &String| std::fs::metadata(p).map(|m| (m.uid(), m.gid(), m.mode() & 0o777)).unwrap();
        files.iter().map(meta).collect()
    };
    let all = vec![(DAEMON, DAEMON, 0o600); 4];
    run(&["revoke", &ca, "--unlisted", "--serial", "11", "--to", &server]).ok();
    assert_eq!(owners(), all, "revoke");
    run(&["crl", "new", &ca, "--to", &server]).ok();
    assert_eq!(owners(), all, "crl new");
    run(&["crl", "new", &ca]).ok();
    let url = support::documents(vec![place.read("pki/ca/ca.crl"), place.read("pki/ca/ca.crl")]);
    run(&["crl", "fetch", "--url", &url, &server]).ok();
    assert_eq!(owners(), all, "crl fetch");
    std::fs::remove_file(&files[3]).unwrap();
    run(&["crl", "fetch", "--url", &url, &server]).ok();
    assert_eq!(owners(), all, "a new one has its directory's owner");
    run(&["mint", "renew", "--before", "30", &place.at("pki")]).ok();
    assert_eq!(owners(), all, "mint renew");
    let meta = std::fs::metadata(&server).unwrap();
    assert_eq!((meta.uid(), meta.mode() & 0o777), (DAEMON, 0o700));
}

#[test]
fn renewal_keeps_names_algorithm_and_role() {
    let place = Place::new();
    let right = place.passphrase("right", "correct horse");
    let wrong = place.passphrase("wrong", "battery staple");
    let pki = place.at("pki");
    let mint = ["mint", &pki, "--algo", "rsa-3072", "--days", "10", "--encrypt", "--passphrase-file", &right];
    let urls = ["--crl-url", "http://pki.example/ca.crl", "--ocsp-url", "http://pki.example/ocsp"];
    run(&[&mint[..], &urls].concat()).ok();
    let leaf = format!("{SERVER}/server.crt");
    let old = place.certificate(&leaf);
    run(&["mint", "renew", "--before", "30", &pki]).failed("encrypted");
    run(&["mint", "renew", "--before", "30", &pki, "--passphrase-file", &wrong])
        .failed("passphrase is wrong");
    assert_eq!(place.certificate(&leaf), old);
    run(&["mint", "renew", "--before", "30", &pki, "--passphrase-file", &right]).ok();
    let new = place.certificate(&leaf);
    assert_ne!(new["serial"], old["serial"]);
    for same in ["key", "subject", "names", "crl_urls"] {
        assert_eq!(new[same], old[same], "{same}");
    }
    let cert = &common::pki::pem::parse(&place.read(&leaf)).unwrap()[0].der;
    let cert = common::pki::Cert::parse(cert).unwrap();
    assert_eq!(cert.not_after.unix - cert.not_before.unix, 10 * 86_400);
    let responders = cert.extensions.authority_info_access.unwrap().value;
    assert_eq!(responders, ["http://pki.example/ocsp"]);
    assert!(place.text(&format!("{SERVER}/server.key")).contains("ENCRYPTED"));
    let check = ["check", &place.at(SERVER), "--profile", "strict", "--passphrase-file", &right];
    assert_eq!(run(&check).exit, Exit::Ok);
    // Options change it.
    let more = ["--algo", "ed25519", "--plain", "--days", "20", "--role", "server"];
    run(&[&["mint", "renew", "--before", "30", &pki, "--passphrase-file", &right][..], &more].concat()).ok();
    assert_eq!(place.certificate(&leaf)["key"], "Ed25519");
    assert!(!place.text(&format!("{SERVER}/server.key")).contains("ENCRYPTED"));
    assert_eq!(place.certificate(&format!("{CLIENT}/client.crt"))["key"], "RSA of 3072 bits");
}

#[test]
fn renewal_checks_the_new_directory_before_replacing_the_old() {
    let place = Place::minted(&["--days", "20", "--crl-days", "20"]);
    let (pki, leaf) = (place.at("pki"), format!("{SERVER}/server.crt"));
    let serial = || place.certificate(&leaf)["serial"].clone();
    let first = serial();
    // What would go with the old directory is no small matter.
    let notes = place.at(&format!("{SERVER}/notes"));
    std::fs::write(&notes, "x").unwrap();
    run(&["mint", "renew", "--before", "30", &pki]).failed("notes: would be lost");
    assert_eq!((serial(), std::fs::exists(&notes).unwrap()), (first.clone(), true));
    assert_eq!(place.crl("pki/ca/ca.crl").0, "01");
    std::fs::remove_file(&notes).unwrap();
    // A dry run tells of CRLs too, and changes nothing.
    let dry = json(&["mint", "renew", "--before", "30", "-n", &pki]).ok();
    let whats: Vec<_> = dry.records("certck.written").iter().map(|w| w["what"].to_string()).collect();
    assert_eq!(whats.len(), 5, "{whats:?}");
    assert!(dry.records("certck.written").iter().all(|w| w.get("serial").is_none() && w["dry_run"] == true));
    assert_eq!(dry.records("certck.summary")[0]["made"], 0);
    let dry = run(&["mint", "renew", "--before", "30", "-n", &pki]).ok();
    assert!(dry.text.lines().all(|line| line.starts_with("would write ")), "{}", dry.text);
    assert_eq!((serial(), place.crl("pki/ca/ca.crl").0), (first.clone(), "01".into()));
    // A link is followed: the directory that serves is the one that is renewed.
    let real = place.at("elsewhere");
    std::fs::rename(place.at(SERVER), &real).unwrap();
    std::os::unix::fs::symlink(&real, place.at(SERVER)).unwrap();
    let ran = json(&["mint", "renew", "--before", "30", &pki]).ok();
    let directory = &ran.records("certck.written")[3];
    assert_eq!((&directory["what"], &directory["serial"]), (&"directory".into(), &serial()));
    assert_ne!(serial(), first);
    assert!(std::fs::symlink_metadata(place.at(SERVER)).unwrap().is_symlink());
    assert_eq!(place.crl("elsewhere/ca.crl").0, "02");
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 2, "nothing is left behind");
}

#[test]
fn revoked_certificates_are_renewed_only_with_the_option() {
    let place = Place::minted(&[]);
    let (pki, leaf) = (place.at("pki"), place.at(&format!("{CLIENT}/client.crt")));
    let [server, client] = [SERVER, CLIENT].map(|d| place.at(d));
    run(&["revoke", &place.at("pki/ca"), &leaf, "--to", &server, "--to", &client]).no("[revoked]");
    assert_eq!(run(&["check", &client]).exit, Exit::No);
    for all in [&[][..], &["--all", "--role", "client"]] {
        let ran = json(&[&["mint", "renew", &pki], all].concat());
        assert_eq!(ran.exit, Exit::No);
        assert!(ran.records("certck.written").iter().all(|w| w["what"] == "crl"), "{}", ran.text);
    }
    json(&["mint", "renew", "--role", "server", &pki]).ok();
    let ran = json(&["mint", "renew", "--revoked", &pki]).ok();
    assert_eq!(ran.records("certck.written").len(), 1);
    assert_eq!(run(&["check", "-r", &pki]).exit, Exit::Ok);
}

#[test]
fn short_lived_certificates_are_not_renewed_from_the_first_day() {
    let place = Place::minted(&["--days", "30", "--crl-days", "7"]);
    let ran = json(&["mint", "renew", "-n", &place.at("pki")]).ok();
    assert_eq!(ran.records("certck.written").len(), 0, "{}", ran.text);
    let ran = json(&["mint", "renew", "-n", "--before", "30", &place.at("pki")]).ok();
    assert_eq!(ran.records("certck.written").len(), 5);
}

#[test]
fn renewed_certificates_expire_no_later_than_the_root() {
    let place = Place::minted(&["--days", "20", "--ca-days", "100", "--crl-days", "90"]);
    let (pki, leaf) = (place.at("pki"), format!("{SERVER}/server.crt"));
    // Nothing is due: nothing is wrong.
    let ran = json(&["mint", "renew", "--before", "10", "--days", "200", &pki]).ok();
    assert_eq!(ran.records("certck.written").len(), 0);
    run(&["mint", "renew", "--before", "30", "--days", "200", &pki]).ok();
    let root = place.certificate("pki/ca/ca.crt");
    assert_eq!(place.certificate(&leaf)["not_after"], root["not_after"]);
    assert_eq!(run(&["check", "-r", "--profile", "strict", &pki]).exit, Exit::Ok);
    // As long as the root cannot be outlived, there is nothing to win.
    let serial = place.certificate(&leaf)["serial"].clone();
    run(&["mint", "renew", "--before", "200", &pki]).ok();
    assert_eq!(place.certificate(&leaf)["serial"], serial);
}

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

/// Enough for `openssl ca` to make a CRL with a number.
const CONFIG: &str = "[ca]\ndefault_ca=x\n[x]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n\
default_crl_days=9\ncrl_extensions=e\n[e]\nauthorityKeyIdentifier=keyid\n";

/// Authorities that openssl made: the key's identifier is another hash, and names have parts of the same kind.
#[test]
fn authorities_made_by_openssl_sign_under_their_own_name() {
    for (subject, algorithm) in [
        ("/DC=org/DC=example/CN=Lab CA", &["ec", "-pkeyopt", "ec_paramgen_curve:P-256"][..]),
        ("/O=Lab/CN=a+OU=b", &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"]),
        ("/C=DE/O=Müller/O=Söhne", &["rsa:3072"]),
    ] {
        let place = Place::new();
        std::fs::create_dir(place.at("ca")).unwrap();
        let common = ["req", "-x509", "-utf8", "-multivalue-rdn", "-nodes", "-days", "100", "-subj", subject];
        let files = ["-keyout", "ca/ca.key", "-out", "ca/ca.crt"];
        let usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign", "-newkey"];
        let Some((made, text)) = place.openssl(&[&common[..], &files, &usage, algorithm].concat()) else {
            return;
        };
        assert!(made, "{text}");
        std::fs::set_permissions(place.at("ca/ca.key"), PermissionsExt::from_mode(0o600)).unwrap();
        let (ca, leaf) = (place.at("ca"), place.at("leaf"));
        run(&["revoke", &ca, "--unlisted", "--serial", "11"]).failed("--first");
        run(&["revoke", &ca, "--unlisted", "--serial", "11", "--first"]).ok();
        run(&["mint", "leaf", &ca, &leaf, "--role", "client", "--name", "x"]).ok();
        // The next list is never made before the last one, which openssl made a moment ago.
        std::fs::write(place.at("config"), CONFIG).unwrap();
        for (file, text) in [("index", ""), ("number", "10")] {
            std::fs::write(place.at(file), text).unwrap();
        }
        let list =
            ["ca", "-gencrl", "-config", "config", "-keyfile", "ca/ca.key", "-cert", "ca/ca.crt", "-out"];
        let (made, text) = place.openssl(&[&list[..], &["leaf/ca.crl"]].concat()).unwrap();
        assert!(made, "{text}");
        run(&["crl", "new", &ca, "--to", &leaf]).failed("older CRL");
        std::fs::copy(place.at("leaf/ca.crl"), place.at("ca/ca.crl")).unwrap();
        run(&["crl", "new", &ca, "--to", &leaf]).ok();
        assert_eq!(place.crl("leaf/ca.crl"), ("11".into(), 0));
        assert_eq!(run(&["check", "--profile", "strict", &leaf]).exit, Exit::Ok);
        let verify =
            ["verify", "-x509_strict", "-crl_check_all", "-CAfile", "leaf/ca.crt", "-CRLfile", "leaf/ca.crl"];
        let (good, text) = place.openssl(&[&verify[..], &["leaf/client.crt"]].concat()).unwrap();
        assert!(good, "{subject}: {text}");
        run(&["revoke", &ca, &format!("{leaf}/client.crt"), "--to", &leaf]).no("[revoked]");
        let (good, text) = place.openssl(&[&verify[..], &["leaf/client.crt"]].concat()).unwrap();
        assert!(!good && text.contains("certificate revoked"), "{subject}: {text}");
    }
}

#[test]
fn revoked_serials_that_cannot_be_encoded_again_are_not_lost() {
    let place = Place::minted(&[]);
    std::fs::write(place.at("config"), CONFIG).unwrap();
    std::fs::write(place.at("number"), "10").unwrap();
    let index = "R\t491231235959Z\t251101000000Z\t-7F00\tunknown\t/CN=x\n";
    std::fs::write(place.at("index"), index).unwrap();
    let list = ["ca", "-gencrl", "-config", "config", "-keyfile", "pki/ca/ca.key", "-cert", "pki/ca/ca.crt"];
    let Some((made, text)) = place.openssl(&[&list[..], &["-out", "pki/ca/ca.crl"]].concat()) else { return };
    assert!(made, "{text}");
    let before = place.crl("pki/ca/ca.crl");
    run(&["crl", "new", &place.at("pki/ca")]).failed("8100, which is not a positive number");
    assert_eq!((place.crl("pki/ca/ca.crl"), before), (("10".into(), 1), ("10".into(), 1)));
}

#[test]
fn the_crl_of_another_authority_with_the_same_name_is_kept() {
    let place = Place::new();
    let [ours, theirs] = ["ours", "theirs"].map(|name| place.at(name));
    for pki in [&ours, &theirs] {
        run(&["mint", pki, "--name", "Lab CA"]).ok();
    }
    let server = place.at("ours/server_certs");
    for file in ["ca.crt", "ca.crl"] {
        let both = [place.text(&format!("ours/ca/{file}")), place.text(&format!("theirs/ca/{file}"))];
        std::fs::write(place.at(&format!("ours/server_certs/{file}")), both.concat()).unwrap();
    }
    run(&["crl", "new", &place.at("ours/ca"), "--to", &server]).ok();
    let lists = json(&["show", &format!("{server}/ca.crl")]).ok().records("certck.crl");
    let numbers: Vec<_> = lists.iter().map(|l| l["number"].as_str().unwrap()).collect();
    assert_eq!(numbers, ["02", "01"]);
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
fn an_authority_cannot_revoke_its_own_certificate() {
    let place = Place::minted(&[]);
    let (ca, root) = (place.at("pki/ca"), place.at("pki/ca/ca.crt"));
    run(&["revoke", &ca, &root]).failed("own certificate");
    let serial = place.certificate("pki/ca/ca.crt")["serial"].as_str().unwrap().to_owned();
    run(&["revoke", &ca, "--unlisted", "--serial", &serial]).failed("own certificate");
    assert_eq!(place.crl("pki/ca/ca.crl"), ("01".into(), 0));
}

#[test]
fn a_new_crl_is_valid_for_as_long_as_its_predecessor() {
    let place = Place::minted(&["--days", "200"]);
    let ca = place.at("pki/ca");
    let days = || {
        let crl = files_crl(&place.read("pki/ca/ca.crl"));
        (crl.next_update.unwrap().unix - crl.this_update.unix) / 86_400
    };
    run(&["revoke", &ca, "--unlisted", "--serial", "11"]).ok();
    assert_eq!(days(), 200);
    run(&["crl", "new", &ca, "--days", "7"]).ok();
    assert_eq!(days(), 7);
    run(&["crl", "new", &ca]).ok();
    assert_eq!(days(), 7);
    // Where the authority's settings say how long, that counts; what they are if they cannot be read keeps nothing back.
    let settings = place.at("pki/ca/authority.toml");
    std::fs::write(
        &settings,
        place.text("pki/ca/authority.toml").replace("# crl_days = 30", "crl_days = 21"),
    )
    .unwrap();
    run(&["crl", "new", &ca]).ok();
    assert_eq!(days(), 21);
    run(&["crl", "new", &ca, "--days", "9"]).ok();
    assert_eq!(days(), 9);
    std::fs::write(&settings, "crl_days = many").unwrap();
    run(&["revoke", &ca, "--unlisted", "--serial", "12"]).ok();
    assert_eq!((days(), place.crl("pki/ca/ca.crl").1), (9, 2));
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
fn a_new_root_has_the_settings_of_the_old_one() {
    let place =
        Place::minted(&["--days", "20", "--crl-days", "40", "--crl-url", "http://pki.example/ca.crl"]);
    run(&["mint", "rollover", "begin", &place.at("pki")]).ok();
    assert_eq!(place.text("pki/ca.next/authority.toml"), place.text("pki/ca/authority.toml"));
    assert!(place.text("pki/ca/authority.toml").contains("\ncrl_days = 40\n"));
}

/// Peers present certificates of either root from the first step to the last: a new directory trusts both, whichever
/// authority it is by.
#[test]
fn a_leaf_that_is_minted_during_a_rollover_trusts_both_roots() {
    let place = Place::minted(&[]);
    let mint = |ca: &str, name: &str| {
        let args = ["mint", "leaf", &place.at(ca), &place.at(name), "--role", "client", "--name", name];
        run(&args).ok();
        let of = |file: &str| place.text(&format!("{name}/{file}")).matches("BEGIN").count();
        (of("ca.crt"), of("ca.crl"))
    };
    assert_eq!(mint("pki/ca", "before"), (1, 1));
    run(&["mint", "rollover", "begin", &place.at("pki"), "--name", "profguard CA"]).ok();
    for (ca, name) in [("pki/ca", "l1"), ("pki/ca.next", "l2"), ("pki", "l3")] {
        assert_eq!(mint(ca, name), (2, 2), "{ca}");
    }
    run(&["mint", "rollover", "renew", &place.at("pki")]).ok();
    assert_eq!(mint("pki/ca.next", "l4"), (2, 2));
    // Without the CRL of the other authority, a peer could not tell what it has revoked.
    std::fs::rename(place.at("pki/ca.next/ca.crl"), place.at("crl")).unwrap();
    let args = ["mint", "leaf", &place.at("pki/ca"), &place.at("l5"), "--role", "client"];
    run(&args).failed("no CRL by this authority");
    std::fs::rename(place.at("crl"), place.at("pki/ca.next/ca.crl")).unwrap();
    run(&["mint", "rollover", "finish", "--force", &place.at("pki")]).ok();
    assert_eq!(mint("pki/ca", "after"), (1, 1));
}

/// One option for all commands that read CRLs; what is too large is an error, never an empty list.
#[test]
fn crls_beyond_the_limit_are_rejected_by_every_command() {
    let place = Place::minted(&[]);
    let (pki, ca, server) = (place.at("pki"), place.at("pki/ca"), place.at("pki/server_certs"));
    let limited = |args: &[&str], limit: &str| run(&[args, &["--max-crl-bytes", limit]].concat());
    let leaf = place.at("leaf");
    let commands: &[&[&str]] = &[
        &["revoke", &ca, "--unlisted", "--serial", "11"],
        &["crl", "new", &ca],
        &["mint", "leaf", &ca, &leaf, "--role", "client"],
        &["mint", "renew", "--all", &pki],
        &["mint", "rollover", "begin", &pki],
        &["show", &place.at("pki/ca/ca.crl")],
        &["crl", "check", "--ca", &place.at("pki/ca/ca.crt"), &place.at("pki/ca/ca.crl")],
    ];
    for args in commands {
        let ran = limited(args, "100");
        assert_eq!(ran.exit, Exit::Failed, "{args:?}: {} {}", ran.text, ran.error);
    }
    let checked = limited(&["check", &server], "100");
    assert_eq!(checked.exit, Exit::No);
    assert!(
        checked.text.contains("larger --max-crl-bytes") && !checked.text.contains("not a link"),
        "{}",
        checked.text
    );
    assert_eq!(place.crl("pki/ca/ca.crl"), ("01".to_owned(), 0));
    for args in commands {
        assert_eq!(limited(args, "1MiB").exit, Exit::Ok, "{args:?}");
    }
    // The CRL of a directory that is beyond the limit would be lost with the directory.
    let crl = place.text("pki/server_certs/ca.crl");
    std::fs::write(place.at("pki/server_certs/ca.crl"), crl + &"\n".repeat(20_000)).unwrap();
    limited(&["mint", "rollover", "renew", &pki], "10KiB");
    assert!(place.text("pki/server_certs/ca.crl").contains("BEGIN X509 CRL"));
    run(&["mint", "rollover", "renew", &pki]).ok();
}

fn files_crl(pem: &[u8]) -> common::pki::Crl {
    common::pki::Crl::parse(&common::pki::pem::parse(pem).unwrap()[0].der).unwrap()
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

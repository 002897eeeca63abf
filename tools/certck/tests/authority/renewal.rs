//! Renewing leaves, and rolling over a root.

use common::exit::Exit;

use crate::command::{json, run};
use crate::support::Place;
use crate::{CLIENT, SERVER};

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

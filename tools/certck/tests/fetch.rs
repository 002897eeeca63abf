//! `certck crl fetch`: what comes from elsewhere is taken only if it is good, and nothing is lost with it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod command;
mod support;

use command::{Ran, json, run};
use common::exit::Exit;
use support::{Place, documents, serve};

const SERVER: &str = "pki/server_certs";
const LIST: &str = "pki/server_certs/ca.crl";

/// An authority, and its second CRL in place of the first.
fn revoked(options: &[&str]) -> (Place, Vec<u8>) {
    let place = Place::minted(options);
    let first = place.read("pki/ca/ca.crl");
    run(&["revoke", &place.at("pki/ca"), "--unlisted", "--serial", "11"]).ok();
    (place, first)
}

fn fetch(place: &Place, url: &str) -> Ran {
    json(&["crl", "fetch", "--url", url, &place.at(SERVER)])
}

/// Why nothing was replaced.
fn rule(ran: &Ran) -> String {
    assert_eq!((ran.exit, ran.error.as_str()), (Exit::No, ""), "{}", ran.text);
    ran.records("certck.finding")[0]["rule"].as_str().unwrap().to_owned()
}

#[test]
fn malformed_blocks_beside_a_crl_do_not_hide_it() {
    let (place, first) = revoked(&[]);
    let (second, theirs) = (place.read("pki/ca/ca.crl"), Place::minted(&[]).text("pki/ca/ca.crl"));
    run(&["crl", "new", &place.at("pki/ca")]).ok();
    let third = place.read("pki/ca/ca.crl");
    let broken = "-----BEGIN X509 CRL-----\n!\n-----END X509 CRL-----\n";
    let text = [broken.as_bytes(), theirs.as_bytes(), &second, &broken.as_bytes()[..30]].concat();
    let der = common::pki::pem::parse(&second).unwrap()[0].der.to_vec();
    for present in [text, der] {
        std::fs::write(place.at(LIST), &present).unwrap();
        let ran = fetch(&place, &documents(vec![first.clone()]));
        assert_eq!(rule(&ran), "crl-older");
        assert_eq!(place.read(LIST), present);
        // The same list mends the file, a newer one replaces it; the others' stay.
        fetch(&place, &documents(vec![third.clone()])).ok();
        let lists = json(&["show", &place.at(LIST)]).ok().records("certck.crl").len();
        assert_eq!(lists, if present[0] == 0x30 { 1 } else { 2 });
    }
}

#[test]
fn an_invalid_crl_exits_with_1_and_an_unreachable_address_with_2() {
    let (place, first) = revoked(&[]);
    let second = place.read("pki/ca/ca.crl");
    let url = documents(vec![second.clone(), second, first, b"<html>".to_vec()]);
    fetch(&place, &url).ok();
    let unchanged = run(&["crl", "fetch", "--url", &url, &place.at(SERVER)]).ok();
    assert_eq!(unchanged.text, "", "a cron job that does nothing says nothing");
    let old = fetch(&place, &url);
    assert_eq!(rule(&old), "crl-older");
    let found = old.records("certck.finding")[0]["found"].to_string();
    assert!(found.contains("its number 01 is lower than the present 02"), "{found}");
    assert_eq!(rule(&fetch(&place, &url)), "malformed-crl");
    let foreign = documents(vec![Place::minted(&[]).read("pki/ca/ca.crl")]);
    assert_eq!(rule(&fetch(&place, &foreign)), "crl-issuer");
    assert_eq!(fetch(&place, "http://127.0.0.1:1/ca.crl").exit, Exit::Failed);
    let missing = format!("http://127.0.0.1:{}/", serve(vec![("404 Not Found".into(), vec![])]));
    assert_eq!(fetch(&place, &missing).exit, Exit::Failed);
}

/// A list of version 1 has no number, so it must not replace one that has. Where there is none, it is better than nothing:
/// RFC 5280, section 6.3, does not reject it. Whose the files are does not matter to that.
#[test]
fn a_crl_of_version_1_replaces_none_with_a_number() {
    let place = Place::minted(&[]);
    let (server, before) = (place.at(SERVER), place.read(LIST));
    let config = "[ca]\ndefault_ca=x\n[x]\ndatabase=index\ndefault_md=sha256\ndefault_crl_days=9\n";
    std::fs::write(place.at("config"), config).unwrap();
    std::fs::write(place.at("index"), "").unwrap();
    let make = ["ca", "-gencrl", "-config", "config", "-keyfile", "pki/ca/ca.key", "-cert", "pki/ca/ca.crt"];
    let Some((made, text)) = place.openssl(&[&make[..], &["-out", "v1"]].concat()) else { return };
    assert!(made, "{text}");
    let v1 = place.read("v1");
    let url = documents(vec![v1.clone(), v1]);
    assert_eq!(rule(&fetch(&place, &url)), "crl-older", "it has no number");
    assert_eq!(place.read(LIST), before);
    std::fs::remove_file(place.at(LIST)).unwrap();
    // Only root may do this; for others, the files stay their own.
    for file in ["server.key", "server.crt", "ca.crt", ""] {
        let _ = std::os::unix::fs::chown(format!("{server}/{file}"), Some(1000), None);
    }
    assert_eq!(fetch(&place, &url).exit, Exit::Ok);
    assert!(std::fs::exists(place.at(LIST)).unwrap());
}

#[test]
fn a_crl_that_the_loader_finds_too_large_is_not_downloaded() {
    let place = Place::minted(&[]);
    let large = [place.read("pki/ca/ca.crl"), vec![b'\n'; 2 << 20]].concat();
    let url = documents(vec![large.clone(), large]);
    let args = ["crl", "fetch", "--url", &url, &place.at(SERVER), "--max-crl-bytes"];
    run(&[&args[..], &["1MiB"]].concat()).failed("");
    run(&[&args[..], &["4MiB"]].concat()).ok();
}

#[test]
fn a_crl_that_revokes_the_own_leaf_is_installed() {
    let place = Place::minted(&[]);
    run(&["revoke", &place.at("pki/ca"), &place.at("pki/server_certs/server.crt")]).ok();
    let fetched = fetch(&place, &documents(vec![place.read("pki/ca/ca.crl")]));
    assert_eq!((fetched.exit, rule(&fetched)), (Exit::No, "revoked".to_owned()));
    assert_eq!(place.crl(LIST), ("02".into(), 1));
    assert_eq!(run(&["check", &place.at(SERVER)]).exit, Exit::No);
}

#[test]
fn addresses_are_those_of_the_certificates_each_tried_until_one_works() {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = probe.local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}/ca.crl");
    let (place, _) = revoked(&["--crl-url", "http://127.0.0.1:1/ca.crl", "--crl-url", &url]);
    let second = place.read("pki/ca/ca.crl");
    // One download for two directories.
    let server = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = probe.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", second.len());
        stream.write_all(&[head.as_bytes(), &second].concat()).unwrap();
    });
    let ran = json(&["crl", "fetch", &place.at(SERVER), &place.at("pki/client_certs")]).ok();
    server.join().unwrap();
    assert_eq!(ran.records("certck.written").len(), 2);
    assert_eq!(ran.records("certck.summary")[0]["made"], 2);
    // Nobody answers any more; one directory's trouble does not hide the other's.
    let ran = json(&["crl", "fetch", "/nowhere", &place.at(SERVER)]);
    assert_eq!(ran.exit, Exit::Failed);
    assert!(ran.records("certck.summary")[0]["errors"].as_u64().unwrap() >= 2);
}

#[test]
fn a_redirection_to_https_is_followed_without_panic() {
    let place = Place::minted(&[]);
    let head = "302 Found\r\nLocation: https://127.0.0.1:1/ca.crl".to_owned();
    let url = format!("http://127.0.0.1:{}/ca.crl", serve(vec![(head, vec![])]));
    assert_eq!(fetch(&place, &url).exit, Exit::Failed);
}

#[test]
fn concurrent_runs_never_restore_an_older_crl() {
    let (place, first) = revoked(&[]);
    let second = place.read("pki/ca/ca.crl");
    for _ in 0..5 {
        std::fs::write(place.at(LIST), &first).unwrap();
        let urls = [documents(vec![first.clone()]), documents(vec![second.clone()])];
        std::thread::scope(|scope| {
            for url in &urls {
                scope.spawn(|| fetch(&place, url));
            }
        });
        assert_eq!(place.crl(LIST).0, "02");
    }
}

//! Directories of the layout that Kubernetes, cert-manager and others use (`tls.crt`, `tls.key`, `ca.crt`): plain ones, and
//! volumes, in which the files are links into a hidden directory.

#![allow(clippy::unwrap_used, reason = "a test")]

mod command;
mod support;

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use command::{json, run};
use common::exit::Exit;
use common::pki::{LoadOptions, MinVersion, MtlsDir, Role};
use support::{Place, documents};

/// Copies a directory that was minted into one with the names of a secret; as a volume, behind links.
fn make_secret(place: &Place, role: &str, to: &str, is_volume: bool) -> String {
    let (from, to) = (place.at(&format!("pki/{role}_certs")), place.at(to));
    let data = if is_volume { format!("{to}/..2026_01") } else { to.clone() };
    std::fs::create_dir_all(&data).unwrap();
    for (name, file) in [
        ("ca.crt", "ca.crt"),
        ("ca.crl", "ca.crl"),
        ("tls.crt", &format!("{role}.crt")),
        ("tls.key", &format!("{role}.key")),
    ] {
        std::fs::copy(format!("{from}/{file}"), format!("{data}/{name}")).unwrap();
        std::fs::set_permissions(format!("{data}/{name}"), PermissionsExt::from_mode(0o600)).unwrap();
        if is_volume {
            symlink(format!("..data/{name}"), format!("{to}/{name}")).unwrap();
        }
    }
    if is_volume {
        symlink("..2026_01", format!("{to}/..data")).unwrap();
    }
    std::fs::set_permissions(&to, PermissionsExt::from_mode(0o700)).unwrap();
    to
}

#[test]
fn a_crl_is_fetched_into_a_secret_and_not_beside_a_volume() {
    let place = Place::minted(&[]);
    let (plain, volume) =
        (make_secret(&place, "server", "plain", false), make_secret(&place, "server", "volume", true));
    run(&["revoke", &place.at("pki/ca"), "--unlisted", "--serial", "11"]).ok();
    let url = documents(vec![place.read("pki/ca/ca.crl"); 2]);
    json(&["crl", "fetch", "--url", &url, &plain]).ok();
    assert_eq!(place.crl("plain/ca.crl"), ("02".into(), 1));
    run(&["check", &plain]).ok();
    // The kubelet decides what is in a volume: a file that is written there would not be read.
    let refused = json(&["crl", "fetch", "--url", &url, &volume]);
    assert_eq!(refused.exit, Exit::Failed, "{}", refused.text);
    assert_eq!(place.crl("volume/..2026_01/ca.crl"), ("01".into(), 0));
    assert!(Path::new(&volume).join("ca.crl").is_symlink());
}

/// The addresses of a secret's own certificates are used, too.
#[test]
fn the_distribution_points_of_a_secret_are_read() {
    let place = Place::minted(&["--crl-url", "http://127.0.0.1:1/ca.crl"]);
    for is_volume in [false, true] {
        let dir = make_secret(&place, "client", if is_volume { "volume" } else { "plain" }, is_volume);
        let ran = json(&["crl", "fetch", &dir]);
        assert_eq!(ran.exit, Exit::Failed, "nobody answers there");
        assert!(!ran.text.contains("no CRL distribution point"), "{}", ran.text);
        assert_eq!(ran.records("certck.summary")[0]["errors"], 1, "{}", ran.text);
    }
}

#[test]
fn a_client_that_must_be_rejected_may_be_a_secret() {
    let place = Place::minted(&[]);
    let server = Path::new(&place.at("pki/server_certs")).to_owned();
    let server = MtlsDir::load(&server, Role::Server, &LoadOptions::now()).unwrap();
    let config = std::sync::Arc::new(server.server_config(MinVersion::Tls13).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
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
    // One of this CA, which the daemon takes, and one of another, which it does not.
    let theirs = Place::minted(&[]);
    for is_volume in [false, true] {
        let own = make_secret(&place, "client", &format!("own-{is_volume}"), is_volume);
        let other = make_secret(&theirs, "client", &format!("other-{is_volume}"), is_volume);
        let probe = |decoy: &str| {
            json(&["probe", &address, "--host", "localhost", "--certs-dir", &own, "--must-reject", decoy])
        };
        let good = probe(&other).ok();
        let tried = good.records("certck.probe")[0]["tried"].to_string();
        assert!(tried.contains(&other), "{tried}");
        let accepted = probe(&own);
        assert_eq!(accepted.exit, Exit::No, "{}", accepted.text);
        assert_eq!(accepted.records("certck.finding")[0]["rule"], "wrong-client-accepted");
    }
}

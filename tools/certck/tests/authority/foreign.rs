//! Authorities that other programs made, and files that root replaces.

use std::os::unix::fs::{MetadataExt, PermissionsExt};

use common::exit::Exit;

use crate::command::run;
use crate::support::Place;
use crate::{SERVER, support};

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

/// Enough for `openssl ca` to make a CRL with a number.
pub(crate) const CONFIG: &str = "[ca]\ndefault_ca=x\n[x]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\n\
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

//! The CRLs of an authority: nothing that is revoked is lost, whoever signs and writes.

use common::exit::Exit;

use crate::command::{certck, json, run};
use crate::foreign::CONFIG;
use crate::support::Place;
use crate::{CLIENT, SERVER};

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

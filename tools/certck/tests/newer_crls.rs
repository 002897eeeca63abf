//! Which CRLs replace those of a directory that is in use, each judged by itself.

#![allow(clippy::unwrap_used, reason = "a test")]

mod forge;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::pki::{CrlFile, CrlUpdate, LoadOptions, MtlsDir, Role};
use forge::{CRL_NUMBER, CrlSpec, DAY, Ext, Key, NOW, Spec, int, pem, seq, tlv};
use time::OffsetDateTime;

/// A server's directory under a root, loaded with the root's CRL number 5, which revokes nothing.
struct InUse {
    root_key: Key,
    dir: MtlsDir,
    place: tempfile::TempDir,
}

fn numbered(number: u8) -> Ext {
    (CRL_NUMBER, false, int(&[number]))
}

/// A CRL by the root that revokes one certificate.
fn crl(key: &Key, number: u8) -> CrlSpec {
    let mut crl = CrlSpec { revoked: vec![(vec![0x40, 9], Vec::new())], ..CrlSpec::new("root", key) };
    crl.exts[1] = numbered(number);
    crl
}

fn at(unix: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(unix).unwrap()
}

impl InUse {
    fn new() -> Self {
        let (root_key, leaf_key) = (Key::new(), Key::new());
        let place = tempfile::tempdir().unwrap();
        std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o700)).unwrap();
        let put = |name: &str, text: String| {
            std::fs::write(place.path().join(name), text).unwrap();
            std::fs::set_permissions(place.path().join(name), PermissionsExt::from_mode(0o600)).unwrap();
        };
        put("ca.crt", pem("CERTIFICATE", &Spec::root("root", &root_key).sign(&root_key)));
        put("server.crt", pem("CERTIFICATE", &Spec::leaf("root", &leaf_key, &root_key).sign(&root_key)));
        put("server.key", leaf_key.pem());
        let mut first = CrlSpec::new("root", &root_key);
        first.exts[1] = numbered(5);
        put("ca.crl", pem("X509 CRL", &first.sign(&root_key)));
        let options = LoadOptions { at: at(NOW), ..LoadOptions::now() };
        let dir = MtlsDir::load(place.path(), Role::Server, &options).unwrap();
        Self { root_key, dir, place }
    }

    fn signed(&self, crl: &CrlSpec) -> String {
        pem("X509 CRL", &crl.sign(&self.root_key))
    }

    fn take(&self, text: &str) -> CrlUpdate {
        self.dir.take_newer_crls(&CrlFile::parse(text.as_bytes()), at(NOW))
    }

    /// Fails unless a CRL is declined for a reason with these words.
    #[track_caller]
    fn declines(&self, text: &str, words: &str) {
        let update = self.take(text);
        assert!(update.dir.is_none() && update.taken.is_empty(), "{update:?}");
        assert!(update.declined.iter().any(|why| why.contains(words)), "{words}: {:?}", update.declined);
    }
}

/// The revoked serial numbers that a directory knows.
fn revoked(dir: &MtlsDir) -> Vec<Vec<u8>> {
    dir.crls().iter().flat_map(|crl| crl.entries().map(|entry| entry.serial).collect::<Vec<_>>()).collect()
}

#[test]
fn a_newer_crl_by_the_ca_in_use_is_taken() {
    let used = InUse::new();
    for number in [6, 5] {
        let update = used.take(&used.signed(&crl(&used.root_key, number)));
        assert_eq!(update.declined, [""; 0]);
        assert_eq!(revoked(&update.dir.unwrap()), [vec![0x40, 9]], "number {number}, not lower than 5");
    }
    let unchanged = used.take(&std::fs::read_to_string(used.place.path().join("ca.crl")).unwrap());
    assert!(unchanged.dir.is_none() && unchanged.declined.is_empty());
}

#[test]
fn untrusted_or_outdated_crls_are_declined() {
    let used = InUse::new();
    let (key, other) = (&used.root_key, Key::new());
    let newer = || crl(key, 6);
    used.declines(&used.signed(&crl(key, 4)), "lower than the present 05");
    used.declines(&pem("X509 CRL", &crl(&other, 6).sign(&other)), "not signed by a CA that is in use");
    used.declines(&used.signed(&CrlSpec { this: NOW + 60, ..newer() }), "issued in the future");
    used.declines(&used.signed(&CrlSpec { next: Some(NOW - 60), ..newer() }), "expired at");
    used.declines(&used.signed(&CrlSpec { next: None, ..newer() }), "no nextUpdate");
    used.declines(&used.signed(&CrlSpec { this: NOW - 2 * DAY, ..crl(key, 5) }), "before the present one");
    let with = |ext: Ext| {
        let mut crl = newer();
        crl.exts.push(ext);
        used.signed(&crl)
    };
    used.declines(&with(("2.5.29.27", true, int(&[5]))), "delta");
    used.declines(&with(("2.5.29.28", true, seq(&[tlv(0x81, &[0xff])]))), "part of the certificates");
    used.declines(&with(("1.2.3.4.5", true, tlv(5, &[]))), "critical extension");
    used.declines("-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n", "line 1");
    assert!(used.take("").dir.is_none());
}

#[test]
fn a_newer_crl_is_taken_despite_other_crls_beside_it() {
    let used = InUse::new();
    let (newer, other) = (used.signed(&crl(&used.root_key, 6)), Key::new());
    let lower = used.signed(&crl(&used.root_key, 4));
    let foreign = pem("X509 CRL", &crl(&other, 9).sign(&other));
    let cut = &newer[..newer.len() / 2];
    for (what, text) in [
        ("a lower one before", format!("{lower}{newer}")),
        ("a lower one behind", format!("{newer}{lower}")),
        ("one by another CA of the same name", format!("{foreign}{newer}")),
        ("a key", format!("{}{newer}", other.pem())),
        ("a block that is cut", format!("{newer}{cut}")),
        ("text and a byte order mark", format!("\u{feff}{newer}words\n")),
        ("line ends of Windows", newer.replace('\n', "\r\n")),
    ] {
        let update = used.take(&text);
        let dir = update.dir.unwrap_or_else(|| panic!("{what}: {:?}", update.declined));
        assert_eq!(revoked(&dir), [vec![0x40, 9]], "{what}");
        assert_eq!(dir.crls().len(), 1, "{what}");
    }
}

#[test]
fn a_newer_crl_is_read_regardless_of_its_mode_and_neighbors() {
    let used = InUse::new();
    let list = used.place.path().join("ca.crl");
    let newer = used.signed(&crl(&used.root_key, 6));
    let read = || used.dir.read_newer_crls(at(NOW));
    let replace = |by: &dyn Fn(&Path)| {
        std::fs::remove_file(&list).unwrap();
        by(&list);
    };
    replace(&|list| {
        std::fs::write(list, &newer).unwrap();
        std::fs::set_permissions(list, PermissionsExt::from_mode(0o666)).unwrap();
        std::fs::write(used.place.path().join("server.key.bak"), "x").unwrap();
    });
    assert!(read().unwrap().dir.is_some());
    replace(&|list| {
        std::fs::write(used.place.path().join("elsewhere"), &newer).unwrap();
        std::os::unix::fs::symlink("elsewhere", list).unwrap();
    });
    assert!(read().unwrap().dir.is_some());
    replace(&|list| std::os::unix::fs::symlink("/dev/zero", list).unwrap());
    assert_eq!(read().unwrap_err().to_string(), "is a character device, not a regular file");
    replace(&|list| std::fs::File::create(list).unwrap().set_len(1 << 40).unwrap());
    assert!(read().unwrap_err().to_string().starts_with("is larger than"));
}

/// A server that started without a CRL gets its first one.
#[test]
fn a_crl_is_installed_where_there_is_none() {
    let used = InUse::new();
    std::fs::remove_file(used.place.path().join("ca.crl")).unwrap();
    let options = LoadOptions { at: at(NOW), ..LoadOptions::now() };
    let bare = MtlsDir::load(used.place.path(), Role::Server, &options).unwrap();
    let update =
        bare.take_newer_crls(&CrlFile::parse(used.signed(&crl(&used.root_key, 1)).as_bytes()), at(NOW));
    assert_eq!(revoked(&update.dir.unwrap()), [vec![0x40, 9]]);
}

/// The clock of the CA was set back, or its times are not what orders its CRLs: the number is (RFC 5280, 5.2.3).
#[test]
fn a_higher_number_is_newer_whatever_the_times() {
    let used = InUse::new();
    let update = used.take(&used.signed(&CrlSpec { this: NOW - 2 * DAY, ..crl(&used.root_key, 6) }));
    assert_eq!(revoked(&update.dir.unwrap()), [vec![0x40, 9]]);
}

#[test]
fn a_crl_of_the_same_number_that_revokes_less_is_declined() {
    let used = InUse::new();
    let first = used.take(&used.signed(&crl(&used.root_key, 6)));
    let revoking = InUse { dir: first.dir.unwrap(), ..used };
    let mut fewer = CrlSpec { revoked: Vec::new(), this: NOW, ..crl(&revoking.root_key, 6) };
    revoking.declines(&revoking.signed(&fewer), "does not revoke 4009");
    fewer.exts[1] = numbered(7);
    assert!(revoking.take(&revoking.signed(&fewer)).dir.is_some(), "a CA may drop what has expired");
}

/// The clients are under an intermediate whose certificate only they send.
#[test]
fn a_newer_crl_of_the_clients_intermediate_is_taken_and_an_older_one_is_not() {
    let (root_key, mid_key, leaf_key) = (Key::new(), Key::new(), Key::new());
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let put = |name: &str, text: String| {
        std::fs::write(place.path().join(name), text).unwrap();
        std::fs::set_permissions(place.path().join(name), PermissionsExt::from_mode(0o600)).unwrap();
    };
    put("ca.crt", pem("CERTIFICATE", &Spec::root("root", &root_key).sign(&root_key)));
    put("server.crt", pem("CERTIFICATE", &Spec::leaf("root", &leaf_key, &root_key).sign(&root_key)));
    put("server.key", leaf_key.pem());
    let root_crl = pem("X509 CRL", &CrlSpec::new("root", &root_key).sign(&root_key));
    let by_mid = |number: u8, serials: &[u8], key: &Key| {
        let entries = serials.iter().map(|n| (vec![0x40, *n], Vec::new())).collect();
        let mut crl = CrlSpec { revoked: entries, ..CrlSpec::new("mid", &mid_key) };
        crl.exts[1] = numbered(number);
        pem("X509 CRL", &crl.sign(key))
    };
    let load = |mid_crl: &str| {
        put("ca.crl", format!("{root_crl}{mid_crl}"));
        let options = LoadOptions { at: at(NOW), ..LoadOptions::now() };
        MtlsDir::load(place.path(), Role::Server, &options).unwrap()
    };
    let dir = load(&by_mid(5, &[1], &mid_key));
    let take = |text: &str| dir.take_newer_crls(&CrlFile::parse(text.as_bytes()), at(NOW));
    let update = take(&by_mid(6, &[1, 2], &mid_key));
    assert_eq!(revoked(&update.dir.unwrap()), [vec![0x40, 1], vec![0x40, 2]]);
    assert!(take(&by_mid(4, &[], &mid_key)).dir.is_none());
    assert!(take(&pem("X509 CRL", &CrlSpec::new("unknown", &mid_key).sign(&mid_key))).dir.is_none());
    // Reloading the directory as a whole brings nobody back either.
    let lost = |mid_crl: &str| load(mid_crl).explain_lost_revocations(&dir);
    assert_eq!(lost(&by_mid(6, &[1, 2], &mid_key)), None);
    assert!(lost(&by_mid(4, &[], &mid_key)).unwrap().contains("lower than the present 05"));
    assert!(lost("").unwrap().contains("missing"));
}

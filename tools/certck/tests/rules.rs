//! Every rule of `common::pki::rule::RULES` against a directory that obeys all of them and one that breaks it.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod forge;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::finding::Severity;
use common::pki::rule::RULES;
use common::pki::{LoadOptions, MtlsDir, Profile, Role, inspect_directory};
use forge::{
    BC, CLIENT_AUTH, CrlSpec, DAY, EKU, Ext, KU, Key, NOW, POLICIES, SAN, Spec, bc, dns, eku, int, ip, ku,
    name, nc, oid, pem, san, seq, tlv,
};
use time::OffsetDateTime;

/// A server's directory: a root, an intermediate, a leaf, CRLs of both, and what is done to the files at last.
struct Pki {
    root_key: Key,
    mid_key: Key,
    leaf_key: Key,
    root: Spec,
    mid: Spec,
    leaf: Spec,
    root_crl: CrlSpec,
    mid_crl: CrlSpec,
    hosts: Vec<String>,
    at: i64,
    profile: Profile,
    finish: fn(&Path),
}

impl Pki {
    fn good() -> Self {
        let (root_key, mid_key, leaf_key) = (Key::new(), Key::new(), Key::new());
        Self {
            root: Spec::root("root", &root_key),
            mid: Spec::intermediate("mid", "root", &mid_key, &root_key),
            leaf: Spec::leaf("mid", &leaf_key, &mid_key),
            root_crl: CrlSpec::new("root", &root_key),
            mid_crl: CrlSpec::new("mid", &mid_key),
            root_key,
            mid_key,
            leaf_key,
            hosts: vec!["example.com".into(), "127.0.0.1".into()],
            at: NOW,
            profile: Profile::Compat,
            finish: |_| {},
        }
    }

    fn write(&self, dir: &Path) {
        let put = |name: &str, text: String| {
            std::fs::write(dir.join(name), text).unwrap();
            std::fs::set_permissions(dir.join(name), Permissions::from_mode(0o600)).unwrap();
        };
        std::fs::set_permissions(dir, Permissions::from_mode(0o700)).unwrap();
        put("ca.crt", pem("CERTIFICATE", &self.root.sign(&self.root_key)));
        let leaf = pem("CERTIFICATE", &self.leaf.sign(&self.mid_key));
        put("server.crt", leaf + &pem("CERTIFICATE", &self.mid.sign(&self.root_key)));
        put("server.key", self.leaf_key.pem());
        let crls = [self.root_crl.sign(&self.root_key), self.mid_crl.sign(&self.mid_key)];
        put("ca.crl", crls.iter().map(|c| pem("X509 CRL", c)).collect());
        (self.finish)(dir);
    }

    /// The ids of the rules that the directory breaks, and whether it loads.
    fn judge(&self) -> (Vec<String>, bool) {
        let dir = tempfile::tempdir().unwrap();
        self.write(dir.path());
        let options = LoadOptions {
            at: OffsetDateTime::from_unix_timestamp(self.at).unwrap(),
            hosts: &self.hosts,
            profile: self.profile,
            ..LoadOptions::now()
        };
        let findings = inspect_directory(dir.path(), Role::Server, &options).findings;
        let loads = MtlsDir::load(dir.path(), Role::Server, &options).is_ok();
        assert_eq!(loads, findings.iter().all(|f| f.severity < Severity::Error), "{findings:#?}");
        for f in &findings {
            assert!(!f.found.is_empty() && !f.expected.is_empty(), "{f:?}");
        }
        (findings.into_iter().map(|f| f.rule).collect(), loads)
    }
}

fn unknown(critical: bool) -> Ext {
    ("1.2.3.4.5", critical, octets_of_null())
}

fn octets_of_null() -> Vec<u8> {
    tlv(5, &[])
}

fn sha1() -> Option<Vec<u8>> {
    Some(seq(&[oid("1.2.840.113549.1.1.5"), tlv(5, &[])]))
}

fn append(path: &Path, text: &str) {
    let old = std::fs::read_to_string(path).unwrap();
    std::fs::write(path, old + text).unwrap();
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

type Break = fn(&mut Pki);

/// How to break each rule.
const BREAKS: &[(&str, Break)] = &[
    ("directory", |p| p.finish = |d| std::fs::remove_dir_all(d).unwrap()),
    ("mode", |p| p.finish = |d| chmod(d, 0o777)),
    ("mode", |p| p.finish = |d| chmod(&d.join("server.crt"), 0o640)),
    ("key-readable", |p| p.finish = |d| chmod(&d.join("server.key"), 0o640)),
    ("owner", |p| p.finish = |d| std::os::unix::fs::chown(d.join("server.key"), Some(12345), None).unwrap()),
    ("missing-file", |p| p.finish = |d| std::fs::remove_file(d.join("server.key")).unwrap()),
    ("missing-file", |p| p.finish = |d| std::fs::remove_file(d.join("ca.crt")).unwrap()),
    ("unreadable", |p| {
        p.finish = |d| {
            std::fs::rename(d.join("server.key"), d.join("x")).unwrap();
            std::os::unix::fs::symlink("x", d.join("server.key")).unwrap();
        }
    }),
    ("unreadable", |p| p.finish = |d| std::fs::write(d.join("ca.crt"), vec![b'A'; (1 << 20) + 1]).unwrap()),
    ("unreadable", |p| {
        p.finish = |d| {
            let file = std::fs::File::options().write(true).open(d.join("ca.crl")).unwrap();
            file.set_len(common::pki::MAX_CRL_BYTES + 1).unwrap();
        }
    }),
    ("unreadable", |p| {
        p.finish = |d| {
            let path = d.join("ca.crl");
            std::fs::remove_file(&path).unwrap();
            let mode = rustix::fs::Mode::RUSR;
            rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        }
    }),
    ("unreadable", |p| {
        p.finish = |d| {
            std::fs::remove_file(d.join("ca.crt")).unwrap();
            std::os::unix::fs::symlink("/dev/zero", d.join("ca.crt")).unwrap();
        }
    }),
    ("unreadable", |p| {
        p.finish = |d| {
            std::fs::remove_file(d.join("server.key")).unwrap();
            std::fs::create_dir(d.join("server.key")).unwrap();
        }
    }),
    ("unexpected-file", |p| p.finish = |d| std::fs::write(d.join("notes.txt"), "x").unwrap()),
    ("stray-key", |p| p.finish = |d| assert!(std::fs::copy(d.join("server.key"), d.join("ca.key")).is_ok())),
    ("stray-key", |p| {
        p.finish = |d| append(&d.join("server.crt"), &std::fs::read_to_string(d.join("server.key")).unwrap());
    }),
    // The CA's key in every disguise.
    ("stray-key", |p| p.finish = |d| std::os::unix::fs::symlink("server.key", d.join("ca.key")).unwrap()),
    ("stray-key", |p| p.finish = |d| std::fs::write(d.join("backup.P12"), vec![0; 2 << 20]).unwrap()),
    ("stray-key", |p| {
        p.finish = |d| {
            std::fs::create_dir(d.join("old")).unwrap();
            std::fs::write(d.join("old/ca.key"), "x").unwrap();
        }
    }),
    ("stray-key", |p| {
        p.finish = |d| {
            (0..3000).for_each(|n| std::fs::write(d.join(format!("a{n}")), "").unwrap());
            std::fs::write(d.join("zz.key"), Key::new().pem()).unwrap();
        }
    }),
    ("stray-key", |p| p.finish = |d| std::fs::write(d.join("notes"), Key::new().0.serialized_der()).unwrap()),
    ("pem", |p| p.finish = |d| std::fs::write(d.join("ca.crt"), "hello").unwrap()),
    ("pem", |p| p.finish = |d| std::fs::write(d.join("ca.crl"), "").unwrap()),
    ("pem", |p| p.finish = |d| assert!(std::fs::copy(d.join("server.crt"), d.join("server.key")).is_ok())),
    ("extra-content", |p| p.finish = |d| append(&d.join("server.crt"), &pem("DH PARAMETERS", &[1]))),
    ("several-keys", |p| p.finish = |d| append(&d.join("server.key"), &Key::new().pem())),
    ("bundle-order", |p| {
        p.finish = |d| {
            let spare = Key::new();
            append(&d.join("server.crt"), &pem("CERTIFICATE", &Spec::root("spare", &spare).sign(&spare)));
        }
    }),
    ("bundle-order", |p| {
        p.finish = |d| {
            let text = std::fs::read_to_string(d.join("server.crt")).unwrap();
            let second = text.rfind("-----BEGIN").unwrap();
            std::fs::write(d.join("server.crt"), format!("{}{}", &text[second..], &text[..second])).unwrap();
        }
    }),
    ("malformed-certificate", |p| {
        p.finish = |d| append(&d.join("ca.crt"), &pem("CERTIFICATE", &[0x30, 1, 2]))
    }),
    ("malformed-certificate", |p| p.leaf.exts.push(ku(&[0]))),
    ("malformed-certificate", |p| p.leaf.inner = sha1()),
    ("version", |p| (p.leaf.version, p.leaf.exts) = (1, vec![])),
    ("serial-number", |p| p.leaf.serial = vec![0]),
    ("serial-number", |p| p.leaf.serial = vec![0x80, 1]),
    ("serial-number", |p| p.root.serial = vec![0x11; 21]),
    ("weak-key", |p| {
        p.leaf_key = Key::rsa(rcgen::RsaKeySize::_2048);
        p.leaf.spki = p.leaf_key.spki();
    }),
    ("signature-algorithm", |p| (p.leaf.inner, p.leaf.outer) = (sha1(), sha1())),
    ("signature-algorithm", |p| (p.root.inner, p.root.outer) = (sha1(), sha1())),
    ("not-yet-valid", |p| p.leaf.from = NOW + 1),
    ("expired", |p| p.leaf.until = NOW - 1),
    ("expired", |p| p.root.until = NOW - 1),
    ("expired", |p| p.mid.until = NOW - 1),
    ("expiring", |p| p.leaf.until = NOW + 3 * DAY / 24),
    ("expiring", |p| (p.leaf.from, p.leaf.until) = (NOW - 80 * DAY, NOW + 20 * DAY)),
    ("long-validity", |p| p.leaf.until = NOW + 3000 * DAY),
    ("critical-extension", |p| p.leaf.exts.push(unknown(true))),
    ("critical-extension", |p| p.root.exts.push(unknown(true))),
    ("key-identifier", |p| p.leaf.set(forge::aki(&Key::new()))),
    ("key-identifier", |p| p.mid.set(forge::aki(&Key::new()))),
    ("key-identifier", |p| {
        p.leaf.set((forge::AKI, false, seq(&[tlv(0xa1, &forge::directory(&name("root"))), tlv(0x82, &[9])])));
    }),
    ("key-identifier", |p| {
        p.mid_crl.exts.retain(|e| e.0 != forge::AKI);
        p.mid_crl.exts.push(forge::aki(&Key::new()));
    }),
    ("not-a-ca", |p| p.root.set(bc(false, None))),
    ("not-a-ca", |p| p.mid.drop(BC)),
    ("ca-key-usage", |p| p.root.set(ku(&[5]))),
    ("ca-key-usage", |p| p.root.drop(KU)),
    ("ca-key-usage", |p| p.mid.set(ku(&[0, 6]))),
    ("ca-not-self-signed", |p| p.root.issuer = name("above")),
    ("ca-signature", |p| {
        p.finish = |d| {
            let (a, b) = (Key::new(), Key::new());
            std::fs::write(d.join("ca.crt"), pem("CERTIFICATE", &Spec::root("root", &a).sign(&b))).unwrap();
        }
    }),
    ("several-cas", |p| {
        p.finish = |d| {
            let spare = Key::new();
            append(&d.join("ca.crt"), &pem("CERTIFICATE", &Spec::root("spare", &spare).sign(&spare)));
        }
    }),
    ("leaf-is-ca", |p| p.leaf.set(bc(true, None))),
    ("leaf-has-ca-key", |p| {
        p.leaf_key = Key(rcgen::KeyPair::from_pem(&p.mid_key.pem()).unwrap());
        p.leaf.spki = p.leaf_key.spki();
    }),
    ("leaf-key-usage", |p| p.leaf.set(ku(&[2]))),
    ("leaf-key-usage", |p| p.leaf.drop(KU)),
    ("extended-key-usage", |p| p.leaf.set(eku(&[CLIENT_AUTH]))),
    ("no-extended-key-usage", |p| p.leaf.drop(EKU)),
    ("no-alt-name", |p| (p.leaf.exts.retain(|e| e.0 != SAN), p.hosts.clear()).1),
    ("no-alt-name", |p| {
        p.leaf.set(san(&[forge::email("root@example.com")]));
        p.hosts.clear();
    }),
    ("host-mismatch", |p| p.leaf.set(san(&[dns("other.example.com")]))),
    ("unmatchable-name", |p| p.leaf.set(san(&[dns("example.com"), ip(&[127, 0, 0, 1]), dns("10.0.0.17")]))),
    ("unmatchable-name", |p| p.leaf.set(san(&[dns("example.com"), ip(&[127, 0, 0, 1]), dns("*")]))),
    ("unmatchable-name", |p| p.leaf.set(san(&[dns("example.com"), ip(&[127, 0, 0, 1]), ip(&[0, 0, 0, 0])]))),
    ("unmatchable-name", |p| p.leaf.set(san(&[dns("example.com"), ip(&[127, 0, 0, 1]), ip(&[0; 16])]))),
    ("unmatchable-name", |p| {
        p.leaf.set(san(&[dns("example.com"), ip(&[127, 0, 0, 1]), ip(&[224, 0, 0, 1])]))
    }),
    ("chain", |p| p.leaf.issuer = name("somebody")),
    ("chain", |p| p.mid_key = Key::new()),
    ("chain", |p| p.root.set(bc(true, Some(0)))),
    ("chain", |p| p.mid.set(nc(&[dns("example.org")], &[]))),
    ("conformance", |p| {
        p.profile = Profile::Strict;
        p.leaf.drop(forge::AKI);
    }),
    ("chain", |p| p.root.set(nc(&[], &[forge::directory(&name("leaf"))]))),
    ("no-crl", |p| p.finish = |d| std::fs::remove_file(d.join("ca.crl")).unwrap()),
    ("malformed-crl", |p| p.finish = |d| append(&d.join("ca.crl"), &pem("X509 CRL", &[0x30, 0]))),
    ("malformed-crl", |p| p.root_crl.exts.push((forge::CRL_NUMBER, false, int(&[1])))),
    ("crl-issuer", |p| p.root_crl.issuer = name("somebody")),
    ("crl-signature", |p| {
        p.finish = |d| {
            let other = Key::new();
            append(&d.join("ca.crl"), &pem("X509 CRL", &CrlSpec::new("root", &other).sign(&other)));
        }
    }),
    ("crl-signature", |p| p.mid.set(ku(&[5]))),
    ("crl-algorithm", |p| (p.root_crl.inner, p.root_crl.outer) = (sha1(), sha1())),
    ("crl-not-yet-valid", |p| p.root_crl.this = NOW + 1),
    ("crl-expired", |p| p.root_crl.next = Some(NOW - 1)),
    ("crl-expired", |p| p.mid_crl.next = None),
    ("crl-expiring", |p| (p.mid_crl.this, p.mid_crl.next) = (NOW - 9 * DAY, Some(NOW + DAY))),
    ("crl-number", |p| p.mid_crl.exts.retain(|e| e.0 != forge::CRL_NUMBER)),
    ("crl-scope", |p| p.mid_crl.exts.push(("2.5.29.27", true, int(&[1])))),
    ("crl-scope", |p| p.mid_crl.exts.push(("2.5.29.28", true, seq(&[tlv(0x82, &[0xff])])))),
    ("crl-extension", |p| p.mid_crl.exts.push(unknown(true))),
    ("crl-coverage", |p| p.mid_crl = CrlSpec::new("nobody", &p.mid_key)),
    ("revoked", |p| p.mid_crl.revoked.push((p.leaf.serial.clone(), vec![]))),
    ("revoked", |p| {
        p.root_crl.revoked.push((p.mid.serial.clone(), vec![("2.5.29.21", false, vec![0x0a, 1, 1])]))
    }),
    ("malformed-key", |p| {
        p.finish = |d| std::fs::write(d.join("server.key"), pem("PRIVATE KEY", &[0x30, 0])).unwrap()
    }),
    ("key-encrypted", |p| {
        p.finish = |d| {
            std::fs::write(d.join("server.key"), pem("ENCRYPTED PRIVATE KEY", &[0x30, 0])).unwrap();
        }
    }),
    ("key-encrypted", |p| {
        p.finish = |d| {
            let old = std::fs::read_to_string(d.join("server.key")).unwrap();
            let old = old.replacen('\n', "\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\n", 1);
            std::fs::write(d.join("server.key"), old).unwrap();
        }
    }),
    ("key-mismatch", |p| p.leaf_key = Key::new()),
    ("clock", |p| p.at = DAY),
    ("tls", |p| p.mid.subject = printable_name("mid")),
    ("tls", |p| p.mid.subject = name("Mid")),
    ("tls", |p| {
        p.mid.set(nc(&[forge::email("example.com")], &[]));
        let names = [dns("example.com"), ip(&[127, 0, 0, 1]), forge::email("a@example.com")];
        p.leaf.set(san(&names));
    }),
    // Understood by us and legal, but the TLS library takes no critical policies.
    ("tls", |p| p.leaf.set((POLICIES, true, seq(&[seq(&[oid("2.5.29.32.0")])])))),
];

#[test]
fn a_valid_directory_has_no_findings() {
    assert_eq!(Pki::good().judge(), (vec![], true));
}

#[test]
fn the_strict_profile_turns_unusual_certificates_into_errors() {
    let mut pki = Pki::good();
    pki.profile = Profile::Strict;
    assert_eq!(pki.judge(), (vec![], true));
    pki.leaf.drop(EKU);
    assert_eq!(pki.judge(), (vec!["no-extended-key-usage".to_owned()], false));
    let mut pki = Pki::good();
    (pki.profile, pki.leaf.from, pki.leaf.until) = (Profile::Strict, NOW - 9 * DAY, NOW + DAY);
    assert_eq!(pki.judge(), (vec!["expiring".to_owned()], true));
}

#[test]
fn every_rule_is_found_when_it_is_broken() {
    let root = testkit::is_root();
    for (id, spoil) in BREAKS {
        if *id == "owner" && !root {
            testkit::skip_part("not root");
            continue;
        }
        let mut pki = Pki::good();
        spoil(&mut pki);
        let (found, loads) = pki.judge();
        assert!(found.iter().any(|f| f == id), "{id} is not among {found:?}");
        let rule = RULES.iter().find(|r| r.id == *id).expect(id);
        assert!(!loads || rule.severity < Severity::Error, "{id}");
    }
}

#[test]
fn every_rule_has_a_case() {
    for rule in RULES {
        assert!(BREAKS.iter().any(|(id, _)| *id == rule.id), "{} has no case", rule.id);
    }
}

/// A common name in a PrintableString, where others have a UTF8String.
fn printable_name(cn: &str) -> Vec<u8> {
    seq(&[tlv(0x31, &seq(&[oid("2.5.4.3"), tlv(0x13, cn.as_bytes())]))])
}

/// What only the TLS library rejects is told as that, with the cause.
#[test]
fn a_stricter_library_is_named_with_the_cause() {
    let reason = |spoil: &Break| {
        let (mut pki, dir) = (Pki::good(), tempfile::tempdir().unwrap());
        spoil(&mut pki);
        pki.write(dir.path());
        let at = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        let options = LoadOptions { at, ..LoadOptions::now() };
        let findings = inspect_directory(dir.path(), Role::Server, &options).findings;
        let errors: Vec<_> = findings.into_iter().filter(|f| f.severity == Severity::Error).collect();
        assert_eq!(errors.len(), 1, "{errors:#?}");
        errors[0].reason()
    };
    let breaks: Vec<_> =
        BREAKS.iter().filter(|(id, _)| *id == "tls").map(|(_, spoil)| reason(spoil)).collect();
    let expected = [
        "other string types",
        "differs in capitals or spaces from the subject CN=Mid of its CA",
        "does not compare e-mail addresses",
        "UnsupportedCriticalExtension",
    ];
    for (reason, words) in breaks.iter().zip(expected) {
        assert!(reason.contains(words), "{words}: {reason}");
    }
}

#[test]
fn names_that_nobody_matches_are_warnings_with_the_reason() {
    for (text, words) in [
        ("10.0.0.17", "address as a DNS name"),
        ("*", "whole first label"),
        ("w*.example.com", "whole first label"),
        ("example.com.", "trailing dot"),
        ("a b", "not a DNS name"),
    ] {
        let (mut pki, dir) = (Pki::good(), tempfile::tempdir().unwrap());
        pki.leaf.set(san(&[dns("example.com"), dns(text)]));
        pki.write(dir.path());
        let at = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        let options = LoadOptions { at, ..LoadOptions::now() };
        let findings = inspect_directory(dir.path(), Role::Server, &options).findings;
        assert!(findings.len() == 1 && findings[0].found.contains(words), "{text}: {findings:#?}");
    }
    let mut pki = Pki::good();
    pki.leaf.set(san(&[
        dns("example.com"),
        ip(&[127, 0, 0, 1]),
        dns("under_score.example"),
        dns("*.a.example"),
    ]));
    assert_eq!(pki.judge(), (vec![], true));
}

/// Without the option, at most a third of the validity; with it, what it says.
#[test]
fn the_days_of_a_warning_are_those_of_the_option() {
    let (mut pki, dir) = (Pki::good(), tempfile::tempdir().unwrap());
    (pki.leaf.from, pki.leaf.until) = (NOW - 45 * DAY, NOW + 45 * DAY);
    pki.write(dir.path());
    let found = |warn_days| {
        let at = OffsetDateTime::from_unix_timestamp(NOW).unwrap();
        let options = LoadOptions { at, warn_days, ..LoadOptions::now() };
        inspect_directory(dir.path(), Role::Server, &options).findings.iter().any(|f| f.rule == "expiring")
    };
    assert_eq!([None, Some(40), Some(44), Some(46), Some(60)].map(found), [false, false, false, true, true]);
}

/// A list for one distribution point: covers what names it, and `crl check` says the same.
#[test]
fn a_crl_for_one_distribution_point_is_a_note() {
    let point = |names: &[u8]| tlv(0xa0, &tlv(0xa0, names));
    let url = forge::uri("http://pki.example/ca.crl");
    let mut pki = Pki::good();
    pki.mid_crl.exts.push(("2.5.29.28", true, seq(&[point(&url)])));
    pki.leaf.set(("2.5.29.31", false, seq(&[seq(&[point(&url)])])));
    assert_eq!(pki.judge(), (vec!["crl-scope".to_owned()], true));
    pki.leaf.set(("2.5.29.31", false, seq(&[seq(&[point(&forge::uri("http://elsewhere/ca.crl"))])])));
    assert_eq!(pki.judge(), (vec!["crl-scope".to_owned(), "chain".to_owned()], false));
}

/// One defect is one finding: nothing else is blamed for it.
#[test]
fn one_defect_is_one_finding() {
    for id in [
        "expired",
        "not-yet-valid",
        "serial-number",
        "revoked",
        "key-mismatch",
        "crl-expired",
        "leaf-key-usage",
        "extended-key-usage",
        "host-mismatch",
        "weak-key",
    ] {
        for (_, spoil) in BREAKS.iter().filter(|(i, _)| *i == id) {
            let mut pki = Pki::good();
            spoil(&mut pki);
            let (found, _) = pki.judge();
            let errors: Vec<_> = found
                .iter()
                .filter(|f| RULES.iter().any(|r| r.id == *f && r.severity == Severity::Error))
                .collect();
            assert!(errors.iter().all(|e| *e == id), "{id}: {found:?}");
        }
    }
}

/// A certificate of a week and a list of a day are no reason for a warning from the day they are made.
#[test]
fn short_lived_certificates_are_not_warned_about_from_the_first_day() {
    let mut pki = Pki::good();
    pki.leaf.until = NOW + 6 * DAY;
    (pki.mid_crl.this, pki.mid_crl.next) = (NOW, Some(NOW + DAY));
    assert_eq!(pki.judge(), (vec![], true));
}

/// What nobody can look into may be the CA's key: not knowing is no reason to serve.
#[test]
fn unexpected_files_that_cannot_be_examined_are_errors() {
    for hide in [
        |d: &Path| std::os::unix::fs::symlink("/etc/hostname", d.join("rootkey.pem")).unwrap(),
        |d: &Path| std::fs::write(d.join("backup.tar"), vec![0; (1 << 20) + 1]).unwrap(),
        |d: &Path| (0..40).for_each(|n| std::fs::write(d.join(format!("{n}")), vec![0; 1 << 20]).unwrap()),
    ] {
        let mut pki = Pki::good();
        pki.finish = hide;
        let (found, loads) = pki.judge();
        assert!(!loads && found.iter().all(|f| f == "unexpected-file"), "{found:?}");
    }
}

/// With the leaf behind its issuer, the order is what is wrong, and nothing else.
#[test]
fn a_leaf_after_its_intermediate_is_one_finding() {
    let (_, swap) = BREAKS.iter().filter(|(id, _)| *id == "bundle-order").nth(1).unwrap();
    let mut pki = Pki::good();
    swap(&mut pki);
    assert_eq!(pki.judge(), (vec!["bundle-order".to_owned()], false));
}

/// The issuing CA is trusted by itself, with its root beside it or not, and sent along or not.
#[test]
fn an_intermediate_in_ca_crt_is_not_part_of_the_chain() {
    let mut pki = Pki::good();
    pki.mid.set(bc(true, Some(0)));
    pki.finish = |d| {
        let chain = std::fs::read_to_string(d.join("server.crt")).unwrap();
        let issuing = &chain[chain.rfind("-----BEGIN").unwrap()..];
        append(&d.join("ca.crt"), issuing);
    };
    assert_eq!(pki.judge(), (vec!["bundle-order".to_owned()], true));
    pki.finish = |d| {
        let chain = std::fs::read_to_string(d.join("server.crt")).unwrap();
        let at = chain.rfind("-----BEGIN").unwrap();
        append(&d.join("ca.crt"), &chain[at..]);
        std::fs::write(d.join("server.crt"), &chain[..at]).unwrap();
    };
    assert_eq!(pki.judge(), (vec![], true));
    pki.finish = |d| {
        let chain = std::fs::read_to_string(d.join("server.crt")).unwrap();
        std::fs::write(d.join("ca.crt"), &chain[chain.rfind("-----BEGIN").unwrap()..]).unwrap();
    };
    assert_eq!(pki.judge().0, ["ca-not-self-signed", "bundle-order", "crl-issuer"]);
}

/// Peers may be under an intermediate that our own chain does not have: its CRL must be allowed beside ours, and
/// must not be taken for ours.
#[test]
fn a_crl_of_another_issuer_is_a_warning() {
    let mut pki = Pki::good();
    pki.finish = |d| {
        let other = Key::new();
        append(&d.join("ca.crl"), &pem("X509 CRL", &CrlSpec::new("other", &other).sign(&other)));
    };
    assert_eq!(pki.judge(), (vec!["crl-issuer".to_owned()], true));
    let mut pki = Pki::good();
    pki.mid_crl.issuer = name("other");
    let (found, loads) = pki.judge();
    assert!(!loads && found.contains(&"crl-coverage".to_owned()), "{found:?}");
}

/// The second at which a validity ends is still valid, the next is not: in UTC, whatever TZ says.
#[test]
fn validity_is_to_the_second() {
    let good = |at| {
        let mut pki = Pki::good();
        (pki.leaf.from, pki.leaf.until, pki.at) = (NOW - 6 * 3600, NOW + 6 * 3600, at);
        pki.judge().1
    };
    assert!(good(NOW - 6 * 3600) && good(NOW + 6 * 3600));
    assert!(!good(NOW - 6 * 3600 - 1) && !good(NOW + 6 * 3600 + 1));
}

/// The same in two other time zones, in processes of their own.
#[test]
fn validity_is_the_same_in_every_time_zone() {
    for zone in ["America/Los_Angeles", "Asia/Shanghai", "UTC-14"] {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["validity_is_to_the_second", "--exact"])
            .env("TZ", zone)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{zone}: {text}");
    }
}

/// What existing parts mint: RSA 3072 with SHA-256, no extendedKeyUsage, no subject alternative name.
#[test]
fn certificates_made_by_msmonitor_are_accepted_with_remarks() {
    let mut pki = Pki::good();
    pki.leaf_key = Key::rsa(rcgen::RsaKeySize::_3072);
    pki.leaf.spki = pki.leaf_key.spki();
    pki.leaf.drop(EKU);
    pki.leaf.drop(SAN);
    pki.hosts.clear();
    let (found, loads) = pki.judge();
    assert!(loads);
    assert_eq!(found, ["no-extended-key-usage", "no-alt-name"]);
}

#[test]
fn findings_of_other_files_are_reported_beside_a_malformed_file() {
    let mut pki = Pki::good();
    pki.leaf.until = NOW - 1;
    pki.mid_crl.next = Some(NOW - 1);
    pki.finish = |d| std::fs::write(d.join("ca.crt"), "broken").unwrap();
    let (found, _) = pki.judge();
    for id in ["pem", "expired", "crl-expired"] {
        assert!(found.iter().any(|f| f == id), "{id} is not among {found:?}");
    }
}

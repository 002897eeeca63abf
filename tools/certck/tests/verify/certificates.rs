//! Each certificate of a path by itself, and paths.

use rcgen::{KeyPair, PublicKeyData};

use crate::forge::{
    AKI, BC, CLIENT_AUTH, DAY, EKU, KU, Key, NOW, SERVER_AUTH, SKI, Spec, aki, bc, bits, directory, dns, eku,
    int, key_id, ku, name, oid, seq, ski, tlv,
};
use crate::{Chain, Row, critical, hold, lax, unknown};

pub(crate) const CERTIFICATES: &[Row] = &[
    ("good", Ok(2), |_| {}),
    ("good with an intermediate", Ok(3), |c| {
        c.deepen();
    }),
    ("empty issuer", Err("empty-issuer"), |c| c.leaf.issuer = name("")),
    ("root with an empty subject", Err("empty-issuer"), |c| {
        (c.root.subject, c.root.issuer, c.leaf.issuer) = (name(""), name(""), name(""));
    }),
    ("unknown critical extension in the leaf", Err("critical-extension"), |c| c.leaf.set(unknown(true))),
    ("unknown critical extension in the root", Err("critical-extension"), |c| c.root.set(unknown(true))),
    ("unknown critical extension in the intermediate", Err("critical-extension"), |c| {
        c.deepen().ica.set(unknown(true));
    }),
    ("unknown extension that is not critical", Ok(2), |c| c.leaf.set(unknown(false))),
    ("another root", Err("no-issuer"), |c| {
        c.root = Spec::root("else", &c.keys[0]);
    }),
    ("another root of the same name", Err("no-issuer"), |c| c.keys[0] = Key::new()),
    ("intermediate without CA bit", Err("not-a-ca"), |c| c.deepen().ica.set(bc(false, None))),
    ("intermediate without basicConstraints", Err("not-a-ca"), |c| c.deepen().ica.drop(BC)),
    ("root without basicConstraints", Err("not-a-ca"), |c| c.root.drop(BC)),
    ("root with basicConstraints that are not critical", Err("criticality"), |c| {
        c.root.set(lax(bc(true, None)))
    }),
    ("the same without conformance", Ok(2), |c| {
        c.root.set(lax(bc(true, None)));
        c.conformance = false;
    }),
    ("root that may not sign", Err("ca-key-usage"), |c| c.root.set(ku(&[6]))),
    ("intermediate that may not sign", Err("ca-key-usage"), |c| c.deepen().ica.set(ku(&[6]))),
    ("intermediate without keyUsage", Ok(3), |c| c.deepen().ica.drop(KU)),
    ("leaf with keyCertSign", Err("key-usage"), |c| c.leaf.set(ku(&[0, 5]))),
    ("leaf with an empty keyUsage", Err("key-usage"), |c| c.leaf.set((KU, true, tlv(3, &[0])))),
    ("a key that only signs, for key agreement", Err("key-usage"), |c| {
        c.leaf.spki = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().subject_public_key_info();
        c.leaf.set(ku(&[0, 4]));
    }),
    ("a key that only signs, for signatures", Ok(2), |c| {
        c.leaf.spki = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().subject_public_key_info();
        c.leaf.set(ku(&[0, 1]));
    }),
    ("root of another issuer's name, signed by its own key, without a key identifier", Ok(2), |c| {
        c.root.issuer = name("former name");
    }),
    ("authority key identifier with an issuer and no serial number", Err("authority-key-identifier"), |c| {
        let issuer = tlv(0xa1, &directory(&name("root")));
        c.leaf.set((AKI, false, seq(&[tlv(0x80, &key_id(&c.keys[0])), issuer])));
    }),
    ("leaf without keyUsage", Ok(2), |c| c.leaf.drop(KU)),
    ("leaf that may not sign", Err("key-usage"), |c| c.leaf.set(ku(&[2]))),
    ("leaf without basicConstraints", Ok(2), |c| c.leaf.drop(BC)),
    ("leaf with a path length", Err("path-length"), |c| {
        c.leaf.set((BC, true, seq(&[int(&[0])])));
    }),
    ("an extension twice", Err("malformed-extension"), |c| c.leaf.exts.push(ku(&[0]))),
    ("two signature algorithms", Err("signature-algorithm"), |c| {
        c.leaf.inner = Some(seq(&[oid("1.2.840.10045.4.3.3")]))
    }),
    ("SHA-1", Err("signature-algorithm"), |c| {
        let sha1 = seq(&[oid("1.2.840.10045.4.1")]);
        (c.leaf.inner, c.leaf.outer) = (Some(sha1.clone()), Some(sha1));
    }),
    ("SHA-3 at an intermediate", Err("signature-algorithm"), |c| {
        let sha3 = seq(&[oid("2.16.840.1.101.3.4.3.10")]);
        c.deepen();
        (c.ica.inner, c.ica.outer) = (Some(sha3.clone()), Some(sha3));
    }),
    ("SHA-1, and another root of the same name", Err("no-issuer"), |c| {
        let sha1 = seq(&[oid("1.2.840.10045.4.1")]);
        (c.leaf.inner, c.leaf.outer) = (Some(sha1.clone()), Some(sha1));
        c.root = Spec::root("root", &c.keys[1]);
    }),
    ("CA as a leaf", Ok(2), |c| {
        c.leaf.set(bc(true, None));
        c.leaf.set(ku(&[0, 5]));
        c.leaf.set(ski(&c.keys[2]));
    }),
    ("version 1", Err("version"), |c| (c.leaf.version, c.leaf.exts, c.names) = (1, vec![], vec![])),
    ("extensions in version 1", Err("version"), |c| c.leaf.version = 1),
    ("serial number of 22 bytes", Err("serial-number"), |c| c.leaf.serial = vec![0x11; 22]),
    ("serial number of 21 bytes with a sign byte", Err("serial-number"), |c| {
        c.leaf.serial = [&[0u8, 0xff][..], &[0x11; 19]].concat();
    }),
    ("serial number zero", Err("serial-number"), |c| c.leaf.serial = vec![0]),
    ("serial number negative", Err("serial-number"), |c| c.leaf.serial = vec![0xf0]),
    ("leaf without authority key identifier", Err("authority-key-identifier"), |c| c.leaf.drop(AKI)),
    ("intermediate without authority key identifier", Err("authority-key-identifier"), |c| {
        c.deepen().ica.drop(AKI)
    }),
    ("root with a critical authority key identifier", Err("criticality"), |c| {
        c.root.set(critical(aki(&c.keys[0])))
    }),
    ("root with a critical subject key identifier", Err("criticality"), |c| {
        c.root.set(critical(ski(&c.keys[0])))
    }),
    ("root without subject key identifier", Err("subject-key-identifier"), |c| c.root.drop(SKI)),
    ("intermediate without subject key identifier", Err("subject-key-identifier"), |c| {
        c.deepen().ica.drop(SKI)
    }),
    ("trusted intermediate without authority key identifier", Err("authority-key-identifier"), |c| {
        let above = Key::new();
        let mut root = c.root.clone();
        root.issuer = name("above");
        c.more_roots.push(root.sign(&above));
        c.root = Spec::root("else", &c.keys[0]);
    }),
    ("trusted intermediate", Ok(2), |c| {
        c.root.issuer = name("above");
        c.root.set(aki(&c.keys[1]));
    }),
    ("critical authority information access", Err("criticality"), |c| {
        let access = seq(&[seq(&[oid("1.3.6.1.5.5.7.48.2"), dns("example.com")])]);
        c.leaf.set(("1.3.6.1.5.5.7.1.1", true, access));
    }),
    ("authority information access", Ok(2), |c| {
        let access = seq(&[seq(&[oid("1.3.6.1.5.5.7.48.2"), dns("example.com")])]);
        c.leaf.set(("1.3.6.1.5.5.7.1.1", false, access));
    }),
    ("policy constraints that are not critical", Err("criticality"), |c| {
        c.deepen().ica.set(("2.5.29.36", false, seq(&[tlv(0x80, &[3])])));
    }),
    ("an explicit policy demanded, and none there", Err("policy"), |c| {
        c.deepen().ica.set(("2.5.29.36", true, seq(&[tlv(0x80, &[0])])));
    }),
    ("an explicit policy demanded, and there", Ok(3), |c| {
        let policies = ("2.5.29.32", false, seq(&[seq(&[oid("1.2.3.4")])]));
        c.deepen().ica.set(("2.5.29.36", true, seq(&[tlv(0x80, &[0])])));
        c.ica.set(policies.clone());
        c.leaf.set(policies);
    }),
    ("expired leaf", Err("expired"), |c| c.leaf.until = NOW - 1),
    ("expired root", Err("expired"), |c| c.root.until = NOW - 1),
    ("expired intermediate", Err("expired"), |c| c.deepen().ica.until = NOW - 1),
    ("leaf of tomorrow", Err("not-yet-valid"), |c| c.leaf.from = NOW + 1),
    ("first second", Ok(2), |c| c.leaf.from = NOW),
    ("last second", Ok(2), |c| c.leaf.until = NOW),
    ("a client's certificate for a server", Err("extended-key-usage"), |c| c.leaf.set(eku(&[CLIENT_AUTH]))),
    ("a server's certificate for a client", Err("extended-key-usage"), |c| {
        c.client = true;
        c.any_name();
    }),
    ("no extendedKeyUsage", Ok(2), |c| c.leaf.drop(EKU)),
    ("any extendedKeyUsage", Ok(2), |c| c.leaf.set(eku(&["2.5.29.37.0"]))),
    ("an empty extendedKeyUsage", Err("malformed-extension"), |c| c.leaf.set(eku(&[]))),
    ("intermediate for another use", Err("extended-key-usage"), |c| c.deepen().ica.set(eku(&[CLIENT_AUTH]))),
    ("intermediate for this use", Ok(3), |c| c.deepen().ica.set(eku(&[SERVER_AUTH]))),
];

pub(crate) const PATHS: &[Row] = &[
    ("path length 0 with a leaf below", Ok(3), |c| c.deepen().ica.set(bc(true, Some(0)))),
    ("path length 0 with a CA as the leaf", Ok(3), |c| {
        c.deepen().ica.set(bc(true, Some(0)));
        c.leaf.set(bc(true, Some(0)));
        c.leaf.set(ku(&[0, 5]));
        c.leaf.set(ski(&c.keys[2]));
    }),
    ("path length 0 of the root", Err("path-length"), |c| {
        c.root.set(bc(true, Some(0)));
        c.deepen();
    }),
    ("path length 0 with an intermediate below", Err("path-length"), |c| {
        c.deepen().ica.set(bc(true, Some(0)));
        below(c, "second", None);
    }),
    ("path length may rise", Ok(4), |c| {
        c.deepen().ica.set(bc(true, Some(1)));
        below(c, "second", Some(2));
    }),
    ("a self-issued intermediate does not count", Ok(4), |c| {
        c.deepen().ica.set(bc(true, Some(0)));
        below(c, "ica", Some(0));
    }),
    ("depth 0", Ok(2), |c| c.depth = 0),
    ("depth 0 exhausted", Err("no-issuer"), |c| {
        c.deepen();
        c.depth = 0;
    }),
    ("depth 1", Ok(3), |c| {
        c.deepen();
        c.depth = 1;
    }),
    ("depth does not count self-issued intermediates", Ok(4), |c| {
        c.deepen();
        below(c, "ica", None);
        c.depth = 1;
    }),
    ("depth counts all others", Err("no-issuer"), |c| {
        c.deepen();
        below(c, "second", None);
        c.depth = 1;
    }),
    ("an untrusted root beside the path is not what is wrong", Err("no-issuer"), |c| {
        let other = Key::new();
        c.leaf.issuer = name("other");
        c.leaf.set(aki(&other));
        c.keys[0] = other;
        let mut root = Spec::root("other", &c.keys[0]);
        root.drop(SKI);
        c.more.push(root.sign(&c.keys[0]));
    }),
    ("root among the intermediates", Ok(3), |c| {
        c.deepen();
        c.more.push(c.root.sign(&c.keys[0]));
    }),
    ("an expired way beside a good one", Ok(2), |c| {
        let other = Key::new();
        let mut cross = Spec::intermediate("root", "old root", &c.keys[0], &other);
        cross.until = NOW - DAY;
        c.more.push(cross.sign(&other));
        c.more_roots.push(Spec::root("old root", &other).sign(&other));
    }),
    ("a circle of CAs", Err("no-issuer"), |c| {
        let (a, b) = (Key::new(), Key::new());
        c.more.push(Spec::intermediate("a", "b", &a, &b).sign(&b));
        c.more.push(Spec::intermediate("b", "a", &b, &a).sign(&a));
        c.deepen().ica = Spec::intermediate("ica", "a", &c.keys[1], &a);
    }),
];

/// Puts another intermediate under the first: the leaf is then under that.
fn below(c: &mut Chain, subject: &str, path_len: Option<u8>) {
    let key = Key::new();
    let mut second = Spec::intermediate(subject, "ica", &key, &c.keys[1]);
    second.set(bc(true, path_len));
    let first = c.ica.sign(&c.keys[0]);
    let second = second.sign(&c.keys[1]);
    c.more.push(first);
    c.more.push(second);
    // The chain's own intermediate is then the second: its certificate is among the others already.
    c.ica = Spec::intermediate("nobody", "root", &key, &c.keys[0]);
    c.keys[1] = key;
    c.leaf.issuer = name(subject);
    c.leaf.set(aki(&c.keys[1]));
}

#[test]
fn certificates_outside_of_directories_are_checked() {
    hold(CERTIFICATES);
}

#[test]
fn paths() {
    hold(PATHS);
}

/// A reason names the algorithm that is not supported, and the CA that demands what is missing.
#[test]
fn reasons_name_algorithms_and_who_demands_a_policy() {
    let reason = |change: fn(&mut Chain)| {
        let mut chain = Chain::new();
        change(&mut chain);
        chain.reason()
    };
    let sha3 = reason(|c| {
        let algorithm = seq(&[oid("2.16.840.1.101.3.4.3.10")]);
        (c.leaf.inner, c.leaf.outer) = (Some(algorithm.clone()), Some(algorithm));
    });
    let expected = "CN=leaf: is signed with ECDSA with SHA3-256, which is not supported";
    assert_eq!(sha3, format!("{expected} [signature-algorithm]"));
    let brainpool = reason(|c| {
        let algorithm = seq(&[oid("1.2.840.10045.2.1"), oid("1.3.36.3.3.2.8.1.1.7")]);
        c.root.spki = seq(&[algorithm, bits(&[4; 65])]);
    });
    let expected = "CN=leaf: is signed with a key of CN=root, EC on brainpoolP256r1, which is not supported";
    assert_eq!(brainpool, format!("{expected} [signature-algorithm]"));
    let policy = reason(|c| c.deepen().ica.set(("2.5.29.36", true, seq(&[tlv(0x80, &[0])]))));
    let expected =
        "CN=leaf: no valid policy, which policyConstraints of CN=ica require (requireExplicitPolicy)";
    assert_eq!(policy, format!("{expected} [policy]"));
}

//! One defect in each place of a path in turn, beside OpenSSL.

use crate::forge::{
    BC, CLIENT_AUTH, CrlSpec, DAY, EKU, KU, Key, NOW, SAN, SERVER_AUTH, Spec, bc, dns, eku, ku, name, nc,
    octets, oid, seq, tlv,
};
use crate::openssl::{Comparison, comparable_openssl, openssl};
use crate::{Chain, UNKNOWN, forge, lax, unknown};

type Defect = (&'static str, fn(&mut Spec));

/// What is done to each certificate of a path in turn.
const DEFECTS: &[Defect] = &[
    ("expired", |s| s.until = NOW - DAY),
    ("not yet valid", |s| s.from = NOW + DAY),
    ("valid for no time", |s| s.until = s.from - 1),
    ("version 1", |s| s.version = 1),
    ("version 2", |s| s.version = 2),
    ("version 4", |s| s.version = 4),
    ("serial number of 30 bytes", |s| s.serial = vec![0x11; 30]),
    ("no basicConstraints", |s| s.drop(BC)),
    ("not a CA", |s| s.set(bc(false, None))),
    ("a CA", |s| s.set(bc(true, None))),
    ("path length 0", |s| s.set(bc(true, Some(0)))),
    ("basicConstraints that are not critical", |s| s.set(lax(bc(true, None)))),
    ("no keyUsage", |s| s.drop(KU)),
    ("keyUsage for signatures only", |s| s.set(ku(&[0]))),
    ("keyUsage for certificates only", |s| s.set(ku(&[5]))),
    ("keyUsage for CRLs only", |s| s.set(ku(&[6]))),
    ("keyUsage for keys only", |s| s.set(ku(&[2]))),
    ("keyUsage of no bit", |s| s.set((KU, true, tlv(3, &[0])))),
    ("keyUsage that is no bit string", |s| s.set((KU, true, octets(&[1])))),
    ("extendedKeyUsage for servers", |s| s.set(eku(&[SERVER_AUTH]))),
    ("extendedKeyUsage for clients", |s| s.set(eku(&[CLIENT_AUTH]))),
    ("extendedKeyUsage for both", |s| s.set(eku(&[SERVER_AUTH, CLIENT_AUTH]))),
    ("extendedKeyUsage for code", |s| s.set(eku(&["1.3.6.1.5.5.7.3.3"]))),
    ("no extendedKeyUsage", |s| s.drop(EKU)),
    ("an unknown critical extension", |s| s.set(unknown(true))),
    ("an unknown extension", |s| s.set(unknown(false))),
    ("an extension twice", |s| s.exts.extend([unknown(false), unknown(false)])),
    ("another algorithm inside", |s| s.inner = Some(seq(&[oid("1.2.840.10045.4.3.3")]))),
    ("another algorithm outside", |s| s.outer = Some(seq(&[oid("1.2.840.10045.4.3.3")]))),
    ("an unknown algorithm", |s| {
        (s.inner, s.outer) = (Some(seq(&[oid(UNKNOWN)])), Some(seq(&[oid(UNKNOWN)])));
    }),
    ("another subject", |s| s.subject = name("somebody else")),
    ("another issuer", |s| s.issuer = name("somebody else")),
    ("an empty issuer", |s| s.issuer = name("")),
    ("another key", |s| s.spki = Key::new().spki()),
    ("a key that is none", |s| s.spki = seq(&[seq(&[oid(UNKNOWN)]), forge::bits(&[1, 2, 3])])),
    ("names that are none", |s| s.set((SAN, false, tlv(5, &[])))),
    ("constraints that forbid", |s| s.set(nc(&[], &[dns("example.com")]))),
    ("constraints that permit", |s| s.set(nc(&[dns("example.com")], &[]))),
    ("constraints for another name", |s| s.set(nc(&[dns("example.org")], &[]))),
    ("a policy", |s| s.set((forge::POLICIES, false, seq(&[seq(&[oid("1.2.3.4")])])))),
    ("an explicit policy demanded", |s| s.set(("2.5.29.36", true, seq(&[tlv(0x80, &[0])])))),
];

type ListDefect = (&'static str, fn(&mut CrlSpec));

/// What is done to the list of each issuer in turn.
const LIST_DEFECTS: &[ListDefect] = &[
    ("nothing", |_| {}),
    ("expired", |l| l.next = Some(NOW - DAY)),
    ("not yet valid", |l| l.this = NOW + DAY),
    ("another issuer", |l| l.issuer = name("somebody else")),
    ("an unknown critical extension", |l| l.exts.push(unknown(true))),
    ("an unknown extension", |l| l.exts.push(unknown(false))),
    ("an unknown critical extension of an entry", |l| l.revoked.push((vec![9], vec![unknown(true)]))),
    ("another algorithm inside", |l| l.inner = Some(seq(&[oid("1.2.840.10045.4.3.3")]))),
    ("another algorithm outside", |l| l.outer = Some(seq(&[oid("1.2.840.10045.4.3.3")]))),
    ("leaves only", |l| l.exts.push(("2.5.29.28", true, seq(&[tlv(0x81, &[0xff])])))),
    ("CAs only", |l| l.exts.push(("2.5.29.28", true, seq(&[tlv(0x82, &[0xff])])))),
    ("attribute certificates only", |l| l.exts.push(("2.5.29.28", true, seq(&[tlv(0x85, &[0xff])])))),
    ("no entry", |l| l.revoked.clear()),
];

#[test]
fn openssl_disagrees_on_no_single_defect_but_for_listed_reasons() {
    let Some(version) = testkit::or_skip(comparable_openssl()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut rows: Vec<(String, Chain)> = Vec::new();
    for place in ["leaf", "intermediate", "root"] {
        for (what, change) in DEFECTS {
            let mut chain = Chain::new();
            chain.deepen();
            change(match place {
                "leaf" => &mut chain.leaf,
                "intermediate" => &mut chain.ica,
                _ => &mut chain.root,
            });
            rows.push((format!("{place}: {what}"), chain));
        }
    }
    for place in ["root's list", "intermediate's list"] {
        for (what, change) in LIST_DEFECTS {
            let mut chain = Chain::new();
            chain.deepen();
            let mut lists = [("root", 0), ("ica", 1)].map(|(who, i)| {
                let mut list = CrlSpec::new(who, &chain.keys[i]);
                list.revoked.push((vec![0x33], vec![]));
                list
            });
            change(&mut lists[usize::from(place.starts_with('i'))]);
            chain.crls = lists.iter().zip(&chain.keys).map(|(list, key)| list.sign(key)).collect();
            rows.push((format!("{place}: {what}"), chain));
        }
    }
    let mut compared = Comparison { lenient: SINGLE_LENIENT, strict: SINGLE_STRICT, cases: Vec::new() };
    for (what, chain) in rows {
        std::fs::write(dir.path().join("leaf"), forge::pem("CERTIFICATE", &chain.ders().0)).unwrap();
        let theirs = openssl(&chain, dir.path(), &["leaf"])[0];
        compared.cases.push((what, chain.answer().is_ok(), theirs));
    }
    assert!(compared.cases.len() > 140, "{}", compared.cases.len());
    compared.judge(&version);
}

/// Where OpenSSL takes a single defect that we do not.
const SINGLE_LENIENT: &[(&str, &str)] = &[
    ("leaf: version 4", "takes any version for 3"),
    ("leaf: serial number of 30 bytes", "does not look at serial numbers"),
    ("leaf: an extension twice", "does not look, where it does not know the extension"),
    ("intermediate: version 4", "takes any version for 3"),
    ("intermediate: serial number of 30 bytes", "does not look at serial numbers"),
    ("intermediate: an extension twice", "does not look, where it does not know the extension"),
    ("intermediate: basicConstraints that are not critical", "does not look since 4.0"),
    ("root: basicConstraints that are not critical", "does not look since 4.0"),
    ("root: version 4", "takes any version for 3"),
    ("root: serial number of 30 bytes", "does not look at serial numbers"),
    ("root: an extension twice", "does not look, where it does not know the extension"),
    ("leaf: an explicit policy demanded", "looks at policies only with -policy_check"),
    ("intermediate: an explicit policy demanded", "looks at policies only with -policy_check"),
    ("leaf: keyUsage for keys only", "looks at keyUsage by purpose, and a server may also decrypt"),
    ("leaf: constraints that forbid", "does not look for constraints in a leaf"),
    ("leaf: constraints that permit", "does not look for constraints in a leaf"),
    ("leaf: constraints for another name", "does not look for constraints in a leaf"),
    ("root's list: another algorithm inside", "did not compare the two algorithms of a list up to 3.0.19"),
    (
        "intermediate's list: another algorithm inside",
        "did not compare the two algorithms of a list up to 3.0.19",
    ),
];

/// Where OpenSSL refuses a single defect that we take.
const SINGLE_STRICT: &[(&str, &str)] = &[
    ("intermediate: no keyUsage", "-x509_strict demands one of CAs; validation, 6.1.4 (n), does not"),
    ("root: no keyUsage", "-x509_strict demands one of CAs; validation, 6.1.4 (n), does not"),
    ("leaf: a key that is none", "reads the leaf's key, which validation does not use"),
];

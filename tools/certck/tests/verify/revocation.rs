//! Revocation: complete CRLs, delta CRLs, and CRLs for some reasons, by whom they are signed.

use crate::forge::{CRL_NUMBER, CrlSpec, KU, Key, NOW, Spec, int, ku, name, seq, tlv};
use crate::{Chain, Row, hold, unknown};

pub(crate) const REVOCATION: &[Row] = &[
    ("revoked", Err("revoked"), |c| c.crl(|crl, leaf| crl.revoked.push((leaf.serial.clone(), vec![])))),
    ("not on the list", Ok(2), |c| c.crl(|_, _| {})),
    ("an empty list", Ok(2), |c| c.crl(|crl, _| crl.revoked.clear())),
    ("on another issuer's list", Ok(2), |c| {
        c.crl(|_, _| {});
        let other = Key::new();
        c.more_roots.push(Spec::root("other", &other).sign(&other));
        let mut crl = CrlSpec::new("other", &other);
        crl.revoked.push((c.leaf.serial.clone(), vec![]));
        c.crls.push(crl.sign(&other));
    }),
    ("no list of the issuer", Err("revocation-unknown"), |c| c.crl(|crl, _| crl.issuer = name("other"))),
    ("a list without a number", Err("revocation-unknown"), |c| {
        c.crl(|crl, _| crl.exts.retain(|e| e.0 != CRL_NUMBER))
    }),
    ("a list with a critical number", Err("revocation-unknown"), |c| {
        c.crl(|crl, _| crl.exts.iter_mut().filter(|e| e.0 == CRL_NUMBER).for_each(|e| e.1 = true));
    }),
    ("a root without cRLSign", Err("revocation-unknown"), |c| {
        c.root.set(ku(&[5]));
        c.crl(|_, _| {});
    }),
    ("a root without keyUsage", Ok(2), |c| {
        c.root.drop(KU);
        c.crl(|_, _| {});
    }),
    ("a list signed by another key", Err("revocation-unknown"), |c| {
        let other = Key::new();
        c.crls.push(CrlSpec::new("root", &c.keys[0]).sign(&other));
    }),
    ("a list with an unknown critical extension", Err("revocation-unknown"), |c| {
        c.crl(|crl, _| crl.exts.push(unknown(true)))
    }),
    ("a list with an unknown extension", Ok(2), |c| c.crl(|crl, _| crl.exts.push(unknown(false)))),
    ("an entry with an unknown critical extension", Err("revocation-unknown"), |c| {
        c.crl(|crl, _| crl.revoked[0].1.push(unknown(true)));
    }),
    ("an entry with an unknown extension", Err("revoked"), |c| {
        c.crl(|crl, leaf| crl.revoked.push((leaf.serial.clone(), vec![unknown(false)])));
    }),
    ("a list of tomorrow", Err("revocation-unknown"), |c| c.crl(|crl, _| crl.this = NOW + 1)),
    ("a list of yesterday", Err("crl-expired"), |c| c.crl(|crl, _| crl.next = Some(NOW - 1))),
    ("a list for ever", Err("revocation-unknown"), |c| c.crl(|crl, _| crl.next = None)),
    ("a delta list", Err("revocation-unknown"), |c| {
        c.crl(|crl, _| crl.exts.push(("2.5.29.27", true, int(&[1]))))
    }),
    ("a list of CAs only", Err("revocation-unknown"), |c| {
        c.crl(|crl, _| crl.exts.push(("2.5.29.28", true, seq(&[tlv(0x82, &[0xff])]))));
    }),
    ("an indirect list", Err("revocation-unknown"), |c| {
        c.crl(|crl, _| crl.exts.push(("2.5.29.28", true, seq(&[tlv(0x84, &[0xff])]))));
    }),
    ("a list for some reasons", Err("revocation-unknown"), |c| {
        c.crl(|crl, _| crl.exts.push(("2.5.29.28", true, seq(&[tlv(0x83, &[1, 0x40])]))));
    }),
    ("lists that cover all reasons together", Ok(2), |c| {
        c.crl(|crl, _| crl.exts.push(("2.5.29.28", true, seq(&[tlv(0x83, &[0, 0x60])]))));
        c.crl(|crl, _| crl.exts.push(("2.5.29.28", true, seq(&[tlv(0x83, &[7, 0x1f, 0x80])]))));
    }),
    ("an intermediate that no list covers", Err("revocation-unknown"), |c| {
        c.deepen();
        let mut crl = CrlSpec::new("ica", &c.keys[1]);
        crl.revoked.clear();
        c.crls.push(crl.sign(&c.keys[1]));
    }),
    ("a revoked intermediate", Err("revoked"), |c| {
        c.deepen();
        c.crls.push(CrlSpec::new("ica", &c.keys[1]).sign(&c.keys[1]));
        let serial = c.ica.serial.clone();
        c.crl(|crl, _| crl.revoked.push((serial.clone(), vec![])));
    }),
    ("a large list", Ok(2), |c| {
        c.crl(|crl, _| {
            crl.revoked = (0..10_000u32).map(|n| ([&[0x51][..], &n.to_be_bytes()].concat(), vec![])).collect()
        });
    }),
];

#[test]
fn revocation() {
    hold(REVOCATION);
}

/// A root with two keys, and another CA of the same name: small serial numbers are in use by both. The list that revokes
/// the leaf is signed by the second key, whose certificate some list revokes.
#[test]
fn a_crl_signer_is_revoked_by_its_own_issuer_only() {
    const SIGNER: u8 = 7;
    // The key of the list that names the signer: that of the root, of another CA that is trusted, of one that is not.
    type Lists = fn(&mut Chain, &CrlSpec, &Key);
    let rows: [(&str, Result<usize, &str>, Lists); 5] = [
        ("no list names the signer", Err("revoked"), |_, _, _| {}),
        ("the list of another trusted CA names its number", Err("revoked"), |c, list, _| {
            let other = Key::new();
            c.more_roots.push(Spec::root("root", &other).sign(&other));
            c.crls.push(list.sign(&other));
        }),
        ("the list of an unknown CA names its number", Err("revoked"), |c, list, _| {
            c.crls.push(list.sign(&Key::new()));
        }),
        ("its issuer revokes it", Ok(2), |c, list, _| c.crls.push(list.sign(&c.keys[0]))),
        ("its issuer's other key revokes it", Err("revocation-unknown"), |c, list, signer| {
            c.crls.push(list.sign(signer));
        }),
    ];
    for (what, expected, add_lists) in rows {
        let mut chain = Chain::new();
        let signer = Key::new();
        let mut cert = Spec::intermediate("root", "root", &signer, &chain.keys[0]);
        cert.serial = vec![SIGNER];
        chain.more.push(cert.sign(&chain.keys[0]));
        let mut list = CrlSpec::new("root", &signer);
        list.revoked.push((chain.leaf.serial.clone(), vec![]));
        chain.crls.push(list.sign(&signer));
        let mut about_signer = CrlSpec::new("root", &signer);
        about_signer.revoked.push((vec![SIGNER], vec![]));
        add_lists(&mut chain, &about_signer, &signer);
        assert_eq!(chain.answer(), expected, "{what}");
    }
}

/// Lists of one name by many keys cannot make the verifier work without end.
#[test]
fn lists_about_a_crl_signer_cost_signatures_of_the_budget() {
    let mut chain = Chain::new();
    let signer = Key::new();
    let mut cert = Spec::intermediate("root", "root", &signer, &chain.keys[0]);
    cert.serial = vec![7];
    chain.more.push(cert.sign(&chain.keys[0]));
    chain.crls.push(CrlSpec::new("root", &signer).sign(&signer));
    let mut list = CrlSpec::new("root", &signer);
    list.revoked.push((vec![7], vec![]));
    let foreign = list.sign(&Key::new());
    chain.crls.extend(std::iter::repeat_n(foreign, 400));
    assert_eq!(chain.answer(), Err("too-much-work"));
}

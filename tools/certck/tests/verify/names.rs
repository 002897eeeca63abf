//! Names: those that a peer is asked for, and name constraints.

use common::pki::path::PeerName;

use crate::forge::{Key, NC, SAN, Spec, directory, dns, email, ip, name, nc, oid, san, seq, tlv, uri};
use crate::{Row, critical, hold, lax, other_name};

const NET: [u8; 8] = [192, 0, 2, 0, 255, 255, 255, 0];

pub(crate) const NAMES: &[Row] = &[
    ("a wrong name", Err("name-mismatch"), |c| c.names = vec![PeerName::Dns("example.org".into())]),
    ("no subject alternative name", Err("name-mismatch"), |c| c.leaf.drop(SAN)),
    ("a name in the subject does not count", Err("name-mismatch"), |c| {
        c.leaf.subject = name("example.com");
        c.names(&[dns("example.org")]);
    }),
    ("an address", Ok(2), |c| c.names = vec![PeerName::Ip("127.0.0.1".parse().unwrap())]),
    ("an address written as a name", Err("malformed-name"), |c| {
        c.names(&[dns("127.0.0.1")]);
        c.names = vec![PeerName::Ip("127.0.0.1".parse().unwrap())];
    }),
    ("a wildcard", Ok(2), |c| {
        c.names(&[dns("*.example.com")]);
        c.names = vec![PeerName::Dns("a.example.com".into())];
    }),
    ("a wildcard stands for one label", Err("name-mismatch"), |c| {
        c.names(&[dns("*.example.com")]);
        c.names = vec![PeerName::Dns("a.b.example.com".into())];
    }),
    ("a subjectAltName that is not DER", Err("malformed-extension"), |c| {
        c.leaf.set((SAN, false, b"example.com".to_vec()));
    }),
    ("an empty subjectAltName", Err("malformed-extension"), |c| c.names(&[])),
    ("empty subject without a critical subjectAltName", Err("empty-subject"), |c| c.leaf.subject = name("")),
    ("empty subject with a critical subjectAltName", Ok(2), |c| {
        c.leaf.subject = name("");
        c.leaf.set(critical(san(&[dns("example.com")])));
    }),
    ("a client's e-mail address", Ok(2), |c| {
        c.client(&["good@example.com"]);
        c.names(&[email("good@EXAMPLE.com")]);
    }),
    ("a client's e-mail address, whose local part has case", Err("name-mismatch"), |c| {
        c.client(&["good@example.com"]);
        c.names(&[email("Good@example.com")]);
    }),
    ("one of two e-mail addresses", Err("name-mismatch"), |c| {
        c.client(&["a@example.com", "b@example.com"]);
        c.names(&[email("a@example.com")]);
    }),
];

pub(crate) const CONSTRAINTS: &[Row] = &[
    ("permitted", Ok(2), |c| c.root.set(nc(&[dns("example.com")], &[]))),
    ("permitted with more labels", Ok(2), |c| {
        c.root.set(nc(&[dns("example.com")], &[]));
        c.names(&[dns("foo.bar.example.com")]);
        c.any_name();
    }),
    ("not permitted", Err("name-constraints"), |c| {
        c.root.set(nc(&[dns("example.com")], &[]));
        c.names(&[dns("not-example.com")]);
        c.any_name();
    }),
    ("not critical", Err("criticality"), |c| c.root.set(lax(nc(&[dns("example.com")], &[])))),
    ("excluded", Err("name-constraints"), |c| c.deepen().ica.set(nc(&[], &[dns("example.com")]))),
    ("excluded second name", Err("name-constraints"), |c| {
        c.root.set(nc(&[], &[dns("not.example.com")]));
        c.names(&[dns("example.com"), dns("not.example.com")]);
    }),
    ("permitted and excluded", Err("name-constraints"), |c| {
        c.root.set(nc(&[dns("example.com")], &[dns("example.com")]))
    }),
    ("another form is not constrained", Ok(2), |c| {
        c.root.set(nc(&[ip(&NET)], &[ip(&NET)]));
        c.names(&[dns("example.com")]);
    }),
    ("permitted address", Ok(2), |c| {
        c.root.set(nc(&[ip(&NET)], &[]));
        c.names(&[ip(&[192, 0, 2, 1])]);
        c.any_name();
    }),
    ("address not permitted", Err("name-constraints"), |c| {
        c.root.set(nc(&[ip(&NET)], &[]));
        c.names(&[ip(&[192, 0, 3, 1])]);
        c.any_name();
    }),
    ("a wildcard beyond the permitted name", Err("name-constraints"), |c| {
        c.deepen().ica.set(nc(&[dns("foo.example.com")], &[]));
        c.names(&[dns("*.example.com")]);
        c.names = vec![PeerName::Dns("bar.example.com".into())];
    }),
    ("a wildcard that stands for an excluded name", Err("name-constraints"), |c| {
        c.deepen().ica.set(nc(&[], &[dns("foo.example.com")]));
        c.names(&[dns("*.example.com")]);
        c.names = vec![PeerName::Dns("bar.example.com".into())];
    }),
    ("a wildcard within the permitted domain", Ok(3), |c| {
        c.deepen().ica.set(nc(&[dns("example.com")], &[dns("a.foo.example.com")]));
        c.names(&[dns("*.example.com")]);
        c.names = vec![PeerName::Dns("bar.example.com".into())];
    }),
    ("excluded address", Err("name-constraints"), |c| {
        c.root.set(nc(&[], &[ip(&NET)]));
        c.names(&[ip(&[192, 0, 2, 1])]);
        c.any_name();
    }),
    ("IPv6 where IPv4 is permitted", Err("name-constraints"), |c| {
        c.root.set(nc(&[ip(&NET)], &[]));
        c.names(&[ip(&[0; 16])]);
        c.any_name();
    }),
    ("a network without a mask", Err("name-constraints"), |c| {
        c.root.set(nc(&[ip(&[127, 0, 0, 1])], &[]));
        c.names(&[ip(&[127, 0, 0, 1])]);
        c.any_name();
    }),
    ("a mask with holes", Err("name-constraints"), |c| {
        c.root.set(nc(&[ip(&[10, 0, 0, 0, 255, 0, 255, 0])], &[]))
    }),
    ("permitted directory name", Ok(2), |c| {
        c.root.set(nc(&[directory(&name("foo"))], &[]));
        c.leaf.subject = name("foo");
    }),
    ("subject not permitted", Err("name-constraints"), |c| {
        c.root.set(nc(&[directory(&name("foo"))], &[]));
        c.names(&[directory(&name("foo")), dns("example.com")]);
    }),
    ("alternative directory name excluded", Err("name-constraints"), |c| {
        c.root.set(nc(&[], &[directory(&name("foo"))]));
        c.names(&[directory(&name("FOO")), dns("example.com")]);
    }),
    ("subject excluded", Err("name-constraints"), |c| {
        c.root.set(nc(&[], &[directory(&name("foo"))]));
        c.leaf.subject = name("foo");
    }),
    ("a self-issued intermediate is not constrained", Ok(3), |c| {
        c.root.set(nc(&[dns("example.com")], &[]));
        c.deepen().ica.subject = name("root");
        c.ica.set(san(&[dns("not-example.com")]));
        c.leaf.issuer = name("root");
    }),
    ("a self-issued leaf is constrained", Err("name-constraints"), |c| {
        c.root.set(nc(&[dns("example.com")], &[]));
        c.leaf.subject = name("root");
        c.names(&[dns("not-example.com")]);
        c.any_name();
    }),
    ("an intermediate's names are constrained", Err("name-constraints"), |c| {
        c.root.set(nc(&[dns("permitted.com"), dns("example.com")], &[dns("forbidden.com")]));
        c.deepen().ica.set(san(&[dns("forbidden.com")]));
    }),
    ("constraints only narrow", Err("name-constraints"), |c| {
        c.root.set(nc(&[dns("bar.com")], &[]));
        c.deepen().ica.set(nc(&[dns("example.com"), dns("bar.com")], &[]));
    }),
    ("a constraint with a wildcard", Err("name-constraints"), |c| {
        c.root.set(nc(&[dns("*.example.com")], &[]))
    }),
    ("a constraint with a leading period", Err("name-constraints"), |c| {
        c.root.set(nc(&[dns(".example.com")], &[]));
        c.names(&[dns("foo.example.com")]);
        c.any_name();
    }),
    ("a constraint with a minimum", Err("name-constraints"), |c| {
        let tree = seq(&[dns("example.com"), tlv(0x80, &[1])]);
        c.root.set((NC, true, seq(&[tlv(0xa0, &tree)])));
    }),
    ("empty constraints", Err("malformed-extension"), |c| c.root.set((NC, true, seq(&[])))),
    ("constraints in a leaf", Err("name-constraints"), |c| c.leaf.set(nc(&[dns("example.com")], &[]))),
    ("a malformed name beside a good one", Err("malformed-name"), |c| {
        c.deepen().ica.set(nc(&[dns("example.com")], &[]));
        c.names(&[dns(".example.com"), dns("example.com")]);
    }),
    ("a network for an address", Err("malformed-name"), |c| {
        c.names(&[ip(&NET), dns("example.com")]);
    }),
    ("permitted mailbox", Ok(2), |c| {
        c.root.set(nc(&[email("foo@example.com")], &[]));
        c.client(&["foo@example.com"]);
        c.names(&[email("foo@example.com")]);
    }),
    ("another mailbox", Err("name-constraints"), |c| {
        c.root.set(nc(&[email("foo@example.com")], &[]));
        c.client(&["bar@example.com"]);
        c.names(&[email("bar@example.com")]);
    }),
    ("all mailboxes of a host", Ok(2), |c| {
        c.root.set(nc(&[email("example.com")], &[]));
        c.client(&["foo@example.com"]);
        c.names(&[email("foo@example.com")]);
    }),
    ("a malformed mailbox among good ones", Err("malformed-name"), |c| {
        c.root.set(nc(&[email("example.com")], &[]));
        c.client(&["good@example.com"]);
        c.names(&[email("good@example.com"), email("in@valid@example.com")]);
    }),
    ("a malformed mailbox as the constraint", Err("name-constraints"), |c| {
        c.root.set(nc(&[email("in@valid@example.com")], &[]));
        c.client(&["good@example.com"]);
        c.names(&[email("good@example.com")]);
    }),
    ("an e-mail address in the subject", Err("name-constraints"), |c| {
        c.root.set(nc(&[email("example.com")], &[]));
        let id = oid("1.2.840.113549.1.9.1");
        c.leaf.subject = tlv(0x30, &tlv(0x31, &seq(&[id, tlv(0x16, b"a@example.org")])));
    }),
    ("a URI's host", Ok(2), |c| {
        c.root.set(nc(&[uri(".example.com")], &[]));
        c.names(&[uri("https://a.example.com/x"), dns("example.com")]);
    }),
    ("a URI without a host", Err("name-constraints"), |c| {
        c.root.set(nc(&[uri(".example.com")], &[]));
        c.names(&[uri("urn:x"), dns("example.com")]);
    }),
    ("a form not understood, constrained and there", Err("name-constraints"), |c| {
        c.root.set(nc(&[dns("example.com")], &[other_name()]));
        c.names(&[dns("example.com"), other_name()]);
    }),
    ("a form not understood, constrained and not there", Ok(2), |c| {
        c.root.set(nc(&[dns("example.com")], &[other_name()]));
    }),
    ("a forbidden way beside an allowed one", Ok(3), |c| {
        let other = Key::new();
        c.more_roots.push(Spec::root("free", &other).sign(&other));
        c.more.push(Spec::intermediate("ica", "free", &c.keys[1], &other).sign(&other));
        c.root.set(nc(&[], &[dns("example.com")]));
        c.deepen();
    }),
];

#[test]
fn names() {
    hold(NAMES);
}

#[test]
fn name_constraints() {
    hold(CONSTRAINTS);
}

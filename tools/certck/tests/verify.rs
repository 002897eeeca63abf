//! The verdict engine held to RFC 5280, case by case, each named after what it is about.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod forge;

use common::pki::extension::KeyUsage;
use common::pki::oid::encode_purpose;
use common::pki::path::{PeerName, ValidationRequest, validate_path};
use common::pki::{Cert, Crl};
use rcgen::{KeyPair, PublicKeyData};

use forge::{
    AKI, BC, CLIENT_AUTH, CRL_NUMBER, CrlSpec, DAY, EKU, Ext, KU, Key, NC, NOW, SAN, SERVER_AUTH, SKI, Spec,
    aki, bc, directory, dns, eku, email, int, ip, key_id, ku, name, nc, octets, oid, san, seq, ski, tlv, uri,
};

/// A root, an intermediate that may be left out, a leaf; and what is asked about them.
struct Chain {
    keys: [Key; 3],
    root: Spec,
    ica: Spec,
    leaf: Spec,
    /// Whether the leaf is under the intermediate, else under the root.
    deep: bool,
    /// What else the peer sends, and what else is trusted.
    more: Vec<Vec<u8>>,
    more_roots: Vec<Vec<u8>>,
    names: Vec<PeerName>,
    client: bool,
    crls: Vec<Vec<u8>>,
    at: i64,
    depth: usize,
    conformance: bool,
}

impl Chain {
    fn new() -> Self {
        let keys = [Key::new(), Key::new(), Key::new()];
        Self {
            root: Spec::root("root", &keys[0]),
            ica: Spec::intermediate("ica", "root", &keys[1], &keys[0]),
            leaf: Spec::leaf("root", &keys[2], &keys[0]),
            keys,
            deep: false,
            more: Vec::new(),
            more_roots: Vec::new(),
            names: vec![PeerName::Dns("example.com".into())],
            client: false,
            crls: Vec::new(),
            at: NOW,
            depth: 16,
            conformance: true,
        }
    }

    /// Puts the intermediate between root and leaf.
    fn deepen(&mut self) -> &mut Self {
        self.deep = true;
        self.leaf.issuer = name("ica");
        self.leaf.set(aki(&self.keys[1]));
        self
    }

    /// Asks for a client with these e-mail addresses.
    fn client(&mut self, mails: &[&str]) {
        self.client = true;
        self.leaf.set(eku(&[CLIENT_AUTH]));
        self.names = mails.iter().map(|m| PeerName::Email((*m).to_owned())).collect();
    }

    fn names(&mut self, names: &[Vec<u8>]) {
        self.leaf.set(san(names));
    }

    fn any_name(&mut self) {
        self.names.clear();
    }

    fn crl(&mut self, change: impl Fn(&mut CrlSpec, &Spec)) {
        let mut crl = CrlSpec::new("root", &self.keys[0]);
        crl.revoked.push((vec![0x33], vec![]));
        change(&mut crl, &self.leaf);
        self.crls.push(crl.sign(&self.keys[0]));
    }

    /// All that the question is made of, as DER: the leaf, intermediates, roots.
    fn ders(&self) -> (Vec<u8>, Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let above = if self.deep { &self.keys[1] } else { &self.keys[0] };
        let mut intermediates = self.more.clone();
        if self.deep {
            intermediates.insert(0, self.ica.sign(&self.keys[0]));
        }
        let roots = [vec![self.root.sign(&self.keys[0])], self.more_roots.clone()].concat();
        (self.leaf.sign(above), intermediates, roots)
    }

    fn answer(&self) -> Result<usize, &'static str> {
        let (leaf, intermediates, roots) = self.ders();
        self.answer_to(&leaf, &intermediates, &roots, &self.crls)
    }

    fn answer_to(
        &self,
        leaf: &[u8],
        intermediates: &[Vec<u8>],
        roots: &[Vec<u8>],
        crls: &[Vec<u8>],
    ) -> Result<usize, &'static str> {
        let cert = |der: &[u8]| Cert::parse(der).map_err(|_| "malformed-certificate");
        let leaf = cert(leaf)?;
        let intermediates: Vec<Cert> = intermediates.iter().filter_map(|d| cert(d).ok()).collect();
        let roots: Vec<Cert> = roots.iter().filter_map(|d| cert(d).ok()).collect();
        let crls =
            crls.iter().map(|d| Crl::parse(d).map_err(|_| "malformed-crl")).collect::<Result<Vec<_>, _>>()?;
        let question = ValidationRequest {
            leaf: &leaf,
            intermediates: &intermediates,
            roots: &roots,
            crls: &crls,
            at: self.at,
            purposes: &[encode_purpose(if self.client { "clientAuth" } else { "serverAuth" }).unwrap()],
            key_usage: KeyUsage::DIGITAL_SIGNATURE,
            names: &self.names,
            max_depth: self.depth,
            conformance: self.conformance,
        };
        validate_path(&question).map(|path| path.len()).map_err(|refusal| refusal.code)
    }
}

type Row = (&'static str, Result<usize, &'static str>, fn(&mut Chain));

const UNKNOWN: &str = "1.3.6.1.4.1.99999.1";

fn unknown(critical: bool) -> Ext {
    (UNKNOWN, critical, tlv(5, &[]))
}

fn critical((id, _, value): Ext) -> Ext {
    (id, true, value)
}

fn lax((id, _, value): Ext) -> Ext {
    (id, false, value)
}

fn other_name() -> Vec<u8> {
    tlv(0xa0, &[oid(UNKNOWN), tlv(0xa0, &tlv(5, &[]))].concat())
}

const NET: [u8; 8] = [192, 0, 2, 0, 255, 255, 255, 0];

const CERTIFICATES: &[Row] = &[
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
    ("SHA-1", Err("no-issuer"), |c| {
        let sha1 = seq(&[oid("1.2.840.10045.4.1")]);
        (c.leaf.inner, c.leaf.outer) = (Some(sha1.clone()), Some(sha1));
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

const PATHS: &[Row] = &[
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

const NAMES: &[Row] = &[
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

const CONSTRAINTS: &[Row] = &[
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

const REVOCATION: &[Row] = &[
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

fn hold(rows: &[Row]) {
    for (what, expected, change) in rows {
        let mut chain = Chain::new();
        change(&mut chain);
        assert_eq!(chain.answer(), *expected, "{what}");
    }
}

#[test]
fn certificates_outside_of_directories_are_checked() {
    hold(CERTIFICATES);
}

#[test]
fn paths() {
    hold(PATHS);
}

#[test]
fn names() {
    hold(NAMES);
}

#[test]
fn name_constraints() {
    hold(CONSTRAINTS);
}

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

/// Where OpenSSL takes what the RFC, as read here, does not.
const LENIENT: &[(&str, &str)] = &[
    ("leaf that may not sign", "looks at keyUsage by purpose, and a server may also decrypt"),
    ("version 1", "checks what CAs must issue only in part"),
    ("serial number of 22 bytes", "does not look at serial numbers"),
    ("serial number of 21 bytes with a sign byte", "does not look at serial numbers"),
    ("serial number zero", "does not look at serial numbers"),
    ("serial number negative", "does not look at serial numbers"),
    ("trusted intermediate without authority key identifier", "asks less of a trusted certificate"),
    ("policy constraints that are not critical", "does not look"),
    ("a key that only signs, for key agreement", "does not look whether a key is capable of its usages"),
    ("authority key identifier with an issuer and no serial number", "does not look"),
    ("a wildcard that stands for an excluded name", "takes the star for a label"),
    ("an explicit policy demanded, and none there", "looks at policies only with -policy_check"),
    ("not critical", "does not look whether name constraints are critical"),
    ("a constraint with a leading period", "takes it for all subdomains"),
    ("empty constraints", "does not look"),
    ("constraints in a leaf", "does not look"),
    ("a malformed name beside a good one", "looks only at names that are asked for or constrained"),
    ("a network for an address", "looks only at names that are asked for or constrained"),
    ("a malformed mailbox among good ones", "takes what is before the last @ for the local part"),
    ("a list without a number", "does not look"),
    ("a list for ever", "believes it for ever"),
    ("a delta list", "took it for a complete one up to 3.0.19"),
    ("root with basicConstraints that are not critical", "does not look since 4.0"),
    ("empty subject without a critical subjectAltName", "does not look since 4.0"),
];
/// Where OpenSSL refuses what the RFC allows.
const STRICT: &[(&str, &str)] = &[
    ("the same without conformance", "-x509_strict is always given"),
    ("intermediate without keyUsage", "-x509_strict demands one of CAs; validation, 6.1.4 (n), does not"),
    ("a root without keyUsage", "-x509_strict demands one of CAs; validation, 6.1.4 (n), does not"),
    ("last second", "before 4.0 ends a validity with the beginning of its last second"),
    ("any extendedKeyUsage", "-purpose does not count it"),
    ("depth does not count self-issued intermediates", "counts them"),
    ("a forbidden way beside an allowed one", "does not go back once it has chosen an issuer"),
    ("lists that cover all reasons together", "uses such lists only with -extended_crl"),
];

/// What the `openssl` command says of the leaves of a chain.
fn openssl(chain: &Chain, dir: &std::path::Path, leaves: &[&str]) -> Vec<bool> {
    let (_, intermediates, roots) = chain.ders();
    let put = |name: &str, label: &str, ders: &[Vec<u8>]| {
        let text: String = ders.iter().map(|d| forge::pem(label, d)).collect();
        std::fs::write(dir.join(name), text).unwrap();
    };
    put("roots", "CERTIFICATE", &roots);
    put("intermediates", "CERTIFICATE", &intermediates);
    put("crls", "X509 CRL", &chain.crls);
    let mut command = std::process::Command::new("openssl");
    command.current_dir(dir).args([
        "verify",
        "-x509_strict",
        "-partial_chain",
        "-no-CApath",
        "-CAfile",
        "roots",
    ]);
    command.args(["-attime", &chain.at.to_string(), "-verify_depth", &chain.depth.to_string()]);
    command.args(["-purpose", if chain.client { "sslclient" } else { "sslserver" }]);
    if !intermediates.is_empty() {
        command.args(["-untrusted", "intermediates"]);
    }
    if !chain.crls.is_empty() {
        command.args(["-CRLfile", "crls", "-crl_check_all"]);
    }
    for name in &chain.names {
        match name {
            PeerName::Dns(name) => command.args(["-verify_hostname", name]),
            PeerName::Ip(ip) => command.args(["-verify_ip", &ip.to_string()]),
            PeerName::Email(name) => command.args(["-verify_email", name]),
        };
    }
    let output = command.args(leaves).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    leaves.iter().map(|leaf| text.lines().any(|l| l == format!("{leaf}: OK"))).collect()
}

/// The version of the `openssl` command that verdicts are compared with: `OpenSSL 3.0.22`.
fn comparable_openssl() -> Result<String, String> {
    let version = testkit::version(&testkit::find("openssl")?).unwrap_or_default();
    Ok(version.split(' ').take(2).collect::<Vec<_>>().join(" "))
}

/// Verdicts of both on named cases, beside what they may disagree on: pairs of a case and a reason.
struct Comparison<'a> {
    /// OpenSSL accepts what we reject.
    lenient: &'a [(&'a str, &'a str)],
    /// OpenSSL rejects what we accept.
    strict: &'a [(&'a str, &'a str)],
    /// Name, our verdict, OpenSSL's.
    cases: Vec<(String, bool, bool)>,
}

impl Comparison<'_> {
    /// Disagreements that no list has. Fails if so much as one listed case was not compared.
    fn unlisted(&self) -> Vec<String> {
        for (name, _) in self.lenient.iter().chain(self.strict) {
            assert!(self.cases.iter().any(|(case, ..)| case == name), "listed, and not compared: {name}");
        }
        let listed = |list: &[(&str, &str)], name: &str| list.iter().any(|(listed, _)| *listed == name);
        let wrong = self.cases.iter().filter_map(|(name, ours, theirs)| match (ours, theirs) {
            (false, true) if !listed(self.lenient, name) => {
                Some(format!("openssl accepts, we reject: {name}"))
            }
            (true, false) if !listed(self.strict, name) => {
                Some(format!("openssl rejects, we accept: {name}"))
            }
            _ => None,
        });
        wrong.collect()
    }

    /// Listed disagreements that this version of OpenSSL no longer has.
    fn agreements(&self) -> Vec<(&str, &str)> {
        let agreed =
            |name: &str| self.cases.iter().filter(|c| c.0 == name).all(|(_, ours, theirs)| ours == theirs);
        self.lenient.iter().chain(self.strict).filter(|(name, _)| agreed(name)).copied().collect()
    }

    /// A list allows, it does not demand: versions differ.
    fn judge(&self, version: &str) {
        let agreements = self.agreements();
        if !agreements.is_empty() {
            let names = agreements.iter().map(|(name, reason)| format!("`{name}` ({reason})"));
            let names = names.collect::<Vec<_>>().join(", ");
            testkit::note(format_args!("{version} agrees on {} listed cases: {names}", agreements.len()));
        }
        let unlisted = self.unlisted();
        assert!(unlisted.is_empty(), "{version}: {unlisted:#?}");
    }
}

#[test]
fn listed_disagreements_with_openssl_are_allowed_and_not_required() {
    let cases =
        |cases: &[(&str, bool, bool)]| cases.iter().map(|(n, a, b)| ((*n).to_owned(), *a, *b)).collect();
    let compared = |list: &[(&str, bool, bool)]| {
        let compared = Comparison {
            lenient: &[("l", "does not look")],
            strict: &[("s", "asks more")],
            cases: cases(list),
        };
        (
            compared.unlisted(),
            compared.agreements().iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>(),
        )
    };
    let both = [("l", false, true), ("s", true, false), ("x", true, true)];
    assert_eq!(compared(&both), (vec![], vec![]));
    let agreed = [("l", false, false), ("s", true, true), ("x", false, false)];
    assert_eq!(compared(&agreed), (vec![], vec!["l".to_owned(), "s".to_owned()]));
    // The other direction is another disagreement.
    let (wrong, _) =
        compared(&[("l", true, false), ("s", false, true), ("x", true, false), ("y", false, true)]);
    let expected =
        ["rejects, we accept: l", "accepts, we reject: s", "rejects, we accept: x", "accepts, we reject: y"];
    assert_eq!(wrong, expected.map(|end| format!("openssl {end}")));
    assert!(
        std::panic::catch_unwind(|| compared(&[("l", false, true)])).is_err(),
        "a typing error in a list"
    );
}

#[test]
fn openssl_disagrees_only_for_listed_reasons() {
    let Some(version) = testkit::or_skip(comparable_openssl()) else { return };
    let dir = tempfile::tempdir().unwrap();
    let mut compared = Comparison { lenient: LENIENT, strict: STRICT, cases: Vec::new() };
    for (what, expected, change) in
        [CERTIFICATES, PATHS, NAMES, CONSTRAINTS, REVOCATION].into_iter().flatten()
    {
        let mut chain = Chain::new();
        change(&mut chain);
        std::fs::write(dir.path().join("leaf"), forge::pem("CERTIFICATE", &chain.ders().0)).unwrap();
        let theirs = openssl(&chain, dir.path(), &["leaf"])[0];
        compared.cases.push(((*what).to_owned(), expected.is_ok(), theirs));
    }
    assert!(compared.cases.len() > 150, "{}", compared.cases.len());
    compared.judge(&version);
}

/// Bytes of a good leaf and of a good CRL changed at random: nothing that was changed is accepted, and OpenSSL
/// accepts nothing that we do not, nor the other way round.
fn mutate(rounds: usize) {
    let version = comparable_openssl();
    if let Err(reason) = &version {
        testkit::skip_part(reason);
    }
    let dir = tempfile::tempdir().unwrap();
    let mut chain = Chain::new();
    chain.deepen();
    let (leaf, intermediates, roots) = chain.ders();
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let mut change = |der: &[u8]| {
        let mut der = der.to_vec();
        for _ in 0..=random(3) {
            let at = random(der.len());
            match random(4) {
                0 => drop(der.remove(at)),
                1 => der.insert(at, random(256) as u8),
                _ => der[at] ^= 1 << random(8),
            }
        }
        der
    };
    let names: Vec<String> = (0..200).map(|i| format!("leaf{i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for _ in 0..rounds.div_ceil(names.len()) {
        let leaves: Vec<Vec<u8>> = names.iter().map(|_| change(&leaf)).collect();
        for (name, der) in names.iter().zip(&leaves) {
            std::fs::write(dir.path().join(name), forge::pem("CERTIFICATE", der)).unwrap();
        }
        let theirs = match &version {
            Ok(_) => openssl(&chain, dir.path(), &names),
            Err(_) => leaves.iter().map(|der| *der == leaf).collect(),
        };
        for (der, theirs) in leaves.iter().zip(theirs) {
            let ours = chain.answer_to(der, &intermediates, &roots, &[]).is_ok();
            assert!(ours == theirs && (!ours || *der == leaf), "ours {ours}, theirs {theirs}: {der:02x?}");
        }
    }
    let (key, root) = (&chain.keys[0], &chain.keys[1]);
    let lists = [CrlSpec::new("root", key).sign(key), CrlSpec::new("ica", root).sign(root)];
    std::fs::write(dir.path().join("leaf"), forge::pem("CERTIFICATE", &leaf)).unwrap();
    // One process for each list, so fewer of them.
    for _ in 0..rounds.div_ceil(4) {
        let changed = change(&lists[0]);
        let crls = vec![changed.clone(), lists[1].clone()];
        let ours = chain.answer_to(&leaf, &intermediates, &roots, &crls).is_ok();
        assert!(!ours || changed == lists[0], "{changed:02x?}");
        chain.crls = crls;
        let theirs = if version.is_ok() { openssl(&chain, dir.path(), &["leaf"])[0] } else { ours };
        assert!(ours == theirs, "ours {ours}, theirs {theirs}: {changed:02x?}");
    }
}

/// PROFGUARD_MUTATIONS says how many; tests/interop/run asks for ten thousand.
#[test]
fn mutated_certificates_are_rejected() {
    let rounds = std::env::var("PROFGUARD_MUTATIONS").ok().and_then(|n| n.parse().ok());
    mutate(rounds.unwrap_or(400));
}

/// Graphs and names made to be expensive end in a refusal, not in a long wait: work is counted, and too much of it is
/// its own answer. Times are shown, and asserted nowhere: they are the machine's.
#[test]
fn chains_made_to_be_expensive_are_rejected() {
    let timed = |what: &str, chain: &Chain| {
        let begin = std::time::Instant::now();
        let answer = chain.answer();
        println!("{what}: {:?}", begin.elapsed());
        answer
    };
    // CAs of one name, each signed by the same key: every order of them is a path to nowhere.
    let maze = |size: usize| {
        let mut chain = Chain::new();
        let key = Key::new();
        chain.deepen().leaf.issuer = name("maze");
        for _ in 0..size {
            let mut one = Spec::intermediate("maze", "maze", &Key::new(), &key);
            one.set((SKI, false, octets(&key_id(&key))));
            chain.more.push(one.sign(&key));
        }
        chain
    };
    let leaf = Cert::parse(&maze(0).ders().0).unwrap();
    assert_eq!(leaf.issuer.to_string(), "CN=maze");
    assert_eq!(timed("small maze", &maze(40)), Err("no-issuer"));
    assert_eq!(timed("large maze", &maze(400)), Err("too-much-work"));

    let named = |size: usize| {
        let mut chain = Chain::new();
        let names: Vec<_> = (0..size).map(|n| dns(&format!("h{n}.example.com"))).collect();
        chain.names(&names);
        chain.root.set(nc(&names, &[dns("other.example.com")]));
        chain.any_name();
        chain
    };
    assert_eq!(timed("few names", &named(100)), Ok(2));
    assert_eq!(timed("many names", &named(2000)), Err("too-much-work"));

    // As many names to be good for as the leaf has, the fitting one last.
    let wanted = |size: usize| {
        let mut chain = Chain::new();
        chain.names(&(0..size).map(|n| dns(&format!("h{n}.example.com"))).collect::<Vec<_>>());
        let names = (0..size).map(|_| PeerName::Dns(format!("h{}.example.com", size - 1)));
        chain.names = names.collect();
        chain
    };
    assert_eq!(timed("few names wanted", &wanted(100)), Ok(2));
    assert_eq!(timed("many names wanted", &wanted(2000)), Err("too-much-work"));
}

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

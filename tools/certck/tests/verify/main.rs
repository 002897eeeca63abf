//! The verdict engine held to RFC 5280, case by case, each named after what it is about.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "../forge/mod.rs"]
mod forge;

mod certificates;
mod hostile;
mod names;
mod openssl;
mod revocation;
mod single_defects;

use common::pki::extension::KeyUsage;
use common::pki::oid::encode_purpose;
use common::pki::path::{PeerName, ValidationRequest, validate_path};
use common::pki::{Cert, Crl};

use crate::forge::{CLIENT_AUTH, CrlSpec, Ext, Key, NOW, Spec, aki, eku, name, oid, san, tlv};

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
        self.validate(leaf, intermediates, roots, crls).map_err(|(code, _)| code)
    }

    /// The reason why it is rejected, in words.
    fn reason(&self) -> String {
        let (leaf, intermediates, roots) = self.ders();
        self.validate(&leaf, &intermediates, &roots, &self.crls).unwrap_err().1
    }

    fn validate(
        &self,
        leaf: &[u8],
        intermediates: &[Vec<u8>],
        roots: &[Vec<u8>],
        crls: &[Vec<u8>],
    ) -> Result<usize, (&'static str, String)> {
        let cert = |der: &[u8]| Cert::parse(der).map_err(|e| ("malformed-certificate", e.to_string()));
        let leaf = cert(leaf)?;
        let intermediates: Vec<Cert> = intermediates.iter().filter_map(|d| cert(d).ok()).collect();
        let roots: Vec<Cert> = roots.iter().filter_map(|d| cert(d).ok()).collect();
        let crls = crls
            .iter()
            .map(|d| Crl::parse(d).map_err(|e| ("malformed-crl", e.to_string())))
            .collect::<Result<Vec<_>, _>>()?;
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
        validate_path(&question).map(|path| path.len()).map_err(|refusal| (refusal.code, refusal.to_string()))
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

fn hold(rows: &[Row]) {
    for (what, expected, change) in rows {
        let mut chain = Chain::new();
        change(&mut chain);
        assert_eq!(chain.answer(), *expected, "{what}");
    }
}

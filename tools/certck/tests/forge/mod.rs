//! Certificates and CRLs with any defect wanted: DER written field by field, signed with real keys.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test uses its part")]

use rcgen::{KeyPair, PublicKeyData, SigningKey};

pub const DAY: i64 = 86_400;
/// The time at which everything is good: 2026-11-23 10:00:00 UTC.
pub const NOW: i64 = 1_795_428_000;

pub fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match value.len() {
        n @ 0..=0x7f => out.push(n as u8),
        n @ 0x80..=0xff => out.extend([0x81, n as u8]),
        n @ 0x100..=0xffff => out.extend([0x82, (n >> 8) as u8, n as u8]),
        n => out.extend([0x83, (n >> 16) as u8, (n >> 8) as u8, n as u8]),
    }
    out.extend_from_slice(value);
    out
}

pub fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub fn int(bytes: &[u8]) -> Vec<u8> {
    tlv(2, bytes)
}

pub fn oid(dotted: &str) -> Vec<u8> {
    let parts: Vec<u64> = dotted.split('.').map(|p| p.parse().unwrap()).collect();
    let mut out = Vec::new();
    for part in std::iter::once(parts[0] * 40 + parts[1]).chain(parts[2..].iter().copied()) {
        let groups = (64 - part.leading_zeros()).div_ceil(7).max(1);
        for i in (0..groups).rev() {
            out.push((part >> (7 * i) & 0x7f) as u8 | if i > 0 { 0x80 } else { 0 });
        }
    }
    tlv(6, &out)
}

pub fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], bytes].concat())
}

pub fn octets(bytes: &[u8]) -> Vec<u8> {
    tlv(4, bytes)
}

pub fn time(unix: i64) -> Vec<u8> {
    let t = time::OffsetDateTime::from_unix_timestamp(unix).unwrap();
    let (d, c) = (t.date(), t.time());
    let rest =
        format!("{:02}{:02}{:02}{:02}{:02}Z", d.month() as u8, d.day(), c.hour(), c.minute(), c.second());
    match d.year() {
        1950..2050 => tlv(0x17, format!("{:02}{rest}", d.year() % 100).as_bytes()),
        year => tlv(0x18, format!("{year:04}{rest}").as_bytes()),
    }
}

/// A name of one CN; an empty text is the empty name.
pub fn name(cn: &str) -> Vec<u8> {
    if cn.is_empty() {
        return tlv(0x30, &[]);
    }
    tlv(0x30, &rdn("2.5.4.3", cn))
}

pub fn rdn(id: &str, text: &str) -> Vec<u8> {
    tlv(0x31, &seq(&[oid(id), tlv(0x0c, text.as_bytes())]))
}

/// A key pair of the kinds that sign.
pub struct Key(pub KeyPair);

impl Key {
    pub fn new() -> Self {
        Self(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap())
    }

    pub fn rsa(size: rcgen::RsaKeySize) -> Self {
        Self(KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap())
    }

    pub fn spki(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    pub fn algorithm(&self) -> Vec<u8> {
        if self.0.algorithm() == &rcgen::PKCS_RSA_SHA256 {
            seq(&[oid("1.2.840.113549.1.1.11"), tlv(5, &[])])
        } else {
            seq(&[oid("1.2.840.10045.4.3.2")])
        }
    }

    pub fn pem(&self) -> String {
        self.0.serialize_pem()
    }

    fn seal(&self, tbs: Vec<u8>, algorithm: Vec<u8>) -> Vec<u8> {
        let signature = self.0.sign(&tbs).unwrap();
        seq(&[tbs, algorithm, bits(&signature)])
    }
}

pub type Ext = (&'static str, bool, Vec<u8>);

pub const SKI: &str = "2.5.29.14";
pub const KU: &str = "2.5.29.15";
pub const SAN: &str = "2.5.29.17";
pub const BC: &str = "2.5.29.19";
pub const CRL_NUMBER: &str = "2.5.29.20";
pub const NC: &str = "2.5.29.30";
pub const POLICIES: &str = "2.5.29.32";
pub const AKI: &str = "2.5.29.35";
pub const EKU: &str = "2.5.29.37";
pub const SERVER_AUTH: &str = "1.3.6.1.5.5.7.3.1";
pub const CLIENT_AUTH: &str = "1.3.6.1.5.5.7.3.2";

pub fn bc(ca: bool, path_len: Option<u8>) -> Ext {
    let mut parts = Vec::new();
    if ca {
        parts.push(tlv(1, &[0xff]));
    }
    parts.extend(path_len.map(|n| int(&[n])));
    (BC, true, seq(&parts))
}

/// Key usages by their bit numbers in RFC 5280.
pub fn ku(bits: &[u8]) -> Ext {
    let mut bytes = [0u8; 2];
    bits.iter().for_each(|b| bytes[usize::from(b / 8)] |= 0x80 >> (b % 8));
    let used = usize::from(bits.iter().max().map_or(0, |b| b / 8 + 1));
    let unused = bytes[..used].last().map_or(0, |b| b.trailing_zeros() as u8);
    (KU, true, tlv(3, &[&[unused], &bytes[..used]].concat()))
}

pub fn eku(usages: &[&str]) -> Ext {
    (EKU, false, seq(&usages.iter().map(|u| oid(u)).collect::<Vec<_>>()))
}

pub fn dns(name: &str) -> Vec<u8> {
    tlv(0x82, name.as_bytes())
}

pub fn email(name: &str) -> Vec<u8> {
    tlv(0x81, name.as_bytes())
}

pub fn uri(name: &str) -> Vec<u8> {
    tlv(0x86, name.as_bytes())
}

pub fn ip(bytes: &[u8]) -> Vec<u8> {
    tlv(0x87, bytes)
}

pub fn directory(name: &[u8]) -> Vec<u8> {
    tlv(0xa4, name)
}

pub fn san(names: &[Vec<u8>]) -> Ext {
    (SAN, false, seq(names))
}

/// Name constraints: permitted and excluded general names.
pub fn nc(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Ext {
    let trees =
        |names: &[Vec<u8>]| names.iter().map(|n| seq(std::slice::from_ref(n))).collect::<Vec<_>>().concat();
    let mut parts = Vec::new();
    if !permitted.is_empty() {
        parts.push(tlv(0xa0, &trees(permitted)));
    }
    if !excluded.is_empty() {
        parts.push(tlv(0xa1, &trees(excluded)));
    }
    (NC, true, seq(&parts))
}

pub fn key_id(key: &Key) -> Vec<u8> {
    key.0.der_bytes()[..20].to_vec()
}

pub fn ski(key: &Key) -> Ext {
    (SKI, false, octets(&key_id(key)))
}

pub fn aki(key: &Key) -> Ext {
    (AKI, false, seq(&[tlv(0x80, &key_id(key))]))
}

/// A certificate to be.
#[derive(Clone)]
pub struct Spec {
    pub version: u8,
    pub serial: Vec<u8>,
    pub issuer: Vec<u8>,
    pub subject: Vec<u8>,
    pub from: i64,
    pub until: i64,
    pub spki: Vec<u8>,
    pub exts: Vec<Ext>,
    /// Overrides of the algorithm outside and inside.
    pub outer: Option<Vec<u8>>,
    pub inner: Option<Vec<u8>>,
}

impl Spec {
    pub fn new(subject: &str, issuer: &str, key: &Key) -> Self {
        static SERIAL: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(1);
        let n = SERIAL.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Self {
            version: 3,
            serial: [&[0x40], &n.to_be_bytes()[..]].concat(),
            issuer: name(issuer),
            subject: name(subject),
            from: NOW - DAY,
            until: NOW + 90 * DAY,
            spki: key.spki(),
            exts: Vec::new(),
            outer: None,
            inner: None,
        }
    }

    pub fn root(subject: &str, key: &Key) -> Self {
        Self { exts: vec![bc(true, None), ku(&[5, 6]), ski(key)], ..Self::new(subject, subject, key) }
    }

    pub fn intermediate(subject: &str, issuer: &str, key: &Key, signer: &Key) -> Self {
        Self {
            exts: vec![bc(true, None), ku(&[5, 6]), ski(key), aki(signer)],
            ..Self::new(subject, issuer, key)
        }
    }

    pub fn leaf(issuer: &str, key: &Key, signer: &Key) -> Self {
        let exts = vec![
            bc(false, None),
            ku(&[0]),
            eku(&[SERVER_AUTH]),
            san(&[dns("example.com"), ip(&[127, 0, 0, 1])]),
            aki(signer),
        ];
        Self { exts, ..Self::new("leaf", issuer, key) }
    }

    /// Replaces or adds an extension.
    pub fn set(&mut self, ext: Ext) {
        self.drop(ext.0);
        self.exts.push(ext);
    }

    pub fn drop(&mut self, id: &str) {
        self.exts.retain(|e| e.0 != id);
    }

    pub fn sign(&self, signer: &Key) -> Vec<u8> {
        let algorithm = signer.algorithm();
        let mut parts = Vec::new();
        if self.version > 1 {
            parts.push(tlv(0xa0, &int(&[self.version - 1])));
        }
        parts.extend([
            int(&self.serial),
            self.inner.clone().unwrap_or_else(|| algorithm.clone()),
            self.issuer.clone(),
            seq(&[time(self.from), time(self.until)]),
            self.subject.clone(),
            self.spki.clone(),
        ]);
        if !self.exts.is_empty() {
            parts.push(tlv(0xa3, &extensions(&self.exts)));
        }
        signer.seal(seq(&parts), self.outer.clone().unwrap_or(algorithm))
    }
}

fn extensions(exts: &[Ext]) -> Vec<u8> {
    let one = |(id, critical, value): &Ext| {
        let flag = if *critical { tlv(1, &[0xff]) } else { Vec::new() };
        seq(&[oid(id), flag, octets(value)])
    };
    seq(&exts.iter().map(one).collect::<Vec<_>>())
}

/// A CRL to be.
#[derive(Clone)]
pub struct CrlSpec {
    pub version: u8,
    pub issuer: Vec<u8>,
    pub this: i64,
    pub next: Option<i64>,
    pub revoked: Vec<(Vec<u8>, Vec<Ext>)>,
    pub exts: Vec<Ext>,
    pub outer: Option<Vec<u8>>,
    pub inner: Option<Vec<u8>>,
}

impl CrlSpec {
    pub fn new(issuer: &str, signer: &Key) -> Self {
        Self {
            version: 2,
            issuer: name(issuer),
            this: NOW - DAY,
            next: Some(NOW + 60 * DAY),
            revoked: Vec::new(),
            exts: vec![aki(signer), (CRL_NUMBER, false, int(&[1]))],
            outer: None,
            inner: None,
        }
    }

    pub fn sign(&self, signer: &Key) -> Vec<u8> {
        let algorithm = signer.algorithm();
        let mut parts = Vec::new();
        if self.version > 1 {
            parts.push(int(&[self.version - 1]));
        }
        parts.push(self.inner.clone().unwrap_or_else(|| algorithm.clone()));
        parts.push(self.issuer.clone());
        parts.push(time(self.this));
        parts.extend(self.next.map(time));
        if !self.revoked.is_empty() {
            let entry = |(serial, exts): &(Vec<u8>, Vec<Ext>)| {
                let exts = if exts.is_empty() { Vec::new() } else { extensions(exts) };
                seq(&[int(serial), time(self.this), exts])
            };
            parts.push(seq(&self.revoked.iter().map(entry).collect::<Vec<_>>()));
        }
        if !self.exts.is_empty() {
            parts.push(tlv(0xa0, &extensions(&self.exts)));
        }
        signer.seal(seq(&parts), self.outer.clone().unwrap_or(algorithm))
    }
}

pub fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut base64 = String::new();
    for group in der.chunks(3) {
        let bits = group.iter().fold(0u32, |n, &b| n << 8 | u32::from(b)) << (8 * (3 - group.len()));
        let digits = (0..=group.len()).map(|i| char::from(ALPHABET[(bits >> (18 - 6 * i) & 63) as usize]));
        base64.extend(digits.chain(std::iter::repeat_n('=', 3 - group.len())));
    }
    let lines: String =
        base64.as_bytes().chunks(64).map(|l| format!("{}\n", String::from_utf8_lossy(l))).collect();
    format!("-----BEGIN {label}-----\n{lines}-----END {label}-----\n")
}

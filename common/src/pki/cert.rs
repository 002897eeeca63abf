//! Certificates (RFC 5280, section 4), parsed strictly. Whether they are valid is for the rules.

use rustls::pki_types::CertificateDer;

use super::der::{self, Der, Malformed, Result, Time, context_tag, explicit_tag};
use super::extension::Extensions;
use super::name::Name;
use super::signature::{PublicKey, Signature};

/// A certificate.
#[derive(Clone, Debug)]
pub struct Cert {
    /// The certificate in DER.
    pub der: CertificateDer<'static>,
    /// 1, 2 or 3.
    pub version: u32,
    /// The serial number's bytes, as encoded.
    pub serial: Vec<u8>,
    /// The signature.
    pub signature: Signature,
    /// The issuer's name.
    pub issuer: Name,
    /// The first second of its validity.
    pub not_before: Time,
    /// The last second of its validity.
    pub not_after: Time,
    /// The subject's name.
    pub subject: Name,
    /// The subject's public key.
    pub key: PublicKey,
    /// Whether it has an issuerUniqueID or subjectUniqueID, which conforming CAs must not use (RFC 5280, 4.1.2.8).
    pub unique_id: bool,
    /// The extensions.
    pub extensions: Extensions,
}

impl Cert {
    /// Parses a certificate. Extensions that cannot be read are listed in [`Extensions::broken`]; any other fault of the
    /// encoding is an error.
    ///
    /// # Errors
    /// It is not a certificate in DER.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (mut signature, tbs) = Signature::split_signed(bytes)?;
        let mut tbs = Der::new(tbs);
        let version = match tbs.read_optional(explicit_tag(0))? {
            Some(v) => parse_version(v).map_err(|e| e.within("version"))?,
            None => 1,
        };
        let serial = tbs.read_tagged(der::INTEGER).map_err(|e| e.within("serial number"))?.to_vec();
        signature.consistent = tbs.read_raw_sequence()?.value == signature.algorithm;
        let issuer = Name::read_der(&mut tbs).map_err(|e| e.within("issuer"))?;
        let (not_before, not_after) = parse_validity(&mut tbs).map_err(|e| e.within("validity"))?;
        let subject = Name::read_der(&mut tbs).map_err(|e| e.within("subject"))?;
        let key = PublicKey::read_der(&mut tbs).map_err(|e| e.within("public key"))?;
        let unique_id =
            tbs.read_optional(context_tag(1))?.is_some() | tbs.read_optional(context_tag(2))?.is_some();
        let extensions = match tbs.read_optional(explicit_tag(3))? {
            Some(list) => Extensions::read_list(list).map_err(|e| e.within("extensions"))?,
            None => Extensions::default(),
        };
        tbs.expect_end()?;
        let der = CertificateDer::from(bytes.to_vec());
        Ok(Self {
            der,
            version,
            serial,
            signature,
            issuer,
            not_before,
            not_after,
            subject,
            key,
            unique_id,
            extensions,
        })
    }

    /// Whether it names `issuer` as its issuer and is signed by its key.
    #[must_use]
    pub fn is_issued_by(&self, issuer: &Self) -> bool {
        self.issuer == issuer.subject && self.signature.verify(&issuer.key).is_ok()
    }

    /// Whether subject and issuer are the same name. Self-issued certificates do not count for a path length.
    #[must_use]
    pub fn is_self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// Whether basicConstraints says that it is a CA.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.extensions.basic_constraints.as_ref().is_some_and(|b| b.value.ca)
    }

    /// Whether a time, in seconds since 1970, lies within its validity, both ends included.
    #[must_use]
    pub fn is_valid_at(&self, unix: i64) -> bool {
        (self.not_before.unix..=self.not_after.unix).contains(&unix)
    }
}

fn parse_version(value: &[u8]) -> Result<u32> {
    let mut inner = Der::new(value);
    let n = der::parse_u32(inner.read_integer()?)?;
    inner.expect_end()?;
    match n {
        0..=2 => Ok(n + 1),
        _ => Err(Malformed(format!("unknown version {}", u64::from(n) + 1))),
    }
}

fn parse_validity(tbs: &mut Der<'_>) -> Result<(Time, Time)> {
    let mut both = tbs.open_sequence()?;
    let times = (Time::read_der(&mut both)?, Time::read_der(&mut both)?);
    both.expect_end()?;
    Ok(times)
}

/// Why a serial number is invalid, if it is: RFC 5280, 4.1.2.2 demands a positive number of at most 20 octets, DER its
/// shortest form.
pub(in crate::pki) fn check_serial(bytes: &[u8]) -> std::result::Result<(), &'static str> {
    match bytes {
        [] => Err("is empty"),
        _ if bytes.iter().all(|&b| b == 0) => Err("is zero"),
        [first, ..] if first & 0x80 != 0 => Err("is negative"),
        [0, next, ..] if next & 0x80 == 0 => Err("is not in its shortest form"),
        _ if bytes.len() > 20 => Err("is longer than 20 bytes"),
        _ => Ok(()),
    }
}

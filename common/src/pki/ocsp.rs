//! OCSP (RFC 6960): a question about one certificate, and the answer held to what must be true of it.
//!
//! Nothing here does I/O: [`Question::der`] is what a responder is sent, [`Question::answer`] judges what came
//! back, with the clock passed in.

use std::fmt;

use super::der::{self, Der, Malformed, Result, Time, context, explicit, tlv};
use super::extension::read_one;
use super::name::Name;
use super::oid;
use super::signature::Signature;
use super::{Cert, Crl, utc};

/// Seconds that a responder's clock may be ahead of ours.
const SKEW: i64 = 300;

/// How many certificates of an answer are read: a responder sends one or two.
const CERTIFICATES: usize = 16;

/// What a responder is asked: the state of one certificate.
#[derive(Clone, Debug)]
pub struct Question<'a> {
    issuer: &'a Cert,
    name_hash: [u8; 20],
    key_hash: [u8; 20],
    serial: &'a [u8],
    nonce: [u8; 32],
}

/// What a responder says, once all about it is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The certificate's state.
    pub status: Status,
    /// The time at which the state was known to be right.
    pub this_update: Time,
    /// When there will be newer information.
    pub next_update: Option<Time>,
    /// Who signed: the issuer, or the responder that it names.
    pub signer: String,
    /// Whether the answer holds our nonce, so that it was made for us.
    pub fresh: bool,
}

/// A certificate's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is not revoked.
    Good,
    /// It is.
    Revoked {
        /// Since when.
        at: Time,
        /// Why: the number of RFC 5280, 5.3.1.
        reason: Option<u8>,
    },
    /// The responder does not know it.
    Unknown,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The responder says so itself, unsigned.
    #[error("the responder says: {0}")]
    Responder(&'static str),
    /// What came is no answer that may be believed.
    #[error("{0}")]
    Answer(String),
}

impl From<Malformed> for Refused {
    fn from(e: Malformed) -> Self {
        Self::Answer(format!("not an OCSP response in DER: {e}"))
    }
}

fn refuse<T>(why: impl fmt::Display) -> std::result::Result<T, Refused> {
    Err(Refused::Answer(why.to_string()))
}

impl<'a> Question<'a> {
    /// Asks about a certificate, with 32 random bytes that the answer is to hold (RFC 9654).
    ///
    /// The issuer is named by SHA-1 hashes: every responder finds them, and nothing is trusted for them.
    #[must_use]
    pub fn new(cert: &'a Cert, issuer: &'a Cert, nonce: [u8; 32]) -> Self {
        let (name_hash, key_hash) = (sha1(&cert.issuer.raw), sha1(&issuer.key.bits));
        Self { issuer, name_hash, key_hash, serial: &cert.serial, nonce }
    }

    /// The OCSPRequest.
    #[must_use]
    pub fn der(&self) -> Vec<u8> {
        let algorithm = [tlv(der::OID, &oid::SHA1), tlv(der::NULL, &[])].concat();
        let id = [
            tlv(der::SEQUENCE, &algorithm),
            tlv(der::OCTET_STRING, &self.name_hash),
            tlv(der::OCTET_STRING, &self.key_hash),
            tlv(der::INTEGER, self.serial),
        ];
        let list = tlv(der::SEQUENCE, &tlv(der::SEQUENCE, &tlv(der::SEQUENCE, &id.concat())));
        let value = tlv(der::OCTET_STRING, &tlv(der::OCTET_STRING, &self.nonce));
        let nonce = tlv(der::SEQUENCE, &[tlv(der::OID, &oid::OCSP_NONCE), value].concat());
        let extensions = tlv(explicit(2), &tlv(der::SEQUENCE, &nonce));
        tlv(der::SEQUENCE, &tlv(der::SEQUENCE, &[list, extensions].concat()))
    }

    /// Judges an OCSPResponse (RFC 6960, section 3.2) at a time in seconds since 1970. A responder whose own
    /// certificate one of the revocation lists revokes is not believed.
    ///
    /// # Errors
    /// It is not an answer to this question, not signed by who may, or not in force.
    pub fn answer(&self, response: &[u8], crls: &[Crl], at: i64) -> std::result::Result<Answer, Refused> {
        let basic = basic(response)?;
        let mut parts = Der::only(basic, der::SEQUENCE)?;
        let (signature, data) = Signature::read_from(&mut parts)?;
        let certificates = parts.optional(explicit(0))?.map(certificates).transpose()?.unwrap_or_default();
        parts.done()?;
        let data = Data::read(data)?;
        let signer = self.signer(&data, &certificates, &signature)?;
        if signer.key.spki != self.issuer.key.spki {
            let subject = &signer.subject;
            delegate(signer, self.issuer, crls, at)
                .or_else(|why| refuse(format_args!("signed by {subject}, who may not: {why}")))?;
        };
        let fresh = match &data.nonce {
            Some(nonce) if *nonce == self.nonce => true,
            Some(_) => return refuse("the nonce is another one: this is the answer to another question"),
            None => false,
        };
        let id = (&oid::SHA1[..], &self.name_hash[..], &self.key_hash[..], self.serial);
        let Some(single) = data.singles.iter().find(|s| s.id == id) else {
            return refuse("says nothing about this certificate");
        };
        single.in_force(at, fresh)?;
        Ok(Answer {
            status: single.status,
            this_update: single.this_update,
            next_update: single.next_update,
            signer: signer.subject.to_string(),
            fresh,
        })
    }

    /// Who signed: the issuer of the certificate, or somebody whose certificate came with the answer.
    fn signer<'c>(
        &'c self,
        data: &Data<'_>,
        certificates: &'c [Cert],
        signature: &Signature,
    ) -> std::result::Result<&'c Cert, Refused> {
        if !signature.is_supported() {
            return refuse(format_args!("signed with {}, which is too weak", signature.name()));
        }
        let named = || std::iter::once(self.issuer).chain(certificates).filter(|c| data.responder.is(c));
        match (named().find(|c| signature.verify(&c.key).is_ok()), named().next()) {
            (Some(signer), _) => Ok(signer),
            (None, Some(named)) => refuse(format_args!("not signed by the key of {}", named.subject)),
            (None, None) => refuse("the certificate of the responder is not with the answer"),
        }
    }
}

/// What the certificate of a responder that is not the issuer itself must be (RFC 6960, section 4.2.2.2).
fn delegate(signer: &Cert, issuer: &Cert, crls: &[Crl], at: i64) -> std::result::Result<(), String> {
    let extensions = &signer.extensions;
    let purposes = extensions.extended_key_usage.as_ref().map(|e| &e.value);
    if !signer.is_issued_by(issuer) {
        return Err(format!("its certificate is not by {}", issuer.subject));
    }
    if !purposes.is_some_and(|p| p.iter().any(|p| *p == oid::OCSP_SIGNING)) {
        return Err("its certificate is not for OCSPSigning".to_owned());
    }
    if !signer.is_valid_at(at) {
        return Err(format!("its certificate is valid from {} to {}", signer.not_before, signer.not_after));
    }
    if crls.iter().any(|crl| crl.issuer == issuer.subject && crl.entry(&signer.serial).is_some()) {
        return Err("its certificate is revoked".to_owned());
    }
    if !signer.key.kind.is_strong() {
        return Err(format!("a weak key: {}", signer.key.kind));
    }
    let unknown = extensions.unknown.iter().filter(|u| u.critical).map(|u| &u.value);
    match extensions.broken.iter().chain(unknown).next() {
        Some(extension) => {
            Err(format!("its certificate has an extension that is not understood: {extension}"))
        }
        None => Ok(()),
    }
}

/// Opens OCSPResponse down to the BasicOCSPResponse.
fn basic(response: &[u8]) -> std::result::Result<&[u8], Refused> {
    let mut outer = Der::only(response, der::SEQUENCE)?;
    let status = outer.expect(der::ENUMERATED)?;
    match status {
        [0] => {}
        [1] => return Err(Refused::Responder("malformed request")),
        [2] => return Err(Refused::Responder("internal error")),
        [3] => return Err(Refused::Responder("try later")),
        [5] => return Err(Refused::Responder("the request must be signed")),
        [6] => return Err(Refused::Responder("unauthorized: it does not answer for this issuer")),
        _ => return Err(Refused::Responder("a status that RFC 6960 does not know")),
    }
    let mut bytes = Der::only(outer.expect(explicit(0))?, der::SEQUENCE)?;
    outer.done()?;
    if bytes.oid()? != oid::OCSP_BASIC {
        return refuse("a type of response that is not basic");
    }
    let basic = bytes.expect(der::OCTET_STRING)?;
    bytes.done()?;
    Ok(basic)
}

/// The certificates that come with an answer. What cannot be read signs nothing.
fn certificates(list: &[u8]) -> Result<Vec<Cert>> {
    let mut list = Der::only(list, der::SEQUENCE)?;
    let mut certificates = Vec::new();
    while !list.is_empty() && certificates.len() < CERTIFICATES {
        certificates.extend(Cert::parse(list.raw_sequence()?.raw));
    }
    Ok(certificates)
}

/// ResponseData.
struct Data<'a> {
    responder: Responder<'a>,
    singles: Vec<Single<'a>>,
    nonce: Option<&'a [u8]>,
}

enum Responder<'a> {
    Name(Name),
    /// The SHA-1 hash of its key.
    Key(&'a [u8]),
}

impl Responder<'_> {
    fn is(&self, cert: &Cert) -> bool {
        match self {
            Self::Name(name) => *name == cert.subject,
            Self::Key(hash) => *hash == sha1(&cert.key.bits),
        }
    }
}

/// SingleResponse.
struct Single<'a> {
    /// CertID: hash algorithm, hashes of the issuer's name and key, serial number.
    id: (&'a [u8], &'a [u8], &'a [u8], &'a [u8]),
    status: Status,
    this_update: Time,
    next_update: Option<Time>,
}

impl<'a> Data<'a> {
    fn read(data: &'a [u8]) -> Result<Self> {
        let mut data = Der::new(data);
        if data.optional(explicit(0))?.is_some_and(|version| version != [der::INTEGER, 1, 0]) {
            return Err(Malformed::new("an unknown version"));
        }
        let responder = data.read()?;
        let responder = match responder.tag {
            t if t == explicit(1) => {
                let mut inner = Der::new(responder.value);
                let name = Name::read(&mut inner)?;
                inner.done()?;
                Responder::Name(name)
            }
            t if t == explicit(2) => {
                let mut inner = Der::new(responder.value);
                let hash = inner.expect(der::OCTET_STRING)?;
                inner.done()?;
                Responder::Key(hash)
            }
            _ => return Err(Malformed::new("no responder")),
        };
        generalized(&mut data).map_err(|e| e.within("producedAt"))?;
        let mut list = data.sequence()?;
        let mut singles = Vec::new();
        while !list.is_empty() {
            singles.push(Single::read(&mut list.sequence()?).map_err(|e| e.within("a single response"))?);
        }
        let nonce = data.optional(explicit(1))?.map(extensions).transpose()?.flatten();
        data.done()?;
        Ok(Self { responder, singles, nonce })
    }
}

impl<'a> Single<'a> {
    fn read(single: &mut Der<'a>) -> Result<Self> {
        let mut id = single.sequence()?;
        // Parameters of the algorithm are absent or NULL, as the responder likes.
        let algorithm = id.sequence()?.oid()?;
        let (name, key) = (id.expect(der::OCTET_STRING)?, id.expect(der::OCTET_STRING)?);
        let serial = id.integer()?;
        id.done()?;
        let status = single.read()?;
        let status = match status.tag {
            t if t == context(0) => Status::Good,
            t if t == explicit(1) => {
                let mut revoked = Der::new(status.value);
                let at = generalized(&mut revoked)?;
                let reason = revoked.optional(explicit(0))?;
                revoked.done()?;
                let reason = reason.map(|r| Der::new(r).expect(der::ENUMERATED)).transpose()?;
                Status::Revoked { at, reason: reason.and_then(|r| r.first().copied()) }
            }
            t if t == context(2) => Status::Unknown,
            _ => return Err(Malformed::new("an unknown state")),
        };
        let this_update = generalized(single)?;
        let next_update = single.optional(explicit(0))?.map(|t| generalized(&mut Der::new(t))).transpose()?;
        single.optional(explicit(1))?.map(extensions).transpose()?;
        single.done()?;
        Ok(Self { id: (algorithm, name, key, serial), status, this_update, next_update })
    }

    /// Without a nonce and without an end, an answer could be any old one, kept by who does not want us to know.
    fn in_force(&self, at: i64, fresh: bool) -> std::result::Result<(), Refused> {
        if self.this_update.unix > at.saturating_add(SKEW) {
            return refuse(format_args!(
                "made for the time from {}, and it is {}",
                self.this_update,
                utc(at)
            ));
        }
        match self.next_update {
            Some(next) if next.unix < at => refuse(format_args!("out of date since {next}")),
            None if !fresh => refuse("says neither until when it is good nor that it was made for us"),
            _ => Ok(()),
        }
    }
}

/// The nonce, if it is there; a critical extension that is not understood is an error.
fn extensions(list: &[u8]) -> Result<Option<&[u8]>> {
    let mut list = Der::only(list, der::SEQUENCE)?;
    let mut nonce = None;
    while !list.is_empty() {
        let (id, critical, value) = read_one(&mut list)?;
        if id == oid::OCSP_NONCE {
            nonce = Some(Der::new(value).expect(der::OCTET_STRING)?);
        } else if critical {
            return Err(Malformed(format!("critical extension {}", oid::name(id))));
        }
    }
    Ok(nonce)
}

fn generalized(der: &mut Der<'_>) -> Result<Time> {
    match Time::read(der)? {
        time if time.generalized => Ok(time),
        _ => Err(Malformed::new("a time that is not a GeneralizedTime")),
    }
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut hash = [0; 20];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    hash.copy_from_slice(digest.as_ref());
    hash
}

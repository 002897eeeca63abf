//! OCSP (RFC 6960): a request about one certificate, and the check of its response.
//!
//! Nothing here does I/O: [`OcspRequest::to_der`] is what a responder is sent, [`OcspRequest::check_response`] checks what
//! came back, with the clock passed in.

mod response;

use std::fmt;

use common::pki::der::{self, Der, Malformed, Result, Time, encode_element, explicit_tag};
use common::pki::signature::Signature;
use common::pki::{Cert, Crl, oid};
use response::ResponseData;

/// The most certificates that are parsed in a response. A responder sends one or two.
const CERTIFICATES: usize = 16;

/// A request for the status of one certificate.
#[derive(Clone, Debug)]
pub(crate) struct OcspRequest<'a> {
    issuer: &'a Cert,
    name_hash: [u8; 20],
    key_hash: [u8; 20],
    serial: &'a [u8],
    nonce: [u8; 32],
}

/// The content of a valid response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OcspAnswer {
    /// The certificate's status.
    pub(crate) status: OcspStatus,
    /// The time at which the state was known to be right.
    pub(crate) this_update: Time,
    /// When there will be newer information.
    pub(crate) next_update: Option<Time>,
    /// The subject of the signer: the issuer, or a responder that it authorized.
    pub(crate) signer: String,
    /// Whether the response has our nonce, so that it is fresh.
    pub(crate) fresh: bool,
}

/// A certificate's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OcspStatus {
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

/// Why there is no valid response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OcspError {
    /// The responder returned an error, which is not signed.
    #[error("the responder says: {0}")]
    Responder(&'static str),
    /// The response is malformed or invalid.
    #[error("{0}")]
    Answer(String),
}

impl From<Malformed> for OcspError {
    fn from(e: Malformed) -> Self {
        Self::Answer(format!("not an OCSP response in DER: {e}"))
    }
}

fn reject_response<T>(why: impl fmt::Display) -> std::result::Result<T, OcspError> {
    Err(OcspError::Answer(why.to_string()))
}

impl<'a> OcspRequest<'a> {
    /// A request about a certificate, with a nonce of 32 random bytes (RFC 9654).
    ///
    /// The issuer is named by SHA-1 hashes: every responder finds them, and nothing is trusted for them.
    pub(crate) fn new(cert: &'a Cert, issuer: &'a Cert, nonce: [u8; 32]) -> Self {
        let (name_hash, key_hash) = (sha1(&cert.issuer.raw), sha1(&issuer.key.bits));
        Self { issuer, name_hash, key_hash, serial: &cert.serial, nonce }
    }

    /// The OCSPRequest.
    pub(crate) fn to_der(&self) -> Vec<u8> {
        let algorithm = [encode_element(der::OID, &oid::SHA1), encode_element(der::NULL, &[])].concat();
        let id = [
            encode_element(der::SEQUENCE, &algorithm),
            encode_element(der::OCTET_STRING, &self.name_hash),
            encode_element(der::OCTET_STRING, &self.key_hash),
            encode_element(der::INTEGER, self.serial),
        ];
        let list = encode_element(
            der::SEQUENCE,
            &encode_element(der::SEQUENCE, &encode_element(der::SEQUENCE, &id.concat())),
        );
        let value = encode_element(der::OCTET_STRING, &encode_element(der::OCTET_STRING, &self.nonce));
        let nonce =
            encode_element(der::SEQUENCE, &[encode_element(der::OID, &oid::OCSP_NONCE), value].concat());
        let extensions = encode_element(explicit_tag(2), &encode_element(der::SEQUENCE, &nonce));
        encode_element(der::SEQUENCE, &encode_element(der::SEQUENCE, &[list, extensions].concat()))
    }

    /// Checks an OCSPResponse (RFC 6960, section 3.2) at a time in seconds since 1970. A responder whose own certificate is
    /// revoked by one of the CRLs is rejected.
    ///
    /// # Errors
    /// It is not a response to this request, not signed by an authorized responder, or not in force.
    pub(crate) fn check_response(
        &self,
        response: &[u8],
        crls: &[Crl],
        at: i64,
    ) -> std::result::Result<OcspAnswer, OcspError> {
        let basic = open_basic_response(response)?;
        let mut parts = Der::open_only(basic, der::SEQUENCE)?;
        let (signature, data) = Signature::split_signed_from(&mut parts)?;
        let certificates =
            parts.read_optional(explicit_tag(0))?.map(parse_certificates).transpose()?.unwrap_or_default();
        parts.expect_end()?;
        let data = ResponseData::read_der(data)?;
        let signers = self.find_signers(&data, &certificates, &signature)?;
        let signer = self.find_authorized(&signers, crls, at)?;
        let fresh = match &data.nonce {
            Some(nonce) if *nonce == self.nonce => true,
            Some(_) => {
                return reject_response("it has another nonce: it is the response to another request");
            }
            None => false,
        };
        let id = (&oid::SHA1[..], &self.name_hash[..], &self.key_hash[..], self.serial);
        let Some(single) = data.singles.iter().find(|s| s.id == id) else {
            return reject_response("has no status of this certificate");
        };
        single.check_in_force(at, fresh)?;
        Ok(OcspAnswer {
            status: single.status,
            this_update: single.this_update,
            next_update: single.next_update,
            signer: signer.subject.to_string(),
            fresh,
        })
    }

    /// The certificates whose key signed the response: the issuer's, or those in the response. A responder may send
    /// several for one key, an old one among them.
    fn find_signers<'c>(
        &'c self,
        data: &ResponseData<'_>,
        certificates: &'c [Cert],
        signature: &Signature,
    ) -> std::result::Result<Vec<&'c Cert>, OcspError> {
        if !signature.is_supported() {
            return reject_response(format_args!("signed with {}, which is too weak", signature.name()));
        }
        let named =
            || std::iter::once(self.issuer).chain(certificates).filter(|c| data.responder.is_named_by(c));
        let signers: Vec<_> = named().filter(|c| signature.verify(&c.key).is_ok()).collect();
        match named().next() {
            Some(named) if signers.is_empty() => {
                reject_response(format_args!("not signed by the key of {}", named.subject))
            }
            None => reject_response("the responder's certificate is missing in the response"),
            _ => Ok(signers),
        }
    }

    /// The first signer who may sign, or why the first one may not.
    fn find_authorized<'c>(
        &self,
        signers: &[&'c Cert],
        crls: &[Crl],
        at: i64,
    ) -> std::result::Result<&'c Cert, OcspError> {
        let mut first = None;
        for signer in signers {
            match check_delegate(signer, self.issuer, crls, at) {
                _ if signer.key.spki == self.issuer.key.spki => return Ok(signer),
                Ok(()) => return Ok(signer),
                Err(why) => _ = first.get_or_insert((&signer.subject, why)),
            }
        }
        match first {
            Some((subject, why)) => {
                reject_response(format_args!("signed by {subject}, which is not authorized: {why}"))
            }
            None => reject_response("not signed by a known certificate"),
        }
    }
}

/// Checks the certificate of a responder other than the issuer (RFC 6960, section 4.2.2.2).
fn check_delegate(signer: &Cert, issuer: &Cert, crls: &[Crl], at: i64) -> std::result::Result<(), String> {
    let extensions = &signer.extensions;
    let purposes = extensions.extended_key_usage.as_ref().map(|e| &e.value);
    if !signer.is_issued_by(issuer) {
        return Err(format!("its certificate is not issued by {}", issuer.subject));
    }
    if !purposes.is_some_and(|p| p.iter().any(|p| *p == oid::OCSP_SIGNING)) {
        return Err("its certificate is not for OCSPSigning".to_owned());
    }
    if !signer.is_valid_at(at) {
        return Err(format!("its certificate is valid from {} to {}", signer.not_before, signer.not_after));
    }
    // A serial number means nothing in the CRL of another CA that has the same name.
    if crls.iter().any(|crl| crl.revokes(&signer.serial) && crl.is_issued_by(issuer)) {
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
fn open_basic_response(response: &[u8]) -> std::result::Result<&[u8], OcspError> {
    let mut outer = Der::open_only(response, der::SEQUENCE)?;
    let status = outer.read_tagged(der::ENUMERATED)?;
    match status {
        [0] => {}
        [1] => return Err(OcspError::Responder("malformed request")),
        [2] => return Err(OcspError::Responder("internal error")),
        [3] => return Err(OcspError::Responder("try later")),
        [5] => return Err(OcspError::Responder("the request must be signed")),
        [6] => return Err(OcspError::Responder("unauthorized: it does not answer for this issuer")),
        _ => return Err(OcspError::Responder("a status that RFC 6960 does not know")),
    }
    let mut bytes = Der::open_only(outer.read_tagged(explicit_tag(0))?, der::SEQUENCE)?;
    outer.expect_end()?;
    if bytes.read_oid()? != oid::OCSP_BASIC {
        return reject_response("a type of response that is not basic");
    }
    let basic = bytes.read_tagged(der::OCTET_STRING)?;
    bytes.expect_end()?;
    Ok(basic)
}

/// Parses the certificates in a response and skips malformed ones.
fn parse_certificates(list: &[u8]) -> Result<Vec<Cert>> {
    let mut list = Der::open_only(list, der::SEQUENCE)?;
    let mut certificates = Vec::new();
    while !list.is_empty() && certificates.len() < CERTIFICATES {
        certificates.extend(Cert::parse(list.read_raw_sequence()?.raw));
    }
    Ok(certificates)
}

fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut hash = [0; 20];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, bytes);
    hash.copy_from_slice(digest.as_ref());
    hash
}

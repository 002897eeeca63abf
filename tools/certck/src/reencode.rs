//! Extensions of certificates and CRLs that we issue which rcgen does not write.

use common::pki::der::{self, Der, Malformed, encode_element};
use common::pki::oid;

/// Puts the names into a certificate or CRL byte by byte as they are elsewhere, and signs it again.
///
/// rcgen keeps one attribute of each kind and chooses the string types itself; but an issuer is found by a name
/// that must be its own, however that is composed. `sign` is given what is to be signed, and must use the key
/// that signed before. A CRL has no subject.
///
/// # Errors
/// `signed` is neither in DER, or `sign` fails.
pub(crate) fn replace_names<E: From<Malformed>>(
    signed: &[u8],
    issuer: &[u8],
    subject: Option<&[u8]>,
    sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
) -> Result<Vec<u8>, E> {
    let mut outer = Der::open_only(signed, der::SEQUENCE)?;
    let mut old = Der::new(outer.read_raw_sequence()?.value);
    let algorithm = outer.read_raw_sequence()?.raw;
    let (mut parts, mut sequences) = (Vec::new(), 0);
    while !old.is_empty() {
        let part = old.read_element()?;
        // The sequences in front are: algorithm, issuer; in certificates also: validity, subject.
        let name = match (part.tag, sequences) {
            (der::SEQUENCE, 1) => Some(issuer),
            (der::SEQUENCE, 3) => subject,
            _ => None,
        };
        sequences += u32::from(part.tag == der::SEQUENCE);
        parts.extend(name.unwrap_or(part.raw));
    }
    let tbs = encode_element(der::SEQUENCE, &parts);
    let bits = encode_element(der::BIT_STRING, &[&[0], sign(&tbs)?.as_slice()].concat());
    Ok(encode_element(der::SEQUENCE, &[&tbs, algorithm, &bits].concat()))
}

/// The value of an authorityInfoAccess that names OCSP responders (RFC 5280, 4.2.2.1).
pub(crate) fn encode_ocsp_access(urls: &[String]) -> Vec<u8> {
    let one = |url: &String| {
        let pair =
            [encode_element(der::OID, &oid::OCSP), encode_element(der::context_tag(6), url.as_bytes())]
                .concat();
        encode_element(der::SEQUENCE, &pair)
    };
    encode_element(der::SEQUENCE, &urls.iter().flat_map(one).collect::<Vec<_>>())
}

//! A certificate signing request's facts (PKCS#10, RFC 2986), read strictly. Nobody here signs one; it can be shown.

use super::der::{Der, Malformed, Result, explicit};
use super::extension::Extensions;
use super::name::Name;
use super::oid;
use super::signature::{PublicKey, Signature};

/// A certificate signing request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whom the certificate is to be about.
    pub subject: Name,
    /// The subject's public key.
    pub key: PublicKey,
    /// The signature.
    pub signature: Signature,
    /// The extensions that are asked for.
    pub extensions: Extensions,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// It is not a request in DER.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let (signature, info) = Signature::read(bytes)?;
        let mut info = Der::new(info);
        if info.integer()? != [0] {
            return Err(Malformed::new("an unknown version"));
        }
        let subject = Name::read(&mut info).map_err(|e| e.within("subject"))?;
        let key = PublicKey::read(&mut info).map_err(|e| e.within("public key"))?;
        let attributes = info.optional(explicit(0))?.unwrap_or_default();
        info.done()?;
        let extensions = requested(attributes).map_err(|e| e.within("attributes"))?;
        Ok(Self { subject, key, signature, extensions })
    }

    /// Whether it is signed by the key that it is about.
    #[must_use]
    pub fn is_signed_by_key(&self) -> bool {
        self.signature.verify(&self.key).is_ok()
    }

    /// Whether it asks to be a CA.
    #[must_use]
    pub fn is_ca(&self) -> bool {
        self.extensions.basic_constraints.as_ref().is_some_and(|b| b.value.ca)
    }
}

/// The extensions among the attributes.
fn requested(attributes: &[u8]) -> Result<Extensions> {
    const SET: u8 = 0x31;
    let mut list = Der::new(attributes);
    let mut extensions = Extensions::default();
    while !list.is_empty() {
        let mut one = list.sequence()?;
        let (id, values) = (one.oid()?, one.expect(SET)?);
        one.done()?;
        if id == oid::EXTENSION_REQUEST {
            let mut only = Der::new(values);
            let whole = only.raw_sequence()?.raw;
            only.done()?;
            extensions = Extensions::read(whole)?;
        }
    }
    Ok(extensions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_and_what_is_cut_is_not() {
        // openssl req -new -newkey ed25519 -nodes -subj /CN=node17 -addext subjectAltName=DNS:node17.example.org
        let der = super::super::pem::parse(CSR.as_bytes()).unwrap().remove(0).der;
        let request = Request::parse(&der).unwrap();
        assert_eq!(request.subject.to_string(), "CN=node17");
        assert_eq!(
            request.extensions.subject_alt_name.as_ref().unwrap().value[0].to_string(),
            "DNS:node17.example.org"
        );
        assert!(request.is_signed_by_key() && !request.is_ca());
        assert!((0..der.len()).all(|n| Request::parse(&der[..n]).is_err()));
        let mut other = der.to_vec();
        *other.last_mut().unwrap() ^= 1;
        assert!(!Request::parse(&other).unwrap().is_signed_by_key());
    }

    const CSR: &str = "-----BEGIN CERTIFICATE REQUEST-----\n\
        MIHAMHQCAQAwETEPMA0GA1UEAwwGbm9kZTE3MCowBQYDK2VwAyEAdLK6UaFE4E6s\n\
        813H37TYLbHLrfPkMEO76AUyK/NyS/WgMDAuBgkqhkiG9w0BCQ4xITAfMB0GA1Ud\n\
        EQQWMBSCEm5vZGUxNy5leGFtcGxlLm9yZzAFBgMrZXADQQDCbQUq7FOiHSbFI9eQ\n\
        QiDX0XPOI/OtY7RN58hCIbfGSzzgHaPdRkvQzj/mKZvhLi3gKZ7YC/T3K2tVol7e\n\
        NXYG\n\
        -----END CERTIFICATE REQUEST-----\n";
}

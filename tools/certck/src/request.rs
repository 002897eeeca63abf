//! Certificate signing requests (PKCS#10, RFC 2986), read strictly.

use common::pki::der::{self, Der, Malformed, Result, explicit_tag};
use common::pki::extension::Extensions;
use common::pki::name::Name;
use common::pki::oid;
use common::pki::signature::{KeyKind, PublicKey, Signature};
use rcgen::{PublicKeyData, SignatureAlgorithm};

/// A certificate signing request.
#[derive(Clone, Debug)]
pub(crate) struct SigningRequest {
    /// The subject of the certificate.
    pub(crate) subject: Name,
    /// The subject's public key.
    pub(crate) key: PublicKey,
    /// The signature.
    pub(crate) signature: Signature,
    /// The extensions that are asked for.
    pub(crate) extensions: Extensions,
}

impl SigningRequest {
    /// Reads a request.
    ///
    /// # Errors
    /// It is not a request in DER.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let (signature, info) = Signature::split_signed(bytes)?;
        let mut info = Der::new(info);
        if info.read_integer()? != [0] {
            return Err(Malformed::new("an unknown version"));
        }
        let subject = Name::read_der(&mut info).map_err(|e| e.within("subject"))?;
        let key = PublicKey::read_der(&mut info).map_err(|e| e.within("public key"))?;
        let attributes = info.read_optional(explicit_tag(0))?.unwrap_or_default();
        info.expect_end()?;
        let extensions = read_requested_extensions(attributes).map_err(|e| e.within("attributes"))?;
        Ok(Self { subject, key, signature, extensions })
    }

    /// Whether it is signed by the key that it is about.
    pub(crate) fn is_signed_by_key(&self) -> bool {
        self.signature.verify(&self.key).is_ok()
    }

    /// Whether it asks to be a CA.
    pub(crate) fn is_ca(&self) -> bool {
        self.extensions.basic_constraints.as_ref().is_some_and(|b| b.value.ca)
    }
}

/// The key of a request as rcgen takes it to issue a certificate for it.
pub(crate) struct RequestKey<'a> {
    algorithm: &'static SignatureAlgorithm,
    bits: &'a [u8],
}

impl<'a> RequestKey<'a> {
    /// The key of a request whose signature shows that the sender has the private key.
    ///
    /// # Errors
    /// The request is not signed by its key, or no certificate can be issued for this kind of key.
    pub(crate) fn of_request(request: &'a SigningRequest) -> anyhow::Result<Self> {
        anyhow::ensure!(request.is_signed_by_key(), "the request is not signed by its own key");
        // The algorithm names the key in the certificate; it does not say which hash the key signs with.
        let algorithm = match &request.key.kind {
            KeyKind::Rsa { .. } => &rcgen::PKCS_RSA_SHA256,
            KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
            KeyKind::Ec(curve) if curve == "P-256" => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::Ec(curve) if curve == "P-384" => &rcgen::PKCS_ECDSA_P384_SHA384,
            KeyKind::Ec(curve) if curve == "P-521" => &rcgen::PKCS_ECDSA_P521_SHA512,
            other => anyhow::bail!("unsupported key: {other}"),
        };
        Ok(Self { algorithm, bits: &request.key.bits })
    }
}

impl PublicKeyData for RequestKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

/// The extensions among the attributes.
fn read_requested_extensions(attributes: &[u8]) -> Result<Extensions> {
    let mut list = Der::new(attributes);
    let mut extensions = Extensions::default();
    while !list.is_empty() {
        let mut one = list.open_sequence()?;
        let (id, values) = (one.read_oid()?, one.read_tagged(der::SET)?);
        one.expect_end()?;
        if id == oid::EXTENSION_REQUEST {
            let mut only = Der::new(values);
            let whole = only.read_raw_sequence()?.raw;
            only.expect_end()?;
            extensions = Extensions::read_list(whole)?;
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
        let der = common::pki::pem::parse(CSR.as_bytes()).unwrap().remove(0).der;
        let request = SigningRequest::parse(&der).unwrap();
        assert_eq!(request.subject.to_string(), "CN=node17");
        assert_eq!(
            request.extensions.subject_alt_name.as_ref().unwrap().value[0].to_string(),
            "DNS:node17.example.org"
        );
        assert!(request.is_signed_by_key() && !request.is_ca());
        assert!((0..der.len()).all(|n| SigningRequest::parse(&der[..n]).is_err()));
        let mut other = der.to_vec();
        *other.last_mut().unwrap() ^= 1;
        assert!(!SigningRequest::parse(&other).unwrap().is_signed_by_key());
    }

    const CSR: &str = "-----BEGIN CERTIFICATE REQUEST-----\n\
        MIHAMHQCAQAwETEPMA0GA1UEAwwGbm9kZTE3MCowBQYDK2VwAyEAdLK6UaFE4E6s\n\
        813H37TYLbHLrfPkMEO76AUyK/NyS/WgMDAuBgkqhkiG9w0BCQ4xITAfMB0GA1Ud\n\
        EQQWMBSCEm5vZGUxNy5leGFtcGxlLm9yZzAFBgMrZXADQQDCbQUq7FOiHSbFI9eQ\n\
        QiDX0XPOI/OtY7RN58hCIbfGSzzgHaPdRkvQzj/mKZvhLi3gKZ7YC/T3K2tVol7e\n\
        NXYG\n\
        -----END CERTIFICATE REQUEST-----\n";
}

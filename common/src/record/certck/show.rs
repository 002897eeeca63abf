//! Records of `certck show`: the content of files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// `certck.certificate`: the content of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateRecord {
    /// The file.
    pub path: String,
    /// The line of the file that it begins on; 1 for DER.
    pub line: u64,
    /// The subject.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// Its serial number, in hex.
    pub serial: String,
    /// X.509 version.
    pub version: u32,
    /// The first second of its validity.
    pub not_before: String,
    /// The last second of its validity.
    pub not_after: String,
    /// Kind and size of the public key.
    pub key: String,
    /// The signature algorithm.
    pub signature: String,
    /// Whether it is a CA's.
    pub ca: bool,
    /// The path length constraint: how many intermediates may follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_length: Option<u32>,
    /// Key usages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_usages: Vec<String>,
    /// Extended key usages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended_key_usages: Vec<String>,
    /// Subject alternative names, each with its form before a colon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// CRL distribution points.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crl_urls: Vec<String>,
    /// OCSP responders.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ocsp_urls: Vec<String>,
    /// Name constraints: permitted subtrees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permitted_names: Vec<String>,
    /// Name constraints: excluded subtrees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_names: Vec<String>,
    /// Policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// Policies of the issuer, and those of the subject that count as them, as `ISSUER = SUBJECT` (policyMappings).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policy_mappings: Vec<String>,
    /// Certificates below this one until each must have a valid policy (policyConstraints, requireExplicitPolicy).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_explicit_policy: Option<u32>,
    /// Certificates below this one until policies are not mapped any more (policyConstraints, inhibitPolicyMapping).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inhibit_policy_mapping: Option<u32>,
    /// Certificates below this one until anyPolicy does not count any more (inhibitAnyPolicy).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inhibit_any_policy: Option<u32>,
    /// The extensions that are critical, by the names of RFC 5280.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub critical_extensions: Vec<String>,
    /// The key's identifier, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_key_id: Option<String>,
    /// The signer's key's identifier, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_key_id: Option<String>,
    /// Extensions that are not understood or cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_extensions: Vec<String>,
    /// SHA-256 of the certificate, in hex.
    pub sha256: String,
    /// SHA-256 of the public key (SubjectPublicKeyInfo), in hex.
    pub key_sha256: String,
}

impl Record for CertificateRecord {
    const TYPE: &'static str = "certck.certificate";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.certificate","v":1,"path":"server.crt","line":1,"subject":"CN=profguard server","issuer":"CN=profguard CA","serial":"4f12","version":3,"not_before":"2026-11-23T10:00:00Z","not_after":"2027-11-23T10:00:00Z","key":"EC on P-256","signature":"ECDSA with SHA-256","ca":false,"key_usages":["digitalSignature"],"extended_key_usages":["serverAuth"],"names":["DNS:localhost","IP:127.0.0.1"],"sha256":"00ff","key_sha256":"ff00"}"#;
}

/// `certck.crl`: the content of a CRL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CrlRecord {
    /// The file.
    pub path: String,
    /// The line of the file that it begins on; 1 for DER.
    pub line: u64,
    /// The issuer.
    pub issuer: String,
    /// Its number, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// When it was issued.
    pub this_update: String,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<String>,
    /// The signature algorithm.
    pub signature: String,
    /// The identifier of the key that signed it, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_key_id: Option<String>,
    /// Its limits (deltaCRLIndicator, issuingDistributionPoint).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scope: Vec<String>,
    /// Extensions that are not understood or cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_extensions: Vec<String>,
    /// The revoked certificates.
    pub revoked: Vec<RevokedRecord>,
    /// SHA-256 of the CRL, in hex.
    pub sha256: String,
}

/// An entry of a CRL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevokedRecord {
    /// The serial number, in hex.
    pub serial: String,
    /// When it was revoked.
    pub at: String,
    /// The reason, by its number in RFC 5280, section 5.3.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<u8>,
}

impl Record for CrlRecord {
    const TYPE: &'static str = "certck.crl";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.crl","v":1,"path":"ca.crl","line":1,"issuer":"CN=profguard CA","number":"01","this_update":"2026-11-23T10:00:00Z","next_update":"2027-11-23T10:00:00Z","signature":"ECDSA with SHA-256","revoked":[{"serial":"4f12","at":"2026-11-23T10:00:00Z","reason":1}],"sha256":"00ff"}"#;
}

/// `certck.key`: the public properties of a private key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRecord {
    /// The file.
    pub path: String,
    /// The line of the file that it begins on; 1 for DER.
    pub line: u64,
    /// The PEM label of the form that it is in, whether or not it is PEM.
    pub form: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// How it is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    /// Kind and size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// SHA-256 of the public key (SubjectPublicKeyInfo), in hex: the same as its certificate's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_sha256: Option<String>,
}

impl Record for KeyRecord {
    const TYPE: &'static str = "certck.key";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.key","v":1,"path":"server.key","line":1,"form":"PRIVATE KEY","encrypted":false,"key":"EC on P-256","key_sha256":"ff00"}"#;
}

/// `certck.request`: the content of a certificate signing request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequestRecord {
    /// The file.
    pub path: String,
    /// The line of the file that it begins on; 1 for DER.
    pub line: u64,
    /// The subject that is asked for.
    pub subject: String,
    /// Kind and size of the public key.
    pub key: String,
    /// The signature algorithm.
    pub signature: String,
    /// Whether it is signed by the key that it is about.
    pub signed_by_key: bool,
    /// Whether it asks to be a CA.
    pub ca: bool,
    /// Key usages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_usages: Vec<String>,
    /// Extended key usages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended_key_usages: Vec<String>,
    /// Subject alternative names, each with its form before a colon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// SHA-256 of the public key (SubjectPublicKeyInfo), in hex.
    pub key_sha256: String,
}

impl Record for RequestRecord {
    const TYPE: &'static str = "certck.request";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.request","v":1,"path":"server.csr","line":1,"subject":"CN=node17","key":"EC on P-256","signature":"ECDSA with SHA-256","signed_by_key":true,"ca":false,"names":["DNS:node17.example.org"],"key_sha256":"ff00"}"#;
}

/// `certck.malformed`: what can be read of a certificate or CRL that is not valid DER or lacks something; an error says
/// what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MalformedRecord {
    /// The file.
    pub path: String,
    /// The line of the file that it begins on; 1 for DER.
    pub line: u64,
    /// The kind that was expected: `certificate` or `CRL`.
    pub kind: String,
    /// The parts that can be read, by the names that the text has for them.
    pub parts: Vec<NamedPart>,
}

/// One part of a malformed certificate or CRL.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NamedPart {
    /// Its name, such as `subject`.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Record for MalformedRecord {
    const TYPE: &'static str = "certck.malformed";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.malformed","v":1,"path":"server.crt","line":1,"kind":"certificate","parts":[{"name":"subject","value":"CN=node17"}]}"#;
}

/// `certck.parameters`: a block `EC PARAMETERS`, which OpenSSL writes before a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ParametersRecord {
    /// The file.
    pub path: String,
    /// The line of the file that it begins on.
    pub line: u64,
    /// The curve, or that it is given by its parameters instead of a name.
    pub key: String,
}

impl Record for ParametersRecord {
    const TYPE: &'static str = "certck.parameters";
    const V: u32 = 1;
    const SAMPLE: &'static str =
        r#"{"type":"certck.parameters","v":1,"path":"server.key","line":1,"key":"EC on P-256"}"#;
}

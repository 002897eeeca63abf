//! Records of `certck`.

mod show;
mod verify;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, RecordPath, entry, summary};

pub use show::{
    CertificateRecord, CrlRecord, KeyRecord, MalformedRecord, NamedPart, ParametersRecord, RequestRecord,
    RevokedRecord,
};
pub use verify::{CaseName, CaseProfile, NameKind, PeerKind, VerifyAnswer, VerifyCase, VerifyVerdict};

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry::<FindingRecord>(),
    entry::<DirectoryRecord>(),
    entry::<MintedRecord>(),
    entry::<IssuedRecord>(),
    entry::<VerifyCase>(),
    entry::<VerifyVerdict>(),
    entry::<CertificateRecord>(),
    entry::<CrlRecord>(),
    entry::<KeyRecord>(),
    entry::<RequestRecord>(),
    entry::<MalformedRecord>(),
    entry::<ParametersRecord>(),
    entry::<WrittenRecord>(),
    entry::<OcspRecord>(),
    entry::<ProbeRecord>(),
    entry::<FindingChange>(),
    entry::<RuleRecord>(),
    entry::<Summary>(),
];

/// `certck.finding`: a rule that something in a directory breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingRecord {
    /// The directory, or the CRL, that was checked.
    pub dir: String,
    /// The role that it was checked for: `server` or `client`; `ca` for an authority's directory, and for a CRL by
    /// itself.
    pub role: String,
    /// What was found.
    #[serde(flatten)]
    pub finding: crate::finding::Finding,
}

impl Record for FindingRecord {
    const TYPE: &'static str = "certck.finding";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.finding","v":1,"dir":"server_certs","role":"server","rule":"expired","severity":"error","path":"server_certs/server.crt","found":"expired at 2026-11-22T10:00:00Z","expected":"valid at 2026-11-23T10:00:00Z","fix":"issue a new certificate","reference":"RFC 5280, section 6.1.3"}"#;
}

/// `certck.directory`: a directory that was checked, after its findings; or one that could not be checked, after the
/// finding `directory` that says why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DirectoryRecord {
    /// The directory.
    pub dir: String,
    /// The directory's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir_hex: Option<String>,
    /// The role that it was checked for.
    pub role: String,
    /// Whether a daemon or client would start with it, whatever is suppressed.
    pub valid: bool,
    /// Findings of severity error that count.
    pub errors: u64,
    /// Findings of severity warning that count.
    pub warnings: u64,
    /// Findings of severity note that count.
    pub notes: u64,
    /// Findings that a suppression file suppresses.
    pub suppressed: u64,
}

impl Record for DirectoryRecord {
    const TYPE: &'static str = "certck.directory";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.directory","v":1,"dir":"server_certs","role":"server","valid":false,"errors":1,"warnings":0,"notes":2,"suppressed":0}"#;
}

/// `certck.minted`: a directory of new keys and certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MintedRecord {
    /// `ca`, `server` or `client`.
    pub role: String,
    /// The directory.
    #[serde(flatten)]
    pub path: RecordPath,
    /// The files in it.
    pub files: Vec<String>,
    /// The kind of key.
    pub algorithm: String,
    /// The certificate's subject.
    pub subject: String,
    /// The certificate's serial number, in hex.
    pub serial: String,
    /// When its validity begins.
    pub not_before: String,
    /// When it expires.
    pub not_after: String,
    /// The names and addresses for which a server's certificate is valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

impl Record for MintedRecord {
    const TYPE: &'static str = "certck.minted";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.minted","v":1,"role":"server","path":"pki/server_certs","files":["ca.crt","server.crt","server.key","ca.crl"],"algorithm":"ecdsa-p256","subject":"CN=profguard server","serial":"4f12","not_before":"2026-11-23T10:00:00Z","not_after":"2027-11-23T10:00:00Z","hosts":["localhost","127.0.0.1","::1"]}"#;
}

/// `certck.issued`: a line of an authority's issued.jsonl, which has every certificate that it issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuedRecord {
    /// The serial number, in hex.
    pub serial: String,
    /// The subject.
    pub subject: String,
    /// `server` or `client`.
    pub role: String,
    /// The names and addresses for which it is valid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The directory that it was made for: absolute, or as it was named then in lines of older versions.
    pub path: String,
    /// When it was issued.
    pub at: String,
    /// When it expires.
    pub not_after: String,
}

impl Record for IssuedRecord {
    const TYPE: &'static str = "certck.issued";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.issued","v":1,"serial":"4f12","subject":"CN=node17","role":"server","hosts":["node17.example.org"],"path":"pki/server_certs","at":"2026-11-23T10:00:00Z","not_after":"2027-11-23T09:55:00Z"}"#;
}

/// `certck.written`: a file or directory that was made or replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WrittenRecord {
    /// The kind of the subject: `crl` or `directory`.
    pub what: String,
    /// Where it is.
    #[serde(flatten)]
    pub path: RecordPath,
    /// The number of a CRL, in hex. Of a directory, the same as `serial`, as it was called before; empty in a
    /// dry run.
    pub number: String,
    /// The serial number of a directory's new certificate, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// When it expires.
    pub expires: String,
    /// How many certificates a CRL revokes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
    /// Whether this is a dry run, which writes nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

impl Record for WrittenRecord {
    const TYPE: &'static str = "certck.written";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.written","v":1,"what":"crl","path":"pki/ca/ca.crl","number":"02","expires":"2027-11-23T10:00:00Z","revoked":1}"#;
}

/// `certck.ocsp`: a certificate's status by an OCSP responder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OcspRecord {
    /// The certificate's file.
    pub path: String,
    /// The certificate's subject.
    pub subject: String,
    /// Its serial number, in hex.
    pub serial: String,
    /// The responder's address.
    pub url: String,
    /// `good`, `revoked` or `unknown`.
    pub status: String,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// The reason, by its number in RFC 5280, section 5.3.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<u8>,
    /// The time at which the status was known to be correct (RFC 6960, section 2.4).
    pub this_update: String,
    /// When there will be newer information.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<String>,
    /// The subject of the certificate that signed the response.
    pub signer: String,
    /// Whether the response has our nonce, so that it is fresh.
    pub nonce: bool,
}

impl Record for OcspRecord {
    const TYPE: &'static str = "certck.ocsp";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.ocsp","v":1,"path":"server_certs/server.crt","subject":"CN=profguard server","serial":"4f12","url":"http://ocsp.example.org/","status":"revoked","revoked_at":"2026-11-22T10:00:00Z","reason":1,"this_update":"2026-11-23T10:00:00Z","next_update":"2026-11-24T10:00:00Z","signer":"CN=profguard CA","nonce":true}"#;
}

/// `certck.probe`: the behavior of a live daemon in handshakes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeRecord {
    /// The address, as given.
    pub address: String,
    /// The TLS version.
    pub protocol: String,
    /// The cipher suite.
    pub suite: String,
    /// The key exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_exchange: Option<String>,
    /// The subjects of the chain that it presents.
    pub chain: Vec<String>,
    /// When its certificate expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// SHA-256 of its certificate, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Whether it asks for a client certificate.
    pub asks_for_certificate: bool,
    /// Whether it also speaks TLS 1.2.
    pub tls12: bool,
    /// The newest TLS before 1.2 that it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_tls: Option<String>,
    /// Whether it accepts this directory's certificate.
    pub accepted: bool,
    /// The clients that it must reject and that were tried.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<TriedClient>,
    /// Duration of connecting and the handshake, in microseconds.
    pub handshake_us: u64,
}

/// A client that a daemon must reject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TriedClient {
    /// `no certificate`, `unknown CA`, `expired`, `revoked`, `not for clients`, or a directory given with --must-reject.
    pub what: String,
    /// Whether it was rejected; absent if that could not be determined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<bool>,
}

impl Record for ProbeRecord {
    const TYPE: &'static str = "certck.probe";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.probe","v":1,"address":"node17:1778","protocol":"TLSv1_3","suite":"TLS13_AES_256_GCM_SHA384","key_exchange":"X25519MLKEM768","chain":["CN=profguard server"],"asks_for_certificate":true,"tls12":false,"accepted":true,"tried":[{"what":"no certificate","rejected":true},{"what":"unknown CA","rejected":true}],"handshake_us":1850}"#;
}

/// `certck.change`: a finding that appeared, or is gone, since the round before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FindingChange {
    /// `new` or `gone`.
    pub change: String,
    /// When it was noticed.
    pub at: String,
    /// The directory.
    pub dir: String,
    /// The finding.
    pub finding: crate::finding::Finding,
}

impl Record for FindingChange {
    const TYPE: &'static str = "certck.change";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.change","v":1,"change":"new","at":"2026-11-23T10:00:00Z","dir":"server_certs","finding":{"rule":"expired","severity":"error","path":"server_certs/server.crt","found":"expired at 2026-11-23T09:59:59Z","expected":"valid at 2026-11-23T10:00:00Z","fix":"issue it again"}}"#;
}

/// `certck.rule`: a rule for directories, CRLs or daemons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleRecord {
    /// Stable id.
    pub rule: String,
    /// Its severity in the compat profile.
    pub severity: crate::finding::Severity,
    /// Its severity in the strict profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<crate::finding::Severity>,
    /// Its requirement.
    pub demands: String,
    /// The command that applies it: `check` (and every program that loads a directory), `crl fetch`, `ocsp` or
    /// `probe`.
    pub command: String,
    /// The consequence of breaking it.
    #[serde(default)]
    pub why: String,
    /// How to fix what breaks it: a command, where there is one.
    #[serde(default)]
    pub fix: String,
    /// Where it comes from: an RFC and its section, a row of the security statement, a manual page.
    #[serde(default)]
    pub reference: String,
}

impl Record for RuleRecord {
    const TYPE: &'static str = "certck.rule";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.rule","v":1,"rule":"expired","severity":"error","strict":"error","demands":"The notAfter of each certificate has not passed.","command":"check","why":"Peers reject an expired certificate.","fix":"certck mint renew CA_DIR DIR","reference":"RFC 5280, section 6.1.3"}"#;
}

summary!(Summary, "certck.summary", r#"{"type":"certck.summary","v":1,"checked":2,"failed":1,"findings_error":1,"findings_warning":0,"findings_note":2,"suppressed":0,"made":0,"errors":0}"#, {
    /// Directories, CRLs, certificates, daemons or cases that were checked; what could not be checked is in `errors`.
    checked: u64,
    /// Of those, how many failed: with a finding of severity error, or rejected by `certck verify`.
    failed: u64,
    /// Findings of severity error.
    findings_error: u64,
    /// Findings of severity warning.
    findings_warning: u64,
    /// Findings of severity note.
    findings_note: u64,
    /// Findings that a suppression file suppresses.
    suppressed: u64,
    /// Directories or files that were made or replaced.
    made: u64,
});

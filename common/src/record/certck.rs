//! Records of `certck`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry::<Finding>(),
    entry::<Directory>(),
    entry::<Minted>(),
    entry::<Issued>(),
    entry::<Case>(),
    entry::<Verdict>(),
    entry::<Certificate>(),
    entry::<Crl>(),
    entry::<Key>(),
    entry::<Request>(),
    entry::<Written>(),
    entry::<Ocsp>(),
    entry::<Probe>(),
    entry::<Change>(),
    entry::<Rule>(),
    entry::<Summary>(),
];

/// `certck.finding`: a rule that something in a directory breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The directory, or the CRL, that was checked.
    pub dir: String,
    /// The role that it was checked for: `server` or `client`; `ca` for an authority's directory, and for a CRL by
    /// itself.
    pub role: String,
    /// What was found.
    #[serde(flatten)]
    pub finding: crate::finding::Finding,
}

impl Record for Finding {
    const TYPE: &'static str = "certck.finding";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.finding","v":1,"dir":"server_certs","role":"server","rule":"expired","severity":"error","path":"server_certs/server.crt","found":"expired at 2026-11-22T10:00:00Z","expected":"valid at 2026-11-23T10:00:00Z","fix":"issue a new certificate"}"#;
}

/// `certck.directory`: a directory that was judged, after its findings; or one that could not be, after the finding
/// `directory` that says why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Directory {
    /// The directory.
    pub dir: String,
    /// The directory's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dir_hex: Option<String>,
    /// The role that it was judged for.
    pub role: String,
    /// Whether a daemon or client would start with it, whatever is suppressed.
    pub fit: bool,
    /// Findings of severity error that count.
    pub errors: u64,
    /// Findings of severity warning that count.
    pub warnings: u64,
    /// Findings of severity note that count.
    pub notes: u64,
    /// Findings that a suppression file takes out.
    pub suppressed: u64,
}

impl Record for Directory {
    const TYPE: &'static str = "certck.directory";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.directory","v":1,"dir":"server_certs","role":"server","fit":false,"errors":1,"warnings":0,"notes":2,"suppressed":0}"#;
}

/// `certck.minted`: a directory of new keys and certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Minted {
    /// `ca`, `server` or `client`.
    pub role: String,
    /// The directory.
    pub path: String,
    /// The directory's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
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
    /// When its validity ends.
    pub not_after: String,
    /// The names and addresses that a server's certificate is good for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
}

impl Record for Minted {
    const TYPE: &'static str = "certck.minted";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.minted","v":1,"role":"server","path":"pki/server_certs","files":["ca.crt","server.crt","server.key","ca.crl"],"algorithm":"ecdsa-p256","subject":"CN=profguard server","serial":"4f12","not_before":"2026-11-23T10:00:00Z","not_after":"2027-11-23T10:00:00Z","hosts":["localhost","127.0.0.1","::1"]}"#;
}

/// `certck.case`: a question for `certck verify`. All certificates and CRLs are PEM text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Case {
    /// What the verdict is known by.
    pub id: String,
    /// The peer's certificate.
    pub peer: String,
    /// What else the peer sent; certificates that cannot be read are passed over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intermediates: Vec<String>,
    /// What is trusted; certificates that cannot be read are passed over.
    pub roots: Vec<String>,
    /// Revocation lists. If there are any, every certificate below the root must be found good by one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crls: Vec<String>,
    /// The time of validation, RFC 3339; now, if absent. Fractions of a second are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// What the peer is: decides the extended key usage where none is given.
    pub kind: PeerKind,
    /// Names that the peer's certificate must be good for, each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<PeerName>,
    /// Key usages that the peer's certificate must allow, by their names in RFC 5280.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_usages: Vec<String>,
    /// Extended key usages that it must allow, by name or dotted numbers; by default that of `kind`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended_key_usages: Vec<String>,
    /// How many intermediates there may be, self-issued ones not counted; 16, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
    /// What is demanded; `rfc5280`, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<CaseProfile>,
}

/// What a peer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeerKind {
    /// A server, seen by a client.
    Server,
    /// A client, seen by a server.
    Client,
}

/// What is demanded of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaseProfile {
    /// Section 6 of RFC 5280, and of every certificate what sections 4 and 5 oblige conforming CAs to.
    #[default]
    Rfc5280,
    /// Section 6 alone.
    Path,
}

/// A name that a peer must have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerName {
    /// Its form.
    pub kind: NameKind,
    /// The name.
    pub value: String,
}

/// The forms of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NameKind {
    /// A DNS name.
    Dns,
    /// An IP address.
    Ip,
    /// An e-mail address.
    Email,
}

impl Record for Case {
    const TYPE: &'static str = "certck.case";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.case","v":1,"id":"a","peer":"-----BEGIN CERTIFICATE-----\n...","intermediates":["-----BEGIN CERTIFICATE-----\n..."],"roots":["-----BEGIN CERTIFICATE-----\n..."],"time":"2026-11-23T10:00:00Z","kind":"server","names":[{"kind":"dns","value":"example.com"}],"key_usages":["digitalSignature"],"extended_key_usages":["serverAuth"],"max_depth":4,"profile":"rfc5280"}"#;
}

/// `certck.verdict`: the answer to a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// The case's id.
    pub id: String,
    /// The answer.
    pub verdict: Answer,
    /// Why it was rejected: a stable word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Why it was rejected: in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The subjects of the path that was accepted, the peer's first, the root's last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub path: Vec<String>,
}

/// The two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// There is a valid path.
    Accept,
    /// There is none.
    Reject,
}

impl Record for Verdict {
    const TYPE: &'static str = "certck.verdict";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.verdict","v":1,"id":"a","verdict":"reject","reason":"expired","detail":"CN=leaf: expired at 2026-11-22T10:00:00Z"}"#;
}

/// `certck.certificate`: what a certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Certificate {
    /// The file.
    pub path: String,
    /// The line of the file that it begins on; 1 for DER.
    pub line: u64,
    /// Whom it is about.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Its serial number, in hex.
    pub serial: String,
    /// X.509 version.
    pub version: u32,
    /// When its validity begins.
    pub not_before: String,
    /// The last second of its validity.
    pub not_after: String,
    /// Kind and size of the public key.
    pub key: String,
    /// What it is signed by.
    pub signature: String,
    /// Whether it is a CA's.
    pub ca: bool,
    /// How many intermediates may follow.
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
    /// Where to get a CRL.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crl_urls: Vec<String>,
    /// Where to ask for its revocation by OCSP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ocsp_urls: Vec<String>,
    /// Where names below this CA must lie.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permitted_names: Vec<String>,
    /// Where no name below this CA may lie.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excluded_names: Vec<String>,
    /// Policies.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
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

impl Record for Certificate {
    const TYPE: &'static str = "certck.certificate";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.certificate","v":1,"path":"server.crt","line":1,"subject":"CN=profguard server","issuer":"CN=profguard CA","serial":"4f12","version":3,"not_before":"2026-11-23T10:00:00Z","not_after":"2027-11-23T10:00:00Z","key":"EC on P-256","signature":"ECDSA with SHA-256","ca":false,"key_usages":["digitalSignature"],"extended_key_usages":["serverAuth"],"names":["DNS:localhost","IP:127.0.0.1"],"sha256":"00ff","key_sha256":"ff00"}"#;
}

/// `certck.crl`: what a revocation list says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Crl {
    /// The file.
    pub path: String,
    /// The line of the file that it begins on; 1 for DER.
    pub line: u64,
    /// Who signed it.
    pub issuer: String,
    /// Its number, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<String>,
    /// When it was made.
    pub this_update: String,
    /// When the next one is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<String>,
    /// What it is signed by.
    pub signature: String,
    /// What it revokes.
    pub revoked: Vec<Revoked>,
    /// SHA-256 of the list, in hex.
    pub sha256: String,
}

/// An entry of a revocation list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Revoked {
    /// The serial number, in hex.
    pub serial: String,
    /// When it was revoked.
    pub at: String,
    /// Why, by the number of RFC 5280, 5.3.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<u8>,
}

impl Record for Crl {
    const TYPE: &'static str = "certck.crl";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.crl","v":1,"path":"ca.crl","line":1,"issuer":"CN=profguard CA","number":"01","this_update":"2026-11-23T10:00:00Z","next_update":"2027-11-23T10:00:00Z","signature":"ECDSA with SHA-256","revoked":[{"serial":"4f12","at":"2026-11-23T10:00:00Z","reason":1}],"sha256":"00ff"}"#;
}

/// `certck.key`: what can be said of a private key without showing it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
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

impl Record for Key {
    const TYPE: &'static str = "certck.key";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.key","v":1,"path":"server.key","line":1,"form":"PRIVATE KEY","encrypted":false,"key":"EC on P-256","key_sha256":"ff00"}"#;
}

/// `certck.issued`: a line of an authority's issued.jsonl, by which a certificate is found again that was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Issued {
    /// The serial number, in hex.
    pub serial: String,
    /// Whom it is about.
    pub subject: String,
    /// `server` or `client`.
    pub role: String,
    /// The names and addresses that it is good for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The directory that it was made for, as it was named then.
    pub path: String,
    /// When it was issued.
    pub at: String,
    /// When its validity ends.
    pub not_after: String,
}

impl Record for Issued {
    const TYPE: &'static str = "certck.issued";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.issued","v":1,"serial":"4f12","subject":"CN=node17","role":"server","hosts":["node17.example.org"],"path":"pki/server_certs","at":"2026-11-23T10:00:00Z","not_after":"2027-11-23T09:55:00Z"}"#;
}

/// `certck.request`: what a certificate signing request asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Request {
    /// The file.
    pub path: String,
    /// The line of the file that it begins on; 1 for DER.
    pub line: u64,
    /// Whom the certificate is to be about.
    pub subject: String,
    /// Kind and size of the public key.
    pub key: String,
    /// What it is signed by.
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

impl Record for Request {
    const TYPE: &'static str = "certck.request";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.request","v":1,"path":"server.csr","line":1,"subject":"CN=node17","key":"EC on P-256","signature":"ECDSA with SHA-256","signed_by_key":true,"ca":false,"names":["DNS:node17.example.org"],"key_sha256":"ff00"}"#;
}

/// `certck.written`: a file or directory that was made or replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// What it is: `crl` or `directory`.
    pub what: String,
    /// Where it is.
    pub path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// The number of a CRL, in hex. Of a directory, the same as `serial`, as it was called before; empty for what a
    /// dry run only tells of.
    pub number: String,
    /// The serial number of a directory's new certificate, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Until when it is good.
    pub until: String,
    /// How many certificates a CRL revokes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<u64>,
}

impl Record for Written {
    const TYPE: &'static str = "certck.written";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.written","v":1,"what":"crl","path":"pki/ca/ca.crl","number":"02","until":"2027-11-23T10:00:00Z","revoked":1}"#;
}

/// `certck.ocsp`: what a responder says of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ocsp {
    /// The certificate's file.
    pub path: String,
    /// Whom the certificate is about.
    pub subject: String,
    /// Its serial number, in hex.
    pub serial: String,
    /// The responder's address.
    pub url: String,
    /// `good`, `revoked` or `unknown`.
    pub status: String,
    /// Since when it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// Why, by the number of RFC 5280, 5.3.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<u8>,
    /// The time for which this is known.
    pub this_update: String,
    /// When there will be newer information.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_update: Option<String>,
    /// The subject of the certificate that the answer is signed with.
    pub signer: String,
    /// Whether the answer was made for this question.
    pub nonce: bool,
}

impl Record for Ocsp {
    const TYPE: &'static str = "certck.ocsp";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.ocsp","v":1,"path":"server_certs/server.crt","subject":"CN=profguard server","serial":"4f12","url":"http://ocsp.example.org/","status":"revoked","revoked_at":"2026-11-22T10:00:00Z","reason":1,"this_update":"2026-11-23T10:00:00Z","next_update":"2026-11-24T10:00:00Z","signer":"CN=profguard CA","nonce":true}"#;
}

/// `certck.probe`: what a live daemon did in a handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// The address, as given.
    pub address: String,
    /// The TLS version.
    pub protocol: String,
    /// The cipher suite.
    pub suite: String,
    /// The key exchange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_exchange: Option<String>,
    /// The subjects of the chain that it presented.
    pub chain: Vec<String>,
    /// Whether it asks for a client certificate.
    pub asks_for_certificate: bool,
    /// Whether it also speaks TLS 1.2.
    pub tls12: bool,
    /// The newest TLS before 1.2 that it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_tls: Option<String>,
    /// Whether it took this directory's certificate.
    pub accepted: bool,
    /// What it must refuse, and was shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<Tried>,
    /// Time to connect and shake hands, in microseconds.
    pub handshake_us: u64,
}

/// A client that a daemon must refuse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tried {
    /// `no certificate`, `unknown CA`, `expired`, `revoked`, `not for clients`, or a directory given with --refused.
    pub what: String,
    /// Whether it was refused; absent where that could not be found out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<bool>,
}

impl Record for Probe {
    const TYPE: &'static str = "certck.probe";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.probe","v":1,"address":"node17:1778","protocol":"TLSv1_3","suite":"TLS13_AES_256_GCM_SHA384","key_exchange":"X25519MLKEM768","chain":["CN=profguard server"],"asks_for_certificate":true,"tls12":false,"accepted":true,"tried":[{"what":"no certificate","refused":true},{"what":"unknown CA","refused":true}],"handshake_us":1850}"#;
}

/// `certck.change`: a finding that appeared, or is gone, since the round before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// `new` or `gone`.
    pub change: String,
    /// When it was noticed.
    pub at: String,
    /// The directory.
    pub dir: String,
    /// The finding.
    pub finding: crate::finding::Finding,
}

impl Record for Change {
    const TYPE: &'static str = "certck.change";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.change","v":1,"change":"new","at":"2026-11-23T10:00:00Z","dir":"server_certs","finding":{"rule":"expired","severity":"error","path":"server_certs/server.crt","found":"expired at 2026-11-23T09:59:59Z","expected":"valid at 2026-11-23T10:00:00Z","fix":"issue it again"}}"#;
}

/// `certck.rule`: a rule that directories or daemons are held to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rule {
    /// Stable id.
    pub rule: String,
    /// How bad it is to break it, in the compatible profile.
    pub severity: crate::finding::Severity,
    /// How bad it is in the strict profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<crate::finding::Severity>,
    /// What it demands.
    pub demands: String,
    /// The command that applies it: `check` (and every program that loads a directory), `crl fetch`, `ocsp` or
    /// `probe`.
    pub command: String,
    /// Why it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How to mend what breaks it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mend: Option<String>,
}

impl Record for Rule {
    const TYPE: &'static str = "certck.rule";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.rule","v":1,"rule":"expired","severity":"error","strict":"error","demands":"The validity of each certificate has not ended.","command":"check","why":"Peers refuse it.","mend":"Issue it again."}"#;
}

summary!(Summary, "certck.summary", r#"{"type":"certck.summary","v":1,"checked":2,"refused":1,"findings_error":1,"findings_warning":0,"findings_note":2,"suppressed":0,"made":0,"errors":0}"#, {
    /// Directories or certificates that were judged; what could not be is in `errors`, its findings too.
    checked: u64,
    /// Of those, how many are not fit.
    refused: u64,
    /// Findings of severity error.
    findings_error: u64,
    /// Findings of severity warning.
    findings_warning: u64,
    /// Findings of severity note.
    findings_note: u64,
    /// Findings that a suppression file takes out.
    suppressed: u64,
    /// Directories or files that were made or replaced.
    made: u64,
});

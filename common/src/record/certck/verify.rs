//! Records of `certck verify`: cases and verdicts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// `certck.case`: a case for `certck verify`. All certificates and CRLs are PEM text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyCase {
    /// Identifies the verdict.
    pub id: String,
    /// The peer's certificate.
    pub peer: String,
    /// The other certificates that the peer sent; malformed ones are ignored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub intermediates: Vec<String>,
    /// The trust anchors; malformed ones are ignored.
    pub roots: Vec<String>,
    /// CRLs. If there are any, one must cover each certificate below the root, and none may revoke it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub crls: Vec<String>,
    /// The time of validation, RFC 3339; now, if absent. Fractions of a second are dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// The peer's role, which decides the extended key usage if none is given.
    pub kind: PeerKind,
    /// Names for which the peer's certificate must be valid, each of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<CaseName>,
    /// Key usages that the peer's certificate must allow, by their names in RFC 5280.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key_usages: Vec<String>,
    /// Extended key usages that it must allow, by name or dotted numbers; by default that of `kind`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extended_key_usages: Vec<String>,
    /// How many intermediates there may be, self-issued ones not counted; 16, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_depth: Option<u32>,
    /// The rules to apply; `rfc5280`, if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<CaseProfile>,
}

/// A peer's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeerKind {
    /// A server, seen by a client.
    Server,
    /// A client, seen by a server.
    Client,
}

/// The rules for a path.
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
pub struct CaseName {
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

impl Record for VerifyCase {
    const TYPE: &'static str = "certck.case";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.case","v":1,"id":"a","peer":"-----BEGIN CERTIFICATE-----\n...","intermediates":["-----BEGIN CERTIFICATE-----\n..."],"roots":["-----BEGIN CERTIFICATE-----\n..."],"time":"2026-11-23T10:00:00Z","kind":"server","names":[{"kind":"dns","value":"example.com"}],"key_usages":["digitalSignature"],"extended_key_usages":["serverAuth"],"max_depth":4,"profile":"rfc5280"}"#;
}

/// `certck.verdict`: the verdict on a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VerifyVerdict {
    /// The case's id.
    pub id: String,
    /// The answer.
    pub verdict: VerifyAnswer,
    /// Why it was rejected: a stable word in kebab case.
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
pub enum VerifyAnswer {
    /// There is a valid path.
    Accept,
    /// There is none.
    Reject,
}

impl Record for VerifyVerdict {
    const TYPE: &'static str = "certck.verdict";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"certck.verdict","v":1,"id":"a","verdict":"reject","reason":"expired","detail":"CN=leaf: expired at 2026-11-22T10:00:00Z"}"#;
}

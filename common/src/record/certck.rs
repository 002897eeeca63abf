//! Records of `certck`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};

/// All of them.
pub const ENTRIES: &[Entry] = &[entry::<Finding>(), entry::<Minted>(), entry::<Summary>()];

/// `certck.finding`: a rule that something in a directory breaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// The directory that was checked.
    pub dir: String,
    /// The role that it was checked for: `server` or `client`.
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

summary!(Summary, "certck.summary", r#"{"type":"certck.summary","v":1,"checked":2,"refused":1,"findings_error":1,"findings_warning":0,"findings_note":2,"made":0,"errors":0}"#, {
    /// Directories or certificates that were judged.
    checked: u64,
    /// Of those, how many are not fit.
    refused: u64,
    /// Findings of severity error.
    findings_error: u64,
    /// Findings of severity warning.
    findings_warning: u64,
    /// Findings of severity note.
    findings_note: u64,
    /// Directories or files that were made or replaced.
    made: u64,
});

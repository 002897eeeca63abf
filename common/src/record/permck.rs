//! Records of `permck`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};
use crate::finding::Severity;

/// All of them.
pub const ENTRIES: &[Entry] = &[entry::<Finding>(), entry::<Summary>()];

/// `permck.finding`: one entry breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// Stable id of the rule, in kebab case.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// The entry.
    pub path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// What was found.
    pub found: String,
    /// What the rule expects; empty where it expects nothing.
    pub expected: String,
    /// How to mend it.
    pub fix: String,
    /// The class whose maximum mode it is held to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// How the class was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told_by: Option<String>,
}

impl Record for Finding {
    const TYPE: &'static str = "permck.finding";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"permck.finding","v":1,"rule":"world-writable","severity":"error","path":"/srv/traces/a.json","found":"mode 0666 allows 0026 too much for service data","expected":"at most 0640 (data_file, told by nothing special about it)","fix":"chmod 0640 /srv/traces/a.json","class":"data_file","told_by":"nothing special about it"}"#;
}

summary!(Summary, "permck.summary", r#"{"type":"permck.summary","v":1,"entries":120,"dirs":7,"findings":2,"error_findings":1,"warning_findings":1,"note_findings":0,"accepted":1,"vanished":0,"mounts_skipped":0,"errors":0}"#, {
    /// Entries looked at, directories among them.
    entries: u64,
    /// Directories looked at.
    dirs: u64,
    /// Findings shown.
    findings: u64,
    /// Findings of severity error.
    error_findings: u64,
    /// Findings of severity warning.
    warning_findings: u64,
    /// Findings of severity note.
    note_findings: u64,
    /// Findings that the policy accepts and that are not shown.
    accepted: u64,
    /// Entries that were gone when they were to be looked at.
    vanished: u64,
    /// Mount points that were not entered.
    mounts_skipped: u64,
});

//! Records of `permck`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, entry, summary};
use crate::finding::Severity;

/// All of them.
pub const ENTRIES: &[Entry] = &[
    entry::<PermckFinding>(),
    entry::<AuditSummary>(),
    entry::<PermissionChange>(),
    entry::<FixRefusal>(),
    entry::<FixSummary>(),
    entry::<UndoneChange>(),
    entry::<UndoSummary>(),
];

/// `permck.finding`: one entry breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermckFinding {
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
    pub class_by: Option<String>,
}

impl Record for PermckFinding {
    const TYPE: &'static str = "permck.finding";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"permck.finding","v":1,"rule":"world-writable","severity":"error","path":"/srv/traces/a.json","found":"mode 0666 allows 0026 too much for service data","expected":"at most 0640 (data_file, told by nothing special about it)","fix":"chmod 0640 /srv/traces/a.json","class":"data_file","class_by":"nothing special about it"}"#;
}

summary!(AuditSummary, "permck.summary", r#"{"type":"permck.summary","v":1,"entries":120,"dirs":7,"findings":2,"error_findings":1,"warning_findings":1,"note_findings":0,"accepted":1,"known":0,"vanished":0,"mounts_skipped":0,"exceptions_stale":0,"baseline_gone":0,"errors":0}"#, {
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
    /// Findings that the baseline knows and that are not shown.
    known: u64,
    /// Entries that were gone when they were to be looked at.
    vanished: u64,
    /// Directories and files that are mounted below a path and were not looked at.
    mounts_skipped: u64,
    /// Exceptions of the policy file that have ended or accepted nothing.
    #[serde(default)]
    exceptions_stale: u64,
    /// Findings of the baseline that were not found any more.
    #[serde(default)]
    baseline_gone: u64,
});

/// `permck.change`: `permck fix` tightened an entry, or would have; what `permck undo` reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionChange {
    /// The entry, absolute and without links.
    pub path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// The rules that it broke.
    pub rules: Vec<String>,
    /// Device number of its file system.
    pub device: u64,
    /// Inode number.
    pub inode: u64,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Its size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// When its content was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<String>,
    /// When it was created, where the file system tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub btime: Option<String>,
    /// When anything of it was last changed, before this change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctime_before: Option<String>,
    /// The same after this change. A line without it is written before the change is made, and one with it after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctime_after: Option<String>,
    /// Mode in octal, before.
    pub mode_before: String,
    /// Mode in octal, after.
    pub mode_after: String,
    /// The access ACL that was removed, as the kernel stores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl_removed_hex: Option<String>,
    /// Whether nothing was really changed.
    #[serde(default)]
    pub dry_run: bool,
}

impl Record for PermissionChange {
    const TYPE: &'static str = "permck.change";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"permck.change","v":1,"path":"/srv/traces/a.json","rules":["world-writable"],"device":64768,"inode":131075,"uid":1000,"gid":1000,"size_bytes":42,"mtime":"2026-11-23T09:00:00Z","btime":"2026-11-23T08:59:59.5Z","ctime_before":"2026-11-23T09:00:00Z","ctime_after":"2026-11-23T12:00:00.123456789Z","mode_before":"0666","mode_after":"0640","dry_run":false}"#;
}

/// `permck.refusal`: an entry that was left as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FixRefusal {
    /// The entry.
    pub path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// Why.
    pub reason: String,
}

impl Record for FixRefusal {
    const TYPE: &'static str = "permck.refusal";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"permck.refusal","v":1,"path":"/srv/traces/b","reason":"it has 2 names: the change would reach the others too"}"#;
}

summary!(FixSummary, "permck.fix_summary", r#"{"type":"permck.fix_summary","v":1,"entries":120,"changed":3,"refused":1,"left":0,"warnings":2,"errors":0}"#, {
    /// Entries looked at.
    entries: u64,
    /// Entries tightened, or that would have been.
    changed: u64,
    /// Entries that could not be tightened safely.
    refused: u64,
    /// Findings of severity error that need a person.
    left: u64,
    /// Findings of severity warning, which are not mended.
    #[serde(default)]
    warnings: u64,
});

/// `permck.undone`: `permck undo` put a change back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndoneChange {
    /// The entry.
    pub path: String,
    /// The path's bytes in hex, where they are not UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_hex: Option<String>,
    /// The mode that it has again, in octal.
    pub mode: String,
    /// Whether nothing was really changed.
    #[serde(default)]
    pub dry_run: bool,
}

impl Record for UndoneChange {
    const TYPE: &'static str = "permck.undone";
    const V: u32 = 1;
    const SAMPLE: &'static str =
        r#"{"type":"permck.undone","v":1,"path":"/srv/traces/a.json","mode":"0666","dry_run":false}"#;
}

summary!(UndoSummary, "permck.undo_summary", r#"{"type":"permck.undo_summary","v":1,"undone":3,"unchanged":0,"refused":0,"errors":0}"#, {
    /// Changes put back.
    undone: u64,
    /// Changes that never happened, or were put back before.
    unchanged: u64,
    /// Changes that could not be put back safely.
    refused: u64,
});

//! Records of `permck`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Entry, Record, RecordPath, entry, summary};
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
    entry::<PermckRule>(),
    entry::<RulesSummary>(),
    entry::<BaselineEntry>(),
    entry::<PolicyLine>(),
    entry::<PolicySummary>(),
];

/// `permck.finding`: one entry breaks one rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermckFinding {
    /// Stable id of the rule, in kebab case.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// The entry.
    #[serde(flatten)]
    pub path: RecordPath,
    /// The fault that was found.
    pub found: String,
    /// The state that the rule requires; empty where there is none.
    pub expected: String,
    /// How to fix it: a command where there is one.
    pub fix: String,
    /// Where the rule comes from: a row of the security statement, a manual page.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// The class of the policy table whose maximum mode applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The reason for the class: the name, the content, a row of the policy, or `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_by: Option<String>,
}

impl Record for PermckFinding {
    const TYPE: &'static str = "permck.finding";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"permck.finding","v":1,"rule":"world-writable","severity":"error","path":"/srv/traces/a.json","found":"mode 0666: group may write, others may read and write","expected":"at most 0640 (service data; class data_file by default)","fix":"chmod 0640 /srv/traces/a.json","reference":"chmod(1)","class":"data_file","class_by":"default"}"#;
}

/// `permck.entry`: an entry as it was when `permck baseline --entries` ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BaselineEntry {
    /// The entry, absolute.
    #[serde(flatten)]
    pub path: RecordPath,
    /// Type and mode in octal, as `st_mode`.
    pub mode: String,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

impl Record for BaselineEntry {
    const TYPE: &'static str = "permck.entry";
    const V: u32 = 1;
    const SAMPLE: &'static str =
        r#"{"type":"permck.entry","v":1,"path":"/opt/app/bin/tool","mode":"100550","uid":0,"gid":988}"#;
}

/// `permck.policy`: what `permck policy` says about a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PolicyLine {
    /// A row or exception, in words, or what is wrong with it.
    pub text: String,
}

impl Record for PolicyLine {
    const TYPE: &'static str = "permck.policy";
    const V: u32 = 1;
    const SAMPLE: &'static str =
        r#"{"type":"permck.policy","v":1,"text":"profile certs row 2: ** -> key_file, at most 0600"}"#;
}

summary!(PolicySummary, "permck.policy_summary", r#"{"type":"permck.policy_summary","v":1,"lines":2,"errors":0}"#, {
    /// Lines written.
    lines: u64,
});

summary!(AuditSummary, "permck.summary", r#"{"type":"permck.summary","v":1,"entries":120,"dirs":7,"findings":2,"error_findings":1,"warning_findings":1,"note_findings":0,"accepted":1,"known":0,"vanished":0,"mounts_skipped":0,"exceptions_stale":0,"baseline_gone":0,"hidden":0,"errors":0}"#, {
    /// Entries checked, directories among them.
    entries: u64,
    /// Directories checked.
    dirs: u64,
    /// Findings shown.
    findings: u64,
    /// Findings of severity error.
    error_findings: u64,
    /// Findings of severity warning.
    warning_findings: u64,
    /// Findings of severity note.
    note_findings: u64,
    /// Findings that an exception of the policy accepts; they are not shown.
    accepted: u64,
    /// Findings that are in the baseline; they are not shown.
    known: u64,
    /// Entries that were deleted during the audit.
    vanished: u64,
    /// Mount points below a path that were not entered.
    mounts_skipped: u64,
    /// Exceptions of the policy file that have expired or that no finding matched.
    #[serde(default)]
    exceptions_stale: u64,
    /// Findings of the baseline that no longer exist.
    #[serde(default)]
    baseline_gone: u64,
    /// Findings below --show, which are not shown.
    #[serde(default)]
    hidden: u64,
});

/// `permck.change`: `permck fix` tightened an entry, or would with `--dry-run`. `permck undo` reads these records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermissionChange {
    /// The entry, absolute and without links.
    #[serde(flatten)]
    pub path: RecordPath,
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
    /// Modification time, RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<String>,
    /// Time of creation, where the file system records it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub btime: Option<String>,
    /// Status change time before this change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctime_before: Option<String>,
    /// Status change time after this change. A line without it is written before the change, a line with it after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ctime_after: Option<String>,
    /// Mode in octal, before.
    pub mode_before: String,
    /// Mode in octal, after.
    pub mode_after: String,
    /// The access ACL that was removed, as the kernel stores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acl_removed_hex: Option<String>,
    /// Whether this was a dry run: nothing was changed.
    #[serde(default)]
    pub dry_run: bool,
}

impl Record for PermissionChange {
    const TYPE: &'static str = "permck.change";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"permck.change","v":1,"path":"/srv/traces/a.json","rules":["world-writable"],"device":64768,"inode":131075,"uid":1000,"gid":1000,"size_bytes":42,"mtime":"2026-11-23T09:00:00Z","btime":"2026-11-23T08:59:59.5Z","ctime_before":"2026-11-23T09:00:00Z","ctime_after":"2026-11-23T12:00:00.123456789Z","mode_before":"0666","mode_after":"0640","dry_run":false}"#;
}

/// `permck.refusal`: an entry that was left unchanged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FixRefusal {
    /// The entry.
    #[serde(flatten)]
    pub path: RecordPath,
    /// The reason.
    pub reason: String,
}

impl Record for FixRefusal {
    const TYPE: &'static str = "permck.refusal";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"permck.refusal","v":1,"path":"/srv/traces/b","reason":"it has 2 hard links: the change would also apply to the other names"}"#;
}

summary!(FixSummary, "permck.fix_summary", r#"{"type":"permck.fix_summary","v":1,"entries":120,"changed":3,"refused":1,"left":0,"warnings":2,"errors":0}"#, {
    /// Entries checked.
    entries: u64,
    /// Entries tightened, or that would be with `--dry-run`.
    changed: u64,
    /// Entries that could not be tightened safely.
    refused: u64,
    /// Findings of severity error that need a decision.
    left: u64,
    /// Findings of severity warning, which `permck fix` leaves.
    #[serde(default)]
    warnings: u64,
});

/// `permck.undone`: `permck undo` put a change back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UndoneChange {
    /// The entry.
    #[serde(flatten)]
    pub path: RecordPath,
    /// The mode that it has again, in octal.
    pub mode: String,
    /// Whether this was a dry run: nothing was changed.
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

/// `permck.rule`: a rule of `permck audit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PermckRule {
    /// Stable id of the rule, in kebab case.
    pub rule: String,
    /// How bad a finding is.
    pub severity: Severity,
    /// The fault that the rule finds.
    pub what: String,
    /// The consequence of a finding.
    pub why: String,
    /// How to fix a finding, with a command where there is one.
    pub fix: String,
    /// The source of the rule: the security statement, a standard or a manual page.
    pub reference: String,
}

impl Record for PermckRule {
    const TYPE: &'static str = "permck.rule";
    const V: u32 = 1;
    const SAMPLE: &'static str = r#"{"type":"permck.rule","v":1,"rule":"world-writable","severity":"error","what":"everyone may write to it","why":"Every local user can replace the content: programs that others run, or data that they trust.","fix":"`chmod o-w PATH`","reference":"msMonitor security statement, file permission control (no 666, no 777); chmod(1)"}"#;
}

summary!(RulesSummary, "permck.rules_summary", r#"{"type":"permck.rules_summary","v":1,"rules":24,"errors":0}"#, {
    /// Rules listed.
    rules: u64,
});

//! JSON lines: one record per finding, and a summary.

use std::io::{self, Write};

use common::record::RecordPath;
use common::record::permck as record;

use super::{AuditReport, AuditResult};
use crate::plan::AuditIssue;

/// Writes `permck.finding` and `permck.summary`.
pub(crate) struct JsonReport;

impl AuditReport for JsonReport {
    fn write_issue(&mut self, to: &mut dyn Write, issue: &AuditIssue) -> io::Result<()> {
        let f = issue.finding.clone();
        let finding = record::PermckFinding {
            rule: f.rule,
            severity: f.severity,
            path: RecordPath { path: f.path, path_hex: f.path_hex },
            found: f.found,
            expected: f.expected,
            fix: f.fix,
            reference: f.reference,
            class: issue.class.clone(),
            class_by: issue.class_by.clone(),
        };
        common::record::write(to, &finding)
    }

    fn write_summary(&mut self, to: &mut dyn Write, ending: &AuditResult) -> io::Result<()> {
        let AuditResult { seen, known, gone, hidden, end } = ending;
        let summary = record::AuditSummary {
            entries: seen.entries,
            dirs: seen.dirs,
            findings: end.totals.at_least(common::finding::Severity::Note),
            error_findings: end.totals.errors,
            warning_findings: end.totals.warnings,
            note_findings: end.totals.notes,
            accepted: seen.accepted,
            known: *known,
            vanished: seen.vanished,
            mounts_skipped: seen.mounts,
            exceptions_stale: seen.stale_exceptions,
            baseline_gone: *gone,
            hidden: *hidden,
            errors: end.failed,
        };
        common::record::write(to, &summary)
    }
}

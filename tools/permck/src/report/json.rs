//! JSON lines: one record per finding, and a summary.

use std::io;

use common::out::Out;
use common::record::permck as record;

use super::{End, Report};
use crate::inspect::Issue;

/// Writes `permck.finding` and `permck.summary`.
pub(crate) struct Json;

impl Report for Json {
    fn issue(&mut self, out: &mut Out, issue: &Issue) -> io::Result<()> {
        let f = issue.finding.clone();
        out.record(&record::Finding {
            rule: f.rule,
            severity: f.severity,
            path: f.path,
            path_hex: f.path_hex,
            found: f.found,
            expected: f.expected,
            fix: f.fix,
            class: issue.class.map(str::to_owned),
            told_by: issue.told_by.clone(),
        })
    }

    fn end(&mut self, out: &mut Out, end: &End) -> io::Result<()> {
        out.record(&record::Summary {
            entries: end.seen.entries,
            dirs: end.seen.dirs,
            findings: end.totals.at_least(common::finding::Severity::Note),
            error_findings: end.totals.errors,
            warning_findings: end.totals.warnings,
            note_findings: end.totals.notes,
            accepted: end.seen.accepted,
            vanished: end.seen.vanished,
            mounts_skipped: end.seen.mounts,
            errors: end.errors,
        })
    }
}

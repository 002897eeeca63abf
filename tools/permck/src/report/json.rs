//! JSON lines: one record per finding, and a summary.

use std::io::{self, Write};

use common::record::permck as record;

use super::{Ending, Report};
use crate::plan::Issue;

/// Writes `permck.finding` and `permck.summary`.
pub(crate) struct Json;

impl Report for Json {
    fn issue(&mut self, to: &mut dyn Write, issue: &Issue) -> io::Result<()> {
        let f = issue.finding.clone();
        let finding = record::Finding {
            rule: f.rule,
            severity: f.severity,
            path: f.path,
            path_hex: f.path_hex,
            found: f.found,
            expected: f.expected,
            fix: f.fix,
            class: issue.class.map(str::to_owned),
            told_by: issue.told_by.clone(),
        };
        common::record::write(to, &finding)
    }

    fn end(&mut self, to: &mut dyn Write, ending: &Ending) -> io::Result<()> {
        let Ending { seen, known, gone, end } = ending;
        let summary = record::Summary {
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
            exceptions_idle: seen.idle,
            baseline_gone: *gone,
            errors: end.failed,
        };
        common::record::write(to, &summary)
    }
}

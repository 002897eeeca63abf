//! Writes the findings of an audit: records here, text in [`text`], other formats in [`common::report`].

use std::io::{self, Write};

use common::report::{self, End, ReportFormat, Source, Writer};

use crate::inspect::AuditCounts;
use crate::plan::AuditIssue;

mod json;
mod text;

pub(crate) use json::JsonReport;
pub(crate) use text::{CauseReport, FixCommand, TextOptions};

/// A format.
pub(crate) trait AuditReport {
    /// Takes one finding: in the order of severity, rule and path, or in any if the report sorts them itself.
    fn write_issue(&mut self, to: &mut dyn Write, issue: &AuditIssue) -> io::Result<()>;

    /// Whether the order in which findings come does not matter.
    fn sorts_issues(&self) -> bool {
        false
    }

    /// Ends the report.
    fn write_summary(&mut self, to: &mut dyn Write, ending: &AuditResult) -> io::Result<()>;
}

/// Makes the report in a format; `text` is for text only.
pub(crate) fn report_for(
    format: ReportFormat,
    source: Source,
    text: TextOptions,
) -> Box<dyn AuditReport + Send> {
    match (report::writer(format, source), format) {
        (Some(writer), _) => Box::new(CommonReport(writer)),
        (None, ReportFormat::Json) => Box::new(JsonReport),
        (None, _) => Box::new(CauseReport::new(text)),
    }
}

/// The result of an audit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AuditResult {
    pub(crate) seen: AuditCounts,
    /// Findings that are in the baseline.
    pub(crate) known: u64,
    /// Findings of the baseline that no longer exist.
    pub(crate) gone: u64,
    /// Notes and warnings that are not shown.
    pub(crate) hidden: u64,
    pub(crate) end: End,
}

/// A format that all tools write.
struct CommonReport(Box<dyn Writer>);

impl AuditReport for CommonReport {
    fn write_issue(&mut self, to: &mut dyn Write, issue: &AuditIssue) -> io::Result<()> {
        self.0.finding(to, &issue.finding)
    }

    fn write_summary(&mut self, to: &mut dyn Write, ending: &AuditResult) -> io::Result<()> {
        self.0.end(to, &ending.end)
    }
}

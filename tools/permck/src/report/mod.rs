//! How the findings of an audit are written: text and records here, the rest in [`common::report`].

use std::io::{self, Write};

use common::report::{self, End, GroupedText, ReportFormat, Source, Writer};

use crate::inspect::Seen;
use crate::plan::Issue;

mod json;

pub(crate) use json::Json;

/// A format.
pub(crate) trait Report {
    /// Takes one finding.
    fn issue(&mut self, to: &mut dyn Write, issue: &Issue) -> io::Result<()>;

    /// Ends the report.
    fn end(&mut self, to: &mut dyn Write, ending: &Ending) -> io::Result<()>;
}

/// The report in a format. `limit` and `color` are for text, and so is what a rule finds, as a heading.
pub(crate) fn select(
    format: ReportFormat,
    source: Source,
    limit: usize,
    color: bool,
    heading: fn(&str) -> &'static str,
) -> Box<dyn Report + Send> {
    match (report::writer(format, source), format) {
        (Some(writer), _) => Box::new(Shared(writer)),
        (None, ReportFormat::Json) => Box::new(Json),
        (None, _) => Box::new(Shared(Box::new(GroupedText::new(limit, color, heading)))),
    }
}

/// What is known at the end of an audit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ending {
    pub(crate) seen: Seen,
    /// Findings that the baseline knows.
    pub(crate) known: u64,
    /// Findings of the baseline that were not found any more.
    pub(crate) gone: u64,
    pub(crate) end: End,
}

/// A format that all tools write.
struct Shared(Box<dyn Writer>);

impl Report for Shared {
    fn issue(&mut self, to: &mut dyn Write, issue: &Issue) -> io::Result<()> {
        self.0.finding(to, &issue.finding)
    }

    fn end(&mut self, to: &mut dyn Write, ending: &Ending) -> io::Result<()> {
        self.0.end(to, &ending.end)
    }
}

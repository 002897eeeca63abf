//! How the findings of an audit are written: text and records here, the rest in [`common::report`].

use std::io::{self, Write};

use common::report::{End, Writer};

use crate::inspect::{Issue, Seen};

mod json;
mod text;

pub(crate) use json::Json;
pub(crate) use text::Text;

/// A format.
pub(crate) trait Report {
    /// Takes one finding.
    fn issue(&mut self, to: &mut dyn Write, issue: &Issue) -> io::Result<()>;

    /// Ends the report.
    fn end(&mut self, to: &mut dyn Write, ending: &Ending) -> io::Result<()>;
}

/// What is known at the end of an audit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ending {
    pub(crate) seen: Seen,
    /// Findings that the baseline knows.
    pub(crate) known: u64,
    pub(crate) end: End,
}

/// A format that all tools write.
pub(crate) struct Shared(pub(crate) Box<dyn Writer>);

impl Report for Shared {
    fn issue(&mut self, to: &mut dyn Write, issue: &Issue) -> io::Result<()> {
        self.0.finding(to, &issue.finding)
    }

    fn end(&mut self, to: &mut dyn Write, ending: &Ending) -> io::Result<()> {
        self.0.end(to, &ending.end)
    }
}

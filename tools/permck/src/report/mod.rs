//! How the findings of an audit are written. One file per format.

use std::io;

use common::out::Out;

use crate::collect::Totals;
use crate::inspect::{Issue, Seen};

mod json;
mod text;

pub(crate) use json::Json;
pub(crate) use text::Text;

/// A format.
pub(crate) trait Report {
    /// Takes one finding.
    fn issue(&mut self, out: &mut Out, issue: &Issue) -> io::Result<()>;

    /// Ends the report.
    fn end(&mut self, out: &mut Out, end: &End) -> io::Result<()>;
}

/// What is known at the end of an audit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    pub(crate) seen: Seen,
    pub(crate) totals: Totals,
    /// Inputs that failed.
    pub(crate) errors: u64,
}

//! The interface that the reports of a check have in common, whatever their format.

use std::io::Write;

use common::record::certck as record;
use common::report::End;

use crate::judgement::Checked;

/// A form of the result.
pub(crate) trait Report {
    /// Takes one directory, judged or not.
    fn checked(&mut self, to: &mut dyn Write, checked: &Checked) -> anyhow::Result<()>;

    /// Ends the report.
    fn end(&mut self, to: &mut dyn Write, end: &End, summary: &record::Summary) -> anyhow::Result<()>;

    /// Takes what could not be done, for forms that are read without standard error.
    fn trouble(&mut self, _text: &str) {}
}

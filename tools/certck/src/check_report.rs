//! The interface that the reports of a check have in common, whatever their format.

use std::io::Write;

use common::record::certck as record;
use common::report::End;

use crate::directory_check::CheckedDirectory;

/// A form of the result.
pub(crate) trait CheckReport {
    /// Takes one directory, judged or not.
    fn add_directory(&mut self, to: &mut dyn Write, checked: &CheckedDirectory) -> anyhow::Result<()>;

    /// Ends the report.
    fn finish_report(
        &mut self,
        to: &mut dyn Write,
        end: &End,
        summary: &record::Summary,
    ) -> anyhow::Result<()>;

    /// Takes what could not be done, for forms that are read without standard error.
    fn add_failure(&mut self, _text: &str) {}
}

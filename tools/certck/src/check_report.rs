//! The interface that the reports of a check have in common, whatever their format.

use std::io::Write;

use common::record::certck as record;
use common::report::End;

use crate::directory_check::CheckedDirectory;

/// A format of the report.
pub(crate) trait CheckReport {
    /// Adds one directory, whether it could be checked or not.
    fn add_directory(&mut self, to: &mut dyn Write, checked: &CheckedDirectory) -> anyhow::Result<()>;

    /// Finishes the report.
    fn finish_report(
        &mut self,
        to: &mut dyn Write,
        end: &End,
        summary: &record::Summary,
    ) -> anyhow::Result<()>;

    /// Adds what could not be done, for formats that are read without standard error.
    fn add_failure(&mut self, _text: &str) {}
}

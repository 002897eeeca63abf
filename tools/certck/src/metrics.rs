//! The metrics of every audit, and besides: whether each directory is valid, and when each certificate and CRL expires.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use common::fsat::write_report;
use common::policy::Mode;
use common::record::certck as record;
use common::report::{End, Writer};
use common::text::safe;

use crate::check_report::CheckReport;
use crate::directory_check::{CheckTally, CheckedDirectory};

/// Metrics as node_exporter's textfile collector reads them.
pub(crate) struct CheckMetrics {
    shared: Box<dyn Writer>,
    /// Values by labels, so that no series occurs twice: Prometheus would reject the whole file.
    valid: BTreeMap<String, i64>,
    expiries: BTreeMap<String, i64>,
}

impl CheckMetrics {
    pub(crate) fn new(shared: Box<dyn Writer>) -> Self {
        Self { shared, valid: BTreeMap::new(), expiries: BTreeMap::new() }
    }
}

/// Keeps the lesser of two values for one series: invalid, or the earlier expiry.
fn keep_least(series: &mut BTreeMap<String, i64>, labels: String, value: i64) {
    let kept = series.entry(labels).or_insert(value);
    *kept = value.min(*kept);
}

impl CheckReport for CheckMetrics {
    fn add_directory(&mut self, to: &mut dyn Write, checked: &CheckedDirectory) -> anyhow::Result<()> {
        checked.findings.iter().try_for_each(|f| self.shared.finding(to, f))?;
        let dir = escape_label(&checked.dir.to_string_lossy());
        keep_least(
            &mut self.valid,
            format!("dir=\"{dir}\",role=\"{}\"", checked.role.name()),
            checked.is_valid().into(),
        );
        for e in &checked.expiries {
            let (path, name) = (escape_label(&e.path.to_string_lossy()), escape_label(&e.name));
            keep_least(
                &mut self.expiries,
                format!("path=\"{path}\",name=\"{name}\",serial=\"{}\"", e.serial),
                e.at,
            );
        }
        Ok(())
    }

    fn finish_report(
        &mut self,
        to: &mut dyn Write,
        end: &End,
        _summary: &record::Summary,
    ) -> anyhow::Result<()> {
        self.shared.end(to, end)?;
        let metrics = [
            ("certck_valid", "Whether a daemon or client would start with a directory.", &self.valid),
            (
                "certck_expiry_timestamp_seconds",
                "When a certificate (notAfter) or CRL (nextUpdate) expires.",
                &self.expiries,
            ),
        ];
        for (metric, help, series) in metrics {
            writeln!(to, "# HELP {metric} {help}\n# TYPE {metric} gauge")?;
            for (labels, value) in series {
                writeln!(to, "{metric}{{{labels}}} {value}")?;
            }
        }
        Ok(())
    }
}

/// Replaces a textfile in one step.
pub(crate) fn write_textfile(
    path: &Path,
    metrics: &mut dyn CheckReport,
    tally: &CheckTally,
) -> anyhow::Result<()> {
    write_report(path, Mode(0o640), |to| metrics.finish_report(to, &tally.report_end(), &tally.summary))
}

/// A label's value as the text format wants it.
pub(crate) fn escape_label(text: &str) -> String {
    safe(text).replace('\\', "\\\\").replace('"', "\\\"")
}

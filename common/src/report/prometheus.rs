//! A Prometheus textfile: findings by rule, every rule always present so that an alert can see it return to 0.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use super::{End, Source, Writer};
use crate::finding::{Finding, Severity};

/// Writes metrics.
#[derive(Debug)]
pub struct Prometheus {
    source: Source,
    counts: BTreeMap<(String, Severity), u64>,
}

impl Prometheus {
    /// Metrics of this tool.
    #[must_use]
    pub fn new(source: Source) -> Self {
        let counts = source.rules.iter().map(|r| ((r.id.to_owned(), r.severity), 0)).collect();
        Self { source, counts }
    }
}

impl Writer for Prometheus {
    fn finding(&mut self, _to: &mut dyn Write, f: &Finding) -> io::Result<()> {
        *self.counts.entry((f.rule.clone(), f.severity)).or_default() += 1;
        Ok(())
    }

    fn end(&mut self, to: &mut dyn Write, end: &End) -> io::Result<()> {
        let tool = self.source.tool;
        writeln!(to, "# HELP {tool}_findings Findings of the last run, by rule.")?;
        writeln!(to, "# TYPE {tool}_findings gauge")?;
        for ((rule, severity), n) in &self.counts {
            writeln!(to, "{tool}_findings{{rule=\"{rule}\",severity=\"{severity}\"}} {n}")?;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let gauges = [
            ("checked", "Things looked at in the last run.", end.subjects),
            ("failed_inputs", "Inputs that the last run could not look at.", end.failed),
            ("last_run_timestamp_seconds", "When the last run ended.", now),
        ];
        for (name, help, value) in gauges {
            writeln!(to, "# HELP {tool}_{name} {help}\n# TYPE {tool}_{name} gauge\n{tool}_{name} {value}")?;
        }
        Ok(())
    }
}

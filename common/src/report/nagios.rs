//! One line for a monitoring system, with performance data; [`super::nagios_exit_from`] is the status that goes with it.

use std::io::{self, Write};

use super::{End, Source, Writer, nagios_exit_from};
use crate::exit::Exit;
use crate::finding::{Finding, Severity};
use crate::text::safe;

/// Writes the line.
#[derive(Debug)]
pub struct Nagios {
    source: Source,
    /// The gravest finding, the first of those that are equally grave.
    worst: Option<(Severity, String)>,
}

impl Nagios {
    /// A line of this tool.
    #[must_use]
    pub fn new(source: Source) -> Self {
        Self { source, worst: None }
    }
}

impl Writer for Nagios {
    fn finding(&mut self, _to: &mut dyn Write, f: &Finding) -> io::Result<()> {
        if self.worst.as_ref().is_none_or(|(s, _)| *s < f.severity) {
            // A bar would begin the performance data.
            let text = format!("{}: {} [{}]", f.path, f.found, f.rule);
            self.worst = Some((f.severity, safe(&text).replace('|', "/")));
        }
        Ok(())
    }

    fn end(&mut self, to: &mut dyn Write, end: &End) -> io::Result<()> {
        let status = match nagios_exit_from(end, self.source.fail_on) {
            Exit::Ok => "OK",
            Exit::No => "WARNING",
            Exit::Failed => "CRITICAL",
            Exit::Unknown => "UNKNOWN",
        };
        let tool = self.source.tool.to_uppercase();
        let (t, n, noun) = (end.totals, end.subjects, end.noun);
        let what = match t.at_least(Severity::Note) {
            0 => "no findings".to_owned(),
            _ => t.to_string(),
        };
        write!(to, "{tool} {status}: {what} in {}", end.counted())?;
        if end.failed > 0 {
            write!(to, ", {} not readable", end.failed)?;
        }
        if let Some((_, worst)) = &self.worst {
            write!(to, "; {worst}")?;
        }
        writeln!(to, " | errors={};;0 warnings={};0 notes={} {noun}={n}", t.errors, t.warnings, t.notes)
    }
}

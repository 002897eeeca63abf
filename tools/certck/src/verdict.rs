//! How `certck check` shows what it found: text, JSON lines, and metrics with the end of each validity.

use std::io::{self, Write};
use std::path::Path;

use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::out::Out;
use common::pki::rule::{self, Rule};
use common::record::certck as record;
use common::record::{Line, Record};
use common::report::{self, End, ReportFormat, Totals, Writer, nagios_exit};
use common::text::{Safe, safe};

use crate::cmd::check::{Checked, Report};

/// Sentences, grouped by directory.
pub(crate) struct Text;

impl Report for Text {
    fn checked(&mut self, to: &mut dyn Write, checked: &Checked) -> anyhow::Result<()> {
        let refused = checked.findings.iter().any(|f| f.severity == Severity::Error);
        let verdict = if refused { "not fit to serve" } else { "fit to serve" };
        writeln!(to, "{} ({}): {verdict}", Safe(&checked.dir.to_string_lossy()), checked.role)?;
        for f in &checked.findings {
            let path = Path::new(&f.path);
            let file = path.strip_prefix(&checked.dir).unwrap_or(path).to_string_lossy();
            let file = if file.is_empty() { ".".into() } else { file };
            sentence(to, Some(&file), f)?;
        }
        Ok(())
    }

    fn end(&mut self, to: &mut dyn Write, _end: &End, summary: &record::Summary) -> anyhow::Result<()> {
        if summary.checked > 1 {
            writeln!(to, "{} directories, {} not fit to serve", summary.checked, summary.refused)?;
        }
        if summary.suppressed > 0 {
            writeln!(to, "{} findings suppressed", summary.suppressed)?;
        }
        Ok(())
    }
}

/// JSON lines.
pub(crate) struct Json;

impl Json {
    fn line<R: Record>(to: &mut dyn Write, record: &R) -> anyhow::Result<()> {
        serde_json::to_writer(&mut *to, &Line::new(record)).map_err(io::Error::from)?;
        Ok(to.write_all(b"\n")?)
    }
}

impl Report for Json {
    fn checked(&mut self, to: &mut dyn Write, checked: &Checked) -> anyhow::Result<()> {
        let dir = checked.dir.to_string_lossy();
        checked.findings.iter().cloned().try_for_each(|finding| {
            Self::line(
                to,
                &record::Finding { dir: dir.to_string(), role: checked.role.name().to_owned(), finding },
            )
        })
    }

    fn end(&mut self, to: &mut dyn Write, _end: &End, summary: &record::Summary) -> anyhow::Result<()> {
        Self::line(to, summary)
    }
}

/// What was found at something that is not a directory: a daemon, a responder.
pub(crate) struct Elsewhere<'a> {
    /// The rules that only such a thing can break.
    pub(crate) own: &'static [Rule],
    /// What they are called in the plural.
    pub(crate) noun: &'static str,
    /// How many were judged.
    pub(crate) subjects: u64,
    /// How many of them are not fit.
    pub(crate) refused: u64,
    pub(crate) findings: &'a [record::Finding],
}

impl Elsewhere<'_> {
    /// Writes what was found in any format; `records` and `text` come before the findings.
    pub(crate) fn write(
        &self,
        format: ReportFormat,
        out: &mut Out,
        records: impl FnOnce(&mut Out) -> io::Result<()>,
        text: impl FnOnce(&mut Out) -> io::Result<()>,
    ) -> anyhow::Result<Exit> {
        let mut totals = Totals::default();
        self.findings.iter().for_each(|f| totals.add(f.finding.severity));
        let end = End { subjects: self.subjects, noun: self.noun, totals, failed: out.diag().errors() };
        match (format, report::writer(format, source(self.own))) {
            (_, Some(mut writer)) => {
                self.findings.iter().try_for_each(|f| writer.finding(out.text(), &f.finding))?;
                writer.end(out.text(), &end)?;
            }
            (ReportFormat::Json, None) => {
                records(out)?;
                self.findings.iter().try_for_each(|f| out.record(f))?;
                out.record(&self.summary(&end))?;
            }
            (_, None) => {
                text(out)?;
                self.findings.iter().try_for_each(|f| sentence(out.text(), None, &f.finding))?;
            }
        }
        Ok(match format {
            ReportFormat::Nagios => nagios_exit(&end),
            _ if totals.errors > 0 => Exit::No,
            _ => Exit::Ok,
        })
    }

    fn summary(&self, end: &End) -> record::Summary {
        record::Summary {
            checked: self.subjects,
            refused: self.refused,
            findings_error: end.totals.errors,
            findings_warning: end.totals.warnings,
            findings_note: end.totals.notes,
            errors: end.failed,
            ..record::Summary::default()
        }
    }
}

/// Who writes a report: the rules of directories, and those of the command.
pub(crate) fn source(own: &'static [Rule]) -> report::Source {
    let rules = rule::RULES.iter().chain(own);
    let rules = rules.map(|r| report::RuleInfo { id: r.id, severity: r.severity, what: r.what });
    report::Source {
        tool: "certck",
        version: env!("CARGO_PKG_VERSION"),
        rules: rules.collect(),
        fail_on: Severity::Error,
    }
}

/// One finding as text: severity, file, reason, and how to mend it.
fn sentence(to: &mut dyn Write, file: Option<&str>, f: &Finding) -> io::Result<()> {
    let file = file.map(|file| format!("{}: ", Safe(file))).unwrap_or_default();
    writeln!(to, "  {:7} {file}{}", f.severity, Safe(&f.reason()))?;
    if f.fix.is_empty() { Ok(()) } else { writeln!(to, "          fix: {}", Safe(&f.fix)) }
}

/// The metrics of every audit, and when each certificate and CRL ends.
pub(crate) struct Metrics {
    shared: Box<dyn Writer>,
    ends: Vec<String>,
}

impl Metrics {
    pub(crate) fn new(shared: Box<dyn Writer>) -> Self {
        Self { shared, ends: Vec::new() }
    }
}

impl Report for Metrics {
    fn checked(&mut self, to: &mut dyn Write, checked: &Checked) -> anyhow::Result<()> {
        checked.findings.iter().try_for_each(|f| self.shared.finding(to, f))?;
        let fit = u8::from(checked.findings.iter().all(|f| f.severity < Severity::Error));
        let dir = label(&checked.dir.to_string_lossy());
        self.ends.push(format!("certck_fit{{dir=\"{dir}\",role=\"{}\"}} {fit}", checked.role));
        self.ends.extend(checked.ends.iter().map(|e| {
            let (path, name) = (label(&e.path.to_string_lossy()), label(&e.name));
            format!("certck_end_timestamp_seconds{{path=\"{path}\",name=\"{name}\"}} {}", e.at)
        }));
        Ok(())
    }

    fn end(&mut self, to: &mut dyn Write, end: &End, _summary: &record::Summary) -> anyhow::Result<()> {
        self.shared.end(to, end)?;
        let metrics = [
            ("certck_fit", "Whether a directory is fit to serve."),
            ("certck_end_timestamp_seconds", "When a certificate's validity or a CRL's nextUpdate ends."),
        ];
        // Lines of one metric stand together.
        self.ends.sort_unstable();
        for (metric, help) in metrics {
            writeln!(to, "# HELP {metric} {help}\n# TYPE {metric} gauge")?;
            for line in self.ends.iter().filter(|l| l.starts_with(metric)) {
                writeln!(to, "{line}")?;
            }
        }
        Ok(())
    }
}

/// A label's value as the text format wants it.
fn label(text: &str) -> String {
    safe(text).replace('\\', "\\\\").replace('"', "\\\"")
}

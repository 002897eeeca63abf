//! The results of a check in every format: text, JSON lines, and the formats that all audits share.

use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use common::exit::Exit;
use common::finding::{Finding, Severity, hex};
use common::out::Diag;
use common::pki::rule;
use common::record::certck as record;
use common::record::write as line;
use common::report::{self, End, ReportFormat, Totals, Writer, nagios_exit_from};
use common::rule::Rule;
use common::text::{Safe, count_noun, safe, without_error_numbers};

use crate::check_report::CheckReport;
use crate::directory_check::CheckedDirectory;
use crate::metrics::CheckMetrics;

/// The writer of a format.
pub(crate) fn report_for(format: ReportFormat, fail_on: Severity) -> Box<dyn CheckReport> {
    match (format, report::writer(format, report_source(&[], fail_on))) {
        (ReportFormat::Prometheus, Some(writer)) => Box::new(CheckMetrics::new(writer)),
        (ReportFormat::Nagios, Some(writer)) => Box::new(NagiosReport(writer, None)),
        (_, Some(writer)) => Box::new(SharedReport(writer)),
        (ReportFormat::Json, None) => Box::new(JsonReport),
        (_, None) => Box::<TextReport>::default(),
    }
}

/// Sentences, grouped by directory.
#[derive(Default)]
struct TextReport {
    /// Directories that are invalid for suppressed findings only.
    suppressed: u64,
}

impl CheckReport for TextReport {
    fn add_directory(&mut self, to: &mut dyn Write, checked: &CheckedDirectory) -> anyhow::Result<()> {
        if !checked.readable {
            return Ok(());
        }
        let (verdict, suppressed) = match checked.is_valid() {
            true => ("valid", ""),
            false if checked.count_of(Severity::Error) == 0 => ("invalid", ", suppressed"),
            false => ("invalid", ""),
        };
        self.suppressed += u64::from(!suppressed.is_empty());
        let (dir, role) = (checked.dir.to_string_lossy(), checked.role.name());
        writeln!(to, "{} ({role}): {verdict}{suppressed}", Safe(&dir))?;
        for f in &checked.findings {
            let path = Path::new(&f.path);
            let file = path.strip_prefix(&checked.dir).unwrap_or(path).to_string_lossy();
            let file = if file.is_empty() { ".".into() } else { file };
            write_finding(to, Some(&file), f)?;
        }
        Ok(())
    }

    fn finish_report(
        &mut self,
        to: &mut dyn Write,
        _end: &End,
        summary: &record::Summary,
    ) -> anyhow::Result<()> {
        if summary.checked > 1 {
            let suppressed = match self.suppressed {
                0 => String::new(),
                n => format!(", {n} invalid, suppressed"),
            };
            let directories = count_noun(summary.checked, "directory");
            writeln!(to, "{directories}, {} invalid{suppressed}", summary.failed)?;
        }
        if summary.suppressed > 0 {
            writeln!(to, "{} suppressed", count_noun(summary.suppressed, "finding"))?;
        }
        Ok(())
    }
}

/// JSON lines.
struct JsonReport;

impl CheckReport for JsonReport {
    fn add_directory(&mut self, to: &mut dyn Write, checked: &CheckedDirectory) -> anyhow::Result<()> {
        let (dir, role) = (checked.dir.to_string_lossy().into_owned(), checked.role.name().to_owned());
        for finding in checked.findings.iter().cloned() {
            line(to, &record::FindingRecord { dir: dir.clone(), role: role.clone(), finding })?;
        }
        let bytes = checked.dir.as_os_str().as_bytes();
        Ok(line(
            to,
            &record::DirectoryRecord {
                dir,
                dir_hex: checked.dir.to_str().is_none().then(|| hex(bytes)),
                role,
                valid: checked.is_valid(),
                errors: checked.count_of(Severity::Error),
                warnings: checked.count_of(Severity::Warning),
                notes: checked.count_of(Severity::Note),
                suppressed: checked.suppressed.len() as u64,
            },
        )?)
    }

    fn finish_report(
        &mut self,
        to: &mut dyn Write,
        _end: &End,
        summary: &record::Summary,
    ) -> anyhow::Result<()> {
        Ok(line(to, summary)?)
    }
}

/// The formats that all audits share.
struct SharedReport(Box<dyn Writer>);

impl CheckReport for SharedReport {
    fn add_directory(&mut self, to: &mut dyn Write, checked: &CheckedDirectory) -> anyhow::Result<()> {
        Ok(checked.findings.iter().try_for_each(|f| self.0.finding(to, f))?)
    }

    fn finish_report(
        &mut self,
        to: &mut dyn Write,
        end: &End,
        _summary: &record::Summary,
    ) -> anyhow::Result<()> {
        Ok(self.0.end(to, end)?)
    }
}

/// The line for a monitoring system, and the first thing that could not be done.
struct NagiosReport(Box<dyn Writer>, Option<String>);

impl CheckReport for NagiosReport {
    fn add_directory(&mut self, to: &mut dyn Write, checked: &CheckedDirectory) -> anyhow::Result<()> {
        // A directory that could not be checked is unknown, not critical.
        let counted = checked.findings.iter().filter(|_| checked.readable);
        Ok(counted.into_iter().try_for_each(|f| self.0.finding(to, f))?)
    }

    fn finish_report(
        &mut self,
        to: &mut dyn Write,
        end: &End,
        summary: &record::Summary,
    ) -> anyhow::Result<()> {
        Ok(plugin_line(self.0.as_mut(), to, end, summary.suppressed, self.1.as_deref())?)
    }

    fn add_failure(&mut self, text: &str) {
        self.1.get_or_insert_with(|| text.to_owned());
    }
}

/// The shared line, with what only this tool knows before the performance data.
fn plugin_line(
    writer: &mut dyn Writer,
    to: &mut dyn Write,
    end: &End,
    suppressed: u64,
    trouble: Option<&str>,
) -> io::Result<()> {
    let mut line = Vec::new();
    writer.end(&mut line, end)?;
    let line = String::from_utf8_lossy(&line);
    let (text, data) = line.trim_end().split_once(" | ").unwrap_or((line.trim_end(), ""));
    let text = match (end.subjects, end.failed) {
        (0, 0) => nagios_unknown(&format!("there are no {} to check", end.noun)),
        _ => text.to_owned(),
    };
    let suppressed = if suppressed > 0 { format!("; {suppressed} suppressed") } else { String::new() };
    let trouble = trouble.map(|t| format!("; {}", nagios_text(t))).unwrap_or_default();
    writeln!(to, "{text}{suppressed}{trouble} | {data}")
}

/// The line for a monitoring system when nothing could be determined.
pub(crate) fn nagios_unknown(why: &str) -> String {
    format!("CERTCK UNKNOWN: {}", nagios_text(why))
}

/// One line without the bar that would begin the performance data.
fn nagios_text(text: &str) -> String {
    safe(&without_error_numbers(text)).replace('|', "/")
}

/// The findings about something that is not a directory: a daemon, a responder.
pub(crate) struct LiveReport<'a> {
    /// The rules that only such a thing can break.
    pub(crate) own_rules: &'static [Rule],
    /// Their name in the plural.
    pub(crate) noun: &'static str,
    /// How many were checked.
    pub(crate) subjects: u64,
    /// How many of them have a finding of severity error.
    pub(crate) failed: u64,
    pub(crate) findings: &'a [record::FindingRecord],
    /// Findings that do not count.
    pub(crate) suppressed: u64,
    /// The first thing that could not be done.
    pub(crate) first_failure: Option<&'a str>,
    /// The lowest severity that makes the answer no.
    pub(crate) fail_on: Severity,
    /// The part that only this tool has: series for Prometheus, words for Nagios.
    pub(crate) addition: String,
    /// Facts about each subject that was reached, for formats that have a place for them.
    pub(crate) facts: Vec<String>,
}

impl LiveReport<'_> {
    /// Writes what was found in any format; `records` and `text` come before the findings.
    pub(crate) fn write_report(
        &self,
        format: ReportFormat,
        diag: &Diag,
        to: &mut dyn Write,
        records: impl FnOnce(&mut dyn Write) -> io::Result<()>,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<Exit> {
        let mut totals = Totals::default();
        self.findings.iter().for_each(|f| totals.add(f.finding.severity));
        let end =
            End { subjects: self.subjects, noun: self.noun, totals, failed: diag.errors(), ..End::default() };
        match (format, report::writer(format, report_source(self.own_rules, self.fail_on))) {
            (_, Some(mut writer)) => {
                self.findings.iter().try_for_each(|f| writer.finding(to, &f.finding))?;
                self.facts.iter().for_each(|fact| writer.add_fact(fact));
                match format {
                    ReportFormat::Nagios => {
                        let trouble = self.first_failure.into_iter().chain([self.addition.as_str()]);
                        let trouble: Vec<&str> = trouble.filter(|text| !text.is_empty()).collect();
                        let trouble = Some(trouble.join("; ")).filter(|text| !text.is_empty());
                        plugin_line(writer.as_mut(), to, &end, self.suppressed, trouble.as_deref())?;
                    }
                    ReportFormat::Prometheus => {
                        writer.end(to, &end)?;
                        to.write_all(self.addition.as_bytes())?;
                    }
                    _ => writer.end(to, &end)?,
                }
            }
            (ReportFormat::Json, None) => {
                records(to)?;
                self.findings.iter().try_for_each(|f| line(to, f))?;
                line(to, &self.summary(&end))?;
            }
            (_, None) => {
                text(to)?;
                // One subject has been named already.
                let path = |f: &record::FindingRecord| (self.subjects > 1).then(|| f.finding.path.clone());
                self.findings.iter().try_for_each(|f| write_finding(to, path(f).as_deref(), &f.finding))?;
                if self.suppressed > 0 {
                    writeln!(to, "{} suppressed", count_noun(self.suppressed, "finding"))?;
                }
            }
        }
        Ok(match format {
            ReportFormat::Nagios => nagios_exit_from(&end, self.fail_on),
            _ if totals.at_least(self.fail_on) > 0 => Exit::No,
            _ => Exit::Ok,
        })
    }

    fn summary(&self, end: &End) -> record::Summary {
        record::Summary {
            checked: self.subjects,
            failed: self.failed,
            findings_error: end.totals.errors,
            findings_warning: end.totals.warnings,
            findings_note: end.totals.notes,
            suppressed: self.suppressed,
            errors: end.failed,
            ..record::Summary::default()
        }
    }
}

/// The source of a report: the rules of directories, and those of the command.
fn report_source(own: &'static [Rule], fail_on: Severity) -> report::Source {
    let rules = rule::RULES.iter().chain(own);
    report::Source {
        tool: "certck",
        version: env!("CARGO_PKG_VERSION"),
        rules: rules.copied().collect(),
        fail_on,
    }
}

/// Writes one finding as text: severity, file, reason, and how to fix it.
pub(crate) fn write_finding(to: &mut dyn Write, file: Option<&str>, f: &Finding) -> io::Result<()> {
    let file = file.map(|file| format!("{}: ", Safe(file))).unwrap_or_default();
    writeln!(to, "  {:7} {file}{}", f.severity, Safe(&f.reason()))?;
    if f.fix.is_empty() { Ok(()) } else { writeln!(to, "          fix: {}", Safe(&f.fix)) }
}

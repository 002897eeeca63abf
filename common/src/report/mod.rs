//! Findings in the forms that other programs read, for every tool that audits: SARIF, JUnit XML, a Prometheus
//! textfile, and one line for Nagios. One file per format.
//!
//! A writer takes findings one by one and keeps a bounded amount of memory, whatever their number. JSON lines are
//! each tool's own, and so is text unless it is [`GroupedText`].

use std::io::{self, Write};

use crate::exit::Exit;
use crate::finding::{Finding, Severity};
use crate::out::Format;
use crate::rule::Rule;

mod junit;
mod nagios;
mod prometheus;
mod sarif;
mod text;

pub use junit::Junit;
pub use nagios::Nagios;
pub use prometheus::Prometheus;
pub use sarif::Sarif;
pub use text::GroupedText;

/// The formats of an audit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportFormat {
    /// For people, grouped by finding. Not stable between versions.
    #[default]
    Text,
    /// JSON Lines, as described in profguard-records(7).
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
    /// JUnit XML, one test case per rule, for pipelines.
    Junit,
    /// Prometheus text format, for node_exporter's textfile collector.
    Prometheus,
    /// One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in.
    Nagios,
}

impl ReportFormat {
    /// The format of a command that writes text and records only.
    ///
    /// # Errors
    /// It is another one.
    pub fn plain(self) -> anyhow::Result<Format> {
        match self {
            Self::Text => Ok(Format::Text),
            Self::Json => Ok(Format::Json),
            _ => anyhow::bail!("--format: this command writes text and json only"),
        }
    }
}

/// `--format` of a command that writes text and records only, in a tool that has all the formats: put on the command,
/// it takes the place of the tool's own, in help, completion and parsing.
#[must_use]
pub fn plain_format() -> clap::Arg {
    use clap::ValueEnum;
    use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
    let plain = [ReportFormat::Text, ReportFormat::Json];
    let values: Vec<PossibleValue> = plain.iter().filter_map(ValueEnum::to_possible_value).collect();
    let parser = PossibleValuesParser::new(values)
        .map(|name| if name == "json" { ReportFormat::Json } else { ReportFormat::Text });
    clap::Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .help("Form of the result on standard output")
        .help_heading("Common options")
        .default_value("text")
        .global(true)
        .value_parser(parser)
}

/// The tool that writes a report, and its rules.
#[derive(Clone, Debug)]
pub struct Source {
    /// The tool's name.
    pub tool: &'static str,
    /// Its version.
    pub version: &'static str,
    /// Every rule that could have been broken.
    pub rules: Vec<Rule>,
    /// The least severity that makes the exit status 1: what a pipeline must see as a failure too.
    pub fail_on: Severity,
}

/// Counts of findings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Findings that must not be deployed.
    pub errors: u64,
    /// Findings that are probably not meant.
    pub warnings: u64,
    /// Findings worth knowing.
    pub notes: u64,
}

impl Totals {
    /// Counts one finding.
    pub fn add(&mut self, severity: Severity) {
        *match severity {
            Severity::Error => &mut self.errors,
            Severity::Warning => &mut self.warnings,
            Severity::Note => &mut self.notes,
        } += 1;
    }

    /// Findings at least this grave.
    #[must_use]
    pub fn at_least(&self, severity: Severity) -> u64 {
        match severity {
            Severity::Error => self.errors,
            Severity::Warning => self.errors + self.warnings,
            Severity::Note => self.errors + self.warnings + self.notes,
        }
    }
}

/// `3 errors, 1 warning`; empty where there is none.
impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let counts = [(self.errors, "error"), (self.warnings, "warning"), (self.notes, "note")];
        let mut separator = "";
        for (n, what) in counts.into_iter().filter(|(n, _)| *n > 0) {
            write!(f, "{separator}{n} {what}{}", if n == 1 { "" } else { "s" })?;
            separator = ", ";
        }
        Ok(())
    }
}

/// The totals at the end of a report.
#[derive(Clone, Copy, Debug, Default)]
pub struct End {
    /// How many things were looked at.
    pub subjects: u64,
    /// Their name in the plural: `entries`, `directories`.
    pub noun: &'static str,
    /// Findings by severity.
    pub totals: Totals,
    /// Inputs that could not be looked at.
    pub failed: u64,
    /// Findings that an exception accepts: counted in text.
    pub accepted: u64,
}

impl End {
    /// `7 entries`, `1 entry`.
    #[must_use]
    pub fn counted(&self) -> String {
        let (n, noun) = (self.subjects, self.noun);
        match noun
            .strip_suffix("ies")
            .map(|stem| format!("{stem}y"))
            .or_else(|| Some(noun.strip_suffix('s')?.into()))
        {
            Some(one) if n == 1 => format!("1 {one}"),
            _ => format!("{n} {noun}"),
        }
    }
}

/// One format.
pub trait Writer: Send {
    /// Takes one finding.
    ///
    /// # Errors
    /// The stream cannot be written.
    fn finding(&mut self, to: &mut dyn Write, finding: &Finding) -> io::Result<()>;

    /// Takes a fact about a subject beside the findings, such as when its certificate expires. Formats without a place for
    /// it leave it out.
    fn add_fact(&mut self, _fact: &str) {}

    /// Ends the report.
    ///
    /// # Errors
    /// The stream cannot be written.
    fn end(&mut self, to: &mut dyn Write, end: &End) -> io::Result<()>;
}

/// The writer of a format; `None` for text and JSON lines, which are each tool's own.
#[must_use]
pub fn writer(format: ReportFormat, source: Source) -> Option<Box<dyn Writer>> {
    Some(match format {
        ReportFormat::Text | ReportFormat::Json => return None,
        ReportFormat::Sarif => Box::new(Sarif::new(source)),
        ReportFormat::Junit => Box::new(Junit::new(source)),
        ReportFormat::Prometheus => Box::new(Prometheus::new(source)),
        ReportFormat::Nagios => Box::new(Nagios::new(source)),
    })
}

/// The exit status of a monitoring plug-in: 0 no findings, 1 warnings, 2 findings of severity `fail_on` or worse, 3 when
/// something could not be checked, or when there was nothing to check.
#[must_use]
pub fn nagios_exit_from(end: &End, fail_on: Severity) -> Exit {
    match end.totals {
        totals if totals.at_least(fail_on) > 0 => Exit::Failed,
        _ if end.failed > 0 || end.subjects == 0 => Exit::Unknown,
        Totals { warnings: 1.., .. } => Exit::No,
        _ => Exit::Ok,
    }
}

#[cfg(test)]
mod tests;

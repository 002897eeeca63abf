//! `traceq check`: what is wrong with traces.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use common::exit::Exit;
use common::finding::{Finding, Severity};
use common::fsat::write_report;
use common::out::Out;
use common::policy::Class;
use common::record::traceq as record;
use common::report::{self, End, GroupedText, ReportFormat, Totals, Writer, nagios_exit_from};

use super::{Format, Tally};
use trace::analysis::resolve::resolve;
use trace::analysis::sum::sum_trace;
use trace::check::{self, RankFacts, check_ranks, check_trace};
use trace::inputs::TraceInputs;
use trace::options::AnalysisOptions;
use trace::summary::{LEFT, Report};

const EXAMPLES: &str = "\
Examples:
  traceq check log_4242.json.gz
      Is it complete, linked, on one clock?
  traceq check --fail-on warning rank*.json.gz
      Also compare the windows, clocks and devices of the ranks; exit status 1 on warnings, too.
  traceq check --format junit -o report.xml trace.json
      For a pipeline.";

/// Check whether traces can be analyzed: complete, linked, on one clock, of one window
///
/// Prints what makes the numbers of a trace doubtful, with what to do. A good trace gives no output and exit status 0.
/// With several traces of one job (the same world size and different ranks), the ranks are compared, too: windows,
/// clocks, devices. `traceq rules` explains each rule.
#[derive(Args, Debug)]
#[command(arg = super::format_arg(&[Format::Text, Format::Json, Format::Md, Format::Sarif, Format::Junit, Format::Prometheus, Format::Nagios]), after_long_help = EXAMPLES)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    inputs: TraceInputs,
    /// Lowest severity that makes the exit status 1, or that is critical with --format nagios
    #[arg(long, value_enum, default_value_t = Severity::Error, value_name = "SEVERITY")]
    fail_on: Severity,
    /// Lowest severity to print; findings that --fail-on counts are always printed
    #[arg(long, value_enum, default_value_t = Severity::Note, value_name = "SEVERITY")]
    show: Severity,
    /// Write the report to FILE instead of standard output
    ///
    /// A regular file is replaced in one step. A new file gets mode 0640. An existing one keeps its mode and group: if
    /// another account reads it, such as node_exporter's, create it once with the mode that this account needs.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Maximum number of findings to print per rule in text; 0 prints all
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    analysis: AnalysisOptions,
}

impl CheckArgs {
    /// Reads and checks each trace, then all of them together.
    pub(crate) fn run(self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        let format = format.report_format()?;
        let (mut findings, files, named) = self.find_all(out)?;
        let least = self.show.min(self.fail_on);
        findings.retain(|f| f.severity >= least);
        findings.sort_by(|a, b| (&a.path, &a.rule, &a.found).cmp(&(&b.path, &b.rule, &b.found)));
        let mut totals = Totals::default();
        findings.iter().for_each(|f| totals.add(f.severity));
        let end =
            End { subjects: files, noun: "traces", totals, failed: out.diag().errors(), ..End::default() };
        if named == 0 {
            out.warn("no trace", "the list names none");
        }
        let Some(path) = &self.output else {
            let color = out.color();
            let (_, to) = out.parts();
            return self.write_report(&findings, &end, format, color, to);
        };
        write_report(path, Class::DataFile.max(), |to| self.write_report(&findings, &end, format, false, to))
    }

    fn find_all(&self, out: &mut Out) -> anyhow::Result<(Vec<Finding>, u64, u64)> {
        let options = self.analysis.collect_options()?;
        let mut tally = Tally::default();
        let (mut findings, mut ranks) = (Vec::new(), Vec::new());
        let sink = || options.collector();
        let named = super::each_trace(&self.inputs, out, &mut tally, sink, |out, _, trace, collected| {
            let (dialect, cut) = (trace.outcome.meta.dialect, !trace.outcome.complete);
            match resolve(collected, dialect, cut).and_then(|r| sum_trace(r, false)) {
                Ok(sums) => {
                    findings.extend(check_trace(&trace.path, &trace.outcome, &sums));
                    ranks.push(RankFacts::of_trace(&trace.path, &trace.outcome.meta, &sums));
                }
                Err(e) => out.failed(trace.label(), &e),
            }
            Ok(())
        })?;
        findings.extend(check_ranks(&ranks));
        Ok((findings, tally.files, named))
    }

    fn write_report(
        &self,
        findings: &[Finding],
        end: &End,
        format: Option<ReportFormat>,
        color: bool,
        to: &mut (dyn Write + Send),
    ) -> anyhow::Result<Exit> {
        let writer = format.and_then(|format| report::writer(format, check::report_source(self.fail_on)));
        let mut writer: Box<dyn Writer> = match (writer, format) {
            (Some(writer), _) => writer,
            (None, None) => Box::new(MarkdownFindings::default()),
            (None, Some(ReportFormat::Json)) => Box::new(TraceRecordWriter),
            (None, Some(_)) => Box::new(GroupedText::new(self.limit, color, check::rule_heading)),
        };
        findings.iter().try_for_each(|f| writer.finding(to, f))?;
        writer.end(to, end)?;
        Ok(match format {
            Some(ReportFormat::Nagios) => nagios_exit_from(end, self.fail_on),
            _ if end.totals.at_least(self.fail_on) > 0 || end.subjects == 0 => Exit::No,
            _ => Exit::Ok,
        })
    }
}

/// Writes a summary as Markdown: of many findings, the worst.
#[derive(Default)]
struct MarkdownFindings(Vec<Finding>);

impl Writer for MarkdownFindings {
    fn finding(&mut self, _: &mut dyn Write, finding: &Finding) -> io::Result<()> {
        self.0.push(finding.clone());
        Ok(())
    }

    fn end(&mut self, to: &mut dyn Write, end: &End) -> io::Result<()> {
        let counted = |n: u64, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
        let Totals { errors, warnings, notes } = end.totals;
        let counts = [(errors, "error"), (warnings, "warning"), (notes, "note")];
        let counts = counts.iter().filter(|(n, _)| *n > 0).map(|(n, noun)| counted(*n, noun));
        let traces = counted(end.subjects, "trace");
        let mut report = Report::new(match self.0.len() {
            0 => format!("{traces}: nothing found"),
            _ => format!("{traces}: {}", counts.collect::<Vec<_>>().join(", ")),
        });
        if !self.0.is_empty() {
            self.0.sort_by_key(|f| std::cmp::Reverse(f.severity));
            let columns =
                [("severity", LEFT), ("rule", LEFT), ("trace", LEFT), ("found", LEFT), ("what to do", LEFT)];
            let row = |f: &Finding| {
                vec![f.severity.to_string(), f.rule.clone(), f.path.clone(), f.found.clone(), f.fix.clone()]
            };
            report.add_table("the worst first", &columns, self.0.iter().map(row).collect());
        }
        if end.failed > 0 {
            report.add_note(format!("{} in reading", counted(end.failed, "error")));
        }
        report.write_markdown(to)
    }
}

/// Writes `traceq.finding` and `traceq.check_summary`.
struct TraceRecordWriter;

impl Writer for TraceRecordWriter {
    fn finding(&mut self, to: &mut dyn Write, finding: &Finding) -> io::Result<()> {
        common::record::write(to, &record::TraceFinding { finding: finding.clone() })
    }

    fn end(&mut self, to: &mut dyn Write, end: &End) -> io::Result<()> {
        let summary = record::CheckSummary {
            files: end.subjects,
            findings: end.totals.at_least(Severity::Note),
            error_findings: end.totals.errors,
            warning_findings: end.totals.warnings,
            note_findings: end.totals.notes,
            errors: end.failed,
        };
        common::record::write(to, &summary)
    }
}

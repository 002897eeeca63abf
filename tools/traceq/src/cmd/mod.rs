//! The subcommands, one file each, and what they share: reading one input after the other, and the tally.

pub(crate) mod cat;
pub(crate) mod check;
pub(crate) mod info;
pub(crate) mod rules;
pub(crate) mod sum;
pub(crate) mod top;

use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::ValueEnum;
use common::error::HintExt;
use common::exit::Exit;
use common::out::Out;
use common::progress::{self, Unit};
use common::record::traceq as record;
use common::report::ReportFormat;

use trace::inputs::{OpenedTrace, TraceInput, TraceInputs};
use trace::model::EventSink;
use trace::ranks::RankRead;
use trace::read::{self, ReadOutcome, TraceSource};
use trace::report::report_faults;

/// Form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: tables and sentences. Not stable between versions
    #[default]
    Text,
    /// For programs: JSON Lines, as described in profguard-records(7)
    Json,
    /// Markdown, of bounded length, for pull requests, chats and assistants
    Md,
    /// Comma-separated values
    Csv,
    /// SARIF 2.1.0, for code scanning
    Sarif,
    /// JUnit XML, one test case per rule, for pipelines
    Junit,
    /// Prometheus text format, for node_exporter's textfile collector
    Prometheus,
    /// One line, and the exit status 0, 1, 2 or 3 of a monitoring plug-in
    Nagios,
}

impl Format {
    /// Returns whether the format is JSON, for commands that write only text and JSON.
    ///
    /// # Errors
    /// Another format was asked for.
    fn is_json(self, command: &str) -> anyhow::Result<bool> {
        let (other, command_of) = match self {
            Self::Text => return Ok(false),
            Self::Json => return Ok(true),
            Self::Md => ("md", "sum"),
            Self::Csv => ("csv", "cat"),
            Self::Sarif => ("sarif", "check"),
            Self::Junit => ("junit", "check"),
            Self::Prometheus => ("prometheus", "check"),
            Self::Nagios => ("nagios", "check"),
        };
        Err(anyhow::anyhow!("usage: `{command}` writes text or json, not {other}"))
            .hint(format!("`traceq {command_of}` writes {other}; use --format json here"))
    }

    /// The format of a report; `None` for Markdown.
    ///
    /// # Errors
    /// CSV was asked for.
    fn report_format(self) -> anyhow::Result<Option<ReportFormat>> {
        Ok(Some(match self {
            Self::Md => return Ok(None),
            Self::Text => ReportFormat::Text,
            Self::Json => ReportFormat::Json,
            Self::Sarif => ReportFormat::Sarif,
            Self::Junit => ReportFormat::Junit,
            Self::Prometheus => ReportFormat::Prometheus,
            Self::Nagios => ReportFormat::Nagios,
            Self::Csv => anyhow::bail!("usage: `check` writes text, json and reports, not csv"),
        }))
    }
}

/// `--format` of one command, which writes these: put on the command, it takes the place of the tool's own, in help,
/// completion and parsing.
pub(crate) fn format_arg(formats: &'static [Format]) -> clap::Arg {
    use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
    let values: Vec<PossibleValue> = formats.iter().filter_map(ValueEnum::to_possible_value).collect();
    let parser =
        PossibleValuesParser::new(values).map(|name| Format::from_str(&name, false).unwrap_or_default());
    clap::Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .help("Form of the result on standard output")
        .help_heading("Common options")
        .default_value("text")
        .global(true)
        .value_parser(parser)
}

/// The formats of a command that writes text and records.
pub(crate) const PLAIN: &[Format] = &[Format::Text, Format::Json];
/// The formats of a command that writes summaries, too.
pub(crate) const WITH_MARKDOWN: &[Format] = &[Format::Text, Format::Json, Format::Md];

/// A trace that was read, wholly or in part.
pub(crate) struct Trace {
    pub(crate) path: PathBuf,
    pub(crate) size: Option<u64>,
    pub(crate) outcome: ReadOutcome,
}

impl Trace {
    /// The name in records.
    pub(crate) fn label(&self) -> String {
        self.path.to_string_lossy().into_owned()
    }

    /// The name's bytes, where they are not UTF-8.
    pub(crate) fn path_hex(&self) -> Option<String> {
        self.path.to_str().is_none().then(|| common::finding::hex(self.path.as_os_str().as_bytes()))
    }

    /// Why it could not be read to its end, on one line.
    pub(crate) fn reason(&self) -> Option<String> {
        let error = self.outcome.error.as_ref()?;
        Some(error.with_place())
    }
}

/// The counts of a run.
#[derive(Default)]
pub(crate) struct Tally {
    files: u64,
    incomplete: u64,
    events: u64,
    records: u64,
}

impl Tally {
    /// Counts a record.
    pub(crate) fn record(&mut self) {
        self.records += 1;
    }

    /// Counts a rank of a trace, and the trace if it is its first.
    pub(crate) fn count_rank(&mut self, read: &RankRead, is_first: bool) {
        self.files += u64::from(is_first);
        self.incomplete += u64::from(is_first && !read.outcome.complete);
        self.events += read.events;
    }

    /// How many traces were read.
    pub(crate) fn files(&self) -> u64 {
        self.files
    }

    /// Writes the summary, if records are what is written, and returns how the run went: nothing named is a no.
    fn finish(self, out: &mut Out, json: bool, named: u64) -> anyhow::Result<Exit> {
        let Self { files, incomplete, events, records } = self;
        if json {
            out.flush()?;
            let errors = out.diag().errors();
            out.record(&record::Summary { files, incomplete, events, records, errors })?;
        }
        if named == 0 {
            out.warn("no trace", "the list names none");
            return Ok(Exit::No);
        }
        Ok(Exit::Ok)
    }
}

/// Reads every input into a fresh sink and hands over what came of it. Faults are reported; what could be read is
/// handed over all the same.
fn each_trace<S: EventSink>(
    inputs: &TraceInputs,
    out: &mut Out,
    tally: &mut Tally,
    sink: impl Fn() -> S,
    mut then: impl FnMut(&mut Out, &mut Tally, Trace, S) -> anyhow::Result<()>,
) -> anyhow::Result<u64> {
    inputs.for_each_input(out, |out, input| {
        let Some((opened, source)) = open_input(out, input) else { return Ok(()) };
        let mut sink = sink();
        let outcome = match read::read_trace(source, &inputs.read_options(), &mut sink) {
            Ok(outcome) => outcome,
            Err(e) => {
                out.failed(input.label(), &e);
                return Ok(());
            }
        };
        match count_outcome(out, tally, opened, outcome) {
            Some(trace) => then(out, tally, trace, sink),
            None => Ok(()),
        }
    })
}

/// Opens an input, or reports why not. Progress is shown if standard error is a terminal.
fn open_input(out: &Out, input: &TraceInput) -> Option<(OpenedTrace, TraceSource)> {
    let (opened, bytes) = open_bytes(out, input)?;
    let source = opened.source_of(bytes);
    Some((opened, source))
}

/// The same, with its bytes as they are.
fn open_bytes(out: &Out, input: &TraceInput) -> Option<(OpenedTrace, Box<dyn Read + Send>)> {
    let (opened, bytes) = input.open().inspect_err(|e| out.failed(input.label(), e)).ok()?;
    let bar = progress::bar(out.diag(), Unit::Bytes, opened.size, &input.label());
    let bytes = if bar.is_hidden() { bytes } else { Box::new(bar.wrap_read(bytes)) };
    Some((opened, bytes))
}

/// Reports and counts the outcome of reading an input. `None` if it is not a trace, or rejected.
fn count_outcome(
    out: &Out,
    tally: &mut Tally,
    opened: OpenedTrace,
    mut outcome: ReadOutcome,
) -> Option<Trace> {
    opened.complete(&mut outcome.meta);
    let OpenedTrace { path, size, .. } = opened;
    report_faults(out, &path.display().to_string(), &outcome);
    if outcome.has_no_result() {
        return None;
    }
    tally.files += 1;
    tally.incomplete += u64::from(!outcome.complete);
    tally.events += outcome.events;
    Some(Trace { path, size, outcome })
}

//! `tracecv convert`: traces in one format, in another.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Format, Out};
use common::record::tracecv as record;
use trace::analysis::collect::CollectOptions;
use trace::inputs::{TraceInput, TraceInputs};
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::options::AnalysisOptions;
use trace::pairs::PairSink;

use super::{NothingRead, TraceReader, report_written, write_output};
use crate::losses::Losses;
use crate::write::shard::Shard;
use crate::write::{TargetFormat, TraceWriter, create_directories, name_failure};

#[cfg(feature = "parquet")]
mod dataset;

/// Write traces in another format
///
/// Every event is kept with its time in nanoseconds, its name, arguments and flow, as far as the format holds them; what
/// it does not hold is counted on standard error. Files appear when they are complete.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    tracecv convert --to chrome -o step.json.gz step.json\n  \
    tracecv convert --to speedscope -o traces/ rank*.json.gz\n  \
    tracecv convert --to parquet -o ds/ rank*.json.gz\n  \
    tracecv convert --to csv rank*.json.gz > events.csv")]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    inputs: TraceInputs,
    /// Format to write
    #[arg(long, value_enum, value_name = "FORMAT")]
    to: TargetFormat,
    /// File to write, compressed if its name ends with .gz; `-` is standard output; a directory, or a name with a slash at
    /// its end, gets a file for each trace
    #[arg(short, long, value_name = "OUT", default_value = "-")]
    output: PathBuf,
    /// Name of the run in a data set, which becomes the column `run` [default: 1]
    #[arg(long, value_name = "NAME", value_parser = parse_run)]
    run: Option<String>,
    /// Write only part I of N of a data set, from every N-th trace, so that N nodes write it together
    #[arg(long, value_name = "I/N", value_parser = Shard::parse)]
    shard: Option<Shard>,
    #[command(flatten)]
    analysis: AnalysisOptions,
}

/// The longest name of a run: `run=NAME` is the name of a directory (255 bytes: `NAME_MAX` of Linux).
const MOST_OF_RUN: usize = 200;

/// A name that can be a part of a path and the value of a column. `__HIVE_DEFAULT_PARTITION__` is what engines take for a
/// value that is missing.
fn parse_run(text: &str) -> Result<String, String> {
    if text == "__HIVE_DEFAULT_PARTITION__" {
        return Err("engines read this name as a run without a name".to_owned());
    }
    if text.len() > MOST_OF_RUN {
        return Err(format!("expected at most {MOST_OF_RUN} characters"));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.is_empty() || text.starts_with('.') || !text.chars().all(allowed) {
        return Err("expected letters, digits, `.`, `_` and `-`".to_owned());
    }
    Ok(text.to_owned())
}

/// The state of a run that writes.
struct Conversion<'a> {
    args: &'a ConvertArgs,
    options: CollectOptions,
    reader: TraceReader,
    written: Vec<record::WrittenTrace>,
}

impl ConvertArgs {
    /// Converts one trace after the other.
    pub(crate) fn run(mut self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        self.check_output(format)?;
        if self.is_dataset() {
            self.inputs = self.inputs.outside(&self.output);
        }
        let mut reader = TraceReader::new(out, &self.inputs, 1);
        if self.to == TargetFormat::Chrome {
            reader = reader.keeping_members();
        }
        let options = self.analysis.collect_options()?;
        let mut conversion = Conversion { args: &self, options, reader, written: Vec::new() };
        let named = if self.is_dataset() {
            conversion.write_dataset(out)?
        } else if self.is_directory() {
            conversion.write_directory(out)?
        } else {
            conversion.write_file(out)?
        };
        report_written(out, format, &self.output, &conversion.reader, &conversion.written)?;
        if named == 0 {
            out.warn("no trace", "the list names none");
            return Ok(Exit::No);
        }
        Ok(Exit::Ok)
    }

    /// Whether each trace gets a file in a directory.
    fn is_directory(&self) -> bool {
        self.output.is_dir() || self.output.as_os_str().as_encoded_bytes().ends_with(b"/")
    }

    /// Whether the output is a tree of files with rows of all traces.
    fn is_dataset(&self) -> bool {
        #[cfg(feature = "parquet")]
        return self.to == TargetFormat::Parquet;
        #[cfg(not(feature = "parquet"))]
        false
    }

    fn check_output(&self, format: Format) -> anyhow::Result<()> {
        let to_stdout = self.output.as_os_str() == "-";
        if to_stdout && format == Format::Json {
            return Err(anyhow::anyhow!("usage: standard output cannot hold both the trace and records"))
                .hint("name a file with -o");
        }
        if self.is_dataset() && to_stdout {
            return Err(anyhow::anyhow!("usage: a data set is a directory")).hint("name it with -o");
        }
        if !self.is_dataset() && (self.run.is_some() || self.shard.is_some()) {
            return Err(anyhow::anyhow!("usage: --run and --shard are for data sets"))
                .hint("`--to parquet` writes one");
        }
        if self.inputs.may_be_several() && !self.to.holds_several() && !self.is_directory() {
            let name = self.to.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
            return Err(anyhow::anyhow!("usage: a file of format {name} holds one trace"))
                .hint("name a directory with -o: it gets a file for each trace");
        }
        if to_stdout && self.to.is_binary() && io::stdout().is_terminal() {
            return Err(anyhow::anyhow!("usage: the format is binary, and standard output is a terminal"))
                .hint("name a file with -o");
        }
        Ok(())
    }
}

impl Conversion<'_> {
    #[cfg(not(feature = "parquet"))]
    fn write_dataset(&mut self, _: &mut Out) -> anyhow::Result<u64> {
        Ok(0)
    }

    /// Writes all traces to one file.
    fn write_file(&mut self, out: &mut Out) -> anyhow::Result<u64> {
        let path = self.args.output.clone();
        let mut named = 0;
        let result = write_output(&path, |to| self.fill(out, to, None, &mut named).map_err(name_failure));
        self.take_result(out, &path, result)?;
        Ok(named)
    }

    /// Writes each trace to a file of its own.
    fn write_directory(&mut self, out: &mut Out) -> anyhow::Result<u64> {
        let dir = self.args.output.clone();
        create_directories(&dir)?;
        let mut taken = BTreeSet::new();
        let inputs = self.args.inputs.clone();
        inputs.for_each_input(out, |out, input| {
            let path = dir.join(free_name(input, self.args.to.extension(), &mut taken));
            let result =
                write_output(&path, |to| self.fill(out, to, Some(input), &mut 0).map_err(name_failure));
            self.take_result(out, &path, result)
        })
    }

    /// Converts one input, or all, into an open file.
    fn fill(
        &mut self,
        out: &mut Out,
        to: &mut dyn Write,
        only: Option<&TraceInput>,
        named: &mut u64,
    ) -> anyhow::Result<(Losses, u64, u64)> {
        let args = self.args;
        let several = only.is_none() && args.inputs.may_be_several();
        let Some(mut writer) = args.to.writer(to, several, self.options.memory)? else {
            return Err(NothingRead.into());
        };
        let (mut traces, mut events) = (0, 0);
        let mut take = |out: &mut Out, input: &TraceInput| {
            let read = convert_trace(&mut self.reader, out, input, &self.options, &mut *writer)?;
            traces += u64::from(read.is_some());
            events += read.unwrap_or(0);
            Ok(())
        };
        match only {
            Some(input) => take(out, input)?,
            None => *named = args.inputs.for_each_input(out, take)?,
        }
        if traces == 0 {
            return Err(NothingRead.into());
        }
        Ok((writer.finish()?, traces, events))
    }

    /// Notes what was written; nothing is if nothing could be read.
    fn take_result(
        &mut self,
        out: &Out,
        path: &Path,
        result: anyhow::Result<(Losses, u64, u64)>,
    ) -> anyhow::Result<()> {
        let (losses, traces, events) = match result {
            Err(e) if e.is::<NothingRead>() => return Ok(()),
            other => other?,
        };
        let label = path.to_string_lossy().into_owned();
        let format = self.args.to.to_possible_value().map_or_else(String::new, |v| v.get_name().to_owned());
        if let Some(losses) = losses.describe() {
            let place = if label == "-" { "standard output" } else { label.as_str() };
            out.warn(place, format_args!("{format} does not hold: {losses}"));
        }
        let not_held = losses.counts();
        self.written.push(record::WrittenTrace { path: label, format, traces, events, not_held });
        Ok(())
    }
}

/// Reads one trace into a writer. Returns the number of its events; `None` if it is no trace.
fn convert_trace(
    reader: &mut TraceReader,
    out: &Out,
    input: &TraceInput,
    options: &CollectOptions,
    writer: &mut dyn TraceWriter,
) -> anyhow::Result<Option<u64>> {
    writer.begin_trace(&input.label())?;
    let lookup = MeaningLookup::new(input, options.classes.clone());
    let read = if writer.takes_spans() {
        let mut pairs = PairSink::new(&mut *writer);
        let read = reader.read(out, input, &mut ResolvedSink { lookup, sink: &mut pairs })?;
        let unpaired = pairs.count_unpaired();
        writer.note_unpaired(unpaired);
        read
    } else {
        reader.read(out, input, &mut ResolvedSink { lookup, sink: &mut *writer })?
    };
    let Some(outcome) = read else { return Ok(None) };
    writer.end_trace(&outcome.meta)?;
    Ok(Some(outcome.events))
}

/// A name for the file of a trace that no other has: that of the input without its endings.
fn free_name(input: &TraceInput, extension: &str, taken: &mut BTreeSet<OsString>) -> OsString {
    const ENDINGS: [&str; 6] = [".gz", ".json", ".pt.trace", ".trace", ".pftrace", ".db"];
    let label = input.label();
    let name = Path::new(&label).file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let mut stem = if label == "-" { "stdin" } else { name.as_str() };
    for ending in ENDINGS {
        stem = stem.strip_suffix(ending).filter(|rest| !rest.is_empty()).unwrap_or(stem);
    }
    let mut candidate = OsString::from(format!("{stem}.{extension}"));
    let mut number = 2;
    while !taken.insert(candidate.clone()) {
        candidate = format!("{stem}-{number}.{extension}").into();
        number += 1;
    }
    candidate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trace_gets_a_name_of_its_own() {
        let mut taken = BTreeSet::new();
        let mut name = |path: &str| free_name(&TraceInput::Path(path.into()), "csv", &mut taken);
        assert_eq!(name("a/rank0.pt.trace.json.gz"), "rank0.csv");
        assert_eq!(name("b/rank0.json"), "rank0-2.csv");
        assert_eq!(name("x_ascend_pt"), "x_ascend_pt.csv");
        assert_eq!(name(".json"), ".json.csv");
    }
}

//! Traces on their way to a data set.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use common::error::HintExt;
use common::out::Out;
use common::record::RecordPath;
use common::record::tracecv::PartTraceRecord;
use trace::analysis::collect::CollectOptions;
use trace::inputs::TraceInput;
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::pairs::PairSink;
use trace::ranks::RankFilter;
use trace::read::{ReadOutcome, count_other_json};

use super::Conversion;
use crate::cmd::{TraceReader, survey_trace};
use crate::losses::Losses;
use crate::survey::{SurveySink, SurveyedTrace, TraceSurvey};
use crate::write::dataset::{COMPLETE, DatasetWriter, MOST_WAITING, TraceList};
use crate::write::shard::Shard;

/// How many inputs that cannot be opened are named.
const MOST_NAMED: usize = 20;

impl Conversion<'_> {
    /// Writes the traces of one shard to a data set. Those that cannot be read are in it, too, with the reason; if one is
    /// not there, nothing is written, and what was written before stays as it is.
    pub(super) fn write_dataset(&mut self, out: &mut Out) -> anyhow::Result<u64> {
        // No more than other things of an analysis.
        let memory = usize::try_from(self.options.memory.bytes / 8).unwrap_or(usize::MAX);
        self.write_waiting(out, MOST_WAITING.min(memory))
    }

    /// Writes a data set. `most_waiting` is the maximum size of the rows of a table that wait for the end of their trace, in bytes.
    fn write_waiting(&mut self, out: &mut Out, most_waiting: usize) -> anyhow::Result<u64> {
        let args = self.args;
        let shard = args.shard.unwrap_or(Shard { index: 1, count: 1 });
        let run = args.run.as_deref().unwrap_or("1");
        let inputs = self.list_inputs(out)?;
        let own: Vec<(u64, &TraceInput)> = (0..).zip(&inputs).filter(|(n, _)| shard.has_trace(*n)).collect();
        check_inputs(out, &inputs, &own)?;
        let mut writer = DatasetWriter::create(&args.output, run, shard, &TraceList::of(&inputs))?
            .with_most_waiting(most_waiting);
        let (mut traces, mut events) = (0, 0);
        let mut ranks: BTreeMap<Option<i64>, Vec<String>> = BTreeMap::new();
        for (number, input) in own {
            writer.begin_trace(number + 1);
            let add = PartTrace { number: number + 1, input, options: &self.options };
            match add.write(&mut self.reader, out, &mut writer, &mut ranks)? {
                Some(read) => {
                    traces += 1;
                    events += read;
                }
                None if self.reader.system_failed => {
                    return Err(anyhow::anyhow!(
                        "{}: nothing was written: a trace cannot be read",
                        run_of(args)
                    ))
                    .hint("what was written before is as it was; start it again when the file can be read");
                }
                None => writer.note_unreadable(add.describe_unreadable(&mut self.reader))?,
            }
        }
        writer.finish()?;
        if inputs.len() > 1 {
            warn_of_ranks(out, &ranks);
        }
        self.take_result(out, &args.output, Ok((Losses::default(), traces, events)))?;
        Ok(inputs.len() as u64)
    }

    /// All traces of the run, in the order that decides which shard has which.
    fn list_inputs(&self, out: &mut Out) -> anyhow::Result<Vec<TraceInput>> {
        let args = self.args;
        let mut inputs = Vec::new();
        args.inputs.for_each_input(out, |_, input| {
            inputs.push(input.clone());
            Ok(())
        })?;
        if out.diag().errors() > 0 {
            return Err(anyhow::anyhow!("nothing was written: a line of the list names no trace"))
                .hint("without it, other traces would be in this part");
        }
        if inputs.is_empty() {
            return Err(anyhow::anyhow!("usage: the list names no trace")).hint("name files or directories");
        }
        if args.output.metadata().is_ok_and(|meta| !meta.is_dir()) {
            let reason =
                format!("usage: {}: is a file, and a data set is a directory", args.output.display());
            return Err(anyhow::anyhow!(reason)).hint("name a directory with -o");
        }
        let mut seen = HashSet::new();
        let output = absolute(&args.output);
        for input in &inputs {
            let TraceInput::Path(path) = input else { continue };
            let path = absolute(path);
            if path.starts_with(&output) {
                let reason = format!("usage: {}: is in the data set that is being written", input.label());
                return Err(anyhow::anyhow!(reason))
                    .hint("write it to another directory, or name the traces");
            }
            if !seen.insert(path) {
                reject_repeated_input(&input.label())?;
            }
        }
        let paths: Vec<PathBuf> = inputs.iter().filter_map(path_of).collect();
        for dir in args.inputs.paths().iter().filter(|path| path.is_dir()) {
            let left_out = count_other_json(dir, &paths);
            if left_out > 0 {
                let files = if left_out == 1 {
                    "1 JSON file is".to_owned()
                } else {
                    format!("{left_out} JSON files are")
                };
                let reason = "left out: others have the name of a trace; name the files if they are traces";
                out.warn(dir.display(), format_args!("{files} {reason}"));
            }
        }
        Ok(inputs)
    }
}

fn run_of(args: &super::ConvertArgs) -> String {
    let run = args.run.as_deref().unwrap_or("1");
    args.output.join(format!("run={run}")).display().to_string()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn path_of(input: &TraceInput) -> Option<PathBuf> {
    if let TraceInput::Path(path) = input { Some(path.clone()) } else { None }
}

fn reject_repeated_input(label: &str) -> anyhow::Result<()> {
    Err(anyhow::anyhow!("usage: {label}: is named twice, and its rows would be there twice"))
        .hint("name each trace once")
}

/// Rejects missing inputs: a file system that is not mounted must not replace a part by an empty one. Of a
/// shard that has no trace, at least one of all traces must be there.
fn check_inputs(out: &Out, all: &[TraceInput], own: &[(u64, &TraceInput)]) -> anyhow::Result<()> {
    let wanted: Vec<&TraceInput> =
        if own.is_empty() { all.iter().collect() } else { own.iter().map(|(_, input)| *input).collect() };
    if wanted.iter().any(|input| input.is_read_once()) {
        return Err(anyhow::anyhow!(
            "usage: a data set may have to read a trace twice, and standard input or a FIFO can be read only once"
        ))
        .hint("name a file");
    }
    if own.is_empty() && all.iter().any(|input| input.open().is_ok()) {
        return Ok(());
    }
    let mut files = HashSet::new();
    let mut failed = 0;
    for input in &wanted {
        match input.open() {
            Ok((opened, _)) => {
                let file = opened.path.metadata().ok().map(|meta| (meta.dev(), meta.ino()));
                if file.is_some_and(|file| !files.insert(file)) {
                    reject_repeated_input(&input.label())?;
                }
            }
            Err(e) => {
                failed += 1;
                if failed <= MOST_NAMED {
                    out.failed(input.label(), &e);
                }
            }
        }
    }
    if failed == 0 {
        return Ok(());
    }
    Err(anyhow::anyhow!("nothing was written: {failed} of {} traces cannot be opened", wanted.len()))
        .hint("files of an earlier run are unchanged; name only traces that are there")
}

/// Warns of traces that the column `rank` does not distinguish.
fn warn_of_ranks(out: &Out, ranks: &BTreeMap<Option<i64>, Vec<String>>) {
    for (rank, traces) in ranks {
        match (rank, &traces[..]) {
            (Some(_), [_]) | (_, []) => {}
            (Some(rank), [first, second, ..]) => {
                let count = traces.len();
                out.warn(second, format_args!("rank {rank} is that of {count} traces, also of {first}: trace_number tells them apart"));
            }
            (None, [first, ..]) => {
                let count = traces.len();
                let of = if count == 1 { String::new() } else { format!(", nor do {} more", count - 1) };
                out.warn(
                    first,
                    format_args!("the trace does not say its rank{of}: trace_number tells traces apart"),
                );
            }
        }
    }
}

/// A trace of a part.
struct PartTrace<'a> {
    /// Its place in the list, from 1.
    number: u64,
    input: &'a TraceInput,
    options: &'a CollectOptions,
}

impl PartTrace<'_> {
    /// Reads the trace into a data set. Its rank, clock, steps and modules are known when its end has been read, so its rows
    /// wait for that; where ranks were merged, times are impossible or the rows are too many, it is read once more.
    /// Returns the number of its events; `None` if it is not a trace, or if its ranks cannot be distinguished.
    fn write(
        &self,
        reader: &mut TraceReader,
        out: &Out,
        writer: &mut DatasetWriter,
        ranks: &mut BTreeMap<Option<i64>, Vec<String>>,
    ) -> anyhow::Result<Option<u64>> {
        let (input, options) = (self.input, self.options);
        let new_survey = || SurveySink::new(options).with_modules(options);
        let (mut rows, mut spans) = writer.sinks(None, &options.classes);
        let mut both = (&mut PairSink::new(&mut spans), &mut rows);
        let surveyed = survey_trace(reader, out, input, options, new_survey, &mut both)?;
        let Some(surveyed) = surveyed.filter(|_| !reader.system_failed) else {
            writer.discard_rows();
            return Ok(None);
        };
        if let Some(survey) = surveyed.of_one_reading() {
            if writer.settle_rows(survey)? {
                let outcome = &surveyed.outcome;
                let steps = surveyed.sums.steps.iter().filter(|row| row.scope == 0);
                writer.end_trace(self.describe(survey, outcome, outcome.events), survey, steps)?;
                ranks.entry(survey.meta.rank).or_default().push(input.label());
                return Ok(Some(outcome.events));
            }
        } else {
            writer.discard_rows();
        }
        self.write_again(reader, out, writer, (&surveyed, ranks))
    }

    /// Reads the trace once more for each of its ranks, and writes the rows that it does not have yet.
    fn write_again(
        &self,
        reader: &mut TraceReader,
        out: &Out,
        writer: &mut DatasetWriter,
        (surveyed, ranks): (&SurveyedTrace, &mut BTreeMap<Option<i64>, Vec<String>>),
    ) -> anyhow::Result<Option<u64>> {
        let (input, options) = (self.input, self.options);
        let mut events = 0;
        for (number, survey) in &surveyed.ranks {
            let (mut rows, mut spans) = writer.sinks(Some(survey), &options.classes);
            let mut pairs = PairSink::new(&mut spans);
            let mut both = (&mut pairs, &mut rows);
            // An event at an impossible time is an event all the same; it belongs to no step.
            let mut filter = RankFilter::new(&surveyed.sums, *number, &mut both).keeping_all_times();
            let lookup = MeaningLookup::new(input, options.classes.clone());
            let mut resolved = ResolvedSink { lookup, sink: &mut filter };
            reader.expect_again(input);
            let Some(outcome) = reader.read_again(out, input, &mut resolved)? else { return Ok(None) };
            if reader.system_failed {
                return Ok(None);
            }
            let of_rank = filter.events;
            let steps = surveyed.sums.steps.iter().filter(|row| row.scope == *number);
            writer.end_trace(self.describe(survey, &outcome, of_rank), survey, steps)?;
            ranks.entry(survey.meta.rank).or_default().push(input.label());
            events += of_rank;
        }
        Ok(Some(events))
    }

    fn describe(&self, survey: &TraceSurvey, outcome: &ReadOutcome, events: u64) -> PartTraceRecord {
        PartTraceRecord {
            path: record_path(self.input),
            trace_number: self.number,
            status: if outcome.complete { COMPLETE } else { "incomplete" }.to_owned(),
            error: outcome
                .error
                .as_ref()
                .map(|error| error.with_place())
                .or_else(|| describe_defects(outcome)),
            rank: survey.meta.rank,
            size_bytes: size_of(self.input),
            events,
            repairs: outcome.defects.repairs().values().sum(),
            losses: outcome.defects.losses().values().sum(),
        }
    }

    fn describe_unreadable(&self, reader: &mut TraceReader) -> PartTraceRecord {
        PartTraceRecord {
            path: record_path(self.input),
            trace_number: self.number,
            status: "unreadable".to_owned(),
            error: reader.rejection.take(),
            size_bytes: size_of(self.input),
            ..PartTraceRecord::default()
        }
    }
}

fn record_path(input: &TraceInput) -> RecordPath {
    match input {
        TraceInput::Stdin => Path::new("-").into(),
        TraceInput::Path(path) => path.as_path().into(),
    }
}

/// Why a trace is not complete though nothing stopped its reading: what is wrong with it.
fn describe_defects(outcome: &ReadOutcome) -> Option<String> {
    let serious = outcome.defects.iter().filter(|(defect, _)| defect.is_fault());
    let words: Vec<&str> = serious.map(|(defect, _)| defect.describe()).collect();
    (!outcome.complete && !words.is_empty()).then(|| words.join("; "))
}

/// Size of the file; a directory stands for a file in it.
fn size_of(input: &TraceInput) -> Option<u64> {
    let TraceInput::Path(path) = input else { return None };
    path.metadata().ok().filter(std::fs::Metadata::is_file).map(|meta| meta.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::io;

    use clap::Parser;
    use common::out::Verbosity;
    use trace::read::ReadOptions;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: super::super::ConvertArgs,
    }

    /// Returns the files of a data set of these traces. `most_waiting` is as in [`Conversion::write_waiting`].
    fn convert(traces: &[PathBuf], most_waiting: usize) -> BTreeMap<PathBuf, Vec<u8>> {
        convert_with(traces, most_waiting, |_| ())
    }

    /// As [`convert`], with changed options of reading.
    fn convert_with(
        traces: &[PathBuf],
        most_waiting: usize,
        change: impl FnOnce(&mut ReadOptions),
    ) -> BTreeMap<PathBuf, Vec<u8>> {
        let dir = tempfile::tempdir().unwrap();
        let words = ["convert", "--to", "parquet", "-o"].map(OsString::from).into_iter();
        let words = words.chain([dir.path().into()]).chain(traces.iter().map(|path| path.into()));
        let Cli { args } = Cli::parse_from(words);
        let mut out = Out::to(Box::new(io::sink()), "tracecv", false, Verbosity::Quiet);
        let mut reader = TraceReader::new(&out, &args.inputs, 1);
        change(&mut reader.options);
        let options = args.analysis.collect_options().unwrap();
        let mut conversion = Conversion { args: &args, options, reader, written: Vec::new() };
        conversion.write_waiting(&mut out, most_waiting).unwrap();
        files_below(dir.path())
            .into_iter()
            .map(|path| (path.strip_prefix(dir.path()).unwrap().to_owned(), std::fs::read(path).unwrap()))
            .collect()
    }

    fn files_below(dir: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in dir.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { found.extend(files_below(&path)) } else { found.push(path) }
        }
        found.sort();
        found
    }

    /// The traces of other tests.
    fn fixtures() -> Vec<PathBuf> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let fixtures: Vec<PathBuf> = [
            "fuzz/seeds/trace_formats",
            "fuzz/seeds/trace_reader",
            "tests/cases/tracecv",
            "tests/cases/traceq",
        ]
        .iter()
        .flat_map(|dir| files_below(&top.join(dir)))
        .filter(|path| path.extension().is_none_or(|e| e != "md"))
        .collect();
        assert!(fixtures.len() > 30, "{}", fixtures.len());
        fixtures
    }

    #[test]
    fn one_reading_and_two_write_the_same() {
        let fixtures = fixtures();
        let once = convert(&fixtures, usize::MAX);
        assert_eq!(once.len(), 7);
        let twice = convert(&fixtures, 0);
        for (name, bytes) in &once {
            assert!(*bytes == twice[name], "{}", name.display());
        }
    }

    /// Rows are made by the threads that decode, or by the one that takes the events.
    #[test]
    fn any_number_of_threads_writes_the_same() {
        let dir = tempfile::tempdir().unwrap();
        // More rows than a row group has, and more texts than a dictionary.
        let event = |i: u64| {
            let (at, id) = (10 * i, i * 7919 % 100_000);
            let cat = if i % 131 == 0 { "" } else { "ac2g" };
            format!(
                r#"{{"ph":"s","id":{id},"pid":{},"tid":1,"ts":{at},"cat":"{cat}","name":"n{}","args":{{"x":{},"Addr":"\u0061{}"}}}}"#,
                i % 3,
                i % 70,
                i * i % 977,
                i / 2
            )
        };
        let unlike = [
            r#"{"ph":"M","name":"process_name","pid":1,"args":{"name":"p"}}"#,
            r#"{"ph":"X","name":"of its process","pid":1,"tid":1,"ts":5,"dur":2}"#,
            r#"{"ph":"i","name":"[memory]","pid":1,"tid":1,"ts":7,"args":{"Bytes":4,"Addr":9}}"#,
            r#"{"ph":"X","name":"broken "quote"","pid":1,"tid":1,"ts":9,"dur":1}"#,
        ];
        let events = (0..150_000).map(|i| match i % 20_000 {
            19_999 => unlike[i as usize / 20_000 % unlike.len()].to_owned(),
            _ => event(i),
        });
        let large = dir.path().join("large.json");
        std::fs::write(&large, format!("[{}]", events.collect::<Vec<_>>().join(",\n"))).unwrap();
        for (traces, block) in [(fixtures(), 2048), (vec![large.clone()], 1 << 20), (vec![large], 30_000)] {
            let of = |threads, most_waiting| {
                convert_with(&traces, most_waiting, |options| {
                    (options.threads, options.block) = (Some(threads), Some(block));
                })
            };
            let one = of(1, usize::MAX);
            for (threads, most_waiting) in [(3, usize::MAX), (3, 4 << 20)] {
                for (name, bytes) in of(threads, most_waiting) {
                    assert!(bytes == one[&name], "{} by {threads} threads", name.display());
                }
            }
        }
    }

    #[test]
    fn rows_without_room_are_made_in_a_second_reading() {
        let dir = tempfile::tempdir().unwrap();
        let events = (0..40_000).map(|i| {
            let (at, step) = (10 * i, i / 100);
            match i % 4 {
                0 => format!(r#"{{"ph":"X","cat":"cuda_runtime","name":"launch","pid":1,"tid":1,"ts":{at},"dur":2,"args":{{"correlation":{i}}}}}"#),
                1 => format!(r#"{{"ph":"X","cat":"kernel","name":"gemm","pid":0,"tid":7,"ts":{at},"dur":2,"args":{{"device":0,"stream":7,"correlation":{}}}}}"#, i - 1),
                2 if i % 100 == 2 => format!(r#"{{"ph":"X","cat":"user_annotation","name":"ProfilerStep#{step}","pid":1,"tid":1,"ts":{at},"dur":990}}"#),
                _ => format!(r#"{{"ph":"B","cat":"kernel","name":"pair{i}","pid":0,"tid":8,"ts":{at}}},{{"ph":"E","cat":"kernel","pid":0,"tid":8,"ts":{at}.5}}"#),
            }
        });
        let path = dir.path().join("t.json");
        std::fs::write(&path, format!("[{}]", events.collect::<Vec<_>>().join(","))).unwrap();
        let traces = [path];
        let once = convert(&traces, usize::MAX);
        // Somewhere in the rows, and nowhere.
        for most_waiting in [1 << 20, 3 << 20, 0] {
            assert!(convert(&traces, most_waiting) == once, "{most_waiting}");
        }
    }
}

//! `tracecv merge`: the traces of many ranks as one, on one clock.

mod clock;
mod ids;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use common::error::HintExt;
use common::exit::Exit;
use common::out::{Format, Out};
use common::record::tracecv as record;
use serde_json::{Value, json};
use trace::classifier::ClassRules;
use trace::clock::ClockFit;
use trace::inputs::{Input, Inputs};
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::model::{Event, EventSink, TraceMeta};

use super::{TraceReader, write_output};
use crate::timeline::OwnedId;
use crate::write::TraceWriter;
use crate::write::chrome::{ChromeWriter, describe_trace};
use crate::write::event_text::write_changed_event;
use clock::{CollectiveSink, CollectiveSpan};
use ids::{RankIds, TakenIds};

/// Write the traces of many ranks as one Chrome trace (JSON), on one clock
///
/// The clock of the first trace counts. Others are moved and stretched so that the ends of the collectives that they share
/// with it meet; offset and drift of each are the result on standard output. A rank without such collectives is placed
/// by its wall clock. Ids of processes, flows and async spans are kept apart, and names of processes begin with the rank.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    tracecv merge -o job.json.gz rank*.json.gz\n  \
    tracecv --format json merge -o job.json.gz rank*.json.gz | jq .offset_ns")]
pub(crate) struct MergeArgs {
    #[command(flatten)]
    inputs: Inputs,
    /// File to write, compressed if its name ends with .gz
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

/// What is known of a rank before its events are written.
struct RankClock {
    input: Input,
    meta: TraceMeta,
    base: i64,
    fit: ClockFit,
    /// The shortest collective that told its clock.
    shortest: Option<i64>,
}

impl RankClock {
    fn label(&self, number: usize) -> String {
        self.meta.rank.map_or_else(|| format!("trace {number}"), |rank| format!("rank {rank}"))
    }
}

impl MergeArgs {
    /// Aligns all traces, then writes them.
    pub(crate) fn run(self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        if self.output.as_os_str() == "-" {
            return Err(anyhow::anyhow!("usage: standard output has the clocks of the ranks"))
                .hint("name a file with -o, such as /dev/fd/3");
        }
        let mut reader = TraceReader::new(out, &self.inputs, 2);
        let ranks = self.find_clocks(out, &mut reader)?;
        if ranks.is_empty() {
            if out.diag().errors() == 0 {
                out.warn("no trace", "the list names none");
            }
            return Ok(Exit::No);
        }
        let events = write_output(&self.output, |to| write_ranks(&mut reader, out, &ranks, to))?;
        self.report(out, format, &ranks, &reader, events)?;
        Ok(Exit::Ok)
    }

    /// Reads every trace for its collectives, and fits its clock to that of the first.
    fn find_clocks(&self, out: &mut Out, reader: &mut TraceReader) -> anyhow::Result<Vec<RankClock>> {
        let mut reference: Option<(CollectiveSink, i64)> = None;
        let mut ranks = Vec::new();
        self.inputs.each(out, |out, input| {
            if *input == Input::Stdin {
                return Err(anyhow::anyhow!(
                    "usage: traces are read twice, and standard input can be read once"
                ))
                .hint("name files");
            }
            let mut first = FirstMoment { collectives: CollectiveSink::default(), begin: None };
            let lookup = MeaningLookup::new(input, ClassRules::default());
            let read = reader.read(out, input, &mut ResolvedSink { lookup, sink: &mut first })?;
            let Some(outcome) = read else { return Ok(()) };
            first.collectives.number_by_time();
            let base = outcome.meta.epoch_offset(first.begin.unwrap_or(0)).unwrap_or(0);
            let mut rank = RankClock {
                input: input.clone(),
                meta: outcome.meta,
                base,
                fit: ClockFit::default(),
                shortest: None,
            };
            match &reference {
                None => reference = Some((first.collectives, base)),
                Some((collectives, reference_base)) => {
                    let found = collectives.matches(&first.collectives);
                    fit_clock(&mut rank, *reference_base, &found);
                    if found.is_empty() {
                        out.warn(
                            input.label(),
                            "shares no collective with the first trace: placed by its wall clock",
                        );
                    }
                }
            }
            ranks.push(rank);
            Ok(())
        })?;
        Ok(ranks)
    }

    fn report(
        &self,
        out: &mut Out,
        format: Format,
        ranks: &[RankClock],
        reader: &TraceReader,
        events: u64,
    ) -> anyhow::Result<()> {
        let clocks = ranks.iter().map(|rank| record::RankClockRecord {
            path: rank.input.label(),
            rank: rank.meta.rank,
            offset_ns: rank.fit.offset,
            drift_ppb: (rank.fit.drift * 1e9).round() as i64,
            matched: rank.fit.matched,
            residual_ns: rank.fit.residual,
            shortest_ns: rank.shortest,
        });
        if format == Format::Text {
            writeln!(out.text(), "  rank       offset ns  drift ppb  collectives  residual ns  trace")?;
            for clock in clocks {
                let rank = clock.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
                let record::RankClockRecord { path, offset_ns, drift_ppb, matched, residual_ns, .. } = clock;
                let path = common::text::safe(&path);
                writeln!(
                    out.text(),
                    "{rank:>6} {offset_ns:>15} {drift_ppb:>10} {matched:>12} {residual_ns:>12}  {path}"
                )?;
            }
            return Ok(());
        }
        for clock in clocks {
            out.record(&clock)?;
        }
        let path = self.output.to_string_lossy().into_owned();
        let (format, traces) = ("chrome".to_owned(), ranks.len() as u64);
        let not_held = std::collections::BTreeMap::new();
        out.record(&record::WrittenTrace { path, format, traces, events, not_held })?;
        let (files, incomplete, errors) = (reader.files, reader.incomplete, out.diag().errors());
        Ok(out.record(&record::ConversionSummary { files, incomplete, outputs: 1, errors })?)
    }
}

/// Collectives, and the first moment of the trace.
struct FirstMoment {
    collectives: CollectiveSink,
    begin: Option<i64>,
}

impl EventSink for FirstMoment {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if let Some(start) = event.start.filter(|_| event.phase != b'M') {
            self.begin = Some(self.begin.map_or(start, |begin| begin.min(start)));
        }
        self.collectives.event(event)
    }
}

/// Fits the clock of a rank, in which moments of the trace are wall clock, to that of the reference.
/// Of several sources, the one counts after whose fit the ends lie closest together.
fn fit_clock(rank: &mut RankClock, reference_base: i64, sources: &[Vec<(CollectiveSpan, CollectiveSpan)>]) {
    let base = rank.base;
    let mut best: Option<ClockFit> = None;
    for found in sources {
        let ends = found.iter().map(|(own, reference)| {
            (own.end.saturating_add(base), reference.end.saturating_add(reference_base))
        });
        let Some(fit) = ClockFit::of(&ends.collect::<Vec<_>>()) else { continue };
        if best.is_none_or(|best| fit.residual < best.residual) {
            best = Some(fit);
            let lengths = found.iter().flat_map(|(a, b)| [a.end - a.start, b.end - b.start]);
            rank.shortest = lengths.min();
        }
    }
    rank.fit = best.unwrap_or_default();
}

/// Writes all ranks, one after the other.
fn write_ranks(
    reader: &mut TraceReader,
    out: &Out,
    ranks: &[RankClock],
    to: &mut dyn Write,
) -> anyhow::Result<u64> {
    let mut writer = ChromeWriter::new(to);
    writer.begin_trace("")?;
    let mut taken = TakenIds::default();
    let base = ranks.first().map_or(0, |rank| rank.base);
    for (number, rank) in ranks.iter().enumerate() {
        let ids = RankIds::new(rank.label(number));
        let mut merged =
            MergedRank { rank, base, ids, taken: &mut taken, writer: &mut writer, text: Vec::new() };
        reader.read_again(out, &rank.input, &mut merged)?;
        merged.name_processes()?;
    }
    let mut members = ranks.first().map_or_else(Default::default, |rank| describe_trace(&rank.meta));
    if let Some(Value::Object(distributed)) = members.get_mut("distributedInfo") {
        distributed.remove("rank");
        distributed
            .insert("merged_ranks".to_owned(), ranks.iter().map(|rank| json!(rank.meta.rank)).collect());
    }
    writer.write_description(&[], &members)?;
    let events = writer.count_events();
    Box::new(writer).finish()?;
    Ok(events)
}

/// The events of one rank on their way to the merged trace.
struct MergedRank<'a, 'w> {
    rank: &'a RankClock,
    /// What to add to a time of the merged trace to come to the Unix epoch.
    base: i64,
    ids: RankIds,
    taken: &'a mut TakenIds,
    writer: &'a mut ChromeWriter<'w>,
    text: Vec<u8>,
}

impl EventSink for MergedRank<'_, '_> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let start = event.start.map(|start| self.place(start));
        let dur = event
            .dur
            .zip(event.start)
            .zip(start)
            .map(|((dur, old), new)| self.place(old.saturating_add(dur)).saturating_sub(new));
        let args = match (event.phase, event.name.raw) {
            (b'M', b"process_name") => {
                let name = self.ids.name(event.pid, &event.label.decode());
                json!({ "name": name }).to_string().into_bytes()
            }
            _ => event.args.to_vec(),
        };
        let new_id = self.ids.flow(event.id);
        let id = if event.local_id { event.id } else { new_id.as_id() };
        let pid = self.ids.process(event.pid, self.taken);
        let wanted = Event { start, dur, pid, id, args: &args, ..*event };
        self.text.clear();
        write_changed_event(&mut self.text, event, &wanted);
        if event.phase == b'M' {
            self.writer.write_metadata(&self.text)
        } else {
            self.writer.write_text(&self.text)
        }
    }
}

impl MergedRank<'_, '_> {
    /// A moment of this rank on the clock of the merged trace.
    fn place(&self, moment: i64) -> i64 {
        self.rank.fit.apply(moment.saturating_add(self.rank.base)).saturating_sub(self.base)
    }

    /// Names the processes that the trace does not name.
    fn name_processes(&mut self) -> anyhow::Result<()> {
        for (id, name) in self.ids.unnamed() {
            let pid = match id {
                OwnedId::Number(n) => json!(n),
                id => json!(id.to_string()),
            };
            let event = json!({"ph": "M", "name": "process_name", "pid": pid, "args": {"name": name}});
            self.writer.write_metadata(event.to_string().as_bytes())?;
        }
        Ok(())
    }
}

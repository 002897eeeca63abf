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
use trace::analysis::collect::CollectOptions;
use trace::classifier::ClassRules;
use trace::clock::ClockFit;
use trace::inputs::{TraceInput, TraceInputs};
use trace::meaning::{MeaningLookup, ResolvedSink};
use trace::model::{Event, EventSink, TraceMeta};
use trace::ranks::sum_for_check;
use trace::report::warn_of_traces;

use super::{TraceReader, write_output};
use crate::timeline::OwnedId;
use crate::write::TraceWriter;
use crate::write::chrome::{ChromeWriter, describe_trace};
use crate::write::spelling::complete_numbers;
use clock::{CollectiveSink, CollectiveSpan};
use ids::{RankIds, TakenIds};

/// Write the traces of many ranks as one Chrome trace (JSON), on one clock
///
/// The clock of the first trace counts. Others are moved and stretched so that the ends of the collectives that they share
/// with it, or with others that have been placed by theirs, meet; offset and drift of each are the result on standard
/// output. A rank without such collectives is placed by its wall clock. Ids of processes, flows and async spans are kept apart, and names of processes begin with the rank.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    tracecv merge -o job.json.gz rank*.json.gz\n  \
    tracecv --format json merge -o job.json.gz rank*.json.gz | jq .offset_ns")]
pub(crate) struct MergeArgs {
    #[command(flatten)]
    inputs: TraceInputs,
    /// File to write, compressed if its name ends with .gz
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
}

/// The clock of a rank, before its events are written.
struct RankClock {
    input: TraceInput,
    meta: TraceMeta,
    base: i64,
    fit: ClockFit,
    /// The shortest collective that its clock was fitted to.
    shortest: Option<i64>,
}

impl RankClock {
    /// What distinguishes it from the others: its rank, or its place in the list if it has none, or not for itself.
    fn label(&self, number: usize, ranks: &[Self]) -> String {
        let alike = |rank| ranks.iter().filter(|other| other.meta.rank == Some(rank)).count();
        match self.meta.rank.filter(|rank| alike(*rank) == 1) {
            Some(rank) => format!("rank {rank}"),
            None => format!("trace {number}"),
        }
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
        reader.report_lost_members(out);
        self.report(out, format, &ranks, &reader, events)?;
        Ok(Exit::Ok)
    }

    /// Reads every trace for its collectives, and fits its clock to that of the first.
    fn find_clocks(&self, out: &mut Out, reader: &mut TraceReader) -> anyhow::Result<Vec<RankClock>> {
        let mut reference: Option<Reference> = None;
        let mut ranks = Vec::new();
        // Those that share no collective with a trace before them.
        let mut waiting = Vec::new();
        self.inputs.for_each_input(out, |out, input| {
            if input.is_read_once() {
                return Err(anyhow::anyhow!(
                    "usage: traces are read twice, and standard input or a FIFO can be read only once"
                ))
                .hint("name files");
            }
            let mut first = FirstMoment { collectives: CollectiveSink::default(), begin: None };
            let mut collected = CollectOptions::default().collector();
            let lookup = MeaningLookup::new(input, ClassRules::default());
            let mut resolved = ResolvedSink { lookup, sink: &mut first };
            let read = reader.read(out, input, &mut (&mut collected, &mut resolved))?;
            let Some(outcome) = read else { return Ok(()) };
            let sums = match sum_for_check(collected, &outcome) {
                Ok(sums) if sums.scopes.are_several() => {
                    out.error(
                        input.label(),
                        "holds several ranks, which have one clock here: name the ranks' own files",
                    );
                    return Ok(());
                }
                Ok(sums) => sums,
                Err(e) => {
                    out.failed(input.label(), &e);
                    return Ok(());
                }
            };
            first.collectives.leave_out(|start| !sums.recorded.can_start_at(start));
            first.collectives.number_by_time();
            let base = outcome.meta.epoch_offset(first.begin.unwrap_or(0)).unwrap_or(0);
            let mut rank = RankClock {
                input: input.clone(),
                meta: outcome.meta,
                base,
                fit: ClockFit::default(),
                shortest: None,
            };
            match &mut reference {
                None => reference = Some(Reference { collectives: first.collectives, base }),
                Some(reference) => {
                    if !reference.place(&mut rank, &first.collectives) {
                        waiting.push((ranks.len(), first.collectives));
                    }
                }
            }
            ranks.push(rank);
            Ok(())
        })?;
        // Who has been placed may share collectives with who has not: those of a job without a group of all.
        let mut before = waiting.len() + 1;
        while let (Some(reference), true) = (&mut reference, waiting.len() < before) {
            before = waiting.len();
            waiting.retain(|(i, collectives)| !reference.place(&mut ranks[*i], collectives));
        }
        let reason = "shares no collective with the first trace: placed by its wall clock";
        let warnings: Vec<(String, String)> =
            waiting.iter().map(|(i, _)| (ranks[*i].input.label(), reason.to_owned())).collect();
        let of_all = "share no collective with the first one: placed by their wall clocks";
        warn_of_traces(out, of_all, &warnings);
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

/// The collectives that clocks are fitted to: those of the first trace, and of those that were placed by theirs, on its clock.
struct Reference {
    collectives: CollectiveSink,
    base: i64,
}

impl Reference {
    /// Fits the clock of a rank with these collectives. `false` if there are none that it shares.
    fn place(&mut self, rank: &mut RankClock, collectives: &CollectiveSink) -> bool {
        let found = self.collectives.matches(collectives);
        if found.is_empty() {
            return false;
        }
        fit_clock(rank, self.base, &found);
        let (fit, own, base) = (rank.fit, rank.base, self.base);
        self.collectives
            .adopt(collectives, |moment| fit.apply(moment.saturating_add(own)).saturating_sub(base));
        true
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
    let mut writer = ChromeWriter::rewriting(to);
    writer.begin_trace("")?;
    let mut taken = TakenIds::default();
    let base = ranks.first().map_or(0, |rank| rank.base);
    for (number, rank) in ranks.iter().enumerate() {
        let ids = RankIds::new(rank.label(number, ranks));
        let mut merged = MergedRank { rank, base, ids, taken: &mut taken, writer: &mut writer };
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
    /// The time to add to a time of the merged trace to come to the Unix epoch.
    base: i64,
    ids: RankIds,
    taken: &'a mut TakenIds,
    writer: &'a mut ChromeWriter<'w>,
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
            // Where the number of the process is that of the device, it stays the device.
            _ if event.category.is_on_device() => {
                complete_numbers(event).unwrap_or_else(|| event.args.to_vec())
            }
            _ => event.args.to_vec(),
        };
        let new_id = self.ids.flow(event.id);
        let id = if event.local_id { event.id } else { new_id.as_id() };
        let pid = self.ids.process(event.pid, self.taken);
        let wanted = Event { start, dur, pid, id, args: &args, ..*event };
        self.writer.write_changed(event, &wanted)
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

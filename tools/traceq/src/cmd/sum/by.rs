//! `traceq sum --by`: the times of all traces by step, rank, phase, module, annotation or stream.

use std::collections::BTreeMap;
use std::io::{self, Write};

use clap::ValueEnum;
use common::exit::Exit;
use common::out::Out;
use common::record::traceq as record;
use trace::check::DoubtfulTraces;
use trace::inputs::TraceInputs;
use trace::program::ProgramPart;
use trace::ranks::RankReader;
use trace::report::format_count;
use trace::table::{Align, Table, output_width};
use trace::units::{TimeUnit, format_percent};

use super::job::JobTimes;
use super::split_record;
use crate::analysis::program::{ProgramSink, UNNAMED};
use crate::cmd::{Tally, open_bytes};
use trace::analysis::collect::CollectOptions;
use trace::split::Split;
use trace::spool::MemoryLimit;

/// The key by which times are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GroupBy {
    /// Each step, of all ranks beside each other: the least, the median and the most, and who has it
    Step,
    /// Each rank: the mean of its steps, or the whole where there are none
    Rank,
    /// Forward, recompute, backward, optimizer, communication, data, other
    Phase,
    /// Modules (nn.Module) of traces that have them
    Module,
    /// Ranges that the program or its framework marked
    Annotation,
    /// Each stream of each device
    Stream,
}

impl GroupBy {
    fn part(self) -> Option<ProgramPart> {
        match self {
            Self::Phase => Some(ProgramPart::Phase),
            Self::Module => Some(ProgramPart::Module),
            Self::Annotation => Some(ProgramPart::Annotation),
            Self::Step | Self::Rank | Self::Stream => None,
        }
    }

    /// Whether the time splits of steps are what is put together.
    pub(super) fn is_of_splits(self) -> bool {
        matches!(self, Self::Step | Self::Rank)
    }

    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

/// Splits of steps, of all ranks.
#[derive(Debug, Default)]
pub(super) struct ByStepOrRank {
    steps: BTreeMap<i64, JobTimes>,
    ranks: BTreeMap<(i64, Option<i64>), RankSplits>,
}

/// The sum of a rank's steps, and its whole.
#[derive(Clone, Copy, Debug, Default)]
struct RankSplits {
    steps: i64,
    sum: Split,
    whole: Split,
}

impl ByStepOrRank {
    /// Adds a step of a rank.
    pub(super) fn add_step(&mut self, rank: i64, device: Option<i64>, number: i64, split: Split) {
        let step = self.steps.entry(number).or_default();
        step.begin_rank();
        step.add(Some(rank), split);
        let of_rank = self.ranks.entry((rank, device)).or_default();
        of_rank.steps += 1;
        of_rank.sum = of_rank.sum.plus(&split);
    }

    /// Adds the whole of a rank.
    pub(super) fn add_total(&mut self, rank: i64, device: Option<i64>, split: Split) {
        let whole = &mut self.ranks.entry((rank, device)).or_default().whole;
        *whole = whole.plus(&split);
    }

    /// Writes what was asked for.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn write(&self, by: GroupBy, out: &mut Out, tally: &mut Tally, json: bool) -> io::Result<()> {
        match (by, json) {
            (GroupBy::Step, true) => self.steps.iter().try_for_each(|(number, step)| {
                step.compare_all().into_iter().try_for_each(|time| {
                    tally.record();
                    out.record(&record::JobTime { step: Some(*number), ..time })
                })
            }),
            (GroupBy::Step, false) => self.write_steps(out.text()),
            (_, true) => self.rank_records().iter().try_for_each(|rank| {
                tally.record();
                out.record(rank)
            }),
            (_, false) => self.write_ranks(out.text()),
        }
    }

    fn rank_records(&self) -> Vec<record::RankTime> {
        let of_rank = |((rank, device), splits): (&(i64, Option<i64>), &RankSplits)| {
            let split = if splits.steps > 0 { splits.sum.divided_by(splits.steps) } else { splits.whole };
            record::RankTime {
                rank: *rank,
                device: *device,
                steps: u64::try_from(splits.steps).unwrap_or(0),
                split: split_record(&split),
            }
        };
        self.ranks.iter().map(of_rank).collect()
    }

    fn write_ranks(&self, to: &mut dyn Write) -> io::Result<()> {
        let records = self.rank_records();
        let unit = TimeUnit::for_largest(records.iter().map(|r| r.split.total_ns).max().unwrap_or(0));
        let mut table = Table::new(&[
            ("rank", Align::Right),
            ("device", Align::Right),
            ("steps", Align::Right),
            ("total", Align::Right),
            ("compute", Align::Right),
            ("comm", Align::Right),
            ("exposed", Align::Right),
            ("copy", Align::Right),
            ("idle", Align::Right),
            ("idle%", Align::Right),
        ]);
        for r in &records {
            let s = &r.split;
            let times = [
                s.total_ns,
                s.compute_ns,
                s.communication_ns,
                s.exposed_communication_ns,
                s.memcpy_ns,
                s.idle_ns,
            ];
            let mut cells = vec![
                r.rank.to_string(),
                r.device.map_or_else(|| "-".to_owned(), |d| d.to_string()),
                r.steps.to_string(),
            ];
            cells.extend(times.iter().map(|time| unit.format_time(*time)));
            cells.push(format_percent(s.idle_ratio));
            table.add_row(cells);
        }
        if records.is_empty() {
            return write_nothing(to, "rank");
        }
        writeln!(to, "mean of a step of each rank, in {}", unit.name)?;
        table.write(to)
    }

    fn write_steps(&self, to: &mut dyn Write) -> io::Result<()> {
        let rows: Vec<_> = self.steps.iter().map(|(number, step)| (number, step.compare_all())).collect();
        let largest = rows.iter().filter_map(|(_, times)| times.first()).map(|time| time.max_ns).max();
        let unit = TimeUnit::for_largest(largest.unwrap_or(0));
        let mut table = Table::new(&[
            ("step", Align::Right),
            ("ranks", Align::Right),
            ("min", Align::Right),
            ("median", Align::Right),
            ("max", Align::Right),
            ("rank", Align::Right),
            ("compute", Align::Right),
            ("exposed", Align::Right),
            ("idle", Align::Right),
        ]);
        for (number, times) in &rows {
            let Some(total) = times.first() else { continue };
            let median = |name: &str| {
                let found = times.iter().find(|time| time.name == name);
                found.map_or_else(|| "-".to_owned(), |time| unit.format_time(time.median_ns))
            };
            table.add_row(vec![
                number.to_string(),
                total.devices.to_string(),
                unit.format_time(total.min_ns),
                unit.format_time(total.median_ns),
                unit.format_time(total.max_ns),
                total.max_rank.to_string(),
                median("compute"),
                median("exposed_communication"),
                median("idle"),
            ]);
        }
        if rows.is_empty() {
            return write_nothing(to, "step");
        }
        writeln!(
            to,
            "steps of all ranks: total with the rank that has the most, medians of its parts, in {}",
            unit.name
        )?;
        table.write(to)
    }
}

/// Says that nothing ran on a device.
fn write_nothing(to: &mut dyn Write, what: &str) -> io::Result<()> {
    let hint = "`traceq sum` without --by has the time of hosts, `tracewhy ranks` compares them";
    writeln!(to, "no {what} has work on a device: {hint}")
}

/// The time of a group, of all traces.
#[derive(Clone, Copy, Debug, Default)]
struct GroupTime {
    own: i64,
    total: i64,
    busy: Option<i64>,
    count: u64,
    ranks: u64,
}

impl GroupTime {
    fn add(&mut self, own: i64, total: i64, busy: Option<i64>, count: u64) {
        self.own = self.own.saturating_add(own);
        self.total = self.total.saturating_add(total);
        self.busy = busy.map(|busy| self.busy.unwrap_or(0).saturating_add(busy)).or(self.busy);
        self.count += count;
        self.ranks += 1;
    }
}

/// The name of a group: a text, or a device and a stream.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum GroupKey {
    Named(String),
    Stream(i64, i64),
}

/// Reads the traces and writes the times of phases, modules, annotations or streams.
///
/// # Errors
/// A temporary file cannot be used; standard output cannot be written.
pub(super) fn sum_groups(
    by: GroupBy,
    inputs: &TraceInputs,
    options: &CollectOptions,
    (out, json): (&mut Out, bool),
) -> anyhow::Result<Exit> {
    let mut tally = Tally::default();
    let mut groups: BTreeMap<GroupKey, GroupTime> = BTreeMap::new();
    // Half for this, and half for what finds its ranks and what is wrong with it.
    let memory = MemoryLimit { bytes: options.memory.bytes / 2 };
    let options = &CollectOptions { memory, ..options.clone() };
    let doubtful = DoubtfulTraces::default();
    let named = inputs.for_each_input(out, |out, input| {
        let Some((opened, bytes)) = open_bytes(out, input) else { return Ok(()) };
        let mut ranks = RankReader::new(input, opened, bytes, inputs.read_options(), options, &doubtful);
        let mut first = true;
        while !ranks.is_done() {
            let mut sink = ProgramSink::new(memory);
            let Some(read) = ranks.read_next(out, &mut sink) else { continue };
            tally.count_rank(&read, std::mem::take(&mut first));
            add_rank(by, sink, &mut groups)?;
        }
        Ok(())
    })?;
    doubtful.finish(out);
    let records = to_records(by, groups);
    if json {
        for record in &records {
            tally.record();
            out.record(record)?;
        }
    } else {
        write_groups(out.text(), by, &records)?;
    }
    tally.finish(out, json, named)
}

/// Adds the times of one rank.
fn add_rank(by: GroupBy, sink: ProgramSink, groups: &mut BTreeMap<GroupKey, GroupTime>) -> io::Result<()> {
    match by.part() {
        Some(wanted) => {
            for ((part, name), time) in sink.sum_parts()? {
                if part == wanted {
                    let group = groups.entry(GroupKey::Named(name)).or_default();
                    group.add(time.own, time.total, None, time.count);
                }
            }
        }
        None => {
            for ((device, stream), time) in sink.sum_streams()? {
                let group = groups.entry(GroupKey::Stream(device, stream)).or_default();
                group.add(time.total, time.total, Some(time.busy), time.count);
            }
        }
    }
    Ok(())
}

fn to_records(by: GroupBy, groups: BTreeMap<GroupKey, GroupTime>) -> Vec<record::GroupTimeRecord> {
    let whole = groups.values().fold(0_i64, |sum, group| sum.saturating_add(group.own));
    let known = |number: i64| (number != UNNAMED).then_some(number);
    let of_group = |(key, group): (GroupKey, GroupTime)| {
        let (name, device, stream) = match key {
            GroupKey::Named(name) => ((!name.is_empty()).then_some(name), None, None),
            GroupKey::Stream(device, stream) => (None, known(device), known(stream)),
        };
        record::GroupTimeRecord {
            by: by.name(),
            name,
            device,
            stream,
            own_ns: group.own,
            total_ns: group.total,
            busy_ns: group.busy,
            count: group.count,
            ranks: group.ranks,
            share: (whole > 0).then(|| group.own as f64 / whole as f64),
        }
    };
    let mut records: Vec<_> = groups.into_iter().map(of_group).collect();
    if by != GroupBy::Stream {
        records.sort_by(|a, b| b.own_ns.cmp(&a.own_ns).then_with(|| a.name.cmp(&b.name)));
    }
    records
}

fn write_groups(to: &mut dyn Write, by: GroupBy, records: &[record::GroupTimeRecord]) -> io::Result<()> {
    if records.is_empty() {
        return writeln!(to, "no device events");
    }
    let unit = TimeUnit::for_largest(records.iter().map(|r| r.total_ns).max().unwrap_or(0));
    let of_streams = by == GroupBy::Stream;
    let second = if of_streams { "busy" } else { "with inner" };
    let mut table = Table::new(&[
        ("time", Align::Right),
        ("%", Align::Right),
        (second, Align::Right),
        ("count", Align::Right),
        ("ranks", Align::Right),
        ("name", Align::Left),
    ]);
    let number = |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for r in records {
        let name = match (of_streams, &r.name) {
            (true, _) => format!("device {} stream {}", number(r.device), number(r.stream)),
            (false, Some(name)) => name.clone(),
            (false, None) => "(none)".to_owned(),
        };
        table.add_row(vec![
            unit.format_time(r.own_ns),
            format_percent(r.share),
            unit.format_time(r.busy_ns.unwrap_or(r.total_ns)),
            format_count(r.count),
            r.ranks.to_string(),
            name,
        ]);
    }
    table.fit_last_column(output_width());
    writeln!(
        to,
        "device time of all ranks by {}, in {}: the sum of durations of work",
        by.name(),
        unit.name
    )?;
    table.write(to)
}

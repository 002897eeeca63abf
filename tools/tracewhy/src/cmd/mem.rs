//! `tracewhy mem`: memory over time, its peak, and what held it.

use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use common::exit::Exit;
use common::fsat::read_bounded;
use common::out::Out;
use common::record::tracewhy as record;
use trace::inputs::OpenedTrace;
use trace::read::open_trace_file;
use trace::report::format_count;
use trace::shorten::short_name;
use trace::spool::MemoryLimit;
use trace::units::{format_bytes, format_percent};

use super::{JobArgs, ReportForm, warn_of_each};
use crate::memory::account::MemoryPoint;
use crate::memory::kineto::MemorySink;
use crate::memory::{DeviceMemory, ascend, pickle, snapshot};
use crate::page::BEFORE_RECORDING;
use crate::part::number::{number_or_place, number_ranks};
use crate::report::{LEFT, RIGHT, Report};

/// Say how much memory was allocated over time, and what held the most
///
/// Of traces that were recorded with `profile_memory=True`, allocations belong to the outermost operator within the innermost
/// module or annotation of their thread. Snapshots of torch.cuda.memory are read as plain data, and nothing in them is run:
/// there the innermost frame outside of PyTorch counts. Of Ascend, operator_memory.csv and memory_record.csv are read, also
/// where they lie beside a timeline that is named.
#[derive(Args, Debug)]
#[command(arg = super::report_form_arg(), after_long_help = "Examples:\n  \
    tracewhy mem rank0.json.gz\n  \
    tracewhy mem snapshot.pickle\n  \
    tracewhy mem rank0_ascend_pt\n  \
    tracewhy --format json mem --points 0 rank0.json.gz | jq 'select(.type==\"tracewhy.memory_point\")'")]
pub(crate) struct MemArgs {
    /// Points of the timeline of a device, each the highest of its time; 0 is every allocation and release
    #[arg(long, value_name = "N", default_value_t = 100)]
    points: usize,
    #[command(flatten)]
    job: JobArgs,
}

/// The memory of one rank.
struct RankMemory {
    path: String,
    rank: i64,
    devices: Vec<DeviceMemory>,
}

impl MemArgs {
    /// Reads the inputs and writes what their memory comes to.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        let points = self.points;
        let mut ranks: Vec<RankMemory> = Vec::new();
        let mut tables: Vec<RankMemory> = Vec::new();
        let options = self.job.options()?;
        let memory = options.memory;
        let totals = self.job.each_rank_or(
            out,
            &options,
            |options| MemorySink::new(options.memory),
            |out, opened, place| {
                let Some(devices) = read_other(out, opened, memory, points)? else { return Ok(false) };
                let path = opened.path.display().to_string();
                tables.push(RankMemory { path, rank: number_or_place(opened.rank, place), devices });
                Ok(true)
            },
            |_, rank, sink| {
                let devices = sink.finish(points)?;
                ranks.push(RankMemory { path: rank.path, rank: rank.rank, devices });
                Ok(())
            },
        )?;
        ranks.append(&mut tables);
        number_ranks(ranks.iter_mut().map(|rank| &mut rank.rank));
        let Some(totals) = totals else { return Ok(Exit::No) };
        let empty = ranks.iter().filter(|rank| rank.devices.is_empty());
        warn_of_each(
            out,
            empty.map(|rank| (rank.path.as_str(), "has no allocations: record with profile_memory=True")),
        );
        match form {
            ReportForm::Md => describe(&ranks).write_markdown(out.text())?,
            ReportForm::Json => {
                ranks.iter().try_for_each(|rank| write_records(out, rank))?;
                totals.write_summary(out)?;
            }
            _ => describe(&ranks).write_text(out.text())?,
        }
        Ok(Exit::Ok)
    }
}

/// Reads what is no trace: a snapshot, a table, or the tables beside a timeline.
fn read_other(
    out: &Out,
    opened: &OpenedTrace,
    memory: MemoryLimit,
    points: usize,
) -> anyhow::Result<Option<Vec<DeviceMemory>>> {
    let path = &opened.path;
    if opened.size.is_none() {
        return Ok(None);
    }
    let beside = tables_beside(path);
    if !beside.is_empty() {
        return Ok(Some(read_tables(out, &beside, memory, points)));
    }
    match read_path(path, memory, points) {
        Ok(found) => Ok(found),
        Err(e) => {
            out.failed(path.display(), &e);
            Ok(Some(Vec::new()))
        }
    }
}

/// The tables of memory beside a timeline of Ascend.
pub(super) fn tables_beside(path: &Path) -> Vec<PathBuf> {
    if path.file_name().is_none_or(|name| name != "trace_view.json") {
        return Vec::new();
    }
    let tables = ["operator_memory.csv", "memory_record.csv"].map(|name| path.with_file_name(name));
    tables.into_iter().filter(|table| table.is_file()).collect()
}

/// Reads tables; what cannot be read is reported.
pub(super) fn read_tables(
    out: &Out,
    tables: &[PathBuf],
    memory: MemoryLimit,
    points: usize,
) -> Vec<DeviceMemory> {
    let mut devices = Vec::new();
    for table in tables {
        match read_path(table, memory, points) {
            Ok(found) => devices.extend(found.unwrap_or_default()),
            Err(e) => out.failed(table.display(), &e),
        }
    }
    devices
}

/// Reads a file that is a snapshot or a table; `None` of any other.
fn read_path(path: &Path, memory: MemoryLimit, points: usize) -> anyhow::Result<Option<Vec<DeviceMemory>>> {
    let (mut file, _) = open_trace_file(path)?;
    let head = read_bounded(Read::by_ref(&mut file).take(256), 256)?;
    let is_snapshot = pickle::looks_like_pickle(&head);
    if !is_snapshot && !ascend::looks_like_table(&head) {
        return Ok(None);
    }
    let whole = head.as_slice().chain(file);
    if is_snapshot {
        let bytes = read_bounded(whole, memory.bytes / 2)?;
        return snapshot::read_snapshot(&bytes, memory, points).map(Some);
    }
    ascend::read_table(BufReader::new(whole), memory, points).map(Some)
}

fn to_record(rank: &RankMemory, memory: &DeviceMemory) -> record::MemoryPeak {
    record::MemoryPeak {
        path: rank.path.clone(),
        rank: rank.rank,
        device: memory.device.clone(),
        peak_bytes: memory.peak,
        peak_at_ns: memory.peak_at,
        reserved_bytes: memory.reserved,
        before_bytes: memory.before,
        after_bytes: memory.after,
        not_known_bytes: memory.not_known(),
        allocations: memory.allocations,
        releases: memory.releases,
        unknown_releases: memory.unknown_releases,
        beyond_limit: memory.beyond_limit,
    }
}

fn write_records(out: &mut Out, rank: &RankMemory) -> std::io::Result<()> {
    let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    for memory in &rank.devices {
        out.record(&to_record(rank, memory))?;
        for (holder, bytes, blocks) in &memory.held {
            out.record(&record::MemoryHolderRecord {
                path: rank.path.clone(),
                rank: rank.rank,
                device: memory.device.clone(),
                part: filled(&holder.part),
                operator: filled(&holder.operator),
                bytes: *bytes,
                blocks: *blocks,
            })?;
        }
        for MemoryPoint { at, allocated, reserved, .. } in &memory.timeline {
            out.record(&record::MemoryPointRecord {
                path: rank.path.clone(),
                rank: rank.rank,
                device: memory.device.clone(),
                at_ns: *at,
                allocated_bytes: *allocated,
                reserved_bytes: *reserved,
            })?;
        }
    }
    Ok(())
}

fn format_signed(bytes: i64) -> String {
    let sign = if bytes < 0 { "-" } else { "" };
    format!("{sign}{}", format_bytes(bytes.unsigned_abs()))
}

/// The timeline in a few characters, from nothing to the peak.
fn draw_timeline(memory: &DeviceMemory) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const WIDTH: usize = 32;
    let points = &memory.timeline;
    let columns = WIDTH.min(points.len());
    let bar = |i: usize| {
        let (from, to) = (i * points.len() / columns, ((i + 1) * points.len() / columns).max(1));
        let highest = points[from..to].iter().map(|p| p.allocated).max().unwrap_or(0).max(0);
        let level = highest as f64 / memory.peak.max(1) as f64 * 7.0;
        BARS[(level.round() as usize).min(7)]
    };
    (0..columns).map(bar).collect()
}

fn describe(ranks: &[RankMemory]) -> Report {
    let all = || ranks.iter().flat_map(|rank| rank.devices.iter().map(move |memory| (rank, memory)));
    // What ran on a device says more than the host, and a table of blocks more than one of states.
    let highest = all().max_by_key(|(_, m)| (m.device != "cpu", !m.held.is_empty(), m.peak));
    let Some((rank, memory)) = highest else {
        return Report::new("the traces have no allocations".to_owned());
    };
    let share = |bytes: i64| format_percent((memory.peak > 0).then(|| bytes as f64 / memory.peak as f64));
    let first = memory.held.first().map_or_else(String::new, |(holder, bytes, _)| {
        let name = [&holder.operator, &holder.part].into_iter().find(|name| !name.is_empty());
        format!(
            "; {} of it is held by {}",
            share(*bytes),
            name.map_or_else(|| "what is not known".to_owned(), |name| short_name(name))
        )
    });
    let headline = format!(
        "{} of rank {} has {} allocated at its peak{first}",
        short_name(&memory.device),
        rank.rank,
        format_signed(memory.peak)
    );
    let mut report = Report::new(headline);
    let columns = [
        ("rank", RIGHT),
        ("device", LEFT),
        ("peak", RIGHT),
        ("reserved", RIGHT),
        ("before", RIGHT),
        ("after", RIGHT),
        ("allocations", RIGHT),
        ("over time", LEFT),
    ];
    let rows = all().map(|(rank, memory)| {
        vec![
            rank.rank.to_string(),
            memory.device.clone(),
            format_signed(memory.peak),
            memory.reserved.map_or_else(|| "-".to_owned(), format_signed),
            format_signed(memory.before),
            format_signed(memory.after),
            format_count(memory.allocations),
            draw_timeline(memory),
        ]
    });
    report.add_table("allocated bytes", &columns, rows.collect());
    if !memory.held.is_empty() {
        let columns =
            [("bytes", RIGHT), ("%", RIGHT), ("blocks", RIGHT), ("part", LEFT), ("operator or frame", LEFT)];
        let named = |name: &str| if name.is_empty() { "-".to_owned() } else { name.to_owned() };
        let mut rows: Vec<_> = memory
            .held
            .iter()
            .map(|(holder, bytes, blocks)| {
                let (part, operator) = (named(&holder.part), named(&holder.operator));
                vec![format_signed(*bytes), share(*bytes), format_count(*blocks), part, operator]
            })
            .collect();
        let rest = memory.not_known();
        if rest != 0 {
            let text = BEFORE_RECORDING.to_owned();
            rows.insert(0, vec![format_signed(rest), share(rest), "-".to_owned(), "-".to_owned(), text]);
        }
        report.add_table(
            format!("what holds the peak of {} of rank {}", short_name(&memory.device), rank.rank),
            &columns,
            rows,
        );
    }
    report
}

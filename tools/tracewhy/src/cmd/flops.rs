//! `tracewhy flops`: how much of the peak performance of devices operators reach.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::tracewhy as record;
use trace::report::format_count;
use trace::units::{TimeUnit, format_percent};

use super::{JobArgs, ReportForm, warn_of_each};
use crate::flops::collect::{FlopsSink, OperatorTime, RankFlops};
use crate::flops::peak::{DevicePeak, PeakTable};
use crate::part::number::number_ranks;
use crate::report::{LEFT, RIGHT, Report};

/// Say how much of the peak performance of devices operators reach: MFU, and a roofline
///
/// The operations of matrix products, convolutions and attention follow from the shapes of their inputs, which are in traces
/// that were recorded with `record_shapes=True`, or stand in those with `with_flops=True`. The time of an operator is that
/// of the kernels that it launches. MFU is all operations of the steps by what the device could do in their time.
#[derive(Args, Debug)]
#[command(arg = super::report_form_arg(), after_long_help = "Examples:\n  \
    tracewhy flops rank0.json.gz\n  \
    tracewhy flops --device-name 'H100 PCIe' rank*.json.gz\n  \
    tracewhy --format json flops --peak peaks.toml rank0.json.gz")]
pub(crate) struct FlopsArgs {
    /// Read what devices can do from FILE (TOML), before what is known
    ///
    /// Each `[[device]]` has a `name`, words that its name has in this order; the teraflops of dense matrices of `fp64`,
    /// `fp32`, `tf32`, `fp16`, `bf16`, `fp8`, `int8`; and the `bandwidth` of its memory in GB/s.
    #[arg(long, value_name = "FILE")]
    peak: Option<PathBuf>,
    /// The device that the job ran on, where the trace does not name it, or names it wrongly
    #[arg(long, value_name = "NAME")]
    device_name: Option<String>,
    #[command(flatten)]
    job: JobArgs,
}

/// One rank, and its device.
struct RankResult {
    path: String,
    rank: i64,
    device: Option<String>,
    flops: RankFlops,
}

impl FlopsArgs {
    /// Reads the job and writes what its operators reach.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        let mut table = PeakTable::default();
        if let Some(path) = &self.peak {
            table = table.with_file(path)?;
        }
        let mut ranks = Vec::new();
        let options = self.job.options()?;
        let totals = self.job.each_rank(out, &options, FlopsSink::new, |_, rank, sink| {
            let flops = sink.finish()?;
            let named = flops
                .device
                .and_then(|index| rank.meta.devices.get(&index))
                .or_else(|| rank.meta.devices.values().next());
            let device = self.device_name.clone().or_else(|| named.filter(|name| !name.is_empty()).cloned());
            ranks.push(RankResult { path: rank.path, rank: rank.rank, device, flops });
            Ok(())
        })?;
        let Some(totals) = totals else { return Ok(Exit::No) };
        number_ranks(ranks.iter_mut().map(|rank| &mut rank.rank));
        let reason_of = |rank: &RankResult| match (rank.flops.kernels, rank.flops.has_shapes) {
            (0, _) => "nothing ran on a device",
            (_, false) => "has no shapes: record with record_shapes=True",
            _ => "has no operator of known work that launches kernels",
        };
        let empty = ranks.iter().filter(|rank| rank.flops.operators.is_empty());
        warn_of_each(out, empty.map(|rank| (rank.path.as_str(), reason_of(rank))));
        let summaries: Vec<_> = ranks.iter().map(|rank| summarize(rank, &table)).collect();
        let operators = merge_operators(&ranks, &table);
        let above = count_above_peak(&ranks, &table);
        match form {
            ReportForm::Json => {
                summaries.iter().try_for_each(|summary| out.record(summary))?;
                operators.iter().try_for_each(|operator| out.record(operator))?;
                totals.write_summary(out)?;
            }
            ReportForm::Md => describe(&summaries, &operators, above).write_markdown(out.text())?,
            _ => describe(&summaries, &operators, above).write_text(out.text())?,
        }
        Ok(Exit::Ok)
    }
}

fn peak_of<'a>(table: &'a PeakTable, device: Option<&String>) -> Option<&'a DevicePeak> {
    table.find(device?)
}

fn summarize(rank: &RankResult, table: &PeakTable) -> record::RankFlops {
    let RankResult { path, rank: number, device, flops } = rank;
    let peak = peak_of(table, device.as_ref());
    let seconds = flops.wall as f64 / 1e9;
    // Time that the operations would take at best, each type at its own speed; unless one is not known.
    let best = flops.by_number.iter().map(|(number, n)| Some(n / peak?.flops(*number)?)).sum::<Option<f64>>();
    let total: f64 = flops.by_number.values().sum();
    let of_operators = flops.operators.iter().fold(0_i64, |sum, operator| sum.saturating_add(operator.time));
    record::RankFlops {
        path: path.clone(),
        rank: *number,
        device: device.clone(),
        peak_known: peak.is_some(),
        flops: total,
        wall_ns: flops.wall,
        tflops: (seconds > 0.0 && total > 0.0).then(|| total / seconds / 1e12),
        mfu: best
            .filter(|best| seconds > 0.0 && *best > 0.0)
            .map(|best| best / seconds)
            .filter(|mfu| can_be_reached(*mfu)),
        kernel_ns: flops.kernels,
        operator_ns: of_operators,
    }
}

/// Operators of all ranks whose devices, names and shapes are the same, those with the most time first.
fn merge_operators(ranks: &[RankResult], table: &PeakTable) -> Vec<record::OperatorFlops> {
    type Key<'a> = (Option<&'a String>, &'a str, &'a str, &'static str, u64);
    let mut merged: BTreeMap<Key<'_>, (OperatorTime, u64)> = BTreeMap::new();
    for rank in ranks {
        for operator in &rank.flops.operators {
            let work = &operator.work;
            let flops = work.flops.to_bits();
            let key: Key<'_> =
                (rank.device.as_ref(), &operator.name, &work.shapes, work.number.name(), flops);
            let (sum, seen) = merged
                .entry(key)
                .or_insert_with(|| (OperatorTime { calls: 0, time: 0, ..operator.clone() }, 0));
            sum.calls += operator.calls;
            sum.time = sum.time.saturating_add(operator.time);
            *seen += 1;
        }
    }
    let place = |((device, ..), (operator, ranks)): (Key<'_>, (OperatorTime, u64))| {
        place_under_roofline(&operator, device, peak_of(table, device), ranks)
    };
    let mut operators: Vec<_> = merged.into_iter().map(place).collect();
    operators.sort_by(|a, b| b.time_ns.cmp(&a.time_ns).then_with(|| a.name.cmp(&b.name)));
    operators
}

fn place_under_roofline(
    operator: &OperatorTime,
    device: Option<&String>,
    peak: Option<&DevicePeak>,
    ranks: u64,
) -> record::OperatorFlops {
    let OperatorTime { name, work, calls, time } = operator;
    let achieved = (*time > 0).then(|| work.flops * *calls as f64 / (*time as f64 / 1e9));
    let most = peak.and_then(|peak| peak.flops(work.number));
    let intensity = work.bytes.filter(|bytes| *bytes > 0.0).map(|bytes| work.flops / bytes);
    let by_memory =
        intensity.zip(peak.and_then(DevicePeak::bandwidth)).map(|(intensity, bytes)| intensity * bytes);
    let attainable = match (most, by_memory) {
        (Some(most), Some(by_memory)) => Some(most.min(by_memory)),
        _ => None,
    };
    record::OperatorFlops {
        name: name.clone(),
        device: device.cloned(),
        shapes: work.shapes.clone(),
        number: work.number.name().to_owned(),
        calls: *calls,
        ranks,
        time_ns: *time,
        flops: work.flops,
        bytes: work.bytes,
        tflops: achieved.map(|n| n / 1e12),
        peak_share: achieved.zip(most).map(|(n, most)| n / most).filter(|share| can_be_reached(*share)),
        intensity,
        bound: most
            .zip(by_memory)
            .map(|(most, by_memory)| if by_memory < most { "memory" } else { "compute" }.to_owned()),
        // Data that fits into caches comes faster than memory has it.
        roofline_share: achieved.zip(attainable).map(|(n, attainable)| n / attainable),
    }
}

/// Whether a share of what a device can do is possible. Clocks of one device are a little higher than those of its data sheet.
fn can_be_reached(share: f64) -> bool {
    const MOST: f64 = 1.1;
    share <= MOST
}

/// How many operators of known peak do more than that.
fn count_above_peak(ranks: &[RankResult], table: &PeakTable) -> usize {
    let is_above = |device: Option<&String>, operator: &OperatorTime| {
        let most = peak_of(table, device).and_then(|peak| peak.flops(operator.work.number));
        let done = operator.work.flops * operator.calls as f64;
        operator.time > 0
            && most.is_some_and(|most| !can_be_reached(done / (operator.time as f64 / 1e9) / most))
    };
    let of_rank =
        |rank: &RankResult| rank.flops.operators.iter().filter(|o| is_above(rank.device.as_ref(), o)).count();
    ranks.iter().map(of_rank).sum()
}

fn describe(ranks: &[record::RankFlops], operators: &[record::OperatorFlops], above: usize) -> Report {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    let known: Vec<f64> = ranks.iter().filter_map(|rank| rank.mfu).collect();
    let tflops: Vec<f64> = ranks.iter().filter_map(|rank| rank.tflops).collect();
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let mut report = Report::new(match (known.is_empty(), tflops.is_empty()) {
        (_, true) => "the traces have no operators with shapes and kernels".to_owned(),
        (true, false) => {
            format!("{:.1} TFLOPS for each rank; what its device can do is not known", mean(&tflops))
        }
        (false, false) => format!(
            "MFU is {}: {:.1} TFLOPS for each rank",
            format_percent(Some(mean(&known))),
            mean(&tflops)
        ),
    });
    let columns = [("rank", RIGHT), ("TFLOPS", RIGHT), ("MFU", RIGHT), ("covered", RIGHT), ("device", LEFT)];
    let share = |part: i64, whole: i64| format_percent((whole > 0).then(|| part as f64 / whole as f64));
    let rows = ranks.iter().map(|rank| {
        vec![
            rank.rank.to_string(),
            number(rank.tflops),
            format_percent(rank.mfu),
            share(rank.operator_ns, rank.kernel_ns),
            rank.device.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    });
    if !tflops.is_empty() {
        let title = "covered is the share of kernel time that operators of known work have";
        report.add_table(title, &columns, rows.collect());
    }
    if operators.is_empty() {
        return report;
    }
    let unit = TimeUnit::for_largest(operators.iter().map(|o| o.time_ns).max().unwrap_or(0));
    let columns = [
        ("time", RIGHT),
        ("calls", RIGHT),
        ("TFLOPS", RIGHT),
        ("of peak", RIGHT),
        ("flops/B", RIGHT),
        ("bound", LEFT),
        ("of roof", RIGHT),
        ("type", LEFT),
        ("operator", LEFT),
        ("shapes", LEFT),
    ];
    let rows = operators.iter().map(|o| {
        vec![
            unit.format_time(o.time_ns),
            format_count(o.calls),
            number(o.tflops),
            format_percent(o.peak_share),
            number(o.intensity),
            o.bound.clone().unwrap_or_else(|| "-".to_owned()),
            format_percent(o.roofline_share),
            o.number.clone(),
            o.name.clone(),
            o.shapes.clone(),
        ]
    });
    report.add_table(format!("operators, in {}", unit.name), &columns, rows.collect());
    if above > 0 {
        let noun = if above == 1 { "operator does" } else { "operators do" };
        report.add_note(format!(
            "{} {noun} more than the device can at most: they compute in another type, or the device is another",
            format_count(above as u64)
        ));
    }
    if ranks.iter().any(|rank| !rank.peak_known) {
        report.add_note(
            "for MFU, say what the device can do with --peak FILE, or which it is with --device-name NAME",
        );
    }
    report
}

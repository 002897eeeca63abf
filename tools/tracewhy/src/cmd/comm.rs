//! `tracewhy comm`: what the collectives of a job cost, and how fast they are.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::tracewhy as record;
use trace::report::format_count;
use trace::units::{TimeUnit, format_bytes, format_duration, format_percent};

use super::{JobArgs, ReportForm};
use crate::part::call::CallFamily;
use crate::part::kept::Arrival;
use crate::part::sum_times;
use crate::report::{LEFT, RIGHT, Report};

/// Say what the collectives of a job cost, and how fast they are
///
/// Calls of one kind, size and group stand together, those with the most exposed time first. Bandwidth is that of the rank
/// that waited least, with the factors of nccl-tests; from the trace of one rank, waiting for others is part of it.
#[derive(Args, Debug)]
#[command(arg = super::report_form_arg(), after_long_help = "Examples:\n  \
    tracewhy comm rank*.json.gz\n  \
    tracewhy --format json comm rank*.json.gz | jq 'select(.bus_gbps < 100)'")]
pub(crate) struct CommArgs {
    #[command(flatten)]
    job: JobArgs,
}

/// The calls of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FamilyCost {
    /// Calls; one that several ranks make counts once.
    count: u64,
    /// What each rank has of them.
    shares: u64,
    total: i64,
    /// Sum of the shortest of each call.
    transfer: i64,
    exposed: i64,
    parts: BTreeSet<u32>,
}

impl FamilyCost {
    fn add(&mut self, call: &[Arrival]) {
        let durations = call.iter().map(|a| a.end - a.start);
        self.count += 1;
        self.shares += call.len() as u64;
        self.total = self.total.saturating_add(sum_times(durations.clone()));
        self.transfer = self.transfer.saturating_add(durations.min().unwrap_or(0));
        self.exposed = self.exposed.saturating_add(sum_times(call.iter().map(|a| a.exposed)));
        self.parts.extend(call.iter().map(|a| a.part));
    }

    fn to_record(&self, family: &CallFamily) -> record::CollectiveCost {
        let mean = |sum: i64, n: u64| i64::try_from(n).ok().filter(|n| *n > 0).map_or(0, |n| sum / n);
        let seen = self.parts.len() as u64;
        let group_size = family.group_size;
        let is_alone = group_size.unwrap_or(seen.max(2)) < 2;
        let moved = family.bytes.filter(|_| self.transfer > 0 && !is_alone);
        // Bytes in a nanosecond are billions of them in a second.
        let algorithm = moved.map(|bytes| bytes as f64 * self.count as f64 / self.transfer as f64);
        let factor = family.kind.bus_factor(group_size.unwrap_or(seen));
        record::CollectiveCost {
            kind: family.kind.name().to_owned(),
            group: family.group.clone(),
            group_size,
            pair: family.pair,
            bytes: family.bytes,
            count: self.count,
            ranks: seen,
            time_ns: mean(self.total, self.shares),
            transfer_ns: mean(self.transfer, self.count),
            total_ns: self.total,
            exposed_ns: self.exposed,
            algorithm_gbps: algorithm,
            bus_gbps: algorithm.map(|bandwidth| bandwidth * factor),
        }
    }
}

/// The calls of all families.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CollectiveCosts(BTreeMap<CallFamily, FamilyCost>);

impl CollectiveCosts {
    /// Takes one collective of the whole job.
    pub(super) fn take(&mut self, family: &CallFamily, call: &[Arrival]) {
        if let Some(cost) = self.0.get_mut(family) {
            return cost.add(call);
        }
        self.0.entry(family.clone()).or_default().add(call);
    }

    /// Those with the most exposed time first.
    pub(super) fn records(&self) -> Vec<record::CollectiveCost> {
        let mut records: Vec<_> = self.0.iter().map(|(family, cost)| cost.to_record(family)).collect();
        records.sort_by_key(|r| std::cmp::Reverse((r.exposed_ns, r.total_ns)));
        records
    }
}

impl CommArgs {
    /// Reads the job and adds its collectives up.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        let Some(mut read) = self.job.read_job(out)? else { return Ok(Exit::No) };
        let memory = read.memory;
        let mut costs = CollectiveCosts::default();
        read.job.each_call(memory, |family, call| costs.take(family, call))?;
        let records = costs.records();
        let busy = sum_times(read.job.parts.iter().map(|part| part.total().span()));
        read.write(
            out,
            form,
            |out| records.iter().try_for_each(|r| out.record(r)),
            || describe(&records, busy),
        )
    }
}

fn describe(records: &[record::CollectiveCost], span: i64) -> Report {
    let exposed = sum_times(records.iter().map(|r| r.exposed_ns));
    let total = sum_times(records.iter().map(|r| r.total_ns));
    let share = |part: i64, whole: i64| format_percent((whole > 0).then(|| part as f64 / whole as f64));
    let mut report = Report::new(match records.first() {
        None => "the traces have no collectives".to_owned(),
        Some(first) => format!(
            "collectives take {} of all ranks, {} of it while nothing is computed, which is {} of the steps; most by {}",
            format_duration(total),
            share(exposed, total),
            share(exposed, span),
            first.kind
        ),
    });
    if records.is_empty() {
        return report;
    }
    let unit = TimeUnit::for_largest(records.iter().map(|r| r.time_ns).max().unwrap_or(0));
    let columns = [
        ("kind", LEFT),
        ("size", RIGHT),
        ("ranks", RIGHT),
        ("count", RIGHT),
        ("time", RIGHT),
        ("transfer", RIGHT),
        ("alg GB/s", RIGHT),
        ("bus GB/s", RIGHT),
        ("exposed", RIGHT),
        ("group", LEFT),
    ];
    let rows = records.iter().map(|r| {
        let bandwidth = |b: Option<f64>| b.map_or_else(|| "-".to_owned(), |b| format!("{b:.2}"));
        let group = match r.pair {
            Some((from, to)) => format!("{} {from} to {to}", r.group),
            None => r.group.clone(),
        };
        vec![
            r.kind.clone(),
            r.bytes.map_or_else(|| "-".to_owned(), format_bytes),
            r.group_size.unwrap_or(r.ranks).to_string(),
            format_count(r.count),
            unit.format_time(r.time_ns),
            unit.format_time(r.transfer_ns),
            bandwidth(r.algorithm_gbps),
            bandwidth(r.bus_gbps),
            share(r.exposed_ns, r.total_ns),
            group,
        ]
    });
    let title = format!(
        "time is the mean of a call on a rank, transfer that of the rank that waits least, in {}",
        unit.name
    );
    report.add_table(title, &columns, rows.collect());
    report
}

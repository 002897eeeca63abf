//! `tracewhy comm`: what the collectives of a job cost, and how fast they are.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::tracewhy as record;
use trace::report::format_count;
use trace::units::{TimeUnit, format_bytes, format_duration, format_percent};

use super::{JobArgs, ReportForm};
use crate::job::Job;
use crate::job::traffic::{JobTraffic, PairTraffic, RankTraffic};
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
    tracewhy --format json comm rank*.json.gz | jq 'select(.bus_gbps and .bus_gbps < 100)'")]
pub(crate) struct CommArgs {
    #[command(flatten)]
    job: JobArgs,
}

/// The calls of one family.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct FamilyCost {
    /// Calls; one that several ranks make counts once.
    count: u64,
    /// The share of each rank.
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

    fn to_record(&self, family: &CallFamily, is_whole: bool) -> record::CollectiveCost {
        let mean = |sum: i64, n: u64| i64::try_from(n).ok().filter(|n| *n > 0).map_or(0, |n| sum / n);
        let seen = self.parts.len() as u64;
        let group_size = family.group_size;
        let is_alone = group_size.unwrap_or(seen.max(2)) < 2;
        let moved = family.bytes.filter(|_| self.transfer > 0 && !is_alone);
        // Bytes in a nanosecond are billions of them in a second.
        let algorithm = moved.map(|bytes| bytes as f64 * self.count as f64 / self.transfer as f64);
        // How many ranks without a trace are in the group is not known.
        let known = group_size.or((family.pair.is_some() || seen > 1 && is_whole).then_some(seen));
        let factor = known.map(|n| family.kind.bus_factor(n));
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
            bus_gbps: algorithm.zip(factor).map(|(bandwidth, factor)| bandwidth * factor),
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
    pub(super) fn records(&self, job: &Job) -> Vec<record::CollectiveCost> {
        let is_whole =
            job.world_size() == job.parts.len() && job.parts.iter().any(|part| part.world_size.is_some());
        let mut records: Vec<_> =
            self.0.iter().map(|(family, cost)| cost.to_record(family, is_whole)).collect();
        records.sort_by_key(|r| std::cmp::Reverse((r.exposed_ns, r.total_ns)));
        records
    }
}

impl CommArgs {
    /// Reads the job and adds its collectives up.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        let Some(mut read) = self.job.read_single_ranks(out)? else { return Ok(Exit::No) };
        let memory = read.memory;
        let (mut costs, mut traffic) = (CollectiveCosts::default(), JobTraffic::default());
        read.job.each_call(memory, |family, call| {
            traffic.add(family, call);
            costs.take(family, call);
        })?;
        let records = costs.records(&read.job);
        let busy = sum_times(read.job.parts.iter().map(|part| part.total().span()));
        let (pairs, ranks) = traffic_records(&traffic, &read.job);
        read.write(
            out,
            form,
            |out| {
                records.iter().try_for_each(|r| out.record(r))?;
                pairs.iter().try_for_each(|r| out.record(r))?;
                ranks.iter().try_for_each(|r| out.record(r))
            },
            || {
                let mut report = describe(&records, busy);
                describe_traffic(&mut report, &pairs, &ranks);
                report
            },
        )
    }
}

/// The pairs of the job, the slowest first; and what its ranks wait for in pipelines and mixtures of experts.
fn traffic_records(traffic: &JobTraffic, job: &Job) -> (Vec<record::PairCost>, Vec<record::RankWaits>) {
    let of_pair = |(&(from, to), pair): (&(i64, i64), &PairTraffic)| record::PairCost {
        from,
        to,
        count: pair.count,
        bytes: pair.bytes,
        transfer_ns: pair.transfer,
        gbps: pair.bytes.filter(|_| pair.transfer > 0).map(|bytes| bytes as f64 / pair.transfer as f64),
    };
    let mut pairs: Vec<_> = traffic.pairs.iter().map(of_pair).collect();
    let speed = |pair: &record::PairCost| pair.gbps.unwrap_or(f64::INFINITY);
    pairs.sort_by(|a, b| speed(a).total_cmp(&speed(b)).then((a.from, a.to).cmp(&(b.from, b.to))));
    let of_rank = |(&part, waits): (&u32, &RankTraffic)| {
        let part = job.parts.get(part as usize)?;
        let step_ns = part.total().span();
        let share = |time: i64| (step_ns > 0).then(|| time as f64 / step_ns as f64);
        Some(record::RankWaits {
            path: part.path.clone(),
            rank: part.rank,
            bubble_ns: waits.bubble,
            bubble_share: share(waits.bubble),
            dispatch_ns: waits.dispatch,
            combine_ns: waits.combine,
            experts_exposed_ns: waits.experts_exposed,
            experts_share: share(waits.experts_exposed),
        })
    };
    let mut ranks: Vec<_> = traffic.ranks.iter().filter_map(of_rank).collect();
    ranks.sort_by_key(|r| (std::cmp::Reverse(r.bubble_ns.saturating_add(r.experts_exposed_ns)), r.rank));
    (pairs, ranks)
}

/// Maximum number of pairs that are shown; records have all of them.
const MOST_PAIRS: usize = 5;
/// A bubble of less of the steps is not shown.
const LEAST_BUBBLE: f64 = 0.01;

fn describe_traffic(report: &mut Report, pairs: &[record::PairCost], ranks: &[record::RankWaits]) {
    if !pairs.is_empty() {
        let columns = [("from", RIGHT), ("to", RIGHT), ("count", RIGHT), ("size", RIGHT), ("GB/s", RIGHT)];
        let rows = pairs.iter().take(MOST_PAIRS).map(|pair| {
            vec![
                pair.from.to_string(),
                pair.to.to_string(),
                format_count(pair.count),
                pair.bytes.map_or_else(|| "-".to_owned(), format_bytes),
                pair.gbps.map_or_else(|| "-".to_owned(), |b| format!("{b:.2}")),
            ]
        });
        let title = match pairs.len() {
            n if n > MOST_PAIRS => {
                format!("transfers between pairs of ranks, the {MOST_PAIRS} slowest of {n}")
            }
            _ => "transfers between pairs of ranks, the slowest first".to_owned(),
        };
        report.add_table(title, &columns, rows.collect());
    }
    let unit = TimeUnit::for_largest(ranks.iter().map(|r| r.bubble_ns.max(r.dispatch_ns)).max().unwrap_or(0));
    let has_bubble = |r: &record::RankWaits| r.bubble_share.is_some_and(|share| share >= LEAST_BUBBLE);
    if ranks.iter().any(has_bubble) {
        let rows = ranks
            .iter()
            .filter(|r| has_bubble(r))
            .map(|r| vec![r.rank.to_string(), unit.format_time(r.bubble_ns), format_percent(r.bubble_share)]);
        let title = format!(
            "bubbles of the pipeline: waits for other stages while nothing is computed, in {}",
            unit.name
        );
        report.add_table(title, &[("rank", RIGHT), ("bubble", RIGHT), ("% of steps", RIGHT)], rows.collect());
    }
    if ranks.iter().any(|r| r.dispatch_ns + r.combine_ns > 0) {
        let columns = [
            ("rank", RIGHT),
            ("dispatch", RIGHT),
            ("combine", RIGHT),
            ("exposed", RIGHT),
            ("% of steps", RIGHT),
        ];
        let rows = ranks.iter().filter(|r| r.dispatch_ns + r.combine_ns > 0).map(|r| {
            let mut cells = vec![r.rank.to_string()];
            cells.extend(
                [r.dispatch_ns, r.combine_ns, r.experts_exposed_ns].map(|time| unit.format_time(time)),
            );
            cells.push(format_percent(r.experts_share));
            cells
        });
        report.add_table(format!("to experts and back, in {}", unit.name), &columns, rows.collect());
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
            match first.kind.as_str() {
                "unknown" => "those of unknown kind",
                kind => kind,
            }
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
            match r.group_size.or((r.ranks > 1).then_some(r.ranks)) {
                Some(ranks) => ranks.to_string(),
                None => "-".to_owned(),
            },
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
    if records.iter().any(|r| r.algorithm_gbps.is_some() && r.bus_gbps.is_none()) {
        report.add_note(
            "no bus GB/s where no trace says how many ranks are in the group, nor how many are in the job, or where some of \
             those have no trace",
        );
    }
    report
}

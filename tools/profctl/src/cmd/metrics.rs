//! `profctl metrics`: what processes have sent to a daemon, and the last samples of its host.

use clap::Args;
use common::exit::Exit;
use common::record::profctl as record;
use common::rpc::message::{HostSample, ListPage, MetricListReply, MetricSeries, Request};
use common::text::Safe;

use crate::fanout::DaemonRequest;
use crate::reply::{decode_reply, format_decline};
use crate::screen::align_columns;
use crate::session::DaemonSession;

/// More than any daemon sends in one reply.
const ALL: u64 = 1_000_000;

/// Maximum number of totals of one daemon, more than it keeps: one that sends pages without an end is not asked without an end.
const MAX_SERIES: usize = 100_000;

/// Print what processes have sent to a daemon, and the last samples of its host
///
/// Processes on Ascend devices send sums of durations while they are monitored (`npu-monitor`). A daemon keeps the total of
/// each process, kind and device for an hour after the last one, and samples its host every minute (`profd
/// --host-interval`). Only profd has it.
#[derive(Args, Debug)]
#[command(
    after_long_help = "Examples:\n  Print the totals and the state of the host on this machine:\n    profctl metrics\n\n  Print the load of many hosts:\n    profctl --hosts @hosts metrics --host-only\n\n  Add up the time in kernels by rank:\n    profctl --format json metrics |
      jq '.series[]? | select(.kind == \"Kernel\") | [.labels.rank, .dur_ns / 1e9]'"
)]
pub(crate) struct MetricsArgs {
    /// Print the samples of the host only
    #[arg(long)]
    host_only: bool,
}

impl MetricsArgs {
    pub(crate) fn run(&self, mut session: DaemonSession<'_>) -> anyhow::Result<Exit> {
        let daemons = session.daemons().to_vec();
        let mut lists = vec![MetricListReply::default(); daemons.len()];
        let mut incomplete: Vec<usize> = (0..daemons.len()).collect();
        // Daemons send pages, so those with many totals are asked again.
        while !incomplete.is_empty() {
            let round = std::mem::take(&mut incomplete);
            let request = |place: &usize| {
                let limit = if self.host_only { 0 } else { ALL };
                let page = ListPage { offset: lists[*place].series.len() as u64, limit };
                let body = Request::Metrics(page).encode().into();
                DaemonRequest { daemon: daemons[*place].clone(), body }
            };
            let requests = round.iter().map(request).collect();
            session.query_each(requests, |session, index, mut answer, body| {
                let place = round[index];
                match body.and_then(|body| decode_reply::<MetricListReply>(&body)) {
                    Ok(page) => {
                        let is_complete = add_page(&mut lists[place], page);
                        if !is_complete && !self.host_only {
                            incomplete.push(place);
                            return Ok(());
                        }
                    }
                    Err(failure) => failure.apply_to(&mut answer),
                }
                session.count_answer(&answer);
                report(session, answer, std::mem::take(&mut lists[place]), self.host_only)
            })?;
        }
        session.finish_run()
    }
}

/// Appends a page to what a daemon has sent before, and returns whether that is all.
fn add_page(list: &mut MetricListReply, page: MetricListReply) -> bool {
    let is_last = page.series.is_empty();
    list.total = page.total;
    list.uptime_s = page.uptime_s;
    list.series.extend(page.series);
    if !page.samples.is_empty() {
        list.samples = page.samples;
    }
    is_last || list.series.len() as u64 >= list.total || list.series.len() >= MAX_SERIES
}

fn report(
    session: &mut DaemonSession<'_>,
    answer: record::ReplySummary,
    list: MetricListReply,
    only_host: bool,
) -> anyhow::Result<()> {
    if session.writes_records() {
        return Ok(session.out.record(&metrics_record(answer, list))?);
    }
    if let Some(text) = format_decline(&answer) {
        return session.print_line(&answer, &text);
    }
    if answer.outcome != record::RequestOutcome::Done {
        return Ok(());
    }
    let n = list.total;
    session.print_line(&answer, &format!("{n} series of metrics, up {} s", list.uptime_s))?;
    let series = if only_host { Vec::new() } else { format_series(&list.series) };
    for line in list.samples.iter().map(format_sample).chain(series) {
        writeln!(session.out.text(), "  {}", Safe(&line))?;
    }
    Ok(())
}

fn metrics_record(answer: record::ReplySummary, list: MetricListReply) -> record::Metrics {
    let series = |s: MetricSeries| record::MetricTotal {
        kind: s.kind,
        device_id: s.device_id,
        host_pid: s.host_pid,
        uid: s.uid,
        job_id: s.job_id,
        domain: s.domain,
        labels: s.labels,
        dur_ns: s.dur_ns,
        reports: s.reports,
        last_ms: s.last_ms,
    };
    let sample = |s: HostSample| record::HostSample {
        device: s.device,
        time: s.time,
        labels: s.labels,
        values: s.values,
    };
    record::Metrics {
        answer,
        total: list.total,
        series: list.series.into_iter().map(series).collect(),
        samples: list.samples.into_iter().map(sample).collect(),
    }
}

/// Formats a sample in one line: what most people look at first, then the number of the others.
fn format_sample(sample: &HostSample) -> String {
    const FIRST: [&str; 5] = ["cpu_util", "cpu_u", "cpu_s", "cpu_i", "uptime"];
    let name = sample.device.as_ref().map_or_else(|| "host".to_owned(), |device| format!("device {device}"));
    let shown =
        |name: &&str| sample.values.get(*name).map(|value| format!("{name} {}", format_value(*value)));
    let mut parts: Vec<String> = if sample.device.is_none() {
        FIRST.iter().filter_map(shown).collect()
    } else {
        sample.values.iter().map(|(name, value)| format!("{name} {}", format_value(*value))).collect()
    };
    let others = sample.values.len() - parts.len();
    if others > 0 {
        parts.push(format!("{others} more (--format json)"));
    }
    format!("{name} at {}: {}", sample.time, parts.join(", "))
}

/// Formats a value with at most two digits after the point.
fn format_value(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Formats the totals in columns.
fn format_series(series: &[MetricSeries]) -> Vec<String> {
    if series.is_empty() {
        return Vec::new();
    }
    let heading = ["KIND", "DEVICE", "PID", "UID", "JOB", "RANK", "SECONDS", "REPORTS", "LAST"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(series.iter().map(|s| {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let kind = match &s.domain {
            Some(domain) => format!("{}/{domain}", s.kind),
            None => s.kind.clone(),
        };
        let device = if s.device_id < 0 { "host".to_owned() } else { s.device_id.to_string() };
        let label = |name: &str| s.labels.get(name).cloned();
        vec![
            kind,
            device,
            s.host_pid.to_string(),
            or_dash(s.uid.map(|uid| uid.to_string())),
            or_dash(label("slurm_job_id").or_else(|| s.job_id.map(|job| job.to_string()))),
            or_dash(label("rank")),
            format!("{}.{:03}", s.dur_ns / 1_000_000_000, s.dur_ns / 1_000_000 % 1000),
            s.reports.to_string(),
            format!("{} s ago", s.last_ms / 1000),
        ]
    }));
    align_columns(&rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(offset: u64, n: usize, total: u64) -> MetricListReply {
        let json = format!(
            r#"{{"offset":{offset},"total":{total},"uptime_s":9,"series":[],"samples":[{{"time":"t","values":{{"cpu_util":12.5,"uptime":3.0,
                "rx_bytes.eth0":1.0}}}}]}}"#
        );
        let mut reply: MetricListReply = serde_json::from_str(&json).unwrap();
        reply.series = vec![MetricSeries { kind: "Kernel".to_owned(), ..MetricSeries::default() }; n];
        reply
    }

    #[test]
    fn pages_are_joined_until_all_are_there_or_nothing_comes() {
        let mut list = MetricListReply::default();
        assert!(!add_page(&mut list, page(0, 2, 5)) && !add_page(&mut list, page(2, 2, 5)));
        assert!(add_page(&mut list, page(4, 1, 5)));
        assert_eq!((list.series.len(), list.samples.len()), (5, 1));
        assert!(add_page(&mut list, page(5, 0, 99)), "a daemon that says more than it sends");
    }

    #[test]
    fn totals_stand_in_columns_and_samples_in_a_line() {
        let mut series = page(0, 1, 1).series;
        series[0].labels =
            [("rank".to_owned(), "3".to_owned()), ("slurm_job_id".to_owned(), "4711".to_owned())].into();
        (series[0].dur_ns, series[0].reports, series[0].host_pid) = (1_234_567_890, 2, 7);
        let lines = format_series(&series);
        let words: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(words, ["Kernel", "0", "7", "-", "4711", "3", "1.234", "2", "0", "s", "ago"]);
        assert_eq!(
            format_sample(&page(0, 0, 0).samples[0]),
            "host at t: cpu_util 12.5, uptime 3, 1 more (--format json)"
        );
        assert!(format_series(&[]).is_empty());
    }
}

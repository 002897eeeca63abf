//! Sums as Markdown: of one trace its steps, of several one row each.

use trace::summary::{LEFT, RIGHT, Report};
use trace::units::{TimeUnit, format_duration, format_percent};

use super::super::Trace;
use super::job::JobTimes;
use super::{exclusion_notes, rank_of_scope, step_name};
use trace::analysis::sum::Sums;
use trace::split::Split;

/// A row: rank, device, step or trace, and how its time divides.
struct SumRow {
    rank: Option<i64>,
    device: Option<i64>,
    what: String,
    split: Split,
}

/// The rows that are kept until all traces are read.
#[derive(Default)]
pub(super) struct MarkdownSums {
    traces: u64,
    totals: Vec<SumRow>,
    /// Of the first trace.
    steps: Vec<SumRow>,
    notes: Vec<String>,
}

impl MarkdownSums {
    /// Takes a trace.
    pub(super) fn add(&mut self, trace: &Trace, sums: &Sums) {
        self.traces += 1;
        for row in &sums.totals {
            let rank = rank_of_scope(trace, sums, row.scope);
            let total = |split| SumRow { rank, device: row.device, what: trace.label(), split };
            self.totals.extend(row.split.map(total));
        }
        if self.traces > 1 {
            return;
        }
        for row in &sums.steps {
            let rank = rank_of_scope(trace, sums, row.scope);
            let step = |split| SumRow { rank, device: row.device, what: step_name(row), split };
            self.steps.extend(row.split.map(step));
        }
        self.notes = exclusion_notes(trace, sums);
    }

    /// Returns the report.
    pub(super) fn finish(self, job: &JobTimes) -> Report {
        let mut report = Report::new(self.headline());
        if self.totals.is_empty() {
            report.add_note("no device events: `traceq top` lists what the host did");
            return report;
        }
        add_rows(&mut report, "whole traces", "trace", &self.totals);
        if self.traces == 1 {
            add_rows(&mut report, "steps", "step", &self.steps);
            self.notes.into_iter().for_each(|note| report.add_note(note));
        }
        if let Some(unit) = job.unit() {
            let columns = [
                ("min", RIGHT),
                ("rank", RIGHT),
                ("median", RIGHT),
                ("max", RIGHT),
                ("rank", RIGHT),
                ("", LEFT),
            ];
            report.add_table(
                format!("devices beside each other, in {}", unit.name),
                &columns,
                job.rows(unit),
            );
        }
        report
    }

    fn headline(&self) -> String {
        let mut all = Split::default();
        for Split { total, compute, exposed_communication, exposed_memcpy, .. } in
            self.totals.iter().map(|r| r.split)
        {
            all.total = all.total.saturating_add(total);
            all.compute = all.compute.saturating_add(compute);
            all.exposed_communication = all.exposed_communication.saturating_add(exposed_communication);
            all.exposed_memcpy = all.exposed_memcpy.saturating_add(exposed_memcpy);
        }
        let share = |part: i64| format_percent(all.ratio(part));
        let what = match (self.totals.len(), self.totals.first()) {
            (_, None) => return format!("{} traces without device events", self.traces),
            (1, Some(only)) => format!("{} on a device", format_duration(only.split.total)),
            (n, _) => format!("{n} devices"),
        };
        format!(
            "{what}: {} compute, {} exposed communication, {} exposed copies, {} idle",
            share(all.compute),
            share(all.exposed_communication),
            share(all.exposed_memcpy),
            share(all.idle())
        )
    }
}

fn add_rows(report: &mut Report, title: &str, what: &'static str, rows: &[SumRow]) {
    if rows.is_empty() {
        return;
    }
    let unit = TimeUnit::for_largest(rows.iter().map(|row| row.split.total).max().unwrap_or(0));
    let columns = [
        ("rank", RIGHT),
        ("device", RIGHT),
        ("total", RIGHT),
        ("compute", RIGHT),
        ("comm", RIGHT),
        ("exposed", RIGHT),
        ("copy", RIGHT),
        ("exposed", RIGHT),
        ("idle", RIGHT),
        ("idle%", RIGHT),
        (what, LEFT),
    ];
    let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    let cells = rows.iter().map(|row| {
        let s = &row.split;
        let times = [
            s.total,
            s.compute,
            s.communication,
            s.exposed_communication,
            s.memcpy,
            s.exposed_memcpy,
            s.idle(),
        ];
        let mut cells = vec![number(row.rank), number(row.device)];
        cells.extend(times.iter().map(|time| unit.format_time(*time)));
        cells.push(format_percent(s.ratio(s.idle())));
        cells.push(row.what.clone());
        cells
    });
    report.add_table(format!("{title}, in {}", unit.name), &columns, cells.collect());
}

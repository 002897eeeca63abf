//! `traceq top`: which kernels and operators take the most time.

use std::io::{self, Write};

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::traceq as record;
use common::text::safe;

use super::{Format, Tally, Trace};
use crate::analysis::rank::{By, Entry, Order, Ranking};
use crate::input::Inputs;
use crate::write::table::{Align, Table, cut_to_width};
use crate::write::units::{TimeUnit, format_count, format_percent};

/// List the kernels and operators that take the most time
///
/// For host events, self is the time in which one of them was the innermost of its kind on its thread, and shares
/// are of self time; recursive calls count in total each time. For device work, shares are of the sum of all.
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:\n  \
    traceq top log_4242.json.gz\n  \
    traceq top --by op --sort self -n 50 --format json log_4242.json.gz")]
pub(crate) struct Top {
    #[command(flatten)]
    inputs: Inputs,
    /// What to list; may be given several times. Default: kernel and op, or other if there are none of both
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',')]
    by: Vec<By>,
    /// How many of each kind
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    number: usize,
    /// What to order by
    #[arg(long, value_enum, value_name = "KEY", default_value_t)]
    sort: Order,
}

impl Top {
    /// Reads, ranks, and writes the lists of one trace after the other.
    pub(crate) fn run(self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        let json = format.is_json("top")?;
        let wanted = if self.by.is_empty() { vec![By::Kernel, By::Op, By::Other] } else { self.by.clone() };
        let mut tally = Tally::default();
        let ranking = || Ranking::new(&wanted);
        let named =
            super::each_trace(&self.inputs, out, &mut tally, ranking, |out, tally, trace, mut ranking| {
                let mut lists: Vec<_> =
                    wanted.iter().map(|&by| (by, ranking.top(by, self.sort, self.number))).collect();
                if self.by.is_empty()
                    && lists.iter().any(|(by, (list, _))| *by != By::Other && !list.is_empty())
                {
                    lists.retain(|(by, _)| *by != By::Other);
                }
                if !json {
                    let note =
                        if trace.outcome.complete { "" } else { " (incomplete: what could be read of it)" };
                    writeln!(out.text(), "{}{note}", safe(&trace.label()))?;
                }
                for (by, (entries, whole)) in lists {
                    if json {
                        write_records(out, tally, &trace, by, &entries, whole)?;
                    } else {
                        write_text(out.text(), by, &entries, whole)?;
                    }
                }
                Ok(())
            })?;
        tally.finish(out, json, named)
    }
}

fn share_of_whole(entry: &Entry, whole: i64) -> f64 {
    if whole > 0 { entry.own.unwrap_or(entry.total) as f64 / whole as f64 } else { 0.0 }
}

fn mean_duration(entry: &Entry) -> i64 {
    i64::try_from(entry.count).ok().and_then(|n| entry.total.checked_div(n)).unwrap_or(0)
}

fn write_records(
    out: &mut Out,
    tally: &mut Tally,
    trace: &Trace,
    by: By,
    entries: &[Entry],
    whole: i64,
) -> anyhow::Result<()> {
    for (place, entry) in (1..).zip(entries) {
        tally.record();
        out.record(&record::Top {
            path: trace.label(),
            path_hex: trace.path_hex(),
            rank: trace.outcome.meta.rank,
            by: by.name().to_owned(),
            place,
            name: entry.name.clone(),
            count: entry.count,
            total_ns: entry.total,
            self_ns: entry.own,
            mean_ns: mean_duration(entry),
            min_ns: entry.min,
            max_ns: entry.max,
            share: share_of_whole(entry, whole),
        })?;
    }
    Ok(())
}

fn write_text(to: &mut dyn Write, by: By, entries: &[Entry], whole: i64) -> io::Result<()> {
    /// What is left of a hundred columns.
    const NAME: usize = 40;
    if entries.is_empty() {
        return writeln!(to, "  {}: none\n", by.name());
    }
    const R: Align = Align::Right;
    let unit = TimeUnit::for_largest(entries.iter().map(|e| e.total).max().unwrap_or(0));
    let host = entries.iter().any(|e| e.own.is_some());
    let mut columns = vec![
        (if host { "self%" } else { "share" }, R),
        ("total", R),
        ("count", R),
        ("mean us", R),
        ("max us", R),
    ];
    if host {
        columns.insert(2, ("self", R));
    }
    columns.push((by.name(), Align::Left));
    let mut table = Table::new(&columns);
    let us = TimeUnit::for_largest(0);
    for e in entries {
        let mut cells = vec![format_percent(Some(share_of_whole(e, whole))), unit.format_time(e.total)];
        cells.extend(e.own.map(|own| unit.format_time(own)));
        cells.extend([
            format_count(e.count),
            us.format_time(mean_duration(e)),
            us.format_time(e.max),
            cut_to_width(&e.name, NAME),
        ]);
        table.add_row(cells);
    }
    writeln!(to, "  total{} in {}", if host { " and self" } else { "" }, unit.name)?;
    table.write(to)?;
    writeln!(to)
}

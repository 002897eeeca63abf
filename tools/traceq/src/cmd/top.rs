//! `traceq top`: which kernels and operators take the most time.

use std::io::{self, Write};

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::traceq as record;
use common::text::safe;

use super::{Format, Tally, Trace};
use crate::analysis::rank::{ListOrder, ListedEntry, ListedKind, Ranked, Ranking};
use trace::analysis::scopes::Scope;
use trace::inputs::TraceInputs;
use trace::options::AnalysisOptions;
use trace::report::format_count;
use trace::shorten::short_name;
use trace::summary::{RIGHT, Report};
use trace::table::{Align, Table, output_width};
use trace::units::{TimeUnit, format_duration, format_percent};

/// List the kernels and operators that take the most time
///
/// For host events, self is the time in which one of them was the innermost of its kind on its thread, and shares
/// are of self time; recursive calls count in total each time. For device work, shares are of the sum of all. Names are
/// shortened to the width of the terminal where they do not differ; --format json has them whole. Ranks that were merged
/// into one file are listed apart.
#[derive(Args, Debug)]
#[command(arg = super::format_arg(super::WITH_MARKDOWN), after_long_help = "Examples:\n  \
    traceq top log_4242.json.gz\n  \
    traceq top --by op --sort self -n 50 --format json log_4242.json.gz\n  \
    traceq top --by collective-call log_4242.json.gz")]
pub(crate) struct TopArgs {
    #[command(flatten)]
    inputs: TraceInputs,
    /// Kinds to list; may be repeated. Default: kernel and op, or other if there are none of both
    #[arg(long, value_enum, value_name = "KIND", value_delimiter = ',')]
    by: Vec<ListedKind>,
    /// Maximum number to list of each kind; 0 lists all
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    number: usize,
    /// Order of the list
    #[arg(long, value_enum, value_name = "KEY", default_value_t)]
    sort: ListOrder,
    #[command(flatten)]
    analysis: AnalysisOptions,
}

impl TopArgs {
    /// Reads, ranks, and writes the lists of one trace after the other.
    pub(crate) fn run(self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        let mut markdown = (format == Format::Md).then(|| Report::new("nothing took time".to_owned()));
        let json = markdown.is_none() && format.is_json("top")?;
        let wanted = if self.by.is_empty() {
            vec![ListedKind::Kernel, ListedKind::Op, ListedKind::Other]
        } else {
            self.by.clone()
        };
        let options = self.analysis.collect_options()?;
        let mut tally = Tally::default();
        let ranking = || Ranking::new(&wanted, &options);
        let named =
            super::each_trace(&self.inputs, out, &mut tally, ranking, |out, tally, trace, ranking| {
                let ranked = match ranking.finish() {
                    Ok(ranked) => ranked,
                    Err(e) => {
                        out.failed(trace.label(), &e);
                        return Ok(());
                    }
                };
                for (number, scope) in (0u32..).zip(&ranked.scopes.scopes) {
                    let lists = self.list_scope(&ranked, number, &wanted);
                    let several = ranked.scopes.are_several();
                    if several && lists.iter().all(|(_, (list, _))| list.is_empty()) {
                        continue;
                    }
                    if let Some(report) = &mut markdown {
                        for (by, (entries, whole)) in lists {
                            add_list(report, &trace, scope, by, &entries, whole);
                        }
                    } else if json {
                        for (by, (entries, whole)) in lists {
                            write_records(out, tally, &trace, scope, by, &entries, whole)?;
                        }
                    } else {
                        write_heading(out.text(), &trace, scope)?;
                        for (by, (entries, whole)) in lists {
                            write_text(out.text(), by, &entries, whole)?;
                        }
                    }
                }
                warn_of_dominance(out, &trace, &ranked);
                Ok(())
            })?;
        if let Some(report) = markdown.filter(|_| named > 0) {
            report.write_markdown(out.text())?;
        }
        tally.finish(out, json, named)
    }

    /// The lists of one rank. What is neither kernel nor operator is shown by itself only if there are none of both.
    fn list_scope(
        &self,
        ranked: &Ranked,
        scope: u32,
        wanted: &[ListedKind],
    ) -> Vec<(ListedKind, (Vec<ListedEntry>, i64))> {
        let most = if self.number == 0 { usize::MAX } else { self.number };
        let list = |&by: &ListedKind| (by, ranked.top(by, scope, self.sort, most));
        let mut lists: Vec<_> = wanted.iter().map(list).collect();
        let has_main = lists.iter().any(|(by, (list, _))| *by != ListedKind::Other && !list.is_empty());
        if self.by.is_empty() && has_main {
            lists.retain(|(by, _)| *by != ListedKind::Other);
        }
        lists
    }
}

fn write_heading(to: &mut dyn Write, trace: &Trace, scope: &Scope) -> io::Result<()> {
    let note = if trace.outcome.complete { "" } else { " (incomplete: what could be read of it)" };
    let label = scope.label.as_ref().map_or(String::new(), |l| format!(", {}", safe(l)));
    writeln!(to, "{}{label}{note}", safe(&trace.label()))
}

/// One of many device events that takes more time than all others makes shares and means doubtful.
fn warn_of_dominance(out: &Out, trace: &Trace, ranked: &Ranked) {
    for scope in 0..ranked.scopes.scopes.len() as u32 {
        let (entries, whole) = ranked.top(ListedKind::Kernel, scope, ListOrder::Total, usize::MAX);
        let events: u64 = entries.iter().map(|e| e.count).sum();
        let Some(longest) = entries.iter().max_by_key(|e| e.max).filter(|_| events >= 20) else { continue };
        let next = entries.iter().filter(|e| e.name != longest.name).map(|e| e.max).max().unwrap_or(0);
        if longest.max.saturating_mul(2) > whole && longest.max / 10 >= next {
            let (name, max) = (short_name(&longest.name), format_duration(longest.max));
            let found =
                format!("one `{name}` of {max} is more than half of the device time: see `traceq check`");
            out.warn(trace.label(), found);
        }
    }
}

fn share_of_whole(entry: &ListedEntry, whole: i64) -> f64 {
    if whole > 0 { entry.own.unwrap_or(entry.total) as f64 / whole as f64 } else { 0.0 }
}

fn mean_duration(entry: &ListedEntry) -> i64 {
    i64::try_from(entry.count).ok().and_then(|n| entry.total.checked_div(n)).unwrap_or(0)
}

fn write_records(
    out: &mut Out,
    tally: &mut Tally,
    trace: &Trace,
    scope: &Scope,
    by: ListedKind,
    entries: &[ListedEntry],
    whole: i64,
) -> anyhow::Result<()> {
    for (place, entry) in (1..).zip(entries) {
        tally.record();
        out.record(&record::Top {
            path: trace.label(),
            path_hex: trace.path_hex(),
            rank: if scope.label.is_some() { scope.rank } else { trace.outcome.meta.rank },
            process: scope.label.clone(),
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

/// Adds a list to a summary, whose first says the most important thing.
fn add_list(
    report: &mut Report,
    trace: &Trace,
    scope: &Scope,
    by: ListedKind,
    entries: &[ListedEntry],
    whole: i64,
) {
    let Some(first) = entries.first() else { return };
    let label = scope.label.as_ref().map_or(String::new(), |l| format!(", {l}"));
    let subject = format!("{}{label}", trace.label());
    if report.is_empty() {
        let share = format_percent(Some(share_of_whole(first, whole)));
        let of = if first.own.is_some() { "the self time of operators" } else { "the time of the device" };
        *report = Report::new(format!("{} takes {share} of {of} in {subject}", first.name));
    }
    let unit = TimeUnit::for_largest(entries.iter().map(|e| e.total).max().unwrap_or(0));
    let columns = [
        ("share", RIGHT),
        ("total", RIGHT),
        ("count", RIGHT),
        ("mean", RIGHT),
        ("max", RIGHT),
        (by.name(), Align::Left),
    ];
    let row = |e: &ListedEntry| {
        let mut cells = vec![format_percent(Some(share_of_whole(e, whole))), unit.format_time(e.total)];
        cells.extend([format_count(e.count), format_duration(mean_duration(e)), format_duration(e.max)]);
        cells.push(e.name.clone());
        cells
    };
    let title = format!("{subject}: {} by total time in {}", by.name(), unit.name);
    report.add_table(title, &columns, entries.iter().map(row).collect());
}

fn write_text(to: &mut dyn Write, by: ListedKind, entries: &[ListedEntry], whole: i64) -> io::Result<()> {
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
            e.name.clone(),
        ]);
        table.add_row(cells);
    }
    writeln!(to, "  total{} in {}", if host { " and self" } else { "" }, unit.name)?;
    table.fit_last_column(output_width());
    table.write(to)?;
    writeln!(to)
}

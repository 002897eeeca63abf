//! `traceq sum`: where the time went, per step and device, and over the whole trace.

mod by;
mod job;
mod markdown;

use std::io::{self, Write};

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::traceq as record;
use common::text::safe;

use super::{Format, Tally, Trace};
use by::{ByStepOrRank, GroupBy, sum_groups};
use job::JobTimes;
use markdown::MarkdownSums;
use trace::analysis::OverlapLanes;
use trace::analysis::resolve::resolve;
use trace::analysis::sum::{StepRow, Sums, TotalRow, sum_trace};
use trace::check;
use trace::inputs::TraceInputs;
use trace::options::AnalysisOptions;
use trace::report::format_count;
use trace::shorten::short_name;
use trace::split::Split;
use trace::table::{Align, Table};
use trace::units::{TimeUnit, format_duration, format_percent, format_wall_clock};

/// Sum up where the time went: compute, exposed communication, overlap, copies, idle
///
/// One row per step and device, and one per device for the whole trace. Device work belongs to the step that
/// launched it. Times are unions: two kernels at the same moment count once. compute, exposed communication,
/// exposed copies and idle add up to the total. Of an Ascend timeline, the exporter's own lanes are summed as its
/// step_trace_time.csv does: its idle time is the lane Free, in which copies may run. What was left out is counted by
/// cause. Ranks that were merged into one file are summed apart, or the file is rejected. Several ranks are compared at the end:
/// the least, the median and the most of each time, and who has it. What `traceq check` would say
/// against the numbers is a warning on standard error.
#[derive(Args, Debug)]
#[command(arg = super::format_arg(super::WITH_MARKDOWN), after_long_help = "Examples:\n  \
    traceq sum log_4242.json.gz\n  \
    traceq sum --format json rank*.json | jq -r 'select(.idle_ratio>0.3).rank'\n  \
    traceq sum --step-name '^batch (\\d+)' --class 'communication=^my_exchange' log_4242.json.gz\n  \
    profctl nputrace --log-file /data/prof --wait --format json | traceq sum --files-from -")]
pub(crate) struct SumArgs {
    #[command(flatten)]
    inputs: TraceInputs,
    /// Count device work too that nothing in the trace launched: left over from before the recording
    #[arg(long)]
    include_unlinked: bool,
    /// Put the times of all traces together instead: by step, rank, phase, module, annotation or stream
    ///
    /// Phases, modules, annotations and streams have the durations of device work, added up. A piece of work belongs to the
    /// innermost range that was open on the launching thread at its launch, and work of the backward pass to the module of
    /// its forward operator.
    #[arg(long, value_enum, value_name = "WHAT")]
    by: Option<GroupBy>,
    #[command(flatten)]
    analysis: AnalysisOptions,
}

impl SumArgs {
    /// Reads, sums, and writes the rows of one trace after the other.
    pub(crate) fn run(self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        let mut markdown = (format == Format::Md).then(MarkdownSums::default);
        let json = markdown.is_none() && format.is_json("sum")?;
        let options = self.analysis.collect_options()?;
        if let Some(by) = self.by.filter(|by| !by.is_of_splits()) {
            return sum_groups(by, &self.inputs, &options, (out, json));
        }
        let mut tally = Tally::default();
        let mut job = JobTimes::default();
        let mut groups = ByStepOrRank::default();
        let sink = || options.collector();
        let named =
            super::each_trace(&self.inputs, out, &mut tally, sink, |out, tally, trace, collected| {
                let (dialect, cut) = (trace.outcome.meta.dialect, !trace.outcome.complete);
                let sums = resolve(collected, dialect, cut).and_then(|r| sum_trace(r, self.include_unlinked));
                let sums = match sums {
                    Ok(sums) => sums,
                    Err(e) => {
                        out.failed(trace.label(), &e);
                        return Ok(());
                    }
                };
                if self.by.is_some() {
                    add_to_groups(&mut groups, &trace, &sums, tally.files());
                    check::warn_of_doubts(out, &trace.path, &trace.outcome, &sums);
                    return Ok(());
                }
                let mut scope = None;
                for row in &sums.totals {
                    if scope != Some(row.scope) {
                        job.begin_rank();
                        scope = Some(row.scope);
                    }
                    row.split
                        .iter()
                        .for_each(|split| job.add(rank_of_scope(&trace, &sums, row.scope), *split));
                }
                if let Some(markdown) = &mut markdown {
                    markdown.add(&trace, &sums);
                } else if json {
                    write_records(out, tally, &trace, &sums)?;
                } else {
                    write_text(out.text(), &trace, &sums)?;
                }
                check::warn_of_doubts(out, &trace.path, &trace.outcome, &sums);
                Ok(())
            })?;
        if let Some(by) = self.by {
            groups.write(by, out, &mut tally, json)?;
        } else if let Some(markdown) = markdown.filter(|_| named > 0) {
            markdown.finish(&job).write_markdown(out.text())?;
        } else if json {
            for record in job.records() {
                tally.record();
                out.record(&record)?;
            }
        } else {
            job.write_text(out.text())?;
        }
        tally.finish(out, json, named)
    }
}

/// Adds the steps and totals of a trace; one that does not say its rank has its place, counted from 0.
fn add_to_groups(groups: &mut ByStepOrRank, trace: &Trace, sums: &Sums, files: u64) {
    let place = i64::try_from(files).unwrap_or(i64::MAX) - 1;
    for row in &sums.steps {
        let rank = rank_of_scope(trace, sums, row.scope).unwrap_or(place);
        if let Some(split) = row.split {
            groups.add_step(rank, row.device, row.step.number, split);
        }
    }
    for row in &sums.totals {
        let rank = rank_of_scope(trace, sums, row.scope).unwrap_or(place);
        if let Some(split) = row.split {
            groups.add_total(rank, row.device, split);
        }
    }
}

/// The rank of a scope: the trace's own, or what a merging tool wrote into its processes.
fn rank_of_scope(trace: &Trace, sums: &Sums, scope: u32) -> Option<i64> {
    if sums.scopes.are_several() { sums.scopes.scopes[scope as usize].rank } else { trace.outcome.meta.rank }
}

fn label_of_scope(sums: &Sums, scope: u32) -> Option<String> {
    sums.scopes.scopes[scope as usize].label.clone()
}

fn write_records(out: &mut Out, tally: &mut Tally, trace: &Trace, sums: &Sums) -> anyhow::Result<()> {
    for row in &sums.steps {
        tally.record();
        out.record(&step_record(trace, sums, row))?;
    }
    for row in &sums.totals {
        tally.record();
        out.record(&total_record(trace, sums, row))?;
    }
    Ok(())
}

fn step_record(trace: &Trace, sums: &Sums, row: &StepRow) -> record::Step {
    let meta = &trace.outcome.meta;
    let start = row.step.start;
    record::Step {
        path: trace.label(),
        path_hex: trace.path_hex(),
        rank: rank_of_scope(trace, sums, row.scope),
        process: label_of_scope(sums, row.scope),
        device: row.device,
        step: row.step.number,
        mark: row.mark.clone(),
        start_ns: start,
        start: meta.epoch_offset(start).and_then(|offset| format_wall_clock(start.checked_add(offset)?)),
        dur_ns: row.step.end - start,
        host_op_ns: row.host_op,
        split: row.split.as_ref().map(split_record),
        stage: row.lanes.as_ref().map(|lanes| stage_record(lanes, Some(start))),
        device_events: row.device_events,
        launches_without_event: row.launches_without_event,
        partial: row.step.partial,
        derived: row.derived,
    }
}

fn total_record(trace: &Trace, sums: &Sums, row: &TotalRow) -> record::Total {
    let outcome = &trace.outcome;
    let host = &sums.host[row.scope as usize];
    record::Total {
        path: trace.label(),
        path_hex: trace.path_hex(),
        format: outcome.meta.dialect.name().to_owned(),
        rank: rank_of_scope(trace, sums, row.scope),
        process: label_of_scope(sums, row.scope),
        device: row.device,
        span_ns: sums.span,
        host_op_ns: host.host_op,
        split: row.split.as_ref().map(split_record),
        stage: row.lanes.as_ref().map(|lanes| stage_record(lanes, None)),
        device_events: row.counts.device_events,
        kernels: row.counts.kernels,
        collectives: row.counts.collectives,
        memcpys: row.counts.memcpys,
        memsets: row.counts.memsets,
        unlinked_events: sums.unlinked_counted,
        steps: host.steps,
        partial_steps: host.partial_steps,
        excluded: sums.excluded.clone(),
        repairs: outcome.defects.repairs(),
        losses: outcome.defects.losses(),
        complete: outcome.complete,
        events_read: outcome.events,
    }
}

fn split_record(split: &Split) -> record::Split {
    record::Split {
        total_ns: split.total,
        compute_ns: split.compute,
        communication_ns: split.communication,
        exposed_communication_ns: split.exposed_communication,
        overlap_ns: split.overlap(),
        memcpy_ns: split.memcpy,
        exposed_memcpy_ns: split.exposed_memcpy,
        idle_ns: split.idle(),
        idle_ratio: split.ratio(split.idle()),
        compute_ratio: split.ratio(split.compute),
        exposed_communication_ratio: split.ratio(split.exposed_communication),
    }
}

fn stage_record(lanes: &OverlapLanes, host_start: Option<i64>) -> record::Stage {
    record::Stage {
        stage_ns: lanes.stage(),
        bubble_ns: lanes.bubble(),
        exposed_communication_excluding_receive_ns: lanes.excluding_receive(),
        preparing_ns: host_start.and_then(|start| lanes.preparing(start)),
    }
}

fn write_text(to: &mut dyn Write, trace: &Trace, sums: &Sums) -> io::Result<()> {
    let outcome = &trace.outcome;
    let rank = match (outcome.meta.rank, outcome.meta.world_size) {
        (Some(r), Some(w)) => format!(", rank {r} of {w}"),
        (Some(r), None) => format!(", rank {r}"),
        _ => String::new(),
    };
    let format = outcome.meta.dialect.name();
    let (events, span) = (format_count(outcome.events), format_duration(sums.span));
    let noun = if outcome.events == 1 { "event" } else { "events" };
    writeln!(to, "{}: {format}{rank}, {events} {noun}, {span}", safe(&trace.label()))?;
    if sums.totals.iter().any(|t| t.split.is_some()) {
        device_table(to, sums)?;
    } else {
        writeln!(to, "  no device events: host time only")?;
        host_table(to, sums)?;
    }
    for note in exclusion_notes(trace, sums) {
        writeln!(to, "  {note}")?;
    }
    writeln!(to)
}

const RIGHT: Align = Align::Right;

fn device_table(to: &mut dyn Write, sums: &Sums) -> io::Result<()> {
    let splits = sums.steps.iter().filter_map(|r| r.split).chain(sums.totals.iter().filter_map(|r| r.split));
    let unit = TimeUnit::for_largest(splits.map(|s| s.total).max().unwrap_or(0));
    let several = sums.scopes.are_several();
    let mut columns = vec![
        ("device", RIGHT),
        ("step", RIGHT),
        ("total", RIGHT),
        ("compute", RIGHT),
        ("comm", RIGHT),
        ("exposed", RIGHT),
        ("overlap", RIGHT),
        ("copy", RIGHT),
        ("exposed", RIGHT),
        ("idle", RIGHT),
        ("idle%", RIGHT),
    ];
    if several {
        columns.insert(0, ("process", Align::Left));
    }
    let mut table = Table::new(&columns);
    let mut row = |scope: u32, device: Option<i64>, step: String, split: Option<Split>| {
        let mut cells = vec![device.map_or("-".to_owned(), |d| d.to_string()), step];
        if several {
            cells.insert(0, label_of_scope(sums, scope).unwrap_or("-".to_owned()));
        }
        match split {
            Some(s) => {
                let times = [
                    s.total,
                    s.compute,
                    s.communication,
                    s.exposed_communication,
                    s.overlap(),
                    s.memcpy,
                    s.exposed_memcpy,
                    s.idle(),
                ];
                cells.extend(times.iter().map(|t| unit.format_time(*t)));
                cells.push(format_percent(s.ratio(s.idle())));
            }
            None => cells.extend(std::iter::repeat_n("-".to_owned(), 9)),
        }
        table.add_row(cells);
    };
    sums.steps.iter().for_each(|r| row(r.scope, r.device, step_name(r), r.split));
    sums.totals.iter().for_each(|r| row(r.scope, r.device, "all".to_owned(), r.split));
    writeln!(to, "  times in {}", unit.name)?;
    table.write(to)
}

fn host_table(to: &mut dyn Write, sums: &Sums) -> io::Result<()> {
    let unit = TimeUnit::for_largest(sums.span);
    let several = sums.scopes.are_several();
    let mut columns = vec![("step", RIGHT), ("duration", RIGHT), ("in operators", RIGHT)];
    if several {
        columns.insert(0, ("process", Align::Left));
    }
    let mut table = Table::new(&columns);
    let mut row = |scope: u32, step: String, length: i64, host_op: i64| {
        let mut cells = vec![step, unit.format_time(length), unit.format_time(host_op)];
        if several {
            cells.insert(0, label_of_scope(sums, scope).unwrap_or("-".to_owned()));
        }
        table.add_row(cells);
    };
    for step in &sums.steps {
        row(step.scope, step_name(step), step.step.end - step.step.start, step.host_op);
    }
    for total in &sums.totals {
        let host = sums.host.get(total.scope as usize).map_or(0, |host| host.host_op);
        row(total.scope, "all".to_owned(), sums.span, host);
    }
    writeln!(to, "  times in {}; operators summed over threads", unit.name)?;
    table.write(to)
}

/// A step that the trace may have only a part of has a star.
fn step_name(row: &StepRow) -> String {
    format!("{}{}", row.step.number, if row.step.partial { "*" } else { "" })
}

/// Describes the marks of the steps, where they are not `ProfilerStep#N`.
fn mark_note(sums: &Sums) -> Option<String> {
    let mut marks: Vec<&String> = sums.steps.iter().filter_map(|s| s.mark.as_ref()).collect();
    marks.sort();
    marks.dedup();
    let first = *marks.first()?;
    let more = if marks.len() > 1 { format!(" and {} more", marks.len() - 1) } else { String::new() };
    Some(format!("steps are marked by `{}`{more}", safe(&short_name(first))))
}

/// Returns the notes below a table.
fn exclusion_notes(trace: &Trace, sums: &Sums) -> Vec<String> {
    let mut notes = Vec::new();
    if !trace.outcome.complete {
        notes.push("* the trace is incomplete: this is what could be read of it".to_owned());
    } else if sums.host.iter().any(|h| h.partial_steps > 0) {
        let edge = if sums.derived_steps { "may begin" } else { "ends" };
        notes.push(format!("* the trace {edge} inside the step"));
    }
    if sums.derived_steps {
        notes.push("the trace marks no steps: these go from one Optimizer.step to the next".to_owned());
    }
    notes.extend(mark_note(sums));
    if sums.unlinked_counted > 0 {
        let n = format_count(sums.unlinked_counted);
        notes.push(format!(
            "device events that nothing in the trace launched, counted as they are most of the time: {n}"
        ));
    }
    if sums.steps_by_start && !sums.steps.is_empty() {
        notes.push("work without a launch is counted in the step in which it starts".to_owned());
    }
    let list = |counts: Vec<(String, u64)>| {
        counts
            .into_iter()
            .map(|(cause, n)| format!("{cause} {}", format_count(n)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let in_no_step = |cause: &str| matches!(cause, "outside_steps" | "launch_not_recorded");
    let (steps, all): (Vec<_>, Vec<_>) = sums.excluded.clone().into_iter().partition(|(c, _)| in_no_step(c));
    for (what, counts) in [("left out", all), ("in the total, but in no step", steps)] {
        if !counts.is_empty() {
            notes.push(format!("{what}: {}", list(counts)));
        }
    }
    let missing = sums.links.without_event;
    if missing > 0 {
        notes.push(format!("launches without a device event: {}", format_count(missing)));
    }
    for (what, counts) in
        [("lost", trace.outcome.defects.losses()), ("repaired", trace.outcome.defects.repairs())]
    {
        if !counts.is_empty() {
            notes.push(format!("{what}: {}", list(counts.into_iter().collect())));
        }
    }
    notes
}

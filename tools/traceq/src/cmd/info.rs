//! `traceq info`: what a file is, and of several, what a job has left behind.

mod ranks;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::traceq as record;
use common::text::safe;

use super::{Format, Tally, Trace};
use trace::analysis::clusters::RecordedTime;
use trace::analysis::collect::{CollectOptions, Collected};
use trace::analysis::resolve::find_marked_steps;
use trace::classifier::Classified;
use trace::inputs::TraceInputs;
use trace::model::{Category, Event, EventSink, FastMap, RowTraits};
use trace::report::format_count;
use trace::units::{format_bytes, format_duration, format_wall_clock};

/// Say what a trace is: format, producer, rank, devices, time span, steps, completeness
///
/// Of several traces, a table has a row for each rank; below it stands what is missing: ranks, device events, ends of
/// traces.
#[derive(Args, Debug)]
#[command(arg = super::format_arg(super::PLAIN), after_long_help = "Examples:\n  \
    traceq info log_4242.json.gz\n  \
    traceq info traces/\n  \
    traceq info --format json *.json | jq -r 'select(.complete|not).path'")]
pub(crate) struct InfoArgs {
    #[command(flatten)]
    inputs: TraceInputs,
}

impl InfoArgs {
    /// Reads, and says what was read.
    pub(crate) fn run(self, out: &mut Out, format: Format) -> anyhow::Result<Exit> {
        let json = format.is_json("info")?;
        let mut tally = Tally::default();
        let mut infos = Vec::new();
        let named = super::each_trace(
            &self.inputs,
            out,
            &mut tally,
            Survey::new,
            |out, tally, trace, mut survey| {
                survey.count_rows();
                let steps = match find_marked_steps(survey.take_collected(), trace.outcome.meta.dialect) {
                    Ok(steps) => steps,
                    Err(e) => {
                        out.failed(trace.label(), &e);
                        return Ok(());
                    }
                };
                let info = info_record(&trace, &survey, steps);
                if json {
                    tally.record();
                    out.record(&info)?;
                }
                infos.push(info);
                Ok(())
            },
        )?;
        match (&infos[..], json) {
            ([] | [_], true) => {}
            (several, true) => {
                tally.record();
                out.record(&ranks::find_missing(several))?;
            }
            ([one], false) => write_text(out.text(), one)?,
            ([], false) => {}
            (several, false) => ranks::write_table(out.text(), several)?,
        }
        tally.finish(out, json, named)
    }
}

/// Counts what there is.
struct Survey {
    /// The marks of the steps.
    collected: Collected,
    recorded: RecordedTime,
    counts: [u64; Category::ALL.len()],
    /// Rows whose process or thread decides what they are, by thread, and what else is known of them.
    rows: FastMap<(u32, u8, bool), u64>,
    devices: BTreeMap<Option<i64>, u64>,
    updates: u64,
    /// Whether a thread has events, by its number.
    threads: Vec<bool>,
}

/// More devices than this are not kept; a trace that has more was made to have them.
const MOST: usize = 100_000;

impl Survey {
    fn new() -> Self {
        Self {
            collected: Collected::new(&CollectOptions::default()),
            recorded: RecordedTime::default(),
            counts: [0; Category::ALL.len()],
            rows: FastMap::default(),
            devices: BTreeMap::new(),
            updates: 0,
            threads: Vec::new(),
        }
    }

    fn count(&mut self, category: Category, device: Option<i64>, n: u64) {
        self.counts[category as usize] += n;
        if category.is_on_device() && self.devices.len() < MOST {
            *self.devices.entry(device).or_default() += n;
        }
    }

    /// Counts the rows of which the process is known now.
    fn count_rows(&mut self) {
        for ((thread, traits, _), n) in std::mem::take(&mut self.rows) {
            let meaning = self.collected.classifier.resolve_row(thread, RowTraits::from_byte(traits), None);
            self.count(meaning.category, meaning.device, n);
        }
    }

    /// Takes the marks of the steps.
    fn take_collected(&mut self) -> Collected {
        self.recorded = self.collected.clusters.find_recording();
        std::mem::replace(&mut self.collected, Collected::new(&CollectOptions::default()))
    }
}

impl EventSink for Survey {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if event.phase == b'M' {
            self.counts[event.category as usize] += 1;
            return self.collected.event(event);
        }
        let thread = self.collected.classifier.processes.thread_of(event);
        if thread as usize >= self.threads.len() {
            self.threads.resize(thread as usize + 1, false);
        }
        self.threads[thread as usize] = true;
        match self.collected.classifier.classify(event) {
            Classified::Known(category) => self.count(category, event.device, 1),
            Classified::Row(traits, _) => {
                *self.rows.entry((thread, traits.to_byte(), event.phase == b'E')).or_default() += 1;
            }
        }
        let update = event.phase == b'X' && event.name.raw.starts_with(b"Optimizer.step#");
        self.updates += u64::from(update && !event.category.is_on_device());
        self.collected.note_time(event);
        self.collected.take_step_event(event)
    }
}

fn info_record(trace: &Trace, survey: &Survey, steps: BTreeSet<i64>) -> record::Info {
    let (outcome, meta) = (&trace.outcome, &trace.outcome.meta);
    let extent = survey.recorded.extent;
    let counts = Category::ALL.into_iter().zip(survey.counts).filter(|(_, n)| *n > 0);
    let wall = |ns: i64| format_wall_clock(ns.checked_add(meta.epoch_offset(ns)?)?);
    record::Info {
        path: trace.label(),
        path_hex: trace.path_hex(),
        format: meta.dialect.name().to_owned(),
        producer: meta.hints.clone(),
        gzip: outcome.compression == Some("gzip"),
        compression: outcome.compression.map(str::to_owned),
        size_bytes: trace.size,
        text_bytes: outcome.bytes,
        complete: outcome.complete,
        error: trace.reason(),
        events: outcome.events,
        categories: counts.map(|(c, n)| (c.name().to_owned(), n)).collect(),
        rank: meta.rank,
        world_size: meta.world_size,
        backend: meta.backend.clone(),
        devices: used_devices(&meta.devices, &survey.devices),
        threads: survey.threads.iter().filter(|t| **t).count() as u64,
        trace_id: meta.trace_id.clone(),
        trace_name: meta.trace_name.clone(),
        host: meta.host.clone(),
        base_time_ns: meta.base_ns,
        start_ns: extent.map(|e| e.0),
        end_ns: extent.map(|e| e.1),
        span_ns: extent.map(|e| e.1 - e.0),
        start: extent.and_then(|e| wall(e.0)),
        end: extent.and_then(|e| wall(e.1)),
        steps: steps.into_iter().collect(),
        optimizer_steps: survey.updates,
        repairs: outcome.defects.repairs(),
        losses: outcome.defects.losses(),
    }
}

/// Devices that the trace lists and devices that it has events of.
fn used_devices(listed: &BTreeMap<i64, String>, used: &BTreeMap<Option<i64>, u64>) -> Vec<record::Device> {
    let ids: BTreeSet<Option<i64>> = listed.keys().copied().map(Some).chain(used.keys().copied()).collect();
    let device = |id: Option<i64>| record::Device {
        device: id,
        name: id.and_then(|i| listed.get(&i)).filter(|n| !n.is_empty()).cloned(),
        events: used.get(&id).copied().unwrap_or(0),
    };
    ids.into_iter().map(device).collect()
}

fn write_text(to: &mut dyn Write, info: &record::Info) -> io::Result<()> {
    writeln!(to, "{}", safe(&info.path))?;
    for (mut key, value) in info_lines(info) {
        for line in wrap_list(&safe(&value)) {
            writeln!(to, "  {key:<11} {line}")?;
            key = "";
        }
    }
    Ok(())
}

/// A list broken behind its commas, to stay within a hundred columns.
fn wrap_list(list: &str) -> Vec<String> {
    const WIDTH: usize = 100 - 14;
    let mut lines = vec![String::new()];
    for part in list.split_inclusive(", ") {
        match lines.last_mut() {
            Some(line) if line.is_empty() || (line.clone() + part).trim_end().chars().count() <= WIDTH => {
                line.push_str(part);
            }
            _ => lines.push(part.to_owned()),
        }
    }
    lines.iter().map(|l| l.trim_end().to_owned()).collect()
}

/// Returns the lines of the text; a fact that is not known has none.
fn info_lines(info: &record::Info) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("format", append_detail(&info.format, info.producer.join(", "))),
        ("size", size_text(info)),
        ("complete", completeness_text(info)),
        ("events", append_detail(&format_count(info.events), category_list(info))),
    ];
    let of = |n: i64| info.world_size.map_or(format!("{n}"), |w| format!("{n} of {w}"));
    let backend = info.backend.as_ref().map_or(String::new(), |b| format!(" ({b})"));
    lines.extend(info.rank.map(|r| ("rank", of(r) + &backend)));
    lines.push(("devices", device_list(info)));
    lines.push(("threads", format_count(info.threads)));
    lines.extend(info.host.clone().map(|h| ("host", h)));
    lines.extend(info.trace_id.clone().map(|t| ("trace id", t)));
    lines.extend(info.trace_name.clone().map(|t| ("trace name", t)));
    lines.extend(info.span_ns.map(|s| ("span", format_duration(s))));
    lines.extend(info.start.clone().map(|t| ("start", t)));
    lines.extend(info.end.clone().map(|t| ("end", t)));
    lines.push(("steps", step_list(info)));
    for (what, counts) in [("lost", &info.losses), ("repairs", &info.repairs)] {
        if !counts.is_empty() {
            let list: Vec<_> =
                counts.iter().map(|(cause, n)| format!("{cause} {}", format_count(*n))).collect();
            lines.push((what, list.join(", ")));
        }
    }
    lines
}

fn append_detail(what: &str, more: String) -> String {
    if more.is_empty() { what.to_owned() } else { format!("{what} ({more})") }
}

fn size_text(info: &record::Info) -> String {
    let text = format_bytes(info.text_bytes);
    let packed = info.compression.as_deref().unwrap_or_default();
    match info.size_bytes {
        Some(size) if info.compression.is_some() => format!("{}, {packed} of {text}", format_bytes(size)),
        _ if info.compression.is_some() => format!("{packed} of {text}"),
        _ => text,
    }
}

fn completeness_text(info: &record::Info) -> String {
    match &info.error {
        Some(e) => format!("no: {e}"),
        None if info.complete => "yes".to_owned(),
        None => "no: the array is not closed".to_owned(),
    }
}

fn category_list(info: &record::Info) -> String {
    let order = Category::ALL.iter().filter_map(|c| Some((c.name(), info.categories.get(c.name())?)));
    order.map(|(name, n)| format!("{name} {}", format_count(*n))).collect::<Vec<_>>().join(", ")
}

fn device_list(info: &record::Info) -> String {
    const SHOWN: usize = 8;
    if info.devices.is_empty() {
        return "none".to_owned();
    }
    let show = |d: &record::Device| {
        let id = d.device.map_or("unnumbered".to_owned(), |i| i.to_string());
        let name = d.name.as_ref().map_or(String::new(), |n| format!(": {n}"));
        format!("{id}{name} ({} events)", format_count(d.events))
    };
    // Those with events first.
    let mut devices: Vec<_> = info.devices.iter().collect();
    devices.sort_by_key(|d| d.events == 0);
    let more =
        if devices.len() > SHOWN { format!(", and {} more", devices.len() - SHOWN) } else { String::new() };
    devices.into_iter().take(SHOWN).map(show).collect::<Vec<_>>().join(", ") + &more
}

fn step_list(info: &record::Info) -> String {
    let steps = info.steps.as_slice();
    match steps {
        [] if info.optimizer_steps > 0 => {
            format!("none marked; {} calls of Optimizer.step", info.optimizer_steps)
        }
        [] => "none".to_owned(),
        [one] => one.to_string(),
        [first, .., last] if last - first == steps.len() as i64 - 1 => {
            format!("{first} to {last} ({})", steps.len())
        }
        [first, .., last] => format!("{} between {first} and {last}", steps.len()),
    }
}

//! `tracewhy idle`: why devices are idle.

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::tracewhy as record;
use trace::units::{TimeUnit, format_percent};

use super::{JobArgs, ReportForm, idle_by_cause};
use crate::job::Job;
use crate::part::{IdleCause, RankPart, StepTimes};
use crate::report::{RIGHT, Report};

/// Say why devices are idle
///
/// For each step of each rank: how long its device ran nothing, and what the host did instead of launching what came next.
/// Time in which only communication ran is beside it: there the device waits for others.
#[derive(Args, Debug)]
#[command(arg = super::report_form_arg(), after_long_help = "Examples:\n  \
    tracewhy idle rank3.json.gz\n  \
    tracewhy --format json idle rank*.json.gz | jq 'select(.step == null) | .by_cause'")]
pub(crate) struct IdleArgs {
    #[command(flatten)]
    job: JobArgs,
}

impl IdleArgs {
    /// Reads the job and writes its idle times.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        let Some(read) = self.job.read_job(out)? else { return Ok(Exit::No) };
        let job = &read.job;
        read.write(out, form, |out| write_records(out, job), || describe(job))
    }
}

/// The times of a rank with the causes that its trace can show: without a device, nothing is launched late.
pub(super) fn known_causes(part: &RankPart, mut times: StepTimes) -> StepTimes {
    if !part.on_device {
        times.move_idle(IdleCause::HostLate, IdleCause::NotKnown);
    }
    times
}

fn to_record(part: &RankPart, step: Option<i64>, times: &StepTimes) -> record::IdleDivision {
    // Between two steps, a rank is idle, and none of its steps is.
    let of_step = step.is_some();
    record::IdleDivision {
        path: part.path.clone(),
        rank: part.rank,
        step,
        before_ns: of_step.then_some(times.before),
        span_ns: if of_step { times.extent() } else { times.span() },
        idle_ns: times.idle() - if of_step { times.before } else { 0 },
        by_cause: idle_by_cause(times),
        exposed_communication_ns: times.exposed_communication,
    }
}

fn write_records(out: &mut Out, job: &Job) -> std::io::Result<()> {
    for part in &job.parts {
        for step in &part.steps {
            out.record(&to_record(part, Some(step.number), &known_causes(part, step.times)))?;
        }
        out.record(&to_record(part, None, &known_causes(part, part.total())))?;
    }
    Ok(())
}

/// Describes a cause for people.
fn describe_cause(cause: IdleCause) -> &'static str {
    match cause {
        IdleCause::Input => "the host waits for data",
        IdleCause::Garbage => "the host collects garbage",
        IdleCause::Allocation => "the host allocates memory",
        IdleCause::Synchronization => "the host waits for the device",
        IdleCause::HostLate => "the host launches late",
        IdleCause::Launch => "one launch follows the other too slowly",
        IdleCause::NotKnown => "of something that the traces do not show",
    }
}

fn describe(job: &Job) -> Report {
    let mut all = StepTimes::default();
    job.parts.iter().for_each(|part| all.add(&known_causes(part, part.total())));
    let on_device = job.parts.iter().any(|part| part.on_device);
    let share = |part: i64, whole: i64| (whole > 0).then(|| part as f64 / whole as f64);
    let worst =
        IdleCause::ALL.into_iter().max_by_key(|cause| (all.idle_for(*cause), std::cmp::Reverse(*cause)));
    let headline = match worst.filter(|cause| all.idle_for(*cause) > 0) {
        None if all.span() == 0 => {
            "nothing is known of idle time: the traces mark no steps, and --step-name names none".to_owned()
        }
        None if on_device => "devices are never idle".to_owned(),
        None => "hosts are never without an operator".to_owned(),
        Some(cause) => format!(
            "{} {} of the time; {} of that because {}",
            if on_device { "devices are idle" } else { "hosts run no operator" },
            format_percent(share(all.idle(), all.span())),
            format_percent(share(all.idle_for(cause), all.idle())),
            describe_cause(cause)
        ),
    };
    let mut report = Report::new(headline);
    // One rank is shown by step, several by rank.
    let rows: Vec<(i64, StepTimes)> = match job.parts.as_slice() {
        [part] => part.steps.iter().map(|step| (step.number, known_causes(part, step.times))).collect(),
        parts => {
            let mut rows: Vec<_> =
                parts.iter().map(|part| (part.rank, known_causes(part, part.total()))).collect();
            rows.sort_by_key(|(rank, times)| (std::cmp::Reverse(times.idle()), *rank));
            rows
        }
    };
    let unit = TimeUnit::for_largest(rows.iter().map(|(_, times)| times.span()).max().unwrap_or(0));
    let mut columns = vec![
        (if job.parts.len() == 1 { "step" } else { "rank" }, RIGHT),
        ("span", RIGHT),
        ("idle", RIGHT),
        ("idle%", RIGHT),
        ("input", RIGHT),
        ("garbage", RIGHT),
        ("alloc", RIGHT),
        ("sync", RIGHT),
        ("host late", RIGHT),
        ("launch", RIGHT),
        ("not known", RIGHT),
        ("exposed comm", RIGHT),
    ];
    let by_step = job.parts.len() == 1;
    if by_step {
        columns.insert(1, ("before", RIGHT));
    }
    let cells = |(number, times): (i64, StepTimes)| {
        let mut cells = vec![number.to_string()];
        let (mut span, mut idle) = (times.span(), times.idle());
        if by_step {
            cells.push(unit.format_time(times.before));
            (span, idle) = (times.extent(), idle - times.before);
        }
        cells.extend([unit.format_time(span), unit.format_time(idle), format_percent(share(idle, span))]);
        cells.extend(IdleCause::ALL.iter().map(|cause| unit.format_time(times.idle_for(*cause))));
        cells.push(unit.format_time(times.exposed_communication));
        cells
    };
    let order = if by_step { "" } else { ", the most idle first" };
    let title = format!("times in {}{order}", unit.name);
    report.add_table(title, &columns, rows.into_iter().map(cells).collect());
    if job.parts.iter().any(|part| !part.on_device) {
        report.add_note("a rank without a device: idle is when its host runs no operator");
    }
    report
}

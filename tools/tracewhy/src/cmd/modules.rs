//! `tracewhy modules`: which part of the program device time belongs to.

use clap::Args;
use common::exit::Exit;
use common::out::Out;
use common::record::tracewhy as record;
use trace::program::{PartTime, ProgramPart};
use trace::report::format_count;
use trace::shorten::short_name;
use trace::units::{TimeUnit, format_percent};

use super::{JobArgs, ReportForm};
use crate::job::program::ProgramTotals;
use crate::part::sum_times;
use crate::report::{LEFT, RIGHT, Report};

/// Say which module, annotation and phase of the program device time belongs to
///
/// Work belongs to the innermost range that was open on the launching thread at its launch; work of the backward pass to the
/// module of its forward operator. What belongs to none is shown. Modules are known if the trace was recorded with stacks or
/// modules.
#[derive(Args, Debug)]
#[command(arg = super::report_form_arg(), after_long_help = "Examples:\n  \
    tracewhy modules rank0.json.gz\n  \
    tracewhy --format json modules rank*.json.gz | jq 'select(.part == \"module\")'")]
pub(crate) struct ModulesArgs {
    #[command(flatten)]
    job: JobArgs,
}

impl ModulesArgs {
    /// Reads the job and adds the times of all ranks up.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        let Some(read) = self.job.read_program(out)? else { return Ok(Exit::No) };
        let records = list_records(&read.program);
        read.write(
            out,
            form,
            |out| records.iter().try_for_each(|record| out.record(record)),
            || describe(&records),
        )
    }
}

/// Phases, modules and annotations, each with the most own time first.
pub(super) fn list_records(program: &ProgramTotals) -> Vec<record::ProgramTime> {
    let of_phases = program.parts.iter().filter(|((part, _), _)| *part == ProgramPart::Phase);
    let whole = sum_times(of_phases.map(|(_, (time, _))| time.own));
    let record = |((part, name), sum): (&(ProgramPart, String), &(PartTime, u64))| {
        (*part, to_record(*part, name.clone(), *sum, whole))
    };
    let mut records: Vec<_> = program.parts.iter().map(record).collect();
    records.sort_by(|(a, x), (b, y)| (a, y.own_ns, &x.name).cmp(&(b, x.own_ns, &y.name)));
    records.into_iter().map(|(_, record)| record).collect()
}

fn to_record(
    part: ProgramPart,
    name: String,
    (time, ranks): (PartTime, u64),
    whole: i64,
) -> record::ProgramTime {
    record::ProgramTime {
        part: part.name().to_owned(),
        name: (!name.is_empty()).then_some(name),
        own_ns: time.own,
        total_ns: time.total,
        count: time.count,
        ranks,
        share: (whole > 0).then(|| time.own as f64 / whole as f64),
    }
}

fn describe(records: &[record::ProgramTime]) -> Report {
    let of = |part: ProgramPart| records.iter().filter(move |r| r.part == part.name());
    let whole = sum_times(of(ProgramPart::Phase).map(|r| r.own_ns));
    let largest = of(ProgramPart::Module).chain(of(ProgramPart::Annotation)).find(|r| r.name.is_some());
    let mut report = Report::new(match (of(ProgramPart::Phase).next(), largest) {
        (None, _) => "nothing ran on a device".to_owned(),
        (Some(phase), None) => format!(
            "{} of device time is {}; the trace has no modules and annotations",
            format_percent(phase.share),
            phase.name.as_deref().unwrap_or("other")
        ),
        (Some(phase), Some(record)) => format!(
            "{} of device time is {}; {} belongs to {}",
            format_percent(phase.share),
            phase.name.as_deref().unwrap_or("other"),
            format_percent(record.share),
            short_name(record.name.as_deref().unwrap_or(""))
        ),
    });
    let unit = TimeUnit::for_largest(whole);
    let columns = [("own", RIGHT), ("%", RIGHT), ("with inner", RIGHT), ("count", RIGHT), ("name", LEFT)];
    for part in [ProgramPart::Phase, ProgramPart::Module, ProgramPart::Annotation] {
        let rows: Vec<Vec<String>> = of(part)
            .map(|r| {
                let mut cells = vec![unit.format_time(r.own_ns), format_percent(r.share)];
                cells.push(unit.format_time(r.total_ns));
                cells.push(format_count(r.count));
                cells.push(r.name.clone().unwrap_or_else(|| "(none)".to_owned()));
                cells
            })
            .collect();
        if !rows.is_empty() {
            report.add_table(format!("by {}, in {}", part.name(), unit.name), &columns, rows);
        }
    }
    report
}

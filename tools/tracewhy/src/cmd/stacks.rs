//! `tracewhy stacks`: stacks of the host with the time that they take, for flame graphs.

use std::io::{self, Write};

use clap::{Args, ValueEnum};
use common::exit::Exit;
use common::out::Out;
use common::record::tracewhy as record;
use serde_json::json;
use trace::stack_tree::StackTree;

use super::{JobArgs, ReportForm};
use crate::part::number::RankNumbers;
use crate::part::stacks::{StackSink, StackTime};

/// Write stacks of the host with the time that they take, for flame graphs
///
/// Device time belongs to the stack of ranges, modules, functions and operators that were open on the launching thread at
/// the launch; the kernel is its innermost frame, and kernels of a graph stand under what launched the graph. Host time is
/// that of a frame without the frames within. Of several ranks, each is a frame of its own. Times are in nanoseconds.
#[derive(Args, Debug)]
#[command(arg = stack_form_arg(), after_long_help = "Examples:\n  \
    tracewhy stacks rank0.json.gz | flamegraph.pl > device.svg\n  \
    tracewhy --format speedscope stacks --by host rank0.json.gz > host.speedscope.json")]
pub(crate) struct StacksArgs {
    /// Time that stacks have: of the device or of the host
    #[arg(long, value_enum, default_value_t, value_name = "device|host")]
    by: StackTime,
    #[command(flatten)]
    job: JobArgs,
}

/// The forms of this command.
pub(crate) const STACK_FORMS: &[ReportForm] = &[ReportForm::Folded, ReportForm::Speedscope, ReportForm::Json];

/// `--format` of this command: its text is folded stacks.
fn stack_form_arg() -> clap::Arg {
    super::form_arg(STACK_FORMS, "folded")
}

/// The stacks of one rank.
struct RankStacks {
    path: String,
    rank: i64,
    tree: StackTree,
}

impl StacksArgs {
    /// Reads the traces and writes their stacks.
    pub(crate) fn run(self, out: &mut Out, form: ReportForm) -> anyhow::Result<Exit> {
        // Folded stacks are the text of this command.
        let form = if form == ReportForm::Text { ReportForm::Folded } else { form };
        let mut ranks: Vec<RankStacks> = Vec::new();
        let several = self.job.has_several();
        let options = self.job.options()?;
        // One tree for all where one document comes of all; speedscope has a profile for each rank.
        let limit = usize::try_from(options.memory.of_tables() / 64).unwrap_or(usize::MAX);
        let mut tree = StackTree::with_limit(limit);
        let mut numbers = RankNumbers::default();
        let is_json = form == ReportForm::Json;
        let totals = self.job.each_rank(
            out,
            &options,
            |options| StackSink::new(self.by, options.memory),
            |out, rank, sink| {
                let number = numbers.number_of(rank.rank);
                if form == ReportForm::Folded {
                    let label = several.then(|| format!("rank {number}"));
                    return Ok(sink.finish(&mut tree, label.as_deref())?);
                }
                let mut own = StackTree::with_limit(limit);
                sink.finish(&mut own, None)?;
                warn_of_limit(out, &rank.path, &own);
                if is_json {
                    return Ok(write_records(out, &rank.path, number, self.by, &own)?);
                }
                ranks.push(RankStacks { path: rank.path, rank: number, tree: own });
                Ok(())
            },
        )?;
        let Some(totals) = totals else { return Ok(Exit::No) };
        match form {
            ReportForm::Json => totals.write_summary(out)?,
            ReportForm::Speedscope => write_speedscope(out.text(), self.by, &ranks)?,
            _ => {
                warn_of_limit(out, "stacks", &tree);
                let to = out.text();
                tree.lines().try_for_each(|line| to.write_all(line.as_bytes()))?;
            }
        }
        Ok(Exit::Ok)
    }
}

fn warn_of_limit(out: &Out, subject: &str, tree: &StackTree) {
    if tree.collapsed > 0 {
        let reason =
            format!("{} frames beyond --max-memory count as those that they are called from", tree.collapsed);
        out.warn(subject, reason);
    }
    if tree.stacks().next().is_none() {
        out.warn(subject, "no time: see `--by host` for traces without devices");
    }
}

fn name_of_time(time: StackTime) -> String {
    time.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn write_records(
    out: &mut Out,
    path: &str,
    rank: i64,
    by: StackTime,
    tree: &StackTree,
) -> std::io::Result<()> {
    tree.stacks().try_for_each(|stack| {
        out.record(&record::StackTimeRecord {
            path: path.to_owned(),
            rank,
            by: name_of_time(by),
            frames: stack.names().map(str::to_owned).collect(),
            own_ns: stack.own_ns,
            count: stack.count,
        })
    })
}

/// Writes speedscope's JSON (jlfwong/speedscope `src/lib/file-format-spec.ts`): a sampled profile for each rank, of which a
/// sample is a stack and its weight the stack's time.
fn write_speedscope(to: &mut dyn Write, by: StackTime, ranks: &[RankStacks]) -> io::Result<()> {
    let mut first_frame = Vec::new();
    let mut frames = 0_usize;
    write!(
        to,
        r#"{{"$schema":"https://www.speedscope.app/file-format-schema.json","exporter":"tracewhy {}","activeProfileIndex":0,"shared":{{"frames":["#,
        env!("CARGO_PKG_VERSION")
    )?;
    for rank in ranks {
        first_frame.push(frames);
        let names = rank.tree.names();
        for number in 0..names.count_names() {
            let comma = if frames == 0 { "" } else { "," };
            write!(to, "{comma}\n{}", json!({"name": names.name(number)}))?;
            frames += 1;
        }
    }
    write!(to, "]}},\n\"profiles\":[")?;
    for (i, (rank, first)) in ranks.iter().zip(&first_frame).enumerate() {
        let whole = rank.tree.stacks().fold(0_u64, |sum, stack| sum.saturating_add(stack.own_ns));
        let name = format!("rank {}, {} time: {}", rank.rank, name_of_time(by), rank.path);
        let comma = if i == 0 { "" } else { "," };
        write!(
            to,
            r#"{comma}{{"type":"sampled","name":{},"unit":"nanoseconds","startValue":0,"endValue":{whole},"samples":["#,
            json!(name)
        )?;
        for (j, stack) in rank.tree.stacks().enumerate() {
            let comma = if j == 0 { "" } else { "," };
            let frames: Vec<usize> = stack.frames.iter().map(|frame| first + *frame as usize).collect();
            write!(to, "{comma}\n{}", json!(frames))?;
        }
        write!(to, "],\n\"weights\":[")?;
        for (j, stack) in rank.tree.stacks().enumerate() {
            let comma = if j == 0 { "" } else { "," };
            write!(to, "{comma}{}", stack.own_ns)?;
        }
        write!(to, "]}}")?;
    }
    writeln!(to, "]}}")
}

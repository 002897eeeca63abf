//! `tracewhy`: traces of a job in, reasons out.
//!
//! `part` keeps of each rank what its steps and collectives come to; `job` puts ranks together and compares them; `cmd` has
//! one file per subcommand; `page` writes the report of a job as one file of HTML.

mod cmd;
mod critical;
mod flops;
#[doc(hidden)]
pub mod fuzz;
mod job;
mod memory;
mod page;
mod part;

use clap::{Parser, Subcommand};
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};
use trace::summary as report;

/// Say why a training job is slow
#[derive(Parser, Debug)]
#[command(name = "tracewhy", version, max_term_width = 100, arg_required_else_help = false)]
#[command(after_long_help = "Examples:\n  \
    tracewhy ranks rank*.json.gz\n  \
    profctl gputrace --log-file /data/t.json --wait --hosts @hosts | tracewhy ranks --files-from -")]
pub struct Cli {
    #[command(flatten)]
    global: Global<cmd::ReportForm>,
    #[command(subcommand)]
    command: TracewhyCommand,
}

#[derive(Subcommand, Debug)]
enum TracewhyCommand {
    Ranks(cmd::ranks::RanksArgs),
    Comm(cmd::comm::CommArgs),
    Idle(cmd::idle::IdleArgs),
    Modules(cmd::modules::ModulesArgs),
    Diff(cmd::diff::DiffArgs),
    Report(cmd::report::ReportArgs),
    Stacks(cmd::stacks::StacksArgs),
    Mem(cmd::mem::MemArgs),
    Critical(cmd::critical::CriticalArgs),
    Flops(cmd::flops::FlopsArgs),
    Part(cmd::part::PartArgs),
}

impl TracewhyCommand {
    /// The forms of its result.
    fn forms(&self) -> &'static [cmd::ReportForm] {
        match self {
            Self::Diff(_) => cmd::diff::DIFF_FORMS,
            Self::Stacks(_) => cmd::stacks::STACK_FORMS,
            _ => cmd::REPORT_FORMS,
        }
    }
}

impl Tool for Cli {
    const NAME: &'static str = "tracewhy";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let format = self.global.format;
        cmd::check_form(format, self.command.forms())?;
        match self.command {
            TracewhyCommand::Ranks(command) => command.run(out, format),
            TracewhyCommand::Comm(command) => command.run(out, format),
            TracewhyCommand::Idle(command) => command.run(out, format),
            TracewhyCommand::Modules(command) => command.run(out, format),
            TracewhyCommand::Diff(command) => command.run(out, format),
            TracewhyCommand::Report(command) => command.run(out, format),
            TracewhyCommand::Stacks(command) => command.run(out, format),
            TracewhyCommand::Mem(command) => command.run(out, format),
            TracewhyCommand::Critical(command) => command.run(out, format),
            TracewhyCommand::Flops(command) => command.run(out, format),
            TracewhyCommand::Part(command) => command.run(out, format),
        }
    }
}

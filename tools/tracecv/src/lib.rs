//! `tracecv`: trace in, trace out.
//!
//! The crate `trace` reads the formats; `timeline` puts events in the order of time where a format needs that; `write`
//! has one file per format; `cmd` has one file per subcommand and ties the rest together.

mod arguments;
mod cmd;
mod links;
mod losses;
mod modules;
mod survey;
mod timeline;
mod write;

use clap::{Parser, Subcommand};
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

/// Convert profiler traces
#[derive(Parser, Debug)]
#[command(name = "tracecv", version, max_term_width = 100, arg_required_else_help = false)]
#[command(after_long_help = "Examples:\n  \
    tracecv convert --to perfetto -o rank3.pftrace rank3.json.gz\n  \
    tracecv convert --to folded -o - rank3.json.gz | flamegraph.pl > rank3.svg")]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: TracecvCommand,
}

#[derive(Subcommand, Debug)]
enum TracecvCommand {
    Convert(cmd::convert::ConvertArgs),
    Cut(cmd::cut::CutArgs),
    Merge(cmd::merge::MergeArgs),
    Repair(cmd::repair::RepairArgs),
    Anon(cmd::anon::AnonArgs),
}

impl Tool for Cli {
    const NAME: &'static str = "tracecv";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let format = self.global.format;
        match self.command {
            TracecvCommand::Convert(command) => command.run(out, format),
            TracecvCommand::Cut(command) => command.run(out, format),
            TracecvCommand::Merge(command) => command.run(out, format),
            TracecvCommand::Repair(command) => command.run(out, format),
            TracecvCommand::Anon(command) => command.run(out, format),
        }
    }
}

/// Reads any bytes as a trace, and writes it in every format without tables. For fuzzing: never panics, and ends.
#[doc(hidden)]
pub fn fuzz_conversion(bytes: &[u8]) {
    write::fuzz_writers(bytes, false);
}

/// The same for databases, Arrow's files and data sets. These are read again: they have every event.
#[doc(hidden)]
pub fn fuzz_tables(bytes: &[u8]) {
    write::fuzz_writers(bytes, true);
    #[cfg(feature = "parquet")]
    write::dataset::fuzz(bytes);
}

//! `proftap`: the process side of on-demand profiling, for programs without their own profiler.
//!
//! | module | holds |
//! |---|---|
//! | `cmd` | one file per subcommand |
//! | `fabric` | registration and polls over the IPC fabric, as libkineto does them |
//! | `input`, `metric_kind` | the JSON lines on standard input, the kinds of metrics |
//! | `demo` | the training job of `proftap demo`, its device, its recorder and its trace files |
//! | `process` | the pids, threads and host of this process |
//! | `wake` | signals and threads that wake up the poll(2) loop |

mod cmd;
mod demo;
mod fabric;
mod input;
mod metric_kind;
mod process;
#[cfg(test)]
mod testing;
mod wake;

use clap::{Parser, Subcommand, ValueEnum};
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

/// Make programs without their own profiler respond to on-demand profiling
///
/// A program that starts `proftap run` can be profiled on demand like a PyTorch process: `proftap run` writes requests
/// as JSON lines, and reads status and metrics as JSON lines. `proftap demo` is a small training job that shows
/// on-demand profiling without a GPU and without PyTorch.
#[derive(Parser, Debug)]
#[command(name = "proftap", version, max_term_width = 100)]
#[command(after_long_help = "Examples:
  Train, and request a trace:
    proftap demo -v &
    profctl gputrace --iterations 5 --log-file /tmp/trace.json --wait

  Start the profiler of a program on demand:
    proftap run | jq --unbuffered -c 'select(.type==\"proftap.config\")' | my-profiler")]
pub struct Cli {
    #[command(subcommand)]
    command: ProftapCommand,
    #[command(flatten)]
    global: Global<RecordFormat>,
}

/// The subcommands.
#[derive(Subcommand, Debug)]
enum ProftapCommand {
    Run(cmd::run::RunArgs),
    Demo(cmd::demo::DemoArgs),
}

/// The format of the result. It is read by other programs, so there is only one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum RecordFormat {
    /// JSON Lines, one record per line, as described in profguard-records(7)
    #[default]
    Json,
}

impl Tool for Cli {
    const NAME: &'static str = "proftap";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        let RecordFormat::Json = self.global.format;
        out.flush_each_record();
        match self.command {
            ProftapCommand::Run(args) => cmd::run::run(&args, out),
            ProftapCommand::Demo(args) => cmd::demo::run(&args, out),
        }
    }
}

//! `proftap`: the process side of on-demand profiling, for programs without a profiler of their own.
//!
//! | module | holds |
//! |---|---|
//! | `cmd` | one file per subcommand |
//! | `fabric` | registering and polling over the IPC fabric, as libkineto does |
//! | `feed` | the JSON lines on standard input |
//! | `demo` | the small training job of `proftap demo`, its device, its recorder and its trace files |
//! | `process` | who this process is: ancestors, threads, host |
//! | `wake` | signals and threads that wake the one poll(2) loop |

mod cmd;
mod demo;
mod fabric;
mod feed;
mod process;
#[cfg(test)]
mod testing;
mod wake;

use clap::{Parser, Subcommand, ValueEnum};
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

/// The process side for programs without a profiler of their own
///
/// A program that runs `proftap run` beside itself can be profiled on demand as a PyTorch process can: requests
/// come out as JSON lines, status and metrics go in as JSON lines. `proftap demo` is a small training job that
/// shows the whole of it without a GPU and without PyTorch.
#[derive(Parser, Debug)]
#[command(name = "proftap", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    cmd: Cmd,
    #[command(flatten)]
    global: Global<Form>,
}

/// What `proftap` can do.
#[derive(Subcommand, Debug)]
enum Cmd {
    Run(cmd::run::Args),
    Demo(cmd::demo::Args),
}

/// The form of the result. Another program reads it, so there is one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
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
        let Form::Json = self.global.format;
        out.flush_each_record();
        match self.cmd {
            Cmd::Run(args) => cmd::run::run(&args, out),
            Cmd::Demo(args) => cmd::demo::run(&args, out),
        }
    }
}

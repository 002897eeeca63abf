//! `traceq`: Say what is in profiler traces.

use clap::Parser;
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

/// Say what is in profiler traces
#[derive(Parser, Debug)]
#[command(name = "traceq", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
}

impl Tool for Cli {
    const NAME: &'static str = "traceq";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, _out: &mut Out) -> anyhow::Result<Exit> {
        Ok(Exit::Ok)
    }
}

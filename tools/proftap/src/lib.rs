//! `proftap`: The process side for programs without a profiler of their own.

use clap::Parser;
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

/// The process side for programs without a profiler of their own
#[derive(Parser, Debug)]
#[command(name = "proftap", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
}

impl Tool for Cli {
    const NAME: &'static str = "proftap";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, _out: &mut Out) -> anyhow::Result<Exit> {
        Ok(Exit::Ok)
    }
}

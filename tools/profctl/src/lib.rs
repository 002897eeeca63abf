//! `profctl`: Ask profiling daemons for status, traces and monitoring.

use clap::Parser;
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

/// Ask profiling daemons for status, traces and monitoring
#[derive(Parser, Debug)]
#[command(name = "profctl", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
}

impl Tool for Cli {
    const NAME: &'static str = "profctl";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, _out: &mut Out) -> anyhow::Result<Exit> {
        Ok(Exit::Ok)
    }
}

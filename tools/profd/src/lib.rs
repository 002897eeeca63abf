//! `profd`: The profiling daemon: RPC in front, training processes behind.

use clap::Parser;
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

/// The profiling daemon: RPC in front, training processes behind
#[derive(Parser, Debug)]
#[command(name = "profd", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
}

impl Tool for Cli {
    const NAME: &'static str = "profd";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, _out: &mut Out) -> anyhow::Result<Exit> {
        Ok(Exit::Ok)
    }
}

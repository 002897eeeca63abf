//! `permck`: Audit file permissions and host hardening against one policy table.

use clap::Parser;
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

/// Audit file permissions and host hardening against one policy table
#[derive(Parser, Debug)]
#[command(name = "permck", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
}

impl Tool for Cli {
    const NAME: &'static str = "permck";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, _out: &mut Out) -> anyhow::Result<Exit> {
        Ok(Exit::Ok)
    }
}

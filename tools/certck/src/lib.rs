//! `certck`: Validate, mint, revoke and watch the certificates of a mutual-TLS deployment.

use clap::Parser;
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Out, Verbosity};

/// Validate, mint, revoke and watch the certificates of a mutual-TLS deployment
#[derive(Parser, Debug)]
#[command(name = "certck", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
}

impl Tool for Cli {
    const NAME: &'static str = "certck";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, _out: &mut Out) -> anyhow::Result<Exit> {
        Ok(Exit::Ok)
    }
}

//! `datack`: check data against manifests, and delete generated files after their retention time.
//!
//! `manifest` reads, writes and signs lists of SHA-256 digests and hashes files on several threads; `cmd` holds one file
//! per subcommand.

use clap::{Parser, Subcommand};
use common::cli::{Global, Tool};
use common::exit::Exit;
use common::out::{Color, Format, Out, Verbosity};

mod cmd;
#[doc(hidden)]
pub mod fuzz;
mod manifest;
#[cfg(test)]
mod tests;

/// Check data against manifests, and delete old traces and logs
#[derive(Parser, Debug)]
#[command(name = "datack", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_long_help = "Examples:\n  \
    datack manifest create /models > models.sha256\n  \
    datack manifest verify -m models.sha256 /models\n  \
    datack clean --older-than 14d --keep 50GiB --dry-run /data/prof")]
pub struct Cli {
    #[command(flatten)]
    global: Global<Format>,
    #[command(subcommand)]
    command: DatackCommand,
}

#[derive(Subcommand, Debug)]
enum DatackCommand {
    Manifest(cmd::manifest::ManifestArgs),
    Clean(cmd::clean::CleanArgs),
}

impl Tool for Cli {
    const NAME: &'static str = "datack";

    fn style(&self) -> (Color, Verbosity) {
        self.global.style()
    }

    fn run(self, out: &mut Out) -> anyhow::Result<Exit> {
        // A deep tree needs a file descriptor per level.
        common::walk::raise_descriptor_limit();
        let format = self.global.format;
        match self.command {
            DatackCommand::Manifest(manifest) => manifest.run(format, out),
            DatackCommand::Clean(clean) => clean.run(format, out),
        }
    }
}

//! `datack manifest`: SHA-256 of model weights and other inputs, created and verified.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use common::exit::Exit;
use common::out::{Diag, Format, Out};
use common::progress::{self, Unit};
use indicatif::ProgressBar;

use crate::manifest::{partial, sign};
use common::file_id::FileId;
use common::inputs::PathInputs;

mod create;
mod verify;

const EXAMPLES: &str = "\
Examples:
  datack manifest create -o weights.sha256 models/
      Hash every file; `sha256sum -c weights.sha256` can verify it, too.
  openssl genpkey -algorithm ed25519 -out sign.key && chmod 600 sign.key
  openssl pkey -in sign.key -pubout -out sign.pub
  datack manifest create -o weights.sha256 --sign sign.key models/
      Sign the manifest; the signature is weights.sha256.sig.
  datack manifest verify --manifest weights.sha256 --key sign.pub models/
      List files that changed, are missing or are new; exit with 1 if there are any.
  datack manifest create -C /srv/hub --follow -o hub.sha256 snapshots/
      Hash the targets of the symbolic links of a cache, with names relative to /srv/hub.";

/// Create and verify SHA-256 manifests of model weights and other inputs
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ManifestArgs {
    #[command(subcommand)]
    command: ManifestCommand,
}

#[derive(Subcommand, Debug)]
enum ManifestCommand {
    Create(CreateArgs),
    Verify(VerifyArgs),
}

/// Hash every regular file below the paths
///
/// Writes lines in the format of sha256sum, or JSON lines, sorted by path. A PATH that is a symbolic link is followed;
/// symbolic links below it are followed with --follow, and otherwise skipped, counted and warned of. The manifest, its
/// signature and its .partial file are skipped. With --output, --resume continues an interrupted run.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
struct CreateArgs {
    #[command(flatten)]
    inputs: PathInputs,
    /// Write the manifest to FILE, replaced in one step, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Continue an interrupted run: files that have not changed since are not read again
    #[arg(long, requires = "output")]
    resume: bool,
    /// Sign the manifest with an Ed25519 private key (PEM, PKCS#8) and write the signature to FILE.sig
    #[arg(long, value_name = "KEY", requires = "output")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    hash_args: HashArgs,
}

/// Compare files with a manifest
///
/// Lists files that changed, are missing, or changed while they were read. With PATH, also lists files below it that the
/// manifest does not name, and symbolic links that it does not name and whose target is outside the paths. Prints nothing
/// if nothing differs. Reads the formats of sha256sum, also with --tag or -z, of the BSDs' sha256 and of `openssl dgst`,
/// with or without a byte order mark and in UTF-16 with one, and JSON lines, which must end with their summary, so that a
/// truncated manifest is detected. A line has at most 64 KiB. Symbolic links in the manifest are followed, as sha256sum does.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
struct VerifyArgs {
    /// The manifest: lines of sha256sum, or JSON lines; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    manifest: PathBuf,
    /// Also list files below PATH that the manifest does not name
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Verify the signature FILE.sig of the manifest with an Ed25519 public key (PEM)
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    #[command(flatten)]
    hash_args: HashArgs,
}

/// The options that creating and verifying share.
#[derive(Args, Clone, Debug)]
struct HashArgs {
    /// Names of files are relative to DIR; paths in options are not
    #[arg(short = 'C', long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Follow symbolic links below each PATH
    #[arg(long)]
    follow: bool,
    /// Number of files to hash at the same time [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

impl ManifestArgs {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        match self.command {
            ManifestCommand::Create(create) => create.run(format, out),
            ManifestCommand::Verify(verify) => verify.run(format, out),
        }
    }
}

impl HashArgs {
    fn thread_count(&self) -> usize {
        let processors = || std::thread::available_parallelism().map_or(1, Into::into);
        self.threads.map_or_else(processors, usize::from)
    }
}

/// Returns the files that are not part of a manifest: the manifest itself, its signature, its
/// .partial file, and the file that is standard output.
fn manifest_files(manifest: Option<&Path>) -> Vec<FileId> {
    let files = manifest.map(|m| [m.to_owned(), sign::signature_path(m), partial::partial_path(m)]);
    let id = |path: PathBuf| std::fs::metadata(path).ok().map(|m| FileId::of_metadata(&m));
    let mut own: Vec<_> = files.into_iter().flatten().filter_map(id).collect();
    own.extend(rustix::fs::fstat(rustix::stdio::stdout()).ok().map(|st| FileId::of_stat(&st)));
    own
}

/// Makes a progress bar for `total` bytes, which are counted only if the bar is visible.
fn hash_bar(diag: &Diag, what: &str, total: impl FnOnce() -> u64) -> ProgressBar {
    let bar = progress::bar(diag, Unit::Bytes, Some(0), what);
    if !bar.is_hidden() {
        bar.set_length(total());
    }
    bar
}

#[cfg(test)]
mod tests;

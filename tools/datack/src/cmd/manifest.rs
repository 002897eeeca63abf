//! `datack manifest`: SHA-256 of model weights and other inputs, made and verified.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use common::exit::Exit;
use common::out::{Diag, Format, Out};
use common::progress::{self, Unit};
use indicatif::ProgressBar;

use crate::manifest::{partial, sign};
use common::inputs::PathInputs;

mod create;
mod verify;

const EXAMPLES: &str = "\
Examples:
  datack manifest create -o weights.sha256 models/
      Hash every file; `sha256sum -c weights.sha256` reads it, too.
  openssl genpkey -algorithm ed25519 -out sign.key && chmod 600 sign.key
  openssl pkey -in sign.key -pubout -out sign.pub
  datack manifest create -o weights.sha256 --sign sign.key models/
      Sign it: weights.sha256.sig.
  datack manifest verify --manifest weights.sha256 --key sign.pub models/
      Tell what changed, is missing, or is new; exit 1 if anything.
  datack manifest create -C /srv/hub --follow -o hub.sha256 snapshots/
      A cache of links: hash what they lead to, under the links' names, relative to /srv/hub.";

/// Make and verify SHA-256 manifests of model weights and other inputs
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
/// Writes lines that sha256sum reads, or JSON lines, sorted by path. A path that is a link is followed; links below
/// the paths are with --follow, and otherwise left out, counted and warned of. The manifest itself, its signature
/// and the record of a cut run are left out, too. With --output, a run that was cut short goes on with --resume
/// where it was.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
struct CreateArgs {
    #[command(flatten)]
    inputs: PathInputs,
    /// Write the manifest to FILE, replaced in one step, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on with a run that was cut short: files that have not changed since are not read again
    #[arg(long, requires = "output")]
    resume: bool,
    /// Sign the manifest with this Ed25519 private key (PEM, PKCS#8); the signature is written to FILE.sig
    #[arg(long, value_name = "KEY", requires = "output")]
    sign: Option<PathBuf>,
    #[command(flatten)]
    hash_args: HashArgs,
}

/// Compare files with a manifest
///
/// Reports files that changed, are missing, changed while they were read, and, with paths, files below them that
/// the manifest does not name; also symbolic links that it does not name and that lead elsewhere than below the paths. Silent when all is as it was. Reads what sha256sum writes, with --tag, too, and JSON
/// lines; the latter must end with their summary, so that a cut manifest is told. A name that is a link is followed,
/// as sha256sum does.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
struct VerifyArgs {
    /// The manifest: lines of sha256sum or JSON lines
    #[arg(short, long, value_name = "FILE")]
    manifest: PathBuf,
    /// Report files below these paths that the manifest does not name
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The Ed25519 public key (PEM) that must have signed the manifest
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    #[command(flatten)]
    hash_args: HashArgs,
}

/// What making and verifying share.
#[derive(Args, Clone, Debug)]
struct HashArgs {
    /// Take the files' names as relative to DIR; other options are not
    #[arg(short = 'C', long, value_name = "DIR")]
    directory: Option<PathBuf>,
    /// Follow symbolic links below the paths
    #[arg(long)]
    follow: bool,
    /// Files hashed at the same time. Default: one per processor
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

/// Files that belong to a manifest and not into it, by device and inode: what is there of itself, its signature and
/// its record, and what standard output writes to.
fn manifest_files(manifest: Option<&Path>) -> Vec<(u64, u64)> {
    let files = manifest.map(|m| [m.to_owned(), sign::signature_path(m), partial::partial_path(m)]);
    let id = |path: PathBuf| std::fs::metadata(path).ok().map(|m| (m.dev(), m.ino()));
    let mut own: Vec<_> = files.into_iter().flatten().filter_map(id).collect();
    own.extend(rustix::fs::fstat(rustix::stdio::stdout()).ok().map(|st| (st.st_dev, st.st_ino)));
    own
}

/// A bar for so many bytes, which are counted only where it is seen.
fn hash_bar(diag: &Diag, what: &str, total: impl FnOnce() -> u64) -> ProgressBar {
    let bar = progress::bar(diag, Unit::Bytes, Some(0), what);
    if !bar.is_hidden() {
        bar.set_length(total());
    }
    bar
}

#[cfg(test)]
mod tests;

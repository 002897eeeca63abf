//! `permck manifest`: SHA-256 of model weights and other inputs, made and verified.

use std::collections::HashSet;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use common::exit::Exit;
use common::fsat::Output;
use common::out::{Diag, Format, Out};
use common::policy::Mode;
use common::progress::{self, Unit};
use common::record::permck::{ManifestSummary, Verdict, VerifyStatus};
use common::text::Safe;

use super::tree::Inputs;
use crate::manifest::list::{Listed, list};
use crate::manifest::partial::Partial;
use crate::manifest::text::{self, Entry};
use crate::manifest::{Digest, Failure, hash_all, sign};
use crate::walk::Options;

/// Manifests of some ten million files; more is refused and not read.
const LIMIT: u64 = 2 << 30;

const EXAMPLES: &str = "\
Examples:
  permck manifest create -o weights.sha256 models/
      Hash every file; `sha256sum -c weights.sha256` reads it, too.
  openssl genpkey -algorithm ed25519 -out sign.key && chmod 600 sign.key
  openssl pkey -in sign.key -pubout -out sign.pub
  permck manifest create -o weights.sha256 --sign sign.key models/
      Sign it: weights.sha256.sig.
  permck manifest verify --manifest weights.sha256 --key sign.pub models/
      Tell what changed, is missing, or is new; exit 1 if anything.";

/// Make and verify SHA-256 manifests of model weights and other inputs
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Manifest {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    Create(Create),
    Verify(Verify),
}

/// Hash every regular file below the paths
///
/// Writes lines that sha256sum reads, or JSON lines, sorted by path. Links are not followed. With --output, a
/// run that was cut short goes on with --resume where it was.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
struct Create {
    #[command(flatten)]
    inputs: Inputs,
    /// Write the manifest to FILE, replaced in one step, instead of standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on with a run that was cut short: files that have not changed since are not read again
    #[arg(long, requires = "output")]
    resume: bool,
    /// Sign the manifest with this Ed25519 private key (PEM, PKCS#8); the signature is written to FILE.sig
    #[arg(long, value_name = "KEY", requires = "output")]
    sign: Option<PathBuf>,
    /// Files hashed at the same time. Default: one per processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// Compare files with a manifest
///
/// Reports files that changed, are missing, changed while they were read, and, with paths, files below them that
/// the manifest does not name. Silent when all is as it was.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
struct Verify {
    /// The manifest: lines of sha256sum or JSON lines
    #[arg(short, long, value_name = "FILE")]
    manifest: PathBuf,
    /// Report files below these paths that the manifest does not name
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The Ed25519 public key (PEM) that must have signed the manifest
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    /// Files hashed at the same time. Default: one per processor
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

impl Manifest {
    pub(crate) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        match self.action {
            Action::Create(create) => create.run(format, out),
            Action::Verify(verify) => verify.run(format, out),
        }
    }
}

fn options(threads: Option<u16>) -> Options {
    let processors = || std::thread::available_parallelism().map_or(1, Into::into);
    Options { threads: threads.map_or_else(processors, usize::from), cross_mounts: false }
}

impl Create {
    fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let key = self.sign.as_deref().map(sign::private).transpose()?;
        let paths = self.inputs.paths()?.collect::<anyhow::Result<Vec<_>>>()?;
        let (diag, to) = out.parts();
        let files = list(&paths, options(self.threads), diag);
        let Some(path) = &self.output else {
            self.write(&files, None, format, diag, to)?;
            return Ok(Exit::Ok);
        };
        let shown = || path.display().to_string();
        let mut partial = Partial::open(path, self.resume).with_context(|| format!("{}.partial", shown()))?;
        let mut content = Vec::new();
        self.write(&files, Some(&mut partial), format, diag, &mut content)?;
        // A manifest that lacks files is not put in the place of one that does not.
        if diag.errors() > 0 {
            return Err(anyhow!("{}: not written, because of the errors above", shown()));
        }
        let mut file = BufWriter::new(Output::create(path, Mode(0o640)).with_context(shown)?);
        file.write_all(&content).with_context(shown)?;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.commit().with_context(shown)?;
        if let Some(key) = &key {
            let beside = sign::beside(path);
            let signature = sign::sign(key, &content);
            common::fsat::write(&beside, Mode(0o640), &signature)
                .with_context(|| beside.display().to_string())?;
        }
        partial.remove().with_context(|| format!("{}.partial", shown()))?;
        Ok(Exit::Ok)
    }

    fn write(
        &self,
        files: &[Listed],
        mut partial: Option<&mut Partial>,
        format: Format,
        diag: &Diag,
        to: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let known: Vec<Option<Digest>> =
            files.iter().map(|f| partial.as_ref().and_then(|p| p.known(&f.path)).cloned()).collect();
        let (left, places): (Vec<PathBuf>, Vec<usize>) = files
            .iter()
            .enumerate()
            .filter(|(i, _)| known[*i].is_none())
            .map(|(i, f)| (f.path.clone(), i))
            .unzip();
        let total = files.iter().enumerate().filter(|(i, _)| known[*i].is_none()).map(|(_, f)| f.size).sum();
        let bar = progress::bar(diag, Unit::Bytes, Some(total), "hashing");
        let mut summary = ManifestSummary::default();
        let mut done = 0;
        let mut put = |i: usize, d: &Digest, summary: &mut ManifestSummary| -> anyhow::Result<()> {
            summary.files += 1;
            summary.size_bytes += d.stamp.size;
            match format {
                Format::Text => text::write(to, &files[i].path, &d.sha256)?,
                Format::Json => {
                    common::record::write(to, &text::record(&files[i].path, &d.sha256, d.stamp.size))?
                }
            }
            Ok(())
        };
        hash_all(&left, options(self.threads).threads, &bar, |n, result| {
            // Those that were known come in their turn.
            for (i, known) in known.iter().enumerate().take(places[n]).skip(done) {
                known.as_ref().map_or(Ok(()), |d| put(i, d, &mut summary))?;
            }
            done = places[n] + 1;
            match result {
                Ok(digest) => {
                    if let Some(p) = &mut partial {
                        p.add(&left[n], &digest)?;
                    }
                    put(places[n], &digest, &mut summary)?;
                }
                Err(e) => diag.error(left[n].display(), e),
            }
            Ok(())
        })?;
        for (i, known) in known.iter().enumerate().skip(done) {
            known.as_ref().map_or(Ok(()), |d| put(i, d, &mut summary))?;
        }
        bar.finish_and_clear();
        if format == Format::Json {
            summary.errors = diag.errors();
            common::record::write(to, &summary)?;
        }
        Ok(())
    }
}

impl Verify {
    fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let shown = || self.manifest.display().to_string();
        let (file, _) = common::fsat::open_regular(&self.manifest)
            .map_err(|e| anyhow!(crate::io_reason(&e)))
            .with_context(shown)?;
        let content = common::fsat::read_bounded(file, LIMIT).with_context(shown)?;
        if let Some(key) = &self.key
            && !sign::verify(key, &self.manifest, &content)?
        {
            // Nothing in it can be believed.
            self.tell(format, out, &self.manifest, VerifyStatus::BadSignature)?;
            return Ok(Exit::No);
        }
        let entries = parse(&content).with_context(shown)?;
        let (diag, _) = out.parts();
        let total =
            entries.iter().filter_map(|e| std::fs::symlink_metadata(&e.path).ok()).map(|m| m.len()).sum();
        let bar = progress::bar(diag, Unit::Bytes, Some(total), "verifying");
        let files: Vec<PathBuf> = entries.iter().map(|e| e.path.clone()).collect();
        let mut summary = ManifestSummary::default();
        let mut wrong = Vec::new();
        hash_all(&files, options(self.threads).threads, &bar, |i, result| {
            let status = match result {
                Ok(d) => {
                    summary.files += 1;
                    summary.size_bytes += d.stamp.size;
                    if d.sha256 == entries[i].sha256 {
                        return Ok(());
                    }
                    VerifyStatus::Changed
                }
                Err(Failure::Unstable) => VerifyStatus::Unstable,
                Err(Failure::Io(e)) if e.kind() == std::io::ErrorKind::NotFound => VerifyStatus::Missing,
                Err(e) => {
                    diag.error(files[i].display(), e);
                    return Ok(());
                }
            };
            wrong.push((files[i].clone(), status));
            Ok(())
        })?;
        bar.finish_and_clear();
        wrong.extend(self.new_files(&files, diag).into_iter().map(|path| (path, VerifyStatus::New)));
        for (path, status) in &wrong {
            self.tell(format, out, path, *status)?;
        }
        if format == Format::Json {
            summary.differences = wrong.len() as u64;
            summary.errors = out.diag().errors();
            out.record(&summary)?;
        }
        Ok(if wrong.is_empty() { Exit::Ok } else { Exit::No })
    }

    fn new_files(&self, named: &[PathBuf], diag: &Diag) -> Vec<PathBuf> {
        // `./a` in one and `a` in the other are the same.
        let plain = |p: &Path| p.components().collect::<PathBuf>();
        let plain = |p: &Path| plain(p).strip_prefix(".").map_or_else(|_| plain(p), Path::to_owned);
        let named: HashSet<PathBuf> = named.iter().map(|p| plain(p)).collect();
        let found =
            if self.paths.is_empty() { Vec::new() } else { list(&self.paths, options(self.threads), diag) };
        found.into_iter().map(|f| f.path).filter(|p| !named.contains(&plain(p))).collect()
    }

    fn tell(&self, format: Format, out: &mut Out, path: &Path, status: VerifyStatus) -> anyhow::Result<()> {
        use std::os::unix::ffi::OsStrExt;
        match format {
            Format::Text => writeln!(out.text(), "{}: {status}", Safe(&path.to_string_lossy()))?,
            Format::Json => out.record(&Verdict {
                path: path.to_string_lossy().into_owned(),
                path_hex: path.to_str().is_none().then(|| common::finding::hex(path.as_os_str().as_bytes())),
                status,
            })?,
        }
        Ok(())
    }
}

fn parse(content: &[u8]) -> anyhow::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (i, line) in content.split(|&b| b == b'\n').enumerate() {
        let entry = text::parse(line).map_err(|e| anyhow!("line {}: {e}", i + 1))?;
        entries.extend(entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;

//! `datack manifest verify`.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use common::exit::Exit;
use common::out::{Diag, Format, Out};
use common::record::RecordPath;
use common::record::datack::{ManifestDifference, ManifestSummary, VerifyStatus};
use common::text::Safe;

use super::{VerifyArgs, hash_bar, manifest_files};
use crate::manifest::lister::{self, FileLister, ListOptions};
use crate::manifest::partial::KnownDigests;
use crate::manifest::text::ManifestEntry;
use crate::manifest::{FileResult, HashError, hash_all, sign, text};

/// Maximum size of a manifest in bytes: about ten million files.
const MAX_MANIFEST_SIZE: u64 = 2 << 30;

/// The differences, and the counts.
type Comparison = (Vec<(PathBuf, VerifyStatus)>, ManifestSummary);

impl VerifyArgs {
    pub(super) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let shown = || self.manifest.display().to_string();
        let content = self.read_manifest().with_context(shown)?;
        if let Some(key) = &self.key {
            if !sign::verify_signature(key, &self.manifest, &content)? {
                // Nothing in it can be trusted.
                report_difference(format, out, &self.manifest, VerifyStatus::BadSignature)?;
                return Ok(Exit::No);
            }
        }
        let entries = text::parse_manifest(&content).map_err(|e| anyhow!(e)).with_context(shown)?;
        drop(content);
        let (wrong, mut summary) = self.compare_files(&entries, out.diag())?;
        for (path, status) in &wrong {
            report_difference(format, out, path, *status)?;
        }
        if format == Format::Json {
            summary.differences = wrong.len() as u64;
            summary.errors = out.diag().errors();
            out.record(&summary)?;
        }
        if wrong.iter().filter(|(_, s)| *s == VerifyStatus::Missing).count() == entries.len() {
            let here = self.hash_args.directory.as_deref().unwrap_or(Path::new("."));
            out.diag().help(format_args!(
                "no file of the manifest exists: names are relative to {}; -C DIR sets another directory",
                here.display()
            ));
        }
        Ok(if wrong.is_empty() { Exit::Ok } else { Exit::No })
    }

    /// Reads the manifest: a regular file, standard input for `-`, or a pipe that the shell or another process names.
    fn read_manifest(&self) -> anyhow::Result<Vec<u8>> {
        use std::os::unix::fs::FileTypeExt;
        let named_pipe = || {
            // `<(…)` of a shell is a link in /dev/fd.
            let by_shell =
                ["/dev/fd", "/dev/stdin", "/proc/self/fd"].iter().any(|dir| self.manifest.starts_with(dir));
            let meta = if by_shell { self.manifest.metadata() } else { self.manifest.symlink_metadata() };
            by_shell || meta.is_ok_and(|meta| meta.file_type().is_fifo())
        };
        if self.manifest == Path::new("-") {
            return Ok(common::fsat::read_bounded(std::io::stdin(), MAX_MANIFEST_SIZE)?);
        }
        let file = if named_pipe() {
            std::fs::File::open(&self.manifest)
        } else {
            common::fsat::open_regular(&self.manifest).map(|(file, _)| file)
        };
        let file = file.map_err(|e| anyhow!(common::error::io_reason(&e)))?;
        Ok(common::fsat::read_bounded(file, MAX_MANIFEST_SIZE)?)
    }

    fn compare_files(&self, entries: &[ManifestEntry], diag: &Diag) -> anyhow::Result<Comparison> {
        let directory = self.hash_args.directory.as_deref();
        let shown = || directory.unwrap_or(Path::new(".")).display().to_string();
        let base = lister::open_base(directory)
            .map_err(|e| anyhow!(common::error::errno_reason(e)))
            .with_context(shown)?;
        let bar = hash_bar(diag, "verifying", || {
            entries.iter().filter_map(|e| lister::find_named(&base, &e.path)).map(|f| f.size).sum()
        });
        let mut files = entries.iter().filter_map(|e| lister::find_named(&base, &e.path));
        let mut wanted = entries.iter();
        let mut summary = ManifestSummary::default();
        let mut wrong = Vec::new();
        hash_all(&mut files, self.hash_args.thread_count(), &KnownDigests::default(), &bar, |done| {
            let wanted = wanted.next();
            if let Ok(d) = &done.result {
                summary.files += 1;
                summary.size_bytes += d.stamp.size;
                if wanted.is_some_and(|w| w.sha256 == d.sha256) {
                    return Ok(());
                }
            }
            wrong.extend(difference_status(done, diag));
            Ok(())
        })?;
        bar.finish_and_clear();
        let (new, links) = self.new_files(entries, &base, diag);
        wrong.extend(new.into_iter().map(|path| (path, VerifyStatus::New)));
        summary.links = links;
        Ok((wrong, summary))
    }

    /// Returns the files below the paths that no entry names, and the number of symbolic links that were skipped. A symbolic
    /// link that no entry names is new, too, because a reader follows it to any file, unless its target is below the paths.
    fn new_files(&self, entries: &[ManifestEntry], base: &Arc<OwnedFd>, diag: &Diag) -> (Vec<PathBuf>, u64) {
        if self.paths.is_empty() {
            return (Vec::new(), 0);
        }
        let resolver = PathResolver::new(self.hash_args.directory.as_deref());
        let named: HashSet<PathBuf> = entries.iter().map(|e| resolver.absolute(&e.path)).collect();
        let roots: Vec<_> = self.paths.iter().filter_map(|p| resolver.canonical(p)).collect();
        let stays =
            |link: &Path| resolver.canonical(link).is_some_and(|to| roots.iter().any(|r| to.starts_with(r)));
        let without = manifest_files(Some(&self.manifest));
        let options = ListOptions { follow: self.hash_args.follow, links: true, without };
        let (mut new, mut links) = (Vec::new(), 0);
        for file in FileLister::list_below(base, &self.paths, options, diag) {
            if named.contains(&resolver.absolute(&file.path)) {
                continue;
            }
            if file.link && stays(&file.path) {
                links += 1;
            } else {
                new.push(file.path);
            }
        }
        (new, links)
    }
}

/// Makes paths absolute and removes `.` and `..`, so that two spellings of a path compare as equal. Symbolic links are not
/// resolved, because a manifest contains them as they are.
struct PathResolver(PathBuf);

impl PathResolver {
    fn new(directory: Option<&Path>) -> Self {
        let base = std::path::absolute(directory.unwrap_or(Path::new("."))).unwrap_or_default();
        Self(normalize_path(&base))
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        normalize_path(&self.0.join(path))
    }

    /// Resolves symbolic links; `None` if the target does not exist.
    fn canonical(&self, path: &Path) -> Option<PathBuf> {
        self.0.join(path).canonicalize().ok()
    }
}

fn normalize_path(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// Returns how a file differs whose digest is another one or missing. I/O errors are reported.
fn difference_status(done: FileResult, diag: &Diag) -> Option<(PathBuf, VerifyStatus)> {
    let status = match done.result {
        Ok(_) => VerifyStatus::Changed,
        Err(HashError::Unstable) => VerifyStatus::Unstable,
        Err(HashError::Io(e)) if e.kind() == ErrorKind::NotFound => VerifyStatus::Missing,
        Err(e) => {
            diag.error(done.path.display(), e);
            return None;
        }
    };
    Some((done.path, status))
}

fn report_difference(format: Format, out: &mut Out, path: &Path, status: VerifyStatus) -> anyhow::Result<()> {
    match format {
        Format::Text => writeln!(out.text(), "{}: {status}", Safe(&path.to_string_lossy()))?,
        Format::Json => out.record(&ManifestDifference { path: RecordPath::from(path), status })?,
    }
    Ok(())
}

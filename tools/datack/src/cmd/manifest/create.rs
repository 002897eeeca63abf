//! `datack manifest create`.

use std::ffi::CStr;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use common::exit::Exit;
use common::file_id::FileId;
use common::fsat::Output;
use common::out::{Diag, Format, Out};
use common::policy::Class;
use common::record::datack::ManifestSummary;
use rustix::fs::{FileType, Statx};
use rustix::io::Errno;

use super::{CreateArgs, hash_bar, manifest_files};
use crate::manifest::lister::{self, FileLister, ListOptions};
use crate::manifest::partial::{KnownDigests, PartialManifest};
use crate::manifest::{FileResult, hash_all, sign, text};
use common::walk::{self, OpenDirectory, WalkOptions, WalkVisitor, file_type};

impl CreateArgs {
    pub(super) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let key = self.sign.as_deref().map(sign::read_private_key).transpose()?;
        let paths = self.inputs.paths()?.collect::<anyhow::Result<Vec<_>>>()?;
        let (diag, to) = out.parts();
        let Some(path) = &self.output else {
            self.write_manifest(
                &paths,
                manifest_files(None),
                (&KnownDigests::default(), None),
                format,
                diag,
                to,
            )?;
            return Ok(Exit::Ok);
        };
        let shown = || path.display().to_string();
        let file = Output::create(path, Class::DataFile.max()).with_context(shown)?;
        // A pipe or device gets the manifest only, and no files beside it.
        let beside = file.is_file();
        ensure!(
            beside || (key.is_none() && !self.resume),
            "{}: is not a regular file, which --sign and --resume need",
            shown()
        );
        // Digests of an interrupted run are used with --resume, and recorded for the next one.
        let partial = beside.then(|| PartialManifest::open(path, self.resume)).transpose();
        let partial = partial.with_context(|| format!("{}.partial", shown()))?;
        let (mut partial, known) = partial.map_or((None, KnownDigests::default()), |(p, k)| (Some(p), k));
        // The files of the manifest itself are not hashed, nor is its new content.
        let mut without = manifest_files(Some(path));
        without.extend(file.metadata().ok().map(|m| FileId::of_metadata(&m)));
        let mut file = ManifestWriter { file: BufWriter::new(file), copy: key.is_some().then(Vec::new) };
        let written =
            self.write_manifest(&paths, without, (&known, partial.as_mut()), format, diag, &mut file);
        written.with_context(shown)?;
        // An incomplete manifest does not replace an existing one.
        if diag.errors() > 0 {
            return Err(anyhow!("{}: not written, because of the errors above", shown()));
        }
        let ManifestWriter { file, copy } = file;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.commit().with_context(shown)?;
        // The signature follows the manifest that it is of.
        if let (Some(key), Some(content)) = (&key, &copy) {
            let beside = sign::signature_path(path);
            common::fsat::write(&beside, Class::DataFile.max(), &sign::sign_manifest(key, content))
                .with_context(|| beside.display().to_string())?;
        }
        partial.map_or(Ok(()), PartialManifest::remove).with_context(|| format!("{}.partial", shown()))?;
        Ok(Exit::Ok)
    }

    fn write_manifest(
        &self,
        paths: &[PathBuf],
        without: Vec<FileId>,
        (known, mut partial): (&KnownDigests, Option<&mut PartialManifest>),
        format: Format,
        diag: &Diag,
        to: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let directory = self.hash_args.directory.as_deref();
        let shown = || directory.unwrap_or(Path::new(".")).display().to_string();
        let base = lister::open_base(directory)
            .map_err(|e| anyhow!(common::error::errno_reason(e)))
            .with_context(shown)?;
        let options = ListOptions { follow: self.hash_args.follow, links: false, without };
        let bar = hash_bar(diag, "hashing", || total_bytes(directory, paths));
        let mut files = FileLister::list_below(&base, paths, options, diag);
        let mut summary = ManifestSummary::default();
        let each = |done: FileResult| {
            let digest = match done.result {
                Ok(digest) => digest,
                Err(e) => {
                    diag.error(done.path.display(), e);
                    return Ok(());
                }
            };
            if let Some(p) = partial.as_mut().filter(|_| done.fresh) {
                p.add_digest(&done.path, &digest)?;
            }
            summary.files += 1;
            summary.size_bytes += digest.stamp.size;
            match format {
                Format::Text => text::write_line(to, &done.path, &digest.sha256)?,
                Format::Json => common::record::write(
                    to,
                    &text::digest_record(&done.path, &digest.sha256, digest.stamp.size),
                )?,
            }
            Ok(())
        };
        let hashed = hash_all(&mut files, self.hash_args.thread_count(), known, &bar, each);
        bar.finish_and_clear();
        files.warn_of_symlinks();
        // The digests are kept for --resume, however this run ends.
        partial.map_or(Ok(()), PartialManifest::flush)?;
        hashed?;
        summary.links = files.links;
        summary.errors = diag.errors();
        if format == Format::Json {
            common::record::write(to, &summary)?;
        }
        ensure!(
            summary.files + summary.errors > 0,
            "no regular file below the paths: the manifest would be empty"
        );
        Ok(())
    }
}

/// Writes the manifest, and keeps a copy if it is to be signed: Ed25519 signs the whole message (RFC 8032).
struct ManifestWriter {
    file: BufWriter<Output>,
    copy: Option<Vec<u8>>,
}

impl Write for ManifestWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.file.write(bytes)?;
        if let Some(copy) = &mut self.copy {
            copy.extend_from_slice(&bytes[..n]);
        }
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Returns the bytes below the paths, for the progress bar. Errors are reported later, when the files are hashed.
fn total_bytes(directory: Option<&Path>, paths: &[PathBuf]) -> u64 {
    let paths: Vec<_> = paths.iter().map(|p| directory.map_or_else(|| p.clone(), |d| d.join(p))).collect();
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let (sums, _) = walk::walk_trees(&paths, WalkOptions { threads, cross_mounts: false }, || SizeSum(0));
    sums.iter().map(|s| s.0).sum()
}

struct SizeSum(u64);

impl WalkVisitor for SizeSum {
    type DirectoryState = ();

    fn visit_file(&mut self, _dir: &OpenDirectory, (): &mut (), _name: &CStr, st: &Statx) {
        if file_type(st) == FileType::RegularFile {
            self.0 += st.stx_size;
        }
    }

    fn visit_directory(&mut self, _dir: &OpenDirectory, (): ()) {}
    fn visit_mount_point(&mut self, _parent: &OpenDirectory, _name: &CStr, _st: &Statx) {}
    fn report_error(&mut self, _parent: &OpenDirectory, _name: &CStr, _st: Option<&Statx>, _error: Errno) {}
    fn count_vanished(&mut self) {}
}

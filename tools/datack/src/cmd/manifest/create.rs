//! Makes a manifest.

use std::ffi::CStr;
use std::io::{BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, ensure};
use common::exit::Exit;
use common::fsat::Output;
use common::out::{Diag, Format, Out};
use common::policy::Class;
use common::record::datack::ManifestSummary;
use rustix::fs::{FileType, Statx};
use rustix::io::Errno;

use super::{Create, bar, own};
use crate::manifest::list::{self, Files, Reach};
use crate::manifest::partial::{Known, Partial};
use crate::manifest::{Done, hash_all, sign, text};
use common::walk::{self, OpenDirectory, WalkOptions, WalkVisitor, file_type};

impl Create {
    pub(super) fn run(self, format: Format, out: &mut Out) -> anyhow::Result<Exit> {
        let key = self.sign.as_deref().map(sign::private).transpose()?;
        let paths = self.inputs.paths()?.collect::<anyhow::Result<Vec<_>>>()?;
        let (diag, to) = out.parts();
        let Some(path) = &self.output else {
            self.write(&paths, own(None), (&Known::default(), None), format, diag, to)?;
            return Ok(Exit::Ok);
        };
        let shown = || path.display().to_string();
        let file = Output::create(path, Class::DataFile.max()).with_context(shown)?;
        // Beside a pipe or device nothing is put: it is written to, and that is all.
        let beside = file.is_file();
        ensure!(
            beside || (key.is_none() && !self.resume),
            "{}: is no file: --sign and --resume need one",
            shown()
        );
        let partial = beside.then(|| Partial::open(path, self.resume)).transpose();
        let partial = partial.with_context(|| format!("{}.partial", shown()))?;
        let (mut partial, known) = partial.map_or((None, Known::default()), |(p, k)| (Some(p), k));
        let mut without = own(Some(path));
        without.extend(file.metadata().ok().map(|m| (m.dev(), m.ino())));
        let mut file = Tee { file: BufWriter::new(file), copy: key.is_some().then(Vec::new) };
        let written = self.write(&paths, without, (&known, partial.as_mut()), format, diag, &mut file);
        written.with_context(shown)?;
        // A manifest that lacks files is not put in the place of one that does not.
        if diag.errors() > 0 {
            return Err(anyhow!("{}: not written, because of the errors above", shown()));
        }
        let Tee { file, copy } = file;
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?.commit().with_context(shown)?;
        if let (Some(key), Some(content)) = (&key, &copy) {
            let beside = sign::beside(path);
            common::fsat::write(&beside, Class::DataFile.max(), &sign::sign(key, content))
                .with_context(|| beside.display().to_string())?;
        }
        partial.map_or(Ok(()), Partial::remove).with_context(|| format!("{}.partial", shown()))?;
        Ok(Exit::Ok)
    }

    fn write(
        &self,
        paths: &[PathBuf],
        without: Vec<(u64, u64)>,
        (known, mut partial): (&Known, Option<&mut Partial>),
        format: Format,
        diag: &Diag,
        to: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let directory = self.how.directory.as_deref();
        let shown = || directory.unwrap_or(Path::new(".")).display().to_string();
        let base =
            list::base(directory).map_err(|e| anyhow!(common::error::errno_reason(e))).with_context(shown)?;
        let reach = Reach { follow: self.how.follow, links: false, without };
        let bar = bar(diag, "hashing", || total(directory, paths));
        let mut files = Files::below(&base, paths, reach, diag);
        let mut summary = ManifestSummary::default();
        let each = |done: Done| {
            let digest = match done.result {
                Ok(digest) => digest,
                Err(e) => {
                    diag.error(done.path.display(), e);
                    return Ok(());
                }
            };
            if let Some(p) = partial.as_mut().filter(|_| done.fresh) {
                p.add(&done.path, &digest)?;
            }
            summary.files += 1;
            summary.size_bytes += digest.stamp.size;
            match format {
                Format::Text => text::write(to, &done.path, &digest.sha256)?,
                Format::Json => {
                    common::record::write(to, &text::record(&done.path, &digest.sha256, digest.stamp.size))?
                }
            }
            Ok(())
        };
        let hashed = hash_all(&mut files, self.how.threads(), known, &bar, each);
        bar.finish_and_clear();
        files.tell_links();
        // What was hashed is kept for the next run, however this one ends.
        partial.map_or(Ok(()), Partial::flush)?;
        hashed?;
        summary.links = files.links;
        summary.errors = diag.errors();
        if format == Format::Json {
            common::record::write(to, &summary)?;
        }
        ensure!(
            summary.files + summary.errors > 0,
            "no regular file is below the paths: a manifest names one at least"
        );
        Ok(())
    }
}

/// Where the manifest goes, and a copy of it where it is to be signed: an Ed25519 signature is of the whole.
struct Tee {
    file: BufWriter<Output>,
    copy: Option<Vec<u8>>,
}

impl Write for Tee {
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

/// The bytes below the paths, for the bar; what cannot be seen is reported when it is hashed.
fn total(directory: Option<&Path>, paths: &[PathBuf]) -> u64 {
    let paths: Vec<_> = paths.iter().map(|p| directory.map_or_else(|| p.clone(), |d| d.join(p))).collect();
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    let (sums, _) = walk::walk_trees(&paths, WalkOptions { threads, cross_mounts: false }, || Sum(0));
    sums.iter().map(|s| s.0).sum()
}

struct Sum(u64);

impl WalkVisitor for Sum {
    type State = ();

    fn file(&mut self, _dir: &OpenDirectory, (): &mut (), _name: &CStr, st: &Statx) {
        if file_type(st) == FileType::RegularFile {
            self.0 += st.stx_size;
        }
    }

    fn dir(&mut self, _dir: &OpenDirectory, (): ()) {}
    fn mount_point(&mut self, _parent: &OpenDirectory, _name: &CStr, _st: &Statx) {}
    fn failed(&mut self, _parent: &OpenDirectory, _name: &CStr, _st: Option<&Statx>, _error: Errno) {}
    fn vanished(&mut self) {}
}

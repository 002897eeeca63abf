//! The manifest of a part: of which list it is which part, which traces it is of, what became of each, and the files with their checksums.
//!
//! It appears after all files of the part, and goes before they are replaced: where there is one, the part is whole.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::error::HintExt;
use common::finding::hex;
use common::fsat::AtomicFile;
use common::policy::Mode;
use common::record::{self, tracecv as records};
use sha2::{Digest, Sha256};
use trace::inputs::TraceInput;

use crate::write::MadeDirectories;
use crate::write::shard::Shard;

/// The directory of manifests. Engines leave out names that begin like this (apache/spark
/// `sql/core/.../HadoopFSUtils.scala`: `shouldFilterOutPathName`).
const DIRECTORY: &str = "_manifest";

/// The longest first line of a manifest.
const MOST_BYTES: u64 = 64 << 10;

/// The list of the traces of a run, which all its parts share: by it, a trace is in one part and in no other.
pub(crate) struct TraceList {
    /// Number of traces.
    traces: u64,
    /// SHA-256 of their paths, each with a NUL behind it, in hex.
    sha256: String,
}

impl TraceList {
    /// Makes the list of these traces, in this order. `./` at the beginning of a path makes no difference.
    pub(crate) fn of(inputs: &[TraceInput]) -> Self {
        let mut hash = Sha256::new();
        for input in inputs {
            let path = match input {
                TraceInput::Stdin => Path::new("-"),
                TraceInput::Path(path) => path.strip_prefix(".").unwrap_or(path),
            };
            hash.update(path.as_os_str().as_encoded_bytes());
            hash.update([0]);
        }
        Self { traces: inputs.len() as u64, sha256: hex(&hash.finalize()) }
    }
}

/// A manifest that is being written.
pub(super) struct PartManifest {
    file: AtomicFile,
    run: PathBuf,
    path: PathBuf,
    part: String,
    shard: Shard,
    sha256: String,
}

impl PartManifest {
    /// Begins that of a part, in the directory of its run.
    ///
    /// # Errors
    /// The directory cannot be made or written; the run has parts of another list or number.
    pub(super) fn create(
        run: &Path,
        shard: Shard,
        list: &TraceList,
        directories: &mut MadeDirectories,
    ) -> anyhow::Result<Self> {
        let dir = run.join(DIRECTORY);
        let part = format!("part-{:05}-of-{:05}", shard.index, shard.count);
        let path = dir.join(format!("{part}.jsonl"));
        check_parts(run, shard, &list.sha256)?;
        directories.create(&dir)?;
        let file = AtomicFile::create(&path, Mode(0o640)).with_context(|| path.display().to_string())?;
        let (run, sha256) = (run.to_owned(), list.sha256.clone());
        let mut manifest = Self { file, run, path, part, shard, sha256 };
        manifest.write(&records::PartRecord {
            part: shard.index,
            parts: shard.count,
            traces: list.traces,
            list_sha256: list.sha256.clone(),
        })?;
        Ok(manifest)
    }

    /// Adds a trace.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn take_trace(&mut self, about: &records::PartTraceRecord) -> anyhow::Result<()> {
        self.write(about)
    }

    /// Adds a file, by the name of its table.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(super) fn take_table(&mut self, table: &str, about: &records::PartTableRecord) -> anyhow::Result<()> {
        let path = format!("table={table}/{}.parquet", self.part);
        let about = records::PartTableRecord { path, ..about.clone() };
        self.write(&about)
    }

    fn write(&mut self, line: &impl record::Record) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        record::write(&mut bytes, line)?;
        self.file.write_all(&bytes).with_context(|| self.path.display().to_string())
    }

    /// Removes the manifest of files that are about to be replaced.
    ///
    /// # Errors
    /// It is there and cannot be removed; another list or number was used meanwhile.
    pub(super) fn begin_replacement(&self) -> anyhow::Result<()> {
        check_parts(&self.run, self.shard, &self.sha256)?;
        match std::fs::remove_file(&self.path) {
            Err(e) if e.kind() != ErrorKind::NotFound => {
                Err(e).with_context(|| self.path.display().to_string())
            }
            _ => Ok(()),
        }
    }

    /// Lets it appear.
    ///
    /// # Errors
    /// The file cannot be written; a part of another list or number has appeared. Of two that are written at the same
    /// time, one at least finds the other.
    pub(super) fn commit(self) -> anyhow::Result<()> {
        self.file.commit().with_context(|| self.path.display().to_string())?;
        check_parts(&self.run, self.shard, &self.sha256)
    }
}

/// Rejects parts for a run that was written in another number of them, or from another list of traces: rows would be
/// there twice, and others never.
///
/// One manifest is enough to compare the list with: those that are there have been compared with each other.
///
/// # Errors
/// There are such parts.
fn check_parts(run: &Path, shard: Shard, sha256: &str) -> anyhow::Result<()> {
    let hint = "give every part the same N and the same traces; to begin anew, remove that directory or name another --run";
    let ending = format!("-of-{:05}", shard.count);
    let mut least: Option<String> = None;
    for (dir, extension) in [(DIRECTORY, ".jsonl"), ("table=events", ".parquet"), ("table=ranks", ".parquet")]
    {
        for name in std::fs::read_dir(run.join(dir)).into_iter().flatten().flatten() {
            let Ok(name) = name.file_name().into_string() else { continue };
            let Some(part) = name.strip_suffix(extension).filter(|part| part.starts_with("part-")) else {
                continue;
            };
            if !part.ends_with(&ending) {
                let reason =
                    format!("{}: has {name}, which is not one of {} parts", run.display(), shard.count);
                return Err(anyhow::anyhow!(reason)).hint(hint);
            }
            let is_own = part.strip_suffix(&ending) == Some(&format!("part-{:05}", shard.index));
            if dir == DIRECTORY && !is_own && least.as_ref().is_none_or(|least| name < *least) {
                least = Some(name);
            }
        }
    }
    let Some(name) = least else { return Ok(()) };
    let path = run.join(DIRECTORY).join(&name);
    let mut line = String::new();
    let read = File::open(&path).and_then(|file| BufReader::new(file.take(MOST_BYTES)).read_line(&mut line));
    match read {
        // It is being replaced, and its writer looks at ours.
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        other => _ = other.with_context(|| path.display().to_string())?,
    }
    let other: Option<records::PartRecord> = serde_json::from_str(&line).ok();
    if other.is_none_or(|other| other.list_sha256 == sha256) {
        return Ok(());
    }
    let reason = format!("{}: {name} was made from another list of traces", run.display());
    Err(anyhow::anyhow!(reason)).hint(hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(run: &Path, shard: Shard, list: &TraceList) -> anyhow::Result<PartManifest> {
        PartManifest::create(run, shard, list, &mut MadeDirectories::shared())
    }

    /// Tasks of different arrays may run at the same time: what none saw at its begin, one sees at its end.
    #[test]
    fn of_two_parts_that_do_not_fit_together_one_is_refused() {
        let list = |names: &[&str]| {
            TraceList::of(&names.iter().map(|name| TraceInput::Path(name.into())).collect::<Vec<_>>())
        };
        let [half, third] = [(1, 2), (1, 3)].map(|(index, count)| Shard { index, count });
        let [one, other, same] = [&["a", "b"][..], &["a", "c"], &["./a", "b"]].map(list);
        let second = Shard { index: 2, count: 2 };
        for (shard, list, fits) in [(third, &one, false), (second, &other, false), (second, &same, true)] {
            let run = tempfile::tempdir().unwrap();
            let first = create(run.path(), half, &one).unwrap();
            let next = create(run.path(), shard, list).unwrap();
            first.begin_replacement().unwrap();
            next.begin_replacement().unwrap();
            first.commit().unwrap();
            assert_eq!(next.begin_replacement().is_ok(), fits);
            assert_eq!(next.commit().is_ok(), fits);
            // A part replaces itself, whatever it was made from.
            let alone = tempfile::tempdir().unwrap();
            create(alone.path(), half, &one).unwrap().commit().unwrap();
            create(alone.path(), half, &other).unwrap().commit().unwrap();
        }
    }
}

//! What a run that was cut short had already hashed: a file beside the manifest, taken over where size, inode
//! and times are still the same.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use common::finding::hex;
use common::policy::Mode;

use super::{Digest, Stamp, text};

/// The record of what was hashed, while a manifest is made.
#[derive(Debug)]
pub(crate) struct Partial {
    path: PathBuf,
    file: File,
    known: HashMap<PathBuf, Digest>,
}

impl Partial {
    /// Opens the record beside `manifest`; what it holds is kept with `resume` and dropped without.
    pub(crate) fn open(manifest: &Path, resume: bool) -> io::Result<Self> {
        let mut name = manifest.as_os_str().to_owned();
        name.push(".partial");
        let path = PathBuf::from(name);
        let known = if resume { read(&path)? } else { HashMap::new() };
        let file = common::fsat::open_append(&path, Mode(0o600))?;
        if !resume {
            file.set_len(0)?;
        }
        Ok(Self { path, file, known })
    }

    /// The digest of a file that has not changed since it was hashed.
    pub(crate) fn known(&self, path: &Path) -> Option<&Digest> {
        let digest = self.known.get(path)?;
        let now = std::fs::symlink_metadata(path).ok()?;
        (now.is_file() && Stamp::of(&now) == digest.stamp).then_some(digest)
    }

    /// Adds a digest; a line at once, so that a killed run loses only files that it was reading.
    pub(crate) fn add(&mut self, path: &Path, d: &Digest) -> io::Result<()> {
        let [a, b, c, e] = d.stamp.times;
        let mut line = format!("{} {} {a} {b} {c} {e} ", d.stamp.size, d.stamp.inode).into_bytes();
        text::write(&mut line, path, &d.sha256)?;
        self.file.write_all(&line)
    }

    /// The manifest is complete: the record is not needed any more.
    pub(crate) fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

/// Lines that were cut or spoilt are as if they were not there: their files are hashed again.
fn read(path: &Path) -> io::Result<HashMap<PathBuf, Digest>> {
    let (file, meta) = match common::fsat::open_regular(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        other => other?,
    };
    crate::trusted(&meta).map_err(io::Error::other)?;
    let lines = BufReader::new(file).split(b'\n');
    Ok(lines.map_while(Result::ok).filter_map(|line| entry(&line)).collect())
}

fn entry(line: &[u8]) -> Option<(PathBuf, Digest)> {
    let mut fields = line.splitn(7, |&b| b == b' ');
    let mut number = || std::str::from_utf8(fields.next()?).ok()?.parse::<i64>().ok();
    let (size, inode) = (number()?, number()?);
    let times = [number()?, number()?, number()?, number()?];
    let entry = text::parse(fields.next()?).ok()??;
    let stamp = Stamp { size: u64::try_from(size).ok()?, inode: u64::try_from(inode).ok()?, times };
    debug_assert_eq!(hex(&entry.sha256).len(), 64);
    Some((entry.path, Digest { sha256: entry.sha256, stamp }))
}

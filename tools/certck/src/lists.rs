//! The CRLs of one directory: read block by block, held against newer ones, replaced in one step under a lock.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use common::finding::{Finding, Severity, hex};
use common::fsat;
use common::pki::role::LAYOUTS;
use common::pki::{Cert, Crl, LoadOptions, inspect_certificates, pem, rule};
use common::policy::{Class, Mode};
use rustix::fs::FlockOperation;

use crate::files;

/// A directory's ca.crl, which no other certck replaces meanwhile.
pub(crate) struct Lists {
    pub(crate) path: PathBuf,
    dir: PathBuf,
    present: Present,
    _lock: File,
}

/// What a file holds: lists, and what was wrong with the rest.
#[derive(Default)]
pub(crate) struct Present {
    pub(crate) lists: Vec<Crl>,
    pub(crate) broken: Vec<String>,
}

impl Lists {
    /// Locks the directory, and reads what is there.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let lock = lock(dir).with_context(|| dir.display().to_string())?;
        let path = dir.join("ca.crl");
        let present = Present::read(&path)?;
        Ok(Self { path, dir: dir.to_owned(), present, _lock: lock })
    }

    /// What could not be read, and goes when the file is replaced.
    pub(crate) fn broken(&self) -> &[String] {
        &self.present.broken
    }

    /// Whether the file has this very list already, and nothing that it should not.
    pub(crate) fn has(&self, new: &Crl) -> bool {
        self.present.broken.is_empty() && self.present.lists.iter().any(|old| old.der == new.der)
    }

    /// The list by an issuer that has the highest number.
    pub(crate) fn latest(&self, issuer: &Cert) -> Option<&Crl> {
        self.present.by(issuer).max_by_key(|crl| digits(crl))
    }

    /// Why the list must not take the place of the present one by the same issuer, if so: an older list would bring
    /// revoked certificates back.
    pub(crate) fn older(&self, new: &Crl, issuer: &Cert) -> Option<String> {
        self.present.by(issuer).find_map(|old| older(new, old))
    }

    /// The file with the list in the place of those by the same issuer. Those by others stay, by others of the same
    /// name too.
    pub(crate) fn with(&self, new: &Crl, issuer: &Cert) -> String {
        let others = self.present.lists.iter().filter(|old| !old.is_issued_by(issuer));
        std::iter::once(new).chain(others).map(|crl| pem::encode("X509 CRL", &crl.der).to_string()).collect()
    }

    /// What the loader of the directory would refuse with this content, and does not refuse now. That a list
    /// revokes the directory's own certificate is what lists are for.
    pub(crate) fn refusal(&self, text: &str) -> Option<Finding> {
        let layout = LAYOUTS.iter().find(|l| self.dir.join(l.leaf).symlink_metadata().is_ok())?;
        let options = LoadOptions { warn_days: 0, ..LoadOptions::now() };
        let errors = |staged: Option<&[u8]>| -> Vec<Finding> {
            let findings = inspect_certificates(&self.dir, layout.role, staged, &options);
            findings.into_iter().filter(|f| f.severity == Severity::Error).collect()
        };
        let (before, after) = (errors(None), errors(Some(text.as_bytes())));
        let own = self.path.to_string_lossy().into_owned();
        // Besides, a chain that is revoked is no chain.
        let revoked = after.iter().any(|f| f.rule == rule::REVOKED.id);
        let counts = |f: &Finding| f.path == own || !revoked;
        let known = |f: &Finding| before.iter().any(|b| (&b.rule, &b.found) == (&f.rule, &f.found));
        after.into_iter().find(|f| counts(f) && !known(f))
    }

    /// Replaces the file. It belongs to whom it belonged.
    pub(crate) fn replace(&self, text: &str) -> anyhow::Result<()> {
        let Mode(mode) = Class::KeyFile.max();
        fsat::replace(&self.path, Mode(mode), text.as_bytes())
            .with_context(|| self.path.display().to_string())
    }
}

impl Present {
    /// Reads a file, which need not be there. One that is no regular file is an error; what is broken in one is
    /// not.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        match files::read(path) {
            Ok(bytes) => Ok(Self::parse(&bytes)),
            Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => {
                Ok(Self::default())
            }
            Err(e) => Err(e).with_context(|| path.display().to_string()),
        }
    }

    /// Reads PEM block by block, or DER: what is wrong with one list must not hide the others.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let mut present = Self::default();
        if bytes.first() == Some(&0x30) {
            present.add(Crl::parse(bytes).map_err(|e| e.to_string()));
            return present;
        }
        let mut line = 1;
        for part in parts(bytes) {
            let blocks = pem::parse(part).map_err(|e| e.to_string());
            let list = blocks.and_then(|blocks| match blocks.as_slice() {
                [block] if block.label == "X509 CRL" => Crl::parse(&block.der).map_err(|e| e.to_string()),
                _ => Err("no CRL".to_owned()),
            });
            present.add(list.map_err(|e| format!("what begins in line {line}: {e}")));
            line += part.iter().filter(|&&b| b == b'\n').count();
        }
        present
    }

    fn add(&mut self, list: Result<Crl, String>) {
        match list {
            Ok(list) => self.lists.push(list),
            Err(e) => self.broken.push(e),
        }
    }

    /// The lists that an issuer has signed: by another's key with the same name, a list says nothing.
    pub(crate) fn by(&self, issuer: &Cert) -> impl Iterator<Item = &Crl> {
        self.lists.iter().filter(|crl| crl.is_issued_by(issuer))
    }
}

/// A text cut before each line that begins a block; what stands before the first one is not a part unless there is
/// no other.
fn parts(text: &[u8]) -> Vec<&[u8]> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    let begins = |at: &usize| text[*at..].starts_with(BEGIN) && (*at == 0 || text[*at - 1] == b'\n');
    let mut cuts: Vec<usize> = (0..text.len()).filter(begins).collect();
    if cuts.is_empty() && !text.trim_ascii().is_empty() {
        cuts.push(0);
    }
    cuts.push(text.len());
    cuts.windows(2).map(|w| &text[w[0]..w[1]]).collect()
}

fn older(new: &Crl, old: &Crl) -> Option<String> {
    let shown = |crl: &Crl| crl.number.as_ref().map(|n| hex(&n.value));
    match (shown(new), shown(old)) {
        (None, Some(old)) => return Some(format!("it has no number, and the present one has {old}")),
        (Some(a), Some(b)) if digits(new) < digits(old) => {
            return Some(format!("its number is {a}, lower than the present {b}"));
        }
        _ => {}
    }
    (new.this_update.unix < old.this_update.unix)
        .then(|| format!("it was made at {}, before the present one at {}", new.this_update, old.this_update))
}

/// A list's number, so that it compares.
fn digits(crl: &Crl) -> (usize, Vec<u8>) {
    let bytes = crl.number.as_ref().map(|n| n.value.as_slice()).unwrap_or_default();
    let first = bytes.iter().position(|&b| b != 0).unwrap_or(bytes.len());
    (bytes.len() - first, bytes[first..].to_vec())
}

/// Whether an open directory is the one that a path leads to.
fn is_at(dir: &File, path: &Path) -> io::Result<bool> {
    let (open, there) = (dir.metadata()?, path.metadata()?);
    Ok((open.dev(), open.ino()) == (there.dev(), there.ino()))
}

/// Locks a directory for who changes it. Another certck at work in it is waited for, though not for long.
pub(crate) fn lock(dir: &Path) -> anyhow::Result<File> {
    const PATIENCE: Duration = Duration::from_secs(5);
    let begin = Instant::now();
    loop {
        let lock = File::open(dir)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&lock, dir)? => return Ok(lock),
            // It was exchanged for a renewed one meanwhile: whoever works there now has another lock.
            Ok(()) if begin.elapsed() < PATIENCE => {}
            Ok(()) => anyhow::bail!("is replaced all the time"),
            Err(rustix::io::Errno::WOULDBLOCK) if begin.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => anyhow::bail!("another certck is at work in it"),
            Err(e) => return Err(io::Error::from(e).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_into_blocks() {
        let cut = |text: &str| parts(text.as_bytes()).len();
        assert_eq!((cut(""), cut("\n"), cut("x")), (0, 0, 1));
        assert_eq!(cut("words\n-----BEGIN A-----\nx\n-----BEGIN B-----\n"), 2);
        assert_eq!(cut("words -----BEGIN A-----"), 1);
    }

    #[test]
    fn the_lock_is_that_of_the_directory_that_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        std::fs::create_dir(&old).unwrap();
        std::fs::create_dir(&new).unwrap();
        let held = lock(&old).unwrap();
        let (place, waiting) = (
            old.clone(),
            std::thread::spawn({
                let old = old.clone();
                move || lock(&old)
            }),
        );
        std::thread::sleep(Duration::from_millis(60));
        std::fs::rename(&old, dir.path().join("gone")).unwrap();
        std::fs::rename(&new, &old).unwrap();
        drop(held);
        assert!(is_at(&waiting.join().unwrap().unwrap(), &place).unwrap());
    }

    #[test]
    fn what_is_broken_is_told_with_its_line() {
        let present =
            Present::parse(b"-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n-----BEGIN A-----\n");
        assert!(present.lists.is_empty());
        assert_eq!(present.broken.len(), 2);
        assert!(present.broken[1].starts_with("what begins in line 4: "), "{:?}", present.broken);
    }
}

//! The CRL file of one directory: parsed block by block, compared with newer CRLs, and replaced atomically under a lock.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use common::file_id::FileId;
use common::finding::{Finding, Severity};
use common::fsat;
use common::pki::crl::CrlNumber;
use common::pki::key::KeyError;
use common::pki::role::{LAYOUTS, Layout, SECRET_LAYOUTS};
use common::pki::{
    Cert, Crl, CrlFile, CrlLimitArgs, LoadOptions, Owner, Role, inspect_certificates, inspect_directory, oid,
    rule,
};
use common::policy::{Class, Mode, shell_quote};
use rustix::fs::FlockOperation;

use crate::files;
use crate::pem_block::encode_block;

/// A directory's ca.crl, locked against other certck processes.
pub(crate) struct CrlStore {
    pub(crate) path: PathBuf,
    dir: PathBuf,
    limit: CrlLimitArgs,
    present: CrlFile,
    _lock: File,
}

impl CrlStore {
    /// Locks the directory, and reads what is there.
    ///
    /// # Errors
    /// It cannot be read, or is a volume of Kubernetes, which shows a secret: what is written beside it is not read.
    pub(crate) fn open(dir: &Path, limit: CrlLimitArgs) -> anyhow::Result<Self> {
        anyhow::ensure!(
            !files::is_volume(dir),
            "{}: is a volume of Kubernetes: only the secret that it shows can get another ca.crl",
            dir.display()
        );
        let lock = lock_directory(dir).with_context(|| dir.display().to_string())?;
        let path = dir.join("ca.crl");
        let present = read_crls(&path, limit)?;
        Ok(Self { path, dir: dir.to_owned(), limit, present, _lock: lock })
    }

    /// The blocks that could not be parsed, which are removed when the file is replaced.
    pub(crate) fn broken_blocks(&self) -> &[String] {
        &self.present.broken
    }

    /// Whether the file has this CRL already, and no malformed block.
    pub(crate) fn has_exactly(&self, new: &Crl) -> bool {
        self.present.broken.is_empty() && self.present.crls.iter().any(|old| old.der == new.der)
    }

    /// The CRL by an issuer that has the highest number.
    pub(crate) fn latest_by(&self, issuer: &Cert) -> Option<&Crl> {
        self.signed_by(issuer).max_by_key(|crl| CrlNumber::from(*crl))
    }

    /// Why a CRL must not replace the present one by the same issuer, if so: with an older CRL, revoked certificates would
    /// be accepted again.
    pub(crate) fn explain_older(&self, new: &Crl, issuer: &Cert) -> Option<String> {
        self.signed_by(issuer).find_map(|old| new.older_than(old))
    }

    /// The CRLs that an issuer has signed. One by another CA of the same name says nothing about its certificates.
    fn signed_by(&self, issuer: &Cert) -> impl Iterator<Item = &Crl> {
        self.present.crls.iter().filter(|crl| crl.is_issued_by(issuer))
    }

    /// The file with the CRL in place of those by the same issuer. Those by others stay, also by others of the same name.
    pub(crate) fn with_replaced(&self, new: &Crl, issuer: &Cert) -> String {
        let others = self.present.crls.iter().filter(|old| !old.is_issued_by(issuer));
        std::iter::once(new).chain(others).map(|crl| encode_block("X509 CRL", &crl.der).to_string()).collect()
    }

    /// The first error that the directory would have with this content and does not have now. A revocation of the
    /// directory's own certificate does not count, because that is the purpose of CRLs.
    pub(crate) fn new_load_error(&self, text: &str) -> Option<Finding> {
        let layout = layout_of(&self.dir)?;
        let max_crl_bytes = self.limit.max_crl_bytes;
        let options = LoadOptions { warn_days: Some(0), max_crl_bytes, ..LoadOptions::now() };
        let errors = |staged: Option<&[u8]>| -> Vec<Finding> {
            let findings = inspect_certificates(&self.dir, layout.role, staged, &options);
            findings.into_iter().filter(|f| f.severity == Severity::Error).collect()
        };
        let (before, after) = (errors(None), errors(Some(text.as_bytes())));
        let own = self.path.to_string_lossy().into_owned();
        // Further errors about a revoked chain follow from the revocation.
        let revoked = after.iter().any(|f| f.rule == rule::REVOKED.id);
        let counts = |f: &Finding| f.path == own || !revoked;
        let known = |f: &Finding| before.iter().any(|b| (&b.rule, &b.found) == (&f.rule, &f.found));
        after.into_iter().find(|f| counts(f) && !known(f))
    }

    /// The errors that keep a program from loading the directory as it is now, and its role. An encrypted key is not an
    /// error, because the program has its passphrase.
    pub(crate) fn load_errors(&self) -> Option<(Role, Vec<Finding>)> {
        let layout = layout_of(&self.dir)?;
        let owner = reader_of(&self.dir).map_or(Owner::Directory, |reader| Owner::User(reader.uid()));
        let max_crl_bytes = self.limit.max_crl_bytes;
        let options = LoadOptions { owner, max_crl_bytes, ..LoadOptions::now() };
        let mut findings = inspect_directory(&self.dir, layout.role, &options).findings;
        let locked = KeyError::Encrypted.to_string();
        findings.retain(|f| f.severity == Severity::Error);
        findings.retain(|f| f.rule != rule::KEY_ENCRYPTED.id || f.found != locked);
        findings.extend(self.files_closed_to_their_reader(layout));
        Some((layout.role, findings)).filter(|(_, findings)| !findings.is_empty())
    }

    /// Files that root can read and the user who runs the program cannot.
    fn files_closed_to_their_reader(&self, layout: &Layout) -> Vec<Finding> {
        let Some(reader) = reader_of(&self.dir).map(|meta| meta.uid()).filter(|uid| *uid != 0) else {
            return Vec::new();
        };
        let paths = layout.file_names().into_iter().map(|name| self.dir.join(name)).chain([self.dir.clone()]);
        let closed = |path: PathBuf| {
            let meta = path.metadata().ok()?;
            let is_closed = meta.uid() != reader && meta.mode() & 0o044 == 0;
            is_closed.then(|| {
                rule::UNREADABLE
                    .at(&path)
                    .found(format!("belongs to uid {}, mode {}", meta.uid(), Mode::of(meta.mode())))
                    .expected(format!("readable for uid {reader}, who owns the directory's key"))
                    .fix(format!("chown {reader} {}", shell_quote(&path)))
            })
        };
        paths.filter_map(closed).collect()
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Replaces the file. It belongs to the owner of the directory's key, who runs the program that reads it.
    pub(crate) fn replace_file(&self, text: &str) -> anyhow::Result<()> {
        let mode = Class::KeyFile.max();
        let written = match reader_of(&self.dir) {
            Some(like) => fsat::replace_owned_like(&self.path, mode, text.as_bytes(), &like),
            None => fsat::replace(&self.path, mode, text.as_bytes()),
        };
        written.with_context(|| self.path.display().to_string())
    }
}

/// The metadata of the directory's key, else of its leaf: their owner runs the program that loads the directory.
fn reader_of(dir: &Path) -> Option<Metadata> {
    let layout = layout_of(dir)?;
    let owned = |name: &str| dir.join(name).symlink_metadata().ok().filter(Metadata::is_file);
    owned(layout.key).or_else(|| owned(layout.leaf))
}

/// Finds the role of a certificate directory by its leaf; where that is missing, by its key. With a root and a CRL but
/// neither of these, it is a server's that was damaged, unless it is an authority's.
pub(crate) fn layout_of(dir: &Path) -> Option<&'static Layout> {
    let has = |name: &str| dir.join(name).symlink_metadata().is_ok();
    let damaged =
        || LAYOUTS.iter().find(|l| l.role == Role::Server && has(l.ca) && has(l.crl) && !has("ca.key"));
    let usual = LAYOUTS.iter().find(|l| has(l.leaf)).or_else(|| LAYOUTS.iter().find(|l| has(l.key)));
    let secret = || has("tls.crt").then(|| &SECRET_LAYOUTS[role_of_secret(dir) as usize]);
    usual.or_else(secret).or_else(damaged)
}

/// The role of a secret, whose file names do not say it: a client's, if its certificate is for clients only.
pub(crate) fn role_of_secret(dir: &Path) -> Role {
    let leaf = dir.join(SECRET_LAYOUTS[0].leaf).canonicalize().ok();
    let cert = leaf.and_then(|leaf| files::read_certificate(&leaf).ok());
    let usages = cert.and_then(|cert| cert.extensions.extended_key_usage).map(|usage| usage.value);
    let has =
        |purpose| usages.as_ref().zip(oid::encode_purpose(purpose)).is_some_and(|(u, p)| u.contains(&p));
    if has("clientAuth") && !has("serverAuth") { Role::Client } else { Role::Server }
}

/// Reads the CRLs of a file, through a symbolic link too. A missing file has none. Anything but a regular file is an error;
/// a malformed block is not.
pub(crate) fn read_crls(path: &Path, limit: CrlLimitArgs) -> anyhow::Result<CrlFile> {
    // A link that leads nowhere holds no CRL, like a file that is missing.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match files::read_file_up_to(&target, limit.max_crl_bytes) {
        Ok(bytes) => Ok(CrlFile::parse(&bytes)),
        Err(_) if target.is_symlink() => Ok(CrlFile::default()),
        Err(e) if e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::NotFound) => {
            Ok(CrlFile::default())
        }
        Err(e) => Err(e).with_context(|| path.display().to_string()),
    }
}

/// Whether an open directory is the one that a path leads to.
fn is_at(dir: &File, path: &Path) -> io::Result<bool> {
    let (open, there) = (dir.metadata()?, path.metadata()?);
    Ok(FileId::of_metadata(&open) == FileId::of_metadata(&there))
}

/// Locks a directory before it is changed; waits up to 5 s for another certck that has it locked.
pub(crate) fn lock_directory(dir: &Path) -> anyhow::Result<File> {
    const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
    let begin = Instant::now();
    loop {
        let lock = File::open(dir)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_at(&lock, dir)? => return Ok(lock),
            // The directory was replaced by a renewed one meanwhile, which has a lock of its own.
            Ok(()) if begin.elapsed() < LOCK_TIMEOUT => {}
            Ok(()) => anyhow::bail!("is being replaced continually"),
            Err(rustix::io::Errno::WOULDBLOCK) if begin.elapsed() < LOCK_TIMEOUT => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => anyhow::bail!("is locked by another certck"),
            Err(e) => return Err(io::Error::from(e).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_taken_again_if_the_directory_was_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        std::fs::create_dir(&old).unwrap();
        std::fs::create_dir(&new).unwrap();
        let held = lock_directory(&old).unwrap();
        let (place, waiting) = (
            old.clone(),
            std::thread::spawn({
                let old = old.clone();
                move || lock_directory(&old)
            }),
        );
        std::thread::sleep(Duration::from_millis(60));
        std::fs::rename(&old, dir.path().join("gone")).unwrap();
        std::fs::rename(&new, &old).unwrap();
        drop(held);
        assert!(is_at(&waiting.join().unwrap().unwrap(), &place).unwrap());
    }
}

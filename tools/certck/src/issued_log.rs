//! The log of an authority's certificates: one line for each, so that a lost certificate can be revoked by its serial
//! number.

use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use common::finding::hex;
use common::fsat;
use common::out::Out;
use common::pki::Role;
use common::pki::role::LAYOUTS;
use common::policy::{Class, Mode, shell_quote};
use common::record::Line;
use common::record::certck as record;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::authority::IssuedLeaf;
use crate::ca_dir::CaDir;
use crate::clock::format_rfc3339;
use crate::files;
use crate::leaf::LeafHost;

/// The file's name.
pub(crate) const FILE: &str = "issued.jsonl";

/// A certificate's line.
pub(crate) fn issued_line(
    leaf: &IssuedLeaf,
    role: Role,
    hosts: &[LeafHost],
    path: &Path,
) -> anyhow::Result<Vec<u8>> {
    let record = record::IssuedRecord {
        serial: leaf.serial.clone(),
        subject: leaf.subject.clone(),
        role: role.name().to_owned(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        path: std::path::absolute(path)?.to_string_lossy().into_owned(),
        at: format_rfc3339(OffsetDateTime::now_utc()),
        not_after: format_rfc3339(leaf.validity.until),
    };
    let mut line = serde_json::to_vec(&Line::new(&record))?;
    line.push(b'\n');
    Ok(line)
}

/// Appends a line to an authority's log, in one write, before the certificate is written: a line too many does no harm,
/// a missing one does.
pub(crate) fn append_line(ca: &CaDir, line: &[u8]) -> anyhow::Result<()> {
    let path = ca.path.join(FILE);
    let write = || {
        let mut file = fsat::open_append(&path, Mode(Class::KeyFile.max().0))?;
        fsat::own_like(&file, &ca.path.metadata()?)?;
        file.write_all(line)?;
        file.sync_all()
    };
    write().with_context(|| path.display().to_string())
}

/// An authority's log, as far as it can be read.
pub(crate) struct IssuedLog {
    serials: HashSet<String>,
    dirs: Vec<PathBuf>,
    /// In the order in which they were issued.
    lines: Vec<record::IssuedRecord>,
}

/// A valid certificate whose directory was not given to a command.
pub(crate) struct UnlistedCertificate {
    pub(crate) dir: PathBuf,
    /// Whether the directory is on this machine and holds a certificate of the authority.
    pub(crate) here: bool,
    /// Validity, in seconds since 1970.
    pub(crate) from: i64,
    pub(crate) until: i64,
}

impl IssuedLog {
    /// Reads the log; `None` if the authority has none, as one of other software.
    pub(crate) fn read_log(ca: &Path) -> Option<Self> {
        let text = files::read_file(&ca.join(FILE)).ok()?;
        let mut known = Self { serials: HashSet::new(), dirs: Vec::new(), lines: Vec::new() };
        let lines = text
            .split(|&b| b == b'\n')
            .filter_map(|l| serde_json::from_slice::<record::IssuedRecord>(l).ok());
        for line in lines {
            known.serials.insert(line.serial.clone());
            let dir = PathBuf::from(&line.path);
            if !known.dirs.contains(&dir) {
                known.dirs.push(dir);
            }
            known.lines.push(line);
        }
        Some(known)
    }

    /// Whether a serial number was issued here.
    pub(crate) fn contains_serial(&self, serial: &[u8]) -> bool {
        self.serials.contains(&hex(serial))
    }

    /// Whether a certificate was issued for a directory of the same name.
    pub(crate) fn names_directory(&self, dir: &Path) -> bool {
        self.dirs.iter().any(|known| known.file_name() == dir.file_name())
    }

    /// The valid certificates whose directories and serial numbers are not among the given ones, in the order in which
    /// they were issued. One that is not on this machine and was issued again later for the same holder is left out.
    pub(crate) fn find_unlisted(
        &self,
        ca: &CaDir,
        dirs: &[PathBuf],
        serials: &[&[u8]],
        role: Option<Role>,
    ) -> Vec<UnlistedCertificate> {
        let given: HashSet<String> = serials.iter().map(|serial| hex(serial)).collect();
        let mut seen: HashSet<PathBuf> = dirs.iter().filter_map(|dir| dir.canonicalize().ok()).collect();
        let mut holders = HashSet::new();
        let mut found = Vec::new();
        for line in self.lines.iter().rev() {
            let dir = Path::new(&line.path);
            // Certificates that were given no name have all the same one, so the directory counts too.
            let again = !holders.insert((&line.role, &line.subject, &line.hosts, dir.file_name()));
            let real = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
            if !seen.insert(real) || role.is_some_and(|role| role.name() != line.role) {
                continue;
            }
            let held = find_local(ca, line, dir).or_else(|| find_remote(line, dir).filter(|_| !again));
            found.extend(
                held.filter(|(serial, _)| !given.contains(serial) && !ca.revokes(serial))
                    .map(|(_, other)| other),
            );
        }
        found.reverse();
        found
    }

    /// The directories on this machine that have a CRL by the authority and are not among those that got the new one.
    fn dirs_without_update(&self, ca: &CaDir, to: &[PathBuf]) -> Vec<&Path> {
        let mut seen: Vec<PathBuf> = to.iter().filter_map(|dir| dir.canonicalize().ok()).collect();
        let mut left = Vec::new();
        for dir in &self.dirs {
            let Ok(real) = dir.join("ca.crl").metadata().and_then(|_| dir.canonicalize()) else { continue };
            if !seen.contains(&real) && ca.check_belongs_to_ca(dir).is_ok() {
                left.push(dir.as_path());
                seen.push(real);
            }
        }
        left
    }
}

/// The certificate in a directory that is there; `None` where there is none by the authority.
fn find_local(ca: &CaDir, line: &record::IssuedRecord, dir: &Path) -> Option<(String, UnlistedCertificate)> {
    let layout = LAYOUTS.iter().find(|l| l.role.name() == line.role)?;
    let cert = files::read_certificate(&dir.join(layout.leaf)).ok()?;
    let (from, until) = (cert.not_before.unix, cert.not_after.unix);
    let found = UnlistedCertificate { dir: dir.to_owned(), here: true, from, until };
    cert.is_issued_by(&ca.certificate).then(|| (hex(&cert.serial), found))
}

/// The certificate in a line whose directory does not exist, unless it has expired.
fn find_remote(line: &record::IssuedRecord, dir: &Path) -> Option<(String, UnlistedCertificate)> {
    let unix = |text: &str| OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp);
    let (from, until) = (unix(&line.at)?, unix(&line.not_after)?);
    let found = UnlistedCertificate { dir: dir.to_owned(), here: false, from, until };
    (until > OffsetDateTime::now_utc().unix_timestamp()).then(|| (line.serial.clone(), found))
}

/// Warns of directories that still have the previous CRL: revoked certificates are accepted there until it expires.
pub(crate) fn warn_about_other_dirs(ca: &CaDir, to: &[PathBuf], out: &Out) {
    let Some(known) = IssuedLog::read_log(&ca.path) else { return };
    let left: Vec<String> = known.dirs_without_update(ca, to).into_iter().map(shell_quote).collect();
    if !left.is_empty() {
        let option = if left.len() == 1 { "update it with --to" } else { "update each with --to" };
        out.warn("not updated", format_args!("{}: {option}", left.join(", ")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_issued_log_after_a_malformed_one_are_read() {
        use common::record::Record;
        let dir = tempfile::tempdir().unwrap();
        assert!(IssuedLog::read_log(dir.path()).is_none());
        let sample = record::IssuedRecord::SAMPLE;
        std::fs::write(dir.path().join(FILE), format!("{{}}\nx\n\n{sample}\n{sample}\n")).unwrap();
        let known = IssuedLog::read_log(dir.path()).unwrap();
        assert!(known.contains_serial(&[0x4f, 0x12]) && !known.contains_serial(&[0x4f]));
        assert_eq!(known.dirs, [Path::new("pki/server_certs")]);
    }
}

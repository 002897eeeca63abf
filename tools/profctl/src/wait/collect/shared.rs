//! Copies from a directory of this machine.

use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use aws_lc_rs::digest;
use common::finding::hex;
use common::fsat::{AtomicFile, create_dir, open_regular};
use common::policy::Mode;

use super::super::finder::CompleteTrace;
use super::super::plain_name::require_plain_name;
use super::destination_of;

/// The modes of copies.
const FILE_MODE: Mode = Mode(0o640);
const DIRECTORY_MODE: Mode = Mode(0o750);
/// Maximum depth of the directory of a trace, and maximum number of its files: profilers write three levels, and some
/// hundred files.
const MAX_DEPTH: usize = 8;
const MAX_FILES: usize = 100_000;

/// Copies a trace, a file or a directory, and verifies the copy.
///
/// # Errors
/// A name is unsafe, something is not a regular file, the copy exists already or differs.
pub(in crate::wait) fn copy_shared(
    dir: &Path,
    host: &str,
    trace: &CompleteTrace,
) -> anyhow::Result<CompleteTrace> {
    let target = destination_of(dir, host, &trace.path)?;
    let meta = trace.path.symlink_metadata()?;
    let sha256 = if meta.is_dir() {
        let mut copied = Vec::new();
        copy_tree(&trace.path, &target, &mut copied, 0)?;
        copied.sort();
        // As `sha256sum` lists them, in the order of the names.
        let list: String = copied.iter().map(|(name, sha256)| format!("{sha256}  {name}\n")).collect();
        hex(digest::digest(&digest::SHA256, list.as_bytes()).as_ref())
    } else {
        copy_file(&trace.path, &target)?
    };
    let source = trace.path.display().to_string();
    Ok(CompleteTrace { path: target, sha256: Some(sha256), source: Some(source), ..trace.clone() })
}

/// Copies a directory; the names and digests of its files are added to `copied`.
fn copy_tree(from: &Path, to: &Path, copied: &mut Vec<(String, String)>, depth: usize) -> anyhow::Result<()> {
    ensure!(depth < MAX_DEPTH, "{}: more than {MAX_DEPTH} directories deep", from.display());
    create_dir(to, DIRECTORY_MODE).with_context(|| to.display().to_string())?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        require_plain_name(name).with_context(|| from.display().to_string())?;
        let (source, target): (PathBuf, PathBuf) = (entry.path(), to.join(name));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_tree(&source, &target, copied, depth + 1)?;
        } else if kind.is_file() {
            ensure!(copied.len() < MAX_FILES, "more than {MAX_FILES} files");
            let sha256 = copy_file(&source, &target)?;
            copied.push((target.strip_prefix(to).unwrap_or(&target).display().to_string(), sha256));
        } else {
            bail!("{}: neither a file nor a directory", source.display());
        }
    }
    Ok(())
}

/// Copies a file, and returns its SHA-256 in hex.
fn copy_file(from: &Path, to: &Path) -> anyhow::Result<String> {
    let copy = || -> anyhow::Result<String> {
        let (mut source, meta) = open_regular(from)?;
        let mut target = AtomicFile::create(to, FILE_MODE)?;
        let read = hash_and_copy(&mut source, &mut target, u64::MAX)?;
        ensure!(read.bytes == meta.len(), "changed while it was copied");
        target.commit()?;
        let written = hash_file(to)?;
        ensure!(written == read.sha256, "the copy differs: SHA-256 {written}, not {}", read.sha256);
        Ok(written)
    };
    copy().with_context(|| from.display().to_string())
}

/// The bytes that have been read.
pub(super) struct HashedBytes {
    pub(super) bytes: u64,
    /// In hex.
    pub(super) sha256: String,
}

/// Copies a stream of at most `limit` bytes.
///
/// # Errors
/// It is longer, or an I/O error.
pub(super) fn hash_and_copy(
    from: &mut impl Read,
    to: &mut impl Write,
    limit: u64,
) -> anyhow::Result<HashedBytes> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; 1 << 17];
    let mut bytes = 0;
    loop {
        let n = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e.into()),
        };
        bytes += n as u64;
        ensure!(bytes <= limit, "longer than {limit} bytes (--max-trace-bytes)");
        context.update(&buffer[..n]);
        to.write_all(&buffer[..n])?;
    }
    Ok(HashedBytes { bytes, sha256: hex(context.finish().as_ref()) })
}

/// Returns the SHA-256 of a file in hex.
pub(super) fn hash_file(path: &Path) -> anyhow::Result<String> {
    let mut file: File = open_regular(path)?.0;
    Ok(hash_and_copy(&mut file, &mut std::io::sink(), u64::MAX)?.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// That of the empty input (FIPS 180-4).
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn trace(path: &Path) -> CompleteTrace {
        CompleteTrace { path: path.to_owned(), trace_id: Some("7".into()), ..CompleteTrace::default() }
    }

    #[test]
    fn a_file_is_copied_with_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("t_5.json"), dir.path().join("all"));
        fs::create_dir(&target).unwrap();
        fs::write(&source, "").unwrap();
        let copied = copy_shared(&target, "node1", &trace(&source)).unwrap();
        assert_eq!(copied.path, target.join("node1_t_5.json"));
        assert_eq!(copied.sha256.as_deref(), Some(EMPTY));
        assert_eq!((copied.source.as_deref(), copied.trace_id.as_deref()), (source.to_str(), Some("7")));
        assert_eq!(fs::metadata(&copied.path).unwrap().permissions().mode() & 0o777, 0o640);
        let again = copy_shared(&target, "node1", &trace(&source)).unwrap_err();
        assert!(again.to_string().ends_with("exists already"), "{again:#}");
    }

    #[test]
    fn a_directory_is_copied_without_links_and_odd_names() {
        let dir = tempfile::tempdir().unwrap();
        let (source, target) = (dir.path().join("h_7_20240102030405_ascend_pt"), dir.path().join("all"));
        fs::create_dir(&target).unwrap();
        fs::create_dir_all(source.join("PROF/host")).unwrap();
        fs::write(source.join("PROF/host/data.0"), "x").unwrap();
        fs::write(source.join("profiler_info_0.json"), "{}").unwrap();
        let copied = copy_shared(&target, "node1", &trace(&source)).unwrap();
        assert_eq!(fs::read_to_string(copied.path.join("PROF/host/data.0")).unwrap(), "x");
        assert_eq!(copied.sha256.unwrap().len(), 64);
        fs::write(source.join("a b"), "").unwrap();
        let odd = copy_shared(&target, "node2", &trace(&source)).unwrap_err();
        assert!(format!("{odd:#}").contains("unsafe file name \"a b\""), "{odd:#}");
        fs::remove_file(source.join("a b")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", source.join("link")).unwrap();
        let link = copy_shared(&target, "node3", &trace(&source)).unwrap_err();
        assert!(format!("{link:#}").contains("neither a file nor a directory"), "{link:#}");
    }

    #[test]
    fn a_stream_beyond_the_limit_is_not_copied_to_its_end() {
        let mut endless = std::io::repeat(b'x');
        let error = hash_and_copy(&mut endless, &mut std::io::sink(), 1 << 20).err().unwrap();
        assert!(error.to_string().starts_with("longer than 1048576 bytes"), "{error:#}");
    }
}

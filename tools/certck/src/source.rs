//! Which directories a command works on: those named, those below, those that a list names.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use anyhow::Context;

use crate::input;

/// The arguments of commands that take directories.
#[derive(clap::Args, Debug)]
pub(crate) struct Source {
    /// Directories of certificates
    #[arg(value_name = "DIR", required_unless_present = "files_from")]
    dirs: Vec<PathBuf>,
    /// Look below each DIR for every directory that holds a ca.crt beside a leaf or its key
    #[arg(short, long)]
    recursive: bool,
    /// Take directories from FILE too, one per line; `-` is standard input
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// The list is separated by NUL bytes instead of newlines
    #[arg(short = '0', long, requires = "files_from")]
    null: bool,
}

/// A directory, or why the next one cannot be told.
pub(crate) type Item = anyhow::Result<PathBuf>;

/// The longest path of a list, in bytes.
const LONGEST: u64 = 1 << 16;

impl Source {
    /// How many directories there are, where that is known beforehand.
    pub(crate) fn count(&self) -> Option<u64> {
        (!self.recursive && self.files_from.is_none()).then_some(self.dirs.len() as u64)
    }

    /// The directories, found while they are asked for.
    ///
    /// # Errors
    /// The list cannot be opened.
    pub(crate) fn items(&self) -> anyhow::Result<impl Iterator<Item = Item> + Send> {
        let listed = self.files_from.as_deref().map(|path| self.listed(path)).transpose()?;
        let named = self.dirs.clone().into_iter().map(Ok).chain(listed.into_iter().flatten());
        let recursive = self.recursive;
        Ok(named.flat_map(move |item| match item {
            Ok(dir) if recursive => below(&dir),
            item => vec![item],
        }))
    }

    fn listed(&self, path: &std::path::Path) -> anyhow::Result<impl Iterator<Item = Item> + Send + use<>> {
        let mut input = input::open(path)?;
        let (end, shown) = (if self.null { 0 } else { b'\n' }, path.display().to_string());
        let paths =
            std::iter::from_fn(move || input.next(end, LONGEST).with_context(|| shown.clone()).transpose());
        let named = paths.filter(|p| !p.as_ref().is_ok_and(Vec::is_empty));
        Ok(named.map(|p| p.map(|bytes| PathBuf::from(OsString::from_vec(bytes)))))
    }
}

/// Every certificate directory in a tree, sorted; links are not followed.
fn below(dir: &std::path::Path) -> Vec<Item> {
    let is_one = |path: &std::path::Path| {
        let has = |name: &str| path.join(name).symlink_metadata().is_ok();
        has("ca.crt") && ["server.crt", "server.key", "client.crt", "client.key"].into_iter().any(has)
    };
    let entries = walkdir::WalkDir::new(dir).sort_by_file_name();
    let directories = entries.into_iter().filter(|e| e.as_ref().map_or(true, |e| e.file_type().is_dir()));
    directories
        .filter_map(|entry| match entry {
            Ok(e) => is_one(e.path()).then(|| Ok(e.into_path())),
            Err(e) => Some(Err(e).with_context(|| dir.display().to_string())),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_below_are_those_with_certificates() {
        let dir = tempfile::tempdir().unwrap();
        for (sub, files) in
            [("a/server", &["ca.crt", "server.key"][..]), ("a/ca", &["ca.crt", "ca.key"]), ("b", &[])]
        {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
            files.iter().for_each(|f| std::fs::write(dir.path().join(sub).join(f), "").unwrap());
        }
        let found: Vec<_> = below(dir.path()).into_iter().map(Result::unwrap).collect();
        assert_eq!(found, [dir.path().join("a/server")]);
    }
}

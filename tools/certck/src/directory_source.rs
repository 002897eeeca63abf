//! The directories that a command works on: those named, those below them, those in a list; each once.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::anyhow;
use common::file_id::FileId;
use common::inputs::{PathList, PathListArgs};
use common::pki::role::LAYOUTS;

/// The arguments of commands that take directories.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct DirectorySource {
    /// Certificate directories; one that is named twice is checked once
    #[arg(value_name = "DIR", required_unless_present = "files_from")]
    dirs: Vec<PathBuf>,
    /// Check every directory below DIR that holds a leaf or a leaf's key
    ///
    /// Looks for server.crt, server.key, client.crt and client.key, so a directory whose ca.crt is missing is found too; and
    /// for ca.crt, tls.crt and tls.key together, as in a secret of Kubernetes.
    /// Symbolic links are not followed.
    #[arg(short, long)]
    recursive: bool,
    #[command(flatten)]
    list: PathListArgs,
}

/// A directory, or why the next one cannot be determined.
pub(crate) type DirectoryItem = anyhow::Result<PathBuf>;

impl DirectorySource {
    /// How many directories there are, where that is known beforehand.
    pub(crate) fn known_count(&self) -> Option<u64> {
        (!self.recursive && self.list.file().is_none()).then_some(self.dirs.len() as u64)
    }

    /// The directories, one after the other; of a tree, all are found when its turn comes.
    ///
    /// # Errors
    /// The list cannot be opened.
    pub(crate) fn find_directories(&self) -> anyhow::Result<impl Iterator<Item = DirectoryItem> + Send> {
        let listed = self.list.open()?.map(PathList::into_paths);
        let named = self.dirs.clone().into_iter().map(Ok).chain(listed.into_iter().flatten());
        let recursive = self.recursive;
        let all = named.flat_map(move |item| match item {
            Ok(dir) if recursive => find_below(&dir),
            item => vec![item],
        });
        let mut seen = HashSet::new();
        Ok(all.filter(move |item| {
            let id =
                item.as_ref().ok().and_then(|dir| dir.metadata().ok()).map(|meta| FileId::of_metadata(&meta));
            id.is_none_or(|id| seen.insert(id))
        }))
    }

    /// The same directories for callers that need them repeatedly: a list that can be read only once is read now. Errors
    /// in single lines go to `failed`.
    ///
    /// # Errors
    /// The list cannot be opened.
    pub(crate) fn with_list_read(&self, mut failed: impl FnMut(anyhow::Error)) -> anyhow::Result<Self> {
        let mut lasting = self.clone();
        let once = |path: &&Path| !path.metadata().is_ok_and(|meta| meta.is_file());
        if self.list.file().filter(once).is_none() {
            return Ok(lasting);
        }
        for item in self.list.open()?.into_iter().flat_map(PathList::into_paths) {
            match item {
                Ok(dir) => lasting.dirs.push(dir),
                Err(e) => failed(e),
            }
        }
        lasting.list = PathListArgs::default();
        Ok(lasting)
    }
}

/// Every certificate directory in a tree, sorted; links are not followed.
fn find_below(dir: &Path) -> Vec<DirectoryItem> {
    // One file of a leaf is enough: what is lost beside it is for the rules to say.
    let is_one = |path: &Path| {
        let has = |name: &&str| path.join(name).symlink_metadata().is_ok();
        let mut leaves = LAYOUTS.iter().flat_map(|layout| [layout.leaf, layout.key]);
        // Many programs call their files like a secret of Kubernetes does; with a root, they are for mutual TLS.
        leaves.any(|name| has(&name)) || ["ca.crt", "tls.crt", "tls.key"].iter().all(has)
    };
    let entries = walkdir::WalkDir::new(dir).sort_by_file_name();
    // In a volume of Kubernetes the files are in a hidden directory, and links to them beside it.
    let is_hidden = |e: &walkdir::DirEntry| e.depth() > 0 && e.file_name().as_bytes().starts_with(b"..");
    let directories = entries
        .into_iter()
        .filter_entry(move |e| !is_hidden(e))
        .filter(|e| e.as_ref().map_or(true, |e| e.file_type().is_dir()));
    directories
        .filter_map(|entry| match entry {
            Ok(e) => is_one(e.path()).then(|| Ok(e.into_path())),
            Err(e) => Some(Err(walk_error(dir, &e))),
        })
        .collect()
}

/// `path: reason`.
fn walk_error(dir: &Path, error: &walkdir::Error) -> anyhow::Error {
    let path = error.path().unwrap_or(dir).display();
    match error.io_error() {
        Some(e) if e.kind() == std::io::ErrorKind::NotFound => anyhow!("{path}: does not exist"),
        Some(e) if e.kind() == std::io::ErrorKind::PermissionDenied => anyhow!("{path}: permission denied"),
        Some(e) => anyhow!("{path}: {e}"),
        None => anyhow!("{path}: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(dirs: &[&Path], recursive: bool) -> DirectorySource {
        let dirs = dirs.iter().map(|d| d.to_path_buf()).collect();
        DirectorySource { dirs, recursive, list: PathListArgs::default() }
    }

    #[test]
    fn directories_below_are_those_with_a_leaf_or_its_key() {
        let dir = tempfile::tempdir().unwrap();
        for (sub, files) in [
            ("a/server", &["ca.crt", "server.key"][..]),
            ("a/other", &["ca.crt", "x.key"]),
            ("b", &[]),
            ("c", &["client.crt"]),
        ] {
            std::fs::create_dir_all(dir.path().join(sub)).unwrap();
            files.iter().for_each(|f| std::fs::write(dir.path().join(sub).join(f), "").unwrap());
        }
        let found: Vec<_> = find_below(dir.path()).into_iter().map(Result::unwrap).collect();
        assert_eq!(found, [dir.path().join("a/server"), dir.path().join("c")]);
        let error = find_below(&dir.path().join("no")).remove(0).unwrap_err().to_string();
        assert_eq!(error, format!("{}: does not exist", dir.path().join("no").display()));
    }

    #[test]
    fn a_directory_counts_once_whatever_it_is_called() {
        let dir = tempfile::tempdir().unwrap();
        let (plain, odd) = (dir.path().join("a"), dir.path().join("a/../a/."));
        std::fs::create_dir(&plain).unwrap();
        let found: Vec<_> =
            source(&[&odd, &plain], false).find_directories().unwrap().map(Result::unwrap).collect();
        assert_eq!(found, [odd]);
    }
}

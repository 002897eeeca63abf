//! Paths as arguments, and lists of paths in files: `PATH…`, `--files-from FILE`, `-0`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::input_lines::{InputLines, open_input};

/// Maximum length of an entry of a list, in bytes: far more than the system takes for a path.
const LONGEST_ENTRY: u64 = 1 << 20;

/// The trees or files to work on.
#[derive(Args, Clone, Debug)]
pub struct PathInputs {
    /// Directory trees or files
    #[arg(required_unless_present = "files_from", value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    list: PathListArgs,
}

impl PathInputs {
    /// Returns the paths that were given as arguments.
    #[must_use]
    pub fn given(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Returns whether there is no list of paths.
    #[must_use]
    pub fn given_only(&self) -> bool {
        self.list.file().is_none()
    }

    /// Returns the given paths, then those of the list, read on demand.
    ///
    /// # Errors
    /// The list cannot be opened; an item is an error if it cannot be read or is longer than 1 MiB, and the next one may
    /// still be read.
    pub fn paths(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<PathBuf>> + '_> {
        let listed = self.list.open()?;
        Ok(self.paths.iter().cloned().map(Ok).chain(listed.into_iter().flat_map(PathList::into_paths)))
    }
}

/// The options for a list of paths, the same in every command.
#[derive(Args, Clone, Debug, Default)]
pub struct PathListArgs {
    /// Read more paths from FILE, one per line; `-` for standard input
    ///
    /// A carriage return before the newline is not part of the path, and empty lines are ignored; everything else is
    /// taken as it stands. A path of more than 1 MiB is an error, and the others are still used.
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// Paths in --files-from end with NUL instead of newline, and are taken as they stand
    #[arg(short = '0', long, requires = "files_from")]
    null: bool,
}

impl PathListArgs {
    /// The file or `-`, where a list was asked for.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.files_from.as_deref()
    }

    /// Opens the list that was asked for.
    ///
    /// # Errors
    /// `FILE: reason`.
    pub fn open(&self) -> anyhow::Result<Option<PathList>> {
        let Some(path) = self.file() else { return Ok(None) };
        let lines = open_input(path).with_context(|| path.display().to_string())?;
        let separator = if self.null { Separator::Nul } else { Separator::Newline };
        Ok(Some(PathList { lines, separator, entries: 0 }))
    }
}

/// The byte that ends an entry of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    /// `\n` or `\r\n`, as `git --pathspec-from-file` and `rsync --files-from` read their lists.
    Newline,
    /// `\0`: what is before it is exact.
    Nul,
}

/// An open list of paths: an iterator over its entries that are not empty.
pub struct PathList {
    lines: InputLines,
    /// The byte that ends its entries.
    pub separator: Separator,
    entries: u64,
}

impl PathList {
    /// The name in messages of the entry that was read last: `FILE: line 3`.
    #[must_use]
    pub fn place(&self) -> String {
        let noun = if self.separator == Separator::Nul { "entry" } else { "line" };
        format!("{}: {noun} {}", self.lines.name, self.entries)
    }

    /// The entries as paths.
    pub fn into_paths(self) -> impl Iterator<Item = anyhow::Result<PathBuf>> + Send {
        self.map(|entry| entry.map(|bytes| PathBuf::from(OsString::from_vec(bytes))))
    }
}

impl Iterator for PathList {
    type Item = anyhow::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let end = if self.separator == Separator::Nul { 0 } else { b'\n' };
        loop {
            self.entries += 1;
            let line = self.lines.next_line(end, LONGEST_ENTRY).with_context(|| self.place()).transpose()?;
            let Ok(mut entry) = line else { return Some(line) };
            if self.separator == Separator::Newline && entry.last() == Some(&b'\r') {
                entry.pop();
            }
            if !entry.is_empty() {
                return Some(Ok(entry));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_list(text: &[u8], null: bool) -> Vec<Result<Vec<u8>, String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let args = PathListArgs { files_from: Some(file.path().to_owned()), null };
        let shown = format!("{}: ", file.path().display());
        let list = args.open().unwrap().unwrap();
        list.map(|entry| entry.map_err(|e| format!("{e:#}").replace(&shown, ""))).collect()
    }

    #[test]
    fn entries_end_with_line_ends_of_unix_or_windows_or_with_nul() {
        let paths = |list: &[&str]| list.iter().map(|path| Ok(path.as_bytes().to_vec())).collect::<Vec<_>>();
        assert_eq!(read_list(b"a\r\n\n\r\n b \nc\rd\r", false), paths(&["a", " b ", "c\rd"]));
        assert_eq!(read_list(b"a\nb\r\0\0c", true), paths(&["a\nb\r", "c"]));
        assert_eq!(read_list(b"", false), []);
    }

    #[test]
    fn an_entry_that_is_too_long_is_named_and_the_next_one_is_read() {
        let long = LONGEST_ENTRY as usize;
        let list = [&vec![b'x'; long][..], b"\n\n", &vec![b'y'; long + 1], b"\nz\n"].concat();
        let read = read_list(&list, false);
        assert_eq!(read[0].as_ref().unwrap().len(), long);
        assert_eq!(read[1..], [Err("line 3: longer than 1048576 bytes".to_owned()), Ok(b"z".to_vec())]);
        let list = [&vec![b'y'; long + 1][..], b"\0z"].concat();
        assert_eq!(read_list(&list, true)[0], Err("entry 1: longer than 1048576 bytes".to_owned()));
    }
}

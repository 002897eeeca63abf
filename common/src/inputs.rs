//! Paths as arguments, and lists of paths in files: `PATH…`, `--files-from FILE`, `-0`.

use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use clap::Args;

use crate::error::io_reason;

/// Maximum length of a path in a list, in bytes.
const LONGEST_PATH: u64 = 1 << 20;

/// The trees or files to work on.
#[derive(Args, Clone, Debug)]
pub struct PathInputs {
    /// Directory trees or files
    #[arg(required_unless_present = "files_from", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Read more paths from FILE, one per line; `-` for standard input
    #[arg(long, value_name = "FILE")]
    files_from: Option<PathBuf>,
    /// Paths in --files-from are separated by NUL instead of newline
    #[arg(short = '0', long = "null", requires = "files_from")]
    null: bool,
}

impl PathInputs {
    /// Returns the given paths, then those of the list, read on demand.
    ///
    /// # Errors
    /// The list cannot be opened; an item is an error if it cannot be read or is longer than 1 MiB.
    pub fn paths(&self) -> anyhow::Result<impl Iterator<Item = anyhow::Result<PathBuf>> + '_> {
        let list = self.files_from.as_deref().map(open_list).transpose()?;
        let end = if self.null { 0 } else { b'\n' };
        let listed =
            list.into_iter().flat_map(move |mut list| std::iter::from_fn(move || next_path(&mut list, end)));
        Ok(self.paths.iter().cloned().map(Ok).chain(listed))
    }
}

fn open_list(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        ensure!(!std::io::stdin().is_terminal(), "--files-from -: standard input is a terminal");
        return Ok(Box::new(BufReader::new(std::io::stdin())));
    }
    let file = std::fs::File::open(path).map_err(|e| anyhow::anyhow!(io_reason(&e)));
    Ok(Box::new(BufReader::new(file.with_context(|| path.display().to_string())?)))
}

fn next_path(list: &mut Box<dyn BufRead>, end: u8) -> Option<anyhow::Result<PathBuf>> {
    loop {
        let mut bytes = Vec::new();
        match list.take(LONGEST_PATH).read_until(end, &mut bytes) {
            Err(e) => return Some(Err(e).context("--files-from")),
            Ok(0) => return None,
            Ok(_) if bytes.len() as u64 == LONGEST_PATH => {
                return Some(Err(anyhow::anyhow!(
                    "--files-from: a path is longer than {LONGEST_PATH} bytes"
                )));
            }
            Ok(_) => {}
        }
        if bytes.last() == Some(&end) {
            bytes.pop();
        }
        if !bytes.is_empty() {
            return Some(Ok(PathBuf::from(std::ffi::OsString::from_vec(bytes))));
        }
    }
}

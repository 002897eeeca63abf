//! What commands read that filter: named files, or standard input, line by line with a bound.

use std::fs::File;
use std::io::{self, BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use common::error::HintExt;

/// One input and what it is called in messages.
pub(crate) struct Input {
    pub(crate) name: String,
    reader: Box<dyn BufRead + Send>,
}

/// The inputs that a command line names: `-` and none at all are standard input, which must then not be a
/// terminal.
pub(crate) fn open(path: &Path) -> anyhow::Result<Input> {
    if path == Path::new("-") {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return Err(anyhow::anyhow!("standard input is a terminal"))
                .hint("name a file, or pipe something in");
        }
        return Ok(Input { name: "standard input".to_owned(), reader: Box::new(BufReader::new(stdin)) });
    }
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| name.clone())?;
    Ok(Input { name, reader: Box::new(BufReader::with_capacity(1 << 16, file)) })
}

/// The paths given, or `-`.
pub(crate) fn or_stdin(paths: &[PathBuf]) -> Vec<PathBuf> {
    if paths.is_empty() { vec![PathBuf::from("-")] } else { paths.to_vec() }
}

impl Input {
    /// Reads to the next `end` or the end of input, without it; `None` at the end. Longer than `limit` bytes is
    /// an error, and what is left of it is passed over.
    pub(crate) fn next(&mut self, end: u8, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let n = Read::by_ref(&mut self.reader).take(limit + 1).read_until(end, &mut line)?;
        if n == 0 {
            return Ok(None);
        }
        if line.last() == Some(&end) {
            line.pop();
        } else if n as u64 > limit {
            self.reader.skip_until(end)?;
            bail!("longer than {limit} bytes");
        }
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_the_next_is_read_all_the_same() {
        let text: &[u8] = b"ab\nabcdef\ncd";
        let mut input = Input { name: String::new(), reader: Box::new(text) };
        assert_eq!(input.next(b'\n', 3).unwrap().unwrap(), b"ab");
        assert!(input.next(b'\n', 3).is_err());
        assert_eq!(input.next(b'\n', 3).unwrap().unwrap(), b"cd");
        assert!(input.next(b'\n', 3).unwrap().is_none());
    }
}

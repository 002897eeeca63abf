//! The input of commands: named files, pipes and devices, or standard input; whole or line by line, always bounded.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, IsTerminal, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use rustix::fs::{Mode, OFlags};

use crate::error::HintExt;

/// One input and what it is called in messages.
pub struct InputLines {
    /// Its name in messages.
    pub name: String,
    reader: Box<dyn BufRead + Send>,
    /// Empty lines since the last one that was not.
    empty: u64,
    /// Nothing more is read.
    ended: bool,
}

/// How long to wait for a writer of a FIFO.
const PATIENCE: Duration = Duration::from_secs(5);
/// How far the end of a line is looked for that is too long: beyond it, the input is taken for endless.
const MOST_SKIPPED: u64 = 64 << 20;
/// How many empty lines one after the other are passed over.
const MOST_EMPTY: u64 = 1 << 20;

/// The input that a command line names: `-` is standard input, which must then not be a terminal. Links are
/// followed, and pipes are read as they come. Messages about the input's name are left to the caller.
///
/// # Errors
/// An I/O error; it is a directory, a terminal, or a FIFO without a writer for five seconds.
pub fn open_input(path: &Path) -> anyhow::Result<InputLines> {
    if path == Path::new("-") {
        let stdin = io::stdin();
        if stdin.is_terminal() {
            return reject_terminal();
        }
        return Ok(InputLines::new("standard input".to_owned(), Box::new(BufReader::new(stdin))));
    }
    let (begun, file) = open_readable(path)?;
    let reader = BufReader::with_capacity(1 << 16, Cursor::new(begun).chain(file));
    Ok(InputLines::new(path.display().to_string(), Box::new(reader)))
}

fn reject_terminal<T>() -> anyhow::Result<T> {
    Err(anyhow::anyhow!("standard input is a terminal")).hint("name a file, or pipe something in")
}

/// Opens anything that can be read, and gives up on a FIFO without a writer. What had to be read to find that out
/// comes first.
fn open_readable(path: &Path) -> anyhow::Result<(Vec<u8>, File)> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    let file =
        File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(|e| match io::Error::from(e) {
            e if e.kind() == io::ErrorKind::NotFound => anyhow::anyhow!("does not exist"),
            e => e.into(),
        })?);
    let kind = file.metadata()?.file_type();
    ensure!(!kind.is_dir(), "is a directory, not a file");
    if file.is_terminal() {
        return reject_terminal();
    }
    let begun = if kind.is_fifo() { wait_for_writer(&file)? } else { Vec::new() };
    // The descriptor is our own, even where it leads to a pipe that others have open too.
    rustix::fs::fcntl_setfl(&file, OFlags::empty()).map_err(io::Error::from)?;
    Ok((begun, file))
}

/// Waits until a FIFO has a writer.
fn wait_for_writer(mut fifo: &File) -> anyhow::Result<Vec<u8>> {
    let (begin, mut byte) = (Instant::now(), [0]);
    loop {
        match fifo.read(&mut byte) {
            Ok(0) if begin.elapsed() >= PATIENCE => {
                bail!("is a FIFO without a writer for {} s", PATIENCE.as_secs())
            }
            Ok(0) => std::thread::sleep(Duration::from_millis(20)),
            Ok(_) => return Ok(byte.to_vec()),
            // There is a writer, who has not written yet.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
        }
    }
}

impl InputLines {
    fn new(name: String, reader: Box<dyn BufRead + Send>) -> Self {
        Self { name, reader, empty: 0, ended: false }
    }

    /// Reads all of it, at most `limit` bytes.
    ///
    /// # Errors
    /// An I/O error; it is longer.
    pub fn read_all(self, limit: u64) -> io::Result<Vec<u8>> {
        crate::fsat::read_bounded(self.reader, limit)
    }

    /// Reads to the next `end` or the end of input, without it; `None` at the end. Longer than `limit` bytes is
    /// an error, and what is left of it is passed over: as far as it can be the end of a line, and not an input
    /// without end.
    ///
    /// # Errors
    /// An I/O error; the line is too long, in which case the next one can be read.
    pub fn next_line(&mut self, end: u8, limit: u64) -> anyhow::Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let mut line = Vec::new();
        let read = Read::by_ref(&mut self.reader).take(limit + 1).read_until(end, &mut line);
        // A directory or a broken disk fails again and again.
        let n = read.inspect_err(|_| self.ended = true)?;
        if n == 0 {
            return Ok(None);
        }
        if line.last() == Some(&end) {
            line.pop();
        } else if n as u64 > limit {
            self.skip_to_end(end, limit)?;
            bail!("longer than {limit} bytes");
        }
        self.empty = if line.is_empty() { self.empty + 1 } else { 0 };
        if self.empty > MOST_EMPTY {
            self.ended = true;
            bail!("{MOST_EMPTY} empty lines one after the other: the rest is not read");
        }
        Ok(Some(line))
    }

    /// Goes to the next `end`, if that is not too far.
    fn skip_to_end(&mut self, end: u8, limit: u64) -> anyhow::Result<()> {
        let mut rest = Read::by_ref(&mut self.reader).take(MOST_SKIPPED);
        let n = rest.skip_until(end).context("cannot be read")?;
        if n as u64 == MOST_SKIPPED {
            self.ended = true;
            bail!(
                "longer than {limit} bytes, with no end within {} MiB: the rest is not read",
                MOST_SKIPPED >> 20
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(reader: impl BufRead + Send + 'static) -> InputLines {
        InputLines::new(String::new(), Box::new(reader))
    }

    #[test]
    fn lines_are_bounded_and_the_next_is_read_all_the_same() {
        let text: &[u8] = b"ab\nabcdef\ncd";
        let mut input = input(text);
        assert_eq!(input.next_line(b'\n', 3).unwrap().unwrap(), b"ab");
        assert!(input.next_line(b'\n', 3).is_err());
        assert_eq!(input.next_line(b'\n', 3).unwrap().unwrap(), b"cd");
        assert!(input.next_line(b'\n', 3).unwrap().is_none());
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let mut endless = input(BufReader::new(io::repeat(b'x')));
        assert!(endless.next_line(b'\n', 3).unwrap_err().to_string().contains("not read"));
        assert!(endless.next_line(b'\n', 3).unwrap().is_none());
        let mut empty = input(BufReader::new(io::repeat(0)));
        let lines = std::iter::from_fn(|| empty.next_line(0, 3).transpose());
        assert_eq!(lines.filter(|line| line.is_err()).count(), 1);
    }

    #[test]
    fn pipes_and_links_are_read_and_a_fifo_without_a_writer_is_not_waited_for_long() {
        let dir = tempfile::tempdir().unwrap();
        let [file, link, fifo] = ["file", "link", "fifo"].map(|name| dir.path().join(name));
        std::fs::write(&file, "text").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(open_input(&link).unwrap().read_all(9).unwrap(), b"text");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
            .unwrap();
        let late = fifo.clone();
        let writer = std::thread::spawn(move || std::fs::write(late, "late").unwrap());
        assert_eq!(open_input(&fifo).unwrap().read_all(9).unwrap(), b"late");
        writer.join().unwrap();
        assert!(open_input(&fifo).err().unwrap().to_string().contains("without a writer"));
        assert!(open_input(dir.path()).err().unwrap().to_string().contains("directory"));
    }
}

//! The one file of a tar archive (POSIX.1-2017 `pax`, "ustar Interchange Format"; GNU tar, "Basic Tar Format").
//!
//! An archive with more files is rejected where the next one begins, as one of zip is: the events of several traces are
//! not those of one.

use std::io::{self, Read};

use super::error::ReadFault;
use super::packed::fill_buffer;

/// The size of a header, and of the blocks of an archive, in bytes.
pub(super) const HEADER: usize = 512;

/// Recognizes an archive by its first header: by the magic of the format, and by the sum over its bytes.
pub(super) fn is_header(head: &[u8]) -> bool {
    head.len() >= HEADER && head[257..].starts_with(b"ustar") && has_right_sum(&head[..HEADER])
}

fn has_right_sum(header: &[u8]) -> bool {
    const SUM: std::ops::Range<usize> = 148..156;
    let sum: u64 =
        header.iter().enumerate().map(|(i, byte)| if SUM.contains(&i) { 32 } else { u64::from(*byte) }).sum();
    number(&header[SUM]) == Some(sum)
}

/// A number in octal digits, or in binary if it is too large for those.
fn number(field: &[u8]) -> Option<u64> {
    if let [0x80, binary @ ..] = field {
        return binary.iter().try_fold(0u64, |n, byte| Some(n.checked_mul(256)? | u64::from(*byte)));
    }
    let digits = field.iter().filter(|b| !matches!(b, b' ' | 0));
    digits.into_iter().try_fold(0u64, |n, digit| match digit {
        b'0'..=b'7' => Some(n.checked_mul(8)? | u64::from(digit - b'0')),
        _ => None,
    })
}

/// Reads the file of an archive.
pub(super) struct TarEntry<R: Read> {
    input: R,
    /// The name of the entry, for messages.
    name: String,
    /// How much of the entry is to come, and how much padding behind it, in bytes.
    left: u64,
    padding: u64,
    /// The entry is not the file: a folder, or a header of its own.
    skipped: bool,
    /// The file has been met: any other is one too many.
    found: bool,
    ended: bool,
}

impl<R: Read> TarEntry<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, name: String::new(), left: 0, padding: 0, skipped: true, found: false, ended: false }
    }

    /// Reads the next header. `false` at the end of the archive.
    fn begin_entry(&mut self) -> io::Result<bool> {
        let mut header = [0; HEADER];
        match fill_buffer(&mut self.input, &mut header)? {
            // Some writers leave out the blocks of zeros that end an archive.
            0 => return self.end(),
            HEADER => {}
            _ => return Err(ReadFault::TruncatedArchive("a header".to_owned()).into()),
        }
        if header.iter().all(|byte| *byte == 0) {
            return self.end();
        }
        let size = number(&header[124..136]).filter(|_| has_right_sum(&header));
        let Some(size) = size else {
            return Err(ReadFault::Damaged("a header of the tar archive is damaged".to_owned()).into());
        };
        let text = |field: &[u8]| {
            let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
            common::text::safe(&String::from_utf8_lossy(&field[..end])).to_string()
        };
        let name = text(&header[..100]);
        // A file, of old and new archives; macOS adds files of its own.
        let is_file = matches!(header[156], b'0' | 0 | b'7') && !name.ends_with('/');
        let of_mac = name.rsplit('/').next().is_some_and(|name| name.starts_with("._"));
        self.skipped = !is_file || of_mac;
        if self.found && !self.skipped {
            return Err(rejected(format!("the tar archive holds more than one file, {name} too: unpack it")));
        }
        if matches!(header[156], b'S' | b'M') {
            return Err(rejected("the tar archive holds its file in parts: unpack it".to_owned()));
        }
        self.found |= !self.skipped;
        self.name = name;
        (self.left, self.padding) = (size, size.wrapping_neg() % HEADER as u64);
        Ok(true)
    }

    fn end(&mut self) -> io::Result<bool> {
        self.ended = true;
        if self.found { Ok(false) } else { Err(rejected("the tar archive holds no file".to_owned())) }
    }
}

/// An archive that is whole, and that is not read.
fn rejected(what: String) -> io::Error {
    ReadFault::NotATrace(what).into()
}

impl<R: Read> Read for TarEntry<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while !buf.is_empty() && !self.ended {
            if self.left > 0 {
                let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
                let n = self.input.read(&mut buf[..most])?;
                if n == 0 {
                    return Err(ReadFault::TruncatedArchive(self.name.clone()).into());
                }
                self.left -= n as u64;
                if !self.skipped {
                    return Ok(n);
                }
                continue;
            }
            let padding = std::mem::take(&mut self.padding);
            if io::copy(&mut (&mut self.input).take(padding), &mut io::sink())? < padding {
                return Err(ReadFault::TruncatedArchive(format!("the padding behind {}", self.name)).into());
            }
            if !self.begin_entry()? {
                break;
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An archive of files and folders, each with its kind.
    pub(in super::super) fn tar(entries: &[(&str, u8, &str)]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, kind, text) in entries {
            let mut header = [0; HEADER];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", text.len()).as_bytes());
            header[156] = *kind;
            header[257..263].copy_from_slice(b"ustar\0");
            header[148..156].copy_from_slice(b"        ");
            let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
            header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
            out.extend_from_slice(&header);
            out.extend_from_slice(text.as_bytes());
            out.resize(out.len().next_multiple_of(HEADER), 0);
        }
        out.resize(out.len() + 2 * HEADER, 0);
        out
    }

    fn untar(bytes: &[u8]) -> (String, Option<String>) {
        let mut text = String::new();
        let result = TarEntry::new(bytes).read_to_string(&mut text);
        (text, result.err().map(|e| e.to_string()))
    }

    #[test]
    fn the_one_file_of_an_archive_is_read() {
        let long = "[1, 2, 3]".repeat(100);
        let entries = [
            ("d/", b'5', ""),
            ("x", b'x', "20 path=d/t.json\n"),
            ("d/t.json", b'0', &long),
            ("d/._t", b'0', "mac"),
        ];
        let whole = tar(&entries);
        assert!(is_header(&whole) && !is_header(&whole[..500]));
        assert_eq!(untar(&whole), (long.clone(), None));
        // Without the zeros at its end.
        assert_eq!(untar(&whole[..whole.len() - 2 * HEADER]), (long.clone(), None));
        let (text, error) = untar(&tar(&[("a", b'0', "first"), ("b", 0, "second")]));
        assert!(
            text == "first" && error.as_ref().unwrap().contains("more than one file, b too"),
            "{error:?}"
        );
        assert!(untar(&tar(&[("d/", b'5', "")])).1.unwrap().contains("holds no file"));
        for (cut, inside) in
            [(1, "a header"), (1024 + 10, "x"), (1024 + 30, "the padding behind x"), (2048 + 30, "d/t.json")]
        {
            let error = untar(&whole[..cut]).1.unwrap();
            assert_eq!(error, format!("the archive ends inside {inside}"), "{cut}");
        }
        let mut damaged = whole;
        damaged[1536 + 130] ^= 1;
        assert!(untar(&damaged).1.unwrap().contains("damaged"));
    }
}

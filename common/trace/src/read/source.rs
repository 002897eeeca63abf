//! Opens inputs and detects how they are packed: by their first bytes, never by the name.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::ahead::ReadAhead;
use super::bgzf::GzipBlocks;
use super::error::ReadFault;
use super::gzip::GzipMembers;
use super::packed;
use super::utf16::{self, ByteOrder, Utf16Decoder};

/// How much compressed input is read at a time.
const BLOCK: usize = 128 * 1024;

/// Opens a trace file, with its size. Links are followed; what is not a regular file is refused without waiting
/// for a writer on the other side.
///
/// # Errors
/// What the system says; `InvalidInput` for anything but a regular file.
pub fn open_trace_file(path: &Path) -> io::Result<(File, u64)> {
    let flags = OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = File::options().read(true).custom_flags(flags.bits() as i32).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        let kind = common::fsat::kind(meta.mode());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("is {kind}, not a regular file")));
    }
    Ok((file, meta.len()))
}

/// An input as text.
pub(super) struct OpenedText {
    pub(super) text: Box<dyn Read + Send>,
    /// What it was compressed with.
    pub(super) compression: Option<&'static str>,
    /// It was in UTF-16.
    pub(super) utf16: bool,
}

/// The input without its compression, and in UTF-8.
pub(super) fn open_text(source: Box<dyn Read + Send>) -> Result<OpenedText, ReadFault> {
    let (head, source) = peek_head(source).map_err(ReadFault::Io)?;
    let buffered = |source| BufReader::with_capacity(BLOCK, source);
    let (name, unpacked) = match *head {
        // An extra field may say how long the member is.
        [0x1f, 0x8b, 8, 4] => {
            let threads = std::thread::available_parallelism().map_or(1, usize::from);
            ("gzip", ReadAhead::new(GzipBlocks::new(buffered(source), threads)))
        }
        [0x1f, 0x8b, ..] => ("gzip", ReadAhead::new(GzipMembers::new(buffered(source)))),
        [0x28, 0xb5, 0x2f, 0xfd] => ("zstd", ReadAhead::new(packed::ZstdFrames::new(buffered(source)))),
        [b'P', b'K', 3, 4] => ("zip", ReadAhead::new(packed::ZipEntry::new(buffered(source)))),
        _ => return decode_text(&head, source, None),
    };
    let text = Box::new(unpacked.map_err(ReadFault::Io)?);
    let (head, text) = peek_head(text).unwrap_or_else(|e| (Vec::new(), Box::new(Failed(Some(e)))));
    decode_text(&head, text, Some(name))
}

fn decode_text(
    head: &[u8],
    source: Box<dyn Read + Send>,
    compression: Option<&'static str>,
) -> Result<OpenedText, ReadFault> {
    if utf16::is_utf32(head) {
        return Err(ReadFault::NotATrace(
            "is text in UTF-32, which is not read: save it as UTF-8".to_owned(),
        ));
    }
    Ok(match ByteOrder::of_text(head) {
        Some(order) => {
            OpenedText { text: Box::new(Utf16Decoder::new(source, order)), compression, utf16: true }
        }
        None => OpenedText { text: source, compression, utf16: false },
    })
}

/// Shows the first bytes of a source, and gives the source back with them.
fn peek_head(mut source: Box<dyn Read + Send>) -> io::Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut head = [0; 4];
    let n = fill_buffer(&mut source, &mut head)?;
    let whole = io::Cursor::new(head[..n].to_vec()).chain(source);
    Ok((head[..n].to_vec(), Box::new(whole)))
}

/// A source that has failed already.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

fn fill_buffer(source: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut n = 0;
    while n < buf.len() {
        match source.read(&mut buf[n..]) {
            Ok(0) => break,
            Ok(k) => n += k,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(n)
}

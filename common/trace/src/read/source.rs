//! Opens inputs and takes gzip off them, told by the magic bytes and never by the name.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use rustix::fs::OFlags;

use super::ahead::ReadAhead;
use super::error::ReadFault;

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

/// The input without its compression, and whether it had one.
pub(super) fn decompress_input(mut source: Box<dyn Read + Send>) -> Result<(Box<dyn Read>, bool), ReadFault> {
    let mut head = [0; 2];
    let n = fill_buffer(&mut source, &mut head)?;
    let gzip = head[..n] == [0x1f, 0x8b];
    let whole = io::Cursor::new(head).take(n as u64).chain(source);
    if !gzip {
        return Ok((Box::new(whole), false));
    }
    let inflated = MultiGzDecoder::new(BufReader::with_capacity(BLOCK, whole));
    Ok((Box::new(ReadAhead::new(inflated).map_err(ReadFault::Io)?), true))
}

fn fill_buffer(source: &mut impl Read, buf: &mut [u8]) -> Result<usize, ReadFault> {
    let mut n = 0;
    while n < buf.len() {
        match source.read(&mut buf[n..]) {
            Ok(0) => break,
            Ok(k) => n += k,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(ReadFault::Io(e)),
        }
    }
    Ok(n)
}

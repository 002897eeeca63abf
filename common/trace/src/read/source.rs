//! Opens inputs and detects how they are packed: by their first bytes, never by the name.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::ahead::ReadAhead;
use super::bgzf::GzipBlocks;
use super::error::ReadFault;
use super::members::ParallelMembers;
use super::packed;
use super::tar;
use super::utf16::{self, ByteOrder, Utf16Decoder};

/// How much compressed input is read at a time.
const BLOCK: usize = 128 * 1024;

/// Opens a trace file, with its size. Links are followed; what is not a regular file is rejected without waiting
/// for a writer on the other side.
///
/// # Errors
/// An I/O error; `InvalidInput` for anything but a regular file.
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
    /// Its compression.
    pub(super) compression: Option<&'static str>,
    /// It was in UTF-16.
    pub(super) utf16: bool,
}

/// The input without its compression, and in UTF-8. What was compressed twice is unpacked twice: a browser or a server
/// compresses what is a `.gz` already, and archives hold compressed files.
pub(super) fn open_text(source: Box<dyn Read + Send>) -> Result<OpenedText, ReadFault> {
    /// More is an attempt to exhaust us.
    const MOST: usize = 4;
    let (mut head, mut source) = peek_head(source);
    let mut compression = None;
    for _ in 0..=MOST {
        let Some((name, text)) = unpack(&head, &mut source)? else {
            return decode_text(&head, source, compression);
        };
        compression = compression.or(Some(name));
        (head, source) = peek_head(text);
    }
    Err(ReadFault::NotATrace(format!("is compressed more than {MOST} times over: unpack it")))
}

/// What compressed it, and a source without that; the old one is taken only then.
type Unpacked = Option<(&'static str, Box<dyn Read + Send>)>;

fn unpack(head: &[u8], from: &mut Box<dyn Read + Send>) -> Result<Unpacked, ReadFault> {
    let packed = matches!(
        *head,
        [0x1f, 0x8b, ..]
            | [0x28, 0xb5, 0x2f, 0xfd, ..]
            | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
            | [b'P', b'K', 3, 4, ..]
    );
    let is_tar = tar::is_header(head);
    if !packed && !is_tar {
        return Ok(None);
    }
    let source = std::mem::replace(from, Box::new(io::empty()));
    if is_tar {
        return Ok(Some(("tar", Box::new(tar::TarEntry::new(source)))));
    }
    let buffered = |source| BufReader::with_capacity(BLOCK, source);
    let (name, unpacked) = match *head {
        // An extra field may say how long the member is.
        [0x1f, 0x8b, 8, 4, ..] => {
            ("gzip", ReadAhead::new(GzipBlocks::new(buffered(source), count_threads())))
        }
        [0x1f, 0x8b, ..] => ("gzip", ReadAhead::new(ParallelMembers::new(buffered(source), count_threads()))),
        [b'P', b'K', ..] => ("zip", ReadAhead::new(packed::ZipEntry::new(buffered(source)))),
        // A frame for other programs may stand first, as pzstd writes it.
        _ => ("zstd", ReadAhead::new(packed::ZstdFrames::new(buffered(source)))),
    };
    Ok(Some((name, Box::new(unpacked.map_err(ReadFault::Io)?))))
}

fn count_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
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

/// Shows the first bytes of a source, as many as signs of a format need, and gives the source back with them. An error is
/// met again behind them.
fn peek_head(mut source: Box<dyn Read + Send>) -> (Vec<u8>, Box<dyn Read + Send>) {
    let mut head = vec![0; tar::HEADER];
    let mut n = 0;
    let mut error = None;
    while n < head.len() && error.is_none() {
        match source.read(&mut head[n..]) {
            Ok(0) => break,
            Ok(k) => n += k,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => error = Some(e),
        }
    }
    head.truncate(n);
    let whole = io::Cursor::new(head.clone()).chain(Failed(error)).chain(source);
    (head, Box::new(whole))
}

/// A source that has failed already, or is empty.
struct Failed(Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As pzstd writes it, which puts the size of each frame before it.
    #[test]
    fn a_frame_for_others_may_stand_before_that_of_zstd() {
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        let frame = compress_to_vec(&b"[1, 2]"[..], CompressionLevel::Fastest);
        for kind in [0x184d_2a50_u32, 0x184d_2a5f] {
            let whole = [&kind.to_le_bytes()[..], &4u32.to_le_bytes(), b"size", &frame].concat();
            let mut opened = open_text(Box::new(io::Cursor::new(whole))).unwrap();
            let mut text = String::new();
            opened.text.read_to_string(&mut text).unwrap();
            assert_eq!((text.as_str(), opened.compression), ("[1, 2]", Some("zstd")));
        }
    }
    /// The reason is that of the outermost part that is not whole.
    #[test]
    fn what_is_cut_says_what_was_cut() {
        use crate::read::testing::read_bytes;
        use crate::read::{gzip::tests::member, tar::tests::tar};
        let noise = (0..3000_u32).map(|i| i.wrapping_mul(i).wrapping_mul(2_654_435_761).to_string());
        let event = format!(
            r#"{{"ph":"X","name":"a","ts":1,"dur":2,"args":{{"x":[{}0]}}}}"#,
            noise.collect::<Vec<_>>().join(",")
        );
        let document = format!("[{event}]");
        let archive = tar(&[("t.json", b'0', &document)]);
        let packed_archive = member(&archive);
        let archive_of_packed = {
            let packed = member(document.as_bytes());
            let mut archive = tar(&[("t.json.gz", b'0', &"x".repeat(packed.len()))]);
            archive[512..512 + packed.len()].copy_from_slice(&packed);
            archive
        };
        let folders = tar(&[("d/", b'5', ""), ("d/e/", b'5', "")]);
        let several = tar(&[("a.txt", b'0', "no trace"), ("b.json", b'0', "[]")]);
        let error_of = |bytes: &[u8]| {
            let (_, outcome) = read_bytes(bytes);
            (outcome.error.as_ref().map(|e| e.fault.to_string()), outcome.has_no_result())
        };
        let reason = |text: &str| Some(text.to_owned());
        for whole in [&archive, &packed_archive, &archive_of_packed] {
            assert_eq!(error_of(whole), (None, false));
        }
        assert_eq!(error_of(&archive[..5000]), (reason("the archive ends inside t.json"), false));
        assert_eq!(error_of(&member(&archive[..5000])), (reason("the archive ends inside t.json"), false));
        let of_gzip = reason("the compressed data ends early");
        assert_eq!(error_of(&packed_archive[..packed_archive.len() - 2000]), (of_gzip.clone(), false));
        assert_eq!(
            error_of(&archive_of_packed[..9000]),
            (reason("the archive ends inside t.json.gz"), false)
        );
        // Of nothing, no format is known.
        assert_eq!(error_of(&packed_archive[..12]), (of_gzip, true));
        assert!(!error_of(&archive[..513]).1);
        for (bytes, expected) in [
            (&folders, "the tar archive holds no file"),
            (&several, "the tar archive holds more than one file, b.json too: unpack it"),
        ] {
            assert_eq!(error_of(bytes), (reason(expected), true));
            assert_eq!(error_of(&member(bytes)), (reason(expected), true));
        }
    }
}

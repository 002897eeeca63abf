//! Takes zstd and zip off.

use std::io::{self, BufRead, Read};

use flate2::Crc;
use flate2::bufread::DeflateDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::error::ReadFault;

fn invalid(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

/// An archive that is whole, and that is not read.
fn rejected(what: impl Into<String>) -> io::Error {
    ReadFault::NotATrace(what.into()).into()
}

/// The text of all frames of a zstd file (RFC 8878, section 3), which are decoded one block at a time. Frames that want
/// more than 128 MiB to look back are rejected by the decoder.
pub(super) struct ZstdFrames<R: BufRead> {
    input: R,
    decoder: FrameDecoder,
    inside: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, decoder: FrameDecoder::new(), inside: false }
    }

    /// Begins the next frame; `false` at the end.
    fn begin_frame(&mut self) -> io::Result<bool> {
        loop {
            skip_padding(&mut self.input)?;
            if !has_more(&mut self.input)? {
                return Ok(false);
            }
            let mut magic = [0; 4];
            self.input.read_exact(&mut magic)?;
            match u32::from_le_bytes(magic) {
                0xfd2f_b528 => break,
                // Frames for other programs.
                0x184d_2a50..=0x184d_2a5f => {
                    let mut size = [0; 4];
                    self.input.read_exact(&mut size)?;
                    discard(&mut self.input, u64::from(u32::from_le_bytes(size)))?;
                }
                _ => return Err(invalid("something that is not compressed follows")),
            }
        }
        let header = io::Cursor::new(0xfd2f_b528_u32.to_le_bytes()).chain(&mut self.input);
        if let Err(e) = self.decoder.reset(header) {
            return Err(self.fault(&e.to_string()));
        }
        self.inside = true;
        Ok(true)
    }

    /// The error of the decoder, unless the input has ended.
    fn fault(&mut self, what: &str) -> io::Error {
        match has_more(&mut self.input) {
            Ok(false) => io::ErrorKind::UnexpectedEof.into(),
            Ok(true) => invalid(what),
            Err(e) => e,
        }
    }

    /// Decodes a block.
    fn decode_block(&mut self) -> io::Result<()> {
        let strategy = BlockDecodingStrategy::UptoBlocks(1);
        if let Err(e) = self.decoder.decode_blocks(&mut self.input, strategy) {
            return Err(self.fault(&e.to_string()));
        }
        self.inside = !self.decoder.is_finished();
        Ok(())
    }

    /// Checks the sum behind a frame, which is over what has been collected.
    fn check_sum(&mut self) -> io::Result<()> {
        let stored = self.decoder.get_checksum_from_data();
        let wrong = stored.is_some() && stored != self.decoder.get_calculated_checksum();
        if wrong { Err(invalid("the checksum of a frame is wrong")) } else { Ok(()) }
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            if self.decoder.can_collect() > 0 {
                return self.decoder.read(buf);
            }
            if self.inside {
                self.decode_block()?;
                continue;
            }
            self.check_sum()?;
            if !self.begin_frame()? {
                return Ok(0);
            }
        }
    }
}

fn has_more(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        match input.fill_buf() {
            Ok(bytes) => return Ok(!bytes.is_empty()),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// Skips zeros between frames and behind the last, as file systems leave them: no frame begins with one.
fn skip_padding(input: &mut impl BufRead) -> io::Result<()> {
    while has_more(input)? {
        let bytes = input.fill_buf()?;
        match bytes.iter().take_while(|b| **b == 0).count() {
            0 => break,
            zeros => input.consume(zeros),
        }
    }
    Ok(())
}

fn discard(input: &mut impl BufRead, length: u64) -> io::Result<()> {
    let skipped = io::copy(&mut input.take(length), &mut io::sink())?;
    if skipped == length { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// The one file of a zip archive (PKWARE `APPNOTE.TXT`, sections 4.3.7 and 4.4), read from its beginning: what the
/// directory at the archive's end says is not looked at. An archive with more files is rejected where the next one begins.
pub(super) struct ZipEntry<R: BufRead> {
    state: ZipState<R>,
    crc: Crc,
    header: EntryHeader,
    /// The file has been read: anything but folders is one too many.
    found: bool,
}

enum ZipState<R: BufRead> {
    Between(R),
    Stored(io::Take<R>),
    Deflated(Box<DeflateDecoder<R>>),
    Ended,
}

#[derive(Clone, Debug, Default)]
struct EntryHeader {
    name: String,
    /// The sum and the sizes stand behind the data.
    sums_behind: bool,
    crc: u32,
    /// Folders, and what macOS adds of its own.
    skipped: bool,
}

impl<R: BufRead> ZipEntry<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            state: ZipState::Between(input),
            crc: Crc::new(),
            header: EntryHeader::default(),
            found: false,
        }
    }

    fn begin_entry(&mut self, mut input: R) -> io::Result<()> {
        const HEADER: &str = "a header";
        let mut signature = [0; 4];
        fill_whole(&mut input, &mut signature, HEADER)?;
        if signature != *b"PK\x03\x04" {
            // The directory at the end.
            return if self.found { Ok(()) } else { Err(rejected("the zip archive holds no file")) };
        }
        let mut fields = [0; 26];
        fill_whole(&mut input, &mut fields, HEADER)?;
        let short = |at: usize| u16::from_le_bytes([fields[at], fields[at + 1]]);
        let long = |at: usize| u32::from(short(at)) | u32::from(short(at + 2)) << 16;
        let mut name = vec![0; usize::from(short(22))];
        fill_whole(&mut input, &mut name, HEADER)?;
        fill_whole(&mut input, &mut vec![0; usize::from(short(24))], HEADER)?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let skipped = name.ends_with('/') || name.starts_with("__MACOSX/");
        if self.found && !skipped {
            let name = common::text::safe(&name);
            return Err(rejected(format!("the zip archive holds more than one file, {name} too: unpack it")));
        }
        let (flags, method, size) = (short(2), short(4), long(14));
        if flags & 1 != 0 {
            return Err(rejected("the zip archive is encrypted"));
        }
        self.header = EntryHeader { name, sums_behind: flags & 8 != 0, crc: long(10), skipped };
        self.crc.reset();
        self.state = match method {
            0 if (self.header.sums_behind && size == 0) || size == u32::MAX => {
                return Err(rejected("the zip archive does not say how long its file is: unpack it"));
            }
            0 => ZipState::Stored(input.take(u64::from(size))),
            8 => ZipState::Deflated(Box::new(DeflateDecoder::new(input))),
            other => return Err(rejected(format!("the zip archive uses method {other}: unpack it"))),
        };
        Ok(())
    }

    /// Checks the sum of what was read.
    fn end_entry(&mut self, mut input: R) -> io::Result<()> {
        let mut expected = self.header.crc;
        if self.header.sums_behind {
            expected = read_descriptor(&mut input, &self.header.name)?;
        }
        if expected != self.crc.sum() {
            let name = common::text::safe(&self.header.name);
            let what = format!("the zip archive is damaged: the checksum of {name} is wrong");
            return Err(ReadFault::Damaged(what).into());
        }
        self.found |= !self.header.skipped;
        self.state = ZipState::Between(input);
        Ok(())
    }
}

/// Fills a buffer, unless the source ends before. Returns how many bytes there were.
pub(super) fn fill_buffer(source: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
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

/// Fills a buffer with what an archive holds inside something.
fn fill_whole(input: &mut impl Read, buf: &mut [u8], inside: &str) -> io::Result<()> {
    if fill_buffer(input, buf)? == buf.len() { Ok(()) } else { Err(truncated(inside)) }
}

fn truncated(inside: &str) -> io::Error {
    ReadFault::TruncatedArchive(common::text::safe(inside).to_string()).into()
}

/// The sum behind the data of a file, with its optional signature; the two sizes have four bytes each, or eight.
fn read_descriptor(input: &mut impl BufRead, name: &str) -> io::Result<u32> {
    let mut sum = [0; 4];
    fill_whole(input, &mut sum, name)?;
    if sum == *b"PK\x07\x08" {
        fill_whole(input, &mut sum, name)?;
    }
    fill_whole(input, &mut [0; 8], name)?;
    // Sizes of eight bytes: what follows is no signature then.
    if !input.fill_buf()?.starts_with(b"PK") && input.fill_buf()?.len() >= 10 {
        fill_whole(input, &mut [0; 8], name)?;
    }
    Ok(u32::from_le_bytes(sum))
}

impl<R: BufRead> Read for ZipEntry<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        loop {
            let (n, next) = match std::mem::replace(&mut self.state, ZipState::Ended) {
                ZipState::Between(input) => {
                    self.begin_entry(input)?;
                    continue;
                }
                ZipState::Stored(mut entry) => match entry.read(buf)? {
                    0 if entry.limit() > 0 => return Err(truncated(&self.header.name)),
                    0 => {
                        self.end_entry(entry.into_inner())?;
                        continue;
                    }
                    n => (n, ZipState::Stored(entry)),
                },
                ZipState::Deflated(mut entry) => match entry.read(buf) {
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                        return Err(truncated(&self.header.name));
                    }
                    Err(e) => return Err(e),
                    Ok(0) => {
                        self.end_entry(entry.into_inner())?;
                        continue;
                    }
                    Ok(n) => (n, ZipState::Deflated(entry)),
                },
                ZipState::Ended => return Ok(0),
            };
            self.state = next;
            self.crc.update(&buf[..n]);
            if !self.header.skipped {
                return Ok(n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// An archive of files, deflated if `deflate`, with the sums behind the data if `behind`.
    fn zip(files: &[(&str, &str)], deflate: bool, behind: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, text) in files {
            let mut crc = Crc::new();
            crc.update(text.as_bytes());
            let mut data = text.as_bytes().to_vec();
            if deflate {
                let mut encoder =
                    flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(text.as_bytes()).unwrap();
                data = encoder.finish().unwrap();
            }
            let sums = [crc.sum(), data.len() as u32, text.len() as u32].map(u32::to_le_bytes).concat();
            out.extend_from_slice(b"PK\x03\x04\x14\0");
            out.extend_from_slice(&[if behind { 8 } else { 0 }, 0, if deflate { 8 } else { 0 }, 0]);
            out.extend_from_slice(&[0; 4]);
            out.extend_from_slice(if behind { &[0; 12] } else { &sums });
            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
            out.extend_from_slice(&3u16.to_le_bytes());
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"xyz");
            out.extend_from_slice(&data);
            if behind {
                out.extend_from_slice(b"PK\x07\x08");
                out.extend_from_slice(&sums);
            }
        }
        out.extend_from_slice(b"PK\x01\x02 the directory");
        out
    }

    fn unzip(bytes: &[u8]) -> (String, Option<String>) {
        let mut text = String::new();
        let result = ZipEntry::new(bytes).read_to_string(&mut text);
        (text, result.err().map(|e| e.to_string()))
    }

    #[test]
    fn the_one_file_of_an_archive_is_read() {
        let files = [("dir/", ""), ("dir/t.json", "[1, 2, 3]"), ("__MACOSX/dir/t.json", "other")];
        for (deflate, behind) in [(true, false), (true, true), (false, false)] {
            assert_eq!(unzip(&zip(&files, deflate, behind)), ("[1, 2, 3]".to_owned(), None));
        }
        let two = zip(&[("a", "first"), ("b", "second")], true, false);
        let (text, error) = unzip(&two);
        assert!(
            text == "first" && error.as_ref().unwrap().contains("more than one file, b too"),
            "{error:?}"
        );
        assert!(unzip(&zip(&[("dir/", "")], false, false)).1.unwrap().contains("holds no file"));
        assert!(unzip(&zip(&[("a", "x")], false, true)).1.unwrap().contains("how long"));
    }

    #[test]
    fn damaged_archives_are_told() {
        let mut bytes = zip(&[("a", "some text")], true, false);
        bytes[14] ^= 1;
        assert!(unzip(&bytes).1.unwrap().contains("checksum of a is wrong"));
        for (deflate, behind) in [(true, false), (true, true), (false, false)] {
            let whole = zip(&[("a", "some text")], deflate, behind);
            let end = whole.len() - " the directory".len();
            for cut in 4..end {
                // Name, extra field and data.
                let inside = if cut < 30 + 1 + 3 || cut >= end - 4 && !behind { "a header" } else { "a" };
                let error = unzip(&whole[..cut]).1.unwrap();
                let expected = format!("the archive ends inside {inside}");
                assert!(error == expected || cut >= end - 4 && behind, "{cut}: {error}");
            }
        }
    }

    fn unzstd(bytes: &[u8]) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut text = Vec::new();
        let result = ZstdFrames::new(bytes).read_to_end(&mut text);
        (text, result.err().map(|e| e.kind()))
    }

    #[test]
    fn frames_of_zstd_are_read_one_after_the_other() {
        use ruzstd::encoding::{CompressionLevel, compress_to_vec};
        let text: Vec<u8> = (0..300_000_u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        let frame = compress_to_vec(&text[..], CompressionLevel::Fastest);
        let skipped = [&0x184d_2a53_u32.to_le_bytes()[..], &3u32.to_le_bytes(), b"abc"].concat();
        let whole = [&frame[..], &skipped, &frame].concat();
        let (read, error) = unzstd(&whole);
        assert!(read == [&text[..], &text].concat() && error.is_none());
        // As of gzip, zeros between frames and behind the last are padding, however few.
        for zeros in [1, 700] {
            let zeros = vec![0; zeros];
            let (read, error) = unzstd(&[&frame[..], &zeros, &frame, &zeros].concat());
            assert!(read == [&text[..], &text].concat() && error.is_none());
        }
        assert_eq!(unzstd(&[&frame[..], b"more"].concat()).1, Some(io::ErrorKind::InvalidData));
        assert_eq!(unzstd(&frame[..frame.len() / 2]).1, Some(io::ErrorKind::UnexpectedEof));
    }
}

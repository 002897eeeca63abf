//! Takes gzip off a file of several members, as `cat a.gz b.gz` and programs that append make them, several at a time.
//!
//! Nothing says where a member begins, but its header is rare enough by chance (RFC 1952, section 2.3). So what lies between
//! two such places is inflated by a thread of its own, on the supposition that it is whole members. Lengths and checksums
//! show whether that is so; if not, all from there on is inflated one member after the other, as if nothing had been
//! supposed.

use std::collections::VecDeque;
use std::io::{self, BufRead, Chain, Cursor, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use super::gzip::GzipMembers;

/// How large files are read. Smaller for tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemberSizes {
    /// Compressed bytes that a thread gets at least.
    least: usize,
    /// Compressed bytes in which the beginning of another member is looked for.
    most: usize,
    /// Bytes of text that are handed over at a time, and how many of these a thread may be ahead.
    chunk: usize,
    chunks: usize,
}

impl Default for MemberSizes {
    fn default() -> Self {
        Self { least: 1 << 20, most: 16 << 20, chunk: 256 * 1024, chunks: 64 }
    }
}

/// Most threads: each holds compressed bytes and text, [`MemberSizes`] of them.
const MOST_THREADS: usize = 4;

/// The text of all members of a gzip file, inflated by several threads where there are several.
pub(super) struct ParallelMembers<R: BufRead> {
    sizes: MemberSizes,
    threads: usize,
    /// The rest of the input; none when it is read by `serial`.
    input: Option<R>,
    /// Compressed bytes that no thread has; they begin like a member.
    ahead: Vec<u8>,
    /// The number of them that have been searched.
    searched: usize,
    /// The input has ended, or failed for this reason.
    ended: bool,
    failed: Option<io::Error>,
    tasks: VecDeque<MemberTask>,
    /// The bytes that the first of them has given, and how much of the last piece of that has been read.
    given: u64,
    piece: Vec<u8>,
    used: usize,
    serial: Option<GzipMembers<Chain<Cursor<Vec<u8>>, R>>>,
}

/// Compressed bytes that a thread inflates.
struct MemberTask {
    bytes: Arc<Vec<u8>>,
    text: Receiver<io::Result<Vec<u8>>>,
}

impl<R: BufRead> ParallelMembers<R> {
    pub(super) fn new(input: R, threads: usize) -> Self {
        Self::with_sizes(input, threads, MemberSizes::default())
    }

    fn with_sizes(input: R, threads: usize, sizes: MemberSizes) -> Self {
        Self {
            sizes,
            threads: threads.clamp(1, MOST_THREADS),
            input: Some(input),
            ahead: Vec::new(),
            searched: 0,
            ended: false,
            failed: None,
            tasks: VecDeque::new(),
            given: 0,
            piece: Vec::new(),
            used: 0,
            serial: None,
        }
    }

    /// Reads the compressed bytes up to where another member seems to begin. `None` if that is too far away, or nowhere.
    fn next_members(&mut self) -> Option<Vec<u8>> {
        let input = self.input.as_mut()?;
        loop {
            let from = self.searched.max(self.sizes.least);
            if let Some(at) = find_header(&self.ahead, from) {
                let rest = self.ahead.split_off(at);
                self.searched = 0;
                return Some(std::mem::replace(&mut self.ahead, rest));
            }
            // A header may be cut by the end of what has been read.
            self.searched = self.ahead.len().saturating_sub(HEADER - 1);
            if self.ended || self.ahead.len() >= self.sizes.most {
                return None;
            }
            let room = (self.sizes.most - self.ahead.len()).min(self.sizes.least) as u64;
            let read = input.by_ref().take(room).read_to_end(&mut self.ahead);
            self.ended = !matches!(read, Ok(1..));
            // It is said when what came before has been given.
            self.failed = read.err();
        }
    }

    /// Gives members to threads, as long as there are both. When no more members are found, what is left of the input is
    /// given to one more thread, or read one member after the other.
    fn start_tasks(&mut self) -> io::Result<()> {
        while self.serial.is_none() && self.tasks.len() < self.threads {
            if let Some(bytes) = self.next_members() {
                self.tasks.push_back(start_task(bytes, self.sizes)?);
            } else if self.ended && !self.tasks.is_empty() && !self.ahead.is_empty() {
                let bytes = std::mem::take(&mut self.ahead);
                self.tasks.push_back(start_task(bytes, self.sizes)?);
            } else if !self.tasks.is_empty() || self.ended && self.ahead.is_empty() {
                return Ok(());
            } else {
                self.read_serially(Vec::new());
            }
        }
        Ok(())
    }

    /// Reads these bytes and all that follows one member after the other.
    fn read_serially(&mut self, mut bytes: Vec<u8>) {
        for task in self.tasks.drain(..) {
            bytes.extend_from_slice(&task.bytes);
        }
        bytes.append(&mut self.ahead);
        if let Some(input) = self.input.take() {
            self.serial = Some(GzipMembers::new(Cursor::new(bytes).chain(input)));
        }
    }

    /// The next piece of text of the first task. `false` if that has ended.
    fn next_piece(&mut self) -> io::Result<bool> {
        let Some(task) = self.tasks.front() else { return Ok(false) };
        match task.text.recv() {
            Ok(Ok(piece)) => {
                (self.piece, self.used) = (piece, 0);
                self.given += self.piece.len() as u64;
                Ok(true)
            }
            Ok(Err(_)) => {
                // Not whole members, or damaged: the reader of one after the other says which.
                let given = self.given;
                self.read_serially(Vec::new());
                if let Some(serial) = &mut self.serial {
                    io::copy(&mut serial.by_ref().take(given), &mut io::sink())?;
                }
                Ok(false)
            }
            Err(_) => {
                self.tasks.pop_front();
                self.given = 0;
                Ok(false)
            }
        }
    }
}

/// Bytes of a header that are looked at.
const HEADER: usize = 10;

/// The first place that looks like the header of a member (RFC 1952, section 2.3.1): its magic number, deflate, flags
/// that are defined, a level as compressors write it, a file system.
fn find_header(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let looks_like_header = |at: &usize| {
        let Some(&[_, _, _, flags, _, _, _, _, level, system]) = rest.get(*at..*at + HEADER) else {
            return false;
        };
        flags & 0xe0 == 0 && matches!(level, 0 | 2 | 4) && matches!(system, 0..=13 | 255)
    };
    memchr::memmem::find_iter(rest, b"\x1f\x8b\x08").find(looks_like_header).map(|at| from + at)
}

fn start_task(bytes: Vec<u8>, sizes: MemberSizes) -> io::Result<MemberTask> {
    let bytes = Arc::new(bytes);
    let (to, text) = sync_channel(sizes.chunks);
    let own = Arc::clone(&bytes);
    std::thread::Builder::new().spawn(move || inflate(&own, sizes.chunk, &to))?;
    Ok(MemberTask { bytes, text })
}

/// Hands over the text of these members, and what stopped that.
fn inflate(bytes: &[u8], chunk: usize, to: &SyncSender<io::Result<Vec<u8>>>) {
    let mut members = GzipMembers::new(bytes);
    loop {
        let mut text = Vec::with_capacity(chunk);
        let read = members.by_ref().take(chunk as u64).read_to_end(&mut text);
        let is_end = read.as_ref().is_ok_and(|n| *n == 0);
        // What stands before a damage is text, too: the other reader gives it.
        if is_end || to.send(read.map(|_| text)).is_err() {
            return;
        }
    }
}

impl<R: BufRead> Read for ParallelMembers<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let rest = self.piece.get(self.used..).unwrap_or_default();
            if !rest.is_empty() || buf.is_empty() {
                let n = rest.len().min(buf.len());
                buf[..n].copy_from_slice(&rest[..n]);
                self.used += n;
                return Ok(n);
            }
            if let Some(serial) = &mut self.serial {
                let read = serial.read(buf);
                let ended = !matches!(read, Ok(1..));
                return self.failed.take_if(|_| ended).map_or(read, Err);
            }
            self.start_tasks()?;
            if self.tasks.is_empty() && self.serial.is_none() {
                return self.failed.take().map_or(Ok(0), Err);
            }
            self.next_piece()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    const SMALL: MemberSizes = MemberSizes { least: 100, most: 4000, chunk: 64, chunks: 2 };

    fn member(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// Text that does not become shorter.
    fn noise(seed: u32, length: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2_654_435_761) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        (0..length).map(|_| next()).collect()
    }

    fn serially(bytes: &[u8]) -> (Vec<u8>, Option<String>) {
        let mut text = Vec::new();
        let result = GzipMembers::new(bytes).read_to_end(&mut text);
        (text, result.err().map(|e| e.to_string()))
    }

    fn in_parallel(bytes: &[u8], threads: usize, sizes: MemberSizes) -> (Vec<u8>, Option<String>) {
        let mut text = Vec::new();
        let result = ParallelMembers::with_sizes(bytes, threads, sizes).read_to_end(&mut text);
        (text, result.err().map(|e| e.to_string()))
    }

    /// The same text and the same error as one member after the other, whatever the file.
    fn assert_same(bytes: &[u8]) {
        let expected = serially(bytes);
        for threads in [1, 2, 3] {
            for sizes in [SMALL, MemberSizes { least: 1, ..SMALL }, MemberSizes::default()] {
                assert!(in_parallel(bytes, threads, sizes) == expected, "{threads} threads, {sizes:?}");
            }
        }
    }

    /// The same but for how much of the text before a damage is given, which depends on how much is asked for at a time.
    fn assert_same_but_cut(bytes: &[u8]) {
        let (expected, error) = serially(bytes);
        for threads in [1, 2, 3] {
            for sizes in [SMALL, MemberSizes::default()] {
                let (text, own) = in_parallel(bytes, threads, sizes);
                let same = text.len().min(expected.len());
                assert!(
                    text[..same] == expected[..same] && own.is_some() == error.is_some(),
                    "{threads}, {sizes:?}"
                );
                assert!(error.is_some() || text.len() == expected.len(), "{threads}, {sizes:?}");
            }
        }
    }

    #[test]
    fn members_are_read_in_their_order() {
        let members: Vec<Vec<u8>> =
            (0..20).map(|i| member(&noise(i, [0, 7, 300, 2500][i as usize % 4]))).collect();
        assert_same(&members.concat());
        assert_same(&member(&noise(1, 50_000)));
        assert_same(&[members.concat(), vec![0; 5000]].concat());
        assert_same(&[&members[3][..], &[0; 9], &members[7]].concat());
    }

    /// What looks like a header in the middle of a member is found to be none by what comes of it.
    #[test]
    fn a_header_in_the_data_changes_nothing() {
        let fake = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        let text = [noise(5, 500), fake.to_vec(), noise(6, 500), fake.to_vec(), noise(7, 900)].concat();
        let mut stored = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
        stored.write_all(&text).unwrap();
        let stored = stored.finish().unwrap();
        assert!(find_header(&stored, 100).is_some(), "the text stands in it as it is");
        assert_same(&stored);
        assert_same(&[stored.clone(), member(b"x"), stored].concat());
    }

    #[test]
    fn damage_is_what_it_is_without_threads() {
        let whole: Vec<u8> = (0..6).flat_map(|i| member(&noise(i, 700))).collect();
        for at in (0..whole.len()).step_by(97) {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x55;
            assert_same_but_cut(&damaged);
            assert_same_but_cut(&whole[..=at]);
        }
        assert_same(&[&whole[..], b"something else"].concat());
    }

    /// What stands before a failure of the system is given, then the failure.
    #[test]
    fn failures_of_the_input_are_passed_on() {
        struct Failing;
        impl Read for Failing {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::new(io::ErrorKind::PermissionDenied, "no more"))
            }
        }
        let (first, second) = (member(&noise(1, 300)), member(&noise(2, 300)));
        for cut in [0, 5] {
            let bytes = [&first[..], &second[..second.len() - cut]].concat();
            let input = io::BufReader::new(Cursor::new(bytes).chain(Failing));
            let mut text = Vec::new();
            let read = ParallelMembers::with_sizes(input, 2, SMALL).read_to_end(&mut text);
            assert_eq!(read.unwrap_err().to_string(), "no more");
            assert!(text.starts_with(&noise(1, 300)), "{}", text.len());
        }
    }
}

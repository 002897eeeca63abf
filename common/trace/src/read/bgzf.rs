//! Takes gzip off a file of blocks, several at a time: what `bgzip` writes, a gzip file whose members say how long they
//! are in a subfield `BC` of their headers (SAM/BAM specification, section 4.1). A file of other members is read one
//! after the other, from wherever they begin.

use std::collections::VecDeque;
use std::io::{self, BufRead, Chain, Cursor, Read};

use super::gzip::GzipMembers;

/// Bytes of a member before its data: ten of RFC 1952, two of the length of the extra field, six of the subfield, which
/// is the only one that bgzip writes.
const HEADER: usize = 18;

/// Blocks that are inflated at a time, for each thread. A block has at most 64 KiB of text.
const BLOCKS_FOR_THREAD: usize = 16;

/// Text of one block at most; a member that holds more says a length that is not its own.
const BLOCK_TEXT: u64 = 64 * 1024;

/// The text of a gzip file, whose blocks are inflated by several threads where it says how long they are.
pub(super) struct GzipBlocks<R: BufRead> {
    input: BlockInput<R>,
    threads: usize,
    /// Inflated blocks in their order, the last of which may have failed.
    blocks: VecDeque<InflatedBlock>,
    /// How much of the first has been read.
    used: usize,
}

struct InflatedBlock {
    text: Vec<u8>,
    /// The error that stopped it behind this text.
    error: Option<io::Error>,
}

enum BlockInput<R: BufRead> {
    Blocks(R),
    Members(GzipMembers<Chain<Cursor<Vec<u8>>, R>>),
    Ended,
}

impl<R: BufRead> GzipBlocks<R> {
    pub(super) fn new(input: R, threads: usize) -> Self {
        Self { input: BlockInput::Blocks(input), threads: threads.max(1), blocks: VecDeque::new(), used: 0 }
    }

    /// Inflates the next blocks. What follows them is no block if it does not begin like one: then it is left to the
    /// reader of members, which also knows padding and damage.
    fn inflate_more(&mut self, mut input: R) {
        let mut blocks = Vec::new();
        let mut rest = None;
        while blocks.len() < self.threads * BLOCKS_FOR_THREAD {
            match read_block(&mut input) {
                Ok(NextBlock::Whole(block)) => blocks.push(block),
                Ok(NextBlock::Other(bytes)) => {
                    rest = Some(Ok(bytes));
                    break;
                }
                Err(e) => {
                    rest = Some(Err(e));
                    break;
                }
            }
        }
        self.blocks = inflate_blocks(&blocks, self.threads);
        self.input = match rest {
            None => BlockInput::Blocks(input),
            Some(Ok(bytes)) if bytes.is_empty() => BlockInput::Ended,
            Some(Ok(bytes)) => BlockInput::Members(GzipMembers::new(Cursor::new(bytes).chain(input))),
            Some(Err(e)) => {
                self.blocks.push_back(InflatedBlock { text: Vec::new(), error: Some(e) });
                BlockInput::Ended
            }
        };
    }
}

enum NextBlock {
    /// The bytes of a member.
    Whole(Vec<u8>),
    /// The bytes that were read of something else, or of a block that is cut off; none at the end.
    Other(Vec<u8>),
}

/// Reads a member that says how long it is.
fn read_block(input: &mut impl Read) -> io::Result<NextBlock> {
    let mut block = Vec::with_capacity(HEADER);
    input.take(HEADER as u64).read_to_end(&mut block)?;
    let &[0x1f, 0x8b, 8, 4, _, _, _, _, _, _, 6, 0, b'B', b'C', 2, 0, low, high] = &block[..] else {
        return Ok(NextBlock::Other(block));
    };
    let length = usize::from(u16::from_le_bytes([low, high])) + 1;
    let Some(more) = length.checked_sub(HEADER) else { return Ok(NextBlock::Other(block)) };
    block.reserve_exact(more);
    let read = input.take(more as u64).read_to_end(&mut block)?;
    Ok(if read == more { NextBlock::Whole(block) } else { NextBlock::Other(block) })
}

/// Inflates blocks, each thread a run of them. Behind the first that fails nothing is given.
fn inflate_blocks(blocks: &[Vec<u8>], threads: usize) -> VecDeque<InflatedBlock> {
    let run = blocks.len().div_ceil(threads).max(1);
    let inflate_run = |run: &[Vec<u8>]| run.iter().map(|b| inflate_block(b)).collect::<Vec<_>>();
    let mut inflated = VecDeque::with_capacity(blocks.len());
    std::thread::scope(|scope| {
        let mut runs = blocks.chunks(run);
        let first = runs.next();
        let others: Vec<_> = runs
            .map(|run| (run, std::thread::Builder::new().spawn_scoped(scope, move || inflate_run(run))))
            .collect();
        inflated.extend(first.map(inflate_run).into_iter().flatten());
        for (run, thread) in others {
            // A thread that the system does not give is done without.
            let done = thread.ok().and_then(|t| t.join().ok());
            inflated.extend(done.unwrap_or_else(|| inflate_run(run)));
        }
    });
    if let Some(failed) = inflated.iter().position(|b| b.error.is_some()) {
        inflated.truncate(failed + 1);
    }
    inflated
}

fn inflate_block(block: &[u8]) -> InflatedBlock {
    let mut text = Vec::with_capacity(BLOCK_TEXT as usize);
    let mut members = GzipMembers::new(block);
    let read = members.by_ref().take(BLOCK_TEXT).read_to_end(&mut text);
    // One byte more also reads the checksum of a text that has just this size.
    let error = match read.and_then(|_| members.read(&mut [0])) {
        Ok(0) => None,
        Ok(_) => Some(io::Error::new(io::ErrorKind::InvalidData, "a block of more than 64 KiB")),
        Err(e) => Some(e),
    };
    InflatedBlock { text, error }
}

impl<R: BufRead> Read for GzipBlocks<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(block) = self.blocks.front_mut() {
                let rest = &block.text[self.used..];
                let n = rest.len().min(buf.len());
                buf[..n].copy_from_slice(&rest[..n]);
                self.used += n;
                if n > 0 || buf.is_empty() {
                    return Ok(n);
                }
                self.used = 0;
                if let Some(error) = self.blocks.pop_front().and_then(|b| b.error) {
                    self.input = BlockInput::Ended;
                    return Err(error);
                }
                continue;
            }
            match std::mem::replace(&mut self.input, BlockInput::Ended) {
                BlockInput::Blocks(input) => self.inflate_more(input),
                BlockInput::Members(mut members) => {
                    let read = members.read(buf);
                    self.input = BlockInput::Members(members);
                    return read;
                }
                BlockInput::Ended => return Ok(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// A member as bgzip writes it.
    fn block(text: &[u8]) -> Vec<u8> {
        let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        deflate.write_all(text).unwrap();
        let data = deflate.finish().unwrap();
        let mut crc = flate2::Crc::new();
        crc.update(text);
        let size = u16::try_from(HEADER + data.len() + 8 - 1).unwrap().to_le_bytes();
        let head = [31, 139, 8, 4, 0, 0, 0, 0, 0, 255, 6, 0, b'B', b'C', 2, 0, size[0], size[1]];
        [&head[..], &data, &crc.sum().to_le_bytes(), &crc.amount().to_le_bytes()].concat()
    }

    fn member(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn inflate(bytes: &[u8], threads: usize) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut text = Vec::new();
        let result = GzipBlocks::new(bytes, threads).read_to_end(&mut text);
        (text, result.err().map(|e| e.kind()))
    }

    /// More blocks than are inflated at a time, with the empty one at the end that bgzip writes.
    #[test]
    fn blocks_are_read_in_their_order_by_any_number_of_threads() {
        let text: Vec<u8> = (0..4_000_000u32).map(|i| (i >> 5) as u8 ^ i as u8).collect();
        let mut file: Vec<u8> = text.chunks(60_000).flat_map(block).collect();
        file.extend(block(b""));
        for threads in [1, 2, 3, 200] {
            assert!(inflate(&file, threads) == (text.clone(), None), "{threads} threads");
        }
        let whole = [block(&vec![b'x'; 65536]), block(b"y")].concat();
        assert_eq!(inflate(&whole, 2).0.len(), 65537);
    }

    #[test]
    fn members_of_other_kinds_may_follow_and_may_be_all_there_is() {
        let mixed = [block(b"ab"), member(b"cd"), block(b"ef"), vec![0; 100]].concat();
        assert_eq!(inflate(&mixed, 2), (b"abcdef".to_vec(), None));
        assert_eq!(inflate(&member(b"cd"), 2), (b"cd".to_vec(), None));
        assert_eq!(inflate(b"", 2), (Vec::new(), None));
    }

    /// What stands before a damage is given, then the reason, and nothing of the blocks behind it.
    #[test]
    fn damage_costs_what_lies_behind_it() {
        let (first, second, third) = (block(b"first"), block(b"second"), block(b"third"));
        let mut broken = second.clone();
        let crc = broken.len() - 6;
        broken[crc] ^= 1;
        assert_eq!(inflate(&[&first[..], &broken, &third].concat(), 2).0, b"firstsecond");
        assert!(inflate(&[&first[..], &broken, &third].concat(), 2).1.is_some());
        let cut = [&first[..], &second[..second.len() - 3]].concat();
        assert_eq!(inflate(&cut, 2), (b"firstsecond".to_vec(), Some(io::ErrorKind::UnexpectedEof)));
        // A length that is not its own: the next member does not begin there.
        let mut short = second.clone();
        short[16] -= 1;
        assert!(inflate(&[&first[..], &short, &third].concat(), 2).1.is_some());
        let mut tiny = second;
        tiny[16..18].copy_from_slice(&[3, 0]);
        assert_eq!(inflate(&[&first[..], &tiny].concat(), 2), (b"firstsecond".to_vec(), None));
    }

    /// A block that inflates to gigabytes is rejected before it does.
    #[test]
    fn a_block_that_holds_more_than_one_may_is_rejected() {
        let bomb = block(&vec![0; 5_000_000]);
        assert_eq!(inflate(&bomb, 2), (vec![0; 65536], Some(io::ErrorKind::InvalidData)));
    }
}

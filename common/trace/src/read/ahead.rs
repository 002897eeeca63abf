//! Reads ahead on a thread of its own: inflating on one core while the scanner runs on another.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Size of a block, and how many may wait: what is read ahead takes at most their product of memory.
const BLOCK: usize = 256 * 1024;
const BLOCKS: usize = 4;

/// The blocks of a source, read ahead.
pub(super) struct ReadAhead {
    blocks: Receiver<io::Result<Vec<u8>>>,
    /// Blocks that have been used go back: fresh memory costs as much as inflating a part of it.
    used_blocks: SyncSender<Vec<u8>>,
    current: Vec<u8>,
    used: usize,
}

impl ReadAhead {
    /// Starts reading. The thread ends with the source, with its first error, or soon after this is dropped.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn new(source: impl Read + Send + 'static) -> io::Result<Self> {
        let (send, blocks) = sync_channel(BLOCKS);
        let (used_blocks, spare) = sync_channel(BLOCKS);
        let read = move || send_blocks(source, &send, &spare);
        std::thread::Builder::new().name("inflate".to_owned()).spawn(read)?;
        Ok(Self { blocks, used_blocks, current: Vec::new(), used: 0 })
    }
}

fn send_blocks(mut source: impl Read, send: &SyncSender<io::Result<Vec<u8>>>, spare: &Receiver<Vec<u8>>) {
    loop {
        let mut block = spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK));
        block.clear();
        // Short of an error this fills the block or reaches the end; bytes before an error are kept.
        let result = source.by_ref().take(BLOCK as u64).read_to_end(&mut block);
        let ended = block.len() < BLOCK;
        let gone = !block.is_empty() && send.send(Ok(block)).is_err();
        if let Err(e) = result {
            let _ = send.send(Err(e));
            return;
        }
        if gone || ended {
            return;
        }
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.used == self.current.len() {
            match self.blocks.recv() {
                Ok(block) => {
                    let used = std::mem::replace(&mut self.current, block?);
                    self.used = 0;
                    // Where there is no room for it, it is not wanted.
                    let _ = self.used_blocks.try_send(used);
                }
                // The thread has ended, and with it the source.
                Err(_) => return Ok(0),
            }
        }
        let rest = &self.current[self.used..];
        let n = rest.len().min(buf.len());
        buf[..n].copy_from_slice(&rest[..n]);
        self.used += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives some bytes and then fails.
    struct Failing(usize);

    impl Read for Failing {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            if self.0 == 0 {
                return Err(io::Error::other("gone"));
            }
            let n = self.0.min(buf.len()).min(1000);
            buf[..n].fill(b'x');
            self.0 -= n;
            Ok(n)
        }
    }

    #[test]
    fn everything_arrives_in_order() {
        let bytes: Vec<u8> = (0..2_000_000u32).map(|i| ((i * 7) >> 3) as u8).collect();
        let mut out = Vec::new();
        ReadAhead::new(io::Cursor::new(bytes.clone())).unwrap().read_to_end(&mut out).unwrap();
        assert!(out == bytes);
    }

    #[test]
    fn what_came_before_an_error_arrives_too() {
        let mut out = Vec::new();
        let e = ReadAhead::new(Failing(300_001)).unwrap().read_to_end(&mut out).unwrap_err();
        assert_eq!((out.len(), e.to_string()), (300_001, "gone".to_owned()));
    }
}

//! Any bytes as a memory snapshot that PyTorch pickled, or as a table of memory of Ascend's profilers.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| tracewhy::fuzz::read_memory(bytes));

/// Instructions of pickles with their arguments (CPython `Lib/pickletools.py`), and keys of a snapshot.
const PIECES: &[&[u8]] = &[
    b"(",
    b")",
    b"]",
    b"}",
    b"e",
    b"u",
    b"s",
    b"a",
    b"t",
    b"0",
    b"1",
    b"2",
    b"N",
    b"\x85",
    b"\x86",
    b"\x87",
    b"\x88",
    b"\x89",
    b"\x94",
    b"h\x00",
    b"h\x01",
    b"r\xff\xff\xff\xff",
    b"j\x00\x00\x00\x00",
    b"K\x00",
    b"K\xff",
    b"M\xff\xff",
    b"J\xff\xff\xff\xff",
    b"J\xff\xff\xff\x7f",
    b"\x8a\x00",
    b"\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80",
    b"\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00",
    b"G\x7f\xf0\x00\x00\x00\x00\x00\x00",
    b"\x95\x00\x00\x00\x00\x00\x00\x00\x00",
    b"X\x04\x00\x00\x00addr",
    b"\x8c\x04size",
    b"\x8c\x05alloc",
    b"\x8c\x0efree_completed",
    b"\x8c\x06action",
    b"\x8c\x07time_us",
    b"\x8c\x06frames",
    b"\x8c\x0ddevice_traces",
    b"\x8c\x08segments",
    b"\x8c\x06blocks",
    b"\x8c\x05state",
    b"\x8c\x10active_allocated",
    b"\x8c\xff",
    b".",
];

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random(u64::from(seed) | 1 << 40);
    // Tables are text: bytes as they come.
    if size < 4 || data[0] != 0x80 || random.below(3) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut pickle = data[..size].to_vec();
    for _ in 0..=random.below(3) {
        let at = 2 + random.below(pickle.len() - 2);
        let piece = PIECES[random.below(PIECES.len())];
        let over = if random.below(2) == 0 { (at + piece.len()).min(pickle.len()) } else { at };
        pickle.splice(at..over, piece.iter().copied());
    }
    pickle.truncate(max_size.min(data.len()));
    data[..pickle.len()].copy_from_slice(&pickle);
    pickle.len()
});

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

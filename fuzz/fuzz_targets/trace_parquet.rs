//! Any bytes as a Parquet file with the table of events of a data set. Parquet's metadata stands at the end and says where
//! everything is, so bytes are changed where they are: what is put in or taken out would make all else unreadable.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| traceq::fuzz_trace(bytes));

/// `PAR1` at both ends, and the length of the metadata before the second (apache/parquet-format `README.md`).
const HEAD: usize = 4;
const TAIL: usize = 8;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random(u64::from(seed) | 1 << 40);
    if size < HEAD + TAIL + 16 || random.below(8) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let end = size - TAIL;
    let length = data[end..end + 4].iter().rev().fold(0, |sum, b| sum << 8 | usize::from(*b));
    let metadata = end.saturating_sub(length).max(HEAD);
    // The metadata is small beside the pages, and has more to say.
    let region = if random.below(2) == 0 && metadata < end { metadata..end } else { HEAD..end };
    for _ in 0..=random.below(4) {
        let at = region.start + random.below(region.len());
        match random.below(5) {
            0 => data[at] ^= 1 << random.below(8),
            1 => data[at] = data[at].wrapping_add(1),
            2 => data[at] = data[at].wrapping_sub(1),
            3 => data[at] = [0, 1, 0x0c, 0x15, 0x7f, 0x80, 0xfe, 0xff][random.below(8)],
            // A piece of it once more, in another place.
            _ => {
                let n = (1 + random.below(16)).min(region.end - at);
                let from = region.start + random.below(region.len() - n + 1);
                data.copy_within(from..from + n, at);
            }
        }
    }
    size
});

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

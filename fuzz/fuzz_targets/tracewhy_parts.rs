//! Any text as the lines of a part file: judged as a job, and written again. Lines are moved, doubled and removed, and
//! numbers are put to their limits; the bytes of a line are changed, too.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|bytes: &[u8]| tracewhy::fuzz::read_part_lines(bytes));

const NUMBERS: &[&[u8]] = &[
    b"0",
    b"-1",
    b"1",
    b"null",
    b"4294967295",
    b"4294967296",
    b"9223372036854775807",
    b"-9223372036854775808",
    b"18446744073709551615",
    b"4000000000000000000",
    b"1000000000000000000",
    b"1000000000000000001",
    b"1.5",
    b"true",
];

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random(u64::from(seed) | 1 << 40);
    let mut lines: Vec<Vec<u8>> = data[..size].split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
    if lines.len() < 3 || random.below(4) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    for _ in 0..=random.below(3) {
        let (one, other) = (random.below(lines.len()), random.below(lines.len()));
        match random.below(6) {
            0 => lines.swap(one, other),
            1 => lines.insert(other, lines[one].clone()),
            2 if lines.len() > 3 => _ = lines.remove(one),
            _ => replace_number(&mut lines[one], &mut random),
        }
    }
    let mut text = lines.concat();
    text.truncate(max_size.min(data.len()));
    data[..text.len()].copy_from_slice(&text);
    text.len()
});

/// Puts another number for one of a line.
fn replace_number(line: &mut Vec<u8>, random: &mut Random) {
    let from = random.below(line.len());
    let Some(start) = (from..line.len()).find(|i| line[*i].is_ascii_digit()) else { return };
    let end = (start..line.len()).find(|i| !line[*i].is_ascii_digit()).unwrap_or(line.len());
    line.splice(start..end, NUMBERS[random.below(NUMBERS.len())].iter().copied());
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }
}

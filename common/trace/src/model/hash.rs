//! A hash for the tables that every event looks into.
//!
//! Names and numbers come from files of unknown origin, so the hash has a random seed: the author of a
//! file cannot know which of its names collide. It folds the 128 bits of a product, as wyhash does (wangyi-fudan/wyhash,
//! `wyhash.h`, `_wymix`), which is several times faster than the standard library's SipHash on such short keys.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

/// A map for keys that come with every event.
pub type FastMap<K, V> = HashMap<K, V, FastState>;

/// Makes hashers, all with the seed of this process.
#[derive(Clone, Copy, Debug)]
pub struct FastState {
    seed: u64,
}

impl Default for FastState {
    fn default() -> Self {
        static SEED: OnceLock<u64> = OnceLock::new();
        Self { seed: *SEED.get_or_init(|| RandomState::new().hash_one(1_u8) | 1) }
    }
}

impl BuildHasher for FastState {
    type Hasher = FoldHasher;

    #[inline]
    fn build_hasher(&self) -> FoldHasher {
        FoldHasher { state: self.seed }
    }
}

/// The hasher.
#[derive(Clone, Copy, Debug)]
pub struct FoldHasher {
    state: u64,
}

/// Digits of the golden ratio and of the square root of two: odd, and with as many ones as zeros.
const ADD: u64 = 0x9e37_79b9_7f4a_7c15;
const MULTIPLY: u64 = 0x6a09_e667_f3bc_c909;

#[inline]
fn fold_product(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

impl Hasher for FoldHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut state = self.state ^ (bytes.len() as u64).wrapping_mul(MULTIPLY);
        let mut rest = bytes;
        while let Some((pair, more)) = rest.split_first_chunk::<16>() {
            let (a, b) = pair.split_at(8);
            state = fold_product(read_word(a) ^ state, read_word(b) ^ ADD);
            rest = more;
        }
        let (a, b) = rest.split_at(rest.len().min(8));
        self.state = fold_product(read_word(a) ^ state ^ MULTIPLY, read_word(b) ^ ADD);
    }

    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.state = fold_product(self.state ^ n, ADD);
    }

    #[inline]
    fn write_u8(&mut self, n: u8) {
        self.write_u64(u64::from(n));
    }

    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    #[inline]
    fn write_i64(&mut self, n: i64) {
        self.write_u64(n as u64);
    }

    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.write_u64(n as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        fold_product(self.state, MULTIPLY)
    }
}

/// Up to eight bytes as a number.
#[inline]
fn read_word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => bytes.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_in_little_spread() {
        let state = FastState::default();
        let mut names: Vec<u64> =
            (0..20_000).map(|i| state.hash_one(format!("aten::op{i}").as_bytes())).collect();
        names.extend((0..20_000_i64).map(|i| state.hash_one((i, 7_i64))));
        names.extend((0..64).map(|n| state.hash_one(&vec![0_u8; n][..])));
        let all = names.len();
        let low: std::collections::HashSet<u64> = names.iter().map(|h| h & 0xffff).collect();
        // Of 65,536 buckets 40,064 random keys leave some 54 % empty.
        assert!(low.len() > 28_000, "{}", low.len());
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

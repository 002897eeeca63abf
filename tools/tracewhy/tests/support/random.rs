//! Numbers that look random and are the same in every run.

/// A generator of numbers: splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    /// The next one.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `n`.
    pub(crate) fn below(&mut self, n: i64) -> i64 {
        (self.next() % n.max(1) as u64) as i64
    }

    /// From `n` on, with a tail as long as that of a Pareto distribution of index 1.5, whose variance is not finite: one of a
    /// thousand is longer by a hundred times `percent`.
    pub(crate) fn long_tailed(&mut self, n: i64, percent: i64) -> i64 {
        let share = (self.below(1 << 40) + 1) as f64 / (1_i64 << 40) as f64;
        n + ((n * percent) as f64 / 100.0 * (share.powf(-1.0 / 1.5) - 1.0)) as i64
    }

    /// About `n`: mostly within 2 %, sometimes 10 % more, as the time of a kernel.
    pub(crate) fn about(&mut self, n: i64) -> i64 {
        let spread = (0..4).map(|_| self.below(n / 50)).sum::<i64>() / 2 - n / 50;
        let tail = if self.below(50) == 0 { self.below(n / 10) } else { 0 };
        n + spread + tail
    }
}

//! Many ranks or steps as few: neighbors share a bin, whose size is a power of two, so that hosts of eight ranks stay
//! together.

/// How many things are put into how many bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bins {
    /// Things in a bin; the last may have fewer.
    pub(super) size: usize,
    pub(super) count: usize,
}

impl Bins {
    /// At most `most` bins for a number of things.
    pub(super) fn fit(things: usize, most: usize) -> Self {
        let size = things.div_ceil(most.max(1)).max(1).next_power_of_two();
        Self { size, count: things.div_ceil(size) }
    }

    /// The first and the last of each bin.
    pub(super) fn ends(self, numbers: &[i64]) -> Vec<(i64, i64)> {
        numbers.chunks(self.size).filter_map(|bin| Some((*bin.first()?, *bin.last()?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_few_and_hold_all() {
        for (things, most, expected) in
            [(0, 96, (1, 0)), (96, 96, (1, 96)), (97, 96, (2, 49)), (512, 96, (8, 64)), (1000, 96, (16, 63))]
        {
            let bins = Bins::fit(things, most);
            assert_eq!((bins.size, bins.count), expected, "{things} in {most}");
        }
        let numbers: Vec<i64> = (10..15).collect();
        assert_eq!(Bins::fit(5, 3).ends(&numbers), [(10, 11), (12, 13), (14, 14)]);
    }
}

//! Shards of a data set.

/// The part of a data set that a run writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    /// From 1.
    pub(crate) index: u32,
    /// How many there are.
    pub(crate) count: u32,
}

impl Shard {
    /// Parses `2/8`.
    ///
    /// # Errors
    /// It is no such pair, or the first number is not from 1 to the second.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "expected a shard such as 1/8, from 1/8 to 8/8".to_owned();
        let (index, count) = text.split_once('/').ok_or_else(wrong)?;
        let (index, count) = (index.parse().map_err(|_| wrong())?, count.parse().map_err(|_| wrong())?);
        if index == 0 || index > count { Err(wrong()) } else { Ok(Self { index, count }) }
    }

    /// Whether the trace of this number, from 0, is its.
    pub(crate) fn has_trace(self, number: u64) -> bool {
        number % u64::from(self.count) == u64::from(self.index - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_the_traces() {
        assert!(Shard::parse("0/2").is_err() && Shard::parse("3/2").is_err() && Shard::parse("1").is_err());
        let shards: Vec<Shard> = (1..=3).map(|i| Shard::parse(&format!("{i}/3")).unwrap()).collect();
        for number in 0..10 {
            assert_eq!(shards.iter().filter(|shard| shard.has_trace(number)).count(), 1);
        }
    }
}

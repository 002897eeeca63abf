//! Numbers of ranks: what their traces say, or else one that no other has.

use std::collections::BTreeSet;

/// The number that a trace gives, or what stands for one until those of all others are known. -1 says that there is none, as
/// profilers of jobs of one process write.
pub(crate) fn number_or_place(told: Option<i64>, place: usize) -> i64 {
    let place = i64::try_from(place).unwrap_or(i64::MAX);
    told.filter(|rank| *rank >= 0).unwrap_or(-1 - place)
}

/// Gives each rank its number.
#[derive(Clone, Debug, Default)]
pub(crate) struct RankNumbers {
    taken: BTreeSet<i64>,
    /// No number below this is free.
    first_free: i64,
}

impl RankNumbers {
    /// With those that traces give; none of them is given again.
    pub(crate) fn of_known(ranks: impl IntoIterator<Item = i64>) -> Self {
        let taken: BTreeSet<i64> = ranks.into_iter().filter(|rank| *rank >= 0).collect();
        Self { taken, first_free: 0 }
    }

    /// Whether some trace gives a number.
    pub(crate) fn are_known(&self) -> bool {
        !self.taken.is_empty()
    }

    /// The number of a rank: of one that stands for a place, that, or the first free if another rank has it.
    pub(crate) fn number_of(&mut self, rank: i64) -> i64 {
        let place = -1 - rank;
        let number = match (rank, place) {
            (0.., _) => rank,
            (_, place) if !self.taken.contains(&place) => place,
            _ => {
                while self.taken.contains(&self.first_free) {
                    self.first_free += 1;
                }
                self.first_free
            }
        };
        self.taken.insert(number);
        number
    }
}

/// Numbers the ranks whose traces do not give their rank.
pub(crate) fn number_ranks<'a>(ranks: impl IntoIterator<Item = &'a mut i64>) {
    let ranks: Vec<&mut i64> = ranks.into_iter().collect();
    let mut numbers = RankNumbers::of_known(ranks.iter().map(|rank| **rank));
    for rank in ranks {
        *rank = numbers.number_of(*rank);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(told: &[Option<i64>]) -> Vec<i64> {
        let mut ranks: Vec<i64> = told.iter().enumerate().map(|(i, t)| number_or_place(*t, i)).collect();
        number_ranks(&mut ranks);
        ranks
    }

    #[test]
    fn a_rank_without_number_has_none_of_another() {
        assert_eq!(number(&[None, None, None]), [0, 1, 2]);
        // The one that is missing of four.
        assert_eq!(number(&[None, Some(0), Some(1), Some(3)]), [2, 0, 1, 3]);
        assert_eq!(number(&[None, Some(1), Some(-1)]), [0, 1, 2]);
        assert_eq!(number(&[None, None, Some(0), Some(1)]), [2, 3, 0, 1]);
        // Told twice is told twice.
        assert_eq!(number(&[Some(3), Some(3)]), [3, 3]);
    }
}

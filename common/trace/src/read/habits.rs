//! Values of events that are always the same where they stand, or one of a few.
//!
//! A place is known by the texts and the fixed values before it, so that the process of an operator and that of a kernel
//! are two places. A place whose value has been another one too often varies from then on.

use crate::model::FastMap;

/// Files with more places have events that do not look alike.
const MOST_PLACES: usize = 8192;
/// Different values that a place may have and be fixed.
const MOST_VALUES: usize = 16;
const LONGEST_VALUE: usize = 256;

/// The habit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Habit {
    /// It is what it was before.
    Fixed,
    /// It may be anything.
    Varies,
    /// It varies since now.
    Broken,
}

/// A value of an event, and the text between it and the one before.
pub(super) struct PlacedValue<'a> {
    pub(super) text_before: &'a [u8],
    pub(super) value: &'a [u8],
    /// How many different values there may be for each to count as fixed.
    pub(super) most: usize,
}

#[derive(Debug, Default)]
struct ValuePlace {
    varies: bool,
    values: Vec<Box<[u8]>>,
    /// The number of what comes behind the first of the values; the others follow, and one for any value.
    first: u32,
}

/// The places.
#[derive(Debug, Default)]
pub(super) struct Habits {
    /// By what comes before, as a number, and the text between.
    places: FastMap<(u32, Box<[u8]>), ValuePlace>,
}

impl Habits {
    /// Takes the values of an event, in their order, and returns what is known of each. `None` if there are too many
    /// places.
    pub(super) fn note<'a>(&mut self, values: impl Iterator<Item = PlacedValue<'a>>) -> Option<Vec<Habit>> {
        let mut behind = 0;
        let mut habits = Vec::new();
        for placed in values {
            let count = self.places.len();
            let next = (count * (MOST_VALUES + 1) + 1) as u32;
            let place = self.places.entry((behind, placed.text_before.into())).or_default();
            if place.first == 0 {
                if count == MOST_PLACES {
                    return None;
                }
                place.first = next;
            }
            let (habit, number) = place.note_value(&placed);
            behind = place.first + number;
            habits.push(habit);
        }
        Some(habits)
    }
}

impl ValuePlace {
    /// Notes a value: its habit, and its number among those of this place.
    fn note_value(&mut self, placed: &PlacedValue<'_>) -> (Habit, u32) {
        const ANY: u32 = MOST_VALUES as u32;
        if self.varies {
            return (Habit::Varies, ANY);
        }
        let known = self.values.iter().position(|v| **v == *placed.value);
        let number = known.unwrap_or(self.values.len());
        if number < placed.most.min(MOST_VALUES) && placed.value.len() <= LONGEST_VALUE {
            if known.is_none() {
                self.values.push(placed.value.into());
            }
            return (Habit::Fixed, number as u32);
        }
        self.varies = true;
        let broken = !std::mem::take(&mut self.values).is_empty();
        (if broken { Habit::Broken } else { Habit::Varies }, ANY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_been_another_value_too_often_varies() {
        let mut habits = Habits::default();
        let mut note = |values: [&'static str; 2]| {
            let placed = values.map(|v| PlacedValue { text_before: b", ", value: v.as_bytes(), most: 2 });
            habits.note(placed.into_iter()).unwrap()
        };
        use Habit::{Broken, Fixed, Varies};
        assert_eq!(note(["a", "x"]), [Fixed, Fixed]);
        assert_eq!(note(["b", "1"]), [Fixed, Fixed]);
        assert_eq!(note(["b", "2"]), [Fixed, Fixed]);
        // The second place is another one behind each value of the first.
        assert_eq!(note(["b", "3"]), [Fixed, Broken]);
        assert_eq!(note(["a", "y"]), [Fixed, Fixed]);
        assert_eq!(note(["c", "x"]), [Broken, Fixed]);
        assert_eq!(note(["a", "y"]), [Varies, Fixed]);
        assert_eq!(note(["b", "1"]), [Varies, Broken]);
    }
}

//! The losses of an output: content of its traces that it does not hold.

use std::collections::BTreeMap;

use trace::report::format_count;

/// The content that a format cannot hold, by kind, with a count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses(BTreeMap<&'static str, u64>);

impl Losses {
    /// Counts something that is not in the output.
    pub(crate) fn add(&mut self, what: &'static str, count: u64) {
        if count > 0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    /// Adds those of another output.
    pub(crate) fn merge(&mut self, other: &Self) {
        other.0.iter().for_each(|(what, count)| self.add(what, *count));
    }

    /// The counts by kind.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.0.iter().map(|(what, count)| ((*what).to_owned(), *count)).collect()
    }

    /// All of it on one line; `None` if nothing was lost.
    pub(crate) fn describe(&self) -> Option<String> {
        let parts: Vec<String> =
            self.0.iter().map(|(what, count)| format!("{what} {}", format_count(*count))).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

//! Device work whose time or duration is missing, or cannot be used: it is in no sum, or counts as zero, so that sums are
//! too low.

use crate::classifier::{Classified, EventClassifier};
use crate::model::{Category, Event, FastMap, ProcessRole, RowTraits};

/// Device work without a usable time or duration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UntimedWork {
    /// How many events.
    pub count: u64,
    /// The name of the first, and its place in the file from 0.
    pub first: Option<(String, u64)>,
}

impl UntimedWork {
    fn add(&mut self, count: u64, first: Option<(String, u64)>) {
        self.count += count;
        let earlier = |new: &(String, u64)| self.first.as_ref().is_none_or(|(_, at)| new.1 < *at);
        if let Some(first) = first.filter(earlier) {
            self.first = Some(first);
        }
    }
}

/// Counts such work while a trace is read.
#[derive(Debug, Default)]
pub(crate) struct UntimedStore {
    known: UntimedWork,
    /// By what decides at the end whether it is device work.
    rows: FastMap<(u32, u8, Option<Category>), UntimedWork>,
}

/// Rows of more threads than this are not counted.
const MOST: usize = 65_536;

impl UntimedStore {
    /// Returns whether an event has no start, or no duration where it needs one.
    pub(crate) fn is_untimed(event: &Event<'_>) -> bool {
        match event.phase {
            b'X' => event.untimed || event.start.is_none() || event.dur.is_none(),
            b'B' => event.start.is_none(),
            _ => false,
        }
    }

    /// Takes one.
    pub(crate) fn add(&mut self, event: &Event<'_>, classifier: &mut EventClassifier) {
        let first = |kept: &UntimedWork| {
            kept.first.is_none().then(|| (event.name.decode().into_owned(), event.index))
        };
        match classifier.classify(event) {
            Classified::Known(category) if category.is_on_device() => {
                let first = first(&self.known);
                self.known.add(1, first);
            }
            Classified::Known(_) => {}
            Classified::Row(traits, user) => {
                let key = (classifier.processes.thread_of(event), traits.to_byte(), user);
                if self.rows.len() < MOST || self.rows.contains_key(&key) {
                    let kept = self.rows.entry(key).or_default();
                    let first = first(kept);
                    kept.add(1, first);
                }
            }
        }
    }

    /// What of it turned out to be device work, when all processes are known.
    pub(crate) fn finish(self, classifier: &EventClassifier) -> UntimedWork {
        let mut all = self.known;
        for ((thread, traits, user), kept) in self.rows {
            let meaning = classifier.resolve_row(thread, RowTraits::from_byte(traits), user);
            if meaning.category.is_on_device() || meaning.role == ProcessRole::Overlap {
                all.add(kept.count, kept.first);
            }
        }
        all
    }
}

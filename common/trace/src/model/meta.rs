//! What a trace says about itself, and what had to be repaired to read it.

use std::collections::BTreeMap;

use super::{Category, Event, Sink};

/// Whose trace it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// PyTorch's libkineto, or a program that writes like it.
    Kineto,
    /// The Ascend PyTorch Profiler, or msprof.
    Ascend,
    /// Any other producer of the Trace Event Format.
    #[default]
    Chrome,
}

impl Dialect {
    /// The name in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kineto => "kineto",
            Self::Ascend => "ascend",
            Self::Chrome => "chrome",
        }
    }
}

/// What a trace says about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meta {
    pub(crate) dialect: Dialect,
    /// Hints at the producer's version and vintage, for people.
    pub(crate) hints: Vec<String>,
    /// Nanoseconds to add to a time to come to the Unix epoch; absent if the file does not say.
    pub(crate) base_ns: Option<i64>,
    pub(crate) rank: Option<i64>,
    pub(crate) world_size: Option<i64>,
    pub(crate) backend: Option<String>,
    pub(crate) trace_id: Option<String>,
    pub(crate) trace_name: Option<String>,
    pub(crate) host: Option<String>,
    /// Names of devices by index.
    pub(crate) devices: BTreeMap<i64, String>,
}

impl Meta {
    /// What to add to a time of the file to come to the Unix epoch. Times that are absolute already are told
    /// by their size: later than the year 2001.
    pub(crate) fn epoch_offset(&self, start: i64) -> Option<i64> {
        const IN_2001: i64 = 1_000_000_000_000_000_000;
        self.base_ns.or((start >= IN_2001).then_some(0))
    }
}

/// How often something had to be repaired or dropped, by cause, with the line of the first time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Repairs(BTreeMap<&'static str, (u64, u64)>);

impl Repairs {
    /// Counts one; `line` is asked for only the first time.
    pub(crate) fn count(&mut self, cause: &'static str, line: impl FnOnce() -> u64) {
        self.0.entry(cause).and_modify(|(n, _)| *n += 1).or_insert_with(|| (1, line()));
    }

    /// Causes with their counts and the line of the first time, in alphabetical order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64, u64)> {
        self.0.iter().map(|(cause, (n, line))| (*cause, *n, *line))
    }

    /// Counts by cause.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.iter().map(|(cause, n, _)| (cause.to_owned(), n)).collect()
    }
}

/// Counts events by category and finds the time they span.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    counts: [u64; Category::ALL.len()],
    /// First start and last end of what has a time.
    pub(crate) extent: Option<(i64, i64)>,
}

impl Census {
    /// Categories that occur, with their counts.
    pub(crate) fn counts(&self) -> impl Iterator<Item = (Category, u64)> {
        Category::ALL.into_iter().zip(self.counts).filter(|(_, n)| *n > 0)
    }
}

impl Sink for Census {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        self.counts[event.category as usize] += 1;
        if let (Some(start), false) = (event.start, event.phase == b'M') {
            let end = start + event.dur.unwrap_or(0);
            let (a, b) = self.extent.unwrap_or((start, end));
            self.extent = Some((a.min(start), b.max(end)));
        }
        Ok(())
    }
}

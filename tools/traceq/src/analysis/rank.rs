//! Which kernels and operators take the most time, by name.

use std::collections::HashMap;

use super::selftime::{Span, self_times};
use trace::model::{BeginEndPairs, Category, Event, EventSink, NameTable, ThreadTable};

/// A kind of event to rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum By {
    /// Work on a device: kernels, copies, fills, collectives
    Kernel,
    /// Framework operators on the host
    Op,
    /// Calls of the device runtime and driver
    Runtime,
    /// Python functions
    Python,
    /// Calls of other programming interfaces, such as CANN's
    Api,
    /// Ranges that the user marked
    Marker,
    /// Everything else that has a duration
    Other,
}

impl By {
    /// The name in records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Op => "op",
            Self::Runtime => "runtime",
            Self::Python => "python",
            Self::Api => "api",
            Self::Marker => "marker",
            Self::Other => "other",
        }
    }

    fn of_category(category: Category) -> Option<Self> {
        Some(match category {
            c if c.is_on_device() => Self::Kernel,
            Category::CpuOp => Self::Op,
            Category::Runtime => Self::Runtime,
            Category::Python => Self::Python,
            Category::Api => Self::Api,
            Category::Marker => Self::Marker,
            Category::Other => Self::Other,
            _ => return None,
        })
    }
}

/// All events of one kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) count: u64,
    pub(crate) total: i64,
    /// Host events only.
    pub(crate) own: Option<i64>,
    pub(crate) min: i64,
    pub(crate) max: i64,
}

/// What to order by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// Sum of durations
    #[default]
    Total,
    /// Sum of self times; for device work, of durations
    #[value(name = "self")]
    Own,
    /// How many there are
    Count,
}

/// Collects the kinds that are wanted.
pub(crate) struct Ranking {
    wanted: Vec<By>,
    names: NameTable,
    lanes: ThreadTable,
    pairs: BeginEndPairs,
    device: HashMap<u32, Entry>,
    /// Host spans by kind: their self times can be told only in the order of time.
    spans: HashMap<By, Vec<Span>>,
}

impl std::hash::Hash for By {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (*self as u8).hash(state);
    }
}

impl Ranking {
    /// For these kinds.
    pub(crate) fn new(wanted: &[By]) -> Self {
        Self {
            wanted: wanted.to_vec(),
            names: NameTable::default(),
            lanes: ThreadTable::default(),
            pairs: BeginEndPairs::default(),
            device: HashMap::new(),
            spans: HashMap::new(),
        }
    }

    /// The entries of one kind, the first `n` of that order, and the sum that shares are of.
    pub(crate) fn top(&mut self, by: By, order: Order, n: usize) -> (Vec<Entry>, i64) {
        self.close_pairs();
        let entries = if by == By::Kernel { std::mem::take(&mut self.device) } else { self.host_entries(by) };
        let mut entries: Vec<(u32, Entry)> = entries.into_iter().collect();
        let weight = |e: &Entry| e.own.unwrap_or(e.total);
        let whole = entries.iter().fold(0i64, |sum, (_, e)| sum.saturating_add(weight(e)));
        // Names in the order of their first appearance break ties, so that runs agree.
        entries.sort_by_key(|(number, e)| {
            let key = match order {
                Order::Total => e.total,
                Order::Own => weight(e),
                Order::Count => i64::try_from(e.count).unwrap_or(i64::MAX),
            };
            (std::cmp::Reverse(key), *number)
        });
        entries.truncate(n);
        let name = |(number, e): (u32, Entry)| Entry { name: self.names.name(number).to_owned(), ..e };
        (entries.into_iter().map(name).collect(), whole)
    }

    fn host_entries(&mut self, by: By) -> HashMap<u32, Entry> {
        let mut spans = self.spans.remove(&by).unwrap_or_default();
        let mut entries: HashMap<u32, Entry> = HashMap::new();
        for span in &spans {
            let entry = entries.entry(span.name).or_default();
            entry.add_duration(span.end - span.start);
            entry.own = Some(0);
        }
        self_times(&mut spans, |name, time| {
            if let Some(own) = entries.get_mut(&name).and_then(|e| e.own.as_mut()) {
                *own = own.saturating_add(time);
            }
        });
        entries
    }

    fn close_pairs(&mut self) {
        let any = self.names.intern("".into());
        for pair in std::mem::take(&mut self.pairs).match_pairs(any).pairs {
            let kind = By::of_category(Category::ALL[pair.tag as usize % Category::ALL.len()]);
            self.count_span(kind, pair.lane, pair.name, pair.start, pair.end);
        }
    }

    fn count_span(&mut self, kind: Option<By>, lane: u32, name: u32, start: i64, end: i64) {
        match kind.filter(|k| self.wanted.contains(k)) {
            Some(By::Kernel) => self.device.entry(name).or_default().add_duration(end - start),
            Some(by) => self.spans.entry(by).or_default().push(Span { lane, name, start, end }),
            None => {}
        }
    }
}

impl Entry {
    fn add_duration(&mut self, dur: i64) {
        self.min = if self.count == 0 { dur } else { self.min.min(dur) };
        self.max = self.max.max(dur);
        self.count += 1;
        self.total = self.total.saturating_add(dur);
    }
}

impl EventSink for Ranking {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let kind = By::of_category(event.category).filter(|k| self.wanted.contains(k));
        if kind.is_none() || !matches!(event.phase, b'X' | b'B' | b'E') {
            return Ok(());
        }
        let lane = self.lanes.intern(event.pid, event.tid);
        let name = self.names.intern(event.name);
        match (event.phase, event.start, event.span()) {
            (_, _, Some((start, end))) => self.count_span(kind, lane, name, start, end),
            (b'B', Some(at), _) => self.pairs.push_begin(lane, at, name, event.category as u32),
            (b'E', Some(at), _) => self.pairs.push_end(lane, at, name),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use trace::model::EventId;

    fn event(category: Category, name: &'static str, start: i64, dur: i64) -> Event<'static> {
        Event {
            phase: b'X',
            category,
            name: name.into(),
            pid: EventId::Number(1),
            tid: EventId::Number(1),
            start: Some(start),
            dur: Some(dur),
            ..Event::default()
        }
    }

    #[test]
    fn operators_have_self_times_and_kernels_do_not() {
        let mut ranking = Ranking::new(&[By::Kernel, By::Op]);
        for e in [
            event(Category::CpuOp, "outer", 0, 10),
            event(Category::CpuOp, "inner", 2, 3),
            event(Category::Kernel, "k", 0, 7),
            event(Category::Kernel, "k", 5, 1),
            event(Category::Python, "p", 0, 100),
        ] {
            ranking.event(&e).unwrap();
        }
        let (ops, whole) = ranking.top(By::Op, Order::Own, 10);
        let own: Vec<_> = ops.iter().map(|e| (e.name.as_str(), e.total, e.own)).collect();
        assert_eq!((own, whole), (vec![("outer", 10, Some(7)), ("inner", 3, Some(3))], 10));
        let (kernels, whole) = ranking.top(By::Kernel, Order::Total, 10);
        let k = Entry { name: "k".into(), count: 2, total: 8, own: None, min: 1, max: 7 };
        assert_eq!((kernels, whole), (vec![k], 8));
        assert_eq!(ranking.top(By::Python, Order::Total, 10), (vec![], 0));
    }
}

//! The collectives that two ranks took part in, which show how their clocks differ ([`trace::clock`]).

use std::hash::BuildHasher;

use trace::model::{Category, Event, EventSink, FastMap, FastState, is_collective_call};
use trace::read::{RawValue, find_argument};

/// Where a collective was seen, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum CollectiveSource {
    /// Kernels of a communication library.
    Device,
    /// Ranges that the backend marks around the work (`gloo:all_reduce`).
    Range,
    /// Calls on the host, which may return before the work is done.
    Call,
}

const SOURCES: [CollectiveSource; 3] =
    [CollectiveSource::Device, CollectiveSource::Range, CollectiveSource::Call];

/// Start and end of a collective on the clock of its rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CollectiveSpan {
    pub(super) start: i64,
    pub(super) end: i64,
}

/// The collectives of one trace, each under a key that is the same on all ranks.
#[derive(Default)]
pub(super) struct CollectiveSink {
    spans: [FastMap<u64, CollectiveSpan>; 3],
    /// Those without a sequence number, by source and kind: they are matched by their order in time.
    unnumbered: FastMap<(usize, u64), Vec<CollectiveSpan>>,
    state: FastState,
}

impl EventSink for CollectiveSink {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let Some((start, end)) = event.span() else { return Ok(()) };
        let name = event.name.decode();
        let source = match event.category {
            Category::Collective => CollectiveSource::Device,
            Category::Kernel
                if trace::model::classify_kernel_name(&name) == trace::model::KernelClass::Communication =>
            {
                CollectiveSource::Device
            }
            Category::Marker | Category::CpuOp if is_collective_call(&name) => {
                if name.contains(':') && !name.contains("::") {
                    CollectiveSource::Range
                } else if name == "record_param_comms" {
                    CollectiveSource::Call
                } else {
                    return Ok(());
                }
            }
            _ => return Ok(()),
        };
        let span = CollectiveSpan { start, end };
        match self.key_of(event, &name, source) {
            Some((key, true)) => _ = self.spans[source as usize].entry(key).or_insert(span),
            Some((kind, false)) => self.unnumbered.entry((source as usize, kind)).or_default().push(span),
            None => {}
        }
        Ok(())
    }
}

impl CollectiveSink {
    /// The key that is the same on every rank: group, kind, size, and the sequence number, if there is one. `None` for what two
    /// ranks do alone.
    fn key_of(&self, event: &Event<'_>, name: &str, source: CollectiveSource) -> Option<(u64, bool)> {
        let text = |key| match find_argument(event.args, key) {
            Some(RawValue::Text(text)) => text.decode().into_owned(),
            Some(RawValue::Number(raw) | RawValue::Nested(raw)) => String::from_utf8_lossy(raw).into_owned(),
            _ => String::new(),
        };
        let kind = text("Collective name");
        // Groups of other ranks may have the same name.
        let group = (text("Process Group Name"), text("Process Group Ranks"));
        let kind = if kind.is_empty() { name.to_owned() } else { kind };
        let lower = kind.to_ascii_lowercase();
        if ["send", "recv", "receive"].iter().any(|word| lower.contains(word)) {
            return None;
        }
        let size = text("In msg nelems");
        let family = self.state.hash_one((source as u8, &kind, &group, &size));
        let sequence = text("Seq");
        if sequence.is_empty() {
            return Some((family, false));
        }
        Some((self.state.hash_one((family, &sequence)), true))
    }

    /// Leaves out those that start at such a moment.
    pub(super) fn leave_out(&mut self, is_impossible: impl Fn(i64) -> bool) {
        for spans in &mut self.spans {
            spans.retain(|_, span| !is_impossible(span.start));
        }
        for spans in self.unnumbered.values_mut() {
            spans.retain(|span| !is_impossible(span.start));
        }
    }

    /// Numbers those without a sequence number, when all have been seen.
    pub(super) fn number_by_time(&mut self) {
        for ((source, kind), mut spans) in self.unnumbered.drain() {
            spans.sort_unstable_by_key(|span| (span.start, span.end));
            for (number, span) in spans.into_iter().enumerate() {
                let key = self.state.hash_one((kind, number, "by time"));
                self.spans[source].entry(key).or_insert(span);
            }
        }
    }

    /// Takes the collectives of another trace that this one does not have, with their timestamps on this one's clock.
    pub(super) fn adopt(&mut self, other: &Self, place: impl Fn(i64) -> i64) {
        for (own, theirs) in self.spans.iter_mut().zip(&other.spans) {
            for (key, CollectiveSpan { start, end }) in theirs {
                own.entry(*key).or_insert_with(|| CollectiveSpan { start: place(*start), end: place(*end) });
            }
        }
    }

    /// The spans that both traces have, of each source that they share, the surest first: the other's, and this one's.
    pub(super) fn matches(&self, other: &Self) -> Vec<Vec<(CollectiveSpan, CollectiveSpan)>> {
        let of_source = |source: CollectiveSource| {
            let (own, theirs) = (&self.spans[source as usize], &other.spans[source as usize]);
            let mut found: Vec<_> =
                own.iter().filter_map(|(key, span)| Some((*theirs.get(key)?, *span))).collect();
            found.sort_unstable_by_key(|(theirs, _)| theirs.end);
            found
        };
        SOURCES.map(of_source).into_iter().filter(|found| !found.is_empty()).collect()
    }
}

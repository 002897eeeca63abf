//! Ranges in two halves (`B` and `E`) handed on as spans, with the index of their `B`: operators and kernels of writers
//! that know no durations.

use std::hash::BuildHasher;

use crate::model::{AutogradLink, Category, Event, EventSink, FastMap, FastState, RawText};

/// Hands events on; an `E` becomes the span that its `B` began.
pub struct PairSink<'a, S: ?Sized> {
    sink: &'a mut S,
    open: FastMap<u64, Vec<OpenRange>>,
    bytes: usize,
    /// Begins and ends that were left out.
    left_out: u64,
}

/// A begin (`B`) whose end has not been read.
struct OpenRange {
    index: u64,
    category: Category,
    cat: Box<[u8]>,
    name: Box<[u8]>,
    escaped: bool,
    args: Box<[u8]>,
    start: i64,
    device: Option<i64>,
    stream: Option<i64>,
    correlation: Option<i64>,
    external: Option<i64>,
    step_number: Option<i64>,
}

impl OpenRange {
    fn of_event(event: &Event<'_>, start: i64) -> Self {
        Self {
            index: event.index,
            category: event.category,
            cat: event.cat.raw.into(),
            name: event.name.raw.into(),
            escaped: event.name.escaped,
            args: event.args.into(),
            start,
            device: event.device,
            stream: event.stream,
            correlation: event.correlation,
            external: event.external,
            step_number: event.step_number,
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.cat.len() + self.name.len() + self.args.len()
    }
}

/// Maximum size of open ranges, in bytes; ranges that begin when it is reached are left out.
const MOST_BYTES: usize = 64 << 20;

impl<'a, S: EventSink + ?Sized> PairSink<'a, S> {
    /// Hands on to this sink.
    pub fn new(sink: &'a mut S) -> Self {
        Self { sink, open: FastMap::default(), bytes: 0, left_out: 0 }
    }

    /// Begins and ends that have no other half so far.
    pub fn count_unpaired(&self) -> u64 {
        self.left_out + self.open.values().map(|stack| stack.len() as u64).sum::<u64>()
    }

    fn end_range(&mut self, event: &Event<'_>, end: i64) -> anyhow::Result<()> {
        let Some(stack) = self.open.get_mut(&thread_key(event)) else {
            self.left_out += 1;
            return Ok(());
        };
        let named = (!event.name.is_empty())
            .then(|| stack.iter().rposition(|range| *range.name == *event.name.raw))
            .flatten();
        let Some(at) = named.or(stack.len().checked_sub(1)) else {
            self.left_out += 1;
            return Ok(());
        };
        self.left_out += (stack.len() - at - 1) as u64;
        // What began within it and has no end is no span.
        let range = stack.drain(at..).fold(None, |first, range| {
            self.bytes -= range.bytes();
            first.or(Some(range))
        });
        let Some(range) = range else { return Ok(()) };
        self.sink.event(&Event {
            phase: b'X',
            index: range.index,
            category: range.category,
            cat: RawText { raw: &range.cat, escaped: false },
            name: RawText { raw: &range.name, escaped: range.escaped },
            args: &range.args,
            start: Some(range.start),
            dur: Some(end.saturating_sub(range.start)),
            device: range.device,
            stream: range.stream,
            correlation: range.correlation,
            external: range.external,
            step_number: range.step_number,
            autograd: AutogradLink::InArguments,
            ..*event
        })
    }
}

fn thread_key(event: &Event<'_>) -> u64 {
    FastState::default().hash_one((event.pid, event.tid))
}

impl<S: EventSink + ?Sized> EventSink for PairSink<'_, S> {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        match (event.phase, event.start) {
            (b'B', Some(start)) => {
                let range = OpenRange::of_event(event, start);
                if self.bytes + range.bytes() <= MOST_BYTES {
                    self.bytes += range.bytes();
                    self.open.entry(thread_key(event)).or_default().push(range);
                } else {
                    self.left_out += 1;
                }
                Ok(())
            }
            (b'E', Some(end)) => self.end_range(event, end),
            _ => self.sink.event(event),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Names(Vec<(String, i64, i64)>);

    impl EventSink for Names {
        fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
            let (start, end) = event.span().expect("a span");
            self.0.push((event.name.decode().into_owned(), start, end));
            Ok(())
        }
    }

    #[test]
    fn halves_become_spans() {
        let mut names = Names(Vec::new());
        let mut pairs = PairSink::new(&mut names);
        let mut take = |phase, name: &str, at| {
            pairs.event(&Event { phase, name: name.into(), start: Some(at), ..Event::default() }).unwrap();
        };
        take(b'E', "never begun", 0);
        take(b'B', "outer", 1);
        take(b'B', "inner", 2);
        take(b'E', "", 3);
        take(b'B', "never ended", 4);
        take(b'E', "outer", 9);
        take(b'E', "", 10);
        assert_eq!(pairs.count_unpaired(), 3);
        let expected = [("inner", 2, 3), ("outer", 1, 9)];
        assert_eq!(names.0, expected.map(|(name, start, end)| (name.to_owned(), start, end)));
    }
}

//! What is kept of a recording while it runs. Off, it costs a test of one field per span.

use std::borrow::Cow;

use super::device::DeviceEvent;

/// The most events that a recording keeps: a request cannot make the job grow without bound.
const BUDGET: usize = 2_000_000;

/// What a span of the host is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole training step.
    Step,
    Annotation,
    Operator,
    /// A call into the device's runtime.
    Runtime,
}

/// A span of the training thread.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    pub(crate) kind: Kind,
    pub(crate) name: Cow<'static, str>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Its own id for operators and annotations; that of the operator around it for runtime calls.
    pub(crate) external: Option<u64>,
    /// The launch's, for runtime calls.
    pub(crate) correlation: Option<u64>,
}

/// A finished recording. Times are the clock's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recording {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) thread: i32,
    pub(crate) spans: Vec<Span>,
    pub(crate) device: Vec<DeviceEvent>,
    /// Events beyond the budget.
    pub(crate) dropped: u64,
}

impl Recording {
    /// Whole steps in it.
    pub(crate) fn steps(&self) -> u64 {
        self.spans.iter().filter(|s| s.kind == Kind::Step).count() as u64
    }
}

/// The recorder of one thread.
#[derive(Debug)]
pub(crate) struct Recorder {
    active: Option<Recording>,
    /// Tells spans of this recording from those that were open when it began.
    generation: u64,
    next_external: u64,
    next_correlation: u64,
    /// External ids of the operators that are open.
    open: Vec<u64>,
    /// Events that still fit.
    room: usize,
    budget: usize,
}

/// A span that has begun.
#[derive(Debug)]
#[must_use = "a span has to be ended"]
pub(crate) struct Open {
    generation: u64,
    kind: Kind,
    start: i64,
    external: Option<u64>,
}

impl Open {
    /// The id that it carries, or that of the operator around it.
    pub(crate) fn external(&self) -> Option<u64> {
        self.external
    }
}

impl Default for Recorder {
    fn default() -> Self {
        Self::with_budget(BUDGET)
    }
}

impl Recorder {
    fn with_budget(budget: usize) -> Self {
        Self {
            active: None,
            generation: 0,
            next_external: 1,
            next_correlation: 1,
            open: Vec::new(),
            room: 0,
            budget,
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.active.is_some()
    }

    /// Begins a recording. Spans that are open now stay out of it.
    pub(crate) fn start(&mut self, now: i64, thread: i32) {
        self.generation += 1;
        self.open.clear();
        self.room = self.budget;
        self.active = Some(Recording { start: now, thread, ..Recording::default() });
    }

    /// Ends the recording. Spans that are open now stay out of it.
    pub(crate) fn stop(&mut self) -> Option<Recording> {
        self.generation += 1;
        self.open.clear();
        self.active.take()
    }

    /// Begins a span, if a recording runs.
    pub(crate) fn begin(&mut self, kind: Kind, now: impl FnOnce() -> i64) -> Option<Open> {
        self.active.as_ref()?;
        let external = match kind {
            Kind::Runtime => self.open.last().copied(),
            Kind::Step | Kind::Annotation | Kind::Operator => {
                self.next_external += 1;
                Some(self.next_external - 1)
            }
        };
        if kind == Kind::Operator {
            self.open.extend(external);
        }
        Some(Open { generation: self.generation, kind, start: now(), external })
    }

    /// Ends a span; one that began before this recording is forgotten.
    pub(crate) fn end(&mut self, open: &Open, end: i64, name: Cow<'static, str>, correlation: Option<u64>) {
        if open.generation != self.generation {
            return;
        }
        if open.kind == Kind::Operator {
            self.open.pop();
        }
        // A launch has paid for its runtime call already.
        let paid = correlation.is_some() || self.pay(1);
        if let Some(active) = self.active.as_mut().filter(|_| paid) {
            let &Open { kind, start, external, .. } = open;
            active.spans.push(Span { kind, name, start, end, external, correlation });
        }
    }

    /// A correlation id for a launch, and the room for both of its events. None when they do not fit.
    pub(crate) fn correlate(&mut self) -> Option<u64> {
        if !self.is_on() || !self.pay(2) {
            return None;
        }
        self.next_correlation += 1;
        Some(self.next_correlation - 1)
    }

    fn pay(&mut self, events: usize) -> bool {
        match self.room.checked_sub(events) {
            Some(room) => {
                self.room = room;
                true
            }
            None => {
                if let Some(active) = &mut self.active {
                    active.dropped += events as u64;
                }
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(recorder: &mut Recorder, kind: Kind, at: i64) {
        let open = recorder.begin(kind, || at).unwrap();
        recorder.end(&open, at + 1, "x".into(), None);
    }

    #[test]
    fn spans_open_at_either_end_stay_out() {
        let mut recorder = Recorder::default();
        assert!(recorder.begin(Kind::Step, || 0).is_none());
        recorder.start(1, 9);
        let inside = recorder.begin(Kind::Step, || 2).unwrap();
        span(&mut recorder, Kind::Annotation, 3);
        let recording = recorder.stop().unwrap();
        assert_eq!((recording.spans.len(), recording.start, recording.thread), (1, 1, 9));
        recorder.start(10, 9);
        recorder.end(&inside, 11, "old".into(), None);
        assert!(recorder.stop().unwrap().spans.is_empty());
    }

    #[test]
    fn a_runtime_call_belongs_to_the_innermost_operator() {
        let mut recorder = Recorder::default();
        recorder.start(0, 1);
        let outer = recorder.begin(Kind::Operator, || 1).unwrap();
        let inner = recorder.begin(Kind::Operator, || 2).unwrap();
        span(&mut recorder, Kind::Runtime, 3);
        recorder.end(&inner, 4, "inner".into(), None);
        recorder.end(&outer, 5, "outer".into(), None);
        span(&mut recorder, Kind::Runtime, 6);
        let spans = recorder.stop().unwrap().spans;
        assert_eq!(spans[0].external, spans[1].external);
        assert_ne!(spans[0].external, spans[2].external);
        assert_eq!(spans[3].external, None);
    }

    #[test]
    fn a_recording_stops_growing_at_its_budget() {
        let mut recorder = Recorder::with_budget(3);
        recorder.start(0, 1);
        assert!(recorder.correlate().is_some());
        assert!(recorder.correlate().is_none());
        span(&mut recorder, Kind::Operator, 1);
        span(&mut recorder, Kind::Operator, 2);
        let recording = recorder.stop().unwrap();
        assert_eq!((recording.spans.len(), recording.dropped), (1, 3));
    }
}

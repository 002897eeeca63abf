//! The recording while it is running. Without a recording, a span costs the test of one field.

use std::borrow::Cow;

use super::device::DeviceEvent;
use super::runtime_call::RuntimeCall;

/// Maximum number of events in a recording, so that a request cannot exhaust the memory of the job.
const MAX_EVENTS: usize = 2_000_000;

/// The kind of a host span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SpanKind {
    /// A complete training step.
    Step,
    Annotation,
    Operator,
    /// A call of the device runtime.
    Runtime(RuntimeCall),
}

/// A span of the training thread.
#[derive(Clone, Debug)]
pub(crate) struct HostSpan {
    pub(crate) kind: SpanKind,
    pub(crate) name: Cow<'static, str>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    /// Its own id for operators and annotations; that of the enclosing operator for runtime calls.
    pub(crate) external: Option<u64>,
    /// The correlation id of the launch, for runtime calls.
    pub(crate) correlation: Option<u64>,
}

/// A finished recording. Times are those of the job clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct TrainingRecording {
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) thread: i32,
    pub(crate) spans: Vec<HostSpan>,
    pub(crate) device: Vec<DeviceEvent>,
    /// Number of events beyond the limit.
    pub(crate) dropped: u64,
}

impl TrainingRecording {
    /// Returns the number of complete steps.
    pub(crate) fn step_count(&self) -> u64 {
        self.spans.iter().filter(|s| s.kind == SpanKind::Step).count() as u64
    }
}

/// The recorder of one thread.
#[derive(Debug)]
pub(crate) struct SpanRecorder {
    active: Option<TrainingRecording>,
    /// Distinguishes spans of this recording from those that were open when it started.
    generation: u64,
    next_external: u64,
    next_correlation: u64,
    /// External ids of the open operators.
    open_operators: Vec<u64>,
    /// Number of events that still fit.
    room: usize,
    max_events: usize,
}

/// A span that has begun.
#[derive(Debug)]
#[must_use = "a span has to be ended"]
pub(crate) struct OpenSpan {
    generation: u64,
    kind: SpanKind,
    start: i64,
    external: Option<u64>,
}

impl OpenSpan {
    /// Returns its own id, or that of the enclosing operator.
    pub(crate) fn external_id(&self) -> Option<u64> {
        self.external
    }
}

impl Default for SpanRecorder {
    fn default() -> Self {
        Self::with_max_events(MAX_EVENTS)
    }
}

impl SpanRecorder {
    fn with_max_events(max_events: usize) -> Self {
        Self {
            active: None,
            generation: 0,
            next_external: 1,
            next_correlation: 1,
            open_operators: Vec::new(),
            room: 0,
            max_events,
        }
    }

    pub(crate) fn is_recording(&self) -> bool {
        self.active.is_some()
    }

    /// Starts a recording. Spans that are open now are not part of it.
    pub(crate) fn start_recording(&mut self, now: i64, thread: i32) {
        self.generation += 1;
        self.open_operators.clear();
        self.room = self.max_events;
        self.active = Some(TrainingRecording { start: now, thread, ..TrainingRecording::default() });
    }

    /// Stops the recording. Spans that are open now are not part of it.
    pub(crate) fn stop_recording(&mut self) -> Option<TrainingRecording> {
        self.generation += 1;
        self.open_operators.clear();
        self.active.take()
    }

    /// Begins a span, if a recording is running.
    pub(crate) fn begin_span(&mut self, kind: SpanKind, now: impl FnOnce() -> i64) -> Option<OpenSpan> {
        self.active.as_ref()?;
        let external = match kind {
            SpanKind::Runtime(_) => self.open_operators.last().copied(),
            SpanKind::Step | SpanKind::Annotation | SpanKind::Operator => {
                self.next_external += 1;
                Some(self.next_external - 1)
            }
        };
        if kind == SpanKind::Operator {
            self.open_operators.extend(external);
        }
        Some(OpenSpan { generation: self.generation, kind, start: now(), external })
    }

    /// Ends a span. A span that began before this recording is discarded.
    pub(crate) fn end_span(
        &mut self,
        open: &OpenSpan,
        end: i64,
        name: Cow<'static, str>,
        correlation: Option<u64>,
    ) {
        if open.generation != self.generation {
            return;
        }
        if open.kind == SpanKind::Operator {
            self.open_operators.pop();
        }
        // A launch has reserved the event of its runtime call already.
        let reserved = correlation.is_some() || self.reserve_events(1);
        if let Some(active) = self.active.as_mut().filter(|_| reserved) {
            let &OpenSpan { kind, start, external, .. } = open;
            active.spans.push(HostSpan { kind, name, start, end, external, correlation });
        }
    }

    /// Returns a correlation id for a launch, and reserves its two events; `None` if they do not fit.
    pub(crate) fn new_correlation_id(&mut self) -> Option<u64> {
        if !self.is_recording() || !self.reserve_events(2) {
            return None;
        }
        self.next_correlation += 1;
        Some(self.next_correlation - 1)
    }

    fn reserve_events(&mut self, events: usize) -> bool {
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

    fn span(recorder: &mut SpanRecorder, kind: SpanKind, at: i64) {
        let open = recorder.begin_span(kind, || at).unwrap();
        recorder.end_span(&open, at + 1, "x".into(), None);
    }

    #[test]
    fn spans_open_at_the_start_or_the_end_are_excluded() {
        let mut recorder = SpanRecorder::default();
        assert!(recorder.begin_span(SpanKind::Step, || 0).is_none());
        recorder.start_recording(1, 9);
        let inside = recorder.begin_span(SpanKind::Step, || 2).unwrap();
        span(&mut recorder, SpanKind::Annotation, 3);
        let recording = recorder.stop_recording().unwrap();
        assert_eq!((recording.spans.len(), recording.start, recording.thread), (1, 1, 9));
        recorder.start_recording(10, 9);
        recorder.end_span(&inside, 11, "old".into(), None);
        assert!(recorder.stop_recording().unwrap().spans.is_empty());
    }

    #[test]
    fn a_runtime_call_belongs_to_the_innermost_operator() {
        let mut recorder = SpanRecorder::default();
        recorder.start_recording(0, 1);
        let outer = recorder.begin_span(SpanKind::Operator, || 1).unwrap();
        let inner = recorder.begin_span(SpanKind::Operator, || 2).unwrap();
        span(&mut recorder, SpanKind::Runtime(RuntimeCall::LaunchKernel), 3);
        recorder.end_span(&inner, 4, "inner".into(), None);
        recorder.end_span(&outer, 5, "outer".into(), None);
        span(&mut recorder, SpanKind::Runtime(RuntimeCall::LaunchKernel), 6);
        let spans = recorder.stop_recording().unwrap().spans;
        assert_eq!(spans[0].external, spans[1].external);
        assert_ne!(spans[0].external, spans[2].external);
        assert_eq!(spans[3].external, None);
    }

    #[test]
    fn a_recording_stops_growing_at_its_max_events() {
        let mut recorder = SpanRecorder::with_max_events(3);
        recorder.start_recording(0, 1);
        assert!(recorder.new_correlation_id().is_some());
        assert!(recorder.new_correlation_id().is_none());
        span(&mut recorder, SpanKind::Operator, 1);
        span(&mut recorder, SpanKind::Operator, 2);
        let recording = recorder.stop_recording().unwrap();
        assert_eq!((recording.spans.len(), recording.dropped), (1, 3));
    }
}

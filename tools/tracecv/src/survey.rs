//! What must be known of a trace before its events are written: its clock, its rank, its steps and what they launched.

use trace::model::{Category, Event, EventSink, FastMap, NameTable, TraceMeta};
use trace::steps::{MarkKind, Step, StepMark, StepNames, Steps, Update, is_host_annotation};

/// Collects while a trace is read for the first time.
#[derive(Default)]
pub(crate) struct SurveySink {
    names: NameTable,
    step_names: StepNames,
    marks: Vec<StepMark>,
    updates: Vec<Update>,
    /// When each launch was, by its correlation.
    launches: FastMap<i64, i64>,
    extent: Option<(i64, i64)>,
}

/// What is known of a trace.
pub(crate) struct TraceSurvey {
    pub(crate) meta: TraceMeta,
    pub(crate) steps: Steps,
    /// Names of steps by their number in [`Step::name`].
    pub(crate) names: NameTable,
    launches: FastMap<i64, i64>,
    /// The first and last moment.
    pub(crate) extent: Option<(i64, i64)>,
    /// Nanoseconds to add to come to the Unix epoch; 0 if that is not known.
    pub(crate) base_ns: i64,
}

impl EventSink for SurveySink {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let Some(start) = event.start.filter(|_| event.phase != b'M') else { return Ok(()) };
        let end = start.saturating_add(event.dur.unwrap_or(0));
        let (from, to) = self.extent.unwrap_or((start, end));
        self.extent = Some((from.min(start), to.max(end)));
        if event.phase == b'X' {
            self.take_span(event, start, end);
        }
        Ok(())
    }
}

impl SurveySink {
    fn take_span(&mut self, event: &Event<'_>, start: i64, end: i64) {
        match event.category {
            Category::Runtime => {
                if let Some(correlation) = event.correlation {
                    self.launches.entry(correlation).or_insert(start);
                }
                return;
            }
            Category::Step => {}
            Category::Marker | Category::Other if is_host_annotation(event.cat.raw) => {}
            _ => return,
        }
        let name = self.names.intern(event.name);
        if event.name.raw.starts_with(b"Optimizer.step#") {
            self.updates.push(Update { name, thread: 0, start, end });
        }
        let mark = self.step_names.mark_of_name(self.names.name(name));
        let mark = match (mark, event.step_number) {
            (Some((MarkKind::Profiler, _)), _) | (_, None) => mark,
            (_, Some(number)) => Some((MarkKind::StepNumber, Some(number))),
        };
        if let Some((kind, number)) = mark {
            self.marks.push(StepMark { kind, number, name, thread: 0, start, end, partial: false });
        }
    }

    /// What came of it.
    pub(crate) fn finish(self, meta: TraceMeta) -> TraceSurvey {
        let begin = self.extent.map_or(0, |(begin, _)| begin);
        let marked = Steps::from_marks(self.marks);
        let steps = if marked.all().is_empty() { Steps::from_optimizer(self.updates, begin) } else { marked };
        let base_ns = meta.epoch_offset(begin).unwrap_or(0);
        let (names, launches, extent) = (self.names, self.launches, self.extent);
        TraceSurvey { meta, steps, names, launches, extent, base_ns }
    }
}

impl TraceSurvey {
    /// The step that an event belongs to: of work on a device that of its launch, otherwise that of its start.
    pub(crate) fn step_of(&self, event: &Event<'_>) -> Option<&Step> {
        self.step_index_of(event).map(|i| &self.steps.all()[i])
    }

    /// The index of that step.
    pub(crate) fn step_index_of(&self, event: &Event<'_>) -> Option<usize> {
        let start = event.start?;
        let launched = event.category.is_on_device().then_some(event.correlation).flatten();
        let moment = launched.and_then(|c| self.launches.get(&c).copied()).unwrap_or(start);
        self.steps.at(moment)
    }

    /// A moment as nanoseconds since the Unix epoch, as far as the trace says how its clock relates to that.
    pub(crate) fn wall_clock(&self, moment: i64) -> i64 {
        moment.saturating_add(self.base_ns)
    }
}

//! The facts about a trace that are known when its end has been read, and that its events are written with: its clock, its rank, its
//! steps and what they launched.

use std::collections::BTreeMap;
use std::io;

use trace::analysis::clusters::RecordedTime;
use trace::analysis::collect::CollectOptions;
use trace::analysis::sum::Sums;
use trace::classifier::ClassRules;
use trace::model::{Category, Event, EventSink, FastMap, NameTable, TraceMeta};
#[cfg(feature = "parquet")]
use trace::read::ReadOutcome;
use trace::steps::{Step, StepMark, StepNames, Steps, Update, is_host_annotation};

use crate::modules::ModuleSpools;

/// Collects while a trace is read for the first time. Takes spans, also those of begins and ends that were brought together.
pub(crate) struct SurveySink {
    names: NameTable,
    step_names: StepNames,
    marks: Vec<StepMark>,
    updates: Vec<Update>,
    launches: LaunchTimes,
    /// For the modules of work, if they are wanted.
    modules: Option<ModuleSpools>,
}

/// When the events of a trace were.
#[derive(Default)]
pub(crate) struct ExtentSink {
    /// The first and the last timestamp, in nanoseconds.
    pub(crate) extent: Option<(i64, i64)>,
}

impl EventSink for ExtentSink {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let Some(start) = event.start.filter(|_| event.phase != b'M') else { return Ok(()) };
        let end = start.saturating_add(event.dur.unwrap_or(0));
        let (from, to) = self.extent.unwrap_or((start, end));
        self.extent = Some((from.min(start), to.max(end)));
        Ok(())
    }
}

/// The step of work on a device whose launch is not in the trace, as `traceq sum` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnlaunchedWork {
    /// None: it may be left over from before.
    InNoStep,
    /// That in which it starts, unless an operator is known to have asked for it: the trace does not link its work.
    ByStart,
    /// That in which it starts: an Ascend timeline, which divides its steps by lanes.
    ByLanes,
}

impl UnlaunchedWork {
    /// As it is in the sums of a trace.
    pub(crate) fn of(sums: &Sums) -> Self {
        match sums.steps_by_start {
            _ if sums.totals.iter().any(|total| total.lanes.is_some()) => Self::ByLanes,
            true => Self::ByStart,
            false => Self::InNoStep,
        }
    }
}

/// When each launch was, by its correlation.
#[derive(Default)]
struct LaunchTimes(Vec<(i64, i64)>);

impl LaunchTimes {
    fn push(&mut self, correlation: i64, start: i64) {
        self.0.push((correlation, start));
    }

    /// Of several launches of one correlation, the first: the others repeat it in another layer.
    fn sorted(mut self) -> Self {
        if !self.0.is_sorted() {
            self.0.sort_unstable();
        }
        self.0.dedup_by_key(|(correlation, _)| *correlation);
        self
    }

    /// The time of a launch. `near` is the place behind the last one that was found: work mostly comes in the order of its
    /// launches.
    #[inline]
    fn find(&self, correlation: i64, near: &mut usize) -> Option<i64> {
        const NEAR: usize = 4;
        let next = self.0.iter().skip(*near).take(NEAR).position(|(other, _)| *other == correlation);
        let place = match next {
            Some(next) => *near + next,
            None => self.0.binary_search_by_key(&correlation, |(other, _)| *other).ok()?,
        };
        *near = place + 1;
        Some(self.0[place].1)
    }
}

/// Where the step of the last event was found: that of the next is likely to be near.
#[derive(Default)]
pub(crate) struct NearStep {
    begun: usize,
    launch: usize,
}

/// The facts about one rank of a trace.
pub(crate) struct TraceSurvey {
    pub(crate) meta: TraceMeta,
    pub(crate) steps: Steps,
    /// Names of steps by their number in [`Step::name`].
    pub(crate) names: NameTable,
    launches: LaunchTimes,
    /// Number of the name of the module of work that has one, by its [`module_key`](crate::modules::module_key).
    modules: FastMap<i64, u32>,
    /// The first and the last timestamp, in nanoseconds.
    pub(crate) extent: Option<(i64, i64)>,
    /// The step of work without a launch.
    pub(crate) unlaunched: UnlaunchedWork,
    /// Nanoseconds to add to come to the Unix epoch; 0 if that is not known.
    pub(crate) base_ns: i64,
    recorded: RecordedTime,
}

/// The facts about a trace: about each of its ranks.
pub(crate) struct SurveyedTrace {
    pub(crate) sums: Sums,
    /// The user's classes of device work.
    pub(crate) classes: ClassRules,
    /// By number of the rank in the file.
    pub(crate) ranks: BTreeMap<u32, TraceSurvey>,
    /// The outcome of the first reading.
    #[cfg(feature = "parquet")]
    pub(crate) outcome: ReadOutcome,
}

impl SurveyedTrace {
    /// The facts about the only rank, if its events were surveyed in the first reading: all of them are its own, and
    /// none is at an impossible time.
    #[cfg(feature = "parquet")]
    pub(crate) fn of_one_reading(&self) -> Option<&TraceSurvey> {
        let is_one = !self.sums.scopes.are_several() && self.sums.recorded.impossible.is_empty();
        self.ranks.get(&0).filter(|_| is_one)
    }

    /// The step that an event belongs to.
    pub(crate) fn step_of(&self, event: &Event<'_>) -> Option<&Step> {
        let rank = if self.ranks.len() > 1 { self.sums.scope_of_process(event.pid) } else { 0 };
        self.ranks.get(&rank)?.step_of(event)
    }
}

impl EventSink for SurveySink {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if let (b'X', Some(start)) = (event.phase, event.start) {
            self.take_span(event, start, start.saturating_add(event.dur.unwrap_or(0)));
        }
        if let Some(modules) = &mut self.modules {
            modules.take(event, &mut self.names)?;
        }
        Ok(())
    }
}

impl SurveySink {
    /// Without events yet.
    pub(crate) fn new(options: &CollectOptions) -> Self {
        Self {
            names: NameTable::default(),
            step_names: options.steps.clone(),
            marks: Vec::new(),
            updates: Vec::new(),
            launches: LaunchTimes::default(),
            modules: None,
        }
    }

    /// Finds the modules of work as well.
    #[cfg(feature = "parquet")]
    #[must_use]
    pub(crate) fn with_modules(self, options: &CollectOptions) -> Self {
        Self { modules: Some(ModuleSpools::new(options.memory)), ..self }
    }

    fn take_span(&mut self, event: &Event<'_>, start: i64, end: i64) {
        match event.category {
            Category::Runtime => {
                if let Some(correlation) = event.correlation {
                    self.launches.push(correlation, start);
                }
                return;
            }
            Category::Step => {}
            _ if self.step_names.may_mark(event) && is_host_annotation(event.cat.raw) => {}
            _ => return,
        }
        let name = self.names.intern(event.name);
        if event.name.raw.starts_with(b"Optimizer.step#") {
            self.updates.push(Update { name, thread: 0, start, end });
        }
        let by_name = self.step_names.mark_of_name(self.names.name(name));
        if let Some((kind, number)) = self.step_names.with_number(by_name, event.step_number) {
            self.marks.push(StepMark { kind, number, name, thread: 0, start, end, partial: false });
        }
    }

    /// Returns the result, of a trace of this extent.
    ///
    /// # Errors
    /// A temporary file cannot be used.
    pub(crate) fn finish(
        self,
        meta: TraceMeta,
        recorded: RecordedTime,
        ExtentSink { extent }: ExtentSink,
    ) -> io::Result<TraceSurvey> {
        let modules = self.modules.map_or_else(|| Ok(FastMap::default()), ModuleSpools::find)?;
        let begin = extent.map_or(0, |(begin, _)| begin);
        let marked = Steps::from_marks(self.marks);
        let steps = if marked.all().is_empty() { Steps::from_optimizer(self.updates, begin) } else { marked };
        let base_ns = meta.epoch_offset(begin).unwrap_or(0);
        let (names, launches) = (self.names, self.launches.sorted());
        let unlaunched = UnlaunchedWork::ByLanes;
        Ok(TraceSurvey { meta, steps, names, launches, modules, extent, unlaunched, base_ns, recorded })
    }
}

/// Where the work of an event runs, and what is known about who asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WorkPlace {
    Host,
    Device,
    /// On a device, for an operator that is known.
    DeviceForOperator,
}

impl WorkPlace {
    /// Of an event.
    pub(crate) fn of(event: &Event<'_>) -> Self {
        match event.external {
            _ if !event.category.is_on_device() => Self::Host,
            None => Self::Device,
            Some(_) => Self::DeviceForOperator,
        }
    }
}

/// The fields of an event that its step follows from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepFacts {
    pub(crate) start: Option<i64>,
    pub(crate) correlation: Option<i64>,
    pub(crate) place: WorkPlace,
}

impl TraceSurvey {
    /// The step that an event belongs to: of work on a device that of its launch, otherwise that of its start.
    pub(crate) fn step_of(&self, event: &Event<'_>) -> Option<&Step> {
        let (start, correlation) = (event.start, event.correlation);
        let facts = StepFacts { start, correlation, place: WorkPlace::of(event) };
        let mut near = NearStep::default();
        let launch = self.launch_of(&facts, &mut near);
        self.step_at(&facts, launch, &mut near)
    }

    /// The step that `traceq sum` counts an event in; `near` is for one event after the other.
    #[cfg(feature = "parquet")]
    pub(crate) fn counted_step_of(&self, facts: &StepFacts, near: &mut NearStep) -> Option<&Step> {
        let launch = self.launch_of(facts, near);
        let counts = match self.unlaunched {
            _ if facts.place == WorkPlace::Host || launch.is_some() => true,
            UnlaunchedWork::InNoStep => false,
            UnlaunchedWork::ByStart => facts.place == WorkPlace::Device,
            UnlaunchedWork::ByLanes => true,
        };
        self.step_at(facts, launch, near).filter(|_| counts)
    }

    fn step_at(&self, facts: &StepFacts, launch: Option<i64>, near: &mut NearStep) -> Option<&Step> {
        let start = facts.start.filter(|start| self.recorded.can_start_at(*start))?;
        self.steps.at_near(launch.unwrap_or(start), &mut near.begun).map(|i| &self.steps.all()[i])
    }

    /// When work on a device was launched, as far as the trace says.
    fn launch_of(&self, facts: &StepFacts, near: &mut NearStep) -> Option<i64> {
        let correlation = facts.correlation.filter(|_| facts.place != WorkPlace::Host)?;
        self.launches.find(correlation, &mut near.launch)
    }

    /// The number among the names of the module that work of this [`module_key`](crate::modules::module_key) belongs to.
    #[cfg(feature = "parquet")]
    pub(crate) fn module_of_key(&self, key: i64) -> Option<u32> {
        self.modules.get(&key).copied()
    }

    /// A moment as nanoseconds since the Unix epoch, as far as the trace says how its clock relates to that.
    pub(crate) fn wall_clock(&self, moment: i64) -> i64 {
        moment.saturating_add(self.base_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_launch_of_a_correlation_is_found_wherever_one_was_found_before() {
        let mut launches = LaunchTimes::default();
        (0..200).for_each(|i| launches.push(i * 7919 % 100 * 3, 1000 - i));
        let launches = launches.sorted();
        for near in [0, 1, 50, 99, 100, 1000] {
            for correlation in -1..301 {
                let mut near = near;
                let first = (0..200).filter(|i| i * 7919 % 100 * 3 == correlation).map(|i| 1000 - i).min();
                assert_eq!(launches.find(correlation, &mut near), first, "{correlation}");
            }
        }
    }
}

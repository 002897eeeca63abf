//! Keeps of a trace what its sums and checks need: device work, launches, marks of steps, host time, and the lanes and
//! arrows of an Ascend timeline. What it is kept in has bounded memory ([`crate::spool`]).

use super::clusters::TimeClusters;
use super::edges::EdgeStore;
use super::host::BusyTime;
use super::records::{Arrow, Launch, NO_DEVICE, NO_NUMBER, Row, Work, launch_kind};
use super::untimed::UntimedStore;
use crate::classifier::{ClassRules, Classified, EventClassifier};
use crate::model::{Category, Event, EventId, EventSink, RowTraits};
use crate::spool::{MemoryLimit, Spool};
use crate::steps::{NameMark, StepMark, StepNames, Update, is_host_annotation};

/// How to read a trace.
#[derive(Clone, Debug, Default)]
pub struct CollectOptions {
    /// The user's classes of device work.
    pub classes: ClassRules,
    /// The user's names of steps.
    pub steps: StepNames,
    /// How much memory to use.
    pub memory: MemoryLimit,
}

/// The content of a trace that an analysis keeps.
pub struct Collected {
    /// Its processes, threads and names.
    pub classifier: EventClassifier,
    pub(crate) step_names: StepNames,
    pub(crate) memory: MemoryLimit,
    /// When its events were.
    pub clusters: TimeClusters,
    pub(crate) work: Spool<Work, 6>,
    pub(crate) launches: Spool<Launch, 3>,
    /// Rows whose process or thread decides what they are.
    pub(crate) rows: Spool<Row, 7>,
    /// Begins and ends.
    pub(crate) edges: EdgeStore,
    pub(crate) marks: Vec<StepMark>,
    pub(crate) updates: Vec<Update>,
    /// Host time in operators, and in anything, for traces of programs that have no operators.
    pub(crate) operators: BusyTime,
    pub(crate) others: BusyTime,
    /// Operator ends and device ends of an Ascend timeline's arrows.
    pub(crate) tails: Spool<Arrow, 3>,
    pub(crate) heads: Spool<Arrow, 3>,
    /// Async spans, which belong to no thread: in no sum.
    pub(crate) async_spans: u64,
    /// Some event says by itself what kind of work it is.
    pub(crate) tells_kinds: bool,
    /// Device work without a usable time.
    pub(crate) untimed: UntimedStore,
    /// The mark of a name, by its number.
    marks_by_name: Vec<Option<NameMark>>,
    /// Bytes in names and marks.
    table_bytes: u64,
    names_seen: u32,
}

impl Collected {
    /// Nothing yet.
    pub fn new(options: &CollectOptions) -> Self {
        let memory = options.memory;
        Self {
            classifier: EventClassifier::new(options.classes.clone()),
            step_names: options.steps.clone(),
            memory,
            clusters: TimeClusters::default(),
            work: Spool::new(memory),
            launches: Spool::new(memory),
            rows: Spool::new(memory),
            edges: EdgeStore::new(memory),
            marks: Vec::new(),
            updates: Vec::new(),
            operators: BusyTime::new(memory),
            others: BusyTime::new(memory),
            tails: Spool::new(memory),
            heads: Spool::new(memory),
            async_spans: 0,
            tells_kinds: false,
            untimed: UntimedStore::default(),
            marks_by_name: Vec::new(),
            table_bytes: 0,
            names_seen: 0,
        }
    }

    fn take_span(&mut self, event: &Event<'_>, start: i64, end: i64) -> anyhow::Result<()> {
        let thread = self.classifier.processes.thread_of(event);
        self.edges.note_moment(thread, end);
        let classified = self.classifier.classify(event);
        let on_device = matches!(classified, Classified::Known(c) if c.is_on_device());
        if !on_device && event.name.raw.starts_with(b"Optimizer.step#") {
            let name = self.classifier.intern_name(event);
            self.updates.push(Update { name, thread, start, end });
            self.charge(size_of::<Update>())?;
        }
        match classified {
            Classified::Known(category) if category.is_on_device() => {
                self.take_device_work(event, thread, category, (start, end))?;
            }
            Classified::Known(Category::Runtime) => {
                if let Some(correlation) = event.correlation {
                    let kind = launch_kind(event.name.raw);
                    self.launches.push(Launch { correlation, at: start, thread, kind })?;
                }
            }
            Classified::Known(Category::CpuOp) => {
                self.operators.add(thread, start, end)?;
                if self.step_names.has_user_names() {
                    self.take_mark(event, thread, (start, end), false)?;
                }
            }
            Classified::Known(Category::Step) => self.take_mark(event, thread, (start, end), false)?,
            Classified::Known(Category::Marker) if is_host_annotation(event.cat.raw) => {
                self.take_mark(event, thread, (start, end), false)?;
            }
            Classified::Known(Category::Other) => self.others.add(thread, start, end)?,
            Classified::Known(_) => {}
            Classified::Row(traits, user) => self.take_row(event, thread, traits, user, (start, end))?,
        }
        self.check_tables(event)
    }

    fn take_device_work(
        &mut self,
        event: &Event<'_>,
        thread: u32,
        category: Category,
        (start, end): (i64, i64),
    ) -> anyhow::Result<()> {
        let name = self.classifier.intern_classified_name(event);
        self.work.push(Work {
            start,
            end,
            device: event.device.unwrap_or(NO_DEVICE),
            correlation: event.correlation.unwrap_or(NO_NUMBER),
            thread,
            name,
            category,
            external: event.external.is_some(),
            stretch: false,
        })?;
        Ok(())
    }

    fn take_row(
        &mut self,
        event: &Event<'_>,
        thread: u32,
        traits: RowTraits,
        user: Option<Category>,
        (start, end): (i64, i64),
    ) -> anyhow::Result<()> {
        let name = self.classifier.intern_classified_name(event);
        let correlation = event.correlation.unwrap_or(NO_NUMBER);
        let step_number = event.step_number.unwrap_or(NO_NUMBER);
        self.rows.push(Row {
            start,
            end,
            correlation,
            step_number,
            index: event.index,
            thread,
            name,
            traits,
            user,
        })?;
        Ok(())
    }

    /// Keeps a range whose name, or an argument, says that it is a step.
    fn take_mark(
        &mut self,
        event: &Event<'_>,
        thread: u32,
        (start, end): (i64, i64),
        partial: bool,
    ) -> anyhow::Result<()> {
        if !self.may_mark(event) {
            return Ok(());
        }
        let name = self.classifier.intern_name(event);
        if let Some((kind, number)) = self.mark_of(name, event.step_number) {
            self.push_mark(StepMark { kind, number, name, thread, start, end, partial })?;
        }
        Ok(())
    }

    /// Returns whether an event may be a mark by its name, without keeping it: a trace may have as many names of ranges as
    /// it has ranges.
    fn may_mark(&self, event: &Event<'_>) -> bool {
        let by_name = || self.step_names.mark_of_name(&event.name.decode());
        // Expressions of the user are asked once for each name.
        self.step_names.has_user_names() || event.step_number.is_some() || by_name().is_some()
    }

    /// The mark of a host range of this name.
    pub(crate) fn mark_of(&mut self, name: u32, step_number: Option<i64>) -> NameMark {
        let slot = name as usize;
        if slot >= self.marks_by_name.len() {
            self.marks_by_name.resize(slot + 1, None);
        }
        let text = self.classifier.names.name(name);
        let known = *self.marks_by_name[slot].get_or_insert_with(|| self.step_names.mark_of_name(text));
        self.step_names.with_number(known, step_number)
    }

    /// Keeps a mark.
    pub(crate) fn push_mark(&mut self, mark: StepMark) -> anyhow::Result<()> {
        self.marks.push(mark);
        self.charge(size_of::<StepMark>())
    }

    fn take_arrow(&mut self, event: &Event<'_>, at: i64, thread: u32) -> anyhow::Result<()> {
        if let (b"async_npu", EventId::Number(id)) = (event.cat.raw, event.id) {
            match event.phase {
                b's' => self.tails.push(Arrow { id, at, thread })?,
                b'f' => self.heads.push(Arrow { id, at, thread })?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes an event that is no span, or only one end of it.
    fn take_point(&mut self, event: &Event<'_>, at: i64) -> anyhow::Result<()> {
        match event.phase {
            b'B' | b'E' => self.edges.take_edge(&mut self.classifier, event, at)?,
            b'b' | b'e' | b'S' | b'F' => {
                self.async_spans += u64::from(matches!(event.phase, b'b' | b'S'));
                let bytes = self.edges.take_track_edge(&mut self.classifier, event, at)?;
                self.charge(bytes)?;
            }
            _ => {
                let thread = self.classifier.processes.thread_of(event);
                self.edges.note_moment(thread, at.saturating_add(event.dur.unwrap_or(0)));
                return self.take_arrow(event, at, thread);
            }
        }
        self.check_tables(event)
    }

    fn check_tables(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let count = self.classifier.names.count_names();
        if count != self.names_seen {
            self.names_seen = count;
            // The name twice, as it stands and decoded, and what is kept of each.
            self.charge(event.name.raw.len() * 2 + 128)?;
        }
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> anyhow::Result<()> {
        self.table_bytes += bytes as u64;
        check_table_bytes(self.table_bytes, self.memory)
    }
}

/// The message about a trace that has more names than memory is allowed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyNames {
    limit: MemoryLimit,
}

impl std::fmt::Display for TooManyNames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let of = self.limit.bytes >> 20;
        write!(f, "its different names need more than a quarter of {of} MiB: raise --max-memory")
    }
}

impl std::error::Error for TooManyNames {}

/// Checks that names and the like keep within their share.
///
/// # Errors
/// [`TooManyNames`].
pub fn check_table_bytes(bytes: u64, limit: MemoryLimit) -> anyhow::Result<()> {
    if bytes > limit.of_tables() { Err(TooManyNames { limit }.into()) } else { Ok(()) }
}

impl EventSink for Collected {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if event.phase == b'M' {
            self.classifier.processes.learn(event);
            return Ok(());
        }
        self.note_time(event);
        self.take_event(event)
    }

    /// Its readers find in the fields of an event what the sums need.
    fn wants_arguments(&self) -> bool {
        false
    }
}

impl Collected {
    /// Takes notice of when an event was.
    pub fn note_time(&mut self, event: &Event<'_>) {
        if let Some(start) = event.start {
            let (end, on_device) =
                (start.saturating_add(event.dur.unwrap_or(0)), event.category.is_on_device());
            self.clusters.add(start, end, on_device, || (event.name.decode().into_owned(), event.index));
        }
    }

    /// Keeps what the sums need of an event that is no metadata.
    pub fn take_event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        if UntimedStore::is_untimed(event) {
            self.untimed.add(event, &mut self.classifier);
        }
        let is_of_kind = !matches!(event.category, Category::Other | Category::Counter | Category::Flow);
        self.tells_kinds |= is_of_kind && matches!(event.phase, b'X' | b'B');
        match (event.phase, event.start, event.span()) {
            (b'X', _, Some((start, end))) => self.take_span(event, start, end),
            (_, Some(at), _) => self.take_point(event, at),
            _ => Ok(()),
        }
    }

    /// Keeps an event if it may mark a step, and nothing of any other: what [`super::resolve::find_marked_steps`] needs.
    pub fn take_step_event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let wanted = match (event.phase, event.category) {
            // The end of a pair may come without a category.
            (b'B' | b'E', _) => true,
            (b'X', Category::Step) => true,
            (b'X', Category::Marker | Category::Other) => {
                let number_of_line = || event.name.raw.iter().all(|b| b.is_ascii_digit() || *b == b' ');
                let is_mark = self.may_mark(event) && {
                    let name = self.classifier.intern_name(event);
                    self.mark_of(name, event.step_number).is_some()
                };
                is_mark || number_of_line()
            }
            _ => false,
        };
        if wanted { self.take_event(event) } else { self.check_tables(event) }
    }
}

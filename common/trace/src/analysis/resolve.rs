//! The content of a trace, once all of it is known: rows have their meaning, begins their ends, processes their
//! ranks.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::ops::RangeInclusive;

use super::clusters::RecordedTime;
use super::collect::{CollectOptions, Collected, check_table_bytes};
use super::edges::EdgeStore;
use super::host::BusyTime;
use super::pairs::Unmatched;
use super::records::{Arrow, Edge, Lane, Launch, NO_DEVICE, NO_NUMBER, Piece, Row, Task, Work, overlap_lane};
use super::scopes::{ProcessUse, Scopes};
use super::selftime::{SelfTimes, Span};
use super::untimed::UntimedWork;
use crate::classifier::EventClassifier;
use crate::model::{Category, Dialect, ProcessRole, RowMeaning};
use crate::spool::{MemoryLimit, Spool};
use crate::steps::{MarkKind, StepMark, Steps};

/// The content that an analysis starts from.
pub struct Resolved {
    pub(crate) memory: MemoryLimit,
    pub(crate) classifier: EventClassifier,
    pub(crate) scopes: Scopes,
    /// How each process takes part.
    pub(crate) uses: Vec<ProcessUse>,
    /// The steps of each scope.
    pub(crate) steps: Vec<Steps>,
    pub(crate) recorded: RecordedTime,
    pub(crate) work: Spool<Work, 6>,
    pub(crate) launches: Spool<Launch, 3>,
    pub(crate) pieces: Spool<Piece, 4>,
    pub(crate) tails: Spool<Arrow, 3>,
    pub(crate) heads: Spool<Arrow, 3>,
    pub(crate) tasks: Spool<Task, 3>,
    pub(crate) host: BusyTime,
    pub(crate) unmatched: Unmatched,
    pub(crate) async_spans: u64,
    /// Device work without a usable time.
    pub(crate) untimed: UntimedWork,
    /// The user named the steps, and nothing has such a name.
    pub(crate) step_names_unused: bool,
}

/// Collects while rows and edges are resolved.
struct Resolver {
    collected: Collected,
    recorded: RecordedTime,
    pieces: Spool<Piece, 4>,
    tasks: Spool<Task, 3>,
    /// Rows that nest, whose own parts are work.
    nested: Spool<Row, 7>,
}

/// Resolves what was collected. Of a trace that was `cut`, no step is known to be whole.
///
/// # Errors
/// A temporary file cannot be used; the limit of memory is reached.
pub fn resolve(mut collected: Collected, dialect: Dialect, cut: bool) -> anyhow::Result<Resolved> {
    let memory = collected.memory;
    let recorded = collected.clusters.find_recording();
    let rows = std::mem::replace(&mut collected.rows, Spool::new(memory));
    let edges = std::mem::replace(&mut collected.edges, EdgeStore::new(memory));
    let mut resolver = Resolver {
        collected,
        recorded,
        pieces: Spool::new(memory),
        tasks: Spool::new(memory),
        nested: Spool::new(memory),
    };
    let mut failed = None;
    rows.for_each(|row| resolver.take_row(&row, false).map_err(|e| keep_error(&mut failed, e)))
        .map_err(|e| failed.take().unwrap_or_else(|| e.into()))?;
    let unmatched = resolver.match_pairs(edges)?;
    resolver.add_own_parts()?;
    resolver.finish(dialect, cut, unmatched)
}

/// An error that passes through a spool.
fn keep_error(slot: &mut Option<anyhow::Error>, error: anyhow::Error) -> io::Error {
    *slot = Some(error);
    io::Error::other("passed on")
}

impl Resolver {
    fn match_pairs(&mut self, mut edges: EdgeStore) -> anyhow::Result<Unmatched> {
        let any_name = self.collected.classifier.names.intern("".into());
        if let Some((_, end)) = self.recorded.extent {
            edges.end_all_by(end);
        }
        let of_threads =
            edges.match_threads(any_name, |begin, end, closed| self.take_pair(begin, end, closed))?;
        // Async spans are in no sum, but what is open of them is counted.
        let of_tracks = edges.match_tracks(any_name, |_, _, _| Ok(()))?;
        Ok(Unmatched {
            unclosed: of_threads.unclosed + of_tracks.unclosed,
            unopened: of_threads.unopened + of_tracks.unopened,
        })
    }

    fn take_pair(&mut self, begin: &Edge, end: i64, closed: bool) -> anyhow::Result<()> {
        let Edge { at: start, thread, name, correlation, step_number, .. } = *begin;
        match begin.known {
            Some(category) if category.is_on_device() => {
                let (device, external) = (begin.device, begin.external);
                self.collected.work.push(Work {
                    start,
                    end,
                    device,
                    correlation,
                    thread,
                    name,
                    category,
                    external,
                    stretch: false,
                })?;
            }
            Some(Category::CpuOp) => self.collected.operators.add(thread, start, end)?,
            Some(Category::Marker) if begin.repeats_mark => {}
            Some(Category::Step | Category::Marker) => {
                if let Some((kind, number)) = self.collected.mark_of(name, known_number(step_number)) {
                    let partial = !closed;
                    self.collected.push_mark(StepMark { kind, number, name, thread, start, end, partial })?;
                }
            }
            Some(Category::Runtime) if correlation != NO_NUMBER => {
                let text = self.collected.classifier.names.name(name);
                let kind = super::records::launch_kind(text.as_bytes());
                self.collected.launches.push(Launch { correlation, at: start, thread, kind })?;
            }
            Some(Category::Other) => self.collected.others.add(thread, start, end)?,
            Some(_) => {}
            None => {
                let Edge { index, traits, user, .. } = *begin;
                let row = Row { start, end, correlation, step_number, index, thread, name, traits, user };
                self.take_row(&row, !closed)?;
            }
        }
        Ok(())
    }

    fn take_row(&mut self, row: &Row, open: bool) -> anyhow::Result<()> {
        let meaning = self.collected.classifier.resolve_row(row.thread, row.traits, row.user);
        if meaning.nests && meaning.category.is_on_device() {
            return Ok(self.nested.push(*row)?);
        }
        self.take_meaning(row, &meaning, open)
    }

    fn take_meaning(&mut self, row: &Row, meaning: &RowMeaning, open: bool) -> anyhow::Result<()> {
        let Row { start, end, thread, name, .. } = *row;
        let device = meaning.device.unwrap_or(NO_DEVICE);
        match meaning.category {
            category if category.is_on_device() => {
                self.collected.work.push(work_of_row(row, meaning, (start, end), false))?;
                if self.collected.classifier.names.name(name).starts_with("hcom_receive") {
                    self.pieces.push(Piece { device, start, end, lane: Lane::Receive, scope: thread })?;
                }
            }
            Category::Marker if meaning.role == ProcessRole::Overlap => {
                if let Some(lane) = overlap_lane(self.collected.classifier.names.name(name)) {
                    self.pieces.push(Piece { device, start, end, lane, scope: thread })?;
                }
            }
            Category::Step => {
                let number = self.collected.classifier.names.name(name).trim().parse().ok();
                if number.is_some() {
                    let kind = MarkKind::Line;
                    self.collected.push_mark(StepMark {
                        kind,
                        number,
                        name,
                        thread,
                        start,
                        end,
                        partial: open,
                    })?;
                }
            }
            Category::CpuOp => self.collected.operators.add(thread, start, end)?,
            Category::Other | Category::Python if is_host(meaning.role) => {
                self.collected.others.add(thread, start, end)?;
                if let Some((kind, number)) = self.collected.mark_of(name, known_number(row.step_number)) {
                    self.collected.push_mark(StepMark {
                        kind,
                        number,
                        name,
                        thread,
                        start,
                        end,
                        partial: open,
                    })?;
                }
            }
            _ => {}
        }
        if matches!(meaning.role, ProcessRole::Hardware | ProcessRole::Communication) {
            self.tasks.push(Task { thread, start, end })?;
        }
        Ok(())
    }

    /// Operations of a TPU contain others: each is one event, and counts for the time in which it is the innermost.
    fn add_own_parts(&mut self) -> anyhow::Result<()> {
        let nested = std::mem::replace(&mut self.nested, Spool::new(self.collected.memory));
        let mut sorted = nested.into_sorted(|r| (r.thread, r.start, std::cmp::Reverse(r.end), r.index))?;
        let mut times: SelfTimes<Row> = SelfTimes::default();
        let mut parts = Vec::new();
        loop {
            let next = sorted.next_record()?;
            if let Some(row) = next {
                let meaning = self.collected.classifier.resolve_row(row.thread, row.traits, row.user);
                self.collected.work.push(work_of_row(&row, &meaning, (row.start, row.start), false))?;
            }
            let span = next.map(|r| Span { thread: r.thread, start: r.start, end: r.end, what: r });
            times.take(span, |row, from, to| parts.push((*row, from, to)));
            check_table_bytes((times.depth() * size_of::<Row>()) as u64, self.collected.memory)?;
            for (row, start, end) in parts.drain(..) {
                let meaning = self.collected.classifier.resolve_row(row.thread, row.traits, row.user);
                self.collected.work.push(work_of_row(&row, &meaning, (start, end), true))?;
            }
            if next.is_none() {
                return Ok(());
            }
        }
    }

    fn finish(mut self, dialect: Dialect, cut: bool, unmatched: Unmatched) -> anyhow::Result<Resolved> {
        let memory = self.collected.memory;
        let uses = self.find_uses()?;
        let scopes = Scopes::find(&self.collected.classifier.processes, &uses);
        if !self.recorded.impossible.is_empty() {
            self.leave_out_impossible()?;
        }
        let pieces = self.assign_pieces(&scopes)?;
        let named = self.collected.marks.iter().any(|mark| mark.kind == MarkKind::User);
        let step_names_unused = self.collected.step_names.has_user_names() && !named;
        let steps = self.find_steps(&scopes, cut);
        let untimed = std::mem::take(&mut self.collected.untimed).finish(&self.collected.classifier);
        let Collected {
            classifier,
            work,
            launches,
            tails,
            heads,
            operators,
            others,
            async_spans,
            tells_kinds,
            ..
        } = self.collected;
        // Operators count as host time; where a trace knows none, everything with a duration does. Its events decide which
        // it is, and not its format: a trace that is converted has the same sums.
        let told = tells_kinds || dialect == Dialect::Ascend || classifier.processes.has_ascend();
        let host = if !told && operators.is_empty() { others } else { operators };
        Ok(Resolved {
            memory,
            classifier,
            scopes,
            uses,
            steps,
            recorded: self.recorded,
            work,
            launches,
            pieces,
            tails,
            heads,
            tasks: self.tasks,
            host,
            unmatched,
            async_spans,
            untimed,
            step_names_unused,
        })
    }

    fn find_uses(&self) -> io::Result<Vec<ProcessUse>> {
        let processes = &self.collected.classifier.processes;
        let mut uses = vec![ProcessUse::default(); processes.count_processes()];
        let mut note = |thread: u32, used: fn(&mut ProcessUse)| {
            if let Some(process) = uses.get_mut(processes.process_of(thread) as usize) {
                used(process);
            }
            Ok(())
        };
        self.collected.work.for_each(|w| note(w.thread, |u| u.works = true))?;
        self.collected.launches.for_each(|l| note(l.thread, |u| u.launches = true))?;
        Ok(uses)
    }

    /// Takes work, marks and launches at impossible times away.
    fn leave_out_impossible(&mut self) -> anyhow::Result<()> {
        let memory = self.collected.memory;
        let recorded = &self.recorded;
        let mut kept = Spool::new(memory);
        self.collected
            .work
            .for_each(|w| if recorded.can_start_at(w.start) { kept.push(w) } else { Ok(()) })?;
        self.collected.work = kept;
        let mut launches = Spool::new(memory);
        self.collected
            .launches
            .for_each(|l| if recorded.can_start_at(l.at) { launches.push(l) } else { Ok(()) })?;
        self.collected.launches = launches;
        let mut pieces = Spool::new(memory);
        self.pieces.for_each(|p| if recorded.can_start_at(p.start) { pieces.push(p) } else { Ok(()) })?;
        self.pieces = pieces;
        self.collected.marks.retain(|m| recorded.can_start_at(m.start));
        self.collected.updates.retain(|u| recorded.can_start_at(u.start));
        Ok(())
    }

    /// Gives pieces of lanes, which were kept with their thread, their scope.
    fn assign_pieces(&mut self, scopes: &Scopes) -> io::Result<Spool<Piece, 4>> {
        let processes = &self.collected.classifier.processes;
        let mut out = Spool::new(self.collected.memory);
        let pieces = std::mem::replace(&mut self.pieces, Spool::new(self.collected.memory));
        pieces
            .for_each(|p| out.push(Piece { scope: scopes.of_process(processes.process_of(p.scope)), ..p }))?;
        Ok(out)
    }

    /// The steps of each scope: marked, or derived from its optimizer.
    fn find_steps(&mut self, scopes: &Scopes, cut: bool) -> Vec<Steps> {
        let processes = &self.collected.classifier.processes;
        let scope_of = |thread: u32| scopes.of_process(processes.process_of(thread)) as usize;
        let count = scopes.scopes.len();
        let mut marks: Vec<Vec<StepMark>> = vec![Vec::new(); count];
        for mark in self.collected.marks.drain(..) {
            marks[scope_of(mark.thread)].push(mark);
        }
        let mut updates = vec![Vec::new(); count];
        for update in self.collected.updates.drain(..) {
            updates[scope_of(update.thread)].push(update);
        }
        let begin = self.recorded.extent.map_or(0, |(begin, _)| begin);
        let steps_of = |(marks, updates): (Vec<StepMark>, _)| {
            let marked = Steps::from_marks(marks);
            let mut steps =
                if marked.all().is_empty() { Steps::from_optimizer(updates, begin) } else { marked };
            if cut {
                steps.mark_partial();
            }
            steps
        };
        marks.into_iter().zip(updates).map(steps_of).collect()
    }
}

/// The device work that a row, or a stretch of it, is.
fn work_of_row(row: &Row, meaning: &RowMeaning, (start, end): (i64, i64), stretch: bool) -> Work {
    let Row { thread, name, correlation, .. } = *row;
    let (device, category) = (meaning.device.unwrap_or(NO_DEVICE), meaning.category);
    Work { start, end, device, correlation, thread, name, category, external: false, stretch }
}

fn is_host(role: ProcessRole) -> bool {
    matches!(role, ProcessRole::None | ProcessRole::Host)
}

fn known_number(number: i64) -> Option<i64> {
    (number != NO_NUMBER).then_some(number)
}

impl Resolved {
    /// The scope of a thread, by number.
    pub(crate) fn scope_of(&self, thread: u32) -> u32 {
        self.scopes.of_process(self.classifier.processes.process_of(thread))
    }
}

/// The numbers of the steps that a trace marks, of all ranks in it.
///
/// # Errors
/// As [`resolve`].
pub fn find_marked_steps(collected: Collected, dialect: Dialect) -> anyhow::Result<BTreeSet<i64>> {
    let resolved = resolve(collected, dialect, false)?;
    let marked = resolved.steps.iter().filter(|steps| !steps.are_derived());
    Ok(marked.flat_map(|steps| steps.all().iter().map(|s| s.number)).collect())
}

/// Where some steps are.
#[derive(Clone, Debug, Default)]
pub struct FoundSteps {
    /// Their times on the host.
    pub spans: Vec<(i64, i64)>,
    /// The correlations of what they launched.
    pub launched: HashSet<i64>,
}

/// Finds the steps whose numbers are in a range.
///
/// # Errors
/// As [`resolve`].
pub fn find_steps(
    collected: Collected,
    dialect: Dialect,
    numbers: RangeInclusive<i64>,
) -> anyhow::Result<FoundSteps> {
    let resolved = resolve(collected, dialect, false)?;
    let mut found = FoundSteps::default();
    for steps in &resolved.steps {
        let wanted = steps.all().iter().filter(|s| numbers.contains(&s.number));
        found.spans.extend(wanted.map(|s| (s.start, s.end)));
    }
    resolved.launches.for_each(|l| {
        let steps = &resolved.steps[resolved.scope_of(l.thread) as usize];
        if steps.at(l.at).is_some_and(|i| numbers.contains(&steps.all()[i].number)) {
            found.launched.insert(l.correlation);
        }
        Ok(())
    })?;
    Ok(found)
}

impl CollectOptions {
    /// Makes a collector with these options.
    pub fn collector(&self) -> Collected {
        Collected::new(self)
    }
}

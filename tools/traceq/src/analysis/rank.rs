//! The kernels and operators that take the most time, by name.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io;

use trace::analysis::Edge;
use trace::analysis::collect::{CollectOptions, check_table_bytes};
use trace::analysis::edges::EdgeStore;
use trace::analysis::scopes::{ProcessUse, Scopes};
use trace::analysis::selftime::{SelfTimes, Span};
use trace::classifier::{Classified, EventClassifier};
use trace::model::{Category, Event, EventSink, FastMap, RowTraits, is_collective_call};
use trace::spool::{MemoryLimit, Spool, SpoolRecord};
use trace::steps::is_host_annotation;

/// A kind of event to rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum ListedKind {
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
    /// Collectives as the host calls them: c10d operators, record_param_comms, ranges such as nccl:all_reduce
    CollectiveCall,
}

impl ListedKind {
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
            Self::CollectiveCall => "collective-call",
        }
    }

    /// All of them.
    const ALL: [Self; 8] = [
        Self::Kernel,
        Self::Op,
        Self::Runtime,
        Self::Python,
        Self::Api,
        Self::Marker,
        Self::Other,
        Self::CollectiveCall,
    ];

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
pub(crate) struct ListedEntry {
    pub(crate) name: String,
    pub(crate) count: u64,
    pub(crate) total: i64,
    /// Host events only.
    pub(crate) own: Option<i64>,
    pub(crate) min: i64,
    pub(crate) max: i64,
}

/// The order of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ListOrder {
    /// Sum of durations
    #[default]
    Total,
    /// Sum of self times; for device work, of durations
    #[value(name = "self")]
    Own,
    /// How many there are
    Count,
}

/// A span that waits for the end of the file: for its self time, or for what its process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RankedSpan {
    start: i64,
    end: i64,
    /// `Ev Idx` or an operator's `External id`, which say what is within what among equal spans; the file's order does
    /// if there is neither.
    sequence: i64,
    index: u64,
    thread: u32,
    name: u32,
    /// None if its process or thread decides.
    kind: Option<ListedKind>,
    traits: RowTraits,
    user: Option<Category>,
}

impl SpoolRecord<6> for RankedSpan {
    fn to_words(self) -> [i64; 6] {
        let kind = self.kind.map_or(0xff, |k| k as i64);
        let user = self.user.map_or(0xff, |c| c as i64);
        let flags = kind | user << 8 | i64::from(self.traits.to_byte()) << 16;
        let ids = (u64::from(self.thread) << 32 | u64::from(self.name)) as i64;
        [self.start, self.end, self.sequence, self.index as i64, ids, flags]
    }

    fn from_words([start, end, sequence, index, ids, flags]: [i64; 6]) -> Self {
        Self {
            start,
            end,
            sequence,
            index: index as u64,
            thread: (ids as u64 >> 32) as u32,
            name: ids as u32,
            kind: ListedKind::ALL.get((flags & 0xff) as usize).copied(),
            traits: RowTraits::from_byte((flags >> 16) as u8),
            user: Category::ALL.get((flags >> 8 & 0xff) as usize).copied(),
        }
    }
}

/// Async spans have numbers of their own behind those of threads: each id is a track.
const FIRST_TRACK: u32 = 1 << 31;

/// Collects the kinds that are wanted.
pub(crate) struct Ranking {
    wanted: [bool; ListedKind::ALL.len()],
    memory: MemoryLimit,
    classifier: EventClassifier,
    /// Device work by process and name.
    device: FastMap<(u32, u32), ListedEntry>,
    spans: Spool<RankedSpan, 6>,
    edges: EdgeStore,
    launching: Vec<bool>,
    /// Whether a name is that of a collective's call, by its number.
    collective_calls: Vec<Option<bool>>,
    table_bytes: u64,
    names_seen: u32,
}

impl Ranking {
    /// For these kinds.
    pub(crate) fn new(wanted: &[ListedKind], options: &CollectOptions) -> Self {
        let memory = options.memory;
        Self {
            wanted: ListedKind::ALL.map(|by| wanted.contains(&by)),
            memory,
            classifier: EventClassifier::new(options.classes.clone()),
            device: FastMap::default(),
            spans: Spool::new(memory),
            edges: EdgeStore::new(memory),
            launching: Vec::new(),
            collective_calls: Vec::new(),
            table_bytes: 0,
            names_seen: 0,
        }
    }

    fn wants(&self, by: ListedKind) -> bool {
        self.wanted[by as usize]
    }

    fn take_span(&mut self, event: &Event<'_>, start: i64, end: i64) -> anyhow::Result<()> {
        let thread = self.classifier.processes.thread_of(event);
        self.edges.note_moment(thread, end);
        if event.category == Category::Runtime && event.correlation.is_some() {
            self.note_launch(thread);
        }
        let classified = self.classifier.classify(event);
        if self.wants(ListedKind::CollectiveCall)
            && matches!(classified, Classified::Known(Category::CpuOp | Category::Marker))
        {
            self.take_collective_call(event, thread, (start, end))?;
        }
        let (kind, traits, user) = match classified {
            Classified::Known(category) => match ListedKind::of_category(category) {
                Some(kind) if self.wants(kind) => (Some(kind), RowTraits::default(), None),
                _ => return Ok(()),
            },
            Classified::Row(traits, user) => (None, traits, user),
        };
        let name = self.classifier.intern_name(event);
        if kind == Some(ListedKind::Kernel) {
            let process = self.classifier.processes.process_of(thread);
            self.device.entry((process, name)).or_default().add_duration(end - start);
        } else {
            // The ids of operators grow as they begin, too; old traces have no other order.
            let of_operator = event.external.filter(|_| kind == Some(ListedKind::Op));
            let sequence = event.sequence.or(of_operator).unwrap_or(i64::MAX);
            let index = event.index;
            self.spans.push(RankedSpan { start, end, sequence, index, thread, name, kind, traits, user })?;
        }
        self.check_tables(event)
    }

    /// Keeps a call of a collective. It is an operator or a range as well, and listed there, too.
    fn take_collective_call(
        &mut self,
        event: &Event<'_>,
        thread: u32,
        (start, end): (i64, i64),
    ) -> io::Result<()> {
        if !is_host_annotation(event.cat.raw) {
            return Ok(());
        }
        let name = self.classifier.intern_name(event);
        let slot = name as usize;
        if slot >= self.collective_calls.len() {
            self.collective_calls.resize(slot + 1, None);
        }
        let text = self.classifier.names.name(name);
        if !*self.collective_calls[slot].get_or_insert_with(|| is_collective_call(text)) {
            return Ok(());
        }
        self.spans.push(RankedSpan {
            start,
            end,
            sequence: event.sequence.unwrap_or(i64::MAX),
            index: event.index,
            thread,
            name,
            kind: Some(ListedKind::CollectiveCall),
            traits: RowTraits::default(),
            user: None,
        })
    }

    fn note_launch(&mut self, thread: u32) {
        let process = self.classifier.processes.process_of(thread) as usize;
        if process >= self.launching.len() {
            self.launching.resize(process + 1, false);
        }
        self.launching[process] = true;
    }

    /// Takes an event that is no span, or only one end of it.
    fn take_point(&mut self, event: &Event<'_>, at: i64) -> anyhow::Result<()> {
        match event.phase {
            b'B' | b'E' => self.edges.take_edge(&mut self.classifier, event, at)?,
            b'b' | b'e' | b'S' | b'F' if self.wants(ListedKind::Other) => {
                let bytes = self.edges.take_track_edge(&mut self.classifier, event, at)?;
                self.charge(bytes)?;
            }
            _ => {
                let thread = self.classifier.processes.thread_of(event);
                self.edges.note_moment(thread, at.saturating_add(event.dur.unwrap_or(0)));
                return Ok(());
            }
        }
        self.check_tables(event)
    }

    fn check_tables(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        let count = self.classifier.names.count_names();
        if count != self.names_seen {
            self.names_seen = count;
            self.charge(event.name.raw.len() * 2 + 256)?;
        }
        Ok(())
    }

    fn charge(&mut self, bytes: usize) -> anyhow::Result<()> {
        self.table_bytes += bytes as u64;
        check_table_bytes(self.table_bytes, self.memory)
    }

    /// Everything that was collected, by kind, rank and name.
    ///
    /// # Errors
    /// A temporary file cannot be used; the limit of memory is reached.
    pub(crate) fn finish(mut self) -> anyhow::Result<Ranked> {
        self.match_pairs()?;
        let spans = std::mem::replace(&mut self.spans, Spool::new(self.memory));
        let mut known = Spool::new(self.memory);
        spans.for_each(|span| self.resolve_span(span, &mut known))?;
        let scopes = self.find_scopes();
        let mut entries: BTreeMap<ListedKind, FastMap<(u32, u32), ListedEntry>> = BTreeMap::new();
        let kernels = entries.entry(ListedKind::Kernel).or_default();
        for ((process, name), entry) in std::mem::take(&mut self.device) {
            kernels.entry((scopes.of_process(process), name)).or_default().add_entry(&entry);
        }
        self.add_host_entries(known, &scopes, &mut entries)?;
        Ok(Ranked { classifier: self.classifier, scopes, entries })
    }

    fn find_scopes(&self) -> Scopes {
        let processes = &self.classifier.processes;
        let mut uses = vec![ProcessUse::default(); processes.count_processes()];
        for (used, launches) in uses.iter_mut().zip(&self.launching) {
            used.launches = *launches;
        }
        for (process, _) in self.device.keys() {
            uses[*process as usize].works = true;
        }
        Scopes::find(processes, &uses)
    }

    /// Counts device work, and keeps what is wanted of the rest.
    fn resolve_span(&mut self, mut span: RankedSpan, known: &mut Spool<RankedSpan, 6>) -> io::Result<()> {
        if span.kind.is_none() {
            // A track is no thread of a process: its spans are what they are.
            let category = if span.thread >= FIRST_TRACK {
                Category::Other
            } else {
                self.classifier.resolve_row(span.thread, span.traits, span.user).category
            };
            span.kind = ListedKind::of_category(category).filter(|k| self.wants(*k));
        }
        match span.kind {
            Some(ListedKind::Kernel) => {
                let process = self.classifier.processes.process_of(span.thread);
                self.device.entry((process, span.name)).or_default().add_duration(span.end - span.start);
                Ok(())
            }
            Some(_) => known.push(span),
            None => Ok(()),
        }
    }

    fn add_host_entries(
        &self,
        spans: Spool<RankedSpan, 6>,
        scopes: &Scopes,
        entries: &mut BTreeMap<ListedKind, FastMap<(u32, u32), ListedEntry>>,
    ) -> anyhow::Result<()> {
        let scope_of = |thread: u32| {
            let thread = self.thread_of_track(thread);
            scopes.of_process(self.classifier.processes.process_of(thread))
        };
        let mut sorted =
            spans.into_sorted(|s| (s.kind, s.thread, s.start, Reverse(s.end), s.sequence, s.index))?;
        let mut times: SelfTimes<(u32, u32)> = SelfTimes::default();
        let mut kind = None;
        loop {
            let next = sorted.next_record()?;
            let next_kind = next.and_then(|s| s.kind);
            let span = next.map(|s| Span {
                thread: s.thread,
                start: s.start,
                end: s.end,
                what: (scope_of(s.thread), s.name),
            });
            if let Some(list) = kind.and_then(|k| entries.get_mut(&k)) {
                let mut add = |key: &(u32, u32), from: i64, to: i64| {
                    if let Some(own) = list.get_mut(key).and_then(|e| e.own.as_mut()) {
                        *own = own.saturating_add(to - from);
                    }
                };
                if next_kind != kind {
                    times.take(None, &mut add);
                }
                times.take(span.filter(|_| next_kind == kind), &mut add);
                let bytes = times.depth() * size_of::<Span<(u32, u32)>>();
                check_table_bytes(bytes as u64, self.memory)?;
            }
            let Some((span, k)) = span.zip(next_kind) else { return Ok(()) };
            let entry = entries.entry(k).or_default().entry(span.what).or_default();
            entry.add_duration(span.end - span.start);
            entry.own.get_or_insert(0);
            if next_kind != kind {
                kind = next_kind;
                times.take(Some(span), |_, _, _| {});
            }
        }
    }

    /// The thread that used a track; a thread itself.
    fn thread_of_track(&self, number: u32) -> u32 {
        number.checked_sub(FIRST_TRACK).map_or(number, |track| self.edges.thread_of_track(track))
    }

    fn match_pairs(&mut self) -> anyhow::Result<()> {
        let any_name = self.classifier.names.intern("".into());
        let mut edges = std::mem::replace(&mut self.edges, EdgeStore::new(self.memory));
        edges.match_threads(any_name, |begin, end, _| Ok(self.keep_pair(begin, begin.thread, end)?))?;
        edges.match_tracks(any_name, |begin, end, _| {
            Ok(self.keep_pair(begin, FIRST_TRACK.saturating_add(begin.thread), end)?)
        })?;
        self.edges = edges;
        Ok(())
    }

    fn keep_pair(&mut self, begin: &Edge, thread: u32, end: i64) -> io::Result<()> {
        let kind = begin.known.and_then(ListedKind::of_category);
        if begin.known.is_some() && kind.is_none_or(|k| !self.wants(k)) {
            return Ok(());
        }
        let Edge { at: start, index, name, traits, user, .. } = *begin;
        self.spans.push(RankedSpan {
            start,
            end,
            sequence: i64::MAX,
            index,
            thread,
            name,
            kind,
            traits,
            user,
        })
    }
}

/// The ranked lists.
pub(crate) struct Ranked {
    classifier: EventClassifier,
    pub(crate) scopes: Scopes,
    entries: BTreeMap<ListedKind, FastMap<(u32, u32), ListedEntry>>,
}

impl Ranked {
    /// The entries of one kind and rank, the first `n` of that order, and the sum that shares are of.
    pub(crate) fn top(
        &self,
        by: ListedKind,
        scope: u32,
        order: ListOrder,
        n: usize,
    ) -> (Vec<ListedEntry>, i64) {
        let list = self.entries.get(&by).into_iter().flatten().filter(|((s, _), _)| *s == scope);
        let name = |((_, number), e): (&(u32, u32), &ListedEntry)| ListedEntry {
            name: self.classifier.names.name(*number).to_owned(),
            ..e.clone()
        };
        let mut entries: Vec<ListedEntry> = list.map(name).collect();
        let weight = |e: &ListedEntry| e.own.unwrap_or(e.total);
        let whole = entries.iter().fold(0i64, |sum, e| sum.saturating_add(weight(e)));
        let key = |e: &ListedEntry| match order {
            ListOrder::Total => e.total,
            ListOrder::Own => weight(e),
            ListOrder::Count => i64::try_from(e.count).unwrap_or(i64::MAX),
        };
        // Names break ties, so that the order of a file does not matter.
        entries.sort_by(|a, b| key(b).cmp(&key(a)).then_with(|| a.name.cmp(&b.name)));
        entries.truncate(n);
        (entries, whole)
    }
}

impl ListedEntry {
    fn add_duration(&mut self, dur: i64) {
        self.min = if self.count == 0 { dur } else { self.min.min(dur) };
        self.max = self.max.max(dur);
        self.count += 1;
        self.total = self.total.saturating_add(dur);
    }

    fn add_entry(&mut self, other: &Self) {
        self.min = if self.count == 0 { other.min } else { self.min.min(other.min) };
        self.max = self.max.max(other.max);
        self.count += other.count;
        self.total = self.total.saturating_add(other.total);
    }
}

impl EventSink for Ranking {
    fn event(&mut self, event: &Event<'_>) -> anyhow::Result<()> {
        match (event.phase, event.start, event.span()) {
            (b'M', ..) => {
                self.classifier.processes.learn(event);
                Ok(())
            }
            (b'X', _, Some((start, end))) => self.take_span(event, start, end),
            (_, Some(at), _) => self.take_point(event, at),
            _ => Ok(()),
        }
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
        let mut ranking = Ranking::new(&[ListedKind::Kernel, ListedKind::Op], &CollectOptions::default());
        for e in [
            event(Category::CpuOp, "outer", 0, 10),
            event(Category::CpuOp, "inner", 2, 3),
            event(Category::Kernel, "k", 0, 7),
            event(Category::Kernel, "k", 5, 1),
            event(Category::Python, "p", 0, 100),
        ] {
            ranking.event(&e).unwrap();
        }
        let ranked = ranking.finish().unwrap();
        let (ops, whole) = ranked.top(ListedKind::Op, 0, ListOrder::Own, 10);
        let own: Vec<_> = ops.iter().map(|e| (e.name.as_str(), e.total, e.own)).collect();
        assert_eq!((own, whole), (vec![("outer", 10, Some(7)), ("inner", 3, Some(3))], 10));
        let (kernels, whole) = ranked.top(ListedKind::Kernel, 0, ListOrder::Total, 10);
        let k = ListedEntry { name: "k".into(), count: 2, total: 8, own: None, min: 1, max: 7 };
        assert_eq!((kernels, whole), (vec![k], 8));
        assert_eq!(ranked.top(ListedKind::Python, 0, ListOrder::Total, 10), (vec![], 0));
    }
}

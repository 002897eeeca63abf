//! Begin and end events of threads and of async tracks, kept until the trace has been read.

use std::io;

use super::pairs::{EdgeThreads, Unmatched, match_edges};
use super::records::{Edge, NO_DEVICE, NO_NUMBER};
use crate::classifier::{Classified, EventClassifier};
use crate::model::{Event, EventId, FastMap, RowTraits};
use crate::spool::{MemoryLimit, Spool};
use crate::steps::is_host_annotation;

/// The key by which two async events belong together: category, scope and id, and the process for a local id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct TrackKey {
    cat: Box<[u8]>,
    scope: Box<[u8]>,
    id: String,
    process: Option<u32>,
}

/// The begins and ends of a trace.
pub struct EdgeStore {
    memory: MemoryLimit,
    edges: Spool<Edge, 7>,
    /// Whether the edges of a thread stand in the file in the order of time, as far as was seen; and the latest.
    in_order: Vec<(bool, i64)>,
    /// The last moment of each thread, by its number: when what is open on it ends.
    last_moments: Vec<i64>,
    tracks: FastMap<TrackKey, u32>,
    /// By track: the thread that was the first to use it.
    track_threads: Vec<u32>,
    track_edges: Spool<Edge, 7>,
}

impl EdgeStore {
    /// Nothing yet.
    pub fn new(memory: MemoryLimit) -> Self {
        Self {
            memory,
            edges: Spool::new(memory),
            in_order: Vec::new(),
            last_moments: Vec::new(),
            tracks: FastMap::default(),
            track_threads: Vec::new(),
            track_edges: Spool::new(memory),
        }
    }

    /// Takes notice of a moment of a thread: the start or the end of any event.
    #[inline]
    pub fn note_moment(&mut self, thread: u32, moment: i64) {
        let slot = thread as usize;
        if slot >= self.last_moments.len() {
            self.last_moments.resize(slot + 1, i64::MIN);
        }
        self.last_moments[slot] = self.last_moments[slot].max(moment);
    }

    /// Nothing lasts longer than the recording.
    pub fn end_all_by(&mut self, moment: i64) {
        self.last_moments.iter_mut().for_each(|m| *m = (*m).min(moment));
    }

    /// Keeps a begin or an end of a thread.
    ///
    /// # Errors
    /// An I/O error of a spool.
    pub fn take_edge(
        &mut self,
        classifier: &mut EventClassifier,
        event: &Event<'_>,
        at: i64,
    ) -> io::Result<()> {
        let thread = classifier.processes.thread_of(event);
        self.note_moment(thread, at);
        let slot = thread as usize;
        if slot >= self.in_order.len() {
            self.in_order.resize(slot + 1, (true, i64::MIN));
        }
        let (in_order, last) = &mut self.in_order[slot];
        *in_order &= at >= *last;
        *last = at;
        self.edges.push(edge_of_event(classifier, event, at, thread))
    }

    /// Keeps a begin or an end of an async span. Returns how many bytes the table of tracks grew.
    ///
    /// # Errors
    /// An I/O error of a spool.
    pub fn take_track_edge(
        &mut self,
        classifier: &mut EventClassifier,
        event: &Event<'_>,
        at: i64,
    ) -> io::Result<usize> {
        let thread = classifier.processes.thread_of(event);
        self.note_moment(thread, at);
        let id = match event.id {
            EventId::None => String::new(),
            EventId::Number(n) => n.to_string(),
            EventId::Text(t) => t.decode().into_owned(),
        };
        let process = event.local_id.then(|| classifier.processes.process_of(thread));
        let key = TrackKey { cat: event.cat.raw.into(), scope: event.scope.raw.into(), id, process };
        let next = self.track_threads.len() as u32;
        let (track, grown) = match self.tracks.get(&key) {
            Some(track) => (*track, 0),
            None => {
                let bytes = key.cat.len() + key.scope.len() + key.id.len() + 160;
                self.tracks.insert(key, next);
                self.track_threads.push(thread);
                (next, bytes)
            }
        };
        self.track_edges.push(edge_of_event(classifier, event, at, track))?;
        Ok(grown)
    }

    /// The thread that was the first to use a track.
    pub fn thread_of_track(&self, track: u32) -> u32 {
        self.track_threads.get(track as usize).copied().unwrap_or(0)
    }

    /// Calls `each` with every begin of a thread, its end, and whether that end is its own.
    ///
    /// # Errors
    /// The error of `each`; a temporary file cannot be used.
    pub fn match_threads(
        &mut self,
        any_name: u32,
        each: impl FnMut(&Edge, i64, bool) -> anyhow::Result<()>,
    ) -> anyhow::Result<Unmatched> {
        let edges = std::mem::replace(&mut self.edges, Spool::new(self.memory));
        let threads = EdgeThreads { in_order: &self.in_order, last_moments: &self.last_moments, any_name };
        match_edges(edges, threads, self.memory, each)
    }

    /// Calls `each` with every begin of a track, which stands in it in place of the thread, its end, and whether that
    /// end is its own.
    ///
    /// # Errors
    /// The error of `each`; a temporary file cannot be used.
    pub fn match_tracks(
        &mut self,
        any_name: u32,
        each: impl FnMut(&Edge, i64, bool) -> anyhow::Result<()>,
    ) -> anyhow::Result<Unmatched> {
        let edges = std::mem::replace(&mut self.track_edges, Spool::new(self.memory));
        // Tracks need not stand in the file in the order of time.
        let in_order = vec![(false, 0); self.track_threads.len()];
        let last = |thread: &u32| self.last_moments.get(*thread as usize).copied().unwrap_or(i64::MIN);
        let last_moments: Vec<i64> = self.track_threads.iter().map(last).collect();
        let threads = EdgeThreads { in_order: &in_order, last_moments: &last_moments, any_name };
        match_edges(edges, threads, self.memory, each)
    }
}

fn edge_of_event(classifier: &mut EventClassifier, event: &Event<'_>, at: i64, thread: u32) -> Edge {
    let name = classifier.intern_name(event);
    let (known, traits, user) = match classifier.classify(event) {
        Classified::Known(category) => (Some(category), RowTraits::default(), None),
        Classified::Row(traits, user) => (None, traits, user),
    };
    Edge {
        at,
        index: event.index,
        thread,
        name,
        begin: matches!(event.phase, b'B' | b'b' | b'S'),
        external: event.external.is_some(),
        repeats_mark: !is_host_annotation(event.cat.raw),
        known,
        traits,
        user,
        device: event.device.unwrap_or(NO_DEVICE),
        correlation: event.correlation.unwrap_or(NO_NUMBER),
        step_number: event.step_number.unwrap_or(NO_NUMBER),
    }
}

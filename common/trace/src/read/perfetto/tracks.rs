//! Tracks: which process and thread an event stands in.

use std::sync::Arc;

use super::super::emit::{Emitter, damaged_at, plain};
use super::super::error::ReadStop;
use super::messages::TrackDescriptor;
use crate::model::{EventId, FastMap};

/// Tracks that are no threads get numbers from here on.
const FIRST_OWN_THREAD: i64 = 1 << 40;

const MOST_TRACKS: usize = 1 << 22;

/// How far up the process of a track is looked for.
const DEEPEST: usize = 64;

/// Id of a process or thread.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum TrackId {
    Number(i64),
    Text(Arc<[u8]>),
}

/// The process and thread in which events stand.
pub(super) type Place = (TrackId, TrackId);

impl TrackId {
    /// The id, borrowed.
    pub(super) fn as_id(&self) -> EventId<'_> {
        match self {
            Self::Number(n) => EventId::Number(*n),
            Self::Text(text) => EventId::Text(plain(text)),
        }
    }

    /// The id of an event.
    pub(super) fn of_event(id: EventId<'_>) -> Self {
        match id {
            EventId::None => Self::Number(0),
            EventId::Number(n) => Self::Number(n),
            EventId::Text(text) => Self::Text(text.raw.into()),
        }
    }

    /// The id that a text is, as in JSON: one of plain digits is the number.
    fn of_text(text: &[u8]) -> Self {
        let number = std::str::from_utf8(text).ok().and_then(|t| t.parse::<i64>().ok());
        match number.filter(|n| n.to_string().as_bytes() == text) {
            Some(n) => Self::Number(n),
            None => Self::Text(text.into()),
        }
    }
}

/// One track.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    parent: Option<u64>,
    name: Vec<u8>,
    pid: Option<TrackId>,
    process_name: Vec<u8>,
    thread: Option<Place>,
    /// The thread that the description of a plain track gives, besides its process.
    described_thread: Option<TrackId>,
    /// The id of the async spans that it holds, as its description says.
    async_id: Option<TrackId>,
    /// Where its events stand, once one has been met.
    place: Option<Place>,
    /// A counter: what its values are multiplied with, and their sum if they are differences.
    multiplier: i64,
    running: Option<i64>,
}

/// All tracks.
#[derive(Debug, Default)]
pub(super) struct TrackTable {
    tracks: FastMap<u64, Track>,
    own_threads: i64,
    named_processes: FastMap<TrackId, (Vec<u8>, Vec<u8>)>,
}

impl TrackTable {
    /// Takes the definition of a track; a later text fills what was empty.
    pub(super) fn describe(
        &mut self,
        descriptor: &TrackDescriptor,
        emit: &mut Emitter<'_>,
    ) -> Result<(), ReadStop> {
        let uuid = descriptor.uuid.unwrap_or(0);
        let track = self.track_mut(uuid)?;
        track.parent = descriptor.parent.or(track.parent);
        let mut name = descriptor.name.as_ref().or(descriptor.static_name.as_ref());
        let mut labels = Vec::new();
        if let Some(process) = &descriptor.process {
            track.pid = process.pid.map(|pid| TrackId::Number(i64::from(pid))).or(track.pid.take());
            track.process_name = process.name.clone().unwrap_or_default();
            labels = process.labels.join(&b","[..]);
        }
        if let Some(thread) = &descriptor.thread {
            let pid = thread.pid.map(|pid| TrackId::Number(i64::from(pid))).or(track.pid.clone());
            track.thread =
                Some((pid.unwrap_or(TrackId::Number(0)), TrackId::Number(thread.tid.unwrap_or(0))));
            name = thread.name.as_ref().filter(|n| !n.is_empty()).or(name);
        }
        if let Some(counter) = &descriptor.counter {
            track.multiplier = counter.multiplier.filter(|m| *m > 0).unwrap_or(1);
            track.running = (counter.incremental == Some(true)).then_some(0);
        }
        if let (None, None, Some(text)) = (&descriptor.process, &descriptor.thread, &descriptor.description) {
            let about = PlainTrack::of_description(text, name.map_or(b"", |name| name));
            track.async_id = async_id_of(text).or(track.async_id.take());
            track.pid = about.pid.or(track.pid.take());
            track.described_thread = about.tid.or(track.described_thread.take());
            if let Some(process_name) = about.process_name {
                (track.process_name, labels) = (process_name.to_vec(), about.labels.to_vec());
                name = None;
            }
        }
        let named = name.filter(|n| !n.is_empty() && **n != track.name).cloned();
        if let Some(name) = named {
            track.name = name;
            if let Some((pid, tid)) = track.place.clone() {
                let name = track.name.clone();
                emit.emit_metadata("thread_name", "name", pid.as_id(), tid.as_id(), &name)?;
            }
        }
        let has_text = !track.process_name.is_empty() || !labels.is_empty();
        let named_process = track.pid.clone().filter(|_| has_text);
        if let Some(pid) = named_process {
            let name = track.process_name.clone();
            self.name_process(pid, name, labels, emit)?;
        }
        Ok(())
    }

    fn track_mut(&mut self, uuid: u64) -> Result<&mut Track, ReadStop> {
        if self.tracks.len() >= MOST_TRACKS && !self.tracks.contains_key(&uuid) {
            return Err(damaged_at(0, "the trace has more than four million tracks"));
        }
        Ok(self.tracks.entry(uuid).or_default())
    }

    fn name_process(
        &mut self,
        pid: TrackId,
        name: Vec<u8>,
        labels: Vec<u8>,
        emit: &mut Emitter<'_>,
    ) -> Result<(), ReadStop> {
        let (old_name, old_labels) = self.named_processes.entry(pid.clone()).or_default();
        if *old_name != name && !name.is_empty() {
            emit.emit_metadata("process_name", "name", pid.as_id(), EventId::None, &name)?;
            *old_name = name;
        }
        if *old_labels != labels && !labels.is_empty() {
            emit.emit_metadata("process_labels", "labels", pid.as_id(), EventId::None, &labels)?;
            *old_labels = labels;
        }
        Ok(())
    }

    /// The id of the async spans that a track holds, if it is one for those.
    pub(super) fn async_id(&self, uuid: u64) -> Option<&TrackId> {
        self.tracks.get(&uuid)?.async_id.as_ref()
    }

    /// The process and thread of a track's events. The first time, they are named.
    pub(super) fn place(&mut self, uuid: u64, emit: &mut Emitter<'_>) -> Result<Place, ReadStop> {
        if let Some(place) = self.tracks.get(&uuid).and_then(|t| t.place.clone()) {
            return Ok(place);
        }
        let process = self.process_of(uuid).unwrap_or(TrackId::Number(0));
        let track = self.track_mut(uuid)?;
        let name = track.name.clone();
        let told = track.thread.clone();
        let described = track.described_thread.clone().map(|tid| (process.clone(), tid));
        let place = told.or(described).unwrap_or_else(|| {
            let next = FIRST_OWN_THREAD + self.own_threads;
            self.own_threads += 1;
            (process, TrackId::Number(next))
        });
        self.track_mut(uuid)?.place = Some(place.clone());
        if !name.is_empty() && self.async_id(uuid).is_none() {
            emit.emit_metadata("thread_name", "name", place.0.as_id(), place.1.as_id(), &name)?;
        }
        Ok(place)
    }

    /// Names the threads on which nothing has happened.
    pub(super) fn name_idle_threads(&self, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
        let mut idle: Vec<(u64, &Track)> = self
            .tracks
            .iter()
            .filter(|(_, track)| track.place.is_none() && !track.name.is_empty())
            .map(|(uuid, track)| (*uuid, track))
            .collect();
        idle.sort_by_key(|(uuid, _)| *uuid);
        for (uuid, track) in idle {
            let described = || Some((self.process_of(uuid)?, track.described_thread.clone()?));
            if let Some((pid, tid)) = track.thread.clone().or_else(described) {
                emit.emit_metadata("thread_name", "name", pid.as_id(), tid.as_id(), &track.name)?;
            }
        }
        Ok(())
    }

    /// The process of a track, or of the nearest of its ancestors that has one.
    fn process_of(&self, mut uuid: u64) -> Option<TrackId> {
        for _ in 0..DEEPEST {
            let track = self.tracks.get(&uuid)?;
            if let Some(pid) = track.pid.as_ref().or(track.thread.as_ref().map(|(pid, _)| pid)) {
                return Some(pid.clone());
            }
            uuid = track.parent?;
        }
        None
    }

    pub(super) fn name(&self, uuid: u64) -> &[u8] {
        self.tracks.get(&uuid).map_or(b"", |t| &t.name)
    }

    /// A value of a counter that its track may want multiplied, or added up.
    pub(super) fn count(&mut self, uuid: u64, value: i64) -> i64 {
        let Some(track) = self.tracks.get_mut(&uuid) else { return value };
        let value = value.wrapping_mul(track.multiplier.max(1));
        match &mut track.running {
            Some(sum) => {
                *sum = sum.wrapping_add(value);
                *sum
            }
            None => value,
        }
    }

    /// The factor of a double of a counter.
    pub(super) fn multiplier(&self, uuid: u64) -> f64 {
        self.tracks.get(&uuid).map_or(1.0, |t| t.multiplier.max(1) as f64)
    }
}

/// The id in the description of a track for async spans: `async ID of pid ID`.
fn async_id_of(text: &[u8]) -> Option<TrackId> {
    let rest = text.strip_prefix(b"async ")?;
    Some(TrackId::of_text(&rest[..memchr::memmem::rfind(rest, b" of pid ")?]))
}

/// A plain track that stands for a process or thread whose id the kernel cannot have given: `tracecv` describes it in lines,
/// `pid ID` of a process, then `name NAME` and `labels LABELS`, if there are any; `pid ID, tid ID` of a thread, and
/// `lane N of pid ID, tid ID` of a further track of it, for slices that overlap others without being within them.
#[derive(Debug, Default)]
struct PlainTrack<'a> {
    pid: Option<TrackId>,
    tid: Option<TrackId>,
    /// Of a process; empty if it has none.
    process_name: Option<&'a [u8]>,
    labels: &'a [u8],
}

impl<'a> PlainTrack<'a> {
    /// Nothing if the description says something else: another writer's is for people. The name of a process repeats its id.
    fn of_description(text: &'a [u8], name: &[u8]) -> Self {
        let mut lines = match text
            .strip_prefix(b"lane ")
            .and_then(|rest| Some((rest, memchr::memmem::find(rest, b" of ")?)))
        {
            Some((rest, at)) => &rest[at + 4..],
            None => text,
        }
        .split(|b| *b == b'\n');
        let Some(ids) = lines.next().and_then(|line| line.strip_prefix(b"pid ")) else {
            return Self::default();
        };
        let repeated = [b"(pid ", ids, b")"].concat();
        if name.ends_with(&repeated) {
            let mut about =
                Self { pid: Some(TrackId::of_text(ids)), process_name: Some(b""), ..Self::default() };
            for line in lines {
                if let Some(name) = line.strip_prefix(b"name ") {
                    about.process_name = Some(name);
                } else if let Some(labels) = line.strip_prefix(b"labels ") {
                    about.labels = labels;
                }
            }
            return about;
        }
        let Some(at) = memchr::memmem::rfind(ids, b", tid ") else { return Self::default() };
        Self { tid: Some(TrackId::of_text(&ids[at + 6..])).filter(|_| at + 6 < ids.len()), ..Self::default() }
    }
}

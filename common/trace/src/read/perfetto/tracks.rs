//! Tracks: which process and thread an event stands in.

use super::super::emit::{Emitter, damaged_at};
use super::super::error::ReadStop;
use super::messages::TrackDescriptor;
use crate::model::FastMap;

/// Tracks that are no threads get numbers from here on.
const FIRST_OWN_THREAD: i64 = 1 << 40;

const MOST_TRACKS: usize = 1 << 22;

/// How far up the process of a track is looked for.
const DEEPEST: usize = 64;

/// One track.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    parent: Option<u64>,
    name: Vec<u8>,
    pid: Option<i64>,
    process_name: Vec<u8>,
    thread: Option<(i64, i64)>,
    /// Where its events stand, once one has been met.
    place: Option<(i64, i64)>,
    /// A counter: what its values are multiplied with, and their sum if they are differences.
    multiplier: i64,
    running: Option<i64>,
}

/// All tracks.
#[derive(Debug, Default)]
pub(super) struct TrackTable {
    tracks: FastMap<u64, Track>,
    own_threads: i64,
    named_processes: FastMap<i64, Vec<u8>>,
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
        if let Some(process) = &descriptor.process {
            track.pid = process.pid.map(i64::from).or(track.pid);
            track.process_name = process.name.clone().unwrap_or_default();
        }
        if let Some(thread) = &descriptor.thread {
            let pid = thread.pid.map(i64::from).or(track.pid);
            track.thread = Some((pid.unwrap_or(0), thread.tid.unwrap_or(0)));
            name = thread.name.as_ref().filter(|n| !n.is_empty()).or(name);
        }
        if let Some(counter) = &descriptor.counter {
            track.multiplier = counter.multiplier.filter(|m| *m > 0).unwrap_or(1);
            track.running = (counter.incremental == Some(true)).then_some(0);
        }
        let named = name.filter(|n| !n.is_empty() && **n != track.name).cloned();
        if let Some(name) = named {
            track.name = name;
            if let Some((pid, tid)) = track.place {
                let name = track.name.clone();
                emit.name_thread(pid, tid, &name)?;
            }
        }
        let named_process = track.pid.filter(|_| !track.process_name.is_empty());
        if let Some(pid) = named_process {
            let name = track.process_name.clone();
            self.name_process(pid, name, emit)?;
        }
        Ok(())
    }

    fn track_mut(&mut self, uuid: u64) -> Result<&mut Track, ReadStop> {
        if self.tracks.len() >= MOST_TRACKS && !self.tracks.contains_key(&uuid) {
            return Err(damaged_at(0, "the trace has more than four million tracks"));
        }
        Ok(self.tracks.entry(uuid).or_default())
    }

    fn name_process(&mut self, pid: i64, name: Vec<u8>, emit: &mut Emitter<'_>) -> Result<(), ReadStop> {
        if self.named_processes.get(&pid).is_some_and(|n| *n == name) {
            return Ok(());
        }
        emit.name_process(pid, &name)?;
        self.named_processes.insert(pid, name);
        Ok(())
    }

    /// The process and thread of a track's events. The first time, they are named.
    pub(super) fn place(&mut self, uuid: u64, emit: &mut Emitter<'_>) -> Result<(i64, i64), ReadStop> {
        if let Some(place) = self.tracks.get(&uuid).and_then(|t| t.place) {
            return Ok(place);
        }
        let process = self.process_of(uuid);
        let next = FIRST_OWN_THREAD + self.own_threads;
        let track = self.track_mut(uuid)?;
        let place = track.thread.unwrap_or((process.unwrap_or(0), next));
        let name = track.name.clone();
        track.place = Some(place);
        self.own_threads += i64::from(place.1 == next);
        if !name.is_empty() {
            emit.name_thread(place.0, place.1, &name)?;
        }
        Ok(place)
    }

    /// The process of a track, or of the nearest of its ancestors that has one.
    fn process_of(&self, mut uuid: u64) -> Option<i64> {
        for _ in 0..DEEPEST {
            let track = self.tracks.get(&uuid)?;
            if let Some(pid) = track.pid.or(track.thread.map(|(pid, _)| pid)) {
                return Some(pid);
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

    /// What a double of a counter is multiplied with.
    pub(super) fn multiplier(&self, uuid: u64) -> f64 {
        self.tracks.get(&uuid).map_or(1.0, |t| t.multiplier.max(1) as f64)
    }
}

//! Processes, threads, async tracks and counters, by number, with their names.

use trace::model::{Event, EventId, FastMap, RawText};

use super::text;
use crate::arguments::integer_argument;

/// An id that outlives its event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum OwnedId {
    /// Not given.
    #[default]
    None,
    Number(i64),
    Text(String),
}

impl From<EventId<'_>> for OwnedId {
    fn from(id: EventId<'_>) -> Self {
        match id {
            EventId::None => Self::None,
            EventId::Number(n) => Self::Number(n),
            EventId::Text(t) => Self::Text(text(t)),
        }
    }
}

impl OwnedId {
    /// The id, borrowed.
    pub(crate) fn as_id(&self) -> EventId<'_> {
        match self {
            Self::None => EventId::None,
            Self::Number(n) => EventId::Number(*n),
            Self::Text(text) => EventId::Text(RawText::from(text.as_str())),
        }
    }
}

impl std::fmt::Display for OwnedId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::Number(n) => write!(f, "{n}"),
            Self::Text(t) => f.write_str(t),
        }
    }
}

/// A process, as its id and metadata say.
#[derive(Debug, Default)]
pub(crate) struct TrackProcess {
    pub(crate) id: OwnedId,
    pub(crate) name: Option<String>,
    pub(crate) labels: Option<String>,
    pub(crate) sort_index: Option<i64>,
}

impl TrackProcess {
    /// The name for people: `python3.10 [GPU 0] (pid 4242)`.
    pub(crate) fn describe(&self) -> String {
        let name = self.name.as_deref().filter(|name| !name.is_empty()).unwrap_or("process");
        let labels = self.labels.as_deref().filter(|labels| !labels.is_empty());
        let labels = labels.map_or_else(String::new, |labels| format!(" [{labels}]"));
        match &self.id {
            OwnedId::None => format!("{name}{labels}"),
            id => format!("{name}{labels} (pid {id})"),
        }
    }
}

/// The content of a track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TrackKind {
    /// A thread, or a stream of a device, by its id.
    Thread(OwnedId),
    /// Async spans of one id.
    Async(OwnedId),
    /// The values of one series of a counter.
    Counter,
}

/// One line of slices or values.
#[derive(Debug)]
pub(crate) struct Track {
    pub(crate) process: u32,
    pub(crate) kind: TrackKind,
    pub(crate) name: Option<String>,
    pub(crate) sort_index: Option<i64>,
    /// The last moment on it.
    pub(crate) last: i64,
}

impl Track {
    /// The name for people.
    pub(crate) fn describe(&self) -> String {
        match (&self.kind, &self.name) {
            (_, Some(name)) if !name.is_empty() => name.clone(),
            (TrackKind::Thread(OwnedId::None), _) => "thread".to_owned(),
            (TrackKind::Thread(id), _) => format!("thread {id}"),
            (TrackKind::Async(_), _) => "async".to_owned(),
            (TrackKind::Counter, _) => "counter".to_owned(),
        }
    }
}

/// The key of async spans that belong together: category, scope, id, and the process if the id holds only there.
type AsyncKey = (String, String, OwnedId, Option<u32>);

/// The processes and tracks of a trace.
#[derive(Debug, Default)]
pub(crate) struct TrackTable {
    pub(crate) processes: Vec<TrackProcess>,
    pub(crate) tracks: Vec<Track>,
    by_pid: FastMap<OwnedId, u32>,
    by_thread: FastMap<(u32, OwnedId), u32>,
    by_async: FastMap<AsyncKey, u32>,
    by_counter: FastMap<(u32, String), u32>,
    /// The thread of the last event with numbers for ids.
    recent: Option<((i64, i64), u32)>,
}

impl TrackTable {
    /// The number of a thread's track.
    #[inline]
    pub(crate) fn track_of_thread(&mut self, pid: EventId<'_>, tid: EventId<'_>) -> u32 {
        let ids = pid.as_number().zip(tid.as_number());
        if let (Some(ids), Some((recent, track))) = (ids, self.recent) {
            if ids == recent {
                return track;
            }
        }
        let process = self.process_of(pid);
        let tid = OwnedId::from(tid);
        let track = match self.by_thread.get(&(process, tid.clone())) {
            Some(&track) => track,
            None => {
                let track = self.add(process, TrackKind::Thread(tid.clone()), None);
                self.by_thread.insert((process, tid), track);
                track
            }
        };
        if let Some(ids) = ids {
            self.recent = Some((ids, track));
        }
        track
    }

    /// The number of the track of an async event (Trace Event Format, "Async Events").
    pub(crate) fn track_of_async(&mut self, event: &Event<'_>) -> u32 {
        let process = self.process_of(event.pid);
        let within = event.local_id.then_some(process);
        let key = (text(event.cat), text(event.scope), OwnedId::from(event.id), within);
        if let Some(&track) = self.by_async.get(&key) {
            return track;
        }
        let name = match &key.2 {
            OwnedId::None => text(event.name),
            id => format!("{} {id}", if event.cat.is_empty() { text(event.name) } else { key.0.clone() }),
        };
        let track = self.add(process, TrackKind::Async(key.2.clone()), Some(name));
        self.by_async.insert(key, track);
        track
    }

    /// The number of the track of one series of a counter, which process, name and id identify.
    pub(crate) fn track_of_series(&mut self, event: &Event<'_>, series: &str) -> u32 {
        let process = self.process_of(event.pid);
        let mut name = text(event.name);
        if event.id != EventId::None {
            name = format!("{name} {}", OwnedId::from(event.id));
        }
        if !series.is_empty() {
            name = format!("{name}: {series}");
        }
        if let Some(&track) = self.by_counter.get(&(process, name.clone())) {
            return track;
        }
        let track = self.add(process, TrackKind::Counter, Some(name.clone()));
        self.by_counter.insert((process, name), track);
        track
    }

    fn add(&mut self, process: u32, kind: TrackKind, name: Option<String>) -> u32 {
        let track = self.tracks.len() as u32;
        self.tracks.push(Track { process, kind, name, sort_index: None, last: i64::MIN });
        track
    }

    fn process_of(&mut self, pid: EventId<'_>) -> u32 {
        let id = OwnedId::from(pid);
        if let Some(&process) = self.by_pid.get(&id) {
            return process;
        }
        let process = self.processes.len() as u32;
        self.processes.push(TrackProcess { id: id.clone(), ..TrackProcess::default() });
        self.by_pid.insert(id, process);
        process
    }

    /// Notes that a track reaches to this moment.
    pub(crate) fn note_moment(&mut self, track: u32, moment: i64) {
        if let Some(track) = self.tracks.get_mut(track as usize) {
            track.last = track.last.max(moment);
        }
    }

    /// Takes a metadata event. `false` if it names neither a process nor a thread.
    pub(crate) fn learn_name(&mut self, event: &Event<'_>) -> bool {
        let label = |of: RawText<'_>| Some(text(of));
        match event.name.raw {
            b"process_name" => self.process_mut(event).name = label(event.label),
            b"process_labels" => self.process_mut(event).labels = label(event.label),
            b"process_sort_index" => {
                self.process_mut(event).sort_index = integer_argument(event, "sort_index");
            }
            b"thread_name" => self.thread_mut(event).name = label(event.label),
            b"thread_sort_index" => {
                self.thread_mut(event).sort_index = integer_argument(event, "sort_index");
            }
            _ => return false,
        }
        true
    }

    fn process_mut(&mut self, event: &Event<'_>) -> &mut TrackProcess {
        let process = self.process_of(event.pid);
        &mut self.processes[process as usize]
    }

    fn thread_mut(&mut self, event: &Event<'_>) -> &mut Track {
        let track = self.track_of_thread(event.pid, event.tid);
        &mut self.tracks[track as usize]
    }
}

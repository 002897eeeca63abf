//! Tracks, described before their first event.
//!
//! Perfetto's processes and threads have the ids of the kernel: numbers of 32 bits above zero, of which 0 is the idle
//! process. Others (devices and streams, which Kineto numbers from 0, and the ids of Ascend, which are beyond 32 bits)
//! are plain tracks, whose names and descriptions give their ids. The description is for people, and for the reader of
//! `common/trace`: it is what brings the ids back.

use std::collections::HashSet;

use super::super::protobuf::Message;
use super::packet;
use crate::timeline::{OwnedId, TrackKind, TrackProcess, TrackTable};

/// Fields of `TrackDescriptor`.
const UUID: u32 = 1;
const NAME: u32 = 2;
const PROCESS: u32 = 3;
const THREAD: u32 = 4;
const PARENT: u32 = 5;
const COUNTER: u32 = 8;
const CHILD_ORDERING: u32 = 11;
const RANK_AMONG_SIBLINGS: u32 = 12;
const DESCRIPTION: u32 = 14;
/// `TrackDescriptor.ChildTracksOrdering`.
const EXPLICIT: u64 = 3;

/// The tracks that have been described.
#[derive(Default)]
pub(super) struct Tracks {
    processes: HashSet<u32>,
    lanes: HashSet<(u32, usize)>,
    /// The last track, which the next event is probably on, too.
    last: Option<(u32, usize)>,
}

fn uuid_of_process(process: u32) -> u64 {
    1 << 60 | u64::from(process)
}

fn uuid_of_lane(track: u32, lane: usize) -> u64 {
    2 << 60 | (lane as u64) << 32 | u64::from(track)
}

impl Tracks {
    /// Writes the descriptor of a lane of a track, unless it has one. Returns the id of the lane.
    pub(super) fn describe(
        &mut self,
        table: &TrackTable,
        track: u32,
        lane: usize,
        mut write: impl FnMut(&Message) -> anyhow::Result<()>,
    ) -> anyhow::Result<u64> {
        let uuid = uuid_of_lane(track, lane);
        if self.last.replace((track, lane)) == Some((track, lane)) || !self.lanes.insert((track, lane)) {
            return Ok(uuid);
        }
        let process = table.tracks[track as usize].process;
        if self.processes.insert(process) {
            write(&in_packet(&describe_process(table, process)))?;
        }
        // A further lane is a track beside the first, of the same name.
        if lane > 0 && self.lanes.insert((track, 0)) {
            write(&in_packet(&describe_track(table, track, 0)))?;
        }
        write(&in_packet(&describe_track(table, track, lane)))?;
        Ok(uuid)
    }

    /// Writes the descriptors of processes and threads on which nothing happens: they have names.
    pub(super) fn describe_others(
        &mut self,
        table: &TrackTable,
        mut write: impl FnMut(&Message) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        for track in 0..table.tracks.len() as u32 {
            self.describe(table, track, 0, &mut write)?;
        }
        for process in 0..table.processes.len() as u32 {
            if self.processes.insert(process) {
                write(&in_packet(&describe_process(table, process)))?;
            }
        }
        Ok(())
    }
}

fn in_packet(descriptor: &Message) -> Message {
    let mut message = Message::default();
    message.number(packet::SEQUENCE_ID, super::SEQUENCE).message(packet::TRACK_DESCRIPTOR, descriptor);
    message
}

/// An id that the kernel could have given to a process or thread.
fn kernel_id(id: &OwnedId) -> Option<u64> {
    match id {
        OwnedId::Number(n) => i32::try_from(*n).ok().filter(|n| *n > 0).map(|n| n as u64),
        _ => None,
    }
}

fn describe_process(table: &TrackTable, number: u32) -> Message {
    let process = &table.processes[number as usize];
    let mut message = Message::default();
    message.number(UUID, uuid_of_process(number)).number(CHILD_ORDERING, EXPLICIT);
    if let Some(index) = process.sort_index.and_then(|index| i32::try_from(index).ok()) {
        message.signed(RANK_AMONG_SIBLINGS, i64::from(index));
    }
    match kernel_id(&process.id) {
        Some(pid) => {
            let mut descriptor = Message::default();
            descriptor.number(1, pid);
            if let Some(name) = &process.name {
                descriptor.text(6, name);
            }
            if let Some(labels) = &process.labels {
                descriptor.text(8, labels);
            }
            message.message(PROCESS, &descriptor);
        }
        None => {
            message.text(NAME, &process.describe()).text(DESCRIPTION, &describe_plain(process));
        }
    }
    message
}

/// The id of a process that is a plain track, with its name and labels in lines of their own.
fn describe_plain(process: &TrackProcess) -> String {
    let on_one_line = |text: &str| text.replace(['\n', '\r'], " ");
    let mut description = format!("pid {}", process.id);
    for (key, text) in [("name", &process.name), ("labels", &process.labels)] {
        if let Some(text) = text.as_deref().filter(|text| !text.is_empty()) {
            description.push_str(&format!("\n{key} {}", on_one_line(text)));
        }
    }
    description
}

fn describe_track(table: &TrackTable, number: u32, lane: usize) -> Message {
    let track = &table.tracks[number as usize];
    let process = &table.processes[track.process as usize];
    let mut message = Message::default();
    message.number(UUID, uuid_of_lane(number, lane)).number(PARENT, uuid_of_process(track.process));
    let rank =
        track.sort_index.and_then(|index| i32::try_from(index).ok()).map_or(i64::from(number), i64::from);
    message.signed(RANK_AMONG_SIBLINGS, rank);
    if let (TrackKind::Thread(id), 0) = (&track.kind, lane) {
        if let Some((pid, tid)) = kernel_id(&process.id).zip(kernel_id(id)) {
            let mut descriptor = Message::default();
            descriptor.number(1, pid).number(2, tid);
            if let Some(name) = &track.name {
                descriptor.text(5, name);
            }
            message.message(THREAD, &descriptor);
            return message;
        }
    }
    message.text(NAME, &track.describe());
    match &track.kind {
        TrackKind::Thread(id) if lane > 0 => {
            message.text(DESCRIPTION, &format!("lane {} of pid {}, tid {id}", lane + 1, process.id));
        }
        TrackKind::Thread(id) => _ = message.text(DESCRIPTION, &format!("pid {}, tid {id}", process.id)),
        TrackKind::Counter => _ = message.message(COUNTER, &Message::default()),
        TrackKind::Async(id) => {
            message.text(DESCRIPTION, &format!("async {id} of pid {}", process.id));
        }
    }
    message
}

//! The processes of a trace that belong to one rank.
//!
//! A profiler writes a file for each process. Tools that merge the files of several ranks keep the numbers of devices
//! and launches, which then stand for something else in each of them; they differ by the process id, into
//! which they write the rank (`[TP00] 83` and `[TP00] 0` of sglang's `profile_merger.py`), or the process's name or label.

use std::collections::BTreeMap;

use crate::model::{ProcessTable, rank_in_text};

/// How a process takes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProcessUse {
    /// It launches device work.
    pub launches: bool,
    /// Device work stands in it.
    pub works: bool,
}

/// The process of one rank in a merged file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The label that its processes have in common, such as `[TP00]`.
    pub label: Option<String>,
    /// The rank that this names.
    pub rank: Option<i64>,
}

/// The ranks of a file, and which process belongs to which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scopes {
    /// The ranks.
    pub scopes: Vec<Scope>,
    of_process: Vec<u32>,
}

impl Scopes {
    /// The rank that a process belongs to, by number.
    pub fn of_process(&self, process: u32) -> u32 {
        self.of_process.get(process as usize).copied().unwrap_or(0)
    }

    /// Returns whether the file holds several ranks.
    pub fn are_several(&self) -> bool {
        self.scopes.len() > 1
    }

    /// Finds the ranks. `uses` is by process.
    pub fn find(processes: &ProcessTable, uses: &[ProcessUse]) -> Self {
        let count = processes.count_processes();
        let tags: Vec<Option<Tag>> = (0..count as u32).map(|p| tag_of_process(processes, p)).collect();
        let mut found: BTreeMap<&Tag, ProcessUse> = BTreeMap::new();
        for (tag, used) in tags.iter().zip(uses) {
            let takes_part = |tag: &Tag| used.launches || used.works || tag.merged;
            if let Some(tag) = tag.as_ref().filter(|tag| takes_part(tag)) {
                let all = found.entry(tag).or_default();
                all.launches |= used.launches;
                all.works |= used.works;
            }
        }
        // A tag must have a host and a device to itself, or say that it is a rank, or a host. Traces that were merged here are
        // apart also where they have no device.
        let is_named = |tag: &Tag| tag.rank.is_some() || tag.is_host;
        let whole =
            |(tag, used): (&&Tag, &ProcessUse)| tag.merged || used.works && (used.launches || is_named(tag));
        let merged = found.iter().filter(|(tag, used)| whole((tag, used))).count() > 1;
        if !merged {
            return Self { scopes: vec![Scope::default()], of_process: vec![0; count] };
        }
        let mut scopes: Vec<Scope> = Vec::new();
        let mut numbers: BTreeMap<&Tag, u32> = BTreeMap::new();
        for tag in found.keys() {
            numbers.insert(tag, scopes.len() as u32);
            scopes.push(Scope { label: Some(tag.label.clone()), rank: tag.rank });
        }
        let mut rest = None;
        let mut of_process = Vec::new();
        for tag in &tags {
            of_process.push(match tag.as_ref().and_then(|t| numbers.get(t)) {
                Some(&number) => number,
                // What belongs to none of them stays by itself.
                None => *rest.get_or_insert_with(|| {
                    scopes.push(Scope::default());
                    scopes.len() as u32 - 1
                }),
            });
        }
        Self { scopes, of_process }
    }
}

/// The key that processes of one rank have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Tag {
    rank: Option<i64>,
    label: String,
    /// It is a host, whose devices are numbered from 0.
    is_host: bool,
    /// `tracecv merge` has written it.
    merged: bool,
}

impl Tag {
    fn new(rank: Option<i64>, label: String) -> Self {
        Self { rank, label, is_host: false, merged: false }
    }
}

fn tag_of_process(processes: &ProcessTable, process: u32) -> Option<Tag> {
    if let Some(label) = processes.merged_trace(process) {
        return Some(Tag { merged: true, ..Tag::new(rank_in_text(label), label.to_owned()) });
    }
    if let Some(text) = processes.text_process_id(process) {
        return tag_of_text(&text);
    }
    if let Some(rank) = processes.named_rank(process) {
        return Some(Tag::new(Some(rank), format!("rank {rank}")));
    }
    let host = processes.named_host(process)?;
    Some(Tag { is_host: true, ..Tag::new(None, host.to_owned()) })
}

/// The tag in a process id that is a text: `[TP00] 83`, `rank 1: 83`, `83_rank1`, `node1/83`.
fn tag_of_text(text: &str) -> Option<Tag> {
    if let Some((label, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return Some(Tag::new(only_number(label), format!("[{label}]")));
    }
    if let Some(rank) = rank_in_text(text) {
        return Some(Tag::new(Some(rank), format!("rank {rank}")));
    }
    // The process's own number stands at the end.
    let label = text.trim_end_matches(|c: char| c.is_ascii_digit());
    (label.len() < text.len() && label.bytes().any(|b| b.is_ascii_digit()))
        .then(|| Tag::new(None, label.trim_end_matches([' ', ':', '_', '-', '/', '.']).to_owned()))
}

/// The only number in a text, if it has one.
fn only_number(text: &str) -> Option<i64> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter(|n| !n.is_empty());
    let number = numbers.next()?;
    numbers.next().is_none().then(|| number.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Event, EventId};

    const HOST: ProcessUse = ProcessUse { launches: true, works: false };
    const DEVICE: ProcessUse = ProcessUse { launches: false, works: true };

    fn find(processes: &[(&'static str, ProcessUse)]) -> (Vec<Scope>, Vec<u32>) {
        let mut table = ProcessTable::default();
        for (id, _) in processes {
            let pid = id.parse().map_or(EventId::Text((*id).into()), EventId::Number);
            table.thread_of(&Event { phase: b'X', pid, ..Event::default() });
        }
        let uses: Vec<ProcessUse> = processes.iter().map(|(_, u)| *u).collect();
        let scopes = Scopes::find(&table, &uses);
        (scopes.scopes, scopes.of_process)
    }

    #[test]
    fn ranks_are_told_by_what_merging_tools_write() {
        let (scopes, of) =
            find(&[("[TP00] 83", HOST), ("[TP00] 0", DEVICE), ("[TP01] 84", HOST), ("[TP01] 0", DEVICE)]);
        let of_rank = |label: &str, rank| Scope { label: Some(label.to_owned()), rank };
        assert_eq!(
            (scopes, of),
            (vec![of_rank("[TP00]", Some(0)), of_rank("[TP01]", Some(1))], vec![0, 0, 1, 1])
        );
        let (scopes, of) =
            find(&[("83_rank1", HOST), ("0_rank1", DEVICE), ("rank 0: 83", HOST), ("rank 0: 0", DEVICE)]);
        assert_eq!((scopes.len(), of), (2, vec![1, 1, 0, 0]));
        let (scopes, _) =
            find(&[("node1/83", HOST), ("node1/0", DEVICE), ("node2/83", HOST), ("node2/0", DEVICE)]);
        assert_eq!(scopes[1], of_rank("node2", None));
        assert_eq!(only_number("DP0-TP1"), None);
    }

    #[test]
    fn merged_traces_are_apart_with_a_device_or_without() {
        let mut table = ProcessTable::default();
        for (pid, name) in
            [(1, "trace 0: python"), (2, "trace 0: /device:GPU:0"), (3, "trace 1: python"), (4, "other")]
        {
            let (pid, label) = (EventId::Number(pid), name.into());
            table.learn(&Event { phase: b'M', name: "process_name".into(), label, pid, ..Event::default() });
        }
        for used in [HOST, DEVICE, ProcessUse::default()] {
            let scopes = Scopes::find(&table, &[ProcessUse::default(), used, used, ProcessUse::default()]);
            let labels: Vec<_> = scopes.scopes.iter().map(|scope| scope.label.as_deref()).collect();
            assert_eq!(labels, [Some("trace 0"), Some("trace 1"), None]);
            assert_eq!(scopes.of_process, [0, 0, 1, 2]);
        }
    }

    #[test]
    fn one_rank_is_not_split() {
        for processes in [
            vec![("83", HOST), ("0", DEVICE), ("1", DEVICE)],
            vec![("host 83", HOST), ("GPU 0", DEVICE), ("GPU 1", DEVICE)],
            vec![("CPU functions", ProcessUse::default()), ("CUDA functions", DEVICE)],
            vec![("[TP00] 83", HOST), ("[TP00] 0", DEVICE), ("Spans", ProcessUse::default())],
        ] {
            assert_eq!(find(&processes).0, [Scope::default()], "{processes:?}");
        }
    }
}

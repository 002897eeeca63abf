//! The progress of the configs of the last requests, for clients that wait for the traces.

use std::collections::{BTreeMap, VecDeque};

use common::rpc::progress::{ConfigProgress, ConfigState};

use super::process::{ProcessKey, Uptime};

/// Maximum number of configs that are remembered; the oldest is forgotten first.
const MAX_REMEMBERED: usize = 8192;

/// The configs by their ids.
#[derive(Clone, Debug, Default)]
pub(super) struct ConfigHistory {
    records: BTreeMap<u64, ConfigRecord>,
    /// The ids in the order in which they were given.
    order: VecDeque<u64>,
}

/// The progress of one config, and when that was last known to change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ConfigRecord {
    pub(super) key: ProcessKey,
    pub(super) progress: ConfigProgress,
    pub(super) since: Uptime,
}

impl ConfigHistory {
    /// Remembers a config that has been made pending.
    pub(super) fn add(&mut self, trace_id: u64, key: ProcessKey, now: Uptime) {
        if self.order.len() >= MAX_REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.records.remove(&oldest);
            }
        }
        let record = ConfigRecord { key, progress: ConfigProgress::Pending, since: now };
        if self.records.insert(trace_id, record).is_none() {
            self.order.push_back(trace_id);
        }
    }

    /// Notes a change. What has ended stays ended.
    pub(super) fn note(&mut self, trace_id: Option<u64>, progress: ConfigProgress, now: Uptime) {
        let Some(record) = trace_id.and_then(|id| self.records.get_mut(&id)) else { return };
        use ConfigProgress::{EndedAfter, EndedBefore, Expired, Fetched, Pending};
        record.progress = match (record.progress, progress) {
            (Pending | Fetched, Fetched) => Fetched,
            (Pending, Expired) => Expired,
            (Pending, EndedAfter | EndedBefore) => EndedBefore,
            (Fetched, EndedAfter | EndedBefore) => EndedAfter,
            _ => return,
        };
        record.since = now;
    }

    pub(super) fn get(&self, trace_id: u64) -> Option<ConfigRecord> {
        self.records.get(&trace_id).copied()
    }
}

impl ConfigRecord {
    /// Converts it to what a client gets, without what only the process's entry knows.
    pub(super) fn to_state(self, trace_id: u64, now: Uptime) -> ConfigState {
        ConfigState {
            trace_id: trace_id.to_string(),
            state: self.progress,
            since_ms: u64::try_from(now.saturating_sub(self.since).as_millis()).unwrap_or(u64::MAX),
            last_poll_ms: None,
            profiler_busy: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(host_pid: i32) -> ProcessKey {
        ProcessKey { job_id: 0, uid: 1, host_pid }
    }

    #[test]
    fn a_config_goes_forward_only() {
        use ConfigProgress::{EndedAfter, EndedBefore, Expired, Fetched, Pending};
        let after = |steps: &[ConfigProgress]| {
            let mut history = ConfigHistory::default();
            history.add(7, key(1), Uptime::ZERO);
            for step in steps {
                history.note(Some(7), *step, Uptime::from_secs(1));
            }
            history.get(7).unwrap().progress
        };
        assert_eq!(after(&[]), Pending);
        assert_eq!(after(&[Fetched]), Fetched);
        assert_eq!(after(&[EndedAfter]), EndedBefore, "it was never fetched");
        assert_eq!(after(&[Fetched, EndedBefore]), EndedAfter);
        assert_eq!(after(&[Fetched, Expired]), Fetched);
        assert_eq!(after(&[Expired, Fetched]), Expired);
        assert_eq!(after(&[EndedBefore, Fetched]), EndedBefore);
    }

    #[test]
    fn the_history_is_bounded() {
        let mut history = ConfigHistory::default();
        for id in 0..2 * MAX_REMEMBERED as u64 {
            history.add(id, key(1), Uptime::ZERO);
        }
        assert_eq!((history.records.len(), history.order.len()), (MAX_REMEMBERED, MAX_REMEMBERED));
        assert!(history.get(0).is_none() && history.get(2 * MAX_REMEMBERED as u64 - 1).is_some());
    }
}

//! What the daemons say about the requests whose traces are waited for: a process that has ended writes nothing any more.
//!
//! Only profd answers. A daemon that does not know the question is not asked again.

use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use common::rpc::message::Request;
use common::rpc::progress::{ConfigProgress, ConfigState, ConfigStatesReply, MAX_TRACE_IDS};

use super::finder::ExpectedTrace;
use crate::daemon_address::DaemonAddress;
use crate::duration_text::format_duration;
use crate::fanout::{self, DaemonRequest, FanoutLimits};
use crate::reply::decode_reply;
use crate::runtime::ClientRuntime;
use crate::transport::Transport;

/// How often the daemons are asked.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long a running profiler may keep a process from a request: it may be about to end. libkineto asks every 5 s.
const BUSY_PATIENCE: Duration = Duration::from_secs(15);
/// How long the trace of a process that has ended may take to appear, for example on NFS.
const APPEARANCE_TIME: Duration = Duration::from_secs(5);

/// What identifies a request to one process: the place of its daemon, and the id.
pub(super) type RequestKey = (usize, String);

/// Why no trace will appear, and how long it may still appear all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceVerdict {
    pub(super) reason: String,
    pub(super) grace: Duration,
}

/// Asks the daemons on a thread of its own until it is dropped.
pub(super) struct ConfigInquiry {
    verdicts: Receiver<(RequestKey, TraceVerdict)>,
    /// Requests whose traces have appeared; the thread ends when this is dropped.
    settled: Sender<RequestKey>,
}

impl ConfigInquiry {
    /// Starts to ask about the traces that are expected. Without an id there is nothing to ask about. `outlives_process`:
    /// something else completes a trace after its process has ended.
    pub(super) fn start(
        transport: &Transport,
        parallel: usize,
        expected: &[ExpectedTrace],
        outlives_process: bool,
    ) -> Self {
        let mut open: BTreeMap<usize, (DaemonAddress, HashSet<u64>)> = BTreeMap::new();
        for trace in expected {
            let id = trace.trace_id.as_ref().and_then(|id| id.parse().ok());
            if let (Some(daemon), Some(id)) = (&trace.daemon, id) {
                open.entry(trace.place).or_insert_with(|| (daemon.clone(), HashSet::new())).1.insert(id);
            }
        }
        let (send, verdicts) = channel();
        let (settled, told) = channel();
        let transport = transport.clone();
        if !open.is_empty() {
            // The thread is not waited for: it may wait for a daemon.
            std::thread::spawn(move || {
                let keep = |verdict: &TraceVerdict| !(outlives_process && verdict.grace == APPEARANCE_TIME);
                ask_until_settled(&transport, parallel, open, &told, &send, keep);
            });
        }
        Self { verdicts, settled }
    }

    /// Returns what has become known since the last call.
    pub(super) fn take_verdicts(&self) -> impl Iterator<Item = (RequestKey, TraceVerdict)> {
        self.verdicts.try_iter()
    }

    /// Does not ask about this trace any more.
    pub(super) fn settle(&self, expected: &ExpectedTrace) {
        if let Some(id) = &expected.trace_id {
            let _ = self.settled.send((expected.place, id.clone()));
        }
    }
}

fn ask_until_settled(
    transport: &Transport,
    parallel: usize,
    mut open: BTreeMap<usize, (DaemonAddress, HashSet<u64>)>,
    told: &Receiver<RequestKey>,
    send: &Sender<(RequestKey, TraceVerdict)>,
    keep: impl Fn(&TraceVerdict) -> bool,
) {
    let Ok(runtime) = ClientRuntime::new() else { return };
    let limits = FanoutLimits { parallel, retries: 0, deadline: None };
    while !open.is_empty() {
        if !wait_for_next_round(told, &mut open) {
            return;
        }
        let places: Vec<usize> = open.keys().copied().collect();
        let requests = open.values().map(|(daemon, ids)| DaemonRequest {
            daemon: daemon.clone(),
            body: Request::ConfigStates { trace_ids: ids.iter().take(MAX_TRACE_IDS).copied().collect() }
                .encode()
                .into(),
        });
        let requests = requests.collect();
        let asked = runtime.block_on(fanout::query_all(transport, requests, limits, |exchange| {
            let place = places[exchange.index];
            let reply = match exchange.result {
                Ok(reply) => decode_reply::<ConfigStatesReply>(&reply.body),
                // It may be reachable again later.
                Err(e) if !e.is_refusal() => return Ok(()),
                Err(_) => {
                    open.remove(&place);
                    return Ok(());
                }
            };
            let Ok(reply) = reply else {
                open.remove(&place);
                return Ok(());
            };
            for state in &reply.configs {
                if let Some(verdict) = judge_state(state).filter(&keep) {
                    send.send(((place, state.trace_id.clone()), verdict))?;
                }
            }
            Ok(())
        }));
        // Nobody waits any more.
        if asked.is_err() {
            return;
        }
    }
}

/// Waits until the daemons are to be asked again, and returns whether anybody still wants to know.
fn wait_for_next_round(
    told: &Receiver<RequestKey>,
    open: &mut BTreeMap<usize, (DaemonAddress, HashSet<u64>)>,
) -> bool {
    let next = std::time::Instant::now() + INTERVAL;
    loop {
        match told.recv_timeout(next.saturating_duration_since(std::time::Instant::now())) {
            Ok((place, id)) => {
                let of_daemon = open.get_mut(&place);
                let is_last = of_daemon.zip(id.parse().ok()).is_some_and(|((_, ids), id)| {
                    ids.remove(&id);
                    ids.is_empty()
                });
                if is_last {
                    open.remove(&place);
                }
            }
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// Decides whether a trace can still appear.
fn judge_state(state: &ConfigState) -> Option<TraceVerdict> {
    let since = Duration::from_millis(state.since_ms);
    let (reason, grace) = match state.state {
        ConfigProgress::EndedBefore => {
            ("the process ended before it fetched the request".to_owned(), Duration::ZERO)
        }
        ConfigProgress::EndedAfter => {
            let reason = "the process has fetched the request, and ended without a complete trace";
            (reason.to_owned(), APPEARANCE_TIME)
        }
        ConfigProgress::Expired if state.profiler_busy => {
            (format!("{BUSY}, and the request has expired"), Duration::ZERO)
        }
        ConfigProgress::Expired => {
            let asked = match state.last_poll_ms {
                Some(ms) => format!("it last asked {} ago", format_duration(Duration::from_millis(ms))),
                None => "it no longer asks".to_owned(),
            };
            (format!("the process did not fetch the request before it expired; {asked}"), Duration::ZERO)
        }
        ConfigProgress::Pending if state.profiler_busy && since >= BUSY_PATIENCE => {
            let age = format_duration(Duration::from_secs(since.as_secs()));
            (format!("{BUSY}: the request has been waiting for {age}"), Duration::ZERO)
        }
        ConfigProgress::Pending | ConfigProgress::Fetched | ConfigProgress::Unknown => return None,
    };
    Some(TraceVerdict { reason, grace })
}

/// Why a process asks, and takes no request.
const BUSY: &str =
    "the profiler of the process is already running (torch.profiler, or another request), so it takes none";

#[cfg(test)]
mod tests {
    use super::*;

    fn state(state: ConfigProgress, since_ms: u64, profiler_busy: bool) -> ConfigState {
        ConfigState { trace_id: "7".into(), state, since_ms, last_poll_ms: Some(61_000), profiler_busy }
    }

    #[test]
    fn only_what_cannot_change_ends_a_wait() {
        use ConfigProgress::{EndedAfter, EndedBefore, Expired, Fetched, Pending, Unknown};
        let reason = |of: &ConfigState| judge_state(of).map(|v| v.reason);
        for open in [Pending, Fetched, Unknown] {
            assert_eq!(reason(&state(open, 600_000, false)), None, "{open:?}");
        }
        assert_eq!(reason(&state(Fetched, 600_000, true)), None, "it records");
        assert_eq!(reason(&state(Pending, 14_999, true)), None, "an earlier trace may be about to end");
        let busy = reason(&state(Pending, 15_400, true)).unwrap();
        assert!(busy.contains("already running") && busy.ends_with("waiting for 15 s"), "{busy}");
        let expired = reason(&state(Expired, 0, false)).unwrap();
        assert!(expired.ends_with("it last asked 61 s ago"), "{expired}");
        assert_eq!(judge_state(&state(EndedBefore, 0, false)).unwrap().grace, Duration::ZERO);
        assert!(judge_state(&state(EndedAfter, 0, false)).unwrap().grace > Duration::ZERO);
    }
}

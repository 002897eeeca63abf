//! Asks the daemons about the requests whose traces are waited for: a process that has ended writes nothing any more.
//!
//! Only profd answers. A daemon that does not know the question is not asked again.

use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use common::rpc::message::Request;
use common::rpc::progress::{ConfigProgress, ConfigState, ConfigStatesReply, MAX_TRACE_IDS};

use super::finder::ExpectedTrace;
use crate::daemon_address::DaemonAddress;
use crate::duration_text::format_duration;
use crate::fanout::{self, DaemonRequest, FanoutLimits};
use crate::reply::{RequestFailure, decode_reply};
use crate::runtime::ClientRuntime;
use crate::transport::Transport;

/// How often the daemons are asked. They hold their answers back that long, unless a process ends.
const INTERVAL: Duration = Duration::from_secs(2);
/// How long a running profiler may keep a process from a request: it may be about to end. libkineto asks every 5 s.
const BUSY_PATIENCE: Duration = Duration::from_secs(15);
/// How long the trace of a process that has ended may take to appear where another host has written it, such as on NFS.
pub(super) const APPEARANCE_TIME: Duration = Duration::from_secs(5);
/// How long a process may not ask: six polls of libkineto, which asks every 5 s. One that is stopped, hangs, or runs another
/// program by now asks no more.
const SILENCE_PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause after a daemon has not wanted to answer. It doubles from twice the interval.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// The key of a request to one process: the place of its daemon, and the id.
pub(super) type RequestKey = (usize, String);

/// Why no trace will appear, and how long it may still appear all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TraceVerdict {
    pub(super) reason: String,
    pub(super) grace: Duration,
}

/// What has become known about a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RequestNews {
    Verdict(TraceVerdict),
    State(RequestState),
}

/// The state of a request whose trace may still appear, for the message if the time is over first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RequestState {
    pub(super) text: String,
    /// Whether the process has not fetched it.
    pub(super) is_pending: bool,
}

/// A daemon that is asked.
struct AskedDaemon {
    address: DaemonAddress,
    /// The ids of the requests.
    open: HashSet<u64>,
    /// How long it is not asked after it has not wanted to answer.
    pause: Duration,
    /// When it may be asked again.
    not_before: Instant,
}

type AskedDaemons = BTreeMap<usize, AskedDaemon>;

/// Asks the daemons on a thread of its own until it is dropped.
pub(super) struct ConfigInquiry {
    news: Receiver<(RequestKey, RequestNews)>,
    /// Requests whose traces have appeared; the thread ends when this is dropped.
    settled: Sender<RequestKey>,
}

impl ConfigInquiry {
    /// Starts to ask about the traces that are expected. Without an id there is nothing to ask about. `after_end` is how long the
    /// trace of a process that has ended may take to appear; `None` if something else completes it.
    pub(super) fn start(
        transport: &Transport,
        parallel: usize,
        expected: &[ExpectedTrace],
        after_end: Option<Duration>,
    ) -> Self {
        let mut asked = AskedDaemons::new();
        for trace in expected {
            let id = trace.trace_id.as_ref().and_then(|id| id.parse().ok());
            if let (Some(daemon), Some(id)) = (&trace.daemon, id) {
                asked.entry(trace.place).or_insert_with(|| AskedDaemon::new(daemon.clone())).open.insert(id);
            }
        }
        let (send, news) = channel();
        let (settled, told) = channel();
        let transport = transport.clone();
        if !asked.is_empty() {
            // The thread is not waited for: it may wait for a daemon.
            std::thread::spawn(move || {
                ask_until_settled(&transport, parallel, asked, &told, &send, after_end);
            });
        }
        Self { news, settled }
    }

    /// Returns what has become known since the last call.
    pub(super) fn take_news(&self) -> impl Iterator<Item = (RequestKey, RequestNews)> {
        self.news.try_iter()
    }

    /// Does not ask about this trace any more.
    pub(super) fn settle(&self, expected: &ExpectedTrace) {
        if let Some(id) = &expected.trace_id {
            let _ = self.settled.send((expected.place, id.clone()));
        }
    }
}

impl AskedDaemon {
    fn new(address: DaemonAddress) -> Self {
        Self { address, open: HashSet::new(), pause: INTERVAL, not_before: Instant::now() }
    }

    /// Does not ask about these any more. Returns whether it has asked about any of them.
    fn forget(&mut self, ids: impl Iterator<Item = u64>) -> bool {
        let before = self.open.len();
        for id in ids {
            self.open.remove(&id);
        }
        self.open.len() < before
    }

    /// Waits longer before the next question: a rule of the daemon may limit requests, and older daemons count questions, too.
    fn slow_down(&mut self) {
        self.pause = (2 * self.pause).min(MAX_PAUSE);
        self.not_before = Instant::now() + self.pause;
    }
}

/// Why a daemon does not say the states of requests.
enum Unanswered {
    /// It does not know the question, or does not speak the protocol.
    Never,
    /// Its rules forbid it.
    Forbidden(String),
    /// It is busy, or has answered too often.
    Later(String),
}

impl Unanswered {
    fn of_failure(failure: RequestFailure) -> Self {
        match failure.code.as_deref() {
            _ if failure.is_unknown_function() => Self::Never,
            Some("forbidden") => Self::Forbidden(failure.reason),
            Some("frame" | "request" | "certificate") | None => Self::Never,
            Some(_) => Self::Later(failure.reason),
        }
    }
}

fn ask_until_settled(
    transport: &Transport,
    parallel: usize,
    mut asked: AskedDaemons,
    told: &Receiver<RequestKey>,
    send: &Sender<(RequestKey, RequestNews)>,
    after_end: Option<Duration>,
) {
    let Ok(runtime) = ClientRuntime::new() else { return };
    let limits = FanoutLimits { parallel, retries: 0, deadline: None };
    let mut next = Instant::now();
    while !asked.is_empty() {
        if !wait_for_next_round(told, &mut asked, next) {
            return;
        }
        let now = Instant::now();
        next = now + INTERVAL;
        // Where some daemons wait for their turn, none holds back the answer. The reply must come within the time limit.
        let wait = if asked.len() > parallel { Duration::ZERO } else { INTERVAL.min(transport.timeout / 2) };
        let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(0);
        let due: Vec<_> = asked.iter().filter(|(_, daemon)| daemon.not_before <= now).collect();
        let places: Vec<usize> = due.iter().map(|(place, _)| **place).collect();
        let requests = due.iter().map(|(_, daemon)| DaemonRequest {
            daemon: daemon.address.clone(),
            body: Request::ConfigStates {
                trace_ids: daemon.open.iter().take(MAX_TRACE_IDS).copied().collect(),
                wait_ms,
            }
            .encode()
            .into(),
        });
        let requests = requests.collect();
        let done = runtime.block_on(fanout::query_all(transport, requests, limits, |exchange| {
            let place = places[exchange.index];
            let reply = match exchange.result {
                Ok(reply) => decode_reply::<ConfigStatesReply>(&reply.body).map_err(Unanswered::of_failure),
                // It may be reachable again later.
                Err(e) if !e.is_refusal() => return Ok(()),
                Err(_) => Err(Unanswered::Never),
            };
            let unanswered = match reply {
                Ok(reply) => {
                    let ended = reply.configs.iter().filter(|config| config.state.is_final());
                    let ended = ended.filter_map(|config| config.trace_id.parse().ok());
                    if let Some(daemon) = asked.get_mut(&place) {
                        daemon.pause = INTERVAL;
                        // The answer came early: others of that daemon may come to their end as early.
                        if daemon.forget(ended) {
                            next = Instant::now();
                        }
                        if daemon.open.is_empty() {
                            asked.remove(&place);
                        }
                    }
                    for state in &reply.configs {
                        if let Some(news) = assess_state(state, after_end) {
                            send.send(((place, state.trace_id.clone()), news))?;
                        }
                    }
                    return Ok(());
                }
                Err(unanswered) => unanswered,
            };
            let reason = match &unanswered {
                Unanswered::Never => None,
                Unanswered::Forbidden(reason) | Unanswered::Later(reason) => Some(reason),
            };
            if let (Some(reason), Some(daemon)) = (reason, asked.get(&place)) {
                let text = format!("the daemon does not say what became of the request: {reason}");
                for id in &daemon.open {
                    let state = RequestState { text: text.clone(), is_pending: false };
                    send.send(((place, id.to_string()), RequestNews::State(state)))?;
                }
            }
            match (unanswered, asked.get_mut(&place)) {
                (Unanswered::Later(_), Some(daemon)) => daemon.slow_down(),
                _ => drop(asked.remove(&place)),
            }
            Ok(())
        }));
        // The wait has ended.
        if done.is_err() {
            return;
        }
    }
}

/// Waits until the daemons are to be asked again, and returns whether any trace is still waited for.
fn wait_for_next_round(told: &Receiver<RequestKey>, asked: &mut AskedDaemons, next: Instant) -> bool {
    loop {
        match told.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok((place, id)) => {
                let of_daemon = asked.get_mut(&place);
                let is_last = of_daemon.zip(id.parse().ok()).is_some_and(|(daemon, id)| {
                    daemon.open.remove(&id);
                    daemon.open.is_empty()
                });
                if is_last {
                    asked.remove(&place);
                }
            }
            Err(RecvTimeoutError::Timeout) => return true,
            Err(RecvTimeoutError::Disconnected) => return false,
        }
    }
}

/// Decides whether a trace can still appear. `None` for a state that this version does not know, or that does not matter.
/// `after_end` as for [`ConfigInquiry::start`].
fn assess_state(state: &ConfigState, after_end: Option<Duration>) -> Option<RequestNews> {
    let since = Duration::from_millis(state.since_ms);
    let last_poll = state.last_poll_ms.map(Duration::from_millis);
    let last_asked = match last_poll {
        Some(age) => format!("it last asked {} ago", format_duration(Duration::from_secs(age.as_secs()))),
        None => "it has never asked".to_owned(),
    };
    let open = |text: String, is_pending| Some(RequestNews::State(RequestState { text, is_pending }));
    let (reason, grace) = match state.state {
        ConfigProgress::EndedBefore => {
            ("the process ended before it fetched the request".to_owned(), Duration::ZERO)
        }
        ConfigProgress::EndedAfter => {
            let reason = "the process has fetched the request, and ended without a complete trace";
            (reason.to_owned(), after_end?)
        }
        ConfigProgress::Expired if state.profiler_busy => {
            (format!("{BUSY}, and the request has expired"), Duration::ZERO)
        }
        ConfigProgress::Expired => {
            let asked = if last_poll.is_some() { &last_asked } else { "it no longer asks" };
            (format!("the process did not fetch the request before it expired; {asked}"), Duration::ZERO)
        }
        ConfigProgress::Pending if state.profiler_busy && since >= BUSY_PATIENCE => {
            let age = format_duration(Duration::from_secs(since.as_secs()));
            (format!("{BUSY}: the request has been waiting for {age}"), Duration::ZERO)
        }
        ConfigProgress::Pending if state.profiler_busy => return open(BUSY.to_owned(), true),
        ConfigProgress::Pending => {
            let text = format!("the process has not fetched the request; {last_asked}");
            if since.min(last_poll.unwrap_or(since)) < SILENCE_PATIENCE {
                return open(text, true);
            }
            (format!("{text}, so it may be stopped, hang, or run another program"), Duration::ZERO)
        }
        ConfigProgress::Fetched => {
            let age = format_duration(Duration::from_secs(since.as_secs()));
            return open(format!("the process has fetched the request, {age} ago"), false);
        }
        ConfigProgress::Unknown => return None,
    };
    Some(RequestNews::Verdict(TraceVerdict { reason, grace }))
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

    fn verdict(of: &ConfigState) -> Option<TraceVerdict> {
        match assess_state(of, Some(APPEARANCE_TIME))? {
            RequestNews::Verdict(verdict) => Some(verdict),
            RequestNews::State(_) => None,
        }
    }

    fn open_state(of: &ConfigState) -> (String, bool) {
        let Some(RequestNews::State(state)) = assess_state(of, None) else { panic!("{of:?}") };
        (state.text, state.is_pending)
    }

    #[test]
    fn only_what_cannot_change_ends_a_wait() {
        use ConfigProgress::{EndedAfter, EndedBefore, Expired, Fetched, Pending, Unknown};
        let reason = |of: &ConfigState| verdict(of).map(|v| v.reason);
        for open in [Pending, Fetched, Unknown] {
            let asks = ConfigState { last_poll_ms: Some(4_000), ..state(open, 600_000, false) };
            assert_eq!(reason(&asks), None, "{open:?}");
        }
        assert_eq!(reason(&state(Fetched, 600_000, true)), None, "it records");
        assert_eq!(reason(&state(Pending, 14_999, true)), None, "an earlier trace may be about to end");
        let busy = reason(&state(Pending, 15_400, true)).unwrap();
        assert!(busy.contains("already running") && busy.ends_with("waiting for 15 s"), "{busy}");
        let expired = reason(&state(Expired, 0, false)).unwrap();
        assert!(expired.ends_with("it last asked 61 s ago"), "{expired}");
        assert_eq!(verdict(&state(EndedBefore, 0, false)).unwrap().grace, Duration::ZERO);
        assert!(verdict(&state(EndedAfter, 0, false)).unwrap().grace > Duration::ZERO);
        assert_eq!(assess_state(&state(EndedAfter, 0, false), None), None, "it is analyzed elsewhere");
    }

    #[test]
    fn a_process_that_asks_no_more_ends_a_wait_and_until_then_its_state_is_known() {
        use ConfigProgress::{Fetched, Pending};
        let silent = |since_ms, last_poll_ms| ConfigState { last_poll_ms, ..state(Pending, since_ms, false) };
        let text = "the process has not fetched the request; it last asked 29 s ago";
        assert_eq!(open_state(&silent(40_000, Some(29_900))), (text.to_owned(), true));
        assert!(open_state(&silent(1_000, Some(61_000))).1, "the request is new");
        for (last_poll_ms, words) in
            [(Some(31_000), "it last asked 31 s ago, so"), (None, "it has never asked, so")]
        {
            let reason = verdict(&silent(31_000, last_poll_ms)).unwrap().reason;
            assert!(reason.contains(words), "{reason}");
        }
        assert_eq!(
            open_state(&state(Fetched, 58_200, false)),
            ("the process has fetched the request, 58 s ago".to_owned(), false)
        );
    }
}

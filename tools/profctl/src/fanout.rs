//! One request to each of many daemons: a limited number of exchanges at a time, and one result per daemon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::daemon_address::DaemonAddress;
use crate::exchange_error::ExchangeError;
use crate::transport::{DaemonReply, Transport};

/// The pause before the second attempt; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// A request to one daemon.
#[derive(Clone, Debug)]
pub(crate) struct DaemonRequest {
    pub(crate) daemon: DaemonAddress,
    pub(crate) body: Arc<[u8]>,
}

/// How requests are spread over time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FanoutLimits {
    /// Maximum number of daemons that are queried at the same time.
    pub(crate) parallel: usize,
    /// Maximum number of further attempts for each daemon.
    pub(crate) retries: u8,
    /// When the run must have ended, and how long that was from its beginning.
    pub(crate) deadline: Option<(Instant, Duration)>,
}

/// An exchange with one daemon that has ended.
pub(crate) struct DaemonExchange {
    /// The place of its request in the list.
    pub(crate) index: usize,
    pub(crate) daemon: DaemonAddress,
    pub(crate) result: Result<DaemonReply, ExchangeError>,
    pub(crate) elapsed: Duration,
}

/// Sends every request, and passes on each exchange as it ends.
///
/// # Errors
/// The first error of `handle`; exchanges that have not ended are dropped then.
pub(crate) async fn query_all(
    transport: &Transport,
    requests: Vec<DaemonRequest>,
    limits: FanoutLimits,
    mut handle: impl FnMut(DaemonExchange) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut waiting = requests.into_iter().enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < limits.parallel.max(1) {
            let Some((index, request)) = waiting.next() else { break };
            running.spawn(query_one(transport.clone(), index, request, limits));
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(exchange) => handle(exchange?)?,
        }
    }
}

async fn query_one(
    transport: Transport,
    index: usize,
    request: DaemonRequest,
    limits: FanoutLimits,
) -> DaemonExchange {
    let start = Instant::now();
    let DaemonRequest { daemon, body } = request;
    let attempts = query_with_retries(&transport, &daemon, &body, limits.retries);
    let result = match limits.deadline {
        None => attempts.await,
        Some((at, limit)) => {
            tokio::time::timeout_at(at.into(), attempts).await.unwrap_or(Err(ExchangeError::Deadline(limit)))
        }
    };
    DaemonExchange { index, daemon, result, elapsed: start.elapsed() }
}

async fn query_with_retries(
    transport: &Transport,
    daemon: &DaemonAddress,
    body: &[u8],
    retries: u8,
) -> Result<DaemonReply, ExchangeError> {
    let mut pause = FIRST_PAUSE;
    for _ in 0..retries {
        match transport.send_request(daemon, body).await {
            Err(e) if e.is_worth_retrying() => tokio::time::sleep(pause).await,
            result => return result,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
    transport.send_request(daemon, body).await
}

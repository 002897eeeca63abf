//! One request to many daemons: a limited number of exchanges at a time, and one result per daemon.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::daemon_address::DaemonAddress;
use crate::exchange_error::ExchangeError;
use crate::transport::{DaemonReply, Transport};

/// An exchange with one daemon that has ended.
pub(crate) struct DaemonExchange {
    pub(crate) daemon: DaemonAddress,
    pub(crate) result: Result<DaemonReply, ExchangeError>,
    pub(crate) elapsed: Duration,
}

/// Sends `body` to every daemon, to at most `parallel` at a time, and passes on each exchange as it ends.
///
/// # Errors
/// The first error of `handle`; exchanges that have not ended are dropped then.
pub(crate) async fn query_all(
    transport: &Transport,
    daemons: &[DaemonAddress],
    parallel: usize,
    body: Vec<u8>,
    mut handle: impl FnMut(DaemonExchange) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let body: Arc<[u8]> = body.into();
    let mut waiting = daemons.iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < parallel.max(1) {
            let Some(daemon) = waiting.next() else { break };
            running.spawn(query_one(transport.clone(), daemon.clone(), Arc::clone(&body)));
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(exchange) => handle(exchange?)?,
        }
    }
}

async fn query_one(transport: Transport, daemon: DaemonAddress, body: Arc<[u8]>) -> DaemonExchange {
    let start = Instant::now();
    let result = transport.send_request(&daemon, &body).await;
    DaemonExchange { daemon, result, elapsed: start.elapsed() }
}

//! One question to many daemons: a bounded number at a time, and one answer for each, whatever happened to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::failure::Failure;
use crate::target::Target;
use crate::transport::{Reply, Transport};

/// What came of one daemon.
pub(crate) struct Outcome {
    pub(crate) target: Target,
    pub(crate) result: Result<Reply, Failure>,
    pub(crate) elapsed: Duration,
}

/// Asks every target, `width` at a time, and hands over each outcome as it comes.
///
/// # Errors
/// What `each` says; the questions still under way are dropped then.
pub(crate) async fn ask(
    transport: &Transport,
    targets: &[Target],
    width: usize,
    body: Vec<u8>,
    mut each: impl FnMut(Outcome) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let body: Arc<[u8]> = body.into();
    let mut waiting = targets.iter();
    let mut running = JoinSet::new();
    loop {
        while running.len() < width.max(1) {
            let Some(target) = waiting.next() else { break };
            running.spawn(one(transport.clone(), target.clone(), Arc::clone(&body)));
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(outcome) => each(outcome?)?,
        }
    }
}

async fn one(transport: Transport, target: Target, body: Arc<[u8]>) -> Outcome {
    let start = Instant::now();
    let result = transport.exchange(&target, &body).await;
    Outcome { target, result, elapsed: start.elapsed() }
}

//! Metrics: a queue, and a thread that writes them to sinks. A sink that stalls fills the queue; further metrics are
//! dropped and counted, and nothing else is delayed.

pub(crate) mod batch;
pub(crate) mod jsonl;
pub(crate) mod metric;
pub(crate) mod stream;

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::record::profd::Metric;
use tokio::sync::oneshot;

use crate::core::user_shares::{NoRoom, UserShares};
use crate::counters::Counters;
use crate::log::DaemonLog;
use metric::{ReceivedMetric, decode_metric};

/// Maximum number of metrics that are taken from the queue before the sinks are flushed.
const MAX_BATCH: usize = 1024;

/// A destination of metrics.
pub(crate) trait MetricSink: Send {
    /// Writes a metric, which may be buffered until [`Self::flush`].
    fn write(&mut self, metric: &Metric);

    /// Writes what is buffered. The sink counts and logs what it could not write.
    fn flush(&mut self);
}

/// The queue before the sinks. Cheap to clone; the thread of the sinks ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct MetricQueue {
    sender: SyncSender<ReceivedMetric>,
    /// The metrics in the queue by user, so that one user does not fill it.
    shares: Arc<Mutex<UserShares>>,
    counters: Arc<Counters>,
    log: DaemonLog,
}

impl MetricQueue {
    /// Queues a metric, or counts it as dropped.
    pub(crate) fn push(&self, metric: ReceivedMetric) {
        let account = metric.sender.account;
        let mut shares = lock_shares(&self.shares);
        if let Err(no_room) = shares.check_room(account) {
            let why = match no_room {
                NoRoom::TableFull => "dropped: the queue is full (--metric-queue)",
                NoRoom::ShareUsed => {
                    "dropped: one user fills as much of the queue as is free (--metric-queue)"
                }
            };
            self.counters.metrics_queue_full.increment();
            return self.log.limited("metric queue", "metrics", why);
        }
        if self.sender.try_send(metric).is_ok() {
            shares.add(account);
        }
    }
}

/// The thread of the sinks.
#[derive(Debug)]
pub(crate) struct SinkThread {
    done: oneshot::Receiver<()>,
}

fn lock_shares(shares: &Mutex<UserShares>) -> MutexGuard<'_, UserShares> {
    shares.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread of the sinks. `capacity` is the maximum number of metrics in the queue, which several
/// users may share.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn start_sinks(
    mut sinks: Vec<Box<dyn MetricSink>>,
    capacity: usize,
    is_shared: bool,
    counters: Arc<Counters>,
    log: DaemonLog,
) -> io::Result<(MetricQueue, SinkThread)> {
    let (sender, metrics) = sync_channel(capacity);
    let (end, done) = oneshot::channel::<()>();
    let shares = Arc::new(Mutex::new(UserShares::new(capacity, is_shared)));
    let queue = MetricQueue { sender, shares: shares.clone(), counters: counters.clone(), log: log.clone() };
    std::thread::Builder::new().name("profd-metrics".into()).spawn(move || {
        write_metrics(&metrics, &shares, &mut sinks, &counters, &log);
        drop(sinks);
        drop(end);
    })?;
    Ok((queue, SinkThread { done }))
}

impl SinkThread {
    /// Waits until every queued metric is written and the sinks are dropped. All clones of the queue must be dropped.
    pub(crate) async fn finished(self) {
        let _ = self.done.await;
    }
}

fn write_metrics(
    metrics: &Receiver<ReceivedMetric>,
    shares: &Mutex<UserShares>,
    sinks: &mut [Box<dyn MetricSink>],
    counters: &Counters,
    log: &DaemonLog,
) {
    // The sinks are flushed after each batch, so there is nothing to write while the queue is empty.
    while let Ok(first) = metrics.recv() {
        for metric in std::iter::once(first).chain(metrics.try_iter().take(MAX_BATCH)) {
            lock_shares(shares).remove(metric.sender.account);
            match decode_metric(&metric) {
                Ok(record) => sinks.iter_mut().for_each(|s| s.write(&record)),
                Err(e) => {
                    counters.metrics_invalid.increment();
                    log.limited(
                        "metric",
                        "metrics",
                        format_args!("dropped one of pid {}: {e}", metric.sender.host_pid),
                    );
                }
            }
        }
        sinks.iter_mut().for_each(|s| s.flush());
    }
}

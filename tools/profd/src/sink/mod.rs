//! Metrics: a queue, and a thread that writes them to sinks. A sink that stalls fills the queue; further metrics are
//! dropped and counted, and nothing else is delayed.

pub(crate) mod batch;
pub(crate) mod jsonl;
pub(crate) mod metric;
pub(crate) mod stream;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use common::record::profd::Metric;
use tokio::sync::oneshot;

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
    counters: Arc<Counters>,
    log: DaemonLog,
}

impl MetricQueue {
    /// Queues a metric, or counts it as dropped.
    pub(crate) fn push(&self, metric: ReceivedMetric) {
        if self.sender.try_send(metric).is_err() {
            self.counters.metrics_queue_full.increment();
            self.log.limited("metric queue", "metrics", "dropped: the queue is full (--metric-queue)");
        }
    }
}

/// The thread of the sinks.
#[derive(Debug)]
pub(crate) struct SinkThread {
    done: oneshot::Receiver<()>,
}

/// Starts the thread of the sinks. `capacity` is the maximum number of metrics in the queue.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn start_sinks(
    mut sinks: Vec<Box<dyn MetricSink>>,
    capacity: usize,
    counters: Arc<Counters>,
    log: DaemonLog,
) -> io::Result<(MetricQueue, SinkThread)> {
    let (sender, metrics) = sync_channel(capacity);
    let (end, done) = oneshot::channel::<()>();
    let queue = MetricQueue { sender, counters: counters.clone(), log: log.clone() };
    std::thread::Builder::new().name("profd-metrics".into()).spawn(move || {
        write_metrics(&metrics, &mut sinks, &counters, &log);
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
    sinks: &mut [Box<dyn MetricSink>],
    counters: &Counters,
    log: &DaemonLog,
) {
    // The sinks are flushed after each batch, so there is nothing to write while the queue is empty.
    while let Ok(first) = metrics.recv() {
        for metric in std::iter::once(first).chain(metrics.try_iter().take(MAX_BATCH)) {
            match decode_metric(&metric) {
                Ok(record) => sinks.iter_mut().for_each(|s| s.write(&record)),
                Err(e) => {
                    counters.metrics_invalid.increment();
                    log.limited(
                        "metric",
                        "metrics",
                        format_args!("dropped one of pid {}: {e}", metric.host_pid),
                    );
                }
            }
        }
        sinks.iter_mut().for_each(|s| s.flush());
    }
}

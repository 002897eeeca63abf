//! Where metrics go. A queue and a thread stand before the sinks: one that stalls loses its own points, counts
//! them, and slows nobody.

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
use metric::ReceivedMetric;

/// Metrics taken off the queue before what they came to is written out.
const BURST: usize = 1024;

/// Something that keeps metrics.
pub(crate) trait MetricSink: Send {
    /// Takes a metric. It may be kept back until [`Self::flush`].
    fn write(&mut self, metric: &Metric);

    /// Writes out what was kept back. Failing is the sink's own affair: it counts what it lost.
    fn flush(&mut self);
}

/// The way to the sinks. Cheap to clone; the sinks end when the last one is dropped.
#[derive(Clone, Debug)]
pub(crate) struct MetricQueue {
    sender: SyncSender<ReceivedMetric>,
    counters: Arc<Counters>,
    log: DaemonLog,
}

impl MetricQueue {
    /// Queues a metric, or counts it as dropped.
    pub(crate) fn push(&self, arrival: ReceivedMetric) {
        if self.sender.try_send(arrival).is_err() {
            self.counters.metrics_queue_full.increment();
            self.log.limited("metric queue", "metrics", "dropped: the queue is full (--metric-queue)");
        }
    }
}

/// The sinks' thread.
#[derive(Debug)]
pub(crate) struct SinkThread {
    done: oneshot::Receiver<()>,
}

/// Starts the thread. `capacity` is how many metrics wait for it.
///
/// # Errors
/// There can be no thread.
pub(crate) fn start_sinks(
    mut sinks: Vec<Box<dyn MetricSink>>,
    capacity: usize,
    counters: Arc<Counters>,
    log: DaemonLog,
) -> io::Result<(MetricQueue, SinkThread)> {
    let (sender, arrivals) = sync_channel(capacity);
    let (end, done) = oneshot::channel::<()>();
    let queue = MetricQueue { sender, counters: counters.clone(), log: log.clone() };
    std::thread::Builder::new().name("profd-metrics".into()).spawn(move || {
        write_metrics(&arrivals, &mut sinks, &counters, &log);
        drop(sinks);
        drop(end);
    })?;
    Ok((queue, SinkThread { done }))
}

impl SinkThread {
    /// Waits until everything queued is written. The queues must be gone.
    pub(crate) async fn finished(self) {
        let _ = self.done.await;
    }
}

fn write_metrics(
    arrivals: &Receiver<ReceivedMetric>,
    sinks: &mut [Box<dyn MetricSink>],
    counters: &Counters,
    log: &DaemonLog,
) {
    // Nothing is kept back while nothing arrives, so there is nothing to do then.
    while let Ok(first) = arrivals.recv() {
        for arrival in std::iter::once(first).chain(arrivals.try_iter().take(BURST)) {
            match metric::decode_metric(&arrival) {
                Ok(record) => sinks.iter_mut().for_each(|s| s.write(&record)),
                Err(e) => {
                    counters.metrics_invalid.increment();
                    log.limited(
                        "metric",
                        "metrics",
                        format_args!("dropped one of pid {}: {e}", arrival.host_pid),
                    );
                }
            }
        }
        sinks.iter_mut().for_each(|s| s.flush());
    }
}

//! Metrics: a queue and a thread that decodes them, then for each sink a queue and a thread of its own. A sink that stalls
//! fills its queue and loses its own metrics, which are counted; nothing else is delayed.

mod abandoned;
mod event_record;
pub(crate) mod lines;
pub(crate) mod metric;
pub(crate) mod otlp;
pub(crate) mod queue;
mod rotated;
pub(crate) mod series;
mod series_sink;
pub(crate) mod sqlite;
pub(crate) mod start;
pub(crate) mod stream;
pub(crate) mod tensorboard;

use std::fmt::Display;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::core::user_shares::NoRoom;
use crate::counters::{Counters, SinkKind};
use crate::log::DaemonLog;
use metric::{DecodedMetric, ReceivedMetric, decode_metric};
use queue::{QueueReceiver, QueueSender, QueueState, create_queue};

/// Maximum number of metrics that are taken from a queue at once.
const MAX_BATCH: usize = 1024;

/// How often a sink does what is due without metrics.
const TICK: Duration = Duration::from_secs(1);

/// A destination of metrics.
pub(crate) trait MetricSink: Send {
    /// Writes metrics, and counts each of them as recorded or lost.
    fn write(&mut self, metrics: &[Arc<DecodedMetric>]);

    /// Does what is due without metrics, for example closes a file that is old. Called once in a [`TICK`].
    fn tick(&mut self) {}
}

/// Counts and logs what becomes of the metrics of one sink.
#[derive(Clone, Debug)]
pub(crate) struct SinkAccount {
    kind: SinkKind,
    counters: Arc<Counters>,
    log: DaemonLog,
}

impl SinkAccount {
    pub(crate) fn new(kind: SinkKind, counters: Arc<Counters>, log: DaemonLog) -> Self {
        counters.add_sink(kind);
        Self { kind, counters, log }
    }

    fn count_recorded(&self, n: usize) {
        self.counters.count_recorded(self.kind, n as u64);
    }

    /// Counts metrics that could not be written, and logs why.
    fn count_lost(&self, n: usize, subject: impl Display, reason: impl Display) {
        self.counters.count_not_written(self.kind, n as u64);
        let plural = if n == 1 { "" } else { "s" };
        let kind = self.kind.name();
        self.log.limited(kind, subject, format_args!("{n} metric{plural} not recorded ({kind}): {reason}"));
    }

    fn warn(&self, cause: &'static str, subject: impl Display, reason: impl Display) {
        self.log.limited(cause, subject, reason);
    }
}

/// The queue before the decoder. Cheap to clone; the threads end when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct MetricQueue {
    queue: QueueSender<ReceivedMetric>,
    counters: Arc<Counters>,
    log: DaemonLog,
}

impl MetricQueue {
    /// Queues a metric, or counts it as dropped.
    pub(crate) fn push(&self, metric: ReceivedMetric) {
        let Err(no_room) = self.queue.push(metric.sender.account, metric) else { return };
        let why = match no_room {
            NoRoom::TableFull => "dropped: the queue is full (--metric-queue)",
            NoRoom::ShareUsed => "dropped: one user fills as much of the queue as is free (--metric-queue)",
        };
        self.counters.metrics_queue_full.increment();
        self.log.limited("metric queue", "metrics", why);
    }
}

/// The threads of the sinks.
#[derive(Debug)]
pub(crate) struct SinkThreads {
    done: Vec<(SinkKind, oneshot::Receiver<()>)>,
}

impl SinkThreads {
    /// Waits until every queued metric is written and the sinks are dropped. All clones of the queue must be dropped.
    /// `unfinished` holds the sinks that are waited for.
    pub(crate) async fn finished(self, unfinished: &mut Vec<SinkKind>) {
        unfinished.extend(self.done.iter().map(|(kind, _)| *kind));
        for (kind, done) in self.done {
            let _ = done.await;
            unfinished.retain(|other| *other != kind);
        }
    }
}

/// How metrics wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuePlan {
    /// Maximum number of metrics in each queue.
    pub(crate) capacity: usize,
    /// Whether several users share it.
    pub(crate) is_shared: bool,
}

/// Starts the threads.
///
/// # Errors
/// A thread cannot be started.
pub(crate) fn start_threads(
    sinks: Vec<(SinkKind, Box<dyn MetricSink>)>,
    plan: QueuePlan,
    counters: &Arc<Counters>,
    log: &DaemonLog,
) -> io::Result<(MetricQueue, SinkThreads)> {
    let (mut queues, mut done) = (Vec::new(), Vec::new());
    for (kind, sink) in sinks {
        let (sender, receiver) = create_queue(plan.capacity, plan.is_shared);
        let (end, ended) = oneshot::channel::<()>();
        // 15 characters at most (prctl(2), PR_SET_NAME).
        let name = format!("profd-{:.9}", kind.name());
        std::thread::Builder::new().name(name).spawn(move || {
            run_sink(sink, &receiver);
            drop(end);
        })?;
        queues.push((kind, sender));
        done.push((kind, ended));
    }
    let (queue, received) = create_queue(plan.capacity, plan.is_shared);
    let decoder = MetricDecoder { queues, counters: counters.clone(), log: log.clone() };
    std::thread::Builder::new().name("profd-metrics".into()).spawn(move || decoder.run(&received))?;
    let queue = MetricQueue { queue, counters: counters.clone(), log: log.clone() };
    Ok((queue, SinkThreads { done }))
}

/// Writes the metrics of a queue to a sink until the queue is closed.
fn run_sink(mut sink: Box<dyn MetricSink>, metrics: &QueueReceiver<Arc<DecodedMetric>>) {
    let mut batch = Vec::with_capacity(MAX_BATCH);
    let mut next_tick = Instant::now() + TICK;
    loop {
        match metrics.receive(&mut batch, MAX_BATCH, Some(next_tick)) {
            QueueState::Filled => sink.write(&batch),
            QueueState::Idle => {}
            QueueState::Closed => break,
        }
        batch.clear();
        if Instant::now() >= next_tick {
            sink.tick();
            next_tick = Instant::now() + TICK;
        }
    }
}

/// Decodes what was received and hands it to the queue of each sink.
struct MetricDecoder {
    queues: Vec<(SinkKind, QueueSender<Arc<DecodedMetric>>)>,
    counters: Arc<Counters>,
    log: DaemonLog,
}

impl MetricDecoder {
    fn run(&self, received: &QueueReceiver<ReceivedMetric>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while received.receive(&mut batch, MAX_BATCH, None) == QueueState::Filled {
            let decoded: Vec<_> = batch.drain(..).filter_map(|metric| self.decode(&metric)).collect();
            self.counters.metrics_valid.add(decoded.len() as u64);
            for (kind, queue) in &self.queues {
                let lost = queue.push_all(decoded.iter().map(|m| (m.account, m.clone())));
                if lost > 0 {
                    self.counters.count_queue_full(*kind, lost);
                    let reason =
                        "metrics dropped: the sink does not keep up, its queue is full (--metric-queue)";
                    self.log.limited("sink queue", kind.name(), reason);
                }
            }
        }
    }

    fn decode(&self, metric: &ReceivedMetric) -> Option<Arc<DecodedMetric>> {
        match decode_metric(metric) {
            Ok(decoded) => Some(Arc::new(decoded)),
            Err(e) => {
                self.counters.metrics_invalid.increment();
                let reason = format!("dropped one of pid {}: {e}", metric.sender.host_pid);
                self.log.limited("metric", "metrics", reason);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::registry::SenderId;
    use common::out::Verbosity;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

    /// Waits before each batch until the test lets it go on.
    struct StalledSink(SinkAccount, Mutex<Receiver<()>>);

    impl MetricSink for StalledSink {
        fn write(&mut self, metrics: &[Arc<DecodedMetric>]) {
            let _ = self.1.lock().unwrap().recv();
            self.0.count_recorded(metrics.len());
        }
    }

    struct QuickSink(SinkAccount);

    impl MetricSink for QuickSink {
        fn write(&mut self, metrics: &[Arc<DecodedMetric>]) {
            self.0.count_recorded(metrics.len());
        }
    }

    #[test]
    fn a_stalled_sink_loses_its_own_metrics_and_delays_nobody() {
        let counters: Arc<Counters> = Arc::default();
        let log = DaemonLog::start(Verbosity::Quiet, counters.clone()).unwrap();
        let account = |kind| SinkAccount::new(kind, counters.clone(), log.clone());
        let (release, held) = channel();
        let sinks: Vec<(SinkKind, Box<dyn MetricSink>)> = vec![
            (SinkKind::Csv, Box::new(StalledSink(account(SinkKind::Csv), Mutex::new(held)))),
            (SinkKind::JsonLines, Box::new(QuickSink(account(SinkKind::JsonLines)))),
        ];
        let plan = QueuePlan { capacity: 10, is_shared: false };
        let (queue, threads) = start_threads(sinks, plan, &counters, &log).unwrap();
        let recorded =
            |kind| counters.list_sinks().find(|(k, _)| *k == kind).map(|(_, sink)| sink.list()[0].1).unwrap();
        for n in 1..=100 {
            let json = br#"{"kind":"Kernel","deviceId":0,"duration":5,"timestamp":6}"#.to_vec();
            queue.push(ReceivedMetric::new(SenderId { uid: 7, account: 7, host_pid: 7 }, None, json));
            let start = Instant::now();
            while recorded(SinkKind::JsonLines) < n {
                assert!(
                    start.elapsed() < Duration::from_secs(20),
                    "the quick sink waits for the stalled one"
                );
                std::thread::yield_now();
            }
        }
        assert_eq!(recorded(SinkKind::Csv), 0);
        let lost = counters.snapshot()["metrics.sink.csv.dropped.queue_full"];
        assert!((80..=90).contains(&lost), "{lost}");
        drop((queue, release));
        let mut unfinished = Vec::new();
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(threads.finished(&mut unfinished));
        assert_eq!((unfinished, recorded(SinkKind::Csv) + lost), (vec![], 100));
        assert_eq!(counters.count_dropped_metrics(), lost);
    }
}

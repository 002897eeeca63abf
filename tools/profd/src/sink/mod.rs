//! Metrics: a queue and a thread that decodes them, then for each sink a queue and a thread of its own. A sink that stalls
//! fills its queue and loses its own metrics, which are counted; nothing else is delayed. Samples of the host and of its
//! devices take the same way.

mod abandoned;
pub(crate) mod attribution;
mod event_record;
pub(crate) mod lines;
pub(crate) mod metric;
pub(crate) mod otlp;
pub(crate) mod queue;
pub(crate) mod recent;
mod rotated;
pub(crate) mod series;
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
use crate::host::report::HostReport;
use crate::log::DaemonLog;
use attribution::Attribution;
use metric::{DecodedMetric, ReceivedMetric, decode_metric};
use queue::{QueueReceiver, QueueSender, QueueState, create_queue};

/// Maximum number of metrics that are taken from a queue at once.
const MAX_BATCH: usize = 1024;

/// How often a sink does what is due without metrics.
const TICK: Duration = Duration::from_secs(1);

/// The account of samples of the host: no user has it ((uid_t) -1 is no user; chown(2)).
const HOST_ACCOUNT: u32 = u32::MAX;

/// A destination of metrics.
pub(crate) trait MetricSink: Send {
    /// Writes metrics, and counts each of them as recorded or lost.
    fn write(&mut self, metrics: &[Arc<DecodedMetric>]);

    /// Writes a sample of the host or of a device. Sinks whose form has no place for one leave it out.
    fn write_report(&mut self, _report: &Arc<HostReport>) {}

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

    /// Counts metrics that wait until another host has taken them.
    fn add_waiting(&self, n: usize) {
        self.counters.add_waiting(self.kind, n as u64);
    }

    fn remove_waiting(&self, n: usize) {
        self.counters.remove_waiting(self.kind, n as u64);
    }

    /// Notes that the other host has taken something.
    fn note_delivered(&self) {
        self.counters.note_delivered(self.kind);
    }

    /// Notes why the other host takes nothing.
    fn note_obstacle(&self, reason: &str) {
        self.counters.note_obstacle(self.kind, reason);
    }

    /// Counts metrics that could not be written, and logs why.
    fn count_lost(&self, n: usize, subject: impl Display, reason: impl Display) {
        self.counters.count_not_written(self.kind, n as u64);
        let plural = if n == 1 { "" } else { "s" };
        let kind = self.kind.name();
        self.log.limited(kind, subject, format_args!("{n} metric{plural} not recorded ({kind}): {reason}"));
    }

    /// Counts a sample that could not be written, and logs why.
    fn count_lost_report(&self, subject: impl Display, reason: impl Display) {
        self.counters.samples_lost.increment();
        let kind = self.kind.name();
        self.log.limited("samples", subject, format_args!("a sample is not recorded ({kind}): {reason}"));
    }

    fn warn(&self, cause: &'static str, subject: impl Display, reason: impl Display) {
        self.log.limited(cause, subject, reason);
    }
}

/// The queue before the decoder. Cheap to clone; the threads end when the last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct MetricQueue {
    queue: QueueSender<Received>,
    counters: Arc<Counters>,
    log: DaemonLog,
}

/// An item that waits for the decoder.
#[derive(Debug)]
enum Received {
    Metric(ReceivedMetric),
    Report(Arc<HostReport>, ReportUse),
}

/// An item that waits for a sink.
#[derive(Clone, Debug)]
enum SinkItem {
    Metric(Arc<DecodedMetric>),
    Report(Arc<HostReport>),
}

/// The outcome of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportUse {
    /// It is shown to those who ask for the last one.
    Shown,
    /// It is also recorded and sent.
    Recorded,
}

impl MetricQueue {
    /// Queues a sample of the host or of a device, or counts it as lost.
    pub(crate) fn push_report(&self, report: HostReport, report_use: ReportUse) {
        self.counters.samples_taken.increment();
        if self.queue.push(HOST_ACCOUNT, Received::Report(Arc::new(report), report_use)).is_err() {
            self.counters.samples_lost.increment();
            self.log.limited("samples", "metrics", "a sample is lost: the queue is full (--metric-queue)");
        }
    }

    /// Queues a metric, or counts it as dropped.
    pub(crate) fn push(&self, metric: ReceivedMetric) {
        let account = metric.sender.account;
        let Err(no_room) = self.queue.push(account, Received::Metric(metric)) else { return };
        let why = match no_room {
            NoRoom::TableFull => "dropped: the queue is full (--metric-queue)",
            NoRoom::ShareUsed => "dropped: one user fills as much of the queue as is free (--metric-queue)",
        };
        self.counters.count_lost_before_sinks();
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
    attribution: Option<Attribution>,
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
    let decoder = MetricDecoder { queues, attribution, counters: counters.clone(), log: log.clone() };
    std::thread::Builder::new().name("profd-metrics".into()).spawn(move || decoder.run(&received))?;
    let queue = MetricQueue { queue, counters: counters.clone(), log: log.clone() };
    Ok((queue, SinkThreads { done }))
}

/// Writes the metrics of a queue to a sink until the queue is closed.
fn run_sink(mut sink: Box<dyn MetricSink>, items: &QueueReceiver<SinkItem>) {
    let (mut batch, mut metrics) = (Vec::with_capacity(MAX_BATCH), Vec::with_capacity(MAX_BATCH));
    let mut next_tick = Instant::now() + TICK;
    while let QueueState::Filled | QueueState::Idle = items.receive(&mut batch, MAX_BATCH, Some(next_tick)) {
        for item in batch.drain(..) {
            match item {
                SinkItem::Metric(metric) => metrics.push(metric),
                SinkItem::Report(report) => sink.write_report(&report),
            }
        }
        if !metrics.is_empty() {
            sink.write(&metrics);
            metrics.clear();
        }
        if Instant::now() >= next_tick {
            sink.tick();
            next_tick = Instant::now() + TICK;
        }
    }
}

/// Decodes what was received and hands it to the queue of each sink.
struct MetricDecoder {
    queues: Vec<(SinkKind, QueueSender<SinkItem>)>,
    /// `None` if metrics say nothing more about their process.
    attribution: Option<Attribution>,
    counters: Arc<Counters>,
    log: DaemonLog,
}

impl MetricDecoder {
    fn run(mut self, received: &QueueReceiver<Received>) {
        let mut batch = Vec::with_capacity(MAX_BATCH);
        while received.receive(&mut batch, MAX_BATCH, None) == QueueState::Filled {
            let mut decoded = Vec::with_capacity(batch.len());
            for item in batch.drain(..) {
                match item {
                    Received::Metric(metric) => decoded.extend(self.decode(metric)),
                    Received::Report(report, report_use) => self.hand_out_report(&report, report_use),
                }
            }
            self.attribution.iter_mut().for_each(Attribution::end_batch);
            self.counters.metrics_valid.add(decoded.len() as u64);
            for (kind, queue) in &self.queues {
                let items = decoded.iter().map(|m| (m.account, SinkItem::Metric(m.clone())));
                let lost = queue.push_all(items);
                if lost > 0 {
                    self.counters.count_queue_full(*kind, lost);
                    let reason =
                        "metrics dropped: the sink does not keep up, its queue is full (--metric-queue)";
                    self.log.limited(kind.queue_cause(), kind.name(), reason);
                }
            }
        }
    }

    fn hand_out_report(&self, report: &Arc<HostReport>, report_use: ReportUse) {
        for (kind, queue) in &self.queues {
            let is_wanted = report_use == ReportUse::Recorded || kind.is_shown();
            if is_wanted && queue.push(HOST_ACCOUNT, SinkItem::Report(report.clone())).is_err() {
                self.counters.samples_lost.increment();
                let reason =
                    "a sample is lost: the sink does not keep up, its queue is full (--metric-queue)";
                self.log.limited("sink queue", kind.name(), reason);
            }
        }
    }

    fn decode(&mut self, metric: ReceivedMetric) -> Option<Arc<DecodedMetric>> {
        match decode_metric(&metric) {
            Ok(mut decoded) => {
                if let Some(attribution) = &mut self.attribution {
                    attribution.describe(&mut decoded, metric.facts);
                }
                Some(Arc::new(decoded))
            }
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
        let (queue, threads) = start_threads(sinks, plan, None, &counters, &log).unwrap();
        let recorded =
            |kind| counters.list_sinks().find(|(k, _)| *k == kind).map(|(_, sink)| sink.list()[0].1).unwrap();
        for n in 1..=100 {
            let json = br#"{"kind":"Kernel","deviceId":0,"duration":5,"timestamp":6}"#.to_vec();
            queue.push(ReceivedMetric::new(SenderId { uid: 7, account: 7, host_pid: 7 }, None, None, json));
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

    #[test]
    fn what_is_lost_before_the_sinks_is_lost_to_each_of_them() {
        let counters: Arc<Counters> = Arc::default();
        let log = DaemonLog::start(Verbosity::Quiet, counters.clone()).unwrap();
        // Nobody takes from this queue.
        let (queue, _received) = create_queue(4, true);
        let queue = MetricQueue { queue, counters: counters.clone(), log };
        let push = || {
            let sender = SenderId { uid: 7, account: 7, host_pid: 7 };
            queue.push(ReceivedMetric::new(sender, None, None, b"{}".to_vec()));
        };
        (0..9).for_each(|_| push());
        let without_a_sink = counters.snapshot()["metrics.dropped.queue_full"];
        counters.add_sink(SinkKind::Csv);
        counters.add_sink(SinkKind::Otlp);
        push();
        let counted = counters.snapshot();
        assert!(without_a_sink > 0);
        assert_eq!(counted["metrics.dropped.queue_full"], without_a_sink + 2);
        for sink in ["csv", "otlp"] {
            assert_eq!(counted[&*format!("metrics.sink.{sink}.dropped.queue_full")], 1, "{sink}");
        }
    }
}

//! Counters since the start of the daemon: what was served, and what was rejected or declined, by cause. A detailed
//! `getStatus` returns them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::text::count_noun;

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! counters {
    ($($field:ident $name:literal)*) => {
        /// All counters of the daemon.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $field: Counter,)*
            sinks: [SinkCounters; SinkKind::ALL.len()],
        }

        impl Counters {
            /// Returns the name and the value of each counter.
            pub(crate) fn snapshot(&self) -> BTreeMap<String, u64> {
                let mut all: BTreeMap<String, u64> = self.list_totals().map(|(name, n)| (name.to_owned(), n)).collect();
                for (kind, sink) in self.list_sinks() {
                    for (what, counter) in sink.list() {
                        all.insert(format!("metrics.sink.{}.{what}", kind.name()), counter);
                    }
                }
                for (kind, delivery) in self.list_deliveries() {
                    all.insert(format!("metrics.sink.{}.waiting", kind.name()), delivery.waiting);
                }
                all
            }

            /// Returns the counters that every daemon has, by name.
            pub(crate) fn list_totals(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$(($name, self.$field.get()),)*].into_iter()
            }
        }
    };
}

/// A kind of destination of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SinkKind {
    Stdout,
    JsonLines,
    Csv,
    TensorBoard,
    Sqlite,
    Prometheus,
    Otlp,
    /// The table for `getMetrics`, where no HTTP server shows it. It is not a destination, so nothing is counted.
    Recent,
}

impl SinkKind {
    const ALL: [Self; 8] = [
        Self::Stdout,
        Self::JsonLines,
        Self::Csv,
        Self::TensorBoard,
        Self::Sqlite,
        Self::Prometheus,
        Self::Otlp,
        Self::Recent,
    ];

    /// Returns whether it keeps what is shown to those who ask.
    pub(crate) fn is_shown(self) -> bool {
        matches!(self, Self::Prometheus | Self::Recent)
    }

    /// Returns the word for this kind in options, counters and the log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
            Self::TensorBoard => "tensorboard",
            Self::Sqlite => "sqlite",
            Self::Prometheus => "prometheus",
            Self::Otlp => "otlp",
            Self::Recent => "recent",
        }
    }

    /// Returns the cause under which the log limits lines about its queue: each sink has its own.
    pub(crate) fn queue_cause(self) -> &'static str {
        match self {
            Self::Stdout => "queue of stdout",
            Self::JsonLines => "queue of jsonl",
            Self::Csv => "queue of csv",
            Self::TensorBoard => "queue of tensorboard",
            Self::Sqlite => "queue of sqlite",
            Self::Prometheus => "queue of prometheus",
            Self::Otlp => "queue of otlp",
            Self::Recent => "queue of recent",
        }
    }
}

/// The counters of the metrics of one sink.
#[derive(Debug, Default)]
pub(crate) struct SinkCounters {
    /// Whether the daemon has this sink.
    is_used: AtomicBool,
    recorded: Counter,
    queue_full: Counter,
    not_written: Counter,
    /// Of a sink that sends to another host.
    delivery: Mutex<Option<DeliveryState>>,
}

/// How far the delivery to another host is.
#[derive(Debug)]
struct DeliveryState {
    /// Metrics that the host has not taken.
    waiting: u64,
    /// When it last took something, or when the sink was started.
    last_success: Instant,
    /// Why it takes nothing at present.
    obstacle: Option<String>,
}

/// The progress of a sink's delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) waiting: u64,
    pub(crate) success_age: Duration,
    pub(crate) obstacle: Option<String>,
}

impl SinkCounters {
    /// Returns each counter and its name.
    pub(crate) fn list(&self) -> [(&'static str, u64); 3] {
        [
            ("recorded", self.recorded.get()),
            ("dropped.queue_full", self.queue_full.get()),
            ("dropped.not_written", self.not_written.get()),
        ]
    }

    /// Returns the number of metrics that it has lost.
    pub(crate) fn count_lost(&self) -> u64 {
        self.queue_full.get() + self.not_written.get()
    }
}

impl SinkCounters {
    fn lock_delivery(&self) -> MutexGuard<'_, Option<DeliveryState>> {
        self.delivery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn delivery(&self) -> Option<Delivery> {
        let delivery = self.lock_delivery();
        let DeliveryState { waiting, last_success, obstacle } = delivery.as_ref()?;
        let (waiting, success_age) = (*waiting, last_success.elapsed());
        Some(Delivery { waiting, success_age, obstacle: obstacle.clone() })
    }
}

impl Counters {
    /// Notes metrics that a sink is about to send.
    pub(crate) fn add_waiting(&self, kind: SinkKind, n: u64) {
        self.change_delivery(kind, |delivery| delivery.waiting += n);
    }

    /// Notes metrics that a sink no longer tries to send.
    pub(crate) fn remove_waiting(&self, kind: SinkKind, n: u64) {
        self.change_delivery(kind, |delivery| delivery.waiting = delivery.waiting.saturating_sub(n));
    }

    /// Notes that the host that a sink sends to has taken something.
    pub(crate) fn note_delivered(&self, kind: SinkKind) {
        self.change_delivery(kind, |delivery| {
            (delivery.last_success, delivery.obstacle) = (Instant::now(), None);
        });
    }

    /// Notes why the host that a sink sends to takes nothing.
    pub(crate) fn note_obstacle(&self, kind: SinkKind, reason: &str) {
        self.change_delivery(kind, |delivery| delivery.obstacle = Some(reason.to_owned()));
    }

    fn change_delivery(&self, kind: SinkKind, change: impl FnOnce(&mut DeliveryState)) {
        let mut delivery = self.sinks[kind as usize].lock_delivery();
        let new = || DeliveryState { waiting: 0, last_success: Instant::now(), obstacle: None };
        change(delivery.get_or_insert_with(new));
    }

    /// Returns the sinks that send to other hosts.
    pub(crate) fn list_deliveries(&self) -> impl Iterator<Item = (SinkKind, Delivery)> {
        self.list_sinks().filter_map(|(kind, sink)| Some((kind, sink.delivery()?)))
    }

    /// Describes the sinks whose hosts take nothing at present.
    pub(crate) fn list_stalled_sinks(&self) -> Vec<String> {
        let describe = |(kind, Delivery { waiting, success_age, obstacle }): (SinkKind, Delivery)| {
            let reason = obstacle?;
            let (name, seconds) = (kind.name(), success_age.as_secs());
            Some(format!(
                "{name}: nothing was taken for {seconds} s, {} waiting: {reason}",
                count_noun(waiting, "metric")
            ))
        };
        self.list_deliveries().filter_map(describe).collect()
    }

    /// Notes that the daemon has a sink.
    pub(crate) fn add_sink(&self, kind: SinkKind) {
        self.sinks[kind as usize].is_used.store(kind != SinkKind::Recent, Ordering::Relaxed);
    }

    /// Returns the sinks that the daemon has.
    pub(crate) fn list_sinks(&self) -> impl Iterator<Item = (SinkKind, &SinkCounters)> {
        let all = SinkKind::ALL.into_iter().zip(&self.sinks);
        all.filter(|(_, sink)| sink.is_used.load(Ordering::Relaxed))
    }

    /// Counts metrics that a sink has written.
    pub(crate) fn count_recorded(&self, kind: SinkKind, n: u64) {
        if kind == SinkKind::Recent {
            return;
        }
        self.sinks[kind as usize].recorded.add(n);
        self.metrics_recorded.add(n);
    }

    /// Counts metrics that found no place in the queue of a sink.
    pub(crate) fn count_queue_full(&self, kind: SinkKind, n: u64) {
        if kind == SinkKind::Recent {
            return;
        }
        self.sinks[kind as usize].queue_full.add(n);
        self.metrics_queue_full.add(n);
    }

    /// Counts a metric that was lost before it was handed to the sinks: each of them has lost it.
    pub(crate) fn count_lost_before_sinks(&self) {
        let mut sinks = self.list_sinks().peekable();
        if sinks.peek().is_none() {
            self.metrics_queue_full.increment();
        }
        sinks.for_each(|(kind, _)| self.count_queue_full(kind, 1));
    }

    /// Counts metrics that a sink could not write.
    pub(crate) fn count_not_written(&self, kind: SinkKind, n: u64) {
        if kind == SinkKind::Recent {
            return;
        }
        self.sinks[kind as usize].not_written.add(n);
        self.metrics_not_written.add(n);
    }

    /// Returns the number of metrics that were received and not recorded, once for each sink that has not recorded them.
    /// Without a sink these are all.
    pub(crate) fn count_dropped_metrics(&self) -> u64 {
        let (received, valid) = (self.metrics_received.get(), self.metrics_valid.get());
        let lost = self.list_sinks().map(|(_, sink)| valid.saturating_sub(sink.recorded.get()));
        received.saturating_sub(valid) + lost.sum::<u64>()
    }
}

counters! {
    rpc_accepted "rpc.accepted"
    rpc_begun "rpc.requests_begun"
    rpc_requests "rpc.requests"
    rpc_declined_total "rpc.declined.connections"
    rpc_declined_peer "rpc.declined.connections_of_peer"
    rpc_declined_pending "rpc.declined.pending_connections"
    rpc_closed_pending "rpc.closed.pending"
    rpc_closed_idle "rpc.closed.idle"
    rpc_closed_age "rpc.closed.age"
    rpc_closed_certificate "rpc.closed.certificate"
    rpc_declined_early "rpc.declined.early"
    rpc_declined_rate "rpc.declined.rate"
    rpc_forbidden "rpc.declined.forbidden"
    rpc_handshakes_delayed "rpc.handshakes_delayed"
    rpc_accept_errors "rpc.accept_errors"
    rpc_handshake_failed "rpc.handshake_failed"
    rpc_bad_frame "rpc.bad_frame"
    rpc_bad_request "rpc.bad_request"
    rpc_timeout "rpc.timeout"
    rpc_io_errors "rpc.io_errors"
    ipc_datagrams "ipc.datagrams"
    ipc_polls "ipc.polls"
    ipc_malformed "ipc.rejected.malformed"
    ipc_no_credentials "ipc.rejected.no_credentials"
    ipc_foreign_uid "ipc.rejected.uid"
    ipc_other_namespace "ipc.rejected.pid_namespace"
    ipc_wrong_pid "ipc.rejected.pid"
    ipc_sender_ended "ipc.rejected.sender_ended"
    ipc_no_address "ipc.rejected.no_address"
    ipc_unwatched "ipc.unwatched"
    ipc_registry_full "ipc.declined.registry_full"
    ipc_user_share "ipc.declined.user_share"
    ipc_too_many_jobs "ipc.declined.jobs_per_process"
    ipc_reply_failed "ipc.reply_failed"
    ipc_receive_errors "ipc.receive_errors"
    false_ancestors "requests.false_ancestors"
    configs_accepted "configs.accepted"
    configs_delivered "configs.delivered"
    configs_undeliverable "configs.undeliverable"
    configs_expired "configs.expired"
    processes_removed "processes.removed"
    samples_taken "samples.taken"
    samples_recorded "samples.recorded"
    samples_lost "samples.lost"
    metrics_received "metrics.received"
    metrics_valid "metrics.valid"
    metrics_recorded "metrics.recorded"
    metrics_invalid "metrics.dropped.invalid"
    metrics_queue_full "metrics.dropped.queue_full"
    metrics_not_written "metrics.dropped.not_written"
    http_requests "http.requests"
    http_rejected "http.rejected"
    http_timeout "http.timeout"
    http_handshake_failed "http.handshake_failed"
    http_closed_pending "http.closed.pending"
    http_closed_waiting "http.closed.waiting"
    device_samples "devices.samples"
    device_timeouts "devices.timeouts"
    device_failures "devices.failures"
    device_failed_calls "devices.failed_calls"
    audit_lines "audit.lines"
    audit_errors "audit.write_errors"
    audit_rejected "audit.rejected_requests"
    log_errors "log.errors"
    log_dropped "log.dropped"
}

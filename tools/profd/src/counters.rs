//! Counters since the start of the daemon: what was served, and what was rejected or declined, by cause. A detailed
//! `getStatus` returns them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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
}

impl SinkKind {
    const ALL: [Self; 7] = [
        Self::Stdout,
        Self::JsonLines,
        Self::Csv,
        Self::TensorBoard,
        Self::Sqlite,
        Self::Prometheus,
        Self::Otlp,
    ];

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
        }
    }
}

/// What became of the metrics of one sink.
#[derive(Debug, Default)]
pub(crate) struct SinkCounters {
    /// Whether the daemon has this sink.
    is_used: AtomicBool,
    recorded: Counter,
    queue_full: Counter,
    not_written: Counter,
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

impl Counters {
    /// Notes that the daemon has a sink.
    pub(crate) fn add_sink(&self, kind: SinkKind) {
        self.sinks[kind as usize].is_used.store(true, Ordering::Relaxed);
    }

    /// Returns the sinks that the daemon has.
    pub(crate) fn list_sinks(&self) -> impl Iterator<Item = (SinkKind, &SinkCounters)> {
        let all = SinkKind::ALL.into_iter().zip(&self.sinks);
        all.filter(|(_, sink)| sink.is_used.load(Ordering::Relaxed))
    }

    /// Counts metrics that a sink has written.
    pub(crate) fn count_recorded(&self, kind: SinkKind, n: u64) {
        self.sinks[kind as usize].recorded.add(n);
        self.metrics_recorded.add(n);
    }

    /// Counts metrics that found no place in the queue of a sink.
    pub(crate) fn count_queue_full(&self, kind: SinkKind, n: u64) {
        self.sinks[kind as usize].queue_full.add(n);
        self.metrics_queue_full.add(n);
    }

    /// Counts metrics that a sink could not write.
    pub(crate) fn count_not_written(&self, kind: SinkKind, n: u64) {
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
    metrics_received "metrics.received"
    metrics_valid "metrics.valid"
    metrics_recorded "metrics.recorded"
    metrics_invalid "metrics.dropped.invalid"
    metrics_queue_full "metrics.dropped.queue_full"
    metrics_not_written "metrics.dropped.not_written"
    http_requests "http.requests"
    http_refused "http.refused"
    http_timeout "http.timeout"
    http_closed_pending "http.closed.pending"
    http_closed_waiting "http.closed.waiting"
    audit_lines "audit.lines"
    audit_errors "audit.write_errors"
    audit_rejected "audit.rejected_requests"
    log_errors "log.errors"
    log_dropped "log.dropped"
}

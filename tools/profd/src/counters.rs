//! Counters since the start of the daemon: what was served, and what was rejected or declined, by cause. A detailed
//! `getStatus` returns them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

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
        }

        impl Counters {
            /// Returns the name and the value of each counter.
            pub(crate) fn snapshot(&self) -> BTreeMap<String, u64> {
                [$(($name.to_owned(), self.$field.get()),)*].into()
            }
        }
    };
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
    metrics_recorded "metrics.recorded"
    metrics_invalid "metrics.dropped.invalid"
    metrics_queue_full "metrics.dropped.queue_full"
    metrics_not_written "metrics.dropped.not_written"
    audit_lines "audit.lines"
    audit_errors "audit.write_errors"
    audit_rejected "audit.rejected_requests"
    log_errors "log.errors"
    log_dropped "log.dropped"
}

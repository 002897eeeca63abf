//! Metrics sent to an OpenTelemetry collector: OTLP 1.9 over HTTP with protobuf bodies.
//!
//! Totals are added up here and sent in intervals, so a request that is lost costs resolution and no duration. Requests
//! wait in a spool of bounded size, of which the oldest are dropped, while the collector cannot be reached.

mod delivery;
mod encode;
mod spool;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::metric::DecodedMetric;
use super::series::SeriesTable;
use super::{MetricSink, SinkAccount};
use crate::plan::metrics::OtlpPlan;
use delivery::start_delivery;
use encode::{Origin, encode_requests};
use spool::{RequestSpool, SpoolWriter};

/// Gathers metrics, and puts requests into the spool.
pub(crate) struct OtlpSink {
    table: SeriesTable,
    origin: Origin,
    interval: Duration,
    next: Instant,
    spool: SpoolWriter,
    account: SinkAccount,
}

impl OtlpSink {
    /// Starts the thread that sends.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(
        plan: OtlpPlan,
        host_name: String,
        is_shared: bool,
        account: SinkAccount,
    ) -> std::io::Result<Self> {
        let (spool, requests) = RequestSpool::create(plan.spool_bytes);
        let interval = plan.interval;
        let origin = Origin { service_name: plan.service_name.clone(), host_name };
        start_delivery(plan, requests, account.clone())?;
        Ok(Self {
            table: SeriesTable::new(is_shared),
            origin,
            interval,
            next: Instant::now() + interval,
            spool,
            account,
        })
    }

    /// Puts the series that have changed into the spool.
    fn send_changes(&mut self) {
        for request in encode_requests(&self.origin, &self.table.take_changed(), now_ns()) {
            let dropped = self.spool.push(request);
            if dropped > 0 {
                self.account.count_lost(
                    dropped,
                    "otlp",
                    "the spool is full of earlier points (--otlp-spool-size)",
                );
            }
        }
    }
}

impl MetricSink for OtlpSink {
    fn write(&mut self, metrics: &[Arc<DecodedMetric>]) {
        let now = Instant::now();
        let added = metrics.iter().filter(|metric| self.table.add(metric, now)).count();
        self.account.count_recorded(added);
        if let lost @ 1.. = metrics.len() - added {
            self.account.count_lost(lost, "otlp", "there are too many series, of all users or of one");
        }
        if now >= self.next {
            self.tick();
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.next {
            self.next = now + self.interval;
            self.send_changes();
            self.table.remove_expired(now);
        }
    }
}

impl Drop for OtlpSink {
    /// Sends what is left, as far as the collector takes it soon.
    fn drop(&mut self) {
        self.send_changes();
        self.spool.close_and_wait();
    }
}

fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

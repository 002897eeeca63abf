//! Metrics sent to an OpenTelemetry collector: OTLP 1.9 over HTTP with protobuf bodies.
//!
//! Totals are added up here and sent in intervals. Requests wait in a spool of bounded size, of which the oldest are
//! dropped, while the collector cannot be reached. After a request with totals was dropped or rejected, all totals are sent
//! again, so that it costs resolution and no duration.

mod attribute;
mod delivery;
mod encode;
mod gauges;
mod spool;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::metric::DecodedMetric;
use super::series::SeriesTable;
use super::{MetricSink, SinkAccount};
use crate::host::report::HostReport;
use crate::plan::collector::OtlpPlan;
use delivery::start_delivery;
use encode::{Origin, encode_reports, encode_requests};
use spool::{RequestSpool, SpoolWriter};

/// Maximum number of samples that wait for the next request.
const MAX_REPORTS: usize = 512;

/// The longest pause before totals are sent again that the collector has rejected before.
const MAX_RESEND_PAUSE: Duration = Duration::from_secs(3600);

/// When all totals are sent again, after some were lost. A collector that always rejects them gets them less and less often.
#[derive(Debug)]
struct ResendTimer {
    first_pause: Duration,
    pause: Duration,
    due: Option<Instant>,
    /// The last loss.
    last: Option<Instant>,
}

impl ResendTimer {
    fn new(first_pause: Duration) -> Self {
        Self { first_pause, pause: first_pause, due: None, last: None }
    }

    fn note_loss(&mut self, now: Instant) {
        let is_first = self.last.is_none_or(|last| now.saturating_duration_since(last) > 2 * self.pause);
        self.last = Some(now);
        if self.due.is_none() {
            self.pause = if is_first { self.first_pause } else { (2 * self.pause).min(MAX_RESEND_PAUSE) };
            self.due = Some(now + self.pause);
        }
    }

    /// Returns whether a resend is due, and stops the timer if so.
    fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.due = None;
        }
        is_due
    }
}

/// Gathers metrics, and puts requests into the spool.
pub(crate) struct OtlpSink {
    table: SeriesTable,
    /// Samples since the last request.
    reports: Vec<Arc<HostReport>>,
    origin: Origin,
    interval: Duration,
    next: Instant,
    resend: ResendTimer,
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
        account.add_waiting(0);
        let interval = plan.interval;
        let (service_name, resource) = (plan.service_name.clone(), plan.resource.clone());
        let origin = Origin { service_name, host_name, resource };
        start_delivery(plan, requests, account.clone())?;
        Ok(Self {
            table: SeriesTable::new(is_shared),
            reports: Vec::new(),
            origin,
            interval,
            next: Instant::now() + interval,
            resend: ResendTimer::new(interval),
            spool,
            account,
        })
    }

    /// Puts the series that have changed and the samples into the spool.
    fn send_changes(&mut self) {
        let mut requests = encode_requests(&self.origin, &self.table.take_changed(), now_ns());
        if !self.reports.is_empty() {
            requests.push(encode_reports(&self.origin, &self.reports));
            self.reports.clear();
        }
        for request in requests {
            let dropped = self.spool.push(request);
            if dropped.points > 0 {
                self.account.remove_waiting(dropped.metrics);
                self.account.count_lost(
                    dropped.points,
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
        // They are recorded when the collector has taken them.
        self.account.add_waiting(added);
        if let lost @ 1.. = metrics.len() - added {
            self.account.count_lost(lost, "otlp", "there are too many series, of all users or of one");
        }
        if now >= self.next {
            self.tick();
        }
    }

    fn write_report(&mut self, report: &Arc<HostReport>) {
        if self.reports.len() >= MAX_REPORTS {
            return self.account.count_lost_report("otlp", "too many samples between two exports");
        }
        self.account.counters.samples_recorded.increment();
        self.reports.push(report.clone());
    }

    fn tick(&mut self) {
        let now = Instant::now();
        if now >= self.next {
            self.next = now + self.interval;
            if self.spool.take_loss() {
                self.resend.note_loss(now);
            }
            if self.resend.take_due(now) {
                self.table.mark_all_unsent();
            }
            self.send_changes();
            self.table.remove_expired(now);
        }
    }
}

impl Drop for OtlpSink {
    /// Sends what is left, as far as the collector takes it soon.
    fn drop(&mut self) {
        if self.spool.take_loss() || self.resend.due.is_some() {
            self.table.mark_all_unsent();
        }
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

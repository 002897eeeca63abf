//! Totals of what processes have sent, by process, kind and device: what a Prometheus server asks for, and what is sent to
//! an OTLP collector.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::metric::{DecodedMetric, ProcessLabels};
use crate::core::process_scope::ProcessScope;
use crate::core::user_shares::UserShares;

/// Maximum number of series. What would make another one is counted as lost.
const MAX_SERIES: usize = 16_384;
/// How long a series is kept without a metric. msMonitor's process side sends one in each report interval, by default a
/// minute.
const EXPIRY: Duration = Duration::from_secs(3600);
/// Maximum length of a domain in characters.
const MAX_DOMAIN: usize = 128;

/// The key of a series.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SeriesKey {
    pub(crate) kind: String,
    /// -1 is the host.
    pub(crate) device_id: i64,
    pub(crate) host_pid: i32,
    pub(crate) uid: Option<u32>,
    /// The job that the process is registered under, if it is.
    pub(crate) job_id: Option<i64>,
    /// Of a marker.
    pub(crate) domain: Option<String>,
    /// More labels of the process.
    pub(crate) labels: Option<Arc<ProcessLabels>>,
}

impl SeriesKey {
    /// Returns whether the process is one that a request may be about.
    pub(crate) fn is_in(&self, scope: &ProcessScope) -> bool {
        let is_user = self.uid.map_or(scope.users.is_none(), |uid| scope.contains_user(uid));
        is_user && self.job_id.map_or(scope.jobs.is_none(), |job| scope.contains_job(job))
    }

    /// Lists what metrics say about the process besides its pid, user and job.
    pub(crate) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let labels = self.labels.iter().flat_map(|labels| &labels.0);
        labels.map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// A total.
#[derive(Clone, Debug)]
pub(crate) struct SeriesTotal {
    /// Sum of the durations in ns.
    pub(crate) dur_ns: u128,
    /// Number of metrics.
    pub(crate) reports: u64,
    /// When the first metric was received, in ns since 1970.
    pub(crate) since_ns: i64,
    account: u32,
    pub(crate) updated: Instant,
    /// Number of metrics since the last [`SeriesTable::take_changed`].
    pub(crate) new_reports: u64,
    /// Whether [`SeriesTable::take_changed`] returns it.
    is_unsent: bool,
}

/// All series.
#[derive(Debug)]
pub(crate) struct SeriesTable {
    series: BTreeMap<SeriesKey, SeriesTotal>,
    shares: UserShares,
}

impl SeriesTable {
    /// Several users share the table, or one has it.
    pub(crate) fn new(is_shared: bool) -> Self {
        Self { series: BTreeMap::new(), shares: UserShares::new(MAX_SERIES, is_shared) }
    }

    /// Adds a metric to its series. Returns false if that would be one too many.
    pub(crate) fn add(&mut self, metric: &DecodedMetric, now: Instant) -> bool {
        let record = &metric.record;
        let domain = record.domain.as_ref().filter(|_| record.kind == "Marker");
        let key = SeriesKey {
            kind: record.kind.clone(),
            device_id: record.device_id,
            host_pid: record.host_pid,
            uid: record.uid,
            job_id: record.job_id,
            domain: domain.map(|domain| domain.chars().take(MAX_DOMAIN).collect()),
            labels: metric.labels.clone(),
        };
        let total = match self.series.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(_) if self.shares.check_room(metric.account).is_err() => return false,
            Entry::Vacant(entry) => {
                self.shares.add(metric.account);
                entry.insert(SeriesTotal {
                    dur_ns: 0,
                    reports: 0,
                    since_ns: metric.received_ns,
                    account: metric.account,
                    updated: now,
                    new_reports: 0,
                    is_unsent: true,
                })
            }
        };
        total.dur_ns += u128::from(record.dur_ns);
        total.reports += 1;
        total.new_reports += 1;
        total.is_unsent = true;
        total.updated = now;
        true
    }

    /// Removes the series that got no metric for [`EXPIRY`].
    pub(crate) fn remove_expired(&mut self, now: Instant) {
        let shares = &mut self.shares;
        self.series.retain(|_, total| {
            let is_kept = now.saturating_duration_since(total.updated) < EXPIRY;
            if !is_kept {
                shares.remove(total.account);
            }
            is_kept
        });
    }

    /// Returns the series that have changed since the last call, and those of [`Self::mark_all_unsent`].
    pub(crate) fn take_changed(&mut self) -> Vec<(SeriesKey, SeriesTotal)> {
        let take = |(key, total): (&SeriesKey, &mut SeriesTotal)| {
            let changed = std::mem::take(&mut total.is_unsent).then(|| (key.clone(), total.clone()));
            total.new_reports = 0;
            changed
        };
        self.series.iter_mut().filter_map(take).collect()
    }

    /// The next [`Self::take_changed`] returns every series: an earlier result of it was lost.
    pub(crate) fn mark_all_unsent(&mut self) {
        self.series.values_mut().for_each(|total| total.is_unsent = true);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SeriesKey, &SeriesTotal)> {
        self.series.iter()
    }
}

impl SeriesTotal {
    /// Returns the sum of the durations in seconds.
    #[expect(clippy::cast_precision_loss, reason = "a double has 53 bits: exact in ns for 104 days")]
    pub(crate) fn seconds(&self) -> f64 {
        self.dur_ns as f64 / 1e9
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::sink::lines::tests::sample_metric;

    pub(in crate::sink) fn metric_of(account: u32, host_pid: i32, kind: &str) -> DecodedMetric {
        let mut metric = DecodedMetric::clone(&sample_metric());
        metric.account = account;
        metric.record.kind = kind.to_owned();
        metric.record.host_pid = host_pid;
        metric
    }

    #[test]
    fn durations_add_up_by_process_and_kind() {
        let (mut table, now) = (SeriesTable::new(false), Instant::now());
        for (pid, kind) in [(1, "Kernel"), (1, "Kernel"), (2, "Kernel"), (1, "API")] {
            assert!(table.add(&metric_of(0, pid, kind), now));
        }
        let totals: Vec<_> =
            table.iter().map(|(k, t)| (k.kind.as_str(), k.host_pid, t.dur_ns, t.reports)).collect();
        let one = 81_230_450;
        assert_eq!(totals, [("API", 1, one, 1), ("Kernel", 1, 2 * one, 2), ("Kernel", 2, one, 1)]);
    }

    #[test]
    fn no_user_fills_the_table_and_silent_series_make_room() {
        let (mut table, now) = (SeriesTable::new(true), Instant::now());
        let mut fill = |account: u32, at| {
            let pids = (0..20_000).map(|n| n + 100_000 * i32::try_from(account).unwrap());
            pids.filter(|pid| table.add(&metric_of(account, *pid, "Kernel"), at)).count()
        };
        assert_eq!((fill(1, now), fill(2, now)), (MAX_SERIES / 2, MAX_SERIES / 4));
        table.remove_expired(now + EXPIRY);
        assert_eq!(table.iter().count(), 0);
        assert!(table.add(&metric_of(1, 1, "Kernel"), now));
    }
}

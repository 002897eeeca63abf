//! Recent metrics for clients: the totals of what processes have sent, and the last samples of the host and its devices.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::metric::DecodedMetric;
use super::series::SeriesTable;
use super::{MetricSink, SinkAccount};
use crate::host::report::HostReport;

/// Maximum number of devices whose last sample is kept.
const MAX_DEVICES: usize = 256;

/// See the module. Shared by the sink, `/metrics` and `getMetrics`.
#[derive(Clone, Debug)]
pub(crate) struct RecentMetrics(Arc<Mutex<RecentContent>>);

/// See the module.
#[derive(Debug)]
pub(crate) struct RecentContent {
    pub(crate) series: SeriesTable,
    /// The last sample of the host (`None`) and of each device.
    pub(crate) reports: BTreeMap<Option<String>, Arc<HostReport>>,
}

impl RecentMetrics {
    /// Several users share the table of series, or one has it.
    pub(crate) fn new(is_shared: bool) -> Self {
        let content = RecentContent { series: SeriesTable::new(is_shared), reports: BTreeMap::new() };
        Self(Arc::new(Mutex::new(content)))
    }

    /// Locks the content, which delays the sink only.
    pub(crate) fn lock(&self) -> MutexGuard<'_, RecentContent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what is shown.
pub(crate) struct RecentSink {
    recent: RecentMetrics,
    account: SinkAccount,
}

impl RecentSink {
    pub(super) fn new(recent: RecentMetrics, account: SinkAccount) -> Self {
        Self { recent, account }
    }
}

impl MetricSink for RecentSink {
    fn write(&mut self, metrics: &[Arc<DecodedMetric>]) {
        let now = Instant::now();
        let mut content = self.recent.lock();
        let added = metrics.iter().filter(|metric| content.series.add(metric, now)).count();
        drop(content);
        self.account.count_recorded(added);
        if let lost @ 1.. = metrics.len() - added {
            self.account.count_lost(lost, "metrics", "there are too many series, of all users or of one");
        }
    }

    fn write_report(&mut self, report: &Arc<HostReport>) {
        let mut content = self.recent.lock();
        if content.reports.len() < MAX_DEVICES || content.reports.contains_key(&report.device) {
            content.reports.insert(report.device.clone(), report.clone());
        } else {
            drop(content);
            self.account.count_lost_report("metrics", format_args!("of more than {MAX_DEVICES} devices"));
        }
    }

    fn tick(&mut self) {
        self.recent.lock().series.remove_expired(Instant::now());
    }
}

//! The series that a Prometheus server asks for.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::metric::DecodedMetric;
use super::series::SeriesTable;
use super::{MetricSink, SinkAccount};

/// Adds metrics to the table that is shown.
pub(crate) struct SeriesSink {
    table: Arc<Mutex<SeriesTable>>,
    account: SinkAccount,
}

impl SeriesSink {
    pub(super) fn new(table: Arc<Mutex<SeriesTable>>, account: SinkAccount) -> Self {
        Self { table, account }
    }
}

impl MetricSink for SeriesSink {
    fn write(&mut self, metrics: &[Arc<DecodedMetric>]) {
        let now = Instant::now();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let added = metrics.iter().filter(|metric| table.add(metric, now)).count();
        drop(table);
        self.account.count_recorded(added);
        if let lost @ 1.. = metrics.len() - added {
            self.account.count_lost(lost, "metrics", "there are too many series, of all users or of one");
        }
    }

    fn tick(&mut self) {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).remove_expired(Instant::now());
    }
}

//! Lines that are gathered, written together, and counted as recorded or as not written.

use std::io;
use std::sync::Arc;

use common::record::Line;
use common::record::profd::Metric;

use crate::counters::Counters;

/// Metrics as JSON lines that were not written yet.
#[derive(Debug)]
pub(crate) struct LineBatch {
    text: Vec<u8>,
    lines: u64,
    counters: Arc<Counters>,
}

/// The lines of a failed write.
#[derive(Debug)]
pub(crate) struct LostLines {
    /// Number of metrics.
    pub(crate) lines: u64,
    pub(crate) error: io::Error,
}

impl LineBatch {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        Self { text: Vec::new(), lines: 0, counters }
    }

    /// Adds a metric.
    pub(crate) fn push(&mut self, metric: &Metric) {
        let before = self.text.len();
        if serde_json::to_writer(&mut self.text, &Line::new(metric)).is_ok() {
            self.text.push(b'\n');
            self.lines += 1;
        } else {
            self.text.truncate(before);
            self.counters.metrics_not_written.increment();
        }
    }

    #[cfg(test)]
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Returns the number of gathered bytes.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// Writes all lines with `write`, if there are any, and counts them. The batch is empty afterwards, also after an
    /// error.
    pub(crate) fn flush(&mut self, write: impl FnOnce(&[u8]) -> io::Result<()>) -> Result<(), LostLines> {
        if self.text.is_empty() {
            return Ok(());
        }
        let written = write(&self.text);
        self.text.clear();
        let lines = std::mem::take(&mut self.lines);
        let counter = match &written {
            Ok(()) => &self.counters.metrics_recorded,
            Err(_) => &self.counters.metrics_not_written,
        };
        counter.add(lines);
        written.map_err(|error| LostLines { lines, error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::record::Record;

    #[test]
    fn every_line_is_counted_once() {
        let counters: Arc<Counters> = Arc::default();
        let mut batch = LineBatch::new(counters.clone());
        let metric: Metric = serde_json::from_str(Metric::SAMPLE).unwrap();
        batch.flush(|_| panic!("there is nothing to write")).unwrap();
        batch.push(&metric);
        batch.push(&metric);
        let lost = batch.flush(|_| Err(io::ErrorKind::StorageFull.into())).unwrap_err();
        assert_eq!((lost.lines, counters.metrics_not_written.get()), (2, 2));
        batch.push(&metric);
        let mut text = Vec::new();
        batch.flush(|t| io::Write::write_all(&mut text, t)).unwrap();
        assert_eq!(text, format!("{}\n", Metric::SAMPLE).into_bytes());
        assert_eq!((counters.metrics_recorded.get(), counters.metrics_not_written.get()), (1, 2));
    }
}

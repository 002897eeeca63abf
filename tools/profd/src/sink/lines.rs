//! Metrics as lines of text in files of a directory: JSON lines, or CSV.

use std::sync::Arc;

use common::record::Line;

use super::metric::DecodedMetric;
use super::rotated::RotatedFiles;
use super::{MetricSink, SinkAccount};

/// The columns of CSV, named as the fields of `profd.metric`.
const COLUMNS: [&str; 11] = [
    "received",
    "kind",
    "device_id",
    "dur_ns",
    "timestamp_ns",
    "domain",
    "name",
    "host_pid",
    "uid",
    "pid",
    "job_id",
];

/// A format with one line for each metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineFormat {
    JsonLines,
    /// As RFC 4180 describes it, except that lines end with a line feed.
    Csv,
}

impl LineFormat {
    /// Returns what stands at the beginning of each file.
    fn header(self) -> Vec<u8> {
        match self {
            Self::JsonLines => Vec::new(),
            Self::Csv => (COLUMNS.join(",") + "\n").into_bytes(),
        }
    }

    /// Returns what the names of files end with.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::JsonLines => ".jsonl",
            Self::Csv => ".csv",
        }
    }

    /// Formats metrics, one line each.
    pub(super) fn format_all(self, metrics: &[Arc<DecodedMetric>]) -> Vec<u8> {
        match self {
            Self::JsonLines => {
                let mut text = Vec::with_capacity(metrics.len() * 256);
                for metric in metrics {
                    // Serialization to memory does not fail: no record has a map whose keys are not text.
                    let _ = serde_json::to_writer(&mut text, &Line::new(&metric.record));
                    text.push(b'\n');
                }
                text
            }
            Self::Csv => {
                let mut writer = csv::Writer::from_writer(Vec::with_capacity(metrics.len() * 128));
                for metric in metrics {
                    // Neither does writing to memory.
                    let _ = writer.write_record(list_cells(metric));
                }
                writer.into_inner().unwrap_or_default()
            }
        }
    }
}

fn list_cells(metric: &DecodedMetric) -> [String; COLUMNS.len()] {
    let m = &metric.record;
    let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    [
        m.received.clone(),
        m.kind.clone(),
        m.device_id.to_string(),
        m.dur_ns.to_string(),
        m.timestamp_ns.to_string(),
        m.domain.clone().unwrap_or_default(),
        m.name.clone().unwrap_or_default(),
        m.host_pid.to_string(),
        number(m.uid.map(i64::from)),
        number(m.pid.map(i64::from)),
        number(m.job_id),
    ]
}

/// Writes lines to files.
pub(crate) struct LineSink {
    format: LineFormat,
    files: RotatedFiles,
    account: SinkAccount,
}

impl LineSink {
    pub(super) fn new(format: LineFormat, files: RotatedFiles, account: SinkAccount) -> Self {
        Self { format, files, account }
    }
}

impl MetricSink for LineSink {
    fn write(&mut self, metrics: &[Arc<DecodedMetric>]) {
        let text = self.format.format_all(metrics);
        match self.files.append(&text, &self.format.header()) {
            Ok(()) => self.account.count_recorded(metrics.len()),
            Err(e) => self.account.count_lost(metrics.len(), self.files.dir().display(), e),
        }
    }

    fn tick(&mut self) {
        self.files.close_old_file();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use common::record::Record;

    /// The sample of `profd.metric`.
    pub(in crate::sink) fn sample_metric() -> Arc<DecodedMetric> {
        let record = serde_json::from_str(common::record::profd::Metric::SAMPLE).unwrap();
        Arc::new(DecodedMetric { record, received_ns: 1_772_366_400_250_000_000, account: 0 })
    }

    #[test]
    fn text_of_a_sender_stays_in_its_cell() {
        let mut metric = DecodedMetric::clone(&sample_metric());
        metric.record.domain = Some("a,\"b\"\nc".into());
        let text = LineFormat::Csv.format_all(&[Arc::new(metric)]);
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_slice());
        let rows: Vec<_> = reader.records().map(|r| r.unwrap()).collect();
        assert_eq!(rows.len(), 1);
        let cells: Vec<&str> = rows[0].iter().collect();
        assert_eq!(
            cells[..6],
            [
                "2026-03-01T12:00:00.25Z",
                "Communication",
                "0",
                "81230450",
                "1772366400249000000",
                "a,\"b\"\nc"
            ]
        );
        assert_eq!(cells[6..], ["", "4242", "", "4242", "0"]);
    }
}

//! Metrics as lines of text in files of a directory: JSON lines, or CSV.

use std::sync::Arc;

use common::record::Line;
use common::record::profd::Sample;
use common::text::Safe;
use time::format_description::well_known::Rfc3339;

use super::metric::DecodedMetric;
use super::rotated::RotatedFiles;
use super::{MetricSink, SinkAccount};
use crate::host::report::HostReport;

/// The columns of CSV, named as the fields of `profd.metric`.
const COLUMNS: [&str; 19] = [
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
    "rank",
    "local_rank",
    "slurm_job_id",
    "slurm_account",
    "slurm_partition",
    "pod",
    "namespace",
    "attributes",
];

/// The columns of CSV for samples, of which each value is a line.
const SAMPLE_COLUMNS: [&str; 5] = ["time", "host", "device", "name", "value"];

/// A format with one line for each metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MetricLineFormat {
    JsonLines,
    /// As RFC 4180 describes it, except that lines end with a line feed, and that no cell has one.
    Csv,
}

impl MetricLineFormat {
    /// Returns what stands at the beginning of each file.
    fn header(self) -> Vec<u8> {
        match self {
            Self::JsonLines => Vec::new(),
            Self::Csv => (COLUMNS.join(",") + "\n").into_bytes(),
        }
    }

    /// Returns what stands at the beginning of each file of samples.
    fn sample_header(self) -> Vec<u8> {
        match self {
            Self::JsonLines => Vec::new(),
            Self::Csv => (SAMPLE_COLUMNS.join(",") + "\n").into_bytes(),
        }
    }

    /// Formats a sample: as one line, or each of its values as one.
    pub(super) fn format_report(self, report: &HostReport, host_name: &str) -> Vec<u8> {
        let sample = make_sample(report, host_name);
        match self {
            Self::JsonLines => {
                let mut text = Vec::with_capacity(1024);
                let _ = serde_json::to_writer(&mut text, &Line::new(&sample));
                text.push(b'\n');
                text
            }
            Self::Csv => {
                let mut writer = csv::Writer::from_writer(Vec::with_capacity(1024));
                let device = sample.device.as_deref().unwrap_or_default();
                for (name, value) in &sample.values {
                    let value = value.to_string();
                    let cells =
                        [&sample.time, &text_cell(host_name), &text_cell(device), &text_cell(name), &value];
                    let _ = writer.write_record(cells);
                }
                writer.into_inner().unwrap_or_default()
            }
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

/// Makes the record of a sample.
fn make_sample(report: &HostReport, host_name: &str) -> Sample {
    Sample {
        time: report.taken.format(&Rfc3339).unwrap_or_default(),
        host: host_name.to_owned(),
        device: report.device.clone(),
        labels: report.labels.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        // JSON has no other numbers.
        values: report.values.iter().filter(|v| v.value.is_finite()).map(|v| (v.key(), v.value)).collect(),
    }
}

fn list_cells(metric: &DecodedMetric) -> [String; COLUMNS.len()] {
    let m = &metric.record;
    let number = |n: Option<i64>| n.map(|n| n.to_string()).unwrap_or_default();
    let text = |text: &Option<String>| text.as_deref().map(text_cell).unwrap_or_default();
    let attributes =
        m.attributes.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(";");
    [
        m.received.clone(),
        text_cell(&m.kind),
        m.device_id.to_string(),
        m.dur_ns.to_string(),
        m.timestamp_ns.to_string(),
        text(&m.domain),
        text(&m.name),
        m.host_pid.to_string(),
        number(m.uid.map(i64::from)),
        number(m.pid.map(i64::from)),
        number(m.job_id),
        number(m.rank),
        number(m.local_rank),
        text(&m.slurm_job_id),
        text(&m.slurm_account),
        text(&m.slurm_partition),
        text(&m.pod),
        text(&m.namespace),
        text_cell(&attributes),
    ]
}

/// Makes a cell of a text that a process has sent. Control characters become escapes, so that a record is one line and a file
/// that was cut can be cut back to a whole one. An apostrophe stands before what a spreadsheet would take for a formula (OWASP,
/// "CSV Injection").
fn text_cell(text: &str) -> String {
    let is_formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    format!("{}{}", if is_formula { "'" } else { "" }, Safe(text))
}

/// Writes lines to files.
pub(crate) struct LineSink {
    format: MetricLineFormat,
    files: RotatedFiles,
    /// The files of samples.
    sample_files: RotatedFiles,
    host_name: String,
    account: SinkAccount,
}

impl LineSink {
    pub(super) fn new(
        format: MetricLineFormat,
        files: RotatedFiles,
        sample_files: RotatedFiles,
        host_name: String,
        account: SinkAccount,
    ) -> Self {
        Self { format, files, sample_files, host_name, account }
    }
}

impl MetricSink for LineSink {
    fn write(&mut self, metrics: &[Arc<DecodedMetric>]) {
        let text = self.format.format_all(metrics);
        // No line has a line feed in it.
        let ends: Vec<usize> =
            text.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1).collect();
        let result = self.files.append_each(&text, &ends, &self.format.header());
        let recorded = result.as_ref().map_or_else(|(written, _)| *written, |()| metrics.len());
        self.account.count_recorded(recorded);
        if let Err((written, e)) = result {
            self.account.count_lost(metrics.len() - written, self.files.dir().display(), e);
        }
    }

    fn write_report(&mut self, report: &Arc<HostReport>) {
        let text = self.format.format_report(report, &self.host_name);
        let header = self.format.sample_header();
        match self.sample_files.append(&text, &header) {
            Ok(()) => self.account.counters.samples_recorded.increment(),
            Err(e) => self.account.count_lost_report(self.sample_files.dir().display(), e),
        }
    }

    fn tick(&mut self) {
        self.files.close_old_file();
        self.sample_files.close_old_file();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use common::record::Record;

    /// The sample of `profd.metric`.
    pub(in crate::sink) fn sample_metric() -> Arc<DecodedMetric> {
        let record = serde_json::from_str(common::record::profd::Metric::SAMPLE).unwrap();
        Arc::new(DecodedMetric { record, received_ns: 1_772_366_400_250_000_000, account: 0, labels: None })
    }

    #[test]
    fn text_of_a_sender_stays_in_its_cell() {
        let mut metric = DecodedMetric::clone(&sample_metric());
        metric.record.domain = Some("a,\"b\"\nc".into());
        let text = MetricLineFormat::Csv.format_all(&[Arc::new(metric)]);
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
                "a,\"b\"\\nc"
            ]
        );
        assert_eq!(cells[6..12], ["", "4242", "", "4242", "0", ""]);
    }

    #[test]
    fn a_record_is_one_line_and_no_cell_is_a_formula() {
        let mut metric = DecodedMetric::clone(&sample_metric());
        metric.record.domain = Some("=cmd|x".into());
        metric.record.name = Some("a\r\n\x1b[31m\0\u{202e}".into());
        metric.record.pod = Some("-1+1".into());
        metric.record.device_id = -1;
        metric.record.attributes = [("k".to_owned(), "v\nw".to_owned())].into();
        let text = String::from_utf8(MetricLineFormat::Csv.format_all(&[Arc::new(metric)])).unwrap();
        assert_eq!((text.matches('\n').count(), text.ends_with('\n')), (1, true), "{text}");
        assert!(!text.chars().any(|c| c.is_control() && c != '\n') && !text.contains('\u{202e}'), "{text}");
        let cells: Vec<&str> = text.trim_end().split(',').collect();
        assert_eq!((cells[2], cells[5], cells[6]), ("-1", "'=cmd|x", "a\\r\\n\\x1b[31m\\x00\\u{202e}"));
        assert_eq!((cells[16], cells[18]), ("'-1+1", "k=v\\nw"));
    }
}

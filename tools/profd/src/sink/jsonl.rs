//! Metrics as JSON lines in files of a directory.
//!
//! A file has mode 0640 while it is written, and 0440 after it is full or the daemon has stopped. It holds complete lines
//! only: the rest of a failed write is cut off, and its metrics are counted. Nothing is written while less than the
//! configured space is free on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use common::policy::{Class, Mode};
use common::record::profd::Metric;
use time::OffsetDateTime;
use time::macros::format_description;

use super::MetricSink;
use super::batch::{LineBatch, LostLines};
use crate::counters::Counters;
use crate::log::DaemonLog;
use crate::plan::MetricFilePlan;

/// Bytes that are gathered at most before they are written.
const BATCH_BYTES: usize = 64 * 1024;

/// Writes metrics to files.
pub(crate) struct JsonLinesSink {
    batch: LineBatch,
    files: MetricFiles,
}

/// The files of one run of the daemon, one after the other.
struct MetricFiles {
    plan: MetricFilePlan,
    /// `metrics-<start>-<pid>`.
    stem: String,
    /// Number of names that were tried.
    number: u64,
    open: Option<OpenMetricFile>,
    log: DaemonLog,
    /// Returns the free bytes of a file system; replaced in tests.
    free: fn(&Path) -> io::Result<u64>,
    /// Gives a complete file its final mode; replaced in tests.
    archive: fn(&File) -> io::Result<()>,
}

/// The file that is written.
struct OpenMetricFile {
    file: File,
    bytes: u64,
}

impl JsonLinesSink {
    pub(crate) fn new(plan: MetricFilePlan, counters: Arc<Counters>, log: DaemonLog) -> Self {
        let stamp = format_description!("[year][month][day]T[hour][minute][second]Z");
        let start = OffsetDateTime::now_utc().format(stamp).unwrap_or_default();
        let stem = format!("metrics-{start}-{}", std::process::id());
        let files =
            MetricFiles { plan, stem, number: 0, open: None, log, free: free_bytes, archive: archive_file };
        Self { batch: LineBatch::new(counters), files }
    }
}

impl MetricFiles {
    /// Appends complete lines to the open file, and opens or closes files as needed.
    fn append_lines(&mut self, text: &[u8]) -> io::Result<()> {
        let free = (self.free)(&self.plan.dir)?;
        if free < self.plan.reserve_bytes.saturating_add(text.len() as u64) {
            let reserve = self.plan.reserve_bytes;
            return Err(io::Error::other(format!(
                "{free} bytes are free, of which {reserve} are reserved (--metric-disk-reserve)"
            )));
        }
        let mut open_file = match self.open.take() {
            Some(open_file) => open_file,
            None => self.create_file()?,
        };
        let written = open_file.file.write_all(text);
        match written {
            Ok(()) => open_file.bytes += text.len() as u64,
            // Readers expect complete lines.
            Err(_) => open_file.file.set_len(open_file.bytes)?,
        }
        if open_file.bytes >= self.plan.file_bytes {
            self.close_file(&open_file);
        } else {
            self.open = Some(open_file);
        }
        written
    }

    /// Creates the next file. An existing one, of an earlier daemon, is skipped.
    fn create_file(&mut self) -> io::Result<OpenMetricFile> {
        loop {
            self.number += 1;
            let name = format!("{}-{:04}.jsonl", self.stem, self.number);
            let Mode(mode) = Class::LogRecording.max();
            let mut options = OpenOptions::new();
            options.append(true).create_new(true).mode(mode);
            match options.open(self.plan.dir.join(name)) {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                file => return Ok(OpenMetricFile { file: file?, bytes: 0 }),
            }
        }
    }

    /// Gives a complete file its final mode. An error is logged only: the metrics are written.
    fn close_file(&self, open_file: &OpenMetricFile) {
        if let Err(e) = (self.archive)(&open_file.file) {
            let reason = format!("cannot archive a metric file: {e}");
            self.log.limited("metric archive", self.plan.dir.display(), reason);
        }
    }
}

impl MetricSink for JsonLinesSink {
    fn write(&mut self, metric: &Metric) {
        self.batch.push(metric);
        if self.batch.len() >= BATCH_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let Self { batch, files } = self;
        if let Err(LostLines { lines, error }) = batch.flush(|text| files.append_lines(text)) {
            let reason = format!("{lines} metrics not recorded: {error}");
            files.log.limited("metric file", files.plan.dir.display(), reason);
        }
    }
}

impl Drop for MetricFiles {
    fn drop(&mut self) {
        if let Some(open_file) = self.open.take() {
            self.close_file(&open_file);
        }
    }
}

fn archive_file(file: &File) -> io::Result<()> {
    let Mode(mode) = Class::LogArchived.max();
    rustix::fs::fchmod(file.as_fd(), rustix::fs::Mode::from_raw_mode(mode))?;
    file.sync_all()
}

fn free_bytes(dir: &Path) -> io::Result<u64> {
    let fs = rustix::fs::statvfs(dir)?;
    Ok(fs.f_bavail.saturating_mul(fs.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::out::Verbosity;
    use common::record::Record;
    use std::os::unix::fs::MetadataExt;

    fn sink(dir: &Path, file_bytes: u64) -> JsonLinesSink {
        let counters: Arc<Counters> = Arc::default();
        let log = DaemonLog::start(Verbosity::Quiet, counters.clone()).unwrap();
        let plan = MetricFilePlan { dir: dir.to_owned(), file_bytes, reserve_bytes: 0 };
        JsonLinesSink::new(plan, counters, log)
    }

    fn counters(sink: &JsonLinesSink) -> &Counters {
        sink.batch.counters()
    }

    fn files(dir: &Path) -> Vec<(String, u32)> {
        let mut files: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap())
            .map(|e| (std::fs::read_to_string(e.path()).unwrap(), e.metadata().unwrap().mode() & 0o777))
            .collect();
        files.sort();
        files
    }

    fn metric() -> Metric {
        serde_json::from_str(Metric::SAMPLE).unwrap()
    }

    #[test]
    fn a_file_is_0640_while_it_is_written_and_0440_after() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = sink(dir.path(), 1 << 20);
        sink.write(&metric());
        sink.flush();
        assert_eq!(files(dir.path()), [(format!("{}\n", Metric::SAMPLE), 0o640)]);
        drop(sink);
        assert_eq!(files(dir.path())[0].1, 0o440);
    }

    #[test]
    fn a_full_file_is_archived_and_the_next_one_created() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = sink(dir.path(), 1);
        for _ in 0..2 {
            sink.write(&metric());
            sink.flush();
        }
        let modes: Vec<u32> = files(dir.path()).iter().map(|f| f.1).collect();
        assert_eq!(modes, [0o440, 0o440]);
        assert_eq!(counters(&sink).metrics_recorded.get(), 2);
    }

    #[test]
    fn writing_stops_before_the_disk_is_full_and_resumes_after() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = sink(dir.path(), 1 << 20);
        sink.files.plan.reserve_bytes = 100;
        sink.files.free = |_| Ok(101);
        sink.write(&metric());
        sink.flush();
        assert_eq!(files(dir.path()), []);
        assert_eq!(counters(&sink).metrics_not_written.get(), 1);
        sink.files.free = |_| Ok(1 << 30);
        sink.write(&metric());
        sink.flush();
        assert_eq!(files(dir.path()).len(), 1);
        assert_eq!(counters(&sink).metrics_recorded.get(), 1);
    }

    #[test]
    fn a_removed_directory_loses_metrics_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = sink(&dir.path().join("gone"), 1 << 20);
        sink.write(&metric());
        sink.flush();
        assert_eq!(counters(&sink).metrics_not_written.get(), 1);
    }
    #[test]
    fn written_metrics_count_even_if_the_file_cannot_be_archived() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = sink(dir.path(), 1);
        sink.files.archive = |_| Err(io::ErrorKind::PermissionDenied.into());
        sink.write(&metric());
        sink.flush();
        assert_eq!(counters(&sink).metrics_recorded.get(), 1);
        assert_eq!(counters(&sink).metrics_not_written.get(), 0);
    }

    #[test]
    fn an_existing_file_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = sink(dir.path(), 1 << 20);
        let taken = dir.path().join(format!("{}-0001.jsonl", sink.files.stem));
        std::fs::write(&taken, "an earlier daemon's\n").unwrap();
        sink.write(&metric());
        sink.flush();
        assert_eq!(std::fs::read_to_string(&taken).unwrap(), "an earlier daemon's\n");
        assert_eq!(counters(&sink).metrics_recorded.get(), 1);
        assert_eq!(files(dir.path()).len(), 2);
    }
}

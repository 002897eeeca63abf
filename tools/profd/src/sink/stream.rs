//! Metrics as JSON lines on standard output, for `--use-json` without a directory.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::lines::MetricLineFormat;
use super::metric::DecodedMetric;
use super::{MetricSink, SinkAccount};
use crate::host::report::HostReport;

/// Writes to a stream until the first error.
pub(crate) struct StreamSink {
    stream: Option<Box<dyn Write + Send>>,
    host_name: String,
    account: SinkAccount,
}

impl StreamSink {
    /// Writes to standard output through a descriptor of its own: while its reader stalls, no other thread waits for the
    /// lock of the standard library.
    ///
    /// # Errors
    /// Standard output is closed, or there are no descriptors left.
    pub(crate) fn to_stdout(host_name: String, account: SinkAccount) -> io::Result<Self> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { stream: Some(Box::new(stdout)), host_name, account })
    }

    /// Writes text, and logs the first error.
    fn write_text(&mut self, text: &[u8]) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        match stream.write_all(text).and_then(|()| stream.flush()) {
            Ok(()) => true,
            Err(e) => {
                self.account.log.error("standard output", format_args!("metrics are no longer written: {e}"));
                self.stream = None;
                false
            }
        }
    }
}

impl MetricSink for StreamSink {
    fn write(&mut self, metrics: &[Arc<DecodedMetric>]) {
        if self.write_text(&MetricLineFormat::JsonLines.format_all(metrics)) {
            self.account.count_recorded(metrics.len());
        } else {
            self.account.counters.count_not_written(self.account.kind, metrics.len() as u64);
        }
    }

    fn write_report(&mut self, report: &Arc<HostReport>) {
        let text = MetricLineFormat::JsonLines.format_report(report, &self.host_name);
        if self.write_text(&text) {
            self.account.counters.samples_recorded.increment();
        } else {
            self.account.counters.samples_lost.increment();
        }
    }
}

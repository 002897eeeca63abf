//! Metrics as JSON lines on standard output, for `--use-json` without a directory.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::lines::LineFormat;
use super::metric::DecodedMetric;
use super::{MetricSink, SinkAccount};

/// Writes to a stream until the first error.
pub(crate) struct StreamSink {
    stream: Option<Box<dyn Write + Send>>,
    account: SinkAccount,
}

impl StreamSink {
    /// Writes to standard output through a descriptor of its own: while its reader stalls, no other thread waits for the
    /// lock of the standard library.
    ///
    /// # Errors
    /// Standard output is closed, or there are no descriptors left.
    pub(crate) fn to_stdout(account: SinkAccount) -> io::Result<Self> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self { stream: Some(Box::new(stdout)), account })
    }
}

impl MetricSink for StreamSink {
    fn write(&mut self, metrics: &[Arc<DecodedMetric>]) {
        let Some(stream) = &mut self.stream else {
            return self.account.counters.count_not_written(self.account.kind, metrics.len() as u64);
        };
        let text = LineFormat::JsonLines.format_all(metrics);
        match stream.write_all(&text).and_then(|()| stream.flush()) {
            Ok(()) => self.account.count_recorded(metrics.len()),
            Err(e) => {
                self.account.counters.count_not_written(self.account.kind, metrics.len() as u64);
                self.account.log.error("standard output", format_args!("metrics are no longer written: {e}"));
                self.stream = None;
            }
        }
    }
}

//! Metrics as JSON lines on standard output, for `--use-json` without a directory.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use common::record::profd::Metric;

use super::MetricSink;
use super::batch::LineBatch;
use crate::counters::Counters;
use crate::log::DaemonLog;

/// Writes to a stream until the first error.
pub(crate) struct StreamSink {
    stream: Option<Box<dyn Write + Send>>,
    batch: LineBatch,
    log: DaemonLog,
}

impl StreamSink {
    pub(crate) fn new(stream: Box<dyn Write + Send>, counters: Arc<Counters>, log: DaemonLog) -> Self {
        Self { stream: Some(stream), batch: LineBatch::new(counters), log }
    }

    /// Writes to standard output through a descriptor of its own: while its reader stalls, no other thread waits for the
    /// lock of the standard library.
    ///
    /// # Errors
    /// Standard output is closed, or there are no descriptors left.
    pub(crate) fn to_stdout(counters: Arc<Counters>, log: DaemonLog) -> io::Result<Self> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self::new(Box::new(stdout), counters, log))
    }
}

impl MetricSink for StreamSink {
    fn write(&mut self, metric: &Metric) {
        self.batch.push(metric);
    }

    fn flush(&mut self) {
        let stream = &mut self.stream;
        let written = self.batch.flush(|text| match stream {
            Some(stream) => stream.write_all(text).and_then(|()| stream.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        });
        if let Err(lost) = written {
            if self.stream.take().is_some() {
                let reason = format!("metrics are no longer written: {}", lost.error);
                self.log.error("standard output", reason);
            }
        }
    }
}

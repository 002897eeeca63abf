//! Metrics as JSON lines on standard output, for `--use-json` without a directory.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::sync::Arc;

use common::record::profd::Metric;

use super::Sink;
use super::batch::Batch;
use crate::counters::Counters;
use crate::log::Log;

/// Writes to a stream; stops for good when it is closed.
pub(crate) struct Stream {
    stream: Option<Box<dyn Write + Send>>,
    batch: Batch,
    log: Log,
}

impl Stream {
    pub(crate) fn new(stream: Box<dyn Write + Send>, counters: Arc<Counters>, log: Log) -> Self {
        Self { stream: Some(stream), batch: Batch::new(counters), log }
    }

    /// Standard output by a descriptor of its own: while its reader stalls, nobody else waits for a lock.
    ///
    /// # Errors
    /// It is closed, or there are no descriptors left.
    pub(crate) fn stdout(counters: Arc<Counters>, log: Log) -> io::Result<Self> {
        let stdout = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        Ok(Self::new(Box::new(stdout), counters, log))
    }
}

impl Sink for Stream {
    fn write(&mut self, metric: &Metric) {
        self.batch.push(metric);
    }

    fn flush(&mut self) {
        let stream = &mut self.stream;
        let written = self.batch.flush(|text| match stream {
            Some(stream) => stream.write_all(text).and_then(|()| stream.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        });
        if let Err(lost) = written
            && self.stream.take().is_some()
        {
            let reason = format_args!("metrics are no longer written: {}", lost.error);
            self.log.error("standard output", reason);
        }
    }
}

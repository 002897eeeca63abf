//! Metrics as JSON lines on standard output, for `--use-json` without a directory.

use std::io::{self, Write};
use std::sync::Arc;

use common::record::Line;
use common::record::profd::Metric;

use super::Sink;
use crate::counters::Counters;
use crate::log::Log;

/// Writes to a stream; stops for good when it is closed.
pub(crate) struct Stream {
    stream: Option<Box<dyn Write + Send>>,
    batch: Vec<u8>,
    lines: u64,
    counters: Arc<Counters>,
    log: Log,
}

impl Stream {
    pub(crate) fn new(stream: Box<dyn Write + Send>, counters: Arc<Counters>, log: Log) -> Self {
        Self { stream: Some(stream), batch: Vec::new(), lines: 0, counters, log }
    }

    fn write_out(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Err(io::ErrorKind::BrokenPipe.into()) };
        stream.write_all(&self.batch)?;
        stream.flush()
    }
}

impl Sink for Stream {
    fn write(&mut self, metric: &Metric) {
        if serde_json::to_writer(&mut self.batch, &Line::new(metric)).is_ok() {
            self.batch.push(b'\n');
            self.lines += 1;
        }
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        match self.write_out() {
            Ok(()) => self.counters.metrics_recorded.add(self.lines),
            Err(e) => {
                self.counters.metrics_not_written.add(self.lines);
                if self.stream.take().is_some() {
                    self.log.error("standard output", format_args!("metrics are no longer written: {e}"));
                }
            }
        }
        self.batch.clear();
        self.lines = 0;
    }
}

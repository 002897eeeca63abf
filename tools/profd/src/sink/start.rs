//! Creates the sinks of a plan, and closes what a daemon that died has left open.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;

use super::abandoned::{Repair, close_abandoned_files};
use super::attribution::Attribution;
use super::lines::{LineSink, MetricLineFormat};
use super::otlp::OtlpSink;
use super::recent::{RecentMetrics, RecentSink};
use super::rotated::{FileNaming, RotatedFiles};
use super::sqlite::SqliteSink;
use super::stream::StreamSink;
use super::tensorboard::TensorBoardSink;
use super::{MetricQueue, MetricSink, QueuePlan, SinkAccount, SinkThreads, start_threads};
use crate::counters::{Counters, SinkKind};
use crate::log::DaemonLog;
use crate::plan::metrics::{MetricFilePlan, MetricFormat, MetricPlan};
use crate::state::DaemonState;

/// The sinks that run.
pub(crate) struct StartedSinks {
    pub(crate) queue: MetricQueue,
    pub(crate) threads: SinkThreads,
}

/// Creates sinks.
struct SinkBuilder<'a> {
    plan: &'a MetricPlan,
    is_shared: bool,
    host_name: &'a str,
    counters: &'a Arc<Counters>,
    log: &'a DaemonLog,
}

/// Starts the sinks of a plan, and the one that keeps what is shown in `recent`.
///
/// # Errors
/// A sink cannot be created, or a thread not started.
pub(crate) fn start_sinks(
    plan: &MetricPlan,
    is_shared: bool,
    recent: RecentMetrics,
    state: &Arc<DaemonState>,
) -> anyhow::Result<StartedSinks> {
    let DaemonState { host_name, counters, log, .. } = &**state;
    let builder = SinkBuilder { plan, is_shared, host_name, counters, log };
    let mut sinks = builder.create_all(recent)?;
    // The order of the threads does not matter; that of the log does.
    sinks.sort_by_key(|(kind, _)| *kind as usize);
    let queues = QueuePlan { capacity: plan.queue_length, is_shared };
    let attribution = Attribution::new(&plan.attribution, state.clone());
    let (queue, threads) = start_threads(sinks, queues, attribution, counters, log)?;
    Ok(StartedSinks { queue, threads })
}

type NamedSink = (SinkKind, Box<dyn MetricSink>);

impl SinkBuilder<'_> {
    fn create_all(&self, recent: RecentMetrics) -> anyhow::Result<Vec<NamedSink>> {
        let mut sinks: Vec<NamedSink> = Vec::new();
        if let Some(files) = &self.plan.files {
            for format in &files.formats {
                sinks.push(self.create_file_sink(files, *format));
            }
        }
        if self.plan.to_stdout {
            let sink = StreamSink::to_stdout(self.host_name.to_owned(), self.account(SinkKind::Stdout))?;
            sinks.push((SinkKind::Stdout, Box::new(sink)));
        }
        let shown = if self.plan.http.is_some() { SinkKind::Prometheus } else { SinkKind::Recent };
        sinks.push((shown, Box::new(RecentSink::new(recent, self.account(shown)))));
        if let Some(otlp) = &self.plan.otlp {
            let host = self.host_name.to_owned();
            let sink = OtlpSink::start(otlp.clone(), host, self.is_shared, self.account(SinkKind::Otlp));
            sinks.push((SinkKind::Otlp, Box::new(sink.context("otlp")?)));
        }
        Ok(sinks)
    }

    fn create_file_sink(&self, plan: &MetricFilePlan, format: MetricFormat) -> NamedSink {
        match format {
            MetricFormat::Jsonl => {
                self.create_line_sink(plan, MetricLineFormat::JsonLines, SinkKind::JsonLines)
            }
            MetricFormat::Csv => self.create_line_sink(plan, MetricLineFormat::Csv, SinkKind::Csv),
            MetricFormat::Tensorboard => {
                let account = self.account(SinkKind::TensorBoard);
                self.close_abandoned_events(&plan.dir);
                let sink = TensorBoardSink::new(plan.dir.clone(), plan.rotation, account);
                (SinkKind::TensorBoard, Box::new(sink))
            }
            MetricFormat::Sqlite => {
                let account = self.account(SinkKind::Sqlite);
                self.close_abandoned(&plan.dir, &FileNaming::Database, Repair::Database);
                let files =
                    RotatedFiles::new(plan.dir.clone(), FileNaming::Database, plan.rotation, account.clone());
                let sink = SqliteSink::new(files, plan.rotation, self.host_name.to_owned(), account);
                (SinkKind::Sqlite, Box::new(sink))
            }
        }
    }

    fn create_line_sink(&self, plan: &MetricFilePlan, format: MetricLineFormat, kind: SinkKind) -> NamedSink {
        let account = self.account(kind);
        let naming = FileNaming::numbered(format.suffix());
        self.close_abandoned(&plan.dir, &naming, Repair::CutLine);
        let files = RotatedFiles::new(plan.dir.clone(), naming, plan.rotation, account.clone());
        // Readers of metrics need not know samples.
        let naming = FileNaming::samples(format.suffix());
        self.close_abandoned(&plan.dir, &naming, Repair::CutLine);
        let sample_files = RotatedFiles::new(plan.dir.clone(), naming, plan.rotation, account.clone());
        let host_name = self.host_name.to_owned();
        (kind, Box::new(LineSink::new(format, files, sample_files, host_name, account)))
    }

    fn account(&self, kind: SinkKind) -> SinkAccount {
        SinkAccount::new(kind, self.counters.clone(), self.log.clone())
    }

    fn close_abandoned(&self, dir: &Path, naming: &FileNaming, repair: Repair) {
        match close_abandoned_files(dir, naming, repair) {
            Ok(closed) => {
                for path in closed {
                    self.log.notice(path.display(), "closed: the daemon that wrote it has died");
                }
            }
            Err((path, e)) => self.report_open_file(&path, &e),
        }
    }

    fn close_abandoned_events(&self, dir: &Path) {
        let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
        let is_device = |e: &std::fs::DirEntry| {
            e.file_name().as_encoded_bytes().starts_with(b"device_")
                && e.file_type().is_ok_and(|t| t.is_dir())
        };
        for device in entries.filter(is_device) {
            self.close_abandoned(&device.path(), &FileNaming::Events, Repair::Nothing);
        }
    }

    fn report_open_file(&self, path: &Path, error: &io::Error) {
        self.log.warning(path.display(), format_args!("cannot be closed, and its daemon has died: {error}"));
    }
}

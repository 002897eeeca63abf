//! Waiting for traces: which files exist before the request, which appear afterwards, and when they are complete.
//!
//! The processes write the traces on this machine or into a directory that it shares; here they are only read. inotify
//! notifies of changes; polling covers file systems without notifications, such as NFS. Meanwhile the daemons are asked
//! whether a trace can still appear ([`inquiry`]). Traces on the disks of other hosts are copied from there
//! ([`collect`]).

mod args;
mod ascend;
mod collect;
mod document;
mod finder;
mod inquiry;
pub(crate) mod kineto;
mod output;
mod pending;
mod plain_name;
mod skew;
mod watch;

use std::time::{Duration, Instant};

use common::progress::{Unit, bar};
use common::record::RecordPath;
use common::record::profctl::{TraceFile, TraceMissing};
use common::text::Safe;

pub(crate) use args::{WaitArgs, WaitPlan, time_until_recording_ends};
pub(crate) use finder::ExpectedTrace;
pub(crate) use output::TraceOutput;

use crate::duration_text::format_duration;
use crate::session::DaemonSession;
use crate::sync_start::SyncedStart;
use ascend::AscendTraceFinder;
use collect::{RemoteCopies, copy_shared};
use finder::{CompleteTrace, TraceFinder};
use inquiry::{APPEARANCE_TIME, ConfigInquiry};
use kineto::KinetoTraceFinder;
use pending::{MissingTrace, poll_until_complete};
use skew::StartTimes;

/// A wait for traces. Created before the request is sent.
pub(crate) struct TraceWait {
    output: TraceOutput,
    finder: Option<Box<dyn TraceFinder>>,
    plan: WaitPlan,
    start: Instant,
}

impl TraceWait {
    /// Lists the files that exist before the request.
    pub(crate) fn new(output: TraceOutput, plan: WaitPlan, start: Instant) -> Self {
        let finder: Option<Box<dyn TraceFinder>> = match &output {
            _ if !plan.is_local() => None,
            TraceOutput::None => None,
            TraceOutput::Kineto { log_file } => Some(Box::new(KinetoTraceFinder::new(log_file.clone()))),
            TraceOutput::Ascend { dir, analyzed, ranks } => {
                Some(Box::new(AscendTraceFinder::new(dir, *analyzed, *ranks)))
            }
        };
        Self { output, finder, plan, start }
    }

    /// Waits for all expected traces, and reports each complete or missing one. `synced` is the synchronized start, to
    /// which the begins of the traces are compared.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(crate) fn wait_for_traces(
        &mut self,
        session: &mut DaemonSession<'_>,
        expected: Vec<ExpectedTrace>,
        synced: Option<&SyncedStart>,
    ) -> anyhow::Result<()> {
        let needed = self.finder.as_ref().map_or(expected.len(), |f| f.needed_count(expected.len()));
        let progress = bar(session.out.diag(), Unit::Items, Some(needed as u64), "traces");
        progress.enable_steady_tick(Duration::from_millis(200));
        let (transport, parallel) = session.transport();
        let after_end = match &self.output {
            TraceOutput::Ascend { analyzed: true, .. } => None,
            output if self.plan.is_local() && !output.is_shared() => Some(Duration::ZERO),
            _ => Some(APPEARANCE_TIME),
        };
        let inquiry = ConfigInquiry::start(transport, parallel, &expected, after_end);
        let mut starts = synced.map(StartTimes::new);
        let (start, plan) = (self.start, &self.plan);
        let mut reporter = TraceReporter { session, plan, start, starts: starts.as_mut() };
        let found = |expected: &ExpectedTrace, trace: CompleteTrace| {
            inquiry.settle(expected);
            progress.inc(1);
            progress.suspend(|| reporter.report_complete(expected, trace))
        };
        let news = || inquiry.take_news().collect();
        let missing = match (&mut self.finder, &plan.collect) {
            (Some(finder), _) => {
                poll_until_complete(finder.as_mut(), expected, needed, plan.timeout, news, found)?
            }
            (None, Some(collect)) => {
                let copies = RemoteCopies::start(collect, &self.output, expected, plan.timeout)?;
                copies.wait_for_all(news, found)?
            }
            (None, None) => Vec::new(),
        };
        progress.finish_and_clear();
        let is_pending = |trace: &MissingTrace| trace.state.as_ref().is_some_and(|state| state.is_pending);
        let timed_out = missing.iter().any(|trace| !trace.is_final && !is_pending(trace));
        for trace in missing {
            self.report_missing(session, trace)?;
        }
        if timed_out {
            session.out.diag().help(
                "see the log of the process for whether it recorded; check that it writes to a directory that this \
                 machine shares; or increase --wait-timeout",
            );
        }
        starts.map_or(Ok(()), |starts| starts.report(session))
    }

    fn report_missing(&self, session: &mut DaemonSession<'_>, trace: MissingTrace) -> anyhow::Result<()> {
        let MissingTrace { expected, path, mut reason, is_final, state } = trace;
        if let Some(state) = state {
            reason = format!("{reason}; {}", state.text);
        }
        session.summary_mut().traces_missing += 1;
        let place = path.display();
        let text = match is_final {
            true => format!("no complete trace: {reason}: {place}"),
            false => {
                format!("no complete trace after {}: {place}: {reason}", format_duration(self.plan.timeout))
            }
        };
        session.out.error(format_args!("{}: pid {}", expected.host, expected.pid), text);
        if session.writes_records() {
            session.out.record(&TraceMissing {
                host: expected.host,
                pid: expected.pid,
                rank: expected.rank,
                path: RecordPath::from(&*path),
                reason,
                waited_ms: elapsed_ms(self.start),
            })?;
        }
        Ok(())
    }
}

/// Writes the results about complete traces.
struct TraceReporter<'a, 'b, 'c> {
    session: &'a mut DaemonSession<'b>,
    plan: &'c WaitPlan,
    start: Instant,
    /// The begins of the traces of a synchronized start.
    starts: Option<&'a mut StartTimes>,
}

impl TraceReporter<'_, '_, '_> {
    fn report_complete(&mut self, expected: &ExpectedTrace, mut trace: CompleteTrace) -> anyhow::Result<()> {
        let subject = format!("{}: pid {}", expected.host, expected.pid);
        if let Some(remark) = &trace.remark {
            self.session.out.warn(&subject, remark);
        }
        if let Some(collect) = self.plan.collect.as_ref().filter(|collect| collect.is_shared()) {
            match copy_shared(&collect.dir, &expected.host, &trace) {
                Ok(copied) => trace = copied,
                // The trace is there all the same, and is reported where it is.
                Err(e) => self.session.out.error(&subject, format_args!("not collected: {e:#}")),
            }
        }
        if let Some(starts) = &mut self.starts {
            starts.add(expected.place, &trace.path);
        }
        self.session.summary_mut().traces_complete += 1;
        let path = RecordPath::from(&*trace.path);
        let (session, waited_ms) = (&mut self.session, elapsed_ms(self.start));
        if session.writes_records() {
            session.out.record(&TraceFile {
                host: expected.host.clone(),
                pid: expected.pid,
                rank: expected.rank,
                path,
                trace_id: trace.trace_id,
                size_bytes: trace.size_bytes,
                sha256: trace.sha256,
                source: trace.source,
                complete: true,
                waited_ms,
            })?;
        } else {
            writeln!(session.out.text(), "{}", Safe(&path.path))?;
        }
        Ok(session.out.flush()?)
    }
}

fn elapsed_ms(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;

//! Copies from the hosts, with ssh or rsync. A trace that is not there, or not complete, is tried again.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use common::fsat::{AtomicFile, open_regular};
use common::held_signals::HeldSignals;
use common::policy::Mode;
use common::text::without_error_numbers;

use super::super::document::{DocumentReader, JsonDocument};
use super::super::finder::{CompleteTrace, ExpectedTrace};
use super::super::inquiry::{RequestKey, RequestNews, RequestState};
use super::super::kineto::default_trace_path;
use super::super::output::TraceOutput;
use super::super::pending::MissingTrace;
use super::super::plain_name::require_plain_name;
use super::child::{AttemptLimit, LimitedReader, run_child};
use super::shared::hash_and_copy;
use super::{CollectPlan, CollectWay, destination_of};

/// Copies at the same time.
const AT_ONCE: usize = 8;
/// The pause before a trace is tried again.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest that a short command on a host may take.
const COMMAND_TIME: Duration = Duration::from_secs(60);
/// How long after the deadline an attempt may take to notice it: one that waits for a dead file system does not.
const LAST_STEP: Duration = Duration::from_secs(2);
/// Options that keep ssh from asking the user, and from waiting for a host that does not answer (ssh_config(5)).
const SSH_OPTIONS: [&str; 3] = ["-oBatchMode=yes", "-oConnectTimeout=10", "-T"];

/// The copies of one run.
pub(in crate::wait) struct RemoteCopies {
    plan: CollectPlan,
    jobs: Vec<CopyJob>,
    limit: AttemptLimit,
    running: usize,
    send: Sender<(usize, anyhow::Result<CompleteTrace>)>,
    ended: Receiver<(usize, anyhow::Result<CompleteTrace>)>,
}

/// One trace that is to be copied.
struct CopyJob {
    expected: ExpectedTrace,
    /// Where it can be on its host, the most likely first.
    sources: Vec<String>,
    next_try: Instant,
    state: JobState,
    /// Why it has not been copied.
    reason: String,
    verdict: Option<(String, Instant)>,
    /// The last known state of its request.
    request_state: Option<RequestState>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum JobState {
    Waiting,
    Running,
    Done,
    GivenUp,
}

impl RemoteCopies {
    /// Prepares the copies of the traces that are expected. From now on signals wait until all programs have ended.
    ///
    /// # Errors
    /// The system does not allow that.
    pub(in crate::wait) fn start(
        plan: &CollectPlan,
        output: &TraceOutput,
        expected: Vec<ExpectedTrace>,
        timeout: Duration,
    ) -> anyhow::Result<Self> {
        let signals = Some(Arc::new(HeldSignals::new()?));
        let limit = AttemptLimit { deadline: Instant::now() + timeout, signals };
        let (send, ended) = channel();
        let job = |expected: ExpectedTrace| {
            let told = output.trace_path_of(expected.log_file.as_deref(), expected.pid);
            let mut sources: Vec<String> = told.into_iter().collect();
            // Only an id says whether what is there belongs to this request.
            if expected.trace_id.is_some() && !sources.is_empty() {
                sources.push(default_trace_path(expected.pid));
            }
            let reason = match sources.is_empty() {
                true => "ssh and rsync copy the files of gputrace only; use a shared directory".to_owned(),
                false => "not tried yet".to_owned(),
            };
            let state = if sources.is_empty() { JobState::GivenUp } else { JobState::Waiting };
            CopyJob {
                expected,
                sources,
                next_try: Instant::now(),
                state,
                reason,
                verdict: None,
                request_state: None,
            }
        };
        let jobs = expected.into_iter().map(job).collect();
        Ok(Self { plan: plan.clone(), jobs, limit, running: 0, send, ended })
    }

    /// Copies until every trace is copied, can no longer appear, or the time is over. Returns the missing ones. A signal ends the
    /// process when its programs have ended.
    ///
    /// # Errors
    /// The first error of `found`.
    pub(in crate::wait) fn wait_for_all(
        mut self,
        mut news: impl FnMut() -> Vec<(RequestKey, RequestNews)>,
        mut found: impl FnMut(&ExpectedTrace, CompleteTrace) -> anyhow::Result<()>,
    ) -> anyhow::Result<Vec<MissingTrace>> {
        loop {
            self.note_news(news());
            self.give_up_late();
            self.start_attempts();
            if self.jobs.iter().all(|job| matches!(job.state, JobState::Done | JobState::GivenUp)) {
                break;
            }
            match self.ended.recv_timeout(Duration::from_millis(100)) {
                Ok((index, result)) => {
                    self.running -= 1;
                    let job = &mut self.jobs[index];
                    match result {
                        Ok(trace) => {
                            job.state = JobState::Done;
                            found(&job.expected, trace)?;
                        }
                        Err(e) => {
                            job.state = JobState::Waiting;
                            job.next_try = Instant::now() + PAUSE;
                            job.reason = without_error_numbers(&format!("{e:#}"));
                        }
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if let Some(signals) = &self.limit.signals {
            signals.raise_noted();
        }
        let missing = |job: CopyJob| MissingTrace {
            path: job.sources.first().map(PathBuf::from).unwrap_or_default(),
            is_final: job.verdict.is_some() || job.sources.is_empty(),
            state: job.request_state.filter(|_| job.verdict.is_none()),
            reason: job.verdict.map_or(job.reason, |(reason, _)| reason),
            expected: job.expected,
        };
        Ok(self.jobs.into_iter().filter(|job| job.state == JobState::GivenUp).map(missing).collect())
    }

    fn note_news(&mut self, all: Vec<(RequestKey, RequestNews)>) {
        for ((place, id), news) in all {
            let own = |job: &&mut CopyJob| {
                job.expected.place == place && job.expected.trace_id.as_ref() == Some(&id)
            };
            let Some(job) = self.jobs.iter_mut().find(own).filter(|job| job.verdict.is_none()) else {
                continue;
            };
            match news {
                // At least one more attempt: the trace may have been written before the process ended.
                RequestNews::Verdict(verdict) => {
                    job.verdict = Some((verdict.reason, Instant::now() + verdict.grace.max(2 * PAUSE)));
                }
                RequestNews::State(state) => job.request_state = Some(state),
            }
        }
    }

    fn give_up_late(&mut self) {
        let now = Instant::now();
        let is_over = self.limit.check().is_err();
        for job in &mut self.jobs {
            let has_verdict = job.verdict.as_ref().is_some_and(|(_, at)| now >= *at);
            if job.state == JobState::Waiting && (is_over || has_verdict) {
                job.state = JobState::GivenUp;
            }
            if job.state == JobState::Running && now >= self.limit.deadline + LAST_STEP {
                job.state = JobState::GivenUp;
                job.reason = format!("{} does not respond", self.plan.dir.display());
            }
        }
    }

    fn start_attempts(&mut self) {
        let now = Instant::now();
        for (index, job) in self.jobs.iter_mut().enumerate() {
            if self.running >= AT_ONCE {
                return;
            }
            if job.state != JobState::Waiting || job.next_try > now {
                continue;
            }
            job.state = JobState::Running;
            self.running += 1;
            let (plan, send) = (self.plan.clone(), self.send.clone());
            let (expected, sources) = (job.expected.clone(), job.sources.clone());
            let limit = self.limit.clone();
            std::thread::spawn(move || {
                let attempt = Attempt { plan: &plan, expected: &expected, limit: &limit };
                // Nobody waits any more if it cannot be sent.
                let _ = send.send((index, attempt.copy_first(&sources)));
            });
        }
    }
}

/// One attempt to copy one trace.
struct Attempt<'a> {
    plan: &'a CollectPlan,
    expected: &'a ExpectedTrace,
    limit: &'a AttemptLimit,
}

impl Attempt<'_> {
    /// Copies the first of the files that is there and is the trace.
    fn copy_first(&self, sources: &[String]) -> anyhow::Result<CompleteTrace> {
        let mut first_error = None;
        for source in sources {
            match self.copy(source) {
                Ok(trace) => return Ok(trace),
                Err(e) => first_error = first_error.or(Some(e)),
            }
        }
        Err(first_error.unwrap_or_else(|| anyhow!("there is nothing to copy")))
    }

    fn copy(&self, source: &str) -> anyhow::Result<CompleteTrace> {
        let parts = source.strip_prefix('/').ok_or_else(|| anyhow!("{source:?} is not absolute"))?;
        parts.split('/').try_for_each(require_plain_name)?;
        let host = self.expected.daemon.as_ref().map_or(self.expected.host.as_str(), |d| d.host.as_str());
        let target = destination_of(&self.plan.dir, host, Path::new(source))?;
        let sha256 = self.ask_digest(host, source)?;
        let name = target.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let partial = PartialCopy(self.plan.dir.join(format!(".{name}.partial")));
        match self.plan.way {
            CollectWay::Rsync => self.copy_with_rsync(host, source, &partial.0)?,
            CollectWay::Ssh | CollectWay::Shared => self.copy_with_ssh(host, source, &partial.0)?,
        }
        let mut file = LimitedReader { from: open_regular(&partial.0)?.0, limit: self.limit };
        let copied = hash_and_copy(&mut file, &mut std::io::sink(), u64::MAX)?.sha256;
        ensure!(copied == sha256, "the copy differs: SHA-256 {copied}, not {sha256}");
        let trace_id = self.check_content(&partial.0)?;
        let size_bytes = partial.0.metadata()?.len();
        std::fs::rename(&partial.0, &target)?;
        Ok(CompleteTrace {
            path: target,
            size_bytes: Some(size_bytes),
            trace_id,
            remark: None,
            sha256: Some(sha256),
            source: Some(source.to_owned()),
        })
    }

    /// Asks the host for the digest of a file. `sha256sum` prints it before the name (sha256sum(1)).
    fn ask_digest(&self, host: &str, source: &str) -> anyhow::Result<String> {
        let mut command = ssh_command(host);
        command.arg(format!("sha256sum -- {source}"));
        let mut printed = Vec::new();
        run_child(&mut command, &self.limit.within(COMMAND_TIME), 1 << 16, &mut printed).context("ssh")?;
        let printed = String::from_utf8_lossy(&printed);
        let digest = printed.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
        let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
        ensure!(is_digest, "ssh: sha256sum printed no digest");
        Ok(digest)
    }

    fn copy_with_ssh(&self, host: &str, source: &str, to: &Path) -> anyhow::Result<()> {
        let mut command = ssh_command(host);
        command.arg(format!("cat -- {source}"));
        let mut file = AtomicFile::create(to, Mode(0o640))?;
        run_child(&mut command, self.limit, self.plan.max_bytes, &mut file).context("ssh")?;
        Ok(file.commit()?)
    }

    fn copy_with_rsync(&self, host: &str, source: &str, to: &Path) -> anyhow::Result<()> {
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut command = Command::new("rsync");
        command.args([
            "--inplace",
            "--compress",
            "--chmod=0640",
            "--rsh",
            &format!("ssh {}", SSH_OPTIONS.join(" ")),
        ]);
        command.arg(format!("--max-size={}", self.plan.max_bytes)).arg("--");
        command.arg(format!("{bracketed}:{source}")).arg(to);
        run_child(&mut command, self.limit, 1 << 16, &mut std::io::sink()).context("rsync")?;
        ensure!(to.exists(), "rsync has copied nothing: the file is larger than --max-trace-bytes");
        Ok(())
    }

    /// Checks that a copy is the complete trace of this request, and returns the id in it.
    fn check_content(&self, copy: &Path) -> anyhow::Result<Option<String>> {
        let mut reader = DocumentReader::new(open_regular(copy)?.0);
        match reader.read_on(self.limit.deadline)? {
            None => bail!("too large to be read in the time"),
            Some(JsonDocument::Truncated) => bail!("still being written"),
            Some(JsonDocument::NotJson) => bail!("not a JSON document"),
            Some(JsonDocument::Complete { trace_id }) => {
                let trace_id = trace_id.filter(|id| !id.is_empty());
                if let Some(wanted) = &self.expected.trace_id {
                    ensure!(trace_id.as_ref() == Some(wanted), "the trace of another request");
                }
                Ok(trace_id)
            }
        }
    }
}

/// Prepares ssh to a host; the command for the host follows. The host's name has no character that ssh or a shell gives a
/// meaning to ([`crate::daemon_address`]).
fn ssh_command(host: &str) -> Command {
    let mut command = Command::new("ssh");
    command.args(SSH_OPTIONS).arg("--").arg(host);
    command
}

/// A copy that is removed unless it gets its name.
struct PartialCopy(PathBuf);

impl Drop for PartialCopy {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

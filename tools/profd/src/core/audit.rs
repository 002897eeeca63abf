//! What the audit trail says about one request: what was asked for, of which processes, and what the answer was.
//!
//! The client and the time are added by [`crate::audit`].

use std::fmt;

use common::rpc::message::{CommandStatus, ErrorCode};

/// Maximum number of pids and of processes that one line lists.
const MAX_LISTED: usize = 64;

/// Maximum number of pids and of traces that a line of the log lists.
const MAX_SHOWN: usize = 8;

/// One request, and the answer to it. Of the config it shows the output path only: the rest is text of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuditDetail {
    /// The name of the function; empty if the request could not be decoded.
    pub(crate) function: &'static str,
    pub(crate) target: Option<AuditTarget>,
    pub(crate) processes: Vec<AuditedProcess>,
    pub(crate) answer: AuditAnswer,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) reason: Option<String>,
}

/// The processes that a request names, and where they are to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuditTarget {
    pub(crate) job_id: i64,
    /// Empty for every process of the job.
    pub(crate) pids: Vec<i32>,
    pub(crate) user: Option<String>,
    pub(crate) output: Option<String>,
}

/// A process that matched a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditedProcess {
    pub(crate) pid: i32,
    pub(crate) host_pid: i32,
    pub(crate) uid: u32,
    pub(crate) user: Option<String>,
    pub(crate) result: ProcessResult,
    pub(crate) trace_id: Option<u64>,
}

/// What became of a process that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProcessResult {
    /// The config is pending for it.
    Triggered,
    /// It has not fetched an earlier config.
    Busy,
    /// The limit of the request was reached.
    BeyondLimit,
    /// The command cannot take effect in it.
    Blocked(CommandStatus),
}

/// The answer in a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum AuditAnswer {
    /// It was carried out.
    #[default]
    Done,
    /// It was understood, and no process was triggered.
    Declined,
    /// It was rejected by a rule or a limit, or could not be read.
    Rejected,
}

impl AuditDetail {
    /// Describes a request that was rejected.
    pub(crate) fn rejected(
        function: &'static str,
        target: Option<AuditTarget>,
        code: ErrorCode,
        reason: String,
    ) -> Self {
        Self {
            function,
            target,
            processes: Vec::new(),
            answer: AuditAnswer::Rejected,
            code: Some(code),
            reason: Some(reason),
        }
    }

    /// Returns whether the request only reads, so that the log shows it with `--verbose` only.
    pub(crate) fn is_read(&self) -> bool {
        matches!(
            self.function,
            "getStatus" | "getVersion" | "listProcesses" | "getHealth" | "getConfigStates" | "getClock"
        ) && self.answer != AuditAnswer::Rejected
    }

    /// Returns the processes that a line lists, and the number of the others.
    pub(crate) fn listed_processes(&self) -> (&[AuditedProcess], usize) {
        let listed = &self.processes[..self.processes.len().min(MAX_LISTED)];
        (listed, self.processes.len() - listed.len())
    }

    fn count(&self, is_counted: impl Fn(&ProcessResult) -> bool) -> usize {
        self.processes.iter().filter(|p| is_counted(&p.result)).count()
    }
}

impl AuditTarget {
    /// Returns the pids that a line lists, and the number of the others.
    pub(crate) fn listed_pids(&self) -> (&[i32], usize) {
        let listed = &self.pids[..self.pids.len().min(MAX_LISTED)];
        (listed, self.pids.len() - listed.len())
    }
}

impl ProcessResult {
    /// Returns the word in the audit trail.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Triggered => "triggered",
            Self::Busy => "busy",
            Self::BeyondLimit => "beyond_limit",
            Self::Blocked(CommandStatus::Ineffective) => "ineffective",
            Self::Blocked(_) => "state_unknown",
        }
    }
}

impl AuditAnswer {
    /// Returns the word in the audit trail.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Declined => "declined",
            Self::Rejected => "rejected",
        }
    }
}

/// The line of the log.
impl fmt::Display for AuditDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.function.is_empty() { "request" } else { self.function })?;
        if let Some(target) = &self.target {
            write!(f, " job {}", target.job_id)?;
            match target.pids.as_slice() {
                [] => write!(f, ", all pids")?,
                pids if pids.len() <= MAX_SHOWN => write!(f, ", pids {pids:?}")?,
                pids => write!(f, ", {} pids", pids.len())?,
            }
        }
        if self.answer == AuditAnswer::Rejected || self.target.is_none() {
            let answer = self.answer.name();
            return match &self.reason {
                Some(reason) => write!(f, ": {answer}: {reason}"),
                None => write!(f, ": {answer}"),
            };
        }
        let (triggered, busy) =
            (self.count(|r| *r == ProcessResult::Triggered), self.count(|r| *r == ProcessResult::Busy));
        write!(f, ": {} matched, {triggered} triggered, {busy} busy", self.processes.len())?;
        for p in self.processes.iter().filter(|p| p.trace_id.is_some()).take(MAX_SHOWN) {
            write!(f, ", pid {} uid {} trace {}", p.pid, p.uid, p.trace_id.unwrap_or_default())?;
        }
        match self.reason.as_ref().filter(|_| self.answer == AuditAnswer::Declined) {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

//! The entry of the audit trail about one request: what was asked for, of which processes, and what the answer was.
//!
//! The client and the time are added by [`crate::audit`].

use std::borrow::Cow;
use std::fmt;

use common::rpc::message::{CommandStatus, ErrorCode};
use common::text::without_error_numbers;

/// Maximum number of pids and of processes that one line lists.
const MAX_LISTED: usize = 64;

/// Maximum length of a reason and of the name of a user in bytes. They can quote what a client has sent.
const MAX_REASON: usize = 512;
const MAX_USER: usize = 256;
/// Maximum length of an output path in bytes: longer than a config may be.
const MAX_OUTPUT: usize = 4096;
/// Maximum length of the subject of a certificate in bytes. The fingerprint tells apart what is equal after the cut.
const MAX_SUBJECT: usize = 512;

/// Maximum number of pids and of traces that a line of the log lists.
const MAX_SHOWN: usize = 8;

/// One request, and the answer to it. Of the config it shows the output path only: the rest is text of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct AuditDetail {
    /// The name of the function; empty if the request could not be decoded.
    pub(crate) function: &'static str,
    pub(crate) target: Option<RequestTarget>,
    pub(crate) processes: Vec<AuditedProcess>,
    pub(crate) answer: AuditAnswer,
    pub(crate) code: Option<ErrorCode>,
    pub(crate) reason: Option<String>,
}

/// The processes that a request names, and where they are to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestTarget {
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

/// The outcome for a process that matched.
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
        target: Option<RequestTarget>,
        code: ErrorCode,
        reason: String,
    ) -> Self {
        Self {
            function,
            target,
            processes: Vec::new(),
            answer: AuditAnswer::Rejected,
            code: Some(code),
            reason: Some(cut_text(without_error_numbers(&reason), MAX_REASON)),
        }
    }

    /// Returns the processes that a line lists, and the number of the others.
    pub(crate) fn listed_processes(&self) -> (&[AuditedProcess], usize) {
        let listed = &self.processes[..self.processes.len().min(MAX_LISTED)];
        (listed, self.processes.len() - listed.len())
    }

    /// Returns the ids of the traces that were requested.
    pub(crate) fn trace_ids(&self) -> impl Iterator<Item = u64> + '_ {
        self.processes.iter().filter_map(|process| process.trace_id)
    }

    fn count(&self, is_counted: impl Fn(&ProcessResult) -> bool) -> usize {
        self.processes.iter().filter(|p| is_counted(&p.result)).count()
    }
}

/// Cuts the subject of a certificate, which a client may have chosen itself, for the trail and the log.
pub(crate) fn cut_subject(subject: &str) -> Cow<'_, str> {
    if subject.len() <= MAX_SUBJECT {
        return Cow::Borrowed(subject);
    }
    Cow::Owned(cut_text(subject.to_owned(), MAX_SUBJECT))
}

/// Cuts a text, with an ellipsis where it was cut.
fn cut_text(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        let mut end = max_bytes;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

impl RequestTarget {
    /// Describes a target. `user` and `output` are as the client sent them.
    pub(crate) fn new(job_id: i64, pids: Vec<i32>, user: Option<String>, output: Option<String>) -> Self {
        let (user, output) =
            (user.map(|user| cut_text(user, MAX_USER)), output.map(|output| cut_text(output, MAX_OUTPUT)));
        Self { job_id, pids, user, output }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_clients_are_cut() {
        assert_eq!(cut_subject("CN=alice"), "CN=alice");
        // Not in the middle of a character.
        let cut = cut_subject(&"ä".repeat(MAX_SUBJECT)).into_owned();
        assert!(cut.ends_with("ä…") && cut.len() <= MAX_SUBJECT + '…'.len_utf8(), "{}", cut.len());
        let long = || "x".repeat(100_000);
        let target = RequestTarget::new(0, Vec::new(), Some(long()), Some(long()));
        let detail = AuditDetail::rejected("f", Some(target), ErrorCode::Forbidden, long());
        let target = detail.target.as_ref().unwrap();
        let lengths = [&target.user, &target.output, &detail.reason].map(|text| text.as_ref().unwrap().len());
        assert_eq!(lengths, [MAX_USER + 3, MAX_OUTPUT + 3, MAX_REASON + 3]);
        assert!(detail.to_string().len() < 2 * MAX_REASON);
    }
}

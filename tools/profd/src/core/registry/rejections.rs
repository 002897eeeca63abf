//! Senders whose messages were rejected or that were not registered, for the clients that look for their processes.

use std::collections::BTreeMap;

use common::rpc::message::RejectedSenders;

use super::process::Uptime;
use crate::core::accounts::Accounts;

/// Maximum number of users and causes that are kept. Further ones are not: the table cannot be grown from outside.
const MAX_REJECTIONS: usize = 256;

/// Maximum number in one reply.
const MAX_LISTED: usize = 32;

/// Why the messages of a sender are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RejectionCause {
    /// Its user is not allowed.
    User,
    /// It claims a pid that it does not have.
    WrongPid,
    /// The table of senders is full.
    SendersFull,
    /// Its user has no share left in the table of senders.
    SenderShare,
    /// The table of registered processes is full.
    ProcessesFull,
    /// Its user has no share left in the table of registered processes.
    ProcessShare,
    /// It is registered under the maximum number of jobs.
    TooManyJobs,
}

/// The rejections by user and cause.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rejections(BTreeMap<(u32, RejectionCause), Rejection>);

#[derive(Clone, Copy, Debug)]
struct Rejection {
    count: u64,
    last_pid: i32,
    last: Uptime,
}

impl RejectionCause {
    /// Returns the word of the cause in replies.
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::WrongPid => "pid",
            Self::SendersFull => "senders_full",
            Self::SenderShare => "sender_share",
            Self::ProcessesFull => "processes_full",
            Self::ProcessShare => "process_share",
            Self::TooManyJobs => "jobs_per_process",
        }
    }

    /// Explains the cause, and which option changes it.
    pub(crate) fn explain(self, uid: u32) -> String {
        match self {
            Self::User => format!("the daemon does not serve this user (--allow-uid {uid})"),
            Self::WrongPid => "its messages claim the pid of another process".to_owned(),
            Self::SendersFull => "the table of sending processes is full (--max-processes)".to_owned(),
            Self::SenderShare => {
                "the user holds as many places in the table of sending processes as are free (--max-processes)".to_owned()
            }
            Self::ProcessesFull => "the table of registered processes is full (--max-processes)".to_owned(),
            Self::ProcessShare => {
                "the user holds as many places in the table of registered processes as are free (--max-processes)"
                    .to_owned()
            }
            Self::TooManyJobs => "it is registered under as many jobs as one process may have".to_owned(),
        }
    }
}

impl Rejections {
    /// Counts a rejection.
    pub(crate) fn note(&mut self, now: Uptime, uid: u32, host_pid: i32, cause: RejectionCause) {
        let is_full = self.0.len() >= MAX_REJECTIONS;
        if is_full && !self.0.contains_key(&(uid, cause)) {
            return;
        }
        let entry = self.0.entry((uid, cause)).or_insert(Rejection { count: 0, last_pid: 0, last: now });
        *entry = Rejection { count: entry.count + 1, last_pid: host_pid, last: now };
    }

    /// Forgets what has not happened for `keep`.
    pub(super) fn forget_old(&mut self, now: Uptime, keep: Uptime) {
        self.0.retain(|_, r| now.saturating_sub(r.last) < keep);
    }

    /// Returns the rejections, the most recent first, of those users that `is_visible`.
    pub(super) fn list(
        &self,
        now: Uptime,
        accounts: &Accounts,
        is_visible: impl Fn(u32) -> bool,
    ) -> Vec<RejectedSenders> {
        let mut recent: Vec<_> = self.0.iter().filter(|((uid, _), _)| is_visible(*uid)).collect();
        recent.sort_by_key(|(_, r)| std::cmp::Reverse(r.last));
        let to_reply = |((uid, cause), r): (&(u32, RejectionCause), &Rejection)| RejectedSenders {
            uid: *uid,
            user: accounts.name_of(*uid).map(str::to_owned),
            cause: cause.name().to_owned(),
            reason: cause.explain(*uid),
            count: r.count,
            last_pid: r.last_pid,
            last_ms: u64::try_from(now.saturating_sub(r.last).as_millis()).unwrap_or(u64::MAX),
        };
        recent.into_iter().take(MAX_LISTED).map(to_reply).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejections_are_counted_by_user_and_cause_and_bounded() {
        let mut rejections = Rejections::default();
        let at = Uptime::from_secs;
        rejections.note(at(1), 1000, 7, RejectionCause::User);
        rejections.note(at(2), 1000, 8, RejectionCause::User);
        rejections.note(at(3), 1001, 9, RejectionCause::ProcessShare);
        let listed = rejections.list(at(4), &Accounts::parse("ann:x:1000:1::/:", ""), |_| true);
        assert_eq!((listed[0].uid, listed[0].cause.as_str()), (1001, "process_share"));
        assert_eq!((listed[1].user.as_deref(), listed[1].count, listed[1].last_pid), (Some("ann"), 2, 8));
        assert!(listed[1].reason.contains("--allow-uid 1000"));
        assert_eq!(rejections.list(at(4), &Accounts::default(), |uid| uid == 1000).len(), 1);
        for uid in 0..2 * u32::try_from(MAX_REJECTIONS).unwrap() {
            rejections.note(at(5), uid, 1, RejectionCause::User);
        }
        assert_eq!(rejections.0.len(), MAX_REJECTIONS);
        rejections.forget_old(at(65), at(60));
        assert_eq!(rejections.0.len(), 0);
    }
}

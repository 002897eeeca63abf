//! Processes whose messages a daemon did not take.

use common::record::profctl::Rejected;
use common::rpc::message::RejectedSenders;
use common::text::count_noun;

use crate::duration_text::format_duration;

/// Describes the rejected processes of one user in a line.
pub(crate) fn describe_rejected(rejected: &RejectedSenders) -> String {
    let user = match &rejected.user {
        Some(name) => format!("{name} (uid {})", rejected.uid),
        None => format!("uid {}", rejected.uid),
    };
    let ago = format_duration(std::time::Duration::from_millis(rejected.last_ms));
    let (pid, messages, reason) =
        (rejected.last_pid, count_noun(rejected.count, "message"), &rejected.reason);
    format!("{user}: {reason}; {messages}, the last of pid {pid} {ago} ago")
}

/// Converts them to a record.
pub(crate) fn rejected_record(rejected: &RejectedSenders) -> Rejected {
    Rejected {
        uid: rejected.uid,
        user: rejected.user.clone(),
        cause: rejected.cause.clone(),
        reason: rejected.reason.clone(),
        count: rejected.count,
        last_pid: rejected.last_pid,
        last_ms: rejected.last_ms,
    }
}

//! Decoding of replies: whether a reply is JSON, whether it reports a failure, and its fields.

use common::record::profctl::{ReplySummary, RequestOutcome};
use common::rpc::message::{Failure, FailureReason, RequestError, StatusReply};
use common::text::without_error_numbers;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// For replies that none of the existing daemons sends.
const NOT_A_DAEMON_HINT: &str = "check --port: the peer does not answer like a profiling daemon";

/// Maximum length of a daemon's own text in a message, in characters.
const MAX_REASON_CHARS: usize = 300;

/// Why a daemon did not do what was requested, and what the user can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestFailure {
    pub(crate) outcome: RequestOutcome,
    pub(crate) reason: String,
    pub(crate) hints: Vec<String>,
    /// The code in the reply of the daemon, if it has one.
    pub(crate) code: Option<String>,
}

impl RequestFailure {
    /// Returns whether the daemon does not have the function of the request.
    pub(crate) fn is_unknown_function(&self) -> bool {
        // Daemons of ours before this code was added call it a malformed request, with this text.
        self.code.as_deref() == Some("function")
            || self.code.as_deref() == Some("request")
                && self.reason == RequestError::UnknownFunction.to_string()
    }

    /// A failure without a usable reply. The numbers of the system's errors are left out.
    pub(crate) fn from_error(reason: impl Into<String>, hint: Option<String>) -> Self {
        Self {
            outcome: RequestOutcome::Failed,
            reason: without_error_numbers(&reason.into()),
            hints: hint.into_iter().collect(),
            code: None,
        }
    }

    /// A failure because the daemon declined the request.
    pub(crate) fn from_decline(reason: impl Into<String>) -> Self {
        Self { outcome: RequestOutcome::Declined, reason: reason.into(), hints: Vec::new(), code: None }
    }

    /// Writes the failure into a record.
    pub(crate) fn apply_to(self, answer: &mut ReplySummary) {
        answer.outcome = self.outcome;
        answer.reason = Some(self.reason);
        answer.code = self.code;
        answer.hints = self.hints;
    }
}

/// Decodes a reply as a `T`. Fields that `T` does not have are ignored.
///
/// # Errors
/// The daemon reports a failure, or the reply is not a `T`.
pub(crate) fn decode_reply<T: DeserializeOwned>(body: &[u8]) -> Result<T, RequestFailure> {
    let value: Value = serde_json::from_slice(body).map_err(|e| {
        let at = format!("reply is not valid JSON (line {}, column {})", e.line(), e.column());
        RequestFailure::from_error(at, Some(NOT_A_DAEMON_HINT.to_owned()))
    })?;
    if !value.is_object() {
        return Err(RequestFailure::from_error("reply is not a JSON object", None));
    }
    if let Some(failure) = find_reported_failure(&value) {
        return Err(failure);
    }
    serde_json::from_value(value).map_err(|e| {
        RequestFailure::from_error(
            format!("reply has an unexpected form: {}", truncate_text(&e.to_string())),
            None,
        )
    })
}

/// Decodes a reply to `getStatus`.
///
/// # Errors
/// As [`decode_reply`], or the reply says nothing about the status.
pub(crate) fn decode_status_reply(body: &[u8]) -> Result<StatusReply, RequestFailure> {
    let reply: StatusReply = decode_reply(body)?;
    // dynolog c3a231a answers `status`, msMonitor b942bf5 `nputrace` and `npumonitor`, profd `status` and `detail`.
    if reply == StatusReply::default() {
        return Err(RequestFailure::from_error(
            "reply does not say a status",
            Some(NOT_A_DAEMON_HINT.to_owned()),
        ));
    }
    Ok(reply)
}

/// Returns the failure that a reply reports: `{"status":"failed…"}`. profd adds the reason in `error`; existing
/// daemons (dynolog c3a231a, msMonitor b942bf5) append it to `status`.
fn find_reported_failure(value: &Value) -> Option<RequestFailure> {
    let status = value.get("status")?.as_str()?;
    if !status.starts_with("failed") {
        return None;
    }
    let error = serde_json::from_value::<Failure>(value.clone()).ok().and_then(|f| f.error);
    if let Some(FailureReason::Coded { code, message }) = &error {
        return Some(classify_failure(code, truncate_text(message)));
    }
    let reason = match error {
        Some(error) => truncate_text(error.message()),
        None if status == "failed" => "the daemon reports a failure without a reason".to_owned(),
        None => truncate_text(status),
    };
    Some(RequestFailure::from_decline(reason))
}

/// Classifies a failure by its code: what the daemon could not do is failed, what its rules and limits forbid is rejected.
fn classify_failure(code: &str, reason: String) -> RequestFailure {
    let (outcome, hint) = match code {
        "busy" => (
            RequestOutcome::Failed,
            Some(
                "try again; `profctl --format json status` counts what was declined (rpc.declined, rpc.closed)",
            ),
        ),
        "age" | "stopping" => (RequestOutcome::Failed, Some("try again")),
        "audit" => (RequestOutcome::Failed, Some("the disk of the daemon's audit trail may be full")),
        "certificate" => (RequestOutcome::Failed, Some("check the client certificate with `certck check`")),
        "frame" | "request" | "function" => (RequestOutcome::Failed, None),
        "forbidden" => (
            RequestOutcome::Rejected,
            Some("the rules file of the daemon decides (profd --rules, profd-rules(5))"),
        ),
        _ => (RequestOutcome::Rejected, None),
    };
    let hints = hint.map(str::to_owned).into_iter().collect();
    RequestFailure { outcome, reason, hints, code: Some(code.to_owned()) }
}

/// Formats a declined or rejected request for text output; `None` for any other outcome.
pub(crate) fn format_decline(answer: &ReplySummary) -> Option<String> {
    let word = match answer.outcome {
        RequestOutcome::Declined => "declined",
        RequestOutcome::Rejected => "rejected",
        RequestOutcome::Done | RequestOutcome::Failed => return None,
    };
    Some(format!("{word}: {}", answer.reason.as_deref().unwrap_or("no reason given")))
}

fn truncate_text(text: &str) -> String {
    match text.char_indices().nth(MAX_REASON_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::rpc::message::{DcgmReply, VersionReply};

    fn decode_failure<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> RequestFailure {
        decode_reply::<T>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let v: VersionReply = decode_reply(br#" {"version":"0.5","build":{"by":["x"]}} "#).unwrap();
        assert_eq!(v.version, "0.5");
    }

    #[test]
    fn a_reply_without_a_status_is_not_one_of_a_daemon_that_is_alive() {
        assert_eq!(decode_status_reply(b"{}").unwrap_err().outcome, RequestOutcome::Failed);
        let other = decode_status_reply(br#"{"version":"1","ok":true}"#).unwrap_err();
        assert_eq!(other.reason, "reply does not say a status");
        for known in [r#"{"status":1}"#, r#"{"nputrace":"Idle"}"#, r#"{"current_step":-1}"#] {
            decode_status_reply(known.as_bytes()).unwrap();
        }
    }

    #[test]
    fn the_reason_of_the_daemon_is_kept() {
        let coded = |code: &str| {
            decode_failure::<StatusReply>(&format!(
                r#"{{"status":"failed","error":{{"code":"{code}","message":"why","later":1}}}}"#
            ))
        };
        assert_eq!((coded("busy").outcome, coded("busy").reason.as_str()), (RequestOutcome::Failed, "why"));
        assert_eq!(
            (coded("forbidden").outcome, coded("of the future").outcome),
            (RequestOutcome::Rejected, RequestOutcome::Rejected)
        );
        let profd = decode_failure::<StatusReply>(r#"{"status":"failed","error":"too many connections"}"#);
        assert_eq!(profd, RequestFailure::from_decline("too many connections"));
        let dynolog =
            decode_failure::<StatusReply>(r#"{"status":"failed with exception = type must be number"}"#);
        assert_eq!(dynolog.reason, "failed with exception = type must be number");
        assert_eq!(decode_failure::<StatusReply>(r#"{"status":"failed"}"#).outcome, RequestOutcome::Declined);
    }

    #[test]
    fn malformed_replies_are_failures_with_a_reason() {
        for body in ["", "{", "[]", "null", "\"x\"", "{}", r#"{"version":7}"#, "\u{0}", &"[".repeat(100_000)]
        {
            let failure = decode_failure::<VersionReply>(body);
            assert_eq!(failure.outcome, RequestOutcome::Failed, "{failure:?}");
            assert!(!failure.reason.is_empty());
        }
        assert_eq!(decode_failure::<DcgmReply>(r#"{"status":1}"#).outcome, RequestOutcome::Failed);
        assert!(decode_reply::<VersionReply>(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn long_reasons_are_truncated() {
        let body = format!(r#"{{"status":"failed","error":"{}"}}"#, "é".repeat(10_000));
        assert_eq!(decode_failure::<VersionReply>(&body).reason.chars().count(), MAX_REASON_CHARS + 1);
    }
}

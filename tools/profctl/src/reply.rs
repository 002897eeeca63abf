//! What a reply's bytes mean before its fields do: JSON or not, a refusal or not.

use common::record::profctl::{Answer, Outcome};
use common::rpc::message::Failure;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// The most of a peer's own words that is passed on, characters.
const MAX_WORDS: usize = 300;

/// Why a daemon did not do what was asked, and what can be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) outcome: Outcome,
    pub(crate) reason: String,
    pub(crate) hints: Vec<String>,
}

impl Refusal {
    /// There is no usable answer.
    pub(crate) fn failed(reason: impl Into<String>, hint: Option<String>) -> Self {
        Self { outcome: Outcome::Failed, reason: reason.into(), hints: hint.into_iter().collect() }
    }

    /// The answer is no.
    pub(crate) fn declined(reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Declined, reason: reason.into(), hints: Vec::new() }
    }

    /// Writes it into a record.
    pub(crate) fn apply(self, answer: &mut Answer) {
        answer.outcome = self.outcome;
        answer.reason = Some(self.reason);
        answer.hints = self.hints;
    }
}

/// Reads a reply as a `T`. Fields that `T` does not know are skipped.
///
/// # Errors
/// The daemon says that it failed, or the reply is not what was asked for.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    let value: Value = serde_json::from_slice(body).map_err(|e| {
        let at = format!("reply is not valid JSON (line {}, column {})", e.line(), e.column());
        Refusal::failed(at, Some("is this the port of a profiling daemon? check --port".to_owned()))
    })?;
    if !value.is_object() {
        return Err(Refusal::failed("reply is not a JSON object", None));
    }
    if let Some(failure) = failure(&value) {
        return Err(failure);
    }
    serde_json::from_value(value)
        .map_err(|e| Refusal::failed(format!("reply is not understood: {}", cut(&e.to_string())), None))
}

/// `{"status":"failed…"}`, with our reason beside it or the existing daemons' in it.
fn failure(value: &Value) -> Option<Refusal> {
    let status = value.get("status")?.as_str()?;
    if !status.starts_with("failed") {
        return None;
    }
    let error = serde_json::from_value::<Failure>(value.clone()).ok().and_then(|f| f.error);
    let reason = match error {
        Some(error) => cut(&error),
        None if status == "failed" => "the daemon says that it failed, and not why".to_owned(),
        None => cut(status),
    };
    Some(Refusal::declined(reason))
}

/// What text output says of an answer that is no.
pub(crate) fn declined(answer: &Answer) -> Option<String> {
    (answer.outcome == Outcome::Declined)
        .then(|| format!("declined: {}", answer.reason.as_deref().unwrap_or("no reason given")))
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_WORDS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::rpc::message::{DcgmReply, StatusReply, VersionReply};

    fn refused<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> Refusal {
        decode::<T>(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn unknown_fields_are_skipped() {
        let v: VersionReply = decode(br#" {"version":"0.5","build":{"by":["x"]}} "#).unwrap();
        assert_eq!(v.version, "0.5");
    }

    #[test]
    fn a_refusal_keeps_the_daemons_reason() {
        let ours = refused::<StatusReply>(r#"{"status":"failed","error":"too many connections"}"#);
        assert_eq!(ours, Refusal::declined("too many connections"));
        let theirs = refused::<StatusReply>(r#"{"status":"failed with exception = type must be number"}"#);
        assert_eq!(theirs.reason, "failed with exception = type must be number");
        assert_eq!(refused::<StatusReply>(r#"{"status":"failed"}"#).outcome, Outcome::Declined);
    }

    #[test]
    fn nonsense_is_a_failure_with_a_reason() {
        for body in ["", "{", "[]", "null", "\"x\"", "{}", r#"{"version":7}"#, "\u{0}", &"[".repeat(100_000)]
        {
            let refusal = refused::<VersionReply>(body);
            assert_eq!(refusal.outcome, Outcome::Failed, "{refusal:?}");
            assert!(!refusal.reason.is_empty());
        }
        assert_eq!(refused::<DcgmReply>(r#"{"status":1}"#).outcome, Outcome::Failed);
        assert!(decode::<VersionReply>(&[0xff, 0xfe]).is_err());
    }

    #[test]
    fn long_words_are_cut() {
        let body = format!(r#"{{"status":"failed","error":"{}"}}"#, "é".repeat(10_000));
        assert_eq!(refused::<VersionReply>(&body).reason.chars().count(), MAX_WORDS + 1);
    }
}
